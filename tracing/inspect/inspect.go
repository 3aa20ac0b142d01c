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
		for i := range t.Entries {
			e := &t.Entries[i]
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
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if t.Status == tracing.Failed {
			continue
		}
		id := t.Type()
		x := at[id]
		if x == nil {
			x = &Type{ID: id, Length: len(t.Entries), First: t.Draw, logSum: math.Inf(-1)}
			for i := range t.Entries {
				if e := &t.Entries[i]; e.Op == ppx.Sample && e.Control {
					x.Controlled++
				}
			}
			at[id] = x
		}
		x.Traces++
		if !t.Bad() {
			x.logSum = tracing.LogAdd(x.logSum, t.LogWeight)
			total = tracing.LogAdd(total, t.LogWeight)
		}
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
// addresses, names, distributions, values, densities, the result. At most ten differences.
func Compare(want, got *tracing.Trace) []Difference {
	var out []Difference
	add := func(i int, format string, args ...any) {
		if len(out) < 10 {
			out = append(out, Difference{i, fmt.Sprintf(format, args...)})
		}
	}
	for i := range min(len(want.Entries), len(got.Entries)) {
		a, b := &want.Entries[i], &got.Entries[i]
		la, lb := want.Table.Label(a.Key), got.Table.Label(b.Key)
		if la != lb || a.Op != b.Op {
			add(i, "%s at %s, recorded was %s at %s", b.Op, ppx.Quote(lb), a.Op, ppx.Quote(la))
			break // everything after it is another story
		}
		if na, nb := want.Table.Name(a.Name), got.Table.Name(b.Name); na != nb {
			add(i, "name %q, recorded was %q", ppx.Quote(nb), ppx.Quote(na))
		}
		if a.Op == ppx.Sample && a.Control != b.Control {
			add(i, "control %v, recorded was %v", b.Control, a.Control)
		}
		if va, vb := want.Value(i), got.Value(i); !equal(va.Data, vb.Data) {
			add(i, "value %v, recorded was %v", vb, va)
		}
		if a.LogP != b.LogP && !(math.IsNaN(a.LogP) && math.IsNaN(b.LogP)) {
			add(i, "log density %g, recorded was %g", b.LogP, a.LogP)
		}
	}
	if len(out) == 0 && len(want.Entries) != len(got.Entries) {
		add(-1, "%d statements, recorded were %d", len(got.Entries), len(want.Entries))
	}
	if !equal(want.Result.Data, got.Result.Data) {
		add(-1, "result %v, recorded was %v", got.Result, want.Result)
	}
	return out
}

func equal(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || (x != x && y != y) })
}
