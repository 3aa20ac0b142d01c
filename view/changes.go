package view

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
)

// Changes is what "trace diff" prints of two runs.
type Changes struct {
	Schema    int             `json:"schema"`
	A         string          `json:"a"`
	B         string          `json:"b"`
	Variables []variableMoved `json:"variables"`
	Addresses []addressMoved  `json:"addresses"`
	Types     []typeMoved     `json:"types"`
	Damaged   []string        `json:"damaged"`

	most  int
	equal [2]int // addresses and types of the same weight
}

type variableMoved struct {
	Name     string `json:"name"`
	MeanA    Number `json:"mean_a"`
	SDA      Number `json:"sd_a"`
	PresentA Number `json:"present_a"`
	MeanB    Number `json:"mean_b"`
	SDB      Number `json:"sd_b"`
	PresentB Number `json:"present_b"`
	Shift    Number `json:"shift"` // of the mean, in standard deviations of A
	Ratio    Number `json:"sd_ratio"`
}

type addressMoved struct {
	ShortA  string   `json:"short_a,omitempty"`
	ShortB  string   `json:"short_b,omitempty"`
	Address string   `json:"address"`
	Role    string   `json:"role"`
	Names   []string `json:"names"`
	WeightA Number   `json:"weight_a"`
	WeightB Number   `json:"weight_b"`
}

type typeMoved struct {
	ShortA  string `json:"short_a,omitempty"`
	ShortB  string `json:"short_b,omitempty"`
	Type    string `json:"type"`
	Length  int    `json:"length"`
	WeightA Number `json:"weight_a"`
	WeightB Number `json:"weight_b"`
}

// NewChanges shows what differs between two runs; at most so many of each in text, 0: all.
func NewChanges(a, b *Posterior, addresses []inspect.Change[inspect.Address], types []inspect.Change[inspect.Type], damaged []string, most int) *Changes {
	out := &Changes{Schema: Schema, A: a.Run, B: b.Run, Variables: []variableMoved{}, Addresses: []addressMoved{}, Types: []typeMoved{}, Damaged: append([]string{}, damaged...), most: most}
	x, y := byName(a.Sum), byName(b.Sum)
	none := &posterior.Variable{Mean: math.NaN(), SD: math.NaN()}
	var names []string
	for name := range x {
		names = append(names, name)
	}
	for name := range y {
		if x[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		p, q := x[name], y[name]
		if p == nil {
			p = none
		}
		if q == nil {
			q = none
		}
		if p.Kind == posterior.TensorKind || q.Kind == posterior.TensorKind {
			continue
		}
		out.Variables = append(out.Variables, variableMoved{name, Number(p.Mean), Number(p.SD), Number(p.Present), Number(q.Mean), Number(q.SD), Number(q.Present),
			Number((q.Mean - p.Mean) / p.SD), Number(q.SD / p.SD)})
	}
	slices.SortStableFunc(out.Variables, func(p, q variableMoved) int { return cmp.Compare(q.moved(), p.moved()) })
	for i := range addresses {
		c := &addresses[i]
		row := addressMoved{WeightA: Number(c.WeightA), WeightB: Number(c.WeightB)}
		for k, s := range []*inspect.Address{c.B, c.A} {
			if s == nil {
				continue
			}
			row.Address, row.Role, row.Names = s.Base, tracing.Role(s.Op), append([]string{}, s.Names...)
			if short := inspect.ShortAddress(s.Place); k == 0 {
				row.ShortB = short
			} else {
				row.ShortA = short
			}
		}
		if c.WeightA == c.WeightB {
			out.equal[0]++
		}
		out.Addresses = append(out.Addresses, row)
	}
	for i := range types {
		c := &types[i]
		row := typeMoved{WeightA: Number(c.WeightA), WeightB: Number(c.WeightB)}
		if c.B != nil {
			row.ShortB, row.Type, row.Length = inspect.ShortType(c.B.Place), TypeName(c.B.ID), c.B.Length
		}
		if c.A != nil {
			row.ShortA, row.Type, row.Length = inspect.ShortType(c.A.Place), TypeName(c.A.ID), c.A.Length
		}
		if c.WeightA == c.WeightB {
			out.equal[1]++
		}
		out.Types = append(out.Types, row)
	}
	return out
}

// moved is how far a variable has moved, in shift or spread: what one run lacks comes first.
func (v *variableMoved) moved() float64 {
	shift, ratio := math.Abs(float64(v.Shift)), math.Abs(math.Log(float64(v.Ratio)))
	if math.IsNaN(float64(v.MeanA)) != math.IsNaN(float64(v.MeanB)) { // one run lacks it
		return math.Abs(float64(v.PresentA - v.PresentB))
	}
	if math.IsNaN(shift) || math.IsInf(shift, 0) {
		shift = 0
	}
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		ratio = 0
	}
	return math.Max(math.Max(shift, ratio), math.Abs(float64(v.PresentA-v.PresentB)))
}

// Text writes three tables.
func (x *Changes) Text(w io.Writer) {
	s := Styled(w)
	fmt.Fprintf(w, "from (1) %s to (2) %s\n\n", s.Bold(ppx.Printable(x.A)), s.Bold(ppx.Printable(x.B)))
	t := &Table{Header: []string{"variable", ">mean (1)", ">sd", ">present", ">mean (2)", ">sd", ">present", ">shift/sd", ">sd ratio"}}
	for i := range x.Variables[:limit(x.most, len(x.Variables))] {
		v := &x.Variables[i]
		t.Add(text.Clip(v.Name, 40), Figure(float64(v.MeanA)), Figure(float64(v.SDA)), partly(v.PresentA), Figure(float64(v.MeanB)), Figure(float64(v.SDB)), partly(v.PresentB),
			signed(digits3(float64(v.Shift))), Figure(digits3(float64(v.Ratio))))
	}
	t.Print(w)
	rest(w, len(t.Rows), len(x.Variables))
	fmt.Fprintln(w)
	t = &Table{Header: []string{"(1)", "(2)", "role", "names", ">weight (1)", ">weight (2)", ">change", "address"}}
	n := len(x.Addresses) - x.equal[0]
	for i := range x.Addresses[:limit(x.most, n)] {
		a := &x.Addresses[i]
		t.Add(a.ShortA, a.ShortB, a.Role, text.Clip(strings.Join(a.Names, " "), 24), Percent(float64(a.WeightA)), Percent(float64(a.WeightB)), points(a.WeightB-a.WeightA), text.Clip(a.Address, 64))
	}
	if n > 0 {
		t.Print(w)
		rest(w, len(t.Rows), n)
	}
	fmt.Fprintf(w, "%s addresses are passed by the same share of the weight\n\n", text.Thousands(uint64(x.equal[0])))
	t = &Table{Header: []string{"(1)", "(2)", ">statements", ">weight (1)", ">weight (2)", ">change", "type"}}
	n = len(x.Types) - x.equal[1]
	for i := range x.Types[:limit(x.most, n)] {
		a := &x.Types[i]
		t.Add(a.ShortA, a.ShortB, fmt.Sprint(a.Length), Percent(float64(a.WeightA)), Percent(float64(a.WeightB)), points(a.WeightB-a.WeightA), a.Type)
	}
	if n > 0 {
		t.Print(w)
		rest(w, len(t.Rows), n)
	}
	fmt.Fprintf(w, "%s trace types have the same share of it\n", text.Thousands(uint64(x.equal[1])))
	unread(w, x.Damaged)
}

// partly is a share in words, of nothing where all have it.
func partly(x Number) string {
	if x == 1 {
		return ""
	}
	return Percent(float64(x))
}

// points is a difference of shares, in percentage points.
func points(x Number) string { return signed(digits3(100*float64(x))) + " pp" }
