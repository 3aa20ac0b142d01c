package ppx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Extension is the highest extension of PPX 1.0 that this package speaks: 1 has runs that simulators make by themselves, 2 also such that
// are told different things in one message, 3 and 4 have more families of distributions. Peers that do not announce one are spoken to in plain PPX 1.0. docs/protocol.md describes them
// for authors of other clients.
const Extension = 4

// Mode tells which statements of a run wait for an answer.
type Mode uint8

// The modes.
const (
	Ask      Mode = iota // all: PPX 1.0
	Forward              // Samples; Observes and Tags ride along with what is sent next
	Delegate             // none: the simulator draws by itself
	numModes
)

// Plan is how the simulator makes the next run, or several of them.
type Plan struct {
	Mode Mode

	// The rest is for Delegate. A Sample is answered with the data of its name, else with the value to reuse,
	// else with a draw from its distribution, under prior inflation from a widened one.

	Seed, Stream uint64   // the generator's key
	Draws        []uint64 // one run for each
	Data         *Data
	Reuse        *Reuse
	Inflation    float64 // probability of a run with widened priors; 0: none
	// Streams and Own are those of each draw, in place of Stream and Reuse; nil: there are none. Extension 2.
	Streams []uint64
	Own     []*Reuse

	// What the simulator has noted is sent at the first statement after so long (0: at each), and when it has
	// come to so many bytes. Also for Forward.
	Flush      time.Duration
	FlushBytes int
}

// WireRun is a plan as it is sent.
type WireRun struct {
	Mode                Mode
	Seed, Stream        uint64
	Draws               []uint64
	DataID              uint64 // 0: no data
	Data                []Datum
	Reuse               *WireReuse
	Inflation           float64
	FlushMS, FlushBytes uint32
	Streams             []uint64
}

// WireReuse is values to reuse, in columns.
type WireReuse struct {
	Restart        bool     // forget the bases of this session
	Bases          []string // new ones, numbered on from 0
	Base, Instance []uint32
	Shapes         []int32 // rank, dimensions
	Numbers        []float64
	Ends           []uint32 // of each run: where in Base its own end; none: all are every run's
}

// Data are observed values by name; nobody changes them any more.
type Data struct {
	Values []Datum
	byName map[string]*datum
}

// Datum is a value for every occurrence of a name in a run ("x"), or for one ("x@2"), which then wins.
type Datum struct {
	Name  string
	Value Tensor
}

type datum struct {
	every      *Tensor
	occurrence map[int]Tensor
}

// NewData indexes the values.
func NewData(values []Datum) *Data {
	d := &Data{Values: values, byName: make(map[string]*datum, len(values))}
	name := func(n string) *datum {
		x := d.byName[n]
		if x == nil {
			x = &datum{occurrence: map[int]Tensor{}}
			d.byName[n] = x
		}
		return x
	}
	for i := range values {
		v := &values[i]
		name(v.Name).every = &v.Value // also "x@2": the simulator's own name may look like that
		if base, k := SplitOccurrence(v.Name); k > 0 {
			name(base).occurrence[k] = v.Value
		}
	}
	return d
}

// Bytes is about how much the data take in a message.
func (d *Data) Bytes() int {
	n := 0
	for i := range d.Values {
		n += 64 + len(d.Values[i].Name) + 8*len(d.Values[i].Value.Data)
	}
	return n
}

// len is the number of values; u may be nil.
func (u *Reuse) len() int {
	if u == nil {
		return 0
	}
	return len(u.Values)
}

// Bytes is about how much the values take in a message, at most; u may be nil.
func (u *Reuse) Bytes() int {
	n := 0
	for i := range u.len() {
		n += 32 + len(u.Values[i].Base) + 8*len(u.Values[i].Value.Data)
	}
	return n
}

// Find returns the value for occurrence k, from 1, of a name.
func (d *Data) Find(name string, k int) (Tensor, bool) {
	if d == nil || name == "" {
		return Tensor{}, false
	}
	x := d.byName[name]
	if x == nil {
		return Tensor{}, false
	}
	if v, ok := x.occurrence[k]; ok {
		return v, true
	}
	if x.every != nil {
		return *x.every, true
	}
	return Tensor{}, false
}

// maxOccurrence is the largest number that is an occurrence's: of nine digits.
const maxOccurrence = 999_999_999

// SplitOccurrence splits "x@2" into x and 2; the number is 0 for a name without one.
func SplitOccurrence(name string) (base string, k int) {
	if at := strings.LastIndexByte(name, '@'); at > 0 {
		if k, err := strconv.ParseUint(name[at+1:], 10, 31); err == nil && k > 0 && k <= maxOccurrence {
			return name[:at], int(k)
		}
	}
	return name, 0
}

// JoinOccurrence is the inverse of SplitOccurrence: the name of the k-th occurrence.
func JoinOccurrence(name string, k int) string { return name + "@" + strconv.Itoa(k) }

// Reuse is values of Samples to take over from another run; nobody changes it any more. A value is used if
// it has the shape of its site's values, or both have one element.
type Reuse struct {
	Values []Reused
}

// Reused is the value for a visit of an address base.
type Reused struct {
	Base     string
	Instance uint32 // the visit's number, from 1
	Value    Tensor
}

// Fits tells whether a recorded value can stand at a site whose values have the given shape and n elements.
func Fits(v Tensor, shape []int32, n int) bool {
	if len(v.Data) != n {
		return false
	}
	if n == 1 {
		return true
	}
	if len(v.Shape) != len(shape) {
		return false
	}
	for i, d := range shape {
		if v.Shape[i] != d {
			return false
		}
	}
	return true
}

// Answers tells whether a value that somebody gives can be that of a site whose values have the given shape and n
// elements: in the same layout but for dimensions of 1, or written flat.
func Answers(v Tensor, shape []int32, n int) bool {
	if len(v.Data) != n {
		return false
	}
	i := 0
	for _, d := range v.Shape {
		if d == 1 {
			continue
		}
		for i < len(shape) && shape[i] == 1 {
			i++
		}
		if int(d) == n { // flat, or all that there is
			return true
		}
		if i == len(shape) || shape[i] != d {
			return false
		}
		i++
	}
	return true // as many elements in all: what is left of shape is 1
}

// AddressBase is the identity of a place in the simulator's code: its address and the distribution there as Dist.Label has it, a
// Categorical's with its number of categories. A statement without distribution has no suffix.
func AddressBase(address string, d *Dist) string {
	if d.Kind == dist.None {
		return address
	}
	return address + "__" + d.Label()
}

// A simulator marks its rejection loops by tags without names: one at the beginning of each pass, whose address ends with LoopStart, and one after the pass that is
// accepted, whose address ends with LoopEnd. Loops may be nested.
const (
	LoopStart = ":rs_start"
	LoopEnd   = ":rs_end"
)

// Reason tells why a simulator sent Reset.
type Reason uint8

// The reasons.
const (
	OutOfTurn Reason = iota // a message that does not belong here; all that PPX 1.0 knows
	Busy                    // the simulator is another engine's
	Failed                  // the run has failed
	Aborted                 // the engine wanted it
)

// Lease is how long a simulator is kept for an engine that it does not hear of.
const Lease = 10 * time.Second

// Chunk is statements as they travel when they are not waited for: what is the same at every visit of a
// place is sent once per session and then referred to by number.
type Chunk struct {
	Restart    bool     // forget all strings and forms
	Strings    []string // new ones, numbered on; number 0 is ""
	Forms      []WireForm
	Statements []uint32  // the number of each one's form
	Numbers    []float64 // of each: parameters, then value; of the end of a run: statements, seconds, result
	More       bool      // the run goes on
}

// WireForm is a form as it is sent.
type WireForm struct {
	Op            Type
	Control       bool
	Kind          dist.Kind
	Address, Name uint32
	Shapes        []int32 // of each parameter, then of the value: rank, then dimensions; −1 for no value
}

// Bounds of what a session remembers.
const (
	MaxForms       = 1 << 20
	MaxStrings     = 1 << 21
	MaxStringBytes = 256 << 20
)

// Form is what all statements of one kind at one place have in common, as the engine remembers it.
type Form struct {
	Statement         // but for the numbers
	shapes    []Shape // of the parameters, and of the value
	numbers   int

	// Info is the reader's own.
	Info any
}

// Shape is a tensor's shape, and its number of elements; no tensor at all is −1 elements.
type Shape struct {
	Dims []int32
	N    int
}

// Forms is the strings and forms of a session, as the engine remembers them. The zero value knows none.
type Forms struct {
	strings []string
	bytes   int
	forms   []*Form
}

// ErrRule is the kind of error of a client that announces an extension and then breaks its rules.
var ErrRule = fmt.Errorf("%w: a rule of the extension is broken", ErrOutOfStep)

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRule, fmt.Sprintf(format, args...))
}

// Learn takes the new strings and forms of a chunk, and makes sure that its statements can be read. It returns
// how many runs end in it.
func (t *Forms) Learn(c *Chunk) (runs int, err error) {
	if err := t.learn(c); err != nil {
		return 0, err
	}
	left := len(c.Numbers)
	for _, n := range c.Statements {
		if int(n) >= len(t.forms) {
			return runs, broken("unknown form number %d, there are %d", n, len(t.forms))
		}
		f := t.forms[n]
		if left -= f.numbers; left < 0 {
			return runs, broken("the numbers end in the middle of a %s at %s", f.Op, Quote(f.Address))
		}
		if f.Op == RunResult {
			runs++
		}
	}
	if left > 0 {
		return runs, broken("%d numbers are left over", left)
	}
	return runs, nil
}

// Each calls f with each statement of a chunk that was learnt, valid until f returns. The end of a run comes
// as a RunResult, with the run's result as its Value, the number of its statements as the simulator counts them (−1: no
// number), and how many seconds it took.
func (t *Forms) Each(c *Chunk, f func(s *Statement, count int, seconds float64) error) error {
	var s Statement
	numbers := c.Numbers
	for _, n := range c.Statements {
		form, head := t.forms[n], numbers
		numbers = form.read(&s, numbers)
		count, seconds := 0, 0.0
		if form.Op == RunResult {
			count, seconds = int(head[0]), head[1]
			if !(head[0] >= 0 && head[0] < 1<<53 && head[0] == math.Floor(head[0])) {
				count = -1
			}
		}
		if err := f(&s, count, seconds); err != nil {
			return err
		}
	}
	return nil
}

func (t *Forms) learn(c *Chunk) error {
	if c.Restart {
		*t = Forms{}
	}
	if t.strings == nil {
		t.strings = []string{""}
	}
	for _, s := range c.Strings {
		if t.bytes += len(s); len(t.strings) >= MaxStrings || t.bytes > MaxStringBytes {
			return broken("more than %d strings or %d bytes of them without a restart of their numbers", MaxStrings, MaxStringBytes)
		}
		t.strings = append(t.strings, strings.Clone(s))
	}
	for i := range c.Forms {
		if len(t.forms) >= MaxForms {
			return broken("more than %d forms without a restart of their numbers", MaxForms)
		}
		f, err := t.form(&c.Forms[i])
		if err != nil {
			return fmt.Errorf("form %d: %w", len(t.forms), err)
		}
		t.forms = append(t.forms, f)
	}
	return nil
}

func (t *Forms) form(w *WireForm) (*Form, error) {
	f := &Form{}
	f.Op, f.Control, f.Dist.Kind = w.Op, w.Control && w.Op == Sample, w.Kind
	f.Form = f
	for _, n := range []uint32{w.Address, w.Name} {
		if int(n) >= len(t.strings) {
			return nil, broken("unknown string number %d, there are %d", n, len(t.strings))
		}
	}
	f.Address, f.Name = t.strings[w.Address], t.strings[w.Name]
	switch {
	case w.Op != Sample && w.Op != Observe && w.Op != Tag && w.Op != RunResult:
		return nil, broken("%s is no statement", w.Op)
	case !w.Kind.Valid():
		return nil, broken("unknown distribution kind %d, the largest is %d", w.Kind, dist.NumKinds-1)
	case w.Kind == dist.None && w.Op == Sample:
		return nil, broken("a Sample without distribution")
	case w.Kind != dist.None && (w.Op == Tag || w.Op == RunResult):
		return nil, broken("a %s with a distribution", w.Op)
	}
	params := len(w.Kind.Params())
	rest := w.Shapes
	f.shapes = make([]Shape, params+1)
	for i := range f.shapes {
		s := &f.shapes[i]
		if len(rest) == 0 {
			return nil, broken("shapes end early")
		}
		rank := int(rest[0])
		rest = rest[1:]
		if rank == -1 && i == params {
			s.N = -1
			continue
		}
		if rank < 0 || rank > dist.MaxRank || rank > len(rest) {
			return nil, broken("a shape of rank %d", rank)
		}
		s.Dims = append(make([]int32, 0, rank), rest[:rank]...)
		rest = rest[rank:]
		n, err := dist.Elements(s.Dims)
		if err != nil {
			return nil, broken("%v", err)
		}
		s.N = n
		f.numbers += n
	}
	if len(rest) > 0 {
		return nil, broken("%d shape numbers too many", len(rest))
	}
	if w.Op == RunResult {
		f.numbers += resultHead
	}
	return f, nil
}

// resultHead is the numbers before a run's result: statements, seconds.
const resultHead = 2

// read fills in the numbers of a statement of form f and returns those after it.
func (f *Form) read(s *Statement, numbers []float64) (rest []float64) {
	params := s.Dist.Params[:0]
	*s = f.Statement
	if f.Op == RunResult {
		numbers = numbers[resultHead:]
	}
	value := len(f.shapes) - 1
	for _, p := range f.shapes[:value] {
		params = append(params, Tensor{Data: numbers[:p.N:p.N], Shape: p.Dims})
		numbers = numbers[p.N:]
	}
	s.Dist.Params = params
	if n := f.shapes[value].N; n >= 0 {
		s.Value = Tensor{Data: numbers[:n:n], Shape: f.shapes[value].Dims}
		numbers = numbers[n:]
	}
	return numbers
}
