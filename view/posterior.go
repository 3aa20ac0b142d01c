package view

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Posterior is what prior, infer, summary and merge print. Other programs read the JSON: fields may be added, none
// changes or goes away within a Schema Number.
type Posterior struct {
	Schema     int     `json:"schema"`
	Run        string  `json:"run"`
	Method     string  `json:"method"`
	Seed       uint64  `json:"seed"`
	N          uint64  `json:"n"`
	Traces     uint64  `json:"traces"`
	Failed     uint64  `json:"failed"`
	BadWeights uint64  `json:"bad_weights"`
	ESS        Number  `json:"ess"`
	Rhat       *Number `json:"rhat,omitempty"` // of chains
	Chains     int     `json:"chains,omitempty"`
	Islands    int     `json:"islands,omitempty"` // of particles
	Runs       uint64  `json:"runs,omitempty"`    // of the simulator, that particles have taken
	Rungs      int     `json:"rungs,omitempty"`   // that they have climbed
	// LogProbability is that of a score above its level, given the data; of particles with one.
	LogProbability   *Number `json:"log_probability,omitempty"`
	LogProbabilitySE *Number `json:"log_probability_se,omitempty"`
	Khat             Number  `json:"khat"`
	LogEvidence      Number  `json:"log_evidence"`
	LogEvidenceSE    Number  `json:"log_evidence_se"`
	Success          Number  `json:"success"` // probability that a run of the prior succeeds
	SuccessSE        Number  `json:"success_se"`
	Seconds          Number  `json:"seconds"`
	TracesPerSecond  Number  `json:"traces_per_second"`
	// LikelihoodImportance is the exponent of the likelihood: 1 is the posterior.
	LikelihoodImportance Number       `json:"likelihood_importance"`
	Auto                 *rundir.Auto `json:"auto,omitempty"` // how the method was found
	Trust                Trust        `json:"trust"`
	Warnings             []string     `json:"warnings"`
	Variables            []Variable   `json:"variables"`

	Model       string             `json:"-"`
	Conditioned bool               `json:"-"` // the weights carry a likelihood
	Sum         *posterior.Summary `json:"-"`
	Reasons     []posterior.Reason `json:"-"` // of Trust

	event   string   // whose probability LogProbability is
	drawn   string   // what it is of, if its traces were drawn by another run's weights
	remarks []string // warnings besides the reasons of trust

	attached []attachment // where the data of a program that nobody edits are
}

// attachment is where data are: control.Met.
type attachment struct {
	Names   []string
	Address string
	Sample  bool
}

// Trust is how far a result, or a variable, can be relied on.
type Trust struct {
	Verdict posterior.Verdict `json:"verdict"`
	Reasons []Reason          `json:"reasons"`
}

// Reason is one for a verdict.
type Reason struct {
	Code     string  `json:"code"`
	Text     string  `json:"text"`
	Variable *string `json:"variable"` // null: the result as a whole
}

func trustOf(t posterior.Trust) Trust {
	out := Trust{t.Verdict, []Reason{}}
	for _, r := range t.Reasons {
		x := Reason{Code: r.Code, Text: r.Text}
		if r.Variable != "" {
			x.Variable = &r.Variable
		}
		out.Reasons = append(out.Reasons, x)
	}
	return out
}

// Variable is a row of the table.
type Variable struct {
	Name    string      `json:"name"`
	Kind    string      `json:"kind"`
	Present Number      `json:"present"`
	Finite  Number      `json:"finite"` // share of those whose value is a finite Number: the rest is of them
	Mean    Number      `json:"mean"`
	MeanSE  Number      `json:"mean_se"`
	SD      Number      `json:"sd"`
	Q05     Number      `json:"q05"`
	Q50     Number      `json:"q50"`
	Q95     Number      `json:"q95"`
	Q05SE   Number      `json:"q05_se"`
	Q50SE   Number      `json:"q50_se"`
	Q95SE   Number      `json:"q95_se"`
	ESS     Number      `json:"ess"`
	Rhat    *Number     `json:"rhat,omitempty"` // of chains
	Trust   Trust       `json:"trust"`
	Mode    *Number     `json:"mode,omitempty"`
	Values  [][3]Number `json:"values,omitempty"` // value, probability, standard error
	Shape   []int32     `json:"shape,omitempty"`
}

// Variable finds one by its name; nil if there is none.
func (r *Posterior) Variable(name string) *Variable {
	for i := range r.Variables {
		if v := &r.Variables[i]; v.Name == name && v.Kind != posterior.TensorKind {
			return v
		}
	}
	return nil
}

// Spreadless tells that a variable rests on a single draw, or hardly more: its spread is none, whatever the figures.
func (v *Variable) Spreadless() bool { return v.Trust.Verdict == posterior.None && !(v.ESS >= 2) }

// NewPosterior judges and collects the figures of a job.
func NewPosterior(o *jobs.Outcome) *Posterior {
	m, sum, names, unknown := o.Manifest, o.Summary, o.Names, o.Unseen
	w := sum.Weights
	drawn := m.Resampled == nil && w.Before != nil && m.Lineage != nil // by the weights of another run
	facts := posterior.Facts{Conditioned: m.Conditioned || drawn, Unseen: unknown.Share(), UnseenText: strings.Join(unknown.Warnings(), "; "),
		Unused: names.Unused(), Mixed: m.Mixed}
	wrapped := slices.ContainsFunc(m.Systems, func(s string) bool { return strings.HasPrefix(s, "ppx wrap ") })
	if m.Network != nil {
		facts.Familiar = m.Network.P
	}
	for _, p := range names.Partly() {
		facts.Partly = append(facts.Partly, posterior.Partly(p))
	}
	if c := m.Cut; c != nil {
		facts.Cut = posterior.Cut{What: c.What, Draw: c.Draw, Last: c.Last, Running: Seconds(c.Running), Mean: Seconds(c.Mean)}
	}
	if c := m.Chains; c != nil && c.Steps > 0 {
		facts.FailedSteps = float64(c.Failed) / float64(c.Steps)
	}
	if p := m.Particles; p != nil {
		facts.FailedSteps = float64(p.Failed) / float64(max(1, p.Runs))
		facts.Moved = 1
		for _, r := range p.Ladder {
			facts.Moved = math.Min(facts.Moved, r.Moved)
		}
		facts.Moved = math.Max(facts.Moved, math.SmallestNonzeroFloat64)
	}
	if a := m.Auto; a != nil {
		facts.Check = &posterior.Check{Made: a.Checked, Z: float64(a.Difference), Text: strings.TrimSuffix(a.Sentences[len(a.Sentences)-1], ".")}
	}
	t := sum.Judge(facts)
	r := &Posterior{Schema: Schema, Run: o.Dir, Method: m.Method, Seed: m.Seed, N: m.N, Traces: w.N, Failed: w.Failed, BadWeights: w.Bad,
		ESS: Number(sum.ESS()), Khat: Number(w.Khat()), LogEvidence: Number(w.LogEvidence()), LogEvidenceSE: Number(sum.LogEvidenceSE()),
		Seconds: Number(m.Seconds), LikelihoodImportance: Number(cmp.Or(m.LikelihoodImportance, 1)), Trust: trustOf(t), Warnings: []string{},
		Variables: []Variable{}, Model: m.Model, Conditioned: facts.Conditioned, Sum: sum}
	if drawn {
		if r.drawn = m.Lineage.Words(); !strings.HasPrefix(r.drawn, "posterior predictive") {
			r.drawn = "posterior predictive"
		}
	}
	r.Reasons = t.Reasons
	success, successSE := sum.Success()
	r.Success, r.SuccessSE = Number(success), Number(successSE)
	for _, x := range t.Reasons {
		r.Warnings = append(r.Warnings, x.Text)
	}
	r.remark(sum.Warnings()...)
	r.remark(names.Warnings()...)
	if facts.UnseenText != "" && !slices.ContainsFunc(t.Reasons, func(x posterior.Reason) bool { return x.Code == posterior.UnseenAddress }) {
		r.remark(facts.UnseenText)
	}
	nan := Number(math.NaN())
	if t.Verdict == posterior.None {
		r.LogEvidenceSE = nan
	}
	if sum.Chained != nil {
		rhat := Number(sum.ChainFigures().Rhat)
		if w.N == 0 {
			rhat = nan
		}
		r.Success, r.SuccessSE = nan, nan // steps are no draws of the prior
		r.Rhat, r.Chains, r.Khat, r.LogEvidence, r.LogEvidenceSE = &rhat, m.Chains.Chains, nan, nan, nan
	}
	if a := m.Auto; a != nil {
		r.Auto = a
	}
	if p := m.Particles; p != nil {
		r.Khat, r.Success, r.SuccessSE = nan, nan, nan
		r.Islands, r.Runs, r.Rungs = p.Islands, p.Runs, len(p.Ladder)
		if p.LogProbability != nil {
			log, se := Number(*p.LogProbability), Number(*p.LogProbabilitySE)
			r.LogProbability, r.LogProbabilitySE, r.event = &log, &se, eventOf(p)
		}
	}
	if m.Seconds > 0 {
		r.TracesPerSecond = Number(float64(w.N) / m.Seconds)
	}
	for _, v := range sum.Variables() {
		x := Variable{Name: v.Name, Kind: v.Kind, Present: Number(v.Present), Finite: Number(v.Finite), Mean: Number(v.Mean), MeanSE: Number(v.MeanSE), SD: Number(v.SD),
			Q05: Number(v.Q05), Q50: Number(v.Q50), Q95: Number(v.Q95), Q05SE: Number(v.Q05SE), Q50SE: Number(v.Q50SE), Q95SE: Number(v.Q95SE),
			ESS: Number(v.ESS), Shape: v.Shape}
		if sum.Chained != nil {
			rhat := Number(v.Rhat)
			x.Rhat = &rhat
		}
		own := t.Of(&v)
		if x.Trust = trustOf(own); own.Verdict == posterior.None {
			x.MeanSE, x.Q05SE, x.Q50SE, x.Q95SE = nan, nan, nan, nan
		}
		if x.Spreadless() {
			x.SD, x.Q05, x.Q95 = nan, nan, nan
		}
		if v.Kind == posterior.Discrete {
			mode := Number(v.Mode)
			x.Mode = &mode
			for _, p := range v.Values {
				se := Number(p.SE)
				if own.Verdict == posterior.None {
					se = nan
				}
				x.Values = append(x.Values, [3]Number{Number(p.Value), Number(p.Probability), se})
			}
		}
		r.Variables = append(r.Variables, x)
	}
	r.remark(o.Remarks...)
	if wrapped {
		for _, m := range names.Met() {
			r.attached = append(r.attached, attachment(m))
		}
	}
	return r
}

// Remarks are warnings besides the reasons of trust.
func (r *Posterior) Remarks() []string { return r.remarks }

// Seconds is a duration of so many.
func Seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// remark adds warnings that say nothing of trust.
func (r *Posterior) remark(texts ...string) {
	r.remarks = append(r.remarks, texts...)
	r.Warnings = append(r.Warnings, texts...)
}

// eventOf is what the score was to do, in words.
func eventOf(p *rundir.Particles) string {
	if p.AtLeast != nil {
		return fmt.Sprintf("%s ≥ %g", p.Score, float64(*p.AtLeast))
	}
	return fmt.Sprintf("%s > %g", p.Score, float64(*p.Above))
}

// Figures is the line of effective sample size and evidence.
func (r *Posterior) Figures() string {
	if r.LogProbability != nil {
		return r.weightFigures() + "   " + r.rare()
	}
	return r.weightFigures()
}

// rare is the probability of a score above its level, "" if there is none.
func (r *Posterior) rare() string {
	if r.LogProbability == nil {
		return ""
	}
	log, se := float64(*r.LogProbability), float64(*r.LogProbabilitySE)
	return fmt.Sprintf("P(%s) = %s (log %s); the evidence is that of the event, too", ppx.Printable(r.event), WithError(math.Exp(log), math.Exp(log)*se), WithError(log, se))
}

func (r *Posterior) weightFigures() string {
	evidence := WithError(float64(r.LogEvidence), float64(r.LogEvidenceSE))
	if math.Abs(float64(r.LogEvidence)) < 1e-12 { // rounding: there is no likelihood
		evidence = "0"
	}
	if r.Trust.Verdict == posterior.None && !math.IsNaN(float64(r.LogEvidence)) && !math.IsInf(float64(r.LogEvidence), 0) {
		evidence += " (error unknown)"
	}
	if r.Rhat != nil {
		text := fmt.Sprintf("effective sample size %s   R̂ %s   %d chains", Figure(Round(float64(r.ESS))), Figure(float64(*r.Rhat)), r.Chains)
		if r.LikelihoodImportance != 1 {
			text += fmt.Sprintf("   (of the likelihood to the power of %g)", float64(r.LikelihoodImportance))
		}
		return text
	}
	if r.Islands > 0 {
		text := fmt.Sprintf("effective sample size %s   %d islands   log evidence %s   %s runs, %d rungs", Figure(Round(float64(r.ESS))), r.Islands, evidence, text.Thousands(r.Runs), r.Rungs)
		if r.LikelihoodImportance != 1 {
			text += fmt.Sprintf("   (of the likelihood to the power of %g)", float64(r.LikelihoodImportance))
		}
		return text
	}
	if r.drawn != "" {
		return fmt.Sprintf("effective sample size %s, of the weights that they were drawn by   k̂ %s", Figure(float64(r.ESS)), khat(float64(r.Khat)))
	}
	text := fmt.Sprintf("effective sample size %s   k̂ %s   log evidence %s", Figure(float64(r.ESS)), khat(float64(r.Khat)), evidence)
	if r.LikelihoodImportance != 1 {
		text += fmt.Sprintf(" (of the likelihood to the power of %g)", float64(r.LikelihoodImportance))
	}
	return text
}

// Judgement is what there is to say of trust, a line each.
func (r *Posterior) Judgement() (lines []string) {
	if len(r.Trust.Reasons) == 0 {
		return nil
	}
	label := "doubtful: "
	switch {
	case !r.Conditioned: // draws from the prior are what they are, if only for the figures too few
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

// Text writes the table, and sideways histograms of the variables that are named; warn hears the warnings. The error is that of a
// name, or of the writer.
func (r *Posterior) Text(w io.Writer, warn func(string), plots []string) error {
	s := Styled(w)
	what := "prior"
	switch {
	case r.drawn != "":
		what = r.drawn
	case r.Conditioned:
		what = "posterior"
	}
	fmt.Fprintf(w, "%s of %s from %s traces", s.Bold(what), s.Bold(ppx.Printable(r.Model)), text.Thousands(r.Traces))
	if r.Failed > 0 {
		fmt.Fprintf(w, " (and %s given up)", text.Thousands(r.Failed))
	}
	fmt.Fprintln(w)
	if r.Conditioned {
		fmt.Fprintln(w, r.weightFigures())
		if rare := r.rare(); rare != "" {
			fmt.Fprintln(w, rare)
		}
	}
	if r.Auto != nil {
		for _, line := range r.Auto.Sentences {
			fmt.Fprintln(w, folded(line, 0))
		}
	}
	for i, line := range r.Judgement() {
		if i == 0 && r.Trust.Verdict == posterior.None && r.Conditioned {
			line = s.Alarm(line)
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
	r.Table().Print(w)
	var wrong error
	for _, name := range plots {
		h, err := r.Sum.Histogram(name, 24)
		if err != nil {
			wrong = err
			continue
		}
		fmt.Fprintln(w)
		sideways(w, name, h)
	}
	if r.Trust.Verdict == posterior.None && r.Conditioned && !IsTerminal(w) { // here too, for those who keep the table in a file
		warn("do not trust this result: " + r.Trust.Reasons[0].Text)
	}
	for _, x := range r.remarks {
		warn(x)
	}
	r.attachedText(w)
	if _, err := fmt.Fprintf(w, "\n%s\n", s.Dim("recorded in "+r.Run)); err != nil {
		return err
	}
	return wrong
}

// attachedText says to which draws and outputs of a program that nobody edits the data were given: a rule of its file may be about others than was meant.
func (r *Posterior) attachedText(w io.Writer) {
	for i, m := range r.attached {
		if i == 0 {
			fmt.Fprintln(w)
		}
		if i == 20 {
			fmt.Fprintf(w, "… and at %d places more\n", len(r.attached)-i)
			return
		}
		place := "draws at " + ppx.Printable(m.Address)
		if !m.Sample {
			place = "an output"
		}
		fmt.Fprintf(w, "data: %s: %s\n", ppx.List(m.Names, 12), place)
	}
}

// khat shows the Pareto diagnostic; a tail of equal weights has none, and is as good as it gets.
func khat(k float64) string {
	if math.IsInf(k, -1) {
		return "none (bounded weights)"
	}
	return Figure(k)
}

// maxListed bounds the table on paper; the JSON has everything.
const maxListed = 200

func (r *Posterior) Table() *Table { return r.TableOf(maxListed) }

// TableOf is the table of the variables, at most so many.
func (r *Posterior) TableOf(most int) *Table {
	t := &Table{Header: []string{"variable", ">mean", ">sd", ">5 %", ">50 %", ">95 %", ">mode", ">present"}}
	partly := false
	for i := range r.Variables {
		partly = partly || float64(r.Variables[i].Present) < 0.99995
	}
	modes := slices.ContainsFunc(r.Variables, func(v Variable) bool { return v.Mode != nil })
	for i, v := range r.Variables {
		if i == most {
			t.Add(fmt.Sprintf("… and %d more (--json has them all)", len(r.Variables)-i), "", "", "", "", "", "", "")
			break
		}
		name := text.Clip(v.Name, 40)
		present := ""
		if partly {
			present = fmt.Sprintf("%.1f %%", 100*float64(v.Present))
		}
		if v.Kind == posterior.TensorKind {
			t.Add(name, "shape "+dist.ShapeString(v.Shape), "", "", "", "", "", present)
			continue
		}
		mode := ""
		if v.Mode != nil {
			mode = Figure(float64(*v.Mode))
		}
		if v.Spreadless() {
			t.Add(name, Figure(float64(v.Mean)), "–", "–", "–", "–", mode, present)
			continue
		}
		t.Add(name, WithError(float64(v.Mean), float64(v.MeanSE)), Figure(float64(v.SD)), Figure(float64(v.Q05)), Figure(float64(v.Q50)),
			Figure(float64(v.Q95)), mode, present)
	}
	keep := []bool{true, true, true, true, true, true, modes, partly}
	t.Header = pick(t.Header, keep)
	for i := range t.Rows {
		t.Rows[i] = pick(t.Rows[i], keep)
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

// sideways draws a histogram sideways, a bin a line.
func sideways(w io.Writer, name string, h []posterior.Bin) {
	const width = 50
	s := Styled(w)
	fmt.Fprintln(w, s.Bold(ppx.Printable(name)))
	most := slices.MaxFunc(h, func(a, b posterior.Bin) int { return cmp.Compare(a.Probability, b.Probability) }).Probability
	labels := make([]string, len(h))
	long := 0
	for i, b := range h {
		labels[i] = edge(b.Low, b.High)
		long = max(long, len(labels[i]))
	}
	for i, b := range h {
		fmt.Fprintf(w, "%*s │%s %s\n", long, labels[i], strings.TrimRight(Bar(b.Probability/most, width), "·"), s.Dim(fmt.Sprintf("%.1f %%", 100*b.Probability)))
	}
}
