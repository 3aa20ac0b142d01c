package mcmc

import (
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// walker proposes values near the present one, element by element. A draw that is a row it takes by its coordinates (dist.Row).
type walker struct {
	elements []stepper
	draws    []dist.Row
}

// stepper proposes numbers near the present one, by what the support is like: Normal steps on the real line, Normal steps of the logarithm
// on a half-line, truncated Normal ones between two ends (of the logarithm where that is what a family is about), and their discretisation on the integers. Steps are in standard deviations of the prior (of the
// logarithm: in units of 1).
type stepper struct {
	lo, hi, sd float64
	discrete   bool
	ratios     bool // between two ends, steps of the logarithm
}

// newWalker returns the walker of a distribution; false where there is none: categories, and the values of an Empirical, have no neighbours.
func newWalker(d *ppx.Dist, n int) (*walker, bool) {
	switch d.Kind {
	case dist.Categorical, dist.Bernoulli, dist.Empirical:
		return nil, false
	}
	if n == 0 {
		return nil, false
	}
	if d.Kind.Vector() {
		draws, err := d.Draws()
		w := &walker{draws: d.Rows(nil, draws)}
		return w, err == nil && len(w.draws) > 0 && w.draws[0].Parts() > 0
	}
	lo, hi, sd := make([]float64, n), make([]float64, n), make([]float64, n)
	if d.Support(lo, hi) != nil || d.Spread(sd) != nil {
		return nil, false
	}
	w := &walker{}
	for i := range sd {
		s := stepper{lo[i], hi[i], sd[i], d.Kind.Discrete(), d.Kind.Logarithmic()}
		if !s.walks() {
			return nil, false
		}
		w.elements = append(w.elements, s)
	}
	return w, true
}

// walks tells whether there are steps.
func (w *stepper) walks() bool {
	return w.sd > 0 && !math.IsInf(w.sd, 0) || w.half() && !w.discrete // steps are of the logarithm
}

// part is the stepper of coordinate i of a draw, given those before it.
func part(r *dist.Row, i int, c []float64) stepper {
	e := r.Part(i, c)
	s := stepper{discrete: e.Kind.Discrete()}
	s.lo, s.hi = e.Support()
	if _, s.sd = e.Place(); !(s.sd > 0) || math.IsInf(s.sd, 0) {
		s.sd = 1
		if e.Kind == dist.StudentT { // of few degrees of freedom
			s.sd = e.Args[2]
		}
	}
	return s
}

// half tells whether it lives above one end.
func (w *stepper) half() bool { return !math.IsInf(w.lo, 0) && math.IsInf(w.hi, 0) }

// step is the standard deviation of a step.
func (w *stepper) step(scale float64) float64 {
	switch {
	case w.discrete:
		return math.Max(w.sd*scale, 0.5) // less would stay where it is
	case w.half():
		return scale
	case w.ratios:
		return scale * (math.Log(w.hi) - math.Log(w.lo)) / math.Sqrt(12) // of the logarithm, which is uniform
	}
	return w.sd * scale
}

// sample draws a neighbour of from.
func (w *walker) sample(s *dist.Stream, from []float64, scale float64, to []float64) {
	if w.draws == nil {
		for i, x := range from {
			to[i] = w.elements[i].sample(s, x, scale)
		}
		return
	}
	for i := range w.draws {
		r := &w.draws[i]
		n := r.Size()
		a, b := make([]float64, r.Parts()), make([]float64, r.Parts())
		r.Split(from[i*n:(i+1)*n], a)
		for j := range b {
			p := part(r, j, b)
			b[j] = p.sample(s, p.inside(a[j]), scale)
		}
		r.Join(b, to[i*n:(i+1)*n])
	}
}

// inside is x, or the end that it lies beyond: what came before may have moved the ends.
func (w *stepper) inside(x float64) float64 { return math.Max(w.lo, math.Min(w.hi, x)) }

// logProb is the log density of to among the neighbours of from.
func (w *walker) logProb(from, to []float64, scale float64) (sum float64) {
	if w.draws == nil {
		for i, x := range from {
			sum += w.elements[i].logProb(x, to[i], scale)
		}
		return sum
	}
	for i := range w.draws {
		r := &w.draws[i]
		n := r.Size()
		a, b := make([]float64, r.Parts()), make([]float64, r.Parts())
		r.Split(from[i*n:(i+1)*n], a)
		slope, ok := r.Split(to[i*n:(i+1)*n], b)
		if !ok {
			return math.Inf(-1)
		}
		sum += slope
		for j, y := range b {
			p := part(r, j, b)
			sum += p.logProb(p.inside(a[j]), y, scale)
		}
	}
	return sum
}

// sample draws a neighbour of x.
func (w *stepper) sample(s *dist.Stream, x, scale float64) float64 {
	u, sigma := s.Float64(), w.step(scale)
	switch {
	case w.discrete:
		low, high := normalCDF((w.lo-0.5-x)/sigma), normalCDF((w.hi+0.5-x)/sigma)
		return w.inside(math.Round(x + sigma*mathext.NormalQuantile(inside(low+u*(high-low)))))
	case w.half():
		return w.lo + math.Exp(math.Log(x-w.lo)+sigma*mathext.NormalQuantile(u))
	case math.IsInf(w.lo, 0) && math.IsInf(w.hi, 0):
		return x + sigma*mathext.NormalQuantile(u)
	case w.ratios:
		l := math.Log(x)
		low, high := normalCDF((math.Log(w.lo)-l)/sigma), normalCDF((math.Log(w.hi)-l)/sigma)
		return w.inside(math.Exp(l + sigma*mathext.NormalQuantile(inside(low+u*(high-low)))))
	}
	low, high := normalCDF((w.lo-x)/sigma), normalCDF((w.hi-x)/sigma)
	return w.inside(x + sigma*mathext.NormalQuantile(inside(low+u*(high-low))))
}

// logProb is the log density of y among the neighbours of x.
func (w *stepper) logProb(x, y, scale float64) float64 {
	sigma := w.step(scale)
	switch {
	case w.discrete:
		total := normalCDF((w.hi+0.5-x)/sigma) - normalCDF((w.lo-0.5-x)/sigma)
		return math.Log((normalCDF((y+0.5-x)/sigma) - normalCDF((y-0.5-x)/sigma)) / total)
	case w.half():
		a, b := math.Log(x-w.lo), math.Log(y-w.lo)
		return normalLogProb((b-a)/sigma) - math.Log(sigma) - b
	case math.IsInf(w.lo, 0) && math.IsInf(w.hi, 0):
		return normalLogProb((y-x)/sigma) - math.Log(sigma)
	case w.ratios:
		a, b := math.Log(x), math.Log(y)
		total := normalCDF((math.Log(w.hi)-a)/sigma) - normalCDF((math.Log(w.lo)-a)/sigma)
		return normalLogProb((b-a)/sigma) - math.Log(sigma) - math.Log(total) - b
	}
	total := normalCDF((w.hi-x)/sigma) - normalCDF((w.lo-x)/sigma)
	return normalLogProb((y-x)/sigma) - math.Log(sigma) - math.Log(total)
}

func normalCDF(x float64) float64     { return 0.5 * math.Erfc(-x/math.Sqrt2) }
func normalLogProb(x float64) float64 { return -x*x/2 - 0.5*math.Log(2*math.Pi) }

// inside keeps a probability off the ends, where quantiles are infinite.
func inside(u float64) float64 { return math.Max(1e-300, math.Min(1-0x1p-53, u)) }
