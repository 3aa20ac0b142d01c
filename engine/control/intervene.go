package control

import (
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Rest is what becomes of the statements after an intervention.
type Rest int

// The ways.
const (
	// Noise is the counterfactual: a statement takes the value that the noise behind its recorded one makes of its new distribution (dist.Carry).
	Noise Rest = iota
	// Fresh draws what comes after the first value that is set anew from the prior.
	Fresh
	// Keep leaves Samples their values, which blocks every effect that goes through one: the direct effect. Observes keep their noise.
	Keep
)

// Intervene makes a recorded run again with some of its Samples set to other values: do(·). Nothing that it answers contributes to the weight of the
// trace, whose factual one stands; Observes get the values that would have been observed. Statements that the recorded run lacks are left to the layers below. For one run.
type Intervene struct {
	recorded *Replay
	set      map[int][]float64 // by entry; NaN: that element is left as it would be
	redrawn  map[int]bool      // entries whose noise is drawn anew
	rest     Rest
	first    int // entry that is set
	seed     uint64
	old      dist.Dist
}

// NewIntervene returns the layer for a run of recorded (NewReplay); seed is that of the noise of discrete values, and of what is redrawn, which depend on nothing else but the trace's row and the entry.
func NewIntervene(recorded *Replay, set map[int][]float64, redrawn map[int]bool, rest Rest, seed uint64) *Intervene {
	l := &Intervene{recorded: recorded, set: set, redrawn: redrawn, rest: rest, seed: seed, first: len(recorded.trace.Sites)}
	for i := range set {
		l.first = min(l.first, i)
	}
	return l
}

// stream is the random numbers of an entry.
func (l *Intervene) stream(entry int, purpose uint64) dist.Stream {
	return dist.NewStream(l.seed, dist.StreamPrediction.Stream(0), uint64(entry), uint64(l.recorded.trace.Row), purpose)
}

// Choose implements engine.Layer.
func (l *Intervene) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	t := l.recorded.trace
	i, ok := l.recorded.in(r.Sofar.Table).entries[s.Key]
	if !ok {
		return engine.Choice{}, false, nil
	}
	set, isSet := l.set[i]
	if !isSet && l.rest == Fresh && i > l.first {
		return engine.Choice{}, false, nil
	}
	value := t.Value(i)
	v := r.Buffer(s.Len)
	c := engine.Choice{Value: v, Origin: tracing.Carried}
	switch {
	case l.redrawn[i]:
		u := l.stream(i, dist.PurposeProposal)
		if err := s.Dist.Sample(&u, v); err != nil {
			return c, false, err
		}
	case l.rest == Keep && s.Op == ppx.Sample && ppx.Fits(value, s.Shape, s.Len):
		copy(v, value.Data)
	default:
		t.DistInto(i, &l.old)
		u := l.stream(i, dist.PurposeNoise)
		if len(value.Data) != s.Len || !s.Dist.Carry(&l.old, value.Data, &u, v) { // it has another size, or nothing tells its noise
			u = l.stream(i, dist.PurposeValue)
			if err := s.Dist.Sample(&u, v); err != nil {
				return c, false, err
			}
		}
	}
	if isSet {
		c.Origin = tracing.Set
		for k := range v {
			if x := set[min(k, len(set)-1)]; x == x {
				v[k] = x
			}
		}
	}
	return c, true, nil
}
