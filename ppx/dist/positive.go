package dist

import "math"

// Families above an end, and between two of them on a logarithmic scale.

var paretoFamily = family{
	name:   "Pareto",
	params: numbers("scale", "alpha"),
	check:  checks(checkPositive, checkPositive),
	logProb: func(x float64, p args) float64 {
		if x < p.a || math.IsInf(x, 1) {
			return math.Inf(-1)
		}
		return math.Log(p.b) - math.Log(p.a) - (p.b+1)*LogRatio(x, p.a)
	},
	sample: func(s *Stream, p args) float64 {
		return clamp(p.a*math.Exp(-math.Log1p(-s.Float64())/p.b), p.a, math.MaxFloat64)
	},
	support: func(p args) (lo, hi float64) { return p.a, math.Inf(1) },
	mean: func(p args) float64 {
		if p.b <= 1 {
			return math.Inf(1)
		}
		return p.a * p.b / (p.b - 1)
	},
	variance: func(p args) float64 {
		if p.b <= 2 {
			return math.Inf(1)
		}
		return p.a * p.a * p.b / ((p.b - 1) * (p.b - 1) * (p.b - 2))
	},
	coarse: func(p args) bool {
		return p.b*(math.Log(p.a)-logHuge) > math.Log(coarseEnd) || !(1/p.b > 100*coarseGrid) || p.a < 1e-290
	},
	widen: func(p args) (wide, bool) {
		return wide{kind: Pareto, p: args{a: p.a, b: p.b / 3}}, math.Abs(math.Log(p.a))+wideTail*3/p.b < wideLogMax && p.b < wideLarge
	},
	carry: func(x float64, from, to args, _ *Stream) float64 {
		return to.a * math.Exp(LogRatio(x, from.a)*(from.b/to.b))
	},
}

// LogRatio is log(x/a), of near numbers without a loss of digits.
func LogRatio(x, a float64) float64 {
	if x < 2*a {
		return math.Log1p((x - a) / a)
	}
	return math.Log(x) - math.Log(a)
}

var inverseGammaFamily = family{
	name:   "InverseGamma",
	params: numbers("concentration", "rate"),
	check:  checks(checkPositive, checkPositive),
	// That of 1/x, and the slope: c·log r − lgamma(c) − (c + 1)·log x − r/x.
	logProb: func(x float64, p args) float64 {
		if x <= 0 || math.IsInf(x, 1) {
			return math.Inf(-1)
		}
		if y := p.b / x; y > 1e-290 && !math.IsInf(y, 1) {
			return gammaLogProb(y, p.a, 1) + math.Log(p.b) - 2*math.Log(x)
		}
		lg, _ := math.Lgamma(p.a)
		return p.a*math.Log(p.b) - lg - (p.a+1)*math.Log(x) - p.b/x
	},
	sample: func(s *Stream, p args) float64 {
		return clamp(math.Exp(math.Log(p.b)-logGammaVariate(s, p.a)), tiny, math.MaxFloat64)
	},
	support: positiveHalf,
	mean: func(p args) float64 {
		if p.a <= 1 {
			return math.Inf(1)
		}
		return p.b / (p.a - 1)
	},
	variance: func(p args) float64 {
		if p.a <= 2 {
			return math.Inf(1)
		}
		return p.b * p.b / ((p.a - 1) * (p.a - 1) * (p.a - 2))
	},
	coarse: func(p args) bool { return gammaCoarse(p.a, p.b) || gammaCoarse(p.a, 1/p.b) },
	widen: func(p args) (wide, bool) {
		shape := flatter(p.a, 9)
		return wide{kind: InverseGamma, p: args{a: shape, b: p.b * math.Sqrt(shape/p.a)}}, p.a > wideSmallShape && p.a < wideLarge && math.Abs(math.Log(p.b)) < wideLogMax-100
	},
	carry: func(x float64, from, to args, u *Stream) float64 { return 1 / carryGamma(1/x, from, to, u) },
}

var logUniformFamily = family{
	name:   "LogUniform",
	params: numbers("low", "high"),
	check: func(p args) (int, string) {
		switch {
		case checkPositive(p.a) != "":
			return 0, checkPositive(p.a)
		case checkPositive(p.b) != "":
			return 1, checkPositive(p.b)
		case !(p.a < p.b):
			return 1, "must be greater than low"
		}
		return 0, ""
	},
	logProb: func(x float64, p args) float64 {
		if x < p.a || x > p.b {
			return math.Inf(-1)
		}
		return -math.Log(x) - math.Log(LogRatio(p.b, p.a))
	},
	sample: func(s *Stream, p args) float64 {
		return clamp(p.a*math.Exp(s.Float64()*LogRatio(p.b, p.a)), p.a, p.b)
	},
	support: func(p args) (lo, hi float64) { return p.a, p.b },
	mean:    func(p args) float64 { return (p.b - p.a) / LogRatio(p.b, p.a) },
	variance: func(p args) float64 {
		l := LogRatio(p.b, p.a)
		if l < 0.1 { // that of the logarithm: the moments cancel
			return variance8(func(u float64) float64 { return p.a * math.Expm1(u*l) })
		}
		m := (p.b - p.a) / l
		return m * (p.b/2 + p.a/2 - m)
	},
	logarithmic: true,
	coarse:      func(p args) bool { return !(LogRatio(p.b, p.a) > 100*coarseLog) || p.a < 1e-290 },
	carry: func(x float64, from, to args, _ *Stream) float64 {
		return to.a * math.Exp(LogRatio(x, from.a)/LogRatio(from.b, from.a)*LogRatio(to.b, to.a))
	},
}

// variance8 is the variance of f(U), U uniform in (0, 1), of a smooth f.
func variance8(f func(u float64) float64) float64 {
	m := integrate(f, 0, 1)
	return integrate(func(u float64) float64 { return (f(u) - m) * (f(u) - m) }, 0, 1)
}
