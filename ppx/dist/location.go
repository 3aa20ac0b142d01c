package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// The families of a location and a scale on the whole line.

// affine carries a value by its place in units of the scale.
func affine(x, loc, scale, toLoc, toScale float64) float64 { return toLoc + toScale*((x-loc)/scale) }

// located makes a family whose parameters are loc and scale from its standard member: density, quantile function, mean and variance.
func located(name string, kind Kind, logProb, quantile func(v float64) float64, mean, variance float64) family {
	return family{
		name:    name,
		params:  numbers("loc", "scale"),
		check:   checks(checkFinite, checkPositive),
		logProb: func(x float64, p args) float64 { return logProb((x-p.a)/p.b) - math.Log(p.b) },
		sample: func(s *Stream, p args) float64 {
			return clamp(p.a+p.b*quantile(s.Float64()), -math.MaxFloat64, math.MaxFloat64)
		},
		support:  realLine,
		mean:     func(p args) float64 { return p.a + mean },
		variance: func(p args) float64 { return p.b * p.b * variance },
		spread:   func(p args) float64 { return p.b },
		coarse:   func(p args) bool { return normalCoarse(p.a, p.b) },
		widen: func(p args) (wide, bool) {
			return wide{kind: kind, p: args{a: p.a, b: 3 * p.b}}, widensLocated(p.a, p.b)
		},
		sums:  true,
		carry: func(x float64, from, to args, _ *Stream) float64 { return affine(x, from.a, from.b, to.a, to.b) },
	}
}

// widensLocated tells whether three times the scale is of use.
func widensLocated(loc, scale float64) bool {
	return scale < 1e290 && scale > 1e-290 && scale > wideGrid*math.Abs(loc)
}

var cauchyFamily = located("Cauchy", Cauchy, func(z float64) float64 {
	if math.Abs(z) > 1e100 { // whose square may overflow
		return -math.Log(math.Pi) - 2*math.Log(math.Abs(z))
	}
	return -math.Log(math.Pi) - math.Log1p(z*z)
}, cauchyQuantile, math.NaN(), math.NaN())

func cauchyQuantile(u float64) float64 {
	switch {
	case u < 0.25:
		return -1 / math.Tan(math.Pi*u)
	case u > 0.75:
		return 1 / math.Tan(math.Pi*(1-u))
	}
	return math.Tan(math.Pi * (u - 0.5))
}

var laplaceFamily = located("Laplace", Laplace, func(z float64) float64 { return -math.Abs(z) - math.Ln2 }, func(u float64) float64 {
	if u < 0.5 {
		return math.Log(2 * u)
	}
	return -math.Log(2 * (1 - u))
}, 0, 2)

var logisticFamily = located("Logistic", Logistic, func(z float64) float64 {
	z = math.Abs(z)
	return -z - 2*math.Log1p(math.Exp(-z))
}, func(u float64) float64 {
	if math.Abs(u-0.5) < 0.25 {
		return 2 * math.Atanh(2*u-1)
	}
	return math.Log(u) - math.Log1p(-u)
}, 0, math.Pi*math.Pi/3)

var studentTFamily = family{
	name:   "StudentT",
	params: numbers("df", "loc", "scale"),
	check: checks(func(df float64) string {
		if !(df >= 1e-300) || math.IsInf(df, 1) {
			return "must be positive and finite, and at least 1e-300"
		}
		return ""
	}, checkFinite, checkPositive),
	logProb: func(x float64, p args) float64 { return studentTLogProb((x-p.b)/p.c, p.a) - math.Log(p.c) },
	// A Normal, and a Gamma by which its variance is divided.
	sample: func(s *Stream, p args) float64 {
		z := mathext.NormalQuantile(s.Float64())
		return clamp(p.b+p.c*(z*math.Exp((math.Log(p.a/2)-logGammaVariate(s, p.a/2))/2)), -math.MaxFloat64, math.MaxFloat64)
	},
	support: realLine,
	mean: func(p args) float64 {
		if p.a <= 1 {
			return math.NaN()
		}
		return p.b
	},
	variance: func(p args) float64 {
		switch {
		case p.a <= 1:
			return math.NaN()
		case p.a <= 2:
			return math.Inf(1)
		}
		return p.c * p.c * p.a / (p.a - 2)
	},
	spread: func(p args) float64 { return p.c },
	coarse: func(p args) bool {
		// P(|X| > largest) is about (scale/largest)^df.
		return normalCoarse(p.b, p.c) || p.a*(math.Log(p.c)-logHuge) > math.Log(coarseEnd)
	},
	widen: func(p args) (wide, bool) {
		return wide{kind: StudentT, p: args{a: p.a, b: p.b, c: 3 * p.c}}, widensLocated(p.b, p.c) && p.a > 0.1
	},
	sums: true,
	carry: func(x float64, from, to args, _ *Stream) float64 {
		if from.a == to.a {
			return affine(x, from.b, from.c, to.b, to.c)
		}
		return carryBy(studentTTails, x, from, to, math.Inf(-1), math.Inf(1))
	},
}

// studentTLogProb is the log density of the standard t distribution, without the cancellation of log-gammas for many degrees of freedom (Loader's form).
func studentTLogProb(z, df float64) float64 {
	z = math.Abs(z)
	t := -deviance(df/2, (df+1)/2) + stirlingError((df+1)/2) - stirlingError(df/2)
	q := z * z / df
	switch {
	case q > 1e15:
		l := math.Log(z) - math.Log(df)/2
		return t - df*l - halfLog2Pi - l
	case q > 0.2:
		l := math.Log1p(q) / 2
		return t - df*l - halfLog2Pi - l
	}
	return t + deviance(df/2, (df+z*z)/2) - z*z/2 - halfLog2Pi - math.Log1p(q)/2
}

func studentTTails(x float64, p args) tails {
	z := (x - p.b) / p.c
	tail := 0.5 * mathext.RegIncBeta(p.a/2, 0.5, p.a/(p.a+z*z))
	if z < 0 {
		return tails{tail, 1 - tail}
	}
	return tails{1 - tail, tail}
}
