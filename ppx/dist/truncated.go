package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// A Normal between two ends, each of which may be infinite. With standardised ends α and β, w = β − α, three ways cover all of them: far from the mean, where the
// distribution function is flat, and in narrow intervals, where its differences have no digits, draws are by rejection, and masses are those of an exponential times Mills'
// ratio, or an integral; else all is by the distribution function.
var truncatedNormalFamily = family{
	name:   "TruncatedNormal",
	params: numbers("loc", "scale", "low", "high"),
	check: func(p args) (int, string) {
		switch {
		case checkFinite(p.a) != "":
			return 0, checkFinite(p.a)
		case checkPositive(p.b) != "":
			return 1, checkPositive(p.b)
		case math.IsNaN(p.c) || math.IsInf(p.c, 1):
			return 2, "must be a number, or -Inf"
		case math.IsNaN(p.d) || !(p.c < p.d):
			return 3, "must be greater than low: the interval is empty"
		case !math.IsInf(p.c, 0) && !math.IsInf(p.d, 0) && math.IsInf(p.d-p.c, 0):
			return 3, "is too far from low: the width overflows"
		}
		t := truncationOf(p)
		switch {
		case !(t.w > 1e-300):
			return 3, "is too close to low, in units of scale"
		case t.alpha > farthest:
			return 2, "is too far above loc: nothing of the distribution is left"
		case t.beta < -farthest:
			return 3, "is too far below loc: nothing of the distribution is left"
		}
		return 0, ""
	},
	logProb: truncatedLogProb,
	sample:  sampleTruncated,
	support: func(p args) (lo, hi float64) { return p.c, p.d },
	mean: func(p args) float64 {
		m, _ := truncatedMoments(p)
		return m
	},
	variance: func(p args) float64 {
		_, v := truncatedMoments(p)
		return v
	},
	coarse: func(p args) bool {
		t := truncationOf(p)
		at := t.nearest()
		spread := p.b * math.Min(t.w, 1/math.Max(1, math.Abs(at)))
		return !(spread > 100*coarseGrid*math.Abs(p.a+p.b*at)) || spread < 1e-290 || p.b > 1e290
	},
	widen: func(p args) (wide, bool) {
		return wide{kind: TruncatedNormal, p: args{p.a, 3 * p.b, p.c, p.d}}, p.b < 1e290 && p.b > 1e-290 && p.b > wideGrid*math.Abs(p.a)
	},
	sums: true,
	carry: func(x float64, from, to args, _ *Stream) float64 {
		return carryBy(truncatedTails, x, from, to, to.c, to.d)
	},
}

var halfNormalFamily = family{
	name:   "HalfNormal",
	params: numbers("scale"),
	check:  checks(checkPositive),
	logProb: func(x float64, p args) float64 {
		if x < 0 {
			return math.Inf(-1)
		}
		return normalLogProb(x, 0, p.a) + math.Ln2
	},
	sample: func(s *Stream, p args) float64 {
		return clamp(-p.a*mathext.NormalQuantile(s.Float64()/2), tiny, math.MaxFloat64)
	},
	support:  positiveHalf,
	mean:     func(p args) float64 { return p.a * math.Sqrt(2/math.Pi) },
	variance: func(p args) float64 { return p.a * p.a * (1 - 2/math.Pi) },
	coarse:   func(p args) bool { return p.a < 1e-290 || p.a > 1e290 },
	widen: func(p args) (wide, bool) {
		return wide{kind: HalfNormal, p: args{a: 3 * p.a}}, p.a > 1e-290 && p.a < 1e290
	},
	carry: func(x float64, from, to args, _ *Stream) float64 { return x * (to.a / from.a) },
}

const (
	farthest = 1e100 // standard deviations from the mean at which an interval may begin
	farTail  = 5     // and from which on it is in the tail
	narrow   = 1     // width, in standard deviations, below which draws are by rejection from a Uniform
)

// truncation is an interval of a standard Normal.
type truncation struct{ alpha, beta, w float64 }

func truncationOf(p args) truncation {
	return truncation{(p.c - p.a) / p.b, (p.d - p.a) / p.b, (p.d - p.c) / p.b}
}

// mirrored is the interval that has its nearer end, if none is on the other side of 0, at α > 0.
func (t truncation) mirrored() truncation {
	if t.beta < 0 {
		return truncation{-t.beta, -t.alpha, t.w}
	}
	return t
}

// legendre8 are nodes and weights of the Gauss-Legendre rule of eight points on [−1, 1].
var legendre8 = [4][2]float64{{0.1834346424956498, 0.3626837833783620}, {0.5255324099163290, 0.3137066458778873}, {0.7966664774136267, 0.2223810344533745}, {0.9602898564975363, 0.1012285362903763}}

// integrate is ∫ f from a to b.
func integrate(f func(x float64) float64, a, b float64) (sum float64) {
	c, h := (a+b)/2, (b-a)/2
	for _, n := range legendre8 {
		sum += n[1] * (f(c-h*n[0]) + f(c+h*n[0]))
	}
	return sum * h
}

// mills is (1 − Φ(x))/φ(x) for x ≥ farTail: Laplace's continued fraction.
func mills(x float64) float64 {
	if x > 1e8 {
		return 1 / x
	}
	f := x
	for k := 15 + int(1000/(x*x)); k > 0; k-- {
		f = x + float64(k)/f
	}
	return 1 / f
}

// logMass is the logarithm of the standard Normal's mass between two ends, less −r²/2, r being the point between them that is next to 0.
func (t truncation) logMass() float64 {
	t = t.mirrored()
	most := math.Max(1, math.Max(math.Abs(t.alpha), math.Abs(t.beta)))
	switch {
	case t.w*most <= 0.5:
		f := func(u float64) float64 { return math.Exp(-u * (2*t.alpha + u) / 2) }
		if t.alpha <= 0 {
			f = func(u float64) float64 { return math.Exp(-(t.alpha + u) * (t.alpha + u) / 2) }
		}
		return math.Log(integrate(f, 0, t.w)) - halfLog2Pi
	case t.alpha >= farTail:
		m := mills(t.alpha)
		if !math.IsInf(t.beta, 1) {
			m -= mills(t.beta) * math.Exp(-t.w*(t.alpha+t.beta)/2)
		}
		return math.Log(m) - halfLog2Pi
	case t.alpha > 0:
		return math.Log(0.5*(math.Erfc(t.alpha/math.Sqrt2)-math.Erfc(t.beta/math.Sqrt2))) + t.alpha*t.alpha/2
	}
	return math.Log(0.5 * (math.Erf(t.beta/math.Sqrt2) - math.Erf(t.alpha/math.Sqrt2)))
}

func truncatedLogProb(x float64, p args) float64 {
	if x < p.c || x > p.d || math.IsInf(x, 0) {
		return math.Inf(-1)
	}
	t := truncationOf(p)
	var square float64 // z² − r²
	switch {
	case t.alpha > 0:
		u := (x - p.c) / p.b
		square = u * (2*t.alpha + u)
	case t.beta < 0:
		u := (p.d - x) / p.b
		square = u * (u - 2*t.beta)
	default:
		z := (x - p.a) / p.b
		square = z * z
	}
	return -square/2 - halfLog2Pi - math.Log(p.b) - t.logMass()
}

// sampleTruncated draws by C. P. Robert, "Simulation of truncated normal variables" (1995), in the tail (from an exponential of rate α) and in narrow intervals (from a Uniform),
// two uniforms a trial, and elsewhere by inversion, from the side that has the digits.
func sampleTruncated(s *Stream, p args) float64 {
	t := truncationOf(p)
	switch {
	case t.alpha >= farTail:
		return clamp(p.c+p.b*sampleTail(s, t.alpha, t.w), p.c, p.d)
	case t.beta <= -farTail:
		return clamp(p.d-p.b*sampleTail(s, -t.beta, t.w), p.c, p.d)
	case t.w <= narrow:
		r := t.nearest()
		for {
			u := s.Float64() * t.w
			z := t.alpha + u
			if math.Log(s.Float64()) <= (r-z)*(r+z)/2 {
				return clamp(p.c+p.b*u, p.c, p.d)
			}
		}
	}
	below, above := beyond(-t.alpha), beyond(t.beta)
	var mass float64
	switch {
	case t.beta <= 0:
		mass = beyond(-t.beta) - below
	case t.alpha >= 0:
		mass = beyond(t.alpha) - above
	default:
		mass = 1 - below - above
	}
	u := s.Float64()
	z := 0.0
	if q := below + u*mass; q <= 0.5 {
		z = mathext.NormalQuantile(q)
	} else {
		z = -mathext.NormalQuantile(above + (1-u)*mass)
	}
	return clamp(p.a+p.b*z, math.Max(p.c, -math.MaxFloat64), math.Min(p.d, math.MaxFloat64))
}

// beyond is 1 − Φ(x).
func beyond(x float64) float64 { return 0.5 * math.Erfc(x/math.Sqrt2) }

// sampleTail draws how far beyond α a standard Normal is that lies between α and α + w.
func sampleTail(s *Stream, alpha, w float64) float64 {
	all := -math.Expm1(-alpha * w)
	for {
		u := -math.Log1p(-s.Float64()*all) / alpha
		if math.Log(s.Float64()) <= -u*u/2 {
			return u
		}
	}
}

// truncatedMoments integrates.
func truncatedMoments(p args) (mean, variance float64) {
	t := truncationOf(p)
	flip := t.beta < 0
	t = t.mirrored()
	from, to := 0.0, t.w // of u = z − α
	origin := t.alpha
	if t.alpha <= 0 { // u = z
		origin, from, to = 0, math.Max(t.alpha, -9.5), math.Min(t.beta, 9.5)
	} else {
		to = math.Min(to, 40/math.Max(t.alpha, 4))
	}
	const pieces = 32
	var s0, s1, s2 float64
	center := (from + to) / 2
	if t.alpha > 0 {
		center = math.Min(center, 1/math.Max(t.alpha, 1))
	}
	for k := range pieces {
		a, b := from+(to-from)*float64(k)/pieces, from+(to-from)*float64(k+1)/pieces
		g := func(u float64) float64 { return math.Exp(-u * (2*origin + u) / 2) }
		s0 += integrate(g, a, b)
		s1 += integrate(func(u float64) float64 { return (u - center) * g(u) }, a, b)
		s2 += integrate(func(u float64) float64 { return (u - center) * (u - center) * g(u) }, a, b)
	}
	d := s1 / s0
	variance = p.b * p.b * (s2/s0 - d*d)
	u := center + d
	switch {
	case t.alpha <= 0:
		return p.a + p.b*u, variance
	case flip:
		return p.d - p.b*u, variance
	}
	return p.c + p.b*u, variance
}

// truncatedTails are P(X ≤ x) and P(X > x).
func truncatedTails(x float64, p args) tails {
	t := truncationOf(p)
	z := (x - p.a) / p.b
	whole := func(t truncation) float64 { return t.logMass() - t.nearest()*t.nearest()/2 }
	all := whole(t)
	part := func(lo, hi, w float64) float64 {
		if !(w > 0) {
			return 0
		}
		return math.Exp(whole(truncation{lo, hi, w}) - all)
	}
	return tails{part(t.alpha, z, (x-p.c)/p.b), part(z, t.beta, (p.d-x)/p.b)}
}

// nearest is the point of the interval that is next to 0.
func (t truncation) nearest() float64 { return math.Max(t.alpha, math.Min(t.beta, 0)) }
