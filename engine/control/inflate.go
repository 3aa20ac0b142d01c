package control

import (
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Inflate is prior inflation per trace: with probability ε all free, controlled latents of the run draw
// from a widened distribution f̃, else from their own f. The trace's proposal is the mixture
// (1−ε)·Π f + ε·Π f̃, so its weight is at most 1/(1−ε), however many latents there are.
//
// The mixture is recorded site by site (twoWays), and Σ LogQ is its log density exactly. One Inflate belongs to
// one run.
type Inflate struct {
	eps           float64
	decided, wide bool
	mix           twoWays

	widened dist.Widened
}

var _ engine.Planner = (*Inflate)(nil)

// NewInflate returns the layer for 0 < eps < 1.
func NewInflate(eps float64) *Inflate {
	return &Inflate{eps: eps, mix: newTwoWays(eps)}
}

// Plan implements engine.Planner.
func (l *Inflate) Plan(p *engine.Plan) bool { return p.Inflate(l.eps) }

// Choose implements engine.Layer.
func (l *Inflate) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if s.Op != ppx.Sample || !s.Control {
		return engine.Choice{}, false, nil
	}
	if !l.decided {
		l.decided = true
		l.wide = r.Rand(dist.StatementCoin, dist.PurposeProposal).Float64() < l.eps
	}
	v, err := r.Drawn(s, func(v []float64) error {
		if !l.wide {
			return s.Dist.Sample(r.Rand(s.Index, dist.PurposeValue), v)
		}
		l.widened.Sample(&s.Dist, s.Shape, r.Rand(s.Index, dist.PurposeProposal), v)
		return nil
	})
	if err != nil {
		return engine.Choice{}, false, err
	}
	logF, err := s.Dist.LogProb(ppx.Tensor{Data: v, Shape: s.Shape})
	if err != nil {
		return engine.Choice{}, false, err
	}
	logWide := l.widened.LogProb(&s.Dist, s.Shape, v)
	return engine.Choice{Value: v, Origin: tracing.Inflated, LogQ: l.mix.add(logF, logWide)}, true, nil
}
