package head

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

const components = 4

// priors is ordinary and extreme members of every kind.
var priors = []Prior{
	{Kind: dist.Normal, Args: args{1, 2}}, {Kind: dist.Normal, Args: args{-1e6, 1e-3}},
	{Kind: dist.Uniform, Args: args{-1, 3}}, {Kind: dist.Uniform, Args: args{1e6, 1e6 + 1}},
	{Kind: dist.Categorical, Rows: rows3{{0.2, 0, 0.5, 3}}}, {Kind: dist.Categorical, Rows: rows3{{1}}},
	{Kind: dist.Poisson, Args: args{4}}, {Kind: dist.Poisson, Args: args{0.05}}, {Kind: dist.Poisson, Args: args{3000}},
	{Kind: dist.Bernoulli, Args: args{0.3}}, {Kind: dist.Bernoulli, Args: args{1e-6}},
	{Kind: dist.Beta, Args: args{2, 3}}, {Kind: dist.Beta, Args: args{0.3, 0.6}}, {Kind: dist.Beta, Args: args{200, 4000}},
	{Kind: dist.Exponential, Args: args{2}}, {Kind: dist.Gamma, Args: args{2.5, 3}}, {Kind: dist.Gamma, Args: args{0.3, 0.01}},
	{Kind: dist.LogNormal, Args: args{0.5, 0.4}}, {Kind: dist.Weibull, Args: args{2, 1.7}}, {Kind: dist.Weibull, Args: args{0.1, 0.5}},
	{Kind: dist.Binomial, Args: args{12, 0.3}}, {Kind: dist.Binomial, Args: args{1, 0.9}}, {Kind: dist.Binomial, Args: args{4000, 0.97}},
	{Kind: dist.TruncatedNormal, Args: args{0, 1, -1, 2}}, {Kind: dist.TruncatedNormal, Args: args{3, 2, 0, math.Inf(1)}}, {Kind: dist.TruncatedNormal, Args: args{0, 1, math.Inf(-1), -3}},
	{Kind: dist.TruncatedNormal, Args: args{0, 1, 8, 20}}, {Kind: dist.TruncatedNormal, Args: args{1, 2, math.Inf(-1), math.Inf(1)}}, {Kind: dist.TruncatedNormal, Args: args{0, 1e6, 5, 6}},
	{Kind: dist.HalfNormal, Args: args{2}}, {Kind: dist.StudentT, Args: args{4, 1, 2}}, {Kind: dist.StudentT, Args: args{1.5, 0, 1}}, {Kind: dist.Cauchy, Args: args{1, 2}},
	{Kind: dist.Laplace, Args: args{0, 1}}, {Kind: dist.Logistic, Args: args{-3, 0.1}}, {Kind: dist.Pareto, Args: args{2, 3}}, {Kind: dist.InverseGamma, Args: args{3, 2}},
	{Kind: dist.VonMises, Args: args{3, 0.5}}, {Kind: dist.LogUniform, Args: args{1e-3, 10}}, {Kind: dist.NegativeBinomial2, Args: args{4, 1.5}}, {Kind: dist.NegativeBinomial2, Args: args{300, 3}},
	{Kind: dist.Geometric, Args: args{0.2}}, {Kind: dist.DiscreteUniform, Args: args{-7, 12}}, {Kind: dist.ZeroInflatedPoisson, Args: args{0.2, 5}},
	{Kind: dist.ZeroInflatedNegativeBinomial2, Args: args{0.1, 6, 3}}, {Kind: dist.BetaBinomial, Args: args{2, 3, 30}},
	{Kind: dist.Mixture, Rows: rows3{{1, 1}, {0.3, 0.7}, {-2, 1, 3, 0.5}}}, {Kind: dist.Mixture, Rows: rows3{{8, 7, 9}, {1, 2, 1}, {2, 3, 0.5, 0, 0.3}}},
	{Kind: dist.Mixture, Rows: rows3{{2, 6}, {1, 3}, {0.5, 1, 2, 2}}}, {Kind: dist.Mixture, Rows: rows3{{15, 1}, {0.1, 0.9}, {0, 1, 2, 1}}},
	{Kind: dist.DiscreteMixture, Rows: rows3{{4, 4, 24}, {2, 0, 3}, {2, 7, 5, 9}}}, {Kind: dist.DiscreteMixture, Rows: rows3{{10, 24}, {2, 3}, {5, 0.5, -3, -1}}},
	{Kind: dist.Empirical, Rows: rows3{{-1, 0, 2.5, 7}, {0.2, 0, 0.5, 3}}}, {Kind: dist.Empirical, Rows: rows3{{4}, {2}}},
	{Kind: dist.Histogram, Rows: rows3{{-1, 0, 2.5, 7}, {0.2, 0, 3}}},
}

type (
	args  = [dist.MaxArgs]float64
	rows3 = [dist.MaxArgs][]float64
)

func family(t testing.TB, p *Prior) Family {
	t.Helper()
	f, err := New(p.Kind, components, len(p.Rows[0]))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rows is zeros, and rows of random numbers that become larger.
func rows(f Family, n int) [][]float64 {
	r := rand.New(rand.NewPCG(1, 2))
	out := [][]float64{make([]float64, f.Outputs())}
	for i := 1; i < n; i++ {
		row := make([]float64, f.Outputs())
		for k := range row {
			row[k] = r.NormFloat64() * float64(i) / 2
		}
		out = append(out, row)
	}
	return out
}

func stream(n int) dist.Stream { return dist.NewStream(9, 0, uint64(n), 0, dist.PurposeProposal) }

// values is draws from the prior and from the proposal.
func values(f Family, p *Prior, row []float64) []float64 {
	var xs []float64
	for i := range 8 {
		s := stream(i)
		xs = append(xs, p.Sample(&s))
		s = stream(100 + i)
		xs = append(xs, f.Sample(p, row, &s))
	}
	return xs
}

// Gradients against central differences.
func TestGradients(t *testing.T) {
	// Kernels of the last ones go beyond what doubles have, or to where the prior's density underflows.
	for _, p := range append(slices.Clone(priors), Prior{Kind: dist.Beta, Args: args{0.03, 0.36}}, Prior{Kind: dist.LogNormal, Args: args{300, 150}},
		Prior{Kind: dist.Normal, Args: args{1e308, 2e307}}, Prior{Kind: dist.Weibull, Args: args{1, 1000}}) {
		f := family(t, &p)
		grad := make([]float64, f.Outputs())
		for _, row := range rows(f, 6) {
			for _, x := range values(f, &p, row) {
				lp := f.LogProb(&p, row, x, grad)
				if again := f.LogProb(&p, row, x, nil); lp != again {
					t.Errorf("%v at %g: %g with gradient, %g without", p, x, lp, again)
				}
				for k := range row {
					const h = 1e-5
					keep := row[k]
					row[k] = keep + h
					up := f.LogProb(&p, row, x, nil)
					row[k] = keep - h
					down := f.LogProb(&p, row, x, nil)
					row[k] = keep
					// The truncation is of order h², the rounding of order ε·|lp|/h.
					want := (up - down) / (2 * h)
					if !(math.Abs(grad[k]-want) <= 1e-4*math.Max(1, math.Abs(want))+1e-10*math.Abs(lp)) {
						t.Fatalf("%v at %g, output %d: gradient %g, by differences %g", p, x, k, grad[k], want)
					}
				}
			}
		}
	}
}

// A proposal never neglects what the prior can do, and zeros resemble the prior.
func TestProposalsCoverThePrior(t *testing.T) {
	for _, p := range priors {
		f := family(t, &p)
		for i, row := range rows(f, 8) {
			for _, x := range values(f, &p, row) {
				lq, lp := f.LogProb(&p, row, x, nil), p.LogProb(x)
				if !(lp-lq <= -math.Log(MinPrior)+1e-9) {
					t.Errorf("%v at %g: prior %g, proposal %g", p, x, lp, lq)
				}
			}
			if i > 0 {
				continue
			}
			// The divergence of the prior from what a row of zeros proposes, in nats.
			sum, n := 0.0, 2000
			for k := range n {
				s := stream(k)
				x := p.Sample(&s)
				sum += p.LogProb(x) - f.LogProb(&p, row, x, nil)
			}
			if kl := sum / float64(n); kl > 0.8 {
				t.Errorf("%v: zeros are %.2f nats from the prior", p, kl)
			}
		}
	}
}

// What is drawn follows the density: for any two densities q and g, E_q[g/(q + g)] = E_g[q/(q + g)], both
// between 0 and 1. Here they are two rows of one family.
func TestSamplesFollowTheDensity(t *testing.T) {
	const n = 15_000
	for _, p := range priors {
		f := family(t, &p)
		all := rows(f, 4)
		for i, row := range all[1:] {
			other := all[0]
			var sum, sum2 float64
			for k := range n {
				s := stream(k)
				x := f.Sample(&p, row, &s)
				lq := f.LogProb(&p, row, x, nil)
				if math.IsInf(lq, 0) || lq != lq {
					t.Fatalf("%v: drew %g with density %g", p, x, lq)
				}
				g := f.LogProb(&p, other, x, nil)
				r := math.Exp(g - logSumExp(g, lq)) // g/(g + q)
				sum += r
				sum2 += r * r
			}
			// E_q[g/(g+q)] = E_g[q/(g+q)], by symmetry: draw from g as well.
			var back, back2 float64
			for k := range n {
				s := stream(n + k)
				x := f.Sample(&p, other, &s)
				lq, g := f.LogProb(&p, row, x, nil), f.LogProb(&p, other, x, nil)
				r := math.Exp(lq - logSumExp(g, lq))
				back += r
				back2 += r * r
			}
			a, b := sum/n, back/n
			se := math.Sqrt((sum2/n-a*a)/n + (back2/n-b*b)/n)
			if !(math.Abs(a-b) <= 4.5*se+1e-12) {
				t.Errorf("%v, row %d: %.5f and %.5f differ by more than 4.5 standard errors of %.5f", p, i+1, a, b, se)
			}
		}
	}
}

// The mass of a proposal is one: sums for the counts, the trapezoidal rule in the space of the kernels for the
// others.
func TestProposalsIntegrateToOne(t *testing.T) {
	for _, p := range priors {
		f := family(t, &p)
		for i, row := range rows(f, 4) {
			total := 0.0
			switch {
			case p.Kind.Discrete():
				lo, hi := 0, 40_000
				if p.Kind == dist.Categorical {
					hi = len(p.Rows[0]) - 1
				} else if low, high := p.Support(); high < 40_000 {
					lo, hi = int(low), int(high)
				}
				for k := lo; k <= hi; k++ {
					total += math.Exp(f.LogProb(&p, row, float64(k), nil))
				}
			case p.Kind == dist.Empirical:
				for _, x := range p.Rows[0] {
					total += math.Exp(f.LogProb(&p, row, x, nil))
				}
			default:
				sp := f.(mixture).space(&p)
				const steps = 40_000
				low, high := sp.location-60*sp.scale, sp.location+60*sp.scale
				if _, ok := f.(mixture).kernel.(truncatedKernel); ok {
					low, high = 0, 1
				}
				h := (high - low) / steps
				for k := range steps {
					u := low + (float64(k)+0.5)*h
					x := sp.from(u)
					if p.Kind == dist.Beta && x == belowOne || x == math.MaxFloat64 {
						continue // beyond what doubles resolve
					}
					if v := math.Exp(f.LogProb(&p, row, x, nil) - sp.logSlope(x)); !math.IsInf(v, 0) {
						total += v * h
					}
				}
			}
			// Wide kernels of a Beta have mass that doubles do not resolve near 1, and a Cauchy has it beyond sixty scales.
			if !(math.Abs(total-1) < 2e-3) && !(p.Kind == dist.Beta && total < 1 && total > 0.85) && !(p.Kind == dist.Cauchy && total < 1 && total > 0.99) {
				t.Errorf("%v, row %d: mass %.6f", p, i, total)
			}
		}
	}
}

func TestDegeneratePriors(t *testing.T) {
	for _, p := range []Prior{{Kind: dist.Poisson, Args: args{0}}, {Kind: dist.Binomial, Args: args{0, 0.5}}, {Kind: dist.Binomial, Args: args{7, 1}},
		{Kind: dist.Bernoulli, Args: args{0}}, {Kind: dist.Bernoulli, Args: args{1}}, {Kind: dist.Categorical, Rows: rows3{{0, 2, 0}}}} {
		f := family(t, &p)
		for _, row := range rows(f, 3) {
			s := stream(1)
			x := f.Sample(&p, row, &s)
			grad := make([]float64, f.Outputs())
			if lp := f.LogProb(&p, row, x, grad); math.Abs(lp) > 1e-12 {
				t.Errorf("%v: %g has log probability %g", p, x, lp)
			}
			for _, g := range grad {
				if math.Abs(g) > 1e-12 {
					t.Errorf("%v: gradient %v", p, grad)
				}
			}
		}
	}
	if _, err := New(dist.None, 10, 0); err == nil {
		t.Error("a proposal for nothing")
	}
}

func BenchmarkLogProbWithGradient(b *testing.B) {
	for _, p := range []Prior{priors[0], priors[2], priors[6], priors[11], priors[15]} {
		b.Run(p.Kind.String(), func(b *testing.B) {
			f, _ := New(p.Kind, 10, 0)
			row := rows(f, 2)[1]
			grad := make([]float64, f.Outputs())
			s := stream(1)
			x := p.Sample(&s)
			b.ReportAllocs()
			for b.Loop() {
				f.LogProb(&p, row, x, grad)
			}
		})
	}
}

// Summaries are the moments of the coordinate, by sampling, and rows to begin with are near the prior.
func TestSummary(t *testing.T) {
	for _, p := range []Prior{
		{Kind: dist.Normal, Args: args{3, 2}}, {Kind: dist.Uniform, Args: args{-1, 5}}, {Kind: dist.Exponential, Args: args{3}}, {Kind: dist.Gamma, Args: args{0.7, 2}},
		{Kind: dist.LogNormal, Args: args{1, 0.3}}, {Kind: dist.Weibull, Args: args{2, 1.5}}, {Kind: dist.Beta, Args: args{2, 0.6}}, {Kind: dist.Poisson, Args: args{6}},
		{Kind: dist.Binomial, Args: args{20, 0.3}},
		{Kind: dist.HalfNormal, Args: args{2}}, {Kind: dist.StudentT, Args: args{9, 1, 2}}, {Kind: dist.Laplace, Args: args{1, 2}}, {Kind: dist.Logistic, Args: args{1, 2}}, {Kind: dist.Pareto, Args: args{2, 3}},
		{Kind: dist.InverseGamma, Args: args{3, 2}}, {Kind: dist.LogUniform, Args: args{1, 9}}, {Kind: dist.NegativeBinomial2, Args: args{6, 4}}, {Kind: dist.Geometric, Args: args{0.2}},
		{Kind: dist.DiscreteUniform, Args: args{-7, 12}}, {Kind: dist.ZeroInflatedPoisson, Args: args{0.2, 5}}, {Kind: dist.ZeroInflatedNegativeBinomial2, Args: args{0.1, 6, 3}},
		{Kind: dist.BetaBinomial, Args: args{2, 3, 30}}, {Kind: dist.TruncatedNormal, Args: args{1, 2, math.Inf(-1), math.Inf(1)}},
	} {
		location, scale := Summary(&p)
		var n, sum, squares float64
		s := dist.NewStream(1, 0, 0, 0, 0)
		for range 40000 {
			u := Coordinate(p.Kind, p.Sample(&s))
			n++
			sum += u
			squares += (u - location) * (u - location)
		}
		if mean := sum / n; math.Abs(mean-location) > 4*scale/math.Sqrt(n) {
			t.Errorf("%v: the mean is %g, not %g", p, mean, location)
		}
		if sd := math.Sqrt(squares / n); math.Abs(sd/scale-1) > 0.05 {
			t.Errorf("%v: the standard deviation is %g, not %g", p, sd, scale)
		}
		f, err := New(p.Kind, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float64, f.Outputs())
		f.Init(row)
		loss := 0.0
		for range 1000 {
			x := p.Sample(&s)
			loss += p.LogProb(x) - f.LogProb(&p, row, x, nil)
		}
		if loss/1000 > 0.7 {
			t.Errorf("%v: before training the proposal is %.2g nats from the prior", p, loss/1000)
		}
	}
	for _, x := range []float64{0, 1, math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		for k := dist.Normal; k < dist.NumKinds; k++ {
			if u := Coordinate(k, x); math.IsNaN(u) || math.IsInf(u, 0) {
				t.Errorf("%v: the coordinate of %g is %g", k, x, u)
			}
		}
	}
}
