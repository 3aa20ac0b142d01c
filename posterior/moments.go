package posterior

import (
	"cmp"
	"math"
	"slices"
)

// moments are the weighted moments of one variable, updated one value at a time (West 1979), relative to
// the largest log weight met.
type moments struct {
	max          float64
	w, mean, m2  float64 // Σw, Σwx/Σw, Σw(x−mean)²
	w2, qmean, q float64 // the same with w² for weights: for the mean's standard error
}

func newMoments() moments { return moments{max: math.Inf(-1)} }

func (m *moments) add(x, lw float64) {
	if math.IsInf(lw, -1) {
		return
	}
	if lw > m.max {
		r := math.Exp(m.max - lw)
		m.w *= r
		m.m2 *= r
		m.w2 *= r * r
		m.q *= r * r
		m.max = lw
	}
	e := math.Exp(lw - m.max)
	m.w, m.mean, m.m2 = update(m.w, m.mean, m.m2, x, e)
	m.w2, m.qmean, m.q = update(m.w2, m.qmean, m.q, x, e*e)
}

func update(w, mean, m2, x, e float64) (w1, mean1, m21 float64) {
	w += e
	if w == 0 { // e underflowed
		return w, mean, m2
	}
	d := x - mean
	mean += d * e / w
	return w, mean, m2 + e*d*(x-mean)
}

// merged are the moments of both together.
func (m moments) merged(b moments) moments {
	if b.max > m.max {
		m, b = b, m
	}
	if b.w == 0 {
		return m
	}
	r := math.Exp(b.max - m.max)
	m.w, m.mean, m.m2 = together(m.w, m.mean, m.m2, b.w*r, b.mean, b.m2*r)
	m.w2, m.qmean, m.q = together(m.w2, m.qmean, m.q, b.w2*r*r, b.qmean, b.q*r*r)
	return m
}

// together is the sum of weights, the mean and the sum of squares of two sets (Chan, Golub and LeVeque 1983).
func together(w, mean, m2, bw, bmean, bm2 float64) (float64, float64, float64) {
	d, sum := bmean-mean, w+bw
	return sum, mean + d*bw/sum, m2 + bm2 + d*d*w*bw/sum
}

// sd is the weighted standard deviation.
func (m *moments) sd() float64 { return math.Sqrt(m.m2 / m.w) }

// meanSE is the Monte Carlo standard error of the mean: √Σ w̄²(x−mean)², with normalised weights w̄.
func (m *moments) meanSE() float64 {
	d := m.qmean - m.mean
	return math.Sqrt(m.q+m.w2*d*d) / m.w
}

func (m *moments) ess() float64 { return m.w * m.w / m.w2 }

// sketch holds weighted values for quantiles: all of them up to a limit, then sorted neighbours merged
// such that no merged point has more than 4/limit of the weight. Points that have never been merged are
// exact. It takes no NaN.
type sketch struct {
	points []point
}

// point is the values at, or merged around, x: lw is the log of Σw, q is Σw²/(Σw)².
type point struct{ x, lw, q float64 }

func (s *sketch) add(x, lw float64, limit int) {
	if !math.IsInf(lw, -1) {
		s.take(point{x, lw, 1}, limit)
	}
}

func (s *sketch) take(p point, limit int) {
	if len(s.points) >= limit {
		s.compress(limit / 4) // leaves at most half
	}
	s.points = append(s.points, p)
}

func (s *sketch) sort() {
	slices.SortFunc(s.points, func(a, b point) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.lw, b.lw)) })
}

// total is the largest log weight and the sum relative to it.
func (s *sketch) total() (top, sum float64) {
	top = math.Inf(-1)
	for _, p := range s.points {
		top = math.Max(top, p.lw)
	}
	for _, p := range s.points {
		sum += math.Exp(p.lw - top)
	}
	return top, sum
}

func (s *sketch) compress(to int) {
	s.sort()
	top, sum := s.total()
	most := sum / float64(to) * 1.0001
	out := s.points[:0]
	var x, w, w2 float64 // the point being made
	flush := func() {
		if w > 0 {
			out = append(out, point{x, top + math.Log(w), w2 / (w * w)})
		}
	}
	for _, p := range s.points {
		e := math.Exp(p.lw - top)
		if w > 0 && (p.x == x || w+e <= most) {
			if p.x != x {
				x += (p.x - x) * e / (w + e)
			}
			w += e
			w2 += p.q * e * e
			continue
		}
		flush()
		x, w, w2 = p.x, e, p.q*e*e
	}
	flush()
	s.points = out
}

// quantiles returns, for ascending probabilities, the smallest value at which the cumulative weight
// reaches each.
func (s *sketch) quantiles(ps ...float64) []float64 {
	s.sort()
	top, sum := s.total()
	out := make([]float64, len(ps))
	for i := range out {
		out[i] = math.NaN()
	}
	if sum == 0 || len(s.points) == 0 {
		return out
	}
	cum, i := 0.0, 0
	for _, p := range s.points {
		cum += math.Exp(p.lw - top)
		for i < len(ps) && cum >= ps[i]*sum*(1-1e-12) {
			out[i] = p.x
			i++
		}
	}
	for ; i < len(ps); i++ {
		out[i] = s.points[len(s.points)-1].x
	}
	return out
}

// quantile returns the p-quantile and half the width of the interval between the quantiles one standard
// error of the cumulative weight to either side, which is √Σ w̄²(1[x ≤ q] − p)². The points are sorted.
func (s *sketch) quantile(p float64) (q, se float64) {
	q = s.quantiles(p)[0]
	top, sum := s.total()
	v := 0.0
	for _, x := range s.points {
		w := math.Exp(x.lw-top) / sum
		d := p
		if x.x <= q {
			d = 1 - p
		}
		v += x.q * w * w * d * d
	}
	d := math.Sqrt(v)
	ends := s.quantiles(math.Max(0, p-d), math.Min(1, p+d))
	return q, (ends[1] - ends[0]) / 2
}
