package control

import (
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Replay answers statements with the values that a recorded trace has at the same address base and
// instance; others are left to the layers below. Shared by any number of runs.
type Replay struct {
	values map[replayKey]replayed
	reuse  *ppx.Reuse // those of Samples
}

type replayKey struct {
	base     string
	op       ppx.Type
	instance uint32
}

type replayed struct {
	value  ppx.Tensor
	origin tracing.Origin
}

var _ engine.Planner = (*Replay)(nil)

// NewReplay returns the layer that repeats t, which may come from another process.
func NewReplay(t *tracing.Trace) *Replay {
	l := &Replay{values: make(map[replayKey]replayed, len(t.Entries)), reuse: &ppx.Reuse{}}
	for i := range t.Entries {
		e := &t.Entries[i]
		a := t.Table.Address(e.Address)
		v := t.Value(i)
		l.values[replayKey{a.Base, a.Op, e.Instance}] = replayed{v, e.Origin}
		if a.Op == ppx.Sample {
			l.reuse.Values = append(l.reuse.Values, ppx.Reused{Base: a.Base, Instance: e.Instance, Value: v})
		}
	}
	return l
}

// Reuse is the recorded values of Samples, as a simulator is told them.
func (l *Replay) Reuse() *ppx.Reuse { return l.reuse }

// Plan implements engine.Planner.
func (l *Replay) Plan(p *engine.Plan) bool { return p.Repeat(l.reuse) }

// Choose implements engine.Layer. A value that was data stays data; every other one becomes Reused.
func (l *Replay) Choose(_ *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	v, ok := l.values[replayKey{s.Base, s.Op, s.Key.Instance}]
	if !ok || !ppx.Fits(v.value, s.Shape, s.Len) {
		return engine.Choice{}, false, nil
	}
	c := engine.Choice{Value: v.value.Data, Origin: tracing.Reused}
	if v.origin.Scored() {
		c.Origin = v.origin
	}
	return c, true, nil
}
