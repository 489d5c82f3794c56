package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/node/direct"
	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/node/roomsync"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// A Node is one team's server. It is safe for concurrent use.
type Node struct {
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	ring *keyring.Ring
	st   *store.Store
	team protocol.TeamID
	kid  protocol.KID
	peer peer.ID

	mu   sync.RWMutex
	book *trust.Book // guarded by mu
	// unsaved are records in book that the disk did not take yet.
	unsaved []*protocol.Envelope // guarded by mu
	// unkept are records of agreements in book that the disk did not take yet.
	unkept []*protocol.Envelope // guarded by mu
	// admitted says of which team the nodes are that may connect. It is remade on every change of book.
	admitted map[peer.ID]admission           // guarded by mu
	states   map[protocol.TeamID]trust.State // guarded by mu; remade with admitted, and every minute
	// channelsKnown is remade with admitted as well.
	channelsKnown channelTable                // guarded by mu
	over          map[protocol.Hash]time.Time // guarded by mu; when an agreement was first seen to be over
	sealedAgain   map[string]sealing          // guarded by mu; for a team and a statement, the keys to which it was sealed once more

	extents extentCache
	anchors anchors
	said    *pace   // of each node: what it said about itself lately
	closed  *pace   // of each team: that this node could not open what it sent
	granted *pace   // of each node and epoch: that it was granted
	handed  *pace   // of each neighbour: identity records that it passed on
	trouble trouble // why nothing new is stored, if so
	// blobTrouble is why what travels apart from its message is not stored, if so.
	blobTrouble trouble

	breakOnce sync.Once
	broken    chan struct{} // closed when the store takes nothing more until it is opened anew
	signer    signer
	audit     *audit.Log
	// auditDoubt says what was wrong with the log at the start; set by Open alone.
	auditDoubt string
	events     broadcast // a message was accepted, completed or superseded
	dirty      broadcast // the index has work
	// caughtAt is when catching up last brought entries, in Unix nanoseconds: the index yields to it.
	caughtAt atomic.Int64

	host       host.Host
	topic      *gossip.Topic
	engine     *catchup.Engine
	courier    *direct.Courier
	circle     *roomsync.Engine
	rooms      roomTable
	metAt      broadcast  // this node has all that another has of a room
	making     sync.Mutex // held from keeping the identity of an epoch to keeping its record
	intake     chan arrival
	tell       announcement  // our heads for the community are to be told
	tellOthers announcement  // those for single teams and rooms are
	owing      atomic.Bool   // receipts are still to be given
	owed       chan struct{} // receipts are to be given
	unopened   chan struct{} // something is to be sealed again
	receiptMu  sync.Mutex    // held while the mark of receipts is moved
	judged     chan struct{} // what is held back is to be judged anew
	knowing    sync.RWMutex  // held for reading from a decision on a message to its commit, for writing while what was agreed changes
	judging    sync.Mutex    // held by rejudge
	pairs      pairWords
	clock      clockWatch
	recipients recipientCache
	retelling  turn // held by tellAgreements
	peers      peerTable

	started   atomic.Bool // Start was called
	joined    atomic.Bool // Start succeeded: host, topic and engine are there
	startedAt time.Time
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	ending    sync.Mutex
	ended     bool // guarded by ending; Close has begun
	progress  progress
}

// Open opens the home of a team. It listens nowhere until Start. The caller closes the node, which closes the store; the
// ring stays the caller's.
func Open(cfg Config, ring *keyring.Ring) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.DailyQuota == 0 {
		cfg.DailyQuota = DefaultDailyQuota
	}
	st, err := openStore(cfg, ring)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Log, now: cfg.Now, ring: ring, st: st, intake: make(chan arrival, 4096), tell: newAnnouncement(), tellOthers: newAnnouncement(), broken: make(chan struct{}),
		owed: make(chan struct{}, 1), judged: make(chan struct{}, 1), retelling: make(turn, 1), unopened: make(chan struct{}, 1), sealedAgain: map[string]sealing{}, closed: newPace(closedBurst, closedRefill),
		granted: newPace(grantBurst, grantRefill),
		said:    newPace(saidBurst, saidRefill), handed: newPace(handedBurst, handedRefill)}
	n.peers.wake = make(chan struct{}, 1)
	err = n.openAudit()
	if err == nil {
		err = n.checkAudit()
	}
	if err == nil {
		err = n.load()
	}
	if err != nil {
		return nil, errors.Join(err, n.closeAudit(), st.Close())
	}
	return n, nil
}

func openStore(cfg Config, ring *keyring.Ring) (*store.Store, error) {
	st, err := store.Open(filepath.Join(cfg.Home, "store"), storeKeys{ring}, store.Options{
		MaxBytes: uint64(cfg.StoreCap), DailyQuota: uint64(cfg.DailyQuota), Now: cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return st, nil
}

// load rebuilds what is held in memory: who this node is and what its team knows of others. Its work grows with the number
// of teams, not of messages.
func (n *Node) load() error {
	n.team = n.cfg.Team
	_, id, err := transportKey(n.ring.TransportSeed())
	if err != nil {
		return err
	}
	n.peer, n.kid = id, n.ring.NodeKey().Public().ID()
	n.book = trust.NewBook(n.team)
	if err := n.loadBook(); err != nil {
		return err
	}
	if err := n.promote(); err != nil {
		return err
	}
	if err := n.loadAgreements(); err != nil {
		return err
	}
	if err := n.loadRooms(); err != nil {
		return err
	}
	if err := os.RemoveAll(outDir(n.cfg.Home)); err != nil { // what a crash left of documents that were being sealed
		return err
	}
	n.refreshAdmitted()
	held, err := n.st.Extents()
	if err != nil {
		return err
	}
	for _, e := range held {
		n.extents.put(e)
	}
	return n.signer.open(n)
}

// Start joins the network. It returns once the node accepts connections; everything it starts ends with Close.
func (n *Node) Start(ctx context.Context) error {
	if n.cfg.Offline {
		return errors.New("this node was opened without a network")
	}
	if !n.started.CompareAndSwap(false, true) {
		return errors.New("the node was started already")
	}
	ctx, n.cancel = context.WithCancel(ctx)
	key, _, err := transportKey(n.ring.TransportSeed())
	if err != nil {
		return err
	}
	n.startedAt = n.now()
	if n.host, err = n.makeHost(key); err != nil {
		return err
	}
	if err := n.joinNetwork(ctx); err != nil {
		return errors.Join(err, n.host.Close())
	}
	for _, loop := range []func(context.Context){n.ingestLoop, n.indexLoop, n.dialLoop, n.upkeepLoop, n.receiptLoop, n.judgeLoop, n.sealLoop, n.roomLoop, n.engine.Run} {
		n.wg.Go(func() { loop(ctx) })
	}
	n.joined.Store(true)
	n.owe()
	n.judge()
	n.sealWaiting()
	n.spawn(func() {
		if err := n.tellRecipient(ctx); err != nil {
			n.log.Warn("telling of this node's key for what is sealed to it", "err", err)
		}
		n.retell(ctx)
		if err := n.openAllClosed(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("opening what waited for keys of rooms", "err", err)
		}
	})
	return nil
}

// spawn runs f in a goroutine that Close waits for; after Close began, not at all.
func (n *Node) spawn(f func()) {
	n.ending.Lock()
	defer n.ending.Unlock()
	if !n.ended {
		n.wg.Go(f)
	}
}

func (n *Node) makeHost(key crypto.PrivKey) (host.Host, error) {
	g := &gater{admit: n.admits}
	if n.cfg.NewHost != nil {
		return n.cfg.NewHost(key, g)
	}
	listen := n.cfg.Listen
	if len(listen) == 0 {
		listen = DefaultListen()
	}
	return newHost(key, listen, g)
}

// Close leaves the network and closes the store. Messages accepted before it are kept.
func (n *Node) Close() error {
	var errs []error
	if n.cancel != nil {
		n.cancel()
	}
	if n.topic != nil {
		n.topic.Close()
	}
	if n.courier != nil {
		errs = append(errs, n.courier.Close())
	}
	if n.circle != nil {
		errs = append(errs, n.circle.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	n.ending.Lock()
	n.ended = true
	n.ending.Unlock()
	n.wg.Wait()
	errs = append(errs, n.signer.close(), n.closeAudit(), n.st.Close())
	return errors.Join(errs...)
}

// Broken returns a channel that is closed when the store takes nothing in any more until it is opened anew, as after damage
// to its files or a full disk in the middle of a write. The program then ends, and whoever manages it starts it again:
// opening mends what can be mended, and the rest is fetched from peers.
func (n *Node) Broken() <-chan struct{} { return n.broken }

// TeamID returns the id of the node's own team.
func (n *Node) TeamID() protocol.TeamID { return n.team }

// A broadcast wakes everybody who waits for the next event.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // guarded by mu; closed by notify
}

// wait returns a channel that is closed at the next notify.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// A turn is held by one at a time, and also across waiting for the network, as a mutex must not be: who wants it can give up.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) leave() { <-t }
