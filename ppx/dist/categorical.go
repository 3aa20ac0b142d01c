package dist

import (
	"math"
	"strconv"
)

// A Categorical has one row of probabilities per element: probs of shape [..., k] give values of shape
// [...] in {0, …, k−1}. Rows need not be normalised.
var categoricalFamily = family{
	name:     "Categorical",
	params:   []param{{"probs", 1}},
	discrete: true,
	rows: &rowFamily{
		check: func(p rows) (int, int, string) { return checkWeights(p[0], 0) },
		logProb: func(x []float64, p rows) float64 {
			if x[0] < 0 || x[0] >= float64(len(p[0])) || !isInteger(x[0]) {
				return math.Inf(-1)
			}
			return math.Log(p[0][int(x[0])] / rowSum(p[0]))
		},
		sample:  func(s *Stream, p rows, x []float64) { x[0] = sampleRow(s, p[0]) },
		support: func(p rows, lo, hi []float64) { lo[0], hi[0] = 0, float64(len(p[0])-1) },
		moments: func(p rows, mean, variance []float64) {
			mean[0], variance[0] = rowMoments(p[0], func(j int) float64 { return float64(j) })
		},
		// The categories that have a chance are equally likely.
		widen: func(p rows, room []float64) (rows, []float64) {
			room = widenRow(p[0], room)
			return rows{room}, room
		},
		carry: func(x []float64, from, to rows, u *Stream, out []float64) { out[0] = carryRow(x[0], from[0], to[0], u) },
		label: func(p rows) string { return "(len_probs:" + strconv.Itoa(len(p[0])) + ")" },
		sizes: func(total, _ int, _ []float64) ([MaxArgs]int, bool) { return [MaxArgs]int{total}, true },
	},
}

// rowSum is the sum of a row's probabilities, which Check knows to be positive and finite.
func rowSum(row []float64) float64 {
	sum := 0.0
	for _, p := range row {
		sum += p
	}
	return sum
}

// sampleRow inverts the row's cumulative sum.
func sampleRow(s *Stream, row []float64) float64 {
	t := s.Float64() * rowSum(row)
	cum, pick := 0.0, 0
	for j, p := range row {
		if p == 0 {
			continue
		}
		pick = j // the last category with mass catches rounding at the end
		if cum += p; t < cum {
			break
		}
	}
	return float64(pick)
}
