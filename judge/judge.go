// Package judge says of recorded runs what follows from their stored densities and draws: how a posterior moves with the powers of its parts, how well it
// predicts each datum, whether two can be told apart, and whether replicated data look like observed ones.
package judge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/sbinet/npyio/npz"
	"gonum.org/v1/gonum/mat"

	"github.com/ppx-engine/ppx-engine/c2st"
	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// ErrUse says that what was asked for cannot be said of this run.
var ErrUse = errors.New("cannot be judged")

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUse, fmt.Errorf(format, args...))
}

// Powers are those that prior and likelihood are raised to, to see how the posterior moves (N. Kallioinen, T. Paananen, P. Bürkner and A. Vehtari,
// "Detecting and diagnosing prior and likelihood sensitivity with power-scaling", 2024).
var Powers = [2]float64{0.8, 1.25}

// PowerScaled is the posteriors with the prior, and with the likelihood, raised to each of Powers.
type PowerScaled struct {
	Prior, Likelihood [2]*posterior.Summary
	// PriorSD and LikelihoodSD are the posterior standard deviations of the two log densities: means move by their covariances with these.
	PriorSD, LikelihoodSD float64
	ESS                   float64
	// Varies tells that traces have different numbers of latents: a power of their density would depend on units, and Prior means nothing.
	Varies bool
}

// spread is a weighted standard deviation, of log weights.
type spread struct{ top, w, mean, m2 float64 }

func (s *spread) add(x, lw float64) {
	if math.IsInf(lw, -1) || math.IsInf(x, 0) {
		return
	}
	if lw > s.top || s.w == 0 {
		if s.w > 0 {
			f := math.Exp(s.top - lw)
			s.w, s.m2 = s.w*f, s.m2*f
		}
		s.top = lw
	}
	w := math.Exp(lw - s.top)
	s.w += w
	d := x - s.mean
	s.mean += d * w / s.w
	s.m2 += w * d * (x - s.mean)
}

func (s *spread) sd() float64 { return math.Sqrt(s.m2 / s.w) }

// ScalePowers weights the traces of a run anew, from their stored densities: the prior is that of all latents.
func ScalePowers(ctx context.Context, dir string) (*PowerScaled, error) {
	out := &PowerScaled{}
	for i := range Powers {
		out.Prior[i], out.Likelihood[i] = posterior.NewSummary(), posterior.NewSummary()
	}
	var ofPrior, ofLikelihood spread
	var rel, relPrior, relLikelihood tracing.Relative
	weights, latents := posterior.NewWeights(), -1
	m, err := eachOK(ctx, dir, func(t *tracing.Trace) error {
		var prior, likelihood tracing.Sum
		n := 0
		for i := range t.Sites {
			switch e := &t.Sites[i]; {
			case e.Origin.Scored():
				likelihood.Add(e.LogP)
			case e.Op == ppx.Sample:
				prior.Add(e.LogP)
				n += t.Value(i).Len()
			}
		}
		lw := rel.Of(t)
		weights.Add(t.LogWeight, t.LogWeightRest)
		p, l := prior.Kept(), likelihood.Kept()
		ofPrior.add(relPrior.Log(p.High, p.Rest), lw)
		ofLikelihood.add(relLikelihood.Log(l.High, l.Rest), lw)
		out.Varies = out.Varies || latents >= 0 && n != latents
		latents = n
		for i, power := range Powers {
			for _, x := range []struct {
				to   *posterior.Summary
				logP tracing.Sum
			}{{out.Prior[i], prior}, {out.Likelihood[i], likelihood}} {
				w := tracing.Sum{High: t.LogWeight, Rest: t.LogWeightRest}
				if k := x.logP.Kept(); !math.IsInf(k.High, 0) && !math.IsInf(w.High, 0) {
					w.AddProduct(power-1, k.High)
					w.AddProduct(power-1, k.Rest)
					w = w.Kept()
				}
				scaled := *t
				scaled.LogWeight, scaled.LogWeightRest = w.High, w.Rest
				if err := x.to.Write(ctx, &scaled); err != nil {
					return err
				}
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !m.Conditioned:
		return nil, unusable("%s is of the prior: it has no likelihood to scale", dir)
	case m.Resampled != nil:
		return nil, unusable("%s has been resampled: its weights are gone; take the run that it was made from", dir)
	case m.LikelihoodImportance != 0 && m.LikelihoodImportance != 1:
		return nil, unusable("%s has a likelihood to the power of %g already", dir, m.LikelihoodImportance)
	}
	out.PriorSD, out.LikelihoodSD, out.ESS = ofPrior.sd(), ofLikelihood.sd(), weights.ESS()
	return out, nil
}

// eachOK calls f for the traces of a run that have succeeded.
func eachOK(ctx context.Context, dir string, f func(*tracing.Trace) error) (*rundir.Manifest, error) {
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	for t, err := range r.All(ctx) {
		if err == nil && t.Status == tracing.OK {
			err = f(t)
		}
		if err != nil {
			return nil, err
		}
	}
	return r.Manifest, nil
}

// LeftOut is the log density of a datum under the posterior without it.
type LeftOut struct {
	Label    string
	Observed float64
	ELPD     float64 // log p(y | all other data)
	LPPD     float64 // log p(y | all data)
	Khat     float64 // of the weights that this rests on
	SE       float64 // Monte Carlo error of ELPD
}

// LeaveOneOut predicts each number of the data from the posterior without it, by importance sampling from the one with it (A. Vehtari, A. Gelman and
// J. Gabry, "Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC", 2017): weights w/g, whose k̂ tells how far they can be
// relied on. Data that depend on each other (a series) are left out one at a time all the same.
func LeaveOneOut(ctx context.Context, dir string) ([]LeftOut, error) {
	type one struct {
		LeftOut
		without, with *posterior.Weights
	}
	var list []*one
	at := map[string]*one{}
	all := posterior.NewWeights()
	var rel tracing.Relative // one for all sums, so that large constants cancel
	err := elementwise(ctx, dir, func(t *tracing.Trace, e elements) error {
		all.Add(rel.Log(t.LogWeight, t.LogWeightRest), 0)
		for i, label := range e.labels {
			x := at[label]
			if x == nil {
				x = &one{LeftOut: LeftOut{Label: label, Observed: e.observed[i]}, without: posterior.NewWeights(), with: posterior.NewWeights()}
				at[label] = x
				list = append(list, x)
			}
			add := func(to *posterior.Weights, sign float64) {
				w := tracing.Sum{High: t.LogWeight, Rest: t.LogWeightRest}
				if !math.IsInf(w.High, 0) && !math.IsInf(e.logP[i], 0) {
					w.AddProduct(sign, e.logP[i])
					w = w.Kept()
				}
				to.Add(rel.Log(w.High, w.Rest), 0)
			}
			add(x.without, -1)
			add(x.with, 1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []LeftOut
	for _, x := range list {
		if x.without.N != all.N {
			return nil, unusable("only some traces of %s have the datum %s: what it is to leave it out is not defined", dir, ppx.Quote(x.Label))
		}
		x.ELPD, x.LPPD, x.Khat = all.LogSum()-x.without.LogSum(), x.with.LogSum()-all.LogSum(), x.without.Khat()
		x.SE = math.Sqrt(1/x.without.ESS() + 1/all.ESS())
		out = append(out, x.LeftOut)
	}
	return out, nil
}

// elements are the numbers of a trace's data: what they are called, their values and log densities.
type elements struct {
	labels, names  []string // with and without subscripts
	observed, logP []float64
}

// elementwise calls f for the traces of a run that have data.
func elementwise(ctx context.Context, dir string, f func(*tracing.Trace, elements) error) error {
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return err
	}
	switch m := r.Manifest; {
	case !m.Conditioned:
		return unusable("%s is of the prior: it has no data", dir)
	case m.NoParameters:
		return unusable("%s was recorded with --no-parameters: the densities of single numbers are not known", dir)
	case m.Resampled != nil:
		return unusable("%s has been resampled: its weights are gone; take the run that it was made from", dir)
	case m.LikelihoodImportance != 0 && m.LikelihoodImportance != 1:
		return unusable("%s has a likelihood to the power of %g", dir, m.LikelihoodImportance)
	}
	given, err := r.Manifest.Tensors(dir)
	if err != nil {
		return err
	}
	for t, err := range r.All(ctx) {
		if err != nil {
			return err
		}
		if t.Status != tracing.OK {
			continue
		}
		var e elements
		var failed error
		Statements(t, func(i int, name string) {
			if s := &t.Sites[i]; s.Op != ppx.Observe || !s.Origin.Scored() {
				return
			}
			v, d := t.Value(i), t.Dist(i)
			draws, err := d.Draws()
			logP := make([]float64, draws)
			if err == nil {
				err = d.LogProbs(v.Data, logP)
			}
			if err != nil {
				failed = fmt.Errorf("draw %d of %s: %s: %w", t.Draw, dir, ppx.Quote(name), err)
				return
			}
			missing := missingIn(given, name, len(v.Data))
			shape, width := v.Shape, 1
			if d.Kind.Vector() { // a row is one datum, which its first number stands for
				shape, width = shape[:len(shape)-1], int(shape[len(shape)-1])
			}
			for k := range logP {
				if missing != nil && math.IsNaN(missing[k*width]) { // drawn, not scored
					continue
				}
				label := name
				if len(logP) > 1 {
					label += tracing.Subscript(k, shape)
				}
				e.labels, e.names, e.observed, e.logP = append(e.labels, label), append(e.names, name), append(e.observed, v.Data[k*width]), append(e.logP, logP[k])
			}
		})
		if failed != nil {
			return failed
		}
		if err := f(t, e); err != nil {
			return err
		}
	}
	return nil
}

// missingIn is the given value of a datum, whose missing elements are NaN; nil if it is the simulator's own.
func missingIn(given map[string]ppx.Tensor, name string, n int) []float64 {
	base, _ := ppx.SplitOccurrence(name)
	for _, key := range []string{name, ppx.JoinOccurrence(name, 1), base} {
		if d, ok := given[key]; ok && len(d.Data) == n {
			return d.Data
		}
	}
	return nil
}

// maxLogLikelihood is how many numbers a file of log likelihoods has at most.
const maxLogLikelihood = 500_000_000

// WriteLogLikelihood writes the log density of each number of the data in each trace to an .npz file: an array [traces, numbers] for each named datum,
// and log_weight and row, by trace.
func WriteLogLikelihood(ctx context.Context, dir, path string) error {
	var rows, weights []float64
	columns := map[string][]float64{}
	width := map[string]int{}
	total := 0
	err := elementwise(ctx, dir, func(t *tracing.Trace, e elements) error {
		rows, weights = append(rows, float64(t.Row)), append(weights, t.LogWeight)
		count := map[string]int{}
		for i, name := range e.names {
			columns[name] = append(columns[name], e.logP[i])
			count[name]++
		}
		total += len(e.labels)
		for name, n := range count {
			if width[name] == 0 && len(rows) == 1 {
				width[name] = n
			}
		}
		if !maps.Equal(count, width) {
			return unusable("draw %d of %s has other data than the draws before: there is no table of them", t.Draw, dir)
		}
		if total > maxLogLikelihood {
			return unusable("%s has too many numbers for a file of log likelihoods (above %d)", dir, maxLogLikelihood)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return disk.Replace(path, func(f *os.File) error {
		z := npz.NewWriter(f)
		errs := []error{z.Write("row.npy", rows), z.Write("log_weight.npy", weights)}
		for _, name := range slices.Sorted(maps.Keys(columns)) {
			errs = append(errs, z.Write(name+".npy", mat.NewDense(len(rows), width[name], columns[name])))
		}
		return errors.Join(append(errs, z.Close())...)
	})
}

// C2ST is a classifier two-sample test of two runs.
type C2ST struct {
	c2st.Result
	Variables []string
}

const (
	mostC2ST      = 10_000 // draws
	mostVariables = 50
)

// Run is a recorded run and its summary.
type Run struct {
	Dir      string
	Manifest *rundir.Manifest
	Summary  *posterior.Summary
}

// TellApart trains a network to tell draws of two posteriors apart, by the variables that all draws of both have. Draws are sampled without replacement, a
// fifth of the effective sample size at most, as no draw may occur twice. Errors: ErrUse where that is too few.
func TellApart(ctx context.Context, a, b Run, seed uint64) (*C2ST, error) {
	out := &C2ST{}
	have := map[string]int{}
	for _, o := range []Run{a, b} {
		for _, v := range o.Summary.Variables() {
			if v.Kind != posterior.TensorKind && v.Present == 1 && v.Finite == 1 {
				if have[v.Name]++; have[v.Name] == 2 && len(out.Variables) < mostVariables {
					out.Variables = append(out.Variables, v.Name)
				}
			}
		}
	}
	var sets [2][][]float64
	n := mostC2ST
	for _, o := range []Run{a, b} {
		w := o.Summary.Weights
		ess := w.ESS()
		if !o.Manifest.Conditioned {
			ess *= 5 // equal weights: no draw stands for others
		}
		if o.Manifest.Chains != nil || o.Manifest.Particles != nil {
			return nil, unusable("%s is of chains or particles: its draws depend on each other and repeat, which a classifier would learn", o.Dir)
		}
		if w.Before != nil {
			return nil, unusable("%s has been resampled: copies of one draw are told apart by nothing but themselves; take the run that it was made from", o.Dir)
		}
		n = min(n, int(ess/5))
	}
	for i, o := range []Run{a, b} {
		var err error
		if sets[i], err = distinct(ctx, o.Dir, out.Variables, n, seed+uint64(i)); err != nil {
			return nil, err
		}
	}
	var err error
	if out.Result, err = c2st.Accuracy(sets[0], sets[1], seed); err != nil {
		return nil, unusable("%w: a fifth of the smaller effective sample size, as none may occur twice", err)
	}
	return out, nil
}

// distinct samples n traces without replacement, with the probability of their weights (P. Efraimidis and P. Spirakis, 2006), and returns their variables.
func distinct(ctx context.Context, dir string, names []string, n int, seed uint64) (rows [][]float64, err error) {
	type key struct {
		row int64
		key float64
	}
	var keys []key
	var rel tracing.Relative
	var vars tracing.Variables
	if _, err := eachOK(ctx, dir, func(t *tracing.Trace) error {
		vars.Each(t, func(int, tracing.Quantity, ppx.Tensor) {})
		lw := rel.Of(t)
		if math.IsInf(lw, -1) {
			return nil
		}
		s := dist.NewStream(seed, dist.StreamInference.Stream(0), dist.StatementResample, uint64(t.Row), dist.PurposeResample)
		// The largest of log w + Gumbel noise.
		keys = append(keys, key{t.Row, lw - math.Log(-math.Log(s.Float64()))})
		return nil
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Compare(b.key, a.key) })
	chosen := map[int64]bool{}
	for _, k := range keys[:min(n, len(keys))] {
		chosen[k.row] = true
	}
	column := map[string]int{}
	for i, name := range names {
		column[name] = i
	}
	_, err = eachOK(ctx, dir, func(t *tracing.Trace) error {
		if !chosen[t.Row] {
			return nil
		}
		row := make([]float64, len(names))
		vars.Each(t, func(_ int, q tracing.Quantity, v ppx.Tensor) {
			for i, x := range v.Data {
				if c, ok := column[vars.Label(q, v.Shape, i)]; ok {
					row[c] = x
				}
			}
		})
		rows = append(rows, row)
		return nil
	})
	return rows, err
}
