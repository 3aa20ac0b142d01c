package tracing

import "math"

// Relative makes log weights relative to the first finite one, which is what weights can be computed from: large constants that all traces
// have cancel, whatever they have cost the digits of LogWeight. The zero value is ready.
type Relative struct {
	ref Sum
	set bool
}

// Of is the log weight of a trace, relative to the first; −Inf for a weight of zero, for one that is no number, and for a failed draw.
func (r *Relative) Of(t *Trace) float64 {
	if t.Status == Failed || t.Bad() {
		return math.Inf(-1)
	}
	return r.Log(t.LogWeight, t.LogWeightRest)
}

// Log is a log weight that is given as two numbers, relative to the first finite one.
func (r *Relative) Log(high, rest float64) float64 {
	if math.IsInf(high, -1) {
		return high
	}
	if !r.set {
		r.ref, r.set = Sum{high, rest}, true
	}
	return high - r.ref.High + (rest - r.ref.Rest)
}

// Absolute is a relative log weight as it was given.
func (r *Relative) Absolute(lw float64) float64 { return r.ref.High + (r.ref.Rest + lw) }
