package dist

import (
	"fmt"
	"math"
)

// Kind names a distribution family by its number on the wire.
type Kind uint8

// The kinds, in the order of the protocol's union; None is a statement without distribution.
const (
	None Kind = iota
	Normal
	Uniform
	Categorical
	Poisson
	Bernoulli
	Beta
	Exponential
	Gamma
	LogNormal
	Binomial
	Weibull
	NumKinds // one more than the largest kind
)

// family is a row of the table of kinds: everything the engine knows of one distribution. The functions
// work on one element with checked parameters a and b (b is unused by one-parameter families).
type family struct {
	name     string
	params   []string // as in the schema, also the order on the wire
	discrete bool
	// check returns the index of the parameter at fault and what is wrong with it ("" when all is well).
	check    func(a, b float64) (param int, reason string)
	logProb  func(x, a, b float64) float64
	sample   func(s *Stream, a, b float64) float64
	support  func(a, b float64) (lo, hi float64)
	mean     func(a, b float64) float64
	variance func(a, b float64) float64
	// coarse tells that doubles are too coarse for densities to stand for probabilities (see Dist.Coarse).
	coarse func(a, b float64) bool
}

// The table of kinds. Categorical has a row of probabilities per element: its functions stand in
// categorical.go, and its element functions here are nil.
var kinds = [NumKinds]family{
	None:        {name: "None"},
	Normal:      normalFamily,
	Uniform:     uniformFamily,
	Categorical: {name: "Categorical", params: []string{"probs"}, discrete: true},
	Poisson:     poissonFamily,
	Bernoulli:   bernoulliFamily,
	Beta:        betaFamily,
	Exponential: exponentialFamily,
	Gamma:       gammaFamily,
	LogNormal:   logNormalFamily,
	Binomial:    binomialFamily,
	Weibull:     weibullFamily,
}

// Valid tells whether k is a kind of the protocol (None included).
func (k Kind) Valid() bool { return k < NumKinds }

// String is the family's name in the schema: Normal, Uniform, ….
func (k Kind) String() string {
	if !k.Valid() {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kinds[k].name
}

// Params are the names of the parameters in wire order.
func (k Kind) Params() []string { return kinds[k].params }

// Discrete tells whether the values are integers.
func (k Kind) Discrete() bool { return kinds[k].discrete }

// KindByName is the inverse of String.
func KindByName(name string) (Kind, bool) {
	for k := Normal; k < NumKinds; k++ {
		if kinds[k].name == name {
			return k, true
		}
	}
	return None, false
}

// The checks that the families share.

func checkFinite(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "must be finite"
	}
	return ""
}

func checkPositive(v float64) string {
	if !(v > 0) || math.IsInf(v, 0) {
		return "must be positive and finite"
	}
	return ""
}

func checkProbability(v float64) string {
	if !(v >= 0 && v <= 1) {
		return "must lie in [0, 1]"
	}
	return ""
}

// check2 applies one check per parameter.
func check2(first, second func(float64) string) func(a, b float64) (int, string) {
	return func(a, b float64) (int, string) {
		if r := first(a); r != "" {
			return 0, r
		}
		return 1, second(b)
	}
}

func check1(first func(float64) string) func(a, b float64) (int, string) {
	return func(a, _ float64) (int, string) { return 0, first(a) }
}

func realLine(_, _ float64) (lo, hi float64)     { return math.Inf(-1), math.Inf(1) }
func positiveHalf(_, _ float64) (lo, hi float64) { return 0, math.Inf(1) }
func unitInterval(_, _ float64) (lo, hi float64) { return 0, 1 }
func clamp(v, lo, hi float64) float64            { return math.Min(math.Max(v, lo), hi) }
func isInteger(x float64) bool                   { return x == math.Floor(x) && !math.IsInf(x, 0) }

// Smallest and largest values that samplers return where the exact one would round to an end of the
// support, at which the density may be infinite.
const (
	tiny     = 0x1p-1022
	belowOne = 1 - 0x1p-53
)
