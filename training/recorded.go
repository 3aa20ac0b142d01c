package training

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Recorded is a Source of traces in run directories, which may be larger than the memory. The first Validation traces of
// the first run are held out. In each epoch the parts of all runs come in a new order; some of them at a time are shuffled,
// and cut into minibatches of traces of similar lengths, which come in a random order.
type Recorded[E Example] struct {
	Runs   []*rundir.Reader
	Config *Config

	example func(*tracing.Trace) (E, error)
	model   string
	ready   chan []E
	err     error
	cancel  context.CancelFunc
	done    chan struct{}
}

// ErrRecorded says that runs cannot be trained on.
var ErrRecorded = errors.New("these runs cannot be trained on")

// OpenRuns opens run directories for training.
func OpenRuns[E Example](paths []string, c *Config) (r *Recorded[E], err error) {
	r = &Recorded[E]{Config: c}
	table := tracing.NewTable()
	for _, path := range paths {
		run, err := rundir.Open(path, table)
		if err != nil {
			return nil, err
		}
		m := run.Manifest
		switch {
		case m.Conditioned:
			return nil, fmt.Errorf("%w: %s was recorded with data, its traces are not the prior's; record some with ppx prior", ErrRecorded, path)
		case m.NoParameters:
			return nil, fmt.Errorf("%w: %s was recorded with --no-parameters: a network needs the priors", ErrRecorded, path)
		case len(r.Runs) > 0 && m.Model != r.model:
			return nil, fmt.Errorf("%w: %s is of the model %q, %s of %q", ErrRecorded, paths[0], r.model, path, m.Model)
		}
		for i, other := range r.Runs {
			if o := other.Manifest; o.Seed == m.Seed && o.Inflation == m.Inflation && o.First < m.First+m.N && m.First < o.First+o.N {
				return nil, fmt.Errorf("%w: %s and %s have the same seed and draws, and so the same traces", ErrRecorded, paths[i], path)
			}
		}
		r.model = m.Model
		r.Runs = append(r.Runs, run)
	}
	return r, nil
}

// Model is the simulator's.
func (r *Recorded[E]) Model() string { return r.model }

// First implements Source.
func (r *Recorded[E]) First(ctx context.Context) (first []*tracing.Trace, gaveUp int, err error) {
	total := 0
	for t, err := range r.Runs[0].All(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if total++; t.Status == tracing.OK {
			first = append(first, t)
		}
		if total == r.Config.Validation {
			break
		}
	}
	if total < r.Config.Validation || len(r.Runs) == 1 && r.Runs[0].Manifest.Counts.Traces <= uint64(total) {
		return nil, 0, fmt.Errorf("%w: %s has %d traces, which is too few to hold out %d of them (--validation)", ErrRecorded, r.Runs[0].Path, total, r.Config.Validation)
	}
	return first, 0, nil // what was given up was so when it was recorded
}

// part is a part of one of the runs.
type part struct{ run, k int }

// The traces that are shuffled together: a number of minibatches, or as many bytes.
const (
	windowBatches = 64
	windowBytes   = 256 << 20
)

// Begin implements Source.
func (r *Recorded[E]) Begin(ctx context.Context, example func(*tracing.Trace) (E, error), skip uint64) {
	r.example = example
	ctx, r.cancel = context.WithCancel(ctx)
	r.ready, r.done = make(chan []E, 4), make(chan struct{})
	go func() {
		defer close(r.done)
		defer close(r.ready)
		r.err = r.epochs(ctx, skip)
	}()
}

// epochs sends minibatches, but for the first skip, until nobody takes them.
func (r *Recorded[E]) epochs(ctx context.Context, skip uint64) error {
	var parts []part
	for i, run := range r.Runs {
		for k := 0; ; k++ {
			if !run.Has(uint64(k)) {
				break
			}
			parts = append(parts, part{i, k})
		}
	}
	var window []E
	bytes := 0
	for epoch := uint64(0); ; epoch++ {
		used := false
		order := slices.Clone(parts)
		shuffle(order, dist.NewStream(r.Config.Seed, dist.StreamTraining.Stream(2), 1, epoch, 0))
		for i, p := range order {
			traces, err := r.Runs[p.run].Part(uint64(p.k))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			for _, t := range traces {
				if t.Status == tracing.Failed || (p.run == 0 && t.Draw < uint64(r.Config.Validation)) {
					continue
				}
				e, err := r.example(t)
				if err != nil {
					return err
				}
				window = append(window, e)
				bytes += e.Bytes()
				used = true
				if len(window) >= windowBatches*r.Config.Batch || bytes > windowBytes {
					if window, err = r.send(ctx, window, dist.NewStream(r.Config.Seed, dist.StreamTraining.Stream(2), 2+uint64(i), epoch, uint64(t.Draw)), &skip); err != nil {
						return err
					}
					bytes = 0
				}
			}
		}
		if !used {
			return io.EOF
		}
	}
}

// send cuts a window into minibatches and sends them; what does not fill one is returned.
func (r *Recorded[E]) send(ctx context.Context, window []E, s dist.Stream, skip *uint64) (rest []E, err error) {
	shuffle(window, s)
	size := r.Config.Batch
	n := len(window) / size * size
	rest = slices.Clone(window[n:])
	full := window[:n]
	slices.SortStableFunc(full, func(a, b E) int { return cmp.Compare(a.Len(), b.Len()) })
	batches := slices.Collect(slices.Chunk(full, size))
	shuffle(batches, s)
	for _, b := range batches {
		if *skip > 0 {
			*skip--
			continue
		}
		select {
		case r.ready <- b:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return rest, nil
}

// shuffle is Fisher and Yates's.
func shuffle[T any](x []T, s dist.Stream) {
	for i := len(x) - 1; i > 0; i-- {
		j := int(s.Uint64() % uint64(i+1))
		x[i], x[j] = x[j], x[i]
	}
}

// Next implements Source.
func (r *Recorded[E]) Next() ([]E, error) {
	b, ok := <-r.ready
	if !ok {
		return nil, r.err
	}
	return b, nil
}

// GaveUp implements Source: what was given up was so when it was recorded.
func (r *Recorded[E]) GaveUp() int { return 0 }

// Close implements Source.
func (r *Recorded[E]) Close() {
	if r.cancel != nil {
		r.cancel()
		for range r.ready { // so that the other side ends
		}
		<-r.done
	}
}
