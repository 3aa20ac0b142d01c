package control

import (
	"fmt"
	"sort"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Data are observed values by name. "x" is for every occurrence of the name x in a trace, "x@2" for the
// second only, and then wins.
type Data map[string]ppx.Tensor

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
	values := make([]ppx.Datum, 0, len(d))
	for _, name := range d.Names() {
		values = append(values, ppx.Datum{Name: name, Value: d[name]})
	}
	return ppx.NewData(values)
}

// Condition answers statements whose name is in the data: an Observe is scored against the data, a Sample
// is answered with them and scored, never proposed. With Own, an Observe that is not in the data but
// brings a value is scored at that; without, it is left to the layers below. Shared by all runs.
type Condition struct {
	own  bool
	data *ppx.Data
}

var _ engine.Planner = (*Condition)(nil)

// NewCondition returns the layer for some data, which must not change any more.
func NewCondition(d Data, own bool) *Condition {
	return &Condition{own: own, data: d.Index()}
}

// Plan implements engine.Planner.
func (c *Condition) Plan(p *engine.Plan) bool { return p.Condition(c.data) }

// Choose implements engine.Layer.
func (c *Condition) Choose(_ *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if v, ok := c.data.Find(s.Name, s.Occurrence); ok {
		if len(v.Data) != s.Len {
			return engine.Choice{}, false, fmt.Errorf("%w: the value given for %s has shape %s (%d elements), the simulator's has shape %s (%d elements)",
				engine.ErrData, ppx.Quote(s.Name), dist.ShapeString(v.Shape), len(v.Data), dist.ShapeString(s.Shape), s.Len)
		}
		return engine.Choice{Value: v.Data, Origin: tracing.FromData}, true, nil
	}
	if !c.own || s.Op != ppx.Observe || s.Value.Absent() {
		return engine.Choice{}, false, nil
	}
	if len(s.Value.Data) != s.Len {
		return engine.Choice{}, false, fmt.Errorf("%w: the observed value has shape %s, its distribution %s",
			ppx.ErrInvalid, dist.ShapeString(s.Value.Shape), dist.ShapeString(s.Shape))
	}
	return engine.Choice{Value: s.Value.Data, Origin: tracing.FromModel}, true, nil
}
