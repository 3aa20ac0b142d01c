package ic

import (
	"fmt"
	"math"

	"github.com/ppx-engine/ppx-engine/ic/head"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Example is what a network learns from: a trace's observables, and its controlled Samples.
type Example struct {
	Draw    uint64
	Weight  float64 // of its loss: below or above 1 under prior inflation
	inputs  [][]float32
	latents []latent
}

// Len is the number of controlled Samples.
func (e *Example) Len() int { return len(e.latents) }

// Lines is how many lines of a minibatch's matrices it takes: one for each element of its controlled Samples.
func (e *Example) Lines() (n int) {
	for i := range e.latents {
		n += max(1, e.latents[i].site.elements)
	}
	return n
}

// Bytes is about how much memory it takes.
func (e *Example) Bytes() int {
	n := 100
	for _, x := range e.inputs {
		n += 4*len(x) + 24
	}
	for i := range e.latents {
		v := &e.latents[i]
		n += 104 + 4*len(v.features) + 8*len(v.site.numbers)
	}
	return n
}

// latent is a controlled Sample as the network meets it.
type latent struct {
	address  *Address
	features []float32 // all but the first two, which need the address's statistics
	site     site
}

// site is a Sample's prior, element by element, and its value.
type site struct {
	kind     dist.Kind
	elements int
	row      int // numbers of a parameter that is a row, for each element
	args     int // parameters that are numbers
	shape    []int32
	coarse   bool      // answered by the prior, whatever the network says (dist.Coarse): nothing is to be learned
	numbers  []float64 // rows of all elements, then each parameter of all elements, then the values
}

// prior is the prior of element i.
func (s *site) prior(i int) head.Prior {
	p := head.Prior{Kind: s.kind}
	if s.row > 0 {
		p.Row = s.numbers[i*s.row : (i+1)*s.row]
		return p
	}
	for k := range s.args {
		p.Args[k] = s.numbers[k*s.elements+i]
	}
	return p
}

// priors is how many numbers the priors take.
func (s *site) priors() int { return s.elements * (s.row + s.args) }

func (s *site) values() []float64 { return s.numbers[s.priors():] }

// newSite copies a distribution and, unless it is nil, a value.
func newSite(d *ppx.Dist, shape []int32, n int, value []float64, room []float64) site {
	s := site{kind: d.Kind, elements: n, shape: shape, numbers: room[:0]}
	if s.row = d.RowSize(); s.row > 0 {
		for _, p := range d.Params {
			for len(s.numbers) < n*s.row {
				s.numbers = append(s.numbers, p.Data...) // one row for all, or as many as elements
			}
		}
		s.numbers = s.numbers[:n*s.row]
	} else {
		s.args = len(d.Params)
		for i := range d.Params {
			s.numbers = append(s.numbers, dist.Expand(nil, d.Params[i], shape, n)...)
		}
	}
	s.numbers = append(s.numbers, value...)
	return s
}

// The features of a visit: its prior, its place in the run, and the observations that come next.
const (
	priorFeatures  = 2 + maxProbs // location and log scale; a Categorical's probabilities
	countFeatures  = 9            // logarithm, sines and cosines
	sinceFeatures  = 3
	seriesFeatures = 5
	maxProbs       = 8
	maxSeries      = 8
)

// tracker follows a run: how far each sequence of observations has come.
type tracker struct {
	c         *collector
	series    []int // observables that are sequences
	at        []int // by observable: the next slot
	step      int   // controlled Samples so far
	since     int   // of them, since the last observation of a sequence
	instances map[*Address]int
}

func (c *collector) tracker() *tracker {
	t := &tracker{c: c, at: make([]int, len(c.observables)), instances: map[*Address]int{}}
	for i, o := range c.observables {
		if o.series() && len(t.series) < maxSeries {
			t.series = append(t.series, i)
		}
	}
	return t
}

func (c *collector) features() int {
	n := 0
	for _, o := range c.observables {
		if o.series() {
			n++
		}
	}
	return priorFeatures + 2*countFeatures + sinceFeatures + seriesFeatures*min(n, maxSeries)
}

func (t *tracker) observed(observable, slot int) {
	t.at[observable] = slot + 1
	if t.c.observables[observable].series() {
		t.since = 0
	}
}

// count writes a number from 1 as features: its logarithm, and where it stands in periods of different lengths.
func count(n int, out []float32) {
	out[0] = float32(math.Log(float64(n)) / 3)
	for i, period := range []float64{4, 16, 64, 512} {
		s, c := math.Sincos(2 * math.Pi * float64(n) / period)
		out[1+2*i], out[2+2*i] = float32(s), float32(c)
	}
}

// visit writes the features of a controlled Sample to out, and goes on. next gives the value of a slot of an
// observable, nil where there is none.
func (t *tracker) visit(p *Address, s *site, next func(observable, slot int) []float64, out []float32) {
	clear(out)
	t.instances[p]++
	t.step++
	prior := head.Prior{Kind: dist.Normal, Args: [dist.MaxArgs]float64{0, 1}}
	if s.elements > 0 {
		prior = s.prior(0)
	}
	if s.row > 0 && s.elements > 0 {
		total := 0.0
		for _, q := range prior.Row {
			total += q
		}
		for i := range min(maxProbs, len(prior.Row)) {
			out[2+i] = float32(2 * (prior.Row[i]/total - 1/float64(len(prior.Row))))
		}
	}
	f := out[priorFeatures:]
	count(t.instances[p], f)
	count(t.step, f[countFeatures:])
	f = f[2*countFeatures:]
	for i, scale := range []float64{8, 64, 512} {
		f[i] = float32(math.Tanh(float64(t.since) / scale))
	}
	t.since++
	f = f[sinceFeatures:]
	location, scale := head.Summary(&prior)
	for i, k := range t.series {
		o := t.c.observables[k]
		g := f[seriesFeatures*i:]
		for ahead := range 2 {
			v := next(k, t.at[k]+ahead)
			if v == nil {
				continue
			}
			slot := min(t.at[k]+ahead, o.Count-1)
			g[2*ahead], g[2*ahead+1] = float32(clip(o.z(slot, v[0]), 1e4)), 1
			if ahead == 0 && !head.Labels(s.kind) {
				g[4] = float32(math.Asinh((head.Coordinate(s.kind, v[0]) - location) / scale))
			}
		}
	}
}

// Example turns a trace into what the network learns from. Addresses that are new get their layers when they are
// first used.
func (n *Network[T]) Example(t *tracing.Trace) (*Example, error) {
	e := &Example{Draw: t.Draw, Weight: math.Exp(t.LogWeight)}
	values, observations, err := n.collector.trace(t)
	if err != nil {
		return nil, err
	}
	for k, o := range n.Observables {
		e.inputs = append(e.inputs, o.input(values[k]))
	}
	next := func(k, slot int) []float64 {
		if slot < len(values[k]) {
			return values[k][slot]
		}
		return nil
	}
	tr := n.collector.tracker()
	width := n.collector.features()
	guided := 0
	for i := range t.Sites {
		if guides(&t.Sites[i]) {
			guided++
		}
	}
	features := make([]float32, guided*width)
	e.latents = make([]latent, 0, guided)
	for i := range t.Sites {
		for len(observations) > 0 && observations[0].entry < i {
			tr.observed(observations[0].observable, observations[0].slot)
			observations = observations[1:]
		}
		x := &t.Sites[i]
		if !guides(x) {
			continue
		}
		if x.Origin != tracing.FromPrior && x.Origin != tracing.Inflated {
			return nil, fmt.Errorf("draw %d: %w (a value %s)", t.Draw, ErrNotPrior, x.Origin)
		}
		d := t.Dist(i)
		v := t.Value(i)
		s := newSite(&d, v.Shape, len(v.Data), v.Data, nil)
		s.coarse = d.Coarse()
		at := latent{address: n.address(t.Table, x.Address, &s), site: s, features: features[:width:width]}
		features = features[width:]
		tr.visit(at.address, &s, next, at.features)
		e.latents = append(e.latents, at)
	}
	return e, nil
}

// ErrNotPrior says that traces were not drawn from the prior: a network would learn something else.
var ErrNotPrior = fmt.Errorf("the trace was not drawn from the prior")

// guides tells whether a network proposes the value of an entry.
func guides(e *tracing.Site) bool { return e.Op == ppx.Sample && e.Control }
