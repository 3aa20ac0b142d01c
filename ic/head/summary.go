package head

import (
	"math"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Coordinate maps a value to where a network sees it: the logarithm on the half-line, log-odds on the unit
// interval, ±1 for a Bernoulli, else the value itself. Finite for every value.
func Coordinate(k dist.Kind, x float64) float64 {
	switch k {
	case dist.Exponential, dist.Gamma, dist.LogNormal, dist.Weibull:
		return math.Log(clamp(x, tiny, math.MaxFloat64))
	case dist.Beta:
		x = clamp(x, tiny, belowOne)
		return math.Log(x) - math.Log1p(-x)
	case dist.Bernoulli:
		return 2*clamp(x, 0, 1) - 1
	}
	return clamp(x, -math.MaxFloat64, math.MaxFloat64)
}

// Summary is about the prior's mean and standard deviation of the coordinate; of a Bernoulli its log-odds, and
// 1; of a Categorical 0 and 1.
func Summary(p *Prior) (location, scale float64) {
	const least, most = 1e-300, 1e300
	switch p.Kind {
	case dist.Normal:
		location, scale = p.A, p.B
	case dist.Uniform:
		location, scale = p.A/2+p.B/2, (p.B/2-p.A/2)/math.Sqrt(3)
	case dist.Exponential, dist.Gamma, dist.LogNormal, dist.Weibull:
		sp := logarithm(p)
		location, scale = sp.location, sp.scale
	case dist.Beta:
		sp := logit(p)
		location, scale = sp.location, sp.scale
	case dist.Poisson, dist.Binomial:
		sp := counts(p)
		location, scale = sp.location, sp.scale
	case dist.Bernoulli:
		location, scale = clamp(math.Log(p.A)-math.Log1p(-p.A), -30, 30), 1
	default:
		location, scale = 0, 1
	}
	return clamp(location, -most, most), clamp(scale, least, most)
}
