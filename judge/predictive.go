package judge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Predictive is what replicated data say of observed ones (A. Gelman, X. Meng and H. Stern, "Posterior predictive assessment of model
// fitness", 1996).
type Predictive struct {
	Run        string // that data were predicted from
	Prior      bool
	LeftOut    []string
	Replicates int
	ESS        float64 // of the latents; NaN: independent draws
	Statistics []Statistic
	Series     []Series
}

// Statistic is a number of data, observed and replicated.
type Statistic struct {
	Data, Name         string
	Observed           float64 // of an expression in which latents occur, its mean
	Mean, SD           float64 // of the replicates
	Q05, Q50, Q95      float64
	P, PSE             float64 // posterior predictive p: the share of replicates above, half of the ties; with its Monte Carlo error
	Adjusted           float64 // of the nearer tail, twice, for all statistics together (Bonferroni)
	Blind              bool    // it was fitted: p is near ½ whether the model is right or not
	Outside            bool    // of all of at least leastOutside replicates
	Beyond             bool    // of all of fewer
	Replicated         []float64
	observedReplicates []float64 // of a discrepancy
}

// Series is data in an order, or a variable of many elements that is a forecast.
type Series struct {
	Name     string
	Observed []float64    // NaN: none
	Bands    [][5]float64 // quantiles .05 .25 .5 .75 .95 at each place
}

// A p-value rests on replicates: so many are needed to say that data are outside of all of them.
const (
	leastOutside = 1000
	leastSeries  = 5
	maxScalars   = 30 // of a series that have statistics of their own
)

// Stat is a statistic that was asked for: an expression over variables and data.
type Stat struct{ Name, Value string }

// group is data that belong together: a tensor, or scalars whose names differ in a number.
type group struct {
	name   string
	labels []string
}

var numbers = regexp.MustCompile(`[0-9]+`)

// groups puts scalars together whose names differ in numbers only.
func groups(data map[string][]float64) (out []group) {
	byStem := map[string][]string{}
	for _, label := range slices.Sorted(maps.Keys(data)) {
		if len(data[label]) > 1 {
			out = append(out, group{label, []string{label}})
			continue
		}
		base, k := ppx.SplitOccurrence(label)
		stem := numbers.ReplaceAllString(base, "#")
		if k > 1 || data[ppx.JoinOccurrence(base, 2)] != nil {
			stem = base + "@#"
		}
		byStem[stem] = append(byStem[stem], label)
	}
	for _, stem := range slices.Sorted(maps.Keys(byStem)) {
		labels := byStem[stem]
		slices.SortFunc(labels, inOrder)
		if len(labels) == 1 {
			stem = labels[0]
		}
		out = append(out, group{stem, labels})
	}
	return out
}

// inOrder compares names by their numbers: y2 before y10.
func inOrder(a, b string) int {
	pad := func(s string) string {
		return numbers.ReplaceAllStringFunc(s, func(n string) string { return fmt.Sprintf("%020s", n) })
	}
	return cmp.Compare(pad(a), pad(b))
}

// tests are the statistics that are computed of any data.
var tests = []struct {
	name string
	f    func([]float64) float64
}{
	{"mean", func(x []float64) float64 { return stat.Mean(x, nil) }},
	{"sd", func(x []float64) float64 { return stat.StdDev(x, nil) }},
	{"min", slices.Min[[]float64]},
	{"max", slices.Max[[]float64]},
}

// Question is what replicates were made for: of which run, from the prior or without which data.
type Question struct {
	Run     string
	Prior   bool
	LeftOut []string
}

// Predict compares the replicates in a run directory with the data of the run that they were made from.
func Predict(ctx context.Context, dir string, q Question, stats []Stat) (*Predictive, error) {
	out := &Predictive{Run: shortened(q.Run), Prior: q.Prior, LeftOut: q.LeftOut}
	data, err := ObservedData(ctx, q.Run)
	if err != nil {
		return nil, err
	}
	for label := range data {
		if len(q.LeftOut) > 0 && !Named(q.LeftOut, label) {
			delete(data, label)
		}
	}
	c := &comparison{out: out, data: data, groups: groups(data), values: map[string][][]float64{}, variables: map[string][][]float64{}}
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	if err := c.compile(ctx, r, stats); err != nil {
		return nil, err
	}
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if t.Status == tracing.OK {
			c.add(t)
		}
	}
	if out.Replicates == 0 {
		return nil, unusable("%s has no replicate", dir)
	}
	if m := r.Manifest; m.Lineage != nil {
		out.ESS = float64(m.Lineage.ESS)
	}
	c.finish()
	return out, nil
}

// shortened is a path relative to here, where it lies below.
func shortened(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// ObservedData are the data of a run, by the name of the variable that they would be; elements that were missing are NaN.
func ObservedData(ctx context.Context, dir string) (map[string][]float64, error) {
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	given, err := r.Manifest.Tensors(dir)
	if err != nil {
		return nil, err
	}
	out := map[string][]float64{}
	n := 0
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if t.Status != tracing.OK {
			continue
		}
		Statements(t, func(i int, name string) {
			if e := &t.Sites[i]; e.Op != ppx.Observe || !e.Origin.Scored() || out[name] != nil {
				return
			}
			v := slices.Clone(t.Value(i).Data)
			for k, x := range missingIn(given, name, len(v)) {
				if math.IsNaN(x) {
					v[k] = x
				}
			}
			out[name] = v
		})
		if n++; n == 100 {
			break
		}
	}
	return out, nil
}

// CheckStats reads statistics before replicates are made: they may use all variables and data of the run.
func CheckStats(ctx context.Context, dir string, stats []Stat) error {
	if len(stats) == 0 {
		return nil
	}
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return err
	}
	c := &comparison{out: &Predictive{}}
	return c.compile(ctx, r, stats)
}

// comparison is Predicted in its course.
type comparison struct {
	out       *Predictive
	data      map[string][]float64
	groups    []group
	values    map[string][][]float64 // replicates of data, by label
	variables map[string][][]float64 // of other series
	custom    []custom
	vars      tracing.Variables
}

type custom struct {
	Stat
	e *expression.Expression
}

// compile reads the expressions: they may use all variables of the replicates.
func (c *comparison) compile(ctx context.Context, r *rundir.Reader, stats []Stat) error {
	if len(stats) == 0 {
		return nil
	}
	known := map[string]bool{}
	for t, err := range r.All(ctx) {
		if err != nil {
			return err
		}
		if t.Status == tracing.OK {
			c.vars.Each(t, func(_ int, q tracing.Quantity, v ppx.Tensor) {
				for i := range v.Data {
					known[c.vars.Label(q, v.Shape, i)] = true
				}
			})
			Statements(t, func(i int, name string) { // of the run itself, whose data are no variables
				if v := t.Value(i); t.Sites[i].Op == ppx.Observe {
					for k := range v.Data {
						if label := name; len(v.Data) == 1 {
							known[label] = true
						} else {
							known[label+tracing.Subscript(k, v.Shape)] = true
						}
					}
				}
			})
		}
	}
	names := slices.Sorted(maps.Keys(known))
	for i, s := range stats {
		if slices.ContainsFunc(stats[:i], func(x Stat) bool { return x.Name == s.Name }) {
			return unusable("--stat %s is given twice", ppx.Quote(s.Name))
		}
		e, err := expression.Compile(s.Value, names)
		if err != nil {
			return unusable("--stat %s: %w", ppx.Quote(s.Name), err)
		}
		c.custom = append(c.custom, custom{s, e})
		c.out.Statistics = append(c.out.Statistics, Statistic{Data: "", Name: s.Name})
	}
	return nil
}

// add takes a replicate.
func (c *comparison) add(t *tracing.Trace) {
	c.out.Replicates++
	values, truths := map[string]float64{}, map[string]float64{}
	statement := map[int]string{}
	Statements(t, func(i int, name string) { statement[i] = name })
	c.vars.Each(t, func(entry int, q tracing.Quantity, v ppx.Tensor) {
		name := statement[entry]
		isData := entry >= 0 && t.Sites[entry].Op == ppx.Observe
		if len(c.custom) > 0 {
			for i, x := range v.Data {
				label := c.vars.Label(q, v.Shape, i)
				values[label] = x
				if d := c.data[name]; isData && i < len(d) {
					truths[label] = d[i]
				} else {
					truths[label] = x
				}
			}
		}
		switch {
		case isData && c.data[name] != nil:
			c.values[name] = append(c.values[name], slices.Clone(v.Data))
		case len(v.Data) >= leastSeries && len(v.Shape) == 1 && (entry >= 0 && t.Sites[entry].Op == ppx.Tag || entry < 0):
			name = c.vars.Name(q)
			c.variables[name] = append(c.variables[name], slices.Clone(v.Data))
		}
	})
	for i := range c.custom {
		s := &c.out.Statistics[i]
		of := func(from map[string]float64) (float64, bool) {
			return c.custom[i].e.Eval(func(name string) (float64, bool) { v, ok := from[name]; return v, ok })
		}
		rep, ok1 := of(values)
		obs, ok2 := of(truths)
		if finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }; ok1 && ok2 && finite(rep) && finite(obs) {
			s.Replicated, s.observedReplicates = append(s.Replicated, rep), append(s.observedReplicates, obs)
		}
	}
}

// finish computes what was asked for of any data, and judges.
func (c *comparison) finish() {
	fitted := !c.out.Prior && len(c.out.LeftOut) == 0
	for _, g := range c.apart() {
		obs, rep := c.collect(g)
		if len(obs) == 0 || len(rep) == 0 {
			continue
		}
		one := func(name string, f func([]float64) float64, blind bool) {
			s := Statistic{Data: g.name, Name: name, Observed: f(obs), Blind: blind && fitted}
			for _, x := range rep {
				s.Replicated = append(s.Replicated, f(x))
			}
			c.out.Statistics = append(c.out.Statistics, s)
		}
		if len(obs) == 1 {
			one("value", func(x []float64) float64 { return x[0] }, true)
			continue
		}
		for _, t := range tests {
			one(t.name, t.f, t.name == "mean")
		}
		if len(obs) >= leastSeries {
			c.out.Series = append(c.out.Series, bands(g.name, obs, rep))
		}
		if len(g.labels) > 1 && len(g.labels) <= maxScalars {
			for i, label := range g.labels {
				s := Statistic{Data: label, Name: "value", Observed: obs[i], Blind: fitted}
				for _, x := range rep {
					s.Replicated = append(s.Replicated, x[i])
				}
				c.out.Statistics = append(c.out.Statistics, s)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.variables)) {
		all := c.variables[name]
		n := len(all[0])
		if slices.ContainsFunc(all, func(x []float64) bool { return len(x) != n }) {
			continue
		}
		none := make([]float64, n)
		for i := range none {
			none[i] = math.NaN()
		}
		c.out.Series = append(c.out.Series, bands(name, none, all))
	}
	for i := range c.out.Statistics {
		c.out.Statistics[i].judge(c.out.ESS, len(c.out.Statistics))
	}
}

// apart is the groups; those that only some replicates have as a whole are taken apart.
func (c *comparison) apart() (out []group) {
	for _, g := range c.groups {
		if !slices.ContainsFunc(g.labels, func(label string) bool { return len(c.values[label]) != c.out.Replicates }) {
			out = append(out, g)
			continue
		}
		for _, label := range g.labels {
			out = append(out, group{label, []string{label}})
		}
	}
	return out
}

// collect is a group's numbers, observed and in each replicate that has all of them; those that are missing are in neither.
func (c *comparison) collect(g group) (obs []float64, rep [][]float64) {
	rep = make([][]float64, len(c.values[g.labels[0]]))
	for _, label := range g.labels {
		for k, x := range c.data[label] {
			if math.IsNaN(x) {
				continue
			}
			obs = append(obs, x)
			for i := range rep {
				v := math.NaN()
				if all := c.values[label][i]; len(all) == len(c.data[label]) {
					v = all[k]
				}
				rep[i] = append(rep[i], v)
			}
		}
	}
	return obs, slices.DeleteFunc(rep, func(x []float64) bool { return slices.ContainsFunc(x, math.IsNaN) })
}

// bands are the quantiles of a series.
func bands(name string, obs []float64, rep [][]float64) Series {
	s := Series{Name: name, Observed: obs}
	column := make([]float64, len(rep))
	for i := range obs {
		for k, x := range rep {
			column[k] = x[i]
		}
		slices.Sort(column)
		var b [5]float64
		for k, q := range []float64{0.05, 0.25, 0.5, 0.75, 0.95} {
			b[k] = stat.Quantile(q, stat.Empirical, column, nil)
		}
		s.Bands = append(s.Bands, b)
	}
	return s
}

// judge computes the figures of a statistic, one of so many.
func (s *Statistic) judge(ess float64, of int) {
	n := len(s.Replicated)
	if n == 0 {
		s.Observed, s.Mean, s.SD, s.Q05, s.Q50, s.Q95, s.P, s.PSE, s.Adjusted = math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()
		return
	}
	above, ties := 0.0, 0.0
	for i, x := range s.Replicated {
		obs := s.Observed
		if s.observedReplicates != nil {
			obs = s.observedReplicates[i]
		}
		switch {
		case x > obs:
			above++
		case x == obs:
			ties++
		}
	}
	if s.observedReplicates != nil {
		s.Observed = stat.Mean(s.observedReplicates, nil)
	}
	s.Mean, s.SD = stat.MeanStdDev(s.Replicated, nil)
	sorted := slices.Clone(s.Replicated)
	slices.Sort(sorted)
	for _, q := range []struct {
		to *float64
		q  float64
	}{{&s.Q05, 0.05}, {&s.Q50, 0.5}, {&s.Q95, 0.95}} {
		*q.to = stat.Quantile(q.q, stat.Empirical, sorted, nil)
	}
	s.P = (above + ties/2) / float64(n)
	independent := float64(n)
	if ess > 0 {
		independent = min(independent, ess)
	}
	s.PSE = math.Sqrt(s.P * (1 - s.P) / independent)
	below := float64(n) - above - ties
	tail := (min(above, below) + ties/2) / float64(n)
	s.Adjusted = min(1, 2*(tail*independent+1)/(independent+1)*float64(of))
	s.Beyond = ties == 0 && (above == 0 || below == 0)
	s.Outside = s.Beyond && n >= leastOutside
	s.Beyond = s.Beyond && !s.Outside
}
