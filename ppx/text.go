package ppx

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Quote shows a string from a simulator in one safe, bounded line: control characters and bytes that are
// not UTF-8 are escaped, and what is beyond 200 bytes is cut.
func Quote(s string) string {
	const limit = 200
	cut := ""
	if len(s) > limit {
		n := limit
		for n > limit-4 && !utf8.RuneStart(s[n]) {
			n--
		}
		cut = fmt.Sprintf("… (%d bytes)", len(s))
		s = s[:n]
	}
	return Printable(s) + cut
}

// Printable escapes control characters, invalid bytes and bidirectional overrides, so that a string from
// a simulator can be shown in a terminal.
func Printable(s string) string {
	plain := true
	for _, r := range s {
		if !safeRune(r) {
			plain = false
			break
		}
	}
	if plain {
		return strings.Clone(s)
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !safeRune(r) && r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case !safeRune(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func safeRune(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0, r == utf8.RuneError:
		return false
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
		return false
	}
	return true
}

// List quotes names, the first most of them.
func List(names []string, most int) string {
	var b strings.Builder
	for i, n := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(Quote(n))
	}
	return b.String()
}
