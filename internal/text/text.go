// Package text writes numbers and names as people read them.
package text

import (
	"fmt"
	"unicode/utf8"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// Thousands groups the digits of a number: 1,234,567.
func Thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Count is a number of things: 1 address, 2,000 addresses.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Thousands(uint64(n)) + " " + many
}

// Clip shortens a text to a width, keeping its end; what a terminal would take for a command is escaped.
func Clip(s string, width int) string {
	s = ppx.Printable(s)
	if n := utf8.RuneCountInString(s); n > width {
		r := []rune(s)
		return "…" + string(r[n-width+1:])
	}
	return s
}
