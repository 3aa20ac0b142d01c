package ppx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// The Go flatbuffers runtime has no verifier: its accessors trust every offset and panic, or read
// somewhere else, on bytes that a broken or hostile peer sends. So messages are read here, each offset
// and length checked before use; nothing but the layout of flatbuffers (vtables, relative offsets) is
// assumed.

// Decoder reads messages into reused storage: after warm-up it does not allocate.
type Decoder struct {
	Limits Limits
	// Strict also refuses what this package can do without but existing peers cannot: strings left out, and
	// tensors without data or without shape.
	Strict bool
	buf    []byte
	slots  []slot // of a value and the parameters
	params []Tensor
	run    WireRun
	reuse  WireReuse
	chunk  Chunk
	read   int // bytes of what was copied
	err    error
}

type slot struct {
	data  []float64
	shape []int32
}

// Decode reads one message. m and what it refers to are valid until the next call and as long as buf is.
// Errors are ErrMalformed, or ErrInvalid for a message that is well-formed but lacks what it must have.
func (d *Decoder) Decode(buf []byte, m *Message) error {
	if limit := d.Limits.message(); len(buf) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(buf), limit)
	}
	d.buf, d.err, d.read = buf, nil, 0
	*m = Message{}
	if len(buf) < 8 {
		return fmt.Errorf("%w: %d bytes are too few", ErrMalformed, len(buf))
	}
	root := d.table(d.indirect(0))
	m.Type = Type(d.u8(root, 0))
	body := d.tableField(root, 1)
	m.Token = d.u64(root, 2)
	switch {
	case d.err != nil:
		return d.err
	case m.Type == 0 || m.Type >= numTypes:
		return fmt.Errorf("%w: unknown message type %d", ErrMalformed, m.Type)
	case body.pos == 0:
		return fmt.Errorf("%w: %s without a body", ErrMalformed, m.Type)
	}
	switch m.Type {
	case Handshake:
		m.SystemName = d.str(body, 0, "system_name")
		m.Extension = d.u16Field(body, 1)
	case HandshakeResult:
		m.SystemName = d.str(body, 0, "system_name")
		m.ModelName = d.str(body, 1, "model_name")
		m.Extension = d.u16Field(body, 2)
	case Run:
		if body.vtLen > 4 { // of fields: a plain Run has none
			m.Run = d.readRun(body)
		}
	case RunResult, SampleResult:
		m.Value = d.tensor(body, 0, 0, "result")
	case Sample, Observe, Tag:
		m.Op = m.Type
		d.statement(body, &m.Statement)
		if m.Type == Sample {
			if before := d.tableField(body, 5); before.pos != 0 {
				m.Chunk = d.readChunk(before)
			}
		}
	case Statements:
		m.Chunk = d.readChunk(body)
	case Reset:
		if d.present(body, 0) {
			m.Error = d.str(body, 0, "error")
		}
		m.Reason = Reason(d.u8(body, 1))
	case Abort:
		m.Leave = d.u8(body, 0) != 0
	}
	if d.err != nil {
		err := d.err
		if m.Address != "" {
			return fmt.Errorf("%s at %s: %w", m.Type, Quote(m.Address), err)
		}
		return fmt.Errorf("%s: %w", m.Type, err)
	}
	return nil
}

func (d *Decoder) statement(body table, s *Statement) {
	s.Address = d.str(body, 0, "address")
	s.Name = d.str(body, 1, "name")
	if s.Op == Tag {
		s.Value = d.tensor(body, 2, 0, "value")
		return
	}
	kind := dist.Kind(d.u8(body, 2))
	params := d.tableField(body, 3)
	if s.Op == Sample {
		s.Control = true
		if at := d.field(body, 4, 1); at != 0 {
			s.Control = d.buf[at] != 0
		}
		s.Value = d.tensor(body, 6, 0, "value")
	} else {
		s.Value = d.tensor(body, 4, 0, "value")
	}
	switch {
	case d.err != nil:
		return
	case !kind.Valid():
		d.fail("unknown distribution kind %d, the largest is %d", kind, dist.NumKinds-1)
		return
	case kind == dist.None:
		if s.Op == Sample {
			d.err = fmt.Errorf("%w: a Sample without distribution", ErrInvalid)
		}
		return
	case params.pos == 0:
		d.fail("distribution %s without its table", kind)
		return
	}
	s.Dist.Kind, d.params = kind, d.params[:0]
	for i, name := range kind.Params() {
		t := d.tensor(params, i, i+1, name)
		if d.err == nil && t.Data == nil {
			d.err = fmt.Errorf("%w: %s: parameter %s is missing", ErrInvalid, kind, name)
		}
		d.params = append(d.params, t)
	}
	s.Dist.Params = d.params
}

// table is a checked table: pos is 0 for an absent one.
type table struct {
	pos       int
	vt, vtLen int
	size      int
}

func (d *Decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

func (d *Decoder) u16(at int) int { return int(binary.LittleEndian.Uint16(d.buf[at:])) }
func (d *Decoder) u32(at int) int { return int(binary.LittleEndian.Uint32(d.buf[at:])) }

// indirect follows the offset stored at a checked position; 0 on error.
func (d *Decoder) indirect(at int) int {
	off := d.u32(at)
	if off == 0 || off > len(d.buf)-at-4 {
		d.fail("offset at byte %d leaves the buffer", at)
		return 0
	}
	return at + off
}

// table checks the table at pos and its vtable.
func (d *Decoder) table(pos int) table {
	if d.err != nil {
		return table{}
	}
	if pos > len(d.buf)-4 {
		d.fail("table at byte %d leaves the buffer", pos)
		return table{}
	}
	vt := pos - int(int32(binary.LittleEndian.Uint32(d.buf[pos:])))
	if vt < 0 || vt > len(d.buf)-4 {
		d.fail("vtable of the table at byte %d leaves the buffer", pos)
		return table{}
	}
	t := table{pos: pos, vt: vt, vtLen: d.u16(vt), size: d.u16(vt + 2)}
	if t.vtLen < 4 || t.vtLen%2 != 0 || t.vtLen > len(d.buf)-vt || t.size < 4 || t.size > len(d.buf)-pos {
		d.fail("vtable at byte %d has wrong lengths", vt)
		return table{}
	}
	return t
}

// field is the position of field i, known to hold size bytes; 0 when it is absent.
func (d *Decoder) field(t table, i, size int) int {
	o := 4 + 2*i
	if d.err != nil || o+2 > t.vtLen {
		return 0
	}
	f := d.u16(t.vt + o)
	if f == 0 {
		return 0
	}
	if f < 4 || f+size > t.size {
		d.fail("field %d of the table at byte %d leaves the table", i, t.pos)
		return 0
	}
	return t.pos + f
}

func (d *Decoder) u8(t table, i int) uint8 {
	if at := d.field(t, i, 1); at != 0 {
		return d.buf[at]
	}
	return 0
}

func (d *Decoder) u16Field(t table, i int) int {
	if at := d.field(t, i, 2); at != 0 {
		return d.u16(at)
	}
	return 0
}

func (d *Decoder) u32Field(t table, i int) uint32 {
	if at := d.field(t, i, 4); at != 0 {
		return binary.LittleEndian.Uint32(d.buf[at:])
	}
	return 0
}

func (d *Decoder) u64(t table, i int) uint64 {
	if at := d.field(t, i, 8); at != 0 {
		return binary.LittleEndian.Uint64(d.buf[at:])
	}
	return 0
}

// present tells whether a table holds field i.
func (d *Decoder) present(t table, i int) bool { return d.field(t, i, 4) != 0 }

func (d *Decoder) tableField(t table, i int) table {
	at := d.field(t, i, 4)
	if at == 0 {
		return table{}
	}
	pos := d.indirect(at)
	return d.table(pos)
}

// vector checks a vector field and returns its first byte and its length in elements; 0, 0 if absent.
func (d *Decoder) vector(t table, i, elem int) (at, n int) {
	f := d.field(t, i, 4)
	if f == 0 {
		return 0, 0
	}
	pos := d.indirect(f)
	if d.err != nil {
		return 0, 0
	}
	if pos > len(d.buf)-4 {
		d.fail("vector at byte %d leaves the buffer", pos)
		return 0, 0
	}
	n = d.u32(pos)
	if n > (len(d.buf)-pos-4)/elem {
		d.fail("vector of %d elements at byte %d leaves the buffer", n, pos)
		return 0, 0
	}
	return pos + 4, n
}

// str returns a view of a string field, "" if absent.
func (d *Decoder) str(t table, i int, what string) string {
	at, n := d.vector(t, i, 1)
	if at == 0 && d.Strict {
		d.fail("%s is left out; existing engines need it, also when it is empty", what)
	}
	if n == 0 {
		return ""
	}
	return d.text(at, n, what)
}

// strAt returns a view of the string at a position.
func (d *Decoder) strAt(pos int, what string) string {
	if pos > len(d.buf)-4 {
		d.fail("%s at byte %d leaves the buffer", what, pos)
		return ""
	}
	n := d.u32(pos)
	if n > len(d.buf)-pos-4 {
		d.fail("%s of %d bytes at byte %d leaves the buffer", what, n, pos)
		return ""
	}
	if n == 0 {
		return ""
	}
	return d.text(pos+4, n, what)
}

// text checks the n bytes of a string.
func (d *Decoder) text(at, n int, what string) string {
	if n > MaxAddress {
		d.fail("%s has %d bytes, at most %d", what, n, MaxAddress)
		return ""
	}
	if at+n >= len(d.buf) || d.buf[at+n] != 0 {
		d.fail("%s does not end in a zero byte", what)
		return ""
	}
	s := unsafe.String(&d.buf[at], n)
	if !utf8.ValidString(s) {
		d.fail("%s is not UTF-8: %s", what, Quote(s))
		return ""
	}
	return s
}

// doubles reads a vector of doubles into dst.
func (d *Decoder) doubles(t table, i int, dst []float64) []float64 {
	at, n := d.vector(t, i, 8)
	dst = grow(dst, n)
	for k := range dst {
		dst[k] = math.Float64frombits(binary.LittleEndian.Uint64(d.buf[at+8*k:]))
	}
	return dst
}

func (d *Decoder) uint32s(t table, i int, dst []uint32) []uint32 {
	at, n := d.vector(t, i, 4)
	dst = grow(dst, n)
	for k := range dst {
		dst[k] = binary.LittleEndian.Uint32(d.buf[at+4*k:])
	}
	return dst
}

func (d *Decoder) uint64s(t table, i int, dst []uint64) []uint64 {
	at, n := d.vector(t, i, 8)
	dst = grow(dst, n)
	for k := range dst {
		dst[k] = binary.LittleEndian.Uint64(d.buf[at+8*k:])
	}
	return dst
}

func (d *Decoder) int32s(t table, i int, dst []int32) []int32 {
	at, n := d.vector(t, i, 4)
	dst = grow(dst, n)
	for k := range dst {
		dst[k] = int32(d.u32(at + 4*k))
	}
	return dst
}

// offsets calls f with the position of each offset of a vector, until an error.
func (d *Decoder) offsets(t table, i int, f func(at int)) {
	at, n := d.vector(t, i, 4)
	for k := 0; k < n && d.err == nil; k++ {
		f(at + 4*k)
	}
}

// spend counts what a message holds: its parts may share bytes, but no honest writer's do, and what is read must
// not be more than was sent.
func (d *Decoder) spend(bytes int) {
	if d.read += bytes; d.read > len(d.buf) {
		d.fail("its parts share their bytes")
	}
}

func (d *Decoder) strs(t table, i int, what string, dst []string) []string {
	dst = dst[:0]
	d.offsets(t, i, func(at int) {
		pos := d.indirect(at)
		if d.err == nil && pos <= len(d.buf)-4 {
			d.spend(4 + d.u32(pos))
		}
		if d.err == nil {
			dst = append(dst, d.strAt(pos, what))
		}
	})
	return dst
}

func (d *Decoder) readChunk(t table) *Chunk {
	c := &d.chunk
	c.Restart = d.u8(t, 0) != 0
	c.Strings = d.strs(t, 1, "a string", c.Strings)
	c.Forms = c.Forms[:0]
	d.offsets(t, 2, func(at int) {
		pos := d.indirect(at)
		f := d.table(pos)
		if d.err != nil {
			return
		}
		w := WireForm{Op: Type(d.u8(f, 0)), Control: true, Kind: dist.Kind(d.u8(f, 2)), Address: d.u32Field(f, 3), Name: d.u32Field(f, 4)}
		if at := d.field(f, 1, 1); at != 0 {
			w.Control = d.buf[at] != 0
		}
		_, n := d.vector(f, 5, 4)
		if d.spend(4 + 4*n); n > (dist.MaxArgs+1)*(1+dist.MaxRank) {
			d.fail("a form with %d shape numbers", n)
		}
		if d.err == nil {
			w.Shapes = d.int32s(f, 5, nil)
			c.Forms = append(c.Forms, w)
		}
	})
	c.Statements = d.uint32s(t, 3, c.Statements)
	c.Numbers = d.doubles(t, 4, c.Numbers)
	c.More = d.u8(t, 5) != 0
	return c
}

func (d *Decoder) readRun(t table) *WireRun {
	r := &d.run
	*r = WireRun{Mode: Mode(d.u8(t, 0)), Seed: d.u64(t, 1), Stream: d.u64(t, 2), Draws: r.Draws, Streams: r.Streams, DataID: d.u64(t, 4)}
	if r.Mode >= numModes {
		d.fail("unknown mode %d of a run", r.Mode)
	}
	r.Draws, r.Streams = d.uint64s(t, 3, r.Draws), d.uint64s(t, 10, r.Streams)
	if d.present(t, 5) {
		r.Data = []Datum{}
		d.offsets(t, 5, func(at int) {
			pos := d.indirect(at)
			f := d.table(pos)
			name := d.str(f, 0, "a name of the data")
			v := d.tensor(f, 1, 0, name)
			if d.spend(8*len(v.Data) + len(name)); d.err == nil {
				r.Data = append(r.Data, Datum{strings.Clone(name), v.Clone()})
			}
		})
	}
	if u := d.tableField(t, 6); u.pos != 0 {
		w := &d.reuse
		w.Restart = d.u8(u, 0) != 0
		w.Bases = d.strs(u, 1, "an address base", w.Bases)
		w.Base, w.Instance = d.uint32s(u, 2, w.Base), d.uint32s(u, 3, w.Instance)
		w.Shapes, w.Numbers, w.Ends = d.int32s(u, 4, w.Shapes), d.doubles(u, 5, w.Numbers), d.uint32s(u, 6, w.Ends)
		r.Reuse = w
	}
	r.Inflation = math.Float64frombits(d.u64(t, 7))
	r.FlushMS, r.FlushBytes = d.u32Field(t, 8), d.u32Field(t, 9)
	return r
}

// tensor reads a tensor field into a slot; Data is nil if it is absent.
func (d *Decoder) tensor(parent table, i, slotAt int, what string) Tensor {
	t := d.tableField(parent, i)
	if t.pos == 0 {
		return Tensor{}
	}
	dataAt, n := d.vector(t, 0, 8)
	shapeAt, rank := d.vector(t, 1, 4)
	if d.Strict && (dataAt == 0 || shapeAt == 0) {
		d.fail("%s lacks its data or its shape; existing peers need both, also when they are empty", what)
	}
	if d.err != nil {
		return Tensor{}
	}
	for len(d.slots) <= slotAt {
		d.slots = append(d.slots, slot{})
	}
	s := &d.slots[slotAt]
	if rank > dist.MaxRank {
		d.fail("%s has %d dimensions, at most %d", what, rank, dist.MaxRank)
		return Tensor{}
	}
	s.shape = grow(s.shape, rank)
	for k := range s.shape {
		s.shape[k] = int32(d.u32(shapeAt + 4*k))
	}
	if n == 0 && rank == 0 {
		return Tensor{} // neither data nor shape: no value
	}
	want, err := dist.Elements(s.shape)
	if err != nil {
		d.fail("%s: %v", what, err)
		return Tensor{}
	}
	if want != n {
		d.fail("%s: shape %s holds %d elements, the data %d", what, dist.ShapeString(s.shape), want, n)
		return Tensor{}
	}
	s.data = grow(s.data, n)
	for k := range s.data {
		s.data[k] = math.Float64frombits(binary.LittleEndian.Uint64(d.buf[dataAt+8*k:]))
	}
	return Tensor{Data: s.data, Shape: s.shape}
}

// grow returns a non-nil slice of length n, reusing s where it can.
func grow[T any](s []T, n int) []T {
	if s == nil || cap(s) < n {
		return make([]T, n, max(n, 4))
	}
	return s[:n]
}
