package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

const halfLog2Pi = 0.91893853320467274178032973640562

var normalFamily = family{
	name:    "Normal",
	params:  []string{"mean", "stddev"},
	check:   check2(checkFinite, checkPositive),
	logProb: normalLogProb,
	sample: func(s *Stream, mean, sd float64) float64 {
		return clamp(mean+sd*mathext.NormalQuantile(s.Float64()), -math.MaxFloat64, math.MaxFloat64)
	},
	support:  realLine,
	mean:     func(mean, _ float64) float64 { return mean },
	variance: func(_, sd float64) float64 { return sd * sd },
	coarse:   normalCoarse,
}

func normalLogProb(x, mean, sd float64) float64 {
	z := (x - mean) / sd
	return -0.5*z*z - math.Log(sd) - halfLog2Pi
}
