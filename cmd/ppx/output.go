package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Manners: results go to stdout, everything else to stderr. Colours and moving lines only where a person
// looks, and not when NO_COLOR is set. What comes from a simulator is escaped.

// number is a float64 that JSON shows as null when it is NaN or infinite.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// style makes text bold or dim on a terminal.
type style bool

func styled(w any) style { return style(isTerminal(w) && os.Getenv("NO_COLOR") == "") }

func (s style) bold(t string) string { return s.wrap("1", t) }
func (s style) dim(t string) string  { return s.wrap("2", t) }

// alarm is for what nobody must miss.
func (s style) alarm(t string) string { return s.wrap("1;31", t) }
func (s style) wrap(code, t string) string {
	if !s || t == "" {
		return t
	}
	return "\x1b[" + code + "m" + t + "\x1b[0m"
}

// table prints aligned columns; those whose header begins with ">" are aligned right.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) {
	s := styled(w)
	width := make([]int, len(t.header))
	for i, h := range t.header {
		width[i] = utf8.RuneCountInString(strings.TrimPrefix(h, ">"))
	}
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	line := func(cells []string, f func(string) string) {
		var b strings.Builder
		for i, c := range cells {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			right := strings.HasPrefix(t.header[i], ">")
			switch {
			case right:
				b.WriteString(pad + c)
			case i == len(cells)-1:
				b.WriteString(c)
			default:
				b.WriteString(c + pad)
			}
		}
		fmt.Fprintln(w, f(strings.TrimRight(b.String(), " ")))
	}
	head := make([]string, len(t.header))
	for i, h := range t.header {
		head[i] = strings.TrimPrefix(h, ">")
	}
	line(head, s.bold)
	for _, r := range t.rows {
		line(r, func(x string) string { return x })
	}
}

// figure formats a number for a table.
func figure(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v == 0:
		return "0" // not -0
	case v == math.Trunc(v) && math.Abs(v) < 1e6:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// withError shows a value to the digits that its standard error supports.
func withError(v, se float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	if !(se > 0) || math.IsInf(se, 0) {
		return figure(v)
	}
	digits := int(math.Max(0, math.Ceil(-math.Log10(se)+0.3)))
	if digits > 8 || math.Abs(v) >= 1e7 {
		return fmt.Sprintf("%.5g ± %.2g", v, se)
	}
	return fmt.Sprintf("%.*f ± %.*f", digits, v, digits, se)
}

func thousands(n uint64) string { return text.Thousands(n) }

// head shortens a text to a width, keeping its beginning.
func head(s string, width int) string {
	s = ppx.Printable(s)
	if n := utf8.RuneCountInString(s); n > width {
		return string([]rune(s)[:width-1]) + "…"
	}
	return s
}

// clip shortens a string from a simulator to a width, keeping its end, where addresses differ.
func clip(s string, width int) string { return text.Clip(s, width) }
