package mcmc

import (
	"context"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Chains that start at exact draws of the posterior, made by rejection, stay there: after a few steps their states are exact draws still. Unlike a long run, this
// sees kernels that leave the posterior and come back.
func TestExactDrawsStayExact(t *testing.T) {
	log := func(d dist.Dist, x float64) float64 {
		l, err := d.LogProb(dist.Scalar(x))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	most := map[string]float64{ // of the likelihood
		"gum(4,3)":       2 * log(dist.New(dist.Normal, 3.5, math.Sqrt2), 4),
		"marsaglia(4,3)": 2 * log(dist.New(dist.Normal, 3.5, math.Sqrt2), 4),
		"branching":      log(dist.New(dist.Poisson, 6), 6),
	}
	const n, steps = 3000, 6
	for _, c := range enginetest.Cases() {
		bound, ok := most[c.Name]
		if !ok {
			continue
		}
		x := engine.NewLocal(c.Model, 1)
		condition := control.NewCondition(c.Data, true)
		var exact []*tracing.Trace
		stack := func(engine.Draw) engine.Stack { return engine.Stack{condition, control.Prior{}} }
		for tr, err := range x.Stream(context.Background(), engine.Draws(11, 0, 1_000_000, stack), nil) {
			if err != nil {
				t.Fatal(err)
			}
			coin := dist.NewStream(12, 0, 0, tr.Draw, 0)
			if tr.LogLikelihood > bound+1e-9 {
				t.Fatalf("%s: a likelihood above its maximum", c.Name)
			}
			if math.Log(coin.Float64()) < tr.LogLikelihood-bound {
				exact = append(exact, tr)
			}
			if len(exact) == n {
				break
			}
		}
		guide := enginetest.Untrained(t, x, c.Data, 0.3)
		for name, k := range map[string]Kernel{"lmh": {}, "rmh": {Walk: 0.5}, "ic-mh": {Walk: 0.5, Whole: 0.25, Guided: 0.25, Guide: guide, Alpha: 0.1}} {
			k.Seed, k.Data, k.Condition = 1, c.Data, true
			k := NewKernel(k)
			sums, moved := make([]float64, len(c.Want)), 0
			for i, tr := range exact {
				s := k.Resume(tr, nil)
				for step := range uint64(steps) {
					var err error
					if s, _, err = k.Step(context.Background(), x, uint32(i)+1, step, s, false); err != nil {
						t.Fatal(err)
					}
				}
				if s.Trace != tr {
					moved++
				}
				v := enginetest.Values(s.Trace)
				for j, e := range c.Want {
					sums[j] += e.Of(v)
				}
			}
			if moved < n/2 {
				t.Errorf("%s, %s: %d of %d chains moved", c.Name, name, moved, n)
			}
			for j, e := range c.Want {
				if got, se := sums[j]/n, e.SD/math.Sqrt(n); math.Abs(got-e.Mean) > 4*se+4.0/n { // a probability moves in steps of one chain
					t.Errorf("%s, %s: %s is %g ± %g after %d steps, exact %g", c.Name, name, e.Label, got, se, steps, e.Mean)
				}
			}
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Chains that stay on modes of their own are reported, in 18 of 20 seeds at least: in the others all have begun in one.
func TestStuckChainsAreReported(t *testing.T) {
	for _, c := range []struct {
		name  string
		walk  float64
		model func(*gosim.Run) gosim.Tensor
	}{
		// 8 standard deviations of the prior's scale apart, with nothing between; the prior would cross the valley now and then.
		{"walks", 1 - 1e-9, func(r *gosim.Run) gosim.Tensor {
			x := r.Sample("x", gosim.Normal(0, 4))
			r.Observe("y", gosim.Normal(math.Abs(x), 0.5))
			return gosim.Scalar(x)
		}},
		// Both sites would have to cross it in one step: ±4 in each, sd .5.
		{"rmh", 0.5, func(r *gosim.Run) gosim.Tensor {
			x, z := r.Sample("x", gosim.Normal(0, 4)), r.Sample("z", gosim.Normal(0, 4))
			r.Observe("y", gosim.Normal(math.Abs(x+z), 0.7))
			r.Observe("difference", gosim.Normal(x-z, 0.7))
			return gosim.Scalar(x)
		}},
	} {
		reported := 0
		for seed := range uint64(20) {
			x := engine.NewLocal(gosim.Wrap(c.model), 1)
			k := NewKernel(Kernel{Seed: seed + 1, Data: control.Data{"y": dist.Scalar(8), "difference": dist.Scalar(0)}, Walk: c.walk})
			sum := posterior.NewChainSummary()
			for chain := range uint32(8) {
				s, err := k.Start(context.Background(), x, chain+1)
				if err != nil {
					t.Fatal(err)
				}
				for step := range uint64(400) {
					if s, _, err = k.Step(context.Background(), x, chain+1, step, s, step < 200); err != nil {
						t.Fatal(err)
					}
					if step >= 200 {
						tr := *s.Trace
						tr.Chain = chain + 1
						_ = sum.Write(context.Background(), &tr)
					}
				}
			}
			for _, r := range sum.Judge(posterior.Facts{Conditioned: true}).Reasons {
				if r.Code == posterior.StuckChains && r.Verdict == posterior.None {
					reported++
				}
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if reported < 18 {
			t.Errorf("%s: stuck chains are reported for %d of 20 seeds", c.name, reported)
		}
	}
}
