package tracing

import (
	"context"
	"sync"
)

// Async lets a Writer that may block, on a disk say, work on a goroutine of its own, behind a bounded
// queue.
type Async struct {
	queue chan *Trace
	done  sync.WaitGroup
	mu    sync.Mutex
	err   error
}

var _ Writer = (*Async)(nil)

// NewAsync hands traces to w, up to depth of them waiting.
func NewAsync(w Writer, depth int) *Async {
	a := &Async{queue: make(chan *Trace, depth)}
	a.done.Go(func() {
		for t := range a.queue {
			if a.Err() != nil {
				continue // drain, so that nobody waits for room
			}
			if err := w.Write(context.Background(), t); err != nil {
				a.mu.Lock()
				a.err = err
				a.mu.Unlock()
			}
		}
	})
	return a
}

// Err is the Writer's first error.
func (a *Async) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Write queues a trace; it reports an error of an earlier one.
func (a *Async) Write(_ context.Context, t *Trace) error {
	a.queue <- t
	return a.Err()
}

// Close waits until everything is written.
func (a *Async) Close() error {
	close(a.queue)
	a.done.Wait()
	return a.err
}
