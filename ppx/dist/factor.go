package dist

import "math"

// A Factor is a weight that the simulator gives its run: an observation that is always 0, and whose density is e^log_weight. −Inf makes the run impossible.
var factorFamily = family{
	name:     "Factor",
	params:   numbers("log_weight"),
	discrete: true,
	check: checks(func(v float64) string {
		if v != v || math.IsInf(v, 1) {
			return "must be a number, or −Inf for a run that is impossible"
		}
		return ""
	}),
	logProb: func(x float64, p args) float64 {
		if x != 0 {
			return math.Inf(-1)
		}
		return p.a
	},
	sample:   func(*Stream, args) float64 { return 0 },
	support:  func(args) (lo, hi float64) { return 0, 0 },
	mean:     func(args) float64 { return 0 },
	variance: func(args) float64 { return 0 },
}
