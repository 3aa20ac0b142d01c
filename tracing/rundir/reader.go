package rundir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Reader reads a run directory, also one that is being written. Not for concurrent use.
type Reader struct {
	Path     string
	Manifest *Manifest
	Table    *tracing.Table

	ids   []uint32 // address numbers of the files → of Table
	kinds []dist.Kind
	ops   []ppx.Type
	b     tracing.Builder
}

var _ tracing.Reader = (*Reader)(nil)

// Open reads the manifest and the addresses. Traces will use table; nil means one of their own.
func Open(path string, table *tracing.Table) (*Reader, error) {
	m, err := ReadManifest(path)
	if err != nil {
		return nil, err
	}
	if table == nil {
		table = tracing.NewTable()
	}
	r := &Reader{Path: path, Manifest: m, Table: table}
	return r, r.readAddresses()
}

// readAddresses reads all address parts. A number may stand in any of them: mostly in the part that brought
// it, but a draw that was made again later may bring one too.
func (r *Reader) readAddresses() error {
	var rows []addressRow
	for k := uint64(0); ; k++ {
		part, err := readAddressPart(r.Path, k)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		rows = append(rows, part...)
	}
	slices.SortFunc(rows, func(a, b addressRow) int { return cmp.Compare(a.ID, b.ID) })
	for i := range rows {
		row := &rows[i]
		op, kind, err := row.parse()
		switch {
		case err != nil:
			return damaged(r.Path, err)
		case int(row.ID) < len(r.ids):
			continue
		case int(row.ID) > len(r.ids):
			return damaged(r.Path, fmt.Errorf("address number %d is missing", len(r.ids)))
		}
		r.ids = append(r.ids, r.Table.Intern(row.Base, op, kind))
		r.kinds = append(r.kinds, kind)
		r.ops = append(r.ops, op)
	}
	return nil
}

func (row *addressRow) parse() (op ppx.Type, kind dist.Kind, err error) {
	for _, t := range []ppx.Type{ppx.Sample, ppx.Observe, ppx.Tag} {
		if tracing.Role(t) == row.Role {
			op = t
		}
	}
	name, _, _ := strings.Cut(row.Kind, "(")
	kind, ok := dist.KindByName(name)
	if op == 0 || (!ok && row.Kind != "") {
		return op, kind, fmt.Errorf("address %d: role %q and kind %q", row.ID, row.Role, row.Kind)
	}
	return op, kind, nil
}

func readAddressPart(path string, k uint64) ([]addressRow, error) {
	c, err := openColumns(partName(path, "addresses", k))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	n := c.rows()
	id, err1 := c.read("id", 0, n)
	base, err2 := c.read("base", 0, n)
	role, err3 := c.read("role", 0, n)
	kind, err4 := c.read("kind", 0, n)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	rows := make([]addressRow, n)
	for i := range rows {
		rows[i] = addressRow{int32(id.ints[i]), base.str(i), role.str(i), kind.str(i)}
	}
	return rows, nil
}

// Addresses returns what is stored, by file number.
func (r *Reader) Addresses() []tracing.Address {
	out := make([]tracing.Address, len(r.ids))
	for i, id := range r.ids {
		out[i] = r.Table.Address(id)
	}
	return out
}

// All implements tracing.Reader: every trace, failed ones included, in the order of draws.
func (r *Reader) All(ctx context.Context) iter.Seq2[*tracing.Trace, error] {
	return func(yield func(*tracing.Trace, error) bool) {
		n := uint64(0)
		for k := uint64(0); ; k++ {
			traces, err := r.Part(k)
			if errors.Is(err, fs.ErrNotExist) {
				if err := r.whole(n); err != nil {
					yield(nil, err)
				}
				return
			}
			n += uint64(len(traces))
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range traces {
				if !yield(t, nil) {
					return
				}
			}
		}
	}
}

// whole tells whether n draws are all that the run has, where that is known.
func (r *Reader) whole(n uint64) error {
	if c := r.Manifest.Counts; r.Manifest.State == Complete && n < c.Traces+c.Failed {
		return damaged(r.Path, fmt.Errorf("%d draws are there, of %d", n, c.Traces+c.Failed))
	}
	return nil
}

// Part returns the traces of part k; fs.ErrNotExist after the last.
func (r *Reader) Part(k uint64) ([]*tracing.Trace, error) { return r.part(k, 0, -1) }

// Draw returns the trace of one draw.
func (r *Reader) Draw(draw uint64) (*tracing.Trace, error) {
	k := uint64(0)
	if r.Manifest.PartSize > 0 {
		k = draw / r.Manifest.PartSize
		draw %= r.Manifest.PartSize
	}
	traces, err := r.part(k, int64(draw), 1)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(traces) == 0) {
		return nil, fmt.Errorf("%s: draw %d is not recorded", r.Path, k*r.Manifest.PartSize+draw)
	}
	if err != nil {
		return nil, err
	}
	return traces[0], nil
}

// part reads n draws of a part beginning with its first-th; n < 0 means all from there.
func (r *Reader) part(k uint64, first, n int64) (traces []*tracing.Trace, err error) {
	defer func() {
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
			err = damaged(partName(r.Path, "sites", k), err)
		}
	}()
	defer recoverTo(&err)
	dc, err := openColumns(partName(r.Path, "draws", k))
	if err != nil {
		return nil, err
	}
	defer dc.Close()
	total := dc.rows()
	if n < 0 || first+n > total {
		n = max(0, total-first)
	}
	if n == 0 {
		return nil, nil
	}
	lengths, err := dc.read("length", 0, first+n)
	if err != nil {
		return nil, err
	}
	var skip, rows int64
	for i, l := range lengths.ints {
		if l < 0 {
			return nil, fmt.Errorf("length %d", l)
		}
		if int64(i) < first {
			skip += l
		} else {
			rows += l
		}
	}
	d, err := readDraws(dc, first, n)
	if err != nil {
		return nil, err
	}
	sc, err := openColumns(partName(r.Path, "sites", k))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = damaged(r.Path, fmt.Errorf("%s exists, %s does not", partName("", "draws", k), partName("", "sites", k)))
		}
		return nil, err
	}
	defer sc.Close()
	// The rows of a draw are where the lengths say; unless the file is newer than the draws and a draw that
	// failed has been made again (Writer.Replace).
	s, err := readSites(sc, skip, rows)
	starts, ok := startsOf(s.draw, d.draw.ints, lengths.ints[first:], err)
	if !ok {
		if s, err = readSites(sc, 0, sc.rows()); err != nil {
			return nil, err
		}
		if starts, ok = search(s.draw.ints, d.draw.ints, lengths.ints[first:]); !ok {
			return nil, damaged(sc.f.Name(), errors.New("it does not have the statements that the draws have"))
		}
	}
	for _, name := range s.name.table {
		s.names = append(s.names, r.Table.InternName(name))
	}
	for _, name := range s.origin.table {
		o, ok := tracing.OriginByName(name)
		if !ok {
			return nil, damaged(sc.f.Name(), fmt.Errorf("origin %q", name))
		}
		s.origins = append(s.origins, o)
	}
	for _, id := range s.address.ints {
		if id < 0 {
			return nil, fmt.Errorf("address number %d", id)
		}
		if int(id) >= len(r.ids) { // written since Open
			if err := r.readAddresses(); err != nil {
				return nil, err
			}
			if int(id) >= len(r.ids) {
				return nil, damaged(sc.f.Name(), fmt.Errorf("address number %d is unknown", id))
			}
		}
	}
	traces = make([]*tracing.Trace, n)
	for i := range traces {
		if traces[i], err = r.assemble(&d, i, &s, starts[i], int(lengths.ints[first+int64(i)])); err != nil {
			return nil, damaged(sc.f.Name(), err)
		}
	}
	return traces, nil
}

// startsOf is where each draw's rows begin when they follow each other; !ok when they are another draw's, or
// were not there to read.
func startsOf(rows *column, draws, lengths []int64, err error) (starts []int, ok bool) {
	if err != nil {
		return nil, false
	}
	at := 0
	for i, l := range lengths {
		starts = append(starts, at)
		if l > 0 && (rows.ints[at] != draws[i] || rows.ints[at+int(l)-1] != draws[i]) {
			return nil, false
		}
		at += int(l)
	}
	return starts, true
}

// search is where each draw's rows begin in a whole part, wherever that is.
func search(rows, draws, lengths []int64) (starts []int, ok bool) {
	for i, l := range lengths {
		at, _ := slices.BinarySearch(rows, draws[i])
		end, _ := slices.BinarySearch(rows, draws[i]+1)
		if l > 0 && int64(end-at) != l {
			return nil, false
		}
		starts = append(starts, at)
	}
	return starts, true
}

type drawColumns struct {
	draw, chain, logWeight, logLikelihood, result, results, shape, seconds, status, err *column
}

func readDraws(c *columnFile, first, n int64) (d drawColumns, err error) {
	err = c.readAll(first, n, map[string]**column{"draw": &d.draw, "chain": &d.chain, "log_weight": &d.logWeight,
		"log_likelihood": &d.logLikelihood, "result": &d.result, "results": &d.results, "result_shape": &d.shape,
		"seconds": &d.seconds, "status": &d.status, "error": &d.err})
	return d, err
}

type siteColumns struct {
	draw, address, instance, name, control, origin, value, values, shape *column
	param1, params1, param2, params2, logP, logQ                         *column

	names   []uint32         // by code of name
	origins []tracing.Origin // by code of origin
}

func readSites(c *columnFile, first, n int64) (s siteColumns, err error) {
	err = c.readAll(first, n, map[string]**column{"draw": &s.draw, "address": &s.address, "instance": &s.instance,
		"name": &s.name, "control": &s.control, "origin": &s.origin, "value": &s.value, "values": &s.values, "shape": &s.shape,
		"param1": &s.param1, "params1": &s.params1, "param2": &s.param2, "params2": &s.params2, "log_p": &s.logP, "log_q": &s.logQ})
	return s, err
}

func (c *columnFile) readAll(first, n int64, into map[string]**column) error {
	for name, col := range into {
		var err error
		if *col, err = c.read(name, first, n); err != nil {
			return err
		}
	}
	return nil
}

// assemble builds the trace of row i of the draws, whose l sites begin at row at.
func (r *Reader) assemble(d *drawColumns, i int, s *siteColumns, at, l int) (*tracing.Trace, error) {
	b := &r.b
	draw := uint64(d.draw.ints[i])
	b.Reset(r.Table, draw, uint32(d.chain.ints[i]))
	b.Grow(l)
	for row := at; row < at+l; row++ {
		if s.draw.ints[row] != int64(draw) {
			return nil, fmt.Errorf("draw %d has fewer than its %d sites", draw, l)
		}
		if err := r.entry(b, s, row); err != nil {
			return nil, fmt.Errorf("draw %d, site %d: %w", draw, row-at, err)
		}
	}
	result, err := tensorAt(d.result, d.results, d.shape, i)
	if err != nil {
		return nil, fmt.Errorf("draw %d: result: %w", draw, err)
	}
	t := b.Finish(result, d.logWeight.doubles[i], d.seconds.doubles[i])
	t.LogLikelihood = d.logLikelihood.doubles[i]
	if d.status.str(i) == tracing.Failed.String() {
		t.Status = tracing.Failed
	}
	if a, z := d.err.start[i], d.err.start[i+1]; a < z {
		t.Error = d.err.str(int(a))
	}
	return t, nil
}

func (r *Reader) entry(b *tracing.Builder, s *siteColumns, row int) error {
	id := s.address.ints[row]
	kind := r.kinds[id]
	e := tracing.Entry{Op: r.ops[id], Kind: kind, Control: s.control.ints[row] != 0, Origin: s.origins[s.origin.codes[row]],
		Name: s.names[s.name.codes[row]], LogP: s.logP.doubles[row]}
	e.Address, e.Instance = r.ids[id], uint32(s.instance.ints[row])
	e.LogQ = e.LogP
	if q := s.logQ.at(row); len(q) > 0 {
		e.LogQ = q[0]
	}
	v, err := tensorAt(s.value, s.values, s.shape, row)
	if err != nil || kind == dist.None {
		b.Add(e, v, nil)
		return err
	}
	d := ppx.Dist{Kind: kind}
	if kind == dist.Categorical {
		probs := s.params1.at(row)
		k := len(probs) / max(1, len(v.Data))
		d.Params[0] = ppx.Tensor{Data: probs, Shape: append(append(make([]int32, 0, len(v.Shape)+1), v.Shape...), int32(k))}
	} else {
		for i, p := range [][2]*column{{s.param1, s.params1}, {s.param2, s.params2}}[:len(kind.Params())] {
			data := p[0].at(row)
			if len(data) == 0 {
				data = p[1].at(row)
			}
			if len(data) != len(v.Data) {
				return fmt.Errorf("%s has %d elements for a value of %d", kind.Params()[i], len(data), len(v.Data))
			}
			d.Params[i] = ppx.Tensor{Data: data, Shape: v.Shape}
		}
	}
	b.Add(e, v, &d)
	return nil
}

// tensorAt puts a value together from its three columns; no value where all are empty.
func tensorAt(one, list, shape *column, row int) (ppx.Tensor, error) {
	data := one.at(row)
	if len(data) == 0 {
		data = list.at(row)
	}
	dims := shape.intsAt(row)
	if len(data) == 0 && len(dims) == 0 {
		return ppx.Tensor{}, nil
	}
	if data == nil {
		data = []float64{}
	}
	if len(dims) == 0 && len(data) == 1 {
		return ppx.Tensor{Data: data}, nil
	}
	s := make([]int32, len(dims))
	for i, d := range dims {
		s[i] = int32(d)
	}
	return dist.NewTensor(data, s)
}

// Head is a trace without its statements.
type Head struct {
	Draw                     uint64
	Chain                    uint32
	LogWeight, LogLikelihood float64
	Type                     uint64
	Length                   int
	Result                   ppx.Tensor
	Seconds                  float64
	Failed                   bool
	Error                    string
}

// Heads reads the draws without their sites.
func (r *Reader) Heads(ctx context.Context) iter.Seq2[Head, error] {
	return func(yield func(Head, error) bool) {
		n := uint64(0)
		for k := uint64(0); ; k++ {
			heads, err := r.heads(k)
			if errors.Is(err, fs.ErrNotExist) {
				if err := r.whole(n); err != nil {
					yield(Head{}, err)
				}
				return
			}
			n += uint64(len(heads))
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(Head{}, err)
				return
			}
			for _, h := range heads {
				if !yield(h, nil) {
					return
				}
			}
		}
	}
}

func (r *Reader) heads(k uint64) (out []Head, err error) {
	defer func() {
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
			err = damaged(partName(r.Path, "draws", k), err)
		}
	}()
	defer recoverTo(&err)
	c, err := openColumns(partName(r.Path, "draws", k))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	n := c.rows()
	d, err := readDraws(c, 0, n)
	if err != nil {
		return nil, err
	}
	types, err1 := c.read("trace_type", 0, n)
	lengths, err2 := c.read("length", 0, n)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	out = make([]Head, n)
	for i := range out {
		result, err := tensorAt(d.result, d.results, d.shape, i)
		if err != nil {
			return nil, damaged(c.f.Name(), err)
		}
		out[i] = Head{Draw: uint64(d.draw.ints[i]), Chain: uint32(d.chain.ints[i]), LogWeight: d.logWeight.doubles[i],
			LogLikelihood: d.logLikelihood.doubles[i], Type: uint64(types.ints[i]), Length: int(lengths.ints[i]), Result: result,
			Seconds: d.seconds.doubles[i], Failed: d.status.str(i) == tracing.Failed.String()}
		if a, z := d.err.start[i], d.err.start[i+1]; a < z {
			out[i].Error = d.err.str(int(a))
		}
	}
	return out, nil
}

// Rows is how many draws are on disk in a run directory, also while it is being written, or in one of its folders of traces
// that wait; what cannot be read counts for nothing.
func Rows(path string) (n uint64) {
	for k := uint64(0); ; k++ {
		c, err := openColumns(partName(path, "draws", k))
		if err != nil {
			return n
		}
		n += uint64(c.rows())
		c.Close()
	}
}

// Has tells whether there is a part k.
func (r *Reader) Has(k uint64) bool {
	_, err := os.Stat(partName(r.Path, "draws", k))
	return err == nil
}
