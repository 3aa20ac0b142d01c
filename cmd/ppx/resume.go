package main

import (
	"context"
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
func (j *job) anotherSimulator(ctx context.Context, pool *engine.Pool) (bool, error) {
	want, err := firstGood(ctx, j.out)
	if want == nil || err != nil {
		return false, err
	}
	stack := j.cfg.Stack()
	if j.cfg.Guide != nil { // another processor's network would propose values that differ a little
		replay := control.NewReplay(want)
		stack = func(engine.Draw) engine.Stack { return engine.Stack{replay, control.Prior{}} }
	}
	again := func() (*tracing.Trace, error) {
		return pool.Execute(ctx, engine.Task{Draw: engine.Draw{Seed: j.cfg.Seed, Kind: j.cfg.Kind, Index: want.Draw}, Stack: stack})
	}
	got, err := again()
	if err != nil {
		if j.force {
			remark(fmt.Sprintf("warning: draw %d, which is recorded in %s, cannot be made again: %v", want.Draw, j.out, err))
			return true, ctx.Err()
		}
		return false, fmt.Errorf("draw %d, which is recorded in %s, was made again to see whether the simulator is the same (--force goes on without): %w", want.Draw, j.out, err)
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
		remark(fmt.Sprintf("warning: the simulator is not deterministic: made twice with the same random numbers, draw %d differs at %s (does it draw random numbers of its own, or read a clock?); whether it is the one that %s was made with cannot be checked",
			want.Draw, own[0], j.out))
		return false, nil
	}
	if j.force {
		remark(fmt.Sprintf("warning: this is not the simulator that %s was made with: draw %d, made again, differs at %s; the run will hold traces of both", j.out, want.Draw, differences[0]))
		return true, nil
	}
	return false, usagef("this is not the simulator that %s was made with: draw %d, made again, differs at %s; use the one of before, begin another run, or go on with --force",
		j.out, want.Draw, differences[0])
}

// firstGood is the first recorded trace that is no failure; nil if there is none.
func firstGood(ctx context.Context, path string) (*tracing.Trace, error) {
	r, err := rundir.Open(path, nil)
	if err != nil {
		return nil, err
	}
	for t, err := range r.All(ctx) {
		if err != nil || t.Status == tracing.OK {
			return t, err
		}
	}
	return nil, nil
}
