package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Local is an Executor for a model in this process, one goroutine per worker.
type Local struct {
	q       queue
	model   ppx.Model
	workers int
	closing atomic.Bool
	mu      sync.Mutex
	work    *sync.Cond
	done    sync.WaitGroup
}

var _ Executor = (*Local)(nil)

// NewLocal starts the workers; 0 means one per core. The model is called from all of them at once.
func NewLocal(model ppx.Model, workers int) *Local {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	l := &Local{model: model, workers: workers}
	l.q.table = tracing.NewTable()
	l.work = sync.NewCond(&l.mu)
	l.q.wake = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.work.Broadcast()
	}
	for range workers {
		l.done.Go(l.worker)
	}
	return l
}

// Close ends the workers after their present statements.
func (l *Local) Close() error {
	l.closing.Store(true)
	l.q.wake()
	l.done.Wait()
	l.q.fail(errClosed)
	return nil
}

var errClosed = errors.New("executor closed")

// Execute implements Executor.
func (l *Local) Execute(ctx context.Context, t Task) (*tracing.Trace, error) {
	return l.q.execute(ctx, t)
}

// Stream implements Executor.
func (l *Local) Stream(ctx context.Context, next Source, early func(*tracing.Trace)) iter.Seq2[*tracing.Trace, error] {
	return l.q.stream(ctx, next, early, true)
}

// Table implements Executor.
func (l *Local) Table() *tracing.Table { return l.q.table }

// Stats implements Executor.
func (l *Local) Stats() Stats { return l.q.stats(l.workers) }

func (q *queue) stats(workers int) Stats {
	return Stats{Workers: workers, Statements: q.statements.Load(), Finished: q.finished.Load(), Busy: time.Duration(q.busy.Load()), Lost: q.lost.Load()}
}

func (l *Local) worker() {
	w := localWorker{Recorder: NewRecorder(l.q.table), l: l}
	for !l.closing.Load() {
		j := l.q.take()
		if j == nil {
			l.mu.Lock()
			// Taken again under the lock: work that came in between has not been announced to us.
			if j = l.q.take(); j == nil && !l.closing.Load() {
				l.work.Wait()
			}
			l.mu.Unlock()
			if j == nil {
				continue
			}
		}
		w.run(j)
	}
}

type localWorker struct {
	*Recorder
	l *Local
}

func (w *localWorker) run(j *job) {
	w.Begin(j.Draw, j.layers())
	result, err := w.call()
	w.l.q.statements.Add(uint64(w.Statements()))
	switch {
	case err == nil:
		w.l.q.finish(j, w.End(result, 0))
	case errors.Is(err, ErrStop):
		w.l.q.finish(j, w.Partial())
	case w.l.closing.Load():
		w.l.q.giveBack(j)
	case errors.Is(err, ErrData):
		w.l.q.abort(j, fmt.Errorf("%s: %w", j.Draw, err))
	default:
		w.l.q.lose(j, err, w.Statements(), true)
	}
}

// call runs the model; a panic in it is an error of this run.
func (w *localWorker) call() (v ppx.Tensor, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the model panicked: %v", p)
		}
	}()
	return w.l.model(w)
}

// Sample, Observe and Tag are the recorder's, ending the run when the executor closes.

func (w *localWorker) Sample(s *ppx.Statement) (ppx.Tensor, error) {
	if w.l.closing.Load() {
		return ppx.Tensor{}, errClosed
	}
	return w.Recorder.Sample(s)
}

func (w *localWorker) Observe(s *ppx.Statement) error {
	if w.l.closing.Load() {
		return errClosed
	}
	return w.Recorder.Observe(s)
}
