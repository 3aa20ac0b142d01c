package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"go.uber.org/goleak"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ctx = context.Background()
	inf = math.Inf(1)
	nan = math.NaN()
)

// same tells whether two tensors have the same shape and the same bits.
func same(a, b ppx.Tensor) bool {
	return slices.Equal(a.Shape, b.Shape) &&
		slices.EqualFunc(a.Data, b.Data, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// statement is what a test adds to a trace.
type statement struct {
	entry tracing.Site
	value ppx.Tensor
	dist  *ppx.Dist
}

// statements makes n of them with values of every kind and shape; each number is another.
func statements(r *rand.Rand, n int) (out []statement) {
	special := []float64{math.Copysign(0, -1), inf, -inf, math.Float64frombits(0x7ff8000000000abc), math.SmallestNonzeroFloat64, math.MaxFloat64}
	tensor := func(shape ...int32) ppx.Tensor {
		size := 1
		for _, d := range shape {
			size *= int(d)
		}
		v := ppx.Tensor{Data: make([]float64, size), Shape: shape}
		for i := range v.Data {
			if v.Data[i] = r.NormFloat64(); r.IntN(4) == 0 {
				v.Data[i] = special[r.IntN(len(special))]
			}
		}
		return v
	}
	for i := range n {
		s := statement{entry: tracing.Site{
			Key: tracing.Key{Address: uint32(i), Instance: uint32(i) + 1}, Name: uint32(2 * i), Op: ppx.Sample, Control: i%2 == 0,
			Origin: tracing.FromProposal, LogP: r.NormFloat64(), LogQ: r.NormFloat64(),
		}}
		switch i % 6 {
		case 0:
			s.value, s.dist = tensor(), &ppx.Dist{Kind: dist.Normal, Params: []ppx.Tensor{tensor(), tensor()}}
		case 1:
			s.value, s.dist = tensor(2, 3), &ppx.Dist{Kind: dist.Categorical, Params: []ppx.Tensor{tensor(2, 3, 4), {}}}
		case 2: // without a distribution
			s.value, s.entry.Op = tensor(5), ppx.Tag
		case 3: // of no elements
			s.value, s.dist = tensor(0, 3), &ppx.Dist{Kind: dist.Normal, Params: []ppx.Tensor{tensor(0, 3), tensor(1)}}
		case 4: // without a value
			s.dist = &ppx.Dist{Kind: dist.Exponential, Params: []ppx.Tensor{tensor(1), {}}}
		case 5:
			s.entry.Op = ppx.Tag
		}
		out = append(out, s)
	}
	return out
}

// What was added comes back bit by bit, from every trace of a Builder: later ones, which use the same memory, change
// nothing of earlier ones, whatever their sizes, nor does the caller, who keeps the slices that were given.
func TestTracesKeepWhatWasAdded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	table := tracing.NewTable()
	var b tracing.Builder
	type made struct {
		trace  *tracing.Trace
		all    []statement
		result ppx.Tensor
	}
	var traces []made
	// Small traces share chunks of memory, large ones have their own: among them sizes around every limit.
	for i, n := range []int{0, 1, 2, 3, 100, 127, 128, 129, 700, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 1, 0, 90, 90, 90} {
		m := made{all: statements(r, n)}
		b.Reset(table, uint64(1000+i), uint32(i))
		if i%2 == 0 {
			b.Grow(n)
		}
		numbers := 0
		for k, s := range m.all {
			given := statement{s.entry, s.value.Clone(), nil}
			if s.dist != nil {
				given.dist = &ppx.Dist{Kind: s.dist.Kind}
				for _, p := range s.dist.Params {
					given.dist.Params = append(given.dist.Params, p.Clone())
				}
			}
			b.Add(given.entry, given.value, given.dist)
			numbers += len(s.value.Data)
			clear(given.value.Data) // the caller uses its memory again
			if s.dist != nil {
				for _, p := range given.dist.Params {
					numbers += len(p.Data)
					clear(p.Data)
				}
			}
			if sofar := b.Sofar(); len(sofar.Sites) != k+1 || !same(sofar.Value(k), s.value) || b.Numbers() != numbers {
				t.Fatalf("trace %d has %d entries and %d numbers so far, want %d and %d", i, len(sofar.Sites), b.Numbers(), k+1, numbers)
			}
		}
		switch i % 3 {
		case 1:
			m.result = dist.Scalar(r.NormFloat64())
		case 2:
			m.result = ppx.Tensor{Data: []float64{1, 2, 3, 4, 5, r.NormFloat64()}, Shape: []int32{3, 2}}
		}
		m.trace = b.Finish(m.result, float64(i), float64(i)/7)
		traces = append(traces, m)
	}
	for i, m := range traces {
		tr := m.trace
		if tr.Draw != uint64(1000+i) || tr.Chain != uint32(i) || tr.Table != table || tr.LogWeight != float64(i) || tr.Seconds != float64(i)/7 ||
			tr.Status != tracing.OK || tr.Error != "" || len(tr.Sites) != len(m.all) || !same(tr.Result, m.result) {
			t.Errorf("trace %d is %+v", i, tr)
			continue
		}
		for k, s := range m.all {
			e, want := tr.Sites[k], s.entry
			if s.dist != nil {
				want.Kind = s.dist.Kind
			}
			if e.Key != want.Key || e.Name != want.Name || e.Op != want.Op || e.Kind != want.Kind || e.Control != want.Control || e.Origin != want.Origin || e.LogP != want.LogP || e.LogQ != want.LogQ {
				t.Errorf("trace %d, entry %d is %+v, want %+v", i, k, e, want)
			}
			if v := tr.Value(k); !same(v, s.value) || (v.Data == nil) != (s.value.Data == nil) {
				t.Errorf("trace %d, entry %d has value %v %v, want %v %v", i, k, v.Data, v.Shape, s.value.Data, s.value.Shape)
			}
			d := tr.Dist(k)
			if s.dist == nil {
				s.dist = &ppx.Dist{}
			}
			if d.Kind != s.dist.Kind || !slices.EqualFunc(d.Params, s.dist.Params, same) {
				t.Errorf("trace %d, entry %d has distribution %v, want %v", i, k, d, *s.dist)
			}
		}
	}
}

// Appending to a view is no way to write into a trace.
func TestViewsEndWhereTheyEnd(t *testing.T) {
	var b tracing.Builder
	b.Reset(tracing.NewTable(), 0, 0)
	d := ppx.Dist{Kind: dist.Normal, Params: []ppx.Tensor{dist.Vector(3, 4), dist.Vector(5, 6)}}
	b.Add(tracing.Site{}, dist.Vector(1, 2), &d)
	b.Add(tracing.Site{}, ppx.Tensor{Data: []float64{7, 8}, Shape: []int32{2, 1}}, nil)
	tr := b.Finish(dist.Vector(9, 10), 0, 0)
	next := b.Finish(dist.Vector(11), 0, 0) // takes its memory right behind
	for _, v := range []ppx.Tensor{tr.Value(0), tr.Dist(0).Params[0], tr.Dist(0).Params[1], tr.Value(1), tr.Result} {
		_, _ = append(v.Data, 99), append(v.Shape, 99)
	}
	_ = append(tr.Sites, tracing.Site{Name: 99})
	for i, want := range [][]float64{{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {1, 2}} {
		got := []ppx.Tensor{tr.Value(0), tr.Dist(0).Params[0], tr.Dist(0).Params[1], tr.Value(1), tr.Result, next.Value(0)}[i]
		shape := []int32{2}
		if i == 3 {
			shape = []int32{2, 1}
		}
		if !slices.Equal(got.Data, want) || !slices.Equal(got.Shape, shape) {
			t.Errorf("tensor %d is %v %v, want %v %v", i, got.Data, got.Shape, want, shape)
		}
	}
	if next.Sites[0].Name != 0 {
		t.Error("the next trace's first entry was overwritten")
	}
}

// Bytes bounds how far workers run ahead: it must not be less than what a trace holds.
func TestBytesCoverWhatATraceHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for _, n := range []int{0, 1, 10, 1000} {
		var b tracing.Builder
		b.Reset(tracing.NewTable(), 0, 0)
		for _, s := range statements(r, n) {
			b.Add(s.entry, s.value, s.dist)
		}
		numbers := b.Numbers()
		tr := b.Finish(ppx.Tensor{Data: make([]float64, 50), Shape: []int32{50}}, 0, 0)
		if least := int(unsafe.Sizeof(*tr)) + n*int(unsafe.Sizeof(tracing.Site{})) + 8*(numbers+50); tr.Bytes() < least || tr.Bytes() > 2*least {
			t.Errorf("%d entries: %d bytes, want %d to twice that", n, tr.Bytes(), least)
		}
	}
}

// What an entry adds to the log weight, by where its value came from.
func TestContributions(t *testing.T) {
	for _, c := range []struct {
		op         ppx.Type
		kind       dist.Kind
		origin     tracing.Origin
		logP, logQ float64
		want       float64
	}{
		// Drawn from the prior: exactly 0, also where the subtraction would give NaN.
		{ppx.Sample, dist.Normal, tracing.FromPrior, -1.5, -1.5, 0},
		{ppx.Sample, dist.Beta, tracing.FromPrior, inf, inf, 0},
		{ppx.Sample, dist.Normal, tracing.FromPrior, -inf, -inf, 0},
		{ppx.Observe, dist.Normal, tracing.FromPrior, nan, nan, 0},
		// Given: the likelihood.
		{ppx.Observe, dist.Normal, tracing.FromData, -2, 0, -2},
		{ppx.Sample, dist.Normal, tracing.FromData, -2, 0, -2},
		{ppx.Observe, dist.Uniform, tracing.FromData, -inf, 0, -inf},
		{ppx.Observe, dist.Beta, tracing.FromData, inf, 0, inf},
		{ppx.Observe, dist.Normal, tracing.FromModel, -3, 0, -3},
		{ppx.Observe, dist.Poisson, tracing.FromModel, -inf, 0, -inf},
		// Drawn from something else: the ratio.
		{ppx.Sample, dist.Normal, tracing.FromProposal, -1, -3, 2},
		{ppx.Sample, dist.Uniform, tracing.FromProposal, -inf, -3, -inf}, // proposed outside the support
		{ppx.Sample, dist.Normal, tracing.FromProposal, -1, inf, -inf},
		{ppx.Sample, dist.Normal, tracing.FromProposal, -inf, -inf, nan}, // impossible under what has proposed it
		{ppx.Sample, dist.Gamma, tracing.Inflated, -5, -4.5, -0.5},
		{ppx.Sample, dist.Gamma, tracing.Inflated, inf, -4.5, inf},
		// Taken over.
		{ppx.Sample, dist.Normal, tracing.Reused, -7, 0, -7},
		{ppx.Sample, dist.Uniform, tracing.Reused, -inf, 0, -inf},
		// Rejection loops.
		{ppx.Sample, dist.Normal, tracing.Discarded, -1, -3, 0},
		{ppx.Tag, dist.None, tracing.Accepted, -1, 0, -1},
		// Tags, and statements without a distribution, have no density.
		{ppx.Tag, dist.Normal, tracing.FromModel, -1, 0, 0},
		{ppx.Tag, dist.None, tracing.FromModel, nan, 0, 0},
		{ppx.Observe, dist.None, tracing.FromData, -inf, 0, 0},
		{ppx.Sample, dist.None, tracing.FromProposal, -inf, -inf, 0},
	} {
		e := tracing.Site{Op: c.op, Kind: c.kind, Origin: c.origin, LogP: c.logP, LogQ: c.logQ}
		if got := e.Contribution(); got != c.want && !(got != got && c.want != c.want) {
			t.Errorf("%v %v %v, log p %g, log q %g: %g, want %g", c.op, c.kind, c.origin, c.logP, c.logQ, got, c.want)
		}
		tr := tracing.Trace{LogWeight: c.want}
		if bad := c.want != c.want || c.want == inf; tr.Bad() != bad {
			t.Errorf("log weight %g is bad: %v", c.want, tr.Bad())
		}
	}
}

// Origins are on disk by name.
func TestOriginsHaveNames(t *testing.T) {
	for o, name := range map[tracing.Origin]string{
		tracing.FromPrior: "prior", tracing.FromData: "data", tracing.FromModel: "own", tracing.FromProposal: "proposal", tracing.Reused: "reused", tracing.Inflated: "inflated",
	} {
		if back, ok := tracing.OriginByName(name); o.String() != name || back != o || !ok {
			t.Errorf("origin %d: %v, and back %v %v", o, o.String(), back, ok)
		}
	}
	for _, name := range []string{"", "Prior", "model"} {
		if o, ok := tracing.OriginByName(name); ok {
			t.Errorf("%q is %v", name, o)
		}
	}
}

// path makes a trace that passes addresses; a name is that of a Sample unless it begins with ! (Observe) or # (Tag).
func path(table *tracing.Table, addresses ...string) *tracing.Trace {
	var b tracing.Builder
	b.Reset(table, 0, 0)
	for i, a := range addresses {
		op := ppx.Sample
		switch a[0] {
		case '!':
			op, a = ppx.Observe, a[1:]
		case '#':
			op, a = ppx.Tag, a[1:]
		}
		b.Add(tracing.Site{Key: tracing.Key{Address: table.Intern(a, op, dist.Normal), Instance: 1}, Op: op}, dist.Scalar(float64(i)), nil)
	}
	return b.Finish(ppx.Tensor{}, 0, 0)
}

// The type of a trace is the sequence of its addresses but for tags, in any process.
func TestTypeIsTheSequenceOfAddresses(t *testing.T) {
	here, there := tracing.NewTable(), tracing.NewTable()
	there.Intern("z", ppx.Tag, dist.None) // numbers differ
	there.Intern("b", ppx.Sample, dist.Normal)
	for _, p := range [][]string{{}, {"a"}, {"a", "b"}, {"a", "b", "!c"}} {
		if a, b := path(here, p...).Type(), path(there, p...).Type(); a != b {
			t.Errorf("%v: %x and %x", p, a, b)
		}
	}
	if a, b := path(here, "a", "b").Type(), path(here, "#x", "a", "#y", "#y", "b", "#x").Type(); a != b {
		t.Error("tags change the type")
	}
	seen := map[uint64][]string{}
	for _, p := range [][]string{{}, {"a"}, {"b"}, {"!a"}, {"a", "b"}, {"b", "a"}, {"a", "a"}, {"a", "a", "a"}, {"ab"}, {"a", "!b"}, {"!a", "b"}, {"a", "b", "c"}, {"c", "b", "a"}} {
		id := path(here, p...).Type()
		if seen[id] != nil {
			t.Errorf("%v has the type of %v", p, seen[id])
		}
		seen[id] = append(p, "")
	}
}

// A draw that was given up has no entries, no weight, and a reason.
func TestFailedTrace(t *testing.T) {
	table := tracing.NewTable()
	tr := tracing.FailedTrace(table, 7, 2, errors.New("disk full"))
	if tr.Draw != 7 || tr.Chain != 2 || tr.Table != table || tr.Status != tracing.Failed || tr.Status.String() != "failed" || tr.Error != "disk full" ||
		len(tr.Sites) != 0 || !math.IsNaN(tr.LogWeight) || !math.IsNaN(tr.LogLikelihood) || !tr.Bad() {
		t.Errorf("%+v", tr)
	}
}

func TestLogAdd(t *testing.T) {
	for _, c := range [][3]float64{
		{0, 0, math.Ln2}, {math.Log(3), math.Log(4), math.Log(7)}, {-inf, 2, 2}, {2, -inf, 2}, {-inf, -inf, -inf}, {inf, 0, inf}, {0, inf, inf},
		{1e6, 1e6 + math.Log(3), 1e6 + math.Log(4)}, {-1e6, -2e6, -1e6},
	} {
		// A few roundings of the result.
		if got := tracing.LogAdd(c[0], c[1]); got != c[2] && !(math.Abs(got-c[2]) <= 4*math.Abs(c[2])*0x1p-53) {
			t.Errorf("%g and %g: %.17g, want %.17g", c[0], c[1], got, c[2])
		}
	}
}

// sink is a Writer made of a function.
type sink func(context.Context, *tracing.Trace) error

func (s sink) Write(ctx context.Context, t *tracing.Trace) error { return s(ctx, t) }

// A Tee hands each trace to all, in order, with the caller's context, and stops at the first error.
func TestTee(t *testing.T) {
	type key struct{}
	mine := context.WithValue(ctx, key{}, "mine")
	broken := errors.New("broken")
	var log []string
	to := func(name string, failAt uint64) sink {
		return func(c context.Context, tr *tracing.Trace) error {
			log = append(log, fmt.Sprint(name, tr.Draw, c.Value(key{})))
			if tr.Draw == failAt {
				return broken
			}
			return nil
		}
	}
	tee := tracing.Tee{to("a", 9), to("b", 2), to("c", 9)}
	for draw := range uint64(3) {
		if err := tee.Write(mine, &tracing.Trace{Draw: draw}); (draw == 2) != errors.Is(err, broken) {
			t.Errorf("draw %d: %v", draw, err)
		}
	}
	if want := []string{"a0mine", "b0mine", "c0mine", "a1mine", "b1mine", "c1mine", "a2mine", "b2mine"}; !slices.Equal(log, want) {
		t.Errorf("%v, want %v", log, want)
	}
	if err := (tracing.Tee{}).Write(ctx, nil); err != nil {
		t.Error(err)
	}
}
