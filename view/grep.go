package view

import (
	"fmt"
	"io"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
)

// Found is what "trace grep" prints.
type Found struct {
	Schema     int        `json:"schema"`
	Statements uint64     `json:"statements"` // that were found, for each draw that has them
	Distinct   uint64     `json:"distinct"`   // of these; a chain that stays where it is has the same ones again
	Traces     uint64     `json:"traces"`     // that have one
	Weight     Number     `json:"weight"`     // their share
	Matches    []matchRow `json:"matches"`    // the first of them
	Damaged    []string   `json:"damaged"`
}

type matchRow struct {
	Row      uint64   `json:"row"`
	Draw     uint64   `json:"draw"`
	Index    int      `json:"index"`
	Short    string   `json:"short"`
	Address  string   `json:"address"`
	Instance uint32   `json:"instance"`
	Role     string   `json:"role"`
	Kind     string   `json:"kind"`
	Name     string   `json:"name"`
	Control  bool     `json:"control"`
	Value    []Number `json:"value"` // elements
	LogP     Number   `json:"log_p"`
	Weight   Number   `json:"weight"` // share of the trace
}

// NewFound shows what was found.
func NewFound(f *inspect.Found, damaged []string) *Found {
	out := &Found{Schema, f.Statements, f.Distinct, f.Traces, Number(f.Weight), []matchRow{}, append([]string{}, damaged...)}
	for i := range f.Matches {
		m := &f.Matches[i]
		out.Matches = append(out.Matches, matchRow{m.Row, m.Draw, m.Index, inspect.ShortAddress(m.Address.Place), m.Address.Base, m.Instance, tracing.Role(m.Address.Op), kindName(m.Address.Kind),
			m.Name, m.Control, Numbers(m.Value), Number(m.LogP), Number(m.Weight)})
	}
	return out
}

// Text writes the table.
func (x *Found) Text(w io.Writer) {
	t := &Table{Header: []string{">draw", ">#", "", "role", "name", ">value", ">log p", ">weight", "address"}}
	for _, m := range x.Matches {
		value := ppx.Tensor{}
		if len(m.Value) > 0 {
			data := make([]float64, len(m.Value))
			for i, v := range m.Value {
				data[i] = float64(v)
			}
			if value = dist.Vector(data...); len(data) == 1 {
				value = dist.Scalar(data[0])
			}
		}
		t.Add(fmt.Sprint(m.Row), fmt.Sprint(m.Index), m.Short, m.Role, text.Clip(m.Name, 24), Head(resultText(value), 40), Figure(float64(m.LogP)), Percent(float64(m.Weight)), text.Clip(m.Address, 64))
	}
	t.Print(w)
	rest(w, len(x.Matches), int(x.Distinct))
	if x.Distinct < x.Statements {
		fmt.Fprintln(w, "draws that are the same as the one before are listed once, and counted")
	}
	fmt.Fprintf(w, "%s statements of %s traces, with %s of the weight\n", text.Thousands(x.Statements), text.Thousands(x.Traces), Percent(float64(x.Weight)))
	unread(w, x.Damaged)
}
