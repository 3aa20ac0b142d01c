package dist

import "math"

var weibullFamily = family{
	name:   "Weibull",
	params: []string{"scale", "concentration"},
	check:  check2(checkPositive, checkPositive),
	logProb: func(x, scale, k float64) float64 {
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
	sample: func(s *Stream, scale, k float64) float64 {
		l := math.Log(-math.Log1p(-s.Float64()))
		return clamp(math.Exp(math.Log(scale)+l/k), tiny, math.MaxFloat64)
	},
	support: positiveHalf,
	mean: func(scale, k float64) float64 {
		return scale * math.Gamma(1+1/k)
	},
	variance: func(scale, k float64) float64 {
		m := math.Gamma(1 + 1/k)
		return scale * scale * (math.Gamma(1+2/k) - m*m)
	},
	coarse: weibullCoarse,
}
