package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/view"
)

// manySets shows how far a job over many data sets is.
type manySets struct {
	p     *progress
	begun time.Time
	first int // data sets that were there before
	say   func() bool
	stats engine.Stats
}

func newManySets(quiet bool) *manySets {
	m := &manySets{first: -1}
	m.p = newProgress(quiet, false, func() string { return simulators(m.stats) })
	m.say = throttle(m.p.every())
	return m
}

// show is a jobs.Options.Sets.
func (m *manySets) show(done, n int, perSecond float64, s engine.Stats) {
	if m.first < 0 {
		m.first, m.begun = done, time.Now()
	}
	if m.stats = s; !m.say() {
		return
	}
	line := fmt.Sprintf("%s/%s data sets  %s traces/s", text.Thousands(uint64(done)), text.Thousands(uint64(n)), view.Figure(view.Round(perSecond)))
	if made := done - m.first; made >= 10 && done < n { // the first to be done are the easy ones
		line += "  " + view.Short(time.Duration(float64(time.Since(m.begun))/float64(made)*float64(n-done))) + " left"
	}
	m.p.line(float64(done)/float64(n), line+"  "+m.p.stats())
}

// options are those of a job over many data sets.
func (m *manySets) options(o jobs.Options, quiet bool) jobs.Options {
	o = m.p.options(o)
	o.Begun = func(model string, s *jobs.Spec) {
		if !quiet {
			fmt.Fprintf(os.Stderr, "ppx: model %s, seed %d, folder %s\n", ppx.Quote(model), s.Seed, s.Out)
		}
	}
	o.Sets = m.show
	return o
}

// calibrateCommand is a calibrate command.
type calibrateCommand struct {
	asked
	o       jobs.Options
	network string
	json    bool
	quiet   bool
	strict  bool
}

func newCalibrate() *cobra.Command {
	k := &calibrateCommand{asked: newAsked(jobs.Calibrate)}
	s := k.spec
	c := &cobra.Command{
		Use:   "calibrate [flags] (--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}])",
		Short: "Test on data sets of known truth whether a method's posteriors are right",
		Long: `Draw data sets from the prior, infer each, and see where the truth lies among the draws: over data sets its ranks are uniform if the posteriors are
right (simulation-based calibration). Ranked are every named variable and the result, the likelihood and the joint density, and the distance from a reference
that depends on the data (TARP): together they also see a posterior that has learned nothing. What was learned is printed beside: the gain over the prior.

Each inference draws until its effective sample size is enough, or --max-draws; data sets for which it is not are undecided, and shown apart. OUT gets a
line for each data set (sets.jsonl) and a picture (ranks.png); --resume goes on.`,
		Example: `  ppx calibrate -- ./gum {endpoint}
  ppx calibrate --network gum.net -n 1000 -- ./gum {endpoint}
  ppx calibrate --truths prior-of-another-simulator -- ./gum {endpoint}`,
		Args: commandOnly,
		RunE: k.execute,
	}
	f := c.Flags()
	f.SortFlags = false
	f.Uint64VarP(&s.N, "num", "n", s.N, "number of data sets")
	f.Float64Var(&s.Calibration.MinESS, "min-ess", s.Calibration.MinESS, "effective sample size of each inference; below, a data set is undecided")
	f.Uint64Var(&s.Calibration.MaxDraws, "max-draws", s.Calibration.MaxDraws, "draws for one data set at most")
	f.StringArrayVar(&s.Calibration.Names, "data", s.Calibration.Names, "an Observe or a Sample that is data (repeatable; default: every named Observe)")
	f.StringVar(&s.Calibration.Truths, "truths", "", "run of ppx prior whose traces are the truths, of another simulator for instance (default: this simulator's)")
	var names []string
	for _, m := range jobs.Of(jobs.Infer) {
		names = append(names, m.Name+"\t"+m.Doc)
	}
	f.StringVar(&s.Method, "method", s.Method, "inference method, as of ppx infer")
	f.StringVar(&k.network, "network", "", "network file for ic, from ppx train")
	f.Float64Var(&s.Defensive, "defensive", s.Defensive, "ic: probability of a trace that is drawn from the prior")
	f.Float64Var(&s.Inflation, "prior-inflation", 0, "draw a trace's latents from widened priors with this probability (reweighted)")
	f.Float64Var(&s.LikelihoodImportance, "likelihood-importance", s.LikelihoodImportance, "exponent of the likelihood: what another than 1 does to the posterior")
	f.StringVar(&s.InvalidObserve, "invalid-observe", s.InvalidObserve, "an Observe whose parameters are invalid (NaN, say): fail (the run), or zero (the trace has no weight)")
	f.Uint64Var(&s.Seed, "seed", 0, "random seed (default: from the system; recorded)")
	f.StringVar(&s.Out, "out", "", "folder (default ppx-runs/<UTC time>-calibrate)")
	k.register(c)
	f.BoolVar(&k.resume, "resume", false, "go on with the calibration in --out; a larger -n or --max-draws extends it")
	f.BoolVar(&k.json, "json", false, "print one JSON object")
	f.BoolVar(&k.quiet, "quiet", false, "no progress")
	f.BoolVar(&k.strict, "strict", false, "exit with 1 unless the verdict is \"good\"")
	completes(c, "method", names...)
	completes(c, "invalid-observe", jobs.Fail, jobs.Zero)
	return c
}

func (k *calibrateCommand) execute(c *cobra.Command, args []string) error {
	if k.network != "" {
		if k.spec.Network = (&jobs.Ref{File: k.network}); !c.Flags().Changed("method") {
			k.spec.Method = "ic"
		}
	}
	spec, err := k.ask(c, args)
	if err != nil || spec == nil {
		return err
	}
	sets := newManySets(k.quiet)
	k.o.Resume = k.resume
	o, err := jobs.Run(c.Context(), spec, sets.options(k.o, k.quiet || k.json))
	sets.p.done()
	if o == nil {
		return err
	}
	r := view.NewCalibration(o)
	if e := k.show(c, r); e != nil && err == nil {
		return e
	}
	if err == nil && k.strict && r.Trust.Verdict != posterior.Good {
		return fmt.Errorf("--strict: the calibration is not good (%s): %s", r.Trust.Verdict, r.Trust.Reasons[0].Text)
	}
	return err
}

// drawnQuantities is how many go into the picture.
const drawnQuantities = 12

// show prints the judgement, and draws it.
func (k *calibrateCommand) show(c *cobra.Command, r *view.Calibration) error {
	list := slices.Clone(r.Quantities)
	slices.SortStableFunc(list, func(a, b view.Ranks) int { return view.Rarer(float64(a.P), float64(b.P)) })
	var drawn []report.Ranks
	special := []string{jobs.RankDistance, jobs.RankLikelihood, jobs.RankJoint} // which see what no variable does
	for _, q := range list {
		if of := slices.Contains(special, q.Name); q.Sets == 0 || !of && len(drawn) >= drawnQuantities-len(special) {
			continue
		}
		low, high := posterior.BinomialBand(q.Sets, len(q.Bins), 0.99)
		drawn = append(drawn, report.Ranks{Name: q.Name, Bins: q.Bins, Low: low, High: high})
	}
	title := fmt.Sprintf("Ranks of the truth: %s on %s", r.Method, r.Model)
	if len(drawn) < len(list) {
		title += fmt.Sprintf(" (%d of %d quantities)", len(drawn), len(list))
	}
	if len(drawn) > 0 {
		if err := report.RankHistograms(filepath.Join(r.Run, "ranks.png"), title, drawn); err != nil {
			return err
		}
	}
	if k.json {
		return view.JSON(c.OutOrStdout(), r)
	}
	r.Text(c.OutOrStdout())
	if len(drawn) > 0 {
		_, err := fmt.Fprintf(c.OutOrStdout(), "the picture: %s\n", filepath.Join(r.Run, "ranks.png"))
		return err
	}
	return nil
}
