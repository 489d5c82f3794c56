package node

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// closedGrace is for how long the keys of a closed room are kept, so that members who were away still get what was said before.
const closedGrace = 14 * 24 * time.Hour

// overNoteOfRoom holds when this node first saw that a room is over for this team. What others wrote about the time does not count.
const overNoteOfRoom = "over"

// isOver reports whether a room is over for this team.
func isOver(i trust.RoomInfo) bool {
	return i.State == trust.RoomClosed || i.Mine == trust.StandingLeft || i.Mine == trust.StandingRemoved
}

// roomOver returns when this node first saw that a room is over for this team; zero if it is not.
func (n *Node) roomOver(i trust.RoomInfo) (time.Time, error) {
	over := isOver(i)
	b, err := n.st.RoomNote(i.ID, overNoteOfRoom)
	seen := err == nil && len(b) == 8
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return time.Time{}, err
	case seen == over && !over:
		return time.Time{}, nil
	case seen && over:
		return time.Unix(int64(binary.BigEndian.Uint64(b)), 0), nil
	case seen: // it was admitted again
		return time.Time{}, n.st.PutRoomNote(i.ID, overNoteOfRoom, nil)
	}
	now := n.now()
	return now, n.st.PutRoomNote(i.ID, overNoteOfRoom, binary.BigEndian.AppendUint64(nil, uint64(now.Unix())))
}

// keepRoomTerms forgets what charters say shall be forgotten: messages after their term, and of a room that is over, keys after a grace
// and everything after the term.
func (n *Node) keepRoomTerms(ctx context.Context) error {
	var all []trust.RoomInfo
	n.askRooms(func(rs *trust.Rooms) { all = rs.List(n.now()) })
	var errs []error
	for _, i := range all {
		if i.Charter == nil {
			continue
		}
		if unanswered(i, n.team) && n.now().Sub(time.Unix(int64(i.Charter.Issued), 0)) > unansweredAfter {
			errs = append(errs, n.ForgetRoom(ctx, i.ID.String()))
			continue
		}
		errs = append(errs, n.destroyOver(i.ID))
		over, err := n.roomOver(i)
		errs = append(errs, err)
		now := n.now()
		keep := time.Duration(i.Charter.Keep) * 24 * time.Hour
		if !over.IsZero() && now.Sub(over) > closedGrace {
			errs = append(errs, n.dropKeys(i.ID))
		}
		if keep == 0 {
			continue
		}
		if !over.IsZero() && now.Sub(over) > max(keep, closedGrace) {
			n.log.Info("forgot a room that is over, after the term of its charter", "room", i.ID.Short())
			errs = append(errs, n.ForgetRoom(ctx, i.ID.String()))
			continue
		}
		p, err := n.st.PruneTag(ctx, protocol.RoomChannel(i.ID).Tag(), n.team, now.Add(-keep))
		errs = append(errs, err)
		if p.Messages > 0 {
			n.log.Info("forgot messages whose term in their room is over", "room", i.ID.Short(), "messages", p.Messages)
		}
	}
	return errors.Join(errs...)
}

// overSince returns what roomOver noted, or will note of a room that has just ended.
func (n *Node) overSince(i trust.RoomInfo) time.Time {
	if !isOver(i) {
		return time.Time{}
	}
	b, err := n.st.RoomNote(i.ID, overNoteOfRoom)
	if err != nil || len(b) != 8 {
		return n.now()
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
}
