package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/page"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/view"
)

// figure is a plot verb of one run, into one file.
func figure(use, short, long, example string, draw func(ctx context.Context, out, run string, vars []string, known map[string]float64) error, vars, truths bool) *cobra.Command {
	var out, from string
	var names, given []string
	c := &cobra.Command{
		Use:     use + " [flags] RUN",
		Short:   short,
		Long:    long,
		Example: example,
		Args:    exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := picture(out); err != nil {
				return err
			}
			known, err := knownTruths(c.Context(), from, given)
			if err != nil {
				return err
			}
			return misused(draw(c.Context(), out, args[0], names, known))
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "", "file to write: .png, .pdf or .svg")
	if vars {
		f.StringArrayVar(&names, "var", nil, "variable to draw (repeatable; default: the first named ones)")
	}
	if truths {
		f.StringArrayVar(&given, "truth", nil, "true value to mark, NAME=NUMBER (repeatable)")
		f.StringVar(&from, "truth-from", "", "mark the values of a recorded trace, RUN:DRAW")
	}
	return c
}

// misused makes what a run does not have a mistake of who asked for it.
func misused(err error) error {
	if errors.Is(err, page.ErrVariable) || errors.Is(err, page.ErrNone) {
		return usageError{err}
	}
	return err
}

// knownTruths are the true values that a command is given.
func knownTruths(ctx context.Context, from string, given []string) (map[string]float64, error) {
	known := map[string]float64{}
	if from != "" {
		if err := truthsOf(ctx, from, known); err != nil {
			return nil, err
		}
	}
	_, err := truths(given, known)
	return known, err
}

func newPlotPairs() *cobra.Command {
	return figure("pairs", "Draw variables two by two: how they lie together", "",
		"  ppx plot pairs RUN --var mu --var sigma -o pairs.pdf",
		func(ctx context.Context, out, run string, vars []string, known map[string]float64) error {
			p, err := judged(ctx, run)
			if err != nil {
				return err
			}
			return page.Pairs(ctx, out, run, p, vars, known)
		}, true, true)
}

func newPlotChains() *cobra.Command {
	return figure("chains", "Draw the course of chains, and their ranks", `Draw the course of a run's chains, and beside it the histograms of each chain's draws among the ranks of all: chains that have come to the same distribution are
level and alike.`,
		"  ppx plot chains RUN -o chains.png",
		func(ctx context.Context, out, run string, vars []string, _ map[string]float64) error {
			p, err := judged(ctx, run)
			if err != nil {
				return err
			}
			return page.Chains(out, p, vars)
		}, true, false)
}

func newPlotLadder() *cobra.Command {
	return figure("ladder", "Draw the rungs that particles climbed", "", "  ppx plot ladder RUN -o ladder.png",
		func(ctx context.Context, out, run string, _ []string, _ map[string]float64) error {
			x, err := inspect.Open(ctx, run)
			if err != nil {
				return err
			}
			return page.Ladder(out, run, x.Manifest)
		}, false, false)
}

func newPlotWeights() *cobra.Command {
	return figure("weights", "Draw how much of the weight few draws have", "", "  ppx plot weights RUN -o weights.png",
		func(ctx context.Context, out, run string, _ []string, _ map[string]float64) error {
			p, err := judged(ctx, run)
			if err != nil {
				return err
			}
			return page.Weights(ctx, out, []*view.Posterior{p})
		}, false, false)
}

func newPlotPredictive() *cobra.Command {
	return figure("predictive", "Draw replicates beside the data that were observed", "RUN is a folder of replicates, as ppx predict makes it.",
		"  ppx plot predictive ppx-runs/20260101-120000-predict -o fan.pdf",
		func(ctx context.Context, out, run string, _ []string, _ map[string]float64) error {
			x, err := jobs.Predicted(ctx, run, nil)
			if err != nil {
				return err
			}
			drawn, err := page.Predictive(out, view.NewPrediction(run, x).Kind, x)
			if err == nil && !drawn {
				return usagef("%s has no data to draw", run)
			}
			return err
		}, false, false)
}

func newPlotTraining() *cobra.Command {
	return figure("training", "Draw the loss curve of a training", "RUN is the folder that a training leaves beside its network, or the network.",
		"  ppx plot training gum.net -o loss.pdf",
		func(_ context.Context, out, run string, _ []string, _ map[string]float64) error {
			if filepath.Ext(run) != ".train" {
				run += ".train"
			}
			err := page.Training(out, run)
			if errors.Is(err, fs.ErrNotExist) {
				return usagef("%s: there is no loss curve of a training (ppx train leaves one)", run)
			}
			return err
		}, false, false)
}

func newPlotGraph() *cobra.Command {
	return figure("graph", "Draw how traces go from address to address", "Draw how traces go from address to address: the 40 most visited (ppx trace graph chooses others).",
		"  ppx plot graph RUN -o graph.pdf",
		func(ctx context.Context, out, run string, _ []string, _ map[string]float64) error {
			x, err := inspect.Open(ctx, run)
			if err != nil {
				return err
			}
			g, err := x.Graph(ctx, inspect.GraphOptions{Most: 40})
			if err != nil {
				return err
			}
			return page.Graph(view.NewGraph(run, "", g, x.Damaged)).Picture(out)
		}, false, false)
}
