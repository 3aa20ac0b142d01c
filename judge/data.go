package judge

import (
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Named tells whether a name, or that of all its occurrences, is in the list.
func Named(list []string, name string) bool {
	base, _ := ppx.SplitOccurrence(name)
	return slices.Contains(list, name) || slices.Contains(list, base)
}

// Statements calls f for the named statements of a trace.
func Statements(t *tracing.Trace, f func(site int, name string)) {
	var occ tracing.Occurrences
	var vars tracing.Variables
	vars.Each(t, func(int, tracing.Quantity, ppx.Tensor) {})
	for i := range t.Sites {
		if e := &t.Sites[i]; e.Name != 0 {
			f(i, vars.Name(tracing.Quantity{Name: e.Name, Occurrence: occ.Next(e)}))
		}
	}
}
