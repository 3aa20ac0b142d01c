package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/derive"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

func newDerive() *cobra.Command {
	var o derive.Options
	var out string
	var lets, observe, files []string
	var quiet bool
	var show shown
	c := &cobra.Command{
		Use:   "derive [flags] RUN -o OUT",
		Short: "Make a run of a recorded one: filter it, add variables, take other data, resample",
		Long: `Make a run directory of a recorded one, without the simulator. What is asked for is done in this order:

  --thin K                    every K-th draw
  --observe NAME=VALUE        score the Observes of that name against other data; exact, as the weights are those of the new posterior
                              (how many traces it rests on, the effective sample size says)
  --let NAME=EXPRESSION       a new variable
  --where CONDITION           only traces for which it is true; the evidence is then that of the model restricted to them
  --likelihood-importance B   another exponent of the likelihood
  --resample N                N traces of equal weight; the errors stay those of the run that they were drawn from

Expressions know the variables as "ppx summary" prints them (x, v[0], x@2, result; in backquotes any name), log_weight, log_likelihood, draw,
statements, seconds, the operators + - * / ^ < <= == != >= > and or not ?:, and the functions ` + strings.Join(expression.Functions(), " ") + `.
A trace that lacks a variable lacks what is computed from it, and fails a condition on it.`,
		Example: `  ppx derive RUN -o high --let 'pt=sqrt(px^2+py^2)' --where 'pt > 20 and channel == 3'
  ppx derive RUN -o other --observe obs0=7.5 --observe obs1=9
  ppx derive RUN -o plain --resample 1000`,
		Args: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usagef("into which folder? Give -o OUT")
			}
			return exactArgs(1, "one run directory")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			f := c.Flags()
			switch {
			case f.Changed("thin") && o.Thin == 0, f.Changed("resample") && o.Resample == 0:
				return usagef("--thin and --resample must be at least 1")
			case f.Changed("likelihood-importance") && !(o.LikelihoodImportance > 0):
				return usagef("--likelihood-importance %g must be positive", o.LikelihoodImportance)
			case !f.Changed("thin") && !f.Changed("resample") && !f.Changed("likelihood-importance") && o.Where == "" && len(lets)+len(observe)+len(files) == 0:
				return usagef("what is to be done? Give --where, --let, --observe, --likelihood-importance, --resample or --thin (see %s --help)", c.CommandPath())
			}
			for _, l := range lets {
				name, value, ok := strings.Cut(l, "=")
				if !ok || strings.TrimSpace(name) == "" {
					return usagef("--let %s: want NAME=EXPRESSION", ppx.Quote(l))
				}
				o.Let = append(o.Let, derive.Let{Name: strings.TrimSpace(name), Value: value})
			}
			data, err := parseData(c.Context(), observe, files, false)
			if err != nil {
				return err
			}
			if len(data) > 0 {
				o.Observe = map[string]ppx.Tensor{}
				for name, d := range data {
					o.Observe[name] = d.Value
				}
			}
			p := newProgress(quiet, false, func() string { return "" })
			say := throttle(p.every())
			o.Version = versionString()
			o.Progress = func(done, of uint64) {
				if say() {
					p.line(float64(done)/float64(max(1, of)), fmt.Sprintf("%s/%s traces", text.Thousands(done), text.Thousands(of)))
				}
			}
			_, err = derive.Run(c.Context(), args[0], out, o)
			p.done()
			return derived(c, out, &show, err)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&out, "output", "o", "", "run directory to write")
	f.Uint64Var(&o.Thin, "thin", 0, "take every so many-th draw")
	f.StringArrayVar(&observe, "observe", nil, "other data, as for infer (repeatable)")
	f.StringArrayVar(&files, "observe-file", nil, "other data from a .json object or a .csv file (repeatable)")
	f.StringArrayVar(&lets, "let", nil, "a new variable, NAME=EXPRESSION (repeatable)")
	f.StringVar(&o.Where, "where", "", "keep traces for which this is true")
	f.Float64Var(&o.LikelihoodImportance, "likelihood-importance", 0, "exponent of the likelihood")
	f.Uint64Var(&o.Resample, "resample", 0, "draw so many traces of equal weight")
	f.Uint64Var(&o.Seed, "seed", 0, "random seed of resampling")
	show.register(c)
	f.BoolVar(&quiet, "quiet", false, "no progress")
	return c
}

func newJoin() *cobra.Command {
	var out string
	var quiet bool
	var show shown
	c := &cobra.Command{
		Use:   "join [flags] RUN… -o OUT",
		Short: "Pool runs of one job with different seeds",
		Long: `Pool the traces of runs that differ in their seeds only: what a longer run would have given. Shards of one seed (--first) are for
"ppx merge".`,
		Example: "  ppx join monday tuesday -o both",
		Args: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usagef("into which folder? Give -o OUT")
			}
			if len(args) < 2 {
				return usagef("which runs? Give two run directories or more")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			p := newProgress(quiet, false, func() string { return "" })
			say := throttle(p.every())
			_, err := derive.Join(c.Context(), args, out, versionString(), func(done, of uint64) {
				if say() {
					p.line(float64(done)/float64(max(1, of)), fmt.Sprintf("%s/%s traces", text.Thousands(done), text.Thousands(of)))
				}
			})
			p.done()
			return derived(c, out, &show, err)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&out, "output", "o", "", "run directory to write")
	show.register(c)
	f.BoolVar(&quiet, "quiet", false, "no progress")
	return c
}

// derived shows a run that was made of others, or says what is wrong with what was asked for.
func derived(c *cobra.Command, out string, show *shown, err error) error {
	var expr *expression.Error
	switch {
	case errors.Is(err, rundir.ErrExists):
		return usagef("%w; give another -o", err)
	case errors.Is(err, derive.ErrUse), errors.Is(err, rundir.ErrMerge), errors.Is(err, control.ErrName), errors.As(err, &expr):
		return usageError{err}
	case err != nil:
		return err
	}
	o, err := jobs.Summarise(c.Context(), out, show.full)
	if err != nil {
		return err
	}
	return show.print(c.OutOrStdout(), view.NewPosterior(o))
}
