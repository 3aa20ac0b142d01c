package page

import (
	"context"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/training"
	"github.com/ppx-engine/ppx-engine/view"
)

// Charts is what the pictures of a page are drawn from, where they can be asked: the figures of the static ones, and draws.
type Charts struct {
	Schema     int             `json:"schema"`
	Runs       []string        `json:"runs"` // how the runs are called in pictures
	Variables  []ChartVariable `json:"variables"`
	Pairs      *ChartDraws     `json:"pairs"`   // of the first run
	Weights    [][]ChartPoint  `json:"weights"` // by run: share of the weight that the largest have, by their share of the draws; null: all are equal
	Chains     []Chain         `json:"chains"`  // of the first run that has some
	Ladder     []ChartRung     `json:"ladder"`  // of the first run that has one
	Predictive []ChartFan      `json:"predictive"`
	Training   []ChartLoss     `json:"training"` // of the network that the first run has used
}

// ChartVariable is the histogram of a variable, by run.
type ChartVariable struct {
	Name    string       `json:"name"`
	Truth   view.Number  `json:"truth"` // null: unknown
	Warning string       `json:"warning,omitempty"`
	Sparse  []bool       `json:"sparse"` // by run: too few draws for a shape, so that bins are single values
	Bins    [][]ChartBin `json:"bins"`   // by run
}

// ChartBin is low, high (the same: a single value) and probability.
type ChartBin [3]view.Number

// ChartPoint is x and y.
type ChartPoint [2]view.Number

// ChartDraws are draws of equal weight of some variables; null where a draw lacks one.
type ChartDraws struct {
	Names  []string        `json:"names"`
	Truths []view.Number   `json:"truths"`
	Draws  [][]view.Number `json:"draws"` // by variable
}

// ChartRung is a rung of a ladder.
type ChartRung struct {
	Beta      view.Number `json:"beta"`
	Level     view.Number `json:"level"` // of the score, null without one
	Moved     view.Number `json:"moved"`
	Moves     int         `json:"moves"`
	Ancestors int         `json:"ancestors"`
	ESS       view.Number `json:"ess"`
}

// ChartFan is a series of the data beside replicates: quantiles .05 .25 .5 .75 .95 at each place.
type ChartFan struct {
	Name     string           `json:"name"`
	Bands    [][5]view.Number `json:"bands"`
	Observed []view.Number    `json:"observed"`
}

// ChartLoss is a point of a training's loss.
type ChartLoss struct {
	Traces     uint64      `json:"traces"`
	Loss       view.Number `json:"loss"`
	Validation view.Number `json:"validation"`
}

// Most of what charts have.
const (
	chartVariables = 200
	chartPairs     = 12
	chartDraws     = 1500
	chartBins      = 40
)

// source is a run that pages are made of.
type source struct {
	*view.Posterior
	manifest *rundir.Manifest
	inside   *inspect.Run
	lorenz   []report.XY      // nil: all weights are equal
	values   []inspect.Values // of the variables that pairs are drawn of, those that were asked for first
	locator  view.Locator
}

// find tells the lines of addresses; the simulator's debug information is opened once, where it is needed.
func (s *source) find() view.Locator {
	if s.locator == nil {
		s.locator, _ = view.LocatorOf(s.manifest)
	}
	return s.locator
}

// variablesOf are the first that can be drawn in all of the runs.
func variablesOf(runs []*source, most int) (names []string) {
next:
	for _, v := range runs[0].Sum.Variables() {
		if len(names) == most {
			break
		}
		if v.Kind == posterior.TensorKind {
			continue
		}
		for _, r := range runs {
			if !canDraw(r.Sum, v.Name) {
				continue next
			}
		}
		names = append(names, v.Name)
	}
	return names
}

// NewCharts is what a page of one or several runs is drawn from. Errors: rundir's, ErrVariable.
func NewCharts(ctx context.Context, paths []string, o Options) (*Charts, error) {
	var runs []*source
	for _, path := range paths {
		s, err := open(ctx, path)
		if err != nil {
			return nil, err
		}
		runs = append(runs, s)
	}
	return newCharts(ctx, runs, o.Vars, o.Truths, nil)
}

// newCharts collects what is drawn of runs; predicted may be nil.
func newCharts(ctx context.Context, runs []*source, vars []string, truths map[string]float64, predicted *judge.Predictive) (*Charts, error) {
	c := &Charts{Schema: view.Schema, Variables: []ChartVariable{}, Predictive: []ChartFan{}, Training: []ChartLoss{}, Ladder: []ChartRung{}, Chains: []Chain{}}
	results := posteriors(runs)
	for _, r := range runs {
		c.Runs = append(c.Runs, legend(r.Posterior, len(runs) == 1))
		var line []ChartPoint
		for _, q := range r.lorenz {
			line = append(line, ChartPoint{view.Number(q.X), view.Number(q.Y)})
		}
		c.Weights = append(c.Weights, line)
	}
	// Those that were asked for come first.
	names := append([]string{}, vars...)
	for _, name := range variablesOf(runs, chartVariables) {
		if len(names) < chartVariables && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	ms, err := marginals(results, names, truths)
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		v := ChartVariable{Name: m.Name, Truth: view.Number(m.Truth), Warning: m.Warning, Sparse: m.Sparse}
		for _, bins := range m.Runs {
			list := []ChartBin{}
			for _, b := range bins {
				list = append(list, ChartBin{round(b.Low), round(b.High), round(b.Probability)})
			}
			v.Bins = append(v.Bins, list)
		}
		c.Variables = append(c.Variables, v)
	}
	if names = names[:min(len(names), chartPairs)]; len(names) > 1 {
		if c.Pairs, err = drawsOf(ctx, runs[0], names, truths); err != nil {
			return nil, err
		}
	}
	if s := withChains(runs); s != nil {
		if c.Chains, err = chainsOf(s.Posterior, vars); err != nil {
			return nil, err
		}
	}
	if s := withLadder(runs); s != nil {
		for _, r := range s.manifest.Particles.Ladder {
			rung := ChartRung{Beta: view.Number(r.Beta), Level: view.Number(math.NaN()), Moved: round(r.Moved), Moves: r.Moves, Ancestors: r.Ancestors, ESS: round(r.ESS)}
			if r.Level != nil {
				rung.Level = view.Number(*r.Level)
			}
			c.Ladder = append(c.Ladder, rung)
		}
	}
	if predicted != nil {
		for _, s := range predicted.Series[:min(len(predicted.Series), drawnSeries)] {
			f := ChartFan{Name: ppx.Printable(s.Name)}
			for i, b := range s.Bands {
				var row [5]view.Number
				for k := range b {
					row[k] = round(b[k])
				}
				f.Bands, f.Observed = append(f.Bands, row), append(f.Observed, view.Number(s.Observed[i]))
			}
			c.Predictive = append(c.Predictive, f)
		}
	}
	for _, p := range lossOf(runs[0].manifest) {
		c.Training = append(c.Training, ChartLoss{p.Traces, round(p.Loss), round(p.Validation)})
	}
	return c, nil
}

// round is a number to six digits, which is more than a screen has.
func round(v float64) view.Number {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return view.Number(v)
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-5)
	if !(unit > 1e-300) {
		return view.Number(v)
	}
	if unit < 1 { // so that the decimal digits are few
		return view.Number(math.Round(v*(1/unit)) / (1 / unit))
	}
	return view.Number(math.Round(v/unit) * unit)
}

// lossOf is the loss curve of the network that a run has used, nil if it is not where it was, or cannot be read: a page is not worth less without it.
func lossOf(m *rundir.Manifest) []training.Point {
	if m.Network == nil || m.Network.File == "" {
		return nil
	}
	points, err := training.ReadCurve(m.Network.File + ".train")
	if err != nil {
		return nil
	}
	return points
}

// drawsOf are draws of a run, of equal weight: resampled where their own differ.
func drawsOf(ctx context.Context, r *source, names []string, truths map[string]float64) (*ChartDraws, error) {
	values, err := r.inside.Values(ctx, names, 0)
	if err != nil {
		return nil, unknown(err)
	}
	r.values = values
	out := &ChartDraws{}
	most := 0
	for _, v := range values {
		if n := len(v.Draws); n > 0 {
			most = max(most, v.Draws[n-1]+1)
		}
	}
	logWeights := make([]float64, most)
	for i := range logWeights {
		logWeights[i] = math.Inf(-1)
	}
	for _, v := range values {
		for i, d := range v.Draws {
			logWeights[d] = math.Log(v.W[i])
		}
	}
	stream := dist.NewStream(r.manifest.Seed, 0, 0, 0, 0)
	picked, err := posterior.Resample(logWeights, min(chartDraws, most), &stream)
	if err != nil { // without weight there is no pair to show
		return nil, nil
	}
	for i, v := range values {
		column := make([]view.Number, len(picked))
		k := 0
		for j, d := range picked {
			for k < len(v.Draws) && v.Draws[k] < d {
				k++
			}
			column[j] = view.Number(math.NaN())
			if k < len(v.Draws) && v.Draws[k] == d {
				column[j] = round(v.V[k])
			}
		}
		truth := math.NaN()
		if x, ok := truths[names[i]]; ok {
			truth = x
		}
		out.Names, out.Draws, out.Truths = append(out.Names, ppx.Printable(names[i])), append(out.Draws, column), append(out.Truths, view.Number(truth))
	}
	return out, nil
}

func posteriors(runs []*source) (out []*view.Posterior) {
	for _, r := range runs {
		out = append(out, r.Posterior)
	}
	return out
}
