package dist

import (
	"fmt"
	"math"
	"strings"
)

// A mixture draws from one of its components, which are scalar families: families are their kinds, as numbers, probs their probabilities, which need not be
// normalised, and parameters those of one component after the other. A Mixture's components have densities, a DiscreteMixture's are counts: they share a measure.
var (
	mixtureFamily         = family{name: "Mixture", params: mixtureParams}
	discreteMixtureFamily = family{name: "DiscreteMixture", params: mixtureParams, discrete: true}
)

var mixtureParams = []param{{"families", 1}, {"probs", 1}, {"parameters", 1}}

// components calls f with each component's number, family and parameters; the parameters are checked.
func components(p rows, f func(j int, c *family, a args)) {
	at := 0
	for j, k := range p[0] {
		c := &kinds[Kind(k)]
		var x [MaxArgs]float64
		at += copy(x[:len(c.params)], p[2][at:])
		f(j, c, argsOf(&x))
	}
}

// mixes tells that a family may be a component.
func mixes(k float64, discrete bool) bool {
	if !(k > 0 && k < float64(NumKinds)) || !isInteger(k) {
		return false
	}
	f := &kinds[Kind(k)]
	return f.logProb != nil && f.discrete == discrete && Kind(k) != Factor
}

func mixtureRows(discrete bool) rowFamily {
	return rowFamily{
		check:   func(p rows) (int, int, string) { return checkMixture(p, discrete) },
		logProb: mixtureLogProb,
		sample: func(s *Stream, p rows, x []float64) {
			pick := int(sampleRow(s, p[1]))
			components(p, func(j int, c *family, a args) {
				if j == pick {
					x[0] = c.sample(s, a)
				}
			})
		},
		support: func(p rows, lo, hi []float64) {
			lo[0], hi[0] = math.Inf(1), math.Inf(-1)
			components(p, func(j int, c *family, a args) {
				if p[1][j] > 0 {
					l, h := c.support(a)
					lo[0], hi[0] = math.Min(lo[0], l), math.Max(hi[0], h)
				}
			})
		},
		moments: func(p rows, mean, variance []float64) {
			means, within := make([]float64, len(p[0])), make([]float64, len(p[0]))
			components(p, func(j int, c *family, a args) { means[j], within[j] = c.mean(a), c.variance(a) })
			mean[0], variance[0] = mixedMoments(p[1], func(j int) float64 { return means[j] }, func(j int) float64 { return within[j] })
		},
		place: placeOfMixture,
		coarse: func(p rows) (coarse bool) {
			components(p, func(_ int, c *family, a args) { coarse = coarse || c.coarse != nil && c.coarse(a) })
			return coarse
		},
		widen: func(p rows, room []float64) (rows, []float64) {
			room = widenRow(p[1], room)
			return rows{p[0], room, p[2]}, room
		},
		sizes: func(total, _ int, flat []float64) (sizes [MaxArgs]int, ok bool) {
			params := 0
			for k, f := range flat { // every further component makes it longer: only one number of them fits
				if 2*k+params >= total || !mixes(f, discrete) {
					break
				}
				if params += len(kinds[Kind(f)].params); 2*(k+1)+params == total {
					return [MaxArgs]int{k + 1, k + 1, params}, true
				}
			}
			return sizes, false
		},
	}
}

func checkMixture(p rows, discrete bool) (param, at int, reason string) {
	want := 0
	for j, k := range p[0] {
		if !mixes(k, discrete) {
			what := "a family of real numbers"
			if discrete {
				what = "a family of integers"
			}
			return 0, j, "is not the number of " + what + ": components of a mixture share a measure, and have numbers for parameters"
		}
		want += len(kinds[Kind(k)].params)
	}
	switch {
	case len(p[1]) != len(p[0]):
		return 1, 0, "begins a row that has not as many numbers as there are components"
	case len(p[2]) != want:
		return 2, 0, fmt.Sprintf("begins a row of %d numbers, the components have %d", len(p[2]), want)
	}
	if param, at, reason = checkWeights(p[1], 1); reason != "" {
		return param, at, reason
	}
	from := 0
	components(p, func(j int, c *family, a args) {
		if k, r := c.check(a); r != "" && reason == "" {
			param, at, reason = 2, from+k, fmt.Sprintf("is the %s of component %d, %s: it %s", c.params[k].name, j, c.name, r)
		}
		from += len(c.params)
	})
	return param, at, reason
}

func mixtureLogProb(x []float64, p rows) float64 {
	total := rowSum(p[1])
	most, sum := math.Inf(-1), 0.0
	components(p, func(j int, c *family, a args) {
		if p[1][j] == 0 {
			return
		}
		// log Σ e^lp, of terms as they come
		switch lp := math.Log(p[1][j]/total) + c.logProb(x[0], a); {
		case math.IsInf(lp, -1):
		case lp > most:
			sum = sum*math.Exp(most-lp) + 1
			most = lp
		case math.IsInf(lp, 1): // also most
			sum++
		default:
			sum += math.Exp(lp - most)
		}
	})
	if sum == 0 {
		return most
	}
	return most + math.Log(sum)
}

// placeOfMixture is about where it is, by where its components are and how they spread.
func placeOfMixture(p rows) (mean, spread float64) {
	n := len(p[0])
	centre, within := make([]float64, n), make([]float64, n)
	components(p, func(j int, c *family, a args) {
		centre[j] = c.mean(a)
		if c.spread != nil {
			within[j] = c.spread(a)
		} else {
			within[j] = math.Sqrt(c.variance(a))
		}
		if !(math.Abs(centre[j]) < math.MaxFloat64) { // it has no mean
			lo, hi := c.support(a)
			switch {
			case !math.IsInf(lo, 0):
				centre[j] = lo
			case !math.IsInf(hi, 0):
				centre[j] = hi
			default: // a Cauchy's or a StudentT's location
				centre[j] = a.a
				if c.name == kinds[StudentT].name {
					centre[j] = a.b
				}
			}
		}
	})
	mean, v := mixedMoments(p[1], func(j int) float64 { return centre[j] }, func(j int) float64 { return within[j] * within[j] })
	return mean, math.Sqrt(v)
}

// mixture shows a mixture by its components: of one draw, and of not too many; else "".
func (d *Dist) mixture() string {
	if d.Kind != Mixture && d.Kind != DiscreteMixture || len(d.Params) != 3 || len(d.Params[0].Data) > 8 {
		return ""
	}
	if n, err := d.Draws(); err != nil || n != 1 || d.Check() != nil {
		return ""
	}
	var b strings.Builder
	p := d.row(0)
	total := rowSum(p[1])
	components(p, func(j int, c *family, a args) {
		one := Dist{Kind: Kind(p[0][j])}
		for i := range c.params {
			one.Params = append(one.Params, Scalar(a.at(i)))
		}
		separator := ", "
		if j == 0 {
			separator = "("
		}
		fmt.Fprintf(&b, "%s%.4g %s", separator, p[1][j]/total, one)
	})
	return b.String() + ")"
}
