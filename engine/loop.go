package engine

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ppx-engine/ppx-engine/engine/supervise"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// phase is the state of a member.
//
//	from                        by                                           to
//	absent                      tick, at retryAt: launched or dialled        calling
//	calling                     tick: Handshake sent                         greeting
//	greeting                    its answer                                   running, or idle without work
//	greeting                    it is another engine's, or was in a run      calling
//	idle                        work has come                                running
//	idle                        tick, a lease to be renewed                  greeting
//	running                     the runs' end                                running, or idle without work
//	running                     a layer waits for a batch (ErrLater)         waiting
//	waiting                     the batch is computed                        running
//	running                     a run that nobody wants, plain PPX           draining
//	draining                    its end                                      running, or idle without work
//	running, draining           a run that nobody wants, extension: Abort    ending
//	idle, draining              we go away, extension: Abort                 leaving
//	ending                      its answer                                   running, or idle without work
//	leaving                     its answer                                   dead
//	any, launched               lost: killed                                 stopping
//	stopping, any               the end of its process                       absent
//	any, connected              lost                                         absent, the second time in a row dead
//	any                         given up, or the pool has closed             dead
type phase uint8

const (
	absent   phase = iota // to be started or connected at retryAt
	calling               // started; our Handshake has found nobody yet
	greeting              // Handshake sent
	idle
	running
	waiting  // a statement of its run is answered with the next batch
	draining // nobody wants its run, which goes on to its end
	ending   // Abort sent
	leaving  // Abort sent, which has said that this engine goes away
	stopping // killed; its end has not been reported yet
	dead     // given up
)

// makesRuns tells that the simulator is in a run.
func (p phase) makesRuns() bool { return p == running || p == waiting || p == draining }

// aborts tells that an answer to Abort is to come.
func (p phase) aborts() bool { return p == ending || p == leaving }

// member is one simulator and the run that it makes. Its loop's goroutine owns it.
type member struct {
	id       int
	endpoint string // given by the user; "" for a launched one
	phase    phase
	proc     *supervise.Process
	gen      int
	sock     *ppx.Socket
	sess     *ppx.Session
	runs

	retryAt  time.Time
	since    time.Time // start of the phase, while starting
	heard    time.Time // last message
	finished int       // runs of this process
	failures int       // in a row, for the back-off
	asked    bool      // this process has been asked for a run
	welcomed bool      // it has answered the handshake
	known    bool      // the run that was lost last is known for that
	silent   bool      // a connected one that was lost and has not finished a run since
	resets   int
	busy     error // the simulator is another engine's
	present  present
	greeted  bool // its first handshake is over, one way or the other
}

func (m *member) where() string {
	if m.endpoint != "" {
		return ppx.Quote(m.endpoint)
	}
	if m.proc != nil {
		return m.proc.Endpoint
	}
	return fmt.Sprintf("worker %d", m.id)
}

func (m *member) output() string {
	if m.proc == nil {
		return ""
	}
	return m.proc.Output()
}

// loop serves some members on one thread.
type loop struct {
	p        *Pool
	poller   *ppx.Poller
	members  []*member
	by       map[*ppx.Socket]*member
	assign   atomic.Bool // there may be work for idle members
	starting atomic.Int64
	pid      atomic.Int64 // of some launched simulator

	later        Later     // requests of the runs that wait
	waiting      []*member // for their answers
	room         []*member // room for the next ones
	waitingSince time.Time // the first of them

	mu    sync.Mutex
	inbox []func()
}

func newLoop(p *Pool) (*loop, error) {
	poller, err := p.t.NewPoller()
	if err != nil {
		return nil, err
	}
	return &loop{p: p, poller: poller, by: map[*ppx.Socket]*member{}}, nil
}

// post runs f on the loop's goroutine.
func (l *loop) post(f func()) {
	l.mu.Lock()
	l.inbox = append(l.inbox, f)
	l.mu.Unlock()
	l.poller.Wake()
}

func (l *loop) adopt(m *member) {
	l.members = append(l.members, m)
	l.starting.Add(1)
	l.start(m, time.Now())
}

const (
	tickEvery = 20 * time.Millisecond
	// callEvery is how often a simulator that is starting is called.
	callEvery = 2 * time.Millisecond
	// closeGrace is how long Close waits for connected simulators to finish their runs.
	closeGrace = 2 * time.Second
)

func (l *loop) run() {
	runtime.LockOSThread() // a blocked poll blocks a thread: keep one for it
	defer l.poller.Close()
	var lastTick, closing time.Time
	for {
		wait := tickEvery
		if l.calling() {
			wait = callEvery
		}
		if len(l.waiting) > 0 {
			wait = 0
		}
		ready, err := l.poller.Poll(wait)
		if err != nil {
			l.p.fail(fmt.Errorf("polling: %w", err))
			ready = nil
			time.Sleep(tickEvery) // do not spin
		}
		for _, s := range ready {
			if m := l.by[s]; m != nil { // it may have been closed in this sweep
				l.receive(m)
			}
		}
		l.flush(len(ready) == 0)
		l.mu.Lock()
		inbox := l.inbox
		l.inbox = nil
		l.mu.Unlock()
		for _, f := range inbox {
			f()
		}
		if l.p.closing.Load() {
			if closing.IsZero() {
				closing = time.Now()
			}
			if l.shutDown(time.Since(closing) > closeGrace) {
				return
			}
		} else if l.assign.Swap(false) {
			for _, m := range l.members {
				if m.phase == idle {
					l.next(m)
				}
			}
		}
		if now := time.Now(); now.Sub(lastTick) >= tickEvery || (wait == callEvery && now.Sub(lastTick) >= wait) {
			lastTick = now
			for _, m := range l.members {
				l.tick(m, now)
			}
		}
	}
}

func (l *loop) calling() bool {
	for _, m := range l.members {
		if m.phase == calling {
			return true
		}
	}
	return false
}

// shutDown stops the members; true when all have ended.
func (l *loop) shutDown(now bool) bool {
	all := true
	for _, m := range l.members {
		switch {
		case m.proc != nil:
			select {
			case <-m.proc.Done:
				l.hangUp(m)
				m.phase = dead
			default:
				m.proc.Stop()
				all = false
			}
		case m.phase == running && !now:
			// A run that is lost leaves the simulator in its middle: let it go to its end, or abandon it at the
			// next message.
			m.phase = draining
			all = false
		case (m.phase == waiting || m.phase == draining) && !now:
			all = false
		case (m.phase.aborts() || m.phase == greeting && m.greeted && m.sess.Extension > 0) && !now:
			all = false
		case m.phase == idle && m.sess.Extension > 0 && !now:
			l.abort(m, leaving)
			all = false
		default:
			l.hangUp(m)
			m.phase = dead
		}
	}
	return all
}

// start launches the simulator, or opens the connection to it.
func (l *loop) start(m *member, now time.Time) {
	m.gen++
	m.finished, m.resets, m.busy, m.asked, m.welcomed, m.known = 0, 0, nil, false, false, false
	endpoint := m.endpoint
	if endpoint == "" {
		proc, err := l.p.l.Launch(m.id, m.gen, func(p *supervise.Process) { l.post(func() { l.exited(m, p) }) })
		if err != nil {
			l.dropWorker(m, err)
			return
		}
		m.proc, endpoint = proc, proc.Endpoint
		l.pid.Store(int64(proc.PID()))
	}
	s, err := l.p.t.Dial(endpoint, m.endpoint != "")
	if err != nil {
		if m.proc != nil {
			m.proc.Kill()
		}
		l.dropWorker(m, fmt.Errorf("%w: %w", ErrStart, err))
		return
	}
	m.sock = s
	l.by[s] = m
	l.poller.Add(s)
	m.phase, m.since = calling, now
}

// dropWorker goes on without a member that could not be started, if there are others.
func (l *loop) dropWorker(m *member, err error) {
	if m.endpoint != "" || m.gen > 1 || l.p.Stats().Finished == 0 {
		m.phase = dead
		l.p.fail(err)
		return
	}
	l.giveUp(m, err)
}

// hangUp closes the connection.
func (l *loop) hangUp(m *member) {
	if m.sock == nil {
		return
	}
	l.poller.Remove(m.sock)
	delete(l.by, m.sock)
	m.sock.Close()
	m.sock = nil
}

// tick does what is due.
func (l *loop) tick(m *member, now time.Time) {
	o := &l.p.o
	switch m.phase {
	case absent:
		if !now.Before(m.retryAt) && !l.p.closing.Load() {
			l.start(m, now)
		}
	case calling:
		if m.busy != nil && now.Sub(m.since) > o.StartTimeout {
			l.unanswered(m)
			break
		}
		if now.Before(m.retryAt) {
			break
		}
		err := m.sock.TrySend(m.sess.Hello(o.System))
		switch {
		case err == nil:
			m.phase = greeting
		case !errors.Is(err, ppx.ErrTimeout):
			l.lose(m, err)
		case now.Sub(m.since) > o.StartTimeout:
			l.unanswered(m)
		}
	case greeting:
		if now.Sub(m.since) > o.StartTimeout {
			l.unanswered(m)
		}
	case idle:
		// So that the simulator does not take this engine for gone.
		if m.endpoint != "" && m.sess.Extension > 0 && now.Sub(m.heard) > ppx.Lease/3 && !l.p.closing.Load() {
			if err := m.sock.TrySend(m.sess.Hello(o.System)); err != nil {
				l.lose(m, fmt.Errorf("%w: %w", ppx.ErrGone, err))
				break
			}
			m.phase, m.since = greeting, now
		}
	case running, waiting, draining, ending, leaving:
		if o.Timeout > 0 && now.Sub(m.heard) > o.Timeout {
			l.lose(m, fmt.Errorf("%w: no message for %v (--timeout)", ppx.ErrTimeout, o.Timeout))
		} else if o.RunTimeout > 0 && now.Sub(m.began) > o.RunTimeout+m.late() {
			l.lose(m, fmt.Errorf("%w: the run takes longer than %v (--run-timeout)", ppx.ErrTimeout, o.RunTimeout))
		}
	}
}

// unanswered: nobody there, or nobody who speaks, within the start timeout.
func (l *loop) unanswered(m *member) {
	if m.endpoint == "" {
		l.lose(m, l.p.silent(m))
		return
	}
	if m.busy != nil {
		l.giveUp(m, fmt.Errorf("%w: %s: %w (waited %v, --start-timeout)", ErrBusy, m.where(), m.busy, l.p.o.StartTimeout))
		return
	}
	if m.greeted { // it did once
		l.lose(m, fmt.Errorf("%w: no answer to a handshake", ppx.ErrTimeout))
		return
	}
	l.giveUp(m, fmt.Errorf("%w: no simulator answers at %s (waited %v, --start-timeout)", ErrStart, m.where(), l.p.o.StartTimeout))
}

// giveUp leaves a connected simulator alone for good.
func (l *loop) giveUp(m *member, err error) {
	l.hangUp(m)
	m.phase = dead
	l.handshaken(m)
	if l.p.alive.Add(-1) == 0 {
		l.p.fail(err)
		return
	}
	l.p.o.Log(err.Error() + "; going on without it")
}

// handshaken: the first handshake of m is no longer waited for.
func (l *loop) handshaken(m *member) {
	if !m.greeted {
		m.greeted = true
		l.starting.Add(-1)
	}
}

// receive handles what has come from a member.
func (l *loop) receive(m *member) {
	msg, err := m.sock.TryRecv()
	switch {
	case errors.Is(err, ppx.ErrTimeout):
	case err != nil:
		l.lose(m, err)
	default:
		l.message(m, msg)
	}
}

func (l *loop) message(m *member, msg []byte) {
	m.heard = time.Now()
	switch m.phase {
	case greeting:
		err := m.sess.Welcome(msg)
		if errors.Is(err, ppx.ErrBusy) && m.endpoint != "" {
			if m.busy == nil {
				l.p.o.Log(fmt.Sprintf("%s: %v; waiting for it", m.where(), err))
			}
			m.busy, m.phase, m.retryAt = err, calling, m.heard.Add(250*time.Millisecond)
			return
		}
		if err == ppx.ErrReset && m.resets == 0 {
			m.resets++
			m.phase = calling
			return
		}
		if err == nil {
			m.busy, m.run.audit.trusted, m.welcomed = nil, false, true
			l.handshaken(m)
			if err = l.p.welcome(m); err != nil {
				l.p.fail(err)
				return
			}
			l.next(m)
			return
		}
		l.lose(m, err)
	case running, waiting, draining:
		l.step(m, msg)
	case ending, leaving:
		if err := m.sess.Abandoned(msg); err != nil {
			l.lose(m, err)
			return
		}
		if m.phase == leaving {
			l.hangUp(m)
			m.phase = dead
			return
		}
		l.next(m)
	default:
		l.lose(m, fmt.Errorf("%w: a message between two runs", ppx.ErrOutOfStep))
	}
}

// lose handles a member that has failed: its run is made again elsewhere, the simulator is restarted, or
// its connection opened again.
func (l *loop) lose(m *member, err error) {
	if out := m.output(); out != "" && errors.Is(err, ppx.ErrGone) {
		err = fmt.Errorf("%w; its last output:\n%s", err, out)
	}
	stray := m.phase.makesRuns() && m.sess.Stray() && (errors.Is(err, ppx.ErrMalformed) || errors.Is(err, ppx.ErrOutOfStep))
	err = l.drop(m, err, stray || errors.Is(err, ppx.ErrGone) || errors.Is(err, ppx.ErrTimeout))
	l.hangUp(m)
	if m.proc != nil {
		m.phase = stopping
		m.proc.Kill()
		l.countDeath(m, err, false)
		return
	}
	if m.silent {
		l.giveUp(m, fmt.Errorf("%w: %s was lost twice: %w", ErrStart, m.where(), err))
		return
	}
	m.silent = true
	m.phase, m.retryAt = absent, time.Now().Add(50*time.Millisecond)
	if !l.p.closing.Load() {
		l.p.o.Log(fmt.Sprintf("%s: %v; connecting again", m.where(), err))
	}
}

// countDeath counts the failure of a launched simulator.
func (l *loop) countDeath(m *member, err error, killed bool) {
	if l.p.closing.Load() {
		return
	}
	m.failures++
	// One that has finished runs, or that we ended ourselves, says nothing about the others; nor does one that had nothing to
	// do, while the disk is slow say: many such deaths in a row are somebody's kill, not a simulator that cannot work.
	if m.finished > 0 || errors.Is(err, ErrData) || m.known {
		return
	}
	if m.asked || !l.p.hasGreeted() || !m.welcomed && l.p.q.wanting() {
		l.p.died(err, killed)
	}
}

// exited handles the end of a launched simulator.
func (l *loop) exited(m *member, p *supervise.Process) {
	if m.proc != p {
		return
	}
	// What it said before it ended still counts.
	for m.phase.makesRuns() || m.phase == greeting || m.phase.aborts() {
		msg, err := m.sock.TryRecv()
		if err != nil {
			break
		}
		l.message(m, msg)
	}
	if m.proc != p {
		return
	}
	if m.phase != stopping {
		err := fmt.Errorf("%w: %s", ppx.ErrGone, p.Epitaph())
		err = l.drop(m, err, true)
		l.countDeath(m, err, p.Killed())
	}
	l.hangUp(m)
	m.proc = nil
	m.phase = absent
	m.retryAt = time.Now().Add(backOff(m.failures))
}

// backOff doubles from 50 ms to half a second; the first restart is at once.
func backOff(failures int) time.Duration {
	if failures <= 1 {
		return 0
	}
	return min(50*time.Millisecond<<min(failures-2, 10), 500*time.Millisecond)
}
