package jobs

import (
	"context"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// columns are the quantities that a calibration ranks, and which statements are its data.
type columns struct {
	names  []string
	at     map[tracing.Quantity][]element
	common []int    // columns of variables that are numbers in all pilot draws
	wanted []string // names of the data; none: every named Observe
}

// element is a number of a tensor that is a column.
type element struct{ index, column int }

// newColumns looks at traces of the prior.
func newColumns(traces []*tracing.Trace, wanted []string) (*columns, error) {
	c := &columns{at: map[tracing.Quantity][]element{}, wanted: wanted}
	var vars tracing.Variables
	for _, t := range traces {
		if f := t.Factor(); f != "" {
			return nil, misuse("data sets of known truth are drawn from the prior, which knows nothing of %s: a simulator with factors cannot be calibrated", f)
		}
		vars.Each(t, func(int, tracing.Quantity, ppx.Tensor) {})
	}
	count := map[int]int{}
	found := map[string]bool{}
	for _, t := range traces {
		vars.Each(t, func(entry int, q tracing.Quantity, v ppx.Tensor) {
			if name := vars.Name(q); c.isData(t, entry, name) {
				base, _ := ppx.SplitOccurrence(name)
				found[name], found[base] = true, true
				return
			}
			known := c.at[q]
			for k := range min(len(v.Data), maxRanked) {
				i := k * max(len(v.Data), maxRanked) / maxRanked
				at := slices.IndexFunc(known, func(e element) bool { return e.index == i })
				if at < 0 && len(c.names) < maxQuantities {
					at = len(known)
					known = append(known, element{i, len(c.names)})
					c.names = append(c.names, vars.Label(q, v.Shape, i))
				}
				if at >= 0 && !math.IsNaN(v.Data[i]) && !math.IsInf(v.Data[i], 0) {
					count[known[at].column]++
				}
			}
			c.at[q] = known
		})
	}
	for _, name := range wanted {
		if !found[name] {
			return nil, misuse("--data %s: no Observe or Sample of that name in the prior's traces; there are %s", ppx.Quote(name), ppx.List(append(slices.Sorted(maps.Keys(found)), c.names...), 10))
		}
	}
	for i := range c.names {
		if count[i] == len(traces) {
			c.common = append(c.common, i)
		}
	}
	c.names = append(c.names, RankDistance, RankLikelihood, RankJoint)
	return c, nil
}

// isData tells whether a statement of the prior is among the data.
func (c *columns) isData(t *tracing.Trace, entry int, name string) bool {
	if entry < 0 || t.Sites[entry].Op == ppx.Tag {
		return false
	}
	if len(c.wanted) == 0 {
		return t.Sites[entry].Op == ppx.Observe
	}
	base, _ := ppx.SplitOccurrence(name)
	return slices.Contains(c.wanted, name) || slices.Contains(c.wanted, base)
}

// extra are the columns of quantities that are no variables.
func (c *columns) extra() (distance, likelihood, joint int) {
	n := len(c.names)
	return n - 3, n - 2, n - 1
}

// truth is the data set that a trace of the prior is.
func (c *columns) truth(t *tracing.Trace) *truth {
	x := &truth{values: make([]float64, len(c.names)), data: control.Data{}}
	c.reader().read(t, x.values)
	var vars tracing.Variables
	var likelihood tracing.Sum
	vars.Each(t, func(entry int, q tracing.Quantity, v ppx.Tensor) {
		if name := vars.Name(q); c.isData(t, entry, name) {
			x.data[name] = ppx.Tensor{Data: slices.Clone(v.Data), Shape: slices.Clone(v.Shape)}
			likelihood.Add(t.Sites[entry].LogP)
		}
	})
	x.logLikelihood, x.logJoint = likelihood.Kept().High, t.LogJoint()
	return x
}

// columnReader reads traces; each goroutine has its own.
type columnReader struct {
	c    *columns
	vars tracing.Variables
}

func (c *columns) reader() *columnReader { return &columnReader{c: c} }

// read gives the values of a trace's columns; NaN where it lacks one. Those of no variables stay as they are.
func (r *columnReader) read(t *tracing.Trace, into []float64) {
	for i := range len(into) - 3 {
		into[i] = math.NaN()
	}
	r.vars.Each(t, func(_ int, q tracing.Quantity, v ppx.Tensor) {
		for _, e := range r.c.at[q] {
			if e.index < len(v.Data) {
				into[e.column] = v.Data[e.index]
			}
		}
	})
}

// recordedTruths are the data sets that the first n traces of a run of the prior are, which another simulator may have made.
func (c *columns) recordedTruths(ctx context.Context, dir string, n uint64) (out []*truth, err error) {
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	if m := r.Manifest; m.Conditioned || m.Inflation != 0 || m.Resampled != nil {
		return nil, misuse("--truths %s: want a run of ppx prior, without --prior-inflation: truths are draws of the prior", dir)
	}
	var traces []*tracing.Trace
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if t.Status == tracing.OK {
			traces = append(traces, t)
		}
		if uint64(len(traces)) == n {
			break
		}
	}
	if uint64(len(traces)) < n {
		return nil, misuse("--truths %s has %d traces; -n %d asks for more data sets", dir, len(traces), n)
	}
	there, err := newColumns(traces, c.wanted)
	if err != nil {
		return nil, err
	}
	for _, t := range traces {
		x := there.truth(t)
		values := make([]float64, len(c.names))
		for i, name := range c.names {
			if values[i] = math.NaN(); slices.Contains(there.names, name) {
				values[i] = x.values[slices.Index(there.names, name)]
			}
		}
		// Densities are those of the simulator that made them: among this one's they have no rank.
		x.values, x.logLikelihood, x.logJoint = values, math.NaN(), math.NaN()
		out = append(out, x)
	}
	return out, nil
}

// reference makes points that distances are measured from: what a ridge regression on the pilot draws foretells of the variables from the data,
// and noise. Every function of the data is a valid reference; one that knows something of the truth sees most.
type reference struct {
	seed     uint64
	columns  []int
	location []float64 // of these variables: mean and standard deviation
	scale    []float64
	names    []string   // of the data, in order
	mean, sd []float64  // of their numbers
	pilots   *mat.Dense // numbers of the pilots' data
	alpha    *mat.Dense // a row for each pilot, a column for each variable
}

const (
	referenceNoise = 0.5 // in standard deviations of the prior
	ridge          = 0.1 // the regression's penalty, as a share of the kernel's mean diagonal
	maxDistance    = 100 // variables that a distance is measured in
)

func newReference(list []*truth, common []int, seed uint64) *reference {
	r := &reference{seed: seed, names: slices.Sorted(maps.Keys(list[0].data))}
	n := len(list)
	column := make([]float64, n)
	standard := func(of func(*truth) float64) (mean, sd float64) {
		for i, x := range list {
			column[i] = of(x)
		}
		return stat.MeanStdDev(column, nil)
	}
	for _, i := range common[:min(len(common), maxDistance)] {
		if mean, sd := standard(func(x *truth) float64 { return x.values[i] }); sd > 0 && !math.IsInf(sd, 0) {
			r.columns, r.location, r.scale = append(r.columns, i), append(r.location, mean), append(r.scale, sd)
		}
	}
	if len(r.columns) == 0 {
		return r
	}
	for _, name := range r.names {
		for k := range list[0].data[name].Data {
			mean, sd := standard(func(x *truth) float64 { return x.data[name].Data[k] })
			r.mean, r.sd = append(r.mean, mean), append(r.sd, sd)
		}
	}
	r.pilots = mat.NewDense(n, len(r.mean), nil)
	y := mat.NewDense(n, len(r.columns), nil)
	for i, x := range list {
		r.pilots.SetRow(i, r.features(x.data))
		for k, c := range r.columns {
			y.Set(i, k, (x.values[c]-r.location[k])/r.scale[k])
		}
	}
	var kernel mat.SymDense
	kernel.SymOuterK(1/float64(len(r.mean)), r.pilots)
	penalty := ridge*mat.Trace(&kernel)/float64(n) + 1e-9
	for i := range n {
		kernel.SetSym(i, i, kernel.At(i, i)+penalty)
	}
	var factor mat.Cholesky
	r.alpha = new(mat.Dense)
	if !factor.Factorize(&kernel) || factor.SolveTo(r.alpha, y) != nil {
		r.alpha = mat.NewDense(n, len(r.columns), nil) // nothing is foretold
	}
	return r
}

// features are the numbers of a data set, each on its scale.
func (r *reference) features(data control.Data) []float64 {
	out := make([]float64, 0, len(r.mean))
	for _, name := range r.names {
		for _, x := range data[name].Data {
			k := len(out)
			z := (x - r.mean[k]) / r.sd[k]
			if math.IsNaN(z) || math.IsInf(z, 0) {
				z = 0
			}
			out = append(out, max(-10, min(10, z)))
		}
	}
	return out
}

// of is the reference of data set k.
func (r *reference) of(data control.Data, k uint64) []float64 {
	if len(r.columns) == 0 {
		return nil
	}
	var kernel, at mat.VecDense
	kernel.MulVec(r.pilots, mat.NewVecDense(len(r.mean), r.features(data)))
	at.MulVec(r.alpha.T(), &kernel)
	out := make([]float64, len(r.columns))
	s := dist.NewStream(r.seed, dist.StreamCalibration.Stream(uint32(k)+1), dist.StatementResample, tieDraw, dist.PurposeProposal)
	for i := range out {
		out[i] = at.AtVec(i)/float64(len(r.mean)) + referenceNoise*mathext.NormalQuantile(s.Float64())
	}
	return out
}

// distance is that of variables from a reference; NaN where one is absent.
func (r *reference) distance(from, values []float64) float64 {
	if len(r.columns) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for i, c := range r.columns {
		d := (values[c]-r.location[i])/r.scale[i] - from[i]
		sum += d * d
	}
	return sum // its square orders draws as well
}
