// Package rejection weighs traces with rejection loops by their accepted passes alone: amortised rejection sampling (S. Naderiparizi, A. Ścibior, A. Munk,
// M. Ghadiri, A. G. Baydin, B. Gram-Hansen, C. Schroeder de Witt, R. Zinkov, P. Torr, T. Rainforth, Y. W. Teh and F. Wood, "Amortized rejection sampling in universal
// probabilistic programming", AISTATS 2022, algorithm 2).
//
// Weighed naively, a trace has the factor f/q of every pass, and the variance of the weights is infinite as soon as proposals make rejected passes rarer than
// they are by ∫ f²/q ≥ 1 over what is rejected. Its accepted pass alone has the density q/Z_q under proposals that accept with the probability Z_q, and f/Z_p under
// the model: the factor is f/q·Z_q/Z_p. Neither probability is known; both are estimated without bias, by runs that are made again up to the loop: Z_q
// by the share of single passes that are accepted, 1/Z_p by the number of passes that the model takes. The weights stay unbiased.
package rejection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Config says how well the probabilities of acceptance are estimated for each loop of each trace.
type Config struct {
	Passes int // single passes from the proposals, for Z_q
	Loops  int // whole loops from the model, for 1/Z_p
	// Remark hears, once, of a loop that takes the model many passes; nil: nobody does.
	Remark func(string)
	// Condition answers what has data, Guide proposes for the sites of one run.
	Condition engine.Layer
	Guide     func() control.Proposer
}

// Rewinder is a proposer that can go back to the first pass of a rejection loop.
type Rewinder interface {
	// Rewound is a proposer in the state that this one had at the loop whose first pass begins at an entry; nil: it has come to none there.
	Rewound(entry int) control.Proposer
}

// Executor makes runs whose traces are weighed so.
type Executor struct {
	engine.Executor
	c Config

	told bool // of a loop that takes many passes

	mu     sync.Mutex
	pilots map[engine.Draw]control.Proposer // of the runs on their way
}

// New returns an executor for runs of another one.
func New(x engine.Executor, c Config) *Executor {
	return &Executor{Executor: x, c: c, pilots: map[engine.Draw]control.Proposer{}}
}

// Stack makes the layers of a draw whose trace is to be weighed.
func (x *Executor) Stack(d engine.Draw) engine.Stack {
	p := x.c.Guide()
	x.mu.Lock()
	x.pilots[d] = p // in place of that of a run that was lost
	x.mu.Unlock()
	return engine.Stack{x.c.Condition, control.NewGuide(p, 0), control.Prior{}}
}

func (x *Executor) pilot(d engine.Draw) control.Proposer {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.pilots[d]
	delete(x.pilots, d)
	return p
}

// manyPasses of one loop are worth a word.
const manyPasses = 1000

// together is how many traces are weighed at a time: their replays keep simulators busy.
const together = 64

// Stream implements engine.Executor, for tasks with Stack.
func (x *Executor) Stream(ctx context.Context, next engine.Source, _ func(*tracing.Trace)) iter.Seq2[*tracing.Trace, error] {
	return func(yield func(*tracing.Trace, error) bool) {
		var mu sync.Mutex
		var draws []engine.Draw // whose traces have not come
		tasks := func() (engine.Task, bool) {
			t, ok := next()
			if ok {
				mu.Lock()
				draws = append(draws, t.Draw)
				mu.Unlock()
			}
			return t, ok
		}
		var batch []*weighed
		// flush delivers what was drawn; false: nobody wants more, or there was an error.
		flush := func() bool {
			if len(batch) == 0 {
				return true
			}
			if err := x.weigh(ctx, batch); err != nil {
				yield(nil, err)
				return false
			}
			for _, w := range batch {
				if !yield(x.finish(w), nil) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		for t, err := range x.Executor.Stream(ctx, tasks, nil) {
			var w *weighed
			if err == nil {
				mu.Lock()
				d := draws[0]
				draws = draws[1:]
				mu.Unlock()
				w, err = x.begin(d, t)
			}
			if err != nil {
				if flush() {
					yield(nil, err)
				}
				return
			}
			if batch = append(batch, w); len(batch) == together && !flush() {
				return
			}
		}
		flush()
	}
}

// weighed is a trace on its way.
type weighed struct {
	t     *tracing.Trace
	draw  engine.Draw
	loops []loop
	gone  []bool // entries in rejected passes
	err   error  // why it cannot be weighed
}

// loop is one that counts: it stands in no rejected pass, and some of its passes were proposed.
type loop struct {
	tracing.Loop
	pilot    Rewinder
	accepted int // of c.Passes single passes
	passes   int // of c.Loops loops
}

// begin looks for the loops of a trace.
func (x *Executor) begin(d engine.Draw, t *tracing.Trace) (*weighed, error) {
	w := &weighed{t: t, draw: d}
	pilot := x.pilot(d)
	if t.Status != tracing.OK {
		return w, nil
	}
	all, err := tracing.LoopsOf(t)
	if err != nil {
		return nil, fmt.Errorf("%w: draw %d: %w", ppx.ErrInvalid, t.Draw, err)
	}
	w.gone = tracing.Rejected(t, all)
	for i := range t.Sites {
		if e := &t.Sites[i]; w.gone[i] && e.Op == ppx.Observe && e.Origin.Scored() {
			return nil, fmt.Errorf("%w: draw %d: data at %s in a pass of a rejection loop that is rejected: what is observed must come after the loop, or the loop must not be marked", ppx.ErrInvalid,
				t.Draw, ppx.Quote(t.Table.Address(e.Address).Base))
		}
	}
	r, _ := pilot.(Rewinder)
	for _, l := range all {
		if l.End < 0 || w.gone[l.End] {
			continue
		}
		proposed := false
		for i := l.Passes[0]; i < l.End; i++ {
			proposed = proposed || t.Sites[i].Origin == tracing.FromProposal
		}
		if !proposed { // its passes are the model's
			continue
		}
		if r == nil {
			return nil, errors.New("proposals that do not know of rejection loops")
		}
		w.loops = append(w.loops, loop{Loop: l, pilot: r})
	}
	return w, nil
}

// weigh makes the runs that estimate the probabilities of acceptance.
func (x *Executor) weigh(ctx context.Context, batch []*weighed) error {
	type job struct {
		w    *weighed
		l    *loop
		r    int // number of the replay
		pass bool
	}
	var jobs []job
	for _, w := range batch {
		n := 0
		for i := range w.loops {
			for k := range x.c.Passes + x.c.Loops {
				jobs = append(jobs, job{w, &w.loops[i], n, k < x.c.Passes})
				n++
			}
		}
	}
	i := 0
	source := func() (engine.Task, bool) {
		if i == len(jobs) {
			return engine.Task{}, false
		}
		j := jobs[i]
		i++
		d := j.w.draw
		d.Chain = uint32(1 + j.r) // random numbers of its own
		return engine.Task{Draw: d, Left: len(jobs) - i, Stack: func(engine.Draw) engine.Stack {
			s := engine.Stack{&prefix{t: j.w.t, l: &j.l.Loop, one: j.pass}, x.c.Condition}
			if j.pass {
				s = append(s, control.NewGuide(j.l.pilot.Rewound(j.l.Passes[0]), 0))
			}
			return append(s, control.Prior{})
		}}, true
	}
	k := 0
	for t, err := range x.Executor.Stream(ctx, source, nil) {
		if err != nil {
			return err
		}
		j := jobs[k]
		k++
		passes, ended := j.l.count(t)
		switch {
		case t.Status == tracing.Failed:
			j.w.err = fmt.Errorf("a pass of the rejection loop at %s failed: %s", ppx.Quote(t.Table.Address(j.l.Address).Base), t.Error)
		case j.pass && ended && passes == 1:
			j.l.accepted++
		case !j.pass && !ended:
			j.w.err = fmt.Errorf("the rejection loop at %s did not end when it was run again", ppx.Quote(j.w.t.Table.Address(j.l.Address).Base))
		case !j.pass:
			j.l.passes += passes
			if passes > manyPasses && !x.told && x.c.Remark != nil {
				x.told = true
				x.c.Remark(fmt.Sprintf("warning: in draw %d the rejection loop at %s took the model %d passes: that is what takes the time. Where acceptance is so rare for some values before the loop, mark only loops whose weights collapse",
					j.w.t.Draw, ppx.Quote(t.Table.Address(j.l.Address).Base), passes))
			}
		}
	}
	return nil
}

// count is how many passes a run has made of the loop, and whether it has come to its end.
func (l *loop) count(t *tracing.Trace) (passes int, ended bool) {
	var w tracing.LoopWalk
	if w.To(t, len(t.Sites)) != nil {
		return 0, false
	}
	for _, x := range w.Loops {
		if x.Passes[0] == l.Passes[0] {
			return len(x.Passes), x.End >= 0
		}
	}
	return 0, false
}

// finish is the trace with its weight: rejected passes count for nothing, and the mark at the end of a loop has log Z_q/Z_p.
func (x *Executor) finish(w *weighed) *tracing.Trace {
	if w.err != nil {
		t := tracing.FailedTrace(w.t.Table, w.t.Draw, w.t.Chain, w.err)
		t.Row, t.From = w.t.Row, w.t.From
		return t
	}
	if len(w.loops) == 0 {
		return w.t
	}
	sites := slices.Clone(w.t.Sites)
	for i := range sites {
		if w.gone[i] && sites[i].Op != ppx.Tag {
			sites[i].Origin = tracing.Discarded
		}
	}
	for _, l := range w.loops {
		sites[l.End].Origin = tracing.Accepted
		sites[l.End].LogP = math.Log(float64(l.accepted)/float64(x.c.Passes)) + math.Log(float64(l.passes)/float64(x.c.Loops))
	}
	return w.t.Reweighed(sites)
}

// prefix makes a run again up to a rejection loop, and ends it when enough of the loop was seen.
type prefix struct {
	t    *tracing.Trace
	l    *tracing.Loop
	one  bool // a pass is enough
	walk tracing.LoopWalk
}

// Choose implements engine.Layer.
func (p *prefix) Choose(r *engine.Run, s *engine.Site) (c engine.Choice, ok bool, err error) {
	first := p.l.Passes[0]
	if s.Index < first {
		e := &p.t.Sites[s.Index]
		v := p.t.Value(s.Index)
		if e.Key != s.Key || len(v.Data) != s.Len {
			return c, false, fmt.Errorf("%w: made again with the same values, it comes to %s where it came to %s: is it deterministic?", ppx.ErrInvalid, ppx.Quote(s.Base),
				ppx.Quote(p.t.Table.Address(e.Address).Base))
		}
		c = engine.Choice{Value: v.Data, Origin: tracing.Reused}
		if e.Origin.Scored() {
			c.Origin = e.Origin
		}
		return c, true, nil
	}
	if err := p.walk.To(r.Sofar, len(r.Sofar.Sites)); err != nil {
		return c, false, err
	}
	for _, l := range p.walk.Loops {
		if l.Passes[0] == first && (l.End >= 0 || p.one && len(l.Passes) > 1) {
			return c, false, engine.ErrStop
		}
	}
	return c, false, nil
}
