package control

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

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

// SplitOccurrence splits "x@2" into x and 2; the number is 0 for a name without one.
func SplitOccurrence(name string) (base string, k int) {
	if at := strings.LastIndexByte(name, '@'); at > 0 {
		if k, err := strconv.Atoi(name[at+1:]); err == nil && k > 0 {
			return name[:at], k
		}
	}
	return name, 0
}

// Condition answers statements whose name is in the data: an Observe is scored against the data, a Sample
// is answered with them and scored, never proposed. With Own, an Observe that is not in the data but
// brings a value is scored at that; without, it is left to the layers below. Shared by all runs.
type Condition struct {
	own  bool
	data map[string]*named
}

type named struct {
	every      *ppx.Tensor
	occurrence map[int]ppx.Tensor
}

var _ engine.Layer = (*Condition)(nil)

// NewCondition returns the layer for some data, which must not change any more.
func NewCondition(d Data, own bool) *Condition {
	c := &Condition{own: own, data: map[string]*named{}}
	for name, v := range d {
		c.name(name).every = &v // also "x@2": the simulator's own name may look like that
		if base, k := SplitOccurrence(name); k > 0 {
			c.name(base).occurrence[k] = v
		}
	}
	return c
}

func (c *Condition) name(name string) *named {
	n := c.data[name]
	if n == nil {
		n = &named{occurrence: map[int]ppx.Tensor{}}
		c.data[name] = n
	}
	return n
}

// Choose implements engine.Layer.
func (c *Condition) Choose(_ *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if n := c.data[s.Name]; n != nil && s.Name != "" {
		v, ok := n.occurrence[s.Occurrence]
		if !ok && n.every != nil {
			v, ok = *n.every, true
		}
		if ok {
			if len(v.Data) != s.Len {
				return engine.Choice{}, false, fmt.Errorf("%w: the value given for %s has shape %s (%d elements), the simulator's has shape %s (%d elements)",
					engine.ErrData, ppx.Quote(s.Name), dist.ShapeString(v.Shape), len(v.Data), dist.ShapeString(s.Shape), s.Len)
			}
			return engine.Choice{Value: v.Data, Origin: tracing.FromData}, true, nil
		}
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
