package rundir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// ErrMerge says that run directories are not the shards of one job.
var ErrMerge = errors.New("these are not parts of one job")

// Merge joins the shards of one job, runs of neighbouring draws, into the directory at out that one job would have left: the same parts
// with the same rows. Times and hosts differ, of course. The order of the paths does not matter. Errors: ErrMerge, ErrExists, those of
// Open and Create. settle completes the manifest, each hears of every trace that is written.
func Merge(ctx context.Context, paths []string, out string, settle func(*Manifest) error, each func(*tracing.Trace) error) (m *Manifest, err error) {
	table := tracing.NewTable()
	var shards []*Reader
	for _, path := range paths {
		r, err := Open(path, table)
		if err != nil {
			return nil, err
		}
		shards = append(shards, r)
	}
	slices.SortStableFunc(shards, func(a, b *Reader) int { return int(min(1, max(-1, int64(a.Manifest.First)-int64(b.Manifest.First)))) })
	if err := errors.Join(oneJob(shards), oneSimulator(ctx, shards)); err != nil {
		return nil, err
	}
	first := shards[0]
	data, err := first.Manifest.Tensors(first.Path)
	if err != nil {
		return nil, err
	}
	joined := *first.Manifest
	m = &joined
	m.PartSize, m.Counts, m.Seconds, m.N, m.Ended, m.Error, m.Cut = 0, Counts{}, 0, 0, nil, "", nil
	m.Systems, m.Mixed = slices.Clone(m.Systems), slices.Clone(m.Mixed)
	started, seconds, lost := m.Started, 0.0, uint64(0)
	for i, s := range shards {
		o := s.Manifest
		m.N += o.N
		seconds += o.Seconds
		lost += o.Counts.LostAndRedrawn
		if o.Started.Before(started) {
			started = o.Started
		}
		if i > 0 {
			m.Mixed = append(m.Mixed, o.Mixed...)
			for _, x := range o.Systems {
				if !slices.Contains(m.Systems, x) {
					m.Systems = append(m.Systems, x)
				}
			}
		}
	}
	for _, s := range shards { // a run that was cut off and that no other shard has made
		if c := s.Manifest.Cut; c != nil && c.Draw >= m.First+m.N && (m.Cut == nil || c.Running > m.Cut.Running) {
			m.Cut = c
		}
	}
	if err := settle(m); err != nil {
		return nil, err
	}
	host := m.Host
	w, err := Create(out, m, data)
	if err != nil {
		return nil, err
	}
	w.Update(func(m *Manifest) { m.Started, m.Host, m.Counts.LostAndRedrawn = started, host, lost })
	for _, s := range shards {
		for t, e := range s.All(ctx) {
			if err = e; err == nil {
				err = errors.Join(w.Write(ctx, t), each(t))
			}
			if err != nil {
				return nil, errors.Join(err, w.Close(Failed, err))
			}
		}
	}
	w.mu.Lock()
	w.before, w.started = seconds, time.Now() // at work were the shards
	w.mu.Unlock()
	return m, w.Close(Complete, nil)
}

// oneJob tells whether shards, in their order, are neighbouring draws of one job.
func oneJob(shards []*Reader) error {
	first := shards[0]
	next := first.Manifest.First
	for i, s := range shards {
		m := s.Manifest
		if m.State == Running && disk.Locked(filepath.Join(s.Path, LockFile)) {
			return fmt.Errorf("%w: %s is not finished: %w", ErrMerge, s.Path, ErrLocked)
		}
		if m.State != Complete {
			return fmt.Errorf("%w: %s is %s: finish it with --resume", ErrMerge, s.Path, m.State)
		}
		if n := m.Counts.Traces + m.Counts.Failed; n != m.N {
			return fmt.Errorf("%w: %s has %d draws, not %d", ErrMerge, s.Path, n, m.N)
		}
		if what, a, b := different(first.Manifest, m); what != "" {
			return fmt.Errorf("%w: %s of %s is %s, that of %s %s", ErrMerge, what, first.Path, a, s.Path, b)
		}
		if same, err := sameData(first, s); i > 0 && err != nil {
			return err
		} else if i > 0 && !same {
			return fmt.Errorf("%w: %s and %s have different data", ErrMerge, first.Path, s.Path)
		}
		switch {
		case i == 0:
		case m.First < next:
			return fmt.Errorf("%w: %s and %s overlap: draw %d is in both", ErrMerge, shards[i-1].Path, s.Path, m.First)
		case m.First > next:
			return fmt.Errorf("%w: between %s and %s the draws %d to %d are missing (--first %d -n %d makes them)", ErrMerge,
				shards[i-1].Path, s.Path, next, m.First-1, next, m.First-next)
		}
		next = m.First + m.N
	}
	return nil
}

// oneSimulator tells shards of simulators apart that call themselves the same: where every run of each begins with the same statement, as
// it must unless something else has drawn before, it is the same one in all.
func oneSimulator(ctx context.Context, shards []*Reader) error {
	var first string
	var of *Reader
	for _, s := range shards {
		statement, err := opening(ctx, s)
		switch {
		case err != nil:
			return err
		case statement == "":
		case of == nil:
			first, of = statement, s
		case statement != first:
			return fmt.Errorf("%w: different simulators have made them: runs begin with %s in %s, with %s in %s", ErrMerge, first, of.Path, statement, s.Path)
		}
	}
	return nil
}

// opening is the statement that the first runs of a shard begin with; empty where they differ, or are none, or have been stored without
// what tells them apart.
func opening(ctx context.Context, s *Reader) (out string, err error) {
	const enough = 8
	seen := 0
	for t, err := range s.All(ctx) {
		if err != nil {
			return "", err
		}
		if t.Status != tracing.OK || len(t.Sites) == 0 || s.Manifest.NoParameters {
			continue
		}
		e := &t.Sites[0]
		statement := fmt.Sprintf("%v %v at %s", e.Op, t.Dist(0), ppx.Quote(t.Table.Label(e.Key)))
		if e.Name != 0 {
			statement += fmt.Sprintf(" named %s", ppx.Quote(t.Table.Name(e.Name)))
		}
		if seen > 0 && statement != out {
			return "", nil
		}
		if out = statement; seen == enough {
			break
		}
		seen++
	}
	return out, nil
}

// SameJob names the first setting in which two runs are not of the same job; of seeds alone it says nothing. Errors: ErrMerge.
func SameJob(a, b *Reader) error {
	x, y := *a.Manifest, *b.Manifest
	y.Seed = x.Seed
	if what, p, q := different(&x, &y); what != "" {
		return fmt.Errorf("%w: %s of %s is %s, that of %s %s", ErrMerge, what, a.Path, p, b.Path, q)
	}
	if same, err := sameData(a, b); err != nil {
		return err
	} else if !same {
		return fmt.Errorf("%w: %s and %s have different data", ErrMerge, a.Path, b.Path)
	}
	return oneSimulator(context.Background(), []*Reader{a, b})
}

// different names the first setting that two runs of one job cannot differ in.
func different(a, b *Manifest) (what, x, y string) {
	settings := func(m *Manifest) [][2]string {
		text := func(v any) string {
			b, _ := json.Marshal(v) // of settings, which came from JSON
			return string(b)
		}
		network := ""
		if m.Network != nil {
			network = m.Network.SHA256
		}
		return [][2]string{{"the model", ppx.Quote(m.Model)}, {"the method", ppx.Quote(m.Method)}, {"the seed", text(m.Seed)}, {"the stream of random numbers", text(m.StreamKind)},
			{"conditioned", text(m.Conditioned)}, {"keep_values", text(m.KeepValues)}, {"invalid_observe", text(m.InvalidObserve)}, {"the inflation", text(m.Inflation)},
			{"likelihood_importance", text(m.LikelihoodImportance)}, {"the network", text(network)}, {"the defensive share", text(m.Defensive)}, {"no_parameters", text(m.NoParameters)},
			{"the lineage", text(m.Lineage)},
			{"the version of ppx", ppx.Quote(m.PPXVersion)}}
	}
	xs, ys := settings(a), settings(b)
	for i := range xs {
		if xs[i] != ys[i] {
			return xs[i][0], xs[i][1], ys[i][1]
		}
	}
	return "", "", ""
}

// sameData compares observed values.
func sameData(a, b *Reader) (bool, error) {
	x, err1 := a.Manifest.Tensors(a.Path)
	y, err2 := b.Manifest.Tensors(b.Path)
	if err := errors.Join(err1, err2); err != nil || len(x) != len(y) {
		return false, err
	}
	for name, v := range x {
		w, ok := y[name]
		if !ok || !v.Same(w) {
			return false, nil
		}
	}
	return true, nil
}
