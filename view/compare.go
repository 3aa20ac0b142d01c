package view

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Comparison is what "compare" prints: every run against the first.
type Comparison struct {
	Schema    int                `json:"schema"`
	Runs      []ComparedRun      `json:"runs"`
	Variables []ComparedVariable `json:"variables"`
	Powers    []Powers           `json:"powers,omitempty"`        // of each run
	LeftOut   []LeaveOneOut      `json:"leave_one_out,omitempty"` // of each run
	C2ST      []C2ST             `json:"c2st,omitempty"`          // of the first run and each other

	results []*Posterior
}

// ComparedRun is a run beside the first.
type ComparedRun struct {
	Run                  string            `json:"run"`
	Model                string            `json:"model"`
	Method               string            `json:"method"`
	Traces               uint64            `json:"traces"`
	ESS                  Number            `json:"ess"`
	Verdict              posterior.Verdict `json:"verdict"`
	LogEvidence          Number            `json:"log_evidence"`
	LogEvidenceSE        Number            `json:"log_evidence_se"`
	LikelihoodImportance Number            `json:"likelihood_importance"`
	// LogBayesFactor is that of the first run's model over this one's, null where NoBayesFactor says why there is none.
	LogBayesFactor   Number `json:"log_bayes_factor"`
	LogBayesFactorSE Number `json:"log_bayes_factor_se"`
	NoBayesFactor    string `json:"no_bayes_factor,omitempty"`
}

// ComparedVariable is a variable in all runs; null where one lacks it.
type ComparedVariable struct {
	Name string         `json:"name"`
	Runs []ComparedMean `json:"runs"`
}

// ComparedMean is a variable in one run.
type ComparedMean struct {
	Present Number `json:"present"`
	Mean    Number `json:"mean"`
	MeanSE  Number `json:"mean_se"`
	SD      Number `json:"sd"`
	// Distance is the Wasserstein distance from the first run, in units of the sd of both together; Noise what chance makes of it.
	Distance Number `json:"distance"`
	Noise    Number `json:"noise"`
	Differs  bool   `json:"differs"`
}

// NewComparison compares runs with the first.
func NewComparison(runs []*jobs.Outcome) *Comparison {
	out := &Comparison{Schema: Schema}
	var names []string
	for i, o := range runs {
		p := NewPosterior(o)
		out.results = append(out.results, p)
		r := ComparedRun{Run: p.Run, Model: p.Model, Method: p.Method, Traces: p.Traces, ESS: p.ESS, Verdict: p.Trust.Verdict, LogEvidence: p.LogEvidence,
			LogEvidenceSE: p.LogEvidenceSE, LikelihoodImportance: p.LikelihoodImportance, LogBayesFactor: Number(math.NaN()), LogBayesFactorSE: Number(math.NaN())}
		if i > 0 {
			if r.NoBayesFactor = noBayesFactor(runs[0], o, out.results[0], p); r.NoBayesFactor == "" {
				r.LogBayesFactor = out.results[0].LogEvidence - p.LogEvidence
				r.LogBayesFactorSE = Number(math.Hypot(float64(out.results[0].LogEvidenceSE), float64(p.LogEvidenceSE)))
			}
		}
		out.Runs = append(out.Runs, r)
		for _, v := range p.Variables {
			if v.Kind != posterior.TensorKind && !slices.Contains(names, v.Name) {
				names = append(names, v.Name)
			}
		}
	}
	nan := Number(math.NaN())
	for _, name := range names {
		v := ComparedVariable{Name: name}
		for i, p := range out.results {
			m := ComparedMean{Present: 0, Mean: nan, MeanSE: nan, SD: nan, Distance: nan, Noise: nan}
			if x := p.Variable(name); x != nil {
				m.Present, m.Mean, m.MeanSE, m.SD = x.Present, x.Mean, x.MeanSE, x.SD
			}
			if d, ok := out.results[0].Sum.Distance(p.Sum, name); i > 0 && ok {
				m.Distance, m.Noise, m.Differs = Number(d.Wasserstein), Number(d.Noise), d.Differs()
			}
			v.Runs = append(v.Runs, m)
		}
		out.Variables = append(out.Variables, v)
	}
	return out
}

// noBayesFactor says why the evidences of two runs are not to be compared: both must score the same data, in all of their traces.
func noBayesFactor(a, b *jobs.Outcome, x, y *Posterior) string {
	for _, r := range []struct {
		o *jobs.Outcome
		p *Posterior
	}{{a, x}, {b, y}} {
		m := r.o.Manifest
		switch {
		case m.Chains != nil:
			return fmt.Sprintf("%s is of chains, which have no evidence", r.o.Dir)
		case m.Particles != nil && m.Particles.Score != "":
			return fmt.Sprintf("%s is of a rare event: its evidence is of that as well", r.o.Dir)
		case !m.Conditioned:
			return fmt.Sprintf("%s is of the prior", r.o.Dir)
		case r.p.LikelihoodImportance != 1:
			return fmt.Sprintf("the likelihood of %s has the exponent %g", r.o.Dir, float64(r.p.LikelihoodImportance))
		case m.LeftOut > 0:
			return fmt.Sprintf("%s is restricted to some of its draws (%s): its evidence is of that as well", r.o.Dir, m.Lineage.Words())
		case r.p.Trust.Verdict == posterior.None:
			return fmt.Sprintf("the result of %s cannot be trusted", r.o.Dir)
		case len(r.o.Names.Unused()) > 0:
			return fmt.Sprintf("no trace of %s used the data for %s", r.o.Dir, ppx.List(r.o.Names.Unused(), 5))
		case len(r.o.Names.Partly()) > 0:
			return fmt.Sprintf("only some traces of %s used the data for %s", r.o.Dir, ppx.Quote(r.o.Names.Partly()[0].Name))
		}
	}
	p, err1 := a.Manifest.Tensors(a.Dir)
	q, err2 := b.Manifest.Tensors(b.Dir)
	if err1 != nil || err2 != nil {
		return "the data cannot be read"
	}
	for name, v := range p {
		if w, ok := q[name]; !ok || !v.Same(w) {
			return "their data for " + ppx.Quote(name) + " differ"
		}
	}
	for name := range q {
		if _, ok := p[name]; !ok {
			return "their data for " + ppx.Quote(name) + " differ"
		}
	}
	if name := a.Scored.Differs(b.Scored); name != "" {
		return "only one of them is scored against " + ppx.Quote(name) + ", or against another value"
	}
	if m, n := a.Manifest, b.Manifest; m.Model == n.Model && m.Seed == n.Seed && m.Method == n.Method && m.Network == nil && slices.Equal(m.Command, n.Command) {
		return "they are made of the same draws: give one of them another --seed"
	}
	if len(p) == 0 {
		return "no data are given: the simulator has its own"
	}
	return ""
}

// Text writes the runs and the table.
func (c *Comparison) Text(w io.Writer) {
	s := Styled(w)
	var models []string
	for i, r := range c.Runs {
		p := c.results[i]
		fmt.Fprintf(w, "%s %s: %s of %s, %s traces", s.Bold(fmt.Sprintf("(%d)", i+1)), ppx.Printable(r.Run), r.Method, ppx.Printable(r.Model), text.Thousands(r.Traces))
		if p.Conditioned {
			fmt.Fprint(w, ", ", strings.ReplaceAll(p.Figures(), "   ", ", "))
		}
		fmt.Fprintln(w)
		for _, line := range p.Judgement() {
			fmt.Fprintln(w, "    "+line)
		}
		if !slices.Contains(models, r.Model) {
			models = append(models, r.Model)
		}
		if i == 0 || !p.Conditioned || !c.results[0].Conditioned {
			continue
		}
		if r.NoBayesFactor != "" {
			fmt.Fprintf(w, "    no Bayes factor: %s\n", ppx.Printable(r.NoBayesFactor))
		} else {
			doubt := ""
			if r.Verdict == posterior.Doubtful || c.Runs[0].Verdict == posterior.Doubtful {
				doubt = " (of results that are doubtful: its error may be too small)"
			}
			what := fmt.Sprintf("log Bayes factor of (1) over (%d)", i+1)
			if r.Model == c.Runs[0].Model { // two ways to one result, most probably
				what = fmt.Sprintf("log evidence of (1) less that of (%d), a log Bayes factor if their models differ", i+1)
			}
			fmt.Fprintf(w, "    %s: %s%s\n", what, WithError(float64(r.LogBayesFactor), float64(r.LogBayesFactorSE)), doubt)
		}
	}
	if len(models) > 1 {
		fmt.Fprintln(w, "different models: variables are compared by their names")
	}
	fmt.Fprintln(w)
	t := &Table{Header: []string{"variable"}}
	for i := range c.Runs {
		t.Header = append(t.Header, fmt.Sprintf(">mean (%d)", i+1), fmt.Sprintf(">sd (%d)", i+1))
		if i > 0 {
			t.Header = append(t.Header, ">apart", ">noise", "")
		}
	}
	partly := false
	for i, v := range c.Variables {
		if i == maxListed {
			break
		}
		row := []string{text.Clip(v.Name, 40)}
		for k, m := range v.Runs {
			mean := WithError(float64(m.Mean), float64(m.MeanSE))
			if m.Present < 0.99995 && m.Present > 0 {
				partly = true
				mean = fmt.Sprintf("%s (%.0f %%)", mean, 100*float64(m.Present))
			}
			row = append(row, mean, Figure(float64(m.SD)))
			if k > 0 {
				mark := ""
				if m.Differs {
					mark = "differs"
				}
				row = append(row, Figure(digits2(float64(m.Distance))), Figure(digits2(float64(m.Noise))), mark)
			}
		}
		t.Add(row...)
	}
	t.Print(w)
	if len(c.Runs) > 1 {
		fmt.Fprintln(w, "\napart: Wasserstein distance from (1), in standard deviations; noise: what chance makes of it. It differs above three times the noise.")
		c.agree(w)
	}
	if partly {
		fmt.Fprintln(w, "(%): the share of traces that have the variable.")
	}
	c.judged(w, s)
}

// agree says in a sentence for each run what the table has.
func (c *Comparison) agree(w io.Writer) {
	for k := 1; k < len(c.Runs); k++ {
		var differ []string
		compared, coarse := 0, 0.0
		for _, v := range c.Variables {
			m := v.Runs[k]
			if math.IsNaN(float64(m.Distance)) || math.IsNaN(float64(m.Noise)) {
				continue
			}
			compared++
			coarse = math.Max(coarse, 3*float64(m.Noise))
			if m.Differs {
				differ = append(differ, v.Name)
			}
		}
		switch {
		case compared == 0:
			fmt.Fprintf(w, "(1) and (%d) have no variable that could be compared.\n", k+1)
		case len(differ) > 0:
			fmt.Fprintf(w, "(1) and (%d) differ in %d of %d variables: %s.\n", k+1, len(differ), compared, ppx.List(differ, 5))
		default:
			fmt.Fprintf(w, "(1) and (%d) differ in none of %d variables; differences below %s standard deviations would not be seen in all of them.\n", k+1, compared, Figure(digits2(coarse)))
		}
	}
}

// digits2 keeps two digits, digits3 three.
func digits2(v float64) float64 { return digits(v, 2) }
func digits3(v float64) float64 { return digits(v, 3) }

func digits(v float64, n int) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	scale := math.Pow(10, float64(n-1)-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
