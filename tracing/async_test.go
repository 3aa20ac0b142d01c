package tracing_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// gated is a Writer that notes what it is given, and holds each trace until it is let go.
type gated struct {
	got  []uint64
	gate chan struct{}
}

func (g *gated) Write(_ context.Context, t *tracing.Trace) error {
	g.got = append(g.got, t.Draw)
	<-g.gate
	return nil
}

// Writers are held up only when as many traces wait as there is room for, and no trace is lost or overtaken.
func TestAsyncHoldsAsManyAsItsDepth(t *testing.T) {
	for _, depth := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			const n = 10
			g := &gated{gate: make(chan struct{})}
			a := tracing.NewAsync(g, depth)
			var written atomic.Int64 // (for the race detector, which does not see how Close waits)
			var closed atomic.Bool
			go func() {
				for i := range uint64(n) {
					if err := a.Write(ctx, &tracing.Trace{Draw: i}); err != nil {
						t.Error(err)
					}
					written.Add(1)
				}
				if err := a.Close(); err != nil {
					t.Error(err)
				}
				closed.Store(true)
			}()
			for done := range n {
				synctest.Wait()
				// One is with the sink, depth wait.
				if got, want := int(written.Load()), min(n, done+1+depth); got != want || len(g.got) != done+1 {
					t.Errorf("depth %d: %d written and %d with the sink after %d, want %d and %d", depth, got, len(g.got), done, want, done+1)
				}
				if closed.Load() {
					t.Errorf("depth %d: closed after %d of %d", depth, done, n)
				}
				g.gate <- struct{}{}
			}
			synctest.Wait()
			if !closed.Load() {
				t.Errorf("depth %d: not closed when everything was written", depth)
			}
			if want := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(g.got, want) {
				t.Errorf("depth %d: %v", depth, g.got)
			}
		})
	}
}

// The sink's error comes back from the Writes that follow and from Close; the sink is left alone, and nobody is held up.
func TestAsyncReportsTheSinksError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk full")
		calls := 0
		a := tracing.NewAsync(sink(func(_ context.Context, tr *tracing.Trace) error {
			if calls++; tr.Draw >= 2 {
				return broken
			}
			return nil
		}), 1)
		for i := range uint64(3) {
			if err := a.Write(ctx, &tracing.Trace{Draw: i}); err != nil {
				t.Errorf("draw %d: %v", i, err)
			}
			synctest.Wait() // the sink has had it
			if err := a.Err(); errors.Is(err, broken) != (i == 2) {
				t.Errorf("after draw %d: %v", i, err)
			}
		}
		for i := range uint64(20) {
			if err := a.Write(ctx, &tracing.Trace{Draw: 3 + i}); !errors.Is(err, broken) {
				t.Errorf("draw %d: %v", 3+i, err)
			}
		}
		if err := a.Close(); !errors.Is(err, broken) || calls != 3 {
			t.Errorf("closed with %v after %d calls", err, calls)
		}
	})
}

// An error of the last traces, after which nobody writes, is Close's.
func TestAsyncCloseReportsALateError(t *testing.T) {
	broken := errors.New("disk full")
	a := tracing.NewAsync(sink(func(context.Context, *tracing.Trace) error { return broken }), 4)
	_ = a.Write(ctx, &tracing.Trace{})
	if err := a.Close(); !errors.Is(err, broken) {
		t.Error(err)
	}
}
