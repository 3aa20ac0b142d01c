package posterior

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Disagree is the number of joint standard errors from which on two results do not agree, NoAnswer from which on neither can be believed.
const (
	Disagree = 3.0
	NoAnswer = 5.0
)

// Difference is the largest one between two results for the same data.
type Difference struct {
	// Z is that in joint standard errors of one comparison: what many comparisons, and errors that few islands tell, make likely is taken off.
	Z       float64
	Where   string // evidence, or a variable
	Text    string
	Figures int
}

// Disagreement compares evidences, means and presences of two results that share no draws.
func Disagreement(a, b *Summary) Difference {
	type figure struct {
		where, text string
		p           float64
	}
	var figures []figure
	dof := math.Inf(1) // of errors
	for _, s := range []*Summary{a, b} {
		if s.Islands != nil {
			dof = math.Min(dof, float64(len(s.Islands.totals)-1))
		}
	}
	compare := func(where, what string, x, y, se float64) {
		if math.IsNaN(x) || math.IsNaN(y) || !(se > 0) || math.IsInf(se, 0) {
			return
		}
		z := math.Abs(x-y) / se
		p := 2 * distuv.UnitNormal.Survival(z)
		if !math.IsInf(dof, 1) {
			p = 2 * distuv.StudentsT{Mu: 0, Sigma: 1, Nu: dof}.Survival(z)
		}
		figures = append(figures, figure{where, fmt.Sprintf("%s %.4g and %.4g", what, x, y), p})
	}
	if a.Chained == nil && b.Chained == nil {
		compare("evidence", "the log evidence is", a.Weights.LogEvidence(), b.Weights.LogEvidence(), math.Hypot(a.LogEvidenceSE(), b.LogEvidenceSE()))
	}
	others := map[string]*Variable{}
	list := b.Variables()
	for i := range list {
		others[list[i].Name] = &list[i]
	}
	essA, essB := a.ESS(), b.ESS()
	mine := a.Variables()
	seen := map[string]bool{}
	presence := func(name string, p, q float64) {
		mean := (p + q) / 2
		if mean > 1e-12 && mean < 1-1e-12 {
			compare(name, fmt.Sprintf("the probability that there is a %s is", name), p, q, math.Sqrt(mean*(1-mean)*(1/math.Max(essA, 1)+1/math.Max(essB, 1))))
		}
	}
	for i := range mine {
		v := &mine[i]
		seen[v.Name] = true
		w := others[v.Name]
		if w == nil {
			presence(v.Name, v.Present, 0)
			continue
		}
		presence(v.Name, v.Present, w.Present)
		if v.ESS >= noESS && w.ESS >= noESS {
			compare(v.Name, fmt.Sprintf("the mean of %s is", v.Name), v.Mean, w.Mean, math.Hypot(v.MeanSE, w.MeanSE))
		}
	}
	for name, w := range others {
		if !seen[name] {
			presence(name, 0, w.Present)
		}
	}
	d := Difference{Figures: len(figures)}
	least := 1.0
	for _, f := range figures {
		if f.p < least {
			least, d.Where, d.Text = f.p, f.where, f.text
		}
	}
	// Šidák's bound, as a deviation of one normal comparison.
	p := -math.Expm1(float64(len(figures)) * math.Log1p(-least))
	switch {
	case least == 0:
		d.Z = 40
	case p < 1:
		d.Z = -distuv.UnitNormal.Quantile(p / 2)
	}
	return d
}
