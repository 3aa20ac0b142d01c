package mcmc

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/families"
	"github.com/ppx-engine/ppx-engine/tracing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testbed.Clean()
	os.Exit(code)
}

// run makes chains and returns what f says of each kept trace, by chain.
func run(t *testing.T, model ppx.Model, k *Kernel, chains, warmup, keep int, f func(*tracing.Trace) []float64) (out [][][]float64) {
	t.Helper()
	x := engine.NewLocal(model, 2)
	defer x.Close()
	return runOn(t, x, k, chains, warmup, keep, f)
}

// runOn is that with simulators.
func runOn(t *testing.T, x engine.Executor, k *Kernel, chains, warmup, keep int, f func(*tracing.Trace) []float64) (out [][][]float64) {
	t.Helper()
	out = make([][][]float64, chains)
	var wg sync.WaitGroup
	for c := range chains {
		wg.Go(func() {
			ctx, chain := context.Background(), uint32(c)+1
			s, err := k.Start(ctx, x, chain)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range warmup + keep {
				if s, _, err = k.Step(ctx, x, chain, uint64(i), s, i < warmup); err != nil {
					t.Error(err)
					return
				}
				if i >= warmup {
					out[c] = append(out[c], f(s.Trace))
				}
			}
		})
	}
	wg.Wait()
	return out
}

// column is one number of each draw, by chain.
func column(draws [][][]float64, i int) (out [][]float64) {
	for _, c := range draws {
		var x []float64
		for _, d := range c {
			x = append(x, d[i])
		}
		out = append(out, x)
	}
	return out
}

// within checks a mean against the exact one by its own Monte Carlo error, which must be small enough to say something; that of a rare event, which may not have
// come once, is not below that of independent draws with the exact standard deviation.
func within(t *testing.T, what string, chains [][]float64, want, sd, most float64) {
	t.Helper()
	f := posterior.Chains(chains)
	n, mean := 0.0, 0.0
	for _, c := range chains {
		for _, v := range c {
			mean += v
			n++
		}
	}
	mean /= n
	f.MCSE = math.Max(f.MCSE, sd/math.Sqrt(n))
	if !(math.Abs(mean-want) <= 4*f.MCSE+1e-12) || f.MCSE > most {
		t.Errorf("%s: %g ± %g, exact %g (ESS %.0f, R̂ %.3f)", what, mean, f.MCSE, want, f.Mean, f.Rhat)
	}
}

// Both kernels have every exact posterior of the bank as their limit.
func TestExactPosteriors(t *testing.T) {
	for name, k := range map[string]Kernel{"lmh": {}, "rmh": {Walk: 0.5}, "ic-mh": {Walk: 0.5, Whole: 0.25, Guided: 0.25}} {
		for _, c := range enginetest.Cases() {
			t.Run(c.Name+"/"+name, func(t *testing.T) {
				k.Seed, k.Data, k.Condition = 1, c.Data, true
				if k.Whole > 0 {
					x := engine.NewLocal(c.Model, 1)
					defer x.Close()
					k.Guide, k.Alpha = enginetest.Untrained(t, x, c.Data, 0.3), 0.1
				}
				k := NewKernel(k)
				exact(t, c, run(t, c.Model, k, 4, 500, 6000, figures(c)), 0.2)
			})
		}
	}
}

// figures is what of a case's traces has an exact posterior.
func figures(c enginetest.Case) func(*tracing.Trace) []float64 {
	return func(tr *tracing.Trace) (x []float64) {
		v := enginetest.Values(tr)
		for _, e := range c.Want {
			x = append(x, e.Of(v))
		}
		return x
	}
}

// exact compares them with it; errors may be a share of the standard deviation.
func exact(t *testing.T, c enginetest.Case, draws [][][]float64, most float64) {
	t.Helper()
	for i, e := range c.Want {
		within(t, c.Name+", "+e.Label, column(draws, i), e.Mean, e.SD, math.Max(most*e.SD, 1e-3))
	}
}

// A value that has left its support is kept, and the move rejected: to draw it anew would bias the chain (P = 0.337).
func TestValuesOutsideTheirSupportAreKept(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		s := 0.5 + 0.5*r.Sample("s", gosim.Categorical(1, 1))
		u := r.Sample("u", gosim.Uniform(0, s))
		r.Observe("y", gosim.Normal(u, 0.15))
		return gosim.Scalar(s)
	})
	for _, walk := range []float64{0, 0.5} {
		k := NewKernel(Kernel{Seed: 3, Data: control.Data{"y": dist.Scalar(0.35)}, Walk: walk})
		draws := run(t, model, k, 8, 200, 8000, func(tr *tracing.Trace) []float64 { return []float64{enginetest.Values(tr)["s"]} })
		within(t, fmt.Sprintf("P(s = 1), walk %g", walk), column(draws, 0), 0.373196, 0.484, 0.008)
	}
}

// Walks in every family, vectors, and statements that come and go: against importance sampling with a hundred times the draws, and sites that the data say nothing
// of against their priors.
func TestAllFamilies(t *testing.T) {
	data := control.Data{"y": dist.Scalar(1), "count": dist.Scalar(5), "coin": dist.Scalar(4), "z": dist.Vector(0.5, 1.5)}
	names := []string{"normal", "uniform", "poisson", "bernoulli", "beta", "exponential", "gamma", "lognormal", "binomial", "weibull", "categorical"}
	of := func(tr *tracing.Trace) (x []float64) {
		v := enginetest.Values(tr)
		for _, n := range names {
			x = append(x, v[n])
		}
		for i := range tr.Sites {
			if tr.Table.Name(tr.Sites[i].Name) == "vector" {
				x = append(x, tr.Value(i).Data...)
			}
		}
		return x
	}
	model := gosim.Wrap(enginetest.Families)
	x := engine.NewLocal(model, 2)
	defer x.Close()
	var sums, squares []float64
	total, total2 := 0.0, 0.0
	stack := engine.Stack{control.NewCondition(data, true), control.Prior{}}
	for tr, err := range x.Stream(context.Background(), engine.Draws(9, 0, 150000, func(engine.Draw) engine.Stack { return stack }), nil) {
		if err != nil {
			t.Fatal(err)
		}
		v, w := of(tr), math.Exp(tr.LogWeight)
		if sums == nil {
			sums, squares = make([]float64, len(v)), make([]float64, len(v))
		}
		for i, y := range v {
			sums[i] += w * y
			squares[i] += w * y * y
		}
		total += w
		total2 += w * w
	}
	k := NewKernel(Kernel{Seed: 5, Data: data, Condition: true, Walk: 0.5})
	draws := run(t, model, k, 8, 1500, 6000, of)
	for i := range sums {
		mean := sums[i] / total
		se := math.Sqrt((squares[i]/total - mean*mean) * total2 / total / total)
		f := posterior.Chains(column(draws, i))
		got, n := 0.0, 0.0
		for _, c := range column(draws, i) {
			for _, v := range c {
				got += v
				n++
			}
		}
		if got /= n; math.Abs(got-mean) > 4*math.Hypot(se, f.MCSE) || f.Mean < 100 {
			t.Errorf("number %d: %g ± %g, importance sampling %g ± %g (ESS %.0f)", i, got, f.MCSE, mean, se, f.Mean)
		}
	}
}

// Chains have the exact posteriors of all families beyond the eleven.
func TestMoreFamilies(t *testing.T) {
	for of, cases := range map[string][]families.Case{"": families.Cases, "made ": families.Made} {
		data := control.Data{}
		var want []enginetest.Exact
		for i := range cases {
			c := &cases[i]
			data["y_"+c.Name] = dist.Scalar(c.Y)
			want = append(want, enginetest.ExactPrior(c))
		}
		for name, walk := range map[string]float64{"lmh": 0, "rmh": 0.5} {
			k := NewKernel(Kernel{Seed: 7, Data: data, Condition: true, Walk: walk})
			draws := run(t, gosim.Wrap(families.PriorsOf(cases)), k, 8, 1000, 12_000, func(tr *tracing.Trace) (x []float64) {
				v := enginetest.Values(tr)
				for i := range cases {
					x = append(x, v[cases[i].Variable()])
				}
				return x
			})
			for i, e := range want {
				within(t, of+name+": "+cases[i].Name, column(draws, i), e.Mean, e.SD, e.SD/10)
			}
		}
	}
}

// The densities of walks are those of what they draw: E_q[h] by quadrature over the support against draws, and they integrate to 1.
func TestWalksHaveTheirDensities(t *testing.T) {
	for _, c := range []struct {
		d    ppx.Dist
		from float64
	}{
		{dist.New(dist.Normal, 1, 2), 0.3}, {dist.New(dist.Uniform, -1, 3), 2.8}, {dist.New(dist.Beta, 2, 3), 0.1}, {dist.New(dist.Exponential, 2), 0.2},
		{dist.New(dist.Gamma, 2, 1), 3}, {dist.New(dist.LogNormal, 0, 1), 0.5}, {dist.New(dist.Weibull, 1, 2), 1}, {dist.New(dist.Poisson, 3), 1}, {dist.New(dist.Binomial, 6, 0.4), 5},
		{dist.New(dist.TruncatedNormal, 0, 1, -1, 2), 1.9}, {dist.New(dist.TruncatedNormal, 0, 1, math.Inf(-1), 1), 0.5}, {dist.New(dist.TruncatedNormal, 0, 1, 0.5, math.Inf(1)), 0.6},
		{dist.New(dist.HalfNormal, 2), 1}, {dist.New(dist.StudentT, 1.5, 1, 2), 0}, {dist.New(dist.Cauchy, 0, 1), 3}, {dist.New(dist.Pareto, 2, 0.5), 3}, {dist.New(dist.InverseGamma, 1, 1), 2},
		{dist.New(dist.VonMises, 0, 1), 3}, {dist.New(dist.LogUniform, 0.01, 100), 0.05}, {dist.New(dist.NegativeBinomial2, 4, 2), 3}, {dist.New(dist.Geometric, 0.3), 0}, {dist.New(dist.DiscreteUniform, -5, 5), 4},
		{dist.New(dist.ZeroInflatedPoisson, 0.3, 4), 2}, {dist.New(dist.BetaBinomial, 2, 3, 20), 20},
		{mixture(dist.Mixture, []float64{1, 15}, []float64{1, 2}, 0, 1, 4, 2), 1}, {mixture(dist.DiscreteMixture, []float64{4, 23}, []float64{1, 2}, 3, 0.2), 1},
		{ppx.Dist{Kind: dist.Histogram, Params: []ppx.Tensor{dist.Vector(0, 1, 4), dist.Vector(1, 3)}}, 0.5},
	} {
		w, ok := newWalker(&c.d, 1)
		if !ok {
			t.Errorf("%s has no walk", c.d.Kind)
			continue
		}
		for _, scale := range []float64{0.1, 0.5, 3} {
			from, to := []float64{c.from}, []float64{0}
			h := func(x float64) float64 { return math.Tanh(x - c.from) }
			total, mean, second := 0.0, 0.0, 0.0
			add := func(x, dx float64) {
				p := math.Exp(w.logProb(from, []float64{x}, scale)) * dx
				total += p
				mean += p * h(x)
				second += p * h(x) * h(x)
			}
			e := &w.elements[0]
			lo, hi := e.lo, e.hi
			switch {
			case e.discrete:
				for x := lo; x <= math.Min(hi, 60); x++ {
					add(x, 1)
				}
			case e.half(): // in the logarithm
				for u := -40.0; u < 30; u += 0.001 {
					x := math.Exp(u)
					add(lo+x, x*0.001)
				}
			case e.ratios:
				for u := math.Log(lo) + 0.0005; u < math.Log(hi); u += 0.001 {
					add(math.Exp(u), math.Exp(u)*0.001)
				}
			default:
				lo, hi = math.Max(lo, c.from-60), math.Min(hi, c.from+60)
				const n = 400000
				for i := range n {
					add(lo+(float64(i)+0.5)*(hi-lo)/n, (hi-lo)/n)
				}
			}
			if math.Abs(total-1) > 1e-4 {
				t.Errorf("%s, scale %g: the density integrates to %g", c.d.Kind, scale, total)
			}
			const n = 20000
			got := 0.0
			for i := range uint64(n) {
				s := dist.NewStream(1, 0, 0, i, 0)
				w.sample(&s, from, scale, to)
				if to[0] < e.lo || to[0] > e.hi {
					t.Fatalf("%s: %g is outside", c.d.Kind, to[0])
				}
				got += h(to[0]) / n
			}
			if se := math.Sqrt((second - mean*mean) / n); math.Abs(got-mean) > 4*se+1e-4 {
				t.Errorf("%s, scale %g: mean %g ± %g, by quadrature %g", c.d.Kind, scale, got, se, mean)
			}
		}
	}
	for _, d := range []ppx.Dist{dist.New(dist.Bernoulli, 0.5), {Kind: dist.Empirical, Params: []ppx.Tensor{dist.Vector(1, 2), dist.Vector(1, 1)}}} {
		if _, ok := newWalker(&d, 1); ok {
			t.Errorf("%s has a walk", d.Kind)
		}
	}
}

// mixture is one of the given families, in proportion to probs.
func mixture(k dist.Kind, families, probs []float64, parameters ...float64) ppx.Dist {
	return ppx.Dist{Kind: k, Params: []ppx.Tensor{dist.Vector(families...), dist.Vector(probs...), dist.Vector(parameters...)}}
}

// Walks of draws that are rows have their densities: a family's mass, by their draws with weights, is 1.
func TestWalksOfRowsHaveTheirDensities(t *testing.T) {
	tril := ppx.Tensor{Data: []float64{2, 0, 1.5, 0.5}, Shape: []int32{2, 2}}
	for _, d := range []ppx.Dist{
		{Kind: dist.Dirichlet, Params: []ppx.Tensor{dist.Vector(2, 3, 4)}},
		{Kind: dist.MultivariateNormal, Params: []ppx.Tensor{dist.Vector(1, -1), tril}},
		{Kind: dist.MultivariateStudentT, Params: []ppx.Tensor{dist.Scalar(8), dist.Vector(1, -1), tril}},
		{Kind: dist.Multinomial, Params: []ppx.Tensor{dist.Scalar(9), dist.Vector(1, 2, 3)}},
	} {
		shape, err := d.Shape(nil)
		if err != nil {
			t.Fatal(err)
		}
		size := int(shape[0])
		from, to := make([]float64, size), make([]float64, size)
		s := dist.NewStream(5, 0, 0, 0, 0)
		if err := d.Sample(&s, from); err != nil {
			t.Fatal(err)
		}
		w, ok := newWalker(&d, size)
		if !ok {
			t.Fatalf("%s has no walk", d)
		}
		const n = 40_000
		sum, squares := 0.0, 0.0
		for i := range uint64(n) {
			s := dist.NewStream(1, 0, 0, i, 0)
			w.sample(&s, from, 3, to)
			lp, err := d.LogProb(ppx.Tensor{Data: to, Shape: shape})
			if err != nil {
				t.Fatal(err)
			}
			x := math.Exp(lp - w.logProb(from, to, 3))
			sum += x / n
			squares += x * x / n
		}
		if se := math.Sqrt((squares - sum*sum) / n); !(math.Abs(sum-1) < 4*se) {
			t.Errorf("%s: mass %.4f ± %.4f", d, sum, se)
		}
	}
}

// Chains on simulators, delegated and statement by statement, are those in this process, to rounding: on all models in C++, on two of them with every client.
func TestChainsOverSockets(t *testing.T) {
	kernels := map[string]Kernel{"lmh": {}, "rmh": {Walk: 0.5}}
	enginetest.OnClients(t, 1, func(c enginetest.Case) func(enginetest.Client, *engine.Pool) {
		want := map[string][][]float64{}
		local := engine.NewLocal(c.Model, 1)
		for name, k := range kernels {
			var accepted int
			want[name], accepted = chainOn(t, local, k, c.Data)
			if accepted < 3 || accepted > 299 {
				t.Errorf("%s, %s: %d of 300 steps are accepted", c.Name, name, accepted)
			}
		}
		if err := local.Close(); err != nil {
			t.Fatal(err)
		}
		return func(client enginetest.Client, p *engine.Pool) {
			for name, k := range kernels {
				got, _ := chainOn(t, p, k, c.Data)
				if text := enginetest.Apart(got, want[name]); text != "" {
					t.Fatalf("%s, %s, %s, and in process: %s", c.Name, name, client, text)
				}
			}
		}
	})
}

// With a network, whose addresses are those of its client: chains on C++ simulators have every exact posterior, and whatever the client a chain that is delegated
// is that of statement by statement, to rounding.
func TestGuidedChainsOverSockets(t *testing.T) {
	keep, most := 3000, 0.4
	if os.Getenv("PPX_VERIFY") != "" {
		keep, most = 6000, 0.2
	}
	enginetest.OnClients(t, 2, func(c enginetest.Case) func(enginetest.Client, *engine.Pool) {
		var want [][]float64
		k := Kernel{Seed: 7, Walk: 0.5, Whole: 0.25, Guided: 0.25, Alpha: 0.1, Data: c.Data, Condition: true}
		return func(client enginetest.Client, p *engine.Pool) {
			if !client.Plain {
				k.Guide = enginetest.Untrained(t, p, c.Data, 0.3)
			}
			got, accepted := chainOn(t, p, k, c.Data)
			if client.Plain {
				if text := enginetest.Apart(got, want); text != "" {
					t.Fatalf("%s, %s, and delegated: %s", c.Name, client, text)
				}
				return
			}
			if want = got; accepted < 3 || accepted > 299 {
				t.Errorf("%s, %s: %d of 300 steps are accepted", c.Name, client, accepted)
			}
			if client.Language == "cpp" {
				exact(t, c, runOn(t, p, NewKernel(k), 4, 200, keep, figures(c)), most)
			}
		}
	})
}

// chainOn is the values of 300 steps, a third of them warm-up, and how many were accepted.
func chainOn(t *testing.T, x engine.Executor, k Kernel, data control.Data) (out [][]float64, accepted int) {
	t.Helper()
	k.Seed, k.Data, k.Condition = 7, data, true
	kernel := NewKernel(k)
	s, err := kernel.Start(context.Background(), x, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(300) {
		next, info, err := kernel.Step(context.Background(), x, 1, i, s, i < 100)
		if err != nil {
			t.Fatal(err)
		}
		if info.Accepted {
			accepted++
		}
		s = next
		var row []float64
		for i := range s.Trace.Sites {
			row = append(row, s.Trace.Value(i).Data...)
		}
		out = append(out, row)
	}
	return out, accepted
}

// BenchmarkStep is a step on the hidden Markov model, in this process: the run, and the bookkeeping.
func BenchmarkStep(b *testing.B) {
	c := enginetest.Cases()[4]
	x := engine.NewLocal(c.Model, 1)
	defer x.Close()
	k := NewKernel(Kernel{Seed: 1, Data: c.Data, Condition: true})
	s, err := k.Start(context.Background(), x, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		if s, _, err = k.Step(context.Background(), x, 1, i, s, false); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// A mixture of counts and one of reals at one address are two sites: a value of the one is none of the other, stale and fresh.
func TestMixturesOfOtherMeasures(t *testing.T) {
	model := func(r *gosim.Run) gosim.Tensor {
		k := r.Sample("k", gosim.Bernoulli(0.5))
		d := gosim.Mixture([]float64{1}, gosim.Normal(3, 1))
		if k == 1 {
			d = gosim.Mixture([]float64{1}, gosim.Poisson(3))
		}
		z := r.SampleAt(gosim.Site{Address: "z"}, "z", d)
		r.Observe("y", gosim.Normal(z, 1))
		return gosim.Scalar(k)
	}
	for name, walk := range map[string]float64{"lmh": 0, "rmh": 0.5} {
		k := NewKernel(Kernel{Seed: 3, Data: control.Data{"y": dist.Scalar(4)}, Condition: true, Walk: walk})
		draws := run(t, gosim.Wrap(model), k, 8, 500, 4000, func(tr *tracing.Trace) []float64 { return []float64{tr.Result.Float()} })
		within(t, name+": P(k = 1)", column(draws, 0), 0.423251, math.Sqrt(0.423251*0.576749), 0.02)
	}
}
