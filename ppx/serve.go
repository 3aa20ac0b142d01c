package ppx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Serve answers an engine over c until ctx ends or the connection is closed: the simulator's side of the
// conversation, with model as the simulator. It returns nil when the connection or the context ended. The
// model's own error goes to the engine where that speaks extension 1; else it is returned, as PPX has no message for it.
//
// An engine that begins anew in the middle of a run (a Handshake where an answer was due) gets its
// handshake: the run in progress is abandoned by returning ErrAborted from the pending statement.
func Serve(ctx context.Context, c Conn, system, modelName string, model Model) error {
	r := &remote{ctx: ctx, c: c, system: system, modelName: modelName, model: model}
	r.notes.reset()
	for {
		err := r.receive()
		switch {
		case errors.Is(err, ErrMalformed), errors.Is(err, ErrInvalid):
			err = r.send(&Message{Type: Reset})
		case err == nil:
			err = r.serveOne()
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrGone) {
				return nil
			}
			return err
		}
	}
}

// ServeAt binds an endpoint and answers engines there, as Serve does, until ctx ends.
func ServeAt(ctx context.Context, endpoint, system, modelName string, model Model) error {
	t, err := NewTransport(Limits{})
	if err != nil {
		return err
	}
	s, err := t.Listen(endpoint)
	if err != nil {
		return errors.Join(err, t.Close())
	}
	err = Serve(ctx, s, system, modelName, model)
	return errors.Join(err, s.Close(), t.Close())
}

var lease = Lease // tests do not wait that long

// patience is how long Serve waits before it looks at its context again.
const patience = 100 * time.Millisecond

// remote is the engine as the simulator sees it: a Handler that asks over the connection, or that answers
// by itself as the engine has told it to.
type remote struct {
	ctx               context.Context
	c                 Conn
	system, modelName string
	model             Model

	enc Encoder
	dec Decoder
	m   Message

	// The engine's session.
	token   uint64
	contact time.Time // last message from or to it
	speaks  int       // the extension; 0: none
	data    *Data
	dataID  uint64
	notes   notes

	// The run in progress.
	solo    solo
	flushed time.Time
	over    bool // abandoned
	pending bool // by a Handshake, in m
	leaving bool
}

func (r *remote) send(m *Message) error {
	r.contact = time.Now()
	return r.c.Send(r.enc.Encode(m))
}

// receive waits for a message of the session's engine, or of one that may begin a session.
func (r *remote) receive() error {
	for {
		msg, err := recvWithin(r.ctx, r.c, 0)
		if err != nil {
			return err
		}
		if err := r.dec.Decode(msg, &r.m); err != nil {
			if r.token == 0 {
				return err
			}
			// It may be anybody's.
			if err := r.c.Send(r.enc.Encode(&Message{Type: Reset})); err != nil {
				return err
			}
			continue
		}
		if r.token == 0 || r.m.Token == r.token || (r.m.Type == Handshake && time.Since(r.contact) > lease) {
			r.contact = time.Now()
			return nil
		}
		if err := r.c.Send(r.enc.Encode(&Message{Type: Reset, Reason: Busy, Error: "another engine is at this simulator"})); err != nil {
			return err
		}
	}
}

// serveOne handles a message between runs.
func (r *remote) serveOne() error {
	for {
		switch r.m.Type {
		case Handshake:
			r.token, r.speaks = r.m.Token, min(r.m.Extension, Extension)
			r.data, r.dataID = nil, 0
			r.notes.reset()
			answer := Message{Type: HandshakeResult, SystemName: r.system, ModelName: r.modelName}
			if r.speaks > 0 {
				answer.Extension = r.speaks
			}
			return r.send(&answer)
		case Abort:
			if r.m.Leave {
				r.token = 0
			}
			return r.send(&Message{Type: Reset, Reason: Aborted})
		case Run:
		default:
			return r.send(&Message{Type: Reset})
		}
		r.over, r.pending, r.leaving = false, false, false
		if len(r.notes.chunk.Forms)+len(r.notes.chunk.Statements) > 0 { // left over from a run that was lost
			r.notes.restart()
		}
		err := r.orders(r.m.Run)
		if err == nil {
			err = r.runs()
		}
		switch {
		case r.pending:
			continue // with the Handshake
		case r.over: // also when the model has gone on after ErrAborted
			if r.leaving {
				r.token = 0
			}
			return r.send(&Message{Type: Reset, Reason: Aborted})
		case err == nil || r.speaks == 0 || r.ctx.Err() != nil || errors.Is(err, ErrGone):
			return err
		}
		return r.send(&Message{Type: Reset, Reason: Failed, Error: strings.ToValidUTF8(fmt.Sprintf("%.4000s", err), "?")})
	}
}

// runs makes the runs that a Run message asks for.
func (r *remote) runs() error {
	r.flushed = time.Now()
	if r.solo.plan.Mode != Delegate {
		result, err := r.run(0)
		if err != nil || r.over {
			return err
		}
		if r.solo.plan.Mode == Ask {
			return r.send(&Message{Type: RunResult, Statement: Statement{Value: result}})
		}
		return r.flush(false)
	}
	for i := range r.solo.plan.Draws {
		_, err := r.run(i)
		if r.over {
			return nil
		}
		if err != nil {
			if r.notes.bytes > 0 { // finished runs, and how far this one has come
				if e := r.flush(true); e != nil {
					return e
				}
			}
			return err
		}
		if i < len(r.solo.plan.Draws)-1 {
			if err := r.flushIfDue(); err != nil {
				return err
			}
		}
	}
	return r.flush(false)
}

// run makes the i-th run; unless every statement is asked for, its end is noted.
func (r *remote) run(i int) (Tensor, error) {
	if r.notes.crowded() {
		if len(r.notes.chunk.Statements) > 0 {
			if err := r.flush(true); err != nil {
				return Tensor{}, err
			}
		}
		r.notes.prune()
	}
	start := time.Now()
	r.solo.begin(i)
	r.notes.begin()
	r.notes.give(i)
	result, err := r.model(r)
	if result.Data == nil { // there is none: peers need a tensor all the same
		result = Tensor{Data: []float64{}, Shape: []int32{0}}
	}
	if err == nil && !r.over && r.solo.plan.Mode != Ask {
		r.notes.end(result, r.solo.statement, time.Since(start).Seconds())
	}
	return result, err
}

// flush sends what is noted.
func (r *remote) flush(more bool) error {
	r.notes.chunk.More = more
	err := r.send(&Message{Type: Statements, Chunk: &r.notes.chunk})
	r.notes.empty()
	r.flushed = time.Now()
	if err == nil && more {
		err = r.await(StatementsResult, nil)
	}
	return err
}

func (r *remote) flushIfDue() error {
	p := &r.solo.plan
	if time.Since(r.flushed) < p.Flush && r.notes.bytes < p.FlushBytes {
		return nil
	}
	return r.flush(true)
}

// await waits for the answer to what was sent.
func (r *remote) await(answer Type, s *Statement) error {
	err := r.receive()
	switch {
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrInvalid):
		err = fmt.Errorf("answer due: %s: %w", answer, err)
	case err != nil:
		return err
	case r.m.Type == answer:
		return nil
	case r.m.Type == Handshake:
		r.over, r.pending = true, true
		return ErrAborted
	case r.m.Type == Abort:
		r.over, r.leaving = true, r.m.Leave
		return ErrAborted
	default:
		err = fmt.Errorf("%w: %s where %s was due", ErrOutOfStep, r.m.Type, answer)
	}
	if s != nil {
		err = fmt.Errorf("%s at %s: %w", s.Op, Quote(s.Address), err)
	}
	return err
}

// ask sends a statement and waits for its answer.
func (r *remote) ask(s *Statement, answer Type) error {
	m := Message{Type: s.Op, Statement: *s}
	if len(r.notes.chunk.Statements) > 0 {
		m.Chunk = &r.notes.chunk
	}
	if err := r.send(&m); err != nil {
		return err
	}
	if m.Chunk != nil {
		r.notes.empty()
	}
	r.flushed = time.Now()
	return r.await(answer, s)
}

// note keeps a statement for later; value is nil for none.
func (r *remote) note(s *Statement, f *noted, value *Tensor) error {
	r.notes.add(f, s, value)
	return r.flushIfDue()
}

// form is the statement's, after a new start of the numbers where that is due.
func (r *remote) form(s *Statement, value *Tensor) (*noted, error) {
	if r.notes.full() {
		if len(r.notes.chunk.Statements) > 0 {
			if err := r.flush(true); err != nil {
				return nil, err
			}
		}
		r.notes.restart()
	}
	return r.notes.form(s, value), nil
}

// Sample implements Handler.
func (r *remote) Sample(s *Statement) (Tensor, error) {
	s.Op = Sample
	if r.over {
		return Tensor{}, ErrAborted
	}
	if s.Dist.Kind.Extension() > r.speaks {
		return r.byUniforms(s)
	}
	if r.solo.plan.Mode != Delegate {
		r.named(s)
		r.solo.statement++
		if err := r.ask(s, SampleResult); err != nil {
			return Tensor{}, err
		}
		return r.m.Value, nil
	}
	shape, n, err := r.solo.site(s)
	if err != nil {
		return Tensor{}, r.refuse(s, err)
	}
	v := Tensor{Data: unset, Shape: shape}
	f, err := r.form(s, &v)
	if err != nil {
		return v, err
	}
	instance, occurrence := r.notes.count(f.base), r.notes.count(f.name)
	given, _ := r.solo.plan.Data.Find(s.Name, int(occurrence))
	if v, err = r.solo.answer(s, shape, n, r.notes.reuse[visit{f.base, instance}], given); err != nil {
		return v, err
	}
	r.solo.statement++
	return v, r.note(s, f, &v)
}

var unset = []float64{}

// byUniforms draws for an engine that does not know the family: each uniform number that its sampler takes is a Sample, at an address of its own.
func (r *remote) byUniforms(s *Statement) (v Tensor, err error) {
	if s.Name != "" {
		return v, strange(s)
	}
	own := *s // the model's, which the statements for the numbers must not change
	shape, n, err := r.solo.site(&own)
	if err != nil {
		return v, err
	}
	v = Tensor{Data: make([]float64, n), Shape: slices.Clone(shape)}
	u := Statement{Op: Sample, Address: s.Address + UniformSuffix, Control: s.Control, Dist: dist.New(dist.Uniform, 0, 1)}
	type failed struct{ err error }
	stream := dist.Asking(func() float64 {
		x, err := r.Sample(&u)
		if err != nil {
			panic(failed{err})
		}
		return x.Float()
	})
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failed:
			err = p.err
		default:
			panic(p)
		}
	}()
	return v, own.Dist.Sample(&stream, v.Data)
}

// named counts the name of a statement that the engine is asked about.
func (r *remote) named(s *Statement) {
	if s.Name != "" {
		r.notes.count(counter(r.notes.names, s.Name))
	}
}

// Own implements Owner: what the simulator draws by itself whoever else draws.
func (r *remote) Own(s *Statement, own Own) (Tensor, error) {
	s.Op = Sample
	switch {
	case r.over:
		return Tensor{}, ErrAborted
	case s.Dist.Kind.Extension() > r.speaks:
		return Tensor{}, fmt.Errorf("%w: a custom distribution at %s: the engine would have to leave the draw to the simulator, and knows nothing of that (it speaks an extension below %d)", ErrInvalid, Quote(s.Address), s.Dist.Kind.Extension())
	}
	v := dist.Scalar(0)
	var f *noted
	base, name := counter(r.notes.bases, AddressBase(s.Address, &s.Dist)), (*visits)(nil)
	if s.Name != "" {
		name = counter(r.notes.names, s.Name)
	}
	if r.solo.plan.Mode != Ask {
		var err error
		if f, err = r.form(s, &v); err != nil {
			return v, err
		}
	}
	instance, occurrence := r.notes.count(base), r.notes.count(name)
	given, _ := r.solo.plan.Data.Find(s.Name, int(occurrence))
	switch reused := r.notes.reuse[visit{base, instance}]; {
	case len(given.Data) == 1:
		v.Data[0] = given.Data[0]
	case len(reused.Data) == 1:
		v.Data[0] = reused.Data[0]
	default:
		stream := r.solo.stream(r.solo.statement, dist.PurposeValue)
		v.Data[0] = own.Draw(&stream)
	}
	s.Dist.Params[0].Data[0] = own.LogProb(v.Data[0])
	r.solo.statement++
	if r.solo.plan.Mode == Ask {
		s.Value = v
		return v, r.ask(s, SampleResult)
	}
	return v, r.note(s, f, &v)
}

// UniformSuffix is what the address of a Sample ends with that an engine without the family sees in place of it, for each uniform number that a draw takes.
const UniformSuffix = ".uniform"

// strange is the error of a statement that an engine without the family cannot be told of.
func strange(s *Statement) error {
	return fmt.Errorf("%w: %s of %s at %s: the engine does not know this family (it speaks an extension below %d); an unnamed Sample is drawn by uniform numbers, but a name may have data, and an Observe a density", ErrInvalid, s.Op, s.Dist.Kind, Quote(s.Address), s.Dist.Kind.Extension())
}

// refuse shows the engine a Sample that cannot be drawn from: the engine's error message is better.
func (r *remote) refuse(s *Statement, err error) error {
	for i := range s.Dist.Params {
		if !consistent(s.Dist.Params[i]) {
			return err
		}
	}
	f, e := r.form(s, nil)
	if e == nil {
		r.notes.add(f, s, nil)
		e = r.flush(true)
	}
	if e != nil {
		return e
	}
	return err
}

// consistent tells whether a tensor's shape describes its data.
func consistent(t Tensor) bool {
	n, err := dist.Elements(t.Shape)
	return err == nil && n == len(t.Data)
}

func misshapen(s *Statement, t Tensor) error {
	return fmt.Errorf("%w: %s at %s: a tensor of %d elements has shape %s", ErrInvalid, s.Op, Quote(s.Address), len(t.Data), dist.ShapeString(t.Shape))
}

// count returns how often v was met in this run, this time included; 0 for nil.
func (n *notes) count(v *visits) uint32 {
	if v == nil {
		return 0
	}
	if v.epoch != n.epoch {
		v.epoch, v.n = n.epoch, 0
	}
	v.n++
	return v.n
}

// Observe implements Handler.
func (r *remote) Observe(s *Statement) error {
	s.Op = Observe
	return r.tell(s, ObserveResult)
}

// Tag implements Handler.
func (r *remote) Tag(s *Statement) error {
	s.Op = Tag
	return r.tell(s, TagResult)
}

// tell passes on a statement whose answer is nothing but an answer.
func (r *remote) tell(s *Statement, answer Type) error {
	if r.over {
		return ErrAborted
	}
	if s.Dist.Kind.Extension() > r.speaks {
		return strange(s)
	}
	r.solo.statement++
	if r.solo.plan.Mode == Ask {
		r.named(s)
		return r.ask(s, answer)
	}
	var value *Tensor
	if s.Value.Data != nil {
		value = &s.Value
	}
	for i := range s.Dist.Params {
		if !consistent(s.Dist.Params[i]) {
			return misshapen(s, s.Dist.Params[i])
		}
	}
	if value != nil && !consistent(*value) {
		return misshapen(s, *value)
	}
	f, err := r.form(s, value)
	if err != nil {
		return err
	}
	r.notes.count(f.name)
	return r.note(s, f, value)
}
