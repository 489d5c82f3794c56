package direct

import "time"

// mostLoss is how long word of a loss waits for a queue to drain.
const mostLoss = 20 * time.Second

// A queue is the records that wait for one peer, and whether any were lost.
type queue struct {
	urgent, normal [][]byte
	size           int

	firstLoss, lastLoss time.Time // since the peer was last told; zero: nothing was lost
}

func (q *queue) len() int { return len(q.urgent) + len(q.normal) }

// add adds a record.
func (q *queue) add(raw []byte, urgent bool) {
	if urgent {
		q.urgent = append(q.urgent, raw)
	} else {
		q.normal = append(q.normal, raw)
	}
	q.size += len(raw)
}

// dropNewest drops the newest record that is not urgent, and reports whether there was one.
func (q *queue) dropNewest() bool {
	n := len(q.normal)
	if n == 0 {
		return false
	}
	q.size -= len(q.normal[n-1])
	q.normal[n-1] = nil
	q.normal = q.normal[:n-1]
	return true
}

// clear drops all records.
func (q *queue) clear() {
	q.urgent, q.normal, q.size = nil, nil, 0
}

// take takes the records of one frame out of the queue, the urgent ones first.
func (q *queue) take() [][]byte {
	var out [][]byte
	size := 0
	for _, from := range []*[][]byte{&q.urgent, &q.normal} {
		n := 0
		for ; n < len(*from) && len(out) < MaxBatch && size < BatchBytes; n++ {
			raw := (*from)[n]
			(*from)[n] = nil // so that the queue's memory does not keep it
			out = append(out, raw)
			size += len(raw)
		}
		if *from = (*from)[n:]; len(*from) == 0 {
			*from = nil
		}
	}
	q.size -= size
	return out
}

// lose notes that something for the peer was lost, or may be.
func (q *queue) lose(now time.Time) {
	if q.firstLoss.IsZero() {
		q.firstLoss = now
	}
	q.lastLoss = now
}

func (q *queue) lost() bool { return !q.firstLoss.IsZero() }

// due returns when there is something to send: a record at once, word of a loss when the queue has drained and the loss has
// settled. ok is false if there is nothing.
func (q *queue) due(now time.Time, settle time.Duration) (at time.Time, ok bool) {
	switch {
	case q.len() > 0:
		return now, true
	case q.lost():
		return q.lastLoss.Add(settle), true
	}
	return time.Time{}, false
}

// next takes what the next frame carries out of the queue, nil if nothing is due.
func (q *queue) next(now time.Time, settle time.Duration) *load {
	l := &load{Records: q.take()}
	if q.lost() && (q.len() == 0 && !now.Before(q.lastLoss.Add(settle)) || now.Sub(q.firstLoss) > mostLoss) {
		l.Behind = true
		q.firstLoss, q.lastLoss = time.Time{}, time.Time{}
	}
	if len(l.Records) == 0 && !l.Behind {
		return nil
	}
	return l
}
