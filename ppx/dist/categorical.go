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
		check: func(p rows) (int, int, string) {
			for j, v := range p[0] {
				if !(v >= 0) || math.IsInf(v, 0) {
					return 0, j, "must be finite and not negative"
				}
			}
			if sum := rowSum(p[0]); !(sum > 0) || math.IsInf(sum, 0) {
				return 0, 0, "begins a row whose sum is not positive and finite"
			}
			return 0, 0, ""
		},
		logProb: func(x float64, p rows) float64 {
			if x < 0 || x >= float64(len(p[0])) || !isInteger(x) {
				return math.Inf(-1)
			}
			return math.Log(p[0][int(x)] / rowSum(p[0]))
		},
		sample:  func(s *Stream, p rows) float64 { return sampleRow(s, p[0]) },
		support: func(p rows) (lo, hi float64) { return 0, float64(len(p[0]) - 1) },
		moments: func(p rows) (mean, variance float64) {
			sum := rowSum(p[0])
			for j, q := range p[0] {
				mean += float64(j) * q / sum
			}
			for j, q := range p[0] {
				variance += (float64(j) - mean) * (float64(j) - mean) * q / sum
			}
			return mean, variance
		},
		// The categories that have a chance are equally likely.
		widen: func(p rows, room []float64) []float64 {
			for _, q := range p[0] {
				room = append(room, math.Ceil(math.Min(q, 1)))
			}
			return room
		},
		carry: func(x float64, from, to rows, u *Stream) float64 { return carryRow(x, from[0], to[0], u) },
		label: func(p rows) string { return "(len_probs:" + strconv.Itoa(len(p[0])) + ")" },
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
