package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/rejection"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/training"
)

// Options are what of a job is no part of it: who watches, and how to go on with one.
type Options struct {
	Version string // of the program, for the record
	System  string // as simulators are told

	// Resume goes on with the job in Spec.Out, with its settings; N is then a new number of draws, 0 the old one. Force goes on though the
	// simulator does not do what it did, RetryFailed makes draws again that were given up.
	Resume, Force, RetryFailed bool
	Full                       bool // list the elements of tensors of any size

	Remark   func(string)                                         // takes what a user should hear at once
	Begun    func(model string, s *Spec)                          // a simulator is there, and the directory
	Progress func(p importance.Progress, s engine.Stats)          // now and then
	Held     func(done, n int)                                    // of a training: traces that are to be held out
	Trained  func(p training.Progress, lost uint64)               // of a training, now and then; lost is a number of runs
	Sets     func(done, n int, perSecond float64, s engine.Stats) // of many data sets: after each; the rate is that of traces
	Set      func(s *EachSet)                                     // of many data sets: what each came to, as they come
	Every    time.Duration

	shared *shared // with other jobs; nil: it stands alone
	asked  *Spec   // job that this one is a part of, which is what is recorded; nil: itself
}

// shared is what jobs of one simulator have together.
type shared struct {
	pool    *engine.Pool
	network func() (*ic.Network[float32], *ic.Extra, error)
}

// Outcome is what a job came to.
type Outcome struct {
	Dir      string // folder
	Spec     *Spec  // nil: of a recorded run (Read)
	Manifest *rundir.Manifest
	Summary  *posterior.Summary
	Names    *control.Names
	Unseen   *Unseen
	Scored   *Scored  // of a recorded run
	Remarks  []string // besides those of the others
	Stopped  string   // why it ended before N, "" if it did not
	State    string   // as in the manifest
	Done     uint64   // draws, or traces of a training
	// What other jobs came to, which have no Manifest, Summary, Names and Unseen.
	Trained    *Trained
	Calibrated *Calibrated
	Each       *Each
}

// ErrInterrupted is the cause of a context whose end is no failure: the job is to be kept, and can go on.
var ErrInterrupted = errors.New("interrupted")

// ErrTime is that of a job whose time (--max-time) was over before it had anything to show: it can go on, with more.
var ErrTime = fmt.Errorf("%w by --max-time", ErrInterrupted)

// run is a job in its course.
type run struct {
	spec     *Spec
	o        Options
	method   *Method
	cfg      importance.Config
	pool     *engine.Pool
	proposer *ic.Proposer // of a network
	network  rundir.NetworkFile
	manifest *rundir.Manifest
	w        *rundir.Writer
	sum      *posterior.Summary
	names    *control.Names
	unseen   Unseen
	factors  bool    // some trace has one, of the prior
	parent   *parent // run that data are predicted from

	draws  func(context.Context, tracing.Writer) (importance.Outcome, error) // makes them
	last   map[uint32]*tracing.Trace                                         // of each chain that goes on
	taught *uint64                                                           // seed of those that have taught the particles' ladder
	accept acceptance                                                        // of the steps of chains
	done   func() error                                                      // once all is on disk
}

// Run makes a job, or goes on with one, in the folder Spec.Out. Settings that are not given are filled in: what comes back in
// the Outcome is what was done. With an error the outcome is nil, unless the job was interrupted and has something to show. Errors: Misuse
// for what was asked for; engine's, rundir's and control.ErrName for how it went; ErrInterrupted.
func Run(ctx context.Context, spec *Spec, o Options) (*Outcome, error) {
	if o.Remark == nil {
		o.Remark = func(string) {}
	}
	if o.Resume {
		if err := continues(spec); err != nil {
			return nil, err
		}
	}
	if err := spec.Check(); err != nil {
		return nil, err
	}
	m, err := spec.method()
	if err != nil {
		return nil, err
	}
	switch {
	case spec.Verb == Calibrate:
		return calibrated(ctx, m, spec, o)
	case spec.Sampling != nil && spec.Each != nil:
		return each(ctx, m, spec, o)
	}
	return m.run(ctx, m, spec, o)
}

// sampling is a job that draws traces.
func sampling(ctx context.Context, m *Method, spec *Spec, o Options) (*Outcome, error) {
	r := &run{spec: spec, o: o, method: m, sum: posterior.NewSummary()}
	r.draws = func(ctx context.Context, sink tracing.Writer) (importance.Outcome, error) {
		r.cfg.Early = r.w.Early
		x, err := r.executor()
		if err != nil {
			return importance.Outcome{}, err
		}
		return importance.Run(ctx, x, &r.cfg, r.names, r.sum, sink)
	}
	return r.do(ctx)
}

// executor makes the runs: the pool, or, with a network that knows the accepted passes of rejection loops alone, one that weighs its traces so.
func (r *run) executor() (engine.Executor, error) {
	if r.proposer == nil || !r.proposer.Loops() {
		return r.pool, nil
	}
	if r.o.RetryFailed {
		return nil, misuse("--retry-failed goes without a network that was trained with --rejection")
	}
	c := rejection.Config{Passes: cmp.Or(r.spec.RejectionPasses, 10), Loops: cmp.Or(r.spec.RejectionLoops, 10), Condition: control.NewCondition(r.cfg.Data, r.cfg.Condition),
		Guide: r.proposer.ForRun, Remark: r.o.Remark}
	x := rejection.New(r.pool, c)
	r.cfg.Layers = x.Stack
	r.o.Remark(fmt.Sprintf("rejection loops count with their accepted passes: %d runs for each loop of a trace", c.Passes+c.Loops))
	return x, nil
}

// do is the job, whatever makes its draws.
func (r *run) do(ctx context.Context) (*Outcome, error) {
	spec, o := r.spec, r.o
	r.sum.Full = o.Full
	if err := r.folder(); err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if o.shared != nil {
		r.pool = o.shared.pool
	} else {
		var err error
		if r.pool, err = spec.open(ctx, o); err != nil {
			return nil, err
		}
		defer r.pool.Close()
	}
	mixed, err := r.fits(ctx)
	if err != nil {
		return nil, err
	}
	r.names = control.NewNames(r.cfg.Data, r.cfg.Condition, o.Remark)
	if err := r.directory(ctx); err != nil {
		return nil, err
	}
	if mixed && r.cfg.From < r.cfg.First+r.cfg.N {
		r.w.Update(func(m *rundir.Manifest) { m.Mixed = append(m.Mixed, r.cfg.From) })
	}
	if o.Begun != nil {
		o.Begun(r.pool.Model(), spec)
	}
	return r.sample(ctx)
}

// open starts or reaches the simulators.
func (s *Spec) open(ctx context.Context, o Options) (*engine.Pool, error) {
	options := s.Simulator.Options()
	options.System, options.Log = o.System, o.Remark
	options.WorkDir, options.InvalidObserve = s.Out+".workers", s.InvalidObserve == Zero
	return engine.Open(ctx, options)
}

// folder looks at the run directory: a free one, or that of the run that goes on.
func (r *run) folder() (err error) {
	s := r.spec
	if r.o.Resume {
		if r.manifest, err = rundir.ReadManifest(s.Out); err != nil {
			return err
		}
		if done := r.manifest.Counts.Traces + r.manifest.Counts.Failed; s.SMC.draws(s.N) < done {
			return misuse("-n %d is less than the %d draws that %s has", s.N, done, s.Out)
		}
		return nil
	}
	if s.Out == "" {
		s.Out = FreshDirectory(s.Verb)
	}
	if info, err := os.Stat(s.Out); err == nil && !info.IsDir() {
		return misuse("--out %s is a file", ppx.Quote(s.Out))
	}
	if err := rundir.Free(s.Out); errors.Is(err, rundir.ErrExists) {
		return misuse("%w; give another --out, or --resume to continue it", err)
	} else if err != nil {
		return err
	}
	return nil
}

// prepare makes the sampler's settings.
func (r *run) prepare() (err error) {
	s := r.spec
	r.cfg = importance.Config{Seed: s.Seed, First: s.First, From: s.First, N: s.SMC.draws(s.N), Data: s.values(), Condition: r.method.Conditioned || s.KeepValues,
		Inflation: s.Inflation, LikelihoodImportance: s.LikelihoodImportance, TargetESS: s.TargetESS, MaxTime: time.Duration(s.MaxTime), Every: r.o.Every}
	switch s.Verb {
	case Prior:
		r.cfg.Kind = dist.StreamPrior
	case Predict:
		r.cfg.Kind, r.cfg.Equal = dist.StreamPrediction, true
	}
	if err := r.cfg.Validate(); err != nil {
		return Misuse{err}
	}
	if r.method.guide != nil {
		r.cfg.Guide, err = r.method.guide(r)
	}
	return err
}

// fits tells whether the simulator is the one of the network and of the run that goes on; another one only if that is forced.
func (r *run) fits(ctx context.Context) (mixed bool, err error) {
	if r.proposer != nil {
		if err := r.proposer.Check(r.pool.Model()); err != nil {
			return false, Misuse{err}
		}
	}
	if r.parent != nil {
		if err := r.sameAsParent(ctx); err != nil {
			return false, err
		}
	}
	if !r.o.Resume {
		return false, nil
	}
	if model := r.pool.Model(); model != r.manifest.Model {
		return false, misuse("%s was made with the model %s; this simulator is %s", r.spec.Out, ppx.Quote(r.manifest.Model), ppx.Quote(model))
	}
	return r.anotherSimulator(ctx)
}

// take looks at a trace that was recorded before.
func (r *run) take(ctx context.Context, t *tracing.Trace) error {
	if r.last != nil {
		r.last[t.Chain] = t
	}
	return errors.Join(r.sum.Write(ctx, t), r.watch(ctx, t), r.names.Add(t))
}

// watch looks at traces as they come.
func (r *run) watch(ctx context.Context, t *tracing.Trace) error {
	if !r.cfg.Condition && !r.factors {
		if f := t.Factor(); f != "" {
			r.factors = true
			r.o.Remark(fmt.Sprintf("warning: these draws are without factors: %s weighs runs under ppx infer only", f))
		}
	}
	if r.proposer == nil {
		return nil
	}
	return r.unseen.Write(ctx, t)
}

// directory makes or opens the run directory; what it holds already goes through the summary.
func (r *run) directory(ctx context.Context) (err error) {
	s := r.spec
	if !r.o.Resume {
		m := &rundir.Manifest{PPXVersion: r.o.Version, Model: r.pool.Model(), Systems: r.pool.Systems(), Command: s.Simulator.Command,
			Method: s.Method, Conditioned: r.cfg.Condition, KeepValues: s.KeepValues, Inflation: s.Inflation,
			LikelihoodImportance: s.LikelihoodImportance, Seed: s.Seed, StreamKind: uint32(r.cfg.Kind), First: s.First, N: r.cfg.N, NoParameters: s.NoParameters}
		if s.InvalidObserve == Zero {
			m.InvalidObserve = Zero
		}
		if n := s.Network; n != nil {
			r.network.File, r.network.SHA256 = n.File, n.SHA256
			m.Network, m.Defensive = &r.network, s.Defensive
		}
		if len(m.Command) == 0 {
			m.Command = s.Simulator.Connect
		}
		if c := s.MCMC; c != nil {
			m.Chains = &rundir.Chains{Chains: c.Chains, Warmup: c.Warmup, Thin: c.Thin, Scales: make([]map[string]float64, c.Chains)}
		}
		if a := r.o.asked; a != nil && a.Out == s.Out { // the answer of auto
			m.Auto = &rundir.Auto{Chosen: s.Method, Sentences: []string{"Nothing has checked this: auto has not come to its check."}}
		}
		if r.parent != nil {
			m.Lineage = &rundir.Lineage{Run: r.parent.path, Change: s.Prediction.words(), ESS: r.parent.ess}
			if k := rundir.Number(r.parent.khat); k == k {
				m.Lineage.Khat = &k
			}
		}
		if m.Job, err = r.asked().record(); err != nil {
			return err
		}
		r.manifest = m
		r.w, err = rundir.Create(s.Out, m, r.cfg.Data)
		return err
	}
	var failed []uint64
	w, m, next, err := rundir.Resume(ctx, s.Out, r.pool.Table(), func(t *tracing.Trace) error {
		if !r.o.RetryFailed {
			return r.take(ctx, t)
		}
		if t.Status == tracing.Failed {
			failed = append(failed, t.Draw)
		}
		return nil
	})
	if err != nil {
		return err
	}
	before := r.manifest
	r.w, r.manifest = w, m
	r.cfg.From, r.cfg.Have = next, w.Pending
	switch ended := before.State == rundir.Complete; {
	case s.SMC == nil:
		r.cfg.N = max(r.cfg.N, next-r.cfg.First)
		s.N = r.cfg.N
	case ended: // whatever was to be kept, it was enough
		r.cfg.N = next - r.cfg.First
	}
	job, err := r.asked().record()
	if err != nil {
		return errors.Join(err, w.Close(rundir.Failed, err))
	}
	w.Update(func(m *rundir.Manifest) {
		if m.N = r.cfg.N; r.cfg.N > next-r.cfg.First { // else there is nothing to do, and what was asked for stays
			m.Job = job
		}
	})
	if r.o.RetryFailed {
		if err := r.retry(ctx, failed); err != nil {
			return errors.Join(err, w.Close(StateAfter(err), err))
		}
	}
	return nil
}

// asked is the job that is recorded.
func (r *run) asked() *Spec {
	if r.o.asked != nil {
		return r.o.asked
	}
	return r.spec
}

// retry makes given-up draws again and puts them in their places.
func (r *run) retry(ctx context.Context, failed []uint64) error {
	i := 0
	stack := r.cfg.Stack()
	source := func() (engine.Task, bool) {
		if i == len(failed) {
			return engine.Task{}, false
		}
		i++
		return engine.Task{Draw: engine.Draw{Seed: r.cfg.Seed, Kind: r.cfg.Kind, Index: failed[i-1]}, Stack: stack}, true
	}
	again := map[int64]*tracing.Trace{}
	var ended error
	for t, err := range r.pool.Retry(ctx, source) {
		if ended = err; err == nil {
			again[t.Row] = r.cfg.Temper(t)
		}
	}
	dir, err := rundir.Open(r.spec.Out, r.pool.Table())
	if err == nil {
		err = r.w.Replace(dir, again) // what has come, also when it ended early
	}
	if err = errors.Join(ended, err); err != nil {
		return err
	}
	if dir, err = rundir.Open(r.spec.Out, r.pool.Table()); err != nil { // with the addresses that are new
		return err
	}
	for t, err := range dir.All(ctx) {
		if err == nil {
			err = r.take(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// watcher is a tracing.Writer that is a function.
type watcher func(context.Context, *tracing.Trace) error

func (f watcher) Write(ctx context.Context, t *tracing.Trace) error { return f(ctx, t) }

// sample draws, and keeps what there is however it ends.
func (r *run) sample(ctx context.Context) (*Outcome, error) {
	w, m := r.w, r.manifest
	w.SyncEvery(time.Duration(r.spec.SaveEvery))
	if r.o.Progress != nil {
		r.cfg.Progress = func(p importance.Progress) { r.o.Progress(p, r.pool.Stats()) }
	}
	queue := tracing.NewAsync(w, 256)
	outcome, err := r.draws(ctx, tracing.Tee{queue, watcher(r.watch)})
	if e := queue.Close(); e != nil && !errors.Is(err, e) { // one full disk is one error
		err = errors.Join(err, e)
	}
	out := &Outcome{Dir: r.spec.Out, Spec: r.spec, Manifest: m, Summary: r.sum, Names: r.names, Unseen: &r.unseen, Stopped: outcome.Stopped, State: StateAfter(err),
		Done: r.cfg.From - r.cfg.First + outcome.Drawn}
	w.Update(func(m *rundir.Manifest) {
		if r.o.shared == nil { // else nobody knows whose they were
			m.Counts.LostAndRedrawn += r.pool.Stats().Lost
		}
		m.Systems = r.pool.Systems()
		if c := outcome.Cut; c.Matters() {
			m.Cut = &rundir.Cut{What: c.What, Draw: c.Draw, Last: c.Last, Running: c.Running.Seconds(), Mean: c.Mean.Seconds()}
		}
		if outcome.Stopped != "" {
			m.N = out.Done
		}
		if m.Chains != nil {
			m.Chains.Acceptance = r.accept.by
			m.Chains.Steps, m.Chains.Failed = m.Chains.Steps+r.accept.steps, m.Chains.Failed+r.accept.failed
		}
	})
	var reason error
	if out.State != rundir.Complete {
		reason = FirstLine(err)
	}
	if e := w.Close(out.State, reason); e != nil && !errors.Is(err, e) {
		err = errors.Join(err, e)
	}
	if err == nil && r.done != nil {
		err = r.done()
	}
	switch {
	case err != nil && out.State != rundir.Interrupted:
		if n := m.Counts.Traces; n > 0 {
			err = fmt.Errorf("%w\nppx: the %s traces drawn before that are in %s", err, text.Thousands(n), r.spec.Out)
		} else if m.Counts.Failed == 0 && !r.o.Resume && !saved(r.spec.Out) { // the next try may have its place
			err = errors.Join(err, os.RemoveAll(r.spec.Out))
		}
		return nil, err
	case out.State == rundir.Interrupted:
		cause := ErrInterrupted
		if errors.Is(err, ErrTime) {
			cause = ErrTime
		}
		err = fmt.Errorf("%w: %s of %s draws are in %s; --resume --out %s continues", cause, text.Thousands(out.Done), text.Thousands(r.cfg.N), r.spec.Out, r.spec.Out)
	}
	out.Remarks = codeAddresses(r.pool.Table())
	if stuck := r.accept.stuck(); stuck != "" {
		out.Remarks = append(out.Remarks, stuck)
	}
	if out.Stopped != "" {
		out.Remarks = append(out.Remarks, fmt.Sprintf("stopped at %s draws: %s", text.Thousands(m.N), out.Stopped))
	}
	return out, err
}

// StateAfter is the state of a job that has ended with err.
func StateAfter(err error) string {
	switch {
	case errors.Is(err, ErrInterrupted):
		return rundir.Interrupted
	case err != nil:
		return rundir.Failed
	}
	return rundir.Complete
}

// FirstLine keeps an error short for the manifest; the output of a simulator that ended stays out.
func FirstLine(err error) error {
	line, _, more := strings.Cut(err.Error(), "\n")
	if !more {
		return err
	}
	return errors.New(line)
}

// codeAddresses warns of addresses that are different in every process.
func codeAddresses(t *tracing.Table) []string {
	for i := range uint32(t.Len()) {
		if base := t.Address(i).Base; strings.Contains(base, "(null)+0x") {
			return []string{fmt.Sprintf("the address %s holds absolute code addresses: link the simulator with -rdynamic, or traces of different processes cannot be compared", text.Clip(base, 60))}
		}
	}
	return nil
}
