package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/page"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/view"
)

// predictCommand is a predict command.
type predictCommand struct {
	asked
	o      jobs.Options
	stats  []string
	json   bool
	quiet  bool
	strict bool
}

func newPredict() *cobra.Command {
	k := &predictCommand{asked: newAsked(jobs.Predict)}
	s := k.spec
	c := &cobra.Command{
		Use:   "predict [flags] RUN [--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}]]",
		Short: "Make new data from a posterior's latents, and see whether the observed ones look like them",
		Long: `Run the simulator with latents of the posterior, and let it make its data anew: replicates, a run directory like any other. Statistics of the
observed data are compared with those of replicates: mean, sd, min and max of every datum of several numbers, and of scalars whose names differ in a number; or
any expression (--stat). Where the observed data lie outside of all replicates, the model cannot make them, whatever its posterior says.

The simulator is that of RUN, unless another is given; that it still makes the same of the same latents is checked first. OUT gets a picture
(predictive.png): series as fans, with what was observed.`,
		Example: `  ppx predict RUN
  ppx predict RUN --leave-out y@3 -n 2000
  ppx predict RUN --stat 'spread=y[1] - y[0]' --prior -- ./sim {endpoint}`,
		RunE: k.execute,
	}
	f := c.Flags()
	f.SortFlags = false
	f.Uint64VarP(&s.N, "num", "n", s.N, "number of replicates")
	f.StringArrayVar(&k.stats, "stat", nil, "a statistic, NAME=EXPRESSION over data and variables (repeatable)")
	f.BoolVar(&s.Prediction.Prior, "prior", false, "latents from the prior: what the model makes without data")
	f.StringArrayVar(&s.Prediction.LeaveOut, "leave-out", s.Prediction.LeaveOut, "predict this datum from the posterior without it (repeatable)")
	f.Uint64Var(&s.Seed, "seed", 0, "random seed (default: from the system; recorded)")
	f.StringVar(&s.Out, "out", "", "run directory of the replicates (default ppx-runs/<UTC time>-predict)")
	k.register(c)
	f.BoolVar(&k.resume, "resume", false, "go on with the replicates in --out, or look at them once more")
	f.BoolVar(&k.o.Force, "force", false, "go on though the simulator does not do what it did")
	f.BoolVar(&k.json, "json", false, "print one JSON object")
	f.BoolVar(&k.quiet, "quiet", false, "no progress")
	f.BoolVar(&k.strict, "strict", false, "exit with 1 unless the verdict is \"good\"")
	return c
}

func (k *predictCommand) execute(c *cobra.Command, args []string) error {
	own, command := splitDash(c, args)
	switch {
	case len(own) > 1:
		return usagef("ppx predict wants one run directory, got %d arguments (see ppx predict --help)", len(own))
	case len(own) == 1 && (k.resume || k.file != ""):
		return usagef("the run is settled by --resume and --job: leave %s away", ppx.Quote(own[0]))
	case len(own) == 1:
		k.spec.Prediction.Run = own[0]
		if len(command) == 0 && len(k.sim.s.Connect) == 0 {
			sim, err := jobs.SimulatorOf(own[0])
			if err != nil {
				return err
			}
			command, k.sim.s.Connect = sim.Command, sim.Connect
		}
	case !k.resume && k.file == "":
		return usagef("which run? Give a run directory")
	}
	var stats []judge.Stat
	for _, s := range k.stats {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return usagef("--stat %s: want NAME=EXPRESSION", ppx.Quote(s))
		}
		stats = append(stats, judge.Stat{Name: name, Value: value})
	}
	spec, err := k.askFor(c, command)
	if err != nil || spec == nil {
		return err
	}
	if err := judge.CheckStats(c.Context(), spec.Prediction.Run, stats); err != nil {
		return err
	}
	var last engine.Stats
	p := newProgress(k.quiet, false, func() string { return simulators(last) })
	o := p.options(k.o)
	o.Resume = k.resume
	o.Progress = func(x importance.Progress, s engine.Stats) {
		last = s
		p.show(x)
	}
	outcome, err := jobs.Run(c.Context(), spec, o)
	p.done()
	if outcome == nil {
		return err
	}
	predictive, e := jobs.Predicted(c.Context(), outcome.Dir, stats)
	if e != nil {
		if err == nil {
			err = fmt.Errorf("%w (the replicates are in %s: ppx predict --resume --out %s looks at them once more)", e, outcome.Dir, outcome.Dir)
		}
		return err
	}
	r := view.NewPrediction(outcome.Dir, predictive)
	if !spec.Prediction.Prior && len(spec.Prediction.LeaveOut) == 0 { // else it is of other weights
		parent, e := jobs.Summarise(c.Context(), spec.Prediction.Run, false)
		if e != nil {
			return e
		}
		r.From(view.NewPosterior(parent))
	}
	if e := k.show(c, r, predictive); e != nil && err == nil {
		return e
	}
	if err == nil && k.strict && r.Verdict != posterior.Good {
		return fmt.Errorf("--strict: the prediction is not good (%s): %s", r.Verdict, r.Findings[0])
	}
	return err
}

// show prints the judgement, and draws it.
func (k *predictCommand) show(c *cobra.Command, r *view.Prediction, x *judge.Predictive) error {
	picture := filepath.Join(r.Run, "predictive.png")
	drawn, err := page.Predictive(picture, r.Kind, x)
	if err != nil {
		fmt.Fprintf(os.Stderr, "ppx: no picture: %v\n", err)
		drawn = false
	}
	w := c.OutOrStdout()
	if k.json {
		return view.JSON(w, r)
	}
	r.Text(w)
	if drawn {
		_, err := fmt.Fprintf(w, "the picture: %s\n", picture)
		return err
	}
	return nil
}
