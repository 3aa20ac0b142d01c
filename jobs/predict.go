package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Prediction is what only jobs have that make data from the latents of a run; N is the number of replicates.
type Prediction struct {
	Run      string   `json:"run"`       // whose latents, and whose data
	Prior    bool     `json:"prior"`     // latents from the prior instead
	LeaveOut []string `json:"leave_out"` // data that the latents must not know
}

func (p *Prediction) words() string {
	switch {
	case p.Prior:
		return "prior predictive"
	case len(p.LeaveOut) > 0:
		return "posterior predictive, without " + ppx.List(p.LeaveOut, 5)
	}
	return "posterior predictive"
}

// parent is a run that data are predicted from.
type parent struct {
	path   string
	traces map[int64]*control.Replay // by row: those that are drawn from
	picked []int64                   // rows, by draw
	first  *tracing.Trace
	ess    float64 // of the weights that they are drawn by; 0: the prior
	khat   float64 // of these; NaN: they are none of importance sampling
}

// replayRun prepares the latents of a recorded run: draws of its posterior, of equal weight.
func replayRun(r *run) (func(engine.Draw) engine.Layer, error) {
	p := r.spec.Prediction
	dir, err := rundir.Open(p.Run, nil)
	if err != nil {
		return nil, err
	}
	m := dir.Manifest
	switch {
	case !m.Conditioned || !hasData(p.Run):
		return nil, misuse("%s has no data: there is nothing to compare predictions with", p.Run)
	case p.Prior && len(p.LeaveOut) > 0:
		return nil, misuse("--leave-out goes without --prior: the prior knows no data")
	case m.Resampled != nil && len(p.LeaveOut) > 0:
		return nil, misuse("%s has been resampled: its weights are gone, and no datum can be left out; take the run that it was made from", p.Run)
	}
	if m.State != rundir.Complete {
		r.o.Remark(fmt.Sprintf("%s is %s: predictions are of what is there", p.Run, m.State))
	}
	path, err := filepath.Abs(p.Run)
	if err != nil {
		return nil, err
	}
	r.parent = &parent{path: path, traces: map[int64]*control.Replay{}, khat: math.NaN()}
	if p.Prior {
		if r.parent.first, err = firstGood(context.Background(), p.Run); err == nil && r.parent.first == nil {
			err = misuse("%s has no trace", p.Run)
		}
		if err == nil {
			err = noFactor(p.Run, r.parent.first)
		}
		return nil, err
	}
	if err := r.parent.pick(dir, r.spec); err != nil {
		return nil, err
	}
	r.cfg.Place = func(draw uint64) *engine.Place {
		return &engine.Place{Row: int64(draw), Parent: r.parent.picked[draw-r.spec.First]}
	}
	return func(d engine.Draw) engine.Layer { return r.parent.traces[r.parent.picked[d.Index-r.spec.First]] }, nil
}

// hasData tells whether any Observe of a run was scored.
func hasData(dir string) bool {
	data, err := judge.ObservedData(context.Background(), dir)
	return err != nil || len(data) > 0 // an error is told by who reads it next
}

// pick draws rows by their weights.
func (p *parent) pick(dir *rundir.Reader, spec *Spec) error {
	left := map[string]bool{}
	var logWeights []float64
	var rows []int64
	var rel tracing.Relative
	weights := posterior.NewWeights()
	for t, err := range dir.All(context.Background()) {
		switch {
		case err != nil:
			return err
		case t.Status == tracing.Failed:
			continue
		case t.Status != tracing.OK:
			return misuse("%s holds partial traces", spec.Prediction.Run)
		}
		if err := noFactor(spec.Prediction.Run, t); err != nil {
			return err
		}
		w := tracing.Sum{High: t.LogWeight, Rest: t.LogWeightRest}
		beta := dir.Manifest.LikelihoodImportance
		if beta == 0 {
			beta = 1
		}
		observed(t, spec.Prediction.LeaveOut, func(i int, name string) {
			base, _ := ppx.SplitOccurrence(name)
			left[name], left[base] = true, true
			w.AddProduct(-beta, t.Sites[i].Contribution()) // missing elements have none
		})
		w = w.Kept()
		logWeights, rows = append(logWeights, rel.Log(w.High, w.Rest)), append(rows, t.Row)
		weights.Add(w.High, w.Rest)
	}
	for _, name := range spec.Prediction.LeaveOut {
		if !left[name] {
			return misuse("--leave-out %s: no trace of %s has an Observe of that name with data", ppx.Quote(name), spec.Prediction.Run)
		}
	}
	stream := dist.NewStream(spec.Seed, dist.StreamPrediction.Stream(0), dist.StatementResample, spec.First, dist.PurposeResample)
	picked, err := posterior.Resample(logWeights, int(spec.N), &stream)
	if err != nil {
		return misuse("%s: %w", spec.Prediction.Run, err)
	}
	p.ess, p.khat = weights.ESS(), weights.Khat()
	if dir.Manifest.Chains != nil || dir.Manifest.Particles != nil {
		o, err := Summarise(context.Background(), dir.Path, false)
		if err != nil {
			return err
		}
		p.ess, p.khat = o.Summary.ESS(), math.NaN()
	}
	if before := dir.Manifest.Resampled; before != nil {
		p.ess, p.khat = before.ESS, float64(before.Khat)
	}
	needed := map[int64]bool{}
	for _, i := range picked {
		p.picked = append(p.picked, rows[i])
		needed[rows[i]] = true
	}
	for t, err := range dir.All(context.Background()) {
		if err != nil {
			return err
		}
		if needed[t.Row] {
			t = withoutDerived(t)
			if p.first == nil {
				p.first = t
			}
			p.traces[t.Row] = control.NewReplayLatents(t)
		}
	}
	return nil
}

// noFactor refuses traces with factors: no data are drawn that could be compared.
func noFactor(dir string, t *tracing.Trace) error {
	if f := t.Factor(); f != "" {
		return misuse("%s has %s, which weighs runs and makes no data: there is no telling what it would have predicted", dir, f)
	}
	return nil
}

// withoutDerived is a trace without the variables that ppx derive has added: the simulator does not know them.
func withoutDerived(t *tracing.Trace) *tracing.Trace {
	derived := func(s tracing.Site) bool {
		return s.Op == ppx.Tag && strings.HasPrefix(t.Table.Address(s.Address).Base, "derived:")
	}
	if !slices.ContainsFunc(t.Sites, derived) {
		return t
	}
	out := *t
	out.Sites = slices.DeleteFunc(slices.Clone(t.Sites), derived)
	return &out
}

// observed calls f for the Observes of these names, by name or occurrence, that were scored against data.
func observed(t *tracing.Trace, names []string, f func(site int, name string)) {
	if len(names) == 0 {
		return
	}
	judge.Statements(t, func(i int, name string) {
		if e := &t.Sites[i]; e.Op == ppx.Observe && e.Origin.Scored() && judge.Named(names, name) {
			f(i, name)
		}
	})
}

// sameAsParent makes a trace of the run again, data and all: the latents must mean what they meant there.
func (r *run) sameAsParent(ctx context.Context) error {
	stack := engine.Stack{control.NewReplay(r.parent.first), control.Prior{}}
	_, err := r.makeAgain(ctx, r.parent.first, func(engine.Draw) engine.Stack { return stack }, r.parent.path)
	if errors.As(err, new(Misuse)) && !r.o.Force {
		err = fmt.Errorf("%w; give the one of before after --, or --force", err)
	}
	return err
}

// checkPrediction refuses settings of a prediction that make no sense.
func (s *Spec) checkPrediction() error {
	switch {
	case s.Prediction == nil || s.Prediction.Run == "":
		return misuse("which run? Give a run directory")
	case len(s.Data) > 0:
		return misuse("a prediction takes its data from the run")
	case s.N > 10_000_000:
		return misuse("-n %d: too many replicates", s.N)
	}
	return nil
}

// Predicted compares the replicates in a run directory that ppx predict has made with the data of the run that they were made from.
func Predicted(ctx context.Context, dir string, stats []judge.Stat) (*judge.Predictive, error) {
	spec, err := Recorded(dir)
	if err != nil {
		return nil, err
	}
	if spec.Verb != Predict {
		return nil, misuse("%s was made by ppx %s", dir, spec.Verb)
	}
	p := spec.Prediction
	return judge.Predict(ctx, dir, judge.Question{Run: p.Run, Prior: p.Prior, LeftOut: p.LeaveOut}, stats)
}
