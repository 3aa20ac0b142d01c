package dist

import (
	"math"
	"sort"
)

// checkWeights is for a row of weights, which is parameter param.
func checkWeights(row []float64, param int) (int, int, string) {
	for j, v := range row {
		if !(v >= 0) || math.IsInf(v, 0) {
			return param, j, "must be finite and not negative"
		}
	}
	if sum := rowSum(row); !(sum > 0) || math.IsInf(sum, 0) {
		return param, 0, "begins a row whose sum is not positive and finite"
	}
	return 0, 0, ""
}

// checkAscending is for a row of numbers in their order, which is the first parameter.
func checkAscending(row []float64) (int, int, string) {
	for j, v := range row {
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return 0, j, "must be finite"
		case j > 0 && !(v > row[j-1]):
			return 0, j, "must be above the number before it: they are given in their order, each once"
		}
	}
	return 0, 0, ""
}

// widenRow makes all of a row equally likely that have a chance.
func widenRow(row, room []float64) []float64 {
	for _, q := range row {
		room = append(room, math.Ceil(math.Min(q, 1)))
	}
	return room
}

// Empirical is some numbers with weights: values and weights of shape [..., k] give draws of shape [...].
var empiricalFamily = family{
	name:   "Empirical",
	params: []param{{"values", 1}, {"weights", 1}},
	rows: &rowFamily{
		check: func(p rows) (int, int, string) {
			if len(p[0]) != len(p[1]) {
				return 1, 0, "begins a row that is not as long as that of the values"
			}
			if k, at, reason := checkAscending(p[0]); reason != "" {
				return k, at, reason
			}
			return checkWeights(p[1], 1)
		},
		logProb: func(x []float64, p rows) float64 {
			j := sort.SearchFloat64s(p[0], x[0])
			if j == len(p[0]) || p[0][j] != x[0] {
				return math.Inf(-1)
			}
			return math.Log(p[1][j] / rowSum(p[1]))
		},
		sample: func(s *Stream, p rows, x []float64) { x[0] = p[0][int(sampleRow(s, p[1]))] },
		support: func(p rows, lo, hi []float64) {
			lo[0], hi[0] = p[0][0], p[0][len(p[0])-1]
		},
		moments: func(p rows, mean, variance []float64) {
			mean[0], variance[0] = rowMoments(p[1], func(j int) float64 { return p[0][j] })
		},
		widen: func(p rows, room []float64) (rows, []float64) {
			room = widenRow(p[1], room)
			return rows{p[0], room}, room
		},
		carry: func(x []float64, from, to rows, u *Stream, out []float64) {
			j := sort.SearchFloat64s(from[0], x[0])
			if out[0] = math.NaN(); j < len(from[0]) && from[0][j] == x[0] {
				if k := carryRow(float64(j), from[1], to[1], u); k == k {
					out[0] = to[0][int(k)]
				}
			}
		},
		sizes: func(total, _ int, _ []float64) ([MaxArgs]int, bool) {
			return [MaxArgs]int{total / 2, total / 2}, total%2 == 0
		},
	},
}

// rowMoments are those of values with weights.
func rowMoments(weights []float64, value func(j int) float64) (mean, variance float64) {
	sum := rowSum(weights)
	for j, q := range weights {
		mean += value(j) * (q / sum)
	}
	for j, q := range weights {
		d := value(j) - mean
		variance += d * d * (q / sum)
	}
	return mean, variance
}

// mixedMoments are those of a mixture whose parts have such weights, means and variances.
func mixedMoments(weights []float64, mean, variance func(j int) float64) (m, v float64) {
	m, between := rowMoments(weights, mean)
	within, _ := rowMoments(weights, variance)
	return m, between + within
}

// Histogram has constant densities between its edges, in proportion to weights: edges of shape [..., k + 1] and weights [..., k] give draws of shape [...].
var histogramFamily = family{
	name:   "Histogram",
	params: []param{{"edges", 1}, {"weights", 1}},
	rows: &rowFamily{
		check: func(p rows) (int, int, string) {
			if len(p[0]) != len(p[1])+1 {
				return 1, 0, "begins a row that is not one shorter than that of the edges"
			}
			if k, at, reason := checkAscending(p[0]); reason != "" {
				return k, at, reason
			}
			if math.IsInf(p[0][len(p[0])-1]-p[0][0], 0) {
				return 0, 0, "is too far from the last edge"
			}
			return checkWeights(p[1], 1)
		},
		logProb: func(x []float64, p rows) float64 {
			edges := p[0]
			last := len(p[1]) - 1
			if x[0] < edges[0] || x[0] > edges[last+1] {
				return math.Inf(-1)
			}
			j := min(sort.Search(last+1, func(j int) bool { return edges[j+1] > x[0] }), last)
			return math.Log(p[1][j]/rowSum(p[1])) - math.Log(edges[j+1]-edges[j])
		},
		sample: func(s *Stream, p rows, x []float64) {
			j := int(sampleRow(s, p[1]))
			low, high := p[0][j], p[0][j+1]
			x[0] = clamp(low+(high-low)*s.Float64(), low, high)
		},
		support: func(p rows, lo, hi []float64) { lo[0], hi[0] = p[0][0], p[0][len(p[0])-1] },
		moments: func(p rows, mean, variance []float64) {
			e := p[0]
			mean[0], variance[0] = mixedMoments(p[1], func(j int) float64 { return e[j]/2 + e[j+1]/2 },
				func(j int) float64 { return (e[j+1] - e[j]) * (e[j+1] - e[j]) / 12 })
		},
		coarse: func(p rows) bool {
			for j := range p[1] {
				if uniformCoarse(p[0][j], p[0][j+1]) {
					return true
				}
			}
			return false
		},
		// As dense everywhere where it is at all.
		widen: func(p rows, room []float64) (rows, []float64) {
			for j, q := range p[1] {
				width := p[0][j+1] - p[0][j]
				room = append(room, math.Ceil(math.Min(q, 1))*(width/(p[0][len(p[0])-1]-p[0][0])))
			}
			return rows{p[0], room}, room
		},
		carry: func(x []float64, from, to rows, _ *Stream, out []float64) {
			below := 0.0
			sum := rowSum(from[1])
			for j, q := range from[1] {
				low, high := from[0][j], from[0][j+1]
				if x[0] < high || j == len(from[1])-1 {
					below += q / sum * clamp((x[0]-low)/(high-low), 0, 1)
					break
				}
				below += q / sum
			}
			left := below * rowSum(to[1])
			out[0] = to[0][0]
			for j, q := range to[1] {
				if q == 0 {
					continue
				}
				low, high := to[0][j], to[0][j+1]
				if out[0] = low + (high-low)*clamp(left/q, 0, 1); left < q {
					break
				}
				left -= q
			}
		},
		sizes: func(total, _ int, _ []float64) ([MaxArgs]int, bool) {
			return [MaxArgs]int{total/2 + 1, total / 2}, total%2 == 1
		},
	},
}
