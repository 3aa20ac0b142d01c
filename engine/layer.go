package engine

import (
	"errors"
	"fmt"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Draw names a run. Everything random in it is a function of its Draw, so that it can be repeated
// anywhere: after a crash, on another worker, alone.
type Draw struct {
	Seed  uint64
	Index uint64 // number of the draw, or of the step of a chain
	Chain uint32 // 0 for independent draws, else the chain's number from 1
	Kind  dist.StreamKind
}

// FirstStep is the index of a chain's step 0: before it are the runs that look for a start.
const FirstStep = 1 << 32

// String names it.
func (d Draw) String() string {
	switch {
	case d.Chain == 0:
		return fmt.Sprintf("draw %d", d.Index)
	case d.Index < FirstStep && d.Kind == dist.StreamParticles:
		return fmt.Sprintf("draw %d of the prior for particles", d.Index)
	case d.Kind == dist.StreamParticles:
		return fmt.Sprintf("move %d of particle %d", d.Index-FirstStep, d.Chain)
	case d.Index < FirstStep:
		return fmt.Sprintf("run %d for a start of chain %d", d.Index, d.Chain)
	}
	return fmt.Sprintf("step %d of chain %d", d.Index-FirstStep, d.Chain)
}

// Stream is the number of the draw's stream of random numbers.
func (d *Draw) Stream() uint64 { return d.Kind.Stream(d.Chain) }

// Site is a Sample or Observe that waits for its value. It and all it refers to are valid until the
// layer returns.
type Site struct {
	*ppx.Statement
	Index      int // number of the statement in its run, from 0
	Key        tracing.Key
	Base       string // the address base of Key
	Occurrence int    // how many statements of the run have had this name, this one included
	Shape      []int32
	Len        int // number of elements of a value
}

// Choice is a layer's answer.
type Choice struct {
	// Value has as many elements as the site; its shape is not looked at. The layer may reuse it once the
	// next statement arrives.
	Value  []float64
	LogQ   float64 // log density under what chose it; not looked at for FromPrior
	Origin tracing.Origin
	// Vital tells that the run is over where the model makes this value impossible: what comes after it may be none of the model's states. Its trace is then partial.
	Vital bool
}

// Layer answers statements of one run, or leaves them to the next layer of the stack (!ok). An error ends
// the run; ErrData ends the job. A layer that keeps state belongs to one run.
type Layer interface {
	Choose(r *Run, s *Site) (c Choice, ok bool, err error)
}

// Giver is a layer that has values of its own for some statements, whatever their distributions.
type Giver interface {
	// Given is Choose for those alone.
	Given(r *Run, s *Site) (c Choice, ok bool, err error)
}

// Stack is the layers of one run, asked from the first to the last.
type Stack []Layer

// ErrSteer is what Choose returns when a delegated run cannot be made by the simulator alone after all: it is made again, and
// the layer's Plan must then say so.
var ErrSteer = errors.New("to be made value by value")

// Run is the state of a run that layers may look at.
type Run struct {
	Draw  Draw
	Sofar *tracing.Trace // the statements before this one; read-only

	later  *Later
	audit  audit
	stream dist.Stream
	values [2][]float64 // by turns: a value may be a parameter of the next statement
	turn   int
}

// Rand returns the random numbers of a statement for a purpose (dist.PurposeValue, …), from their
// beginning. It is valid until the next call.
func (r *Run) Rand(statement int, purpose uint64) *dist.Stream {
	r.stream = dist.NewStream(r.Draw.Seed, r.Draw.Stream(), uint64(statement), r.Draw.Index, purpose)
	return &r.stream
}

// Later hands a request to a batcher; Choose returns its result.
func (r *Run) Later(b Batcher, request any) error {
	r.later.add(b, request)
	return ErrLater
}

// Delegated tells whether the simulator has drawn the present Sample's value by itself.
func (r *Run) Delegated() bool { return r.audit.drawn != nil }

// Buffer returns n numbers for a Choice's value, valid until the call after the next.
func (r *Run) Buffer(n int) []float64 {
	r.turn = 1 - r.turn
	v := &r.values[r.turn]
	if cap(*v) < n || *v == nil {
		*v = make([]float64, n)
	}
	return (*v)[:n]
}

// Drawn is the value that sample draws, a function of the run's random numbers: for layers that draw. In a
// delegated run it is what the simulator has drawn; of those, one in a thousand is drawn again here and compared.
// It is valid until the next call.
func (r *Run) Drawn(s *Site, sample func(v []float64) error) ([]float64, error) {
	if r.audit.drawn != nil && !r.audit.due {
		return r.audit.drawn, nil
	}
	v := r.Buffer(s.Len)
	err := sample(v)
	if err != nil || r.audit.drawn == nil {
		return v, err
	}
	return r.audit.drawn, r.audit.compare(s, v)
}

// Prior is a value from the site's own distribution, as Drawn.
func (r *Run) Prior(s *Site) ([]float64, error) {
	return r.Drawn(s, func(v []float64) error { return s.Dist.Sample(r.Rand(s.Index, dist.PurposeValue), v) })
}
