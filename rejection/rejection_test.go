package rejection_test

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
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/rejection"
	"github.com/ppx-engine/ppx-engine/tracing"
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

// model is a mean that is observed twice, with a standard deviation of 0.1.
func model(r *gosim.Run) gosim.Tensor {
	mu := polar(r)
	r.Observe("a", gosim.Normal(mu, 0.1))
	r.Observe("b", gosim.Normal(mu, 0.1))
	return gosim.Scalar(mu)
}

// disc proposes points of the unit disc, and with the probability eps of the square around it: the rarer rejected passes are, the worse naive weights.
type disc struct {
	eps float64
	x   []float64 // of this pass
}

func (d *disc) Propose(r *engine.Run, s *engine.Site) (control.Proposal, bool, error) {
	d.x = d.x[:0]
	for i := len(r.Sofar.Sites) - 1; i >= 0 && r.Sofar.Sites[i].Op == ppx.Sample; i-- { // since the mark of the pass
		d.x = append(d.x, r.Sofar.Value(i).Float())
	}
	return d, true, nil
}

// Rewound implements rejection.Rewinder: nothing but the pass is remembered.
func (d *disc) Rewound(int) control.Proposer { return &disc{eps: d.eps} }

func (d *disc) Sample(s *dist.Stream, out []float64) error {
	square := s.Float64() < d.eps
	u := s.Float64()
	if len(d.x) == 0 {
		if out[0] = 2*u - 1; !square { // the first coordinate of a point of the disc
			out[0] = math.Sqrt(u) * math.Cos(2*math.Pi*s.Float64())
		}
		return nil
	}
	h := math.Sqrt(1 - d.x[0]*d.x[0])
	square = s.Float64() < d.eps/2/((1-d.eps)*2/math.Pi*h+d.eps/2) // given x
	if out[0] = 2*u - 1; !square {
		out[0] *= h
	}
	return nil
}

func (d *disc) LogProb(v []float64) float64 {
	first := func(x float64) float64 { return (1-d.eps)*2/math.Pi*math.Sqrt(1-x*x) + d.eps/2 }
	if len(d.x) == 0 {
		return math.Log(first(v[0]))
	}
	joint := d.eps / 4
	if d.x[0]*d.x[0]+v[0]*v[0] < 1 {
		joint += (1 - d.eps) / math.Pi
	}
	return math.Log(joint / first(d.x[0]))
}

func observations(y float64) control.Data {
	return control.Data{"a": dist.Scalar(y), "b": dist.Scalar(y)}
}

func weigh(t testing.TB, x engine.Executor, eps float64, data control.Data, seed, n uint64, f func(*tracing.Trace)) *posterior.Weights {
	t.Helper()
	e := rejection.New(x, rejection.Config{Passes: 10, Loops: 10, Condition: control.NewCondition(data, true), Guide: func() control.Proposer { return &disc{eps: eps} }})
	return enginetest.Weigh(t, e, e.Stack, seed, n, f)
}

// Proposals that hardly ever make a rejected pass have naive weights of infinite variance. Weighed by accepted passes, they are as good as the model itself without a loop,
// whose ESS/N is .0996 for data at 0: by E[w]² / E[w²] with .9 for the estimates.
func TestRareRejections(t *testing.T) {
	if testbed.Raced {
		t.Skip("statistics: TestNestedLoops has as much concurrency")
	}
	x := engine.NewLocal(gosim.Wrap(model), 2)
	defer x.Close()
	for _, c := range []struct{ y, z float64 }{{0, 1.1225924}, {-1, 0.6825826}} {
		const n = 12_000
		mean, total := 0.0, 0.0
		w := weigh(t, x, 0.05, observations(c.y), 1, n, func(tr *tracing.Trace) {
			v := math.Exp(tr.LogWeight)
			mean += v * tr.Result.Float()
			total += v
		})
		ess := w.ESS()
		t.Logf("y = %g: ESS/N %.4f", c.y, ess/n)
		if c.y == 0 && ess/n < 0.9*0.0996 {
			t.Errorf("ESS/N is %.4f", ess/n)
		}
		if se := math.Sqrt(1/ess - 1.0/n); !(math.Abs(w.LogEvidence()-math.Log(c.z)) <= 4*se) {
			t.Errorf("log evidence %g ± %g, exact %g", w.LogEvidence(), se, math.Log(c.z))
		}
		if se := math.Sqrt(1.0/201) / math.Sqrt(ess); !(math.Abs(mean/total-c.y*200/201) <= 4*se) {
			t.Errorf("mean %g ± %g, exact %g", mean/total, se, c.y*200/201)
		}
	}
}

// Over repeats the evidence is unbiased, few draws or many.
func TestEvidenceIsUnbiased(t *testing.T) {
	if testbed.Raced {
		t.Skip("statistics: TestNestedLoops has as much concurrency")
	}
	x := engine.NewLocal(gosim.Wrap(model), 2)
	defer x.Close()
	const repeats, n = 200, 60
	sum, squares := 0.0, 0.0
	for seed := range uint64(repeats) {
		z := math.Exp(weigh(t, x, 0.2, observations(0), 100+seed, n, nil).LogEvidence())
		sum += z / repeats
		squares += z * z / repeats
	}
	if se := math.Sqrt((squares - sum*sum) / repeats); !(math.Abs(sum-1.1225924) <= 4*se) || se > 0.05 {
		t.Errorf("the mean of %d evidences is %.4f ± %.4f, exact 1.1226", repeats, sum, se)
	}
}

// nested is a rejection loop in another, before and after others: z ~ Uniform(0, 1) given z > ½, u a Normal given u > z, by passes that draw z too.
func nested(r *gosim.Run) gosim.Tensor {
	mu := polar(r)
	var z, u float64
	for {
		r.RejectionStart()
		for {
			r.RejectionStart()
			if z = r.Sample("", gosim.Uniform(-1, 1)); z > 0 {
				r.RejectionEnd()
				break
			}
		}
		if u = r.Sample("", gosim.Uniform(-1, 1)); u > z {
			r.RejectionEnd()
			break
		}
	}
	nu := polar(r)
	r.Observe("a", gosim.Normal(z, 0.5))
	return gosim.Vector(mu, z, u, nu)
}

// any proposes for the sites of nested: whatever they are, by slopes.
type slope struct{}

func (slope) Propose(*engine.Run, *engine.Site) (control.Proposal, bool, error) {
	return slope{}, true, nil
}
func (slope) Rewound(int) control.Proposer { return slope{} }
func (slope) Sample(s *dist.Stream, out []float64) error { // density (1 + x/2)/2
	out[0] = -2 + 2*math.Sqrt(0.25+2*s.Float64()) // of F = (x + x²/4 + ¾)/2
	return nil
}
func (slope) LogProb(v []float64) float64 { return math.Log((1 + v[0]/2) / 2) }

func TestNestedLoops(t *testing.T) {
	x := engine.NewLocal(gosim.Wrap(nested), 2)
	defer x.Close()
	data := control.Data{"a": dist.Scalar(0.2)}
	// z and u are uniform on 0 < z < u < 1: z has the density 2(1 − z).
	var z0, z1 float64
	const steps = 100_000
	for i := range steps {
		z := (float64(i) + 0.5) / steps
		p := 2 * (1 - z) * math.Exp(-0.5*(z-0.2)*(z-0.2)/0.25) / math.Sqrt(2*math.Pi*0.25) / steps
		z0 += p
		z1 += p * z
	}
	e := rejection.New(x, rejection.Config{Passes: 10, Loops: 10, Condition: control.NewCondition(data, true), Guide: func() control.Proposer { return slope{} }})
	n := 4000.0
	if testbed.Raced {
		n = 400
	}
	var sums [4]float64
	total := 0.0
	var first *tracing.Trace
	w := enginetest.Weigh(t, e, e.Stack, 1, uint64(n), func(tr *tracing.Trace) {
		if first == nil {
			first = tr
		}
		v := math.Exp(tr.LogWeight)
		total += v
		for i, r := range tr.Result.Data {
			sums[i] += v * r
		}
		var sum tracing.Sum
		for i := range tr.Sites {
			sum.Add(tr.Sites[i].Contribution())
		}
		if k := sum.Kept(); k.High != tr.LogWeight {
			t.Fatalf("the entries contribute %g to a log weight of %g", k.High, tr.LogWeight)
		}
	})
	ess := w.ESS()
	if se := math.Sqrt(1/ess - 1.0/n); !(math.Abs(w.LogEvidence()-math.Log(z0)) <= 4*se) {
		t.Errorf("log evidence %g ± %g, exact %g", w.LogEvidence(), se, math.Log(z0))
	}
	for i, want := range []float64{0, z1 / z0, (1 + z1/z0) / 2, 0} {
		sd := []float64{1, 0.25, 0.25, 1}[i]
		if se := sd / math.Sqrt(ess); !(math.Abs(sums[i]/total-want) <= 4*se) {
			t.Errorf("number %d of the result is %g ± %g, exact %g", i, sums[i]/total, se, want)
		}
	}
	// The same on more workers.
	y := engine.NewLocal(gosim.Wrap(nested), 1)
	defer y.Close()
	e = rejection.New(y, rejection.Config{Passes: 10, Loops: 10, Condition: control.NewCondition(data, true), Guide: func() control.Proposer { return slope{} }})
	for tr, err := range e.Stream(context.Background(), engine.Draws(1, 0, 1, e.Stack), nil) {
		if err != nil || tr.LogWeight != first.LogWeight {
			t.Errorf("log weight %v, with two workers %v (%v)", tr.LogWeight, first.LogWeight, err)
		}
	}
}

func TestLoopsThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		model gosim.Model
		want  string
	}{
		"end without beginning": {func(r *gosim.Run) gosim.Tensor {
			r.Sample("", gosim.Uniform(-1, 1))
			r.RejectionEnd()
			return gosim.Scalar(0)
		}, "that has not begun"},
		"beginning without end": {func(r *gosim.Run) gosim.Tensor {
			r.RejectionStart()
			return gosim.Scalar(r.Sample("", gosim.Uniform(-1, 1)))
		}, "has no end: mark it after the pass that is accepted"},
		"data in a pass": {func(r *gosim.Run) gosim.Tensor {
			for {
				r.RejectionStart()
				x := r.Sample("", gosim.Uniform(-1, 1))
				r.Observe("a", gosim.Normal(x, 1))
				if x > 0.9 {
					r.RejectionEnd()
					return gosim.Scalar(x)
				}
			}
		}, "what is observed must come after the loop"},
	} {
		x := engine.NewLocal(gosim.Wrap(c.model), 1)
		e := rejection.New(x, rejection.Config{Passes: 2, Loops: 2, Condition: control.NewCondition(control.Data{"a": dist.Scalar(0)}, true), Guide: func() control.Proposer { return slope{} }})
		var err error
		for _, err = range e.Stream(context.Background(), engine.Draws(1, 0, 20, e.Stack), nil) {
			if err != nil {
				break
			}
		}
		x.Close()
		if !errors.Is(err, ppx.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
