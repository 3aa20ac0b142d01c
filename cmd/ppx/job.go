package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/smc"
	"github.com/ppx-engine/ppx-engine/view"
)

// job is a prior or infer command: flags that make a jobs.Spec, and what shows the outcome.
type job struct {
	asked
	o       jobs.Options
	network string
	each    string
	mcmc    jobs.MCMC
	smc     jobs.SMC
	moves   string // of particles
	above   float64
	atLeast float64
	observe []string
	files   []string
	strict  bool
	show    shown
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
	s := j.spec
	f.Uint64VarP(&s.N, "num", "n", s.N, "number of draws; of smc: of particles; of auto: of runs of the simulator, in all (10 million)")
	f.Uint64Var(&s.First, "first", 0, "number of the first draw: other machines can make other draws of the same job (ppx merge)")
	f.Uint64Var(&s.Seed, "seed", 0, "random seed (default: from the system; printed and recorded)")
	f.StringVar(&s.Out, "out", "", "run directory (default ppx-runs/<UTC time>-"+s.Verb+")")
	j.asked.register(c)
	f.BoolVar(&s.NoParameters, "no-parameters", false, "do not store the parameters of distributions: smaller, but nothing can be trained or scored again from it")
	f.BoolVar(&j.resume, "resume", false, "continue the run in --out; a larger -n extends it")
	f.BoolVar(&j.o.Force, "force", false, "with --resume, or chains: go on though the simulator does not do what it did")
	f.BoolVar(&j.o.RetryFailed, "retry-failed", false, "with --resume: try draws again that were given up")
	duration(f, &s.SaveEvery, "save-every", "how old a trace gets before it is on disk: what a power cut costs")
	duration(f, &s.MaxTime, "max-time", "stop after this time (with --resume: of this session)")
	f.Float64Var(&s.TargetESS, "target-ess", 0, "stop once the effective sample size is reached, looked at after 1,000, 2,000, 4,000, … draws")
	f.Float64Var(&s.Inflation, "prior-inflation", 0, "draw a trace's latents from widened priors with this probability (reweighted)")
	j.show.register(c)
	f.BoolVar(&j.show.quiet, "quiet", false, "no progress")
}

// duration is a flag for a jobs.Duration.
func duration(f *pflag.FlagSet, d *jobs.Duration, name, usage string) {
	f.DurationVar((*time.Duration)(d), name, time.Duration(*d), usage)
}

func newPrior() *cobra.Command {
	j := &job{asked: newAsked(jobs.Prior)}
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
	c.Flags().BoolVar(&j.spec.KeepValues, "keep-values", false, "leave observations that the simulator gives itself at their value, instead of drawing them")
	return c
}

func newInfer() *cobra.Command {
	j := &job{asked: newAsked(jobs.Infer)}
	var names, list []string
	for _, m := range jobs.Of(jobs.Infer) {
		names, list = append(names, m.Name+"\t"+m.Doc), append(list, fmt.Sprintf("%s (%s)", m.Name, m.Doc))
	}
	c := &cobra.Command{
		Use:   "infer --observe NAME=VALUE … [flags] (--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}])",
		Short: "Turn observations into a posterior",
		Long: `Turn observations into a posterior over every named random number of the simulator, and over everything it
tags or returns. Data belong to names: every Observe of that name is scored against them. A Sample whose name
is given is fixed at the value and scored.

The method "is" is importance sampling from the prior: exact in the limit, good where the data are not too
surprising under the prior. "ic" is importance sampling from the proposals of a network that "ppx train" has made
(--network): a few hundred traces then do for millions. "lmh" and "rmh" are Markov chains, which take small steps where independent draws hardly ever
hit: -n draws of all --chains together are kept after --warmup. The table comes with the effective sample size (ESS) and k̂ or R̂, and says in
words when they are bad.`,
		Example: `  ppx infer --observe obs0=8 --observe obs1=9 -n 20000 -- ./gum {endpoint}
  ppx infer --observe 'image=@event.npy' --observe-file data.json --target-ess 400 -n 1000000 -- ./sim --port {endpoint}
  ppx infer --network gum.net --observe obs0=8 --observe obs1=9 -n 1000 -- ./gum {endpoint}
  ppx infer --network gum.net --each events.npz -n 1000 --out events -- ./gum {endpoint}
  ppx infer --resume --out ppx-runs/20260102T150405Z-infer -n 40000
  ppx infer --observe obs0=8 --print-job -- ./gum {endpoint} > job.json; ppx infer --job job.json`,
		Args: commandOnly,
		RunE: j.execute,
	}
	f, s := c.Flags(), j.spec
	f.StringArrayVar(&j.observe, "observe", nil, "an observation: NAME=8, NAME=[1,2,3] or NAME=@FILE.npy; NAME@2 is its second occurrence (repeatable)")
	f.StringArrayVar(&j.files, "observe-file", nil, "observations from a .json object or a .csv file (repeatable)")
	f.StringVar(&j.each, "each", "", "infer each data set of this file: an .npz whose first axis is the data set, or JSON lines; a run directory each, below --out")
	f.StringVar(&s.Missing, "missing", s.Missing, "elements of observed values that are null or NaN: refuse, or ok (they are drawn, and not scored: right if it is chance that they are missing)")
	f.StringVar(&s.InvalidObserve, "invalid-observe", s.InvalidObserve, "an Observe whose parameters are invalid (NaN, say): fail (the run), or zero (the trace has no weight)")
	f.StringVar(&s.Method, "method", s.Method, "inference method: "+strings.Join(list, ", or "))
	f.StringVar(&j.network, "network", "", "network file, from ppx train: for ic, which it then is without --method, and ic-mh")
	f.Float64Var(&s.Defensive, "defensive", s.Defensive, "ic, ic-mh: probability of a trace that is drawn from the prior, which bounds the weights")
	f.IntVar(&s.RejectionPasses, "rejection-passes", 0, "ic, with a network trained with --rejection: passes that are drawn again for each loop of a trace, from the network (default 10)")
	f.IntVar(&s.RejectionLoops, "rejection-loops", 0, "ic, likewise: loops that are drawn again, from the model (default 10)")
	j.mcmc = jobs.DefaultMCMC()
	f.IntVar(&j.mcmc.Chains, "chains", j.mcmc.Chains, "lmh, rmh, ic-mh: number of chains; -n counts the draws of all together")
	f.Uint64Var(&j.mcmc.Warmup, "warmup", j.mcmc.Warmup, "lmh, rmh, ic-mh: first steps of each chain, which are not kept")
	f.Uint64Var(&j.mcmc.Thin, "thin", j.mcmc.Thin, "lmh, rmh, ic-mh: keep every so many-th step")
	j.smc = jobs.DefaultSMC()
	f.IntVar(&j.smc.Islands, "islands", j.smc.Islands, "smc: number of islands that the particles (-n) live on, alone with each other: they tell the errors")
	f.IntVar(&j.smc.Keep, "keep", j.smc.Keep, "smc: states of each particle that are draws: the moves of the last rung are made so many times")
	f.StringVar(&j.moves, "moves", "auto", "smc: moves of each particle at each rung, or auto: as many as it takes")
	f.StringVar(&j.smc.Kernel, "kernel", j.smc.Kernel, "smc: how particles move: lmh, rmh or, with a network, ic-mh")
	f.StringVar(&j.smc.Ladder, "ladder", "", "smc: run directory of another smc, of another seed, whose rungs, moves and scales are used as they are: the evidence is then unbiased")
	f.StringVar(&j.smc.Score, "score", "", "smc: expression that the particles are to raise, for events that are rare: with --above or --at-least")
	f.Float64Var(&j.above, "above", 0, "smc: the level that the score is to exceed")
	f.Float64Var(&j.atLeast, "at-least", 0, "smc: the level that the score is to reach")
	j.register(c)
	f.BoolVar(&j.strict, "strict", false, "exit with 1 unless the result can be trusted: the verdict \"good\"")
	f.Float64Var(&s.LikelihoodImportance, "likelihood-importance", s.LikelihoodImportance, "exponent of the likelihood: below 1 for a tempered posterior")
	completes(c, "method", names...)
	completes(c, "missing", jobs.Refuse, jobs.OK)
	completes(c, "invalid-observe", jobs.Fail, jobs.Zero)
	return c
}

// execute is the verb.
func (j *job) execute(c *cobra.Command, args []string) error {
	spec, err := j.job(c, args)
	if err != nil || spec == nil {
		return err
	}
	if spec.Each != nil {
		return j.executeEach(c, spec)
	}
	var stats engine.Stats
	p := newProgress(j.show.quiet, spec.Verb == jobs.Infer, func() string { return simulators(stats) })
	o := p.options(j.o)
	o.Resume, o.Full = j.resume, j.show.full
	o.Begun = func(model string, s *jobs.Spec) {
		if !j.show.quiet && !j.show.json {
			fmt.Fprintf(os.Stderr, "ppx: model %s, seed %d, run directory %s\n", ppx.Quote(model), s.Seed, s.Out)
		}
	}
	o.Progress = func(x importance.Progress, s engine.Stats) {
		stats = s
		p.show(x)
	}
	outcome, err := jobs.Run(c.Context(), spec, o)
	p.done()
	if outcome == nil {
		return err
	}
	r := view.NewPosterior(outcome)
	if e := j.show.print(c.OutOrStdout(), r); e != nil && err == nil { // else the terminal may be gone
		return e
	}
	if err == nil && j.strict && r.Trust.Verdict != posterior.Good {
		return fmt.Errorf("--strict: the result is not good (%s): %s", r.Trust.Verdict, r.Trust.Reasons[0].Text)
	}
	return err
}

// executeEach is the verb over many data sets.
func (j *job) executeEach(c *cobra.Command, spec *jobs.Spec) error {
	if len(j.show.plot) > 0 {
		return usagef("--plot goes with one data set: ppx summary RUN --plot NAME")
	}
	sets := newManySets(j.show.quiet)
	rows := &view.Each{Rows: []view.EachRow{}}
	o := sets.options(j.o, j.show.quiet || j.show.json)
	o.Resume, o.Set = j.resume, rows.Add
	outcome, err := jobs.Run(c.Context(), spec, o)
	sets.p.done()
	if outcome == nil {
		return err
	}
	rows.Finish(outcome)
	if j.show.json {
		if e := view.JSON(c.OutOrStdout(), rows); err == nil {
			err = e
		}
	} else {
		rows.Text(c.OutOrStdout())
	}
	failed := slices.IndexFunc(rows.Rows, func(r view.EachRow) bool { return r.Error != "" })
	if err == nil && failed >= 0 {
		return fmt.Errorf("data set %d: %s", rows.Rows[failed].Set, rows.Rows[failed].Error)
	}
	if good := rows.Verdicts()[posterior.Good]; err == nil && j.strict && good < len(rows.Rows) {
		return fmt.Errorf("--strict: %d of %d data sets are not good", len(rows.Rows)-good, len(rows.Rows))
	}
	return err
}

// print writes the table, or the JSON object.
func (s *shown) print(w io.Writer, r *view.Posterior) error {
	if s.json {
		return view.JSON(w, r)
	}
	err := r.Text(w, warning, s.plot)
	if errors.Is(err, posterior.ErrVariable) {
		return usageError{err}
	}
	return err
}

// simulators says how many work, and what they have lost.
func simulators(s engine.Stats) string {
	text := fmt.Sprintf("%d simulators", s.Workers)
	if s.Workers == 1 {
		text = "1 simulator"
	}
	if s.Lost > 0 {
		text += fmt.Sprintf(", %d runs lost and drawn again", s.Lost)
	}
	return text
}

// particles are the settings of a method that moves particles.
func (j *job) particles(f *pflag.FlagSet) (err error) {
	s, x := j.spec, &j.smc
	if x.Keep < 1 {
		return usagef("--keep %d: want a number from 1", x.Keep)
	}
	if x.Moves = smc.Adapt; j.moves != "auto" {
		if x.Moves, err = strconv.Atoi(j.moves); err != nil || x.Moves < 0 {
			return usagef("--moves %s: want a number, or auto", ppx.Quote(j.moves))
		}
	}
	if s.Network != nil && !f.Changed("kernel") {
		x.Kernel = "ic-mh"
	}
	if f.Changed("above") {
		x.Above = &j.above
	}
	if f.Changed("at-least") {
		x.AtLeast = &j.atLeast
	}
	s.SMC = x
	return nil
}

// job is the Spec that the flags and the file of a job make; nil if it was only to be printed.
func (j *job) job(c *cobra.Command, args []string) (*jobs.Spec, error) {
	f, s := c.Flags(), j.spec
	var err error
	if s.Data, err = parseData(c.Context(), j.observe, j.files, s.Missing == jobs.OK); err != nil {
		return nil, err
	}
	if j.each != "" {
		s.Each = &jobs.Ref{File: j.each}
	}
	if j.network != "" {
		if s.Network = (&jobs.Ref{File: j.network}); !f.Changed("method") {
			s.Method = "ic"
		}
	}
	m := jobs.Lookup(s.Verb, s.Method)
	switch {
	case m != nil && m.Chains:
		s.MCMC = &j.mcmc
	case m != nil && m.Name == "auto" && !f.Changed("num"):
		s.N = jobs.DefaultAutoRuns
	case m != nil && m.Particles:
		if err := j.particles(f); err != nil {
			return nil, err
		}
	}
	switch {
	case j.o.RetryFailed && !j.resume:
		return nil, usagef("--retry-failed goes with --resume")
	case j.o.Force && !j.resume && !(m != nil && (m.Chains || m.Particles)):
		return nil, usagef("--force goes with --resume, or with a method that needs a deterministic simulator")
	}
	return j.ask(c, args)
}
