package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// runs is what a member has been asked for: one run, or several that it makes by itself one after the
// other (delegated runs).
type runs struct {
	*Recorder // of the present run
	q         *queue
	todo      []task
	at        int       // the present one
	began     time.Time // the present one
	askedAt   time.Time // all of them
	plan      Plan
	draws     []uint64
	streams   []uint64
	own       []*ppx.Reuse
	batch     int     // how many to ask for next time
	spent     float64 // seconds that the simulator has spent in those that have ended
	each      float64 // and on average in those that were asked for before
}

type task struct {
	job   *job
	stack Stack
}

var _ ppx.Runs = (*member)(nil)

const (
	// Delegated runs are asked for in batches that take about so long: the simulators' messages then cost
	// little, and no worker keeps many runs to itself.
	shortBatch = 10 * time.Millisecond
	longBatch  = 40 * time.Millisecond
	maxBatch   = 1024
	// Of streams that come to their end soon everybody is to have a part, unless that takes a simulator less than so many seconds: about what a message costs.
	worthMessage = 250e-6
	// A simulator says what it has done so far after a second, so that its silence means the same as
	// in plain PPX, and in pieces of this size.
	flushEvery = time.Second
	flushBytes = 256 << 10
	// smallBatch: of so few runs each is made again by itself when their simulator was lost.
	smallBatch = 16
)

// Finish implements ppx.Runs: the present run has come to its end.
func (m *member) Finish(result ppx.Tensor, seconds float64) error {
	m.q.statements.Add(uint64(m.Statements()))
	m.q.finish(m.todo[m.at].job, m.End(result, seconds))
	m.spent += seconds
	m.finished++
	m.failures, m.silent = 0, false
	m.at++
	m.began = time.Now()
	m.begin()
	m.present.set(m.todo[m.at:], m.began)
	return nil
}

// present is the run that a member makes, for others to look at.
type present struct {
	mu    sync.Mutex
	draw  Draw
	last  uint64    // draw of those that it makes together with this one
	began time.Time // zero: none
}

// set notes the first of some runs, or none.
func (p *present) set(todo []task, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(todo) == 0 {
		p.began = time.Time{}
		return
	}
	p.draw, p.last, p.began = todo[0].job.Draw, todo[len(todo)-1].job.Draw.Index, began
}

// lose notes elsewhere how long the run has lasted, in one step with its end here: who looks sees it in one of the two places, and never shorter than before.
func (p *present) lose(note func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note()
	p.began = time.Time{}
}

// late is by how much the end of the run before may have been reported late.
func (m *member) late() time.Duration {
	if m.at == 0 {
		return 0
	}
	return m.plan.Flush
}

// begin makes the recorder ready for the present run.
func (m *member) begin() {
	if m.at < len(m.todo) {
		m.Begin(m.todo[m.at].job.Draw, m.todo[m.at].stack)
		m.alone = m.plan.Mode == ppx.Delegate
	}
}

// step takes a message of the runs.
func (l *loop) step(m *member, msg []byte) {
	l.advance(m, func(h ppx.Runs) ([]byte, bool, error) { return m.sess.Step(msg, h) })
}

// advance lets the runs' recorder answer, by f, what the simulator waits for.
func (l *loop) advance(m *member, f func(h ppx.Runs) (reply []byte, done bool, err error)) {
	if m.phase == draining {
		l.drain(m, f)
		return
	}
	before := m.finished
	reply, done, err := f(m)
	if m.finished > before {
		l.p.deaths.Store(0)
		l.p.kills.Store(0)
	}
	if err == ErrLater {
		if len(l.waiting) == 0 {
			l.waitingSince = m.heard
		}
		m.phase = waiting
		l.waiting = append(l.waiting, m)
		return
	}
	m.phase = running
	switch {
	case err == nil:
		l.reply(m, reply, done)
	case l.abandonRun(m, err):
	case m.phase == draining:
		l.drain(m, f)
	default:
		l.lose(m, err)
	}
}

// drain answers, by f, for a run that nobody wants: it is only to reach its end.
func (l *loop) drain(m *member, f func(h ppx.Runs) (reply []byte, done bool, err error)) {
	if m.sess.Extension > 0 { // nobody has to wait for its end
		l.abort(m, leaving)
		return
	}
	reply, done, err := f(discard{})
	if errors.Is(err, ppx.ErrInvalid) {
		reply, err = m.sess.Excuse(), nil // too little of it to answer properly
	}
	if err != nil {
		l.lose(m, err)
		return
	}
	l.reply(m, reply, done)
}

// reply sends an answer, or goes on after the last run.
func (l *loop) reply(m *member, reply []byte, done bool) {
	if done {
		l.done(m)
		return
	}
	if err := m.sock.TrySend(reply); err != nil {
		l.lose(m, fmt.Errorf("%w: %w", ppx.ErrGone, err))
	}
}

// waitFor is how long a run waits for others, so that more of them are computed together, when nothing comes; waitAtMost
// when other runs keep this thread busy.
const (
	waitFor    = 50 * time.Microsecond
	waitAtMost = 2 * time.Millisecond
)

// flush has the requests of waiting runs answered, when enough of them have come or the first has waited long enough.
func (l *loop) flush(nothingCame bool) {
	if len(l.waiting) == 0 {
		return
	}
	busy := 0
	for _, m := range l.members {
		if m.phase.makesRuns() && m.plan.Mode != ppx.Delegate {
			busy++
		}
	}
	if waited := time.Since(l.waitingSince); 2*len(l.waiting) < busy && waited < waitAtMost && !(nothingCame && waited > waitFor) {
		return
	}
	start := time.Now()
	err := l.later.flush()
	// The time that we take is not the simulators' silence.
	if took := time.Since(start); took > time.Millisecond {
		for _, m := range l.members {
			m.heard = m.heard.Add(took)
		}
	}
	served := l.waiting
	l.waiting = l.room[:0]
	for _, m := range served {
		if m.phase != waiting { // it was lost meanwhile
			continue
		}
		m.heard = time.Now()
		l.advance(m, func(h ppx.Runs) ([]byte, bool, error) {
			if _, drained := h.(discard); err != nil && !drained { // there is no answer
				return nil, false, err
			}
			reply, err := m.sess.Again(h)
			return reply, false, err
		})
	}
	l.room = served[:0]
}

// abandonRun handles a run that has failed, or of which enough was seen, while its simulator is well. False: that must be given up,
// or the run is to go on to its end in vain (draining).
func (l *loop) abandonRun(m *member, err error) bool {
	switch {
	case errors.Is(err, ErrStop):
		m.q.statements.Add(uint64(m.Statements()))
		m.q.finish(m.todo[m.at].job, m.Partial())
		m.at++
		l.giveBack(m)
		m.present.set(nil, time.Time{})
		if m.sess.Extension > 0 {
			l.abort(m, ending)
			return true
		}
		m.phase = draining // plain PPX has no message for it
		return false
	case errors.Is(err, ppx.ErrMalformed), errors.Is(err, ppx.ErrOutOfStep), errors.Is(err, ppx.ErrBusy):
		return false
	case errors.Is(err, ppx.ErrFailed):
		if m.enough && m.at < len(m.todo) { // of a run that was over before
			m.q.statements.Add(uint64(m.Statements()))
			m.q.finish(m.todo[m.at].job, m.Partial())
			m.at++
			l.giveBack(m)
			m.present.set(nil, time.Time{})
		} else {
			l.drop(m, err, false)
		}
		l.next(m)
		return true
	case m.sess.Extension > 0:
		l.drop(m, err, false)
		l.abort(m, ending)
		return true
	case m.endpoint != "":
		l.drop(m, err, false)
		m.phase = draining
	}
	return false
}

// abort ends the runs of a simulator that speaks the extension; leaving also the session.
func (l *loop) abort(m *member, to phase) {
	if err := m.sock.TrySend(m.sess.Abandon(to == leaving)); err != nil {
		l.lose(m, fmt.Errorf("%w: %w", ppx.ErrGone, err))
		return
	}
	m.phase = to
}

// done: all runs that were asked for have come to their end.
func (l *loop) done(m *member) {
	if m.phase == draining { // closing
		m.finished++
		l.giveBack(m)
	}
	m.each = m.spent / float64(max(1, len(m.todo)))
	if n := len(m.todo); n >= m.batch {
		switch took := time.Since(m.askedAt); {
		case took < shortBatch:
			m.batch = min(2*n, maxBatch)
		case took > longBatch:
			m.batch = max(n/2, 1)
		}
	}
	m.todo = m.todo[:0]
	if k := l.p.o.RestartEvery; k > 0 && m.finished >= k && m.proc != nil {
		m.phase = stopping
		l.hangUp(m)
		m.proc.Stop()
		return
	}
	l.next(m)
}

// giveBack returns the runs that have not ended to the queue.
func (l *loop) giveBack(m *member) {
	for _, t := range m.todo[min(m.at, len(m.todo)):] {
		l.p.q.giveBack(t.job)
	}
	m.todo = m.todo[:0]
}

// next gives a member the next run, or the next few, if there are any.
func (l *loop) next(m *member) {
	m.phase = idle
	if l.p.closing.Load() || !l.gather(m) {
		return
	}
	m.at = 0
	m.begin()
	if err := m.sock.TrySend(m.sess.Begin(&m.plan.Plan)); err != nil {
		l.giveBack(m)
		l.lose(m, fmt.Errorf("%w: %w", ppx.ErrGone, err))
		return
	}
	m.phase, m.asked = running, true
	m.askedAt, m.spent = time.Now(), 0
	m.began, m.heard = m.askedAt, m.askedAt
	m.present.set(m.todo, m.began)
}

// gather takes work for a member from the queue. This is where it is decided whether the simulator makes
// runs by itself.
func (l *loop) gather(m *member) bool {
	m.todo = m.todo[:0]
	j := l.p.q.take()
	if j == nil {
		return false
	}
	stack := j.layers()
	m.todo = append(m.todo, task{j, stack})
	ok, room := false, l.p.o.Limits.MaxMessage()/2
	if m.sess.Extension > 0 {
		m.plan, ok = plan(j.Draw, stack)
		// What does not fit into a message is told value by value.
		ok = ok && m.plan.bytes() < room
	}
	m.plan.FlushBytes = flushBytes
	m.plan.Flush = flushEvery
	for _, d := range []time.Duration{l.p.o.Timeout, l.p.o.RunTimeout} {
		if d > 0 {
			m.plan.Flush = min(m.plan.Flush, max(d/4, time.Millisecond))
		}
	}
	if !ok {
		if m.plan.Mode = ppx.Forward; j.careful {
			m.plan.Mode = ppx.Ask
		}
		m.draws = append(m.draws[:0], j.Draw.Index) // for what is the simulator's own
		m.plan.Draws, m.plan.Own, m.plan.Streams = m.draws, nil, nil
		if m.plan.bytes() >= room {
			m.plan.Data = nil
		}
		return true
	}
	if j.careful {
		m.plan.Flush = 0
	}
	most := min(max(m.batch, 1), l.share(m, j))
	m.draws, m.streams, m.own = append(m.draws[:0], j.Draw.Index), append(m.streams[:0], m.plan.Stream), append(m.own[:0], m.plan.Reuse)
	apart := false // they have streams or values of their own
	room -= m.plan.bytes()
	if k := l.p.o.RestartEvery; k > 0 {
		most = min(most, max(k-m.finished, 1))
	}
	for !j.careful {
		if j.most > 0 {
			most = min(most, j.most)
		}
		if len(m.todo) >= most {
			break
		}
		if j = l.p.q.takeFrom(j.src); j == nil {
			break
		}
		stack := j.layers()
		p, ok := plan(j.Draw, stack)
		room -= p.Reuse.Bytes()
		if !ok || j.careful || (j.most > 0 && j.most <= len(m.todo)) || !p.alike(&m.plan, m.sess.Extension >= 2) || room < 0 {
			l.p.q.giveBack(j)
			break
		}
		m.todo = append(m.todo, task{j, stack})
		apart = apart || !p.alike(&m.plan, false)
		m.draws, m.streams, m.own = append(m.draws, j.Draw.Index), append(m.streams, p.Stream), append(m.own, p.Reuse)
	}
	m.plan.Draws = m.draws
	if apart {
		m.plan.Streams, m.plan.Own = m.streams, m.own
	}
	return true
}

// share is how many runs a simulator takes of a stream that says how many are left: so many that all have something to do till
// the end, but no fewer than are worth a message.
func (l *loop) share(m *member, j *job) int {
	left := j.Left + 1
	if left <= 1 { // it does not say
		return maxBatch
	}
	workers := max(1, int(l.p.alive.Load()))
	n := left / (2 * workers)
	if m.each > 0 {
		n = max(n, int(worthMessage/m.each))
	}
	return max(1, n)
}

// drop gives the member's runs back: the present one as lost, or the job ends when the data are at fault.
// With gone the simulator itself was lost; in the middle of several runs it may have been at any of them. It
// returns the error with the draw's number.
func (l *loop) drop(m *member, err error, gone bool) error {
	defer m.present.set(nil, time.Time{})
	l.waiting = slices.DeleteFunc(l.waiting, func(x *member) bool { return x == m })
	if m.at >= len(m.todo) || m.phase == draining {
		m.todo = m.todo[:0]
		return err
	}
	todo := m.todo[m.at:]
	j := todo[0].job
	m.present.lose(func() { l.p.q.lostAfter(j, time.Since(m.began)) })
	blame := true
	if gone && m.plan.Mode == ppx.Delegate && !j.careful {
		blame = false
		n := len(todo)
		for _, t := range todo {
			if n <= smallBatch || errors.Is(err, ppx.ErrTimeout) {
				t.job.careful = true
			} else {
				t.job.most = n / 4
			}
		}
		m.batch = max(len(m.todo)/4, 1)
	}
	m.todo = todo[1:]
	m.at = 0
	l.giveBack(m)
	if errors.Is(err, ErrSteer) {
		l.p.q.giveBack(j)
		return err
	}
	err = &lostRun{j.Draw, m.where(), err}
	if errors.Is(err, ErrData) {
		l.p.q.abort(j, err)
		return err
	}
	// A draw that is fatal is made many times before it is given up: if others get through, only its first death speaks against
	// the simulator; one that is known to fail, and tried again, none.
	many := l.p.q.allowed > MaxFailed // the user knows that runs fail
	m.known = l.p.q.works() && (j.tries > 0 || many) || l.p.q.allowed >= 1 || !j.src.limit
	l.p.q.lose(j, err, m.Statements(), blame)
	return err
}

// lostRun is the error of a run, with where it was made: for those who watch, not for the record, which must not depend on it.
type lostRun struct {
	draw  Draw
	where string
	err   error
}

func (l *lostRun) Error() string { return fmt.Sprintf("%s at %s: %v", l.draw, l.where, l.err) }
func (l *lostRun) Unwrap() error { return l.err }

// discard answers the statements of a run that nobody wants any more, and that plain PPX cannot abandon.
type discard struct{}

// Sample answers with a draw from the prior, or zeros where there is none.
func (discard) Sample(s *ppx.Statement) (ppx.Tensor, error) {
	shape, err := s.Dist.Shape(nil)
	if err != nil {
		shape = s.Dist.Params[0].Shape
	}
	n, err := dist.Elements(shape)
	if err != nil {
		shape, n = nil, 1
	}
	v := ppx.Tensor{Data: make([]float64, n), Shape: shape}
	if s.Dist.Check() == nil {
		stream := dist.NewStream(uint64(time.Now().UnixNano()), 0, 0, 0, dist.PurposeValue)
		_ = s.Dist.Sample(&stream, v.Data)
	}
	return v, nil
}

// Observe implements ppx.Handler.
func (discard) Observe(*ppx.Statement) error { return nil }

// Tag implements ppx.Handler.
func (discard) Tag(*ppx.Statement) error { return nil }

// Finish implements ppx.Runs.
func (discard) Finish(ppx.Tensor, float64) error { return nil }
