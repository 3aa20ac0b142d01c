package smc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distmv"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testbed.Clean()
	os.Exit(code)
}

// particles are made in this process.
func particles(t testing.TB, model ppx.Model, c Config) *Population {
	t.Helper()
	x := engine.NewLocal(model, 2)
	defer x.Close()
	c.Kernel.Kind = dist.StreamParticles
	p, err := Run(context.Background(), x, &c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// summary is that of a population.
func summary(p *Population) *posterior.Summary {
	s := posterior.NewParticleSummary()
	for t := range p.Weighted(0) {
		_ = s.Write(context.Background(), t)
	}
	return s
}

// meanOf is that of f over the particles, with the error that the islands tell: that of a ratio of sums.
func meanOf(p *Population, f func(map[string]float64) float64) (m, se float64) {
	return meanOfDraws(p.Weighted(0), p.LogZ, f)
}

// meanOfDraws is meanOf of any draws of islands with these evidences.
func meanOfDraws(draws iter.Seq[*tracing.Trace], logZ []float64, f func(map[string]float64) float64) (m, se float64) {
	r := len(logZ)
	a, b := make([]float64, r), make([]float64, r)
	sumA, sumB := 0.0, 0.0
	shift := slices.Max(logZ)
	for t := range draws {
		w := math.Exp(t.LogWeight - shift)
		x := w * f(enginetest.Values(t))
		a[t.Chain-1] += x
		b[t.Chain-1] += w
		sumA, sumB = sumA+x, sumB+w
	}
	m = sumA / sumB
	for i := range a {
		se += (a[i] - m*b[i]) * (a[i] - m*b[i])
	}
	return m, math.Sqrt(float64(r)/float64(r-1)*se) / sumB
}

// within compares with what is exact; the error of an event that was never met is not below that of independent draws.
func within(t *testing.T, what string, got, se, want, least, most float64) {
	t.Helper()
	if se = math.Max(se, least); !(math.Abs(got-want) <= 4*se) || se > most {
		t.Errorf("%s: %g ± %g, exact %g", what, got, se, want)
	}
}

// Particles have every exact posterior of the bank as their limit, and its evidence: by each kernel, from the prior and from a network that has learned nothing.
func TestExactPosteriors(t *testing.T) {
	for name, k := range map[string]mcmc.Kernel{"lmh": {}, "rmh": {Walk: 0.5}, "ic-mh": {Walk: 0.5, Whole: 0.25, Guided: 0.25}} {
		for _, c := range enginetest.Cases() {
			t.Run(c.Name+"/"+name, func(t *testing.T) {
				k.Seed, k.Data, k.Condition = 1, c.Data, true
				n := 1024
				if verify {
					n = 2048
				}
				if k.Whole > 0 {
					x := engine.NewLocal(c.Model, 1)
					defer x.Close()
					k.Guide, k.Alpha = enginetest.Untrained(t, x, c.Data, 0.05), 0.1
				}
				p := particles(t, c.Model, Config{Kernel: k, N: n, Islands: 32, Moves: Adapt})
				s := summary(p)
				within(t, "log evidence", s.Weights.LogEvidence(), s.LogEvidenceSE(), c.LogEvidence, 1e-3, 0.4)
				for _, e := range c.Want {
					m, se := meanOf(p, e.Of)
					within(t, e.Label, m, se, e.Mean, e.SD/math.Sqrt(float64(n)), math.Max(0.3*e.SD, 1e-2))
				}
			})
		}
	}
}

// States that are kept along the last moves are draws of the posterior too: each adds to what is known, and they can be told to be enough.
func TestKeptStates(t *testing.T) {
	for _, i := range []int{0, 3, 4} { // GUM, Marsaglia's loop, the hidden Markov model
		c := enginetest.Cases()[i]
		k := mcmc.Kernel{Seed: 3, Data: c.Data, Condition: true, Walk: 0.5}
		var draws []*tracing.Trace
		var logZ []float64
		keep := func(n, enough int) (*posterior.Summary, uint64) {
			draws = nil
			s := posterior.NewParticleSummary()
			states := 0
			p := particles(t, c.Model, Config{Kernel: k, N: 1024, Islands: 32, Moves: Adapt, Keep: n, Kept: func(p *Population) (bool, error) {
				states++
				for t := range p.Weighted(int64(s.Weights.N)) {
					_ = s.Write(context.Background(), t)
					draws, logZ = append(draws, t), p.LogZ
				}
				return states == enough, nil
			}})
			if want := min(n, enough); states != want || s.Weights.N != uint64(1024*want) {
				t.Errorf("%s: %d states, %d draws", c.Name, states, s.Weights.N)
			}
			return s, p.Runs
		}
		one, runs := keep(1, 99)
		some, fewer := keep(16, 3)
		many, more := keep(16, 99)
		if !(runs < fewer && fewer < more) || many.ESS() < 2*one.ESS() || math.Abs(many.Weights.LogEvidence()-one.Weights.LogEvidence()) > 1e-9 {
			t.Errorf("%s: effective sample size %g with %d runs, %g with %d, %g with %d", c.Name, one.ESS(), runs, some.ESS(), fewer, many.ESS(), more)
		}
		for _, e := range c.Want {
			m, se := meanOfDraws(slices.Values(draws), logZ, e.Of)
			within(t, c.Name+" "+e.Label, m, se, e.Mean, e.SD/128, 0.1*e.SD+1e-3)
		}
	}
}

// Particles on simulators, delegated and statement by statement, are those in this process, to rounding: on all models in C++, on two of them with every client.
func TestParticlesOverSockets(t *testing.T) {
	enginetest.OnClients(t, 2, func(c enginetest.Case) func(enginetest.Client, *engine.Pool) {
		of := func(x engine.Executor) (out [][]float64) {
			p, err := Run(context.Background(), x, &Config{Kernel: mcmc.Kernel{Seed: 7, Kind: dist.StreamParticles, Data: c.Data, Condition: true, Walk: 0.5}, N: 64, Islands: 4, Moves: 2}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for tr := range p.Weighted(0) {
				row := []float64{tr.LogWeight}
				for i := range tr.Sites {
					row = append(row, tr.Value(i).Data...)
				}
				out = append(out, row)
			}
			return out
		}
		local := engine.NewLocal(c.Model, 1)
		want := of(local)
		if err := local.Close(); err != nil {
			t.Fatal(err)
		}
		return func(client enginetest.Client, p *engine.Pool) {
			if text := enginetest.Apart(of(p), want); text != "" {
				t.Fatalf("%s, %s, and in process: %s", c.Name, client, text)
			}
		}
	})
}

// verify tells that there is time for more.
var verify = os.Getenv("PPX_VERIFY") != ""

// The evidence is unbiased once ladder, moves and scales are settled: they come from another run. N is small, so that a bias would show: the adaptive version has one.
func TestEvidenceIsUnbiased(t *testing.T) {
	c := enginetest.Cases()[0] // GUM, 8 and 9
	repeats, most := 4000, 0.011
	if verify {
		repeats, most = 10_000, 0.005
	}
	unbiased(t, c.Model, c.Data, c.LogEvidence, 20, repeats, most)
	// Three numbers that the data tie to each other.
	three := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		sum := 0.0
		for _, name := range []string{"a", "b", "c"} {
			x := r.Sample(name, gosim.Normal(0, 1))
			r.Observe("y"+name, gosim.Normal(x, 0.5))
			sum += x
		}
		r.Observe("sum", gosim.Normal(sum, 0.2))
		return gosim.Scalar(sum)
	})
	data := control.Data{"ya": dist.Scalar(1), "yb": dist.Scalar(-1), "yc": dist.Scalar(0.5), "sum": dist.Scalar(2)}
	// y ~ N(0, Σ): unit variances plus ¼ for each, covariance 1 with the sum, whose variance is 3.04.
	cov := mat.NewSymDense(4, []float64{1.25, 0, 0, 1, 0, 1.25, 0, 1, 0, 0, 1.25, 1, 1, 1, 1, 3.04})
	exact, ok := distmv.NewNormal(make([]float64, 4), cov, nil)
	if !ok {
		t.Fatal("no covariance")
	}
	repeats = 100
	if verify {
		repeats = 400
		unbiased(t, c.Model, c.Data, c.LogEvidence, 100, repeats, 0.03)
	}
	unbiased(t, three, data, exact.LogProb([]float64{1, -1, 0.5, 2}), 100, repeats, 0.1)
}

// unbiased repeats n particles of one island on a ladder that others have learned.
func unbiased(t *testing.T, model ppx.Model, data control.Data, logEvidence float64, n, repeats int, most float64) {
	k := mcmc.Kernel{Seed: 1, Data: data, Condition: true, Walk: 0.5}
	var ladder []Rung
	for _, r := range particles(t, model, Config{Kernel: k, N: 2000, Islands: 20, Moves: 5}).Ladder {
		middle := r // half a step before it
		if len(ladder) > 0 {
			middle.Beta = (r.Beta + ladder[len(ladder)-1].Beta) / 2
		} else {
			middle.Beta = r.Beta / 2
		}
		ladder = append(ladder, middle, r)
	}
	ratio := func(ladder []Rung) (m, se float64) {
		sum, squares := 0.0, 0.0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() {
				x := engine.NewLocal(model, 1)
				defer x.Close()
				for i := w; i < repeats; i += 2 {
					k := k
					k.Seed, k.Kind = uint64(i)+100, dist.StreamParticles
					p, err := Run(context.Background(), x, &Config{Kernel: k, N: n, Islands: 1, Ladder: ladder, Moves: 5}, nil)
					if err != nil {
						t.Error(err)
						return
					}
					z := math.Exp(p.LogZ[0] - logEvidence)
					mu.Lock()
					sum, squares = sum+z, squares+z*z
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		r := float64(repeats)
		m = sum / r
		return m, math.Sqrt((squares/r - m*m) / r)
	}
	m, se := ratio(ladder)
	t.Logf("Ẑ/Z %.4f ± %.4f over %d repeats", m, se, repeats)
	if math.Abs(m-1) > 4*se || se > most {
		t.Errorf("Ẑ/Z is %g ± %g", m, se)
	}
	if n < 50 && verify { // what so few particles have learned themselves is biased: the test would see it
		if m, se := ratio(nil); !(m < 1-4*se) {
			t.Errorf("Ẑ/Z of particles that learn is %g ± %g", m, se)
		}
	}
}

// Where most of the prior is impossible, the first rung is what is possible at all; its evidence is unbiased, also where all particles of a run die.
func TestImpossibleData(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Uniform(0, 1))
		r.Observe("y", gosim.Uniform(x-0.05, x+0.05)) // possible in a tenth
		r.Observe("z", gosim.Normal(x, 0.1))
		return gosim.Scalar(x)
	})
	data := control.Data{"y": dist.Scalar(0.5), "z": dist.Scalar(0.6)}
	inside := func(x float64) float64 { return math.Erf(x / 0.1 / math.Sqrt2) }
	want := 10 * (inside(0.15) - inside(0.05)) / 2 // ∫ 10·N(.6; x, .1) over |x − .5| < .05
	x := engine.NewLocal(model, 1)
	defer x.Close()
	k := mcmc.Kernel{Kind: dist.StreamParticles, Data: data, Condition: true, Walk: 0.5}
	for _, c := range []struct {
		name   string
		n      int
		ladder []Rung
	}{
		{"first what is possible", 20, []Rung{{Beta: 0, Possible: true, Moves: 3, Level: math.NaN()}, {Beta: 1, Moves: 3, Level: math.NaN()}}},
		{"at once, and many die", 8, []Rung{{Beta: 1, Moves: 3, Level: math.NaN()}}},
	} {
		const repeats = 1000
		sum, squares, dead := 0.0, 0.0, 0
		for i := range uint64(repeats) {
			k := k
			k.Seed = i + 1
			p, err := Run(context.Background(), x, &Config{Kernel: k, N: c.n, Islands: 1, Ladder: c.ladder}, nil)
			z := 0.0
			switch {
			case errors.Is(err, ErrStart): // none is left
				dead++
			case err != nil:
				t.Fatal(err)
			default:
				z = math.Exp(p.LogZ[0]) / want
			}
			sum, squares = sum+z, squares+z*z
		}
		m := sum / repeats
		se := math.Sqrt((squares/repeats - m*m) / repeats)
		if math.Abs(m-1) > 4*se || se > 0.05 {
			t.Errorf("%s: Ẑ/Z is %g ± %g", c.name, m, se)
		}
		if died := math.Pow(0.9, float64(c.n)); !c.ladder[0].Possible && math.Abs(float64(dead)/repeats-died) > 4*math.Sqrt(died*(1-died)/repeats) || c.ladder[0].Possible && dead > 0 {
			t.Errorf("%s: %d of %d runs died", c.name, dead, repeats)
		}
	}
	// By itself it sees that it has to.
	p := particles(t, model, Config{Kernel: mcmc.Kernel{Seed: 1, Data: data, Condition: true, Walk: 0.5}, N: 1024, Islands: 16, Moves: Adapt})
	if s := summary(p); !p.Ladder[0].Possible || math.Abs(s.Weights.LogEvidence()-math.Log(want)) > 4*s.LogEvidenceSE() {
		t.Errorf("%+v, log evidence %g ± %g, exact %g", p.Ladder[0], s.Weights.LogEvidence(), s.LogEvidenceSE(), math.Log(want))
	}
}

// Two modes that no single step leads from one of to the other have their masses, though these differ.
func TestModesHaveTheirMasses(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		x, y := r.Sample("x", gosim.Normal(0.3, 2)), r.Sample("y", gosim.Normal(0.3, 2))
		r.Observe("sum", gosim.Normal(math.Abs(x+y), 0.4))
		r.Observe("difference", gosim.Normal(x-y, 0.4))
		return gosim.Tensor{}
	})
	// x + y is N(.6, √8) before: what the two modes weigh is a product of normal densities, and the half lines are as good as whole ones.
	mode := func(sign float64) float64 { return math.Exp(-(4 - sign*0.6) * (4 - sign*0.6) / (2 * (8 + 0.16))) }
	want := mode(1) / (mode(1) + mode(-1))
	data := control.Data{"sum": dist.Scalar(4), "difference": dist.Scalar(0)}
	p := particles(t, model, Config{Kernel: mcmc.Kernel{Seed: 1, Data: data, Condition: true, Walk: 0.5}, N: 4096, Islands: 32, Moves: Adapt})
	m, se := meanOf(p, func(v map[string]float64) float64 {
		if v["x"] > 0 {
			return 1
		}
		return 0
	})
	within(t, "P(x > 0)", m, se, want, 1e-3, 0.04)
}

// Four numbers and 400 noisy looks at what they make: a posterior far narrower than the prior. Particles that move find it; those that do not are clones, and the
// effective sample size says so, whatever their number.
func TestParticlesThatDoNotMove(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		a, b := r.Sample("a", gosim.Normal(0, 1)), r.Sample("b", gosim.Uniform(-3, 3))
		c, d := r.Sample("c", gosim.Exponential(1)), r.Sample("d", gosim.Normal(0, 1))
		for i := range 40 {
			x := float64(i) / 20
			r.Observe("y", gosim.Normal(a+b*x+c*x*x+d*math.Sin(9*x), 0.05))
		}
		return gosim.Tensor{}
	})
	data := control.Data{}
	for i := range 40 {
		x := float64(i) / 20
		name := "y"
		if i > 0 {
			name = fmt.Sprintf("y@%d", i+1)
		}
		data[name] = dist.Scalar(0.5 - x + 1.2*x*x + 0.3*math.Sin(9*x) + 0.05*math.Sin(float64(37*i)))
	}
	k := mcmc.Kernel{Seed: 1, Data: data, Walk: 0.5}
	still := summary(particles(t, model, Config{Kernel: k, N: 1024, Islands: 16, Moves: 0}))
	if ess := still.ESS(); !(ess < 20) {
		t.Errorf("without moves ESS %g", ess)
	}
	if trust := still.Judge(posterior.Facts{Conditioned: true, Moved: math.SmallestNonzeroFloat64}); trust.Verdict == posterior.Good {
		t.Errorf("%+v", trust)
	}
	moving := summary(particles(t, model, Config{Kernel: k, N: 2048, Islands: 16, Moves: Adapt}))
	if ess := moving.ESS(); !(ess > 2*still.ESS()) {
		t.Errorf("with moves ESS %g", ess)
	}
	for _, v := range moving.Variables() {
		// The least squares fit, with a prior that is too wide to matter.
		if want := map[string]float64{"a": 0.5, "b": -1, "c": 1.2, "d": 0.3}[v.Name]; want != 0 && math.Abs(v.Mean-want) > 0.15 {
			t.Errorf("%s: %g ± %g", v.Name, v.Mean, v.SD)
		}
	}
}

// Rare events have their probability: exactly on average, however rare.
func TestRareEvents(t *testing.T) {
	coins := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		n := 0.0
		for range 20 {
			if r.Sample("u", gosim.Uniform(0, 1)) < 0.006 {
				n++
			}
		}
		return gosim.Scalar(n)
	})
	waiting := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		sum := 0.0
		for range 10 {
			sum += r.Sample("x", gosim.Exponential(1))
		}
		return gosim.Scalar(sum)
	})
	counted := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		for range 3 {
			r.Sample("a", gosim.Categorical(1, 1, 1))
		}
		return gosim.Scalar(r.Sample("k", gosim.Poisson(4)))
	})
	score := func(t *tracing.Trace) (float64, error) { return t.Result.Float(), nil }
	for _, c := range []struct {
		name    string
		model   ppx.Model
		level   float64
		atLeast bool
		want    float64
		n       int
		moves   int
		repeats int
	}{
		// Σ of ten Exp(1) above 40; at least four of Bin(20, .006), whose scores are full of ties.
		{"sum", waiting, 40, false, 3.925932e-9, 400, 20, 5},
		{"coins", coins, 4, true, 5.814541e-6, 1000, 20, 5},
		// P(Poisson(4) ≥ 14), among sites that are none of the score's, with moves until the score has changed.
		{"count among others", counted, 14, true, 7.632842e-5, 400, Adapt, 5},
	} {
		if verify {
			c.n, c.repeats = 1000, 20
		}
		x := engine.NewLocal(c.model, 2)
		var p, logs []float64
		for i := range c.repeats {
			q, err := Run(context.Background(), x, &Config{Kernel: mcmc.Kernel{Seed: uint64(i) + 1, Kind: dist.StreamParticles, Walk: 0.5}, N: c.n, Islands: 4, Moves: c.moves, Score: score, Level: c.level, AtLeast: c.atLeast}, nil)
			if err != nil {
				t.Fatal(err)
			}
			log, _ := posterior.IslandRatio(q.LogZ, q.LogZ0)
			p, logs = append(p, math.Exp(log)/c.want), append(logs, log)
			for _, particle := range q.Particles {
				if y := particle.Trace.Result.Float(); !math.IsInf(particle.LogWeight, -1) && !(y > c.level || c.atLeast && y == c.level) {
					t.Errorf("%s: a particle at %g", c.name, y)
				}
			}
		}
		x.Close()
		m, sd := stat.MeanStdDev(p, nil)
		t.Logf("%s: P̂/P %.3f ± %.3f, sd %.3f", c.name, m, sd/math.Sqrt(float64(c.repeats)), sd)
		if math.Abs(m-1) > 4*sd/math.Sqrt(float64(c.repeats)) || sd > 0.8 {
			t.Errorf("%s: P̂/P %g, sd %g over %d repeats", c.name, m, sd, c.repeats)
		}
		if _, sd := stat.MeanStdDev(logs, nil); verify && sd > 0.35 {
			t.Errorf("%s: the logarithm of P̂ has the standard deviation %g", c.name, sd)
		}
	}
}

// Blocks of sites whose bounds are other sites' values: a move may leave no way back.
func TestBoundsThatMove(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Uniform(0, 1))
		y := r.Sample("y", gosim.Uniform(0, x))
		r.Observe("d", gosim.Normal(y, 0.05))
		return gosim.Scalar(x)
	})
	z, ex, ey := 0.0, 0.0, 0.0 // by quadrature
	const n = 1000
	for i := range n {
		x := (float64(i) + 0.5) / n
		for j := range n {
			y := (float64(j) + 0.5) / n * x
			w := math.Exp(-(y-0.9)*(y-0.9)/0.005) / math.Sqrt(2*math.Pi) / 0.05 / n / n
			z, ex, ey = z+w, ex+w*x, ey+w*y
		}
	}
	p := particles(t, model, Config{Kernel: mcmc.Kernel{Seed: 1, Data: control.Data{"d": dist.Scalar(0.9)}, Walk: 0.5}, N: 4096, Islands: 64, Moves: Adapt})
	s := summary(p)
	within(t, "log evidence", s.Weights.LogEvidence(), s.LogEvidenceSE(), math.Log(z), 1e-3, 0.2)
	for name, want := range map[string]float64{"x": ex / z, "y": ey / z} {
		m, se := meanOf(p, func(v map[string]float64) float64 { return v[name] })
		within(t, name, m, se, want, 1e-4, 0.01)
	}
}

// A reused value that has become impossible ends the run: what the simulator would do with it may be no run of the model at all.
func TestImpossibleValuesEndRuns(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		left := r.Sample("n", gosim.Poisson(8))
		for range 5 { // with a value that was kept from a larger n, fewer than none would be left
			left -= r.Sample("k", gosim.Binomial(left, 0.3))
		}
		r.Observe("left", gosim.Normal(left, 1))
		return gosim.Scalar(left)
	})
	k := mcmc.Kernel{Seed: 1, Data: control.Data{"left": dist.Scalar(4)}, Walk: 0.5}
	p := particles(t, model, Config{Kernel: k, N: 2000, Islands: 20, Moves: Adapt})
	if p.Failed > 0 {
		t.Errorf("%d runs failed", p.Failed)
	}
	// n ~ Poisson(8), and each of it is left with the probability .7⁵: left ~ Poisson(8·.7⁵).
	rate, z, mean := 8*math.Pow(0.7, 5), 0.0, 0.0
	for n := range 60 {
		lg, _ := math.Lgamma(float64(n) + 1)
		w := math.Exp(float64(n)*math.Log(rate) - rate - lg - (4-float64(n))*(4-float64(n))/2 - math.Log(math.Sqrt(2*math.Pi)))
		z, mean = z+w, mean+w*float64(n)
	}
	s := summary(p)
	within(t, "log evidence", s.Weights.LogEvidence(), s.LogEvidenceSE(), math.Log(z), 1e-3, 0.1)
	for _, v := range s.Variables() {
		if v.Name == "result" {
			within(t, "left", v.Mean, v.MeanSE, mean/z, 1e-3, 0.15)
		}
	}
}

// Likelihoods so large that rounding swallows what tells traces apart are looked at relative to one of them.
func TestLargeLikelihoods(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Observe("c", gosim.Normal(0, 1e-9)) // a constant of −5e17
		r.Observe("y", gosim.Normal(x, 0.5))
		return gosim.Scalar(x)
	})
	data := control.Data{"c": dist.Scalar(1), "y": dist.Scalar(2)}
	p := particles(t, model, Config{Kernel: mcmc.Kernel{Seed: 1, Data: data, Condition: true, Walk: 0.5}, N: 2048, Islands: 32, Moves: Adapt})
	s := summary(p)
	v := s.Variables()[0]
	within(t, "x", v.Mean, v.MeanSE, 1.6, 1e-3, 0.05)
	if sd := v.SD; math.Abs(sd-math.Sqrt(0.2)) > 0.05 || len(p.Ladder) < 3 || p.Reference > -4e17 || !(s.LogEvidenceSE() > 0.005) {
		t.Errorf("sd %g, %d rungs, reference %g, error of the evidence %g", sd, len(p.Ladder), p.Reference, s.LogEvidenceSE())
	}
}
