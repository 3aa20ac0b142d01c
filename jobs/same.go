package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// sameTolerance is by how much, relatively, numbers of the same simulator may differ: clients in other languages, and
// --plain, compute samples that differ by rounding.
const sameTolerance = 1e-9

// anotherSimulator makes the first recorded draw again and compares: traces of two models must not end up in one run unless the user
// forces it. A simulator that does not even agree with itself cannot be checked, and is said to be so.
func (r *run) anotherSimulator(ctx context.Context) (bool, error) {
	want, err := firstGood(ctx, r.spec.Out)
	if want == nil || err != nil {
		return false, err
	}
	stack := r.cfg.Stack()
	if r.cfg.Guide != nil || want.Chain > 0 { // a step is not repeated without those before it; another processor's network would propose values that differ a little
		replay := control.NewReplay(want)
		stack = func(engine.Draw) engine.Stack { return engine.Stack{replay, control.Prior{}} }
	}
	mixed, err := r.makeAgain(ctx, want, stack, r.spec.Out)
	if errors.As(err, new(Misuse)) {
		err = fmt.Errorf("%w; use the one of before, begin another run, or go on with --force", err)
	}
	return mixed, err
}

// makeAgain makes a recorded draw again and compares. Errors: Misuse for another simulator.
func (r *run) makeAgain(ctx context.Context, want *tracing.Trace, stack func(engine.Draw) engine.Stack, where string) (mixed bool, err error) {
	again := func() (*tracing.Trace, error) {
		return r.pool.Execute(ctx, engine.Task{Draw: engine.Draw{Seed: r.cfg.Seed, Kind: r.cfg.Kind, Index: want.Draw}, Stack: stack})
	}
	got, err := again()
	if err != nil {
		if r.o.Force {
			r.o.Remark(fmt.Sprintf("warning: draw %d, which is recorded in %s, cannot be made again: %v", want.Draw, where, err))
			return true, ctx.Err()
		}
		return false, fmt.Errorf("draw %d, which is recorded in %s, was made again to see whether the simulator is the same (--force goes on without): %w", want.Draw, where, err)
	}
	differences := inspect.Compare(want, got, sameTolerance)
	if len(differences) == 0 {
		return false, nil
	}
	second, err := again()
	if err != nil {
		return false, err
	}
	if own := inspect.Compare(got, second, sameTolerance); len(own) > 0 {
		r.o.Remark(fmt.Sprintf("warning: the simulator is not deterministic: made twice with the same random numbers, draw %d differs at %s (does it draw random numbers of its own, or read a clock?); whether it is the one that %s was made with cannot be checked",
			want.Draw, own[0], where))
		return false, nil
	}
	if r.o.Force {
		r.o.Remark(fmt.Sprintf("warning: this is not the simulator that %s was made with: draw %d, made again, differs at %s; the run will hold traces of both", where, want.Draw, differences[0]))
		return true, nil
	}
	return false, misuse("this is not the simulator that %s was made with: draw %d, made again, differs at %s", where, want.Draw, differences[0])
}

// firstGood is the first recorded trace that is no failure; nil if there is none.
func firstGood(ctx context.Context, path string) (*tracing.Trace, error) {
	run, err := rundir.Open(path, nil)
	if err != nil {
		return nil, err
	}
	for t, err := range run.All(ctx) {
		if err != nil || t.Status == tracing.OK {
			return t, err
		}
	}
	return nil, nil
}
