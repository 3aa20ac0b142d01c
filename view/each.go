package view

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Each is what "infer --each" prints: a row for each data set.
type Each struct {
	Schema          int       `json:"schema"`
	Run             string    `json:"run"`
	Sets            int       `json:"sets"`
	Seconds         Number    `json:"seconds"`
	SetsPerSecond   Number    `json:"sets_per_second"`
	TracesPerSecond Number    `json:"traces_per_second"`
	Rows            []EachRow `json:"data_sets"`
}

// EachRow is one data set.
type EachRow struct {
	Set           int            `json:"set"`
	Run           string         `json:"run"`
	Traces        uint64         `json:"traces"`
	ESS           Number         `json:"ess"`
	Khat          Number         `json:"khat"`
	LogEvidence   Number         `json:"log_evidence"`
	LogEvidenceSE Number         `json:"log_evidence_se"`
	Trust         Trust          `json:"trust"`
	Variables     []EachVariable `json:"variables"`
	Error         string         `json:"error,omitempty"`
}

// EachVariable is a variable of a data set's posterior.
type EachVariable struct {
	Name    string `json:"name"`
	Present Number `json:"present"`
	Mean    Number `json:"mean"`
	MeanSE  Number `json:"mean_se"`
	SD      Number `json:"sd"`
	Q05     Number `json:"q05"`
	Q50     Number `json:"q50"`
	Q95     Number `json:"q95"`
}

// Add takes what a data set came to.
func (e *Each) Add(s *jobs.EachSet) {
	if s.Outcome == nil {
		e.Rows = append(e.Rows, EachRow{Set: s.Set, Error: s.Error, Trust: Trust{posterior.None, []Reason{}}, Variables: []EachVariable{}})
		return
	}
	p := NewPosterior(s.Outcome)
	r := EachRow{Set: s.Set, Run: p.Run, Traces: p.Traces, ESS: p.ESS, Khat: p.Khat, LogEvidence: p.LogEvidence, LogEvidenceSE: p.LogEvidenceSE, Trust: p.Trust,
		Variables: []EachVariable{}}
	for _, v := range p.Variables {
		if v.Kind != posterior.TensorKind {
			r.Variables = append(r.Variables, EachVariable{v.Name, v.Present, v.Mean, v.MeanSE, v.SD, v.Q05, v.Q50, v.Q95})
		}
	}
	e.Rows = append(e.Rows, r)
}

// Finish takes the outcome of all.
func (e *Each) Finish(o *jobs.Outcome) {
	x := o.Each
	e.Schema, e.Run, e.Sets, e.Seconds, e.TracesPerSecond = Schema, o.Dir, x.Sets, Number(x.Seconds), Number(x.PerSecond)
	if x.Seconds > 0 {
		e.SetsPerSecond = Number(float64(x.Made) / x.Seconds)
	}
	slices.SortFunc(e.Rows, func(a, b EachRow) int { return cmp.Compare(a.Set, b.Set) })
}

// failed stands in Verdicts for data sets without a result.
const failed posterior.Verdict = "failed"

// Verdicts counts them.
func (e *Each) Verdicts() map[posterior.Verdict]int {
	out := map[posterior.Verdict]int{}
	for _, r := range e.Rows {
		if r.Error != "" {
			out[failed]++
		} else {
			out[r.Trust.Verdict]++
		}
	}
	return out
}

// eachColumns is how many variables go into a table on paper.
const eachColumns = 4

// Text writes the table.
func (e *Each) Text(w io.Writer) {
	s := Styled(w)
	v, failures := e.Verdicts(), ""
	if n := v[failed]; n > 0 {
		failures = fmt.Sprintf(", %d failed", n)
	}
	fmt.Fprintf(w, "%s: %s of %s data sets: %d good, %d doubtful, %d none%s\n", s.Bold(ppx.Printable(e.Run)), text.Thousands(uint64(len(e.Rows))), text.Thousands(uint64(e.Sets)),
		v[posterior.Good], v[posterior.Doubtful], v[posterior.None], failures)
	if e.Seconds > 0 {
		fmt.Fprintf(w, "%s data sets a second, %s traces a second\n", Figure(Round(float64(e.SetsPerSecond))), Figure(Round(float64(e.TracesPerSecond))))
	}
	fmt.Fprintln(w)
	var names []string
	for _, r := range e.Rows {
		for _, x := range r.Variables {
			if len(names) < eachColumns && !slices.Contains(names, x.Name) {
				names = append(names, x.Name)
			}
		}
	}
	t := &Table{Header: []string{">set", ">traces", ">ESS", ">log evidence", "verdict"}}
	for _, name := range names {
		t.Header = append(t.Header, ">"+text.Clip(name, 20)+" mean", ">sd")
	}
	for i, r := range e.Rows {
		if i == maxListed {
			break
		}
		if r.Error != "" {
			t.Add(fmt.Sprint(r.Set), "", "", "", "failed")
			continue
		}
		row := []string{fmt.Sprint(r.Set), text.Thousands(r.Traces), Figure(Round(float64(r.ESS))), WithError(float64(r.LogEvidence), float64(r.LogEvidenceSE)), string(r.Trust.Verdict)}
		for _, name := range names {
			i := slices.IndexFunc(r.Variables, func(v EachVariable) bool { return v.Name == name })
			if i < 0 || r.Trust.Verdict == posterior.None {
				row = append(row, "–", "–")
				continue
			}
			row = append(row, WithError(float64(r.Variables[i].Mean), float64(r.Variables[i].MeanSE)), Figure(digits2(float64(r.Variables[i].SD))))
		}
		t.Add(row...)
	}
	t.Print(w)
	if len(e.Rows) > maxListed {
		fmt.Fprintf(w, "the first %d; --json has all\n", maxListed)
	}
	for _, r := range e.Rows {
		if r.Error != "" {
			fmt.Fprintf(w, "data set %d: %s\n", r.Set, ppx.Printable(r.Error))
		}
	}
}
