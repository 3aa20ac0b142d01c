package jobs

import (
	"fmt"
	"slices"

	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Scored is what a run's traces are scored against, by name: given data, and values that the simulator brings itself. It is looked for in the first traces.
type Scored struct {
	values map[string][]float64
	traces int
}

// scoredTraces are looked at.
const scoredTraces = 50

// add looks at a trace.
func (s *Scored) add(t *tracing.Trace) {
	if t.Status != tracing.OK || s.traces == scoredTraces {
		return
	}
	s.traces++
	if s.values == nil {
		s.values = map[string][]float64{}
	}
	note := func(i int, name string) {
		if e := &t.Sites[i]; e.Op == ppx.Observe && e.Origin.Scored() && s.values[name] == nil {
			s.values[name] = slices.Clone(t.Value(i).Data)
		}
	}
	judge.Statements(t, note)
	unnamed := 0
	for i := range t.Sites {
		if e := &t.Sites[i]; e.Op == ppx.Observe && e.Name == 0 && e.Origin.Scored() {
			unnamed++
			note(i, fmt.Sprintf("unnamed Observe %d", unnamed))
		}
	}
}

// Differs names a datum that only one of two runs is scored against, or that has another value; "" if there is none.
func (s *Scored) Differs(o *Scored) string {
	if s == nil || o == nil {
		return ""
	}
	for _, x := range []struct{ a, b *Scored }{{s, o}, {o, s}} {
		for name, v := range x.a.values {
			if !slices.Equal(v, x.b.values[name]) && !slices.ContainsFunc(v, func(x float64) bool { return x != x }) {
				return name
			}
		}
	}
	return ""
}
