package view

import (
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// IsTerminal tells whether a person looks at what is written.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Style makes text bold or dim on a terminal.
type Style bool

// Styled is the style for a writer: none where nobody looks, or NO_COLOR is set.
func Styled(w any) Style { return Style(IsTerminal(w) && os.Getenv("NO_COLOR") == "") }

// Bold is for headings.
func (s Style) Bold(t string) string { return s.wrap("1", t) }

// Dim is for what matters less.
func (s Style) Dim(t string) string { return s.wrap("2", t) }

// Alarm is for what nobody must miss.
func (s Style) Alarm(t string) string { return s.wrap("1;31", t) }
func (s Style) wrap(code, t string) string {
	if !s || t == "" {
		return t
	}
	return "\x1b[" + code + "m" + t + "\x1b[0m"
}

// Table prints aligned columns; those whose header begins with ">" are aligned right.
type Table struct {
	Header []string
	Rows   [][]string
}

// spare leaves a column out that is empty in all rows.
func (t *Table) spare(header string) {
	at := slices.Index(t.Header, header)
	if at < 0 || slices.ContainsFunc(t.Rows, func(r []string) bool { return r[at] != "" }) {
		return
	}
	t.Header = slices.Delete(t.Header, at, at+1)
	for i := range t.Rows {
		t.Rows[i] = slices.Delete(t.Rows[i], at, at+1)
	}
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// styles are what Style puts around text.
var styles = regexp.MustCompile("\x1b\\[[0-9;]*m")

// visible is how many columns a text takes.
func visible(t string) int { return utf8.RuneCountInString(styles.ReplaceAllString(t, "")) }

// Print writes the table.
func (t *Table) Print(w io.Writer) {
	s := Styled(w)
	width := make([]int, len(t.Header))
	for i, h := range t.Header {
		width[i] = utf8.RuneCountInString(strings.TrimPrefix(h, ">"))
	}
	for _, r := range t.Rows {
		for i, c := range r {
			width[i] = max(width[i], visible(c))
		}
	}
	line := func(cells []string, f func(string) string) {
		var b strings.Builder
		for i, c := range cells {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-visible(c))
			right := strings.HasPrefix(t.Header[i], ">")
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
	head := make([]string, len(t.Header))
	for i, h := range t.Header {
		head[i] = strings.TrimPrefix(h, ">")
	}
	line(head, s.Bold)
	for _, r := range t.Rows {
		line(r, func(x string) string { return x })
	}
}

// Figure formats a Number for a table.
func Figure(v float64) string {
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

// WithError shows a value to the digits that its standard error supports.
func WithError(v, se float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	if !(se > 1e-13*math.Abs(v)) || math.IsInf(se, 0) { // below is rounding
		return Figure(v)
	}
	digits := int(math.Max(0, math.Ceil(-math.Log10(se)+0.3)))
	if digits > 8 || math.Abs(v) >= 1e7 {
		return fmt.Sprintf("%.5g ± %.2g", v, se)
	}
	return fmt.Sprintf("%.*f ± %.*f", digits, v, digits, se)
}

// Head shortens a text to a width, keeping its beginning.
func Head(s string, width int) string {
	s = ppx.Printable(s)
	if n := utf8.RuneCountInString(s); n > width {
		return string([]rune(s)[:width-1]) + "…"
	}
	return s
}

// Bar is a bar of eighths of a cell.
func Bar(fraction float64, width int) string {
	eighths := int(math.Round(fraction * float64(width) * 8))
	b := strings.Repeat("█", eighths/8)
	if r := eighths % 8; r > 0 {
		b += string([]rune(" ▏▎▍▌▋▊▉")[r])
	}
	return b + strings.Repeat("·", max(0, width-len([]rune(b))))
}

// Round is a rate without digits that nobody reads.
func Round(v float64) float64 {
	if v >= 100 {
		return math.Round(v)
	}
	return v
}

// Short is a time for people.
func Short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
