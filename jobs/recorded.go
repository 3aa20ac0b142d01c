package jobs

import (
	"context"
	"fmt"
	"math"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Summarise is the Outcome of a recorded run, as far as it has come. With full the elements of tensors of any size are listed. Errors: those
// of rundir.Open and Reader.All.
func Summarise(ctx context.Context, dir string, full bool) (*Outcome, error) {
	return summarise(ctx, dir, full, func(*tracing.Trace) {})
}

// Halves is Summarise, with the weights of even and of odd draws by themselves.
func Halves(ctx context.Context, dir string) (o *Outcome, halves [2]*posterior.Weights, err error) {
	halves = [2]*posterior.Weights{posterior.NewWeights(), posterior.NewWeights()}
	o, err = summarise(ctx, dir, false, func(t *tracing.Trace) {
		w := halves[t.Row%2]
		switch t.Status {
		case tracing.OK:
			w.Add(t.LogWeight, t.LogWeightRest)
		case tracing.Failed:
			w.AddFailed()
		}
	})
	if err == nil {
		for _, w := range halves {
			w.LeftOut = o.Manifest.LeftOut / 2
		}
	}
	return o, halves, err
}

// drawnFrom are the weights that the traces of a prediction, or of what was made of one, were drawn by.
func drawnFrom(l *rundir.Lineage) *posterior.Before {
	out := &posterior.Before{ESS: l.ESS, Khat: math.NaN(), LogEvidenceSE: math.NaN()}
	if l.Khat != nil {
		out.Khat = float64(*l.Khat)
	}
	return out
}

// summaryOf is an empty summary for the traces of a run.
func summaryOf(m *rundir.Manifest) *posterior.Summary {
	switch {
	case m.Chains != nil:
		return posterior.NewChainSummary()
	case m.Particles != nil:
		return posterior.NewParticleSummary()
	}
	return posterior.NewSummary()
}

func summarise(ctx context.Context, dir string, full bool, each func(*tracing.Trace)) (*Outcome, error) {
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	m := r.Manifest
	data, err := m.Tensors(dir)
	if err != nil {
		return nil, err
	}
	o := &Outcome{Dir: dir, Manifest: m, Summary: summaryOf(m), Names: control.NewNames(data, m.Conditioned, nil), Unseen: &Unseen{}, Scored: &Scored{}, State: m.State,
		Done: m.Counts.Traces + m.Counts.Failed}
	o.Summary.Full = full
	o.Summary.Weights.LeftOut = m.LeftOut
	if x := m.Lineage; x != nil && x.ESS > 0 {
		o.Summary.Weights.Before = drawnFrom(x)
	}
	if x := m.Resampled; x != nil {
		o.Summary.Weights.Before = &posterior.Before{ESS: x.ESS, Khat: float64(x.Khat), LogEvidenceSE: float64(x.LogEvidenceSE)}
	}
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if err := o.Summary.Write(ctx, t); err != nil {
			return nil, err
		}
		_ = o.Names.Add(t) // the judgement will say so
		o.Scored.add(t)
		each(t)
		if m.Network != nil {
			_ = o.Unseen.Write(ctx, t) // it has no errors
		}
	}
	switch m.State {
	case rundir.Complete:
	case rundir.Running:
		o.Remarks = []string{"the run is not finished: it is being written, or was killed (--resume continues it)"}
	default:
		w := "the run is " + m.State
		if m.Error != "" {
			w += ": " + ppx.Printable(m.Error)
		}
		o.Remarks = []string{w}
	}
	if m.LeftOut > 0 {
		o.Remarks = append(o.Remarks, fmt.Sprintf("the evidence is that of the model restricted to the traces that are kept: %s draws were left out (%s)", text.Thousands(m.LeftOut), ppx.Printable(m.Lineage.Words())))
	}
	if x := m.Resampled; x != nil {
		o.Remarks = append(o.Remarks, fmt.Sprintf("resampled: of %s traces with an effective sample size of %.4g, beyond which no number of copies goes", text.Thousands(x.From), x.ESS))
	}
	return o, nil
}
