package ppx

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	// Plain announces no extension.
	Plain bool
	// Extension is the one that is spoken, after Welcome: 0 is plain PPX 1.0.
	Extension int
	// Token tells this engine from others, where an extension is spoken: a random number, not 0.
	Token uint64

	enc   Encoder
	dec   Decoder
	m     Message
	fixed [numTypes][]byte  // the encodings of empty messages
	forms Forms             // of this session
	data  *Data             // that the simulator has
	id    uint64            // their number
	bases map[string]uint32 // numbers of address bases that the simulator knows
	run   WireRun           // the room of Begin
	reuse WireReuse
	one   [1]*Reuse
	mode  Mode
	name  string // of this engine
	stray bool   // the last error did not come from a statement
	left  int    // runs of the plan that have not ended
	count int    // statements of the run
}

// NewSession returns a session that accepts messages within the limits and announces the extension.
func NewSession(l Limits) *Session {
	return &Session{dec: Decoder{Limits: l}, Token: rand.Uint64() | 1}
}

// encode writes a message, with the token where an extension is spoken.
func (s *Session) encode(m *Message) []byte {
	if s.Extension > 0 {
		m.Token = s.Token
	}
	return s.enc.Encode(m)
}

// empty is the message of a type that has no fields to set.
func (s *Session) empty(t Type) []byte {
	if s.fixed[t] == nil {
		s.fixed[t] = append([]byte(nil), s.encode(&Message{Type: t})...)
	}
	return s.fixed[t]
}

// Hello is the message that opens the conversation.
func (s *Session) Hello(system string) []byte {
	s.name = system
	if s.Plain {
		return s.enc.Encode(&Message{Type: Handshake, SystemName: system})
	}
	return s.enc.Encode(&Message{Type: Handshake, SystemName: system, Extension: Extension, Token: s.Token})
}

// ErrReset is what Welcome returns when the simulator answers Reset: say Hello again, once.
var ErrReset = fmt.Errorf("%w: Reset", ErrOutOfStep)

// Welcome takes the answer to Hello. ErrBusy says that the simulator is another engine's.
func (s *Session) Welcome(msg []byte) error {
	if err := s.dec.Decode(msg, &s.m); err != nil {
		return err
	}
	switch s.m.Type {
	case HandshakeResult:
		if offered := Extension; s.m.Extension > offered || (s.Plain && s.m.Extension > 0) {
			return fmt.Errorf("%w: the simulator wants to speak extension %d, which was not offered", ErrOutOfStep, s.m.Extension)
		}
		s.System, s.Model, s.Extension = strings.Clone(s.m.SystemName), strings.Clone(s.m.ModelName), s.m.Extension
		clear(s.fixed[:])
		s.forms, s.data, s.bases = Forms{}, nil, nil
		return nil
	case Reset:
		if s.m.Reason == Busy {
			return fmt.Errorf("%w: %s", ErrBusy, Quote(s.m.Error))
		}
		return ErrReset
	}
	return fmt.Errorf("%w: %s in answer to Handshake", ErrOutOfStep, s.m.Type)
}

// Begin is the message that starts a run, or the runs of a plan. Without an extension there is only the
// plain run, and any plan is ignored.
func (s *Session) Begin(p *Plan) []byte {
	s.left, s.count, s.mode = 1, 0, p.Mode
	if s.Extension == 0 || p.Mode == Ask && s.Extension < dist.Custom.Extension() {
		s.mode = Ask
		return s.empty(Run)
	}
	w := &s.run
	*w = WireRun{Mode: p.Mode, FlushMS: uint32(p.Flush.Milliseconds()), FlushBytes: uint32(p.FlushBytes)}
	if p.Mode == Delegate || s.Extension >= dist.Custom.Extension() { // what a simulator draws by itself: all, or what is its own
		w.Seed, w.Stream, w.Draws = p.Seed, p.Stream, p.Draws
		if p.Data != nil && len(p.Data.Values) > 0 {
			if s.data != p.Data {
				s.data = p.Data
				s.id++
				w.Data = p.Data.Values
			}
			w.DataID = s.id
		}
	}
	if p.Mode == Delegate {
		s.left = len(p.Draws)
		w.Inflation, w.Streams = p.Inflation, p.Streams
		switch {
		case p.Own != nil:
			s.columns(p.Own)
			w.Reuse = &s.reuse
		case p.Reuse != nil && len(p.Reuse.Values) > 0:
			s.one[0] = p.Reuse
			s.columns(s.one[:])
			s.reuse.Ends = s.reuse.Ends[:0]
			w.Reuse = &s.reuse
		}
	}
	return s.encode(&Message{Type: Run, Run: w})
}

// maxBases is how many address bases a simulator is asked to remember.
const maxBases = 1 << 20

// columns writes values to reuse as they travel: those of one run after the other.
func (s *Session) columns(of []*Reuse) {
	w := &s.reuse
	*w = WireReuse{Bases: w.Bases[:0], Base: w.Base[:0], Instance: w.Instance[:0], Shapes: w.Shapes[:0], Numbers: w.Numbers[:0], Ends: w.Ends[:0]}
	total := 0
	for _, u := range of {
		total += u.len()
	}
	if s.bases == nil || len(s.bases)+total > maxBases {
		w.Restart = true
		s.bases = map[string]uint32{}
	}
	for _, u := range of {
		for i := range u.len() {
			v := &u.Values[i]
			n, ok := s.bases[v.Base]
			if !ok {
				n = uint32(len(s.bases))
				s.bases[v.Base] = n
				w.Bases = append(w.Bases, v.Base)
			}
			w.Base, w.Instance = append(w.Base, n), append(w.Instance, v.Instance)
			w.Shapes = append(append(w.Shapes, int32(len(v.Value.Shape))), v.Value.Shape...)
			w.Numbers = append(w.Numbers, v.Value.Data...)
		}
		w.Ends = append(w.Ends, uint32(len(w.Base)))
	}
}

// Runs takes what the runs of a session do: the statements, and the end of each run. seconds is the
// simulator's own measure of the run, 0 where it gives none. A Sample that has a Value was drawn by the
// simulator; the handler's answer does not matter then.
type Runs interface {
	Handler
	Finish(result Tensor, seconds float64) error
}

// Stray tells that Step's last error is about a message as a whole, and not about a statement of the present
// run: another run of the plan may be at fault, and both sides may no longer mean the same by their numbers.
func (s *Session) Stray() bool { return s.stray }

// Step takes the simulator's next message of a run and lets h answer it. It returns the reply to send, or
// done when the plan's last run has ended.
func (s *Session) Step(msg []byte, h Runs) (reply []byte, done bool, err error) {
	s.stray = true
	if err := s.dec.Decode(msg, &s.m); err != nil {
		return nil, false, err
	}
	switch t := s.m.Type; {
	case s.mode == Ask && (t == Statements || s.m.Chunk != nil),
		s.mode != Ask && (t == Observe || t == Tag || t == RunResult),
		s.mode == Delegate && t == Sample, s.left == 0 && t == Sample:
		return nil, false, broken("%s in a run of mode %d", t, s.mode)
	}
	if k := s.m.Dist.Kind; (s.m.Type == Sample || s.m.Type == Observe) && !s.speaks(k) {
		return nil, false, unspoken(k)
	}
	switch s.m.Type {
	case Sample:
		if s.m.Chunk != nil {
			if err := s.chunk(s.m.Chunk, h); err != nil {
				return nil, false, err
			}
		}
		s.count++
		s.stray = false
		v, err := h.Sample(&s.m.Statement)
		if err != nil {
			return nil, false, err
		}
		return s.encode(&Message{Type: SampleResult, Statement: Statement{Value: v}}), false, nil
	case Observe:
		s.count++
		s.stray = false
		return s.empty(ObserveResult), false, h.Observe(&s.m.Statement)
	case Tag:
		s.count++
		s.stray = false
		return s.empty(TagResult), false, h.Tag(&s.m.Statement)
	case RunResult:
		s.stray = false
		return nil, true, h.Finish(s.m.Value, 0)
	case Statements:
		if err := s.chunk(s.m.Chunk, h); err != nil {
			return nil, false, err
		}
		if s.m.Chunk.More {
			return s.empty(StatementsResult), false, nil
		}
		return nil, true, nil
	case Reset:
		switch s.m.Reason {
		case Failed:
			s.stray = false
			return nil, false, fmt.Errorf("%w: %s", ErrFailed, Quote(s.m.Error))
		case Busy:
			return nil, false, fmt.Errorf("%w: %s", ErrBusy, Quote(s.m.Error))
		}
	}
	return nil, false, fmt.Errorf("%w: %s in the middle of a run", ErrOutOfStep, s.m.Type)
}

// Again lets h answer the Sample that it could not answer in Step, which has returned its error. The message that was given
// to Step must not have changed.
func (s *Session) Again(h Runs) (reply []byte, err error) {
	v, err := h.Sample(&s.m.Statement)
	if err != nil {
		return nil, err
	}
	return s.encode(&Message{Type: SampleResult, Statement: Statement{Value: v}}), nil
}

// chunk passes on statements that were not waited for.
func (s *Session) chunk(c *Chunk, h Runs) error {
	runs, err := s.forms.Learn(c)
	switch last := len(c.Statements) - 1; {
	case err != nil:
		return err
	case runs > s.left, runs == s.left && last >= 0 && s.forms.forms[c.Statements[last]].Op != RunResult:
		return broken("more was done than the %d runs that were asked for", s.left)
	case s.m.Type == Statements && !c.More && runs < s.left:
		return broken("%d runs were asked for that were not made", s.left-runs)
	case s.m.Type == Sample && runs > 0:
		return broken("a run ended before a Sample")
	case s.left == 0:
		return broken("a message after the last run")
	}
	s.stray = false
	return s.forms.Each(c, func(st *Statement, count int, seconds float64) (err error) {
		if !s.speaks(st.Dist.Kind) {
			return unspoken(st.Dist.Kind)
		}
		switch st.Op {
		case RunResult:
			if count != s.count {
				return broken("%d statements have come, the simulator counts %d", s.count, count)
			}
			s.left--
			s.count = 0
			return h.Finish(st.Value, seconds)
		case Sample:
			if s.mode != Delegate && !st.Dist.Kind.Own() {
				return broken("a Sample that was not asked for")
			}
			_, err = h.Sample(st)
		case Observe:
			err = h.Observe(st)
		case Tag:
			err = h.Tag(st)
		}
		s.count++
		return err
	})
}

// speaks tells whether statements may have distributions of a kind.
func (s *Session) speaks(k dist.Kind) bool { return k.Extension() <= s.Extension }

func unspoken(k dist.Kind) error {
	return broken("%s is a distribution of extension %d, which was not agreed on", k, k.Extension())
}

// Abandon is the message that ends a run before its end, in place of an answer; with leave it also ends
// the session. Only where an extension is spoken.
func (s *Session) Abandon(leave bool) []byte {
	return s.encode(&Message{Type: Abort, Leave: leave})
}

// Abandoned takes the answer to Abandon.
func (s *Session) Abandoned(msg []byte) error {
	if err := s.dec.Decode(msg, &s.m); err != nil {
		return err
	}
	if s.m.Type != Reset || s.m.Reason != Aborted {
		return fmt.Errorf("%w: %s in answer to Abort", ErrOutOfStep, s.m.Type)
	}
	return nil
}

// Excuse is a formally right answer to a statement that Step could not make sense of, for a run that is only
// to reach its end.
func (s *Session) Excuse() []byte {
	switch s.m.Type {
	case Observe:
		return s.empty(ObserveResult)
	case Tag:
		return s.empty(TagResult)
	}
	return s.encode(&Message{Type: SampleResult, Statement: Statement{Value: dist.Scalar(0)}})
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

// Execute makes the runs of a plan over c (nil: a plain run), with h taking what they do. timeout bounds
// the silence between two messages (0: no bound). Where an extension is spoken, a run that h does not want
// any more is abandoned, and the simulator is ready for the next.
func (s *Session) Execute(ctx context.Context, c Conn, p *Plan, h Runs, timeout time.Duration) error {
	if p == nil {
		p = &Plan{}
	}
	if err := c.Send(s.Begin(p)); err != nil {
		return err
	}
	for {
		msg, err := recvWithin(ctx, c, timeout)
		if err != nil {
			return err
		}
		reply, done, err := s.Step(msg, h)
		switch {
		case err != nil && s.Extension > 0 && !errors.Is(err, ErrFailed) && !errors.Is(err, ErrBusy):
			stray := s.stray
			err = errors.Join(err, s.abandon(ctx, c, timeout))
			if stray { // begin anew
				err = errors.Join(err, s.Connect(c, s.name, timeout))
			}
			return err
		case err != nil || done:
			return err
		}
		if err := c.Send(reply); err != nil {
			return err
		}
	}
}

func (s *Session) abandon(ctx context.Context, c Conn, timeout time.Duration) error {
	if err := c.Send(s.Abandon(false)); err != nil {
		return err
	}
	msg, err := recvWithin(ctx, c, timeout)
	if err != nil {
		return err
	}
	return s.Abandoned(msg)
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
