package ppx

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	zmq "github.com/pebbe/zmq4"
)

// All of ZeroMQ is behind this file: a Transport makes Sockets, a Poller waits for many of them.

// maxSimulators is how many sockets of one transport can be dialled at a time.
const maxSimulators = 4096

// Transport owns one ZeroMQ context (one I/O thread). Close it after its sockets. Safe for concurrent use.
type Transport struct {
	ctx   *zmq.Context
	limit int
	n     atomic.Int64 // names inproc endpoints
}

// NewTransport returns a transport whose sockets refuse messages beyond twice the limits before they are
// allocated.
func NewTransport(l Limits) (*Transport, error) {
	ctx, err := zmq.NewContext()
	if err != nil {
		return nil, fmt.Errorf("ZeroMQ: %w", err)
	}
	// A retry inside the binding would restart the deadline at every signal (and Go sends itself many).
	ctx.SetRetryAfterEINTR(false)
	// Up to three sockets for a simulator.
	if err := ctx.SetMaxSockets(3*maxSimulators + 1000); err != nil {
		return nil, fmt.Errorf("ZeroMQ: %w", err)
	}
	return &Transport{ctx: ctx, limit: l.message()}, nil
}

// Close frees the context. All sockets and pollers must have been closed.
func (t *Transport) Close() error {
	// Here the binding must retry by itself: after an interrupted call it only repeats the error.
	t.ctx.SetRetryAfterEINTR(true)
	return t.ctx.Term()
}

// Socket is a Conn over ZeroMQ. It is used, and closed, by one goroutine at a time.
type Socket struct {
	Endpoint string
	t        *Transport
	s        *zmq.Socket
	single   *zmq.Poller
	monitor  *zmq.Socket // reports that the peer went away
	gone     bool
}

// Dial connects the engine's side to a simulator that binds, or will bind, endpoint. It does not wait.
// With watch, Recv and a Poller report ErrGone as soon as an established connection breaks, and a peer
// that does not answer the transport's heartbeat counts as broken: for simulators whose process we do
// not own.
func (t *Transport) Dial(endpoint string, watch bool) (*Socket, error) {
	if err := CheckEndpoint(endpoint); err != nil {
		return nil, err
	}
	s, err := t.socket(zmq.REQ, endpoint)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		s.s.SetReconnectIvl(5*time.Millisecond),
		s.s.SetReconnectIvlMax(time.Second),
		s.s.SetImmediate(true), // a send waits for a peer instead of queueing for one that may never come
	)
	if err == nil && watch {
		err = errors.Join(
			s.s.SetHeartbeatIvl(200*time.Millisecond),
			s.s.SetHeartbeatTimeout(600*time.Millisecond),
			s.watch(),
		)
	}
	if err == nil {
		err = s.s.Connect(endpoint)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot connect to %s: %w", endpoint, err)
	}
	return s, nil
}

// Listen binds the simulator's side to endpoint.
func (t *Transport) Listen(endpoint string) (*Socket, error) {
	if err := CheckEndpoint(endpoint); err != nil {
		return nil, err
	}
	s, err := t.socket(zmq.REP, endpoint)
	if err != nil {
		return nil, err
	}
	if err := s.s.Bind(endpoint); err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot bind %s: %w", endpoint, err)
	}
	return s, nil
}

func (t *Transport) socket(kind zmq.Type, endpoint string) (*Socket, error) {
	s, err := t.ctx.NewSocket(kind)
	if err != nil {
		return nil, fmt.Errorf("ZeroMQ: %w", err)
	}
	if err := errors.Join(s.SetLinger(0), s.SetMaxmsgsize(2*int64(t.limit))); err != nil {
		s.Close()
		return nil, fmt.Errorf("ZeroMQ: %w", err)
	}
	p := zmq.NewPoller()
	p.Add(s, zmq.POLLIN)
	return &Socket{Endpoint: endpoint, t: t, s: s, single: p}, nil
}

func (s *Socket) watch() error {
	at := fmt.Sprintf("inproc://monitor-%d", s.t.n.Add(1))
	if err := s.s.Monitor(at, zmq.EVENT_DISCONNECTED); err != nil {
		return err
	}
	m, err := s.t.ctx.NewSocket(zmq.PAIR)
	if err != nil {
		return err
	}
	s.monitor = m
	if err := errors.Join(m.SetLinger(0), m.Connect(at)); err != nil {
		return err
	}
	s.single.Add(m, zmq.POLLIN)
	return nil
}

// MaxIPCPath is the longest path of an ipc endpoint: what a Unix socket address holds.
const MaxIPCPath = 107

// CheckEndpoint tells early, and in words, what ZeroMQ would refuse.
func CheckEndpoint(endpoint string) error {
	scheme, rest, ok := strings.Cut(endpoint, "://")
	switch {
	case !ok || rest == "":
		return fmt.Errorf("endpoint %s: want tcp://HOST:PORT, ipc://PATH or ipc://@NAME", Quote(endpoint))
	case scheme == "ipc" && len(rest) > MaxIPCPath:
		return fmt.Errorf("endpoint %s: the path has %d bytes, at most %d", Quote(endpoint), len(rest), MaxIPCPath)
	case scheme == "tcp" && !strings.Contains(rest, ":"):
		return fmt.Errorf("endpoint %s: no port; want tcp://HOST:PORT", Quote(endpoint))
	case scheme != "tcp" && scheme != "ipc":
		return fmt.Errorf("endpoint %s: scheme %s is not supported; want tcp or ipc", Quote(endpoint), Quote(scheme))
	}
	return nil
}

func interrupted(err error) bool { return zmq.AsErrno(err) == zmq.Errno(syscall.EINTR) }
func wouldWait(err error) bool   { return zmq.AsErrno(err) == zmq.Errno(syscall.EAGAIN) }

// TrySend sends without waiting; ErrTimeout when no peer is connected.
func (s *Socket) TrySend(msg []byte) error {
	for {
		_, err := s.s.SendBytes(msg, zmq.DONTWAIT)
		switch {
		case err == nil:
			return nil
		case interrupted(err):
		case wouldWait(err):
			return fmt.Errorf("%w: no peer at %s", ErrTimeout, s.Endpoint)
		default:
			return fmt.Errorf("sending to %s: %w", s.Endpoint, err)
		}
	}
}

// Send waits up to two seconds for a peer.
func (s *Socket) Send(msg []byte) error {
	deadline := time.Now().Add(2 * time.Second)
	for {
		err := s.TrySend(msg)
		if !errors.Is(err, ErrTimeout) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TryRecv returns a message that has arrived, or ErrTimeout. The message is the caller's.
func (s *Socket) TryRecv() ([]byte, error) {
	for {
		msg, err := s.s.RecvBytes(zmq.DONTWAIT)
		switch {
		case err == nil:
			return msg, nil
		case interrupted(err):
		case wouldWait(err), zmq.AsErrno(err) == zmq.EFSM: // it is our turn to send: only an event woke us
			if s.peerGone() {
				return nil, ErrGone
			}
			return nil, ErrTimeout
		default:
			return nil, fmt.Errorf("receiving from %s: %w", s.Endpoint, err)
		}
	}
}

// peerGone reads the monitor's events.
func (s *Socket) peerGone() bool {
	for s.monitor != nil && !s.gone {
		event, _, _, err := s.monitor.RecvEvent(zmq.DONTWAIT)
		if err != nil {
			break
		}
		s.gone = event == zmq.EVENT_DISCONNECTED
	}
	return s.gone
}

// Recv implements Conn.
func (s *Socket) Recv(timeout time.Duration) ([]byte, error) {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	for {
		wait := time.Duration(-1)
		if timeout > 0 {
			// Round up: the poll counts milliseconds.
			if wait = time.Until(deadline) + time.Millisecond; wait <= time.Millisecond {
				return nil, ErrTimeout
			}
		}
		if _, err := s.single.Poll(wait); err != nil && !interrupted(err) {
			return nil, fmt.Errorf("waiting for %s: %w", s.Endpoint, err)
		}
		if msg, err := s.TryRecv(); !errors.Is(err, ErrTimeout) {
			return msg, err
		}
	}
}

// Close closes the socket at once; messages not yet sent are dropped.
func (s *Socket) Close() error {
	if s.monitor != nil {
		s.monitor.Close()
	}
	return s.s.Close()
}

// Poller waits for many sockets at once. One goroutine uses it, except for Wake.
type Poller struct {
	p       *zmq.Poller
	sockets map[*zmq.Socket]*Socket
	ready   []*Socket
	inner   *zmq.Socket
	mu      sync.Mutex // guards outer
	outer   *zmq.Socket
	woken   atomic.Bool
}

// NewPoller returns a poller for sockets of t.
func (t *Transport) NewPoller() (*Poller, error) {
	at := fmt.Sprintf("inproc://wake-%d", t.n.Add(1))
	p := &Poller{p: zmq.NewPoller(), sockets: map[*zmq.Socket]*Socket{}}
	var err error
	if p.inner, err = t.ctx.NewSocket(zmq.PAIR); err != nil {
		return nil, err
	}
	if p.outer, err = t.ctx.NewSocket(zmq.PAIR); err != nil {
		p.inner.Close()
		return nil, err
	}
	if err = errors.Join(p.inner.SetLinger(0), p.outer.SetLinger(0), p.inner.Bind(at), p.outer.Connect(at)); err != nil {
		p.Close()
		return nil, err
	}
	p.p.Add(p.inner, zmq.POLLIN)
	return p, nil
}

// Add includes s.
func (p *Poller) Add(s *Socket) {
	p.p.Add(s.s, zmq.POLLIN)
	p.sockets[s.s] = s
	if s.monitor != nil {
		p.p.Add(s.monitor, zmq.POLLIN)
		p.sockets[s.monitor] = s
	}
}

// Remove excludes s; call it before s.Close.
func (p *Poller) Remove(s *Socket) {
	// The poller's own errors only say that the socket is not in it.
	_ = p.p.RemoveBySocket(s.s)
	delete(p.sockets, s.s)
	if s.monitor != nil {
		_ = p.p.RemoveBySocket(s.monitor)
		delete(p.sockets, s.monitor)
	}
}

// Poll waits at most timeout (rounded up to milliseconds; negative: for ever) and returns the sockets
// from which TryRecv has something to say, valid until the next call. It returns early, perhaps empty,
// after Wake.
func (p *Poller) Poll(timeout time.Duration) ([]*Socket, error) {
	if timeout > 0 {
		timeout += time.Millisecond - 1
	}
	p.ready = p.ready[:0]
	polled, err := p.p.Poll(timeout)
	if err != nil {
		if interrupted(err) {
			return nil, nil
		}
		return nil, err
	}
	for _, e := range polled {
		if e.Socket == p.inner {
			for {
				if _, err := p.inner.RecvBytes(zmq.DONTWAIT); err != nil && !interrupted(err) {
					break
				}
			}
			// Only now: a Wake that found it still set is answered by this return of Poll.
			p.woken.Store(false)
			continue
		}
		s := p.sockets[e.Socket]
		if n := len(p.ready); n > 0 && p.ready[n-1] == s {
			continue // its monitor spoke too
		}
		p.ready = append(p.ready, s)
	}
	return p.ready, nil
}

// Wake makes a Poll in progress, or else the next one, return. Any goroutine may call it.
func (p *Poller) Wake() {
	if p.woken.Swap(true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outer == nil {
		return
	}
	for {
		if _, err := p.outer.SendBytes([]byte{1}, zmq.DONTWAIT); err == nil || !interrupted(err) {
			return
		}
	}
}

// Close frees the poller's own sockets, not those added to it.
func (p *Poller) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outer != nil {
		p.outer.Close()
		p.outer = nil
	}
	p.inner.Close()
}
