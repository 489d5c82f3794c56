package nodetest

import (
	"os"
	"slices"
	"time"
)

// A Line is one direction of one stream of a team's node, as somebody sees it who holds both ends of the cable and has broken its
// encryption.
type Line struct {
	Protocol string
	Opened   bool // by the team
	Came     bool // to the team
	Data     []byte
}

// Lines returns what went over the streams of the team's node since so many of them were told of, and how many there are now.
func (t *Team) Lines(from int) (out []Line, to int) {
	t.tap.mu.Lock()
	defer t.tap.mu.Unlock()
	for i := from; i < len(t.tap.said); i++ { // both grow together
		for _, came := range []bool{false, true} {
			s := t.tap.said[i]
			if came {
				s = t.tap.read[i]
			}
			out = append(out, Line{string(s.proto), s.opened, came, slices.Clone(s.data)})
		}
	}
	return out, len(t.tap.said)
}

// Each tells several stories from one beginning: before each all nodes are stopped and started again, with the keys and the disks that
// they had, and their clocks as far ahead as they were.
func (w *World) Each(stories ...func()) {
	w.T.Helper()
	var up []*Team
	ahead := map[*Team]time.Duration{}
	whole := func(string) bool { return true }
	for _, t := range w.teams {
		if t.Node == nil {
			continue
		}
		up, ahead[t] = append(up, t), t.Ahead()
		t.Leaves()
		if err := copyDir(t.Home+".beginning", t.Home, whole); err != nil {
			w.T.Fatalf("%s: %v", t.Name, err)
		}
	}
	for i, story := range stories {
		for _, t := range up {
			if i > 0 {
				t.stop()
				err := os.RemoveAll(t.Home)
				if err == nil {
					err = copyDir(t.Home, t.Home+".beginning", whole)
				}
				if err != nil {
					w.T.Fatalf("%s: %v", t.Name, err)
				}
			}
		}
		for _, t := range up {
			t.SetClock(ahead[t])
			t.Returns()
		}
		w.Together(up...)
		story()
	}
}
