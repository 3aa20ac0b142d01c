package control

import (
	"slices"
	"sync"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Move makes a step of a chain: a Sample takes a new value, every other one keeps that of the trace where it has the same address base, instance and
// shape; even where its density is then 0, as the reverse move would keep it too. Data, and what is new, are left to the layers below. For one run.
type Move struct {
	latents *Replay
	site    int // of the trace
	value   []float64
	logQ    float64
}

var _ engine.Planner = (*Move)(nil)

// NewMove returns the layer that gives a site of t a value, whose log density under what chose it is logQ. Nobody may change value any more.
func NewMove(t *tracing.Trace, site int, value []float64, logQ float64) *Move {
	m := &Move{latents: NewReplayLatents(t), site: site, value: value, logQ: logQ}
	m.latents.reuse = sync.OnceValue(func() *ppx.Reuse {
		out := reuse(t)
		i := 0
		for k := range site {
			if t.Sites[k].Op == ppx.Sample {
				i++
			}
		}
		out.Values[i].Value = ppx.Tensor{Data: value, Shape: slices.Clone(out.Values[i].Value.Shape)}
		return out
	})
	return m
}

// Plan implements engine.Planner.
func (m *Move) Plan(p *engine.Plan) bool { return m.latents.Plan(p) }

// Choose implements engine.Layer.
func (m *Move) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if i, ok := m.latents.in(r.Sofar.Table).entries[s.Key]; ok && i == m.site && s.Len == len(m.value) {
		return engine.Choice{Value: m.value, LogQ: m.logQ, Origin: tracing.FromProposal}, true, nil
	}
	return m.latents.Choose(r, s)
}
