package dist

import "math"

var weibullFamily = family{
	name:   "Weibull",
	params: numbers("scale", "concentration"),
	check:  checks(checkPositive, checkPositive),
	logProb: func(x float64, p args) float64 {
		scale, k := p.a, p.b
		if x < 0 || math.IsInf(x, 1) {
			return math.Inf(-1)
		}
		if x == 0 {
			switch {
			case k < 1:
				return math.Inf(1)
			case k > 1:
				return math.Inf(-1)
			}
			return -math.Log(scale)
		}
		l := math.Log(x) - math.Log(scale)
		return math.Log(k) - math.Log(scale) + (k-1)*l - math.Exp(k*l)
	},
	sample: func(s *Stream, p args) float64 {
		scale, k := p.a, p.b
		l := math.Log(-math.Log1p(-s.Float64()))
		return clamp(math.Exp(math.Log(scale)+l/k), tiny, math.MaxFloat64)
	},
	support: positiveHalf,
	mean: func(p args) float64 {
		scale, k := p.a, p.b
		return scale * math.Gamma(1+1/k)
	},
	variance: func(p args) float64 {
		scale, k := p.a, p.b
		m := math.Gamma(1 + 1/k)
		return scale * scale * (math.Gamma(1+2/k) - m*m)
	},
	coarse: func(p args) bool { return weibullCoarse(p.a, p.b) },
	widen: func(p args) (wide, bool) {
		c := flatter(p.b, 3)
		return wide{kind: Weibull, p: args{a: p.a * 3 * c / p.b, b: c}}, math.Abs(math.Log(p.a))+wideTail/math.Min(p.b/3, 1) < wideLogMax && p.b < wideLarge
	},
	carry: carryWeibull,
}
