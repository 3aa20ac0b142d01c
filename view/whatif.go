package view

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/whatif"
)

// TwoTraces is two traces side by side: what "trace diff" prints of two draws, and "trace intervene" of one and what became of it.
type TwoTraces struct {
	Schema     int        `json:"schema"`
	A          string     `json:"a"`
	B          string     `json:"b"`
	Do         string     `json:"do,omitempty"` // what was done to A, if B came of that
	Same       int        `json:"same"`         // statements
	ResultA    Tensor     `json:"result_a"`
	ResultB    Tensor     `json:"result_b"`
	PartsAt    *int       `json:"parts_at"` // index in A of the first statement that B lacks, or has others before; null: they go the same way
	Statements []twoSites `json:"statements"`
}

type twoSites struct {
	A       *int   `json:"a"` // index in each; null: it has none
	B       *int   `json:"b"`
	Same    bool   `json:"same"`
	Short   string `json:"short,omitempty"`
	Role    string `json:"role"`
	Name    string `json:"name"`
	Address string `json:"address"`
	ValueA  Tensor `json:"value_a"`
	ValueB  Tensor `json:"value_b"`
	OriginB string `json:"origin_b,omitempty"`
	label   string
}

// NewTwoTraces shows two traces by what they are called; places are those of addresses in the run of a.
func NewTwoTraces(nameA, nameB string, a, b *tracing.Trace, places map[uint64]int) *TwoTraces {
	out := &TwoTraces{Schema: Schema, A: nameA, B: nameB, ResultA: Tensor(a.Result), ResultB: Tensor(b.Result), Statements: []twoSites{}}
	for _, p := range inspect.Align(a, b) {
		var s twoSites
		t, i := a, p.A
		if p.A < 0 {
			t, i = b, p.B
		}
		e := &t.Sites[i]
		address := t.Table.Address(e.Address)
		s.Role, s.Name, s.Address, s.Same, s.label = tracing.Role(e.Op), t.Table.Name(e.Name), address.Base, p.Same, t.Table.Label(e.Key)
		if at, ok := places[address.Hash]; ok {
			s.Short = inspect.ShortAddress(at)
		}
		if p.A >= 0 {
			s.A, s.ValueA = &p.A, Tensor(a.Value(p.A))
		}
		if p.B >= 0 {
			s.B, s.ValueB, s.OriginB = &p.B, Tensor(b.Value(p.B)), b.Sites[p.B].Origin.String()
		}
		if out.PartsAt == nil && (p.A < 0 || p.B < 0) {
			at := max(p.A, 0)
			if p.A < 0 { // the next of a
				at = len(a.Sites)
				if n := len(out.Statements); n == 0 {
					at = 0
				} else if last := out.Statements[n-1].A; last != nil {
					at = *last + 1
				}
			}
			out.PartsAt = &at
		}
		if p.Same {
			out.Same++
		}
		out.Statements = append(out.Statements, s)
	}
	return out
}

// Text writes what differs, at most so many statements, 0: all.
func (x *TwoTraces) Text(w io.Writer, most int) {
	s := Styled(w)
	if x.Do != "" {
		fmt.Fprintf(w, "%s with %s: %s statements stay as they are", s.Bold(ppx.Printable(x.A)), s.Bold(ppx.Printable(x.Do)), text.Thousands(uint64(x.Same)))
	} else {
		fmt.Fprintf(w, "%s and %s: %s statements are the same", s.Bold(ppx.Printable(x.A)), s.Bold(ppx.Printable(x.B)), text.Thousands(uint64(x.Same)))
	}
	if x.PartsAt != nil {
		fmt.Fprintf(w, "; they part at statement %d", *x.PartsAt)
	}
	fmt.Fprintln(w)
	t := &Table{Header: []string{">#", "", "statement", "name", ">" + ppx.Printable(x.A), ">" + ppx.Printable(x.B), ">change", "origin", "address"}}
	shown, differing := 0, 0
	for i := range x.Statements {
		v := &x.Statements[i]
		if v.Same && (v.OriginB != tracing.Set.String()) {
			continue
		}
		if differing++; most > 0 && shown == most {
			continue
		}
		shown++
		index, a, b, change := "", "–", "–", ""
		if v.A != nil {
			index, a = fmt.Sprint(*v.A), Head(resultText(ppx.Tensor(v.ValueA)), 28)
		}
		if v.B != nil {
			b = Head(resultText(ppx.Tensor(v.ValueB)), 28)
		}
		if v.A != nil && v.B != nil && len(v.ValueA.Data) == 1 && len(v.ValueB.Data) == 1 {
			change = signed(v.ValueB.Data[0] - v.ValueA.Data[0])
		}
		t.Add(index, v.Short, v.Role, text.Clip(v.Name, 24), a, b, change, v.OriginB, text.Clip(v.label, 56))
	}
	if differing > 0 {
		t.Print(w)
	}
	rest(w, shown, differing)
	if a, b := ppx.Tensor(x.ResultA), ppx.Tensor(x.ResultB); a.Data != nil || b.Data != nil {
		fmt.Fprintf(w, "result %s, %s\n", Head(resultText(a), 60), Head(resultText(b), 60))
	}
}

// signed is a figure with its sign.
func signed(x float64) string {
	if x > 0 {
		return "+" + Figure(x)
	}
	return Figure(x)
}

// Intervened is what "trace intervene" prints of a whole run.
type Intervened struct {
	Schema    int        `json:"schema"`
	Run       string     `json:"run"`
	Out       string     `json:"out"`
	Do        string     `json:"do"`
	Traces    uint64     `json:"traces"`
	Untouched uint64     `json:"untouched"`
	Failed    uint64     `json:"failed"`
	ESS       Number     `json:"ess"`
	Trust     Trust      `json:"trust"` // of the recorded run
	Variables []movedRow `json:"variables"`
	Unmoved   int        `json:"unmoved"` // variables that no trace has otherwise
	reasons   []string   // of Trust
}

type movedRow struct {
	Name     string `json:"name"`
	Before   Number `json:"mean_before"`
	SDBefore Number `json:"sd_before"`
	After    Number `json:"mean_after"`
	SDAfter  Number `json:"sd_after"`
	Change   Number `json:"change"`
	ChangeSE Number `json:"change_se"`
	Low      Number `json:"change_q05"`
	High     Number `json:"change_q95"`
}

// NewIntervened shows what an intervention on a run changed; parent is the judgement of the run.
func NewIntervened(run, do string, c *jobs.Changed, parent *Posterior) *Intervened {
	out := &Intervened{Schema: Schema, Run: run, Out: c.Out, Do: do, Traces: c.Traces, Untouched: c.Untouched, Failed: c.Failed, ESS: parent.ESS, Trust: parent.Trust, reasons: parent.Judgement(), Variables: []movedRow{}}
	before, after := byName(c.Before), byName(c.After)
	for _, v := range c.Change.Variables() {
		if v.Kind == posterior.TensorKind {
			continue
		}
		if v.Mean == 0 && (v.SD == 0 || math.IsNaN(v.SD)) {
			out.Unmoved++
			continue
		}
		a, b := before[v.Name], after[v.Name]
		if b == nil {
			continue
		}
		if a == nil { // data
			a = &posterior.Variable{Mean: b.Mean - v.Mean}
		}
		out.Variables = append(out.Variables, movedRow{v.Name, Number(a.Mean), Number(a.SD), Number(b.Mean), Number(b.SD), Number(v.Mean), Number(v.MeanSE), Number(v.Q05), Number(v.Q95)})
	}
	return out
}

func byName(s *posterior.Summary) map[string]*posterior.Variable {
	out := map[string]*posterior.Variable{}
	list := s.Variables()
	for i := range list {
		out[list[i].Name] = &list[i]
	}
	return out
}

// Text writes the table.
func (x *Intervened) Text(w io.Writer) {
	s := Styled(w)
	fmt.Fprintf(w, "%s of %s: %s traces made again", s.Bold(ppx.Printable(x.Do)), ppx.Printable(x.Run), text.Thousands(x.Traces-x.Untouched))
	if x.Untouched > 0 {
		fmt.Fprintf(w, ", %s in which there was nothing to set as they are", text.Thousands(x.Untouched))
	}
	if x.Failed > 0 {
		fmt.Fprintf(w, "; %s could not go on, and are left out", text.Thousands(x.Failed))
	}
	fmt.Fprintln(w)
	for _, line := range x.reasons {
		if x.Trust.Verdict == posterior.None {
			line = s.Alarm(line)
		}
		fmt.Fprintln(w, line)
	}
	t := &Table{Header: []string{"variable", ">recorded", ">sd", ">would have been", ">sd", ">change", ">5 %", ">95 %"}}
	for i := range x.Variables {
		if i == maxListed {
			break
		}
		v := &x.Variables[i]
		t.Add(text.Clip(v.Name, 40), Figure(float64(v.Before)), Figure(float64(v.SDBefore)), Figure(float64(v.After)), Figure(float64(v.SDAfter)), WithError(float64(v.Change), float64(v.ChangeSE)), Figure(float64(v.Low)), Figure(float64(v.High)))
	}
	t.Print(w)
	rest(w, len(t.Rows), len(x.Variables))
	if x.Unmoved > 0 {
		fmt.Fprintf(w, "%s variables stay as they are\n", text.Thousands(uint64(x.Unmoved)))
	}
	fmt.Fprintf(w, "the traces: %s\n", ppx.Printable(x.Out))
}

// Why is what "trace why" prints.
type Why struct {
	Schema   int         `json:"schema"`
	Run      string      `json:"run"`
	Traces   int         `json:"traces"`
	Runs     int         `json:"runs"`
	Failed   int         `json:"failed"`
	Outcomes []outcome   `json:"outcomes"`
	Effects  []effectRow `json:"addresses"`
	Trust    Trust       `json:"trust"` // of the recorded run
	reasons  []string
}

type outcome struct {
	Name    string  `json:"name"`
	Mean    Number  `json:"mean"`
	SD      Number  `json:"sd"`
	PriorSD *Number `json:"prior_sd,omitempty"`
}

type effectRow struct {
	Short    string   `json:"short"`
	Address  string   `json:"address"` // "": all others together
	Names    []string `json:"names"`
	Most     int      `json:"most"`
	Share    Number   `json:"share"`
	Total    []Number `json:"total"` // by outcome
	TotalSE  []Number `json:"total_se"`
	Spread   Number   `json:"spread"`
	SpreadSE Number   `json:"spread_se"`
}

// NewWhy shows which draws matter, those with the largest effect on any outcome first.
func NewWhy(run string, y *whatif.Why, places map[uint64]int, parent *Posterior) *Why {
	out := &Why{Schema: Schema, Run: run, Traces: y.Traces, Runs: y.Runs, Failed: y.Failed, Outcomes: []outcome{}, Effects: []effectRow{}, Trust: parent.Trust, reasons: parent.Judgement()}
	for i, name := range y.Outcomes {
		o := outcome{Name: name, Mean: Number(y.Mean[i]), SD: Number(y.SD[i])}
		if y.PriorSD != nil {
			o.PriorSD = (*Number)(&y.PriorSD[i])
		}
		out.Outcomes = append(out.Outcomes, o)
	}
	most := func(e *whatif.Effect) (m float64) {
		for _, x := range e.Total {
			if x > m {
				m = x
			}
		}
		return m
	}
	list := slices.Clone(y.Effects)
	slices.SortStableFunc(list, func(a, b whatif.Effect) int { return cmp.Compare(most(&b), most(&a)) })
	for i := range list {
		e := &list[i]
		row := effectRow{Names: append([]string{}, e.Names...), Most: e.Most, Share: Number(e.Share), Total: Numbers(e.Total), TotalSE: Numbers(e.SE), Spread: Number(e.Spread), SpreadSE: Number(e.SpreadSE)}
		if e.Address != nil {
			row.Address = e.Address.Base
			if at, ok := places[e.Address.Hash]; ok {
				row.Short = inspect.ShortAddress(at)
			}
		}
		out.Effects = append(out.Effects, row)
	}
	return out
}

// Columns of outcomes that a terminal has room for.
const shownOutcomes = 4

// Text writes the table.
func (x *Why) Text(w io.Writer) {
	s := Styled(w)
	fmt.Fprintf(w, "%s: %d traces, drawn by their weights; %s runs of the simulator\n", s.Bold(ppx.Printable(x.Run)), x.Traces, text.Thousands(uint64(x.Runs)))
	for _, line := range x.reasons {
		if x.Trust.Verdict == posterior.None {
			line = s.Alarm(line)
		}
		fmt.Fprintln(w, line)
	}
	of := "an outcome's variance"
	if len(x.Outcomes) > 0 && x.Outcomes[0].PriorSD != nil {
		of = "an outcome's variance before data"
	}
	fmt.Fprintf(w, "How much the draws at an address move an outcome, all other noise kept: as a share of %s (total effects; they may sum to more than 1)\n", of)
	n := min(len(x.Outcomes), shownOutcomes)
	t := &Table{Header: []string{"", "names"}}
	for _, o := range x.Outcomes[:n] {
		t.Header = append(t.Header, ">"+text.Clip(o.Name, 24))
	}
	t.Header = append(t.Header, "", ">posterior/prior sd", ">most in one", ">in traces", "address")
	for i := range x.Effects {
		e := &x.Effects[i]
		names, address := strings.Join(e.Names, " "), e.Address
		if address == "" {
			names, address = fmt.Sprintf("%d others", e.Most), "the other addresses together"
		}
		row := []string{e.Short, text.Clip(names, 24)}
		most := 0.0
		for j := range e.Total {
			if j < n {
				row = append(row, WithError(float64(e.Total[j]), float64(e.TotalSE[j])))
				most = math.Max(most, float64(e.Total[j]))
			}
		}
		each := fmt.Sprint(e.Most)
		if e.Address == "" {
			each = ""
		}
		row = append(row, Bar(math.Min(1, most), 12), WithError(float64(e.Spread), float64(e.SpreadSE)), each, Percent(float64(e.Share)), text.Clip(address, 56))
		t.Add(row...)
	}
	t.Print(w)
	if more := len(x.Outcomes) - n; more > 0 {
		fmt.Fprintf(w, "… and %d more outcomes (--of names them, --json has all)\n", more)
	}
	if x.Failed > 0 {
		fmt.Fprintf(w, "%d runs could not go on with other values\n", x.Failed)
	}
}
