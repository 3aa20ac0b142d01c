package importance

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// ResultName is the name of the run's result among the variables.
const ResultName = "result"

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
	// Present is the weighted fraction of traces that have it; everything below is conditional on that.
	Present             float64
	Mean, MeanSE, SD    float64
	Q05, Q50, Q95       float64
	Q05SE, Q50SE, Q95SE float64 // half the width of the one-standard-error interval
	ESS                 float64 // of the traces that have it
	Mode                float64 // discrete only
	Values              []Value // discrete only, ascending: the distribution, if it has at most maxValues values
	Shape               []int32 // tensor only
}

// Value is one value of a discrete variable.
type Value struct{ Value, Probability, SE float64 }

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

	success moments // of the weight that traces have without the data: its mean over all draws is P(the run succeeds)
	order   []*accumulator
	byLabel map[string]*accumulator
	groups  map[groupKey]*group
	seen    []uint32 // per name: occurrences in the present trace
	touched []uint32
}

type groupKey struct {
	name       uint32
	occurrence uint32
	result     bool
	shape      string
}

// group is the variables of one tensor.
type group struct{ vars []*accumulator }

type accumulator struct {
	Variable
	family   bool // Kind comes from a distribution
	result   bool // belongs to the run's result
	m        moments
	s        sketch
	integers bool
	nan      bool                 // a value with weight was NaN
	counts   map[float64]*moments // of distinct values, nil once there are too many
}

// NewSummary returns an empty summary.
func NewSummary() *Summary {
	return &Summary{Weights: NewWeights(), success: newMoments(), byLabel: map[string]*accumulator{}, groups: map[groupKey]*group{}}
}

var _ tracing.Writer = (*Summary)(nil)

// Write implements tracing.Writer.
func (s *Summary) Write(_ context.Context, t *tracing.Trace) error {
	if t.Status == tracing.Failed {
		s.Weights.AddFailed()
		return nil
	}
	s.Weights.Add(t.LogWeight)
	lw := t.LogWeight
	if t.Bad() {
		lw = math.Inf(-1)
		s.BadAt = note(s.BadAt, siteOf(t, func(sum float64) bool { return math.IsNaN(sum) || math.IsInf(sum, 1) }))
	} else if math.IsInf(lw, -1) && s.Weights.s1 == 0 {
		s.ZeroAt = note(s.ZeroAt, siteOf(t, func(sum float64) bool { return math.IsInf(sum, -1) }))
	}
	if math.IsInf(lw, -1) {
		s.invalid(t)
	}
	for _, n := range s.touched {
		s.seen[n] = 0
	}
	s.touched = s.touched[:0]
	proposed := 0.0 // log p(z) − log q(z)
	for i := range t.Entries {
		e := &t.Entries[i]
		if !e.Origin.Scored() {
			proposed += e.Contribution()
		}
		if e.Name == 0 {
			continue
		}
		if !IsVariable(e) {
			continue
		}
		for int(e.Name) >= len(s.seen) {
			s.seen = append(s.seen, 0)
		}
		s.seen[e.Name]++
		s.touched = append(s.touched, e.Name)
		kind := ""
		if e.Op != ppx.Tag {
			kind = Continuous
			if e.Kind.Discrete() {
				kind = Discrete
			}
		}
		s.add(t, groupKey{name: e.Name, occurrence: s.seen[e.Name]}, kind, t.Value(i), lw)
	}
	s.add(t, groupKey{result: true}, "", t.Result, lw)
	if !math.IsNaN(proposed) {
		s.success.add(0, proposed)
	}
	return nil
}

// Success is the probability that a run of the prior succeeds, with its standard error: the mean over all draws of p(z)/q(z), failed ones
// with weight zero. NaN without draws.
func (s *Summary) Success() (p, se float64) {
	n := s.Weights.draws()
	switch {
	case s.Weights.N > 0 && s.Weights.Failed == 0:
		return 1, 0
	case s.success.w == 0:
		return 0 / n, math.NaN()
	}
	p = math.Exp(s.success.max) * s.success.w / n
	return math.Min(p, 1), p * math.Sqrt(math.Max(0, 1/s.success.ess()-1/n))
}

// invalid notes a trace whose weight is zero because the parameters of an Observe are no distribution.
func (s *Summary) invalid(t *tracing.Trace) {
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Op != ppx.Observe || !math.IsInf(e.LogP, -1) {
			continue
		}
		if d := t.Dist(i); d.Check() != nil {
			s.Invalid++
			s.InvalidAt = note(s.InvalidAt, "at "+ppx.Quote(t.Table.Name(e.Name)))
			return
		}
	}
}

// IsVariable tells whether a named entry is listed: Samples, Tags, and Observes that were drawn because
// there was no data for them.
func IsVariable(e *tracing.Entry) bool {
	return e.Op != ppx.Observe || !e.Origin.Scored()
}

// siteOf names the entry at which the running log weight first satisfies a condition.
func siteOf(t *tracing.Trace, is func(sum float64) bool) string {
	sum := 0.0
	for i := range t.Entries {
		e := &t.Entries[i]
		if sum += e.Contribution(); is(sum) {
			label := ppx.Quote(t.Table.Label(e.Key))
			if e.Name != 0 {
				label = ppx.Quote(t.Table.Name(e.Name)) + " (" + label + ")"
			}
			return label
		}
	}
	return "no single site"
}

// note adds a site to a short list without repetitions.
func note(list []string, site string) []string {
	if len(list) < 3 && !slices.Contains(list, site) {
		return append(list, site)
	}
	return list
}

func (s *Summary) add(t *tracing.Trace, k groupKey, kind string, v ppx.Tensor, lw float64) {
	if v.Data == nil {
		return
	}
	// A shape is at most a few numbers: as a string it is part of the key, without allocation when short.
	var room [64]byte
	b := room[:0]
	if len(v.Data) != 1 {
		for _, d := range v.Shape {
			b = append(strconv.AppendInt(b, int64(d), 10), ',')
		}
	}
	g := s.groups[groupKey{k.name, k.occurrence, k.result, string(b)}]
	if g == nil {
		k.shape = string(b)
		g = s.newGroup(t, k, kind, v)
		s.groups[k] = g
	}
	limit := s.sketchLimit()
	for i, a := range g.vars {
		if a.Kind == TensorKind {
			a.m.add(0, lw)
			continue
		}
		a.add(v.Data[i], lw, limit)
	}
}

// sketchLimit keeps all sketches together below some 64 MiB.
func (s *Summary) sketchLimit() int {
	const points = 4 << 20
	return max(128, min(1<<16, points/max(1, len(s.order))))
}

func (s *Summary) newGroup(t *tracing.Trace, k groupKey, kind string, v ppx.Tensor) *group {
	var name string
	switch {
	case !k.result:
		name = t.Table.Name(k.name)
		if k.occurrence > 1 {
			name = ppx.JoinOccurrence(name, int(k.occurrence))
		}
	default:
		name = ResultName
		// A latent of that name was there first.
		if a := s.byLabel[name]; a != nil && !a.result {
			name += "@2"
		}
	}
	g := &group{}
	if len(v.Data) > maxElements && !s.Full {
		// Told apart from a scalar of the same name, which other traces may have.
		a := s.variable(name, TensorKind, k.result)
		a.Shape = slices.Clone(v.Shape)
		g.vars = append(g.vars, a)
		return g
	}
	for i := range v.Data {
		label := name
		if len(v.Data) != 1 {
			label += Subscript(i, v.Shape)
		}
		g.vars = append(g.vars, s.variable(label, kind, k.result))
	}
	return g
}

func (s *Summary) variable(label, kind string, result bool) *accumulator {
	key := label
	if kind == TensorKind {
		key += "\x00" + TensorKind
	}
	a := s.byLabel[key]
	if a == nil {
		a = &accumulator{m: newMoments(), integers: true, counts: map[float64]*moments{}}
		a.Name, a.Kind, a.family, a.result = label, kind, kind != "", result
		s.byLabel[key] = a
		s.order = append(s.order, a)
	}
	return a
}

// Subscript writes the flat index i of a tensor as [1,2].
func Subscript(i int, shape []int32) string {
	at := make([]string, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		n := int(shape[d])
		at[d] = strconv.Itoa(i % n)
		i /= n
	}
	return "[" + strings.Join(at, ",") + "]"
}

func (a *accumulator) add(x, lw float64, limit int) {
	a.m.add(x, lw)
	if x != x { // it has no place among the others: mean and quantiles are NaN from now on
		a.nan = a.nan || !math.IsInf(lw, -1)
		return
	}
	a.s.add(x, lw, limit)
	if a.integers && (a.family && a.Kind == Continuous || x != math.Trunc(x)) {
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

// Variables returns the table, in the order of first appearance, the run's result last.
func (s *Summary) Variables() []Variable {
	out := make([]Variable, 0, len(s.order))
	var results []Variable
	for _, a := range s.order {
		v := s.finish(a)
		if a.result {
			results = append(results, v)
			continue
		}
		out = append(out, v)
	}
	return append(out, results...)
}

func (s *Summary) finish(a *accumulator) Variable {
	v := a.Variable
	nan := math.NaN()
	v.Mean, v.MeanSE, v.SD, v.Q05, v.Q50, v.Q95, v.Mode, v.ESS = nan, nan, nan, nan, nan, nan, nan, nan
	v.Q05SE, v.Q50SE, v.Q95SE = nan, nan, nan
	switch {
	case s.Weights.s1 == 0:
		v.Present = nan
	case a.m.w > 0:
		v.Present = math.Min(1, math.Exp(a.m.max-s.Weights.max)*a.m.w/s.Weights.s1)
	}
	if v.Kind == "" {
		v.Kind = Continuous
		if a.integers && a.counts != nil {
			v.Kind = Discrete
		}
	}
	if a.m.w == 0 || v.Kind == TensorKind {
		return v
	}
	v.Mean, v.MeanSE, v.SD, v.ESS = a.m.mean, a.m.meanSE(), a.m.sd(), a.m.ess()
	if v.ESS < 1+1e-9 { // one trace has all the weight: its spread says nothing of an error
		v.MeanSE = nan
	}
	if a.nan {
		return v
	}
	v.Q05, v.Q05SE = a.s.quantile(0.05)
	v.Q50, v.Q50SE = a.s.quantile(0.5)
	v.Q95, v.Q95SE = a.s.quantile(0.95)
	if math.IsNaN(v.MeanSE) {
		v.Q05SE, v.Q50SE, v.Q95SE = nan, nan, nan
	}
	if v.Kind == Discrete {
		s.discrete(a, &v)
	}
	return v
}

// discrete fills in the mode and the distribution.
func (s *Summary) discrete(a *accumulator, v *Variable) {
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
	slices.SortFunc(v.Values, func(a, b Value) int { return -descending(a.Value, b.Value) })
	for _, x := range v.Values {
		if x.Probability > most {
			v.Mode, most = x.Value, x.Probability
		}
	}
}

// String shows the value with its probability.
func (v Value) String() string { return fmt.Sprintf("%g: %.4g", v.Value, v.Probability) }
