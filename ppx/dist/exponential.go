package dist

import "math"

var exponentialFamily = family{
	name:   "Exponential",
	params: []string{"rate"},
	check:  check1(checkPositive),
	logProb: func(x, rate, _ float64) float64 {
		if x < 0 {
			return math.Inf(-1)
		}
		return math.Log(rate) - rate*x
	},
	sample: func(s *Stream, rate, _ float64) float64 {
		return clamp(-math.Log1p(-s.Float64())/rate, tiny, math.MaxFloat64)
	},
	support:  positiveHalf,
	mean:     func(rate, _ float64) float64 { return 1 / rate },
	variance: func(rate, _ float64) float64 { return 1 / rate / rate },
	coarse:   exponentialCoarse,
}
