package dist

import "math"

var uniformFamily = family{
	name:   "Uniform",
	params: []string{"low", "high"},
	check: func(low, high float64) (int, string) {
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
	logProb: func(x, low, high float64) float64 {
		if x < low || x > high {
			return math.Inf(-1)
		}
		return -math.Log(high - low)
	},
	sample: func(s *Stream, low, high float64) float64 {
		return clamp(low+(high-low)*s.Float64(), low, high)
	},
	support:  func(low, high float64) (float64, float64) { return low, high },
	mean:     func(low, high float64) float64 { return low + (high-low)/2 },
	variance: func(low, high float64) float64 { return (high - low) * (high - low) / 12 },
	coarse:   uniformCoarse,
}
