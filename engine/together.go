package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// Together makes the runs of several who each wait for one before they know the next, as chains do: while runs are short, those who are present wait for each
// other, so that their runs go in few messages, which would cost more than the runs. What comes of it is the same either way.
type Together struct {
	ctx context.Context
	x   Executor

	mu      sync.Mutex
	present int
	waiting []*asked
	dear    int // how often in a row waiting has cost more than messages do
	apart   int // so many are not to wait
}

// asked is what one of them waits for.
type asked struct {
	tasks []Task
	done  chan struct{}
	made  []*tracing.Trace
	err   error
}

const (
	shortRound = 2 * time.Millisecond // a round that takes longer than this is not worth waiting for
	dearRounds = 3
	roundApart = 1000
)

// batcher is an executor that may send runs of several kinds in one message.
type batcher interface{ Batches() bool }

// NewTogether returns one of an executor, at which nobody is present. Its runs end with ctx.
func NewTogether(ctx context.Context, x Executor) *Together { return &Together{ctx: ctx, x: x} }

// Join says that somebody is there who will ask, or Leave, before long.
func (t *Together) Join() {
	t.mu.Lock()
	t.present++
	t.mu.Unlock()
}

// Leave says that somebody who has joined will not ask.
func (t *Together) Leave() {
	t.mu.Lock()
	t.present--
	round := t.full()
	t.mu.Unlock()
	if round != nil {
		go t.round(round)
	}
}

// Share is how many of some runs that are worth a message each of those present may ask for: at least 1, and no more where the others would not be made.
func (t *Together) Share(runs int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alone() {
		return 1
	}
	return max(1, runs/max(1, t.present))
}

// alone tells that nobody is to wait for others.
func (t *Together) alone() bool {
	b, ok := t.x.(batcher)
	return !ok || !b.Batches() || t.apart > 0
}

// full takes the round that all who are present wait for, nil if some do not.
func (t *Together) full() (round []*asked) {
	if len(t.waiting) > 0 && len(t.waiting) >= t.present {
		round, t.waiting = t.waiting, nil
	}
	return round
}

// Execute makes the runs of one who is present, or where that would take long the first of them only. A draw that was given up is a failed trace. Errors are
// those of the executor, and ctx's.
func (t *Together) Execute(tasks ...Task) ([]*tracing.Trace, error) {
	t.mu.Lock()
	if t.alone() {
		t.apart = max(0, t.apart-1)
		t.mu.Unlock()
		tr, err := t.x.Execute(t.ctx, tasks[0])
		if errors.Is(err, ErrGivenUp) {
			err = nil
		}
		return []*tracing.Trace{tr}, err
	}
	a := &asked{tasks: tasks, done: make(chan struct{})}
	t.waiting = append(t.waiting, a)
	round := t.full()
	t.mu.Unlock()
	if round != nil {
		t.round(round)
	}
	select {
	case <-a.done:
		return a.made, a.err
	case <-t.ctx.Done():
		return nil, context.Cause(t.ctx)
	}
}

// round makes the runs that all wait for.
func (t *Together) round(all []*asked) {
	var tasks []Task
	for _, a := range all {
		tasks = append(tasks, a.tasks...)
	}
	start := time.Now()
	made, err := t.make(tasks)
	took := time.Since(start)
	for _, a := range all {
		if a.err = err; err == nil {
			a.made, made = made[:len(a.tasks):len(a.tasks)], made[len(a.tasks):]
		}
		close(a.done)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if took < shortRound {
		t.dear = 0
	} else if t.dear++; t.dear >= dearRounds {
		t.dear, t.apart = 0, roundApart
	}
}

func (t *Together) make(tasks []Task) (made []*tracing.Trace, err error) {
	next := 0
	source := func() (Task, bool) {
		if next == len(tasks) {
			return Task{}, false
		}
		next++
		task := tasks[next-1]
		task.Left = len(tasks) - next
		return task, true
	}
	for tr, err := range t.x.Stream(t.ctx, source, nil) {
		if err != nil {
			return nil, err
		}
		made = append(made, tr)
	}
	return made, nil
}
