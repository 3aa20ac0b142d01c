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
		n += 200 + 4*len(v.features) + 8*len(v.site.numbers) + 8*len(v.site.given) + 104*len(v.site.draws)
	}
	return n
}

// latent is a controlled Sample as the network meets it.
type latent struct {
	address  *Address
	features []float32 // all but the first two, which need the address's statistics
	site     site
}

// site is a Sample's prior, element by element, and its value. That of a kind whose draws are rows is its coordinates, which are scalars (dist.Row).
type site struct {
	of         dist.Kind // the Sample's
	kind       dist.Kind // of the elements: the same, or that of the coordinates
	elements   int
	categories int               // of a Categorical
	sizes      [dist.MaxArgs]int // how many numbers an element takes of each parameter
	shape      []int32
	coarse     bool      // answered by the prior, whatever the network says (dist.Coarse): nothing is to be learned
	numbers    []float64 // each parameter of all elements, then the values

	// Of a kind whose draws are rows:
	draws  []dist.Row
	given  []float64 // the parameters of coordinates given those before, where that makes a difference; numbers has some that look like them
	slopes float64   // Σ log |dc/dx|
}

// prior is about the prior of element i: what is known before the value is.
func (s *site) prior(i int) head.Prior { return s.priorIn(s.numbers, i) }

// conditional is the prior of element i given the elements before it.
func (s *site) conditional(i int) head.Prior {
	if s.given != nil {
		return s.priorIn(s.given, i)
	}
	return s.priorIn(s.numbers, i)
}

func (s *site) priorIn(numbers []float64, i int) head.Prior {
	p := head.Prior{Kind: s.kind}
	for k, n := range s.sizes {
		if n == 0 {
			break
		}
		x := numbers[i*n : (i+1)*n]
		p.Args[k], p.Rows[k] = x[0], x
		numbers = numbers[s.elements*n:]
	}
	return p
}

// priors is how many numbers the priors take.
func (s *site) priors() (n int) {
	for _, k := range s.sizes {
		n += s.elements * k
	}
	return n
}

func (s *site) values() []float64 { return s.numbers[s.priors():] }

// newSite copies a distribution and, unless it is nil, a value.
func newSite(d *ppx.Dist, shape []int32, n int, value []float64, room []float64) site {
	if d.Kind.Vector() {
		return newRows(d, shape, n, value, room)
	}
	s := site{of: d.Kind, kind: d.Kind, elements: n, shape: shape, categories: d.RowSize()}
	s.numbers = d.Flatten(room[:0], shape, n)
	for k := range d.Params {
		s.sizes[k] = d.Size(k)
	}
	s.numbers = append(s.numbers, value...)
	return s
}

// newRows is newSite for a kind whose draws are rows.
func newRows(d *ppx.Dist, shape []int32, n int, value []float64, room []float64) site {
	own := dist.Dist{Kind: d.Kind}
	for _, p := range d.Params { // the draws look into them
		own.Params = append(own.Params, p.Clone())
	}
	s := site{of: d.Kind, kind: d.Kind.PartKind(), numbers: room[:0]}
	draws, size, parts := 0, int(shape[len(shape)-1]), 0
	if size > 0 {
		draws = n / size
	}
	s.draws = own.Rows(nil, draws)
	if draws > 0 {
		parts = s.draws[0].Parts()
	}
	s.shape = append(append([]int32(nil), shape[:len(shape)-1]...), int32(parts))
	s.elements = draws * parts
	for k := range s.kind.Params() {
		s.sizes[k] = 1
	}
	s.numbers = s.conditionals(s.numbers, func(r *dist.Row, c []float64, i int) {
		for j := range parts { // about where they will be
			e := r.Part(j, c)
			m, _ := e.Moments()
			if m != m { // a StudentT's that has none
				m = 0
			}
			if c[j] = m; s.kind.Discrete() {
				c[j] = math.Round(m)
			}
		}
	})
	if value == nil {
		return s
	}
	values := make([]float64, s.elements)
	ok := false
	if s.slopes, ok = s.split(value, values); !ok {
		s.coarse = true
	}
	s.given = s.conditionals(nil, func(_ *dist.Row, c []float64, i int) { copy(c, values[i:]) })
	s.numbers = append(s.numbers, values...)
	return s
}

// conditionals appends the parameters of all coordinates given those before; fill writes the coordinates of a draw, whose first is number i of all.
func (s *site) conditionals(dst []float64, fill func(r *dist.Row, c []float64, i int)) []float64 {
	if len(s.draws) == 0 {
		return dst
	}
	parts := s.draws[0].Parts()
	args := len(s.kind.Params())
	at := len(dst)
	dst = append(dst, make([]float64, args*s.elements)...)
	c := make([]float64, parts)
	for i := range s.draws {
		fill(&s.draws[i], c, i*parts)
		for j := range parts {
			e := s.draws[i].Part(j, c)
			for k := range args {
				dst[at+k*s.elements+i*parts+j] = e.Args[k]
			}
		}
	}
	return dst
}

// split writes the coordinates of a value to c, and returns Σ log |dc/dx|; false for one that has none.
func (s *site) split(value, c []float64) (slopes float64, ok bool) {
	for i := range s.draws {
		r := &s.draws[i]
		size, parts := r.Size(), r.Parts()
		slope, ok := r.Split(value[i*size:(i+1)*size], c[i*parts:(i+1)*parts])
		if !ok {
			return 0, false
		}
		slopes += slope
	}
	return slopes, true
}

// coordinates is a value as the network sees it: itself, or its coordinates.
func (s *site) coordinates(value []float64) []float64 {
	if !s.of.Vector() {
		return value
	}
	c := make([]float64, s.elements)
	s.split(value, c)
	return c
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
	if s.categories > 0 && s.elements > 0 {
		probs, total := prior.Rows[0], 0.0
		for _, q := range probs {
			total += q
		}
		for i := range min(maxProbs, len(probs)) {
			out[2+i] = float32(2 * (probs[i]/total - 1/float64(len(probs))))
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
	if f := t.Factor(); f != "" {
		return nil, fmt.Errorf("draw %d: %w: %s", t.Draw, ErrFactor, f)
	}
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
	rejected := func(int) bool { return false }
	if n.Settings.Loops {
		loops, err := tracing.LoopsOf(t)
		if err != nil {
			return nil, fmt.Errorf("draw %d: %w", t.Draw, err)
		}
		in := tracing.Rejected(t, loops)
		rejected = func(i int) bool { return in[i] }
	}
	tr := n.collector.tracker()
	width := n.collector.features()
	guided := 0
	for i := range t.Sites {
		if guides(&t.Sites[i]) && !rejected(i) {
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
		if !guides(x) || rejected(i) {
			continue
		}
		if x.Origin != tracing.FromPrior && x.Origin != tracing.Inflated {
			return nil, fmt.Errorf("draw %d: %w (a value %s)", t.Draw, ErrNotPrior, x.Origin)
		}
		d := t.Dist(i)
		v := t.Value(i)
		s := newSite(&d, v.Shape, len(v.Data), v.Data, nil)
		s.coarse = s.coarse || d.Coarse()
		at := latent{address: n.address(t.Table, named{x.Address, x.Name}, &s), site: s, features: features[:width:width]}
		features = features[width:]
		tr.visit(at.address, &s, next, at.features)
		e.latents = append(e.latents, at)
	}
	return e, nil
}

// ErrFactor says that the simulator has factors: its prior draws know nothing of them, and would teach a network another distribution.
var ErrFactor = fmt.Errorf("a network cannot be trained for a simulator with factors")

// ErrNotPrior says that traces were not drawn from the prior: a network would learn something else.
var ErrNotPrior = fmt.Errorf("the trace was not drawn from the prior")

// guides tells whether a network proposes the value of an entry.
func guides(e *tracing.Site) bool { return e.Op == ppx.Sample && e.Control && !e.Kind.Own() }
