package roomsync

// Limits of the wire form.
const (
	MaxRooms   = 256   // rooms in one conversation
	MaxRecords = 16384 // records of one room
	MaxGrants  = 256   // grants in one conversation
	MarkSize   = 16    // bytes of a mark
)
