package ppx

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Serve answers an engine over c until ctx ends or the connection is closed: the simulator's side of the
// conversation, with model as the simulator. It returns nil when the connection or the context ended, and
// the model's own error, which ends the process's usefulness as PPX has no message for it.
//
// An engine that begins anew in the middle of a run (a Handshake where an answer was due) gets its
// handshake: the run in progress is abandoned by returning ErrAborted from the pending statement.
func Serve(ctx context.Context, c Conn, system, modelName string, model Model) error {
	r := &remote{ctx: ctx, c: c}
	for {
		msg, err := r.recv()
		for err == nil {
			var again []byte
			if again, err = r.serveOne(msg, system, modelName, model); again == nil {
				break
			}
			msg = again
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrGone) {
				return nil
			}
			return err
		}
	}
}

// patience is how long Serve waits before it looks at its context again.
const patience = 100 * time.Millisecond

// remote is the engine as the simulator sees it: a Handler that asks over the connection.
type remote struct {
	ctx     context.Context
	c       Conn
	enc     Encoder
	dec     Decoder
	m       Message
	pending []byte // a message that arrived where an answer was due
}

func (r *remote) recv() ([]byte, error) {
	return recvWithin(r.ctx, r.c, 0)
}

func (r *remote) send(m *Message) error { return r.c.Send(r.enc.Encode(m)) }

// serveOne handles a message between runs. It returns a message to handle next if one arrived out of turn
// during a run.
func (r *remote) serveOne(msg []byte, system, modelName string, model Model) (again []byte, err error) {
	if err := r.dec.Decode(msg, &r.m); err != nil {
		return nil, r.send(&Message{Type: Reset})
	}
	switch r.m.Type {
	case Handshake:
		return nil, r.send(&Message{Type: HandshakeResult, SystemName: system, ModelName: modelName})
	case Run:
		result, err := model(r)
		if errors.Is(err, ErrAborted) {
			again, r.pending = r.pending, nil
			return again, nil
		}
		if err != nil {
			return nil, err
		}
		return nil, r.send(&Message{Type: RunResult, Statement: Statement{Value: result}})
	}
	return nil, r.send(&Message{Type: Reset})
}

// ask sends a statement and waits for its answer.
func (r *remote) ask(s *Statement, t, answer Type) error {
	if r.pending != nil { // the model went on after ErrAborted
		return ErrAborted
	}
	m := Message{Type: t, Statement: *s}
	m.Op = t
	if err := r.send(&m); err != nil {
		return err
	}
	msg, err := r.recv()
	if err != nil {
		return err
	}
	if err := r.dec.Decode(msg, &r.m); err != nil {
		return fmt.Errorf("answer to %s at %s: %w", t, Quote(s.Address), err)
	}
	switch r.m.Type {
	case answer:
		return nil
	case Handshake:
		r.pending = append([]byte(nil), msg...)
		return ErrAborted
	}
	return fmt.Errorf("%w: %s in answer to %s at %s", ErrOutOfStep, r.m.Type, t, Quote(s.Address))
}

func (r *remote) Sample(s *Statement) (Tensor, error) {
	if err := r.ask(s, Sample, SampleResult); err != nil {
		return Tensor{}, err
	}
	return r.m.Value, nil
}

func (r *remote) Observe(s *Statement) error { return r.ask(s, Observe, ObserveResult) }
func (r *remote) Tag(s *Statement) error     { return r.ask(s, Tag, TagResult) }
