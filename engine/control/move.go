package control

import (
	"slices"
	"sync"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Move makes a step of a chain: some Samples take new values, every other one keeps that of the trace where it has the same address base, instance and
// shape; even where its density is then 0, as the reverse move would keep it too. Data, and what is new, are left to the layers below.
type Move struct {
	latents *Replay
	changes map[int]Change // by entry
}

// Change is the new value of an entry, and its log density under what chose it. Nobody may change the value any more.
type Change struct {
	Value []float64
	LogQ  float64
}

var _ engine.Planner = (*Move)(nil)

// NewMove returns the layer that gives Samples of t, by their entries, new values.
func NewMove(t *tracing.Trace, changes map[int]Change) *Move {
	m := &Move{latents: NewReplayLatents(t), changes: changes}
	m.latents.reuse = sync.OnceValue(func() *ppx.Reuse {
		out := reuse(t)
		i := 0
		for k := range t.Sites {
			if t.Sites[k].Op != ppx.Sample {
				continue
			}
			if c, ok := changes[k]; ok {
				out.Values[i].Value = ppx.Tensor{Data: c.Value, Shape: slices.Clone(out.Values[i].Value.Shape)}
			}
			i++
		}
		return out
	})
	return m
}

// Plan implements engine.Planner.
func (m *Move) Plan(p *engine.Plan) bool { return m.latents.Plan(p) }

// Choose implements engine.Layer.
func (m *Move) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if i, ok := m.latents.in(r.Sofar.Table).entries[s.Key]; ok {
		if c, ok := m.changes[i]; ok && s.Len == len(c.Value) {
			return engine.Choice{Value: c.Value, LogQ: c.LogQ, Origin: tracing.FromProposal}, true, nil
		}
	}
	return m.latents.Choose(r, s)
}
