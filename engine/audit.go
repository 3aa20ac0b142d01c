package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// audit judges the values of Samples that a simulator has drawn by itself, in a delegated run: they must be those that the run's random
// numbers give, in the support, and where a value was given beforehand, that one.
type audit struct {
	drawn    []float64 // for the present statement; nil: it waits for a value
	due      bool      // it is to be drawn again and compared
	compared bool      // one has been, in this run
	trusted  bool      // in an earlier run they all have been
}

// rule is the error of a delegated run whose simulator has broken a rule at a statement.
func rule(s *Site, format string, args ...any) error {
	return fmt.Errorf("%w: statement %d: %s", ppx.ErrRule, s.Index, fmt.Sprintf(format, args...))
}

// auditEvery: of so many values that simulators draw by themselves, one is drawn again.
const auditEvery = 1000

// audited chooses the statements whose value is drawn again: the same ones however a run is made.
func (d *Draw) audited(statement int) bool {
	h := (d.Index+1)*0x9E3779B97F4A7C15 + (uint64(d.Chain)<<32+uint64(statement))*0xD6E8FEB86659FD93
	h = (h ^ h>>32) * 0xFF51AFD7ED558CCD
	return (h^h>>29)%auditEvery == 0
}

// take notes what the simulator has drawn for a Sample.
func (a *audit) take(s *Site, d *Draw) error {
	v := s.Value
	if v.Data == nil {
		return fmt.Errorf("%w at %s", rule(s, "the simulator drew no value"), ppx.Quote(s.Address))
	}
	if len(v.Data) != s.Len || !slices.Equal(v.Shape, s.Shape) {
		return fmt.Errorf("%w at %s", rule(s, "the simulator drew a value of shape %s, the distribution's have shape %s",
			dist.ShapeString(v.Shape), dist.ShapeString(s.Shape)), ppx.Quote(s.Address))
	}
	a.drawn = v.Data
	a.due = (!a.trusted || d.audited(s.Index)) && !s.Dist.Kind.Own()
	return nil
}

// compare takes the same value as it was drawn here.
func (a *audit) compare(s *Site, v []float64) error {
	a.compared = true
	var sizes []float64 // of sums, which may cancel
	for i, x := range a.drawn {
		if x == v[i] {
			continue
		}
		size := math.Max(math.Abs(x), math.Abs(v[i]))
		if sizes == nil {
			sizes = make([]float64, s.Len)
			s.Dist.Roundings(s.Shape, sizes)
		}
		size = math.Max(size, sizes[i])
		// Two implementations of a sampler differ by rounding.
		if !(math.Abs(x-v[i]) <= 1e-9*size) {
			return rule(s, "element %d is %.17g, the run's random numbers give %.17g", i, x, v[i])
		}
	}
	return nil
}

// given compares with the value that a layer has given beforehand; the simulator's own stands for it from now on.
func (a *audit) given(s *Site, c *Choice) error {
	if a.drawn == nil || s.Len == 0 || &c.Value[0] == &a.drawn[0] {
		return nil
	}
	for i, x := range c.Value {
		if y := a.drawn[i]; math.Float64bits(x) != math.Float64bits(y) && x != y {
			return rule(s, "the value was given (%s) as %g, the simulator went on with %g", c.Origin, x, y)
		}
	}
	c.Value = a.drawn
	return nil
}

// support judges a value without density: one that is rounded to the end of the support may have none, if our own sampler gives the same.
func (a *audit) support(r *Run, s *Site, e *tracing.Site, v ppx.Tensor) error {
	if a.drawn == nil || e.LogP > math.Inf(-1) || s.Dist.Kind.Own() {
		return nil
	}
	ok := true
	switch {
	case e.Origin == tracing.FromPrior && !a.due:
		a.due = true
		_, err := r.Prior(s)
		ok = err == nil
	case e.Origin == tracing.Inflated && !a.due: // by which way it was drawn, the layer knows, which cannot be asked again
		ok = atTheEnds(&s.Dist, v)
	}
	if !ok {
		return fmt.Errorf("%w at %s", rule(s, "the simulator drew %v, outside the support of %v", v, s.Dist), ppx.Quote(s.Address))
	}
	return nil
}

// atTheEnds tells whether v lies in the closed support of d.
func atTheEnds(d *ppx.Dist, v ppx.Tensor) bool {
	ends := make([]float64, 2*len(v.Data))
	lo, hi := ends[:len(v.Data)], ends[len(v.Data):]
	if d.Kind.Discrete() || d.Support(lo, hi) != nil {
		return false
	}
	for i, x := range v.Data {
		if !(x >= lo[i] && x <= hi[i]) {
			return false
		}
	}
	return true
}
