package head

import (
	"math"
	"sort"

	"gonum.org/v1/gonum/mathext"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// ---- the spaces

const (
	eulerGamma = 0.57721566490153286061
	tiny       = 0x1p-1022
	belowOne   = 1 - 0x1p-53

	logTiny = -708.396418532264106224 // log tiny
	logHuge = 709.782712893383973096  // log of the largest double
	// The narrowest kernel has e⁻⁸ of the prior's scale: up to here doubles are a hundred times closer to each other.
	gridded   = 1.5e10 // scales of a Normal from 0
	lastLogit = 25     // of a Beta: 1 − x of 10⁻¹¹
)

func clamp(v, low, high float64) float64 { return math.Min(math.Max(v, low), high) }

// trigamma is the derivative of digamma: ζ(2, x).
func trigamma(x float64) float64 { return mathext.Zeta(2, x) }

func same(x float64) float64 { return x }
func none(float64) float64   { return 0 }

// identity is the space of a Normal.
func identity(p *Prior) space {
	last := math.Min(gridded*p.Args[1], math.MaxFloat64)
	return space{to: same, from: same, logSlope: none, location: p.Args[0], scale: p.Args[1], first: -last, last: last}
}

// unitInterval is that of a Uniform: its support as [0, 1].
func unitInterval(p *Prior) space {
	width := p.Args[1] - p.Args[0]
	return space{
		to:       func(x float64) float64 { return (x - p.Args[0]) / width },
		from:     func(u float64) float64 { return clamp(p.Args[0]+width*u, p.Args[0], p.Args[1]) },
		logSlope: func(float64) float64 { return -math.Log(width) },
		low:      0, high: 1, location: 0.5, scale: 0.3,
	}
}

// logarithm is that of the families on the half-line; location and scale are the prior's mean and standard
// deviation of log x.
func logarithm(p *Prior) space {
	sp := space{to: math.Log, logSlope: func(x float64) float64 { return -math.Log(x) },
		from: func(u float64) float64 { return clamp(math.Exp(u), tiny, math.MaxFloat64) }, first: logTiny, last: logHuge}
	switch p.Kind {
	case dist.LogNormal:
		sp.location, sp.scale = p.Args[0], p.Args[1]
	case dist.Exponential:
		sp.location, sp.scale = -eulerGamma-math.Log(p.Args[0]), math.Pi/math.Sqrt(6)
	case dist.Weibull:
		sp.location, sp.scale = math.Log(p.Args[0])-eulerGamma/p.Args[1], math.Pi/math.Sqrt(6)/p.Args[1]
	case dist.Gamma:
		sp.location, sp.scale = mathext.Digamma(p.Args[0])-math.Log(p.Args[1]), math.Sqrt(trigamma(p.Args[0]))
	case dist.InverseGamma:
		sp.location, sp.scale = math.Log(p.Args[1])-mathext.Digamma(p.Args[0]), math.Sqrt(trigamma(p.Args[0]))
	case dist.HalfNormal: // x² is a Gamma(½)
		sp.location, sp.scale = math.Log(p.Args[0])-(eulerGamma+math.Ln2)/2, math.Pi/math.Sqrt(8)
	}
	return sp
}

// logit is that of a Beta: log x/(1 − x).
func logit(p *Prior) space {
	return space{
		to:       func(x float64) float64 { return math.Log(x) - math.Log1p(-x) },
		from:     func(u float64) float64 { return clamp(sigmoid(u), tiny, belowOne) },
		logSlope: func(x float64) float64 { return -math.Log(x) - math.Log1p(-x) },
		location: mathext.Digamma(p.Args[0]) - mathext.Digamma(p.Args[1]),
		scale:    math.Sqrt(trigamma(p.Args[0]) + trigamma(p.Args[1])),
		first:    logTiny, last: lastLogit,
	}
}

// located is that of the other families of a location and a scale on the real line; the scale is a standard deviation where there is one.
func located(p *Prior) space {
	location, scale := p.Args[0], p.Args[1]
	switch p.Kind {
	case dist.StudentT:
		location, scale = p.Args[1], p.Args[2]
		if df := p.Args[0]; df > 3 {
			scale *= math.Sqrt(df / (df - 2))
		} else {
			scale *= 1.7
		}
	case dist.Cauchy:
		scale *= 2
	case dist.Laplace:
		scale *= math.Sqrt2
	case dist.Logistic:
		scale *= math.Pi / math.Sqrt(3)
	}
	last := math.Min(gridded*scale, math.MaxFloat64)
	return space{to: same, from: same, logSlope: none, location: location, scale: scale, first: -last, last: last}
}

// grid is the distance from an end, in units of the end, from which on doubles are close to each other for the narrowest kernel.
const grid = 1e-9

// truncated is that of a TruncatedNormal: the log-odds between two ends, the logarithm above or below one.
func truncated(p *Prior) space {
	low, high := p.Args[2], p.Args[3]
	mean, sd := aboutTruncated(p)
	switch {
	case math.IsInf(low, -1) && math.IsInf(high, 1):
		last := math.Min(gridded*sd, math.MaxFloat64)
		return space{to: same, from: same, logSlope: none, location: mean, scale: sd, first: -last, last: last}
	case math.IsInf(high, 1):
		return space{
			to:       func(x float64) float64 { return math.Log(x - low) },
			from:     func(u float64) float64 { return clamp(low+math.Exp(u), low, math.MaxFloat64) },
			logSlope: func(x float64) float64 { return -math.Log(x - low) },
			location: math.Log(mean - low), scale: sd / (mean - low), first: math.Max(logTiny, math.Log(grid*math.Abs(low))), last: logHuge,
		}
	case math.IsInf(low, -1):
		return space{
			to:       func(x float64) float64 { return math.Log(high - x) },
			from:     func(u float64) float64 { return clamp(high-math.Exp(u), -math.MaxFloat64, high) },
			logSlope: func(x float64) float64 { return -math.Log(high - x) },
			location: math.Log(high - mean), scale: sd / (high - mean), first: math.Max(logTiny, math.Log(grid*math.Abs(high))), last: logHuge,
		}
	}
	width := high - low
	end := func(x float64) float64 { return math.Max(logTiny, math.Log(math.Max(grid*math.Abs(x), tiny)/width)) }
	return space{
		to: func(x float64) float64 { return math.Log(x-low) - math.Log(high-x) },
		from: func(u float64) float64 {
			if u < 0 {
				return clamp(low+width*sigmoid(u), low, high)
			}
			return clamp(high-width*sigmoid(-u), low, high)
		},
		logSlope: func(x float64) float64 { return math.Log(width) - math.Log(x-low) - math.Log(high-x) },
		location: math.Log(mean-low) - math.Log(high-mean), scale: sd * (1/(mean-low) + 1/(high-mean)), first: end(low), last: -end(high),
	}
}

// aboutTruncated is about the mean and the standard deviation of a TruncatedNormal; between its ends.
func aboutTruncated(p *Prior) (mean, sd float64) {
	loc, scale, low, high := p.Args[0], p.Args[1], p.Args[2], p.Args[3]
	alpha, beta, w := (low-loc)/scale, (high-loc)/scale, (high-low)/scale
	tail := func(a float64) float64 { return math.Min(1/a, w/2) }
	switch {
	case alpha > 4:
		d := scale * tail(alpha)
		return low + d, d
	case beta < -4:
		d := scale * tail(-beta)
		return high - d, d
	case w < 1:
		return low + (high-low)/2, (high - low) / math.Sqrt(12)
	}
	phi := func(z float64) float64 { return math.Exp(-0.5*z*z - halfLog2Pi) }
	a, b, z := phi(alpha), phi(beta), 0.5*(math.Erf(beta/math.Sqrt2)-math.Erf(alpha/math.Sqrt2))
	d, v := (a-b)/z, 1.0
	if a > 0 {
		v += alpha * a / z
	}
	if b > 0 {
		v -= beta * b / z
	}
	return loc + scale*d, scale * math.Sqrt(math.Max(v-d*d, 0.01))
}

// excess is that of a Pareto: log(x/scale) is an Exponential, and this its logarithm.
func excess(p *Prior) space {
	over := func(x float64) float64 { return dist.LogRatio(x, p.Args[0]) }
	return space{
		to:       func(x float64) float64 { return math.Log(over(x)) },
		from:     func(u float64) float64 { return clamp(p.Args[0]*math.Exp(math.Exp(u)), p.Args[0], math.MaxFloat64) },
		logSlope: func(x float64) float64 { return -math.Log(over(x)) - math.Log(x) },
		location: -eulerGamma - math.Log(p.Args[1]), scale: math.Pi / math.Sqrt(6), first: math.Log(grid), last: math.Log(logHuge - math.Log(p.Args[0])),
	}
}

// logInterval is that of a LogUniform: the logarithms of its support as [0, 1].
func logInterval(p *Prior) space {
	low, width := math.Log(p.Args[0]), math.Log(p.Args[1])-math.Log(p.Args[0])
	return space{
		to:       func(x float64) float64 { return clamp((math.Log(x)-low)/width, 0, 1) },
		from:     func(u float64) float64 { return clamp(math.Exp(low+width*u), p.Args[0], p.Args[1]) },
		logSlope: func(x float64) float64 { return -math.Log(x) - math.Log(width) },
		low:      0, high: 1, location: 0.5, scale: 0.3,
	}
}

// circle is that of a VonMises: the angles, the prior's location in the middle, as [0, 1].
func circle(p *Prior) space {
	const all = 2 * math.Pi
	return space{
		to:       func(x float64) float64 { return clamp(0.5+dist.Angle(x-p.Args[0])/all, 0, 1) },
		from:     func(u float64) float64 { return dist.Angle(p.Args[0] + (u-0.5)*all) },
		logSlope: func(float64) float64 { return -math.Log(all) },
		low:      0, high: 1, location: 0.5, scale: 0.3,
	}
}

// counts is that of counts: the integers of the support.
func counts(p *Prior) space {
	sp := space{to: same, from: same, logSlope: none, location: p.Args[0], high: math.Inf(1), whole: true}
	variance := p.Args[0]
	switch p.Kind {
	case dist.Poisson:
	case dist.Binomial:
		sp.location, sp.high = p.Args[0]*p.Args[1], p.Args[0]
		variance = p.Args[0] * p.Args[1] * (1 - p.Args[1])
	default:
		sp.location, variance = p.Moments()
		sp.low, sp.high = p.Support()
	}
	sp.fixed = variance == 0
	sp.scale = math.Max(math.Sqrt(variance), 0.5)
	return sp
}

// ---- the kernels

// normalKernel is a Normal with mean location + scale·m and standard deviation scale·eˢ.
type normalKernel struct{}

const halfLog2Pi = 0.91893853320467274178

func (normalKernel) logProb(sp *space, m, s, u float64) (lp, dm, ds float64) {
	ls, slope := bounded(s)
	sd := math.Exp(ls)
	z := ((u-sp.location)/sp.scale - m) / sd
	return -0.5*z*z - ls - math.Log(sp.scale) - halfLog2Pi, z / sd, (z*z - 1) * slope
}

func (normalKernel) sample(sp *space, m, s float64, st *dist.Stream) float64 {
	ls, _ := bounded(s)
	return sp.location + sp.scale*(m+math.Exp(ls)*mathext.NormalQuantile(st.Float64()))
}

// outside implements kernel.
func (normalKernel) outside(sp *space, m, s float64) (p, dm, ds float64) {
	ls, slope := bounded(s)
	sd := math.Exp(ls)
	a, b := ((sp.first-sp.location)/sp.scale-m)/sd, ((sp.last-sp.location)/sp.scale-m)/sd
	if a < -far && b > far {
		return 0, 0, 0
	}
	phi := func(z float64) float64 { return math.Exp(-0.5*z*z - halfLog2Pi) }
	below, above := phi(a), phi(b)
	dm = (above - below) / sd
	if below > 0 {
		ds -= a * below * slope
	}
	if above > 0 {
		ds += b * above * slope
	}
	return 0.5 * (math.Erfc(-a/math.Sqrt2) + math.Erfc(b/math.Sqrt2)), dm, ds
}

// far is so many scales from a kernel that it has nothing there.
const far = 40

// logisticKernel is a logistic distribution with location + scale·m and a scale of scale·eˢ·√3/π, that is, a
// standard deviation of scale·eˢ. Its tails are exponential: in log x, as heavy as those of priors with a power
// law at 0.
type logisticKernel struct{}

var sqrt3OverPi = math.Sqrt(3) / math.Pi

func (logisticKernel) logProb(sp *space, m, s, u float64) (lp, dm, ds float64) {
	ls, slope := bounded(s)
	c := math.Exp(ls) * sqrt3OverPi
	z := ((u-sp.location)/sp.scale - m) / c
	lp = -math.Abs(z) - 2*math.Log1p(math.Exp(-math.Abs(z))) - math.Log(c*sp.scale)
	t := math.Tanh(z / 2) // −d lp/dz
	return lp, t / c, (z*t - 1) * slope
}

func (logisticKernel) sample(sp *space, m, s float64, st *dist.Stream) float64 {
	ls, _ := bounded(s)
	v := st.Float64()
	return sp.location + sp.scale*(m+math.Exp(ls)*sqrt3OverPi*(math.Log(v)-math.Log1p(-v)))
}

// outside implements kernel.
func (logisticKernel) outside(sp *space, m, s float64) (p, dm, ds float64) {
	ls, slope := bounded(s)
	c := math.Exp(ls) * sqrt3OverPi
	a, b := ((sp.first-sp.location)/sp.scale-m)/c, ((sp.last-sp.location)/sp.scale-m)/c
	if a < -far && b > far {
		return 0, 0, 0
	}
	below, above := sigmoid(a)*sigmoid(-a), sigmoid(b)*sigmoid(-b)
	dm = (above - below) / c
	if below > 0 {
		ds -= a * below * slope
	}
	if above > 0 {
		ds += b * above * slope
	}
	return sigmoid(a) + sigmoid(-b), dm, ds
}

// truncatedKernel is a Normal cut to [0, 1] whose location, sigmoid(m), lies inside: what is beyond an end is
// reached by a location at the end. Its standard deviation before the cut is 0.3·eˢ.
type truncatedKernel struct{}

func (truncatedKernel) ends(sp *space, m, s float64) (location, sd, alpha, beta, logZ, slope float64) {
	ls, slope := bounded(s)
	location, sd = sigmoid(m), sp.scale*math.Exp(ls)
	alpha, beta = -location/sd, sigmoid(-m)/sd
	// α ≤ 0 ≤ β: neither tail is lost.
	z := 0.5 * (math.Erf(beta/math.Sqrt2) - math.Erf(alpha/math.Sqrt2))
	return location, sd, alpha, beta, math.Log(z), slope
}

func (k truncatedKernel) logProb(sp *space, m, s, u float64) (lp, dm, ds float64) {
	location, sd, alpha, beta, logZ, slope := k.ends(sp, m, s)
	z := (u - location) / sd
	lp = -0.5*z*z - math.Log(sd) - halfLog2Pi - logZ
	phi := func(x float64) float64 { return math.Exp(-0.5*x*x - halfLog2Pi - logZ) }
	a, b := phi(alpha), phi(beta)
	dLocation := z/sd + (b-a)/sd
	return lp, dLocation * location * (1 - location), (z*z - 1 + beta*b - alpha*a) * slope
}

func (k truncatedKernel) sample(sp *space, m, s float64, st *dist.Stream) float64 {
	location, sd, alpha, beta, logZ, _ := k.ends(sp, m, s)
	v := st.Float64() * math.Exp(logZ)
	below := 0.5 * math.Erfc(-alpha/math.Sqrt2)
	var z float64
	if p := below + v; p <= 0.5 {
		z = mathext.NormalQuantile(clamp(p, tiny, 0.5))
	} else {
		above := 0.5*math.Erfc(beta/math.Sqrt2) + math.Exp(logZ) - v
		z = -mathext.NormalQuantile(clamp(above, tiny, 0.5))
	}
	return clamp(location+sd*z, sp.low, sp.high)
}

// outside implements kernel.
func (truncatedKernel) outside(*space, float64, float64) (p, dm, ds float64) { return 0, 0, 0 }

// countKernel is a logistic distribution rounded to the integers of the support: the mass beyond an end is
// given to the end.
type countKernel struct{}

func (countKernel) scale(sp *space, s float64) (c, slope float64) {
	ls, slope := bounded(s)
	return sp.scale * math.Exp(ls) * sqrt3OverPi, slope
}

func (k countKernel) logProb(sp *space, m, s, u float64) (lp, dm, ds float64) {
	c, slope := k.scale(sp, s)
	location := sp.location + sp.scale*m
	d := u - location // halves are no doubles beside large counts
	a, b := (d-0.5)/c, (d+0.5)/c
	var da, db float64
	switch {
	case u <= sp.low: // F(b)
		lp, db = -softplus(-b), sigmoid(-b)
	case u >= sp.high: // 1 − F(a)
		lp, da = -softplus(a), -sigmoid(a)
	default:
		lp, da, db = logisticMass(a, b)
	}
	return lp, -(da + db) * sp.scale / c, -(a*da + b*db) * slope
}

func (k countKernel) sample(sp *space, m, s float64, st *dist.Stream) float64 {
	c, _ := k.scale(sp, s)
	v := st.Float64()
	return clamp(math.Round(sp.location+sp.scale*m+c*(math.Log(v)-math.Log1p(-v))), sp.low, sp.high)
}

// outside implements kernel.
func (countKernel) outside(*space, float64, float64) (p, dm, ds float64) { return 0, 0, 0 }

// anywhere is the space of a Mixture: that of a TruncatedNormal with its support, in about its place.
func anywhere(p *Prior) space {
	centre, spread := p.Place()
	low, high := p.Support()
	return truncated(&Prior{Kind: dist.TruncatedNormal, Args: [dist.MaxArgs]float64{centre, clamp(spread, tiny, 1e300), low, high}})
}

// edges is that of a Histogram: what lies between the first edge and the last, as [0, 1].
func edges(p *Prior) space {
	low, high := p.Support()
	return unitInterval(&Prior{Args: [dist.MaxArgs]float64{low, high}})
}

// atoms is that of an Empirical: the numbers of its values, each with its share of the prior's log-odds, in which the prior is a logistic distribution.
func atoms(p *Prior) space {
	values := p.Rows[0]
	upTo := make([]float64, len(values))
	total := 0.0
	for j, w := range p.Rows[1] {
		total += w
		upTo[j] = total
	}
	odds := func(sum float64) float64 {
		if sum >= total {
			return math.Inf(1)
		}
		return math.Log(sum) - math.Log(total-sum)
	}
	return space{
		to: func(x float64) float64 {
			if j := sort.SearchFloat64s(values, x); j < len(values) && values[j] == x {
				return float64(j)
			}
			return math.NaN()
		},
		from:     func(u float64) float64 { return values[int(u)] },
		logSlope: none,
		share: func(u float64) (low, high float64) {
			j := int(u)
			if low = math.Inf(-1); j > 0 {
				low = odds(upTo[j-1])
			}
			return low, odds(upTo[j])
		},
		whose: func(l float64) float64 {
			return float64(min(sort.SearchFloat64s(upTo, total*sigmoid(l)), len(values)-1))
		},
		scale: math.Pi / math.Sqrt(3), high: float64(len(values) - 1), whole: true, fixed: len(values) == 1,
	}
}

// atomKernel is a logistic distribution of the log-odds whose mass in each value's share is that value's.
type atomKernel struct{}

func (atomKernel) logProb(sp *space, m, s, u float64) (lp, dm, ds float64) {
	low, high := sp.share(u)
	if !(low < high) {
		return math.Inf(-1), 0, 0
	}
	ls, slope := bounded(s)
	c := math.Exp(ls) * sqrt3OverPi
	a, b := (low/sp.scale-m)/c, (high/sp.scale-m)/c
	lp, da, db := logisticMass(a, b)
	if !math.IsInf(a, 0) {
		ds -= a * da
	}
	if !math.IsInf(b, 0) {
		ds -= b * db
	}
	return lp, -(da + db) / c, ds * slope
}

func (atomKernel) sample(sp *space, m, s float64, st *dist.Stream) float64 {
	return sp.whose(logisticKernel{}.sample(sp, m, s, st))
}

// outside implements kernel.
func (atomKernel) outside(*space, float64, float64) (p, dm, ds float64) { return 0, 0, 0 }

// logisticMass is the log of the standard logistic distribution's mass between a and b, of which one may be infinite, and its derivatives.
func logisticMass(a, b float64) (lp, da, db float64) {
	switch {
	case math.IsInf(a, -1): // F(b)
		return -softplus(-b), 0, sigmoid(-b)
	case math.IsInf(b, 1): // 1 − F(a)
		return -softplus(a), -sigmoid(a), 0
	}
	// F(b) − F(a) = eᵇ(1 − e⁻⁽ᵇ⁻ᵃ⁾)/((1 + eᵃ)(1 + eᵇ))
	t := 1 / math.Expm1(b-a)
	return math.Log(-math.Expm1(a-b)) - softplus(a) - softplus(-b), -t - sigmoid(a), t + sigmoid(-b)
}
