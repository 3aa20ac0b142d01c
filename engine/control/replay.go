package control

import (
	"sync"
	"sync/atomic"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Replay answers statements with the values that a recorded trace has at the same address base and
// instance; others are left to the layers below. Shared by any number of runs.
type Replay struct {
	trace   *tracing.Trace
	latents bool                        // no Observes
	index   atomic.Pointer[replayIndex] // of the table that was asked for last
	reuse   func() *ppx.Reuse
}

// replayIndex finds the entries of a trace by the keys of a table, which may be another process's.
type replayIndex struct {
	table   *tracing.Table
	entries map[tracing.Key]int
}

var _ engine.Planner = (*Replay)(nil)

// NewReplay returns the layer that repeats t, which may come from another process.
func NewReplay(t *tracing.Trace) *Replay {
	return &Replay{trace: t, reuse: sync.OnceValue(func() *ppx.Reuse { return reuse(t) })}
}

// NewReplayLatents is NewReplay for Samples alone: data are made anew, from the same latents.
func NewReplayLatents(t *tracing.Trace) *Replay {
	l := NewReplay(t)
	l.latents = true
	return l
}

// sample is which of the trace's Samples entry k is.
func (l *Replay) sample(k int) int {
	n := 0
	for i := range k {
		if l.trace.Sites[i].Op == ppx.Sample {
			n++
		}
	}
	return n
}

// in is the index for a table.
func (l *Replay) in(table *tracing.Table) *replayIndex {
	if x := l.index.Load(); x != nil && x.table == table {
		return x
	}
	t := l.trace
	x := &replayIndex{table, make(map[tracing.Key]int, len(t.Sites))}
	ids := map[uint32]uint32{}
	for i := range t.Sites {
		k := t.Sites[i].Key
		if t.Table != table {
			id, ok := ids[k.Address]
			if !ok {
				a := t.Table.Address(k.Address)
				id = table.Intern(a.Base, a.Op, a.Kind)
				ids[k.Address] = id
			}
			k.Address = id
		}
		x.entries[k] = i
	}
	l.index.Store(x)
	return x
}

// reuse is the values of a trace's Samples, as a simulator is told them.
func reuse(t *tracing.Trace) *ppx.Reuse {
	out := &ppx.Reuse{}
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Op == ppx.Sample {
			out.Values = append(out.Values, ppx.Reused{Base: t.Table.Address(e.Address).Base, Instance: e.Instance, Value: t.Value(i)})
		}
	}
	return out
}

// Reuse is the recorded values of Samples, as a simulator is told them.
func (l *Replay) Reuse() *ppx.Reuse { return l.reuse() }

// Plan implements engine.Planner.
func (l *Replay) Plan(p *engine.Plan) bool { return p.Repeat(l.reuse()) }

// Choose implements engine.Layer. A value that was data stays data; every other one becomes Reused.
func (l *Replay) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	i, ok := l.in(r.Sofar.Table).entries[s.Key]
	if !ok || l.latents && s.Op == ppx.Observe {
		return engine.Choice{}, false, nil
	}
	v := l.trace.Value(i)
	if !ppx.Fits(v, s.Shape, s.Len) {
		return engine.Choice{}, false, nil
	}
	c := engine.Choice{Value: v.Data, Origin: tracing.Reused}
	if origin := l.trace.Sites[i].Origin; origin.Scored() {
		c.Origin = origin
	}
	return c, true, nil
}
