package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ppx-engine/ppx-engine/engine/supervise"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Options of a Pool. Either Command or Connect is given.
type Options struct {
	// Command launches a simulator: program and arguments, no shell. "{endpoint}" in them is replaced by the
	// copy's endpoint, which is also in the environment variable PPX_ENDPOINT, "{worker}" by its number.
	Command []string
	Connect []string // endpoints of simulators that run already

	Workers int // copies to launch; 0: as many as make it faster

	StartTimeout time.Duration // from start to handshake; 0: 30 s
	Timeout      time.Duration // silence between two messages of a run; 0: none
	RunTimeout   time.Duration // a whole run; 0: none

	RestartEvery int    // restart a copy after so many runs; 0: never
	CwdPerWorker bool   // give each copy a working folder of its own
	WorkDir      string // where these folders are made, and left; "": in a temporary folder, removed at the end

	// MaxFailed is the share of draws that may be given up before a stream ends with ErrGivenUp; 0: engine.MaxFailed.
	MaxFailed float64
	// InvalidObserve scores an Observe whose parameters are no distribution (NaN, for instance) as impossible, where its
	// value is given; else such a run fails.
	InvalidObserve bool

	System string // this engine's name and version, for the handshake
	Plain  bool   // speak plain PPX 1.0, one message per statement
	Limits ppx.Limits
	// Log takes one-line remarks: restarts and the like. It is called from several goroutines.
	Log func(string)
}

// check refuses options that cannot work.
func (o *Options) check() error {
	if (len(o.Command) == 0) == (len(o.Connect) == 0) {
		return fmt.Errorf("%w: give either a command or endpoints", ErrUsage)
	}
	for _, e := range o.Connect {
		if err := ppx.CheckEndpoint(e); err != nil {
			return fmt.Errorf("%w: %w", ErrUsage, err)
		}
	}
	return nil
}

// launch is what to start.
func (o *Options) launch() supervise.Config {
	return supervise.Config{Command: o.Command, CwdPerWorker: o.CwdPerWorker, WorkDir: o.WorkDir}
}

// HasEndpoint tells whether a launched simulator is told its endpoint in its arguments.
func (o *Options) HasEndpoint() bool { return supervise.HasEndpoint(o.Command) }

// Hint is ErrUsage for a command without {endpoint} whose simulator could not be talked to.
func (o *Options) Hint(err error) error {
	return fmt.Errorf("%w: the command has no {endpoint}, and the simulator does not seem to use $%s: %w", ErrUsage, supervise.EndpointVar, err)
}

// Errors of a Pool, besides those of package ppx.
var (
	// ErrStart says that no simulator could be started or reached.
	ErrStart = supervise.ErrStart
	// ErrUsage says that the simulator's command line is at fault.
	ErrUsage = errors.New("wrong simulator")
	// ErrBusy says that another engine is connected to the endpoint.
	ErrBusy = supervise.ErrBusy
)

// membersPerLoop is how many sockets one loop serves.
const membersPerLoop = 32

// Pool is an Executor over simulators behind endpoints, launched or running already. Each loop serves
// many of them on one thread: it takes every message that has come, lets the recorders answer, and sends
// the replies.
type Pool struct {
	q     queue
	o     Options
	token uint64
	t     *ppx.Transport
	dir   *supervise.Folder
	l     *supervise.Launcher
	lock  []*os.File // of user-given endpoints

	mu      sync.Mutex
	loops   []*loop
	members []*member
	model   string
	systems []string
	greeted chan struct{} // closed at the first handshake
	failed  chan struct{} // closed when q.fatal is set
	closing atomic.Bool
	deaths  atomic.Int64 // of simulators in a row, without a finished run between
	kills   atomic.Int64 // the same of those that were killed from outside
	batches atomic.Bool  // the simulators speak an extension that has batches of unlike runs
	alive   atomic.Int64 // members that are not given up
	done    sync.WaitGroup
	once    sync.Once
}

var _ Executor = (*Pool)(nil)

// Open launches or connects the simulators and waits until one has answered the handshake. Errors: ErrUsage, ErrStart,
// ErrBusy, ctx's.
func Open(ctx context.Context, o Options) (p *Pool, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	p = &Pool{o: o, token: rand.Uint64() | 1, greeted: make(chan struct{}), failed: make(chan struct{})}
	p.q.table = tracing.NewTable()
	p.q.wake, p.q.allowed = p.wake, o.MaxFailed
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.t, err = ppx.NewTransport(o.Limits); err != nil {
		return p, err
	}
	n := len(o.Connect)
	if n == 0 {
		if p.dir, err = supervise.NewFolder(); err != nil {
			return p, err
		}
		if p.l, err = supervise.NewLauncher(o.launch(), p.dir.Path); err != nil {
			return p, err
		}
		if n = o.Workers; n <= 0 {
			n = runtime.GOMAXPROCS(0)
		}
	} else if err := p.lockEndpoints(); err != nil {
		return p, err
	}
	if err := p.grow(n); err != nil {
		return p, err
	}
	select {
	case <-p.greeted:
	case <-p.failed:
		return p, p.q.fatal
	case <-ctx.Done():
		return p, context.Cause(ctx)
	}
	if len(o.Command) > 0 && o.Workers <= 0 {
		p.done.Go(p.scale)
	}
	return p, nil
}

// lockEndpoints locks what the user gave.
func (p *Pool) lockEndpoints() error {
	for i, e := range p.o.Connect {
		for _, before := range p.o.Connect[:i] {
			if supervise.Canonical(before) == supervise.Canonical(e) {
				return fmt.Errorf("%w: endpoint %s is given twice", ErrUsage, ppx.Quote(e))
			}
		}
		f, err := supervise.LockEndpoint(e)
		if err != nil {
			return err
		}
		p.lock = append(p.lock, f)
	}
	return nil
}

// grow adds members until there are n.
func (p *Pool) grow(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := len(p.members); id < n; id++ {
		if id%membersPerLoop == 0 {
			l, err := newLoop(p)
			if err != nil {
				return err
			}
			p.loops = append(p.loops, l)
			p.done.Go(l.run)
		}
		m := &member{id: id, sess: ppx.NewSession(p.o.Limits), runs: runs{Recorder: NewRecorder(p.q.table), q: &p.q}}
		m.InvalidObserve = p.o.InvalidObserve
		m.sess.Plain, m.sess.Token = p.o.Plain, p.token
		if len(p.o.Connect) > 0 {
			m.endpoint = p.o.Connect[id]
		}
		p.alive.Add(1)
		l := p.loops[id/membersPerLoop]
		p.members = append(p.members, m)
		m.waitTogether(&l.later)
		l.post(func() { l.adopt(m) })
	}
	return nil
}

func (p *Pool) wake() {
	p.mu.Lock()
	loops := p.loops
	p.mu.Unlock()
	for _, l := range loops {
		l.assign.Store(true)
		l.poller.Wake()
	}
}

// welcome notes who answered a handshake.
func (p *Pool) welcome(m *member) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.systems) == 0 {
		p.model = m.sess.Model
		close(p.greeted)
	}
	if m.sess.Model != p.model {
		return fmt.Errorf("%w: the simulators run different models: %s and %s at %s", ErrUsage,
			ppx.Quote(p.model), ppx.Quote(m.sess.Model), m.where())
	}
	p.batches.Store(m.sess.Extension >= 2)
	if !slices.Contains(p.systems, m.sess.System) {
		p.systems = append(p.systems, m.sess.System)
	}
	return nil
}

// Batches tells whether simulators take runs with values of their own in one message.
func (p *Pool) Batches() bool { return p.batches.Load() }

// Model is the simulator's name for itself.
func (p *Pool) Model() string { return p.model }

// Systems are the client libraries that answered, without repetitions.
func (p *Pool) Systems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.systems)
}

// Execute implements Executor.
func (p *Pool) Execute(ctx context.Context, t Task) (*tracing.Trace, error) {
	return p.q.execute(ctx, t)
}

// Stream implements Executor.
func (p *Pool) Stream(ctx context.Context, next Source, early func(*tracing.Trace)) iter.Seq2[*tracing.Trace, error] {
	return p.q.stream(ctx, next, early, true)
}

// Retry is Stream without an end when many draws are given up: for those that were given up before.
func (p *Pool) Retry(ctx context.Context, next Source) iter.Seq2[*tracing.Trace, error] {
	return p.q.stream(ctx, next, nil, false)
}

// Unfinished is a run that has begun and not ended, or has been lost and is to be made again.
type Unfinished struct {
	Draw    Draw
	Last    uint64        // it may be any of the draws up to this one: a simulator that makes several by itself does not tell at once
	Running time.Duration // the longest try
}

// Unfinished lists the runs that are being made, the longest first.
func (p *Pool) Unfinished() (out []Unfinished) {
	p.mu.Lock()
	members := slices.Clone(p.members)
	p.mu.Unlock()
	for _, m := range members {
		m.present.mu.Lock()
		if x := &m.present; !x.began.IsZero() {
			out = append(out, Unfinished{x.draw, x.last, time.Since(x.began)})
		}
		m.present.mu.Unlock()
	}
	out = append(out, p.q.unfinished()...) // some of them once more
	slices.SortFunc(out, func(a, b Unfinished) int { return cmp.Compare(b.Running, a.Running) })
	return out
}

// Table implements Executor.
func (p *Pool) Table() *tracing.Table { return p.q.table }

// Stats implements Executor.
func (p *Pool) Stats() Stats { return p.q.stats(int(p.alive.Load())) }

// fail ends the pool's usefulness.
func (p *Pool) fail(err error) {
	p.q.fail(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.failed:
	default:
		close(p.failed)
	}
}

const (
	// Simulators that end so often in a row, without one run between, are no use.
	maxDeaths = 10
	// Before a handshake they have never been of any.
	maxStartDeaths = 3
	// Kills from outside (the system's for want of memory, too) say less than an end of their own.
	maxKills = 100
)

// died counts the unplanned end of a simulator, and ends everything when they do nothing but die.
func (p *Pool) died(err error, killed bool) {
	count, limit := &p.deaths, int64(maxDeaths)
	if !p.hasGreeted() {
		limit = maxStartDeaths
		if err = WithoutClient(err); !p.o.HasEndpoint() {
			err = p.o.Hint(err)
		}
	}
	if killed {
		count, limit = &p.kills, maxKills
	}
	if n := count.Add(1); n >= limit {
		p.fail(fmt.Errorf("%w: it was started %d times in a row without finishing one run: %w", ErrStart, n, err))
	}
}

// hasGreeted tells whether any simulator has ever answered a handshake.
func (p *Pool) hasGreeted() bool {
	select {
	case <-p.greeted:
		return true
	default:
		return false
	}
}

// silent handles a launched simulator that does not answer the handshake.
func (p *Pool) silent(m *member) error {
	err := fmt.Errorf("%w: the simulator did not answer at %s within %v (--start-timeout)", ppx.ErrTimeout, m.where(), p.o.StartTimeout)
	if out := m.output(); out != "" {
		err = fmt.Errorf("%w; its last output:\n%s", err, out)
	}
	if p.hasGreeted() {
		return err
	}
	if err = WithoutClient(err); !p.o.HasEndpoint() {
		err = p.o.Hint(err)
	} else {
		err = fmt.Errorf("%w: %w", ErrStart, err)
	}
	p.fail(err)
	return err
}

// WithoutClient adds what is likely where a program ends well or says nothing: that it knows nothing of us.
func WithoutClient(err error) error {
	const hint = "is it a simulator of ours? Its main function calls ppx::main, ppxsim.main or gosim.Main (docs/writing-a-simulator.md)"
	switch {
	case errors.Is(err, ppx.ErrTimeout):
		return fmt.Errorf("%w\n%s; one that loads much before needs a longer --start-timeout", err, hint)
	case supervise.ExitedWell(err):
		return fmt.Errorf("%w\n%s", err, hint)
	}
	return err
}

// Close stops launched simulators, leaves connected ones between two runs where they allow it, and frees
// everything. Further calls do nothing.
func (p *Pool) Close() error {
	err := error(nil)
	p.once.Do(func() { err = p.shutDown() })
	return err
}

func (p *Pool) shutDown() error {
	p.closing.Store(true)
	p.fail(errClosed)
	p.wake()
	p.done.Wait()
	if p.l != nil {
		p.l.Close()
	}
	for _, f := range p.lock {
		f.Close()
	}
	var errs []error
	if p.t != nil {
		errs = append(errs, p.t.Close())
	}
	if p.dir != nil {
		errs = append(errs, p.dir.Close())
	}
	return errors.Join(errs...)
}
