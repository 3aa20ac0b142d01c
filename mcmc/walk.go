package mcmc

import (
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// walker proposes values near the present one, element by element, by what the support is like: Normal steps on the real line, Normal steps of the logarithm
// on a half-line, truncated Normal ones between two ends (of the logarithm where that is what a family is about), and their discretisation on the integers. Steps are in standard deviations of the prior (of the
// logarithm: in units of 1). Categories have no neighbours.
type walker struct {
	lo, hi, sd []float64
	discrete   bool
	ratios     bool // between two ends, steps of the logarithm
}

// newWalker returns the walker of a distribution; false where there is none.
func newWalker(d *ppx.Dist, n int) (*walker, bool) {
	if d.Kind == dist.Categorical || d.Kind == dist.Bernoulli || n == 0 {
		return nil, false
	}
	w := &walker{lo: make([]float64, n), hi: make([]float64, n), sd: make([]float64, n), discrete: d.Kind.Discrete(), ratios: d.Kind.Logarithmic()}
	if d.Support(w.lo, w.hi) != nil || d.Spread(w.sd) != nil {
		return nil, false
	}
	for i := range w.sd {
		if !(w.sd[i] > 0) || math.IsInf(w.sd[i], 0) {
			if w.half(i) && !w.discrete {
				continue // steps are of the logarithm
			}
			return nil, false
		}
	}
	return w, true
}

// half tells whether element i lives above one end.
func (w *walker) half(i int) bool { return !math.IsInf(w.lo[i], 0) && math.IsInf(w.hi[i], 0) }

// step is the standard deviation of a step of element i.
func (w *walker) step(i int, scale float64) float64 {
	switch {
	case w.discrete:
		return math.Max(w.sd[i]*scale, 0.5) // less would stay where it is
	case w.half(i):
		return scale
	case w.ratios:
		return scale * (math.Log(w.hi[i]) - math.Log(w.lo[i])) / math.Sqrt(12) // of the logarithm, which is uniform
	}
	return w.sd[i] * scale
}

// sample draws a neighbour of from.
func (w *walker) sample(s *dist.Stream, from []float64, scale float64, to []float64) {
	for i, x := range from {
		u, sigma := s.Float64(), w.step(i, scale)
		switch {
		case w.discrete:
			low, high := normalCDF((w.lo[i]-0.5-x)/sigma), normalCDF((w.hi[i]+0.5-x)/sigma)
			to[i] = math.Round(x + sigma*mathext.NormalQuantile(inside(low+u*(high-low))))
			to[i] = math.Max(w.lo[i], math.Min(w.hi[i], to[i]))
		case w.half(i):
			to[i] = w.lo[i] + math.Exp(math.Log(x-w.lo[i])+sigma*mathext.NormalQuantile(u))
		case math.IsInf(w.lo[i], 0) && math.IsInf(w.hi[i], 0):
			to[i] = x + sigma*mathext.NormalQuantile(u)
		case w.ratios:
			l := math.Log(x)
			low, high := normalCDF((math.Log(w.lo[i])-l)/sigma), normalCDF((math.Log(w.hi[i])-l)/sigma)
			to[i] = math.Max(w.lo[i], math.Min(w.hi[i], math.Exp(l+sigma*mathext.NormalQuantile(inside(low+u*(high-low))))))
		default:
			low, high := normalCDF((w.lo[i]-x)/sigma), normalCDF((w.hi[i]-x)/sigma)
			to[i] = math.Max(w.lo[i], math.Min(w.hi[i], x+sigma*mathext.NormalQuantile(inside(low+u*(high-low)))))
		}
	}
}

// logProb is the log density of to among the neighbours of from.
func (w *walker) logProb(from, to []float64, scale float64) (sum float64) {
	for i, x := range from {
		y, sigma := to[i], w.step(i, scale)
		switch {
		case w.discrete:
			total := normalCDF((w.hi[i]+0.5-x)/sigma) - normalCDF((w.lo[i]-0.5-x)/sigma)
			sum += math.Log((normalCDF((y+0.5-x)/sigma) - normalCDF((y-0.5-x)/sigma)) / total)
		case w.half(i):
			a, b := math.Log(x-w.lo[i]), math.Log(y-w.lo[i])
			sum += normalLogProb((b-a)/sigma) - math.Log(sigma) - b
		case math.IsInf(w.lo[i], 0) && math.IsInf(w.hi[i], 0):
			sum += normalLogProb((y-x)/sigma) - math.Log(sigma)
		case w.ratios:
			a, b := math.Log(x), math.Log(y)
			total := normalCDF((math.Log(w.hi[i])-a)/sigma) - normalCDF((math.Log(w.lo[i])-a)/sigma)
			sum += normalLogProb((b-a)/sigma) - math.Log(sigma) - math.Log(total) - b
		default:
			total := normalCDF((w.hi[i]-x)/sigma) - normalCDF((w.lo[i]-x)/sigma)
			sum += normalLogProb((y-x)/sigma) - math.Log(sigma) - math.Log(total)
		}
	}
	return sum
}

func normalCDF(x float64) float64     { return 0.5 * math.Erfc(-x/math.Sqrt2) }
func normalLogProb(x float64) float64 { return -x*x/2 - 0.5*math.Log(2*math.Pi) }

// inside keeps a probability off the ends, where quantiles are infinite.
func inside(u float64) float64 { return math.Max(1e-300, math.Min(1-0x1p-53, u)) }
