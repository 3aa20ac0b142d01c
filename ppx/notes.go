package ppx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// What the simulator side remembers before it starts numbering anew: simulators that make up addresses or
// names without end must not eat all memory.
const (
	knownForms       = 1 << 16
	knownStringBytes = 32 << 20
)

// notes is the simulator side's collection of statements that have not been sent yet, and what it and the
// engine know of this session by number.
type notes struct {
	strings     map[string]uint32
	stringBytes int
	forms       map[string]*noted
	key         []byte
	chunk       Chunk
	bytes       int // about the size of the chunk

	bases   map[string]*visits // of Samples, by address base
	names   map[string]*visits
	epoch   uint32    // of the run
	numbers []*visits // bases as the engine numbers them
	reuse   map[visit]Tensor
	values  []reused // of all runs
	ends    []uint32 // of each run: where its own end; none: all are every run's
}

// noted is a form: what is the same at every visit of a place.
type noted struct {
	number     uint32
	base, name *visits
}

// visits counts within the run of its epoch.
type visits struct {
	base  string
	epoch uint32
	n     uint32
}

type visit struct {
	base     *visits
	instance uint32
}

type reused struct {
	at    visit
	value Tensor
}

// reset forgets everything: another engine has come.
func (n *notes) reset() {
	*n = notes{epoch: n.epoch, key: n.key[:0]}
	n.restart()
	n.bases, n.names = map[string]*visits{}, map[string]*visits{}
}

// restart forgets the numbers of strings and forms.
func (n *notes) restart() {
	n.strings, n.stringBytes = map[string]uint32{"": 0}, 0
	n.forms = map[string]*noted{}
	n.empty()
	n.chunk.Restart = true
}

// empty begins a new chunk.
func (n *notes) empty() {
	c := &n.chunk
	*c = Chunk{Strings: c.Strings[:0], Forms: c.Forms[:0], Statements: c.Statements[:0], Numbers: c.Numbers[:0]}
	n.bytes = 0
}

// begin starts counting visits for a run.
func (n *notes) begin() { n.epoch++ }

// crowded tells that bases and names are due to be forgotten; between two runs, with nothing left to send.
func (n *notes) crowded() bool {
	return len(n.bases)-len(n.numbers) > knownForms || len(n.names) > knownForms
}

// prune forgets all but the bases that the engine has numbered.
func (n *notes) prune() {
	n.bases, n.names = map[string]*visits{}, map[string]*visits{}
	for _, v := range n.numbers {
		n.bases[v.base] = v
	}
	n.restart()
}

// full tells that the numbering must start anew before more forms are noted.
func (n *notes) full() bool { return len(n.forms) >= knownForms || n.stringBytes > knownStringBytes }

// form finds or makes the form of a statement with a value of the given shape; nil for no value.
func (n *notes) form(s *Statement, value *Tensor) *noted {
	k := append(n.key[:0], byte(s.Op), byte(s.Dist.Kind), 0, 0)
	if s.Control {
		k[2] = 1
	}
	for i := range s.Dist.Params {
		k = appendShape(k, s.Dist.Params[i].Shape)
	}
	if value != nil {
		k[3] = 1
		k = appendShape(k, value.Shape)
	}
	k = binary.AppendUvarint(k, uint64(len(s.Address)))
	k = append(append(k, s.Address...), s.Name...)
	n.key = k
	if f := n.forms[string(k)]; f != nil {
		return f
	}
	f := &noted{number: uint32(len(n.forms))}
	w := WireForm{Op: s.Op, Control: s.Control || s.Op != Sample, Kind: s.Dist.Kind, Address: n.text(s.Address), Name: n.text(s.Name)}
	for i := range s.Dist.Params {
		w.Shapes = append(append(w.Shapes, int32(len(s.Dist.Params[i].Shape))), s.Dist.Params[i].Shape...)
	}
	if value == nil {
		w.Shapes = append(w.Shapes, -1)
	} else {
		w.Shapes = append(append(w.Shapes, int32(len(value.Shape))), value.Shape...)
	}
	n.chunk.Forms = append(n.chunk.Forms, w)
	n.bytes += 64
	if s.Op == Sample {
		f.base = counter(n.bases, AddressBase(s.Address, &s.Dist))
	}
	if s.Name != "" {
		f.name = counter(n.names, s.Name)
	}
	n.forms[string(k)] = f
	return f
}

func appendShape(k []byte, shape []int32) []byte {
	k = append(k, byte(len(shape)))
	for _, d := range shape {
		k = binary.LittleEndian.AppendUint32(k, uint32(d))
	}
	return k
}

func counter(m map[string]*visits, name string) *visits {
	v := m[name]
	if v == nil {
		v = &visits{base: name}
		m[name] = v
	}
	return v
}

// text returns the number of a string.
func (n *notes) text(s string) uint32 {
	id, ok := n.strings[s]
	if !ok {
		id = uint32(len(n.strings))
		n.strings[s] = id
		n.chunk.Strings = append(n.chunk.Strings, s)
		n.stringBytes += len(s)
		n.bytes += len(s) + 8
	}
	return id
}

// add notes a statement of a form.
func (n *notes) add(f *noted, s *Statement, value *Tensor) {
	c := &n.chunk
	c.Statements = append(c.Statements, f.number)
	before := len(c.Numbers)
	for i := range s.Dist.Params {
		c.Numbers = append(c.Numbers, s.Dist.Params[i].Data...)
	}
	if value != nil {
		c.Numbers = append(c.Numbers, value.Data...)
	}
	n.bytes += 4 + 8*(len(c.Numbers)-before)
}

// end notes the end of a run.
func (n *notes) end(result Tensor, statements uint64, seconds float64) {
	f := n.form(&Statement{Op: RunResult}, &result)
	n.chunk.Statements = append(n.chunk.Statements, f.number)
	n.chunk.Numbers = append(append(n.chunk.Numbers, float64(statements), seconds), result.Data...)
	n.bytes += 4 + 8*(resultHead+len(result.Data))
}

// take keeps the values to reuse that have come with a Run, of so many runs.
func (n *notes) take(w *WireReuse, runs int) error {
	clear(n.reuse)
	clear(n.values)
	n.values, n.ends = n.values[:0], n.ends[:0]
	if w == nil {
		return nil
	}
	if n.reuse == nil {
		n.reuse = map[visit]Tensor{}
	}
	if w.Restart {
		n.numbers = n.numbers[:0]
	}
	for _, b := range w.Bases {
		n.numbers = append(n.numbers, counter(n.bases, string([]byte(b))))
	}
	if len(w.Base) != len(w.Instance) {
		return broken("%d bases and %d instances of values to reuse", len(w.Base), len(w.Instance))
	}
	shapes, numbers := w.Shapes, w.Numbers
	for i, b := range w.Base {
		if int(b) >= len(n.numbers) {
			return broken("unknown number %d of an address base, there are %d", b, len(n.numbers))
		}
		if len(shapes) == 0 || shapes[0] < 0 || int(shapes[0]) >= len(shapes) {
			return broken("the shapes of values to reuse end early")
		}
		dims := append([]int32(nil), shapes[1:1+shapes[0]]...)
		shapes = shapes[1+shapes[0]:]
		size, err := dist.Elements(dims)
		if err != nil || size > len(numbers) {
			return broken("the values to reuse end early")
		}
		n.values = append(n.values, reused{visit{n.numbers[b], w.Instance[i]}, Tensor{Data: append([]float64{}, numbers[:size]...), Shape: dims}})
		numbers = numbers[size:]
	}
	if len(w.Ends) > 0 {
		n.ends = append(n.ends, w.Ends...)
		if len(n.ends) != runs || !slices.IsSorted(n.ends) || int(n.ends[runs-1]) != len(n.values) {
			return broken("the ends of values to reuse are not those of %d runs and %d values", runs, len(n.values))
		}
	}
	return nil
}

// give makes the values to reuse those of the i-th run.
func (n *notes) give(i int) {
	from, to := 0, len(n.values)
	switch {
	case len(n.ends) > 0:
		if to = int(n.ends[i]); i > 0 {
			from = int(n.ends[i-1])
		}
	case i > 0:
		return
	}
	clear(n.reuse)
	for _, x := range n.values[from:to] {
		n.reuse[x.at] = x.value
	}
}

// solo answers the Samples of delegated runs. The rules are those that the engine judges by
// (engine/control), the algorithms and their random numbers those of docs/random.md.
type solo struct {
	plan      Plan
	draw      uint64
	statement uint64
	decided   bool // the coin of prior inflation
	wide      bool
	widened   dist.Widened
	rooms     [2][]float64 // by turns: a value may be a parameter of the next
	shape     [2][dist.MaxRank]int32
	turn      int
}

// begin starts the i-th run.
func (p *solo) begin(i int) {
	p.draw, p.statement, p.decided, p.wide = 0, 0, false, false
	if len(p.plan.Draws) > i {
		p.draw = p.plan.Draws[i]
		if len(p.plan.Streams) > 0 {
			p.plan.Stream = p.plan.Streams[i]
		}
	}
}

func (p *solo) stream(statement, purpose uint64) dist.Stream {
	return dist.NewStream(p.plan.Seed, p.plan.Stream, statement, p.draw, purpose)
}

// site checks a Sample's distribution and returns the shape of its values, and their number of elements.
func (p *solo) site(s *Statement) (shape []int32, n int, err error) {
	if err = s.Dist.Check(); err == nil {
		p.turn = 1 - p.turn
		if shape, err = s.Dist.Shape(p.shape[p.turn][:0]); err == nil {
			n, err = dist.Elements(shape)
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %s at %s: %w", ErrInvalid, s.Op, Quote(s.Address), err)
	}
	return shape, n, err
}

// answer is the value of a Sample.
func (p *solo) answer(s *Statement, shape []int32, n int, reused, given Tensor) (Tensor, error) {
	room := &p.rooms[p.turn]
	if cap(*room) < n || *room == nil {
		*room = make([]float64, n)
	}
	v := Tensor{Data: (*room)[:n], Shape: shape}
	switch { // copies: the model may change its value
	case given.Data != nil && len(given.Data) == n:
		copy(v.Data, given.Data)
		return v, nil
	case reused.Data != nil && Fits(reused, shape, n):
		copy(v.Data, reused.Data)
		return v, nil
	}
	if s.Control && p.inflates() {
		stream := p.stream(p.statement, dist.PurposeProposal)
		p.widened.Sample(&s.Dist, shape, &stream, v.Data)
		return v, nil
	}
	stream := p.stream(p.statement, dist.PurposeValue)
	return v, s.Dist.Sample(&stream, v.Data)
}

// orders turns a Run message into a plan.
func (r *remote) orders(w *WireRun) error {
	p := &r.solo.plan
	if w == nil {
		*p = Plan{}
		return nil
	}
	var data *Data // what came before is kept for the runs that will refer to it
	if w.DataID != 0 {
		if w.Data != nil {
			r.data, r.dataID = NewData(w.Data), w.DataID
		}
		if data = r.data; w.DataID != r.dataID {
			return broken("the data number %d were never sent", w.DataID)
		}
	}
	if !(w.Inflation >= 0 && w.Inflation < 1) {
		return broken("inflation %g", w.Inflation)
	}
	*p = Plan{Mode: w.Mode, Seed: w.Seed, Stream: w.Stream, Draws: append(p.Draws[:0], w.Draws...), Streams: append(p.Streams[:0], w.Streams...), Data: data, Inflation: w.Inflation,
		Flush: time.Duration(w.FlushMS) * time.Millisecond, FlushBytes: int(min(w.FlushBytes, math.MaxInt32))}
	if n := len(p.Streams); n > 0 && n != len(p.Draws) {
		return broken("%d streams of %d draws", n, len(p.Draws))
	}
	return r.notes.take(w.Reuse, len(p.Draws))
}
