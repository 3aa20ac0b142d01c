package smc

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// firstLevel sets the random numbers of levels apart from those of rungs.
const firstLevel = 1 << 32

// killed is the share of an island's particles that a level kills.
const killed = 0.1

// leastLogP is how rare an event may be: 1e-100.
const leastLogP = -230

// scores asks for the scores of particles.
func (s *sampler) scores(of func(int) bool) error {
	for i := range s.p.Particles {
		if !of(i) {
			continue
		}
		x := &s.p.Particles[i]
		var err error
		if x.Score, err = s.Score(x.Trace); err != nil {
			return err
		}
	}
	return nil
}

// beyond tells whether a score is where particles are to be.
func (s *sampler) beyond(score float64) bool { return score > s.Level || s.AtLeast && score == s.Level }

// split goes to the next level of the score, in each island to its own: the worst particles die, all that are not better than the level, ties included; copies of
// survivors take their places, and move where the score is above the level. The probability that is left is unbiased so.
func (s *sampler) split(ctx context.Context) error {
	p := s.p
	levels := make([]float64, s.Islands)
	var level mean
	fresh := make([]bool, s.N)
	any := false
	for island := range s.Islands {
		if p.Reached[island] {
			continue
		}
		var order []int
		for i := range s.members(island) {
			order = append(order, i)
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.Particles[a].Score, p.Particles[b].Score) })
		n := len(order)
		k := max(1, int(killed*float64(n)))
		l := p.Particles[order[k-1]].Score
		if l >= s.Level || s.beyond(l) {
			s.reach(island, order)
			continue
		}
		dead := 0
		for dead < n && p.Particles[order[dead]].Score <= l {
			dead++
		}
		p.LogZ[island] += math.Log1p(-float64(dead) / float64(n))
		if dead == n { // nothing is left to go on from
			p.LogZ[island] = math.Inf(-1)
			for _, i := range order {
				p.Particles[i].LogWeight = math.Inf(-1)
			}
			p.Reached[island] = true
			continue
		}
		levels[island] = l
		level.add(l)
		stream := dist.NewStream(s.Kernel.Seed, s.stream(s.resampling(island)), dist.StatementResample, firstLevel+uint64(p.Next), dist.PurposeResample)
		for _, i := range order[:dead] {
			from := p.Particles[order[dead+int(stream.Float64()*float64(n-dead))]]
			from.State = from.Copy()
			p.Particles[i] = from
			fresh[i], any = true, true
		}
	}
	if !any {
		p.Done = !slices.Contains(p.Reached, false)
		p.Next++
		return nil
	}
	r := Rung{Beta: 1, Level: level.of(), Resampled: int(level.n), ESS: float64(s.N) * (1 - killed)}
	if s.Ladder != nil {
		last := s.Ladder[min(p.Next, len(s.Ladder)-1)]
		r.Moves, r.Scales, r.Block = last.Moves, last.Scales, last.Block
	}
	var learned func(island int) *mcmc.Block
	if s.Ladder == nil {
		learned = s.learn(&r)
	}
	above := func(island int) func(*tracing.Trace) bool {
		return func(t *tracing.Trace) bool {
			score, err := s.Score(t)
			return err == nil && score > levels[island]
		}
	}
	if rarest := slices.Max(p.LogZ) - slices.Max(p.LogZ0); rarest < leastLogP {
		return fmt.Errorf("%w: it is below %.6g with a probability of all but 1e-100; it may have no larger values", ErrReach, level.of())
	}
	moves := func(i int) bool { return fresh[i] }
	// Copies that have moved at sites that are none of the score's are copies still.
	old, changed := map[int]float64{}, map[int]bool{}
	for i := range fresh {
		if fresh[i] {
			old[i] = p.Particles[i].Score
		}
	}
	settled := func() bool {
		for i, before := range old {
			if score, err := s.Score(p.Particles[i].Trace); err != nil || score != before {
				changed[i] = true
			}
		}
		return 10*len(changed) >= 9*len(old)
	}
	if err := s.move(ctx, &r, moves, s.kernels(&r, learned, above), settled); err != nil {
		return err
	}
	if err := s.scores(moves); err != nil {
		return err
	}
	p.Next++
	p.Ladder = append(p.Ladder, r)
	return nil
}

// reach ends an island whose level is at the end: what is beyond is what it has.
func (s *sampler) reach(island int, order []int) {
	p := s.p
	p.Reached[island] = true
	there := 0
	for _, i := range order {
		if s.beyond(p.Particles[i].Score) {
			there++
		}
	}
	for _, i := range order {
		if s.beyond(p.Particles[i].Score) {
			p.Particles[i].LogWeight = -math.Log(float64(there))
		} else {
			p.Particles[i].LogWeight = math.Inf(-1)
		}
	}
	if there == 0 {
		p.LogZ[island] = math.Inf(-1)
		return
	}
	p.LogZ[island] += math.Log(float64(there)) - math.Log(float64(len(order)))
}
