package whatif

import (
	"context"
	"iter"
	"sync"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Do makes recorded traces again under an intervention, and hands out each with what became of it, in their order. What became of one has its weight, row and chain: what it says is of the same draw of the
// posterior. after is before itself where the intervention sets nothing in it; it has failed where the simulator could not go on. Failed traces are left out.
func Do(ctx context.Context, x engine.Executor, traces iter.Seq2[*tracing.Trace, error], do *Intervention, rest control.Rest, seed uint64, each func(before, after *tracing.Trace) error) error {
	return again(ctx, x, traces, func(t *tracing.Trace, replay *control.Replay) ([]engine.Layer, error) {
		set, err := do.Of(t)
		if err != nil || len(set) == 0 {
			return nil, err
		}
		return []engine.Layer{control.NewIntervene(replay, set, nil, rest, seed)}, nil
	}, seed, func(before *tracing.Trace, after []*tracing.Trace) error {
		if len(after) == 0 {
			return each(before, before)
		}
		return each(before, after[0])
	})
}

// again makes several runs of each trace, one for each of the layers.
func again(ctx context.Context, x engine.Executor, traces iter.Seq2[*tracing.Trace, error], layers func(*tracing.Trace, *control.Replay) ([]engine.Layer, error), seed uint64,
	each func(before *tracing.Trace, after []*tracing.Trace) error) error {
	type waiting struct {
		before *tracing.Trace
		runs   int
	}
	var mu sync.Mutex
	var list []waiting // whose runs are not all there
	var failed error
	var left []engine.Layer
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type read struct {
		t   *tracing.Trace
		err error
	}
	reads := make(chan read, ahead) // not iter.Pull: workers are locked to their threads
	go func() {
		defer close(reads)
		for t, err := range traces {
			select {
			case reads <- read{t, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	next := func() (engine.Task, bool) { // one at a time
		mu.Lock()
		defer mu.Unlock()
		for len(left) == 0 {
			r, ok := <-reads
			if failed = r.err; r.err != nil || !ok {
				return engine.Task{}, false
			}
			if r.t.Status != tracing.OK {
				continue
			}
			if own := r.t.Own(); own != "" {
				failed = unusable("%s is the simulator's own: in a run that is made again after an intervention nobody could give it the value or the noise that it had", own)
				return engine.Task{}, false
			}
			if left, failed = layers(r.t, control.NewReplay(r.t)); failed != nil {
				return engine.Task{}, false
			}
			list = append(list, waiting{r.t, len(left)})
		}
		stack := engine.Stack{left[0], control.Prior{}}
		left = left[1:]
		row := uint64(list[len(list)-1].before.Row)
		return engine.Task{Draw: engine.Draw{Seed: seed, Kind: dist.StreamPrediction, Index: row}, Stack: func(engine.Draw) engine.Stack { return stack }}, true
	}
	// take hands out those that have all their runs.
	var after []*tracing.Trace
	take := func(t *tracing.Trace) error {
		for {
			mu.Lock()
			if len(list) == 0 {
				mu.Unlock()
				return nil
			}
			w := list[0]
			if t != nil && len(after) < w.runs {
				after, t = append(after, factual(w.before, t)), nil
			}
			done := len(after) == w.runs
			if done {
				list = list[1:]
			}
			mu.Unlock()
			if !done {
				return nil
			}
			if err := each(w.before, after); err != nil {
				return err
			}
			after = nil
		}
	}
	for t, err := range x.Stream(ctx, next, nil) {
		if err != nil {
			return err
		}
		if err := take(t); err != nil {
			return err
		}
	}
	mu.Lock()
	err := failed
	mu.Unlock()
	if err != nil {
		return err
	}
	return take(nil)
}

// ahead is how many traces are read before they are asked for.
const ahead = 64

// factual gives a trace the weight and the place of the one that it comes from.
func factual(before, t *tracing.Trace) *tracing.Trace {
	x := *t
	x.Row, x.Chain, x.LogWeight, x.LogWeightRest = before.Row, before.Chain, before.LogWeight, before.LogWeightRest
	x.From = &tracing.Lineage{Parent: before.Row, SameAs: tracing.NoRow, Step: before.Lineage().Step}
	return &x
}
