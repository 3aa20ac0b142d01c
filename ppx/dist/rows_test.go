package dist

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// rowVector is an entry of testdata/dist/rows.json.
type rowVector struct {
	Kind   string
	Params []struct {
		Data  []number
		Shape []int32
	}
	Mean, Variance    []number
	X                 [][]float64
	LogProb           []number `json:"log_prob"`
	Seed, Draw        string
	Stream, Statement uint64
	Samples, Widened  [][]float64
}

func loadRows(t testing.TB) (rows []rowVector) {
	load(t, "rows.json", &rows)
	return rows
}

func (r *rowVector) dist(t testing.TB) Dist {
	d := Dist{Kind: kindOf(t, r.Kind)}
	for _, p := range r.Params {
		d.Params = append(d.Params, Tensor{Data: floats(p.Data), Shape: p.Shape})
	}
	if err := d.Check(); err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	return d
}

// repeated is n draws of d.
func repeated(d Dist, n int) Dist {
	out := Dist{Kind: d.Kind}
	for _, p := range d.Params {
		x := Tensor{Shape: append([]int32{int32(n)}, p.Shape...)}
		for range n {
			x.Data = append(x.Data, p.Data...)
		}
		out.Params = append(out.Params, x)
	}
	return out
}

// sizeOf is about how large the numbers are that a sample is a sum of.
func sizeOf(d *Dist, n int) float64 {
	sizes := make([]float64, n)
	shape, _ := d.Shape(nil)
	d.Roundings(shape, sizes)
	return slices.Max(append(sizes, 1e-300))
}

func TestRowsAgainstVectors(t *testing.T) {
	for _, r := range loadRows(t) {
		d := r.dist(t)
		for i, x := range r.X {
			shape, _ := d.Shape(nil)
			got, err := d.LogProb(Tensor{Data: x, Shape: shape})
			if err != nil || !near(got, float64(r.LogProb[i]), 1e-12, 1) {
				t.Errorf("%s at %v: log density %.17g, want %.17g (%v)", d, x, got, float64(r.LogProb[i]), err)
			}
			// The same by its coordinates, one after the other.
			if !d.Kind.Vector() || math.IsInf(got, 0) {
				continue
			}
			row := d.Rows(nil, 1)[0]
			c, back := make([]float64, row.Parts()), make([]float64, len(x))
			sum, ok := row.Split(x, c)
			if !ok {
				t.Errorf("%s: %v has no coordinates", d, x)
			}
			for k, v := range c {
				e := row.Part(k, c[:k])
				sum += e.LogProb(v)
			}
			// A share near 1 tells little of the others.
			if tol := 1e-9; d.Kind != Dirichlet && !near(sum, got, tol, 1) || !near(sum, got, 1e-6, 10) {
				t.Errorf("%s at %v: log density %.17g by coordinates, %.17g", d, x, sum, got)
			}
			row.Join(c, back)
			for k := range x {
				if !near(back[k], x[k], 1e-9, sizeOf(&d, len(x))+1e-9) {
					t.Errorf("%s: %v comes back as %v", d, x, back)
				}
			}
		}
		n := len(r.Mean)
		m, v := make([]float64, n), make([]float64, n)
		if err := errors.Join(d.Mean(m), d.Variance(v)); err != nil {
			t.Error(err)
		}
		for i := range m {
			if !near(m[i], float64(r.Mean[i]), 1e-12, math.Sqrt(v[i])) || !near(v[i], float64(r.Variance[i]), 1e-9, 1e-300) {
				t.Errorf("%s: mean %v, variance %v, want %v and %v", d, m, v, r.Mean, r.Variance)
			}
		}
		s := NewStream(parseWord(t, r.Seed, 10), r.Stream, r.Statement, parseWord(t, r.Draw, 10), PurposeValue)
		out := make([]float64, n)
		for i, want := range r.Samples {
			if err := d.Sample(&s, out); err != nil {
				t.Fatal(err)
			}
			for k := range out {
				if !near(out[k], want[k], 1e-11, 1e-3*sizeOf(&d, n)) {
					t.Errorf("%s, value %d: %v, want %v", d, i, out, want)
				}
			}
		}
		many := repeated(d, len(r.Widened))
		shape, err := many.Shape(nil)
		if err != nil {
			t.Fatal(err)
		}
		var w Widened
		out = make([]float64, n*len(r.Widened))
		s = NewStream(parseWord(t, r.Seed, 10), r.Stream, r.Statement, parseWord(t, r.Draw, 10), PurposeProposal)
		w.Sample(&many, shape, &s, out)
		for k, want := range slices.Concat(r.Widened...) {
			if !near(out[k], want, 1e-11, 1e-3*sizeOf(&d, n)) {
				t.Errorf("%s, widened: %v, want %v", d, out, r.Widened)
			}
		}
		// Flat, and back.
		flat := many.Flatten(nil, shape, len(out))
		if len(flat) != many.FlatLen(len(out)) {
			t.Errorf("%s: %d numbers, not %d", many, len(flat), many.FlatLen(len(out)))
		}
		var again Dist
		var room Shapes
		if !again.Unflatten(d.Kind, flat, shape, len(out), &room) {
			t.Errorf("%s: lost its parameters", many)
		}
		for i, p := range again.Params {
			if !p.Same(many.Params[i]) && len(p.Data) != len(many.Params[i].Data) {
				t.Errorf("%s comes back as %s", many, again)
			}
		}
	}
}

// A widened density must be that of its samples, whatever is drawn: by importance sampling it integrates what the family does.
func TestWidenedRowsAreTheirDensities(t *testing.T) {
	for _, r := range loadRows(t) {
		d := r.dist(t)
		if d.Coarse() || d.Kind == Factor || d.Kind == Multinomial && d.Params[0].Float() > 100 || d.Kind == Dirichlet && slices.Min(d.Params[0].Data) < 0.05 {
			continue
		}
		shape, _ := d.Shape(nil)
		x := make([]float64, len(r.Mean))
		var w Widened
		const n = 40_000
		sum, squares := 0.0, 0.0
		for i := range n {
			s := NewStream(7, 0, 0, uint64(i), PurposeProposal)
			w.Sample(&d, shape, &s, x)
			lp, err := d.LogProb(Tensor{Data: x, Shape: shape})
			if err != nil {
				t.Fatal(err)
			}
			v := math.Exp(lp - w.LogProb(&d, shape, x))
			sum += v
			squares += v * v
		}
		mean := sum / n
		if se := math.Sqrt(math.Max(squares/n-mean*mean, 0) / n); !(math.Abs(mean-1) <= 4*se+1e-12) {
			t.Errorf("%s: the family's mass is %.4f ± %.4f under its widened density", d, mean, se)
		}
	}
}

func TestInvalidRows(t *testing.T) {
	v := Vector
	matrix := func(x ...float64) Tensor { return Tensor{Data: x, Shape: []int32{2, 2}} }
	for _, c := range []struct {
		d    Dist
		want string
	}{
		{Dist{Dirichlet, []Tensor{v(1, 0, 2)}}, "Dirichlet: concentration[1] = 0 must be positive and finite"},
		{Dist{Dirichlet, []Tensor{Scalar(1)}}, "it needs a row of numbers for each draw"},
		{Dist{MultivariateNormal, []Tensor{v(0, 0), matrix(1, 0, 0, -1)}}, "scale_tril[3] = -1 must be positive and at most 1e150: it stands on the diagonal"},
		{Dist{MultivariateNormal, []Tensor{v(0, 0), matrix(1, 2, 0, 1)}}, "scale_tril[1] = 2 must be 0: it stands above the diagonal"},
		{Dist{MultivariateNormal, []Tensor{v(0, 0, 0), matrix(1, 0, 0, 1)}}, "not as many rows as loc has numbers"},
		{Dist{MultivariateNormal, []Tensor{v(0, 0), v(1, 1)}}, "it needs a square matrix for each draw"},
		{Dist{MultivariateNormal, []Tensor{v(0, 0), {Data: []float64{1, 2}, Shape: []int32{1, 2}}}}, "its matrices must be square"},
		{Dist{MultivariateStudentT, []Tensor{Scalar(0), v(0, 0), matrix(1, 0, 0, 1)}}, "df = 0 must be positive"},
		{Dist{Multinomial, []Tensor{Scalar(2.5), v(1, 1)}}, "total_count = 2.5 must be a whole number"},
		{Dist{Multinomial, []Tensor{Scalar(2), v(0, 0)}}, "probs = 0 begins a row whose sum is not positive and finite"},
		{Dist{Mixture, []Tensor{v(1, 4), v(1, 1), v(0, 1, 3)}}, "families[1] = 4 is not the number of a family of real numbers"},
		{Dist{DiscreteMixture, []Tensor{v(3), v(1), v(1)}}, "families = 3 is not the number of a family of integers"},
		{Dist{Mixture, []Tensor{v(1, 1), v(0, 0), v(0, 1, 0, 1)}}, "probs = 0 begins a row whose sum is not positive and finite"},
		{Dist{Mixture, []Tensor{v(1, 1), v(1, 1), v(0, 1, 0, -1)}}, "parameters[3] = -1 is the stddev of component 1, Normal: it must be positive and finite"},
		{Dist{Mixture, []Tensor{v(1, 1), v(1), v(0, 1, 0, -1)}}, "not as many numbers as there are components"},
		{Dist{Mixture, []Tensor{v(1, 1), v(1, 1), v(0, 1, 0)}}, "begins a row of 3 numbers, the components have 4"},
		{Dist{Empirical, []Tensor{v(1, 1), v(1, 1)}}, "values[1] = 1 must be above the number before it"},
		{Dist{Empirical, []Tensor{v(1, 2), v(1)}}, "not as long as that of the values"},
		{Dist{Histogram, []Tensor{v(1, 2), v(1, 2)}}, "not one shorter than that of the edges"},
		{Dist{Factor, []Tensor{Scalar(math.Inf(1))}}, "must be a number, or −Inf for a run that is impossible"},
	} {
		if err := c.d.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.d.Kind, err, c.want)
		}
	}
}

func TestBatchesOfRows(t *testing.T) {
	// Two means against one triangle.
	d := Dist{MultivariateNormal, []Tensor{{Data: []float64{0, 0, 5, 5}, Shape: []int32{2, 1, 2}}, {Data: []float64{1, 0, 0.5, 2, 3, 0, 0, 3, 1, 0, 0, 1}, Shape: []int32{3, 2, 2}}}}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	shape, err := d.Shape(nil)
	if err != nil || !slices.Equal(shape, []int32{2, 3, 2}) {
		t.Fatalf("values of shape %v (%v)", shape, err)
	}
	x := make([]float64, 12)
	s := NewStream(1, 2, 3, 4, 0)
	if err := d.Sample(&s, x); err != nil {
		t.Fatal(err)
	}
	sum, each := 0.0, make([]float64, 6)
	if err := d.LogProbs(x, each); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		one := Dist{MultivariateNormal, []Tensor{{Data: d.Params[0].Data[i/3*2 : i/3*2+2], Shape: []int32{2}}, {Data: d.Params[1].Data[i%3*4 : i%3*4+4], Shape: []int32{2, 2}}}}
		lp, err := one.LogProb(Vector(x[2*i : 2*i+2]...))
		if err != nil || !near(lp, each[i], 1e-13, 1) {
			t.Errorf("draw %d: %g, by itself %g (%v)", i, each[i], lp, err)
		}
		sum += lp
	}
	if got, err := d.LogProb(Tensor{Data: x, Shape: shape}); err != nil || !near(got, sum, 1e-13, 1) {
		t.Errorf("%g, want %g (%v)", got, sum, err)
	}
	if _, err := d.LogProb(Vector(1, 2, 3)); err == nil || !strings.Contains(err.Error(), "its last dimension must be 2") {
		t.Errorf("a value of three: %v", err)
	}
	m := Dist{Mixture, []Tensor{Vector(1, 1), Vector(0.25, 0.75), Vector(0, 1, 4, 2)}}
	if got, want := m.String(), "Mixture(0.25 Normal(mean=0, stddev=1), 0.75 Normal(mean=4, stddev=2))"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRowsCarryTheirNoise(t *testing.T) {
	for _, r := range loadRows(t) {
		d := r.dist(t)
		to := Dist{Kind: d.Kind}
		for i, p := range d.Params {
			to.Params = append(to.Params, p.Clone())
			if d.Kind.Vector() && i == kinds[d.Kind].rows.like && d.Kind != Dirichlet && d.Kind != Multinomial {
				to.Params[i].Data[0]++
			}
		}
		x := r.Samples[0]
		out := make([]float64, len(x))
		u := NewStream(1, 0, 0, 0, PurposeNoise)
		if kinds[d.Kind].rows == nil || !to.Carry(&d, x, &u, out) {
			continue
		}
		switch d.Kind {
		case MultivariateNormal, MultivariateStudentT:
			if !near(out[0], x[0]+1, 1e-9, sizeOf(&d, len(x))) {
				t.Errorf("%s: %v becomes %v, with one more in the first place", d, x, out)
			}
		default:
			if fmt.Sprint(out) != fmt.Sprint(x) {
				t.Errorf("%s: %v becomes %v", d, x, out)
			}
		}
	}
}

func TestCustomDistributionsAreTheSimulators(t *testing.T) {
	d := Dist{Custom, []Tensor{Scalar(-1.5), Vector()}}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	if lp, err := d.LogProb(Scalar(3)); err != nil || lp != -1.5 {
		t.Errorf("log density %g (%v)", lp, err)
	}
	s := NewStream(1, 2, 3, 4, 0)
	if err := d.Sample(&s, make([]float64, 1)); !errors.Is(err, ErrOwn) {
		t.Errorf("drawn: %v", err)
	}
	d.Params[0] = Scalar(math.NaN())
	if err := d.Check(); err == nil || !strings.Contains(err.Error(), "log_prob = NaN must be a log density") {
		t.Errorf("%v", err)
	}
	for _, n := range []int{0, 2} {
		d := Dist{DiscreteCustom, []Tensor{Scalar(-1), Vector(make([]float64, n)...)}}
		flat := d.Flatten(nil, nil, 1)
		var again Dist
		var room Shapes
		if !again.Unflatten(DiscreteCustom, flat, nil, 1, &room) || len(again.Params[1].Data) != n {
			t.Errorf("%d parameters come back as %v", n, again)
		}
	}
}
