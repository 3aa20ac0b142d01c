package engine_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// nothing is the data of all runs: the same, so that they may go in one message.
var nothing = control.NewCondition(nil, true)

func priorTask(chain uint32, i uint64) engine.Task {
	return engine.Task{Draw: engine.Draw{Seed: 5, Chain: chain, Index: i}, Stack: func(engine.Draw) engine.Stack { return engine.Stack{nothing, control.Prior{}} }}
}

// Those who wait together get the runs that each asked for, whoever else asks for what, comes or goes.
func TestTogether(t *testing.T) {
	local := engine.NewLocal(gosim.Wrap(gum.Model), 1)
	defer local.Close()
	pool, err := engine.Open(context.Background(), engine.Options{Command: testbed.Simulator(t, "gum", "cpp"), Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	together := engine.NewTogether(context.Background(), pool)
	var wg sync.WaitGroup
	for chain := range uint32(6) {
		together.Join()
		wg.Go(func() {
			defer together.Leave()
			for i := range uint64(100 + 20*chain) {
				if i%17 == uint64(chain) { // nobody waits for it meanwhile
					together.Leave()
					time.Sleep(time.Millisecond)
					together.Join()
				}
				var tasks []engine.Task
				for k := range 1 + uint64(chain)%3 {
					tasks = append(tasks, priorTask(chain+1, 3*i+k))
				}
				got, err := together.Execute(tasks...)
				if err != nil || len(got) == 0 || len(got) > len(tasks) {
					t.Errorf("%d runs of %d: %v", len(got), len(tasks), err)
					return
				}
				for k, g := range got {
					want, err := local.Execute(context.Background(), tasks[k])
					if err != nil {
						t.Error(err)
						return
					}
					if a, b := g.Value(0).Data[0], want.Value(0).Data[0]; g.Chain != chain+1 || math.Abs(a-b) > 1e-12*math.Abs(b) { // C++ rounds otherwise
						t.Errorf("chain %d, run %d: %v, want %v", chain+1, i, g.Value(0), want.Value(0))
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// Whoever waits goes on when the context ends, with its cause; also for one that never comes.
func TestTogetherEndsWithItsContext(t *testing.T) {
	pool, err := engine.Open(context.Background(), engine.Options{Command: testbed.Simulator(t, "gum", "cpp"), Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	together := engine.NewTogether(ctx, pool)
	for range 2 {
		together.Join()
	}
	if _, err := pool.Execute(ctx, priorTask(1, 0)); err != nil { // it has answered the handshake
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	if got, err := together.Execute(priorTask(1, 0)); !errors.Is(err, why) {
		t.Errorf("%v, %v", got, err)
	}
}

// Unlike runs go in one message where the client can: with values and streams of their own they are what each is alone.
func TestUnlikeRunsOfOneMessage(t *testing.T) {
	python := testbed.Simulator(t, "gum", "python")
	old := append([]string{python[0], "-c", "import runpy, sys, ppxsim._wire as w; w.EXTENSION = 1; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"}, python[1:]...)
	for lang, command := range map[string][]string{"C++": testbed.Simulator(t, "gum", "cpp"), "Python": python, "Go": testbed.Simulator(t, "gum", "go"), "of before": old} {
		pool, err := engine.Open(context.Background(), engine.Options{Command: command, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		var tasks []engine.Task
		for chain := range uint32(40) {
			task := priorTask(chain+1, uint64(chain%3))
			if chain%4 > 0 {
				before, err := pool.Execute(context.Background(), priorTask(100, uint64(chain)))
				if err != nil {
					t.Fatal(err)
				}
				kept := control.NewReplayLatents(before)
				task.Stack = func(engine.Draw) engine.Stack { return engine.Stack{nothing, kept, control.Prior{}} }
			}
			tasks = append(tasks, task)
		}
		next := 0
		source := func() (engine.Task, bool) {
			if next++; next > len(tasks) {
				return engine.Task{}, false
			}
			task := tasks[next-1]
			task.Left = len(tasks) - next
			return task, true
		}
		if pool.Batches() != (lang != "of before") {
			t.Errorf("%s: batches of unlike runs: %v", lang, pool.Batches())
		}
		var got []*tracing.Trace
		for tr, err := range pool.Stream(context.Background(), source, nil) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, tr)
		}
		for i, g := range got {
			want, err := pool.Execute(context.Background(), tasks[i])
			if err != nil {
				t.Fatal(err)
			}
			if a, b := g.Value(0).Data[0], want.Value(0).Data[0]; a != b || g.Chain != uint32(i)+1 || g.Sites[0].Origin != want.Sites[0].Origin {
				t.Errorf("%s, run %d: %v (%v), want %v (%v)", lang, i, a, g.Sites[0].Origin, b, want.Sites[0].Origin)
			}
		}
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
