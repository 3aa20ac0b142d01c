package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
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
	var asJSON bool
	c := &cobra.Command{
		Use:   "compare [flags] RUN RUN…",
		Short: "Show runs side by side: what differs by more than chance, and which model the data prefer",
		Long: `Compare runs with the first, variable by variable: means with errors, and how far the distributions are apart (Wasserstein distance in standard
deviations) beside what chance makes of it. For different simulators and the same data, the Bayes factor with its error: only where both score the same
data in all of their traces, and both results can be trusted.`,
		Example: "  ppx compare guided unguided\n  ppx compare model-a model-b --json",
		Args:    someRuns(2),
		RunE: func(c *cobra.Command, args []string) error {
			var runs []*jobs.Outcome
			for _, path := range args {
				o, err := jobs.Summarise(c.Context(), path, false)
				if err != nil {
					return err
				}
				runs = append(runs, o)
			}
			return print(c, view.NewComparison(runs), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
