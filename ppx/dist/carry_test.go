package dist

import (
	"math"
	"testing"
)

// A value that is carried from one distribution to another is a draw of that, in the same place of it: carried back, a continuous one is what it was, and of two
// the larger stays the larger.
func TestCarry(t *testing.T) {
	const n = 10_000
	for _, c := range [][2]Dist{
		{New(Normal, 3, 2), New(Normal, -1, 0.5)}, {New(Uniform, 0, 1), New(Uniform, 5, 9)}, {New(Exponential, 2), New(Exponential, 0.3)}, {New(LogNormal, 0, 1), New(LogNormal, 1, 0.4)},
		{New(Weibull, 2, 0.8), New(Weibull, 0.5, 3)}, {New(Gamma, 2, 1), New(Gamma, 2, 5)}, {New(Gamma, 0.4, 1), New(Gamma, 7, 2)}, {New(Beta, 2, 3), New(Beta, 0.7, 0.9)},
		{New(Bernoulli, 0.3), New(Bernoulli, 0.8)}, {New(Categorical, 0.2, 0.5, 0.3), New(Categorical, 4, 0, 6)},
		{New(Poisson, 3), New(Poisson, 4)}, {New(Poisson, 0.2), New(Poisson, 400)}, {New(Binomial, 20, 0.3), New(Binomial, 50, 0.9)}, {New(Binomial, 5, 0.5), New(Binomial, 0, 0.5)},
		{New(TruncatedNormal, 0, 1, 0, 2), New(TruncatedNormal, 1, 3, -1, math.Inf(1))}, {New(TruncatedNormal, 0, 1, 7, 9), New(TruncatedNormal, 0, 1, -1, 1)}, {New(HalfNormal, 1), New(HalfNormal, 3)},
		{New(StudentT, 7, 0, 1), New(StudentT, 7, 3, 2)}, {New(StudentT, 7, 0, 1), New(StudentT, 12, 3, 2)}, {New(Laplace, 0, 1), New(Laplace, 3, 2)}, {New(Logistic, 0, 1), New(Logistic, 3, 2)},
		{New(Pareto, 1, 3), New(Pareto, 2, 9)}, {New(InverseGamma, 3, 1), New(InverseGamma, 9, 2)}, {New(LogUniform, 1, 10), New(LogUniform, 0.1, 0.5)},
		{New(NegativeBinomial2, 3, 2), New(NegativeBinomial2, 9, 0.7)}, {New(NegativeBinomial2, 3, 2), New(NegativeBinomial2, 0, 1)}, {New(Geometric, 0.3), New(Geometric, 0.7)}, {New(DiscreteUniform, 0, 9), New(DiscreteUniform, -5, 40)},
		{New(ZeroInflatedPoisson, 0.3, 4), New(ZeroInflatedPoisson, 0.1, 9)}, {New(ZeroInflatedNegativeBinomial2, 0.3, 4, 2), New(ZeroInflatedNegativeBinomial2, 0.1, 9, 1)}, {New(BetaBinomial, 2, 3, 20), New(BetaBinomial, 1, 1, 9)},
	} {
		from, to := c[0], c[1]
		draw, u := NewStream(1, 0, 0, 0, 0), NewStream(2, 0, 0, 0, 0)
		x, y, z := []float64{0}, []float64{0}, []float64{0}
		mean, variance := []float64{0}, []float64{0}
		if err := to.Mean(mean); err != nil {
			t.Fatal(err)
		}
		if err := to.Variance(variance); err != nil {
			t.Fatal(err)
		}
		s1, s2, s4 := 0.0, 0.0, 0.0
		lastX, lastY := 0.0, 0.0
		for i := range n {
			if err := from.Sample(&draw, x); err != nil {
				t.Fatal(err)
			}
			if !to.Carry(&from, x, &u, y) || !to.InSupport(Scalar(y[0])) {
				t.Fatalf("%v to %v: %g comes to %g", from, to, x[0], y[0])
			}
			if i > 0 && (x[0]-lastX)*(y[0]-lastY) < 0 {
				t.Fatalf("%v to %v: %g comes to %g, and %g to %g", from, to, x[0], y[0], lastX, lastY)
			}
			lastX, lastY = x[0], y[0]
			if !from.Kind.Discrete() {
				if !from.Carry(&to, y, &u, z) || math.Abs(z[0]-x[0]) > 1e-7*(math.Abs(x[0])+1e-3) {
					t.Fatalf("%v: %.17g comes back from %v as %.17g (by %g)", from, x[0], to, z[0], y[0])
				}
			}
			d := y[0] - mean[0]
			s1, s2, s4 = s1+d, s2+d*d, s4+d*d*d*d
		}
		s1, s2, s4 = s1/n, s2/n, s4/n
		if math.Abs(s1) > 4*math.Sqrt(variance[0]/n)+1e-12 || math.Abs(s2-variance[0]) > 4*math.Sqrt((s4-s2*s2)/n)+1e-12 {
			t.Errorf("%v to %v: mean off by %g, variance %g, exact %g", from, to, s1, s2, variance[0])
		}
		if same := from; !same.Carry(&from, x, &u, y) || y[0] != x[0] {
			t.Errorf("%v: %g becomes %g", from, x[0], y[0])
		}
	}
	// A shift is exact; tensors go element by element, and what is the same of them stays.
	u := NewStream(2, 0, 0, 0, 0)
	from, to := Dist{Normal, []Tensor{Vector(0, 1, 2), Scalar(0.5)}}, Dist{Normal, []Tensor{Vector(0, 1, 3), Scalar(0.5)}}
	out := make([]float64, 3)
	if !to.Carry(&from, []float64{0.1, 0.2, 7}, &u, out) || out[0] != 0.1 || out[1] != 0.2 || out[2] != 8 {
		t.Errorf("%v", out)
	}
	// Far out, on both sides.
	for _, c := range []struct {
		from, to Dist
		x, want  float64
	}{
		{New(Gamma, 2, 1), New(Gamma, 3, 1), 60, 63.530495}, // P(X > x) is 61·exp(−60) of both
		{New(Poisson, 3), New(Poisson, 3.0000001), 40, 40},
		{New(Binomial, 1000, 0.5), New(Binomial, 1000, 0.50000001), 750, 750},
	} {
		if !c.to.Carry(&c.from, []float64{c.x}, &u, out[:1]) || math.Abs(out[0]-c.want) > 1e-4*c.want {
			t.Errorf("%v to %v: %g comes to %g, want %g", c.from, c.to, c.x, out[0], c.want)
		}
	}
	// What cannot be.
	gone, poisson := New(Uniform, 0, 1), New(Poisson, 1)
	if to := New(Uniform, 0, 2); to.Carry(&gone, []float64{1.5}, &u, out[:1]) || to.Carry(&poisson, []float64{1}, &u, out[:1]) || to.Carry(&gone, []float64{0.5, 0.5}, &u, out[:2]) {
		t.Error("an impossible value is carried")
	}
	if to := New(Categorical, 1, 1); to.Carry(&Dist{Categorical, []Tensor{Vector(1, 0)}}, []float64{1}, &u, out[:1]) {
		t.Error("a category without probability is carried")
	}
}
