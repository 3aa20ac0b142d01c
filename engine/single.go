package engine

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ppx-engine/ppx-engine/engine/supervise"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Single is one simulator as a bare connection, for those who speak the protocol themselves.
type Single struct {
	*ppx.Socket
	t    *ppx.Transport
	l    *supervise.Launcher
	dir  *supervise.Folder
	proc *supervise.Process
	lock *os.File
}

// OpenSingle launches or connects one simulator; nothing has been said to it.
func OpenSingle(o Options) (s *Single, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if len(o.Connect) > 1 {
		return nil, fmt.Errorf("%w: %d endpoints where one is wanted", ErrUsage, len(o.Connect))
	}
	s = &Single{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.t, err = ppx.NewTransport(o.Limits); err != nil {
		return s, err
	}
	var endpoint string
	if len(o.Connect) == 1 {
		endpoint = o.Connect[0]
		if s.lock, err = supervise.LockEndpoint(endpoint); err != nil {
			return s, err
		}
	} else {
		if s.dir, err = supervise.NewFolder(); err != nil {
			return s, err
		}
		if s.l, err = supervise.NewLauncher(o.launch(), s.dir.Path); err != nil {
			return s, err
		}
		if s.proc, err = s.l.Launch(0, 1, func(*supervise.Process) {}); err != nil {
			return s, err
		}
		endpoint = s.proc.Endpoint
	}
	s.Socket, err = s.t.Dial(endpoint, true)
	return s, err
}

// Send waits up to a time for the simulator to be there.
func (s *Single) SendWithin(msg []byte, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		err := s.TrySend(msg)
		if !errors.Is(err, ppx.ErrTimeout) || time.Now().After(deadline) || s.ended() {
			return s.explain(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (s *Single) ended() bool { return s.proc != nil && s.proc.Ended() }

// explain adds what is known about a launched simulator that has ended.
func (s *Single) explain(err error) error {
	if err == nil || s.proc == nil {
		return err
	}
	if errors.Is(err, ppx.ErrGone) { // it may be about to end
		select {
		case <-s.proc.Done:
		case <-time.After(200 * time.Millisecond):
		}
	}
	if s.ended() {
		return fmt.Errorf("%w: %s", ppx.ErrGone, s.proc.Epitaph())
	}
	return err
}

// Recv implements ppx.Conn.
func (s *Single) Recv(timeout time.Duration) ([]byte, error) {
	msg, err := s.Socket.Recv(timeout)
	return msg, s.explain(err)
}

// Close ends a launched simulator.
func (s *Single) Close() error {
	var errs []error
	if s.Socket != nil {
		errs = append(errs, s.Socket.Close())
	}
	if s.proc != nil {
		s.proc.Stop()
		<-s.proc.Done
	}
	if s.l != nil {
		s.l.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
	if s.t != nil {
		errs = append(errs, s.t.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	return errors.Join(errs...)
}
