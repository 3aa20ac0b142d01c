package control

import (
	"slices"

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

// NewMove returns the layer that gives Samples of the trace that latents repeats (NewReplayLatents), by their entries, new values. Any number of moves may share it.
func NewMove(latents *Replay, changes map[int]Change) *Move {
	return &Move{latents: latents, changes: changes}
}

// Plan implements engine.Planner.
func (m *Move) Plan(p *engine.Plan) bool {
	kept := m.latents.Reuse()
	out := &ppx.Reuse{Values: slices.Clone(kept.Values)}
	t := m.latents.trace
	for k, c := range m.changes {
		v := &out.Values[m.latents.sample(k)]
		v.Value = ppx.Tensor{Data: c.Value, Shape: t.Value(k).Shape}
	}
	return p.Repeat(out)
}

// Choose implements engine.Layer.
func (m *Move) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if i, ok := m.latents.in(r.Sofar.Table).entries[s.Key]; ok {
		if c, ok := m.changes[i]; ok && s.Len == len(c.Value) {
			return engine.Choice{Value: c.Value, LogQ: c.LogQ, Origin: tracing.FromProposal}, true, nil
		}
	}
	c, ok, err := m.latents.Choose(r, s)
	c.Vital = true // a move that makes it impossible is not made
	return c, ok, err
}
