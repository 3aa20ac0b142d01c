package posterior

import (
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// coarseLog is the size from which on neighbouring doubles are more than 1e-3 apart: the digits that weights need are not in a single
// log density of that size.
const coarseLog = 1 << 43

// digits watches log densities that are too large for their digits. One of the same value under the same distribution in all traces cancels
// from the weights, exactly, as sums carry a rest; others have lost what tells traces apart, also where rounding has made them equal.
type digits struct {
	large map[tracing.Key]density
	lost  []string // the sites, in words
}

// density is a contribution to weights, and what it is made of.
type density struct {
	x    float64
	from []float64
}

func (d *digits) add(t *tracing.Trace) {
	for i := range t.Entries {
		e := &t.Entries[i]
		x := e.Contribution()
		if math.Abs(x) < coarseLog {
			continue
		}
		from := t.Value(i).Data
		for _, p := range t.Dist(i).Params {
			from = append(from[:len(from):len(from)], p.Data...)
		}
		first, ok := d.large[e.Key]
		switch {
		case !ok:
			if d.large == nil {
				d.large = map[tracing.Key]density{}
			}
			d.large[e.Key] = density{x, slices.Clone(from)}
		case first.x != x || !slices.Equal(first.from, from):
			d.lost = note(d.lost, siteName(t, e))
		}
	}
}
