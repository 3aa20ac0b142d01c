package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/wrap"
)

// Wrap is what a program did that nobody edits.
type Wrap struct {
	Schema     int         `json:"schema"`
	Program    string      `json:"program"` // what kind it is
	Again      string      `json:"again"`   // how it is run again
	Runs       int         `json:"runs"`
	Parameters []WrapValue `json:"parameters"`
	Draws      []WrapDraw  `json:"draws"`
	Outputs    []WrapValue `json:"outputs"`
	Problems   []string    `json:"problems"`
	Notes      []string    `json:"notes"`
	Failed     string      `json:"failed"`
}

// WrapDraw is the draws at a place.
type WrapDraw struct {
	At           string `json:"at"`
	Line         string `json:"line,omitempty"`
	Function     string `json:"function"`
	Distribution string `json:"distribution"`
	Value        string `json:"value,omitempty"`
	Count        int    `json:"count"`
	Rule         int    `json:"rule,omitempty"` // its line in the file
	Name         string `json:"name,omitempty"`
	As           string `json:"as"`
	Address      string `json:"address"`
}

// WrapValue is a parameter or an output.
type WrapValue struct {
	Name  string  `json:"name"`
	Value *Tensor `json:"value,omitempty"`
	What  string  `json:"what,omitempty"`
}

// NewWrap makes the view.
func NewWrap(s *wrap.Seen) *Wrap {
	v := &Wrap{Schema: Schema, Program: s.Stack, Again: s.Again, Runs: s.Runs, Problems: s.Problems, Notes: s.Notes, Failed: s.Failed, Draws: []WrapDraw{}}
	for _, d := range s.Draws {
		v.Draws = append(v.Draws, WrapDraw{d.Spot, d.Line, d.What, d.Dist, d.Value, d.Count, d.Rule, d.Name, d.As, d.Address})
	}
	values := func(in []wrap.Value) []WrapValue {
		out := []WrapValue{}
		for _, x := range in {
			one := WrapValue{Name: x.Name, What: x.What}
			if x.Value.Data != nil {
				t := Tensor(x.Value)
				one.Value = &t
			}
			out = append(out, one)
		}
		return out
	}
	v.Parameters, v.Outputs = values(s.Parameters), values(s.Outputs)
	return v
}

// Text prints the view.
func (v *Wrap) Text(w io.Writer) {
	s := Styled(w)
	fmt.Fprintf(w, "%s, %s; %s\n", v.Program, v.Again, text.Count(v.Runs, "run", "runs"))
	if len(v.Parameters) > 0 {
		fmt.Fprintln(w)
		t := &Table{Header: []string{"parameter", "prior", ">value"}}
		for _, p := range v.Parameters {
			t.Add(p.Name, p.What, p.figure())
		}
		t.Print(w)
	}
	fmt.Fprintln(w)
	if len(v.Draws) > 0 {
		t := &Table{Header: []string{"draw at", "function", "distribution of the first", ">value", ">draws", "rule", "name", "as"}}
		for _, d := range v.Draws {
			rule := ""
			if d.Rule > 0 {
				rule = "line " + strconv.Itoa(d.Rule)
			}
			t.Add(d.At, d.Function, d.Distribution, d.Value, text.Thousands(uint64(d.Count)), rule, d.Name, d.As)
		}
		t.spare("rule")
		t.spare("name")
		t.Print(w)
	} else {
		fmt.Fprintln(w, "no draws seen")
	}
	if len(v.Outputs) > 0 {
		fmt.Fprintln(w)
		t := &Table{Header: []string{"output", ">value", ""}}
		for _, o := range v.Outputs {
			t.Add(o.Name, o.figure(), o.What)
		}
		t.Print(w)
	}
	for _, n := range v.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", n)
	}
	for _, p := range v.Problems {
		fmt.Fprintf(w, "\n%s %s\n", s.Alarm("wrong:"), p)
	}
	if v.Failed != "" {
		fmt.Fprintf(w, "\n%s %s\n", s.Alarm("the run failed:"), v.Failed)
	}
}

func (x *WrapValue) figure() string {
	if x.Value == nil {
		return ""
	}
	t := ppx.Tensor(*x.Value)
	if len(t.Data) == 1 {
		return Figure(t.Data[0])
	}
	var parts []string
	for i, d := range t.Data {
		if i == 4 {
			parts = append(parts, "… "+strconv.Itoa(len(t.Data)))
			break
		}
		parts = append(parts, Figure(d))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
