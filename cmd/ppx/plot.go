package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/page"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/view"
)

func newPlot() *cobra.Command {
	return verbs("plot", "Draw pictures of what was recorded", newPlotMarginals(), newPlotPairs(), newPlotWeights(), newPlotChains(), newPlotLadder(), newPlotPredictive(), newPlotTraining(), newPlotGraph(), newPlotTensor())
}

func newPlotMarginals() *cobra.Command {
	var out, truth string
	var vars, given []string
	c := &cobra.Command{
		Use:   "marginals [flags] RUN…",
		Short: "Draw the histograms of variables, of several runs one over the other",
		Example: `  ppx plot marginals RUN -o posterior.png
  ppx plot marginals guided unguided --var mu --var sigma --truth mu=7.2 -o both.png
  ppx plot marginals RUN --truth-from prior:17 -o posterior.png`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which run? Give a run directory")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := picture(out); err != nil {
				return err
			}
			known := map[string]float64{}
			if truth != "" {
				if err := truthsOf(c.Context(), truth, known); err != nil {
					return err
				}
			}
			marked, err := truths(given, known)
			if err != nil {
				return err
			}
			return plotMarginals(c.Context(), out, args, vars, known, marked)
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "", "file to write: .png, .pdf or .svg")
	f.StringArrayVar(&vars, "var", nil, "variable to draw (repeatable; default: the first nine named ones)")
	f.StringArrayVar(&given, "truth", nil, "true value to mark, NAME=NUMBER (repeatable)")
	f.StringVar(&truth, "truth-from", "", "mark the values of a recorded trace, RUN:DRAW")
	return c
}

// picture checks the name of the file to write.
func picture(path string) error {
	if path == "" {
		return usagef("which file? Give -o FILE.png (or .pdf, .svg)")
	}
	if err := report.CheckPath(path); err != nil {
		return usagef("-o %w", err)
	}
	return nil
}

// truthsOf reads the named values of a trace.
func truthsOf(ctx context.Context, where string, into map[string]float64) error {
	at := strings.LastIndexByte(where, ':')
	if at < 0 {
		return usagef("--truth-from %s: want RUN:DRAW", ppx.Quote(where))
	}
	r, t, err := recorded([]string{where[:at], where[at+1:]})
	if err != nil {
		return err
	}
	// What a value is called depends on all traces: v is v[0] where some have more elements.
	var vars tracing.Variables
	for other, err := range r.All(ctx) {
		if err != nil {
			return err
		}
		vars.Each(other, func(int, tracing.Quantity, ppx.Tensor) {})
	}
	vars.Each(t, func(_ int, q tracing.Quantity, v ppx.Tensor) {
		for i, x := range v.Data {
			into[vars.Label(q, v.Shape, i)] = x
		}
	})
	return nil
}

// plotMarginals draws the variables, or those that there are, with the truths that are known; marked are names that must be among them.
func plotMarginals(ctx context.Context, out string, paths, vars []string, truths map[string]float64, marked []string) error {
	var runs []*view.Posterior
	for _, path := range paths {
		r, err := judged(ctx, path)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	for _, name := range marked {
		if !slices.ContainsFunc(runs, func(r *view.Posterior) bool { return r.Variable(name) != nil }) {
			return usagef("--truth: %s has no variable %s", paths[0], ppx.Quote(name))
		}
	}
	return misused(page.Marginals(out, runs, vars, truths))
}

func newPlotTensor() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:     "tensor [flags] RUN DRAW NAME",
		Short:   "Draw a tensor of a trace: a vector, an image, or the three projections of a volume",
		Example: `  ppx plot tensor prior 17 image -o image.png`,
		Args:    exactArgs(3, "a run directory, the number of a draw, and the name of a statement"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := picture(out); err != nil {
				return err
			}
			_, t, err := recorded(args[:2])
			if err != nil {
				return err
			}
			var names []string
			var occ tracing.Occurrences
			for i := range t.Sites {
				k := occ.Next(&t.Sites[i])
				if k == 0 {
					continue
				}
				name := tracing.OccurrenceName(t.Table.Name(t.Sites[i].Name), int(k))
				if name != args[2] {
					names = append(names, name)
					continue
				}
				v := t.Value(i)
				if err := report.Tensor(out, fmt.Sprintf("%s of draw %s", ppx.Printable(name), args[1]), v.Data, report.Squeezed(v.Shape)); err != nil {
					return usageError{err}
				}
				return nil
			}
			return usagef("draw %s has no statement named %s (it has %s)", args[1], ppx.Quote(args[2]), ppx.List(names, 40))
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "file to write: .png, .pdf or .svg")
	return c
}
