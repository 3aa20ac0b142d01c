package engine

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// Executor runs a simulator. Its methods may be called from several goroutines.
type Executor interface {
	// Execute makes one run, and makes it again when the simulator was lost. Errors: ErrGivenUp, ErrData, ErrStart, ctx's.
	Execute(ctx context.Context, t Task) (*tracing.Trace, error)
	// Stream makes many in parallel and delivers their traces in the order of tasks. A draw that was given up is
	// delivered as a failed trace. The sequence ends after the first error (ErrGivenUp, ErrData, ErrStart), and with ctx's error when ctx
	// ends. Unless it is nil, early hears of traces that are finished and have to wait for an earlier task: at once, from any goroutine.
	Stream(ctx context.Context, next Source, early func(*tracing.Trace)) iter.Seq2[*tracing.Trace, error]
	// Table numbers the addresses and names of all traces of this executor.
	Table() *tracing.Table
	// Stats counts what happened so far.
	Stats() Stats
}

// Stats counts the work of an Executor.
type Stats struct {
	Workers    int
	Statements uint64
	Finished   uint64        // runs that came to their end
	Busy       time.Duration // that these have taken, added up
	Lost       uint64        // runs that were lost and drawn again
}

// ErrData says that the given data cannot be this simulator's: nothing would change if the run were made
// again.
var ErrData = errors.New("data do not fit the simulator")
