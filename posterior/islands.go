package posterior

import (
	"fmt"
	"math"
)

// Islands is what a Summary keeps of particles besides: every figure by island. Particles of one island descend from each other, and were resampled: their number
// and weights say nothing of errors, but islands are independent.
type Islands struct {
	index  map[uint32]int
	totals []moments // of all particles of each
	at     uint64
	ess    float64
}

// NewParticleSummary returns an empty summary of particles, whose islands are their traces' chains. The weights of an island's particles sum to its evidence times
// as many particles as it has.
func NewParticleSummary() *Summary {
	s := NewSummary()
	s.Islands = &Islands{index: map[uint32]int{}}
	return s
}

// next is the island of a trace, which adds its weight.
func (x *Islands) next(chain uint32, lw float64) int {
	i, ok := x.index[chain]
	if !ok {
		i = len(x.totals)
		x.index[chain] = i
		x.totals = append(x.totals, newMoments())
	}
	x.totals[i].add(0, lw)
	return i
}

// ofIslands adds a value to its island's moments.
func ofIslands(list []moments, island int, x, lw float64) []moments {
	for len(list) <= island {
		list = append(list, newMoments())
	}
	list[island].add(x, lw)
	return list
}

// errorOf is the standard error of the mean Σ a/Σ b over R islands, by the jackknife: what the means without one of them differ by. Of islands of like weight it is that of
// a ratio, R/(R−1)·Σ (a − m·b)²/(Σ b)²; where one has nearly all weight, which hides what the others say, it is how far these are. NaN for fewer than two.
func (x *Islands) errorOf(mean float64, part func(island int) (a, b float64)) float64 {
	r := float64(len(x.totals))
	if r < 2 {
		return math.NaN()
	}
	parts := make([][2]float64, len(x.totals))
	var sumA, sumB float64
	for i := range parts {
		a, b := part(i)
		a -= mean * b // which loses fewer digits
		parts[i] = [2]float64{a, b}
		sumA, sumB = sumA+a, sumB+b
	}
	squares := 0.0
	for i, p := range parts {
		a, b := sumA-p[0], sumB-p[1]
		if p[1] > sumB/2 { // nothing may be left of a difference
			a, b = 0, 0
			for j, q := range parts {
				if j != i {
					a, b = a+q[0], b+q[1]
				}
			}
		}
		if b == 0 {
			return math.Inf(1)
		}
		d := a/b - sumA/sumB
		squares += d * d
	}
	return math.Sqrt((r - 1) / r * squares)
}

// meanSE is the standard error of the mean of values whose moments over all and by island are given.
func (x *Islands) meanSE(all *moments, by []moments) float64 {
	return x.errorOf(all.mean, func(i int) (float64, float64) {
		if i >= len(by) || by[i].w == 0 {
			return 0, 0
		}
		b := by[i].w * math.Exp(by[i].max-all.max)
		return b * by[i].mean, b
	})
}

// essOf is the number of independent draws whose mean has the error of the islands.
func (x *Islands) essOf(all *moments, by []moments, most float64) float64 {
	se := x.meanSE(all, by)
	sd := all.sd()
	least := 1e-12 * math.Abs(all.mean)
	if !(sd > least) && !(se > least) || math.IsNaN(se) { // a constant has no error, and says nothing
		return math.NaN()
	}
	return math.Min(most, sd*sd/(se*se))
}

// settled tells that as good as all of the weight, all but 1e-9 of it, is at one value.
func (a *accumulator) settled() bool {
	for _, c := range a.counts {
		if c.w > 0 && c.w*math.Exp(c.max-a.m.max) > (1-weightless)*a.m.w {
			return true
		}
	}
	return false
}

// weightless is a share of the weight that says nothing.
const weightless = 1e-9

// present is the effective sample size of whether traces have a value; NaN if all have, or none.
func (x *Islands) present(share float64, max float64, by []moments, most float64) float64 {
	if !(share > weightless && share < 1-weightless) {
		return math.NaN()
	}
	se := x.errorOf(share, func(i int) (a, b float64) {
		if x.totals[i].w > 0 {
			b = x.totals[i].w * math.Exp(x.totals[i].max-max)
		}
		if i < len(by) && by[i].w > 0 {
			a = by[i].w * math.Exp(by[i].max-max)
		}
		return a, b
	})
	return math.Min(most, share*(1-share)/(se*se))
}

// LogEvidenceSE is the standard error of the log evidence by the delta method: of particles from the spread of their islands.
func (s *Summary) LogEvidenceSE() float64 {
	x := s.Islands
	if x == nil {
		return s.Weights.LogEvidenceSE()
	}
	if s.Weights.s1 == 0 {
		return math.NaN()
	}
	r := float64(len(x.totals))
	return r * x.errorOf(1/r, func(i int) (share, one float64) {
		if x.totals[i].w == 0 {
			return 0, 1
		}
		return x.totals[i].w * math.Exp(x.totals[i].max-s.Weights.max) / s.Weights.s1, 1
	})
}

// islandESS is the smallest effective sample size of all variables that all particles have, and of the presences of the others.
func (s *Summary) islandESS() float64 {
	x := s.Islands
	if n := s.Weights.N; n != x.at {
		x.at, x.ess = n, s.computeIslandESS()
	}
	return x.ess
}

func (s *Summary) computeIslandESS() float64 {
	n := float64(s.Weights.N)
	least := math.Inf(1)
	list := s.list()
	for _, a := range list {
		if a.q.id.Name == 0 && list[0].q.id.Name != 0 { // the result is none of the named variables
			continue
		}
		share := s.share(&a.m)
		if share <= weightless { // what has it has no weight
			continue
		}
		ess := s.Islands.present(share, s.Weights.max, a.islands, n)
		if math.IsNaN(ess) && !a.settled() { // else its values are those of a part only, or say nothing
			ess = s.Islands.essOf(&a.m, a.islands, n)
		}
		if !math.IsNaN(ess) {
			least = math.Min(least, ess)
		}
	}
	if s.Weights.s1 == 0 {
		return 0
	}
	// Islands that have all the weight do not differ from the others' mean: what has no weight does not count as particles either.
	return math.Min(least, s.Weights.ESS())
}

// largest is the share of the weight that one island has.
func (x *Islands) largest() float64 {
	most, sum := math.Inf(-1), 0.0
	for i := range x.totals {
		if x.totals[i].w > 0 {
			most = math.Max(most, x.totals[i].max+math.Log(x.totals[i].w))
		}
	}
	for i := range x.totals {
		if x.totals[i].w > 0 {
			sum += math.Exp(x.totals[i].max + math.Log(x.totals[i].w) - most)
		}
	}
	return 1 / sum
}

// judgeParticles looks at particles.
func (s *Summary) judgeParticles(t *Trust, f Facts) {
	n, ess := s.Weights.N, s.islandESS()
	extinct := 0
	for i := range s.Islands.totals {
		if s.Islands.totals[i].w == 0 {
			extinct++
		}
	}
	switch {
	case n == 0:
		t.add(None, FewDraws, "", "no particle has come to the end: they say something there, and not before; give them more time, or runs")
		return
	case n < fewDraws:
		t.add(None, FewDraws, "", "%d particles are too few for any figure; take more (-n)", n)
		return
	case s.Weights.s1 == 0:
		t.add(None, NoWeight, "", "no particle is left: the data, or the score, are out of reach; take more particles (-n)")
		return
	case len(s.Islands.totals) < 2:
		t.add(None, OneIsland, "", "particles of one island descend from each other, and tell no errors: use several (--islands)")
		return
	}
	switch {
	case ess < noESS:
		t.add(None, LowESS, "", "the effective sample size is %.3g of %d particles: their islands do not agree; take more of them (-n), or more moves (--moves)", ess, n)
	case ess < chainESS400:
		t.add(Doubtful, LowESS, "", "the effective sample size, from what islands differ by, is only %.3g of %d particles; take more of them (-n)", ess, n)
	}
	if share := s.Islands.largest(); share > largeIsland && len(s.Islands.totals) >= 8 {
		t.add(Doubtful, LargeIsland, "", "one of %d islands carries %.0f %% of the weight, so that what they differ by says little: take more particles (-n), or more moves (--moves)", len(s.Islands.totals), 100*share)
	}
	if extinct > 0 {
		v := Doubtful
		if 2*extinct > len(s.Islands.totals) {
			v = None
		}
		t.add(v, Extinct, "", "%d of %d islands died out: figures rest on the others; take more particles (-n)", extinct, len(s.Islands.totals))
	}
	if f.Conditioned && f.Moved > 0 && f.Moved < fewMoved {
		share := fmt.Sprintf("only %.2g %%", 100*f.Moved)
		if f.Moved < 1e-300 {
			share = "none"
		}
		t.add(Doubtful, FewMoved, "", "at some rung %s of the particles moved: what was resampled there are clones; make more moves (--moves), or use another --kernel", share)
	}
}

// IslandRatio is log (Σ exp a/Σ exp b) over islands, with its standard error: how probable it was for a to come out of b.
func IslandRatio(a, b []float64) (log, se float64) {
	x := &Islands{totals: make([]moments, len(a))}
	most := math.Inf(-1)
	for _, v := range b {
		most = math.Max(most, v)
	}
	top := math.Inf(-1)
	for _, v := range a {
		top = math.Max(top, v)
	}
	sumA, sumB := 0.0, 0.0
	for i := range a {
		sumA, sumB = sumA+math.Exp(a[i]-top), sumB+math.Exp(b[i]-most)
	}
	if math.IsInf(top, -1) {
		return top, math.NaN()
	}
	mean := sumA / sumB
	return top - most + math.Log(mean), x.errorOf(mean, func(i int) (float64, float64) { return math.Exp(a[i] - top), math.Exp(b[i] - most) }) / mean
}

// IslandFigure is one quantity of particles, by island.
type IslandFigure struct {
	x     Islands
	all   moments
	by    []moments
	total moments // of all particles
}

// NewIslandFigure is that of some islands.
func NewIslandFigure(islands int) *IslandFigure {
	f := &IslandFigure{all: newMoments(), total: newMoments()}
	for range islands {
		f.x.totals = append(f.x.totals, newMoments())
	}
	return f
}

// Add takes a particle's value, NaN if it has none, and its log weight, relative to any constant.
func (f *IslandFigure) Add(island int, v, lw float64) {
	f.x.totals[island].add(0, lw)
	f.total.add(0, lw)
	if !math.IsNaN(v) {
		f.all.add(v, lw)
		f.by = ofIslands(f.by, island, v, lw)
	}
}

// ESS is the effective sample size of the quantity, at most that of the weights; of one that only some particles have, that of whether they have it, and of these.
func (f *IslandFigure) ESS() float64 {
	if f.all.w == 0 {
		return 0
	}
	most := f.total.ess()
	share := f.all.w * math.Exp(f.all.max-f.total.max) / f.total.w
	if ess := f.x.present(share, f.total.max, f.by, most); !math.IsNaN(ess) {
		return math.Min(ess*share, f.all.ess())
	}
	if ess := f.x.essOf(&f.all, f.by, most); !math.IsNaN(ess) {
		return ess
	}
	return most
}
