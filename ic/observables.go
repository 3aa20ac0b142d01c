package ic

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Observable is what one embedding sees: the values of a named Observe, in their order, or of several scalar
// ones whose names differ only in a number (obs0, obs1, … are "obs#"). Slot k is the k-th of these values.
type Observable struct {
	Name      string    `json:"name"`
	Members   []string  `json:"members"` // one name; or one for each slot
	Shape     []int     `json:"shape"`   // of one value
	Count     int       `json:"count"`   // slots that the embedding sees: those that every trace has
	Mean      []float64 `json:"mean"`    // of the training traces, by number in all slots; one for all of an image
	SD        []float64 `json:"sd"`
	Embedding Embedding `json:"embedding"`
	Varying   bool      `json:"varying,omitempty"` // some traces have more
}

// ErrObservable says that data do not have what a network was trained to see.
var ErrObservable = errors.New("the network does not fit the data")

// size is the number of elements of a value.
func (o *Observable) size() int {
	n := 1
	for _, d := range o.Shape {
		n *= d
	}
	return n
}

// shape32 is the shape of one value as the protocol has it.
func (o *Observable) shape32() []int32 {
	out := make([]int32, len(o.Shape))
	for i, d := range o.Shape {
		out[i] = int32(d)
	}
	return out
}

// inputs is how many numbers the embedding takes.
func (o *Observable) inputs() int {
	return o.Count * o.size()
}

// series tells whether the observable is a sequence of numbers in which a run has a place.
func (o *Observable) series() bool { return o.size() == 1 && o.Count > 1 && !o.Varying }

// slotOf is the slot of the k-th occurrence, from 1, of a member; −1 for none.
func (o *Observable) slotOf(name string, k int) int {
	if len(o.Members) == 1 {
		if k > o.maxSlots() {
			return -1
		}
		return k - 1
	}
	if k > 1 {
		return -1
	}
	if i := slices.Index(o.Members, name); i >= 0 {
		return i
	}
	stem, last := o.last()
	if n, err := strconv.Atoi(strings.TrimPrefix(name, stem)); err == nil && n > last && n-last < o.maxSlots() {
		return len(o.Members) - 1 + n - last
	}
	return -1
}

// maxSlots bounds the memory of sequences that are longer than in the first traces.
func (o *Observable) maxSlots() int { return 4*o.Count + 10_000 }

// last is what the names of several members have in common, and the last one's number.
func (o *Observable) last() (stem string, n int) {
	name := o.Members[len(o.Members)-1]
	stem = strings.TrimRight(name, "0123456789")
	n, _ = strconv.Atoi(name[len(stem):]) // a group's names end in numbers
	return stem, n
}

// nameOf is the name of the observation in a slot, and which occurrence of it.
func (o *Observable) nameOf(slot int) (name string, k int) {
	if len(o.Members) == 1 {
		return o.Members[0], slot + 1
	}
	if slot < len(o.Members) {
		return o.Members[slot], 1
	}
	stem, last := o.last()
	return stem + strconv.Itoa(last+slot-len(o.Members)+1), 1
}

// standardise writes a value as the embedding sees it: with mean 0 and standard deviation 1 over the training
// traces. Images are compressed at large values besides.
func (o *Observable) standardise(slot int, v []float64, out []float32) {
	for i, x := range v {
		k := slot*len(v) + i
		if len(o.Mean) == 1 {
			k = 0
		}
		u := o.z(k, x)
		if o.Embedding.dims() > 0 {
			u = math.Asinh(u)
		}
		out[slot*len(v)+i] = float32(clip(u, 1e4))
	}
}

// z is a number relative to statistic k; 0 for one that is constant.
func (o *Observable) z(k int, x float64) float64 {
	if sd := o.SD[k]; sd > 0 {
		return (x - o.Mean[k]) / sd
	}
	return 0
}

// input is all slots as the embedding sees them; a slot without a value is 0.
func (o *Observable) input(values [][]float64) []float32 {
	out := make([]float32, o.inputs())
	for slot := range min(o.Count, len(values)) {
		if v := values[slot]; v != nil {
			o.standardise(slot, v, out)
		}
	}
	return out
}

func clip(x, most float64) float64 { return math.Max(-most, math.Min(most, x)) }

// observed is the values of a trace by observable and slot.
type observed [][][]float64

// collector finds the observables' values in traces and runs.
type collector struct {
	observables []*Observable
	hidden      map[string]bool // names that occur, but that the network does not see
	byName      map[string]int  // observable of a name
	byStem      map[string]int  // of the names of several members
}

func newCollector(observables []*Observable, hidden []string) *collector {
	c := &collector{observables, map[string]bool{}, map[string]int{}, map[string]int{}}
	for _, name := range hidden {
		c.hidden[name] = true
	}
	for i, o := range observables {
		if len(o.Members) > 1 {
			stem, _ := o.last()
			c.byStem[stem] = i
		}
		for _, m := range o.Members {
			c.byName[m] = i
		}
	}
	return c
}

// of finds observable and slot of the k-th occurrence of a name.
func (c *collector) of(name string, k int) (observable, slot int) {
	if i := c.index(name); i >= 0 {
		return i, c.observables[i].slotOf(name, k)
	}
	return -1, -1
}

// index is the observable that a name belongs to, −1 for none. A sequence may be longer than it was in training: obs51 after
// obs50.
func (c *collector) index(name string) int {
	if i, ok := c.byName[name]; ok {
		return i
	}
	if i, ok := c.byStem[strings.TrimRight(name, "0123456789")]; ok && c.observables[i].slotOf(name, 1) >= 0 {
		return i
	}
	return -1
}

// observation is an entry that is an observable's value.
type observation struct{ entry, observable, slot int }

// trace finds the values in a finished trace.
func (c *collector) trace(t *tracing.Trace) (values observed, observations []observation, err error) {
	values = make(observed, len(c.observables))
	var occ tracing.Occurrences
	for i := range t.Sites {
		e := &t.Sites[i]
		occurrence := int(occ.Next(e))
		if e.Op != ppx.Observe || e.Name == 0 {
			continue
		}
		k, slot := c.of(t.Table.Name(e.Name), occurrence)
		if slot < 0 {
			continue
		}
		o := c.observables[k]
		v := t.Value(i)
		if len(v.Data) != o.size() {
			return nil, nil, fmt.Errorf("draw %d: the observable %s has a value of shape %s here, %v before: leave it out (--embed %s=none), or make its shape the same in every trace",
				t.Draw, ppx.Quote(o.Name), dist.ShapeString(v.Shape), o.Shape, o.Name)
		}
		for len(values[k]) <= slot {
			values[k] = append(values[k], nil)
		}
		values[k][slot] = v.Data
		observations = append(observations, observation{i, k, slot})
	}
	return values, observations, nil
}

// data takes the values from given data; each slot that the network saw in every training trace must be there.
func (c *collector) data(d *ppx.Data) (values observed, err error) {
	values = make(observed, len(c.observables))
	for k, o := range c.observables {
		for slot := 0; ; slot++ {
			name, occurrence := o.nameOf(slot)
			given := name
			if occurrence > 1 {
				given = ppx.JoinOccurrence(name, occurrence)
			}
			v, ok := d.Find(name, occurrence)
			if slot >= o.Count {
				// A value for every occurrence does not tell how many there are.
				ok = ok && slices.ContainsFunc(d.Values, func(x ppx.Datum) bool { return x.Name == given || x.Name == ppx.JoinOccurrence(name, occurrence) })
			}
			if !ok {
				if slot < o.Count {
					return nil, fmt.Errorf("%w: it was trained with %s of shape %v, and no value is given for it (--observe)", ErrObservable, ppx.Quote(given), o.Shape)
				}
				break
			}
			if !ppx.Answers(v, o.shape32(), o.size()) {
				return nil, fmt.Errorf("%w: it was trained with %s of shape %v, the value given has shape %s", ErrObservable, ppx.Quote(given), o.Shape, dist.ShapeString(v.Shape))
			}
			if control.Partial(v) {
				return nil, fmt.Errorf("%w: elements of %s are missing, and it was trained to see them all: infer without the network, or train it without that observation (--embed %s=none)",
					ErrObservable, ppx.Quote(given), ppx.Quote(given))
			}
			values[k] = append(values[k], v.Data)
		}
	}
	for i := range d.Values {
		name := d.Values[i].Name
		base, _ := ppx.SplitOccurrence(name)
		if c.index(name) < 0 && c.index(base) < 0 && !c.hidden[name] && !c.hidden[base] {
			return nil, fmt.Errorf("%w: it was not trained to see %s (it sees %s)", ErrObservable, ppx.Quote(name), c.names())
		}
	}
	return values, nil
}

func (c *collector) names() string {
	var names []string
	for _, o := range c.observables {
		names = append(names, o.Members...)
	}
	return ppx.List(names, 20)
}

// seen is what the first traces show of a name.
type seen struct {
	name    string
	shape   []int
	most    int // occurrences in a trace
	least   int
	traces  int
	differs bool
	shared  bool // with a Sample or a Tag
}

// look notes the named Observes of traces, and the number of traces that are whole.
func look(traces []*tracing.Trace) (order []*seen, whole int) {
	byName := map[string]*seen{}
	for _, t := range traces {
		if t.Status == tracing.Failed {
			continue
		}
		whole++
		counts := map[uint32]int{}
		var occ tracing.Occurrences
		for i := range t.Sites {
			e := &t.Sites[i]
			occurrence := int(occ.Next(e))
			if e.Op != ppx.Observe || e.Name == 0 || e.Kind == dist.None {
				continue
			}
			counts[e.Name]++
			name := t.Table.Name(e.Name)
			s := byName[name]
			shape := ints(t.Value(i).Shape)
			if s == nil {
				s = &seen{name: name, shape: shape, least: math.MaxInt}
				byName[name] = s
				order = append(order, s)
			}
			s.shared = s.shared || occurrence != counts[e.Name]
			s.differs = s.differs || !slices.Equal(squeeze(s.shape), squeeze(shape))
		}
		for id, n := range counts {
			s := byName[t.Table.Name(id)]
			s.most, s.least = max(s.most, n), min(s.least, n)
			s.traces++
		}
	}
	for _, s := range order {
		if s.traces < whole {
			s.least = 0
		}
	}
	return order, whole
}

// survey decides what there is to embed, from the first traces. hidden is the other names.
func survey(traces []*tracing.Trace, embed map[string]Embedding) (out []*Observable, hidden, warnings []string, err error) {
	order, whole := look(traces)
	if whole == 0 {
		return nil, nil, nil, errors.New("there is no trace to learn from")
	}
	names, known := make([]string, 0, len(order)), map[string]bool{}
	var varying []string
	for _, s := range order {
		names = append(names, s.name)
		known[s.name] = true
		if s.least != s.most && embed[s.name].Kind != NoEmbedding {
			varying = append(varying, s.name)
		}
	}
	if len(varying) > 0 {
		warnings = append(warnings, fmt.Sprintf("not every trace has as many observations of %s: the network sees as many as all have", ppx.List(varying, 10)))
	}
	// How many observations there are is no data: what not every trace has would tell the network what the latents were that
	// brought it about, and at inference it would be told wrong.
	groups := group(slices.DeleteFunc(slices.Clone(order), func(s *seen) bool { return s.least == 0 }), embed)
	for _, g := range groups {
		var differs error
		o := &Observable{Name: g.name, Shape: g.members[0].shape}
		known[g.name] = true
		for _, s := range g.members {
			o.Members = append(o.Members, s.name)
			o.Count += s.least
			o.Varying = o.Varying || s.least != s.most
			if s.shared {
				differs = fmt.Errorf("the observable %s shares its name with a Sample or a Tag before it: name that differently, or leave it out with --embed %s=none", ppx.Quote(s.name), s.name)
			}
			if s.differs {
				differs = fmt.Errorf("the observable %s has values of different shapes: leave it out with --embed %s=none", ppx.Quote(s.name), s.name)
			}
		}
		e := embed[g.name]
		if e.Kind == NoEmbedding {
			continue
		}
		if differs != nil {
			return nil, nil, nil, differs
		}
		if o.size() == 0 {
			warnings = append(warnings, fmt.Sprintf("the observable %s has no elements: the network does not see it", ppx.Quote(g.name)))
			continue
		}
		if o.Embedding, err = e.complete(o.Shape, o.Count); err != nil {
			return nil, nil, nil, fmt.Errorf("observable %s: %w", ppx.Quote(g.name), err)
		}
		if d := o.Embedding.dims(); d > 0 {
			o.Shape = squeeze(o.Shape)
		}
		out = append(out, o)
	}
	for name := range embed {
		if !known[name] {
			has := "it has no named Observe"
			if len(names) > 0 {
				has = "it has " + ppx.List(names, 40)
			}
			return nil, nil, nil, fmt.Errorf("%w: --embed %s: the simulator never observes that (%d traces); %s", ErrEmbed, ppx.Quote(name), whole, has)
		}
	}
	switch {
	case len(out) > 0:
	case len(names) > 0:
		return nil, nil, nil, fmt.Errorf("there is nothing to learn from: of the observations %s none is in every trace and not hidden (--embed)", ppx.List(names, 40))
	default:
		return nil, nil, nil, errors.New("there is nothing to learn from: no trace has a named Observe")
	}
	c := newCollector(out, nil)
	for _, name := range names {
		if c.index(name) < 0 {
			hidden = append(hidden, name)
		}
	}
	return out, hidden, append(warnings, statistics(traces, out)...), nil
}

// ErrEmbed says that an embedding was asked for that cannot be.
var ErrEmbed = errors.New("no such observable")

func ints(shape []int32) []int {
	out := []int{}
	for _, d := range shape {
		out = append(out, int(d))
	}
	return out
}

type grouped struct {
	name    string
	members []*seen
}

// group joins scalar observables whose names differ only in a number at their end; not those that have a
// setting of their own.
func group(order []*seen, embed map[string]Embedding) (out []grouped) {
	stems := map[string][]*seen{}
	names := map[string]bool{}
	for _, s := range order {
		names[s.name] = true
	}
	number := func(s *seen) (stem string, n int) {
		stem = strings.TrimRight(s.name, "0123456789")
		n, err := strconv.Atoi(s.name[len(stem):])
		if _, own := embed[s.name]; own || err != nil || s.most > 1 || s.differs || len(squeeze(s.shape)) > 0 || names[stem+"#"] {
			return "", 0
		}
		return stem + "#", n
	}
	for _, s := range order {
		if stem, _ := number(s); stem != "" {
			stems[stem] = append(stems[stem], s)
		}
	}
	for _, s := range order {
		stem, _ := number(s)
		members := stems[stem]
		switch {
		case len(members) < 2:
			out = append(out, grouped{s.name, []*seen{s}})
		case members[0] == s: // the others come with it
			sorted := slices.Clone(members)
			slices.SortStableFunc(sorted, func(a, b *seen) int {
				_, i := number(a)
				_, j := number(b)
				return cmp.Compare(i, j)
			})
			out = append(out, grouped{stem, sorted})
		}
	}
	return out
}

// statistics computes means and standard deviations; constant observables are named.
func statistics(traces []*tracing.Trace, observables []*Observable) (warnings []string) {
	c := newCollector(observables, nil)
	type moments struct{ n, mean, m2 float64 }
	sums := make([][]moments, len(observables))
	for k, o := range observables {
		n := o.Count * o.size()
		if o.Embedding.dims() > 0 {
			n = 1
		}
		sums[k] = make([]moments, n)
	}
	for _, t := range traces {
		if t.Status == tracing.Failed {
			continue
		}
		values, _, err := c.trace(t)
		if err != nil {
			continue // said again when the trace is used
		}
		for k, slots := range values {
			for slot, v := range slots {
				if slot >= observables[k].Count {
					break
				}
				for i, x := range v {
					m := &sums[k][(slot*len(v)+i)%len(sums[k])]
					m.n++
					d := x - m.mean
					m.mean += d / m.n
					m.m2 += d * (x - m.mean)
				}
			}
		}
	}
	for k, o := range observables {
		constant := true
		for _, m := range sums[k] {
			sd := 0.0
			if m.n > 1 {
				sd = math.Sqrt(m.m2 / (m.n - 1))
			}
			if !(sd > 1e-12*math.Abs(m.mean)) || math.IsInf(sd, 0) {
				sd = 0
			}
			constant = constant && sd == 0
			o.Mean, o.SD = append(o.Mean, m.mean), append(o.SD, sd)
		}
		if constant {
			warnings = append(warnings, fmt.Sprintf("the observable %s is the same in every trace: the network cannot learn from it", ppx.Quote(o.Name)))
		}
	}
	return warnings
}
