package dist

import "math"

// Widened turns distributions into wider ones with the same support, element by element: a member of the
// same family, or for the counts a mixture over their mean (docs/random.md has the table). Prior inflation
// draws from them. The zero value is ready for use, and reuses its memory.
type Widened struct {
	w    wide // the present element's
	room []float64
	args [MaxArgs][]float64 // the broadcast parameters of a tensor
}

// wide is the wider distribution of an element.
type wide struct {
	kind  Kind
	p     args
	mixed Kind    // what is drawn is the parameter of a Poisson, or of a Binomial of n trials; else None
	n     float64 // Binomial's total count
}

// Sample draws one value of d, widened, into out, which has as many elements as shape, the shape of d's values.
// Draw i uses the stream's blocks from i·2¹⁶ on.
func (e *Widened) Sample(d *Dist, shape []int32, s *Stream, out []float64) {
	if f := kinds[d.Kind].rows; f != nil { // of the simulator's own it comes to NaN: those are never asked for here
		i := 0
		_ = d.eachDraw(out, func(p rows, x []float64) {
			s.Skip(uint64(i) << 16)
			f.sample(s, e.wider(f, p), x)
			i++
		})
		return
	}
	e.each(d, shape, len(out), func(i int) { out[i] = e.sample(s, uint64(i)) })
}

// LogProb is the log density of x under d, widened, summed over the elements.
func (e *Widened) LogProb(d *Dist, shape []int32, x []float64) float64 {
	sum := 0.0
	if f := kinds[d.Kind].rows; f != nil {
		_ = d.eachDraw(x, func(p rows, x []float64) { sum += f.density(x, e.wider(f, p)) })
		return sum
	}
	e.each(d, shape, len(x), func(i int) { sum += e.logProb(x[i]) })
	return sum
}

// wider is the wider distribution of a draw.
func (e *Widened) wider(f *rowFamily, p rows) rows {
	if f.widen == nil {
		return p
	}
	p, e.room = f.widen(p, e.room[:0])
	return p
}

// each makes e the widened distribution of each element in turn.
func (e *Widened) each(d *Dist, shape []int32, n int, f func(i int)) {
	family := &kinds[d.Kind]
	for k := range d.Params {
		e.args[k] = Expand(e.args[k][:0], d.Params[k], shape, n)
	}
	for i := range n {
		var x [MaxArgs]float64
		for k := range d.Params {
			x[k] = e.args[k][i]
		}
		p := argsOf(&x)
		w, ok := wide{}, false
		if family.widen != nil {
			w, ok = family.widen(p)
		}
		if e.w = w; !ok {
			e.w = wide{kind: d.Kind, p: p}
		}
		f(i)
	}
}

// What the families' widening has in common: the standard deviation is tripled where the family can (the counts' and the Beta's
// concentration is kept high enough for a single peak), keeping the mean where that leaves the density at 0 finite. It is left alone where
// it is of no use or cannot be scored exactly: a Uniform has nowhere to go, and near the ends of double precision samples are clamped, or
// densities lose their digits.
const (
	wideLarge      = 1e9   // counts beyond it lose digits in differences of log-gammas
	wideLogMax     = 700.0 // of what a double can hold
	wideTail       = 40.0  // standard deviations, or nats, that samples may reach
	wideSmallShape = 0.05  // below, a Gamma's or Beta's samples underflow
	wideGrid       = 1e-11 // a spread below which the grid of doubles shows (see Coarse)
)

// flatter is a concentration divided by a number, but not below 1 if it was not.
func flatter(c, by float64) float64 { return math.Max(c/by, math.Min(c, 1)) }

// sample draws element i of a site from its own part of the site's random numbers.
func (e *Widened) sample(s *Stream, i uint64) float64 {
	s.Skip(i << 16)
	x := kinds[e.w.kind].sample(s, e.w.p)
	switch e.w.mixed {
	case Poisson:
		return kinds[Poisson].sample(s, args{a: x})
	case Binomial:
		return kinds[Binomial].sample(s, args{a: e.w.n, b: x})
	}
	return x
}

func (e *Widened) logProb(x float64) float64 {
	a, b := e.w.p.a, e.w.p.b
	switch e.w.mixed {
	case Poisson: // negative binomial
		if x < 0 || x != math.Floor(x) {
			return math.Inf(-1)
		}
		return logGamma(x+a) - logGamma(a) - logGamma(x+1) + a*math.Log(b/(b+1)) - x*math.Log1p(b)
	case Binomial: // beta-binomial
		n := e.w.n
		if x < 0 || x > n || x != math.Floor(x) {
			return math.Inf(-1)
		}
		return logGamma(n+1) - logGamma(x+1) - logGamma(n-x+1) +
			logGamma(x+a) + logGamma(n-x+b) - logGamma(n+a+b) + logGamma(a+b) - logGamma(a) - logGamma(b)
	}
	if x != x {
		return x
	}
	return kinds[e.w.kind].logProb(x, e.w.p)
}

func logGamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
