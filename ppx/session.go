package ppx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Session is the engine's end of one conversation as a state machine without I/O: bytes in, bytes out.
// A loop over many sockets drives it (package engine); Connect and Execute drive it over one Conn. Not for concurrent
// use. Returned messages are valid until the next call.
type Session struct {
	System string // the simulator's system and model name, after Welcome
	Model  string
	Result Tensor // the last run's result, valid until the next Step

	enc   Encoder
	dec   Decoder
	m     Message
	fixed [numTypes][]byte // the encodings of empty messages
}

// NewSession returns a session that accepts messages within the limits.
func NewSession(l Limits) *Session {
	s := &Session{dec: Decoder{Limits: l}}
	for _, t := range []Type{Run, ObserveResult, TagResult} {
		s.fixed[t] = append([]byte(nil), s.enc.Encode(&Message{Type: t})...)
	}
	return s
}

// Hello is the message that opens the conversation.
func (s *Session) Hello(system string) []byte {
	return s.enc.Encode(&Message{Type: Handshake, SystemName: system})
}

// ErrReset is what Welcome returns when the simulator answers Reset: say Hello again, once.
var ErrReset = fmt.Errorf("%w: Reset", ErrOutOfStep)

// Welcome takes the answer to Hello.
func (s *Session) Welcome(msg []byte) error {
	if err := s.dec.Decode(msg, &s.m); err != nil {
		return err
	}
	switch s.m.Type {
	case HandshakeResult:
		s.System, s.Model = strings.Clone(s.m.SystemName), strings.Clone(s.m.ModelName)
		return nil
	case Reset:
		return ErrReset
	}
	return fmt.Errorf("%w: %s in answer to Handshake", ErrOutOfStep, s.m.Type)
}

// Begin is the message that starts a run.
func (s *Session) Begin() []byte { return s.fixed[Run] }

// Step takes the simulator's next message of a run and lets h answer it. It returns the reply to send, or
// done when the message was the run's result.
func (s *Session) Step(msg []byte, h Handler) (reply []byte, done bool, err error) {
	if err := s.dec.Decode(msg, &s.m); err != nil {
		return nil, false, err
	}
	switch s.m.Type {
	case Sample:
		v, err := h.Sample(&s.m.Statement)
		if err != nil {
			return nil, false, err
		}
		return s.enc.Encode(&Message{Type: SampleResult, Statement: Statement{Value: v}}), false, nil
	case Observe:
		return s.fixed[ObserveResult], false, h.Observe(&s.m.Statement)
	case Tag:
		return s.fixed[TagResult], false, h.Tag(&s.m.Statement)
	case RunResult:
		s.Result = s.m.Value
		return nil, true, nil
	}
	return nil, false, fmt.Errorf("%w: %s in the middle of a run", ErrOutOfStep, s.m.Type)
}

// Excuse is a formally right answer to a statement that Step could not make sense of, for a run that is only
// to reach its end.
func (s *Session) Excuse() []byte {
	switch s.m.Type {
	case Observe:
		return s.fixed[ObserveResult]
	case Tag:
		return s.fixed[TagResult]
	}
	return s.enc.Encode(&Message{Type: SampleResult, Statement: Statement{Value: dist.Scalar(0)}})
}

// Connect opens the conversation over c: Handshake, and once more after a Reset.
func (s *Session) Connect(c Conn, system string, timeout time.Duration) error {
	for try := 0; ; try++ {
		if err := c.Send(s.Hello(system)); err != nil {
			return err
		}
		msg, err := c.Recv(timeout)
		if err != nil {
			return err
		}
		if err = s.Welcome(msg); err != ErrReset || try == 1 {
			return err
		}
	}
}

// Execute runs the simulator once over c, with h answering, and returns its result (a view, valid until
// the next run). timeout bounds the silence between two messages (0: no bound).
func (s *Session) Execute(ctx context.Context, c Conn, h Handler, timeout time.Duration) (Tensor, error) {
	if err := c.Send(s.Begin()); err != nil {
		return Tensor{}, err
	}
	for {
		msg, err := recvWithin(ctx, c, timeout)
		if err != nil {
			return Tensor{}, err
		}
		reply, done, err := s.Step(msg, h)
		if err != nil {
			return Tensor{}, err
		}
		if done {
			return s.Result, nil
		}
		if err := c.Send(reply); err != nil {
			return Tensor{}, err
		}
	}
}

// recvWithin waits for a message, looking at the context from time to time.
func recvWithin(ctx context.Context, c Conn, timeout time.Duration) ([]byte, error) {
	for start := time.Now(); ; {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		wait := patience
		if timeout > 0 {
			if wait = min(wait, timeout-time.Since(start)); wait <= 0 {
				return nil, ErrTimeout
			}
		}
		msg, err := c.Recv(wait)
		if !errors.Is(err, ErrTimeout) {
			return msg, err
		}
	}
}
