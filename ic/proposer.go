package ic

import (
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic/head"
	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Proposer lets a trained network guide runs, given data. What runs ask at the same time is computed together; a
// proposal has the same bits whatever else is in its batch, on one type of CPU. Safe for concurrent use.
type Proposer struct {
	n      *Network[float32]
	values observed // the data by observable and slot

	first  *nn.Dense   // gates of the first layer from [f, v]
	from   []*nn.Dense // of the others from the layer below
	state  []*nn.Dense // of each layer from its own state
	gates  []float32   // of the first layer: all that depends on data alone
	bias   [][]float32 // of the others
	trunkH *nn.Dense   // the trunk from the LSTM's result
	trunkF *nn.Dense   // from [f, v]
	trunk  []float32   // all that depends on data alone
	places *nn.Dense   // the trunk from an element's position

	embedded []float32
	mu       sync.Mutex
	compiled map[*Address]*compiled
	tables   map[*tracing.Table]*tableCache
	rooms    sync.Pool
}

var _ engine.Batcher = (*Proposer)(nil)

// compiled is what there is to know of an address.
type compiled struct {
	p              *Address
	l              *layers[float32]
	here, before   []float32 // its part of the first layer's gates, as the present address and as the one before
	trunk          []float32
	out            *nn.Dense // from the trunk
	skipF, skipPos *nn.Dense // from [f, v] and an element's position
	memory         *nn.Dense // from an element's position
	from, to       int       // the outputs that the linear path reaches
	bias           []float32 // with all that depends on data alone
}

// tableCache finds addresses and observables by number.
type tableCache struct {
	places sync.Map // *placesAt by address number
	names  sync.Map // observable by name number, −1 for none
}

// NewProposer prepares a network for data. It must not be trained any more. Errors: ErrObservable.
func NewProposer(n *Network[float32], data control.Data) (*Proposer, error) {
	p := &Proposer{n: n, compiled: map[*Address]*compiled{}, tables: map[*tracing.Table]*tableCache{}}
	var err error
	if p.values, err = n.collector.data(data.Index()); err != nil {
		return nil, err
	}
	var inputs [][]float32
	for i, e := range n.embeds {
		inputs = append(inputs, e.o.input(p.values[i]))
	}
	p.embedded = n.embed(inputs)
	s := &n.Settings
	e, fv := len(p.embedded), n.efv()-len(p.embedded)
	l := n.lstm[0]
	p.first = nn.NewDense(l.Wx.Value, 4*s.Hidden, l.In, e, fv)
	p.gates = share(l.Wx.Value, l.In, 0, p.embedded, l.B.Value)
	for i, l := range n.lstm {
		p.state = append(p.state, nn.NewDense(l.Wh.Value, 4*s.Hidden, s.Hidden, 0, s.Hidden))
		if i > 0 {
			p.from = append(p.from, nn.NewDense(l.Wx.Value, 4*s.Hidden, l.In, 0, l.In))
			p.bias = append(p.bias, l.B.Value)
		}
	}
	t := n.trunk
	p.trunkH = nn.NewDense(t.W.Value, s.Trunk, t.In, 0, s.Hidden)
	p.trunkF = nn.NewDense(t.W.Value, s.Trunk, t.In, s.Hidden+e, fv)
	p.trunk = share(t.W.Value, t.In, s.Hidden, p.embedded, t.B.Value)
	p.places = nn.NewDense(n.positions.W.Value, s.Trunk, positionFeatures, 0, positionFeatures)
	return p, nil
}

// share is bias + x·Wᵀ for the columns of W, stride wide, from the given one on.
func share(w []float32, stride, from int, x, bias []float32) []float32 {
	out := make([]float32, len(w)/stride)
	copy(out, bias)
	d := nn.NewDense(w, len(out), stride, from, len(x))
	d.Add(1, x, out)
	return out
}

// compile prepares an address.
func (p *Proposer) compile(place *Address) *compiled {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.compiled[place]; c != nil {
		return c
	}
	n, s := p.n, &p.n.Settings
	l := n.layers[place]
	c := &compiled{p: place, l: l}
	e, efv := len(p.embedded), n.efv()
	kind := n.kinds.Value[int(place.Kind)*s.Kind:][:s.Kind]
	both := append(append([]float32(nil), l.address.Value...), kind...)
	first := n.lstm[0]
	c.here = share(first.Wx.Value, first.In, efv, both, nil)
	c.before = share(first.Wx.Value, first.In, efv+len(both), both, nil)
	c.trunk = share(n.trunk.W.Value, n.trunk.In, s.Hidden+efv, l.address.Value, nil)
	outs := place.outputs()
	c.from, c.to = place.family.Linear()
	linear := c.to - c.from
	c.out = nn.NewDense(l.out.W.Value, outs, s.Trunk, 0, s.Trunk)
	c.skipF = nn.NewDense(l.skip.W.Value, linear, l.skip.In, e, efv-e)
	c.bias = append([]float32(nil), l.out.B.Value...)
	nn.Add(c.bias[c.from:c.to], share(l.skip.W.Value, l.skip.In, 0, p.embedded, l.skip.B.Value))
	if l.memory != nil {
		c.memory = nn.NewDense(l.memory.W.Value, l.memory.Out, positionFeatures, 0, positionFeatures)
		nn.Add(c.bias[place.family.Outputs():], l.memory.B.Value)
	}
	if place.Tensor {
		c.skipPos = nn.NewDense(l.skip.W.Value, linear, l.skip.In, efv, positionFeatures)
	}
	p.compiled[place] = c
	return c
}

func (p *Proposer) table(t *tracing.Table) *tableCache {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.tables[t]
	if c == nil {
		c = &tableCache{}
		p.tables[t] = c
	}
	return c
}

// placesAt is those of one address, by the names of draws.
type placesAt struct {
	mu     sync.RWMutex
	byName map[string]*compiled
}

// place finds that of a statement; nil when the network has not seen it.
func (p *Proposer) place(c *tableCache, t *tracing.Table, address uint32, name string) *compiled {
	x, ok := c.places.Load(address)
	if !ok {
		x, _ = c.places.LoadOrStore(address, &placesAt{byName: map[string]*compiled{}})
	}
	at := x.(*placesAt)
	at.mu.RLock()
	found, ok := at.byName[name]
	at.mu.RUnlock()
	if ok {
		return found
	}
	if x := p.n.find(t.Address(address).Base, name); x != nil {
		found = p.compile(x)
	}
	at.mu.Lock()
	if len(at.byName) < 1<<16 { // names may be made up without end
		at.byName[strings.Clone(name)] = found
	}
	at.mu.Unlock()
	return found
}

// observable finds the observable of a name, −1 for none.
func (p *Proposer) observable(c *tableCache, t *tracing.Table, name uint32) int {
	if k, ok := c.names.Load(name); ok {
		return k.(int)
	}
	k := p.n.collector.index(t.Name(name))
	c.names.Store(name, k)
	return k
}

// ForRun returns the guide of one run.
func (p *Proposer) ForRun() control.Proposer { return &pilot{p: p} }

// proposal is that for one site.
type proposal struct {
	here    *compiled
	site    site
	numbers []float64
	rows    []float64 // a row for each element
}

var _ control.Proposal = (*proposal)(nil)

// pilot is the state of one run: the proposal is for the present site.
type pilot struct {
	proposal
	p       *Proposer
	tracker *tracker
	cache   *tableCache
	table   *tracing.Table
	seen    int // entries that were looked at
	occ     tracing.Occurrences

	last      *compiled
	lastEntry int
	shape     []int32

	x      []float32 // [f, v]
	h, c   [][]float32
	steps  int
	answer int // the statement whose proposal is in rows, plus 1

	open  []opened       // the rejection loops that the run is in
	loops map[int]opened // all that it has come to, by the entry of their first pass
}

var _ control.Proposer = (*pilot)(nil)

// Propose implements control.Proposer.
func (s *pilot) Propose(r *engine.Run, at *engine.Site) (control.Proposal, bool, error) {
	return s.ask(r, at, s.p)
}

// ask has b answer what is new.
func (s *pilot) ask(r *engine.Run, at *engine.Site, b engine.Batcher) (control.Proposal, bool, error) {
	if s.answer == at.Index+1 {
		return s, true, nil
	}
	if !s.arrive(r.Sofar, at) {
		return nil, false, nil
	}
	return nil, false, r.Later(b, s)
}

// arrive takes the run to its present site, for which Flush then computes the proposal; false if the network does not know the address.
func (s *pilot) arrive(sofar *tracing.Trace, at *engine.Site) bool {
	if s.tracker == nil {
		s.tracker = s.p.n.collector.tracker()
		s.table = sofar.Table
		s.cache = s.p.table(s.table)
	}
	s.observe(sofar)
	here := s.p.place(s.cache, s.table, at.Key.Address, at.Name)
	if here == nil {
		return false
	}
	n := s.p.n
	f := n.collector.features()
	if s.x == nil {
		s.x = make([]float32, f+n.valueWidth())
	}
	v := s.x[f:]
	clear(v)
	if s.last = s.here; s.last != nil { // the value before, of s.site
		s.last.value(&s.site, s.site.coordinates(sofar.Value(s.lastEntry).Data), v)
	}
	s.here, s.lastEntry = here, at.Index
	s.shape = append(s.shape[:0], at.Shape...)
	s.site = newSite(&at.Dist, s.shape, at.Len, nil, s.numbers)
	s.numbers = s.site.numbers
	s.tracker.visit(here.p, &s.site, s.p.next, s.x[:f])
	here.p.priorInto(&s.site, s.x[:f])
	s.answer = -at.Index - 1
	return true
}

// next is the value of a slot of an observable in the data.
func (p *Proposer) next(k, slot int) []float64 {
	if slot < len(p.values[k]) {
		return p.values[k][slot]
	}
	return nil
}

// observe follows the observations since the last site.
func (s *pilot) observe(t *tracing.Trace) {
	for ; s.seen < len(t.Sites); s.seen++ {
		e := &t.Sites[s.seen]
		occurrence := int(s.occ.Next(e))
		if e.Op == ppx.Tag && s.p.n.Settings.Loops {
			s.mark(e.Address)
		}
		if e.Op != ppx.Observe || e.Name == 0 {
			continue
		}
		k := s.p.observable(s.cache, s.table, e.Name)
		if k < 0 {
			continue
		}
		if slot := s.p.n.Observables[k].slotOf(s.table.Name(e.Name), occurrence); slot >= 0 {
			s.tracker.observed(k, slot)
		}
	}
}

// value embeds a value.
func (c *compiled) value(s *site, values []float64, out []float32) {
	in := make([]float64, c.p.valueInputs())
	c.p.valueFeatures(s, values, in)
	var room [valueHidden]float64
	for o := range room {
		room[o] = max(0, dense(c.l.first, in, o))
	}
	embedded := out[:len(out)-valueHidden]
	for o := range embedded {
		embedded[o] = float32(dense(c.l.value, room[:], o))
	}
	for i, x := range room {
		out[len(embedded)+i] = float32(x)
	}
}

// dense is output o of a linear layer for one row, in double precision.
func dense(l *nn.Linear[float32], in []float64, o int) float64 {
	sum := float64(l.B.Value[o])
	for i, x := range in {
		sum += x * float64(l.W.Value[o*l.In+i])
	}
	return sum
}

// Sample implements control.Proposal.
func (s *proposal) Sample(st *dist.Stream, out []float64) error {
	m := s.here.p.memory()
	if !s.site.of.Vector() {
		for i := range out {
			out[i] = s.sample(m, i, s.site.prior(i), st)
		}
		return nil
	}
	line := 0
	for i := range s.site.draws {
		r := &s.site.draws[i]
		c := make([]float64, r.Parts())
		for j := range c {
			c[j] = s.sample(m, line, r.Part(j, c), st)
			line++
		}
		r.Join(c, out[i*r.Size():(i+1)*r.Size()])
	}
	return nil
}

// sample draws element i.
func (s *proposal) sample(m *memory, i int, prior head.Prior, st *dist.Stream) float64 {
	numbers := s.row(i)
	x := s.here.p.family.Sample(&prior, m.row(numbers), st)
	if m != nil {
		m.add(numbers, zeta(&prior, x))
	}
	return x
}

// LogProb implements control.Proposal.
func (s *proposal) LogProb(v []float64) (sum float64) {
	m := s.here.p.memory()
	if !s.site.of.Vector() {
		for i, x := range v {
			sum += s.logProb(m, i, s.site.prior(i), x)
		}
		return sum
	}
	all := make([]float64, s.site.elements)
	sum, ok := s.site.split(v, all)
	if !ok {
		return math.Inf(-1)
	}
	line := 0
	for i := range s.site.draws {
		r := &s.site.draws[i]
		c := all[line : line+r.Parts()]
		for j, x := range c {
			sum += s.logProb(m, line, r.Part(j, c), x)
			line++
		}
	}
	return sum
}

// logProb is the log density of element i.
func (s *proposal) logProb(m *memory, i int, prior head.Prior, x float64) float64 {
	numbers := s.row(i)
	lp := s.here.p.family.LogProb(&prior, m.row(numbers), x, nil)
	if m != nil {
		m.add(numbers, zeta(&prior, x))
	}
	return lp
}

func (s *proposal) row(i int) []float64 {
	n := s.here.p.outputs()
	return s.rows[i*n : (i+1)*n]
}

// room is the work space of a batch.
type room struct {
	x, gates, h, trunk, below, position []float32
	positions                           []float64
}

func grow(x *[]float32, n int) []float32 {
	if cap(*x) < n {
		*x = make([]float32, n)
	}
	return (*x)[:n]
}

// maxBatch bounds the work space.
const maxBatch = 64

// Flush implements engine.Batcher: it advances runs by a step, and leaves each with its proposal.
func (p *Proposer) Flush(requests []any) error {
	w, _ := p.rooms.Get().(*room)
	if w == nil {
		w = &room{}
	}
	defer p.rooms.Put(w)
	for len(requests) > 0 {
		k := min(len(requests), maxBatch)
		runs := make([]*pilot, 0, maxBatch)
		// Those that begin come last: they have no state to multiply with.
		for _, begin := range []bool{false, true} {
			for _, x := range requests[:k] {
				if s := x.(*pilot); (s.steps == 0) == begin {
					runs = append(runs, s)
				}
			}
		}
		p.step(w, runs)
		requests = requests[k:]
	}
	return nil
}

func (p *Proposer) step(w *room, runs []*pilot) {
	s := &p.n.Settings
	rows, h := len(runs), s.Hidden
	old := 0
	for old < rows && runs[old].steps > 0 {
		old++
	}
	in := p.first.In
	x, gates := grow(&w.x, rows*in), grow(&w.gates, rows*4*h)
	for i, r := range runs {
		copy(x[i*in:(i+1)*in], r.x)
		g := gates[i*4*h : (i+1)*4*h]
		copy(g, p.gates)
		nn.Add(g, r.here.here)
		if r.last != nil {
			nn.Add(g, r.last.before)
		}
		if r.h == nil {
			r.h, r.c = make([][]float32, s.Depth), make([][]float32, s.Depth)
			state := make([]float32, 2*s.Depth*h)
			for d := range s.Depth {
				r.h[d], r.c[d] = state[2*d*h:(2*d+1)*h], state[(2*d+1)*h:(2*d+2)*h]
			}
		}
	}
	p.first.Add(rows, x, gates)
	state := grow(&w.h, rows*h)
	for d := range s.Depth {
		if d > 0 {
			below := grow(&w.below, rows*h)
			for i, r := range runs {
				copy(below[i*h:(i+1)*h], r.h[d-1])
				copy(gates[i*4*h:(i+1)*4*h], p.bias[d-1])
			}
			p.from[d-1].Add(rows, below, gates)
		}
		for i, r := range runs[:old] {
			copy(state[i*h:(i+1)*h], r.h[d])
		}
		p.state[d].Add(old, state, gates)
		for i, r := range runs {
			nn.Step(gates[i*4*h:(i+1)*4*h], r.h[d], r.c[d])
		}
	}
	for i, r := range runs {
		copy(state[i*h:(i+1)*h], r.h[s.Depth-1])
	}
	trunk := grow(&w.trunk, rows*s.Trunk)
	for i, r := range runs {
		t := trunk[i*s.Trunk : (i+1)*s.Trunk]
		copy(t, p.trunk)
		nn.Add(t, r.here.trunk)
	}
	p.trunkF.Add(rows, x, trunk)
	p.trunkH.Add(rows, state, trunk)
	for i, r := range runs {
		p.head(w, r, x[i*in:(i+1)*in], trunk[i*s.Trunk:(i+1)*s.Trunk])
	}
}

// head computes the rows of a run's proposal.
func (p *Proposer) head(w *room, r *pilot, x, trunk []float32) {
	c, n := r.here, r.site.elements
	outs := c.out.Out
	if cap(r.rows) < n*outs {
		r.rows = make([]float64, n*outs)
	}
	r.rows = r.rows[:n*outs]
	out, hidden := make([]float32, outs), make([]float32, len(trunk))
	for i := range n {
		copy(hidden, trunk)
		copy(out, c.bias)
		if c.p.Tensor {
			position := grow(&w.position, positionFeatures)
			if w.positions == nil {
				w.positions = make([]float64, positionFeatures)
			}
			c.p.position(&r.site, i, w.positions)
			for j, v := range w.positions {
				position[j] = float32(v)
			}
			nn.Add(hidden, p.n.positions.B.Value)
			p.places.Add(1, position, hidden)
			c.skipPos.Add(1, position, out[c.from:c.to])
			if c.memory != nil {
				c.memory.Add(1, position, out[c.p.family.Outputs():])
			}
		}
		nn.ReLU(hidden)
		c.out.Add(1, hidden, out)
		c.skipF.Add(1, x, out[c.from:c.to])
		for j, v := range out {
			r.rows[i*outs+j] = float64(v)
		}
	}
	r.steps++
	r.answer = -r.answer
}

// Knows tells whether the network was trained at the place of a statement.
func (p *Proposer) Knows(base, name string) bool { return p.n.find(base, name) != nil }

// Loops tells whether the network knows the accepted passes of rejection loops alone.
func (p *Proposer) Loops() bool { return p.n.Settings.Loops }

// Check tells whether the network was trained for this simulator.
func (p *Proposer) Check(model string) error {
	if p.n.Model != model {
		return fmt.Errorf("%w: it was trained with the simulator %s, this is %s", ErrModel, ppx.Quote(p.n.Model), ppx.Quote(model))
	}
	return nil
}

// ErrModel says that a network is another simulator's.
var ErrModel = fmt.Errorf("the network does not fit the simulator")
