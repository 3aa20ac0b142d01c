package dist

import "math"

// Element is one element of a distribution: valid parameters, numbers in the order of the kind, or the rows of numbers of a kind that takes
// such (a Categorical's probabilities, which need not be normalised).
type Element struct {
	Kind Kind
	Args [MaxArgs]float64
	Rows [MaxArgs][]float64
}

// LogProb is its log density, in nats.
func (e *Element) LogProb(x float64) float64 {
	f := &kinds[e.Kind]
	if f.rows != nil {
		return f.rows.density([]float64{x}, e.Rows)
	}
	if x != x {
		return x
	}
	return f.logProb(x, argsOf(&e.Args))
}

// Moments are mean and variance; see Dist.Mean and Dist.Variance.
func (e *Element) Moments() (mean, variance float64) {
	if f := kinds[e.Kind].rows; f != nil {
		var m, v [1]float64
		f.moments(e.Rows, m[:], v[:])
		return m[0], v[0]
	}
	f, p := &kinds[e.Kind], argsOf(&e.Args)
	return f.mean(p), f.variance(p)
}

// Support are the ends of the support.
func (e *Element) Support() (lo, hi float64) {
	if f := kinds[e.Kind].rows; f != nil {
		var l, h [1]float64
		f.support(e.Rows, l[:], h[:])
		return l[0], h[0]
	}
	return kinds[e.Kind].support(argsOf(&e.Args))
}

// Place is about where it is: mean and standard deviation, also of a mixture that has none.
func (e *Element) Place() (centre, spread float64) {
	if f := kinds[e.Kind].rows; f != nil && f.place != nil {
		return f.place(e.Rows)
	}
	m, v := e.Moments()
	return m, math.Sqrt(v)
}

// Sample draws a value.
func (e *Element) Sample(s *Stream) float64 {
	if f := &kinds[e.Kind]; f.rows != nil {
		var x [1]float64
		f.rows.sample(s, e.Rows, x[:])
		return x[0]
	}
	return kinds[e.Kind].sample(s, argsOf(&e.Args))
}
