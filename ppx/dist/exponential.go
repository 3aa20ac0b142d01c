package dist

import "math"

var exponentialFamily = family{
	name:   "Exponential",
	params: numbers("rate"),
	check:  checks(checkPositive),
	logProb: func(x float64, p args) float64 {
		rate := p.a
		if x < 0 {
			return math.Inf(-1)
		}
		return math.Log(rate) - rate*x
	},
	sample: func(s *Stream, p args) float64 {
		rate := p.a
		return clamp(-math.Log1p(-s.Float64())/rate, tiny, math.MaxFloat64)
	},
	support: positiveHalf,
	mean: func(p args) float64 {
		rate := p.a
		return 1 / rate
	},
	variance: func(p args) float64 {
		rate := p.a
		return 1 / rate / rate
	},
	coarse: func(p args) bool { return exponentialCoarse(p.a) },
	widen: func(p args) (wide, bool) {
		return wide{kind: Exponential, p: args{a: p.a / 3}}, p.a > 1e-290 && p.a < 1e290
	},
	carry: carryExponential,
}
