package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// result is what prior, infer and summary print. Other programs read the JSON: fields may be added, none
// changes or goes away within a schema number.
type result struct {
	Schema          int        `json:"schema"`
	Run             string     `json:"run"`
	Method          string     `json:"method"`
	Seed            uint64     `json:"seed"`
	N               uint64     `json:"n"`
	Traces          uint64     `json:"traces"`
	Failed          uint64     `json:"failed"`
	BadWeights      uint64     `json:"bad_weights"`
	ESS             number     `json:"ess"`
	Khat            number     `json:"khat"`
	LogEvidence     number     `json:"log_evidence"`
	LogEvidenceSE   number     `json:"log_evidence_se"`
	Seconds         number     `json:"seconds"`
	TracesPerSecond number     `json:"traces_per_second"`
	Warnings        []string   `json:"warnings"`
	Variables       []variable `json:"variables"`

	model       string
	conditioned bool
	beta        float64
}

type variable struct {
	Name    string      `json:"name"`
	Kind    string      `json:"kind"`
	Present number      `json:"present"`
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
	Mode    *number     `json:"mode,omitempty"`
	Values  [][3]number `json:"values,omitempty"` // value, probability, standard error
	Shape   []int32     `json:"shape,omitempty"`
}

func newResult(path string, m *rundir.Manifest, sum *importance.Summary) *result {
	w := sum.Weights
	r := &result{Schema: 1, Run: path, Method: m.Method, Seed: m.Seed, N: m.N, Traces: w.N, Failed: sum.Failed, BadWeights: w.Bad,
		ESS: number(w.ESS()), Khat: number(w.Khat()), LogEvidence: number(w.LogEvidence()), LogEvidenceSE: number(w.LogEvidenceSE()),
		Seconds: number(m.Seconds), Warnings: append([]string{}, sum.Warnings(m.Conditioned)...), Variables: []variable{},
		model: m.Model, conditioned: m.Conditioned, beta: m.LikelihoodImportance}
	if m.Seconds > 0 {
		r.TracesPerSecond = number(float64(w.N) / m.Seconds)
	}
	for _, v := range sum.Variables() {
		x := variable{Name: v.Name, Kind: v.Kind, Present: number(v.Present), Mean: number(v.Mean), MeanSE: number(v.MeanSE), SD: number(v.SD),
			Q05: number(v.Q05), Q50: number(v.Q50), Q95: number(v.Q95), Q05SE: number(v.Q05SE), Q50SE: number(v.Q50SE), Q95SE: number(v.Q95SE),
			ESS: number(v.ESS), Shape: v.Shape}
		if v.Kind == importance.Discrete {
			mode := number(v.Mode)
			x.Mode = &mode
			for _, p := range v.Values {
				x.Values = append(x.Values, [3]number{number(p.Value), number(p.Probability), number(p.SE)})
			}
		}
		r.Variables = append(r.Variables, x)
	}
	return r
}

// print writes the JSON object, or the table and the plots.
func (r *result) print(w io.Writer, show *shown, sum *importance.Summary) error {
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
		fmt.Fprintf(w, " (%s more were given up)", thousands(r.Failed))
	}
	fmt.Fprintln(w)
	if r.conditioned {
		fmt.Fprintf(w, "effective sample size %s   k̂ %s   log evidence %s", figure(float64(r.ESS)), khat(float64(r.Khat)),
			withError(float64(r.LogEvidence), float64(r.LogEvidenceSE)))
		if r.beta != 1 && r.beta != 0 {
			fmt.Fprintf(w, " (of the likelihood to the power of %g)", r.beta)
		}
		fmt.Fprintln(w)
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
	for _, x := range r.Warnings {
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
		if v.Kind == importance.TensorKind {
			t.add(name, "shape "+dist.ShapeString(v.Shape), "", "", "", "", "", present)
			continue
		}
		mode := ""
		if v.Mode != nil {
			mode = figure(float64(*v.Mode))
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
func plot(w io.Writer, name string, h []importance.Bin) {
	const width = 50
	s := styled(w)
	fmt.Fprintln(w, s.bold(ppx.Printable(name)))
	most := slices.MaxFunc(h, func(a, b importance.Bin) int { return cmp.Compare(a.Probability, b.Probability) }).Probability
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

func binLabel(b importance.Bin) string {
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
