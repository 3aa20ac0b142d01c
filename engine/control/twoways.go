package control

import (
	"math"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// twoWays is the density of a run whose values all come from f with probability 1 − eps, or else all from g: the
// mixture (1−eps)·Π f + eps·Π g, site by site. With ℓ = log Π g/f over the sites so far and
// a = eps·e^ℓ/((1−eps) + eps·e^ℓ), the probability of g given the values so far, the next one has the density
// (1−a)·f + a·g, and the product of these is that of the mixture exactly.
type twoWays struct {
	logEps, log1mEps float64
	ratio            float64 // ℓ
}

func newTwoWays(eps float64) twoWays {
	return twoWays{logEps: math.Log(eps), log1mEps: math.Log1p(-eps)}
}

// add returns the log density of a site's value, given its densities under both ways.
func (t *twoWays) add(logF, logG float64) float64 {
	switch {
	case math.IsInf(t.logEps, -1): // there is but one way
		return logF
	case math.IsInf(t.ratio, 1): // an earlier value was impossible by f
		return logG
	case math.IsInf(t.ratio, -1):
		return logF
	}
	total := tracing.LogAdd(t.log1mEps, t.logEps+t.ratio)
	logQ := tracing.LogAdd(t.log1mEps-total+logF, t.logEps+t.ratio-total+logG)
	// A value that is impossible by both makes neither more likely than before.
	if d := logG - logF; d == d {
		t.ratio += d
	}
	return logQ
}
