package control_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// fixed proposes, for scalar sites, what a function says.
type fixed func(s *engine.Site) (ppx.Dist, bool)

type density struct{ d ppx.Dist }

func (q density) Sample(s *dist.Stream, out []float64) error { return q.d.Sample(s, out) }
func (q density) LogProb(v []float64) float64 {
	lp, err := q.d.LogProb(ppx.Tensor{Data: v})
	if err != nil {
		return math.NaN()
	}
	return lp
}

func (f fixed) Propose(_ *engine.Run, s *engine.Site) (control.Proposal, bool, error) {
	d, ok := f(s)
	return density{d}, ok, nil
}

const long = 1000 // latents of the chain, and as many observations

// chain has independent Normal latents, each observed with noise.
func chain(r *gosim.Run) gosim.Tensor {
	sum := 0.0
	for range long {
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Observe("y", gosim.Normal(x, 1))
		sum += x
	}
	return gosim.Scalar(sum)
}

func guided(t *testing.T, model gosim.Model, data control.Data, alpha float64, pilot control.Proposer, n uint64) []*tracing.Trace {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(model), 2)
	defer x.Close()
	given := control.NewCondition(data, true)
	var out []*tracing.Trace
	for tr, err := range x.Stream(context.Background(), engine.Draws(3, 0, n, func(engine.Draw) engine.Stack {
		return engine.Stack{given, control.NewGuide(pilot, alpha), control.Prior{}}
	}), nil) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tr)
	}
	return out
}

// A perfect proposal stays one under defensive mixing, however long the trace: ESS/N tends to 1 − α.
func TestDefensiveMixingKeepsAPerfectProposal(t *testing.T) {
	const n, alpha = 1500, 0.01
	// The posterior of each latent, given y = 1, is Normal(½, ½); the evidence of each is Normal(1; 0, 2).
	perfect := fixed(func(*engine.Site) (ppx.Dist, bool) { return dist.New(dist.Normal, 0.5, math.Sqrt(0.5)), true })
	logZ := long * (-0.25 - 0.5*math.Log(4*math.Pi))
	var w, w2 float64
	for _, tr := range guided(t, chain, control.Data{"y": dist.Scalar(1)}, alpha, perfect, n) {
		r := math.Exp(tr.LogWeight - logZ)
		w += r
		w2 += r * r
		if !(tr.LogWeight <= logZ-math.Log1p(-alpha)+1e-6) {
			t.Errorf("draw %d: log weight %g above log Z − log(1−α) = %g", tr.Draw, tr.LogWeight, logZ-math.Log1p(-alpha))
		}
	}
	// The share of runs that draw from the priors varies with a standard error of √(α(1−α)/n).
	if ratio := w * w / w2 / n; !(ratio >= 1-alpha-4*math.Sqrt(alpha*(1-alpha)/n)) {
		t.Errorf("ESS/N %.4f", ratio)
	}
	if z := w / n; !(math.Abs(z-1) <= 4*math.Sqrt(alpha/n)) {
		t.Errorf("evidence %.5f of what it is", z)
	}
}

// Whatever is proposed, no weight exceeds likelihood/α.
func TestDefensiveMixingBoundsWeights(t *testing.T) {
	for name, pilot := range map[string]fixed{
		"too narrow": func(*engine.Site) (ppx.Dist, bool) { return dist.New(dist.Normal, 0, 0.3), true },
		"elsewhere":  func(*engine.Site) (ppx.Dist, bool) { return dist.New(dist.Normal, 8, 1), true },
		"bounded":    func(*engine.Site) (ppx.Dist, bool) { return dist.New(dist.Uniform, -1, 1), true },
		"sometimes":  func(s *engine.Site) (ppx.Dist, bool) { return dist.New(dist.Normal, 0, 0.5), s.Index%3 == 0 },
		"by itself":  func(s *engine.Site) (ppx.Dist, bool) { return s.Dist, true },
	} {
		for _, alpha := range []float64{0.01, 0.3} {
			for _, tr := range guided(t, chain, control.Data{"y": dist.Scalar(1)}, alpha, pilot, 60) {
				if most := tr.LogLikelihood - math.Log(alpha) + 1e-6; !(tr.LogWeight <= most) {
					t.Errorf("%s, α = %g, draw %d: log weight %g, at most %g", name, alpha, tr.Draw, tr.LogWeight, most)
				}
			}
		}
	}
}

// Exact posteriors with proposals that are off: the weights put them right.
func TestGuidedPosteriors(t *testing.T) {
	for _, c := range enginetest.Cases() {
		pilot := fixed(func(s *engine.Site) (ppx.Dist, bool) {
			if s.Dist.Kind != dist.Normal {
				return ppx.Dist{}, false
			}
			return dist.New(dist.Normal, s.Dist.Params[0].Float()+1.5, 1.2*s.Dist.Params[1].Float()), true
		})
		if !strings.HasPrefix(c.Name, "gum") {
			continue
		}
		w := enginetest.NewWeighted(&c)
		x := engine.NewLocal(c.Model, 2)
		given := control.NewCondition(c.Data, true)
		for tr, err := range x.Stream(context.Background(), engine.Draws(5, 0, 60_000, func(engine.Draw) engine.Stack {
			return engine.Stack{given, control.NewGuide(pilot, 0.05), control.Prior{}}
		}), nil) {
			if err != nil {
				t.Fatal(err)
			}
			w.Add(map[string]float64{"mu": tr.Result.Float()}, tr.LogWeight)
		}
		x.Close()
		t.Run(c.Name, func(t *testing.T) { w.Check(t, 400) })
	}
}

type broken struct{}

func (broken) Propose(*engine.Run, *engine.Site) (control.Proposal, bool, error) {
	return nil, false, errors.New("no weights")
}

func TestGuideReportsItsPilot(t *testing.T) {
	x := engine.NewLocal(gosim.Wrap(chain), 1)
	defer x.Close()
	_, err := x.Execute(context.Background(), engine.Task{Draw: engine.Draw{}, Stack: func(engine.Draw) engine.Stack {
		return engine.Stack{control.NewGuide(broken{}, 0.01), control.Prior{}}
	}})
	if err == nil || !strings.Contains(err.Error(), "Sample x at") || !strings.Contains(err.Error(), "no weights") {
		t.Error(err)
	}
}
