package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/view"
)

// runAndNames is for verbs on variables of a run.
func runAndNames(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("%s wants a run directory, and perhaps variables (see %s --help)", c.CommandPath(), c.CommandPath())
	}
	return nil
}

// valuesOf reads variables, and judges the run.
func valuesOf(c *cobra.Command, run string, names []string, most int) (*inspect.Run, []inspect.Values, *view.Posterior, error) {
	result, err := judged(c.Context(), run)
	if err != nil {
		return nil, nil, nil, err
	}
	r, err := inspect.Open(c.Context(), run)
	if err != nil {
		return nil, nil, nil, err
	}
	v, err := r.Values(c.Context(), names, most)
	if errors.Is(err, inspect.ErrVariable) {
		err = usageError{err}
	}
	return r, v, result, err
}

func newTraceHist() *cobra.Command {
	var asJSON bool
	var with []string
	var bins int
	c := &cobra.Command{
		Use:   "hist [flags] RUN [VARIABLE…]",
		Short: "Draw histograms in the terminal, of several runs side by side",
		Example: `  ppx trace hist RUN mu sigma
  ppx trace hist PRIOR mu --with POSTERIOR`,
		Args: runAndNames,
		RunE: func(c *cobra.Command, args []string) error {
			if bins < 2 || bins > 1000 {
				return usagef("--bins %d: want a number from 2 to 1,000", bins)
			}
			names := args[1:]
			var values [][]inspect.Values
			var results []*view.Posterior
			var damaged []string
			for _, run := range append([]string{args[0]}, with...) {
				r, v, result, err := valuesOf(c, run, names, 3)
				if err != nil {
					return err
				}
				if len(names) == 0 {
					for i := range v {
						names = append(names, v[i].Name)
					}
				}
				values, results, damaged = append(values, v), append(results, result), append(damaged, r.Damaged...)
			}
			return print(c, view.NewHistograms(results, values, bins, damaged), asJSON)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringArrayVar(&with, "with", nil, "another run, in the same bins (repeatable)")
	f.IntVar(&bins, "bins", 20, "how many bins at most")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func newTracePairs() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "pairs [flags] RUN [VARIABLE…]",
		Short:   "Draw in the terminal how variables lie together, two by two",
		Example: "  ppx trace pairs RUN mu sigma\n  ppx trace pairs RUN px py pz",
		Args:    runAndNames,
		RunE: func(c *cobra.Command, args []string) error {
			names := args[1:]
			if len(names) == 1 || len(names) > 8 {
				return usagef("%d variables: want two to eight", len(names))
			}
			r, v, result, err := valuesOf(c, args[0], names, 3)
			if err != nil {
				return err
			}
			if len(v) < 2 {
				return usagef("%s has one variable only: there are no pairs", args[0])
			}
			var planes []inspect.Plane
			for i := range v {
				for j := range i {
					planes = append(planes, inspect.Together(&v[j], &v[i], 56, 16))
				}
			}
			return print(c, view.NewPairs(result, planes, r.Damaged), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
