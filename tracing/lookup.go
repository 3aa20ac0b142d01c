package tracing

import (
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Lookup finds the values of some variables in traces. Not for concurrent use.
type Lookup struct {
	vars   *Variables
	needed map[string]int
	values []float64
	there  []bool
	slots  map[Quantity][]slots
}

// slots are where the elements of a value of some shape go to, −1: nowhere.
type slots struct {
	shape []int32
	at    []int
}

// NewLookup returns a lookup that needs nothing yet.
func NewLookup(vars *Variables) Lookup {
	return Lookup{vars: vars, needed: map[string]int{}, slots: map[Quantity][]slots{}}
}

// Need adds variables.
func (l *Lookup) Need(names []string) {
	for _, n := range names {
		if _, ok := l.needed[n]; !ok {
			l.needed[n] = len(l.values)
			l.values, l.there = append(l.values, 0), append(l.there, false)
		}
	}
}

// Read takes the values of a trace.
func (l *Lookup) Read(t *Trace) {
	clear(l.there)
	l.vars.Each(t, func(_ int, q Quantity, v ppx.Tensor) {
		for i, slot := range l.of(q, v.Shape, len(v.Data)) {
			if slot >= 0 {
				l.values[slot], l.there[slot] = v.Data[i], true
			}
		}
	})
}

func (l *Lookup) of(q Quantity, shape []int32, n int) []int {
	for _, s := range l.slots[q] {
		if slices.Equal(s.shape, shape) {
			return s.at
		}
	}
	at := make([]int, n)
	used := false
	for i := range at {
		slot, ok := l.needed[l.vars.Label(q, shape, i)]
		if at[i] = -1; ok {
			at[i], used = slot, true
		}
	}
	if !used {
		at = nil
	}
	l.slots[q] = append(l.slots[q], slots{slices.Clone(shape), at})
	return at
}

// Value is that of a variable in the trace that was read last; !ok: the trace has none.
func (l *Lookup) Value(name string) (v float64, ok bool) {
	i := l.needed[name]
	return l.values[i], l.there[i]
}

// Set gives a variable that is needed a value.
func (l *Lookup) Set(name string, v float64) {
	if i, ok := l.needed[name]; ok {
		l.values[i], l.there[i] = v, true
	}
}

// Census is what all the variables of some traces are called.
type Census struct {
	vars   *Variables
	shapes map[Quantity][][]int32
}

// NewCensus returns an empty one.
func NewCensus(vars *Variables) *Census {
	return &Census{vars: vars, shapes: map[Quantity][][]int32{}}
}

// Add takes the variables of a trace.
func (c *Census) Add(t *Trace) {
	c.vars.Each(t, func(_ int, q Quantity, v ppx.Tensor) {
		if !slices.ContainsFunc(c.shapes[q], func(s []int32) bool { return slices.Equal(s, v.Shape) }) {
			c.shapes[q] = append(c.shapes[q], slices.Clone(v.Shape))
		}
	})
}

// Names are those of the variables, and of their elements.
func (c *Census) Names() map[string]bool {
	names := map[string]bool{}
	for q, shapes := range c.shapes {
		for _, s := range shapes {
			n, _ := dist.Elements(s)
			for i := range n {
				names[c.vars.Label(q, s, i)] = true
			}
		}
	}
	return names
}
