package train

import (
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/rejection"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/training"
)

// polar is a standard Normal by Marsaglia's polar method.
func polar(r *gosim.Run) float64 {
	for {
		r.RejectionStart()
		x := r.Sample("", gosim.Uniform(-1, 1))
		y := r.Sample("", gosim.Uniform(-1, 1))
		if s := x*x + y*y; s < 1 && s > 0 {
			r.RejectionEnd()
			return x * math.Sqrt(-2*math.Log(s)/s)
		}
	}
}

// observed is a mean that is observed twice, with a standard deviation of 0.1.
func observed(mu func(r *gosim.Run) float64) gosim.Model {
	return func(r *gosim.Run) gosim.Tensor {
		m := mu(r)
		r.Observe("a", gosim.Normal(m, 0.1))
		r.Observe("b", gosim.Normal(m, 0.1))
		return gosim.Scalar(m)
	}
}

// weighed draws with a network that knows rejection loops.
func weighed(t testing.TB, x engine.Executor, guide func() control.Proposer, data control.Data, seed, n uint64, passes, loops int, f func(*tracing.Trace)) *posterior.Weights {
	t.Helper()
	e := rejection.New(x, rejection.Config{Passes: passes, Loops: loops, Condition: control.NewCondition(data, true), Guide: guide})
	return enginetest.Weigh(t, e, e.Stack, seed, n, f)
}

// A network that has learned accepted passes begins each pass in the state of the first, whatever was rejected, and gives the exact evidence and posterior.
func TestRejectionLoops(t *testing.T) {
	loop := local(t, observed(polar))
	s := ic.DefaultSettings()
	s.Hidden, s.Loops = 64, true
	n := learn(t, loop, "loop", s, training.Config{N: 64_000})
	data := control.Data{"a": dist.Scalar(-1), "b": dist.Scalar(-1)}
	const draws, z = 3000, 0.6825826
	p, err := ic.NewProposer(n, data)
	if err != nil {
		t.Fatal(err)
	}
	mean, total := 0.0, 0.0
	w := weighed(t, loop, p.ForRun, data, 1, draws, 10, 10, func(tr *tracing.Trace) {
		v := math.Exp(tr.LogWeight)
		mean += v * tr.Result.Float()
		total += v
	})
	t.Logf("ESS/N %.3f; log evidence %.4f", w.ESS()/draws, w.LogEvidence())
	if w.ESS() < 0.3*draws {
		t.Errorf("ESS/N %.3f", w.ESS()/draws)
	}
	if se := math.Sqrt(1/w.ESS() - 1.0/draws); !(math.Abs(w.LogEvidence()-math.Log(z)) <= 4*se) {
		t.Errorf("log evidence %g ± %g, exact %g", w.LogEvidence(), se, math.Log(z))
	}
	exact, sd := -200.0/201, math.Sqrt(1.0/201)
	if se := sd / math.Sqrt(w.ESS()); !(math.Abs(mean/total-exact) <= 4*se) {
		t.Errorf("mean %g ± %g, exact %g", mean/total, se, exact)
	}
}
