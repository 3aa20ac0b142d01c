package control

import (
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Data are observed values by name. "x@2" is for the second occurrence of the name x in a trace. "x" is for every one if it is the only value
// of that name; beside others, "x@2" say, it is for the first, as names of variables are (tracing.Variables).
type Data map[string]ppx.Tensor

// firsts are the names that stand for their first occurrence only.
func (d Data) firsts() map[string]bool {
	out := map[string]bool{}
	for name := range d {
		base, k := ppx.SplitOccurrence(name)
		_, plain := d[base]
		_, one := d[ppx.JoinOccurrence(base, 1)]
		if k > 1 && plain && !one {
			out[base] = true
		}
	}
	return out
}

// Names returns the names in order.
func (d Data) Names() []string {
	names := make([]string, 0, len(d))
	for n := range d {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Index makes the data ready for look-ups by name and occurrence.
func (d Data) Index() *ppx.Data {
	values, firsts := make([]ppx.Datum, 0, len(d)), d.firsts()
	for _, name := range d.Names() {
		x := ppx.Datum{Name: name, Value: d[name]}
		if firsts[name] {
			x.Name = ppx.JoinOccurrence(name, 1)
		}
		values = append(values, x)
	}
	return ppx.NewData(values)
}

// Partial tells whether elements of a value are missing: NaN.
func Partial(t ppx.Tensor) bool { return slices.ContainsFunc(t.Data, isNaN) }

// Absent tells whether all elements of a value are missing.
func Absent(t ppx.Tensor) bool {
	return !slices.ContainsFunc(t.Data, func(x float64) bool { return x == x })
}

func isNaN(x float64) bool { return x != x }

// Condition answers statements whose name is in the data: an Observe is scored against the data, a Sample
// is answered with them and scored, never proposed. With Own, an Observe that is not in the data but
// brings a value is scored at that; without, it is left to the layers below. Elements of the data that are NaN are
// missing: they are drawn from the prior, and contribute nothing to the weight. Shared by all runs.
type Condition struct {
	own     bool
	data    *ppx.Data
	told    *ppx.Data   // what a simulator that makes runs by itself is told: whole values
	partial bool        // some elements are missing
	steer   atomic.Bool // a Sample has missing elements: a simulator cannot draw those alone
}

var (
	_ engine.Planner = (*Condition)(nil)
	_ engine.Giver   = (*Condition)(nil)
)

// NewCondition returns the layer for some data, which must not change any more.
func NewCondition(d Data, own bool) *Condition {
	c := &Condition{own: own, data: d.Index()}
	c.told = c.data
	var whole []ppx.Datum
	for _, x := range c.data.Values {
		if Partial(x.Value) {
			c.partial = true
		} else {
			whole = append(whole, x)
		}
	}
	if c.partial {
		c.told = ppx.NewData(whole)
	}
	return c
}

// Plan implements engine.Planner.
func (c *Condition) Plan(p *engine.Plan) bool { return p.Condition(c.told) && !c.steer.Load() }

// Choose implements engine.Layer.
func (c *Condition) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if c.partial && r.Delegated() && c.missing(s) && !s.Dist.Kind.Own() { // the simulator knows nothing of what is missing
		c.steer.Store(true)
		return engine.Choice{}, false, engine.ErrSteer
	}
	choice, ok, err := c.Given(r, s)
	if c.partial && ok && err == nil && choice.Origin == tracing.FromData && slices.ContainsFunc(choice.Value, isNaN) {
		return c.complete(r, s, choice.Value)
	}
	return choice, ok, err
}

// missing tells whether all of the value that is given for a statement is missing.
func (c *Condition) missing(s *engine.Site) bool {
	v, ok := c.data.Find(s.Name, s.Occurrence)
	return ok && Absent(v)
}

// Given implements engine.Giver; missing elements are NaN. A value of which nothing is given is drawn, as a latent, also where the
// simulator has one of its own.
func (c *Condition) Given(_ *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if s.Dist.Kind == dist.Factor {
		if _, ok := c.data.Find(s.Name, s.Occurrence); ok {
			return engine.Choice{}, false, fmt.Errorf("%w: %s is the name of a factor, which takes no data", engine.ErrData, ppx.Quote(s.Name))
		}
		return engine.Choice{Value: make([]float64, s.Len), Origin: tracing.FromModel}, c.own, nil
	}
	if v, ok := c.data.Find(s.Name, s.Occurrence); ok {
		if c.partial && Absent(v) {
			return engine.Choice{}, false, nil
		}
		if !ppx.Answers(v, s.Shape, s.Len) {
			return engine.Choice{}, false, fmt.Errorf("%w: the value given for %s has shape %s (%d elements), the simulator's has shape %s (%d elements)",
				engine.ErrData, ppx.Quote(s.Name), dist.ShapeString(v.Shape), len(v.Data), dist.ShapeString(s.Shape), s.Len)
		}
		return engine.Choice{Value: v.Data, Origin: tracing.FromData}, true, nil
	}
	if !c.own || s.Op != ppx.Observe || s.Value.Absent() {
		return engine.Choice{}, false, nil
	}
	if !ppx.Answers(s.Value, s.Shape, s.Len) {
		return engine.Choice{}, false, fmt.Errorf("%w: the observed value has shape %s, its distribution %s",
			ppx.ErrInvalid, dist.ShapeString(s.Value.Shape), dist.ShapeString(s.Shape))
	}
	return engine.Choice{Value: s.Value.Data, Origin: tracing.FromModel}, true, nil
}

// complete draws the missing elements of a value; their density is taken off again by LogQ.
func (c *Condition) complete(r *engine.Run, s *engine.Site, given []float64) (engine.Choice, bool, error) {
	if r.Delegated() {
		c.steer.Store(true)
		return engine.Choice{}, false, engine.ErrSteer
	}
	if s.Dist.Kind.Vector() {
		return engine.Choice{}, false, fmt.Errorf("%w: some numbers of %s are missing, whose draws of %s are rows: give whole values, or none", engine.ErrData, ppx.Quote(s.Name), s.Dist.Kind)
	}
	v := r.Buffer(s.Len)
	if err := s.Dist.Sample(r.Rand(s.Index, dist.PurposeValue), v); err != nil {
		return engine.Choice{}, false, err
	}
	each := make([]float64, s.Len)
	if err := s.Dist.LogProbs(v, each); err != nil {
		return engine.Choice{}, false, err
	}
	logQ := 0.0
	for i, x := range given {
		if x == x {
			v[i] = x
		} else {
			logQ += each[i]
		}
	}
	return engine.Choice{Value: v, LogQ: logQ, Origin: tracing.FromData}, true, nil
}
