package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
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
			var runs []*summarised
			for _, path := range args {
				s, err := summarise(c.Context(), path, &show)
				if err != nil {
					return err
				}
				runs = append(runs, s)
			}
			if len(runs) == 1 && truth == "" {
				return runs[0].result.print(c.OutOrStdout(), &show, runs[0].sum)
			}
			truths := map[string]float64{}
			if truth != "" {
				if err := truthsOf(c.Context(), truth, truths); err != nil {
					return err
				}
			}
			return compare(c.OutOrStdout(), runs, truths)
		},
	}
	show.register(c)
	c.Flags().StringVar(&truth, "truth-from", "", "show the values of a recorded trace beside, RUN:DRAW")
	return c
}

// summarised is a recorded run and its figures.
type summarised struct {
	result *result
	sum    *posterior.Summary
}

func summarise(ctx context.Context, path string, show *shown) (*summarised, error) {
	r, err := rundir.Open(path, nil)
	if err != nil {
		return nil, err
	}
	data, err := r.Manifest.Tensors(path)
	if err != nil {
		return nil, err
	}
	sum := posterior.NewSummary()
	sum.Full = show.full
	names := control.NewNames(data, r.Manifest.Conditioned, nil)
	var guide jobs.Unseen
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if err := sum.Write(ctx, t); err != nil {
			return nil, err
		}
		_ = names.Add(t) // the judgement will say so
		if r.Manifest.Method == "ic" {
			_ = guide.Write(ctx, t) // it has no errors
		}
	}
	res := newResult(path, r.Manifest, sum, names, &guide)
	switch r.Manifest.State {
	case rundir.Complete:
	case rundir.Running:
		res.remark("the run is not finished: it is being written, or was killed (--resume continues it)")
	default:
		w := "the run is " + r.Manifest.State
		if r.Manifest.Error != "" {
			w += ": " + ppx.Printable(r.Manifest.Error)
		}
		res.remark(w)
	}
	return &summarised{res, sum}, nil
}

// compare prints the figures of several runs side by side.
func compare(w io.Writer, runs []*summarised, truths map[string]float64) error {
	t := &table{header: []string{"variable"}}
	if len(truths) > 0 {
		t.header = append(t.header, ">truth")
	}
	s := styled(w)
	for i, r := range runs {
		n := fmt.Sprintf("(%d)", i+1)
		t.header = append(t.header, ">mean "+n, ">5 %", ">95 %")
		x := r.result
		fmt.Fprintf(w, "%s %s: %s traces, method %s", s.bold(n), ppx.Printable(x.Run), thousands(x.Traces), x.Method)
		if x.conditioned {
			fmt.Fprint(w, ", ", strings.ReplaceAll(x.figures(), "   ", ", "))
		}
		fmt.Fprintln(w)
		for _, line := range x.judgement() {
			if x.Trust.Verdict == posterior.None {
				line = s.alarm(line)
			}
			fmt.Fprintln(w, "    "+line)
		}
	}
	fmt.Fprintln(w)
	var names []string
	by := make([]map[string]variable, len(runs))
	for i, r := range runs {
		by[i] = map[string]variable{}
		for _, v := range r.result.Variables {
			if v.Kind == posterior.TensorKind {
				continue
			}
			by[i][v.Name] = v
			if !slices.Contains(names, v.Name) {
				names = append(names, v.Name)
			}
		}
	}
	for i, name := range names {
		if i == maxListed {
			break
		}
		row := []string{clip(name, 40)}
		if len(truths) > 0 {
			x, ok := truths[name]
			if !ok {
				x = math.NaN()
			}
			row = append(row, figure(x))
		}
		for i := range runs {
			v, ok := by[i][name]
			if !ok {
				row = append(row, "–", "–", "–")
				continue
			}
			if v.spreadless() {
				row = append(row, figure(float64(v.Mean)), "–", "–")
				continue
			}
			row = append(row, withError(float64(v.Mean), float64(v.MeanSE)), figure(float64(v.Q05)), figure(float64(v.Q95)))
		}
		t.add(row...)
	}
	t.print(w)
	return nil
}
