package control

import (
	"fmt"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Proposal is a proposal for the value of one site. It is used until the next statement of its run.
type Proposal interface {
	// Sample draws a value into out, which has as many elements as the site.
	Sample(s *dist.Stream, out []float64) error
	// LogProb is the log density of a value, in nats, summed over its elements.
	LogProb(v []float64) float64
}

// Proposer proposes for the sites of one run, in their order: a trained network with its state, for instance.
type Proposer interface {
	// Propose returns a proposal for a controlled Sample, or false for a site that it knows nothing about.
	Propose(r *engine.Run, s *engine.Site) (q Proposal, ok bool, err error)
}

// Guide answers controlled Samples with draws from a pilot's proposals. Mixing is defensive, and per trace: with
// probability 1 − α all of them are drawn from the proposals, else all from their priors, so that the trace's
// proposal is (1−α)·Π q + α·Π f, and its weight at most its likelihood over α, however many sites there are (T. Hesterberg,
// "Weighted average importance sampling and defensive mixture distributions", 1995). Sites that the
// pilot does not know, and those whose values doubles cannot tell apart (dist.Coarse), are left to the layers below. One
// Guide belongs to one run.
type Guide struct {
	pilot   Proposer
	alpha   float64
	decided bool
	prior   bool // draw from the priors
	mix     twoWays

	Unknown int // controlled Samples that the pilot did not know
}

var _ engine.Layer = (*Guide)(nil)

// NewGuide returns the layer for 0 ≤ alpha < 1.
func NewGuide(p Proposer, alpha float64) *Guide {
	return &Guide{pilot: p, alpha: alpha, mix: newTwoWays(alpha)}
}

// Choose implements engine.Layer.
func (l *Guide) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if s.Op != ppx.Sample || !s.Control || s.Dist.Kind.Own() {
		return engine.Choice{}, false, nil
	}
	q, ok, err := l.pilot.Propose(r, s)
	if err != nil || !ok {
		if err == nil {
			l.Unknown++
		}
		return engine.Choice{}, false, err
	}
	if s.Dist.Coarse() { // a ratio of densities would not be one of probabilities
		return engine.Choice{}, false, nil
	}
	if !l.decided {
		l.decided = true
		l.prior = r.Rand(dist.StatementDefence, dist.PurposeProposal).Float64() < l.alpha
	}
	v := r.Buffer(s.Len)
	if l.prior {
		err = s.Dist.Sample(r.Rand(s.Index, dist.PurposeValue), v)
	} else {
		err = q.Sample(r.Rand(s.Index, dist.PurposeProposal), v)
	}
	if err != nil {
		return engine.Choice{}, false, err
	}
	logF, err := s.Dist.LogProb(ppx.Tensor{Data: v, Shape: s.Shape})
	if err != nil {
		return engine.Choice{}, false, err
	}
	logQ := q.LogProb(v)
	if logQ != logQ {
		return engine.Choice{}, false, fmt.Errorf("the proposal's density of %v is not a number", v)
	}
	return engine.Choice{Value: v, Origin: tracing.FromProposal, LogQ: l.mix.add(logQ, logF)}, true, nil
}

// LogRatio is log q_α/f of a recorded trace: Σ (LogQ − LogP) over the sites that a Guide would have answered, with proposals by entry (nil: none). It is the
// same for every trace with these values, however they came about. −Inf: the trace is impossible under the mixture, which its prior then is too.
func LogRatio(t *tracing.Trace, proposals []Proposal, alpha float64) (float64, error) {
	mix := newTwoWays(alpha)
	var sum tracing.Sum
	var d ppx.Dist
	for i, q := range proposals {
		if q == nil {
			continue
		}
		if t.DistInto(i, &d); d.Coarse() {
			continue
		}
		logF, logQ := t.Sites[i].LogP, q.LogProb(t.Value(i).Data)
		if logQ != logQ {
			return 0, fmt.Errorf("the proposal's density of %v is not a number", t.Value(i).Data)
		}
		sum.Add(mix.add(logQ, logF))
		sum.Add(-logF)
	}
	return sum.Kept().High, nil
}
