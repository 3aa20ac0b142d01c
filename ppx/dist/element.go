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

// Sample draws a value.
func (e *Element) Sample(s *Stream) float64 {
	if f := &kinds[e.Kind]; f.rows != nil {
		return f.rows.sample(s, rows{e.Row})
	}
	return kinds[e.Kind].sample(s, argsOf(&e.Args))
}
