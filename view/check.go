package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine/conform"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
)

type rule struct {
	Rule   string `json:"rule"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Check is what "check" prints.
type Check struct {
	Schema     int    `json:"schema"`
	Passed     bool   `json:"passed"`
	Model      string `json:"model"`
	System     string `json:"system"`
	RoundTrips Number `json:"round_trips_per_second"`
	Traces     Number `json:"traces_per_second"`
	Delegated  Number `json:"delegated_traces_per_second"`
	Rules      []rule `json:"rules"`

	report *conform.Report
}

// NewCheck shows a report.
func NewCheck(rep *conform.Report) *Check {
	out := &Check{Schema, rep.Passed(), rep.Model, rep.System, Number(rep.RoundTrips), Number(rep.Traces), Number(rep.Delegated), nil, rep}
	for _, r := range rep.Rules {
		out.Rules = append(out.Rules, rule{r.Name, r.OK, r.Detail})
	}
	return out
}

// Text writes at most so many statements of the run, and the rules.
func (x *Check) Text(w io.Writer, statements int) {
	rep := x.report
	s := Styled(w)
	if len(rep.Run) > 0 {
		fmt.Fprintf(w, "%s\n", s.Bold("one run of "+ppx.Printable(rep.Model)))
		t := &Table{Header: []string{">#", "statement", "name", "distribution", ">value", ">log p", "address"}}
		for i, r := range rep.Run {
			if i == statements {
				break
			}
			op := r.Op
			if r.Op == "Sample" && !r.Control {
				op += " (no control)"
			}
			logP := ""
			if r.Dist != "" && r.Value != "" {
				logP = Figure(r.LogP)
			}
			t.Add(fmt.Sprint(r.Index), op, text.Clip(r.Name, 20), Head(r.Dist, 44), Head(r.Value, 30), logP, text.Clip(r.Label, 60))
		}
		t.Print(w)
		if rest := rep.Total - min(statements, len(rep.Run)); rest > 0 {
			fmt.Fprintf(w, "… %d more\n", rest)
		}
		if rep.Result != "" {
			fmt.Fprintf(w, "result %s\n", rep.Result)
		}
		fmt.Fprintln(w)
	}
	broken := 0
	for _, r := range rep.Rules {
		mark := "pass"
		if !r.OK {
			mark = s.Bold("FAIL")
			broken++
		}
		fmt.Fprintf(w, "%s  %-42s %s\n", mark, r.Name, strings.ReplaceAll(r.Detail, "\n", "\n"+strings.Repeat(" ", 49)))
	}
	if broken == 0 {
		fmt.Fprintf(w, "\nall %d rules hold\n", len(rep.Rules))
		return
	}
	fmt.Fprintf(w, "\n%d of %d rules broken\n", broken, len(rep.Rules))
}
