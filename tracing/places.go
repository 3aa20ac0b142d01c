package tracing

import (
	"regexp"
	"strings"
)

// What people and networks take for one place in the code is coarser than an address base where a Categorical has probabilities of different lengths, and finer
// where draws of different kinds are made on one line, as by a loop over parameters.

// Fold is what bases have in common that differ in the length of a Categorical's probabilities.
func Fold(base string) string {
	const label = "__Categorical"
	if i := strings.LastIndex(base, label+"(len_probs:"); i >= 0 {
		return base[:i+len(label)]
	}
	return base
}

var digits = regexp.MustCompile(`[0-9]+`)

// Stem is a name without its numbers: state1 and state2 are of one kind, mu and sigma are not.
func Stem(name string) string {
	if strings.ContainsAny(name, "0123456789") {
		return digits.ReplaceAllString(name, "")
	}
	return name
}
