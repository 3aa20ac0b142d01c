package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

const halfLog2Pi = 0.91893853320467274178032973640562

var normalFamily = family{
	name:    "Normal",
	params:  numbers("mean", "stddev"),
	check:   checks(checkFinite, checkPositive),
	logProb: func(x float64, p args) float64 { return normalLogProb(x, p.a, p.b) },
	sample: func(s *Stream, p args) float64 {
		mean, sd := p.a, p.b
		return clamp(mean+sd*mathext.NormalQuantile(s.Float64()), -math.MaxFloat64, math.MaxFloat64)
	},
	support: realLine,
	mean: func(p args) float64 {
		mean := p.a
		return mean
	},
	variance: func(p args) float64 {
		sd := p.b
		return sd * sd
	},
	coarse: func(p args) bool { return normalCoarse(p.a, p.b) },
	widen: func(p args) (wide, bool) {
		return wide{kind: Normal, p: args{a: p.a, b: 3 * p.b}}, p.b < 1e300 && p.b > 1e-290 && p.b > wideGrid*math.Abs(p.a)
	},
	sums:  true,
	carry: carryNormal,
}

func normalLogProb(x, mean, sd float64) float64 {
	z := (x - mean) / sd
	return -0.5*z*z - math.Log(sd) - halfLog2Pi
}
