package dist

import "math"

var poissonFamily = family{
	name:     "Poisson",
	params:   numbers("rate"),
	discrete: true,
	check:    checks(checkNotNegative),
	logProb: func(x float64, p args) float64 {
		rate := p.a
		if x < 0 || !isInteger(x) {
			return math.Inf(-1)
		}
		return poissonRaw(x, rate)
	},
	sample: func(s *Stream, p args) float64 {
		rate := p.a
		return samplePoisson(s, rate)
	},
	support: positiveHalf,
	mean: func(p args) float64 {
		rate := p.a
		return rate
	},
	variance: func(p args) float64 {
		rate := p.a
		return rate
	},
	coarse: func(p args) bool { return poissonCoarse(p.a) },
	// A Gamma-mixed Poisson of the same mean and nine times the variance: the Gamma has shape rate/8, kept at 1 or above.
	widen: func(p args) (wide, bool) {
		shape := math.Max(p.a/8, 1)
		return wide{kind: Gamma, p: args{a: shape, b: shape / p.a}, mixed: Poisson}, p.a > 1/wideLarge && p.a < wideLarge
	},
	carry: carryPoisson,
}

// samplePoisson inverts the distribution function below a rate of 10 and uses transformed rejection above
// (PTRS: W. Hörmann, "The transformed rejection method for generating Poisson random variables", 1993).
func samplePoisson(s *Stream, rate float64) float64 {
	if rate < 10 {
		u := s.Float64()
		p := math.Exp(-rate)
		k := 0.0
		for u > p {
			u -= p
			k++
			p *= rate / k
			if p == 0 { // u lies beyond what doubles resolve
				break
			}
		}
		return k
	}
	b := 0.931 + 2.53*math.Sqrt(rate)
	a := -0.059 + 0.02483*b
	invAlpha := 1.1239 + 1.1328/(b-3.4)
	vr := 0.9277 - 3.6224/(b-2)
	for {
		u := s.Float64() - 0.5
		v := s.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + rate + 0.43)
		if us >= 0.07 && v <= vr {
			return k
		}
		if k < 0 || (us < 0.013 && v > us) {
			continue
		}
		if math.Log(v*invAlpha/(a/(us*us)+b)) <= poissonRaw(k, rate) {
			return k
		}
	}
}
