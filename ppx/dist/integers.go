package dist

import "math"

// Geometric counts the failures before the first success.
var geometricFamily = family{
	name:     "Geometric",
	params:   numbers("probs"),
	discrete: true,
	check: checks(func(p float64) string {
		if !(p > 1e-300 && p <= 1) {
			return "must lie in (0, 1]"
		}
		return ""
	}),
	logProb: func(x float64, p args) float64 {
		switch {
		case x < 0 || !isInteger(x):
			return math.Inf(-1)
		case x == 0:
			return math.Log(p.a)
		}
		return math.Log(p.a) + x*math.Log1p(-p.a)
	},
	sample: func(s *Stream, p args) float64 {
		return math.Floor(math.Log(s.Float64()) / math.Log1p(-p.a))
	},
	support:  positiveHalf,
	mean:     func(p args) float64 { return (1 - p.a) / p.a },
	variance: func(p args) float64 { return (1 - p.a) / p.a / p.a },
	coarse:   func(p args) bool { return p.a < 1e-14 },
	widen:    func(p args) (wide, bool) { return wide{kind: Geometric, p: args{a: p.a / 3}}, p.a > 1/wideLarge },
	carry: func(x float64, from, to args, u *Stream) float64 {
		of := func(p float64) func(k float64) tails {
			return func(k float64) tails {
				l := (k + 1) * math.Log1p(-p)
				return tails{-math.Expm1(l), math.Exp(l)}
			}
		}
		return carryCount(x, of(from.a), of(to.a), math.Inf(1), 1/to.a, u)
	},
}

// DiscreteUniform is an integer between two, both included; of any number of them.
var discreteUniformFamily = family{
	name:     "DiscreteUniform",
	params:   numbers("low", "high"),
	discrete: true,
	check: func(p args) (int, string) {
		whole := func(v float64) string {
			if !(math.Abs(v) <= 1<<53) || !isInteger(v) {
				return "must be an integer between -2^53 and 2^53"
			}
			return ""
		}
		switch {
		case whole(p.a) != "":
			return 0, whole(p.a)
		case whole(p.b) != "":
			return 1, whole(p.b)
		case p.b < p.a:
			return 1, "must not be less than low"
		case p.b-p.a >= 1<<53:
			return 1, "is too far from low: more than 2^53 integers"
		}
		return 0, ""
	},
	logProb: func(x float64, p args) float64 {
		if x < p.a || x > p.b || !isInteger(x) {
			return math.Inf(-1)
		}
		return -math.Log(p.b - p.a + 1)
	},
	sample: func(s *Stream, p args) float64 {
		return math.Min(p.a+math.Floor(s.Float64()*(p.b-p.a+1)), p.b)
	},
	support: func(p args) (lo, hi float64) { return p.a, p.b },
	mean:    func(p args) float64 { return p.a/2 + p.b/2 },
	variance: func(p args) float64 {
		n := p.b - p.a + 1
		return (n - 1) * (n + 1) / 12
	},
	carry: func(x float64, from, to args, u *Stream) float64 {
		place := (x - from.a + u.Float64()) / (from.b - from.a + 1)
		return math.Min(to.a+math.Floor(place*(to.b-to.a+1)), to.b)
	},
}
