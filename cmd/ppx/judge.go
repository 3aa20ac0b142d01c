package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/view"
)

func someRuns(least int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef("which run? Give %d run directories or more", least)
		}
		return nil
	}
}

func newDiagnose() *cobra.Command {
	var asJSON, strict bool
	c := &cobra.Command{
		Use:   "diagnose [flags] RUN…",
		Short: "Say in words how far a result can be trusted, why, and what to do",
		Long: `Look at recorded runs: findings in words, the worst first, each with what it means and what to do, and a verdict. It is the verdict of
the table, and what else there is to see.`,
		Example: "  ppx diagnose RUN\n  ppx diagnose --strict RUN && publish",
		Args:    someRuns(1),
		RunE: func(c *cobra.Command, args []string) error {
			var bad []string
			var list []*view.Diagnosis
			for _, path := range args {
				o, halves, err := jobs.Halves(c.Context(), path)
				if err != nil {
					return err
				}
				d := view.NewDiagnosis(o, halves)
				if o.Manifest.Network != nil {
					loops, err := inspect.RejectionLoops(c.Context(), path)
					if err != nil {
						return err
					}
					d.Loops(loops)
				}
				if d.Verdict != posterior.Good {
					bad = append(bad, fmt.Sprintf("%s (%s)", path, d.Verdict))
				}
				list = append(list, d)
			}
			w := c.OutOrStdout()
			switch {
			case asJSON && len(list) == 1:
				if err := view.JSON(w, list[0]); err != nil {
					return err
				}
			case asJSON:
				if err := view.JSON(w, map[string]any{"schema": view.Schema, "runs": list}); err != nil {
					return err
				}
			default:
				for i, d := range list {
					if i > 0 {
						fmt.Fprintln(w)
					}
					d.Text(w)
				}
			}
			if strict && len(bad) > 0 {
				return fmt.Errorf("--strict: not good: %s", bad[0])
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&strict, "strict", false, "exit with 1 unless every verdict is \"good\"")
	return c
}

func newCompare() *cobra.Command {
	var asJSON, powers, loo, classify bool
	var logLikelihood string
	c := &cobra.Command{
		Use:   "compare [flags] RUN RUN…",
		Short: "Show runs side by side: what differs by more than chance, and which model the data prefer",
		Long: `Compare runs with the first, variable by variable: means with errors, and how far the distributions are apart (Wasserstein distance in standard
deviations) beside what chance makes of it. For different simulators and the same data, the Bayes factor with its error: only where both score the same
data in all of their traces, and both results can be trusted.

On request: how each posterior moves when prior or likelihood is raised to a power (--powers), how well each model predicts every number of the data from
all others (--loo), and how well a network tells the draws of two runs apart (--c2st). --powers, --loo and --log-likelihood also take a single run.`,
		Example: `  ppx compare guided unguided
  ppx compare model-a model-b --loo --json
  ppx compare RUN --log-likelihood loglik.npz   # for ArviZ`,
		Args: func(c *cobra.Command, args []string) error {
			least := 2
			if powers || loo || logLikelihood != "" {
				least = 1
			}
			return someRuns(least)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			var runs []*jobs.Outcome
			for _, path := range args {
				o, err := jobs.Summarise(ctx, path, false)
				if err != nil {
					return err
				}
				runs = append(runs, o)
			}
			if logLikelihood != "" {
				switch {
				case len(args) > 1:
					return usagef("--log-likelihood is of one run, got %d", len(args))
				case filepath.Ext(logLikelihood) != ".npz":
					return usagef("--log-likelihood %s: want a file that ends in .npz", ppx.Quote(logLikelihood))
				}
				if err := judge.WriteLogLikelihood(ctx, args[0], logLikelihood); err != nil {
					return err
				}
			}
			v := view.NewComparison(runs)
			for i, path := range args {
				if powers {
					x, err := judge.ScalePowers(ctx, path)
					if err != nil {
						return err
					}
					v.AddPowers(i, x)
				}
				if loo {
					x, err := judge.LeaveOneOut(ctx, path)
					if err != nil {
						return err
					}
					v.AddLeaveOneOut(i, x)
				}
				if classify && i > 0 {
					x, err := judge.TellApart(ctx, side(runs[0]), side(runs[i]), 1)
					switch {
					case errors.Is(err, judge.ErrUse): // the rest is there all the same
						v.AddNoC2ST(i, err)
					case err != nil:
						return err
					default:
						v.AddC2ST(i, x)
					}
				}
			}
			return print(c, v, asJSON)
		},
	}
	f := c.Flags()
	f.BoolVar(&powers, "powers", false, "how the posterior moves when prior or likelihood is raised to 0.8 and 1.25")
	f.BoolVar(&loo, "loo", false, "predict each number of the data from all others: leave-one-out log densities")
	f.BoolVar(&classify, "c2st", false, "train a classifier to tell the draws of each run from the first's")
	f.StringVar(&logLikelihood, "log-likelihood", "", "write the log density of each number of the data in each trace to this .npz file (one run)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// side is a run as package judge takes it.
func side(o *jobs.Outcome) judge.Run {
	return judge.Run{Dir: o.Dir, Manifest: o.Manifest, Summary: o.Summary}
}
