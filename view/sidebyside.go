package view

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// SideBySide writes the figures of several runs beside each other, with true values where they are known.
func SideBySide(w io.Writer, runs []*Posterior, truths map[string]float64) error {
	t := &Table{Header: []string{"variable"}}
	if len(truths) > 0 {
		t.Header = append(t.Header, ">truth")
	}
	s := Styled(w)
	for i, x := range runs {
		n := fmt.Sprintf("(%d)", i+1)
		t.Header = append(t.Header, ">mean "+n, ">5 %", ">95 %")
		fmt.Fprintf(w, "%s %s: %s traces, method %s", s.Bold(n), ppx.Printable(x.Run), text.Thousands(x.Traces), x.Method)
		if x.Conditioned {
			fmt.Fprint(w, ", ", strings.ReplaceAll(x.Figures(), "   ", ", "))
		}
		fmt.Fprintln(w)
		for _, line := range x.Judgement() {
			if x.Trust.Verdict == posterior.None {
				line = s.Alarm(line)
			}
			fmt.Fprintln(w, "    "+line)
		}
	}
	fmt.Fprintln(w)
	var names []string
	by := make([]map[string]Variable, len(runs))
	for i, r := range runs {
		by[i] = map[string]Variable{}
		for _, v := range r.Variables {
			if v.Kind == posterior.TensorKind {
				continue
			}
			by[i][v.Name] = v
			if !slices.Contains(names, v.Name) {
				names = append(names, v.Name)
			}
		}
	}
	for i, name := range names {
		if i == maxListed {
			break
		}
		row := []string{text.Clip(name, 40)}
		if len(truths) > 0 {
			x, ok := truths[name]
			if !ok {
				x = math.NaN()
			}
			row = append(row, Figure(x))
		}
		for i := range runs {
			v, ok := by[i][name]
			if !ok {
				row = append(row, "–", "–", "–")
				continue
			}
			if v.Spreadless() {
				row = append(row, Figure(float64(v.Mean)), "–", "–")
				continue
			}
			row = append(row, WithError(float64(v.Mean), float64(v.MeanSE)), Figure(float64(v.Q05)), Figure(float64(v.Q95)))
		}
		t.Add(row...)
	}
	t.Print(w)
	return nil
}
