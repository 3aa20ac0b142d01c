package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

var logNormalFamily = family{
	name:   "LogNormal",
	params: []string{"loc", "scale"},
	check:  check2(checkFinite, checkPositive),
	logProb: func(x, loc, scale float64) float64 {
		if x <= 0 {
			return math.Inf(-1)
		}
		l := math.Log(x)
		return normalLogProb(l, loc, scale) - l
	},
	sample: func(s *Stream, loc, scale float64) float64 {
		return clamp(math.Exp(loc+scale*mathext.NormalQuantile(s.Float64())), tiny, math.MaxFloat64)
	},
	support:  positiveHalf,
	mean:     func(loc, scale float64) float64 { return math.Exp(loc + scale*scale/2) },
	variance: func(loc, scale float64) float64 { return math.Expm1(scale*scale) * math.Exp(2*loc+scale*scale) },
	coarse:   logNormalCoarse,
}
