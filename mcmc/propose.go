package mcmc

import (
	"math"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Move is a step that has begun: the run that decides is to be made, if its Task has a Stack; else there is nothing to move, and the step is over.
type Move struct {
	Task engine.Task

	info     Info
	accept   float64 // uniform
	changes  map[int]control.Change
	elements int // of the site that moves
	whole    bool
	// back is log κ(T|T') − log κ(T'|T), with the choice of the site; −Inf: there is no way back.
	back func(next *State) (float64, error)
}

// first tells whether entry i is the first that moves.
func (m *Move) first(i int) bool {
	for j := range m.changes {
		if j < i {
			return false
		}
	}
	return true
}

// Propose begins a step. Which kind of step it is does not depend on where the chain stands.
func (k *Kernel) Propose(chain uint32, step uint64, s *State) (*Move, error) {
	d := k.draw(chain, engine.FirstStep+step)
	choose := dist.NewStream(k.Seed, d.Stream(), dist.StatementCoin, d.Index, dist.PurposeAccept)
	pick, coin := choose.Float64(), choose.Float64()
	m := &Move{accept: choose.Float64(), info: Info{LogRatio: math.Inf(-1)}}
	m.Task.Draw = d
	kind := choose.Float64()
	draw := dist.NewStream(k.Seed, d.Stream(), dist.StatementCoin, d.Index, dist.PurposeProposal)
	switch {
	case kind < k.Whole:
		m.whole, m.info.Base, m.info.Sites = true, WholeTrace, len(s.moves)
		m.Task.Stack = k.Independent
		return m, nil
	case kind < k.Whole+k.BlockShare && k.Block != nil:
		return m, k.block(m, s, &draw)
	case len(s.moves) == 0:
		return m, nil
	}
	site := s.moves[int(pick*float64(len(s.moves)))]
	p, err := k.proposal(s, site, kind >= 1-k.Guided)
	if err != nil {
		return m, err
	}
	value := make([]float64, len(p.from))
	m.info.Base, m.info.Sites, m.elements = p.base, 1, p.n
	switch m.info.Walked = p.walk != nil && coin < p.mix; {
	case m.info.Walked:
		p.walk.sample(&draw, p.from, p.scale, value)
	case p.guide != nil && coin < p.mix:
		err = p.guide.Sample(&draw, value)
	default:
		err = p.dist.Sample(&draw, value)
	}
	if err != nil {
		return m, err
	}
	forward, err := p.logProb(p.from, value)
	if err != nil {
		return m, err
	}
	m.back = func(next *State) (float64, error) {
		backward, err := p.logProb(value, p.from)
		return backward - forward + math.Log(float64(len(s.moves))) - math.Log(float64(len(next.moves))), err
	}
	k.change(m, s, map[int]control.Change{site: {Value: value, LogQ: forward}})
	return m, nil
}

// change makes the task of a move.
func (k *Kernel) change(m *Move, s *State, changes map[int]control.Change) {
	m.changes = changes
	stack := engine.Stack{k.condition, control.NewMove(s.kept(), changes), control.Prior{}}
	m.Task.Stack = func(engine.Draw) engine.Stack { return stack }
}

// proposal is how a site moves: from the prior, or with the probability mix by walk or guide.
type proposal struct {
	base  string
	dist  ppx.Dist
	shape []int32
	from  []float64
	mix   float64
	walk  *walker
	scale float64          // of each element of a walk
	guide control.Proposal // nil, or one that depends on nothing but what is before the site, which is the same in both directions
	n     int
}

const guidedShare = 0.9 // of the network's proposal in a move of one site; the rest is the prior's

func (k *Kernel) proposal(s *State, site int, guided bool) (proposal, error) {
	t := s.Trace
	v := t.Value(site)
	p := proposal{base: t.Table.Address(t.Sites[site].Address).Base, dist: t.Dist(site), shape: v.Shape, from: v.Data, n: len(v.Data)}
	if guided && !p.dist.Coarse() {
		if err := k.Rate(s); err != nil {
			return p, err
		}
		if s.proposals == nil { // forgotten
			s.proposals = k.Guide.Along([]*tracing.Trace{s.Trace})[0]
		}
		if q := s.proposals[site]; q != nil {
			p.guide, p.mix = q, guidedShare
			return p, nil
		}
	}
	if k.Walk > 0 {
		if w, ok := newWalker(&p.dist, p.n); ok {
			p.walk, p.mix = w, k.Walk
			p.scale = s.Scales.Of(p.base) / math.Sqrt(float64(p.n))
		}
	}
	return p, nil
}

// logProb is the log density of the mixture, by whichever of its parts a value came about.
func (p *proposal) logProb(from, to []float64) (float64, error) {
	prior, err := p.dist.LogProb(ppx.Tensor{Data: to, Shape: p.shape})
	if err != nil || p.mix == 0 {
		return prior, err
	}
	near := 0.0
	if p.guide != nil {
		near = p.guide.LogProb(to)
	} else {
		near = p.walk.logProb(from, to, p.scale)
	}
	return tracing.LogAdd(math.Log1p(-p.mix)+prior, math.Log(p.mix)+near), nil
}
