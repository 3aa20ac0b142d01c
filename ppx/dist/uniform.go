package dist

import "math"

var uniformFamily = family{
	name:   "Uniform",
	params: numbers("low", "high"),
	check: func(p args) (int, string) {
		low, high := p.a, p.b
		switch {
		case checkFinite(low) != "":
			return 0, checkFinite(low)
		case checkFinite(high) != "":
			return 1, checkFinite(high)
		case !(low < high):
			return 1, "must be greater than low"
		case math.IsInf(high-low, 0):
			return 1, "is too far from low: the width overflows"
		}
		return 0, ""
	},
	logProb: func(x float64, p args) float64 {
		low, high := p.a, p.b
		if x < low || x > high {
			return math.Inf(-1)
		}
		return -math.Log(high - low)
	},
	sample: func(s *Stream, p args) float64 {
		low, high := p.a, p.b
		return clamp(low+(high-low)*s.Float64(), low, high)
	},
	support: func(p args) (float64, float64) {
		low, high := p.a, p.b
		return low, high
	},
	mean: func(p args) float64 {
		low, high := p.a, p.b
		return low + (high-low)/2
	},
	variance: func(p args) float64 {
		low, high := p.a, p.b
		return (high - low) * (high - low) / 12
	},
	coarse: func(p args) bool { return uniformCoarse(p.a, p.b) },
	sums:   true,
	carry:  carryUniform,
}
