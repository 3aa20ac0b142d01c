package view

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
)

// Graph is what "trace graph" prints: how traces go from address to address.
type Graph struct {
	Schema        int         `json:"schema"`
	Run           string      `json:"run"`
	Type          string      `json:"type,omitempty"` // of the traces; empty: all
	Traces        uint64      `json:"traces"`
	Weight        Number      `json:"weight"` // share of all
	Nodes         []graphNode `json:"nodes"`
	Edges         []graphEdge `json:"edges"`
	LeftOut       int         `json:"left_out"`        // addresses
	LeftOutVisits Number      `json:"left_out_visits"` // share of the visits
	Damaged       []string    `json:"damaged"`
}

type graphNode struct {
	Key      string      `json:"key"` // start, end, or as the address is called for short
	PerTrace Number      `json:"per_trace"`
	Address  *addressRow `json:"address,omitempty"`
}

type graphEdge struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Probability Number `json:"probability"`
	PerTrace    Number `json:"per_trace"`
}

// NewGraph shows a graph of a run's traces, or of those of a type.
func NewGraph(run, kind string, g *inspect.Graph, damaged []string) *Graph {
	out := &Graph{Schema, run, kind, g.Traces, Number(g.Weight), []graphNode{}, []graphEdge{}, g.LeftOut, Number(g.Visits), append([]string{}, damaged...)}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		node := graphNode{Key: nodeKey(n.Place), PerTrace: Number(n.PerTrace)}
		if n.Place >= 0 {
			row := newAddressRow(&n.Address)
			node.Address = &row
		}
		out.Nodes = append(out.Nodes, node)
	}
	for _, e := range g.Edges {
		out.Edges = append(out.Edges, graphEdge{nodeKey(e.From), nodeKey(e.To), Number(e.Probability), Number(e.PerTrace)})
	}
	return out
}

func nodeKey(place int) string {
	switch place {
	case inspect.Start:
		return "start"
	case inspect.End:
		return "end"
	}
	return inspect.ShortAddress(place)
}

// Locate adds the lines that are known.
func (x *Graph) Locate(find Locator) {
	for i := range x.Nodes {
		if a := x.Nodes[i].Address; a != nil {
			a.Source = find(a.Address)
		}
	}
}

// About says what the graph is of.
func (x *Graph) About() string {
	line := fmt.Sprintf("%s traces", text.Thousands(x.Traces))
	if x.Type != "" {
		line += fmt.Sprintf(" of type %s, %s of the weight", ppx.Printable(x.Type), Percent(float64(x.Weight)))
	}
	if x.LeftOut > 0 {
		line += fmt.Sprintf("; %s addresses with %s of the visits are left out, and gone over (-n 0 shows all)", text.Thousands(uint64(x.LeftOut)), Percent(float64(x.LeftOutVisits)))
	}
	return line
}

// Text writes where each address leads to.
func (x *Graph) Text(w io.Writer) {
	s := Styled(w)
	t := &Table{Header: []string{"from", "", ">per trace", "", "to"}}
	nodes := map[string]*graphNode{}
	for i := range x.Nodes {
		nodes[x.Nodes[i].Key] = &x.Nodes[i]
	}
	last := ""
	for _, e := range x.Edges {
		from, what, per := "", "", "" // once for all that goes from there
		if e.From != last {
			n := nodes[e.From]
			last, from, what, per = e.From, e.From, n.title(24), Figure(float64(n.PerTrace))
		}
		t.Add(from, what, per, bar(float64(e.Probability))+" "+Percent(float64(e.Probability)), strings.TrimSpace(e.To+"  "+nodes[e.To].title(24)))
	}
	t.Print(w)
	fmt.Fprintln(w, s.Dim(x.About()))
	unread(w, x.Damaged)
}

// bar is a share as a line of ten letters.
func bar(share float64) string {
	n := int(math.Round(10 * share))
	return strings.Repeat("━", n) + strings.Repeat(" ", 10-n)
}

// title is what a node is called: the names of its statements, or where they are.
func (n *graphNode) title(most int) string {
	if n.Address == nil {
		return ""
	}
	if names := strings.Join(n.Address.Names, " "); names != "" {
		return text.Clip(names, most)
	}
	return text.Clip(Innermost(n.Address.Address), most)
}

// Innermost is the innermost function of an address, without its parameters, and without the family.
func Innermost(base string) string {
	if at := strings.LastIndex(base, "__"); at > 0 {
		base = base[:at]
	}
	base = strings.Trim(base[strings.LastIndex(base, "; ")+1:], " []")
	// Without its parameters a function of C++ is known as well.
	if open, end := strings.IndexByte(base, '('), strings.LastIndexByte(base, ')'); open > 0 && end > open {
		base = base[:open] + base[end+1:]
	}
	return base
}

// colours of roles: fill and line, which differ also without colour by their line.
var roles = map[string]struct{ fill, line, style string }{
	"controlled":   {"#d6e6f4", "#0072b2", "filled"},
	"uncontrolled": {"#f0f0f0", "#767676", "filled,dashed"},
	"observed":     {"#fbe3d2", "#d55e00", "filled,bold"},
	"tagged":       {"#d9efe7", "#009e73", "filled,dotted"},
}

// role is that of a node in the picture.
func (n *graphNode) role() string {
	switch {
	case n.Address.Role == tracing.Role(ppx.Tag):
		return "tagged"
	case n.Address.Role == tracing.Role(ppx.Observe):
		return "observed"
	case n.Address.Control:
		return "controlled"
	}
	return "uncontrolled"
}

// Lines are the two lines of an address in a picture, the first of at most so many letters, what is told of it when asked, and its role.
func (n *graphNode) Lines(most int) (first, second, tip, role string) {
	role, second = n.role(), n.Key
	if n.Address.Kind != "" {
		second += "  " + n.Address.Kind
	}
	if p := float64(n.PerTrace); p > 1+1e-9 {
		second += fmt.Sprintf("  × %.3g", p)
	}
	at := n.Address.Source
	if at != "" {
		at += "; "
	}
	tip = fmt.Sprintf("%s: %s, in %s of the weight, %s visits; %s%s", n.Key, role, Percent(float64(n.Address.Weight)), text.Thousands(n.Address.Visits), at, n.Address.Address)
	return n.title(most), second, tip, role
}

// Tip is what is told of a way when asked.
func (e *graphEdge) Tip() string {
	return fmt.Sprintf("%s → %s: %s, %.3g times a trace", e.From, e.To, Percent(float64(e.Probability)), float64(e.PerTrace))
}

// DOT writes the graph in the language of Graphviz. All that comes from simulators is quoted.
func (x *Graph) DOT(w io.Writer) {
	fmt.Fprintf(w, "digraph {\n  graph [rankdir=TB fontname=\"Helvetica,Arial,sans-serif\" fontsize=11 fontcolor=\"#555555\" labelloc=b nodesep=0.3 ranksep=0.35 label=%s]\n", dotQuote(x.About()))
	fmt.Fprintln(w, `  node [shape=box style="filled,rounded" fontname="Helvetica,Arial,sans-serif" fontsize=11 margin="0.18,0.06" height=0.3]`)
	fmt.Fprintln(w, `  edge [fontname="Helvetica,Arial,sans-serif" fontsize=9 fontcolor="#555555" color="#555555" arrowsize=0.6]`)
	for _, n := range x.Nodes {
		if n.Address == nil {
			fmt.Fprintf(w, "  %s [shape=ellipse style=filled fillcolor=\"#ffffff\" color=\"#333333\" label=%s]\n", n.Key, dotQuote(n.Key))
			continue
		}
		first, second, tip, role := n.Lines(28)
		r := roles[role]
		fmt.Fprintf(w, "  %s [label=%s fillcolor=%q color=%q style=%q tooltip=%s]\n", n.Key, dotQuote(first+"\n"+second), r.fill, r.line, r.style+",rounded", dotQuote(tip))
	}
	for _, e := range x.Edges {
		p := float64(e.Probability)
		label := ""
		if p < 1-1e-9 {
			label = " " + Percent(p)
		}
		fmt.Fprintf(w, "  %s -> %s [label=%s penwidth=%.2f tooltip=%s]\n", e.From, e.To, dotQuote(label), 0.4+2.6*math.Min(1, float64(e.PerTrace)),
			dotQuote(e.Tip()))
	}
	fmt.Fprintln(w, "}")
}

// dotQuote is a string of the language: what is special in one, and in labels, is escaped.
func dotQuote(s string) string {
	s = strings.ToValidUTF8(s, "�")
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < ' ' || r == 0x7f:
			b.WriteString("�")
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
