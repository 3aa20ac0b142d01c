package tracing

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// ResultName is the name of the run's result among the variables.
const ResultName = "result"

// Quantity is what a named value of a trace is a value of: a statement, by its name and by how many statements of the run have had that
// name so far, or the run's result.
type Quantity struct {
	Name       uint32 // in the trace's Table; 0: the result
	Occurrence uint32 // from 1; of the result 0
}

// Occurrences counts the statements of each name in one trace, whatever their type: the second statement named x is x@2, in given data
// and in results alike. The zero value is ready.
type Occurrences struct {
	seen    []uint32 // by name
	touched []uint32
}

// Reset begins another trace.
func (o *Occurrences) Reset() {
	for _, n := range o.touched {
		o.seen[n] = 0
	}
	o.touched = o.touched[:0]
}

// Clone is a copy that goes on by itself.
func (o *Occurrences) Clone() Occurrences {
	return Occurrences{slices.Clone(o.seen), slices.Clone(o.touched)}
}

// Next is the occurrence of the trace's next entry, 0 for one without a name. Every entry must be given, in order.
func (o *Occurrences) Next(e *Site) uint32 {
	if e.Name == 0 {
		return 0
	}
	for int(e.Name) >= len(o.seen) {
		o.seen = append(o.seen, 0)
	}
	if o.seen[e.Name] == 0 {
		o.touched = append(o.touched, e.Name)
	}
	o.seen[e.Name]++
	return o.seen[e.Name]
}

// IsVariable tells whether a named entry is a variable of its trace: Samples, Tags, and Observes that were drawn because there was no
// data for them. Data are none, nor are factors.
func IsVariable(e *Site) bool {
	return e.Name != 0 && e.Kind != dist.Factor && (e.Op != ppx.Observe || !e.Origin.Scored())
}

// Variables is the definition of what the variables of traces are, and what they are called. It is for the traces of one Table, all of
// which Each must have seen before Label says how a variable is called:
//
//   - A statement named x is the variable x, the second one of that name in its run x@2. A name that itself ends like an
//     occurrence, x@2, or an element, x[0], always has one: x@2@1, x[0]@1.
//   - The elements of a tensor are variables of their own, v[0] or v[1,2]. A value of one element, whatever its shape, is plain v, unless
//     some trace has a v of more (or none): then it is v[0], or v[0,0].
//   - The run's result is result, or the occurrence after the last one where statements have that name.
//
// A trace that has no such statement, element or result lacks the variable.
type Variables struct {
	table   *Table
	occ     Occurrences
	tensors map[Quantity]bool
	results uint32 // the most statements that a trace has had of ResultName
	named   uint32 // id of ResultName; 0 while unknown
}

// Each calls f for the quantities of a trace that have a value: entry is its index, −1 for the result, which comes last.
func (v *Variables) Each(t *Trace, f func(entry int, q Quantity, value ppx.Tensor)) {
	v.table = t.Table
	if v.named == 0 {
		v.named = t.Table.FindName(ResultName)
	}
	v.occ.Reset()
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Name == 0 {
			continue
		}
		k := v.occ.Next(e)
		if e.Name == v.named {
			v.results = max(v.results, k)
		}
		if IsVariable(e) {
			v.one(i, Quantity{e.Name, k}, t.Value(i), f)
		}
	}
	v.one(-1, Quantity{}, t.Result, f)
}

func (v *Variables) one(entry int, q Quantity, value ppx.Tensor, f func(int, Quantity, ppx.Tensor)) {
	if value.Data == nil {
		return
	}
	if len(value.Data) != 1 && !v.tensors[q] {
		if v.tensors == nil {
			v.tensors = map[Quantity]bool{}
		}
		v.tensors[q] = true
	}
	f(entry, q, value)
}

// Tensor tells whether a quantity has had other than one element in some trace: then elements have subscripts.
func (v *Variables) Tensor(q Quantity) bool { return v.tensors[q] }

// Name is what a quantity is called, without subscripts.
func (v *Variables) Name(q Quantity) string {
	if q.Name != 0 {
		return OccurrenceName(v.table.Name(q.Name), int(q.Occurrence))
	}
	return OccurrenceName(ResultName, int(v.results)+1)
}

// Label is what element i of a quantity is called, in a value of that shape.
func (v *Variables) Label(q Quantity, shape []int32, i int) string {
	if !v.tensors[q] {
		return v.Name(q)
	}
	return v.Name(q) + Subscript(i, shape)
}

// subscript is how the names of elements end.
var subscript = regexp.MustCompile(`\[[0-9]+(,[0-9]+)*\]$`)

// OccurrenceName is what the k-th statement of a name in its run is called.
func OccurrenceName(name string, k int) string {
	if _, own := ppx.SplitOccurrence(name); k == 1 && own == 0 && !subscript.MatchString(name) {
		return name
	}
	return ppx.JoinOccurrence(name, k)
}

// Subscript writes the flat index i of a tensor as [1,2], of a scalar as [0].
func Subscript(i int, shape []int32) string {
	if len(shape) == 0 {
		return "[0]"
	}
	at := make([]string, len(shape))
	for d, n := range slices.Backward(shape) {
		at[d] = strconv.Itoa(i % int(n))
		i /= int(n)
	}
	return "[" + strings.Join(at, ",") + "]"
}
