package dist

import "math"

var bernoulliFamily = family{
	name:     "Bernoulli",
	params:   []string{"probs"},
	discrete: true,
	check:    check1(checkProbability),
	logProb: func(x, p, _ float64) float64 {
		switch x {
		case 1:
			return math.Log(p)
		case 0:
			return math.Log1p(-p)
		}
		return math.Inf(-1)
	},
	sample: func(s *Stream, p, _ float64) float64 {
		if s.Float64() < p {
			return 1
		}
		return 0
	},
	support:  unitInterval,
	mean:     func(p, _ float64) float64 { return p },
	variance: func(p, _ float64) float64 { return p * (1 - p) },
}
