package trust

import (
	"fmt"
	"slices"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// ChooseLabel says under which label a document goes out: the one that the person asked for, or else the strictest of what
// the document carries and what it is derived from. A person may tighten and never loosen. Unset stands for not asked, not
// marked, or no sources.
func ChooseLabel(asked, marked, sources tlp.Label) (tlp.Label, Decision) {
	floor := max(marked, sources)
	if floor > tlp.Red {
		return tlp.Unset, Decision{Rule: "no-label", Reason: "the document or one of its sources carries no label that is known"}
	}
	switch {
	case !asked.Valid() && !floor.Valid():
		return tlp.Unset, Decision{Rule: "unlabelled", Reason: "the document carries no TLP marking and no label was given"}
	case !asked.Valid() && floor != marked:
		return floor, Decision{Allowed: true, Rule: "source-label"}
	case !asked.Valid():
		return marked, Decision{Allowed: true, Rule: "document-label"}
	case marked.Valid() && asked < marked:
		return tlp.Unset, Decision{Rule: "label-loosened",
			Reason: fmt.Sprintf("the document is marked %s; a label may be tightened, and %s is wider", marked, asked)}
	case asked < floor:
		return tlp.Unset, Decision{Rule: "source-loosened",
			Reason: fmt.Sprintf("a message that it is derived from is %s; a label may be tightened, and %s is wider", floor, asked)}
	}
	return asked, Decision{Allowed: true, Rule: "asked-label"}
}

// Derive returns the strictest label of the sources; Unset if there are none. A source without a label that is known counts
// as the strictest: the unknown is never outvoted.
func Derive(sources []*protocol.Statement) tlp.Label {
	strictest := tlp.Unset
	for _, s := range sources {
		if !s.Label.Valid() {
			return tlp.Red
		}
		strictest = max(strictest, s.Label)
	}
	return strictest
}

// MayDerive says whether what is derived from the sources may go to the audience. What another author labelled stricter than
// GREEN goes to nobody beyond its author and those for whom it was, or the room in which it was said: that would need the author's release. The same holds for
// what my own team made from sources, so the sources of sources need not be looked up.
func MayDerive(sources []*protocol.Statement, aud protocol.Audience, self protocol.TeamID) Decision {
	for _, s := range sources {
		if s.Label.Valid() && s.Label <= communityCeiling || s.Author == self && len(s.Sources) == 0 {
			continue
		}
		sameRoom := aud.Kind == protocol.InRoom && s.Audience.Kind == protocol.InRoom && aud.Room == s.Audience.Room
		outside := aud.Kind != protocol.Direct && aud.Kind != protocol.InAgreement && !sameRoom
		for _, t := range aud.Teams {
			outside = outside || t != s.Author && !slices.Contains(s.Audience.Teams, t)
		}
		if outside {
			return Decision{Rule: "source-audience", Reason: fmt.Sprintf("a message that it is derived from is TLP:%s of another team, "+
				"and was not for all who would read this: ask its author", s.Label)}
		}
		if s.Label <= tlp.AmberStrict {
			continue
		}
		strangers := len(aud.Persons) == 0
		for _, p := range aud.Persons {
			strangers = strangers || p.Team != s.Author && !slices.ContainsFunc(s.Audience.Persons, func(o protocol.Person) bool {
				return o.Team == p.Team && o.Name == p.Name // whose key may have changed since
			})
		}
		if strangers {
			return Decision{Rule: "source-persons", Reason: "a message that it is derived from is TLP:RED, and was not for all persons who " +
				"would read this: ask its author"}
		}
	}
	return Decision{Allowed: true, Rule: "source-audience"}
}

// MayCorrect says whether the team may replace the statement old by one of the label l: only its own, and not under a wider
// label, since those who hold the old one were told to keep it closer.
func MayCorrect(old *protocol.Statement, team protocol.TeamID, l tlp.Label) Decision {
	switch {
	case old.Author != team:
		return Decision{Rule: "correct-own", Reason: "only the author's team may correct a message"}
	case l < old.Label:
		return Decision{Rule: "label-loosened",
			Reason: fmt.Sprintf("the message that is corrected is %s; a label may be tightened, and %s is wider", old.Label, l)}
	}
	return Decision{Allowed: true, Rule: "correct-own"}
}

// MayConnect says whether nodes of a team in this state may connect at all. Stale and disputed teams may, because how else
// would their newer records arrive; they get and give nothing else.
func MayConnect(s State) bool {
	return s == Introduced || s == Verified || s == Stale || s == Disputed
}

// Signing is what it depends on whether a node may sign in its own name.
type Signing struct {
	Listed  bool   // the team's manifest lists the node's key, and does not revoke it
	Guarded bool   // the file that remembers what this key signed is there and whole
	Mark    uint64 // the newest entry of the node's own feed that it remembers; 0: none
	Held    uint64 // the newest entry that the store holds; 0: none
	Foreign bool   // that entry is beyond Mark and came from a peer
	Forked  bool   // the key said two things in one place
}

// MaySign returns why a node may not sign, in words; "" if it may. A node whose store is not the one that it last left may
// not: it would say a second thing in a place where others hold the first. A store that is ahead of the mark by what this
// node made itself is one that a crash stopped before sending.
func MaySign(s Signing) string {
	switch {
	case !s.Listed:
		return "this node's key is not in the team's manifest, or was revoked: an officer has to certify it"
	case s.Forked:
		return "this node's key signed two different messages for one place: another machine runs with the same keys, or did"
	case s.Foreign:
		return fmt.Sprintf("a peer holds message %d of this node, which this node remembers no more: "+
			"it was restored from a backup, or another machine runs with the same keys", s.Held)
	case !s.Guarded:
		return "the file that remembers what this node signed is gone, damaged or another node's: this home was restored from a backup, or copied"
	case s.Held < s.Mark:
		return fmt.Sprintf("the store ends at message %d of this node, which has signed %d: it was restored from a backup", s.Held, s.Mark)
	}
	return ""
}
