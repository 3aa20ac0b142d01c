package dist

import "math"

// Doubles are atoms. A density times the distance to the next double is the probability that a draw is rounded to
// one of them, but where that distance is no longer small against the distribution, or where all that lies beyond the
// last double is rounded to it, a ratio of densities is not one of probabilities: a proposal's values must not
// be weighted by it. Discrete families whose integers are doubles have no such trouble.

const (
	// coarseEnd is the probability from which on an end's atom counts.
	coarseEnd = 1e-6
	// coarseGrid is the relative spread below which the grid of doubles, of 2⁻⁵³, shows.
	coarseGrid = 1e-11
	// coarseLog is that of log x, whose rounding comes on top.
	coarseLog = 1e-10
	logTiny   = -708.396418532264106224 // log 2⁻¹⁰²²
	logHuge   = 709.782712893383973096  // log of the largest double
)

// Coarse tells that doubles are too coarse for some element of d: probabilities of its values are not its density
// times a width. Draws from d itself are right all the same, and so is the density as a likelihood.
func (d *Dist) Coarse() bool {
	if f := kinds[d.Kind].rows; f != nil {
		found := false
		if f.coarse != nil {
			_, _ = d.walkRows(func(_ int, p rows) bool {
				found = f.coarse(p)
				return !found
			})
		}
		return found
	}
	coarse := kinds[d.Kind].coarse
	if coarse == nil || len(d.Params) == 0 {
		return false
	}
	if d.scalar() {
		return coarse(d.args())
	}
	var e elements
	if e.init(d, nil) != nil {
		return false
	}
	for range e.n {
		if coarse(e.next()) {
			return true
		}
	}
	return false
}

func normalCoarse(mean, sd float64) bool {
	// Forty standard deviations stay clear of the largest double, and of the subnormal ones.
	return !(sd > coarseGrid*math.Abs(mean)) || sd < 1e-290 || !(math.Abs(mean)+40*sd < math.MaxFloat64)
}

func uniformCoarse(low, high float64) bool {
	return !(high-low > 100*coarseGrid*math.Max(math.Abs(low), math.Abs(high))) || high-low < 1e-290
}

// logCoarse is for log x of a mean and a standard deviation, or something like them.
func logCoarse(mean, sd float64) bool { return !(sd > coarseLog*math.Max(1, math.Abs(mean))) }

func logNormalCoarse(loc, scale float64) bool {
	const tail = 8 // standard deviations: 10⁻¹⁵
	return logCoarse(loc, scale) || loc-tail*scale < logTiny || loc+tail*scale > logHuge
}

func exponentialCoarse(rate float64) bool {
	// P(X < tiny) = 1 − e^(−rate·tiny), P(X > huge) = e^(−rate·huge).
	return rate*tiny > coarseEnd || rate*math.MaxFloat64 < -math.Log(coarseEnd)
}

func weibullCoarse(scale, k float64) bool {
	ls := math.Log(scale)
	// P(X < tiny) ≤ (tiny/scale)^k, P(X > huge) = exp(−(huge/scale)^k).
	return k*(logTiny-ls) > math.Log(coarseEnd) || k*(logHuge-ls) < math.Log(-math.Log(coarseEnd)) || logCoarse(ls, 1/k)
}

func gammaCoarse(shape, rate float64) bool {
	lr := math.Log(rate)
	lg, _ := math.Lgamma(shape + 1)
	// P(X < tiny) ≤ (rate·tiny)^shape/Γ(shape+1); the mean and forty standard deviations stay below the largest double.
	return shape*(lr+logTiny)-lg > math.Log(coarseEnd) || math.Log(shape+40*math.Sqrt(shape)+40)-lr > logHuge ||
		logCoarse(math.Log(shape)-lr, 1/math.Sqrt(shape))
}

func betaCoarse(a, b float64) bool {
	// P(X < tiny) ≈ tiny^a/(a·B(a,b)), P(X > 1 − 2⁻⁵³) ≈ 2^(−53b)/(b·B(a,b)): for a, b above 1 at most that.
	lb := logBeta(a, b)
	if a*logTiny-math.Log(a)-lb > math.Log(coarseEnd) || -53*math.Ln2*b-math.Log(b)-lb > math.Log(coarseEnd) {
		return true
	}
	// The spread of x against x: near 1 the grid does not become finer. That of a small x is one of its logarithm.
	return !(math.Sqrt(b/a/(a+b+1)) > coarseGrid) || logCoarse(0, 1/math.Sqrt(a))
}

func poissonCoarse(rate float64) bool { return rate > 1/coarseGrid/coarseGrid }
