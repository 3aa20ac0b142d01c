// Package conform judges a simulator's client by the rules of the protocol, for authors of clients: the
// handshake, one run statement by statement, determinism under replay, behaviour out of turn, speed.
package conform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
)

// Rule is one rule and what became of it.
type Rule struct {
	Name   string
	OK     bool
	Detail string
}

// Statement is a message of the run that is shown.
type Statement struct {
	Index   int
	Op      string
	Label   string // address with kind and instance
	Name    string
	Dist    string
	Value   string
	LogP    float64
	Control bool
}

// Report is the whole verdict.
type Report struct {
	Model, System string
	Rules         []Rule
	Run           []Statement // of the first run
	Result        string
	Total         int // statements of the first run; Run holds the first maxShown
	RoundTrips    float64
	Traces        float64 // per second
	Delegated     float64 // traces per second, where the simulator makes them by itself
}

// Passed tells that no rule was broken.
func (r *Report) Passed() bool {
	for _, x := range r.Rules {
		if !x.OK {
			return false
		}
	}
	return true
}

const maxShown = 200

// checker is one conversation with the simulator under test.
type checker struct {
	seen   []*tracing.Trace // some that were made
	o      engine.Options
	seed   uint64
	single *engine.Single
	sess   *ppx.Session
	rep    Report
	strict ppx.Decoder
	sparse error // the first message that leaves out what other engines need
}

// Send and Recv make the checker the connection that its session uses, so that it sees every message.

func (c *checker) Send(msg []byte) error { return c.single.Send(msg) }

func (c *checker) Recv(timeout time.Duration) ([]byte, error) {
	msg, err := c.single.Recv(timeout)
	var m ppx.Message
	if err == nil && c.sparse == nil {
		c.sparse = c.strict.Decode(msg, &m)
	}
	return msg, err
}

func (c *checker) Close() error { return c.single.Close() }

// Check launches or connects the simulator and judges it. The error says that it could not even be
// talked to; broken rules are in the report.
func Check(ctx context.Context, o engine.Options, seed uint64) (*Report, error) {
	if o.StartTimeout <= 0 {
		o.StartTimeout = 30 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 60 * time.Second
	}
	c := &checker{o: o, seed: seed, strict: ppx.Decoder{Limits: o.Limits, Strict: true}}
	if err := c.open(); err != nil {
		return nil, err
	}
	defer func() {
		c.leave()
		c.single.Close()
	}()
	c.judge(ctx)
	if err := context.Cause(ctx); err != nil {
		return nil, err // interrupted: no verdict
	}
	if len(c.rep.Rules) == 1 && len(o.Command) > 0 && !o.HasEndpoint() {
		return nil, o.Hint(errors.New(c.rep.Rules[0].Detail))
	}
	return &c.rep, nil
}

// leave tells a simulator that goes on running that this engine goes away.
func (c *checker) leave() {
	if c.sess.Extension > 0 && len(c.o.Connect) > 0 && c.single.Send(c.sess.Abandon(true)) == nil {
		_, _ = c.single.Recv(time.Second) // whatever it says
	}
}

func (c *checker) open() (err error) {
	if c.single, err = engine.OpenSingle(c.o); err != nil {
		return err
	}
	c.sess = ppx.NewSession(c.o.Limits)
	c.sess.Plain = c.o.Plain
	return nil
}

// rule notes a verdict and passes it on.
func (c *checker) rule(name string, err error, detail string, args ...any) bool {
	r := Rule{Name: name, OK: err == nil, Detail: fmt.Sprintf(detail, args...)}
	if err != nil {
		r.Detail = err.Error()
	}
	c.rep.Rules = append(c.rep.Rules, r)
	return r.OK
}

func (c *checker) judge(ctx context.Context) {
	if !c.rule("answers the handshake", c.hello(), "HandshakeResult from %s", ppx.Quote(c.sess.System)) {
		return
	}
	c.rep.Model, c.rep.System = c.sess.Model, c.sess.System
	c.rule("introduces itself", nonEmpty("model_name", c.sess.Model, "system_name", c.sess.System),
		"model %s, client %s", ppx.Quote(c.sess.Model), ppx.Quote(c.sess.System))

	table := tracing.NewTable()
	prior := engine.Stack{control.NewCondition(nil, true), control.Prior{}}
	first, raw, err := c.run(ctx, table, engine.Draw{Seed: c.seed}, prior)
	if !c.rule("completes a run", err, "%d statements, then RunResult", len(raw)) {
		c.rep.Rules[len(c.rep.Rules)-1].Detail += fmt.Sprintf(" (after %d statements)", len(raw))
		c.show(nil, raw)
		return
	}
	c.show(first, raw)
	c.rule("messages are well-formed", nil, "tables, strings, unions and shapes were checked to the byte")
	c.rule("gives addresses", addressed(raw), "%d different ones", table.Len())
	c.rule("addresses do not depend on the process", relative(raw), "none is an absolute code address")
	c.rule("writes strings and tensors completely", c.sparse, "no field that peers rely on is left out")
	c.rule("has a result", present(first.Result), "%v", first.Result)

	again, _, err := c.run(ctx, table, engine.Draw{Seed: c.seed}, engine.Stack{control.NewReplay(first), control.Prior{}})
	if c.rule("completes a second run", err, "the next Run starts the next trace") {
		c.rule("is deterministic under replay", c.same(first, again),
			"given the same values it made the same statements (%d)", len(again.Sites))
	}
	c.wrapped(raw)
	c.extension(ctx, table, first)
	c.rule("answers a message out of turn with Reset", c.outOfTurn(), "ObserveResult between runs was answered with Reset")
	c.rule("shakes hands again", c.hello(), "a new Handshake between runs is answered")
	failures, err := c.speed(ctx, table, prior)
	c.rule("keeps running", err, "%.0f round trips and %.0f runs per second%s", c.rep.RoundTrips, c.rep.Traces, failures)
	c.loops(ctx, table)
	if len(c.o.Connect) == 0 {
		c.restart(ctx, first)
	}
}

// hello shakes hands.
func (c *checker) hello() error {
	if err := c.single.SendWithin(c.sess.Hello(c.o.System), c.o.StartTimeout); err != nil {
		if errors.Is(err, ppx.ErrTimeout) {
			err = fmt.Errorf("%w: nobody binds the endpoint within %v (--start-timeout)", err, c.o.StartTimeout)
		}
		return c.stranger(err)
	}
	msg, err := c.Recv(c.o.StartTimeout)
	if err != nil {
		return c.stranger(err)
	}
	return c.sess.Welcome(msg)
}

// stranger adds to an error before the first handshake what is likely of a launched program.
func (c *checker) stranger(err error) error {
	if len(c.o.Connect) > 0 || len(c.rep.Rules) > 0 {
		return err
	}
	return engine.WithoutClient(err)
}

// listener notes the statements as they come, before the recorder's verdict.
type listener struct {
	engine.OneRun
	raw []ppx.Statement
}

func (l *listener) note(s *ppx.Statement) {
	n := *s
	n.Address, n.Name = strings.Clone(s.Address), strings.Clone(s.Name)
	n.Dist.Params = nil
	for _, p := range s.Dist.Params {
		n.Dist.Params = append(n.Dist.Params, p.Clone())
	}
	n.Value = s.Value.Clone()
	l.raw = append(l.raw, n)
}

func (l *listener) Sample(s *ppx.Statement) (ppx.Tensor, error) {
	l.note(s)
	return l.Recorder.Sample(s)
}
func (l *listener) Observe(s *ppx.Statement) error { l.note(s); return l.Recorder.Observe(s) }
func (l *listener) Tag(s *ppx.Statement) error     { l.note(s); return l.Recorder.Tag(s) }

func (c *checker) run(ctx context.Context, table *tracing.Table, d engine.Draw, s engine.Stack) (*tracing.Trace, []ppx.Statement, error) {
	l := &listener{OneRun: engine.OneRun{Recorder: engine.NewRecorder(table)}}
	l.Begin(d, s)
	err := c.sess.Execute(ctx, c, &ppx.Plan{Mode: ppx.Ask, Seed: d.Seed, Stream: d.Stream(), Draws: []uint64{d.Index}}, l, c.o.Timeout)
	return l.Trace, l.raw, err
}

// show fills in the run that is printed.
func (c *checker) show(t *tracing.Trace, raw []ppx.Statement) {
	c.rep.Total = len(raw)
	for i := range raw {
		if i == maxShown {
			break
		}
		s := Statement{Index: i, Op: raw[i].Op.String(), Label: raw[i].Address, Name: raw[i].Name, Dist: raw[i].Dist.String(), Control: raw[i].Control}
		if t != nil {
			s.Label, s.Value, s.LogP = t.Table.Label(t.Sites[i].Key), t.Value(i).String(), t.Sites[i].LogP
		}
		c.rep.Run = append(c.rep.Run, s)
	}
	if t != nil {
		c.rep.Result = t.Result.String()
	}
}

func nonEmpty(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return fmt.Errorf("%s is empty", pairs[i])
		}
	}
	return nil
}

func addressed(raw []ppx.Statement) error {
	for i, s := range raw {
		if s.Address == "" {
			return fmt.Errorf("statement %d (%s %s) has an empty address", i, s.Op, ppx.Quote(s.Name))
		}
	}
	return nil
}

func relative(raw []ppx.Statement) error {
	for i, s := range raw {
		if strings.Contains(s.Address, "(null)+0x") {
			return fmt.Errorf("statement %d: %s holds absolute code addresses, which differ in every process: link the simulator with -rdynamic", i, ppx.Quote(s.Address))
		}
	}
	return nil
}

func present(t ppx.Tensor) error {
	if t.Data == nil {
		return errors.New("RunResult has no tensor (existing engines expect one)")
	}
	return nil
}

func (c *checker) same(want, got *tracing.Trace) error {
	d := inspect.Compare(want, got, 0)
	if len(d) == 0 {
		return nil
	}
	lines := make([]string, len(d))
	for i := range d {
		lines[i] = d[i].String()
	}
	return fmt.Errorf("given the same values the run took another course: %s. Is there randomness, time or global state that does not come from the engine?", strings.Join(lines, "; "))
}

func (c *checker) outOfTurn() error {
	var enc ppx.Encoder
	var dec ppx.Decoder
	m := ppx.Message{Type: ppx.ObserveResult}
	if c.sess.Extension > 0 {
		m.Token = c.sess.Token
	}
	if err := c.single.Send(enc.Encode(&m)); err != nil {
		return err
	}
	msg, err := c.single.Recv(2 * time.Second)
	if err != nil {
		return fmt.Errorf("after a message out of turn: %w", err)
	}
	if err := dec.Decode(msg, &m); err != nil {
		return err
	}
	if m.Type != ppx.Reset || m.Reason != ppx.OutOfTurn {
		return fmt.Errorf("ObserveResult between runs was answered with %s", m.Type)
	}
	return nil
}

// speed counts round trips for a second. A run that the model fails is no fault of the client's; failures says
// how many there were.
func (c *checker) speed(ctx context.Context, table *tracing.Table, s engine.Stack) (failures string, err error) {
	start := time.Now()
	statements, runs := 0, 0
	var f failed
	for time.Since(start) < time.Second {
		t, _, err := c.run(ctx, table, engine.Draw{Seed: c.seed, Index: uint64(runs + 1)}, s)
		runs++
		if f.note(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("run %d: %w", runs+2, err)
		}
		statements += len(t.Sites) + 1
		if len(c.seen) < maxSeen && len(t.Sites) <= maxSites {
			c.seen = append(c.seen, t)
		}
	}
	seconds := time.Since(start).Seconds()
	c.rep.RoundTrips, c.rep.Traces = float64(statements)/seconds, float64(runs)/seconds
	return f.String(), nil
}

// failed counts the runs that a model fails.
type failed struct {
	n    int
	last error
}

func (f *failed) note(err error) bool {
	if !errors.Is(err, ppx.ErrFailed) {
		return false
	}
	f.n++
	f.last = err
	return true
}

func (f *failed) String() string {
	if f.n == 0 {
		return ""
	}
	return fmt.Sprintf("; the model failed %d times, the last: %v", f.n, f.last)
}

// restart compares with another process.
func (c *checker) restart(ctx context.Context, first *tracing.Trace) {
	c.single.Close()
	err := c.open()
	if err == nil {
		err = c.hello()
	}
	var t *tracing.Trace
	if err == nil {
		t, _, err = c.run(ctx, tracing.NewTable(), engine.Draw{Seed: c.seed}, engine.Stack{control.NewReplay(first), control.Prior{}})
	}
	if err == nil {
		err = c.same(first, t)
	}
	c.rule("another process does the same", err, "the same addresses and values in a process of its own")
}
