package main

import (
	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

func newSummary() *cobra.Command {
	var show shown
	c := &cobra.Command{
		Use:   "summary [flags] RUN",
		Short: "Print the posterior table of a recorded run",
		Example: `  ppx summary ppx-runs/20260102T150405Z-infer --plot mu
  ppx summary --json RUN | jq '.variables[] | {name, mean, sd}'`,
		Args: exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := rundir.Open(args[0], nil)
			if err != nil {
				return err
			}
			sum := importance.NewSummary()
			sum.Full = show.full
			var guide unseen
			for t, err := range r.All(c.Context()) {
				if err != nil {
					return err
				}
				if err := sum.Write(c.Context(), t); err != nil {
					return err
				}
				if r.Manifest.Method == "ic" {
					guide.add(t)
				}
			}
			res := newResult(args[0], r.Manifest, sum)
			res.Warnings = append(res.Warnings, guide.warnings()...)
			switch r.Manifest.State {
			case rundir.Complete:
			case rundir.Running:
				res.Warnings = append(res.Warnings, "the run is not finished: it is being written, or was killed (--resume continues it)")
			default:
				w := "the run is " + r.Manifest.State
				if r.Manifest.Error != "" {
					w += ": " + r.Manifest.Error
				}
				res.Warnings = append(res.Warnings, w)
			}
			return res.print(c.OutOrStdout(), &show, sum)
		},
	}
	show.register(c)
	return c
}
