// Package inspect looks into recorded traces and returns plain structs; others print them, as text, JSON
// or pictures.
package inspect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Address is what the traces of a run did at an address.
type Address struct {
	tracing.Address
	ID        int // in the order of first appearance
	Names     []string
	Control   bool   // some visit allowed a proposal
	Traces    uint64 // that passed it
	Visits    uint64
	Instances uint32  // most visits in one trace
	Mean      float64 // of one-element values, unweighted; NaN without any
	SD        float64
	values    float64
	m2        float64
	last      uint64
}

// maxNames bounds the names listed for an address.
const maxNames = 20

// Addresses returns every address in the order of first appearance.
func Addresses(ctx context.Context, r tracing.Reader) ([]Address, error) {
	var out []Address
	at := map[uint32]int{}
	n := uint64(0)
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		n++
		for i := range t.Sites {
			e := &t.Sites[i]
			k, ok := at[e.Address]
			if !ok {
				k = len(out)
				at[e.Address] = k
				out = append(out, Address{Address: t.Table.Address(e.Address), ID: k, last: math.MaxUint64})
			}
			a := &out[k]
			a.Visits++
			if a.last != n {
				a.last = n
				a.Traces++
			}
			a.Instances = max(a.Instances, e.Instance)
			a.Control = a.Control || e.Control
			if name := t.Table.Name(e.Name); name != "" && len(a.Names) < maxNames && !slices.Contains(a.Names, name) {
				a.Names = append(a.Names, name)
			}
			if v := t.Value(i); len(v.Data) == 1 {
				a.values++
				d := v.Data[0] - a.Mean
				a.Mean += d / a.values
				a.m2 += d * (v.Data[0] - a.Mean)
			}
		}
	}
	for i := range out {
		a := &out[i]
		a.SD = math.Sqrt(a.m2 / a.values)
		if a.values == 0 {
			a.Mean, a.SD = math.NaN(), math.NaN()
		}
	}
	return out, nil
}

// Type is a trace type: the traces that pass the same addresses in the same order, tags apart.
type Type struct {
	ID     uint64 // tracing.Trace.Type
	Traces uint64
	Weight float64 // fraction of the total weight
	Length int     // statements, tags included
	First  uint64  // the first draw of this type
	// Controlled is the number of Samples that allow a proposal.
	Controlled int
	logSum     float64
}

// Types returns the trace types, the most frequent first.
func Types(ctx context.Context, r tracing.Reader) ([]Type, error) {
	at := map[uint64]*Type{}
	total := math.Inf(-1)
	var rel tracing.Relative
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if t.Status != tracing.OK {
			continue
		}
		id := t.Type()
		x := at[id]
		if x == nil {
			x = &Type{ID: id, Length: len(t.Sites), First: t.Draw, logSum: math.Inf(-1)}
			for i := range t.Sites {
				if e := &t.Sites[i]; e.Op == ppx.Sample && e.Control {
					x.Controlled++
				}
			}
			at[id] = x
		}
		x.Traces++
		lw := rel.Of(t)
		x.logSum = tracing.LogAdd(x.logSum, lw)
		total = tracing.LogAdd(total, lw)
	}
	out := make([]Type, 0, len(at))
	for _, x := range at {
		x.Weight = math.Exp(x.logSum - total)
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b Type) int {
		return cmp.Or(cmp.Compare(b.Traces, a.Traces), cmp.Compare(a.First, b.First))
	})
	return out, nil
}

// Difference is one way in which a trace made again differs from the recorded one.
type Difference struct {
	Index int // of the statement; −1 for the trace as a whole
	What  string
}

func (d Difference) String() string {
	if d.Index < 0 {
		return d.What
	}
	return fmt.Sprintf("statement %d: %s", d.Index, d.What)
}

// Compare tells where two traces differ in what the simulator determines, given the same values:
// addresses, names, distributions, values, densities, the result. At most ten differences. Numbers may differ by a tolerance,
// relative to the largest that they are made of: 0 compares to the bit, and densities too; 1e-9 is that of two implementations of
// a sampler.
func Compare(want, got *tracing.Trace, tolerance float64) []Difference {
	var out []Difference
	add := func(i int, format string, args ...any) {
		if len(out) < 10 {
			out = append(out, Difference{i, fmt.Sprintf(format, args...)})
		}
	}
	for i := range min(len(want.Sites), len(got.Sites)) {
		a, b := &want.Sites[i], &got.Sites[i]
		la, lb := want.Table.Label(a.Key), got.Table.Label(b.Key)
		if la != lb || a.Op != b.Op {
			add(i, "%s at %s, recorded was %s at %s", b.Op, ppx.Quote(lb), a.Op, ppx.Quote(la))
			break // later statements are not comparable
		}
		if na, nb := want.Table.Name(a.Name), got.Table.Name(b.Name); na != nb {
			add(i, "name \"%s\", recorded was \"%s\"", ppx.Quote(nb), ppx.Quote(na))
		}
		name := ""
		if a.Name != 0 {
			name = ppx.Quote(want.Table.Name(a.Name)) + ": "
		}
		if a.Op == ppx.Sample && a.Control != b.Control {
			add(i, "%scontrol %v, recorded was %v", name, b.Control, a.Control)
		}
		da, db := want.Dist(i), got.Dist(i)
		scale, same := 0.0, true
		if len(da.Params) != len(db.Params) { // one was recorded without
			da.Params, db.Params = nil, nil
		}
		for k, p := range da.Params {
			for _, x := range p.Data {
				scale = math.Max(scale, math.Abs(x))
			}
			same = same && alike(p, db.Params[k], tolerance, 0)
		}
		if !same {
			add(i, "%s%s, recorded was %s", name, db, da)
		}
		va, vb := want.Value(i), got.Value(i)
		if !slices.Equal(va.Shape, vb.Shape) && len(va.Data) > 1 || !alike(va, vb, tolerance, scale) {
			add(i, "%svalue %s", name, apart(vb, va))
			same = false
		}
		if same && tolerance == 0 && a.LogP != b.LogP && !(math.IsNaN(a.LogP) && math.IsNaN(b.LogP)) {
			add(i, "%slog density %.17g, recorded was %.17g", name, b.LogP, a.LogP)
		}
	}
	if len(out) == 0 && len(want.Sites) != len(got.Sites) {
		add(-1, "%d statements, recorded were %d", len(got.Sites), len(want.Sites))
	}
	if !slices.Equal(want.Result.Shape, got.Result.Shape) && len(want.Result.Data) > 1 || !alike(want.Result, got.Result, tolerance, 0) {
		add(-1, "result %s", apart(got.Result, want.Result))
	}
	return out
}

// alike tells whether two tensors have the same elements; those that are written once and as often as needed are the same.
func alike(a, b ppx.Tensor, tolerance, scale float64) bool {
	if len(a.Data) == 1 && len(b.Data) > 1 {
		a, b = b, a
	}
	if len(a.Data) != len(b.Data) && !(len(b.Data) == 1 && len(a.Data) > 0) {
		return false
	}
	for i, x := range a.Data {
		y := b.Data[min(i, len(b.Data)-1)]
		if x == y || x != x && y != y {
			continue
		}
		if !(math.Abs(x-y) <= tolerance*math.Max(scale, math.Max(math.Abs(x), math.Abs(y)))) {
			return false
		}
	}
	return true
}

// apart shows two tensors to the digits that tell them apart.
func apart(got, want ppx.Tensor) string {
	a, b := got.String(), want.String()
	if a == b && len(got.Data) == len(want.Data) {
		for i, x := range got.Data {
			if y := want.Data[i]; x != y {
				return fmt.Sprintf("%.17g at element %d, recorded was %.17g", x, i, y)
			}
		}
	}
	return a + ", recorded was " + b
}
