// Package enginetest is the bank of known answers: models whose posterior is known exactly, and the
// questions that every inference algorithm has to answer about them.
package enginetest

import (
	"fmt"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/branching"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/simulators/hmm"
	"github.com/ppx-engine/ppx-engine/simulators/marsaglia"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Expectation is the exact posterior mean of a function of a trace's variables, and its exact posterior
// standard deviation: the mean of a probability p has sd √(p(1−p)).
type Expectation struct {
	Label string
	Of    func(values map[string]float64) float64
	Mean  float64
	SD    float64
}

// Case is a model, data and what is known exactly about the posterior.
type Case struct {
	Name        string
	Model       ppx.Model
	Data        control.Data
	LogEvidence float64
	ESSRatio    float64 // ESS/N of importance sampling from the prior, in the limit
	Want        []Expectation
}

func value(name string) func(map[string]float64) float64 {
	return func(v map[string]float64) float64 { return v[name] }
}

func indicator(name string, x float64) func(map[string]float64) float64 {
	return func(v map[string]float64) float64 {
		if v[name] == x {
			return 1
		}
		return 0
	}
}

func probability(name string, x, p float64) Expectation {
	return Expectation{fmt.Sprintf("P(%s = %g)", name, x), indicator(name, x), p, math.Sqrt(p * (1 - p))}
}

// Cases is the bank.
func Cases() []Case {
	var cases []Case
	for _, c := range []struct{ y0, y1, ratio float64 }{{8, 9, 0.0077958}, {4, 3, 0.344281}} {
		mean, sd, logZ := gum.Posterior(c.y0, c.y1)
		want := []Expectation{
			{"mu", value("mu"), mean, sd},
			// Var (μ−m)² = 2σ⁴ for a Normal.
			{"variance of mu", func(v map[string]float64) float64 { d := v["mu"] - mean; return d * d }, sd * sd, math.Sqrt2 * sd * sd},
		}
		data := control.Data{"obs0": dist.Scalar(c.y0), "obs1": dist.Scalar(c.y1)}
		label := fmt.Sprintf("(%g,%g)", c.y0, c.y1)
		cases = append(cases,
			Case{"gum" + label, gosim.Wrap(gum.Model), data, logZ, c.ratio, want},
			Case{"marsaglia" + label, gosim.Wrap(marsaglia.Model), data, logZ, c.ratio, want})
	}
	smoothed, logZ := hmm.Posterior(hmm.Data)
	h := Case{Name: "hmm", Model: gosim.Wrap(hmm.Model), Data: control.Data{}, LogEvidence: logZ, ESSRatio: 0.004213}
	for t, y := range hmm.Data {
		h.Data[fmt.Sprintf("obs%d", t+1)] = dist.Scalar(y)
	}
	for t := range smoothed {
		for s, p := range smoothed[t] {
			h.Want = append(h.Want, probability(fmt.Sprintf("state%d", t), float64(s), p))
		}
	}
	probs, logZ := branching.Posterior(6)
	b := Case{Name: "branching", Model: gosim.Wrap(branching.Model), Data: control.Data{"obs": dist.Scalar(6)}, LogEvidence: logZ, ESSRatio: 0.4905}
	for r, p := range probs[:13] {
		b.Want = append(b.Want, probability("r", float64(r), p))
	}
	return append(cases, h, b)
}

// Weighted is a sum over weighted traces for the expectations of a case.
type Weighted struct {
	c        *Case
	max      float64
	w, w2, n float64
	sums     []float64
}

// Values are the named numbers of a trace.
func Values(t *tracing.Trace) map[string]float64 {
	v := map[string]float64{}
	for i := range t.Sites {
		e, x := &t.Sites[i], t.Value(i)
		switch name := t.Table.Name(e.Name); {
		case e.Name == 0:
		case x.Len() == 1:
			v[name] = x.Float()
		default:
			for k, y := range x.Data {
				v[name+tracing.Subscript(k, x.Shape)] = y
			}
		}
	}
	return v
}

// NewWeighted begins a sum.
func NewWeighted(c *Case) *Weighted {
	return &Weighted{c: c, max: math.Inf(-1), sums: make([]float64, len(c.Want))}
}

// Add takes the variables of a trace and its log weight.
func (w *Weighted) Add(values map[string]float64, lw float64) {
	w.n++
	if math.IsInf(lw, -1) {
		return
	}
	if lw > w.max {
		r := math.Exp(w.max - lw)
		w.w *= r
		w.w2 *= r * r
		for i := range w.sums {
			w.sums[i] *= r
		}
		w.max = lw
	}
	e := math.Exp(lw - w.max)
	w.w += e
	w.w2 += e * e
	for i, x := range w.c.Want {
		w.sums[i] += e * x.Of(values)
	}
}

// Check compares with the exact posterior: everything within 4 standard errors, computed from the exact
// posterior's standard deviation and the effective sample size, which must be sufficient to say so.
func (w *Weighted) Check(t *testing.T, minESS float64) {
	t.Helper()
	ess := w.w * w.w / w.w2
	if ess < minESS {
		t.Errorf("ESS %.1f of %g traces, want at least %g", ess, w.n, minESS)
		return
	}
	logZ := w.max + math.Log(w.w/w.n)
	if se := math.Sqrt(1/ess - 1/w.n); !(math.Abs(logZ-w.c.LogEvidence) <= 4*se) {
		t.Errorf("log evidence %.5f ± %.5f, exact %.6f", logZ, se, w.c.LogEvidence)
	}
	for i, x := range w.c.Want {
		got, se := w.sums[i]/w.w, x.SD/math.Sqrt(ess)
		// A probability near 0 or 1 moves in steps of one trace.
		if !(math.Abs(got-x.Mean) <= 4*se+1/ess) {
			t.Errorf("%s = %.5f ± %.5f, exact %.6f", x.Label, got, se, x.Mean)
		}
	}
}
