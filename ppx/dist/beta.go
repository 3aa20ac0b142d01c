package dist

import "math"

var betaFamily = family{
	name:    "Beta",
	params:  numbers("concentration1", "concentration0"),
	check:   checks(checkPositive, checkPositive),
	logProb: func(x float64, p args) float64 { return betaLogProb(x, p.a, p.b) },
	sample: func(s *Stream, p args) float64 {
		a, b := p.a, p.b
		// X/(X+Y) of two gamma variates, in logs: for small concentrations both underflow.
		la := logGammaVariate(s, a)
		lb := logGammaVariate(s, b)
		return clamp(1/(1+math.Exp(lb-la)), tiny, belowOne)
	},
	support: unitInterval,
	mean: func(p args) float64 {
		a, b := p.a, p.b
		return a / (a + b)
	},
	variance: func(p args) float64 {
		a, b := p.a, p.b
		return a / (a + b) * b / (a + b) / (a + b + 1)
	},
	coarse: func(p args) bool { return betaCoarse(p.a, p.b) },
	widen: func(p args) (wide, bool) {
		return wide{kind: Beta, p: args{a: flatter(p.a, 9), b: flatter(p.b, 9)}}, p.a > wideSmallShape && p.b > wideSmallShape && math.Sqrt(p.b/p.a/(p.a+p.b+1)) > wideGrid
	},
	carry: carryBeta,
}

func betaLogProb(x, a, b float64) float64 {
	switch {
	case x < 0 || x > 1:
		return math.Inf(-1)
	case x == 0:
		return edge(a, b)
	case x == 1:
		return edge(b, a)
	case a <= 2 || b <= 2:
		return (a-1)*math.Log(x) + (b-1)*math.Log1p(-x) - logBeta(a, b)
	}
	return math.Log(a+b-1) + binomialRaw(a-1, a+b-2, x, 1-x)
}

// edge is the log density of a Beta(c, other) at 0.
func edge(c, other float64) float64 {
	switch {
	case c < 1:
		return math.Inf(1)
	case c > 1:
		return math.Inf(-1)
	}
	return math.Log(other)
}

// logBeta is log B(a, b), without the cancellation of log-gammas when one argument is large.
func logBeta(a, b float64) float64 {
	p, q := math.Min(a, b), math.Max(a, b)
	lp, _ := math.Lgamma(p)
	if q < 10 {
		lq, _ := math.Lgamma(q)
		lpq, _ := math.Lgamma(p + q)
		return lp + (lq - lpq)
	}
	return lp + stirlingError(q) - stirlingError(p+q) + p - p*math.Log(p+q) + (q-0.5)*math.Log1p(-p/(p+q))
}
