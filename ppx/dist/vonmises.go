package dist

import (
	"math"
	"slices"
)

// A von Mises distribution, of angles in radians between −π and π. Its density is periodic: an angle outside, as data may have it, is the same one inside.
var vonMisesFamily = family{
	name:   "VonMises",
	params: numbers("loc", "concentration"),
	check: checks(checkFinite, func(k float64) string {
		if !(k >= 1e-300 && k <= 1e300) {
			return "must be positive, between 1e-300 and 1e300"
		}
		return ""
	}),
	logProb: func(x float64, p args) float64 {
		if math.IsInf(x, 0) {
			return math.Inf(-1)
		}
		h := math.Sin((x - p.a) / 2)
		return -2*p.b*h*h - math.Log(2*math.Pi) - logBessel0(p.b)
	},
	sample:  sampleVonMises,
	support: func(args) (lo, hi float64) { return -math.Pi, math.Pi },
	// As numbers, not as directions.
	mean: func(p args) float64 {
		m, _ := vonMisesMoments(p)
		return m
	},
	variance: func(p args) float64 {
		_, v := vonMisesMoments(p)
		return v
	},
	spread: func(p args) float64 { return math.Min(1/math.Sqrt(p.b), math.Pi/math.Sqrt(3)) },
	coarse: func(p args) bool { return p.b > 1e18 || math.Abs(p.a) > 1e6 },
	widen: func(p args) (wide, bool) {
		return wide{kind: VonMises, p: args{a: p.a, b: p.b / 9}}, p.b > 1e-290 && p.b < 1e18
	},
	sums: true,
	carry: func(x float64, from, to args, _ *Stream) float64 {
		if from.b != to.b {
			return math.NaN() // draws are by rejection
		}
		return Angle(x + (to.a - from.a))
	},
}

// logBessel0 is log(e^−κ·I₀(κ)), of the modified Bessel function of the first kind: by its power series, and from 20 on asymptotically (Abramowitz and Stegun 9.6.12, 9.7.1).
func logBessel0(k float64) float64 {
	sum, term := 1.0, 1.0
	if k <= 20 {
		for j := 1.0; term > sum*1e-17; j++ {
			term *= k / 2 / j * (k / 2 / j)
			sum += term
		}
		return math.Log(sum) - k
	}
	for j := 1.0; j < 30; j++ {
		next := term * (2*j - 1) * (2*j - 1) / (8 * j * k)
		if next < 1e-17 || next > term {
			break
		}
		term = next
		sum += term
	}
	return math.Log(sum) - 0.5*math.Log(2*math.Pi*k)
}

// sampleVonMises draws by D. J. Best and N. I. Fisher, "Efficient simulation of the von Mises distribution" (1979): two uniforms a trial, then one for the side. With
// 1 − cos in place of cos, which has no digits for small angles.
func sampleVonMises(s *Stream, p args) float64 {
	k := p.b
	q := 2 * k
	if k < 1e10 {
		q = math.Sqrt(1 + q*q)
	}
	r := math.Sqrt(1 + q)
	rho := 2 * k / r / (r + math.Sqrt2)
	rest := 2 * math.Sqrt2 / (r + math.Sqrt2) / (1 + rho) // 1 − rho
	c := rest * rest / (2 * rho)                          // Best and Fisher's r, less 1
	for {
		u := s.Float64()
		v := s.Float64()
		a, b := math.Sin(math.Pi*u/2), math.Cos(math.Pi*u/2)
		w := c * (2 * a * a) / (c + 2*b*b) // 1 − cos θ
		y := k * (c + w)
		if math.Log(y/v)+1-y >= 0 {
			theta := 2 * math.Asin(math.Sqrt(math.Min(1, w/2)))
			if s.Float64() < 0.5 {
				theta = -theta
			}
			return Angle(p.a + theta)
		}
	}
}

// Angle is the same angle between −π and π, in radians.
func Angle(x float64) float64 {
	if x >= -math.Pi && x <= math.Pi {
		return x
	}
	return math.Remainder(x, 2*math.Pi)
}

// vonMisesMoments integrates, in pieces that are as fine as the peak.
func vonMisesMoments(p args) (mean, variance float64) {
	at := Angle(p.a)
	sd := 1 / math.Sqrt(p.b)
	cuts := []float64{-math.Pi, math.Pi}
	for k := -60; k <= 60; k++ {
		for _, d := range []float64{float64(k) * sd / 5, float64(k) * math.Pi / 60} {
			if x := at + d; x > -math.Pi && x < math.Pi {
				cuts = append(cuts, x)
			}
			for _, x := range []float64{at + d + 2*math.Pi, at + d - 2*math.Pi} {
				if x > -math.Pi && x < math.Pi {
					cuts = append(cuts, x)
				}
			}
		}
	}
	slices.Sort(cuts)
	density := func(x float64) float64 {
		h := math.Sin((x - at) / 2)
		return math.Exp(-2 * p.b * h * h)
	}
	var s0, s1, s2 float64
	for i := range len(cuts) - 1 {
		a, b := cuts[i], cuts[i+1]
		s0 += integrate(density, a, b)
		s1 += integrate(func(x float64) float64 { return (x - at) * density(x) }, a, b)
		s2 += integrate(func(x float64) float64 { return (x - at) * (x - at) * density(x) }, a, b)
	}
	d := s1 / s0
	return at + d, s2/s0 - d*d
}
