package ppx

import (
	"sync"
	"time"
)

// Pipe returns the two ends of a connection in memory that carries the same bytes as a socket would. Close
// of either end ends both, and may be called from any goroutine.
func Pipe() (engine, simulator Conn) {
	a, b := make(chan []byte, 1), make(chan []byte, 1)
	done := make(chan struct{})
	var once sync.Once
	stop := func() { once.Do(func() { close(done) }) }
	return &pipeEnd{out: a, in: b, done: done, stop: stop}, &pipeEnd{out: b, in: a, done: done, stop: stop}
}

type pipeEnd struct {
	out  chan<- []byte
	in   <-chan []byte
	done chan struct{}
	stop func()
	buf  []byte // the last message sent; alternation means that the peer is done with it
	t    *time.Timer
}

func (p *pipeEnd) Send(msg []byte) error {
	p.buf = append(p.buf[:0], msg...)
	select {
	case p.out <- p.buf:
		return nil
	case <-p.done:
		return ErrGone
	}
}

func (p *pipeEnd) Recv(timeout time.Duration) ([]byte, error) {
	select {
	case m := <-p.in:
		return m, nil
	default:
	}
	var expired <-chan time.Time
	if timeout > 0 {
		if p.t == nil {
			p.t = time.NewTimer(timeout)
		} else {
			p.t.Reset(timeout)
		}
		defer p.t.Stop()
		expired = p.t.C
	}
	select {
	case m := <-p.in:
		return m, nil
	case <-p.done:
		return nil, ErrGone
	case <-expired:
		return nil, ErrTimeout
	}
}

func (p *pipeEnd) Close() error {
	p.stop()
	return nil
}
