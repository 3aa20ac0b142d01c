package ic

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sync"

	"github.com/ppx-engine/ppx-engine/ic/head"
	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Network is the parameters of q(z|x), and all that is needed to use them. Training changes it, from one
// goroutine; Example may be called from others meanwhile. A trained one is read-only.
type Network[T nn.Number] struct {
	Settings    Settings
	Model       string // of the simulator
	Seed        uint64 // of the initial weights
	Observables []*Observable
	Hidden      []string // names of observations that it does not see
	Traces      uint64   // that it was trained with

	collector *collector
	embeds    []*embed[T] // of each observable
	lstm      []*nn.LSTM[T]
	kinds     *nn.Param[T]  // [kinds, Kind]
	trunk     *nn.Linear[T] // of [h, e, f, v, address] before the heads
	positions *nn.Linear[T] // of elements of tensors, added to the trunk

	mu        sync.Mutex
	byPlace   map[string][]*Address // by fold of the base, one for each stem
	addresses []*Address            // in the order in which they were first used
	layers    map[*Address]*layers[T]
	ids       map[*tracing.Table]map[named]*Address

	most int // weights that a file can hold, while one is read; 0: any number
}

// Address is a place that the network knows: an address base, and, where draws of different names are made there, which of these. Categoricals of different lengths are one
// place.
type Address struct {
	Base       string    `json:"base"`           // the first that was met
	Stem       string    `json:"name,omitempty"` // of the names there, without numbers
	Kind       dist.Kind `json:"-"`
	KindName   string    `json:"kind"`
	Categories int       `json:"categories,omitempty"`
	Elements   int       `json:"elements"` // of the first value that was met
	Tensor     bool      `json:"tensor,omitempty"`
	Rank       int       `json:"correlation,omitempty"` // of what elements know of those before them

	// Statistics of the first minibatch with this address: of the prior's location, with the spread that values have, and of
	// the logarithm of its scale.
	Location float64 `json:"location"`
	Spread   float64 `json:"spread"`
	LogScale float64 `json:"log_scale"`
	ScaleSD  float64 `json:"log_scale_sd"`
	family   head.Family
	known    bool // has statistics and layers
	second   bool // there was another of this base
}

// layers are the parameters of an address.
type layers[T nn.Number] struct {
	address *nn.Param[T]
	first   *nn.Linear[T] // of the value's features
	value   *nn.Linear[T] // of first's result after ReLU: the value's embedding
	out     *nn.Linear[T] // of the trunk
	memory  *nn.Linear[T] // of an element's position, to what moves elements after it; nil: nothing does
	skip    *nn.Linear[T] // of [e, f, v] and an element's position, to the outputs that may be linear
}

// embed is the layers of one observable: a CNN or nothing, two linear layers, and a linear path beside them.
type embed[T nn.Number] struct {
	o            *Observable
	cnn          *nn.CNN[T]
	first, last  *nn.Linear[T]
	linear       *nn.Linear[T]
	width, dense int
}

// newEmbed makes the layers of an observable; most, unless it is 0, is how many weights there can be.
func newEmbed[T nn.Number](o *Observable, most int) (*embed[T], error) {
	e := &embed[T]{o: o, width: o.Embedding.Dim}
	name, in := "observable."+o.Name, o.inputs()
	flat := in
	if o.Embedding.dims() > 0 {
		var err error
		if e.cnn, err = nn.NewCNN[T](name, o.Shape, o.Embedding.Stages); err != nil {
			return nil, fmt.Errorf("observable %s: %w", o.Name, err)
		}
		flat = e.cnn.Out()
	}
	e.dense = max(e.width, min(2*flat, 128))
	if most > 0 && float64(flat)*float64(e.dense) > float64(most) {
		return nil, fmt.Errorf("observable %s: %d numbers into %d, more weights than there are", ppx.Quote(o.Name), flat, e.dense)
	}
	e.first = nn.NewLinear[T](name+".first", flat, e.dense)
	e.last = nn.NewLinear[T](name+".last", e.dense, e.width)
	e.linear = nn.NewLinear[T](name+".linear", in, e.width)
	return e, nil
}

func (e *embed[T]) params() (out []*nn.Param[T]) {
	if e.cnn != nil {
		out = append(out, e.cnn.Params()...)
	}
	return append(append(append(out, e.first.Params()...), e.last.Params()...), e.linear.Params()...)
}

// New returns a network for a simulator, with initial weights. The first traces, drawn from the prior, show what there
// is to observe.
func New[T nn.Number](s Settings, model string, seed uint64, first []*tracing.Trace) (n *Network[T], warnings []string, err error) {
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	observables, hidden, warnings, err := survey(first, s.Embed)
	if err != nil {
		return nil, nil, err
	}
	n = &Network[T]{Settings: s, Model: model, Seed: seed, Observables: observables, Hidden: hidden}
	n.Settings.Embed = nil // they are with the observables
	if err := n.build(); err != nil {
		return nil, nil, err
	}
	n.init()
	return n, warnings, nil
}

// The columns of the LSTM's input: e, f, v, then the addresses and kinds, present and before.
func (n *Network[T]) embedWidth() (w int) {
	for _, o := range n.Observables {
		w += o.Embedding.Dim
	}
	return w
}

// efv is the width of e, f and v together.
func (n *Network[T]) efv() int { return n.columns().address }

// valueWidth is that of v: the value's embedding, and the hidden layer before it.
func (n *Network[T]) valueWidth() int { return n.Settings.Value + valueHidden }

// columns is where the parts of a row of the LSTM's input begin; e begins at 0.
type columns struct{ f, v, address, kind, addressBefore, kindBefore, width int }

func (n *Network[T]) columns() (c columns) {
	c.f = n.embedWidth()
	c.v = c.f + n.collector.features()
	c.address = c.v + n.valueWidth()
	c.kind = c.address + n.Settings.Address
	c.addressBefore = c.kind + n.Settings.Kind
	c.kindBefore = c.addressBefore + n.Settings.Address
	c.width = c.kindBefore + n.Settings.Kind
	return c
}

func (n *Network[T]) inputWidth() int { return n.columns().width }

// build makes the layers that do not belong to an address.
func (n *Network[T]) build() error {
	n.collector = newCollector(n.Observables, n.Hidden)
	n.byPlace, n.layers, n.ids = map[string][]*Address{}, map[*Address]*layers[T]{}, map[*tracing.Table]map[named]*Address{}
	for _, o := range n.Observables {
		e, err := newEmbed[T](o, n.most)
		if err != nil {
			return err
		}
		n.embeds = append(n.embeds, e)
	}
	s := &n.Settings
	in := n.inputWidth()
	for i := range s.Depth {
		n.lstm = append(n.lstm, nn.NewLSTM[T](fmt.Sprintf("lstm%d", i), in, s.Hidden))
		in = s.Hidden
	}
	n.kinds = nn.NewParam[T]("kinds", int(dist.NumKinds), s.Kind)
	n.trunk = nn.NewLinear[T]("trunk", s.Hidden+n.efv()+s.Address, s.Trunk)
	n.positions = nn.NewLinear[T]("positions", positionFeatures, s.Trunk)
	return nil
}

// uniform is the random numbers for the initial weights of a layer: a function of the network's seed and the
// layer's name, so that they do not depend on when the layer appears.
func (n *Network[T]) uniform(name string) func() float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	s := dist.NewStream(n.Seed, dist.StreamTraining.Stream(1), 0, h.Sum64(), 0)
	return s.Float64
}

func (n *Network[T]) init() {
	for _, e := range n.embeds {
		u := n.uniform("observable." + e.o.Name)
		if e.cnn != nil {
			e.cnn.Init(u)
		}
		e.first.Init(u)
		e.last.Init(u)
		e.linear.Init(u)
	}
	for i, l := range n.lstm {
		l.Init(n.uniform(fmt.Sprintf("lstm%d", i)))
	}
	n.initKinds()
	n.trunk.Init(n.uniform("trunk"))
	n.positions.Init(n.uniform("positions"))
}

// initKinds draws the embeddings of kinds, one after the other: those that a network does not know which was made before they were there are what they would be in a new one.
func (n *Network[T]) initKinds() { gauss(n.kinds.Value, n.uniform("kinds")) }

// gauss is about normal numbers: embeddings of different things should differ.
func gauss[T nn.Number](x []T, uniform func() float64) {
	for i := range x {
		s := 0.0
		for range 4 {
			s += uniform()
		}
		x[i] = T((s - 2) * math.Sqrt(3))
	}
}

// address finds the place of a statement, new or not.
func (n *Network[T]) address(table *tracing.Table, at named, s *site) *Address {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.ids[table][at]; p != nil {
		return p
	}
	base, stem := table.Address(at.address).Base, tracing.Stem(table.Name(at.name))
	p := n.at(base, stem)
	if p == nil {
		p = &Address{Base: base, Stem: stem, Kind: s.of, KindName: s.of.String(), Categories: s.categories, Elements: s.elements,
			Tensor: s.elements != 1}
		if s.elements > 1 && correlates(s.kind) {
			p.Rank = n.Settings.Correlation
		}
		n.byPlace[tracing.Fold(base)] = append(n.byPlace[tracing.Fold(base)], p)
	}
	if n.ids[table] == nil {
		n.ids[table] = map[named]*Address{}
	}
	n.ids[table][at] = p
	return p
}

// find is the place of a statement if the network was trained there.
func (n *Network[T]) find(base, name string) *Address {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.at(base, tracing.Stem(name)); p != nil && p.known {
		return p
	}
	return nil
}

// Addresses are the addresses that the network was trained at, in the order in which they were met.
func (n *Network[T]) Addresses() []*Address { return n.addresses }

// maxCategories bounds the size of a head.
const maxCategories = 1 << 20

// valueHidden is the width of the hidden layer of a value's embedding.
const valueHidden = 16

// maxElements is how many elements of a tensor the next address sees one by one.
const maxElements = 16

// valueInputs is how many numbers the embedding of an address's value takes.
func (p *Address) valueInputs() int {
	switch {
	case p.Categories > 0 && p.Elements == 1:
		return min(p.Categories, 256)
	case !p.Tensor:
		return 2
	}
	return 2*min(p.Elements, maxElements) + 2
}

// valueFeatures writes a value as its embedding takes it.
func (p *Address) valueFeatures(s *site, values []float64, out []float64) {
	clear(out)
	if p.Categories > 0 && p.Elements == 1 {
		if len(values) == 1 { // else another shape than before: unknown
			if k := int(values[0]); k >= 0 && k < len(out) {
				out[k] = 1
			}
		}
		return
	}
	sum := [2]float64{}
	for i, x := range values {
		var a, b float64
		if p.Categories > 0 {
			a = 2*x/math.Max(1, float64(p.Categories-1)) - 1
		} else {
			prior := s.prior(i)
			location, scale := head.Summary(&prior)
			u := head.Coordinate(s.kind, x)
			a, b = math.Asinh((u-p.Location)/p.Spread), math.Asinh((u-location)/scale)
		}
		if !p.Tensor {
			out[0], out[1] = a, b
			return
		}
		if i < maxElements && 2*i+1 < len(out)-2 {
			out[2*i], out[2*i+1] = a, b
		}
		sum[0] += a
		sum[1] += b
	}
	if k := float64(len(values)); k > 0 {
		out[len(out)-2], out[len(out)-1] = sum[0]/k, sum[1]/k
	}
}

// priorInto writes the two features of a visit that depend on the address's statistics.
func (p *Address) priorInto(s *site, out []float32) {
	if s.categories > 0 || s.elements == 0 {
		return
	}
	a, b := 0.0, 0.0
	for i := range s.elements {
		x, y := p.priorFeatures(s, i)
		a += x
		b += y
	}
	out[0], out[1] = float32(a/float64(s.elements)), float32(b/float64(s.elements))
}

func (p *Address) priorFeatures(s *site, i int) (location, scale float64) {
	if s.categories > 0 {
		return 0, 0
	}
	prior := s.prior(i)
	l, sc := head.Summary(&prior)
	return math.Asinh((l - p.Location) / p.Spread), clip((math.Log(sc)-p.LogScale)/p.ScaleSD, 20)
}

// The features of an element of a tensor: its number, one by one for the first, its coordinates, and its prior.
const (
	positionOnes     = 32
	positionDims     = 3
	positionFeatures = positionOnes + 1 + 3*positionDims + 2
)

func (p *Address) position(s *site, i int, out []float64) {
	clear(out)
	if i < positionOnes {
		out[i] = 1
	}
	at := positionOnes
	out[at] = math.Log1p(float64(i)) / 3
	at++
	rest := i
	for d := len(s.shape) - 1; d >= 0; d-- {
		size := int(s.shape[d])
		k := rest % size
		rest /= size
		if j := len(s.shape) - 1 - d; j < positionDims {
			x := (float64(k) + 0.5) / float64(size)
			out[at+3*j] = 2*x - 1
			out[at+3*j+1], out[at+3*j+2] = math.Sincos(2 * math.Pi * x)
		}
	}
	out[len(out)-2], out[len(out)-1] = p.priorFeatures(s, i)
}

// learn makes the statistics and layers of an address from the first visits.
func (n *Network[T]) learn(p *Address, visits []*latent) error {
	var count, location, squares, scales, logs, logSquares float64
	for _, v := range visits {
		if k := v.site.categories; k != p.Categories { // of different lengths: with room for more
			p.Categories = max(p.Categories, 2*k)
		}
	}
	for _, v := range visits {
		for i := range v.site.elements {
			if v.site.categories > 0 {
				break
			}
			prior := v.site.prior(i)
			l, s := head.Summary(&prior)
			count++
			location += l
			squares += l * l
			scales += s * s
			logs += math.Log(s)
			logSquares += math.Log(s) * math.Log(s)
		}
	}
	p.Spread, p.ScaleSD = 1, 1
	if count > 0 {
		p.Location, p.LogScale = location/count, logs/count
		if s := math.Sqrt(math.Max(0, squares/count-p.Location*p.Location) + scales/count); s > 0 && !math.IsInf(s, 0) {
			p.Spread = s
		}
		p.ScaleSD = math.Max(1, math.Sqrt(math.Max(0, logSquares/count-p.LogScale*p.LogScale)))
	}
	if !(math.Abs(p.Location) <= math.MaxFloat64) || !(math.Abs(p.LogScale) <= math.MaxFloat64) {
		return fmt.Errorf("the priors at %s have no finite location and scale", p.Base)
	}
	return n.add(p, true)
}

// add makes the layers of an address.
func (n *Network[T]) add(p *Address, init bool) error {
	var err error
	if p.Categories > maxCategories {
		return fmt.Errorf("%s: %d categories, of which a network takes %d at most; mark the Sample as not controlled", p.Base, p.Categories, maxCategories)
	}
	if p.family, err = head.New(p.Kind, n.Settings.Components, p.Categories); err != nil {
		return fmt.Errorf("%s: %w", p.Base, err)
	}
	p.second = slices.ContainsFunc(n.addresses, func(q *Address) bool { return q.Base == p.Base })
	name := p.layer()
	skip := n.efv()
	if p.Tensor {
		skip += positionFeatures
	}
	outs := p.outputs()
	from, to := p.family.Linear()
	l := &layers[T]{
		address: nn.NewParam[T](name+".address", n.Settings.Address),
		first:   nn.NewLinear[T](name+".first", p.valueInputs(), valueHidden),
		value:   nn.NewLinear[T](name+".value", valueHidden, n.Settings.Value),
		out:     nn.NewLinear[T](name+".out", n.Settings.Trunk, outs),
		skip:    nn.NewLinear[T](name+".skip", skip, to-from),
	}
	if p.Rank > 0 {
		l.memory = nn.NewLinear[T](name+".memory", positionFeatures, 3*p.Rank)
	}
	if init {
		u := n.uniform(name)
		gauss(l.address.Value, u)
		l.first.Init(u)
		for i := range l.first.B.Value { // spread the thresholds of the ReLUs over the range of the inputs
			l.first.B.Value[i] = T(2*u() - 1)
		}
		l.value.Init(u)
		l.out.Init(u)
		l.skip.Init(u)
		row := make([]float64, outs)
		p.family.Init(row[:p.family.Outputs()])
		p.initCorrelation(row[p.family.Outputs():])
		for i := range l.out.W.Value {
			l.out.W.Value[i] *= 0.1
		}
		for i := range l.skip.W.Value {
			l.skip.W.Value[i] *= 0.1
		}
		if l.memory != nil {
			l.memory.Init(u)
			for i := range l.memory.W.Value {
				l.memory.W.Value[i] *= 0.1
			}
		}
		for i, x := range row {
			l.out.B.Value[i] = T(x)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p.known = true
	if list := n.byPlace[tracing.Fold(p.Base)]; !slices.Contains(list, p) { // it comes from a file
		n.byPlace[tracing.Fold(p.Base)] = append(list, p)
	}
	n.addresses = append(n.addresses, p)
	n.layers[p] = l
	return nil
}

// Params are all parameters, those of addresses in the order in which they were met.
func (n *Network[T]) Params() (out []*nn.Param[T]) {
	for _, e := range n.embeds {
		out = append(out, e.params()...)
	}
	for _, l := range n.lstm {
		out = append(out, l.Params()...)
	}
	out = append(append(append(out, n.kinds), n.trunk.Params()...), n.positions.Params()...)
	for _, p := range n.addresses {
		out = append(out, n.layers[p].params()...)
	}
	return out
}

func (l *layers[T]) params() []*nn.Param[T] {
	out := []*nn.Param[T]{l.address}
	for _, x := range []*nn.Linear[T]{l.first, l.value, l.out, l.skip} {
		out = append(out, x.Params()...)
	}
	if l.memory != nil {
		out = append(out, l.memory.Params()...)
	}
	return out
}

// Size is the number of weights.
func (n *Network[T]) Size() (size int) {
	for _, p := range n.Params() {
		size += len(p.Value)
	}
	return size
}

// Clone returns a copy of the network with weights of its own.
func (n *Network[T]) Clone() *Network[T] {
	c := &Network[T]{Settings: n.Settings, Model: n.Model, Seed: n.Seed, Observables: n.Observables, Hidden: n.Hidden, Traces: n.Traces}
	if err := c.build(); err != nil {
		panic(err) // it was built before
	}
	for _, p := range n.addresses {
		q := *p
		if err := c.add(&q, false); err != nil {
			panic(err)
		}
	}
	from := n.Params()
	for i, p := range c.Params() {
		copy(p.Value, from[i].Value)
	}
	return c
}
