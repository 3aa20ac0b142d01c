package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

const (
	// maxTries is how often a run is made before its draw is given up.
	maxTries = 20
	// maxFailures gives a draw up whose model has failed so often at the same statement: once may be a full disk.
	maxFailures = 2
	// maxLossesAtOneStatement gives a draw up earlier: the simulator itself was lost at the same statement.
	maxLossesAtOneStatement = 3
	// A stream ends with an error when more than this many of its draws were given up, and clearly more than one in
	// a hundred.
	maxGivenUp = 10

	// How far workers may run ahead of the slowest run that has yet to be delivered.
	windowRuns  = 4096
	windowBytes = 64 << 20
)

// queue hands out runs to workers and their traces, in the order of draws, to those who asked for them.
// It knows nothing of sockets or processes: workers take jobs and bring back a trace or a loss.
type queue struct {
	table *tracing.Table
	wake  func() // called, without the lock, when workers that found nothing may find something

	mu      sync.Mutex
	sources []*source
	refused bool             // a worker found nothing to do
	fatal   error            // nothing more can be run
	left    []*tracing.Trace // finished traces of the last stream that ended early
	jobs    []job            // room for the next ones

	finished, lost, statements atomic.Uint64
}

// source is the runs of one Stream.
type source struct {
	next    Source
	maker   Maker
	limit   bool       // end when too many draws are given up
	ready   *sync.Cond // on the queue's lock
	retry   []*job
	results map[uint64]result // by sequence number
	head    uint64            // the next to deliver
	tail    uint64            // the next to start
	bytes   int               // of results
	drained bool              // next has no more
	closed  bool              // nobody wants the results
}

type result struct {
	trace *tracing.Trace
	cause error // why a draw was given up
	err   error
}

// job is one run to be made.
type job struct {
	draw Draw
	src  *source
	seq  uint64

	tries  int
	lastAt int // statement at which the simulator was lost last
	sameAt int // how often in a row it was lost there

	// Delegated runs: a simulator that was lost in the middle of several does not tell which was to blame.
	most    int  // how many may be made together; 0: any number
	careful bool // every statement is to be heard of at once
}

// stack makes the layers afresh.
func (j *job) stack() Stack { return j.src.maker(j.draw) }

// take returns a run to make, or nil when there is none at present.
func (q *queue) take() *job { return q.takeFrom(nil) }

// takeFrom takes only runs of one stream, unless that is nil.
func (q *queue) takeFrom(only *source) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fatal != nil {
		return nil
	}
	for i, s := range q.sources {
		if only != nil && s != only {
			continue
		}
		if n := len(s.retry); n > 0 {
			j := s.retry[0]
			s.retry = s.retry[1:]
			return j
		}
		if s.drained || s.closed || s.tail-s.head >= windowRuns || s.bytes > windowBytes {
			continue
		}
		d, ok := s.next()
		if !ok {
			s.drained = true
			s.ready.Broadcast()
			continue
		}
		if len(q.jobs) == 0 {
			q.jobs = make([]job, 64)
		}
		j := &q.jobs[0]
		q.jobs = q.jobs[1:]
		*j = job{draw: d, src: s, seq: s.tail, lastAt: -1}
		s.tail++
		// Several streams take turns.
		if len(q.sources) > 1 && only == nil {
			q.sources = append(append(q.sources[:i:i], q.sources[i+1:]...), s)
		}
		return j
	}
	q.refused = q.refused || only == nil // who wants more has something to do
	return nil
}

func (q *queue) deliver(j *job, r result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := j.src
	if s.closed {
		return
	}
	s.results[j.seq] = r
	if r.trace != nil {
		s.bytes += r.trace.Bytes()
	}
	if j.seq == s.head {
		s.ready.Broadcast()
	}
}

// finish takes the trace of a run.
func (q *queue) finish(j *job, t *tracing.Trace) {
	q.finished.Add(1)
	q.deliver(j, result{trace: t})
}

// abort takes an error that repeating the run would not change.
func (q *queue) abort(j *job, err error) { q.deliver(j, result{err: err}) }

// lose takes back a run that was lost at a statement: it will be made again, or its draw is given up.
// With blame the simulator itself failed there (and not, say, its neighbour on the same machine).
// It tells whether it was given up.
func (q *queue) lose(j *job, err error, statement int, blame bool) (givenUp bool) {
	j.tries++
	if blame {
		if statement != j.lastAt {
			j.lastAt, j.sameAt = statement, 0
		}
		j.sameAt++
	}
	most := maxLossesAtOneStatement
	if errors.Is(err, ppx.ErrFailed) { // its model has said so, given the same values
		most = maxFailures
	}
	if j.tries >= maxTries || j.sameAt >= most {
		q.deliver(j, result{trace: tracing.FailedTrace(q.table, j.draw.Index, j.draw.Chain, err), cause: err})
		return true
	}
	q.lost.Add(1)
	q.giveBack(j)
	return false
}

// giveBack returns a job that was not begun.
func (q *queue) giveBack(j *job) {
	q.mu.Lock()
	if j.src.closed {
		q.mu.Unlock()
		return
	}
	j.src.retry = append(j.src.retry, j)
	wake := q.refused
	q.refused = false
	q.mu.Unlock()
	if wake {
		q.wake()
	}
}

// fail ends everything: no run can be made any more.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fatal == nil {
		q.fatal = err
	}
	for _, s := range q.sources {
		s.ready.Broadcast()
	}
}

// stream registers the draws and yields their traces in order; with limit it ends when too many were given up.
func (q *queue) stream(ctx context.Context, next Source, m Maker, limit bool) iter.Seq2[*tracing.Trace, error] {
	return func(yield func(*tracing.Trace, error) bool) {
		s := &source{next: next, maker: m, limit: limit, results: map[uint64]result{}}
		s.ready = sync.NewCond(&q.mu)
		q.mu.Lock()
		q.sources = append(q.sources, s)
		q.refused = false
		q.mu.Unlock()
		q.wake()
		stopWatch := context.AfterFunc(ctx, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			s.ready.Broadcast()
		})
		defer stopWatch()
		defer q.remove(s)
		delivered, givenUp := 0, 0
		var lastCause error
		for {
			r, more := q.await(ctx, s)
			if !more {
				return
			}
			if r.err != nil {
				yield(nil, r.err)
				return
			}
			delivered++
			if r.trace.Status == tracing.Failed {
				givenUp++
				lastCause = r.cause
			}
			if !yield(r.trace, nil) {
				return
			}
			if limit && tooMany(givenUp, delivered) {
				yield(nil, fmt.Errorf("%w: %d of %d draws were given up (more than %d, and clearly more than one in a hundred); the last: %w", ErrGivenUp, givenUp, delivered, maxGivenUp, lastCause))
				return
			}
		}
	}
}

// tooMany tells whether a stream is to end: not for bad luck among its first draws.
func tooMany(givenUp, delivered int) bool {
	expected := float64(delivered) / 100
	return givenUp > maxGivenUp && float64(givenUp) > expected+4*math.Sqrt(expected)
}

// ErrGivenUp says that too many draws were given up.
var ErrGivenUp = errors.New("the simulator fails too often")

// await returns the next result in order; !more after the last.
func (q *queue) await(ctx context.Context, s *source) (r result, more bool) {
	q.mu.Lock()
	for {
		if ctx.Err() != nil {
			q.mu.Unlock()
			return result{err: context.Cause(ctx)}, true
		}
		if r, ok := s.results[s.head]; ok {
			delete(s.results, s.head)
			s.head++
			if r.trace != nil {
				s.bytes -= r.trace.Bytes()
			}
			// Let workers refill once there is room for a good many.
			wake := q.refused && (len(s.results) == 0 || (s.tail-s.head)%64 == 0)
			if wake {
				q.refused = false
			}
			q.mu.Unlock()
			if wake {
				q.wake()
			}
			return r, true
		}
		var err error
		switch {
		case s.drained && s.head == s.tail:
			q.mu.Unlock()
			return result{}, false
		case q.fatal != nil:
			err = q.fatal
		}
		if err != nil {
			q.mu.Unlock()
			return result{err: err}, true
		}
		s.ready.Wait()
	}
}

func (q *queue) remove(s *source) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.closed = true
	q.left = s.waiting()
	s.results, s.retry = nil, nil
	for i, x := range q.sources {
		if x == s {
			q.sources = append(q.sources[:i:i], q.sources[i+1:]...)
			break
		}
	}
}

// waiting is the finished traces that are not delivered yet, in the order of draws.
func (s *source) waiting() []*tracing.Trace {
	var out []*tracing.Trace
	for _, r := range s.results {
		if r.trace != nil && r.trace.Status != tracing.Failed {
			out = append(out, r.trace)
		}
	}
	slices.SortFunc(out, func(a, b *tracing.Trace) int { return cmp.Compare(a.Draw, b.Draw) })
	return out
}

// waiting is those of the stream that runs, or of the last one, where it ended early.
func (q *queue) waiting() []*tracing.Trace {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.sources) > 0 {
		return q.sources[0].waiting()
	}
	return q.left
}

// execute makes one run.
func (q *queue) execute(ctx context.Context, d Draw, m Maker) (*tracing.Trace, error) {
	given := false
	once := func() (Draw, bool) {
		defer func() { given = true }()
		return d, !given
	}
	for t, err := range q.stream(ctx, once, m, false) {
		if err == nil && t.Status == tracing.Failed {
			err = fmt.Errorf("%w: draw %d: %s", ErrGivenUp, d.Index, t.Error)
		}
		return t, err
	}
	return nil, ppx.ErrGone // not reached: a stream of one draw yields once
}
