package derive

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Join pools the traces of runs of one job with different seeds: their weights as they are, zeros included, which is what a longer run would have
// given. Errors: ErrUse, rundir.ErrMerge, those of rundir.
func Join(ctx context.Context, dirs []string, out, version string, progress func(done, of uint64)) (m *rundir.Manifest, err error) {
	table := tracing.NewTable()
	var runs []*rundir.Reader
	var seeds []uint64
	total := uint64(0)
	for _, dir := range dirs {
		r, err := rundir.Open(dir, table)
		if err != nil {
			return nil, err
		}
		x := r.Manifest
		if x.Resampled != nil {
			return nil, unusable("%s has been resampled: join the runs that it was made from, and resample them together", dir)
		}
		if x.Particles != nil {
			return nil, unusable("%s is of particles: take more of them (infer --ladder %s); compare puts runs side by side", dir, dir)
		}
		if x.Chains != nil {
			return nil, unusable("%s is of chains: run them longer (infer --resume -n), or with more of them; compare puts runs side by side", dir)
		}
		for i, other := range runs {
			o := other.Manifest
			if o.Method != x.Method { // then the same seed makes other traces
				if err := rundir.SameJob(other, r); err != nil {
					return nil, err
				}
			}
			if o.Seed == x.Seed && len(o.Seeds)+len(x.Seeds) == 0 && o.First < x.First+x.N && x.First < o.First+o.N || shareSeed(o, x) {
				return nil, unusable("%s and %s have the same seed and draws, and so the same traces", dirs[i], dir)
			}
			if i == 0 {
				if err := rundir.SameJob(other, r); err != nil {
					return nil, err
				}
			}
		}
		if len(x.Seeds) > 0 {
			seeds = append(seeds, x.Seeds...)
		} else {
			seeds = append(seeds, x.Seed)
		}
		runs = append(runs, r)
		total += x.Counts.Traces + x.Counts.Failed
	}
	first := runs[0].Manifest
	data, err := first.Tensors(runs[0].Path)
	if err != nil {
		return nil, err
	}
	next := *first
	m = &next
	m.PPXVersion, m.Job, m.First, m.N, m.Counts, m.PartSize, m.Cut, m.Ended, m.Error, m.Seeds = version, nil, 0, total, rundir.Counts{}, 0, nil, nil, "", seeds
	m.LeftOut, m.Systems, m.Mixed = 0, nil, nil
	var paths []string
	for _, r := range runs {
		path, err := filepath.Abs(r.Path)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
		m.LeftOut += r.Manifest.LeftOut
		for _, s := range r.Manifest.Systems {
			if !slices.Contains(m.Systems, s) {
				m.Systems = append(m.Systems, s)
			}
		}
		if c := r.Manifest.Cut; c != nil && (m.Cut == nil || c.Running > m.Cut.Running) {
			m.Cut = c
		}
		if r.Manifest.State != rundir.Complete {
			m.Error = fmt.Sprintf("%s was %s", r.Path, r.Manifest.State)
		}
	}
	if err := alike(ctx, runs); err != nil {
		return nil, err
	}
	seconds := 0.0
	m.Lineage = &rundir.Lineage{Run: strings.Join(paths, ", "), Change: fmt.Sprintf("%d runs joined", len(runs))}
	w, err := rundir.Create(out, m, data)
	if err != nil {
		return nil, err
	}
	row := int64(0)
	for _, r := range runs {
		seconds += r.Manifest.Seconds
		for t, e := range r.All(ctx) {
			if err = e; err == nil {
				x := *t
				x.Row, x.From = row, &tracing.Lineage{Parent: t.Row, SameAs: tracing.NoRow}
				row++
				progress(uint64(row), total)
				err = w.Write(ctx, &x)
			}
			if err != nil {
				return nil, fmt.Errorf("%w%w", err, closed(w, err))
			}
		}
	}
	w.Update(func(m *rundir.Manifest) { m.Seconds = seconds })
	return m, w.Close(rundir.Complete, nil)
}

func closed(w *rundir.Writer, reason error) error { return w.Close(rundir.Failed, reason) }

// shareSeed tells whether two joined runs have a seed in common.
func shareSeed(a, b *rundir.Manifest) bool {
	of := func(m *rundir.Manifest) []uint64 {
		if len(m.Seeds) > 0 {
			return m.Seeds
		}
		return []uint64{m.Seed}
	}
	if len(a.Seeds)+len(b.Seeds) == 0 { // then the draws tell
		return false
	}
	return slices.ContainsFunc(of(a), func(s uint64) bool { return slices.Contains(of(b), s) })
}

// alike refuses runs that cannot be of one job: their evidences are farther apart than seeds can make them, or their simulators bring other values of their own.
func alike(ctx context.Context, runs []*rundir.Reader) error {
	var z, se []float64
	var own [][]float64
	for _, r := range runs {
		w := posterior.NewWeights()
		var values []float64
		for t, err := range r.All(ctx) {
			switch {
			case err != nil:
				return err
			case t.Status == tracing.Failed:
				w.AddFailed()
			case t.Status == tracing.OK:
				w.Add(t.LogWeight, t.LogWeightRest)
				if values == nil {
					values = []float64{}
					for i := range t.Sites {
						if e := &t.Sites[i]; e.Op == ppx.Observe && e.Origin.Scored() {
							values = append(values, t.Value(i).Data...)
						}
					}
				}
			}
		}
		w.LeftOut = r.Manifest.LeftOut
		z, se, own = append(z, w.LogEvidence()), append(se, w.LogEvidenceSE()), append(own, values)
		i := len(z) - 1
		if len(own[i]) == len(own[0]) && !slices.EqualFunc(own[i], own[0], func(a, b float64) bool { return a == b || a != a && b != b }) && !drawn(r) {
			return unusable("%s and %s are not of one job: their simulators bring other data", runs[0].Path, r.Path)
		}
		if d, e := math.Abs(z[i]-z[0]), math.Hypot(se[i], se[0]); r.Manifest.Conditioned && w.ESS() >= 10 && d > 6*e {
			return unusable("%s and %s are not of one job: their log evidences, %.4g ± %.1g and %.4g ± %.1g, are %.0f standard errors apart", runs[0].Path, r.Path, z[0], se[0], z[i], se[i], d/e)
		}
	}
	return nil
}

// drawn tells that data have missing elements, which are drawn anew in each trace.
func drawn(r *rundir.Reader) bool {
	data, err := r.Manifest.Tensors(r.Path)
	if err != nil {
		return true
	}
	for _, v := range data {
		if control.Partial(v) {
			return true
		}
	}
	return false
}
