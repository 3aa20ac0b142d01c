package dist

// Element is one element of a distribution: valid parameters, numbers in the order of the kind, or the row of numbers of a kind that takes
// one (a Categorical's probabilities, which need not be normalised).
type Element struct {
	Kind Kind
	Args [MaxArgs]float64
	Row  []float64
}

// LogProb is its log density, in nats.
func (e *Element) LogProb(x float64) float64 {
	f := &kinds[e.Kind]
	switch {
	case x != x:
		return x
	case f.rows != nil:
		return f.rows.logProb(x, rows{e.Row})
	}
	return f.logProb(x, argsOf(&e.Args))
}

// Moments are mean and variance of a kind whose parameters are numbers; see Dist.Mean and Dist.Variance.
func (e *Element) Moments() (mean, variance float64) {
	f, p := &kinds[e.Kind], argsOf(&e.Args)
	return f.mean(p), f.variance(p)
}

// Support are the ends of such a kind's support.
func (e *Element) Support() (lo, hi float64) { return kinds[e.Kind].support(argsOf(&e.Args)) }

// Sample draws a value.
func (e *Element) Sample(s *Stream) float64 {
	if f := &kinds[e.Kind]; f.rows != nil {
		return f.rows.sample(s, rows{e.Row})
	}
	return kinds[e.Kind].sample(s, argsOf(&e.Args))
}
