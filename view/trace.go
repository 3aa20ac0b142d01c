package view

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/source"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Heads is what "trace ls" prints.
type Heads struct {
	Schema int       `json:"schema"`
	Total  int       `json:"total"` // traces of the run
	Traces []headRow `json:"traces"`

	heads []rundir.Head
}

type headRow struct {
	Row       uint64 `json:"row"`
	Chain     uint32 `json:"chain"`
	Step      uint64 `json:"step"`
	Draw      uint64 `json:"draw"`
	LogWeight Number `json:"log_weight"`
	Length    int    `json:"length"`
	Type      string `json:"type"`
	Seconds   Number `json:"seconds"`
	Status    string `json:"status"`
	Error     string `json:"error,omitempty"`
	Result    Tensor `json:"result"`
}

// NewHeads shows some traces of so many.
func NewHeads(heads []rundir.Head, total int) *Heads {
	out := &Heads{Schema, total, []headRow{}, heads}
	for _, h := range heads {
		out.Traces = append(out.Traces, headRow{h.Row, h.Chain, h.Step, h.Draw, Number(h.LogWeight), h.Length, TypeName(h.Type), Number(h.Seconds), h.Status.String(), h.Error, Tensor(h.Result)})
	}
	return out
}

// Text writes the table.
func (x *Heads) Text(w io.Writer) {
	t := &Table{Header: []string{">row", ">log weight", ">statements", "type", ">seconds", "result"}}
	for _, h := range x.heads {
		if h.Status == tracing.Failed {
			t.Add(fmt.Sprint(h.Row), "failed", "", "", "", text.Clip(h.Error, 100))
			continue
		}
		t.Add(fmt.Sprint(h.Row), Figure(h.LogWeight), fmt.Sprint(h.Length), TypeName(h.Type), Figure(h.Seconds), Head(resultText(h.Result), 60))
	}
	t.Print(w)
	rest(w, len(x.heads), x.Total)
}

// rest says how many rows were left out.
func rest(w io.Writer, shown, total int) {
	if total > shown {
		fmt.Fprintf(w, "… and %s more (-n 0 lists all)\n", text.Thousands(uint64(total-shown)))
	}
}

// limit is how many of so many rows are listed; 0: all.
func limit(n, total int) int {
	if n > 0 {
		return min(n, total)
	}
	return total
}

// resultText shows a result; a run may return none.
func resultText(t ppx.Tensor) string {
	if t.Data == nil {
		return "–"
	}
	return t.String()
}

// TypeName is how a trace type is called.
func TypeName(id uint64) string { return fmt.Sprintf("%016x", id) }

type siteRow struct {
	Index        int               `json:"index"`
	Short        string            `json:"short,omitempty"`
	Role         string            `json:"role"`
	Address      string            `json:"address"`
	Instance     uint32            `json:"instance"`
	Name         string            `json:"name"`
	Control      bool              `json:"control"`
	Origin       string            `json:"origin"`
	Value        Tensor            `json:"value"`
	Distribution string            `json:"distribution,omitempty"`
	Params       map[string]Tensor `json:"params,omitempty"`
	LogP         Number            `json:"log_p"`
	LogQ         Number            `json:"log_q"`
	Source       string            `json:"source,omitempty"` // file and line
}

// Trace is what "trace show" prints.
type Trace struct {
	Schema    int       `json:"schema"`
	Row       int64     `json:"row"`
	Chain     uint32    `json:"chain"`
	Step      uint64    `json:"step"`
	Draw      uint64    `json:"draw"`
	Status    string    `json:"status"`
	Error     string    `json:"error,omitempty"`
	LogWeight Number    `json:"log_weight"`
	Type      string    `json:"type"`
	Result    Tensor    `json:"result"`
	Sites     []siteRow `json:"sites"`

	trace *tracing.Trace
}

// NewTrace shows a trace; places are those of addresses in their run, which say what they are called for short (nil: they are not).
func NewTrace(t *tracing.Trace, places map[uint64]int) *Trace {
	out := &Trace{Schema, t.Row, t.Chain, t.Lineage().Step, t.Draw, t.Status.String(), t.Error, Number(t.LogWeight), TypeName(t.Type()), Tensor(t.Result), []siteRow{}, t}
	for i := range t.Sites {
		e := &t.Sites[i]
		d := t.Dist(i)
		s := siteRow{Index: i, Role: tracing.Role(e.Op), Address: t.Table.Address(e.Address).Base, Instance: e.Instance, Name: t.Table.Name(e.Name),
			Control: e.Control, Origin: e.Origin.String(), Value: Tensor(t.Value(i)), LogP: Number(e.LogP), LogQ: Number(e.LogQ)}
		if at, ok := places[t.Table.Address(e.Address).Hash]; ok {
			s.Short = inspect.ShortAddress(at)
		}
		if d.Kind != dist.None {
			s.Distribution = d.Kind.String()
			s.Params = map[string]Tensor{}
			for k, p := range d.Params { // none, in a run that was recorded without
				s.Params[d.Kind.Params()[k]] = Tensor(p)
			}
		}
		out.Sites = append(out.Sites, s)
	}
	return out
}

// called is what a recorded trace is called: by its row, which is what trace show and replay take.
func called(t *tracing.Trace) string {
	if t.Chain == 0 {
		return fmt.Sprintf("draw %d", t.Row)
	}
	return fmt.Sprintf("row %d (chain %d, step %d)", t.Row, t.Chain, t.Lineage().Step)
}

// Text writes at most so many statements, 0: all.
func (x *Trace) Text(w io.Writer, most int) {
	t := x.trace
	s := Styled(w)
	fmt.Fprintf(w, "%s  log weight %s  %d statements  type %s\n", s.Bold(called(t)), Figure(t.LogWeight), len(t.Sites), TypeName(t.Type()))
	if t.Status == tracing.Failed {
		fmt.Fprintln(w, "given up:", ppx.Printable(t.Error))
		return
	}
	rows := &Table{Header: []string{">#", "", "statement", "name", ">value", "origin", ">log p", "distribution", "source", "address"}}
	for i := range t.Sites[:limit(most, len(t.Sites))] {
		e := &t.Sites[i]
		op := tracing.Role(e.Op)
		if e.Op == ppx.Sample && !e.Control {
			op += " (no control)"
		}
		logP, origin := "", ""
		if e.Kind != dist.None {
			logP, origin = Figure(e.LogP), e.Origin.String()
		}
		rows.Add(fmt.Sprint(i), x.Sites[i].Short, op, text.Clip(t.Table.Name(e.Name), 24), Head(t.Value(i).String(), 36), origin, logP, Head(t.Dist(i).String(), 48), x.Sites[i].Source, text.Clip(t.Table.Label(e.Key), 64))
	}
	rows.spare("source")
	rows.Print(w)
	rest(w, limit(most, len(t.Sites)), len(t.Sites))
	fmt.Fprintln(w, "result", resultText(t.Result))
}

// Types is what "trace types" prints.
type Types struct {
	Schema  int       `json:"schema"`
	Total   int       `json:"total"`
	Types   []typeRow `json:"types"`
	Damaged []string  `json:"damaged"`
}

type typeRow struct {
	Short      string `json:"short"`
	Type       string `json:"type"`
	Traces     uint64 `json:"traces"`
	Weight     Number `json:"weight"`
	Length     int    `json:"length"`
	Controlled int    `json:"controlled"`
	First      uint64 `json:"first_draw"`
}

// NewTypes shows at most so many types, 0: all; those of the largest weight first.
func NewTypes(types []inspect.Type, damaged []string, most int) *Types {
	out := &Types{Schema, len(types), []typeRow{}, append([]string{}, damaged...)}
	types = slices.Clone(types)
	slices.SortFunc(types, func(a, b inspect.Type) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(b.Traces, a.Traces), cmp.Compare(a.Place, b.Place))
	})
	for _, x := range types[:limit(most, len(types))] {
		out.Types = append(out.Types, typeRow{inspect.ShortType(x.Place), TypeName(x.ID), x.Traces, Number(x.Weight), x.Length, x.Controlled, x.First})
	}
	return out
}

// Text writes the table.
func (x *Types) Text(w io.Writer) {
	t := &Table{Header: []string{"", ">weight", ">traces", ">statements", ">controlled", ">first draw", "type"}}
	for _, r := range x.Types {
		t.Add(r.Short, Percent(float64(r.Weight)), text.Thousands(r.Traces), fmt.Sprint(r.Length), fmt.Sprint(r.Controlled), fmt.Sprint(r.First), r.Type)
	}
	t.Print(w)
	rest(w, len(x.Types), x.Total)
	unread(w, x.Damaged)
}

// Percent is a share in words.
func Percent(share float64) string {
	switch {
	case math.IsNaN(share):
		return "–"
	case share > 0 && share < 0.0001:
		return "<0.01 %"
	case share < 1 && share > 0.9999:
		return ">99.99 %"
	}
	return fmt.Sprintf("%.4g %%", 100*share)
}

// unread names what of a run could not be read.
func unread(w io.Writer, damaged []string) {
	for _, d := range damaged {
		fmt.Fprintln(w, "not shown:", ppx.Printable(d))
	}
}

// Addresses is what "trace addresses" prints.
type Addresses struct {
	Schema    int          `json:"schema"`
	Total     int          `json:"total"`
	Addresses []addressRow `json:"addresses"`
	Damaged   []string     `json:"damaged"`
}

type addressRow struct {
	ID        int      `json:"id"`
	Short     string   `json:"short"`
	Address   string   `json:"address"`
	Role      string   `json:"role"`
	Kind      string   `json:"kind"`
	Names     []string `json:"names"`
	Control   bool     `json:"control"`
	Traces    uint64   `json:"traces"`
	Weight    Number   `json:"weight"`
	Visits    uint64   `json:"visits"`
	Instances uint32   `json:"instances"`
	Mean      Number   `json:"mean"`
	SD        Number   `json:"sd"`
	Source    string   `json:"source,omitempty"` // file and line of the draw
}

// Locator tells the file and line of an address, "" if it is not known.
type Locator func(base string) string

// LocatorOf finds lines in the code of a run's simulator, as far as it is there and has not changed since; note is why none are known, "" if they are, or if there is no
// program to ask.
func LocatorOf(m *rundir.Manifest) (find Locator, note string) {
	lines := source.Open(m.Command, ".", m.Started)
	if len(m.Command) > 0 && ppx.CheckEndpoint(m.Command[0]) != nil { // else it was running
		note = ppx.Printable(lines.Note)
	}
	return func(base string) string {
		if p, ok := lines.Of(base); ok {
			return ppx.Printable(p.String())
		}
		return ""
	}, note
}

// Locate adds the lines that are known.
func (x *Addresses) Locate(find Locator) {
	for i := range x.Addresses {
		x.Addresses[i].Source = find(x.Addresses[i].Address)
	}
}

// Locate adds the lines that are known.
func (x *Trace) Locate(find Locator) {
	for i := range x.Sites {
		x.Sites[i].Source = find(x.Sites[i].Address)
	}
}

func newAddressRow(a *inspect.Address) addressRow {
	return addressRow{a.Place, inspect.ShortAddress(a.Place), a.Base, tracing.Role(a.Op), kindName(a.Kind), append([]string{}, a.Names...), a.Control, a.Traces, Number(a.Weight),
		a.Visits, a.Instances, Number(a.Mean), Number(a.SD), ""}
}

// NewAddresses shows at most so many addresses, 0: all; those of the largest weight first.
func NewAddresses(all []inspect.Address, damaged []string, most int) *Addresses {
	out := &Addresses{Schema, len(all), []addressRow{}, append([]string{}, damaged...)}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b inspect.Address) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(b.Traces, a.Traces), cmp.Compare(a.Place, b.Place))
	})
	for i := range all[:limit(most, len(all))] {
		out.Addresses = append(out.Addresses, newAddressRow(&all[i]))
	}
	return out
}

// Text writes the table.
func (x *Addresses) Text(w io.Writer) {
	t := &Table{Header: []string{"", "role", "kind", "names", ">weight", ">traces", ">visits", ">most in one", ">mean", ">sd", "source", "address"}}
	for _, a := range x.Addresses {
		t.Add(a.Short, a.Role, a.Kind, text.Clip(strings.Join(a.Names, " "), 24), Percent(float64(a.Weight)), text.Thousands(a.Traces), text.Thousands(a.Visits),
			fmt.Sprint(a.Instances), Figure(float64(a.Mean)), Figure(float64(a.SD)), a.Source, text.Clip(a.Address, 80))
	}
	t.spare("source")
	t.Print(w)
	rest(w, len(x.Addresses), x.Total)
	unread(w, x.Damaged)
}

func kindName(k dist.Kind) string {
	if k == dist.None {
		return ""
	}
	return k.String()
}

// Replay is what "trace replay" prints.
type Replay struct {
	Schema      int      `json:"schema"`
	Draw        uint64   `json:"draw"`
	Same        bool     `json:"same"`
	Differences []string `json:"differences"`
	Statements  int      `json:"statements"`

	called string
}

// NewReplay shows how a trace that was made again differs from the recorded one.
func NewReplay(recorded, t *tracing.Trace, differences []inspect.Difference) *Replay {
	out := &Replay{Schema, t.Draw, len(differences) == 0, []string{}, len(t.Sites), called(recorded)}
	for _, d := range differences {
		out.Differences = append(out.Differences, d.String())
	}
	return out
}

// Text writes the differences.
func (x *Replay) Text(w io.Writer) {
	if x.Same {
		fmt.Fprintf(w, "%s: the same %d statements, values and densities\n", x.called, x.Statements)
		return
	}
	fmt.Fprintf(w, "%s differs from the recorded trace:\n", x.called)
	for _, d := range x.Differences {
		fmt.Fprintln(w, "  "+d)
	}
}
