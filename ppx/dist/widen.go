package dist

import "math"

// Widened turns distributions into wider ones with the same support, element by element: a member of the
// same family, or for the counts a mixture over their mean (docs/random.md has the table). Prior inflation
// draws from them. The zero value is ready for use, and reuses its memory.
type Widened struct {
	d     Dist    // the present element's distribution, or what its mean is mixed over
	mixed Kind    // Poisson: negative binomial; Binomial: beta-binomial; else None
	n     float64 // Binomial's total count
	room  [2][1]float64
	probs []float64
	a, b  []float64 // the broadcast parameters of a tensor
}

// Sample draws one value of d, widened, into out, which has as many elements as shape, the shape of d's values.
// Element i uses the stream's blocks from i·2¹⁶ on.
func (e *Widened) Sample(d *Dist, shape []int32, s *Stream, out []float64) {
	e.each(d, shape, len(out), func(i int) { out[i] = e.sample(s, uint64(i)) })
}

// LogProb is the log density of x under d, widened, summed over the elements.
func (e *Widened) LogProb(d *Dist, shape []int32, x []float64) float64 {
	sum := 0.0
	e.each(d, shape, len(x), func(i int) { sum += e.logProb(x[i]) })
	return sum
}

// each makes e the widened distribution of each element in turn.
func (e *Widened) each(d *Dist, shape []int32, n int, f func(i int)) {
	if d.Kind == Categorical {
		k := d.Categories()
		for i := range n {
			e.widenCategorical(d.Params[0].Data[i*k : (i+1)*k])
			f(i)
		}
		return
	}
	e.a = Expand(e.a[:0], d.Params[0], shape, n)
	two := len(d.Kind.Params()) == 2
	if two {
		e.b = Expand(e.b[:0], d.Params[1], shape, n)
	}
	for i := range n {
		b := 0.0
		if two {
			b = e.b[i]
		}
		e.widen(d.Kind, e.a[i], b)
		f(i)
	}
}

func (e *Widened) set(k Kind, a, b float64) {
	e.d.Kind, e.mixed = k, None
	e.room[0][0], e.room[1][0] = a, b
	e.d.Params = [2]Tensor{{Data: e.room[0][:]}}
	if len(k.Params()) == 2 {
		e.d.Params[1] = Tensor{Data: e.room[1][:]}
	}
}

// widenCategorical makes the categories that have a chance equally likely.
func (e *Widened) widenCategorical(row []float64) {
	e.probs = e.probs[:0]
	for _, p := range row {
		e.probs = append(e.probs, math.Ceil(math.Min(p, 1)))
	}
	e.mixed = None
	e.d = Dist{Kind: Categorical, Params: [2]Tensor{{Data: e.probs, Shape: []int32{int32(len(row))}}}}
}

// widen triples the standard deviation where the family can (the counts' and the Beta's concentration is
// kept high enough for a single peak), keeping the mean where that leaves the density at 0 finite.
func (e *Widened) widen(k Kind, a, b float64) {
	if !widens(k, a, b) {
		e.set(k, a, b)
		return
	}
	flatter := func(c, by float64) float64 { return math.Max(c/by, math.Min(c, 1)) }
	switch k {
	case Normal, LogNormal:
		e.set(k, a, 3*b)
	case Bernoulli:
		e.set(k, 0.5, b)
	case Beta:
		e.set(k, flatter(a, 9), flatter(b, 9))
	case Exponential:
		e.set(k, a/3, b)
	case Gamma:
		shape := flatter(a, 9)
		e.set(k, shape, b*math.Sqrt(shape/a)/3)
	case Weibull:
		c := flatter(b, 3)
		e.set(k, a*3*c/b, c)
	case Poisson:
		// Gamma-mixed Poisson of mean a and variance 9a: the Gamma has shape a/8, kept at 1 or above.
		shape := math.Max(a/8, 1)
		e.set(Gamma, shape, shape/a)
		e.mixed = Poisson
	case Binomial:
		// Beta-mixed Binomial of mean n·p and nine times the variance where n allows it.
		total := math.Max((a-9)/8, 1/math.Min(b, 1-b))
		e.set(Beta, total*b, total*(1-b))
		e.mixed, e.n = Binomial, a
	}
}

// widens tells whether widening an element is of use and can be scored exactly: a Uniform has nowhere to go,
// and near the ends of double precision samples are clamped, or densities lose their digits.
func widens(k Kind, a, b float64) bool {
	const large = 1e9       // counts beyond it lose digits in differences of log-gammas
	const logMax = 700.0    // of what a double can hold
	const tail = 40.0       // standard deviations, or nats, that samples may reach
	const smallShape = 0.05 // below, a Gamma's or Beta's samples underflow
	const grid = 1e-11      // a spread below which the grid of doubles shows (see Coarse)
	switch k {
	case Normal:
		return b < 1e300 && b > 1e-290 && b > grid*math.Abs(a)
	case LogNormal:
		return math.Abs(a)+3*tail*b < logMax && b > grid*1000
	case Bernoulli:
		return a > 0 && a < 1
	case Beta:
		return a > smallShape && b > smallShape && math.Sqrt(b/a/(a+b+1)) > grid
	case Exponential:
		return a > 1e-290 && a < 1e290
	case Gamma:
		return a > smallShape && a < large && math.Abs(math.Log(b)) < logMax-100
	case Weibull:
		return math.Abs(math.Log(a))+tail/math.Min(b/3, 1) < logMax && b < large
	case Poisson:
		return a > 1/large && a < large
	case Binomial:
		return a >= 1 && a < large && b > 1/large && b < 1-1/large
	}
	return false
}

// sample draws element i of a site from its own part of the site's random numbers.
func (e *Widened) sample(s *Stream, i uint64) float64 {
	s.Skip(i << 16)
	var v [1]float64
	d := e.d
	_ = d.Sample(s, v[:]) // cannot fail: one element, checked parameters
	switch e.mixed {
	case Poisson:
		d = New(Poisson, v[0])
		_ = d.Sample(s, v[:])
	case Binomial:
		d = New(Binomial, e.n, v[0])
		_ = d.Sample(s, v[:])
	}
	return v[0]
}

func (e *Widened) logProb(x float64) float64 {
	a, b := e.room[0][0], e.room[1][0]
	switch e.mixed {
	case Poisson: // negative binomial
		if x < 0 || x != math.Floor(x) {
			return math.Inf(-1)
		}
		return logGamma(x+a) - logGamma(a) - logGamma(x+1) + a*math.Log(b/(b+1)) - x*math.Log1p(b)
	case Binomial: // beta-binomial
		if x < 0 || x > e.n || x != math.Floor(x) {
			return math.Inf(-1)
		}
		return logGamma(e.n+1) - logGamma(x+1) - logGamma(e.n-x+1) +
			logGamma(x+a) + logGamma(e.n-x+b) - logGamma(e.n+a+b) + logGamma(a+b) - logGamma(a) - logGamma(b)
	}
	var v [1]float64
	v[0] = x
	lp, err := e.d.LogProb(Tensor{Data: v[:]})
	if err != nil {
		return math.NaN()
	}
	return lp
}

func logGamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
