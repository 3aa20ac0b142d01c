package enginetest

import (
	"context"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Untrained is a network with random weights: the larger, the more its proposals differ from the priors.
func Untrained(t testing.TB, x engine.Executor, data control.Data, size float32) *ic.Proposer {
	t.Helper()
	var traces []*tracing.Trace
	for tr, err := range x.Stream(context.Background(), engine.Draws(1, 0, 200, func(engine.Draw) engine.Stack { return engine.Stack{control.Prior{}} }), nil) {
		if err != nil {
			t.Fatal(err)
		}
		traces = append(traces, tr)
	}
	n, _, err := ic.New[float32](ic.Settings{Hidden: 6, Depth: 1, Address: 4, Kind: 2, Value: 2, Components: 2, Trunk: 5}, "enumerated", 3, traces)
	if err != nil {
		t.Fatal(err)
	}
	var batch []*ic.Example
	for _, tr := range traces {
		e, err := n.Example(tr)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, e)
	}
	if _, err := ic.NewPass(n).Gradient(batch, 1); err != nil { // it knows the addresses then
		t.Fatal(err)
	}
	for _, w := range n.Params() { // as they begin, proposals are the priors
		for i := range w.Value {
			w.Value[i] += size * float32(math.Sin(float64(7*i+len(w.Value))))
		}
	}
	p, err := ic.NewProposer(n, data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
