package dist

import "math"

var bernoulliFamily = family{
	name:     "Bernoulli",
	params:   numbers("probs"),
	discrete: true,
	check:    checks(checkProbability),
	logProb: func(x float64, a args) float64 {
		p := a.a
		switch x {
		case 1:
			return math.Log(p)
		case 0:
			return math.Log1p(-p)
		}
		return math.Inf(-1)
	},
	sample: func(s *Stream, a args) float64 {
		p := a.a
		if s.Float64() < p {
			return 1
		}
		return 0
	},
	support: unitInterval,
	mean: func(a args) float64 {
		p := a.a
		return p
	},
	variance: func(a args) float64 {
		p := a.a
		return p * (1 - p)
	},
	widen: func(p args) (wide, bool) {
		return wide{kind: Bernoulli, p: args{a: 0.5}}, p.a > 0 && p.a < 1
	},
	carry: carryBernoulli,
}
