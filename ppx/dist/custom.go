package dist

import (
	"errors"
	"math"
)

// A custom distribution is the simulator's own: log_prob is the log density of the value that it comes with, as the simulator has computed it, and parameters
// are what it likes to have recorded. The simulator alone draws from it.
var (
	customFamily         = family{name: "Custom", params: customParams, rows: &customRows}
	discreteCustomFamily = family{name: "DiscreteCustom", params: customParams, discrete: true, rows: &customRows}
)

var customParams = []param{{"log_prob", 0}, {"parameters", 1}}

// ErrOwn says that only the simulator can draw from a distribution.
var ErrOwn = errors.New("a custom distribution, from which the simulator alone can draw: this method would have to")

var customRows = rowFamily{
	empty: true,
	check: func(p rows) (int, int, string) {
		if v := p[0][0]; v != v || math.IsInf(v, 1) {
			return 0, 0, "must be a log density: a number, or −Inf"
		}
		return 0, 0, ""
	},
	logProb: func(_ []float64, p rows) float64 { return p[0][0] },
	sample:  func(_ *Stream, _ rows, x []float64) { x[0] = math.NaN() }, // see Dist.Sample
	support: func(_ rows, lo, hi []float64) { lo[0], hi[0] = math.Inf(-1), math.Inf(1) },
	moments: func(_ rows, mean, variance []float64) { mean[0], variance[0] = math.NaN(), math.NaN() },
	sizes:   func(total, _ int, _ []float64) ([MaxArgs]int, bool) { return [MaxArgs]int{1, total - 1}, true },
}
