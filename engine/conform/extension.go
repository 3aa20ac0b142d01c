package conform

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// extension judges what a client does that speaks an extension: first is a plain run of the same draw.
func (c *checker) extension(ctx context.Context, table *tracing.Table, first *tracing.Trace) {
	if c.sess.Extension == 0 {
		c.rule("extensions", nil, "not spoken: every statement waits for its answer, which is right, and slower")
		return
	}
	c.rule(fmt.Sprintf("extension %d", c.sess.Extension), nil, "spoken: whole runs in one message")
	prior := engine.Stack{control.NewCondition(nil, true), control.Prior{}}
	draw := engine.Draw{Seed: c.seed}

	alone, err := c.execute(ctx, table, draw, prior, &ppx.Plan{Mode: ppx.Delegate, Flush: time.Minute})
	if c.rule("makes runs by itself", err, "%d statements in one message, each value drawn again here", entries(alone)) {
		detail := "the same statements and values, to 9 digits, as when the engine draws"
		if own := customs(alone); own > 0 {
			detail += fmt.Sprintf("; draws and densities of %d custom distributions are the simulator's word", own)
		}
		c.rule("draws as the engine does", alike(first, alone), "%s", detail)
	}
	again, err := c.execute(ctx, table, draw, engine.Stack{control.NewReplay(first), control.Prior{}},
		&ppx.Plan{Mode: ppx.Delegate, Flush: time.Minute, Reuse: control.NewReplay(first).Reuse()})
	if err == nil {
		err = c.same(first, again)
	}
	c.rule("reuses values", err, "given the first run's values by address base and instance it made the same statements")
	if c.sess.Extension >= 2 {
		c.rule("takes values of each run", c.own(ctx, table, first), "of three runs in one message each had its own stream, and reused its own values")
	}
	for i, f := uint64(1), new(failed); i == 1 || (f.note(err) && i <= 20); i++ { // wide priors may be more than a model can bear
		_, err = c.execute(ctx, table, engine.Draw{Seed: c.seed, Index: i}, engine.Stack{control.NewCondition(nil, true), control.NewInflate(0.9), control.Prior{}},
			&ppx.Plan{Mode: ppx.Delegate, Flush: time.Minute, Inflation: 0.9})
	}
	c.rule("inflates priors", err, "values from widened priors, drawn again here")
	pieces, err := c.execute(ctx, table, draw, prior, &ppx.Plan{Mode: ppx.Delegate})
	if err == nil {
		err = alike(first, pieces)
	}
	c.rule("shows statements at once when told", err, "with flush_ms = 0 each came in a message of its own")
	ahead, err := c.execute(ctx, table, draw, prior, &ppx.Plan{Mode: ppx.Forward, Flush: time.Minute})
	if err == nil {
		err = c.same(first, ahead)
	}
	c.rule("sends Observes and Tags along", err, "with the next Sample, without waiting")
	c.rule("refuses another engine", c.intrude(), "a Handshake with another token was answered with Reset (busy), and the run went on")
	c.rule("abandons a run when told", c.abandon(), "Abort was answered with Reset (aborted)")
	c.speedAlone(ctx, table, prior)
}

func entries(t *tracing.Trace) int {
	if t == nil {
		return 0
	}
	return len(t.Sites)
}

// execute makes one run by a plan that lacks the draw.
func (c *checker) execute(ctx context.Context, table *tracing.Table, d engine.Draw, s engine.Stack, p *ppx.Plan) (*tracing.Trace, error) {
	one := &engine.OneRun{Recorder: engine.NewRecorder(table)}
	one.Begin(d, s)
	p.Seed, p.Draws, p.FlushBytes = d.Seed, []uint64{d.Index}, 1<<20
	err := c.sess.Execute(ctx, c, p, one, c.o.Timeout)
	return one.Trace, err
}

// customs is how many Samples of a trace are of distributions of the simulator's own.
func customs(t *tracing.Trace) (n int) {
	for i := range t.Sites {
		if t.Sites[i].Kind.Own() {
			n++
		}
	}
	return n
}

// alike compares a run whose values the engine drew with one whose values the simulator drew.
func alike(want, got *tracing.Trace) error {
	if len(got.Sites) != len(want.Sites) {
		return fmt.Errorf("%d statements, %d when the engine draws", len(got.Sites), len(want.Sites))
	}
	for i := range want.Sites {
		a, b := want.Value(i), got.Value(i)
		if w, g := want.Table.Label(want.Sites[i].Key), got.Table.Label(got.Sites[i].Key); w != g {
			return fmt.Errorf("statement %d is %s, %s when the engine draws", i, ppx.Quote(g), ppx.Quote(w))
		}
		if len(a.Data) != len(b.Data) {
			return fmt.Errorf("statement %d has %d elements, %d when the engine draws", i, len(b.Data), len(a.Data))
		}
		for k, x := range a.Data {
			if !(math.Abs(x-b.Data[k]) <= 1e-9*math.Max(1, math.Abs(x))) && !(x != x && b.Data[k] != b.Data[k]) {
				return fmt.Errorf("statement %d (%s) is %v, %v when the engine draws", i, ppx.Quote(want.Table.Label(want.Sites[i].Key)), b, a)
			}
		}
	}
	return nil
}

// own has runs made in one message, of streams and with values of their own: the first run's values, none, and those again.
func (c *checker) own(ctx context.Context, table *tracing.Table, first *tracing.Trace) error {
	reuse := control.NewReplay(first)
	others := engine.Draw{Seed: c.seed, Index: 7, Chain: 3}
	prior := engine.Stack{control.NewCondition(nil, true), control.Prior{}}
	var alone *tracing.Trace
	var err error
	for f := new(failed); others.Index == 7 || f.note(err) && others.Index < 27; others.Index++ { // some draws may be more than a model can bear
		alone, err = c.execute(ctx, table, others, prior, &ppx.Plan{Mode: ppx.Delegate, Stream: others.Stream(), Flush: time.Minute})
	}
	if err != nil {
		return err
	}
	others.Index--
	kept := engine.Stack{reuse, control.Prior{}}
	stacks := []engine.Stack{kept, prior, kept}
	draws := []engine.Draw{{Seed: c.seed, Index: 5, Chain: 2}, others, {Seed: c.seed}}
	all := &each{OneRun: engine.OneRun{Recorder: engine.NewRecorder(table)}, draws: draws, stacks: stacks}
	p := &ppx.Plan{Mode: ppx.Delegate, Seed: c.seed, Flush: time.Minute, FlushBytes: 1 << 20, Own: []*ppx.Reuse{reuse.Reuse(), nil, reuse.Reuse()}}
	for i := range draws {
		p.Draws, p.Streams = append(p.Draws, draws[i].Index), append(p.Streams, draws[i].Stream())
	}
	all.begin()
	if err := c.sess.Execute(ctx, c, p, all, c.o.Timeout); err != nil {
		return err
	}
	return errors.Join(c.same(first, all.made[0]), c.same(alone, all.made[1]), c.same(first, all.made[2]))
}

// each takes runs one after the other and keeps them.
type each struct {
	engine.OneRun
	draws  []engine.Draw
	stacks []engine.Stack
	made   []*tracing.Trace
}

func (e *each) begin() {
	if i := len(e.made); i < len(e.draws) {
		e.Begin(e.draws[i], e.stacks[i])
	}
}

// Finish implements ppx.Runs.
func (e *each) Finish(result ppx.Tensor, seconds float64) error {
	err := e.OneRun.Finish(result, seconds)
	e.made = append(e.made, e.Trace)
	e.begin()
	return err
}

// begin starts a plain run and returns the first message of it.
func (c *checker) begin() ([]byte, error) {
	if err := c.single.Send(c.sess.Begin(&ppx.Plan{})); err != nil {
		return nil, err
	}
	return c.single.Recv(c.o.Timeout)
}

// intrude shakes hands as another engine in the middle of a run.
func (c *checker) intrude() error {
	other := ppx.NewSession(c.o.Limits)
	if _, err := c.begin(); err != nil {
		return err
	}
	if err := c.single.Send(other.Hello("another engine")); err != nil {
		return err
	}
	msg, err := c.single.Recv(c.o.Timeout)
	if err != nil {
		return err
	}
	if err := other.Welcome(msg); !errors.Is(err, ppx.ErrBusy) {
		return fmt.Errorf("a second engine was not refused (%v)", err)
	}
	return c.giveUp()
}

// abandon gives up a run at its first message.
func (c *checker) abandon() error {
	if _, err := c.begin(); err != nil {
		return err
	}
	return c.giveUp()
}

func (c *checker) giveUp() error {
	if err := c.single.Send(c.sess.Abandon(false)); err != nil {
		return err
	}
	msg, err := c.single.Recv(c.o.Timeout)
	if err != nil {
		return err
	}
	return c.sess.Abandoned(msg)
}

// speedAlone counts delegated runs for half a second.
func (c *checker) speedAlone(ctx context.Context, table *tracing.Table, s engine.Stack) {
	start := time.Now()
	runs, n := 0, 1
	var f failed
	for time.Since(start) < time.Second/2 {
		m := &many{OneRun: engine.OneRun{Recorder: engine.NewRecorder(table)}, stack: s, next: engine.Draw{Seed: c.seed, Index: uint64(runs)}}
		m.begin()
		p := &ppx.Plan{Mode: ppx.Delegate, Seed: c.seed, Flush: time.Second, FlushBytes: 1 << 18}
		for i := range n {
			p.Draws = append(p.Draws, uint64(runs+i))
		}
		if err := c.sess.Execute(ctx, c, p, m, c.o.Timeout); f.note(err) {
			runs += m.done + 1
			continue
		} else if err != nil {
			c.rule("keeps running by itself", err, "")
			return
		}
		runs += n
		n = min(2*n, 256)
	}
	c.rep.Delegated = float64(runs) / time.Since(start).Seconds()
	c.rule("keeps running by itself", nil, "%.0f runs per second%s", c.rep.Delegated, f.String())
}

// many takes runs one after the other and forgets them.
type many struct {
	engine.OneRun
	stack engine.Stack
	next  engine.Draw
	done  int
}

func (m *many) begin() {
	m.Begin(m.next, m.stack)
	m.next.Index++
}

// Finish implements ppx.Runs.
func (m *many) Finish(result ppx.Tensor, seconds float64) error {
	err := m.OneRun.Finish(result, seconds)
	m.done++
	m.begin()
	return err
}
