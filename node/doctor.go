package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// A Finding is one thing that doctor has to say.
type Finding struct {
	Level Level
	Text  string
	Next  string // what to do, may be empty
}

// A Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// Doctor says in words why messages may not arrive: for one team, or, with "", for this node and all teams.
func (n *Node) Doctor(team string) ([]Finding, error) {
	s, err := n.Status()
	if err != nil {
		return nil, err
	}
	var fs []Finding
	add := func(l Level, text, next string) { fs = append(fs, Finding{l, text, next}) }
	if team != "" {
		t, err := n.Team(team)
		if err != nil {
			return nil, err
		}
		n.examine(t, add)
		return fs, n.examineExchange(t.ID, s, add)
	}
	if s.Stopped != "" {
		add(Bad, "this node does not sign: "+s.Stopped, "when it has caught up with the others, certify a new node key: entente node replace")
	}
	if err := n.trouble.get(); err != nil {
		add(Bad, "nothing new is taken in: "+err.Error(), "free disk space, or raise store_cap in config.json; what was missed is fetched afterwards")
	}
	if err := n.blobTrouble.get(); err != nil {
		add(Bad, "what travels apart from its message is not taken in: "+err.Error(), "free disk space, or raise store_cap in config.json; it is fetched afterwards")
	}
	if n.auditDoubt != "" {
		add(Bad, n.auditDoubt, "compare with a checkpoint or backup kept elsewhere; who could write to this home's files?")
	}
	if s.Store.Damaged > 0 {
		add(Warn, fmt.Sprintf("%d stored values are damaged; what can be fetched from others is fetched again", s.Store.Damaged),
			"check everything with entente fsck, and the disk with its own tools")
	}
	if c := s.CatchUp; c.Done < c.Total {
		add(Warn, fmt.Sprintf("catching up: %d of %d messages", c.Done, c.Total), "")
	}
	if m := s.Team.Manifest; m != nil {
		left := time.Unix(int64(m.Expires), 0).Sub(n.now())
		switch {
		case left < 0:
			add(Bad, "this team's manifest has expired: others treat the team as stale", "renew it: entente node renew")
		case left < 30*24*time.Hour:
			add(Warn, fmt.Sprintf("this team's manifest expires in %d days", int(left.Hours()/24)), "renew it: entente node renew")
		}
	}
	if s.Team.Why != "" {
		add(Warn, "about this team's own records: "+s.Team.Why, "")
	}
	if s.Running && len(s.Listening) == 0 {
		add(Bad, "this node listens nowhere", "see listen in config.json")
	}
	if len(s.Others) == 0 {
		add(Warn, "no other team is known", "exchange introductions: entente introduction, entente team add")
	}
	for _, t := range s.Others {
		n.examine(t, add)
		if err := n.examineExchange(t.ID, s, add); err != nil {
			return nil, err
		}
	}
	if len(fs) == 0 {
		add(OK, "everything is in order", "")
	}
	return fs, nil
}

// examine says what stands between this node and one team.
func (n *Node) examine(t TeamInfo, add func(Level, string, string)) {
	switch t.State {
	case trust.Blocked:
		add(Warn, t.Name+" is blocked: nothing is exchanged with it", "entente team unblock, if that is not wanted any more")
		return
	case trust.Unknown:
		add(Warn, t.Name+" is not introduced: "+t.Why, "ask it for its introduction, or two verified colleagues for their word")
		return
	case trust.Disputed, trust.Stale:
		add(Bad, fmt.Sprintf("%s is %s: %s. Nothing new is exchanged with it", t.Name, t.State, t.Why), "call the team")
	}
	connected := false
	for _, v := range t.Nodes {
		if v.Revoked {
			continue
		}
		f := v.Feed
		switch {
		case f.Forked:
			add(Bad, fmt.Sprintf("node %s of %s signed two different messages for one place: its store was restored, or its key is in other hands", v.Name, t.Name),
				"tell the team: its officer has to replace the node's key")
		case f.Said > f.Held:
			add(Warn, fmt.Sprintf("%d messages of %s are missing: it said at %s that it has sent %d, and %d are held without a gap",
				f.Said-f.Held, t.Name, f.SaidAt.Format(time.RFC3339), f.Said, f.Held), "they are fetched as soon as somebody who has them is connected")
		case f.Beyond > f.Held:
			add(Warn, fmt.Sprintf("messages of %s are missing between %d and %d", t.Name, f.Held+1, f.Beyond), "they are fetched as soon as somebody who has them is connected")
		case f.Said > 0:
			add(OK, fmt.Sprintf("%s: all %d messages that it spoke of at %s are here", t.Name, f.Said, f.SaidAt.Format(time.RFC3339)), "")
		}
		if v.Connected {
			connected = true
			if v.Skew > time.Minute || v.Skew < -time.Minute {
				add(Warn, fmt.Sprintf("the clocks of %s and of this node differ by %s", t.Name, v.Skew.Abs().Round(time.Second)), "set the wrong one: messages from the future wait unseen")
			}
			continue
		}
		if !n.started.Load() {
			continue
		}
		why := v.LastErr
		if why == "" {
			why = "not tried yet"
		}
		add(Warn, fmt.Sprintf("node %s of %s is not connected: %s", v.Name, t.Name, why), reachHint(v))
	}
	if connected {
		add(OK, t.Name+" is connected", "")
	}
}

// agreementSoon is how long before its end doctor speaks of an agreement.
const agreementSoon = 90 * 24 * time.Hour

// examineExchange says what stands between this team and another in what they send to each other alone.
func (n *Node) examineExchange(team protocol.TeamID, s Status, add func(Level, string, string)) error {
	for _, o := range s.Outbox {
		if o.Team != team {
			continue
		}
		if waits := o.Waiting - o.Held - o.Withheld; waits > 0 {
			add(Warn, fmt.Sprintf("%d messages for %s are not known to have arrived, the oldest of %s", waits, o.TeamName, o.Oldest.Format(time.RFC3339)),
				"they are handed over as soon as a node of the team is connected")
		}
		if o.Withheld > 0 {
			add(Warn, fmt.Sprintf("%d messages for %s did not leave in time, and stay here: their agreement is not in effect any more", o.Withheld, o.TeamName),
				"they leave if the agreement is resumed; else send them anew by another way")
		}
		if o.Held > 0 {
			add(Warn, fmt.Sprintf("%d messages for %s arrived and are held back there", o.Held, o.TeamName), "entente receipts ID says by which rule")
		}
	}
	held := map[string]int{}
	if err := n.st.Held(func(m *store.Message) bool {
		if m.Statement.Author == team {
			held[n.view(m).Quarantined]++
		}
		return true
	}); err != nil {
		return err
	}
	gaps, err := n.pairGaps(team)
	if err != nil {
		return err
	}
	if gaps > 0 {
		add(Warn, fmt.Sprintf("%d messages that the team sent to this one alone are missing", gaps), "they are fetched as soon as a node of the team is connected")
	}
	for _, why := range slices.Sorted(maps.Keys(held)) {
		add(Warn, fmt.Sprintf("%d messages of the team are held back: %s", held[why], why), "they are shown as soon as that has changed")
	}
	for _, a := range n.Agreements() {
		if a.Partner != team {
			continue
		}
		left := time.Unix(int64(a.Until), 0).Sub(n.now())
		name := fmt.Sprintf("agreement %s with %s", a.ID.Short(), a.PartnerName)
		switch {
		case a.State == trust.Offered && !a.SignedBySelf:
			add(Warn, name+" was offered and waits for this team's signature", "read it with entente agree show, then entente agree sign")
		case a.State == trust.Offered:
			add(Warn, name+" is not in effect: "+a.Why, "")
		case a.State == trust.Suspended, a.State == trust.HeldState, a.State == trust.Waiting:
			add(Warn, fmt.Sprintf("%s is %s: %s", name, a.State, a.Why), "")
		case a.State == trust.Active && left < agreementSoon:
			add(Warn, fmt.Sprintf("%s ends in %d days", name, int(left.Hours()/24)), "renew it: entente agree renew")
		}
	}
	return nil
}

// pairGaps counts what is missing of what a team's nodes said to this team alone, by what is held and by their signed word.
func (n *Node) pairGaps(team protocol.TeamID) (uint64, error) {
	n.mu.RLock()
	nodes, channels := n.book.Nodes(team), n.channelsKnown.pairs[team]
	n.mu.RUnlock()
	missing := uint64(0)
	for _, info := range nodes {
		k := info.Node.Key.ID()
		said := map[protocol.FeedID]uint64{}
		_, h, err := n.st.Heads(k, n.team)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		if err == nil {
			for _, f := range h.Feeds {
				said[f.Feed] = f.Seq
			}
		}
		for _, c := range channels {
			f := protocol.FeedOf(k, c)
			ext, held, err := n.st.Extent(f)
			if err != nil {
				return 0, err
			}
			if !held {
				ext.Next = 1
			}
			missing += max(said[f]+1, ext.Next, ext.Max+1) - ext.Next
		}
	}
	return missing, nil
}

func reachHint(v NodeView) string {
	if len(v.Addrs) == 0 {
		return "it told no address: it has to connect to this node, or send a new introduction"
	}
	return fmt.Sprintf("its addresses are %v; ask whether it has added this team, and whether a firewall is between", v.Addrs)
}
