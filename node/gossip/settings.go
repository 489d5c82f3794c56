package gossip

import (
	"crypto/sha256"
	"log/slog"
	"runtime"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Figures not explained here come from the measurements that BenchmarkWorld repeats.
const (
	// The mesh only carries second copies. Below D 3 and Dlo 2 it can fall apart for seconds.
	meshSize, meshLow, meshHigh = 3, 2, 4

	// Ids are announced to three peers per second, or to this share of all. The library's quarter costs more than all
	// messages together where everyone is connected to everyone.
	announceShare, announceLeast = 0.02, 3

	// Telling neighbours not to send gains nothing for short messages: the copies are on their way already.
	idontwantFrom = 8 << 10

	// The library's queues of 32 drop without a word in a burst.
	outboundQueue = 512  // RPCs per peer
	validateQueue = 1024 // messages of all peers

	// Validate may wait for the disk, where waiting together is cheaper.
	leastWorkers = 8

	seenFor       = 10 * time.Minute
	maxRPC        = MaxMessage + 1<<10 // the frame around one message
	maxControl    = 64 << 10
	maxPerRPC     = 1024 // messages
	maxIdontwants = 100  // RPCs per second and peer
)

// Scores. No peer earns a positive score: with a few messages a minute there is nothing to tell the good from the best.
// Neither missing deliveries nor shared addresses cost anything: members are quiet and sit behind common routers.
const (
	outsiderScore  = -1e6
	invalidWeight  = -20 // times the square of the number of invalid messages
	breachWeight   = -10 // times the square of the breaches of protocol above the threshold
	breachFree     = 6
	noGossipBelow  = -100
	noFloodBelow   = -500
	noListenBelow  = -1000
	forgiveAfter   = 10 * time.Minute
	rememberFor    = time.Hour // the score of a peer that hangs up
	scoreEvery     = 10 * time.Second
	scoreZero      = 0.01
	exchangeNeeds  = 1 // more than anyone can have: addresses offered by peers are never dialled
	graftWhenBelow = 0 // never opportunistically
)

// protocols leaves out the versions without IDONTWANT, and floodsub, to which the library sends without any filter.
var protocols = []protocol.ID{pubsub.GossipSubID_v13, pubsub.GossipSubID_v12}

func options(g *gate, c *counters) []pubsub.Option {
	quiet := slog.New(slog.DiscardHandler) // the library logs message content
	return []pubsub.Option{
		pubsub.WithLogger(quiet),
		pubsub.WithRPCLogger(quiet),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithSeenMessagesTTL(seenFor),
		pubsub.WithGossipSubProtocols(protocols, pubsub.GossipSubDefaultFeatures),
		pubsub.WithGossipSubParams(params()),
		pubsub.WithPeerScore(scoring(g)),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerExchange(false),
		pubsub.WithPeerOutboundQueueSize(outboundQueue),
		pubsub.WithValidateQueueSize(validateQueue),
		pubsub.WithValidateWorkers(workers()),
		pubsub.WithMaxMessageSize(maxRPC),
		pubsub.WithMaxControlMessageSize(maxControl),
		pubsub.WithBlacklist(g),
		pubsub.WithSubscriptionFilter(g),
		pubsub.WithPeerFilter(func(p peer.ID, topic string) bool { return topic == Name && g.admits(p) }),
		pubsub.WithAppSpecificRpcInspector(g.inspect),
		pubsub.WithRawTracer(c),
	}
}

// workers is how many calls of Validate run at a time, at most.
func workers() int { return max(leastWorkers, runtime.NumCPU()) }

// messageID makes two copies of the same bytes one message, whoever sent them.
func messageID(m *pb.Message) string {
	sum := sha256.Sum256(m.GetData())
	return string(sum[:])
}

func params() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi = meshSize, meshLow, meshHigh
	p.Dscore, p.Dout = 2, 0
	p.GossipFactor, p.Dlazy = announceShare, announceLeast
	p.IDontWantMessageThreshold = idontwantFrom
	p.MaxIDontWantMessages = maxIdontwants
	return p
}

func scoring(g *gate) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	decay := pubsub.ScoreParameterDecayWithBase(forgiveAfter, scoreEvery, scoreZero)
	return &pubsub.PeerScoreParams{
			AppSpecificWeight: 1,
			AppSpecificScore: func(p peer.ID) float64 {
				if g.admits(p) {
					return 0
				}
				return outsiderScore
			},
			BehaviourPenaltyWeight:    breachWeight,
			BehaviourPenaltyThreshold: breachFree,
			BehaviourPenaltyDecay:     decay,
			DecayInterval:             scoreEvery,
			DecayToZero:               scoreZero,
			RetainScore:               rememberFor,
			SeenMsgTTL:                seenFor,
			Topics: map[string]*pubsub.TopicScoreParams{Name: {
				SkipAtomicValidation:           true,
				TopicWeight:                    1,
				TimeInMeshQuantum:              time.Second, // not used, but the library divides by it
				InvalidMessageDeliveriesWeight: invalidWeight,
				InvalidMessageDeliveriesDecay:  decay,
			}},
		}, &pubsub.PeerScoreThresholds{
			GossipThreshold:             noGossipBelow,
			PublishThreshold:            noFloodBelow,
			GraylistThreshold:           noListenBelow,
			AcceptPXThreshold:           exchangeNeeds,
			OpportunisticGraftThreshold: graftWhenBelow,
		}
}
