package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

var logNormalFamily = family{
	name:   "LogNormal",
	params: numbers("loc", "scale"),
	check:  checks(checkFinite, checkPositive),
	logProb: func(x float64, p args) float64 {
		loc, scale := p.a, p.b
		if x <= 0 {
			return math.Inf(-1)
		}
		l := math.Log(x)
		return normalLogProb(l, loc, scale) - l
	},
	sample: func(s *Stream, p args) float64 {
		loc, scale := p.a, p.b
		return clamp(math.Exp(loc+scale*mathext.NormalQuantile(s.Float64())), tiny, math.MaxFloat64)
	},
	support: positiveHalf,
	mean: func(p args) float64 {
		loc, scale := p.a, p.b
		return math.Exp(loc + scale*scale/2)
	},
	variance: func(p args) float64 {
		loc, scale := p.a, p.b
		return math.Expm1(scale*scale) * math.Exp(2*loc+scale*scale)
	},
	coarse: func(p args) bool { return logNormalCoarse(p.a, p.b) },
	widen: func(p args) (wide, bool) {
		return wide{kind: LogNormal, p: args{a: p.a, b: 3 * p.b}}, math.Abs(p.a)+3*wideTail*p.b < wideLogMax && p.b > wideGrid*1000
	},
	carry: carryLogNormal,
}
