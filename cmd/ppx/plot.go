package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/view"
)

func newPlot() *cobra.Command {
	return verbs("plot", "Draw pictures of what was recorded", newPlotMarginals(), newPlotTensor())
}

func newPlotMarginals() *cobra.Command {
	var out, truth string
	var vars, given, marked []string
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
			truths := map[string]float64{}
			if truth != "" {
				if err := truthsOf(c.Context(), truth, truths); err != nil {
					return err
				}
			}
			for _, g := range given {
				at := max(0, strings.LastIndexByte(g, '=')) // names may hold one
				v, err := strconv.ParseFloat(strings.TrimPrefix(g[at:], "="), 64)
				if err != nil || at == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
					return usagef("--truth %s: want NAME=NUMBER", ppx.Quote(g))
				}
				truths[g[:at]] = v
				marked = append(marked, g[:at])
			}
			return plotMarginals(c.Context(), out, args, vars, truths, marked)
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
	var labels []string
	var runs []*view.Posterior
	model := ""
	for _, path := range paths {
		o, err := jobs.Summarise(ctx, path, false)
		if err != nil {
			return err
		}
		r := view.NewPosterior(o)
		runs = append(runs, r)
		if model == "" {
			model = r.Model
		}
		ess := "ESS " + view.Figure(math.Round(r.Sum.ESS()*10)/10)
		label := map[string]string{"is": "importance sampling", "ic": "with the network", "smc": "particles", "lmh": "chains", "rmh": "chains", "ic-mh": "chains with the network"}[r.Method]
		if label == "" {
			label = r.Method
		}
		if r.Auto != nil {
			label = "auto: " + label
		}
		if r.Conditioned {
			label += ", " + ess
		}
		if len(paths) > 1 && r.Conditioned && r.Trust.Verdict == posterior.None {
			label += ": not trusted"
		}
		labels = append(labels, label)
	}
	if len(vars) == 0 {
		vars = plottable(runs[0].Sum)
	}
	for _, name := range marked {
		if !slices.ContainsFunc(runs, func(r *view.Posterior) bool { return r.Variable(name) != nil }) {
			return usagef("--truth: %s has no variable %s", paths[0], ppx.Quote(name))
		}
	}
	var ms []report.Marginal
	for _, name := range vars {
		m := report.Marginal{Name: ppx.Printable(name), Truth: math.NaN()}
		if v, ok := truths[name]; ok {
			m.Truth = v
		}
		warning, bad := "", 0
		for i, r := range runs {
			h, err := r.Sum.Histogram(name, 30)
			if err != nil {
				return usagef("%s: %w", paths[i], err)
			}
			v := r.Variable(name)
			thin := r.Conditioned && float64(v.ESS) < sticksBelow
			if thin {
				h = r.Sum.Sticks(name, 50)
			}
			m.Sparse = append(m.Sparse, thin)
			if r.Conditioned && v.Trust.Verdict == posterior.None {
				bad++
				if warning = "not to be trusted"; thin {
					warning = "ESS " + view.Figure(math.Round(float64(v.ESS)*10)/10)
				}
			}
			var bins []report.Bin
			for _, b := range h {
				bins = append(bins, report.Bin(b))
			}
			m.Runs = append(m.Runs, bins)
		}
		if bad == len(runs) { // else others are good: their picture is not to be crossed out
			m.Warning = warning
		}
		ms = append(ms, m)
	}
	if len(ms) == 0 {
		return usagef("%s has no variable to draw", paths[0])
	}
	return report.Marginals(out, "marginals of "+ppx.Printable(model), labels, ms)
}

// sticksBelow is the effective sample size below which a histogram would pretend to a shape.
const sticksBelow = 10

// plottable is the variables that are drawn unless told otherwise.
func plottable(sum *posterior.Summary) (names []string) {
	for _, v := range sum.Variables() {
		if v.Kind == posterior.TensorKind || strings.HasPrefix(v.Name, "result") || len(names) == 9 {
			continue
		}
		if _, err := sum.Histogram(v.Name, 30); err == nil { // else it is NaN somewhere, or has no weight
			names = append(names, v.Name)
		}
	}
	return names
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
				var shape []int
				for _, d := range v.Shape {
					if d != 1 {
						shape = append(shape, int(d))
					}
				}
				if err := report.Tensor(out, fmt.Sprintf("%s of draw %s", ppx.Printable(name), args[1]), v.Data, shape); err != nil {
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
