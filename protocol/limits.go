package protocol

import "time"

// Limits of the wire form. A record beyond one is refused, whoever signed it.
const (
	MaxInline    = 32 << 10  // bytes of a body inside its statement; larger ones travel as a blob
	MaxStatement = 160 << 10 // bytes of an encoded statement envelope: RED for 64 persons, each of whom takes 1.6 KiB, and its body
	MaxParcel    = 224 << 10 // bytes of an encoded parcel envelope: any statement, padded and sealed to MaxNodes nodes
	MaxRecord    = 256 << 10 // bytes of any other encoded envelope
	MaxBundle    = 2 << 20   // bytes of an introduction, or of one team's records in an exchange
	MaxBlob      = 1 << 30   // bytes of a body outside its statement, and of what travels for it
	MaxSigs      = 16        // signatures on one envelope
	MaxKeys      = 16        // root or officer keys in one root record
	MaxNodes     = 32        // current nodes in one manifest
	MaxRevoked   = 256       // former nodes in one manifest
	MaxOperators = 64        // operators in one manifest
	MaxAddrs     = 16        // addresses in one address record
	MaxHeads     = 64        // feeds in one heads record
	MaxRecords   = 1024      // records in one bundle
	MaxRefs      = 64        // references of one statement

	MaxName  = 120  // bytes of a team's, officer's, node's or operator's name
	MaxTitle = 800  // bytes of a title (200 characters)
	MaxText  = 4000 // bytes of a free text in a card, or of a reason
	MaxItems = 1024 // entries of one list in a card

	MaxAddr      = 256      // bytes of one address
	MaxRecipient = 4000     // bytes of an age recipient
	MaxPeer      = 64       // bytes of a libp2p peer id
	MaxFormat    = 40       // bytes of the name of a body's format
	MaxFile      = 255      // bytes of the name of a body's file
	MaxHello     = 1024     // bytes of a greeting
	MaxVersions  = 16       // protocol versions in a greeting
	MaxSoftware  = 100      // bytes of the name of a greeting's software
	MaxVoid      = maxArray // void entries of one cut-off

	MaxTeams    = 20   // teams that one statement names
	MaxPersons  = 64   // persons that one statement names
	MaxReceipts = 512  // receipts in one statement
	MaxCarried  = 16   // records in one statement
	MaxRule     = 40   // bytes of the name of a rule
	MaxBodyKey  = 100  // bytes of the key of a sealed body
	MaxPurposes = 16   // purposes of one agreement
	MaxKeep     = 3660 // days of retention that an agreement may ask for

	MinStewards      = 2    // stewards of a room
	MaxStewards      = 16   // stewards of a room: no more than can sign one card
	MaxMembers       = 512  // members that one charter lists
	MaxVoids         = 64   // cards that one charter makes void
	MaxSponsors      = 8    // members that a charter may ask to vouch for another
	MaxObjections    = 64   // objections that one card overrules
	MaxObjectionDays = 365  // days for objections that a charter may ask for
	MaxHoldDays      = 30   // days for which one steward may hold a member
	MaxCardDays      = 366  // days for which a membership lasts
	MaxEpochDays     = 30   // days for which an epoch is used
	MaxFreshHours    = 720  // hours within which a sender must have heard of others
	MaxEpochNodes    = 1024 // nodes that hold one epoch
	MaxGrantKey      = 4096 // bytes of a sealed epoch identity
	MaxRound         = 1000 // rounds of a vote

	// MaxCounter is the greatest sequence number, version or other counter: one that every language holds exactly, and
	// that can be added to without overflow.
	MaxCounter = 1<<53 - 1
	// MaxTime is the last Unix second that a record may name: the end of the year 9999, the last that RFC 3339 can write.
	MaxTime = 253402300799

	maxDepth = 8    // items that one item may be inside of
	maxArray = 4096 // entries of one list, pairs of one map

	// MaxManifestLife bounds how long a manifest may be valid: a team that is silent for longer is stale.
	MaxManifestLife = 180 * 24 * time.Hour
	// MaxAddressLife bounds how long an address record may be valid.
	MaxAddressLife = 30 * 24 * time.Hour
	// MaxAttestLife bounds how long an attestation may be valid.
	MaxAttestLife = 3 * 366 * 24 * time.Hour
	// MaxAgreementLife bounds how long an agreement may be valid.
	MaxAgreementLife = 3 * 366 * 24 * time.Hour
	// MaxVouchLife bounds how long a word for an applicant may be valid.
	MaxVouchLife = 366 * 24 * time.Hour
	// MaxClockAhead is how far in the future the author's clock may stand before a message waits unseen.
	MaxClockAhead = 10 * time.Minute
)
