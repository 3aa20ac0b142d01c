package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// job is a prior or infer command: draws from a simulator into a run directory.
type job struct {
	verb        string
	method      string
	conditioned bool
	sim         simulator
	cfg         importance.Config
	out         string
	resume      bool
	bare        bool // without parameters of distributions
	retryFailed bool
	force       bool
	save        time.Duration
	progress    *progress
	keepValues  bool
	observe     []string
	files       []string
	missing     string
	invalid     string
	strict      bool
	show        shown
	guide       guidance
}

// shown is the flags of everything that prints a posterior table.
type shown struct {
	json  bool
	quiet bool
	full  bool
	plot  []string
}

func (s *shown) register(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&s.json, "json", false, "print one JSON object")
	f.BoolVar(&s.full, "full", false, "list the elements of tensors of any size")
	f.StringArrayVar(&s.plot, "plot", nil, "draw a histogram of this variable (repeatable)")
}

func (j *job) register(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.Uint64VarP(&j.cfg.N, "num", "n", 1000, "number of draws")
	f.Uint64Var(&j.cfg.First, "first", 0, "number of the first draw: other machines can make other draws of the same job (ppx merge)")
	f.Uint64Var(&j.cfg.Seed, "seed", 0, "random seed (default: from the system; printed and recorded)")
	f.StringVar(&j.out, "out", "", "run directory (default ppx-runs/<UTC time>-"+j.verb+")")
	f.BoolVar(&j.bare, "no-parameters", false, "do not store the parameters of distributions: smaller, but nothing can be trained or scored again from it")
	f.BoolVar(&j.resume, "resume", false, "continue the run in --out; a larger -n extends it")
	f.BoolVar(&j.force, "force", false, "with --resume: go on though the simulator does not do what it did")
	f.BoolVar(&j.retryFailed, "retry-failed", false, "with --resume: try draws again that were given up")
	f.DurationVar(&j.save, "save-every", rundir.DefaultSync, "how old a trace gets before it is on disk: what a power cut costs")
	f.DurationVar(&j.cfg.MaxTime, "max-time", 0, "stop after this time (with --resume: of this session)")
	f.Float64Var(&j.cfg.TargetESS, "target-ess", 0, "stop once the effective sample size is reached")
	f.Float64Var(&j.cfg.Inflation, "prior-inflation", 0, "draw a trace's latents from widened priors with this probability (reweighted)")
	j.sim.register(f, true)
	j.show.register(c)
	f.BoolVar(&j.show.quiet, "quiet", false, "no progress")
}

func newPrior() *cobra.Command {
	j := &job{verb: "prior", method: "prior"}
	c := &cobra.Command{
		Use:   "prior [flags] (--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}])",
		Short: "Draw traces from the prior",
		Long: `Draw traces from the prior: the simulator as it is, every random number drawn from its own distribution and
recorded. Observations are drawn too, so the run is a set of simulated data, for training for instance.`,
		Example: `  ppx prior -n 10000 --out prior -- ./simulator {endpoint}
  ppx prior -n 100 --seed 1 --connect tcp://127.0.0.1:5555`,
		Args: commandOnly,
		RunE: j.execute,
	}
	j.register(c)
	c.Flags().BoolVar(&j.keepValues, "keep-values", false, "leave observations that the simulator gives itself at their value, instead of drawing them")
	return c
}

func newInfer() *cobra.Command {
	j := &job{verb: "infer", conditioned: true}
	c := &cobra.Command{
		Use:   "infer --observe NAME=VALUE … [flags] (--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}])",
		Short: "Turn observations into a posterior",
		Long: `Turn observations into a posterior over every named random number of the simulator, and over everything it
tags or returns. Data belong to names: every Observe of that name is scored against them. A Sample whose name
is given is fixed at the value and scored.

The method "is" is importance sampling from the prior: exact in the limit, good where the data are not too
surprising under the prior. "ic" is importance sampling from the proposals of a network that "ppx train" has made
(--network): a few hundred traces then do for millions. The table comes with the effective sample size (ESS) and k̂, and says in
words when they are bad.`,
		Example: `  ppx infer --observe obs0=8 --observe obs1=9 -n 20000 -- ./gum {endpoint}
  ppx infer --observe 'image=@event.npy' --observe-file data.json --target-ess 400 -n 1000000 -- ./sim --port {endpoint}
  ppx infer --network gum.net --observe obs0=8 --observe obs1=9 -n 1000 -- ./gum {endpoint}
  ppx infer --resume --out ppx-runs/20260102T150405Z-infer -n 40000 -- ./gum {endpoint}`,
		Args: commandOnly,
		RunE: j.execute,
	}
	f := c.Flags()
	f.StringArrayVar(&j.observe, "observe", nil, "an observation: NAME=8, NAME=[1,2,3] or NAME=@FILE.npy; NAME@2 is its second occurrence (repeatable)")
	f.StringArrayVar(&j.files, "observe-file", nil, "observations from a .json object or a .csv file (repeatable)")
	f.StringVar(&j.missing, "missing", "refuse", "elements of observed values that are null or NaN: refuse, or ok (they are drawn, and not scored: right if it is chance that they are missing)")
	f.StringVar(&j.invalid, "invalid-observe", "fail", "an Observe whose parameters are invalid (NaN, say): fail (the run), or zero (the trace has no weight)")
	f.StringVar(&j.method, "method", "is", "inference method: is (importance sampling), or ic (the same, guided by a network)")
	f.StringVar(&j.guide.file, "network", "", "network file for ic, from ppx train")
	f.Float64Var(&j.guide.defensive, "defensive", 0.01, "ic: probability of a trace that is drawn from the prior, which bounds the weights")
	j.register(c)
	f.BoolVar(&j.strict, "strict", false, "exit with 1 unless the result can be trusted: the verdict \"good\"")
	f.Float64Var(&j.cfg.LikelihoodImportance, "likelihood-importance", 1, "exponent of the likelihood: below 1 for a tempered posterior")
	completes(c, "method", "is\timportance sampling from the prior", "ic\tthe same, guided by a network (--network)")
	completes(c, "missing", "refuse", "ok")
	completes(c, "invalid-observe", "fail", "zero")
	return c
}

// execute is the verb.
func (j *job) execute(c *cobra.Command, args []string) error {
	_, command := splitDash(c, args)
	o, err := j.sim.options(c, command, remark)
	if err != nil {
		return err
	}
	if j.guide.file != "" && !c.Flags().Changed("method") {
		j.method = "ic"
	}
	if err := j.check(c); err != nil {
		return err
	}
	manifest, err := j.settings(c)
	if err != nil {
		return err
	}
	want := ""
	if j.resume && j.method == "ic" && manifest.Network != nil {
		want = manifest.Network.SHA256
		if j.guide.file == "" {
			j.guide.file = manifest.Network.File
		}
		j.guide.defensive = manifest.Defensive
	}
	if j.method == "ic" {
		if j.cfg.Guide, err = j.guide.load(j.cfg.Data, want); err != nil {
			return err
		}
	}
	ctx := c.Context()
	o.WorkDir, o.InvalidObserve = j.out+".workers", j.invalid == "zero"
	pool, err := engine.Open(ctx, o)
	if err != nil {
		return err
	}
	defer pool.Close()
	if j.method == "ic" {
		if err := j.guide.proposer.Check(pool.Model()); err != nil {
			return usageError{err}
		}
	}
	if j.resume && pool.Model() != manifest.Model {
		return usagef("%s was made with the model %s; this simulator is %s", j.out, ppx.Quote(manifest.Model), ppx.Quote(pool.Model()))
	}
	mixed := false
	if j.resume {
		if mixed, err = j.anotherSimulator(ctx, pool); err != nil {
			return err
		}
	}
	sum := posterior.NewSummary()
	sum.Full = j.show.full
	names := control.NewNames(j.cfg.Data, j.cfg.Condition, func(text string) {
		if j.progress != nil {
			j.progress.done() // the line that moves
		}
		remark(text)
	})
	w, manifest, err := j.directory(ctx, pool, command, sum, names)
	if err != nil {
		return err
	}
	if mixed && j.cfg.From < j.cfg.First+j.cfg.N {
		w.Update(func(m *rundir.Manifest) { m.Mixed = append(m.Mixed, j.cfg.From) })
	}
	if !j.show.quiet && !j.show.json {
		fmt.Fprintf(os.Stderr, "ppx: model %s, seed %d, run directory %s\n", ppx.Quote(pool.Model()), j.cfg.Seed, j.out)
	}
	return j.sample(ctx, c.OutOrStdout(), pool, w, manifest, sum, names)
}

// check refuses flags that make no sense together.
func (j *job) check(c *cobra.Command) error {
	f := c.Flags()
	switch {
	case j.method != "is" && j.method != "ic" && j.method != "prior":
		return usagef("--method %s: this version has is (importance sampling) and ic (inference compilation)", ppx.Quote(j.method))
	case j.method == "ic" && j.guide.file == "" && !j.resume:
		return usagef("--method ic needs a network: --network FILE, made by ppx train")
	case j.method != "ic" && (j.guide.file != "" || f.Changed("defensive")) && !j.resume:
		return usagef("--network and --defensive go with --method ic")
	case j.method == "ic" && j.cfg.Inflation > 0:
		return usagef("--prior-inflation does not go with --method ic")
	case j.missing != "" && j.missing != "refuse" && j.missing != "ok":
		return usagef("--missing %s: want refuse or ok", ppx.Quote(j.missing))
	case j.invalid != "" && j.invalid != "fail" && j.invalid != "zero":
		return usagef("--invalid-observe %s: want fail or zero", ppx.Quote(j.invalid))
	case j.cfg.N == 0:
		return usagef("-n must be at least 1")
	case j.cfg.First > math.MaxInt64/2 || j.cfg.N > math.MaxInt64/2:
		return usagef("--first %d -n %d: too large", j.cfg.First, j.cfg.N)
	case j.save <= 0:
		return usagef("--save-every %v must be positive", j.save)
	case j.cfg.MaxTime < 0 || !(j.cfg.TargetESS >= 0):
		return usagef("--max-time and --target-ess must not be negative")
	case j.retryFailed && !j.resume:
		return usagef("--retry-failed goes with --resume")
	case j.force && !j.resume:
		return usagef("--force goes with --resume")
	case j.resume && j.out == "":
		return usagef("--resume continues the run in --out DIR")
	}
	if j.resume {
		for _, name := range []string{"seed", "first", "no-parameters", "observe", "observe-file", "missing", "invalid-observe", "prior-inflation", "likelihood-importance", "keep-values", "defensive"} {
			if f.Changed(name) {
				return usagef("--%s: a resumed run takes it from its run.json", name)
			}
		}
		return nil
	}
	if b := j.cfg.LikelihoodImportance; f.Changed("likelihood-importance") && !(b > 0) {
		return usagef("--likelihood-importance %g must be positive", b)
	}
	if err := j.cfg.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// settings completes the configuration: from the flags, or from the run that is resumed.
func (j *job) settings(c *cobra.Command) (*rundir.Manifest, error) {
	j.cfg.Condition = j.conditioned || j.keepValues
	if !j.resume {
		if !j.conditioned {
			j.cfg.Kind = dist.StreamPrior
		}
		var err error
		if j.cfg.Data, err = parseData(c.Context(), j.observe, j.files, j.missing == "ok"); err != nil {
			return nil, err
		}
		j.cfg.From = j.cfg.First
		if !c.Flags().Changed("seed") {
			j.cfg.Seed = systemSeed()
		}
		if j.out == "" {
			j.out = freshName(filepath.Join("ppx-runs", time.Now().UTC().Format("20060102T150405Z")+"-"+j.verb))
		}
		if info, err := os.Stat(j.out); err == nil && !info.IsDir() {
			return nil, usagef("--out %s is a file", ppx.Quote(j.out))
		}
		if err := rundir.Free(j.out); errors.Is(err, rundir.ErrExists) {
			return nil, usagef("%w; give another --out, or --resume to continue it", err)
		} else if err != nil {
			return nil, err
		}
		return nil, nil
	}
	m, err := rundir.ReadManifest(j.out)
	if err != nil {
		return nil, err
	}
	if j.conditioned && !c.Flags().Changed("method") {
		j.method = m.Method
	}
	if m.Method != j.method {
		return nil, usagef("%s was made by another command (method %s)", j.out, ppx.Quote(m.Method))
	}
	if c.Flags().Changed("num") {
		if done := m.Counts.Traces + m.Counts.Failed; j.cfg.N < done {
			return nil, usagef("-n %d is less than the %d draws that %s has", j.cfg.N, done, j.out)
		}
	} else {
		j.cfg.N = m.N
	}
	data, err := m.Tensors(j.out)
	if err != nil {
		return nil, err
	}
	j.cfg.Data = control.Data(data)
	j.cfg.Seed, j.cfg.First, j.cfg.Kind, j.cfg.Inflation, j.cfg.LikelihoodImportance = m.Seed, m.First, dist.StreamKind(m.StreamKind), m.Inflation, m.LikelihoodImportance
	j.keepValues, j.invalid = m.KeepValues, m.InvalidObserve
	j.cfg.Condition = j.conditioned || j.keepValues
	return m, nil
}

// freshName adds a number to a name that is taken.
func freshName(name string) string {
	for i, try := 2, name; ; i++ {
		if _, err := os.Lstat(try); err != nil {
			return try
		}
		try = fmt.Sprintf("%s-%d", name, i)
	}
}

// systemSeed is a random seed that any program can read back from JSON.
func systemSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) >> 11
}

// directory makes or opens the run directory; what it holds already goes through sum and names.
func (j *job) directory(ctx context.Context, pool *engine.Pool, command []string, sum *posterior.Summary, names *control.Names) (*rundir.Writer, *rundir.Manifest, error) {
	if !j.resume {
		beta := j.cfg.LikelihoodImportance
		if beta == 0 {
			beta = 1
		}
		m := &rundir.Manifest{PPXVersion: versionString(), Model: pool.Model(), Systems: pool.Systems(), Command: command,
			Method: j.method, Conditioned: j.conditioned || j.keepValues, KeepValues: j.keepValues, Inflation: j.cfg.Inflation,
			LikelihoodImportance: beta, Seed: j.cfg.Seed, StreamKind: uint32(j.cfg.Kind), First: j.cfg.First, N: j.cfg.N, NoParameters: j.bare, Network: j.guide.manifest()}
		if j.invalid == "zero" {
			m.InvalidObserve = j.invalid
		}
		if j.method == "ic" {
			m.Defensive = j.guide.defensive
		}
		if len(command) == 0 {
			m.Command = j.sim.o.Connect
		}
		w, err := rundir.Create(j.out, m, j.cfg.Data)
		return w, m, err
	}
	add := func(t *tracing.Trace) error {
		if err := sum.Write(ctx, t); err != nil {
			return err
		}
		if err := j.guide.Write(ctx, t); err != nil {
			return err
		}
		return names.Add(t)
	}
	var failed []uint64
	w, m, next, err := rundir.Resume(ctx, j.out, pool.Table(), func(t *tracing.Trace) error {
		if !j.retryFailed {
			return add(t)
		}
		if t.Status == tracing.Failed {
			failed = append(failed, t.Draw)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	j.cfg.From, j.cfg.Have = next, w.Pending
	j.cfg.N = max(j.cfg.N, next-j.cfg.First)
	w.Update(func(m *rundir.Manifest) { m.N = j.cfg.N })
	if j.retryFailed {
		if err := j.retry(ctx, pool, w, failed, add); err != nil {
			return nil, nil, errors.Join(err, w.Close(stateAfter(err), err))
		}
	}
	return w, m, nil
}

// retry makes given-up draws again and puts them in their places.
func (j *job) retry(ctx context.Context, pool *engine.Pool, w *rundir.Writer, failed []uint64, add func(*tracing.Trace) error) error {
	i := 0
	stack := j.cfg.Stack()
	source := func() (engine.Task, bool) {
		if i == len(failed) {
			return engine.Task{}, false
		}
		i++
		return engine.Task{Draw: engine.Draw{Seed: j.cfg.Seed, Kind: j.cfg.Kind, Index: failed[i-1]}, Stack: stack}, true
	}
	again := map[int64]*tracing.Trace{}
	var ended error
	for t, err := range pool.Retry(ctx, source) {
		if ended = err; err == nil {
			again[t.Row] = j.cfg.Temper(t)
		}
	}
	r, err := rundir.Open(j.out, pool.Table())
	if err == nil {
		err = w.Replace(r, again) // what has come, also when it ended early
	}
	if err = errors.Join(ended, err); err != nil {
		return err
	}
	if r, err = rundir.Open(j.out, pool.Table()); err != nil { // with the addresses that are new
		return err
	}
	for t, err := range r.All(ctx) {
		if err == nil {
			err = add(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sample draws, and reports however it ends.
func (j *job) sample(ctx context.Context, out io.Writer, pool *engine.Pool, w *rundir.Writer, m *rundir.Manifest, sum *posterior.Summary, names *control.Names) error {
	w.SyncEvery(j.save)
	p := newProgress(j.show.quiet, j.conditioned, func() string {
		s := pool.Stats()
		text := fmt.Sprintf("%d simulators", s.Workers)
		if s.Workers == 1 {
			text = "1 simulator"
		}
		if s.Lost > 0 {
			text += fmt.Sprintf(", %d runs lost and drawn again", s.Lost)
		}
		return text
	})
	j.progress, j.cfg.Progress, j.cfg.Every = p, p.show, p.every()
	queue := tracing.NewAsync(w, 256)
	j.cfg.Early = w.Early
	outcome, err := importance.Run(ctx, pool, &j.cfg, names, sum, tracing.Tee{queue, &j.guide})
	p.done()
	if e := queue.Close(); e != nil && !errors.Is(err, e) { // one full disk is one error
		err = errors.Join(err, e)
	}
	state := stateAfter(err)
	w.Update(func(m *rundir.Manifest) {
		m.Counts.LostAndRedrawn += pool.Stats().Lost
		m.Systems = pool.Systems()
		if c := outcome.Cut; c.Matters() {
			m.Cut = &rundir.Cut{Draw: c.Draw, Running: c.Running.Seconds(), Mean: c.Mean.Seconds()}
		}
		if outcome.Stopped != "" {
			m.N = j.cfg.From - j.cfg.First + outcome.Drawn
		}
	})
	var reason error
	if state != rundir.Complete {
		reason = firstLine(err)
	}
	if e := w.Close(state, reason); e != nil && !errors.Is(err, e) {
		err = errors.Join(err, e)
	}
	if err != nil && state != rundir.Interrupted {
		if n := m.Counts.Traces; n > 0 {
			err = fmt.Errorf("%w\nppx: the %s traces drawn before that are in %s", err, thousands(n), j.out)
		}
		return err
	}
	r := newResult(j.out, m, sum, names, &j.guide.unseen)
	r.remark(codeAddresses(pool.Table())...)
	if outcome.Stopped != "" {
		r.remark(fmt.Sprintf("stopped at %s draws: %s", thousands(m.N), outcome.Stopped))
	}
	if err := r.print(out, &j.show, sum); err != nil && state != rundir.Interrupted { // the terminal may be gone
		return err
	}
	if j.strict && r.Trust.Verdict != posterior.Good && state != rundir.Interrupted {
		return fmt.Errorf("--strict: the result is not good (%s): %s", r.Trust.Verdict, r.Trust.Reasons[0].Text)
	}
	if state == rundir.Interrupted {
		return fmt.Errorf("%w: %s of %s draws are in %s; --resume --out %s continues", errInterrupted, thousands(j.cfg.From-j.cfg.First+outcome.Drawn), thousands(j.cfg.N), j.out, j.out)
	}
	return nil
}

// stateAfter is the state of a job that has ended with err.
func stateAfter(err error) string {
	switch {
	case errors.Is(err, errInterrupted):
		return rundir.Interrupted
	case err != nil:
		return rundir.Failed
	}
	return rundir.Complete
}

// firstLine keeps an error short for the manifest; the output of a simulator that ended stays out.
func firstLine(err error) error {
	text, _, more := strings.Cut(err.Error(), "\n")
	if !more {
		return err
	}
	return errors.New(text)
}

// codeAddresses warns of addresses that are different in every process.
func codeAddresses(t *tracing.Table) []string {
	for i := range uint32(t.Len()) {
		if base := t.Address(i).Base; strings.Contains(base, "(null)+0x") {
			return []string{fmt.Sprintf("the address %s holds absolute code addresses: link the simulator with -rdynamic, or traces of different processes cannot be compared", clip(base, 60))}
		}
	}
	return nil
}
