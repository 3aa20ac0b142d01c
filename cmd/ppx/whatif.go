package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
	"github.com/ppx-engine/ppx-engine/whatif"
)

// asking is what the verbs share that ask a simulator about a recorded run.
type asking struct {
	listing
	sim   simulator
	force bool
	quiet bool
	w     jobs.WhatIf
	o     jobs.Options
	p     *progress
}

func (k *asking) register(c *cobra.Command, num int, what string) {
	k.listing.register(c, num, what)
	f := c.Flags()
	f.Uint64Var(&k.w.Seed, "seed", 0, "random seed of what is drawn anew")
	k.sim.register(f, true)
	f.BoolVar(&k.force, "force", false, "go on though the simulator does not do what it did")
	f.BoolVar(&k.quiet, "quiet", false, "no progress")
}

// prepare settles the run and the simulator; total is told how many runs are to be made, once that is known (0: not known).
func (k *asking) prepare(run string, command []string, total *int) (err error) {
	k.w.Run = run
	if k.w.Simulator, err = k.sim.of(run, command, remark); err != nil {
		return err
	}
	k.o = jobs.Options{Version: versionString(), Force: k.force, Remark: remark}
	k.p = newProgress(k.quiet, false, func() string { return "" })
	say, start := throttle(k.p.every()), time.Now()
	k.w.Done = func(done int) {
		if !say() {
			return
		}
		rate := float64(done) / time.Since(start).Seconds()
		line := fmt.Sprintf("%s/%s runs  %s runs/s", text.Thousands(uint64(done)), text.Thousands(uint64(*total)), view.Figure(view.Round(rate)))
		if left := *total - done; left > 0 && rate > 0 {
			line += "  " + view.Short(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
		}
		k.p.line(float64(done)/float64(max(1, *total)), line)
	}
	return nil
}

// unaskable says what is wrong with what was asked for.
func unaskable(err error) error {
	var e *expression.Error
	if errors.Is(err, whatif.ErrUse) || errors.As(err, &e) {
		return usageError{err}
	}
	return err
}

// over ends the progress: the judgement of the run that was asked about, or what is wrong.
func (k *asking) over(ctx context.Context, err error) (*view.Posterior, error) {
	k.p.done()
	if err != nil {
		return nil, unaskable(err)
	}
	return judged(ctx, k.w.Run)
}

// judged is the judgement of a recorded run.
func judged(ctx context.Context, run string) (*view.Posterior, error) {
	o, err := jobs.Summarise(ctx, run, false)
	if err != nil {
		return nil, err
	}
	return view.NewPosterior(o), nil
}

func newTraceIntervene() *cobra.Command {
	var k asking
	var sets []string
	var rest string
	x := &jobs.Intervention{}
	c := &cobra.Command{
		Use:   "intervene [flags] RUN [DRAW] --set NAME=VALUE [--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}]]",
		Short: "What would have happened: make traces again with some draws set to other values",
		Long: `Make one recorded trace, or all of a run, again with some draws set to other values: do(NAME=VALUE). What comes after them is, by --rest,

  noise   what the same noise makes of it: the counterfactual (a draw keeps its place in its distribution, which may now be another one)
  fresh   drawn anew from the prior
  keep    kept as it is, which blocks every effect through another draw: the direct effect

Observed data become what would have been observed; they are not conditioned on again, and each trace keeps its weight: what comes out is what would have
happened to the posterior's draws. The posterior under a changed model is another thing: infer with a simulator that is changed.

NAME is a Sample, name@2 its second occurrence, name[3] an element, or an address; VALUE a number, [a, list], or an expression over the recorded trace.
Of a whole run the traces go into a run directory, which every other command takes.`,
		Example: `  ppx trace intervene RUN 17 --set channel=2
  ppx trace intervene RUN --set 'contacts=0.6*contacts' --out cut
  ppx trace intervene RUN --set mu=0 --rest fresh -n 1000`,
		Args: func(c *cobra.Command, args []string) error {
			own, _ := splitDash(c, args)
			if len(own) < 1 || len(own) > 2 {
				return usagef("%s wants a run directory, and perhaps the number of a draw, got %d arguments (see %s --help)", c.CommandPath(), len(own), c.CommandPath())
			}
			if len(sets) == 0 {
				return usagef("what is to be set? Give --set NAME=VALUE")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitDash(c, args)
			var ok bool
			if x.Rest, ok = map[string]control.Rest{"noise": control.Noise, "fresh": control.Fresh, "keep": control.Keep}[rest]; !ok {
				return usagef("--rest %s: want noise, fresh or keep", ppx.Quote(rest))
			}
			for _, s := range sets {
				setting, err := whatif.ParseSetting(s)
				if err != nil {
					return unaskable(err)
				}
				if err := expression.Check(setting.Value); err != nil && !strings.HasPrefix(setting.Value, "[") {
					return usagef("--set %s: %w", ppx.Quote(setting.Name), err)
				}
				x.Settings = append(x.Settings, setting)
			}
			total := 0
			if err := k.prepare(own[0], command, &total); err != nil {
				return err
			}
			if len(own) == 2 {
				return k.one(c, x, own)
			}
			m, err := rundir.ReadManifest(own[0])
			if err != nil {
				return err
			}
			if total = int(m.Counts.Traces); x.N > 0 {
				total = min(total, int(x.N))
			}
			if x.Out == "" {
				x.Out = jobs.FreshDirectory("intervene")
			}
			changed, err := k.w.All(c.Context(), x, k.o)
			parent, err := k.over(c.Context(), err)
			if err != nil {
				return err
			}
			return print(c, view.NewIntervened(own[0], x.Words(), changed, parent), k.json)
		},
	}
	k.register(c, 0, "")
	f := c.Flags()
	f.StringArrayVar(&sets, "set", nil, "NAME=VALUE (repeatable)")
	f.StringVar(&rest, "rest", "noise", "what comes after: noise, fresh or keep")
	f.StringVar(&x.Out, "out", "", "run directory of what would have happened (default ppx-runs/<UTC time>-intervene)")
	f.Uint64VarP(&x.N, "num", "n", 0, "make so many traces again, from the first; 0: all")
	return c
}

// one intervenes in one trace.
func (k *asking) one(c *cobra.Command, x *jobs.Intervention, own []string) error {
	row, err := strconv.ParseUint(own[1], 10, 64)
	if err != nil {
		return usagef("%s is no number of a draw", ppx.Quote(own[1]))
	}
	if x.Out != "" || x.N > 0 {
		return usagef("--out and -n go with a whole run: leave the draw away")
	}
	k.sim.workers = "1"
	before, after, err := k.w.One(c.Context(), x, row, k.o)
	if err != nil {
		return unaskable(err)
	}
	r, err := rundir.Open(own[0], nil)
	if err != nil {
		return err
	}
	v := view.NewTwoTraces(fmt.Sprintf("draw %d", row), "would be", before, after, inspect.Places(r))
	v.Do = x.Words()
	if k.json {
		return view.JSON(c.OutOrStdout(), v)
	}
	v.Text(c.OutOrStdout(), 200)
	return nil
}

func newTraceWhy() *cobra.Command {
	var k asking
	x := &jobs.Sensitivity{}
	c := &cobra.Command{
		Use:   "why [flags] RUN [--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}]]",
		Short: "Which draws matter: redraw those of one address at a time, and see what moves",
		Long: `Take traces of a run by their weights, and make each again with the draws at one address drawn anew and the noise of all others kept. How much an outcome
(the result, a Tag, what would have been observed) moves is the total effect of that address: the share of the outcome's variance that is left when all other draws are known.
Of a run of the prior that is Sobol's total index; of a posterior, how much its draws still decide. Beside it stands how much narrower the posterior of these draws is
than their prior, from runs of the prior.

That takes a run of the simulator for each trace and each address, and as many of the prior as there are traces; how many is said before they begin.`,
		Example: "  ppx trace why RUN\n  ppx trace why RUN --of result --of 'peak' --traces 1000\n  ppx trace why RUN -n 5",
		Args: func(c *cobra.Command, args []string) error {
			own, _ := splitDash(c, args)
			return exactArgs(1, "one run directory")(c, own)
		},
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitDash(c, args)
			if x.N < 10 || x.N > 1_000_000 {
				return usagef("--traces %d: want a number from 10 to 1,000,000", x.N)
			}
			x.Addresses, x.Prior = k.num, x.N
			total := 0
			if err := k.prepare(own[0], command, &total); err != nil {
				return err
			}
			x.Planned = func(traces, addresses, runs int) {
				total = runs
				if !k.quiet {
					remark(fmt.Sprintf("%d addresses, redrawn in %d traces, and the prior: %s runs of the simulator", addresses, traces, text.Thousands(uint64(runs))))
				}
			}
			y, err := k.w.Why(c.Context(), x, k.o)
			parent, err := k.over(c.Context(), err)
			if err != nil {
				return err
			}
			r, err := rundir.Open(own[0], nil)
			if err != nil {
				return err
			}
			return print(c, view.NewWhy(own[0], y, inspect.Places(r), parent), k.json)
		},
	}
	k.register(c, 20, "addresses to redraw by themselves (the others together)")
	f := c.Flags()
	f.IntVar(&x.N, "traces", 200, "how many traces are drawn by their weights")
	f.StringArrayVar(&x.Outcomes, "of", nil, "an outcome: any variable (repeatable; default: the result, Tags and Observes)")
	return c
}
