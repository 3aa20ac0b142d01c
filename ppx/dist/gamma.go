package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

var gammaFamily = family{
	name:    "Gamma",
	params:  numbers("concentration", "rate"),
	check:   checks(checkPositive, checkPositive),
	logProb: func(x float64, p args) float64 { return gammaLogProb(x, p.a, p.b) },
	sample: func(s *Stream, p args) float64 {
		shape, rate := p.a, p.b
		return clamp(math.Exp(logGammaVariate(s, shape)-math.Log(rate)), tiny, math.MaxFloat64)
	},
	support: positiveHalf,
	mean: func(p args) float64 {
		shape, rate := p.a, p.b
		return shape / rate
	},
	variance: func(p args) float64 {
		shape, rate := p.a, p.b
		return shape / rate / rate
	},
	coarse: func(p args) bool { return gammaCoarse(p.a, p.b) },
	widen: func(p args) (wide, bool) {
		shape := flatter(p.a, 9)
		return wide{kind: Gamma, p: args{a: shape, b: p.b * math.Sqrt(shape/p.a) / 3}}, p.a > wideSmallShape && p.a < wideLarge && math.Abs(math.Log(p.b)) < wideLogMax-100
	},
	carry: carryGamma,
}

// gammaLogProb is the log density of Gamma(shape, rate): rate·Poisson(shape−1; rate·x), shifted by one
// for shapes below 1, where the Poisson index would be negative.
func gammaLogProb(x, shape, rate float64) float64 {
	if x < 0 || math.IsInf(x, 1) {
		return math.Inf(-1)
	}
	if x == 0 {
		switch {
		case shape < 1:
			return math.Inf(1)
		case shape > 1:
			return math.Inf(-1)
		}
		return math.Log(rate)
	}
	if rate*x < 1e-290 { // the product may underflow, its logarithm does not
		lg, _ := math.Lgamma(shape)
		return shape*math.Log(rate) + (shape-1)*math.Log(x) - lg
	}
	if shape < 1 {
		return poissonRaw(shape, rate*x) + math.Log(shape) - math.Log(x)
	}
	return poissonRaw(shape-1, rate*x) + math.Log(rate)
}

// logGammaVariate draws log X, X ~ Gamma(shape, 1), by the squeeze-free form of G. Marsaglia and
// W. W. Tsang, "A simple method for generating gamma variables" (2000). Each trial takes two uniforms:
// one for the Normal (by inversion), one for the acceptance. A shape below 1 is drawn at shape + 1 and
// multiplied by U^(1/shape), U being the next uniform after the accepted trial.
func logGammaVariate(s *Stream, shape float64) float64 {
	boost := shape < 1
	d := shape - 1.0/3
	if boost {
		d++
	}
	c := 1 / math.Sqrt(9*d)
	for {
		z := mathext.NormalQuantile(s.Float64())
		u := s.Float64()
		v := 1 + c*z
		if v <= 0 {
			continue
		}
		lv := 3 * math.Log(v)
		v = v * v * v
		if math.Log(u) < 0.5*z*z+d-d*v+d*lv {
			lx := math.Log(d) + lv
			if boost {
				lx += math.Log(s.Float64()) / shape
			}
			return lx
		}
	}
}
