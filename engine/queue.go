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
	"time"

	"gonum.org/v1/gonum/mathext"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

const (
	// maxTries is how often a run is made before its draw is given up.
	maxTries = 20
	// maxFailures gives a draw up whose model has failed so often at the same statement: once may be a full disk.
	maxFailures = 2
	// A draw is given up earlier where its simulator was lost again and again at the same statement, once that is no
	// chance: see hopeless.
	minLosses = 3
	// A draw that was lost twice in a row at the same statement lets so many others go first: they show what chance does.
	waitForOthers = 200
	waitAtLongest = 250 * time.Millisecond // all that come after it wait for it to be delivered
	chanceLoss    = 1e-9
	// A stream ends with an error when more than this many of its draws were given up, and clearly more than the share
	// that is allowed (MaxFailed).
	maxGivenUp = 10
	// MaxFailed is the share of draws that may be given up unless told otherwise.
	MaxFailed = 0.01

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
	refused bool    // a worker found nothing to do
	allowed float64 // share of draws that may be given up; 0: MaxFailed
	through through // the draws that got through in the end
	fatal   error   // nothing more can be run
	jobs    []job   // room for the next ones

	finished, lost, statements atomic.Uint64
	busy                       atomic.Int64 // nanoseconds that finished runs have taken
}

// through counts the tries of draws that got through in the end, and those of them that were lost: what chance alone does
// in this job, without the draws that never can. Runs that were made alone and with care (job.careful) are counted besides by
// themselves: they take longer than the same run among many, and chance strikes them more often.
type through struct{ all, careful tries }

type tries struct{ made, lost float64 }

// bound is the upper 95 % bound of the share that is lost (C. Clopper and E. Pearson, 1934).
func (t tries) bound() float64 {
	if t.made == t.lost {
		return 1
	}
	return mathext.InvRegIncBeta(t.lost+1, t.made-t.lost, 0.95)
}

func (t *through) add(j *job) {
	of := tries{float64(j.blamed + 1), float64(j.blamed)}
	t.all.made += of.made
	t.all.lost += of.lost
	if j.careful {
		t.careful.made += of.made
		t.careful.lost += of.lost
	}
}

// hopeless tells whether k losses in a row at the same statement, with the same values, are no chance: whether p^k < 10⁻⁹
// for p the bound of what chance has cost so far. In a calm job three losses do, where one in twenty is lost seven; while
// nothing is known, none.
func (t *through) hopeless(k int) bool {
	if k < minLosses {
		return false
	}
	p := t.all.bound()
	if t.careful.lost > 0 {
		p = math.Max(p, t.careful.bound())
	}
	return math.Pow(p, float64(k)) < chanceLoss
}

// source is the runs of one Stream.
type source struct {
	next    Source
	early   func(*tracing.Trace) // hears of traces that wait
	limit   bool                 // end when too many draws are given up
	ready   *sync.Cond           // on the queue's lock
	retry   []*job
	results map[uint64]result      // by sequence number
	lost    map[*job]time.Duration // runs that are to be made again: how long the longest try has lasted
	head    uint64                 // the next to deliver
	tail    uint64                 // the next to start
	bytes   int                    // of results
	drained bool                   // next has no more
	closed  bool                   // nobody wants the results
}

type result struct {
	trace *tracing.Trace
	cause error // why a draw was given up
	err   error
}

// job is one run to be made.
type job struct {
	Task
	src *source
	seq uint64

	tries  int
	blamed int       // tries that were lost while no other run could be to blame
	lastAt int       // statement at which the simulator was lost last
	sameAt int       // how often in a row it was lost there
	after  uint64    // it waits until so many runs have finished, while there are others to make,
	until  time.Time // but not longer

	// Delegated runs: a simulator that was lost in the middle of several does not tell which was to blame.
	most    int  // how many may be made together; 0: any number
	careful bool // every statement is to be heard of at once
}

// layers makes them afresh.
func (j *job) layers() Stack { return j.Stack(j.Draw) }

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
		if j := s.again(q.finished.Load()); j != nil {
			return j
		}
		if s.drained || s.closed || s.tail-s.head >= windowRuns || s.bytes > windowBytes {
			if j := s.again(math.MaxUint64); j != nil {
				return j
			}
			continue
		}
		t, ok := s.next()
		if !ok {
			s.drained = true
			s.ready.Broadcast()
			if j := s.again(math.MaxUint64); j != nil {
				return j
			}
			continue
		}
		if len(q.jobs) == 0 {
			q.jobs = make([]job, 64)
		}
		j := &q.jobs[0]
		q.jobs = q.jobs[1:]
		*j = job{Task: t, src: s, seq: s.tail, lastAt: -1}
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

// again takes the first run that is to be made again and need not wait for others, after so many finished ones.
func (s *source) again(finished uint64) *job {
	if len(s.retry) == 0 {
		return nil
	}
	now := time.Now()
	for i, j := range s.retry {
		if j.after <= finished || !now.Before(j.until) {
			s.retry = slices.Delete(s.retry, i, i+1)
			return j
		}
	}
	return nil
}

func (q *queue) deliver(j *job, r result) {
	if r.trace != nil {
		j.mark(r.trace)
	}
	s := j.src
	waits := false
	q.mu.Lock()
	if r.err == nil && r.cause == nil {
		q.through.add(j)
	}
	if len(s.lost) > 0 {
		delete(s.lost, j)
	}
	if !s.closed {
		s.results[j.seq] = r
		if r.trace != nil {
			s.bytes += r.trace.Bytes()
		}
		if waits = j.seq != s.head; !waits {
			s.ready.Broadcast()
		}
	}
	q.mu.Unlock()
	if waits && s.early != nil && r.trace != nil && r.cause == nil {
		s.early(r.trace)
	}
}

// finish takes the trace of a run.
func (q *queue) finish(j *job, t *tracing.Trace) {
	q.finished.Add(1)
	q.busy.Add(int64(t.Seconds * 1e9))
	q.deliver(j, result{trace: t})
}

// abort takes an error that repeating the run would not change.
func (q *queue) abort(j *job, err error) { q.deliver(j, result{err: err}) }

// lose takes back a run that was lost at a statement: it will be made again, or its draw is given up.
// With blame the simulator itself failed there (and not, say, its neighbour on the same machine).
func (q *queue) lose(j *job, err error, statement int, blame bool) {
	j.tries++
	if blame {
		j.blamed++
		if statement != j.lastAt {
			j.lastAt, j.sameAt = statement, 0
		}
		if j.sameAt++; j.sameAt > 1 {
			j.after, j.until = q.finished.Load()+waitForOthers, time.Now().Add(waitAtLongest)
		}
	}
	q.mu.Lock()
	enough := q.through.hopeless(j.sameAt)
	q.mu.Unlock()
	switch {
	case errors.Is(err, ppx.ErrFailed): // its model has said so, given the same values
		enough = j.sameAt >= maxFailures
	case errors.Is(err, ppx.ErrInvalid), errors.Is(err, ppx.ErrRule), !j.src.limit: // no chance makes such messages; or it was found before
		enough = j.sameAt >= minLosses
	}
	if j.tries >= maxTries || enough {
		reason := err
		var lost *lostRun
		if errors.As(err, &lost) {
			reason = lost.err
		}
		q.deliver(j, result{trace: tracing.FailedTrace(q.table, j.Draw.Index, j.Draw.Chain, reason), cause: err})
		return
	}
	q.lost.Add(1)
	q.giveBack(j)
}

// lostAfter notes how long a run had been going on that is lost: it is unfinished until it is delivered.
func (q *queue) lostAfter(j *job, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j.src.lost[j] = max(j.src.lost[j], d)
}

// unfinished lists the runs that have been lost, and not been delivered since.
func (q *queue) unfinished() (out []Unfinished) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.sources {
		for j, d := range s.lost {
			out = append(out, Unfinished{j.Draw, j.Draw.Index, d})
		}
	}
	return out
}

// works tells whether any run has ever got through.
func (q *queue) works() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.through.all.made > 0
}

// wanting tells whether there is a run to make at present.
func (q *queue) wanting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.sources {
		if !s.closed && (len(s.retry) > 0 || !s.drained && s.tail-s.head < windowRuns && s.bytes <= windowBytes) {
			return true
		}
	}
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
func (q *queue) stream(ctx context.Context, next Source, early func(*tracing.Trace), limit bool) iter.Seq2[*tracing.Trace, error] {
	return func(yield func(*tracing.Trace, error) bool) {
		s := &source{next: next, early: early, limit: limit, results: map[uint64]result{}, lost: map[*job]time.Duration{}}
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
			if share := cmp.Or(q.allowed, MaxFailed); limit && TooMany(givenUp, delivered, share) {
				yield(nil, fmt.Errorf("%w: %d of %d draws were given up, more than %d and clearly more than %g %% (--max-failed %g); the last: %w",
					ErrGivenUp, givenUp, delivered, maxGivenUp, 100*share, share, lastCause))
				return
			}
		}
	}
}

// TooMany tells whether a stream is to end: not for bad luck among its first draws.
func TooMany(givenUp, delivered int, share float64) bool {
	expected := float64(delivered) * share
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
			before := s.bytes
			if r.trace != nil {
				s.bytes -= r.trace.Bytes()
			}
			// Let workers refill once there is room for a good many.
			wake := q.refused && (len(s.results) == 0 || (s.tail-s.head)%64 == 0 || before > windowBytes/2 && s.bytes <= windowBytes/2)
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
	s.results, s.retry, s.lost = nil, nil, map[*job]time.Duration{}
	for i, x := range q.sources {
		if x == s {
			q.sources = append(q.sources[:i:i], q.sources[i+1:]...)
			break
		}
	}
}

// execute makes one run.
func (q *queue) execute(ctx context.Context, t Task) (*tracing.Trace, error) {
	given := false
	once := func() (Task, bool) {
		defer func() { given = true }()
		return t, !given
	}
	for tr, err := range q.stream(ctx, once, nil, false) {
		if err == nil && tr.Status == tracing.Failed {
			err = fmt.Errorf("%w: %s: %s", ErrGivenUp, t.Draw, tr.Error)
		}
		return tr, err
	}
	return nil, ppx.ErrGone // not reached: a stream of one task yields once
}
