package view

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
)

// Histograms is what "trace hist" prints: variables of one run, or of several in the same bins.
type Histograms struct {
	Schema    int         `json:"schema"`
	Runs      []string    `json:"runs"`
	Variables []histogram `json:"variables"`
	Damaged   []string    `json:"damaged"`
	notes     []string    // what is to be known of the runs
}

type histogram struct {
	Name    string   `json:"name"`
	Bins    []bin    `json:"bins"`
	Present []Number `json:"present"` // share of the weight that has it, by run
}

type bin struct {
	Low   Number   `json:"low"`
	High  Number   `json:"high"`
	Share []Number `json:"share"` // by run, of what has the variable
}

// NewHistograms shows the values of variables, by run; the judgements of the runs are in results.
func NewHistograms(results []*Posterior, values [][]inspect.Values, bins int, damaged []string) *Histograms {
	out := &Histograms{Schema: Schema, Variables: []histogram{}, Damaged: append([]string{}, damaged...)}
	for i, r := range results {
		out.Runs = append(out.Runs, r.Run)
		for _, line := range r.Judgement() {
			out.notes = append(out.notes, fmt.Sprintf("(%d) %s", i+1, line))
		}
	}
	for k := range values[0] {
		var sets []inspect.Values
		h := histogram{Name: values[0][k].Name}
		for _, run := range values {
			x := run[k]
			sets = append(sets, x)
			sum := 0.0
			for _, w := range x.W {
				sum += w
			}
			h.Present = append(h.Present, Number(sum/(sum+x.Others)))
		}
		b := inspect.Binned(sets, bins)
		for i := range b.Low {
			one := bin{Low: Number(b.Low[i]), High: Number(b.High[i])}
			for _, s := range b.Share {
				one.Share = append(one.Share, Number(s[i]))
			}
			h.Bins = append(h.Bins, one)
		}
		out.Variables = append(out.Variables, h)
	}
	return out
}

// Text draws the bars, of several runs side by side.
func (x *Histograms) Text(w io.Writer) {
	s := Styled(w)
	if len(x.Runs) > 1 || len(x.notes) > 0 {
		for i, r := range x.Runs {
			fmt.Fprintf(w, "%s %s\n", s.Bold(fmt.Sprintf("(%d)", i+1)), ppx.Printable(r))
		}
	}
	for _, n := range x.notes {
		fmt.Fprintln(w, n)
	}
	width := max(12, 64/len(x.Runs)-8)
	for _, v := range x.Variables {
		fmt.Fprintln(w)
		title := s.Bold(ppx.Printable(v.Name))
		for i, p := range v.Present {
			if p < 0.99995 {
				title += fmt.Sprintf("  (%d) in %s of the weight", i+1, Percent(float64(p)))
			}
		}
		fmt.Fprintln(w, title)
		most := 0.0
		for _, b := range v.Bins {
			for _, p := range b.Share {
				most = math.Max(most, float64(p))
			}
		}
		labels, long := make([]string, len(v.Bins)), 0
		for i, b := range v.Bins {
			labels[i] = edge(float64(b.Low), float64(b.High))
			long = max(long, len(labels[i]))
		}
		for i, b := range v.Bins {
			line := fmt.Sprintf("%*s", long, labels[i])
			for _, p := range b.Share {
				bar := strings.ReplaceAll(Bar(float64(p)/most, width), "·", " ")
				line += " │" + bar + " " + s.Dim(fmt.Sprintf("%5.1f %%", 100*float64(p)))
			}
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	}
	unread(w, x.Damaged)
}

// edge is the label of a bin.
func edge(lo, hi float64) string {
	if lo == hi {
		return Figure(lo)
	}
	digits := int(math.Max(0, math.Ceil(-math.Log10(hi-lo))+1))
	if digits > 8 || math.Abs(lo) > 1e7 {
		return fmt.Sprintf("%.4g", lo)
	}
	return fmt.Sprintf("%.*f", digits, lo)
}

// Pairs is what "trace pairs" prints.
type Pairs struct {
	Schema  int      `json:"schema"`
	Run     string   `json:"run"`
	Pairs   []plane  `json:"pairs"`
	Damaged []string `json:"damaged"`
	notes   []string
}

type plane struct {
	X           string     `json:"x"`
	Y           string     `json:"y"`
	Traces      int        `json:"traces"` // that have both
	Correlation Number     `json:"correlation"`
	RangeX      [2]Number  `json:"range_x"`
	RangeY      [2]Number  `json:"range_y"`
	Share       [][]Number `json:"share"` // by row, from the lowest y, and column
}

// NewPairs shows how variables lie together.
func NewPairs(result *Posterior, planes []inspect.Plane, damaged []string) *Pairs {
	out := &Pairs{Schema: Schema, Run: result.Run, Pairs: []plane{}, Damaged: append([]string{}, damaged...), notes: result.Judgement()}
	for _, p := range planes {
		one := plane{p.X, p.Y, p.Both, Number(p.Correlation), [2]Number{Number(p.LowX), Number(p.HighX)}, [2]Number{Number(p.LowY), Number(p.HighY)}, nil}
		for _, row := range p.Share {
			one.Share = append(one.Share, Numbers(row))
		}
		out.Pairs = append(out.Pairs, one)
	}
	return out
}

// shades are densities, from none to the largest.
var shades = []rune(" ·░▒▓█")

// Text draws the planes.
func (x *Pairs) Text(w io.Writer) {
	s := Styled(w)
	for _, n := range x.notes {
		fmt.Fprintln(w, n)
	}
	for i, p := range x.Pairs {
		if i > 0 || len(x.notes) > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s over %s: correlation %s, %s traces\n", s.Bold(ppx.Printable(p.Y)), s.Bold(ppx.Printable(p.X)), Figure(digits3(float64(p.Correlation))), text.Thousands(uint64(p.Traces)))
		most := 0.0
		for _, row := range p.Share {
			for _, v := range row {
				most = math.Max(most, float64(v))
			}
		}
		top, bottom := Figure(digits3(float64(p.RangeY[1]))), Figure(digits3(float64(p.RangeY[0])))
		long := max(len([]rune(top)), len([]rune(bottom)))
		for r := len(p.Share) - 1; r >= 0; r-- {
			label := ""
			switch r {
			case len(p.Share) - 1:
				label = top
			case 0:
				label = bottom
			}
			var b strings.Builder
			for _, v := range p.Share[r] {
				k := 0
				if v > 0 && most > 0 { // by the square root: what is thin is seen, too
					k = 1 + int(math.Sqrt(float64(v)/most)*float64(len(shades)-2)+0.5)
				}
				b.WriteRune(shades[min(k, len(shades)-1)])
			}
			fmt.Fprintf(w, "%*s │%s\n", long, label, strings.TrimRight(b.String(), " "))
		}
		columns := 0
		if len(p.Share) > 0 {
			columns = len(p.Share[0])
		}
		left, right := Figure(digits3(float64(p.RangeX[0]))), Figure(digits3(float64(p.RangeX[1])))
		fmt.Fprintf(w, "%*s └%s\n", long, "", strings.Repeat("─", columns))
		fmt.Fprintf(w, "%*s  %s%*s\n", long, "", left, max(1, columns-len([]rune(left))), right)
	}
	unread(w, x.Damaged)
}
