package ic

import (
	"maps"
	"slices"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Each pass of a rejection loop begins with the state that the network had at the first: passes are then independent draws of one distribution, and what comes
// after the loop knows of the accepted one alone (S. Naderiparizi, A. Ścibior, A. Munk, M. Ghadiri, A. G. Baydin, B. Gram-Hansen, C. Schroeder de Witt,
// R. Zinkov, P. Torr, T. Rainforth, Y. W. Teh and F. Wood, "Amortized rejection sampling in universal probabilistic programming", 2022).

// opened is a rejection loop that a run is in.
type opened struct {
	address uint32
	state   *pilot // at its first pass
}

// mark follows a tag, which may be a loop's; it is entry seen.
func (s *pilot) mark(address uint32) {
	switch start, end := tracing.Mark(ppx.Tag, s.table.Address(address).Base); {
	case start:
		k := slices.IndexFunc(s.open, func(o opened) bool { return o.address == address })
		if k < 0 {
			state := s.clone()
			s.open = append(s.open, opened{address, state})
			if s.loops == nil {
				s.loops = map[int]opened{}
			}
			s.loops[s.seen] = opened{address, state}
			return
		}
		s.open = s.open[:k+1]
		s.restore(s.open[k].state)
	case end && len(s.open) > 0:
		s.open = s.open[:len(s.open)-1]
	}
}

// clone is a pilot in the same state.
func (s *pilot) clone() *pilot {
	c := *s
	c.open, c.loops = slices.Clone(s.open), nil
	c.occ = s.occ.Clone()
	c.own()
	return &c
}

// own gives a copy memory of its own for what changes with the sites.
func (s *pilot) own() {
	s.numbers = slices.Clone(s.numbers)
	s.site.numbers, s.site.shape = s.numbers, slices.Clone(s.site.shape)
	s.shape, s.rows, s.x = slices.Clone(s.shape), nil, slices.Clone(s.x)
	s.tracker = s.tracker.clone()
	h, c := make([][]float32, len(s.h)), make([][]float32, len(s.c))
	for i := range h {
		h[i], c[i] = slices.Clone(s.h[i]), slices.Clone(s.c[i])
	}
	if s.h == nil {
		h, c = nil, nil
	}
	s.h, s.c = h, c
}

// restore goes back to a state, but for what has been seen since.
func (s *pilot) restore(to *pilot) {
	seen, occ, open, loops := s.seen, s.occ, s.open, s.loops
	*s = *to
	s.seen, s.occ, s.open, s.loops = seen, occ, open, loops
	s.own()
}

func (t *tracker) clone() *tracker {
	c := *t
	c.at, c.instances = slices.Clone(t.at), maps.Clone(t.instances)
	return &c
}

// Rewound is a pilot in the state of this one at the first pass of the rejection loop that begins at an entry; nil if the run has come to none there.
func (s *pilot) Rewound(entry int) control.Proposer {
	at, ok := s.loops[entry]
	if !ok {
		return nil
	}
	c := at.state.clone()
	c.seen = entry + 1
	c.open = append(c.open, at)
	return c
}
