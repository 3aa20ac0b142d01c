package posterior

import (
	"cmp"
	"math"
	"slices"
)

// Distance is how far the distributions of one variable in two sets of draws are apart.
type Distance struct {
	Wasserstein float64 // ∫|F − G| dx, in units of the standard deviation of half and half of both
	// Noise is what two samples of one distribution, of these effective sample sizes, are apart on average: √(2/π)·∫√(H(1−H)(1/n+1/m)) dx.
	Noise float64
}

// apart is how many times the noise two samples of one distribution hardly ever are: for a continuous one the distance is the L₁ norm of a
// Brownian bridge, whose 99.9 % point is some three times its mean (B. Johnson and T. Killeen, 1983).
const apart = 3

// Differs tells whether that is more than chance.
func (d Distance) Differs() bool { return d.Wasserstein > apart*d.Noise }

// Distance compares a variable of two summaries; !ok where one of them lacks it, or has no spread.
func (s *Summary) Distance(o *Summary, name string) (d Distance, ok bool) {
	a, ok1 := s.find(name)
	b, ok2 := o.find(name)
	if !ok1 || !ok2 || a.m.w == 0 || b.m.w == 0 {
		return d, false
	}
	n, m := s.essOf(a), o.essOf(b)
	between := a.m.mean - b.m.mean
	sd := math.Sqrt((a.m.sd()*a.m.sd()+b.m.sd()*b.m.sd())/2 + between*between/4)
	if !(sd > 0) {
		return d, true // one value in both
	}
	type step struct{ x, f, g float64 }
	var steps []step
	add := func(points []point, first bool) {
		sk := sketch{points}
		top, sum := sk.total()
		for _, p := range points {
			w := math.Exp(p.lw-top) / sum
			if first {
				steps = append(steps, step{p.x, w, 0})
			} else {
				steps = append(steps, step{p.x, 0, w})
			}
		}
	}
	add(a.s.points, true)
	add(b.s.points, false)
	slices.SortFunc(steps, func(p, q step) int { return cmp.Compare(p.x, q.x) })
	f, g := 0.0, 0.0
	for i, p := range steps[:max(0, len(steps)-1)] {
		f, g = f+p.f, g+p.g
		dx := steps[i+1].x - p.x
		h := math.Min(1, (n*f+m*g)/(n+m))
		d.Wasserstein += math.Abs(f-g) * dx
		d.Noise += math.Sqrt(2/math.Pi*h*(1-h)*(1/n+1/m)) * dx
	}
	d.Wasserstein, d.Noise = d.Wasserstein/sd, d.Noise/sd
	if d.Wasserstein < 1e-12 { // rounding
		d.Wasserstein = 0
	}
	return d, true
}
