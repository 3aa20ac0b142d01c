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
// from the weights, exactly, as sums carry a rest; others have lost what tells traces apart, also where rounding has made them equal. Traces
// whose weight is nothing beside the others' do not matter, whatever they have lost: a wide prior has them as a matter of course.
type digits struct {
	large map[tracing.Key]*densities
}

// densities are the two contributions to weights at a key whose traces have the largest weights, among those that differ.
type densities struct {
	first, second density
	site          string // in words
}

// density is a contribution to weights, what it is made of, and the largest log weight that a trace with it may have.
type density struct {
	x    float64
	from []float64
	most float64
}

func (d *density) is(x float64, from []float64) bool { return d.x == x && slices.Equal(d.from, from) }

// add takes a trace with its log weight.
func (d *digits) add(t *tracing.Trace, lw float64) {
	for i := range t.Sites {
		if e := &t.Sites[i]; math.Abs(e.Contribution()) >= coarseLog {
			d.site(t, i, lw)
		}
	}
}

// ulps bounds the rounding of a log density, in units of its last place.
const ulps = 4

func (d *digits) site(t *tracing.Trace, i int, lw float64) {
	e := &t.Sites[i]
	from := t.Value(i).Data
	for _, p := range t.Dist(i).Params {
		from = append(from[:len(from):len(from)], p.Data...)
	}
	x := e.Contribution()
	size := math.Abs(x)
	most := lw + ulps*(math.Nextafter(size, math.Inf(1))-size)
	s := d.large[e.Key]
	if s == nil {
		if d.large == nil {
			d.large = map[tracing.Key]*densities{}
		}
		s = &densities{site: siteName(t, e), first: density{x, slices.Clone(from), most}, second: density{most: math.Inf(-1)}}
		d.large[e.Key] = s
		return
	}
	switch {
	case s.first.is(x, from):
		s.first.most = math.Max(s.first.most, most)
	case most > s.second.most:
		s.second = density{x, slices.Clone(from), most}
	}
	if s.second.most > s.first.most {
		s.first, s.second = s.second, s.first
	}
}

// negligible is how far below the largest log weight, in nats, one is nothing.
const negligible = 800

// lost names the sites where traces that matter have densities that differ by what is rounded away; max is the largest log weight.
func (d *digits) lost(max float64) (sites []string) {
	for _, s := range d.large {
		if s.second.most >= max-negligible {
			sites = append(sites, s.site)
		}
	}
	slices.Sort(sites)
	return sites[:min(len(sites), noted)]
}
