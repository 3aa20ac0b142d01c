package inspect

import (
	"fmt"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

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
		if same && tolerance == 0 && a.Op != ppx.Tag && a.LogP != b.LogP && !(math.IsNaN(a.LogP) && math.IsNaN(b.LogP)) {
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
