package posterior

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Lags are those at which a Mixing has autocorrelations.
var Lags = []int{1, 10, 100}

// Mixing is how one variable goes along chains.
type Mixing struct {
	Name string
	ChainFigures
	// Autocorrelation is that of draws so many Lags apart, over all chains; NaN where these are shorter than twice that.
	Autocorrelation []float64
}

// Mixings are those of the log joint density, of the number of statements and of the variables, the smallest bulk effective sample size first. Constants are left
// out.
func (s *Summary) Mixings() (out []Mixing) {
	c := s.Chained
	add := func(name string, q *sequence) {
		if q == nil || q.chains == nil {
			return
		}
		f := c.of(q)
		if math.IsNaN(f.Rhat) && len(c.count) > 1 || f.MCSE == 0 {
			return
		}
		out = append(out, Mixing{name, f, q.autocorrelation()})
	}
	add("(log joint density)", c.joint)
	add("(statements)", c.length)
	for _, a := range s.list() {
		if a.shape == nil {
			add(a.name, a.chains)
		}
	}
	slices.SortStableFunc(out, func(a, b Mixing) int { return cmp.Compare(a.Bulk, b.Bulk) })
	return out
}

// autocorrelation is that at the Lags.
func (q *sequence) autocorrelation() []float64 {
	sum, total := make([]float64, len(Lags)), make([]float64, len(Lags))
	for _, x := range q.chains {
		if x = slices.DeleteFunc(slices.Clone(x), isBad); len(x) < 4 {
			continue
		}
		c := autocovariance(x)
		for i, lag := range Lags {
			if len(x) >= 2*lag {
				sum[i], total[i] = sum[i]+c[lag], total[i]+c[0]
			}
		}
	}
	for i := range sum {
		if total[i] > 0 {
			sum[i] /= total[i]
		} else {
			sum[i] = math.NaN()
		}
	}
	return sum
}

// apart says which chains have values of a variable that the others never come near, "" if there are none: modes that steps do not connect. It is the variable
// with the largest R̂ of those.
func (s *Summary) apart() (variable, text string) {
	c, worst := s.Chained, noRhat
	for _, a := range s.list() {
		if a.chains == nil || a.chains.chains == nil || a.chains.absent || a.q.id.Name == 0 {
			continue
		}
		f := c.of(a.chains)
		if !(f.Rhat > worst) {
			continue
		}
		if t := a.chains.apart(); t != "" {
			variable, text, worst = a.name, t, f.Rhat
		}
	}
	return variable, text
}

// apart is two groups of chains in words, between whose values there is a gap that none is in; "" if there is none.
func (q *sequence) apart() string {
	type span struct {
		chain  int
		lo, hi float64
	}
	var spans []span
	for i, x := range q.chains {
		if len(x) == 0 {
			return ""
		}
		spans = append(spans, span{i + 1, slices.Min(x), slices.Max(x)})
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	at, widest, top := 0, 0.0, math.Inf(-1)
	for i := 1; i < len(spans); i++ {
		top = math.Max(top, spans[i-1].hi)
		if gap := spans[i].lo - top; gap > widest {
			at, widest = i, gap
		}
	}
	if at == 0 {
		return ""
	}
	describe := func(group []span) string {
		var names []string
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, x := range group {
			names = append(names, fmt.Sprint(x.chain))
			lo, hi = math.Min(lo, x.lo), math.Max(hi, x.hi)
		}
		if len(names) > 6 {
			names = append(names[:5], fmt.Sprintf("%d more", len(names)-5))
		}
		noun := "chain"
		if len(group) > 1 {
			noun = "chains"
		}
		return fmt.Sprintf("%s %s within %.4g to %.4g", noun, strings.Join(names, ", "), lo, hi)
	}
	return describe(spans[:at]) + ", " + describe(spans[at:])
}
