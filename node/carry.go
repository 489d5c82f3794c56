package node

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/node/roomsync"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// A bundle for carrying by hand is what this node would serve one team, in one file that only nodes of that team open: an age
// file around a tar stream of records, parcels, heads and blobs. Nothing in it is believed for being in it: import verifies
// each entry as if a peer of the network had handed it over.
const (
	carryRecords = "records/" // a protocol.Bundle of one team's identity records
	carryParcels = "parcels/" // one parcel
	carryHeads   = "heads/"   // signed heads
	carryBlobs   = "blobs/"   // the bytes of a blob
	carryRooms   = "rooms/"   // one record of a room that the team shares with this one, the first charter first
	carryGrants  = "grants/"  // the identity of an epoch of the room, for one node of the team
)

// carryLimits are the greatest entries of each kind, in bytes. Blobs are streamed.
var carryLimits = map[string]int64{carryRecords: protocol.MaxBundle, carryParcels: protocol.MaxParcel, carryHeads: protocol.MaxRecord,
	carryRooms: protocol.MaxRecord, carryGrants: protocol.MaxRecord}

// A CarryReport counts what a bundle held, and at import what of it was new.
type CarryReport struct {
	Team     protocol.TeamID // whom it is for, or from at import
	TeamName string
	Records  int
	Parcels  int
	Blobs    int
	Bytes    int64
	New      int // parcels taken in
	Waiting  int // parcels that wait for something, such as an agreement or the keys of their author
	Refused  int // entries that prove the bundle wrong
}

// ExportBundle writes what a team may have to w, sealed to its nodes: what arrived here since the time, and everything that this
// team said to it alone.
func (n *Node) ExportBundle(ctx context.Context, team string, since time.Time, w io.Writer) (CarryReport, error) {
	n.mu.RLock()
	t, err := n.book.Find(team, n.now())
	var to []seal.Recipient
	if err == nil {
		for _, r := range n.book.RecipientsOf(t.ID) {
			var key seal.Recipient
			if key, err = seal.ParseRecipient(r.Recipient); err != nil {
				break
			}
			to = append(to, key)
		}
	}
	n.mu.RUnlock()
	r := CarryReport{Team: t.ID, TeamName: t.Name}
	switch {
	case err != nil:
		return r, err
	case t.ID == n.team:
		return r, errors.New("a bundle is for another team; for this one, make a backup")
	case len(to) == 0:
		return r, &RefusedError{Rule: "no-recipient", Reason: t.Name + " names no key of a node to which this could be sealed"}
	case !n.mayHave(t.ID, protocol.Channel{}):
		return r, &RefusedError{Rule: "peer-" + t.State.String(), Reason: fmt.Sprintf("%s is %s: it gets nothing", t.Name, t.State)}
	}
	count := &countingWriter{w: w}
	sealed, err := seal.Seal(count, to...)
	if err != nil {
		return r, err
	}
	c := &carrier{n: n, tw: tar.NewWriter(sealed), team: t.ID, report: &r}
	if err := c.all(ctx, since); err != nil {
		return r, err
	}
	if err := errors.Join(c.tw.Close(), sealed.Close()); err != nil {
		return r, err
	}
	r.Bytes = count.n
	return r, nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// A carrier writes one bundle.
type carrier struct {
	n      *Node
	tw     *tar.Writer
	team   protocol.TeamID
	report *CarryReport
	blobs  map[protocol.Hash]bool
}

func (c *carrier) put(name string, b []byte) error {
	if err := c.tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := c.tw.Write(b)
	return err
}

func (c *carrier) all(ctx context.Context, since time.Time) error {
	n := c.n
	n.mu.RLock()
	var teams []protocol.TeamID
	for _, t := range n.book.Teams(n.now()) {
		if n.book.Shareable(t.ID, n.now()) {
			teams = append(teams, t.ID)
		}
	}
	n.mu.RUnlock()
	for _, t := range teams {
		b, err := n.bundle(t)
		if err != nil {
			return err
		}
		if err := c.put(carryRecords+t.String(), b.Encode()); err != nil {
			return err
		}
		c.report.Records += len(b.Records)
	}
	if err := c.heads(); err != nil { // first, since they say whose bundle it is
		return err
	}
	if err := c.rooms(); err != nil {
		return err
	}
	from := map[protocol.FeedID]uint64{} // of community feeds, the first entry that came since
	if !since.IsZero() {
		if err := n.st.Inbox(store.Query{Since: since}, func(m *store.Message) bool {
			if _, ok := from[m.Feed]; !ok {
				from[m.Feed] = m.Seq
			}
			return true
		}); err != nil {
			return err
		}
	}
	exts, err := n.st.Extents()
	if err != nil {
		return err
	}
	c.blobs = map[protocol.Hash]bool{}
	// What carries an agreement comes before what was sent under it.
	rank := func(e store.Extent) int {
		of, _ := n.feed(e.Feed)
		switch {
		case of.channel.IsCommunity():
			return 0
		case of.channel.Agreement().IsZero() && of.channel.Room().IsZero():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(exts, func(a, b store.Extent) int { return rank(a) - rank(b) })
	for _, e := range exts {
		of, ok := n.feed(e.Feed)
		if !ok || !n.mayHave(c.team, of.channel) || !of.channel.IsCommunity() && of.channel.Room().IsZero() && of.team != n.team {
			continue
		}
		first := e.First
		if of.channel.IsCommunity() && !since.IsZero() {
			if first, ok = from[e.Feed]; !ok {
				continue
			}
		}
		if err := c.feed(ctx, e, first); err != nil {
			return err
		}
	}
	for hash := range c.blobs {
		if err := c.blob(hash); err != nil {
			return err
		}
	}
	return nil
}

// heads writes this node's word on its feeds for the community and for the team.
func (c *carrier) heads() error {
	for _, to := range []protocol.TeamID{c.team, {}} {
		if h, err := c.n.ownHeads(to); err != nil {
			return err
		} else if h != nil {
			if err := c.put(carryHeads+c.n.kid.String(), h); err != nil {
				return err
			}
		}
	}
	return nil
}

// rooms writes what the team may have of each room: records, and the keys that its nodes may have and this node has.
func (c *carrier) rooms() error {
	n := c.n
	n.mu.RLock()
	var ids []protocol.Hash
	wanted := map[protocol.Hash]map[trust.NodeSealTo][]protocol.Hash{}
	n.withRooms(func(rs *trust.Rooms) {
		ids = rs.SharedRooms(c.team, n.now())
		for _, id := range ids {
			wanted[id] = map[trust.NodeSealTo][]protocol.Hash{}
			for _, to := range n.book.RecipientsOf(c.team) {
				wanted[id][to] = rs.Grantable(id, to.Node, n.now())
			}
		}
	})
	sets := map[protocol.Hash]*roomSet{}
	for _, id := range ids {
		sets[id] = n.roomSet(id, c.team)
	}
	n.mu.RUnlock()
	for _, id := range ids {
		rs := slices.Clone(sets[id].records)
		slices.SortStableFunc(rs, func(a, b roomsync.Record) int {
			switch id {
			case a.ID:
				return -1
			case b.ID:
				return 1
			}
			return 0
		})
		for i, r := range rs {
			if err := c.put(fmt.Sprintf("%s%s-%d", carryRooms, id, i), r.Raw); err != nil {
				return err
			}
			c.report.Records++
		}
		for to, epochs := range wanted[id] {
			gs, err := n.grants(c.team, to, id, epochs)
			if err != nil {
				return err
			}
			for i, g := range gs {
				if err := c.put(fmt.Sprintf("%s%s-%s-%d", carryGrants, id, to.Node, i), g); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *carrier) feed(ctx context.Context, e store.Extent, first uint64) error {
	var failed error
	err := (exchange{c.n}).Range(e.Feed, first, e.Max+1, false, func(raw []byte) bool {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
		if err != nil {
			return true // damaged here: not ours to hand on
		}
		p, err := protocol.Decode[protocol.Parcel](env)
		if err != nil {
			return true
		}
		if p.Blob != nil {
			c.blobs[p.Blob.Hash] = true
		}
		c.report.Parcels++
		failed = errors.Join(c.put(fmt.Sprintf("%s%s-%d", carryParcels, e.Feed.Short(), p.Seq), raw), ctx.Err())
		return failed == nil
	})
	return errors.Join(err, failed)
}

func (c *carrier) blob(hash protocol.Hash) error {
	_, size, whole, err := c.n.st.BlobHave(hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && !whole {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := c.n.st.OpenBlob(hash)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := c.tw.WriteHeader(&tar.Header{Name: carryBlobs + hash.String(), Mode: 0o600, Size: int64(size), Format: tar.FormatPAX}); err != nil {
		return err
	}
	c.report.Blobs++
	_, err = io.Copy(c.tw, r)
	return err
}

// ImportBundle takes in what another team's export wrote for this one. What is wrong in it is counted and left out.
func (n *Node) ImportBundle(ctx context.Context, r io.Reader) (CarryReport, error) {
	var report CarryReport
	plain, err := n.ring.Unseal(r)
	switch {
	case errors.Is(err, seal.ErrNotRecipient):
		return report, &RefusedError{Rule: "bundle", Reason: "it is sealed to another team, or to a key that this node had long ago",
			Hint: "ask for a new one, made after your introduction reached the other team"}
	case err != nil:
		return report, &RefusedError{Rule: "bundle", Reason: "it is not a whole bundle: " + err.Error(), Err: err}
	}
	tr := tar.NewReader(plain)
	var batch [][]byte
	var room carriedRoom
	flush := func() error {
		err := errors.Join(n.importRoom(ctx, &room, &report), n.importParcels(ctx, batch, &report))
		batch = batch[:0]
		return err
	}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return report, errors.Join(flush(), &RefusedError{Rule: "bundle", Reason: "it ends too early, or was changed; what came before was taken in", Err: err})
		}
		dir, name := path.Split(h.Name)
		if dir == carryBlobs {
			if err := flush(); err != nil {
				return report, err
			}
			if err := n.importBlob(name, h.Size, tr, &report); err != nil {
				return report, err
			}
			continue
		}
		if h.Size > carryLimits[dir] {
			report.Refused++
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			return report, errors.Join(flush(), &RefusedError{Rule: "bundle", Reason: "it ends too early, or was changed; what came before was taken in", Err: err})
		}
		report.Bytes += int64(len(b))
		switch dir {
		case carryRecords:
			n.importRecords(ctx, b, &report)
		case carryParcels:
			if batch = append(batch, b); len(batch) == 256 {
				if err := flush(); err != nil {
					return report, err
				}
			}
		case carryHeads:
			n.importHeads(b, &report)
		case carryRooms, carryGrants:
			id, _, _ := strings.Cut(name, "-")
			if id != room.id || room.size > maxCarriedRoom {
				if err := flush(); err != nil {
					return report, err
				}
				room.id = id
			}
			room.add(dir == carryGrants, b)
		default:
			report.Refused++
		}
	}
	return report, flush()
}

// A carriedRoom is what a bundle holds of one room.
type carriedRoom struct {
	id              string
	records, grants [][]byte
	size            int
}

// maxCarriedRoom bounds the bytes of a room that are in memory before they are taken in.
const maxCarriedRoom = 16 << 20

func (r *carriedRoom) add(grant bool, b []byte) {
	if r.size += len(b); grant {
		r.grants = append(r.grants, b)
	} else {
		r.records = append(r.records, b)
	}
}

// byHand stands for the team from which records of rooms came in a bundle: nobody, since each speaks for itself.
var byHand = protocol.Sum("entente/v1/by hand")

func (n *Node) importRoom(ctx context.Context, r *carriedRoom, report *CarryReport) error {
	all := *r
	*r = carriedRoom{}
	if all.size == 0 {
		return nil
	}
	id, err := protocol.ParseHash(all.id)
	if err != nil {
		report.Refused += len(all.records) + len(all.grants)
		return nil
	}
	err = n.takeRoom(byHand, "", id, all.records)
	if err == nil {
		err = n.takeGrants(ctx, id, all.grants)
	}
	switch {
	case errors.Is(err, roomsync.ErrRefused):
		report.Refused++
	case err != nil:
		return err
	default:
		report.Records += len(all.records)
	}
	return nil
}

func (n *Node) importRecords(ctx context.Context, b []byte, report *CarryReport) {
	bundle, err := protocol.DecodeBundle(b)
	if err == nil {
		err = (exchange{n}).AddRecords(ctx, "", bundle)
	}
	if err != nil {
		report.Refused++
		return
	}
	report.Records += len(bundle.Records)
}

// importHeads takes the author's word on its feeds, which also says whose bundle it is.
func (n *Node) importHeads(b []byte, report *CarryReport) {
	env, err := protocol.DecodeEnvelope(b, protocol.MaxRecord)
	if err != nil {
		report.Refused++
		return
	}
	if h, err := protocol.Decode[protocol.Heads](env); err != nil || !h.For.IsZero() && h.For != n.team {
		report.Refused++
		return
	}
	h, _, err := n.takeHeads(env)
	if blames(err) {
		report.Refused++
		return
	}
	if h != nil && h.For == n.team {
		n.mu.RLock()
		t, _ := n.book.Team(h.Team, n.now())
		n.mu.RUnlock()
		report.Team, report.TeamName = t.ID, t.Name
	}
}

func (n *Node) importParcels(ctx context.Context, raws [][]byte, report *CarryReport) error {
	var ins []incoming
	for _, raw := range raws {
		report.Parcels++
		in, err := n.openParcel(raw, "carried")
		switch {
		case errors.Is(err, errHeld):
		case errors.Is(err, errNotOurs):
			report.Waiting++
		case errors.Is(err, errKeeping):
			return err
		case err != nil:
			report.Refused++
		default:
			ins = append(ins, in)
		}
	}
	if len(ins) == 0 {
		return nil
	}
	out, err := n.admit(ctx, ins)
	if err != nil {
		return err
	}
	for _, o := range out {
		switch {
		case errors.Is(o.Err, store.ErrFull), errors.Is(o.Err, store.ErrClosed), errors.Is(o.Err, store.ErrBroken):
			return o.Err
		case o.Err != nil:
			report.Waiting++
		case o.Verdict == trust.Accept || o.Verdict == trust.Replace:
			report.New++
		case o.Verdict == trust.Refuse:
			report.Refused++
		}
	}
	return nil
}

func (n *Node) importBlob(name string, size int64, r io.Reader, report *CarryReport) error {
	hash, err := protocol.ParseHash(name)
	if err != nil || size <= 0 || size > protocol.MaxBlob {
		report.Refused++
		return nil
	}
	have, want, whole, err := n.st.BlobHave(hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && (whole || want != uint64(size)) {
		return nil // no message that was taken in names it
	}
	if err != nil {
		return err
	}
	w, err := (exchange{n}).BlobWriter(protocol.BlobRef{Size: uint64(size), Hash: hash})
	if errors.Is(err, store.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, r, int64(have)); err != nil {
		return errors.Join(err, w.Close())
	}
	if _, err := io.Copy(w, r); err != nil {
		return errors.Join(err, w.Close())
	}
	report.Bytes += size
	if err := w.Commit(); errors.Is(err, catchup.ErrWrongBlob) {
		report.Refused++
		return nil
	} else if err != nil {
		return err
	}
	report.Blobs++
	return nil
}
