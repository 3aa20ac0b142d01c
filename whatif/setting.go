// Package whatif asks of recorded runs what would have happened: under an intervention, do(·), and with one draw redrawn at a time, which tells the draws that matter.
package whatif

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// ErrUse says that what was asked for cannot be done with this run.
var ErrUse = errors.New("cannot be done")

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUse, fmt.Errorf(format, args...))
}

// Setting is one NAME=VALUE of an intervention: a Sample's name (all its occurrences), an occurrence (name@2), an element (name[3]), or an address; the value is a number, an expression over the variables of
// the recorded trace, or a list of numbers.
type Setting struct{ Name, Value string }

// ParseSetting reads NAME=VALUE. A name may hold the sign itself only if none comes before it.
func ParseSetting(text string) (s Setting, err error) {
	name, value, ok := strings.Cut(text, "=")
	if name, value = strings.TrimSpace(name), strings.TrimSpace(value); !ok || name == "" || value == "" {
		return s, unusable("--set %s: want NAME=VALUE", ppx.Quote(text))
	}
	return Setting{name, value}, nil
}

// Intervention is settings that are ready for the traces of a run. Not for concurrent use.
type Intervention struct {
	settings []setting
	vars     tracing.Variables
	lookup   tracing.Lookup
	used     []bool // of settings, by any trace
	tags     []bool // a Tag or an Observe has the name
}

type setting struct {
	Setting
	value *expression.Expression
	list  []float64
}

// NeedsNames tells whether any value is an expression over variables, whose names have to be known.
func NeedsNames(settings []Setting) bool {
	return slices.ContainsFunc(settings, func(s Setting) bool {
		_, err := expression.Compile(s.Value, nil)
		return err != nil && !strings.HasPrefix(s.Value, "[")
	})
}

// NewIntervention reads the values; variables are those of the traces. Errors: ErrUse, *expression.Error.
func NewIntervention(settings []Setting, variables []string) (*Intervention, error) {
	x := &Intervention{used: make([]bool, len(settings)), tags: make([]bool, len(settings))}
	x.lookup = tracing.NewLookup(&x.vars)
	for _, s := range settings {
		if strings.HasPrefix(s.Value, "[") {
			var list []float64
			if err := json.Unmarshal([]byte(s.Value), &list); err != nil || len(list) == 0 {
				return nil, unusable("--set %s: %s is no list of numbers", ppx.Quote(s.Name), ppx.Quote(s.Value))
			}
			x.settings = append(x.settings, setting{Setting: s, list: list})
			continue
		}
		e, err := expression.Compile(s.Value, variables)
		if err != nil {
			return nil, fmt.Errorf("--set %s: %w", ppx.Quote(s.Name), err)
		}
		x.lookup.Need(e.Names)
		x.settings = append(x.settings, setting{Setting: s, value: e})
	}
	return x, nil
}

// Of is what the intervention sets in a trace: values by entry, NaN for elements that are not set; empty: the trace has none of it.
func (x *Intervention) Of(t *tracing.Trace) (map[int][]float64, error) {
	x.lookup.Read(t)
	out := map[int][]float64{}
	var occ tracing.Occurrences
	for i := range t.Sites {
		e := &t.Sites[i]
		k := occ.Next(e)
		name, base := t.Table.Name(e.Name), t.Table.Address(e.Address).Base
		for j := range x.settings {
			s := &x.settings[j]
			element, ok := s.names(name, base, k, t.Value(i))
			if !ok {
				continue
			}
			if e.Op != ppx.Sample {
				x.tags[j] = true
				continue
			}
			x.used[j] = true
			if err := s.put(out, i, element, t, &x.lookup); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// whole is the element that stands for all of them.
const whole = -1

// names tells whether a setting means the k-th statement of a name, and which element of it.
func (s *setting) names(name, base string, k uint32, v ppx.Tensor) (element int, ok bool) {
	if s.Name == base {
		return whole, true
	}
	if name == "" || !strings.HasPrefix(s.Name, name) {
		return 0, false
	}
	one := tracing.OccurrenceName(name, int(k))
	if s.Name == name || s.Name == one || s.Name == ppx.JoinOccurrence(name, int(k)) {
		return whole, true
	}
	for _, prefix := range []string{name, one} {
		if rest, ok := strings.CutPrefix(s.Name, prefix); ok && strings.HasPrefix(rest, "[") {
			for i := range v.Len() {
				if tracing.Subscript(i, v.Shape) == rest {
					return i, true
				}
			}
		}
	}
	return 0, false
}

// put notes the value for an entry.
func (s *setting) put(out map[int][]float64, entry, element int, t *tracing.Trace, lookup *tracing.Lookup) error {
	n := t.Value(entry).Len()
	list := s.list
	if s.value != nil {
		x, ok := s.value.Eval(lookup.Value)
		if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
			return unusable("--set %s=%s: in draw %d that is no number", ppx.Quote(s.Name), s.Value, t.Row)
		}
		list = []float64{x}
	}
	v := out[entry]
	if v == nil {
		v = make([]float64, n)
		for i := range v {
			v[i] = math.NaN()
		}
		out[entry] = v
	}
	switch {
	case len(list) != 1 && (element != whole || len(list) != n):
		return unusable("--set %s: %d numbers for %d", ppx.Quote(s.Name), len(list), map[bool]int{true: n, false: 1}[element == whole])
	case element != whole:
		v[element] = list[0]
	default:
		for i := range v {
			v[i] = list[min(i, len(list)-1)]
		}
	}
	if d := t.Dist(entry); d.Kind.Discrete() {
		for _, x := range list { // a simulator may index with it
			if one := dist.Scalar(x); x != math.Trunc(x) || !anyHas(&d, one, n) {
				return unusable("--set %s: %g is no value of %s", ppx.Quote(s.Name), x, d)
			}
		}
	}
	return nil
}

// anyHas tells whether a number is possible for any of n elements.
func anyHas(d *dist.Dist, x dist.Tensor, n int) bool {
	lo, hi := make([]float64, n), make([]float64, n)
	if d.Support(lo, hi) != nil {
		return false
	}
	return x.Data[0] >= slices.Min(lo) && x.Data[0] <= slices.Max(hi)
}

// Unused tells of a setting that no trace had a Sample for. Errors: ErrUse.
func (x *Intervention) Unused() error {
	for i, used := range x.used {
		switch {
		case used:
		case x.tags[i]:
			return unusable("--set %s: that is no Sample, but what the simulator computes or is compared with: set what it comes from", ppx.Quote(x.settings[i].Name))
		default:
			return unusable("--set %s: no trace has a Sample of that name, nor of that address", ppx.Quote(x.settings[i].Name))
		}
	}
	return nil
}
