package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Counts that spread wider than a Poisson's or a Binomial's.

// NegativeBinomial2 is a Poisson whose rate is a Gamma of that mean and concentration: its variance is mean + mean²/concentration.
var negativeBinomialFamily = family{
	name:     "NegativeBinomial2",
	params:   numbers("mean", "concentration"),
	discrete: true,
	check:    checks(checkNotNegative, checkPositive),
	logProb: func(x float64, p args) float64 {
		if x < 0 || !isInteger(x) {
			return math.Inf(-1)
		}
		return negativeBinomialRaw(x, p.a, p.b)
	},
	sample:   func(s *Stream, p args) float64 { return sampleNegativeBinomial(s, p.a, p.b) },
	support:  positiveHalf,
	mean:     func(p args) float64 { return p.a },
	variance: func(p args) float64 { return p.a + p.a*(p.a/p.b) },
	coarse:   func(p args) bool { return poissonCoarse(p.a) },
	widen: func(p args) (wide, bool) {
		return wide{kind: NegativeBinomial2, p: args{a: p.a, b: widerConcentration(p.a, p.b)}}, p.a > 1/wideLarge && p.a < wideLarge && p.b > wideSmallShape
	},
	carry: func(x float64, from, to args, u *Stream) float64 {
		return carryCount(x, negativeBinomialTails(from), negativeBinomialTails(to), math.Inf(1), to.a, u)
	},
}

// widerConcentration makes the variance nine times as large, as long as that leaves the mixing Gamma with a concentration of 1, or of what it had.
func widerConcentration(mean, c float64) float64 {
	return math.Max(1/(9/c+8/mean), math.Min(c, 1))
}

// negativeBinomialRaw is the log probability of x with mean m and concentration c, by Loader's binomial.
func negativeBinomialRaw(x, m, c float64) float64 {
	switch {
	case m == 0:
		if x == 0 {
			return 0
		}
		return math.Inf(-1)
	case x == 0:
		return -c * math.Log1p(m/c)
	case x < 1e-10*c: // nearly a Poisson: Γ(c + x)/Γ(c) is cˣ·(1 + x(x − 1)/2c)
		return poissonRaw(x, m/(1+m/c)) + deviance(c, c+m) - m*(m/(c+m)) + math.Log1p(x*(x-1)/2/c)
	}
	if x < c { // the smaller one has the digits
		return math.Log(c/(c+x)) + binomialRaw(x, c+x, m/(c+m), c/(c+m))
	}
	return math.Log(c/(c+x)) + binomialRaw(c, c+x, c/(c+m), m/(c+m))
}

func sampleNegativeBinomial(s *Stream, m, c float64) float64 {
	if m == 0 {
		return 0
	}
	return samplePoisson(s, clamp(math.Exp(logGammaVariate(s, c)-math.Log(c)+math.Log(m)), 0, largestRate))
}

// largestRate is the largest a Poisson is drawn with in a mixture.
const largestRate = 1e300

// negativeBinomialTails tell how probable at most k is, and more.
func negativeBinomialTails(p args) func(k float64) tails {
	return func(k float64) tails {
		if p.a == 0 {
			return tails{1, 0}
		}
		return tails{mathext.RegIncBeta(p.b, k+1, p.b/(p.b+p.a)), mathext.RegIncBeta(k+1, p.b, p.a/(p.b+p.a))}
	}
}

// ZeroInflatedPoisson is 0 with the probability gate, else a Poisson.
var zeroInflatedPoissonFamily = family{
	name:     "ZeroInflatedPoisson",
	params:   numbers("gate", "rate"),
	discrete: true,
	check:    checks(checkProbability, checkNotNegative),
	logProb:  func(x float64, p args) float64 { return zeroInflated(x, p.a, poissonRaw(x, p.b)) },
	sample: func(s *Stream, p args) float64 {
		if s.Float64() < p.a {
			return 0
		}
		return samplePoisson(s, p.b)
	},
	support:  positiveHalf,
	mean:     func(p args) float64 { return (1 - p.a) * p.b },
	variance: func(p args) float64 { return (1 - p.a) * p.b * (1 + p.a*p.b) },
	coarse:   func(p args) bool { return poissonCoarse(p.b) },
	widen: func(p args) (wide, bool) {
		return wide{kind: ZeroInflatedNegativeBinomial2, p: args{p.a, p.b, math.Max(p.b/8, 1), 0}}, p.b > 1/wideLarge && p.b < wideLarge
	},
	carry: func(x float64, from, to args, u *Stream) float64 {
		return carryCount(x, inflatedTails(from.a, poissonTails(from.b)), inflatedTails(to.a, poissonTails(to.b)), math.Inf(1), to.b, u)
	},
}

// ZeroInflatedNegativeBinomial2 is 0 with the probability gate, else a NegativeBinomial2.
var zeroInflatedNegativeBinomialFamily = family{
	name:     "ZeroInflatedNegativeBinomial2",
	params:   numbers("gate", "mean", "concentration"),
	discrete: true,
	check:    checks(checkProbability, checkNotNegative, checkPositive),
	logProb: func(x float64, p args) float64 {
		if x < 0 || !isInteger(x) {
			return math.Inf(-1)
		}
		return zeroInflated(x, p.a, negativeBinomialRaw(x, p.b, p.c))
	},
	sample: func(s *Stream, p args) float64 {
		if s.Float64() < p.a {
			return 0
		}
		return sampleNegativeBinomial(s, p.b, p.c)
	},
	support:  positiveHalf,
	mean:     func(p args) float64 { return (1 - p.a) * p.b },
	variance: func(p args) float64 { return (1 - p.a) * p.b * (1 + p.b*(p.a+1/p.c)) },
	coarse:   func(p args) bool { return poissonCoarse(p.b) },
	widen: func(p args) (wide, bool) {
		return wide{kind: ZeroInflatedNegativeBinomial2, p: args{p.a, p.b, widerConcentration(p.b, p.c), 0}}, p.b > 1/wideLarge && p.b < wideLarge && p.c > wideSmallShape
	},
	carry: func(x float64, from, to args, u *Stream) float64 {
		return carryCount(x, inflatedTails(from.a, negativeBinomialTails(args{a: from.b, b: from.c})), inflatedTails(to.a, negativeBinomialTails(args{a: to.b, b: to.c})), math.Inf(1), to.b, u)
	},
}

// zeroInflated is the log probability of a count x that is 0 with the probability gate, and else has the log probability lp.
func zeroInflated(x, gate, lp float64) float64 {
	switch {
	case x < 0 || !isInteger(x):
		return math.Inf(-1)
	case x == 0:
		return math.Log(gate + (1-gate)*math.Exp(lp))
	}
	return math.Log1p(-gate) + lp
}

func inflatedTails(gate float64, of func(k float64) tails) func(k float64) tails {
	return func(k float64) tails {
		t := of(k)
		return tails{gate + (1-gate)*t.below, (1 - gate) * t.above}
	}
}

// BetaBinomial is a Binomial whose probability is a Beta.
var betaBinomialFamily = family{
	name:     "BetaBinomial",
	params:   numbers("concentration1", "concentration0", "total_count"),
	discrete: true,
	check:    checks(checkPositive, checkPositive, checkCount),
	logProb: func(x float64, p args) float64 {
		if x < 0 || x > p.c || !isInteger(x) {
			return math.Inf(-1)
		}
		return betaBinomialRaw(x, p.a, p.b, p.c)
	},
	sample: func(s *Stream, p args) float64 {
		return binomialFamily.sample(s, args{a: p.c, b: betaFamily.sample(s, p)})
	},
	support: func(p args) (lo, hi float64) { return 0, p.c },
	mean:    func(p args) float64 { return p.c * (p.a / (p.a + p.b)) },
	variance: func(p args) float64 {
		s := p.a + p.b
		return p.c * (p.a / s) * (p.b / s) * ((s + p.c) / (s + 1))
	},
	widen: func(p args) (wide, bool) {
		return wide{kind: BetaBinomial, p: args{flatter(p.a, 9), flatter(p.b, 9), p.c, 0}}, p.a > wideSmallShape && p.b > wideSmallShape && p.c < wideLarge
	},
	carry: func(x float64, from, to args, u *Stream) float64 {
		const most = 100_000 // probabilities that are added up
		if from.c > most || to.c > most {
			return math.NaN()
		}
		return carryRow(x, betaBinomialRow(from), betaBinomialRow(to), u)
	},
}

// betaBinomialRaw is C(n, x)·B(x + a, n − x + b)/B(a, b) as a quotient of binomial probabilities, whose large terms cancel exactly.
func betaBinomialRaw(x, a, b, n float64) float64 {
	if n == 0 {
		return 0
	}
	s := a + b
	p, q := (x+a)/(n+s), (n-x+b)/(n+s)
	return binomialRaw(x, n, p, q) + binomialRaw(a, s, p, q) - binomialRaw(x+a, n+s, p, q) + math.Log(a/(x+a)*(b/(n-x+b))*((n+s)/s))
}

func betaBinomialRow(p args) []float64 {
	row := make([]float64, int(p.c)+1)
	for k := range row {
		row[k] = math.Exp(betaBinomialRaw(float64(k), p.a, p.b, p.c))
	}
	return row
}
