package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/view"
)

func newTraceDiff() *cobra.Command {
	var v listing
	c := &cobra.Command{
		Use:   "diff [flags] RUN RUN | RUN DRAW DRAW | RUN DRAW RUN DRAW",
		Short: "Tell two runs apart, or two traces",
		Long: `Two runs: which variables have moved (as from the prior to a posterior), which addresses and trace types have gained or lost weight.
Two traces: where they part, and their statements side by side. How far two results may differ by chance is told by "ppx compare".`,
		Example: "  ppx trace diff PRIOR POSTERIOR\n  ppx trace diff RUN 3 17",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 4 {
				return usagef("%s wants two runs, or a run and two draws, or a run and a draw twice (see %s --help)", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 2 {
				return diffRuns(c, args[0], args[1], &v)
			}
			other := []string{args[0], args[2]}
			if len(args) == 4 {
				other = args[2:]
			}
			r, a, err := recorded(args[:2])
			if err != nil {
				return err
			}
			_, b, err := recorded(other)
			if err != nil {
				return err
			}
			nameA, nameB := "draw "+args[1], "draw "+other[1]
			if other[0] != args[0] {
				nameA, nameB = fmt.Sprintf("%s of %s", nameA, args[0]), fmt.Sprintf("%s of %s", nameB, other[0])
			}
			x := view.NewTwoTraces(nameA, nameB, a, b, inspect.Places(r))
			if v.json {
				return view.JSON(c.OutOrStdout(), x)
			}
			x.Text(c.OutOrStdout(), v.num)
			return nil
		},
	}
	v.register(c, 40, "rows of each table")
	return c
}

func diffRuns(c *cobra.Command, a, b string, v *listing) error {
	if _, err := strconv.ParseUint(b, 10, 64); err == nil {
		return usagef("%s and one draw: give another draw, or another run", a)
	}
	var results []*view.Posterior
	var runs []*inspect.Run
	for _, path := range []string{a, b} {
		x, err := judged(c.Context(), path)
		if err != nil {
			return err
		}
		r, err := inspect.Open(c.Context(), path)
		if err != nil {
			return err
		}
		results, runs = append(results, x), append(runs, r)
	}
	addresses, types, err := inspect.Changes(c.Context(), runs[0], runs[1])
	if err != nil {
		return err
	}
	return print(c, view.NewChanges(results[0], results[1], addresses, types, append(runs[0].Damaged, runs[1].Damaged...), v.num), v.json)
}
