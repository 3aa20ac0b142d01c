package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/whatif"
)

// WhatIf is a question about a recorded run that its simulator answers.
type WhatIf struct {
	Run       string
	Simulator engine.Options
	Seed      uint64
	Done      func(done int) // hears of progress; may be nil
}

// Intervention is do(·).
type Intervention struct {
	Settings []whatif.Setting
	Rest     control.Rest
	Out      string // run directory of what would have happened
	N        uint64 // at most so many traces, from the first; 0: all
}

// Words are what a run directory says of it.
func (x *Intervention) Words() string {
	var list []string
	for _, s := range x.Settings {
		list = append(list, s.Name+"="+s.Value)
	}
	return fmt.Sprintf("do(%s), %s", strings.Join(list, ", "), [...]string{"the rest with its noise", "the rest drawn afresh", "the rest kept: the direct effect"}[x.Rest])
}

// Changed is what an intervention on a run came to: summaries of the traces as they are recorded, of what became of them, and of the changes of their variables. Only those traces that could go on are in it.
type Changed struct {
	Out                   string
	Before, After, Change *posterior.Summary
	Traces, Untouched     uint64 // those in which there was nothing to set
	Failed                uint64 // those whose simulator could not go on
}

// asked is a question on its way.
type asked struct {
	*WhatIf
	pool *engine.Pool
	r    *rundir.Reader
}

// ask starts the simulator, and looks whether it does what it did. The caller closes the pool.
func (w *WhatIf) ask(ctx context.Context, o Options) (a *asked, err error) {
	m, err := rundir.ReadManifest(w.Run) // before a simulator is started
	if err != nil {
		return nil, err
	}
	if m.NoParameters {
		return nil, misuse("%s was recorded with --no-parameters: the noise of its draws is not known", w.Run)
	}
	if w.Done == nil {
		w.Done = func(int) {}
	}
	a = &asked{WhatIf: w}
	if a.pool, err = engine.Open(ctx, w.Simulator); err != nil {
		return nil, err
	}
	if err = a.same(ctx, m, o); err == nil {
		a.r, err = rundir.Open(w.Run, a.pool.Table())
	}
	if err != nil {
		return nil, errors.Join(err, a.pool.Close())
	}
	return a, nil
}

// same makes the first recorded trace again.
func (a *asked) same(ctx context.Context, m *rundir.Manifest, o Options) error {
	first, err := firstGood(ctx, a.Run)
	switch {
	case err != nil:
		return err
	case first == nil || first.Status != tracing.OK:
		return misuse("%s has no whole trace", a.Run)
	case m.Model != a.pool.Model() && !o.Force:
		return misuse("%s was made with the model %s; this simulator is %s", a.Run, ppx.Quote(m.Model), ppx.Quote(a.pool.Model()))
	}
	stack := engine.Stack{control.NewReplay(withoutDerived(first)), control.Prior{}}
	r := &run{pool: a.pool, o: o, cfg: importance.Config{Seed: a.Seed, Kind: dist.StreamPrediction}}
	_, err = r.makeAgain(ctx, withoutDerived(first), func(engine.Draw) engine.Stack { return stack }, a.Run)
	if errors.As(err, new(Misuse)) {
		err = fmt.Errorf("%w; give the one of before after --, or --force", err)
	}
	return err
}

// intervention reads the settings; for expressions over variables, what these are called.
func (a *asked) intervention(ctx context.Context, x *Intervention, traces iter.Seq2[*tracing.Trace, error]) (*whatif.Intervention, error) {
	var names []string
	if whatif.NeedsNames(x.Settings) {
		var vars tracing.Variables
		census := tracing.NewCensus(&vars)
		for t, err := range traces {
			if err != nil {
				return nil, err
			}
			census.Add(t)
		}
		for name := range census.Names() {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	return whatif.NewIntervention(x.Settings, names)
}

// One makes one trace again under an intervention.
func (w *WhatIf) One(ctx context.Context, x *Intervention, row uint64, o Options) (before, after *tracing.Trace, err error) {
	a, err := w.ask(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	defer a.pool.Close()
	t, err := a.r.Row(row)
	if err != nil {
		return nil, nil, err
	}
	if t.Status != tracing.OK {
		return nil, nil, misuse("draw %d of %s is %s: there is nothing to intervene in", row, w.Run, t.Status)
	}
	one := func(yield func(*tracing.Trace, error) bool) { yield(withoutDerived(t), nil) }
	do, err := a.intervention(ctx, x, one)
	if err != nil {
		return nil, nil, err
	}
	err = whatif.Do(ctx, a.pool, one, do, x.Rest, w.Seed, func(b, c *tracing.Trace) error {
		before, after = b, c
		return nil
	})
	if err == nil {
		err = do.Unused()
	}
	if err == nil && after.Status == tracing.Failed {
		err = fmt.Errorf("draw %d with %s: the simulator could not go on: %s", row, x.Words(), ppx.Printable(after.Error))
	}
	return before, after, err
}

// All makes the traces of the run again under an intervention, in a run directory of their own.
func (w *WhatIf) All(ctx context.Context, x *Intervention, o Options) (c *Changed, err error) {
	if err := rundir.Free(x.Out); errors.Is(err, rundir.ErrExists) {
		return nil, misuse("%w; give another --out", err)
	} else if err != nil {
		return nil, err
	}
	a, err := w.ask(ctx, o)
	if err != nil {
		return nil, err
	}
	defer a.pool.Close()
	traces := func(yield func(*tracing.Trace, error) bool) {
		n := uint64(0)
		for t, err := range a.r.All(ctx) {
			if err == nil {
				t = withoutDerived(t)
			}
			if x.N > 0 && n == x.N || !yield(t, err) {
				return
			}
			n++
		}
	}
	do, err := a.intervention(ctx, x, traces)
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(w.Run)
	if err != nil {
		return nil, err
	}
	next := *a.r.Manifest
	m := &next
	m.PPXVersion, m.Job, m.First, m.Counts, m.PartSize, m.Cut, m.Ended, m.Error = o.Version, nil, 0, rundir.Counts{}, 0, nil, nil, ""
	m.Lineage = m.Lineage.From(path, x.Words())
	if x.N > 0 {
		m.N = min(m.N, x.N)
	}
	out, err := rundir.Create(x.Out, m, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		state := rundir.Complete
		switch {
		case errors.Is(err, context.Canceled):
			state = rundir.Interrupted
		case err != nil:
			state = rundir.Failed
		}
		err = errors.Join(err, out.Close(state, err))
	}()
	c = &Changed{Out: x.Out, Before: summaryOf(m), After: summaryOf(m), Change: summaryOf(m)}
	changes := changes{}
	row := int64(0)
	err = whatif.Do(ctx, a.pool, traces, do, x.Rest, w.Seed, func(before, after *tracing.Trace) error {
		put := *after
		put.Row, put.From = row, &tracing.Lineage{Parent: before.Row, SameAs: tracing.NoRow, Step: before.Lineage().Step}
		row++
		if err := out.Write(ctx, &put); err != nil {
			return err
		}
		switch {
		case after.Status != tracing.OK:
			c.Failed++
			return nil
		case before == after:
			c.Untouched++
		}
		c.Traces++
		w.Done(int(c.Traces + c.Failed))
		return errors.Join(c.Before.Write(ctx, before), c.After.Write(ctx, after), c.Change.Write(ctx, changes.of(before, after)))
	})
	if err == nil {
		err = do.Unused()
	}
	return c, err
}

// changes makes traces whose variables are the changes of others', of what would have been observed too.
type changes struct {
	vars tracing.Variables
	b    tracing.Builder
	at   map[tracing.Key]int
}

// of is the trace with the change of each number that both have.
func (c *changes) of(before, after *tracing.Trace) *tracing.Trace {
	if c.at == nil {
		c.at = map[tracing.Key]int{}
	}
	clear(c.at)
	for i := range before.Sites {
		c.at[before.Sites[i].Key] = i
	}
	c.b.Reset(after.Table, after.Draw, after.Chain)
	c.vars.Each(after, func(entry int, q tracing.Quantity, v ppx.Tensor) {
		was := before.Result
		if entry >= 0 {
			i, ok := c.at[after.Sites[entry].Key]
			if !ok {
				return
			}
			was = before.Value(i)
		}
		for i, x := range v.Data[:min(len(v.Data), len(was.Data), maxChanges)] {
			label := c.vars.Label(q, v.Shape, i)
			c.b.Add(tracing.Site{Key: tracing.Key{Address: after.Table.Intern("change:"+label, ppx.Tag, dist.None), Instance: 1}, Name: after.Table.InternName(label), Op: ppx.Tag, Origin: tracing.FromModel}, dist.Scalar(x-was.Data[i]), nil)
		}
	})
	t := c.b.Finish(ppx.Tensor{}, after.LogWeight, 0)
	t.LogWeightRest, t.Row, t.Chain = after.LogWeightRest, after.Row, after.Chain
	return t
}

// maxChanges of a tensor's elements are followed.
const maxChanges = 100

// Sensitivity is which draws matter.
type Sensitivity struct {
	N         int      // traces, drawn by their weights
	Prior     int      // draws of the prior
	Addresses int      // at most so many by themselves
	Outcomes  []string // nil: those that are no Samples
	Planned   func(traces, addresses, runs int)
}

// Why redraws the draws of a run's traces, one address after the other, and tells which matter.
func (w *WhatIf) Why(ctx context.Context, x *Sensitivity, o Options) (*whatif.Why, error) {
	a, err := w.ask(ctx, o)
	if err != nil {
		return nil, err
	}
	defer a.pool.Close()
	picked, err := a.pick(ctx, x.N)
	if err != nil {
		return nil, err
	}
	plan, err := whatif.Plan(picked, x.Addresses)
	if err != nil {
		return nil, err
	}
	outcomes, err := plan.Outcomes(x.Outcomes)
	if err != nil {
		return nil, err
	}
	if x.Planned != nil {
		x.Planned(len(picked), plan.Addresses(), plan.Runs+x.Prior)
	}
	done := 0
	return plan.Ask(ctx, a.pool, outcomes, x.Prior, a.r.Manifest.Conditioned, w.Seed, func() {
		done++
		w.Done(done)
	})
}

// pick draws traces by their weights.
func (a *asked) pick(ctx context.Context, n int) (out []whatif.Picked, err error) {
	var rel tracing.Relative
	var logWeights []float64
	var rows []uint64
	for h, err := range a.r.Heads(ctx) {
		if err != nil {
			return nil, err
		}
		if h.Status == tracing.OK {
			logWeights, rows = append(logWeights, rel.Log(h.LogWeight, h.LogWeightRest)), append(rows, h.Row)
		}
	}
	stream := dist.NewStream(a.Seed, dist.StreamPrediction.Stream(0), dist.StatementResample, 0, dist.PurposeResample)
	picked, err := posterior.Resample(logWeights, n, &stream)
	if err != nil {
		return nil, misuse("%s: %w", a.Run, err)
	}
	times := map[uint64]float64{}
	for _, i := range picked {
		times[rows[i]]++
	}
	for t, err := range a.r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if k := times[uint64(t.Row)]; k > 0 {
			out = append(out, whatif.Picked{Trace: withoutDerived(t), Times: k})
		}
	}
	return out, nil
}
