package control

import "time"

// Limits of the control socket. All clients are the node's own user or root, so these bound accidents, not attacks.
const (
	maxConns    = 256      // connections
	maxRequests = 64       // requests at work, watches not counted
	maxWatches  = 64       // watches
	maxHeader   = 64 << 10 // bytes of a header, the query included: 64 persons may be named in one
	maxJSON     = 4 << 20  // bytes of a request of JSON
	maxAnswer   = 16 << 20 // bytes of one JSON value in an answer

	headerTimeout = 5 * time.Second  // for a request's header
	stallTimeout  = 30 * time.Second // for the other end to give or take the next bytes
	idleTimeout   = 2 * time.Minute  // between two requests on one connection
)

const (
	typeJSON      = "application/json"
	typeLines     = "application/x-ndjson"
	typeBytes     = "application/octet-stream"
	errorTrailer  = "Entente-Error"
	reportTrailer = "Entente-Report"
)
