package inspect

import (
	"context"
	"slices"

	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// What a statement can be asked for: numbers, and texts. Value is that of a statement with one element, and absent from others; first, least and largest are of the elements of any;
// weight is the share of its trace, id what its address is called for short.
var (
	NumberFields = []string{"row", "draw", "index", "instance", "control", "log_p", "log_weight", "weight", "value", "size", "first", "least", "largest"}
	TextFields   = []string{"name", "address", "id", "kind", "role"}
)

// Condition is one over those fields.
type Condition interface {
	EvalTexts(number func(field string) (float64, bool), text func(field string) string) (v float64, ok bool)
}

// Match is a statement for which a condition is true.
type Match struct {
	Row, Draw uint64
	Index     int // of the statement
	Address   Address
	Instance  uint32
	Name      string
	Control   bool
	Value     []float64
	LogP      float64
	Weight    float64 // share of its trace, or of all that share its statements
}

// Found is what Grep has found.
type Found struct {
	Matches    []Match // the first ones
	Distinct   uint64  // all of them
	Statements uint64  // those of traces that share their statements with another, as a chain's that stays, counted for each
	Traces     uint64  // that have one
	Weight     float64 // their share
}

const shown = rundir.Addresses | rundir.Instances | rundir.Names | rundir.Controls | rundir.Values | rundir.LogPs

// asks are the columns that a field needs; Instances stands for none: it is a small one.
var asks = map[string]rundir.Want{"row": rundir.Instances, "draw": rundir.Instances, "index": rundir.Instances, "instance": rundir.Instances, "log_weight": rundir.Instances, "weight": rundir.Instances,
	"control": rundir.Controls, "log_p": rundir.LogPs, "value": rundir.Values, "size": rundir.Values, "first": rundir.Values, "least": rundir.Values, "largest": rundir.Values,
	"name": rundir.Names, "address": rundir.Addresses, "id": rundir.Addresses, "kind": rundir.Addresses, "role": rundir.Addresses}

// needs are the columns that a condition needs: the others of a part are read only if it has a statement for which it is true.
func needs(condition Condition) (want rundir.Want) {
	u, ok := condition.(interface{ Uses() []string })
	if !ok {
		return shown
	}
	for _, name := range u.Uses() {
		w, known := asks[name]
		if !known {
			return shown
		}
		want |= w
	}
	if want == 0 {
		want = rundir.Instances
	}
	return want
}

// filter is what must hold for a condition to be true, as far as it can be told without evaluating it: of the value, which is most often asked for, and of all fields.
func filter(condition Condition) (value func(v float64) bool, all func(number func(field string) (float64, bool), text func(field string) string) bool) {
	if f, ok := condition.(interface {
		FilterOf(name string) func(v float64) bool
		Filter() func(func(string) (float64, bool), func(string) string) bool
	}); ok {
		return f.FilterOf("value"), f.Filter()
	}
	return nil, func(func(string) (float64, bool), func(string) string) bool { return true }
}

// Grep looks for statements, and returns the first most of them; 0: all.
func (x *Run) Grep(ctx context.Context, condition Condition, most int) (*Found, error) {
	out := &Found{}
	likely, holds := filter(condition)
	for c, err := range x.scan(ctx, needs(condition)) {
		if err != nil {
			return nil, err
		}
		list := x.Reader.Addresses()
		var d, s, from int
		var weight float64
		number := func(field string) (float64, bool) {
			switch field {
			case "row":
				return float64(c.First) + float64(d), true
			case "draw":
				return float64(c.Draw[d]), true
			case "index":
				return float64(s - from), true
			case "instance":
				return float64(c.Instance[s]), true
			case "control":
				if c.Control[s] {
					return 1, true
				}
				return 0, true
			case "log_p":
				return c.LogP[s], true
			case "log_weight":
				return c.LogWeight[d], true
			case "weight":
				return x.share(weight), true
			}
			v := c.Value(s)
			switch {
			case field == "size":
				return float64(len(v)), true
			case len(v) == 0 || field == "value" && len(v) > 1:
				return 0, false
			case field == "least":
				return slices.Min(v), true
			case field == "largest":
				return slices.Max(v), true
			}
			return v[0], true
		}
		text := func(field string) string {
			if field == "name" {
				return c.Name(s)
			}
			a := &list[c.Address[s]]
			switch field {
			case "address":
				return a.Base
			case "id":
				return ShortAddress(c.Address[s])
			case "role":
				return tracing.Role(a.Op)
			}
			return a.Kind.String()
		}
		for d = range c.Draw {
			var shares uint64
			weight, shares = x.draw(c, d)
			var to int
			from, to = c.Sites(d)
			any := false
			for s = from; s < to; s++ {
				if likely != nil {
					if v, ok := c.One(s); !ok || !likely(v) {
						continue
					}
				}
				if !holds(number, text) {
					continue
				}
				if v, ok := condition.EvalTexts(number, text); !ok || v == 0 || v != v {
					continue
				}
				any = true
				out.Distinct++
				if out.Statements += shares; most > 0 && len(out.Matches) == most {
					continue
				}
				if err := c.More(shown); err != nil {
					if e := x.note(err); e != nil {
						return nil, e
					}
					continue // it is counted, and cannot be shown
				}
				list = x.Reader.Addresses()
				out.Matches = append(out.Matches, Match{Row: c.First + uint64(d), Draw: uint64(c.Draw[d]), Index: s - from, Address: Address{Address: list[c.Address[s]], Place: c.Address[s]},
					Instance: uint32(c.Instance[s]), Name: c.Name(s), Control: c.Control[s], Value: slices.Clone(c.Value(s)), LogP: c.LogP[s], Weight: x.share(weight)})
			}
			if any {
				out.Traces += shares
				out.Weight += weight
			}
		}
	}
	out.Weight = x.share(out.Weight)
	return out, nil
}
