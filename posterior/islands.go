package posterior

import (
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

// errorOf is the standard error of the mean Σ a/Σ b over R islands, as that of a ratio: R/(R−1)·Σ (a − m·b)²/(Σ b)². NaN for fewer than two.
func (x *Islands) errorOf(mean float64, part func(island int) (a, b float64)) float64 {
	r := float64(len(x.totals))
	if r < 2 {
		return math.NaN()
	}
	squares, total := 0.0, 0.0
	for i := range x.totals {
		a, b := part(i)
		d := a - mean*b
		squares, total = squares+d*d, total+b
	}
	return math.Sqrt(r/(r-1)*squares) / total
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
	if !(sd > 1e-12*math.Abs(all.mean)) || math.IsNaN(se) { // a constant has no error, and says nothing
		return math.NaN()
	}
	return math.Min(most, sd*sd/(se*se))
}

// present is the effective sample size of whether traces have a value; NaN if all have, or none.
func (x *Islands) present(share float64, max float64, by []moments, most float64) float64 {
	if !(share > 1e-9 && share < 1-1e-9) {
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

// islandESS is the smallest effective sample size of all variables and their presences.
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
	for _, a := range s.list() {
		for _, ess := range []float64{s.Islands.essOf(&a.m, a.islands, n), s.Islands.present(s.share(&a.m), s.Weights.max, a.islands, n)} {
			if !math.IsNaN(ess) {
				least = math.Min(least, ess)
			}
		}
	}
	switch {
	case !math.IsInf(least, 1):
		return least
	case s.Weights.s1 == 0:
		return 0
	}
	return n // there is nothing that varies
}
