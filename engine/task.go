package engine

import (
	"errors"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Task is a run to be made: a draw, what makes its layers, and what its trace is to say of where it stands.
type Task struct {
	Draw Draw
	// Stack makes the layers of the draw. It is called again when the run was lost, and must then return layers in the same state as
	// before. It is called from several goroutines.
	Stack func(Draw) Stack
	// Place is that of the trace among others; nil: its row is the draw's number.
	Place *Place
	// Left is how many tasks of the stream come after this one, if that is known: simulators share them evenly. 0: unknown.
	Left int
}

// Place is where a trace stands among those of its run.
type Place struct {
	Row    int64  // identifies the trace
	Step   uint64 // of its chain
	Parent int64  // the row that it was made from, or tracing.NoRow
}

// mark gives a trace of the task its place.
func (t *Task) mark(tr *tracing.Trace) *tracing.Trace {
	if p := t.Place; p != nil {
		tr.Row, tr.From = p.Row, &tracing.Lineage{Step: p.Step, Parent: p.Parent, SameAs: tracing.NoRow}
	}
	return tr
}

// Source gives the tasks of a stream one after the other, !ok after the last. It is called as runs are
// started, from any goroutine but never from two at once, and must not block. (Not an iter.Seq: turning
// one into a function takes a coroutine, which threads that are locked, as the pool's are, may not resume.)
type Source func() (t Task, ok bool)

// Draws is the n independent draws of a seed that begin with number from, with the layers that stack makes.
func Draws(seed, from, n uint64, stack func(Draw) Stack) Source {
	return DrawsOf(dist.StreamInference, seed, from, n, stack)
}

// DrawsOf is Draws of another kind of stream.
func DrawsOf(kind dist.StreamKind, seed, from, n uint64, stack func(Draw) Stack) Source {
	i := from
	return func() (Task, bool) {
		if i == from+n {
			return Task{}, false
		}
		i++
		return Task{Draw: Draw{Seed: seed, Index: i - 1, Kind: kind}, Stack: stack}, true
	}
}

// ErrStop is a layer's verdict that it has seen enough: the run is abandoned, and its trace, as far as it goes, kept as partial.
var ErrStop = errors.New("enough of this run")
