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
	// Of extension 3.
	TruncatedNormal
	HalfNormal
	StudentT
	Cauchy
	Laplace
	Logistic
	Pareto
	InverseGamma
	VonMises
	LogUniform
	NegativeBinomial2
	Geometric
	DiscreteUniform
	ZeroInflatedPoisson
	ZeroInflatedNegativeBinomial2
	BetaBinomial
	// Of extension 4.
	Dirichlet
	MultivariateNormal
	MultivariateStudentT
	Multinomial
	Mixture         // of reals
	DiscreteMixture // of integers
	Empirical
	Histogram
	Factor
	Custom // of the simulator's own, with a density
	DiscreteCustom
	NumKinds // one more than the largest kind
)

// MaxArgs is the most numbers that describe one element of a family whose parameters are numbers.
const MaxArgs = 4

// args are those of one element, in the order of the parameters; others are 0. A struct, as Go passes it in registers.
type args struct{ a, b, c, d float64 }

// at is number i of them.
func (p *args) at(i int) float64 {
	switch i {
	case 0:
		return p.a
	case 1:
		return p.b
	case 2:
		return p.c
	}
	return p.d
}

// argsOf are given numbers.
func argsOf(x *[MaxArgs]float64) args { return args{x[0], x[1], x[2], x[3]} }

// param is a parameter: a number for each draw, or, with an event rank of 1, a row of numbers, of 2, a square matrix.
type param struct {
	name  string
	event int
}

// numbers are parameters of event rank 0.
func numbers(names ...string) (out []param) {
	for _, n := range names {
		out = append(out, param{n, 0})
	}
	return out
}

// family is a row of the table of kinds: everything the engine knows of one distribution. The element functions work on one element with
// checked parameters, and are nil where a parameter or a draw is more than a number: then rows has them.
type family struct {
	name     string
	params   []param // as in the schema, also the order on the wire
	discrete bool
	// check returns the index of the parameter at fault and what is wrong with it ("" when all is well).
	check    func(p args) (param int, reason string)
	logProb  func(x float64, p args) float64
	sample   func(s *Stream, p args) float64
	support  func(p args) (lo, hi float64)
	mean     func(p args) float64
	variance func(p args) float64
	// spread is the size of typical differences, for families whose variance may be infinite; nil: the standard deviation.
	spread func(p args) float64
	// logarithmic tells that it is ratios of values that matter, not differences.
	logarithmic bool
	// coarse tells that doubles are too coarse for densities to stand for probabilities (see Dist.Coarse); nil: they never are.
	coarse func(p args) bool
	// widen is the wider distribution with the same support that prior inflation draws from; false: p itself (see Widened). nil: always.
	widen func(p args) (wide, bool)
	// sums tells that a sample is a sum of its parameters and more, which may cancel: it is rounded relative to the largest of them.
	sums bool
	// carry is the value of one element that has, with the parameters to, the noise that x has with the parameters from (see Dist.Carry); nil: there is no telling.
	carry func(x float64, from, to args, u *Stream) float64
	rows  *rowFamily
}

// rows are the parameters of one draw, in their order, each a row of numbers; others are nil.
type rows = [MaxArgs][]float64

// rowFamily is the functions of a family of which a parameter is a row of numbers, for one draw. A draw x is a number, a row of one, or itself a row.
type rowFamily struct {
	empty  bool // rows may have no numbers
	vector bool // a draw is a row, as long as that of
	like   int  // this parameter
	// check returns the parameter at fault, the index in its row, and what is wrong.
	check   func(p rows) (param, at int, reason string)
	logProb func(x []float64, p rows) float64
	sample  func(s *Stream, p rows, x []float64)
	support func(p rows, lo, hi []float64)
	moments func(p rows, mean, variance []float64)
	place   func(p rows) (centre, spread float64) // of a number that may have no variance; nil: mean and standard deviation
	coarse  func(p rows) bool                     // as family's
	// widen is the parameters of the wider distribution, in room; nil: there is none.
	widen func(p rows, room []float64) (wide rows, used []float64)
	// label is what an address says of the sizes of the rows: a site whose size changes is another address; nil: nothing.
	label func(p rows) string
	carry func(x []float64, from, to rows, u *Stream, out []float64) // as family's; NaN: there is no telling
	// sizes tells how long the rows are of a draw whose parameters are total numbers, of which flat begins with the first parameter's; false: none are.
	sizes func(total, event int, flat []float64) (sizes [MaxArgs]int, ok bool)
	parts *partition // of a vector
}

// The table of kinds.
var kinds = [NumKinds]family{
	None:        {name: "None"},
	Normal:      normalFamily,
	Uniform:     uniformFamily,
	Categorical: categoricalFamily,
	Poisson:     poissonFamily,
	Bernoulli:   bernoulliFamily,
	Beta:        betaFamily,
	Exponential: exponentialFamily,
	Gamma:       gammaFamily,
	LogNormal:   logNormalFamily,
	Binomial:    binomialFamily,
	Weibull:     weibullFamily,

	TruncatedNormal:               truncatedNormalFamily,
	HalfNormal:                    halfNormalFamily,
	StudentT:                      studentTFamily,
	Cauchy:                        cauchyFamily,
	Laplace:                       laplaceFamily,
	Logistic:                      logisticFamily,
	Pareto:                        paretoFamily,
	InverseGamma:                  inverseGammaFamily,
	VonMises:                      vonMisesFamily,
	LogUniform:                    logUniformFamily,
	NegativeBinomial2:             negativeBinomialFamily,
	Geometric:                     geometricFamily,
	DiscreteUniform:               discreteUniformFamily,
	ZeroInflatedPoisson:           zeroInflatedPoissonFamily,
	ZeroInflatedNegativeBinomial2: zeroInflatedNegativeBinomialFamily,
	BetaBinomial:                  betaBinomialFamily,

	Dirichlet:            dirichletFamily,
	MultivariateNormal:   multivariateNormalFamily,
	MultivariateStudentT: multivariateStudentTFamily,
	Multinomial:          multinomialFamily,
	Mixture:              mixtureFamily,
	DiscreteMixture:      discreteMixtureFamily,
	Empirical:            empiricalFamily,
	Histogram:            histogramFamily,
	Factor:               factorFamily,
	Custom:               customFamily,
	DiscreteCustom:       discreteCustomFamily,
}

func init() { // the table of kinds, which mixtures look into, may not be its own initialiser's
	for _, k := range []Kind{Mixture, DiscreteMixture} {
		f := mixtureRows(k == DiscreteMixture)
		kinds[k].rows = &f
	}
}

// paramNames are the names in the table.
var paramNames = func() (out [NumKinds][]string) {
	for k := range kinds {
		for _, p := range kinds[k].params {
			out[k] = append(out[k], p.name)
		}
	}
	return out
}()

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
func (k Kind) Params() []string { return paramNames[k] }

// Extension is the extension of PPX that has a kind: 0, that is PPX 1.0, for eleven families, else 3 or 4.
func (k Kind) Extension() int {
	switch {
	case k <= Weibull:
		return 0
	case k <= BetaBinomial:
		return 3
	}
	return 4
}

// Own tells that a distribution is the simulator's own: it draws by itself, and says what the density of the value is, which nobody can check.
func (k Kind) Own() bool { return k == Custom || k == DiscreteCustom }

// Vector tells that a draw is a row of numbers: the last dimension of a value is that of a draw.
func (k Kind) Vector() bool { return kinds[k].rows != nil && kinds[k].rows.vector }

// Logarithmic tells whether it is ratios of the values that matter, not differences.
func (k Kind) Logarithmic() bool { return kinds[k].logarithmic }

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

func checkNotNegative(v float64) string {
	if !(v >= 0) || math.IsInf(v, 0) {
		return "must be finite and not negative"
	}
	return ""
}

func checkCount(n float64) string {
	if !(n >= 0) || n > maxCount || !isInteger(n) {
		return "must be a whole number from 0 to 2^53"
	}
	return ""
}

func checkProbability(v float64) string {
	if !(v >= 0 && v <= 1) {
		return "must lie in [0, 1]"
	}
	return ""
}

// checks applies one check per parameter.
func checks(each ...func(float64) string) func(p args) (int, string) {
	if len(each) == 2 { // most, and done for every statement
		first, second := each[0], each[1]
		return func(p args) (int, string) {
			if r := first(p.a); r != "" {
				return 0, r
			}
			return 1, second(p.b)
		}
	}
	return func(p args) (int, string) {
		for i, check := range each {
			if r := check(p.at(i)); r != "" {
				return i, r
			}
		}
		return 0, ""
	}
}

func realLine(args) (lo, hi float64)     { return math.Inf(-1), math.Inf(1) }
func positiveHalf(args) (lo, hi float64) { return 0, math.Inf(1) }
func unitInterval(args) (lo, hi float64) { return 0, 1 }
func clamp(v, lo, hi float64) float64    { return math.Min(math.Max(v, lo), hi) }
func isInteger(x float64) bool           { return x == math.Floor(x) && !math.IsInf(x, 0) }

// Smallest and largest values that samplers return where the exact one would round to an end of the
// support, at which the density may be infinite.
const (
	tiny     = 0x1p-1022
	belowOne = 1 - 0x1p-53
)
