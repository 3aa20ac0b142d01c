package posterior_test

import (
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// k̂ against an independent implementation of the same papers in numpy, on log weights at equally spaced
// probabilities of a Pareto distribution with shape α.
func TestKhatAgainstReference(t *testing.T) {
	for _, c := range []struct {
		n           int
		alpha, khat float64
	}{
		{50, 0.2, 0.345128689466},
		{50, 0.5, 0.462920262887},
		{50, 0.9, 0.618494112796},
		{50, 1.5, 0.851252813272},
		{200, 0.2, 0.275774192645},
		{200, 0.5, 0.49527707055},
		{200, 0.9, 0.787696363307},
		{200, 1.5, 1.22662217034},
		{1000, 0.2, 0.236787735858},
		{1000, 0.5, 0.497085961263},
		{1000, 0.9, 0.844266433403},
		{1000, 1.5, 1.3650358987},
	} {
		w := posterior.NewWeights()
		for i := range c.n {
			// In another order than sorted: every 7th, as 7 divides none of the sizes.
			u := (float64(i*7%c.n) + 0.5) / float64(c.n)
			w.Add(-c.alpha*math.Log1p(-u)-1000, 0)
		}
		if got := w.Khat(); math.Abs(got-c.khat) > 1e-9 {
			t.Errorf("n %d, shape %g: k̂ %.12g, want %.12g", c.n, c.alpha, got, c.khat)
		}
	}
}

// Weights that are all of a size have no heavy tail, whatever the sizes of their excesses over each other.
func TestKhatOfBoundedWeights(t *testing.T) {
	const n = 10000
	for name, x := range map[string]func(u float64) float64{
		"Gamma(0.001, 1)":   func(u float64) float64 { return math.Min(30, math.Exp(1000*math.Log(u)+0.5)) },
		"LogNormal(0, 100)": func(u float64) float64 { return math.Exp(100 * math.Sqrt2 * math.Erfinv(2*u-1)) },
		"0 and 1":           func(u float64) float64 { return math.Round(u*0.6) + 1e-9*u },
	} {
		w := posterior.NewWeights()
		for i := range n {
			d := 1 - x((float64(i*7%n)+0.5)/n)
			w.Add(-d*d/2, 0)
		}
		if k := w.Khat(); k > 0.5 {
			t.Errorf("likelihoods Normal(1; %s, 1): k̂ %.2f with ESS %.0f", name, k, w.ESS())
		}
	}
	w := posterior.NewWeights() // but one draw among many may carry all
	for i := range n {
		w.Add(-1.2*math.Log1p(-(float64(i)+0.5)/n), 0)
	}
	if k := w.Khat(); k < 1 {
		t.Errorf("k̂ %.2f of a tail of shape 1.2", k)
	}
	// Failed draws are zeros: the tail is the largest of all draws.
	for range 3 * n {
		w.AddFailed()
	}
	z := posterior.NewWeights()
	for i := range 4 * n {
		if i < n {
			z.Add(-1.2*math.Log1p(-(float64(i)+0.5)/n), 0)
		} else {
			z.Add(math.Inf(-1), 0)
		}
	}
	if a, b := w.Khat(), z.Khat(); a != b || w.LogEvidence() != z.LogEvidence() || w.LogEvidenceSE() != z.LogEvidenceSE() {
		t.Errorf("k̂ %g, log evidence %g ± %g; as zeros %g, %g ± %g", a, w.LogEvidence(), w.LogEvidenceSE(), b, z.LogEvidence(), z.LogEvidenceSE())
	}
}

func TestWeightsAtTheEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for name, c := range map[string]struct {
		lw              []float64
		ess, logZ, khat float64
		zero, bad       uint64
	}{
		"none":           {nil, 0, nan, nan, 0, 0},
		"one":            {[]float64{-3}, 1, -3, nan, 0, 0},
		"equal":          {[]float64{2, 2, 2, 2}, 4, 2, nan, 0, 0},
		"all zero":       {[]float64{-inf, -inf}, 0, -inf, nan, 2, 0},
		"one in three":   {[]float64{-inf, 1, -inf}, 1, 1 - math.Log(3), nan, 2, 0},
		"bad ones":       {[]float64{0, nan, inf, 0}, 2, -math.Log(2), nan, 0, 2},
		"beyond doubles": {[]float64{5000, 5000 + math.Log(3)}, 1.6, 5000 + math.Log(2), nan, 0, 0},
		"and below":      {[]float64{-5000, -9000}, 1, -5000 - math.Log(2), nan, 0, 0},
	} {
		w := posterior.NewWeights()
		for _, lw := range c.lw {
			w.Add(lw, 0)
		}
		same := func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-12*math.Abs(b) || (a != a && b != b) }
		if !same(w.ESS(), c.ess) || !same(w.LogEvidence(), c.logZ) || !same(w.Khat(), c.khat) || w.Zero != c.zero || w.Bad != c.bad || w.N != uint64(len(c.lw)) {
			t.Errorf("%s: ESS %v, log evidence %v, k̂ %v, %+v", name, w.ESS(), w.LogEvidence(), w.Khat(), w)
		}
	}
}

// Systematic resampling: each index ⌊n·w̄⌋ or ⌈n·w̄⌉ times, n·w̄ times on average.
func TestResample(t *testing.T) {
	inf := math.Inf(1)
	lw := []float64{math.Log(0.5), -inf, math.Log(0.25), math.NaN(), math.Log(0.2), inf, math.Log(0.05), -inf}
	p := []float64{0.5, 0, 0.25, 0, 0.2, 0, 0.05, 0}
	const n, times = 7, 4000
	sum := make([]float64, len(p))
	for i := range times {
		s := dist.NewStream(1, 0, 0, uint64(i), dist.PurposeResample)
		got, err := posterior.Resample(lw, n, &s)
		if err != nil || len(got) != n {
			t.Fatal(got, err)
		}
		count := make([]float64, len(p))
		for k, j := range got {
			count[j]++
			if k > 0 && got[k-1] > j {
				t.Fatal("not ascending")
			}
		}
		for j := range p {
			if c := count[j]; c < math.Floor(n*p[j]-1e-9) || c > math.Ceil(n*p[j]+1e-9) {
				t.Fatalf("index %d appears %g times, %g expected", j, c, n*p[j])
			}
			sum[j] += count[j]
		}
	}
	for j := range p {
		f := n*p[j] - math.Floor(n*p[j])
		if se := math.Sqrt(f * (1 - f) / times); math.Abs(sum[j]/times-n*p[j]) > 4*se+1e-9 {
			t.Errorf("index %d: %g times on average, want %g ± %g", j, sum[j]/times, n*p[j], se)
		}
	}
	s := dist.NewStream(1, 0, 0, 0, 0)
	if _, err := posterior.Resample([]float64{-inf, math.NaN()}, 3, &s); err == nil {
		t.Error("no positive weight: no error")
	}
}
