package jobs

import (
	"context"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Summarise is the Outcome of a recorded run, as far as it has come. With full the elements of tensors of any size are listed. Errors: those
// of rundir.Open and Reader.All.
func Summarise(ctx context.Context, dir string, full bool) (*Outcome, error) {
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	m := r.Manifest
	data, err := m.Tensors(dir)
	if err != nil {
		return nil, err
	}
	o := &Outcome{Dir: dir, Manifest: m, Summary: posterior.NewSummary(), Names: control.NewNames(data, m.Conditioned, nil), Unseen: &Unseen{}, State: m.State,
		Done: m.Counts.Traces + m.Counts.Failed}
	o.Summary.Full = full
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if err := o.Summary.Write(ctx, t); err != nil {
			return nil, err
		}
		_ = o.Names.Add(t) // the judgement will say so
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
	return o, nil
}
