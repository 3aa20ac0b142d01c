package enginetest

import (
	"context"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Weigh draws n traces, of which none may fail, and returns their weights; f is handed each, nil: nobody is.
func Weigh(t testing.TB, x engine.Executor, stack func(engine.Draw) engine.Stack, seed, n uint64, f func(*tracing.Trace)) *posterior.Weights {
	t.Helper()
	w := posterior.NewSummary().Weights
	for tr, err := range x.Stream(context.Background(), engine.Draws(seed, 0, n, stack), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if tr.Status != tracing.OK {
			t.Fatal(tr.Error)
		}
		w.Add(tr.LogWeight, tr.LogWeightRest)
		if f != nil {
			f(tr)
		}
	}
	return w
}
