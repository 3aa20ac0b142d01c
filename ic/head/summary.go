package head

import (
	"math"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Coordinate maps a value to where a network sees it: the logarithm on the half-line, log-odds on the unit
// interval, ±1 for a Bernoulli, else the value itself. Finite for every value.
func Coordinate(k dist.Kind, x float64) float64 {
	if f := heads[k].coordinate; f != nil {
		return f(x)
	}
	return clamp(x, -math.MaxFloat64, math.MaxFloat64)
}

func logCoordinate(x float64) float64 { return math.Log(clamp(x, tiny, math.MaxFloat64)) }

func logitCoordinate(x float64) float64 {
	x = clamp(x, tiny, belowOne)
	return math.Log(x) - math.Log1p(-x)
}

func signs(x float64) float64 { return 2*clamp(x, 0, 1) - 1 }

// Summary is about the prior's mean and standard deviation of the coordinate; of a Bernoulli its log-odds, and
// 1; of a Categorical 0 and 1.
func Summary(p *Prior) (location, scale float64) {
	const least, most = 1e-300, 1e300
	if f := heads[p.Kind].summary; f != nil {
		location, scale = f(p)
	} else {
		location, scale = 0, 1
	}
	return clamp(location, -most, most), clamp(scale, least, most)
}

func uniformSummary(p *Prior) (location, scale float64) {
	return p.Args[0]/2 + p.Args[1]/2, (p.Args[1]/2 - p.Args[0]/2) / math.Sqrt(3)
}

func paretoSummary(p *Prior) (location, scale float64) {
	return math.Log(p.Args[0]) + 1/p.Args[1], 1 / p.Args[1]
}

func logUniformSummary(p *Prior) (location, scale float64) {
	a, b := math.Log(p.Args[0]), math.Log(p.Args[1])
	return (a + b) / 2, (b - a) / math.Sqrt(12)
}

func vonMisesSummary(p *Prior) (location, scale float64) {
	return dist.Angle(p.Args[0]), math.Min(1/math.Sqrt(p.Args[1]), math.Pi/math.Sqrt(3))
}

func bernoulliSummary(p *Prior) (location, scale float64) {
	return clamp(math.Log(p.Args[0])-math.Log1p(-p.Args[0]), -30, 30), 1
}

func placeSummary(p *Prior) (location, scale float64) { return p.Place() }
