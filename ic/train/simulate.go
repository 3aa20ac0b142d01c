package train

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Simulators is a Source of traces that simulators make while the network trains. Draws 0 to Validation−1 are held
// out, the others are used in their order, each once; with several epochs they are kept in memory, and used again in a new order
// each time.
type Simulators struct {
	X      engine.Executor
	Model  string // of the simulator
	Config *Config
	// Held, if it is not nil, hears how many of the held-out traces there are, while they are made.
	Held func(done int)

	gaveUp  int           // draws of the last minibatch
	keep    []*ic.Example // of the first epoch, when there are more
	again   []*ic.Example // what is left of the present one
	epoch   uint64
	batches int // of the first epoch
	network *ic.Network[float32]
	ready   chan *ic.Example
	room    *semaphore.Weighted
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
func (s *Simulators) maker(d engine.Draw) engine.Stack {
	if e := s.Config.Inflation; e > 0 && d.Index >= uint64(s.Config.Validation) {
		return engine.Stack{control.NewInflate(e), control.Prior{}}
	}
	return engine.Stack{control.Prior{}}
}

// Open implements Source.
func (s *Simulators) Open(ctx context.Context, n *ic.Network[float32]) (_ *ic.Network[float32], held []*ic.Example, warnings []string, err error) {
	var first []*tracing.Trace
	for t, err := range s.X.Stream(ctx, engine.DrawsOf(dist.StreamTraining, s.Config.Seed, 0, uint64(s.Config.Validation), s.maker), nil) {
		if err != nil {
			return nil, nil, nil, err
		}
		if t.Status == tracing.Failed {
			if n == nil { // counted before, in a training that goes on
				s.gaveUp++
			}
			continue
		}
		if first = append(first, t); s.Held != nil {
			s.Held(len(first))
		}
	}
	return open(s.Config, s.Model, n, first, &s.network)
}

// open makes the network unless there is one, and examples of the first traces.
func open(c *Config, model string, n *ic.Network[float32], first []*tracing.Trace, keep **ic.Network[float32]) (_ *ic.Network[float32], held []*ic.Example, warnings []string, err error) {
	if n == nil {
		if n, warnings, err = ic.New[float32](c.Network, model, c.Seed, first); err != nil {
			return nil, nil, nil, err
		}
	} else if n.Model != model {
		return nil, nil, nil, fmt.Errorf("%w: its training was begun with %q, this is %q", ic.ErrModel, n.Model, model)
	}
	*keep = n
	visits := 0
	for _, t := range first {
		e, err := n.Example(t)
		if err != nil {
			return nil, nil, nil, err
		}
		held = append(held, e)
		visits += e.Len()
	}
	if visits == 0 {
		return nil, nil, nil, fmt.Errorf("there is nothing to propose: none of %d traces has a Sample with control", len(first))
	}
	return n, held, warnings, nil
}

// begin starts making traces from a draw on.
func (s *Simulators) begin(ctx context.Context, from uint64) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.done = make(chan struct{})
	s.ready = make(chan *ic.Example, maxAhead)
	s.room = semaphore.NewWeighted(maxAheadBytes)
	go func() {
		defer close(s.done)
		defer close(s.ready)
		n := uint64(math.MaxUint64>>11) - from
		for t, err := range s.X.Stream(ctx, engine.DrawsOf(dist.StreamTraining, s.Config.Seed, from, n, s.maker), nil) {
			if err != nil {
				s.err = err
				return
			}
			var e *ic.Example // nil for a draw that was given up
			if t.Status == tracing.OK {
				if e, err = s.network.Example(t); err != nil {
					s.err = err
					return
				}
			}
			if err := s.room.Acquire(ctx, takes(e)); err != nil {
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

// takes is the memory of an example, as far as it counts.
func takes(e *ic.Example) int64 {
	if e == nil {
		return 0
	}
	return int64(min(e.Bytes(), maxAheadBytes))
}

// Next implements Source. A draw that was given up leaves a gap in its minibatch.
func (s *Simulators) Next(ctx context.Context, skip uint64) (batch []*ic.Example, err error) {
	if s.Config.Epochs > 1 {
		return s.repeat(ctx, skip)
	}
	if s.ready == nil {
		s.begin(ctx, uint64(s.Config.Validation)+skip*uint64(s.Config.Batch))
	}
	return s.fresh()
}

// repeat is Next for several epochs.
func (s *Simulators) repeat(ctx context.Context, skip uint64) (batch []*ic.Example, err error) {
	if s.ready == nil {
		s.begin(ctx, uint64(s.Config.Validation))
	}
	size := s.Config.Batch
	first := int(s.Config.N) / s.Config.Epochs
	for ; ; skip-- {
		switch {
		case s.batches*size < first:
			if batch, err = s.fresh(); err != nil {
				return nil, err
			}
			s.keep = append(s.keep, batch...)
			s.batches++
		default:
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
		}
		if skip == 0 {
			return batch, nil
		}
	}
}

// fresh is the next minibatch of new traces.
func (s *Simulators) fresh() (batch []*ic.Example, err error) {
	for range s.Config.Batch {
		e, ok := <-s.ready
		if !ok {
			return nil, s.err
		}
		s.room.Release(takes(e))
		if e == nil {
			s.gaveUp++
			continue
		}
		batch = append(batch, e)
	}
	return batch, nil
}

// GaveUp implements Source.
func (s *Simulators) GaveUp() int {
	n := s.gaveUp
	s.gaveUp = 0
	return n
}

// Close implements Source.
func (s *Simulators) Close() {
	if s.cancel != nil {
		s.cancel()
		for range s.ready { // so that the other side ends
		}
		<-s.done
	}
}
