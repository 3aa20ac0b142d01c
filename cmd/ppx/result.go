package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// schema is the version of all JSON that ppx prints (docs/command-line.md).
const schema = 2

// result is what prior, infer and summary print. Other programs read the JSON: fields may be added, none
// changes or goes away within a schema number.
type result struct {
	Schema          int    `json:"schema"`
	Run             string `json:"run"`
	Method          string `json:"method"`
	Seed            uint64 `json:"seed"`
	N               uint64 `json:"n"`
	Traces          uint64 `json:"traces"`
	Failed          uint64 `json:"failed"`
	BadWeights      uint64 `json:"bad_weights"`
	ESS             number `json:"ess"`
	Khat            number `json:"khat"`
	LogEvidence     number `json:"log_evidence"`
	LogEvidenceSE   number `json:"log_evidence_se"`
	Success         number `json:"success"` // probability that a run of the prior succeeds
	SuccessSE       number `json:"success_se"`
	Seconds         number `json:"seconds"`
	TracesPerSecond number `json:"traces_per_second"`
	// LikelihoodImportance is the exponent of the likelihood: 1 is the posterior.
	LikelihoodImportance number     `json:"likelihood_importance"`
	Trust                trust      `json:"trust"`
	Warnings             []string   `json:"warnings"`
	Variables            []variable `json:"variables"`

	model       string
	conditioned bool
	remarks     []string // warnings besides the reasons of trust
}

// trust is how far a result, or a variable, can be relied on.
type trust struct {
	Verdict posterior.Verdict `json:"verdict"`
	Reasons []reason          `json:"reasons"`
}

type reason struct {
	Code     string  `json:"code"`
	Text     string  `json:"text"`
	Variable *string `json:"variable"` // null: the result as a whole
}

func trustJSON(t posterior.Trust) trust {
	out := trust{t.Verdict, []reason{}}
	for _, r := range t.Reasons {
		x := reason{Code: r.Code, Text: r.Text}
		if r.Variable != "" {
			x.Variable = &r.Variable
		}
		out.Reasons = append(out.Reasons, x)
	}
	return out
}

type variable struct {
	Name    string      `json:"name"`
	Kind    string      `json:"kind"`
	Present number      `json:"present"`
	Finite  number      `json:"finite"` // share of those whose value is a finite number: the rest is of them
	Mean    number      `json:"mean"`
	MeanSE  number      `json:"mean_se"`
	SD      number      `json:"sd"`
	Q05     number      `json:"q05"`
	Q50     number      `json:"q50"`
	Q95     number      `json:"q95"`
	Q05SE   number      `json:"q05_se"`
	Q50SE   number      `json:"q50_se"`
	Q95SE   number      `json:"q95_se"`
	ESS     number      `json:"ess"`
	Trust   trust       `json:"trust"`
	Mode    *number     `json:"mode,omitempty"`
	Values  [][3]number `json:"values,omitempty"` // value, probability, standard error
	Shape   []int32     `json:"shape,omitempty"`
}

// variable finds one by its name; nil if there is none.
func (r *result) variable(name string) *variable {
	for i := range r.Variables {
		if v := &r.Variables[i]; v.Name == name && v.Kind != posterior.TensorKind {
			return v
		}
	}
	return nil
}

// spreadless tells that a variable rests on a single draw, or hardly more: its spread is none, whatever the figures.
func (v *variable) spreadless() bool { return v.Trust.Verdict == posterior.None && !(v.ESS >= 2) }

// newResult judges and collects the figures of a run; names has met its traces, and unknown is what a network did not know in it.
func newResult(path string, m *rundir.Manifest, sum *posterior.Summary, names *control.Names, unknown *jobs.Unseen) *result {
	w := sum.Weights
	facts := posterior.Facts{Conditioned: m.Conditioned, Unseen: unknown.Share(), UnseenText: strings.Join(unknown.Warnings(), "; "),
		Unused: names.Unused(), Mixed: m.Mixed}
	for _, p := range names.Partly() {
		facts.Partly = append(facts.Partly, posterior.Partly(p))
	}
	if c := m.Cut; c != nil {
		facts.Cut = posterior.Cut{Draw: c.Draw, Last: c.Last, Running: seconds(c.Running), Mean: seconds(c.Mean)}
	}
	t := sum.Judge(facts)
	r := &result{Schema: schema, Run: path, Method: m.Method, Seed: m.Seed, N: m.N, Traces: w.N, Failed: w.Failed, BadWeights: w.Bad,
		ESS: number(w.ESS()), Khat: number(w.Khat()), LogEvidence: number(w.LogEvidence()), LogEvidenceSE: number(w.LogEvidenceSE()),
		Seconds: number(m.Seconds), LikelihoodImportance: number(cmp.Or(m.LikelihoodImportance, 1)), Trust: trustJSON(t), Warnings: []string{},
		Variables: []variable{}, model: m.Model, conditioned: m.Conditioned}
	success, successSE := sum.Success()
	r.Success, r.SuccessSE = number(success), number(successSE)
	for _, x := range t.Reasons {
		r.Warnings = append(r.Warnings, x.Text)
	}
	r.remark(sum.Warnings()...)
	r.remark(names.Warnings()...)
	if facts.UnseenText != "" && !slices.ContainsFunc(t.Reasons, func(x posterior.Reason) bool { return x.Code == posterior.UnseenAddress }) {
		r.remark(facts.UnseenText)
	}
	nan := number(math.NaN())
	if t.Verdict == posterior.None {
		r.LogEvidenceSE = nan
	}
	if m.Seconds > 0 {
		r.TracesPerSecond = number(float64(w.N) / m.Seconds)
	}
	for _, v := range sum.Variables() {
		x := variable{Name: v.Name, Kind: v.Kind, Present: number(v.Present), Finite: number(v.Finite), Mean: number(v.Mean), MeanSE: number(v.MeanSE), SD: number(v.SD),
			Q05: number(v.Q05), Q50: number(v.Q50), Q95: number(v.Q95), Q05SE: number(v.Q05SE), Q50SE: number(v.Q50SE), Q95SE: number(v.Q95SE),
			ESS: number(v.ESS), Shape: v.Shape}
		own := t.Of(&v)
		if x.Trust = trustJSON(own); own.Verdict == posterior.None {
			x.MeanSE, x.Q05SE, x.Q50SE, x.Q95SE = nan, nan, nan, nan
		}
		if x.spreadless() {
			x.SD, x.Q05, x.Q95 = nan, nan, nan
		}
		if v.Kind == posterior.Discrete {
			mode := number(v.Mode)
			x.Mode = &mode
			for _, p := range v.Values {
				se := number(p.SE)
				if own.Verdict == posterior.None {
					se = nan
				}
				x.Values = append(x.Values, [3]number{number(p.Value), number(p.Probability), se})
			}
		}
		r.Variables = append(r.Variables, x)
	}
	return r
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// remark adds warnings that say nothing of trust.
func (r *result) remark(texts ...string) {
	r.remarks = append(r.remarks, texts...)
	r.Warnings = append(r.Warnings, texts...)
}

// figures is the line of effective sample size and evidence.
func (r *result) figures() string {
	evidence := withError(float64(r.LogEvidence), float64(r.LogEvidenceSE))
	if r.Trust.Verdict == posterior.None && !math.IsNaN(float64(r.LogEvidence)) && !math.IsInf(float64(r.LogEvidence), 0) {
		evidence += " (error unknown)"
	}
	text := fmt.Sprintf("effective sample size %s   k̂ %s   log evidence %s", figure(float64(r.ESS)), khat(float64(r.Khat)), evidence)
	if r.LikelihoodImportance != 1 {
		text += fmt.Sprintf(" (of the likelihood to the power of %g)", float64(r.LikelihoodImportance))
	}
	return text
}

// judgement is what there is to say of trust, a line each.
func (r *result) judgement() (lines []string) {
	if len(r.Trust.Reasons) == 0 {
		return nil
	}
	label := "doubtful: "
	switch {
	case !r.conditioned: // draws from the prior are what they are, if only for the figures too few
		label = "note: "
	case r.Trust.Verdict == posterior.None:
		label = "DO NOT TRUST THIS RESULT: "
	}
	for i, x := range r.Trust.Reasons {
		if i > 0 {
			label = "also: "
		}
		lines = append(lines, label+x.Text)
	}
	return lines
}

// print writes the JSON object, or the table and the plots.
func (r *result) print(w io.Writer, show *shown, sum *posterior.Summary) error {
	if show.json {
		return printJSON(w, r)
	}
	s := styled(w)
	what := "prior"
	if r.conditioned {
		what = "posterior"
	}
	fmt.Fprintf(w, "%s of %s from %s traces", s.bold(what), s.bold(ppx.Printable(r.model)), thousands(r.Traces))
	if r.Failed > 0 {
		fmt.Fprintf(w, " (and %s given up)", thousands(r.Failed))
	}
	fmt.Fprintln(w)
	if r.conditioned {
		fmt.Fprintln(w, r.figures())
	}
	for i, line := range r.judgement() {
		if i == 0 && r.Trust.Verdict == posterior.None && r.conditioned {
			line = s.alarm(line)
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
	r.table().print(w)
	var wrong error
	for _, name := range show.plot {
		h, err := sum.Histogram(name, 24)
		if err != nil {
			wrong = usageError{err}
			continue
		}
		fmt.Fprintln(w)
		plot(w, name, h)
	}
	if r.Trust.Verdict == posterior.None && r.conditioned && !isTerminal(w) { // here too, for those who keep the table in a file
		fmt.Fprintln(os.Stderr, "ppx: warning: do not trust this result: "+r.Trust.Reasons[0].Text)
	}
	for _, x := range r.remarks {
		fmt.Fprintln(os.Stderr, "ppx: warning: "+x)
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", s.dim("recorded in "+r.Run)); err != nil {
		return err
	}
	return wrong
}

// khat shows the Pareto diagnostic; a tail of equal weights has none, and is as good as it gets.
func khat(k float64) string {
	if math.IsInf(k, -1) {
		return "none (bounded weights)"
	}
	return figure(k)
}

// maxListed bounds the table on paper; the JSON has everything.
const maxListed = 200

func (r *result) table() *table {
	t := &table{header: []string{"variable", ">mean", ">sd", ">5 %", ">50 %", ">95 %", ">mode", ">present"}}
	partly := false
	for i := range r.Variables {
		partly = partly || float64(r.Variables[i].Present) < 0.99995
	}
	modes := slices.ContainsFunc(r.Variables, func(v variable) bool { return v.Mode != nil })
	for i, v := range r.Variables {
		if i == maxListed {
			t.add(fmt.Sprintf("… and %d more (--json has them all)", len(r.Variables)-i), "", "", "", "", "", "", "")
			break
		}
		name := clip(v.Name, 40)
		present := ""
		if partly {
			present = fmt.Sprintf("%.1f %%", 100*float64(v.Present))
		}
		if v.Kind == posterior.TensorKind {
			t.add(name, "shape "+dist.ShapeString(v.Shape), "", "", "", "", "", present)
			continue
		}
		mode := ""
		if v.Mode != nil {
			mode = figure(float64(*v.Mode))
		}
		if v.spreadless() {
			t.add(name, figure(float64(v.Mean)), "–", "–", "–", "–", mode, present)
			continue
		}
		t.add(name, withError(float64(v.Mean), float64(v.MeanSE)), figure(float64(v.SD)), figure(float64(v.Q05)), figure(float64(v.Q50)),
			figure(float64(v.Q95)), mode, present)
	}
	keep := []bool{true, true, true, true, true, true, modes, partly}
	t.header = pick(t.header, keep)
	for i := range t.rows {
		t.rows[i] = pick(t.rows[i], keep)
	}
	return t
}

func pick(cells []string, keep []bool) []string {
	var out []string
	for i, c := range cells {
		if keep[i] {
			out = append(out, c)
		}
	}
	return out
}

// plot draws a histogram sideways, a bin a line.
func plot(w io.Writer, name string, h []posterior.Bin) {
	const width = 50
	s := styled(w)
	fmt.Fprintln(w, s.bold(ppx.Printable(name)))
	most := slices.MaxFunc(h, func(a, b posterior.Bin) int { return cmp.Compare(a.Probability, b.Probability) }).Probability
	labels := make([]string, len(h))
	long := 0
	for i, b := range h {
		labels[i] = binLabel(b)
		long = max(long, len(labels[i]))
	}
	for i, b := range h {
		fmt.Fprintf(w, "%*s │%s %s\n", long, labels[i], strings.TrimRight(drawBar(b.Probability/most, width), "·"), s.dim(fmt.Sprintf("%.1f %%", 100*b.Probability)))
	}
}

func binLabel(b posterior.Bin) string {
	if b.Low == b.High {
		return figure(b.Low)
	}
	width := b.High - b.Low
	digits := int(math.Max(0, math.Ceil(-math.Log10(width))+1))
	if digits > 8 || math.Abs(b.Low) > 1e7 {
		return fmt.Sprintf("%.4g", b.Low)
	}
	return fmt.Sprintf("%.*f", digits, b.Low)
}
