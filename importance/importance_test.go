package importance_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collect is a sink that keeps what a function says of each trace.
type collect func(*tracing.Trace)

func (c collect) Write(_ context.Context, t *tracing.Trace) error { c(t); return nil }

func sample(t *testing.T, model ppx.Model, workers int, c importance.Config, sink collect) (*posterior.Summary, importance.Outcome) {
	t.Helper()
	x := engine.NewLocal(model, workers)
	defer x.Close()
	sum := posterior.NewSummary()
	out, err := importance.Run(context.Background(), x, &c, control.NewNames(c.Data, c.Condition, nil), sum, sink)
	if err != nil {
		t.Fatal(err)
	}
	return sum, out
}

func variable(t *testing.T, s *posterior.Summary, name string) posterior.Variable {
	t.Helper()
	for _, v := range s.Variables() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no variable %s", name)
	return posterior.Variable{}
}

// Importance sampling from the prior reproduces every exact posterior of the bank; with prior inflation
// too.
func TestExactPosteriors(t *testing.T) {
	for _, inflation := range []float64{0, 0.5} {
		for _, c := range enginetest.Cases() {
			t.Run(fmt.Sprintf("%s/inflation=%g", c.Name, inflation), func(t *testing.T) {
				minESS := 400.0
				if c.ESSRatio < 0.1 {
					minESS = 100
				}
				n := uint64(1.4 * minESS / c.ESSRatio)
				if inflation > 0 {
					n *= 2
				}
				w := enginetest.NewWeighted(&c)
				sum, _ := sample(t, c.Model, 0, importance.Config{Seed: 1, N: n, Data: c.Data, Condition: true, Inflation: inflation},
					func(tr *tracing.Trace) { w.Add(enginetest.Values(tr), tr.LogWeight) })
				w.Check(t, minESS)
				if inflation == 0 {
					// The ESS of a few hundred effective traces is itself uncertain, by some ten per cent.
					if r := sum.Weights.ESS() / float64(n) / c.ESSRatio; r < 0.6 || r > 1.6 {
						t.Errorf("ESS/N is %.3g times its limit", r)
					}
				}
			})
		}
	}
}

// Σ LogQ under inflation is the log density of a mixture, so no weight is above 1/(1−ε) times the
// likelihood; and the mean of the weights without data is 1.
func TestInflationBoundsTheWeights(t *testing.T) {
	families := []gosim.Dist{
		gosim.Normal(1, 2), gosim.Uniform(-1, 3), gosim.Categorical(1, 0, 2, 5), gosim.Poisson(3.5), gosim.Poisson(60), gosim.Poisson(0),
		gosim.Bernoulli(0.3), gosim.Bernoulli(1), gosim.Beta(2, 3), gosim.Beta(0.5, 0.7), gosim.Exponential(2), gosim.Gamma(25, 3), gosim.Gamma(0.4, 1),
		gosim.LogNormal(0.5, 0.4), gosim.Binomial(12, 0.3), gosim.Binomial(400, 0.7), gosim.Binomial(0, 0.5), gosim.Weibull(2, 1.7), gosim.Weibull(2, 0.5),
		gosim.TruncatedNormal(0, 1, -1, 2), gosim.TruncatedNormal(0, 1, 6, math.Inf(1)), gosim.HalfNormal(2), gosim.StudentT(4, 1, 2), gosim.Cauchy(0, 1), gosim.Laplace(0, 1), gosim.Logistic(1, 2),
		gosim.Pareto(2, 3), gosim.InverseGamma(3, 2), gosim.VonMises(1, 4), gosim.LogUniform(1, 9), gosim.NegativeBinomial(3, 0.4), gosim.NegativeBinomial2(40, 3), gosim.Geometric(0.3), gosim.DiscreteUniform(-3, 8),
		gosim.ZeroInflatedPoisson(0.2, 4), gosim.ZeroInflatedNegativeBinomial(0.2, 3, 0.5), gosim.BetaBinomial(2, 3, 20), gosim.ChiSquared(5),
		gosim.Tensors(dist.Normal, gosim.Vector(1, 2, 3), gosim.Scalar(1)),
		gosim.Tensors(dist.Categorical, gosim.NewTensor([]float64{1, 2, 0, 3}, 2, 2)),
	}
	for _, eps := range []float64{0.5, 0.2} {
		for i, d := range families {
			model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor { return r.SampleTensor("x", d) })
			limit := -math.Log1p(-eps) + 1e-9
			sum, _ := sample(t, model, 1, importance.Config{Seed: 3, N: 20000, Inflation: eps}, func(tr *tracing.Trace) {
				if !(tr.LogWeight <= limit) {
					t.Errorf("family %d: log weight %g of draw %d is above %g", i, tr.LogWeight, tr.Draw, limit)
				}
			})
			se := sum.Weights.LogEvidenceSE()
			if z := sum.Weights.LogEvidence(); !(math.Abs(z) <= 4*se+1e-12) {
				t.Errorf("family %d, ε %g: log of the mean weight %g ± %g, want 0", i, eps, z, se)
			}
		}
		chain := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
			x := 0.0
			for range 200 {
				x = r.Sample("", gosim.Normal(x, 1))
			}
			return gosim.Scalar(x)
		})
		sum, _ := sample(t, chain, 0, importance.Config{Seed: 3, N: 2000, Inflation: eps}, func(tr *tracing.Trace) {
			if !(tr.LogWeight <= -math.Log1p(-eps)+1e-9) {
				t.Errorf("200 sites: log weight %g", tr.LogWeight)
			}
		})
		if ess := sum.Weights.ESS() / 2000; ess < (1-eps)*0.9 {
			t.Errorf("200 sites: ESS/N %g with ε = %g", ess, eps)
		}
	}
}

// Tempering: with β the posterior of gum is that of an observation noise of variance 2/β.
func TestLikelihoodImportance(t *testing.T) {
	const beta, n = 0.25, 40000
	c := enginetest.Cases()[2] // gum(4,3)
	sum, _ := sample(t, c.Model, 0, importance.Config{Seed: 5, N: n, Data: c.Data, Condition: true, LikelihoodImportance: beta}, func(*tracing.Trace) {})
	precision := 1/5.0 + beta*2/2.0
	want, sd := (1/5.0+beta*7/2.0)/precision, math.Sqrt(1/precision)
	v := variable(t, sum, "mu")
	if se := sd / math.Sqrt(sum.Weights.ESS()); math.Abs(v.Mean-want) > 4*se || sum.Weights.ESS() < 400 {
		t.Errorf("mean %g ± %g, want %g (ESS %g)", v.Mean, se, want, sum.Weights.ESS())
	}
}

// The same seed gives the same traces whatever the number of workers.
func TestWorkersDoNotMatter(t *testing.T) {
	for _, c := range enginetest.Cases() {
		var want []string
		for _, workers := range []int{1, 2, 8} {
			var got []string
			sample(t, c.Model, workers, importance.Config{Seed: 9, N: 300, Data: c.Data, Condition: true}, func(tr *tracing.Trace) {
				got = append(got, testbed.Fingerprint(tr))
			})
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d workers differ from 1", c.Name, workers)
			}
		}
	}
}

// The table against sums written out.
func TestSummaryAgainstDefinitions(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		n := r.Sample("n", gosim.Poisson(3))
		if n > 3 {
			r.Sample("maybe", gosim.Normal(n, 1))
		}
		for range 2 {
			r.Tag("twice", x*n)
		}
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.NewTensor([]float64{x, n, x + n, x - n}, 2, 2)
	})
	type row struct {
		x, n, maybe, w float64
		has            bool
	}
	var rows []row
	const draws = 3000
	sum, _ := sample(t, model, 0, importance.Config{Seed: 2, N: draws, Data: control.Data{"y": dist.Scalar(1)}, Condition: true}, func(tr *tracing.Trace) {
		v := enginetest.Values(tr)
		m, has := v["maybe"]
		rows = append(rows, row{v["x"], v["n"], m, math.Exp(tr.LogWeight), has})
	})
	var w, w2, mean, present, pm, three float64
	for _, r := range rows {
		w += r.w
		w2 += r.w * r.w
		mean += r.w * r.x
		if r.has {
			present += r.w
			pm += r.w * r.maybe
		}
		if r.n == 3 {
			three += r.w
		}
	}
	mean /= w
	var variance, se2 float64
	for _, r := range rows {
		variance += r.w / w * (r.x - mean) * (r.x - mean)
		se2 += r.w / w * r.w / w * (r.x - mean) * (r.x - mean)
	}
	check := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-10*(1+math.Abs(want)) {
			t.Errorf("%s: %.15g, by definition %.15g", what, got, want)
		}
	}
	x := variable(t, sum, "x")
	check("ESS", sum.Weights.ESS(), w*w/w2)
	check("log evidence", sum.Weights.LogEvidence(), math.Log(w/draws))
	check("mean", x.Mean, mean)
	check("sd", x.SD, math.Sqrt(variance))
	check("standard error", x.MeanSE, math.Sqrt(se2))
	maybe := variable(t, sum, "maybe")
	check("present", maybe.Present, present/w)
	check("conditional mean", maybe.Mean, pm/present)
	n := variable(t, sum, "n")
	if n.Kind != posterior.Discrete || n.Values[3].Value != 3 {
		t.Fatalf("n: %+v", n)
	}
	check("P(n=3)", n.Values[3].Probability, three/w)
	check("mean of tag", variable(t, sum, "twice@2").Mean, variable(t, sum, "twice").Mean)
	check("result[0,0]", variable(t, sum, "result[0,0]").Mean, mean)
	for _, p := range []struct{ q, v float64 }{{0.05, x.Q05}, {0.5, x.Q50}, {0.95, x.Q95}} {
		below, at := 0.0, 0.0
		for _, r := range rows {
			if r.x < p.v {
				below += r.w
			}
			if r.x <= p.v {
				at += r.w
			}
		}
		if below/w >= p.q || at/w < p.q {
			t.Errorf("quantile %g: the weight is %g below and %g up to it", p.q, below/w, at/w)
		}
	}
	vars := sum.Variables()
	if last := vars[len(vars)-1].Name; last != "result[1,1]" {
		t.Errorf("the table ends with %s", last)
	}
}

// Beyond the sketch's limit, quantiles keep their rank.
func TestQuantilesOfManyTraces(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor { return gosim.Scalar(r.Sample("x", gosim.Uniform(0, 1))) })
	const n = 400000
	sum, _ := sample(t, model, 0, importance.Config{Seed: 2, N: n}, func(*tracing.Trace) {})
	v := variable(t, sum, "x")
	for _, p := range []struct{ q, v float64 }{{0.05, v.Q05}, {0.5, v.Q50}, {0.95, v.Q95}} {
		if limit := 4*math.Sqrt(p.q*(1-p.q)/n) + 0.001; math.Abs(p.v-p.q) > limit {
			t.Errorf("quantile %g is %g", p.q, p.v)
		}
	}
}

func TestStoppingRules(t *testing.T) {
	c := enginetest.Cases()[2]
	sum, out := sample(t, c.Model, 4, importance.Config{Seed: 1, N: 1e9, Data: c.Data, Condition: true, TargetESS: 500}, func(*tracing.Trace) {})
	if out.Stopped != "target ESS" || sum.Weights.ESS() < 500 || out.Drawn != sum.Weights.N || out.Drawn != 2000 {
		t.Errorf("%+v, ESS %g", out, sum.Weights.ESS())
	}
	_, out = sample(t, c.Model, 4, importance.Config{Seed: 1, N: 1e9, MaxTime: 3e7}, func(*tracing.Trace) {})
	if out.Stopped != "time limit" || out.Drawn == 0 {
		t.Errorf("%+v", out)
	}
}

// Reported standard errors are those that repetitions show: of the mean, and of quantiles, whose weights
// depend on the values.
func TestStandardErrorsAgainstRepetitions(t *testing.T) {
	const n, times = 2000, 120
	c := enginetest.Cases()[2] // gum(4,3)
	x := engine.NewLocal(c.Model, 2)
	defer x.Close()
	type figure struct{ sum, sum2, se float64 }
	figures := map[string]*figure{}
	for rep := range times {
		cfg := importance.Config{Seed: uint64(100 + rep), N: n, Data: c.Data, Condition: true}
		sum := posterior.NewSummary()
		if _, err := importance.Run(context.Background(), x, &cfg, control.NewNames(cfg.Data, cfg.Condition, nil), sum, collect(func(*tracing.Trace) {})); err != nil {
			t.Fatal(err)
		}
		v := variable(t, sum, "mu")
		for name, p := range map[string][2]float64{"mean": {v.Mean, v.MeanSE}, "q05": {v.Q05, v.Q05SE}, "q50": {v.Q50, v.Q50SE}, "q95": {v.Q95, v.Q95SE}} {
			f := figures[name]
			if f == nil {
				f = new(figure)
				figures[name] = f
			}
			f.sum += p[0]
			f.sum2 += p[0] * p[0]
			f.se += p[1]
		}
	}
	for name, f := range figures {
		mean := f.sum / times
		sd := math.Sqrt(f.sum2/times - mean*mean)
		// The repetitions' sd has a relative error of 1/√(2·120); four of them, and a little for the quantiles'
		// finite differences.
		if r := f.se / times / sd; math.Abs(math.Log(r)) > 4/math.Sqrt(2*times)+0.1 {
			t.Errorf("%s: reported %.4f, repetitions %.4f", name, f.se/times, sd)
		}
	}
}

// One value that is no number does not wipe out its variable's row: the figures are of the others, and how many they are is said.
func TestNaNValuesDoNotHide(t *testing.T) {
	i := 0
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		if i++; i%20 == 0 {
			x = math.NaN()
		} else if i%20 == 1 {
			x = math.Inf(1)
		}
		r.Tag("t", x)
		return gosim.Tensor{}
	})
	mean, n := 0.0, 0.0
	sum, _ := sample(t, model, 1, importance.Config{Seed: 1, N: 200}, func(tr *tracing.Trace) {
		if x := tr.Value(1).Float(); !math.IsNaN(x) && !math.IsInf(x, 0) {
			n++
			mean += x
		}
	})
	if v := variable(t, sum, "t"); math.Abs(v.Mean-mean/n) > 1e-12 || math.Abs(v.Finite-0.9) > 1e-12 || v.Present != 1 || v.ESS != 180 || math.IsNaN(v.Q05SE) {
		t.Errorf("%+v", v)
	}
	if w := sum.Warnings(); len(w) != 1 || !strings.Contains(w[0], "t is NaN or infinite in traces with 10 % of the weight") {
		t.Errorf("%q", w)
	}
	if v := variable(t, sum, "x"); math.IsNaN(v.Q50) {
		t.Errorf("%+v", v)
	}
}

func TestNamesOfData(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Tag("t", x)
		r.Observe("y", gosim.Normal(x, 1))
		r.Observe("y", gosim.Normal(x, 1))
		r.Observe("z@3", gosim.Normal(x, 1)) // a name that looks like an occurrence
		return gosim.Tensor{}
	})
	at := func(tr *tracing.Trace) (v []float64) {
		for i := range tr.Sites {
			if tr.Sites[i].Op == ppx.Observe && tr.Sites[i].Origin == tracing.FromData {
				v = append(v, tr.Value(i).Float())
			}
		}
		return v
	}
	for _, c := range []struct {
		data control.Data
		want string
		warn int
	}{
		{control.Data{"y": dist.Scalar(1)}, "[1 1]", 1},
		{control.Data{"y": dist.Scalar(1), "y@2": dist.Scalar(2)}, "[1 2]", 1},
		{control.Data{"z@3": dist.Scalar(3), "y": dist.Scalar(1)}, "[1 1 3]", 0},
		{control.Data{"y": dist.Scalar(1), "z@3": dist.Scalar(3), "t": dist.Scalar(0)}, "[1 1 3]", 1},
	} {
		cfg := importance.Config{Seed: 1, N: 20, Data: c.data, Condition: true}
		names := control.NewNames(cfg.Data, cfg.Condition, nil)
		sample(t, model, 1, cfg, func(tr *tracing.Trace) {
			if err := names.Add(tr); err != nil {
				t.Error(err)
			}
			if got := fmt.Sprint(at(tr)); got != c.want {
				t.Errorf("%v: %s, want %s", c.data, got, c.want)
			}
		})
		if w := names.Warnings(); len(w) != c.warn {
			t.Errorf("%v: %q", c.data, w)
		}
	}
}

// Weights of inflated draws average 1 also at the ends of what doubles hold.
func TestInflationAtExtremeParameters(t *testing.T) {
	for i, d := range []gosim.Dist{
		gosim.Binomial(10, 1e-15), gosim.Binomial(9e15, 0.3), gosim.Poisson(1e15), gosim.Poisson(1e-309), gosim.Normal(0, 1e308),
		gosim.Exponential(1e-308), gosim.LogNormal(0, 500), gosim.Gamma(1e-3, 1), gosim.Beta(1e-3, 1e-3), gosim.Weibull(1, 0.01),
		gosim.Poisson(1e8), gosim.Binomial(1e8, 1e-6), gosim.Gamma(1e8, 1), gosim.LogNormal(0, 5), gosim.Weibull(1, 0.3),
	} {
		model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor { r.Sample("", d); return gosim.Scalar(r.Sample("", d)) })
		sum, _ := sample(t, model, 2, importance.Config{Seed: 3, N: 20000, Inflation: 0.5}, func(*tracing.Trace) {})
		if z, se := sum.Weights.LogEvidence(), sum.Weights.LogEvidenceSE(); !(math.Abs(z) <= 4*se+1e-6) || sum.Weights.Bad > 0 {
			t.Errorf("distribution %d: log of the mean weight %g ± %g, %d bad", i, z, se, sum.Weights.Bad)
		}
	}
}
