package smc

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

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
	for t := range p.Weighted() {
		_ = s.Write(context.Background(), t)
	}
	return s
}

func values(t *tracing.Trace) map[string]float64 {
	v := map[string]float64{}
	for i := range t.Sites {
		if e := &t.Sites[i]; e.Name != 0 && t.Value(i).Len() == 1 {
			v[t.Table.Name(e.Name)] = t.Value(i).Float()
		}
	}
	return v
}

// meanOf is that of f over the particles, with the error that the islands tell: that of a ratio of sums.
func meanOf(p *Population, f func(map[string]float64) float64) (m, se float64) {
	r := len(p.LogZ)
	a, b := make([]float64, r), make([]float64, r)
	sumA, sumB := 0.0, 0.0
	shift := slices.Max(p.LogZ)
	for t := range p.Weighted() {
		w := math.Exp(t.LogWeight - shift)
		x := w * f(values(t))
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
				n := 2048
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

// The evidence is unbiased once ladder, moves and scales are settled: they come from another run. N is small, so that a bias would show: the adaptive version has one.
func TestEvidenceIsUnbiased(t *testing.T) {
	const n = 20
	repeats := 4000
	if testing.Short() {
		repeats = 1000
	}
	c := enginetest.Cases()[0] // GUM, 8 and 9
	k := mcmc.Kernel{Seed: 1, Data: c.Data, Condition: true, Walk: 0.5}
	var ladder []Rung
	for _, r := range particles(t, c.Model, Config{Kernel: k, N: 2000, Islands: 20, Moves: 5}).Ladder {
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
				x := engine.NewLocal(c.Model, 1)
				defer x.Close()
				for i := w; i < repeats; i += 2 {
					k := k
					k.Seed, k.Kind = uint64(i)+100, dist.StreamParticles
					p, err := Run(context.Background(), x, &Config{Kernel: k, N: n, Islands: 1, Ladder: ladder}, nil)
					if err != nil {
						t.Error(err)
						return
					}
					z := math.Exp(p.LogZ[0] - c.LogEvidence)
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
	if math.Abs(m-1) > 4*se || se > 0.011 {
		t.Errorf("Ẑ/Z is %g ± %g", m, se)
	}
}
