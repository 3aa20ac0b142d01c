package training

import (
	"context"
	"io"
	"math"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Simulators is a Source of traces that simulators make while the network trains. Draws 0 to Validation−1 are held
// out, the others are used in their order, each once; with several epochs they are kept in memory, and used again in a new order
// each time.
type Simulators[E Example] struct {
	X      engine.Executor
	Name   string // of the simulator
	Config *Config
	// Held, if it is not nil, hears how many of the held-out traces there are, while they are made.
	Held func(done int)

	gaveUp  int    // draws of the last minibatch
	keep    []E    // of the first epoch, when there are more
	again   []E    // what is left of the present one
	skip    uint64 // minibatches that have been used, while several epochs come to the present one
	example func(*tracing.Trace) (E, error)
	epoch   uint64
	batches int // of the first epoch
	ready   chan made[E]
	ahead   *semaphore.Weighted
	err     error // after ready was closed
	cancel  context.CancelFunc
	done    chan struct{}
}

// maxAhead bounds the memory of what simulators have made and training has not used: examples, and bytes.
const (
	maxAhead      = 8192
	maxAheadBytes = 256 << 20
)

// maker is the layers of a draw: held-out traces come from the prior itself.
func (s *Simulators[E]) maker(d engine.Draw) engine.Stack {
	if e := s.Config.Inflation; e > 0 && d.Index >= uint64(s.Config.Validation) {
		return engine.Stack{control.NewInflate(e), control.Prior{}}
	}
	return engine.Stack{control.Prior{}}
}

// Model implements Source.
func (s *Simulators[E]) Model() string { return s.Name }

// First implements Source.
func (s *Simulators[E]) First(ctx context.Context) (first []*tracing.Trace, gaveUp int, err error) {
	for t, err := range s.X.Stream(ctx, engine.DrawsOf(dist.StreamTraining, s.Config.Seed, 0, uint64(s.Config.Validation), s.maker), nil) {
		if err != nil {
			return nil, 0, err
		}
		if t.Status == tracing.Failed {
			gaveUp++
			continue
		}
		if first = append(first, t); s.Held != nil {
			s.Held(len(first))
		}
	}
	return first, gaveUp, nil
}

// made is an example, or none where the draw was given up.
type made[E Example] struct {
	example E
	ok      bool
}

// takes is the memory of an example, as far as it counts.
func (m made[E]) takes() int64 {
	if !m.ok {
		return 0
	}
	return int64(min(m.example.Bytes(), maxAheadBytes))
}

// begin starts making traces from a draw on.
func (s *Simulators[E]) begin(ctx context.Context, from uint64) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.done = make(chan struct{})
	s.ready = make(chan made[E], maxAhead)
	s.ahead = semaphore.NewWeighted(maxAheadBytes)
	go func() {
		defer close(s.done)
		defer close(s.ready)
		n := uint64(math.MaxUint64>>11) - from
		for t, err := range s.X.Stream(ctx, engine.DrawsOf(dist.StreamTraining, s.Config.Seed, from, n, s.maker), nil) {
			if err != nil {
				s.err = err
				return
			}
			var e made[E]
			if e.ok = t.Status == tracing.OK; e.ok {
				if e.example, err = s.example(t); err != nil {
					s.err = err
					return
				}
			}
			if err := s.ahead.Acquire(ctx, e.takes()); err != nil {
				s.err = context.Cause(ctx)
				return
			}
			select {
			case s.ready <- e:
			case <-ctx.Done():
				s.err = context.Cause(ctx)
				return
			}
		}
		s.err = io.EOF
	}()
}

// Begin implements Source.
func (s *Simulators[E]) Begin(ctx context.Context, example func(*tracing.Trace) (E, error), skip uint64) {
	s.example = example
	if s.Config.Epochs > 1 { // what is used again is made again first
		s.skip = skip
		skip = 0
	}
	s.begin(ctx, uint64(s.Config.Validation)+skip*uint64(s.Config.Batch))
}

// Next implements Source. A draw that was given up leaves a gap in its minibatch.
func (s *Simulators[E]) Next() (batch []E, err error) {
	if s.Config.Epochs == 1 {
		return s.fresh()
	}
	for ; ; s.skip-- {
		if batch, err = s.repeat(); err != nil || s.skip == 0 {
			return batch, err
		}
	}
}

// repeat is the next minibatch of several epochs.
func (s *Simulators[E]) repeat() (batch []E, err error) {
	size := s.Config.Batch
	if s.batches*size < int(s.Config.N)/s.Config.Epochs {
		if batch, err = s.fresh(); err == nil {
			s.keep = append(s.keep, batch...)
			s.batches++
		}
		return batch, err
	}
	if len(s.again) == 0 {
		if len(s.keep) == 0 {
			return nil, io.EOF
		}
		s.epoch++
		s.again = slices.Clone(s.keep)
		shuffle(s.again, dist.NewStream(s.Config.Seed, dist.StreamTraining.Stream(2), 1, s.epoch, 0))
	}
	n := min(size, len(s.again))
	batch, s.again = s.again[:n:n], s.again[n:]
	return batch, nil
}

// fresh is the next minibatch of new traces.
func (s *Simulators[E]) fresh() (batch []E, err error) {
	for range s.Config.Batch {
		e, ok := <-s.ready
		if !ok {
			return nil, s.err
		}
		s.ahead.Release(e.takes())
		if !e.ok {
			s.gaveUp++
			continue
		}
		batch = append(batch, e.example)
	}
	return batch, nil
}

// GaveUp implements Source.
func (s *Simulators[E]) GaveUp() int {
	n := s.gaveUp
	s.gaveUp = 0
	return n
}

// Close implements Source.
func (s *Simulators[E]) Close() {
	if s.cancel != nil {
		s.cancel()
		for range s.ready { // so that the other side ends
		}
		<-s.done
	}
}
