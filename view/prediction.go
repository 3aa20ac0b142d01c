package view

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Prediction is what "predict" prints.
type Prediction struct {
	Schema     int               `json:"schema"`
	Run        string            `json:"run"`    // of the replicates
	Parent     string            `json:"parent"` // whose latents and data they are
	Kind       string            `json:"kind"`   // posterior, prior, or left-out
	LeftOut    []string          `json:"left_out"`
	Replicates int               `json:"replicates"`
	ESS        Number            `json:"ess"` // of the latents; null: independent draws
	Verdict    posterior.Verdict `json:"verdict"`
	Findings   []string          `json:"findings"`
	Statistics []Statistic       `json:"statistics"`
}

// Statistic is a number of the data, observed and replicated.
type Statistic struct {
	Data      string `json:"data"` // "": an expression
	Name      string `json:"name"`
	Observed  Number `json:"observed"`
	Mean      Number `json:"mean"`
	SD        Number `json:"sd"`
	Q05       Number `json:"q05"`
	Q50       Number `json:"q50"`
	Q95       Number `json:"q95"`
	P         Number `json:"p"`
	PSE       Number `json:"p_se"`
	PAdjusted Number `json:"p_adjusted"` // of the nearer tail, for all statistics together
	Blind     bool   `json:"blind"`
	Outside   bool   `json:"outside"`
}

func (s *Statistic) label() string {
	switch {
	case s.Data == "":
		return s.Name
	case s.Name == "value":
		return s.Data
	}
	return s.Name + " of " + s.Data
}

// NewPrediction judges the statistics.
func NewPrediction(dir string, x *judge.Predictive) *Prediction {
	out := &Prediction{Schema: Schema, Run: dir, Parent: x.Run, Kind: "posterior", LeftOut: append([]string{}, x.LeftOut...), Replicates: x.Replicates, ESS: Number(x.ESS),
		Verdict: posterior.Good, Findings: []string{}, Statistics: []Statistic{}}
	switch {
	case x.Prior:
		out.Kind = "prior"
	case len(x.LeftOut) > 0:
		out.Kind = "left-out"
	}
	if x.ESS == 0 {
		out.ESS = Number(math.NaN())
	}
	for i := range x.Statistics {
		s := &x.Statistics[i]
		out.Statistics = append(out.Statistics, Statistic{s.Data, s.Name, Number(s.Observed), Number(s.Mean), Number(s.SD), Number(s.Q05), Number(s.Q50), Number(s.Q95),
			Number(s.P), Number(s.PSE), Number(s.Adjusted), s.Blind, s.Outside})
	}
	var outside, odd, beyond []string
	for i := range out.Statistics {
		switch s := &out.Statistics[i]; {
		case s.Outside:
			outside = append(outside, s.label())
		case x.Statistics[i].Beyond:
			beyond = append(beyond, s.label())
		case s.PAdjusted < 0.01:
			odd = append(odd, s.label())
		}
	}
	say := func(format string, args ...any) { out.Findings = append(out.Findings, fmt.Sprintf(format, args...)) }
	if len(outside) > 0 {
		out.Verdict = posterior.None
		say("no replicate of %s comes up to the observed data in: %s. This model does not make such data, and what its posterior says of them means little", text.Thousands(uint64(x.Replicates)), ppx.List(outside, 5))
	}
	if len(beyond) > 0 {
		out.Verdict = out.Verdict.Worse(posterior.Doubtful)
		say("no replicate comes up to the observed data in %s, and %s replicates are too few to tell what that means: make more (-n 1000)", ppx.List(beyond, 5), text.Thousands(uint64(x.Replicates)))
	}
	if len(out.Statistics) == 0 {
		out.Verdict = out.Verdict.Worse(posterior.Doubtful)
		say("nothing was compared: no Observe that has data and a name is in the replicates (data of Samples are not made anew)")
	}
	if len(odd) > 0 {
		out.Verdict = out.Verdict.Worse(posterior.Doubtful)
		say("far out in the tail of the replicates: %s", ppx.List(odd, 5))
	}
	if !x.Prior && x.ESS < 100 {
		out.Verdict = out.Verdict.Worse(posterior.Doubtful)
		say("the latents have an effective sample size of only %s: p-values are hardly better than guesses", Figure(Round(x.ESS)))
	}
	return out
}

// From takes what there is to say of the posterior that the latents come from.
func (p *Prediction) From(parent *Posterior) {
	if parent.Trust.Verdict == posterior.None {
		p.Verdict = posterior.None
		p.Findings = append([]string{"the latents are of a result that cannot be trusted: " + parent.Reasons[0].Text}, p.Findings...)
	}
}

// share is the p-value; that none was above does not make it 0.
func share(s *Statistic, n int) string {
	switch s.P {
	case 0:
		return fmt.Sprintf("< %.1g", 1/float64(n))
	case 1:
		return fmt.Sprintf("> 1 − %.1g", 1/float64(n))
	}
	return WithError(float64(s.P), float64(s.PSE))
}

// Text writes the findings and the table.
func (p *Prediction) Text(w io.Writer) {
	s := Styled(w)
	kind := map[string]string{"posterior": "posterior predictive: new data from the latents of", "prior": "prior predictive: new data from the prior, beside those of",
		"left-out": "left-out predictive: data that the latents do not know, from"}[p.Kind]
	fmt.Fprintf(w, "%s %s, %s replicates", kind, s.Bold(ppx.Printable(p.Parent)), text.Thousands(uint64(p.Replicates)))
	if p.Kind != "prior" {
		fmt.Fprintf(w, ", effective sample size %s", Figure(Round(float64(p.ESS))))
	}
	fmt.Fprintln(w)
	for i, f := range p.Findings {
		f = folded(ppx.Printable(string(p.Verdict)+": "+f), 2)
		if i == 0 && p.Verdict == posterior.None {
			f = s.Alarm(f)
		}
		fmt.Fprintln(w, f)
	}
	if len(p.Findings) == 0 {
		fmt.Fprintln(w, "good: the observed data look like replicated ones in all that was computed")
	}
	fmt.Fprintln(w)
	t := &Table{Header: []string{"statistic", ">observed", ">replicated", ">5 %", ">95 %", ">p", ""}}
	blind := false
	for i := range p.Statistics {
		if i == maxListed {
			break
		}
		x := &p.Statistics[i]
		var notes []string
		switch {
		case x.Outside:
			notes = append(notes, "outside")
		case x.PAdjusted < 0.01:
			notes = append(notes, "far out")
		}
		if x.Blind {
			notes, blind = append(notes, "fitted"), true
		}
		t.Add(text.Clip(x.label(), 40), Figure(float64(x.Observed)), Figure(float64(x.Mean)), Figure(float64(x.Q05)), Figure(float64(x.Q95)),
			share(x, p.Replicates), strings.Join(notes, ", "))
	}
	t.Print(w)
	switch p.Kind {
	case "posterior":
		fmt.Fprintln(w, "\np: posterior predictive p (conservative): the share of replicates above the observed value. The data are used twice, so that p crowds at ½.")
		if blind {
			fmt.Fprintln(w, "fitted: what a model was fitted to says little of it; --leave-out NAME predicts a datum that was not used, --prior none of them.")
		}
	default:
		fmt.Fprintln(w, "\np: the share of replicates above the observed value.")
	}
	if len(p.Statistics) > maxListed {
		fmt.Fprintf(w, "the first %d of %d; --json has all\n", maxListed, len(p.Statistics))
	}
}
