package posterior

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// maxElements is the size from which on a tensor is shown by name and shape only.
const maxElements = 100

// Kinds of variables.
const (
	Continuous = "continuous"
	Discrete   = "discrete"
	TensorKind = "tensor" // too large to be listed element by element
)

// Variable is the weighted summary of one number that traces have by name. Where the figures cannot be
// computed they are NaN.
type Variable struct {
	Name string
	Kind string
	// Present is the weighted fraction of traces that have it, and Finite that of those whose value is a finite number; everything below is
	// of these.
	Present, Finite     float64
	Mean, MeanSE, SD    float64
	Q05, Q50, Q95       float64
	Q05SE, Q50SE, Q95SE float64 // half the width of the one-standard-error interval
	ESS                 float64
	Rhat                float64 // of chains
	Mode                float64 // discrete only
	Values              []Value // discrete only, ascending: the distribution, if it has at most maxValues values
	Shape               []int32 // tensor only
}

// Value is one value of a discrete variable.
type Value struct{ Value, Probability, SE float64 }

// String shows the value with its probability.
func (v Value) String() string { return fmt.Sprintf("%g: %.4g", v.Value, v.Probability) }

const maxValues = 64

// Summary accumulates traces into a posterior table. It is a tracing.Writer: give it every trace of a
// run, failed ones included, in the order of draws. Memory stays bounded: above some thousands of traces
// quantiles come from a sketch (their rank is then off by less than a thousandth for up to 1,000 variables,
// by at most three hundredths for tens of thousands).
type Summary struct {
	Weights *Weights
	// BadAt are the addresses at which the first few NaN or +Inf weights arose.
	BadAt []string
	// ZeroAt are the sites that made weights zero, as long as all of them were.
	ZeroAt []string
	// Invalid is how many traces have an Observe with invalid parameters, and InvalidAt where the first few have.
	Invalid   uint64
	InvalidAt []string
	// Full lists the elements of tensors of any size.
	Full bool
	// Chained is what is kept of chains besides; nil for independent draws.
	Chained *Chained
	// Islands is what is kept of particles besides; nil for others.
	Islands *Islands

	success    moments // of the weight that traces have without the data: its mean over all draws is P(the run succeeds)
	digits     digits
	vars       tracing.Variables
	quantities map[tracing.Quantity]*quantity
	order      []*quantity
	listed     int // accumulators
}

// quantity is the variables of one named value.
type quantity struct {
	id         tracing.Quantity
	elements   []*accumulator // by first appearance
	bySub      map[string]*accumulator
	groups     []group
	large      *accumulator // of tensors that are not listed element by element
	continuous bool         // some statement says so
	family     bool         // the kind comes from a distribution, not from the values
}

// group is what the elements of values of one shape go to.
type group struct {
	shape    []int32
	elements []*accumulator
}

// accumulator is one variable.
type accumulator struct {
	subscript string
	shape     []int32 // of a tensor that is not listed element by element; nil: the accumulator is of numbers
	m         moments // of finite values
	lost      moments // of the others
	s         sketch
	integers  bool
	counts    map[float64]*moments // of distinct values, nil once there are too many
	chains    *sequence            // by chain, in the order of steps
	islands   []moments            // of particles: m by island
}

// NewSummary returns an empty summary.
func NewSummary() *Summary {
	return &Summary{Weights: NewWeights(), success: newMoments(), quantities: map[tracing.Quantity]*quantity{}}
}

var _ tracing.Writer = (*Summary)(nil)

// Write implements tracing.Writer.
func (s *Summary) Write(_ context.Context, t *tracing.Trace) error {
	switch t.Status {
	case tracing.Failed:
		s.Weights.AddFailed()
		return nil
	case tracing.Partial: // its weight is that of a part
		return nil
	}
	lw := s.Weights.Add(t.LogWeight, t.LogWeightRest)
	switch {
	case t.Bad():
		s.BadAt = note(s.BadAt, siteOf(t, func(sum float64) bool { return math.IsNaN(sum) || math.IsInf(sum, 1) }))
	case !math.IsInf(lw, -1):
		s.digits.add(t, lw)
	case s.Weights.s1 == 0:
		s.ZeroAt = note(s.ZeroAt, siteOf(t, func(sum float64) bool { return math.IsInf(sum, -1) }))
	}
	if math.IsInf(lw, -1) {
		s.invalid(t)
	}
	if proposed := proposedWeight(t); !math.IsNaN(proposed) {
		s.success.add(0, proposed)
	}
	chain := 0
	if c := s.Chained; c != nil {
		chain = c.next(t.Chain)
		c.put(c.joint, chain, t.LogJoint())
		c.put(c.length, chain, float64(len(t.Sites)))
	}
	if s.Islands != nil {
		chain = s.Islands.next(t.Chain, lw)
	}
	s.vars.Each(t, func(entry int, id tracing.Quantity, v ppx.Tensor) {
		q := s.quantities[id]
		if q == nil {
			q = &quantity{id: id, bySub: map[string]*accumulator{}}
			s.quantities[id] = q
			s.order = append(s.order, q)
		}
		if entry >= 0 && t.Sites[entry].Op != ppx.Tag {
			q.family = true
			q.continuous = q.continuous || !t.Sites[entry].Kind.Discrete()
		}
		s.add(q, v, lw, chain)
	})
	return nil
}

// proposedWeight is log p(z) − log q(z), the weight without the data.
func proposedWeight(t *tracing.Trace) (sum float64) {
	for i := range t.Sites {
		if e := &t.Sites[i]; !e.Origin.Scored() {
			sum += e.Contribution()
		}
	}
	return sum
}

// Success is the probability that a run of the prior succeeds, with its standard error: the mean over all draws of p(z)/q(z), failed ones
// with weight zero. NaN without draws.
func (s *Summary) Success() (p, se float64) {
	n := s.Weights.draws()
	switch {
	case s.Weights.N > 0 && s.Weights.Failed == 0:
		return 1, 0
	case s.Weights.LeftOut > 0: // which have succeeded, with weights that are not known any more
		return math.NaN(), math.NaN()
	case s.success.w == 0:
		return 0 / n, math.NaN()
	}
	p = math.Exp(s.success.max) * s.success.w / n
	return math.Min(p, 1), p * math.Sqrt(math.Max(0, 1/s.success.ess()-1/n))
}

// invalid notes a trace whose weight is zero because the parameters of an Observe are no distribution.
func (s *Summary) invalid(t *tracing.Trace) {
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Op != ppx.Observe || !math.IsInf(e.LogP, -1) {
			continue
		}
		if d := t.Dist(i); len(d.Params) > 0 && d.Check() != nil {
			s.Invalid++
			s.InvalidAt = note(s.InvalidAt, "at "+ppx.Quote(t.Table.Name(e.Name)))
			return
		}
	}
}

// siteOf names the entry at which the running log weight first satisfies a condition.
func siteOf(t *tracing.Trace, is func(sum float64) bool) string {
	sum := 0.0
	for i := range t.Sites {
		e := &t.Sites[i]
		if sum += e.Contribution(); is(sum) {
			return siteName(t, e)
		}
	}
	return "no single site"
}

// siteName is an entry in words: its name, if it has one, and its address.
func siteName(t *tracing.Trace, e *tracing.Site) string {
	label := ppx.Quote(t.Table.Label(e.Key))
	if e.Name != 0 {
		label = ppx.Quote(t.Table.Name(e.Name)) + " (" + label + ")"
	}
	return label
}

// noted is the length of a short list.
const noted = 3

// note adds a site to a short list without repetitions.
func note(list []string, site string) []string {
	if len(list) < noted && !slices.Contains(list, site) {
		return append(list, site)
	}
	return list
}

func (s *Summary) add(q *quantity, v ppx.Tensor, lw float64, chain int) {
	if len(v.Data) > maxElements && !s.Full { // of all shapes together: there may be as many as traces
		if q.large == nil {
			q.large = s.element(q, "tensor") // no subscript looks so
			q.large.subscript, q.large.shape = "", slices.Clone(v.Shape)
		}
		q.large.m.add(0, lw)
		return
	}
	var g *group
	for i := range q.groups {
		if slices.Equal(q.groups[i].shape, v.Shape) {
			g = &q.groups[i]
			break
		}
	}
	if g == nil {
		q.groups = append(q.groups, s.newGroup(q, v))
		g = &q.groups[len(q.groups)-1]
	}
	limit := s.sketchLimit()
	for i, a := range g.elements {
		a.add(v.Data[i], lw, limit, q.family && q.continuous)
		if s.Islands != nil && !isBad(v.Data[i]) {
			a.islands = ofIslands(a.islands, chain, v.Data[i], lw)
		}
		if a.chains != nil && !math.IsNaN(v.Data[i]) && !math.IsInf(v.Data[i], 0) {
			s.Chained.put(a.chains, chain, v.Data[i])
		}
	}
}

// sketchLimit keeps all sketches together below some 64 MiB.
func (s *Summary) sketchLimit() int {
	const points = 4 << 20
	return max(128, min(1<<16, points/max(1, s.listed)))
}

func (s *Summary) newGroup(q *quantity, v ppx.Tensor) group {
	g := group{shape: slices.Clone(v.Shape)}
	for i := range v.Data {
		g.elements = append(g.elements, s.element(q, tracing.Subscript(i, v.Shape)))
	}
	return g
}

func (s *Summary) element(q *quantity, subscript string) *accumulator {
	a := q.bySub[subscript]
	if a == nil {
		a = &accumulator{subscript: subscript, m: newMoments(), lost: newMoments(), integers: true, counts: map[float64]*moments{}}
		q.bySub[subscript] = a
		q.elements = append(q.elements, a)
		s.listed++
		if s.Chained != nil {
			a.chains = s.Chained.track()
		}
	}
	return a
}

func (a *accumulator) add(x, lw float64, limit int, continuous bool) {
	if math.IsNaN(x) || math.IsInf(x, 0) { // it has no place among the others
		a.lost.add(0, lw)
		return
	}
	a.m.add(x, lw)
	a.s.add(x, lw, limit)
	if a.integers && (continuous || x != math.Trunc(x)) {
		a.integers, a.counts = false, nil
	}
	if a.counts == nil {
		return
	}
	c := a.counts[x]
	if c == nil {
		if len(a.counts) == maxValues {
			a.counts = nil
			return
		}
		m := newMoments()
		c = &m
		a.counts[x] = c
	}
	c.add(x, lw)
}

// merged is a and b as one: a value of one element, in two shapes.
func (a *accumulator) merged(b *accumulator, limit int) *accumulator {
	out := &accumulator{m: a.m.merged(b.m), lost: a.lost.merged(b.lost), integers: a.integers && b.integers}
	for i := range max(len(a.islands), len(b.islands)) {
		m := newMoments()
		for _, x := range []*accumulator{a, b} {
			if i < len(x.islands) {
				m = m.merged(x.islands[i])
			}
		}
		out.islands = append(out.islands, m)
	}
	for _, x := range []*accumulator{a, b} {
		for _, p := range x.s.points {
			out.s.take(p, limit)
		}
	}
	if a.counts == nil || b.counts == nil {
		return out
	}
	out.counts = map[float64]*moments{}
	for _, counts := range []map[float64]*moments{a.counts, b.counts} {
		for x, m := range counts {
			if have := out.counts[x]; have != nil {
				both := have.merged(*m)
				m = &both
			}
			out.counts[x] = m
		}
	}
	if len(out.counts) > maxValues {
		out.counts = nil
	}
	return out
}

// named is an accumulator with what its variable is called.
type named struct {
	*accumulator
	q    *quantity
	name string
}

// list is all variables, in the order of first appearance, the run's result last.
func (s *Summary) list() (out []named) {
	var results []named
	for _, q := range s.order {
		to := &out
		if q.id.Name == 0 {
			to = &results
		}
		name := s.vars.Name(q.id)
		if !s.vars.Tensor(q.id) { // scalars, in whatever shape of one element
			a := q.elements[0]
			for _, b := range q.elements[1:] {
				a = a.merged(b, s.sketchLimit())
			}
			*to = append(*to, named{a, q, name})
			continue
		}
		for _, a := range q.elements {
			*to = append(*to, named{a, q, name + a.subscript})
		}
	}
	return append(out, results...)
}

// Variables returns the table, in the order of first appearance, the run's result last.
func (s *Summary) Variables() []Variable {
	list := s.list()
	out := make([]Variable, 0, len(list))
	for _, a := range list {
		out = append(out, s.finish(a))
	}
	return out
}

// find is the variable of a name, as far as it is one of numbers.
func (s *Summary) find(name string) (named, bool) {
	for _, a := range s.list() {
		if a.name == name && a.shape == nil {
			return a, true
		}
	}
	return named{}, false
}

// share is the part of all weight that the traces of m have.
func (s *Summary) share(m *moments) float64 {
	switch {
	case s.Weights.s1 == 0:
		return math.NaN()
	case m.w == 0:
		return 0
	}
	return math.Min(1, math.Exp(m.max-s.Weights.max)*m.w/s.Weights.s1)
}

func (s *Summary) finish(a named) Variable {
	nan := math.NaN()
	v := Variable{Name: a.name, Kind: Continuous, Mean: nan, MeanSE: nan, SD: nan, Q05: nan, Q50: nan, Q95: nan, Mode: nan, ESS: nan, Rhat: nan,
		Q05SE: nan, Q50SE: nan, Q95SE: nan}
	finite, lost := s.share(&a.m), s.share(&a.lost)
	v.Present, v.Finite = math.Min(1, finite+lost), finite/(finite+lost)
	switch {
	case a.shape != nil:
		v.Kind, v.Shape, v.Finite = TensorKind, a.shape, 1
		return v
	case a.q.family && !a.q.continuous, !a.q.family && a.integers && a.counts != nil:
		v.Kind = Discrete
	}
	if a.m.w == 0 {
		return v
	}
	v.Mean, v.MeanSE, v.SD, v.ESS = a.m.mean, a.m.meanSE(), a.m.sd(), a.m.ess()
	if v.ESS < 1+1e-9 { // one trace has all the weight: its spread says nothing of an error
		v.MeanSE = nan
	}
	v.Q05, v.Q05SE = a.s.quantile(0.05)
	v.Q50, v.Q50SE = a.s.quantile(0.5)
	v.Q95, v.Q95SE = a.s.quantile(0.95)
	if math.IsNaN(v.MeanSE) {
		v.Q05SE, v.Q50SE, v.Q95SE = nan, nan, nan
	}
	if v.Kind == Discrete {
		a.discrete(&v)
	}
	if s.Chained != nil {
		v.Rhat = s.Chained.of(a.chains).Rhat
	}
	if share := s.essOf(a) / v.ESS; share < 1 {
		v.ESS *= share
		more := 1 / math.Sqrt(share)
		for _, se := range []*float64{&v.MeanSE, &v.Q05SE, &v.Q50SE, &v.Q95SE} {
			*se *= more
		}
		for i := range v.Values {
			v.Values[i].SE *= more
		}
	}
	return v
}

// essOf is the effective sample size of a variable: of the weights of its draws; of chains the bulk one, or, where it was not kept, that of the result.
func (s *Summary) essOf(a named) float64 {
	n := a.m.ess()
	if s.Islands != nil {
		if ess := s.Islands.essOf(&a.m, a.islands, float64(s.Weights.N)); !math.IsNaN(ess) && !a.settled() {
			return math.Min(n, ess)
		}
		return n
	}
	if s.Chained == nil {
		return n * s.Weights.share()
	}
	if f := s.Chained.of(a.chains); !math.IsNaN(f.Bulk) {
		return math.Min(n, f.Bulk)
	}
	return math.Min(n, s.ESS())
}

// discrete fills in the mode and the distribution.
func (a *accumulator) discrete(v *Variable) {
	most := -1.0
	if a.counts == nil { // too many values to list: the heaviest in the sketch
		w := map[float64]float64{}
		for _, p := range a.s.points {
			x := math.Round(p.x)
			w[x] += math.Exp(p.lw - a.m.max)
			if w[x] > most {
				v.Mode, most = x, w[x]
			}
		}
		return
	}
	for x, c := range a.counts {
		p, p2 := 0.0, 0.0
		if c.w > 0 {
			r := math.Exp(c.max - a.m.max)
			p = c.w * r / a.m.w
			p2 = c.w2 * r * r / (a.m.w * a.m.w)
		}
		// Σ w̄²(1[z=x] − p)² = p2·(1 − 2p) + p²·Σw̄².
		se := math.Sqrt(math.Max(0, p2*(1-2*p)+p*p*a.m.w2/(a.m.w*a.m.w)))
		v.Values = append(v.Values, Value{Value: x, Probability: p, SE: se})
	}
	slices.SortFunc(v.Values, func(a, b Value) int { return cmp.Compare(a.Value, b.Value) })
	for _, x := range v.Values {
		if x.Probability > most {
			v.Mode, most = x.Value, x.Probability
		}
	}
}

// draws is a number of draws with its verb.
func draws(n uint64) string {
	if n == 1 {
		return "1 draw was"
	}
	return fmt.Sprintf("%d draws were", n)
}

// Warnings are remarks on the quality of the figures, in words, besides those of Judge.
func (s *Summary) Warnings() []string {
	var out []string
	w := s.Weights
	if w.Bad > 0 {
		out = append(out, fmt.Sprintf("%d of %d weights are NaN or +Inf (at %s): they count as zero; look at the densities there",
			w.Bad, w.N, strings.Join(s.BadAt, ", ")))
	}
	if s.Invalid > 0 {
		out = append(out, fmt.Sprintf("in %d of %d traces the parameters of an Observe were invalid (%s): they count as impossible (--invalid-observe zero)",
			s.Invalid, w.N, strings.Join(s.InvalidAt, ", ")))
	}
	if w.Failed > 0 {
		text := fmt.Sprintf("%s given up, the simulator failed there: figures and evidence are those of \"the run succeeds, and the data\"", draws(w.Failed))
		if p, se := s.Success(); !math.IsNaN(p) {
			text += fmt.Sprintf("; under the prior a run succeeds with probability %.3g ± %.1g", p, se)
		}
		out = append(out, text)
	}
	for _, a := range s.list() {
		if a.lost.w == 0 {
			continue
		}
		if v := s.finish(a); len(out) < 20 {
			out = append(out, fmt.Sprintf("%s is NaN or infinite in traces with %.3g %% of the weight of those that have it: its figures are those of the others",
				ppx.Quote(v.Name), 100*(1-v.Finite)))
		}
	}
	return out
}
