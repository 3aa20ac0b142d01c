package engine

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// bench is a queue whose workers are the test.
type bench struct {
	queue
	wakes atomic.Int64
	asked int // draws that the sources have given
}

// newBench is a queue that calls work when it wakes its workers.
func newBench(work func(b *bench)) *bench {
	b := &bench{queue: queue{table: tracing.NewTable()}}
	b.queue.wake = func() {
		b.wakes.Add(1)
		if work != nil {
			work(b)
		}
	}
	return b
}

// draws is a source of n draws that counts how many were asked for; look is called at each.
func (b *bench) draws(n uint64, look func()) Source {
	next := Draws(1, 0, n, nil)
	return func() (Task, bool) {
		d, ok := next()
		if ok {
			b.asked++
			if look != nil {
				look()
			}
		}
		return d, ok
	}
}

// traceOf is a trace of so many numbers; those of all traces are the same, to save memory.
func traceOf(j *job, numbers []float64) *tracing.Trace {
	return &tracing.Trace{Draw: j.Draw.Index, Chain: j.Draw.Chain, Result: ppx.Tensor{Data: numbers}}
}

// takeAll takes jobs until there are none.
func (b *bench) takeAll() (jobs []*job) {
	for j := b.take(); j != nil; j = b.take() {
		jobs = append(jobs, j)
	}
	return jobs
}

// consumer reads a stream on a goroutine of its own.
type consumer struct {
	got    []uint64 // draws
	err    error
	failed int // results with an error
	ended  bool
	most   int // reads so many and then leaves; 0: all
}

func (c *consumer) read(s iter.Seq2[*tracing.Trace, error]) {
	for t, err := range s {
		if err != nil {
			c.err = err
			c.failed++
			continue
		}
		if c.got = append(c.got, t.Draw); len(c.got) == c.most {
			break
		}
	}
	c.ended = true
}

// inOrder tells whether draws are 0, 1, 2, …, n−1.
func inOrder(draws []uint64, n int) bool {
	for i, d := range draws {
		if d != uint64(i) {
			return false
		}
	}
	return len(draws) == n
}

// A stream whose consumer is slow is not asked for more draws than the window holds: in traces, or in bytes of large
// ones. All are delivered in the end: workers that found nothing to do are woken when there is room. (If they were not,
// this test would say that all goroutines are blocked.)
func TestWorkersRunAheadAsFarAsTheWindow(t *testing.T) {
	small, large := traceOf(&job{}, nil).Bytes(), 1<<20
	for name, c := range map[string]struct {
		numbers []float64
		window  int // traces
	}{
		"in traces": {nil, windowRuns},
		// A worker that begins when the bytes are just within the window adds one more.
		"in bytes": {make([]float64, large/8), windowBytes/(large+small) + 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				delivered, rounds, most := 0, 0, 0
				step := min(64, c.window) // they are woken for many draws at once
				n := 3*c.window + 1
				b := newBench(func(b *bench) {
					rounds++
					for j := b.take(); j != nil; j = b.take() {
						b.finish(j, traceOf(j, c.numbers))
					}
					if rounds == 1 && b.asked != c.window {
						t.Errorf("%d draws were begun before any was delivered, want %d", b.asked, c.window)
					}
				})
				look := func() { most = max(most, b.asked-delivered) }
				for tr, err := range b.stream(t.Context(), b.draws(uint64(n), look), nil, false) {
					if err != nil || tr.Draw != uint64(delivered) {
						t.Fatalf("draw %d was delivered as number %d: %v", tr.Draw, delivered, err)
					}
					if ahead := b.asked - delivered; b.asked < n && ahead < c.window-step {
						t.Fatalf("only %d draws are begun when number %d is delivered, of %d that the window holds", ahead, delivered, c.window)
					}
					delivered++
				}
				// The trace in the consumer's hands has left the window.
				if delivered != n || most > c.window+1 {
					t.Errorf("%d of %d were delivered, at most %d were begun before, want %d", delivered, n, most, c.window+1)
				}
				if limit := 1 + (n+step/2-1)/(step/2); rounds > limit { // not for fewer than half of that
					t.Errorf("the workers were woken %d times, want at most %d", rounds, limit)
				}
			})
		})
	}
}

// One slow run holds up the delivery of all behind it, and so the others go on only as far as the window. When it is
// there, everything is delivered.
func TestASlowRunHoldsUpTheWindow(t *testing.T) {
	large := make([]float64, 1<<20/8)
	for name, c := range map[string]struct {
		numbers []float64
		window  int // traces, with the slow one
	}{
		"in traces": {nil, windowRuns},
		"in bytes":  {large, windowBytes/traceOf(&job{}, large).Bytes() + 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow *job
				b := newBench(func(b *bench) {
					for j := b.take(); j != nil; j = b.take() {
						if j.Draw.Index == 0 {
							slow = j
							continue
						}
						b.finish(j, traceOf(j, c.numbers))
					}
				})
				n := 2 * c.window
				var out consumer
				var waiting []*tracing.Trace
				go out.read(b.stream(t.Context(), b.draws(uint64(n), nil), func(tr *tracing.Trace) { waiting = append(waiting, tr) }, false))
				synctest.Wait()
				if b.asked != c.window || len(out.got) > 0 {
					t.Errorf("%d draws begun and %d delivered before the first one's end, want %d and 0", b.asked, len(out.got), c.window)
				}
				if len(waiting) != c.window-1 || waiting[0].Draw != 1 || !slices.IsSortedFunc(waiting, func(x, y *tracing.Trace) int { return int(x.Draw) - int(y.Draw) }) {
					t.Errorf("%d traces wait", len(waiting))
				}
				b.finish(slow, traceOf(slow, c.numbers))
				synctest.Wait()
				if !out.ended || out.err != nil || !inOrder(out.got, n) {
					t.Errorf("%d of %d draws delivered in order: %v, %v", len(out.got), n, inOrder(out.got, n), out.err)
				}
			})
		})
	}
}

// Workers that found nothing are woken when all that was finished is delivered, though one of them is still busy.
func TestIdleWorkersAreWokenWhileOneIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := make([]float64, 1<<20) // so large that the window never holds 64
		window := windowBytes/traceOf(&job{}, large).Bytes() + 1
		var busy *job
		rounds := 0
		b := newBench(func(b *bench) {
			rounds++
			var jobs []*job
			for range window + 1 {
				jobs = append(jobs, b.take())
			}
			if busy == nil {
				busy = jobs[window]
				jobs = jobs[:window]
			}
			for _, j := range jobs {
				b.finish(j, traceOf(j, large))
			}
			if b.take() != nil {
				t.Error("more was begun than the window holds")
			}
		})
		var out consumer
		go out.read(b.stream(t.Context(), Draws(1, 0, 1e6, nil), nil, false))
		synctest.Wait()
		if !inOrder(out.got, window) || rounds != 2 {
			t.Errorf("%d draws delivered, want %d; the workers were woken %d times, want 2", len(out.got), window, rounds)
		}
	})
}

// Traces are delivered in the order of draws, each as soon as those before it are there, in whatever order they come.
func TestDeliveryIsInTheOrderOfDraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		b := newBench(nil)
		var out consumer
		go out.read(b.stream(t.Context(), b.draws(n, nil), nil, false))
		synctest.Wait()
		jobs := b.takeAll()
		if len(jobs) != n {
			t.Fatalf("%d jobs", len(jobs))
		}
		var there [n + 1]bool
		next := 0
		for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
			b.finish(jobs[i], traceOf(jobs[i], nil))
			for there[i] = true; there[next]; next++ {
			}
			synctest.Wait()
			if !inOrder(out.got, next) {
				t.Fatalf("%v delivered, want %d", out.got, next)
			}
		}
		if !out.ended || out.err != nil {
			t.Errorf("ended %v, %v", out.ended, out.err)
		}
	})
}

// A stream that has delivered all that was begun ends when it turns out that there is no more.
func TestStreamEndsWithItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(nil)
		var out consumer
		go out.read(b.stream(t.Context(), b.draws(1, nil), nil, false))
		synctest.Wait()
		j := b.take()
		b.finish(j, traceOf(j, nil))
		synctest.Wait()
		if out.ended || !inOrder(out.got, 1) {
			t.Errorf("before anybody has asked for a second draw: %+v", out)
		}
		if b.take() != nil {
			t.Error("a second draw")
		}
		synctest.Wait()
		if !out.ended || out.err != nil {
			t.Errorf("afterwards: %+v", out)
		}
	})
}

// Workers that found nothing are woken when a run comes back to be made again, once; others are left alone.
func TestRunsThatComeBackWakeWhoFoundNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(nil)
		var out consumer
		go out.read(b.stream(t.Context(), b.draws(3, nil), nil, false))
		synctest.Wait()
		wakes := func(want int64, when string) {
			t.Helper()
			if got := b.wakes.Load(); got != want {
				t.Errorf("workers were woken %d times %s, want %d", got, when, want)
			}
		}
		wakes(1, "by the stream")
		first, second, third := b.take(), b.take(), b.take()
		b.giveBack(second)
		wakes(1, "while all had found something")
		if j := b.take(); j != second { // before anything new
			t.Errorf("got draw %d, want the one that came back", j.Draw.Index)
		}
		if b.take() != nil {
			t.Error("a fourth draw")
		}
		b.giveBack(third)
		wakes(2, "when a run came back")
		b.giveBack(first)
		wakes(2, "when another did, before anybody found nothing")
		if j, k := b.take(), b.take(); j != third || k != first {
			t.Error("they come back in another order")
		}
		// Who has something to do, and only wants more of the same stream, is not to be woken.
		if b.takeFrom(first.src) != nil {
			t.Error("a fourth draw")
		}
		b.giveBack(first)
		wakes(2, "though nobody was idle")
		for _, j := range []*job{b.take(), second, third} {
			b.finish(j, traceOf(j, nil))
		}
		synctest.Wait()
		if !out.ended || out.err != nil || !inOrder(out.got, 3) {
			t.Errorf("%+v", out)
		}
	})
}

// Two streams take turns, and when one has no more draws the other has all workers. Who asks for one of them gets no other.
func TestStreamsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(nil)
		var short, long consumer
		source := func(chain uint32, n uint64) Source {
			next := Draws(1, 0, n, nil)
			return func() (Task, bool) {
				d, ok := next()
				d.Draw.Chain = chain
				return d, ok
			}
		}
		go short.read(b.stream(t.Context(), source(1, 6), nil, false))
		synctest.Wait()
		go long.read(b.stream(t.Context(), source(2, 10), nil, false))
		synctest.Wait()
		var chains []uint32
		var jobs []*job
		note := func(j *job) {
			chains = append(chains, j.Draw.Chain)
			jobs = append(jobs, j)
		}
		for range 4 {
			note(b.take())
		}
		for range 2 { // a batch is no turn
			note(b.takeFrom(jobs[0].src))
		}
		for _, j := range b.takeAll() {
			note(j)
		}
		if want := []uint32{1, 2, 1, 2, 1, 1, 1, 2, 1, 2, 2, 2, 2, 2, 2, 2}; !slices.Equal(chains, want) {
			t.Errorf("the streams' turns are %v, want %v", chains, want)
		}
		for _, j := range slices.Backward(jobs) {
			b.finish(j, traceOf(j, nil))
		}
		synctest.Wait()
		for _, c := range []struct {
			*consumer
			n int
		}{{&short, 6}, {&long, 10}} {
			if !c.ended || c.err != nil || !inOrder(c.got, c.n) {
				t.Errorf("a stream of %d draws delivered %v, %v", c.n, c.got, c.err)
			}
		}
	})
}

// The end of the context is the end of the stream, with its cause, whether it waits for a run or has delivered some, and
// also when results are there.
func TestCancelEndsTheStream(t *testing.T) {
	stopped := errors.New("stopped")
	synctest.Test(t, func(t *testing.T) {
		b := newBench(nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		var one, other consumer
		go one.read(b.stream(ctx, b.draws(10, nil), nil, false))
		go other.read(b.stream(t.Context(), b.draws(2, nil), nil, false))
		synctest.Wait()
		jobs := b.takeAll()
		mine := slices.IndexFunc(jobs, func(j *job) bool { return j.Draw.Index == 9 }) // the longer stream's
		src := jobs[mine].src
		for _, j := range jobs {
			if j.src == src && j.Draw.Index == 0 {
				b.finish(j, traceOf(j, nil))
			}
		}
		synctest.Wait()
		if one.ended || !inOrder(one.got, 1) {
			t.Errorf("before the end: %+v", one)
		}
		cancel(stopped)
		synctest.Wait()
		if !one.ended || !errors.Is(one.err, stopped) || one.failed != 1 || !inOrder(one.got, 1) {
			t.Errorf("after the end: %+v", one)
		}
		if other.ended {
			t.Error("another stream has ended too")
		}
		for _, j := range jobs {
			b.finish(j, traceOf(j, nil))
		}
		synctest.Wait()
		if !other.ended || other.err != nil || !inOrder(other.got, 2) || !inOrder(one.got, 1) {
			t.Errorf("%+v, %+v", one, other)
		}
	})
	b := newBench(func(b *bench) {
		for _, j := range b.takeAll() {
			b.finish(j, traceOf(j, nil))
		}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	var late consumer
	late.read(b.stream(ctx, b.draws(10, nil), nil, false))
	if !errors.Is(late.err, stopped) || len(late.got) > 0 || late.failed != 1 {
		t.Errorf("a stream that begins too late: %+v", late)
	}
}

// When no run can be made any more, everybody who waits learns it, and whoever comes later; what is there already is
// delivered before. A stream that has had all its draws ends well.
func TestFatalErrorReachesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, later := errors.New("no simulator"), errors.New("another reason")
		b := newBench(nil)
		// One consumer is busy with a trace, and so its stream is still there.
		busy := make(chan struct{})
		var late error
		go func() {
			for _, err := range b.stream(t.Context(), b.draws(5, nil), nil, false) {
				late = err
				<-busy
			}
		}()
		synctest.Wait()
		j := b.take()
		b.finish(j, traceOf(j, nil))
		synctest.Wait()
		src := j.src
		var all [3]consumer
		for i := range all {
			go all[i].read(b.stream(t.Context(), b.draws(5, nil), nil, false))
		}
		synctest.Wait()
		// The first draw of one of them, its second is under way.
		var first *job
		for first == nil || first.src == src {
			first = b.take()
		}
		second := b.takeFrom(first.src)
		if second.Draw.Index != 1 {
			t.Fatal(second.Draw.Index)
		}
		b.finish(first, traceOf(first, nil))
		b.fail(dead)
		b.fail(later)
		synctest.Wait()
		delivered := 0
		for i := range all {
			if c := &all[i]; !c.ended || c.err != dead || c.failed != 1 {
				t.Errorf("consumer %d: %+v", i, c)
			}
			delivered += len(all[i].got)
		}
		if delivered != 1 {
			t.Errorf("%d traces were delivered, want the one that was finished", delivered)
		}
		asked := b.asked
		if b.take() != nil || b.takeFrom(src) != nil || b.asked != asked {
			t.Error("there is still work")
		}
		close(busy)
		synctest.Wait()
		if late != dead {
			t.Errorf("who was busy meanwhile got %v", late)
		}
		b.finish(second, traceOf(second, nil)) // nobody wants it
		b.giveBack(second)
		var after consumer
		after.read(b.stream(t.Context(), b.draws(5, nil), nil, false))
		if after.err != dead || len(after.got) > 0 || b.asked != asked {
			t.Errorf("a stream that begins later: %+v, %d draws asked for, %d before", after, b.asked, asked)
		}
		if _, err := b.execute(t.Context(), Task{Draw: Draw{}}); err != dead {
			t.Errorf("a single run: %v", err)
		}
	})
}

// An error that repeating would not change ends its own stream, in its turn.
func TestAbortEndsItsStreamOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("data of another shape")
		b := newBench(nil)
		var one, other consumer
		go one.read(b.stream(t.Context(), b.draws(4, nil), nil, false))
		synctest.Wait()
		mine := b.takeAll()
		go other.read(b.stream(t.Context(), b.draws(1, nil), nil, false))
		synctest.Wait()
		b.abort(mine[2], bad)
		b.finish(mine[3], traceOf(mine[3], nil))
		b.finish(mine[1], traceOf(mine[1], nil))
		synctest.Wait()
		if one.ended {
			t.Errorf("it has ended before its first draws: %+v", one)
		}
		b.finish(mine[0], traceOf(mine[0], nil))
		synctest.Wait()
		if !one.ended || one.err != bad || !inOrder(one.got, 2) {
			t.Errorf("%+v", one)
		}
		for _, j := range b.takeAll() {
			b.finish(j, traceOf(j, nil))
		}
		synctest.Wait()
		if !other.ended || other.err != nil || !inOrder(other.got, 1) {
			t.Errorf("the other stream: %+v", other)
		}
	})
}

// A consumer that leaves early leaves nothing behind but the finished traces that it did not take, until the next
// stream: no draw is begun for it, and runs that end later, or come back, are dropped.
func TestNothingIsKeptForAStreamThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(nil)
		out := consumer{most: 2}
		var early []uint64
		go out.read(b.stream(t.Context(), b.draws(100, nil), func(tr *tracing.Trace) { early = append(early, tr.Draw) }, false))
		synctest.Wait()
		var jobs []*job
		for range 8 {
			jobs = append(jobs, b.take())
		}
		src := jobs[0].src
		b.giveBack(jobs[3])
		for _, i := range []int{6, 4, 1, 0} {
			b.finish(jobs[i], traceOf(jobs[i], nil))
		}
		synctest.Wait()
		if !out.ended || !inOrder(out.got, 2) {
			t.Fatalf("%+v", out)
		}
		if !slices.Equal(early, []uint64{6, 4, 1}) {
			t.Errorf("%v were told to wait, want those that were finished before their turn", early)
		}
		b.finish(jobs[2], traceOf(jobs[2], nil))
		b.abort(jobs[5], errors.New("too late"))
		b.giveBack(jobs[7])
		if b.take() != nil || b.asked != 8 || len(b.sources) > 0 {
			t.Errorf("%d draws begun, %d streams", b.asked, len(b.sources))
		}
		if len(src.results)+len(src.retry) > 0 || len(early) != 3 || !inOrder(out.got, 2) {
			t.Errorf("%d results and %d runs are kept, %v were told to wait", len(src.results), len(src.retry), early)
		}
		// The next one begins with an empty window.
		var next consumer
		go next.read(b.stream(t.Context(), b.draws(1, nil), nil, false))
		synctest.Wait()
		for _, j := range b.takeAll() {
			b.finish(j, traceOf(j, nil))
		}
		synctest.Wait()
		if !next.ended || !inOrder(next.got, 1) {
			t.Errorf("%+v", next)
		}
	})
}
