package main

import (
	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/view"
)

func newSummary() *cobra.Command {
	var show shown
	var truth string
	c := &cobra.Command{
		Use:   "summary [flags] RUN…",
		Short: "Print the posterior table of a recorded run, or those of several side by side",
		Example: `  ppx summary ppx-runs/20260102T150405Z-infer --plot mu
  ppx summary --json RUN | jq '.variables[] | {name, mean, sd}'
  ppx summary guided unguided --truth-from prior:17`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which run? Give a run directory")
			}
			if show.json && (len(args) > 1 || truth != "") {
				return usagef("--json prints one run, without --truth-from")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var runs []*view.Posterior
			for _, path := range args {
				o, err := jobs.Summarise(c.Context(), path, show.full)
				if err != nil {
					return err
				}
				runs = append(runs, view.NewPosterior(o))
			}
			if len(runs) == 1 && truth == "" {
				return show.print(c.OutOrStdout(), runs[0])
			}
			truths := map[string]float64{}
			if truth != "" {
				if err := truthsOf(c.Context(), truth, truths); err != nil {
					return err
				}
			}
			return view.SideBySide(c.OutOrStdout(), runs, truths)
		},
	}
	show.register(c)
	c.Flags().StringVar(&truth, "truth-from", "", "show the values of a recorded trace beside, RUN:DRAW")
	return c
}
