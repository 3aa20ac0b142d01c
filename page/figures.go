package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/training"
	"github.com/ppx-engine/ppx-engine/view"
)

// ErrNone says that a run has nothing of the kind that was to be drawn.
var ErrNone = errors.New("nothing to draw")

// Most of what a picture has.
const (
	mostPairs       = 8   // variables
	mostChains      = 6   // variables
	mostSteps       = 400 // points of a chain
	drawnSeries     = 6
	drawnStatistics = 6
	rankBins        = 20
)

// Pairs draws variables of a run two by two. Errors: ErrVariable, ErrNone, rundir's.
func Pairs(ctx context.Context, out, path string, p *view.Posterior, vars []string, truths map[string]float64) error {
	if len(vars) == 0 {
		vars = Plottable(p.Sum)
		vars = vars[:min(len(vars), mostPairs)]
	}
	if len(vars) < 2 {
		return fmt.Errorf("%w: %s has %d variable to draw, and a pair takes two", ErrNone, path, len(vars))
	}
	r, err := inspect.Open(ctx, path)
	if err != nil {
		return err
	}
	values, err := r.Values(ctx, vars, 0)
	if err != nil {
		return unknown(err)
	}
	ms, err := marginals([]*view.Posterior{p}, vars, truths)
	if err != nil {
		return err
	}
	return report.Corner(out, "pairs of "+ppx.Printable(p.Model), ms, planes(values))
}

// unknown is the error of a variable that there is not, of this package.
func unknown(err error) error {
	if errors.Is(err, inspect.ErrVariable) {
		return fmt.Errorf("%w: %w", ErrVariable, err)
	}
	return err
}

func planes(values []inspect.Values) (out [][]report.Plane) {
	for i := range values {
		row := make([]report.Plane, i)
		for j := range row {
			if q := inspect.Together(&values[j], &values[i], 40, 40); q.Both > 0 {
				row[j] = report.Plane{LowX: q.LowX, HighX: q.HighX, LowY: q.LowY, HighY: q.HighY, Share: q.Share}
			}
		}
		out = append(out, row)
	}
	return out
}

// Chains draws the traces of a run's chains, and the histograms of their ranks beside them. Errors: ErrNone, ErrVariable.
func Chains(out string, p *view.Posterior, vars []string) error {
	list, err := chainsOf(p, vars)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%w: %s is not of chains", ErrNone, p.Run)
	}
	return drawChains(out, "chains of "+ppx.Printable(p.Model), list[:min(len(list), mostChains)])
}

func drawChains(out, title string, list []Chain) error {
	var panels []report.Panel
	for _, c := range list {
		trace := report.Panel{X: "draw", Y: c.Name, Silent: true, Level: math.NaN()}
		rank := report.Panel{X: "rank", Y: "draws", Silent: true, Level: float64(c.Level), Least: 0}
		for i := range c.Values {
			var line, steps []report.XY
			for k, v := range c.Values[i] {
				line = append(line, report.XY{X: float64(k * c.Every), Y: float64(v)})
			}
			for k, n := range c.Ranks[i] {
				steps = append(steps, report.XY{X: float64(k) / rankBins, Y: float64(n)}, report.XY{X: float64(k+1) / rankBins, Y: float64(n)})
				rank.Most = math.Max(rank.Most, 1.15*float64(n))
			}
			trace.Lines, rank.Lines = append(trace.Lines, line), append(rank.Lines, steps)
		}
		panels = append(panels, trace, rank)
	}
	return report.Lines(out, title, nil, panels)
}

// Chain is a variable by chain.
type Chain struct {
	Name   string          `json:"name"`
	Every  int             `json:"every"`  // so many-th draws of each chain
	Values [][]view.Number `json:"values"` // by chain
	Ranks  [][]int         `json:"ranks"`  // by chain: draws in bins of equal width among the ranks of all
	Level  view.Number     `json:"level"`  // draws in each bin, if all chains have come to the same
	Rhat   *view.Number    `json:"rhat"`
	ESS    view.Number     `json:"ess"`
}

// chainsOf are variables by chain; without names those that are drawn unless told otherwise.
func chainsOf(p *view.Posterior, vars []string) (out []Chain, err error) {
	if p.Sum.Chained == nil {
		return nil, nil
	}
	if len(vars) == 0 {
		vars = Plottable(p.Sum)
	}
	for _, name := range vars {
		v := p.Variable(name)
		if v == nil {
			return nil, fmt.Errorf("%w: %s has no %s", ErrVariable, p.Run, ppx.Quote(name))
		}
		chains := p.Sum.ChainsOf(name)
		if chains == nil {
			continue
		}
		longest, all := 0, 0
		ranks := posterior.RankCounts(chains, rankBins)
		for i, c := range chains {
			longest = max(longest, len(c))
			for _, n := range ranks[i] {
				all += n
			}
		}
		x := Chain{Name: ppx.Printable(name), Every: max(1, (longest+mostSteps-1)/mostSteps), Ranks: ranks, Rhat: v.Rhat, ESS: v.ESS,
			Level: view.Number(float64(all) / float64(len(chains)*rankBins))}
		for _, c := range chains {
			line := []view.Number{}
			for k := 0; k < len(c); k += x.Every {
				line = append(line, view.Number(c[k]))
			}
			x.Values = append(x.Values, line)
		}
		out = append(out, x)
	}
	return out, nil
}

// Ladder draws the rungs of a run's particles. Errors: ErrNone.
func Ladder(out, path string, m *rundir.Manifest) error {
	if m.Particles == nil || len(m.Particles.Ladder) == 0 {
		return fmt.Errorf("%w: %s is not of particles that have climbed", ErrNone, path)
	}
	return drawLadder(out, "the ladder of "+ppx.Printable(m.Model), m.Particles)
}

func drawLadder(out, title string, p *rundir.Particles) error {
	names := []string{"exponent β", "share moved", "ancestors left"}
	panels := make([]report.Panel, len(names))
	for i := range panels {
		panels[i] = report.Panel{X: "rung", Y: names[i], Dots: true, Level: math.NaN(), Lines: [][]report.XY{nil}}
	}
	for k, r := range p.Ladder {
		level := r.Beta
		if p.Score != "" {
			panels[0].Y, level = "level of the score", math.NaN()
			if r.Level != nil {
				level = float64(*r.Level)
			}
		}
		for i, v := range []float64{level, r.Moved, float64(r.Ancestors)} {
			panels[i].Lines[0] = append(panels[i].Lines[0], report.XY{X: float64(k + 1), Y: v})
		}
	}
	panels[1].Least, panels[1].Most = 0, 1
	return report.Lines(out, title, nil, panels)
}

// Weights draws what share of all weight the largest ones have, one line for each run. Errors: rundir's.
func Weights(ctx context.Context, out string, runs []*view.Posterior) error {
	var lines [][]report.XY
	var names []string
	for _, r := range runs {
		x, err := inspect.Open(ctx, r.Run)
		if err != nil {
			return err
		}
		names, lines = append(names, legend(r, len(runs) == 1)), append(lines, lorenz(x))
	}
	return drawWeights(out, "weights of "+ppx.Printable(runs[0].Model), names, lines)
}

func drawWeights(out, title string, names []string, lines [][]report.XY) error {
	return report.Lines(out, title, names, []report.Panel{{X: "share of draws", Y: "share of the weight", Lines: lines, Level: math.NaN(), Most: 1.02}})
}

// lorenz is the share of the weight by the share of the draws that have it, from the largest on, in a few hundred points.
func lorenz(x *inspect.Run) []report.XY {
	w := x.Weights()
	slices.SortFunc(w, func(a, b float64) int { return cmp.Compare(b, a) })
	total := 0.0
	for _, v := range w {
		total += v
	}
	out := []report.XY{{X: 0, Y: 0}}
	sum, next := 0.0, 1.0
	for i, v := range w {
		sum += v
		if float64(i+1) >= next || i == len(w)-1 {
			out = append(out, report.XY{X: float64(i+1) / float64(len(w)), Y: sum / total})
			next = math.Max(float64(i+2), next*1.05)
		}
	}
	return out
}

// Training draws the loss curve in a training's folder. Errors: ErrNone, training's.
func Training(out, dir string) error {
	points, err := training.ReadCurve(dir)
	if err != nil {
		return err
	}
	return jobs.LossCurve(out, "training in "+ppx.Printable(dir), points)
}

// Predictive draws what replicates make of the data: series as fans, and the oddest statistics. It reports whether there was anything.
func Predictive(out, kind string, x *judge.Predictive) (drawn bool, err error) {
	var fans []report.Fan
	for _, s := range x.Series[:min(len(x.Series), drawnSeries)] {
		fans = append(fans, report.Fan{Name: s.Name, Bands: s.Bands, Observed: s.Observed})
	}
	list := slices.Clone(x.Statistics)
	slices.SortStableFunc(list, func(a, b judge.Statistic) int { return view.Rarer(a.Adjusted, b.Adjusted) }) // the oddest first
	var ms []report.Marginal
	for i := range list {
		s := &list[i]
		if len(ms) == drawnStatistics || len(s.Replicated) == 0 || math.IsNaN(s.Observed) {
			continue
		}
		name := s.Data
		if s.Name != "value" || name == "" {
			name = strings.TrimSuffix(s.Name+" of "+s.Data, " of ")
		}
		bins, err := posterior.HistogramOf(name, s.Replicated, 24)
		if err != nil {
			continue // values that have no histogram
		}
		var bars []report.Bin
		for _, b := range bins {
			bars = append(bars, report.Bin(b))
		}
		ms = append(ms, report.Marginal{Name: name, Runs: [][]report.Bin{bars}, Truth: s.Observed})
	}
	if len(fans)+len(ms) == 0 {
		return false, nil
	}
	return true, report.Fans(out, "Observed and replicated data: "+kind+" predictive", fans, ms)
}
