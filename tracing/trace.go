// Package tracing is the record of what happened: address-indexed execution traces, and the interfaces
// through which they are written and read. The run directory on disk is package rundir.
package tracing

import (
	"context"
	"iter"
	"math"
	"math/bits"
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Origin tells how a value came about; it decides what the site contributes to the trace's weight.
type Origin uint8

// The origins.
const (
	FromPrior    Origin = iota // drawn from its own distribution
	FromData                   // given as data by name
	FromModel                  // an Observe's or Tag's own value
	FromProposal               // drawn from another distribution
	Reused                     // taken over from an earlier trace
	Inflated                   // drawn under prior inflation
	Carried                    // that of an earlier trace, with its noise or its value, after an intervention
	Set                        // by an intervention
	Discarded                  // in a pass of a rejection loop that was rejected, where only accepted ones count
	Accepted                   // the mark at the end of such a loop, whose log p is that of how rare acceptance is
	numOrigins
)

var originNames = [numOrigins]string{"prior", "data", "own", "proposal", "reused", "inflated", "carried", "set", "discarded", "accepted"}

func (o Origin) String() string { return originNames[o] }

// OriginByName is the inverse of String.
func OriginByName(s string) (Origin, bool) {
	for o, n := range originNames {
		if n == s {
			return Origin(o), true
		}
	}
	return 0, false
}

// span is a piece of a trace's slab: a tensor. Rank is −1 for no tensor.
type span struct {
	at, n   uint32
	shapeAt uint32
	rank    int16
}

// Site is one statement of a trace.
type Site struct {
	Key
	Name    uint32 // in the trace's Table, 0 when unnamed
	Op      ppx.Type
	Kind    dist.Kind
	Control bool
	Origin  Origin
	// LogP is the log density of the value under the model, summed over its elements; LogQ under whatever
	// chose it, equal to LogP for a draw from the prior and 0 where nothing random chose. In nats.
	LogP, LogQ float64

	value  span
	params uint32 // where in the trace's spans those of the parameters begin
	many   uint8  // parameters
}

// Contribution is what the entry adds to the log weight of its trace: exactly 0 for a draw from the prior,
// by kind and never by subtracting two numbers that may both be infinite.
func (e *Site) Contribution() float64 {
	if e.Origin == Accepted {
		return e.LogP
	}
	if e.Op == ppx.Tag || e.Origin == FromPrior || e.Origin >= Carried || e.Kind == dist.None {
		return 0
	}
	return e.LogP - e.LogQ
}

// Scored tells that a value is data: its probability is a likelihood.
func (o Origin) Scored() bool { return o == FromData || o == FromModel }

// Status of a trace.
type Status uint8

// A trace is whole, or its draw was given up: then it has no entries, no weight and an error.
const (
	OK Status = iota
	Failed
	Partial // an algorithm has seen enough and ended the run: there is no result
	numStatus
)

var statusNames = [numStatus]string{"ok", "failed", "partial"}

func (s Status) String() string { return statusNames[s] }

// StatusByName is the inverse of String.
func StatusByName(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name {
			return Status(s), true
		}
	}
	return 0, false
}

// NoRow is the row of no trace.
const NoRow = -1

// Trace is one run of the simulator, statement by statement. It does not change once it was handed out.
type Trace struct {
	Row       int64  // identifies the trace in its run; of independent draws it is the Draw
	Draw      uint64 // its number in the stream of random numbers
	Chain     uint32
	From      *Lineage // nil for an independent draw
	Table     *Table
	Sites     []Site
	Result    ppx.Tensor
	LogWeight float64 // in nats
	// LogWeightRest is what LogWeight has lost in rounding: together they have twice the digits, so that large contributions which all
	// traces have do not wipe out the small ones that tell them apart.
	LogWeightRest float64
	// LogLikelihood is the part of LogWeight that comes from data: Σ LogP over the sites whose value was given; with its own rest.
	LogLikelihood     float64
	LogLikelihoodRest float64
	Seconds           float64
	Status            Status
	Error             string

	slab   []float64
	shapes []int32
	spans  []span // of parameters
}

func (t *Trace) tensor(s span) ppx.Tensor {
	if s.rank < 0 {
		return ppx.Tensor{}
	}
	return ppx.Tensor{
		Data:  t.slab[s.at : s.at+s.n : s.at+s.n],
		Shape: t.shapes[s.shapeAt : s.shapeAt+uint32(s.rank) : s.shapeAt+uint32(s.rank)],
	}
}

// Value is the value of entry i, a view.
func (t *Trace) Value(i int) ppx.Tensor { return t.tensor(t.Sites[i].value) }

// Dist is the distribution of entry i, a view.
func (t *Trace) Dist(i int) (d ppx.Dist) {
	t.DistInto(i, &d)
	return d
}

// DistInto is Dist in reused memory: that of d's parameters.
func (t *Trace) DistInto(i int, d *ppx.Dist) {
	e := &t.Sites[i]
	d.Kind, d.Params = e.Kind, d.Params[:0]
	for _, s := range t.spans[e.params : e.params+uint32(e.many)] {
		d.Params = append(d.Params, t.tensor(s))
	}
}

// Lineage is where a trace stands among others that it was made from.
type Lineage struct {
	Step uint64 // of its chain
	// Parent is the row of the trace that this one was made from, SameAs of one whose statements and result it shares (a chain's rejected
	// step); NoRow: there is none.
	Parent, SameAs int64
	Score          *float64 // what an algorithm has rated it with, if one has
}

// Lineage is that of the trace; an independent draw has no parent.
func (t *Trace) Lineage() Lineage {
	if t.From == nil {
		return Lineage{Parent: NoRow, SameAs: NoRow}
	}
	return *t.From
}

// Share gives the trace the statements of another one.
func (t *Trace) Share(from *Trace) {
	l := t.Lineage()
	l.SameAs = from.Row
	t.From = &l
	t.Sites, t.slab, t.shapes, t.spans = from.Sites, from.slab, from.shapes, from.spans
}

// Reweighed is the trace with other entries, of the same values: where they stand to each other, and its weight, are changed.
func (t *Trace) Reweighed(sites []Site) *Trace {
	out := *t
	out.Sites = sites
	var weight, likelihood Sum
	for i := range sites {
		weight.Add(sites[i].Contribution())
		if e := &sites[i]; e.Origin.Scored() {
			likelihood.Add(e.Contribution())
		}
	}
	weight, likelihood = weight.Kept(), likelihood.Kept()
	out.LogWeight, out.LogWeightRest = weight.High, weight.Rest
	out.LogLikelihood, out.LogLikelihoodRest = likelihood.High, likelihood.Rest
	return &out
}

// LogJoint is the log density of all that the trace has drawn and scored, in nats.
func (t *Trace) LogJoint() (sum float64) {
	for i := range t.Sites {
		sum += t.Sites[i].LogP
	}
	return sum
}

// Factor is the first factor of the trace, in words: what draws from the prior, or makes data, cannot reckon with those. "": there is none.
func (t *Trace) Factor() string {
	for i := range t.Sites {
		e := &t.Sites[i]
		switch {
		case e.Kind != dist.Factor:
		case e.Name != 0:
			return "the factor " + ppx.Quote(t.Table.Name(e.Name))
		default:
			return "the factor at " + ppx.Quote(t.Table.Address(e.Address).Base)
		}
	}
	return ""
}

// Own is the first Sample of a distribution of the simulator's own, in words. "": there is none.
func (t *Trace) Own() string {
	for i := range t.Sites {
		if e := &t.Sites[i]; e.Op == ppx.Sample && e.Kind.Own() {
			return "the custom distribution at " + ppx.Quote(t.Table.Address(e.Address).Base)
		}
	}
	return ""
}

// AnyNaN tells whether some value or parameter is no number.
func (t *Trace) AnyNaN() bool {
	for _, x := range t.slab {
		if x != x {
			return true
		}
	}
	return false
}

// Type is a number for the trace's type: equal for traces that pass the same addresses in the same order,
// tags apart; different, but for the chances of a 64-bit hash, for others. The same in every process.
func (t *Trace) Type() uint64 {
	h := uint64(0x9E3779B97F4A7C15)
	t.Table.mu.RLock()
	defer t.Table.mu.RUnlock()
	for i := range t.Sites {
		if t.Sites[i].Op == ppx.Tag {
			continue
		}
		h = bits.RotateLeft64(h^t.Table.addresses[t.Sites[i].Address].Hash, 27) * 0x9FB21C651E98DF25
	}
	return h ^ h>>32
}

// Bytes is about how much memory the trace takes.
func (t *Trace) Bytes() int {
	return 264 + len(t.Sites)*72 + 16*len(t.spans) + 8*len(t.slab) + 4*len(t.shapes) + 8*len(t.Result.Data)
}

// Bad tells that the log weight is no ordinary number: NaN or +Inf. −Inf is a weight of zero.
func (t *Trace) Bad() bool { return math.IsNaN(t.LogWeight) || math.IsInf(t.LogWeight, 1) }

// Builder collects the entries of a run in reused memory.
type Builder struct {
	t Trace

	// What is left of the chunks that finished traces share.
	traces  []Trace
	entries []Site
	slab    []float64
	shapes  []int32
	spans   []span
}

// Reset begins a trace.
func (b *Builder) Reset(table *Table, draw uint64, chain uint32) {
	b.t = Trace{Table: table, Row: int64(draw), Draw: draw, Chain: chain,
		Sites: b.t.Sites[:0], slab: b.t.slab[:0], shapes: b.t.shapes[:0], spans: b.t.spans[:0]}
}

// Grow makes room for n more entries.
func (b *Builder) Grow(n int) {
	b.t.Sites = slices.Grow(b.t.Sites, n)
	b.t.slab = slices.Grow(b.t.slab, 3*n)
}

// Sofar is the trace as far as it goes; a view that the next Add or Reset changes.
func (b *Builder) Sofar() *Trace { return &b.t }

// Numbers is how many numbers the entries so far hold.
func (b *Builder) Numbers() int { return len(b.t.slab) }

// Add appends an entry, copying value and distribution.
func (b *Builder) Add(e Site, value ppx.Tensor, d *ppx.Dist) {
	e.value = b.span(value)
	e.params, e.many = uint32(len(b.t.spans)), 0
	if d != nil {
		for i := range d.Params {
			b.t.spans = append(b.t.spans, b.span(d.Params[i]))
		}
		e.Kind, e.many = d.Kind, uint8(len(d.Params))
	}
	b.t.Sites = append(b.t.Sites, e)
}

func (b *Builder) span(v ppx.Tensor) span {
	if v.Data == nil {
		return span{rank: -1}
	}
	s := span{at: uint32(len(b.t.slab)), n: uint32(len(v.Data)), shapeAt: uint32(len(b.t.shapes)), rank: int16(len(v.Shape))}
	b.t.slab = append(b.t.slab, v.Data...)
	b.t.shapes = append(b.t.shapes, v.Shape...)
	return s
}

// Finish returns the trace in memory that no later trace changes.
func (b *Builder) Finish(result ppx.Tensor, logWeight, seconds float64) *Trace {
	t := &take(&b.traces, 1, 64)[0]
	*t = b.t
	t.Sites = append(take(&b.entries, len(b.t.Sites), sharedEntries)[:0], b.t.Sites...)
	n := len(b.t.slab)
	slab := append(append(take(&b.slab, n+len(result.Data), 2048)[:0], b.t.slab...), result.Data...)
	t.slab = slab[:n:n]
	if result.Data != nil {
		t.Result.Data = slab[n:]
	}
	n = len(b.t.shapes)
	shapes := append(append(take(&b.shapes, n+len(result.Shape), 512)[:0], b.t.shapes...), result.Shape...)
	t.shapes, t.Result.Shape = shapes[:n:n], shapes[n:]
	t.spans = append(take(&b.spans, len(b.t.spans), 1024)[:0], b.t.spans...)
	t.LogWeight, t.Seconds = logWeight, seconds
	return t
}

// Alone is the trace in memory that it shares with no other, for those who keep few of many: a small one would keep the memory of all that were made around it.
func (t *Trace) Alone() *Trace {
	if len(t.Sites) > sharedEntries/4 { // it is
		return t
	}
	c := *t
	c.Sites, c.slab, c.shapes, c.spans = slices.Clone(t.Sites), slices.Clone(t.slab), slices.Clone(t.shapes), slices.Clone(t.spans)
	c.Result = t.Result.Clone()
	return &c
}

// sharedEntries is how many entries share a chunk.
const sharedEntries = 512

// take cuts n elements from a chunk of memory that small traces share: many models make traces of a few
// statements, by the million. Traces are let go in the order in which they were made, and so are chunks.
func take[T any](chunk *[]T, n, size int) []T {
	if n > size/4 {
		return make([]T, n)
	}
	if len(*chunk) < n {
		*chunk = make([]T, size)
	}
	s := (*chunk)[:n:n]
	*chunk = (*chunk)[n:]
	return s
}

// FailedTrace is the record of a draw that was given up.
func FailedTrace(table *Table, draw uint64, chain uint32, err error) *Trace {
	return &Trace{Table: table, Row: int64(draw), Draw: draw, Chain: chain, LogWeight: math.NaN(), LogLikelihood: math.NaN(), Status: Failed, Error: err.Error()}
}

// Writer takes traces in the order of their draws. The trace is read-only and may be kept. One goroutine
// at a time calls it; after an error it is not called again.
type Writer interface {
	Write(ctx context.Context, t *Trace) error
}

// Reader gives traces in the order of their draws; the sequence ends after its first error.
type Reader interface {
	All(ctx context.Context) iter.Seq2[*Trace, error]
}

// Tee is a Writer that hands each trace to several, in order, and stops at the first error.
type Tee []Writer

// Write implements Writer.
func (w Tee) Write(ctx context.Context, t *Trace) error {
	for _, x := range w {
		if err := x.Write(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// LogAdd is log(e^a + e^b).
func LogAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
