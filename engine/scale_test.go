package engine_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
)

// nap is how long each run of a simulator takes that keeps no core busy.
const nap = 20 * time.Millisecond

func init() {
	models["asleep"] = func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		time.Sleep(nap)
		return gosim.Scalar(x)
	}
}

// Simulators that wait most of the time are launched in greater numbers than there are cores, as long as each time that
// makes the whole faster, and up to eight a core.
func TestWorkersGrowBeyondTheCores(t *testing.T) {
	// One core keeps the number of processes small. (No other test runs at the same time.)
	const cores = 1
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	p := open(t, options("asleep", 0))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// After the last growth the pool would measure for a quarter of a second before it grew again: in that time this
	// many runs are made, so that three times as many leave no doubt.
	const settled = 3 * 8 * cores * int(250*time.Millisecond/nap)
	sizes := []int{p.Stats().Workers}
	for at := 0; at < settled || sizes[len(sizes)-1] < 8*cores; {
		for _, err := range p.Stream(ctx, engine.Draws(1, 0, uint64(settled), prior), nil) {
			if err != nil {
				t.Fatalf("numbers of workers so far: %v; then %v", sizes, err)
			}
			at++
			if n := p.Stats().Workers; n != sizes[len(sizes)-1] {
				sizes, at = append(sizes, n), 0
			}
		}
	}
	// Sizes that are seen while the pool grows may be any in between.
	if !slices.IsSorted(sizes) || sizes[len(sizes)-1] != 8*cores {
		t.Errorf("numbers of workers: %v", sizes)
	}
}

// A number of workers that is given stays.
func TestWorkersThatAreGivenStay(t *testing.T) {
	p := open(t, options("asleep", 1))
	// As above: for three times as long as a pool that grows would measure.
	traces, err := draw(t, p, uint64(3*250*time.Millisecond/nap), prior)
	if err != nil || p.Stats().Workers != 1 {
		t.Errorf("%d workers after %d runs, %v", p.Stats().Workers, len(traces), err)
	}
}
