// Package control holds the layers that answer the statements of a run, one file each. Algorithms are
// stacks of them:
//
//	prior                {Condition?, Prior}
//	importance sampling  {Condition, Inflate?, Prior}
//	guided               {Condition, Guide, Prior}
//	replay               {Replay, Prior}
package control

import (
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Prior answers every statement with a draw from its own distribution: the last layer of a stack.
type Prior struct{}

var _ engine.Planner = Prior{}

// Plan implements engine.Planner.
func (Prior) Plan(p *engine.Plan) bool { return p.Prior() }

// Choose implements engine.Layer.
func (Prior) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	v, err := r.Prior(s)
	return engine.Choice{Value: v, Origin: tracing.FromPrior}, true, err
}
