package rundir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
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

	known map[int64]int // place of an address in those below
	ids   []uint32      // in the table
	kinds []dist.Kind
	ops   []ppx.Type
	b     tracing.Builder
	d     ppx.Dist
	room  dist.Shapes
	same  map[int64]*tracing.Trace // by chain, the last one with statements of its own: others may share them
}

var _ tracing.Reader = (*Reader)(nil)

// Open reads the manifest and the addresses. Traces will use table; nil means one of their own. Errors: ErrNotARun, ErrFormat, ErrDamaged.
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

// maxAddresses bounds what a few bytes of a damaged file can claim.
const maxAddresses = 1 << 20

// readAddresses reads the address parts. An address may stand in any of them: mostly in the part that brought
// it, but a draw that was made again later may bring one too.
func (r *Reader) readAddresses() error {
	if r.known == nil {
		r.known = map[int64]int{}
	}
	for k := uint64(0); ; k++ {
		part, err := readAddressPart(r.Path, k)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range part {
			row := &part[i]
			if _, ok := r.known[row.ID]; ok {
				continue
			}
			op, kind, err := row.parse()
			if err == nil && len(r.ids) == maxAddresses {
				err = fmt.Errorf("more than %d addresses", maxAddresses)
			}
			if err != nil {
				return damaged(partName(r.Path, "addresses", k), err)
			}
			id := r.Table.Intern(row.Base, op, kind)
			if a := r.Table.Address(id); a.ID() != row.ID {
				return damaged(partName(r.Path, "addresses", k), fmt.Errorf("address %s has the number %d, not %d", ppx.Quote(row.Base), a.ID(), row.ID))
			}
			r.known[row.ID] = len(r.ids)
			r.ids = append(r.ids, id)
			r.kinds = append(r.kinds, kind)
			r.ops = append(r.ops, op)
		}
	}
}

func (row *addressRow) parse() (op ppx.Type, kind dist.Kind, err error) {
	op, _ = tracing.OpByRole(row.Role)
	name, _, _ := strings.Cut(row.Kind, "(")
	kind, ok := dist.KindByName(name)
	if op == 0 || (!ok && row.Kind != "") {
		return op, kind, fmt.Errorf("address %d: role %q and kind %q", row.ID, row.Role, row.Kind)
	}
	return op, kind, nil
}

func readAddressPart(path string, k uint64) (rows []addressRow, err error) {
	defer damage(partName(path, "addresses", k), &err)
	c, err := openColumns(partName(path, "addresses", k))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	n := c.rows()
	if n > maxAddresses {
		return nil, damaged(c.f.Name(), fmt.Errorf("%d addresses, at most %d", n, maxAddresses))
	}
	id, err1 := c.read("id", 0, n)
	base, err2 := c.read("base", 0, n)
	role, err3 := c.read("role", 0, n)
	kind, err4 := c.read("kind", 0, n)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	rows = make([]addressRow, n)
	for i := range rows {
		rows[i] = addressRow{ID: id.ints[i], Base: base.str(i), Role: role.str(i), Kind: kind.str(i)}
		_, k, err := rows[i].parse()
		if err != nil {
			return nil, damaged(c.f.Name(), err)
		}
		rows[i].Params = k.Params()
	}
	return rows, nil
}

// Addresses returns what is stored.
func (r *Reader) Addresses() []tracing.Address {
	out := make([]tracing.Address, len(r.ids))
	for i, id := range r.ids {
		out[i] = r.Table.Address(id)
	}
	return out
}

// All implements tracing.Reader, its errors being ErrDamaged and ctx's: every trace, failed ones included, in the order of rows.
func (r *Reader) All(ctx context.Context) iter.Seq2[*tracing.Trace, error] {
	return func(yield func(*tracing.Trace, error) bool) {
		n, next := uint64(0), int64(r.Manifest.First)
		last := uint64(math.MaxUint64)
		if r.Manifest.State == Running { // what is written meanwhile might never come to an end
			last = r.lastPart()
		}
		for k := uint64(0); k <= last; k++ {
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
				if t.Row != next {
					yield(nil, damaged(partName(r.Path, "draws", k), fmt.Errorf("row %d where %d was expected", t.Row, next)))
					return
				}
				if next++; !yield(t, nil) {
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

// Part returns the traces of part k; fs.ErrNotExist after the last; ErrDamaged.
func (r *Reader) Part(k uint64) ([]*tracing.Trace, error) { return r.part(k, 0, -1) }

// ErrNoRow says that a row is not recorded.
var ErrNoRow = errors.New("is not recorded")

// Row returns the trace of one row: of independent draws, of one draw. An ErrNoRow where there is none.
func (r *Reader) Row(row uint64) (*tracing.Trace, error) {
	at, k := row-r.Manifest.First, uint64(0)
	if n := r.Manifest.PartSize; n > 0 {
		k, at = at/n, at%n
	}
	var traces []*tracing.Trace
	err := error(fs.ErrNotExist)
	if row >= r.Manifest.First && at < math.MaxInt32 {
		traces, err = r.part(k, int64(at), 1)
	}
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(traces) == 0) {
		return nil, fmt.Errorf("%s: draw %d %w", r.Path, row, ErrNoRow)
	}
	if err != nil {
		return nil, err
	}
	return traces[0], nil
}

// openDraws opens the file of a part's draws, which must be as many as a Writer puts there at most.
func (r *Reader) openDraws(k uint64) (*columnFile, error) {
	c, err := openColumns(partName(r.Path, "draws", k))
	if err == nil && c.rows() > maxPartSize {
		err = errors.Join(damaged(c.f.Name(), fmt.Errorf("%d rows, at most %d", c.rows(), maxPartSize)), c.Close())
	}
	return c, err
}

// openSites opens the file of the statements of a part that has draws.
func (r *Reader) openSites(k uint64) (*columnFile, error) {
	c, err := openColumns(partName(r.Path, "sites", k))
	if errors.Is(err, fs.ErrNotExist) {
		err = damaged(r.Path, fmt.Errorf("%s exists, %s does not", partName("", "draws", k), partName("", "sites", k)))
	}
	return c, err
}

// places are where the addresses of a column stand among the reader's, by code.
func (r *Reader) places(c *columnFile, address *column) (places []int, err error) {
	for _, id := range address.keys {
		at, ok := r.known[id]
		if !ok { // written since Open
			if err := r.readAddresses(); err != nil {
				return nil, err
			}
			if at, ok = r.known[id]; !ok {
				return nil, damaged(c.f.Name(), fmt.Errorf("address %d is unknown", id))
			}
		}
		places = append(places, at)
	}
	return places, nil
}

// part reads n draws of a part beginning with its first-th; n < 0 means all from there.
func (r *Reader) part(k uint64, first, n int64) (traces []*tracing.Trace, err error) {
	defer damage(partName(r.Path, "sites", k), &err)
	dc, err := r.openDraws(k)
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
	shared, err := dc.read("same_as", 0, first+n)
	if err != nil {
		return nil, err
	}
	var skip, rows int64
	for i, l := range lengths.ints {
		if l < 0 || l > maxLength {
			return nil, damaged(dc.f.Name(), fmt.Errorf("length %d", l))
		}
		if len(shared.intsAt(i)) > 0 {
			lengths.ints[i] = 0
			continue
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
	sc, err := r.openSites(k)
	if err != nil {
		return nil, err
	}
	defer sc.Close()
	// The statements of a row are where the lengths say; unless the file is newer than the draws and a draw that
	// failed has been made again (Writer.Replace).
	s, err := readSites(sc, skip, rows)
	starts, ok := startsOf(s.row, d.row.ints, lengths.ints[first:], err)
	if !ok {
		if sc.rows() > maxLength {
			return nil, damaged(sc.f.Name(), fmt.Errorf("%d statements", sc.rows()))
		}
		if s, err = readSites(sc, 0, sc.rows()); err != nil {
			return nil, err
		}
		if starts, ok = search(s.row.ints, d.row.ints, lengths.ints[first:]); !ok {
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
	if s.addresses, err = r.places(sc, s.address); err != nil {
		return nil, err
	}
	traces = make([]*tracing.Trace, n)
	for i := range traces {
		if traces[i], err = r.assemble(&d, i, &s, starts[i], int(lengths.ints[first+int64(i)])); err != nil {
			return nil, damaged(sc.f.Name(), err)
		}
	}
	return traces, nil
}

// startsOf is where each trace's statements begin when they follow each other; !ok when they are another's, or
// were not there to read.
func startsOf(rows *column, want, lengths []int64, err error) (starts []int, ok bool) {
	if err != nil {
		return nil, false
	}
	at := 0
	for i, l := range lengths {
		starts = append(starts, at)
		if l > 0 && (rows.ints[at] != want[i] || rows.ints[at+int(l)-1] != want[i]) {
			return nil, false
		}
		at += int(l)
	}
	return starts, true
}

// search is where each trace's statements begin in a whole part, wherever that is.
func search(rows, want, lengths []int64) (starts []int, ok bool) {
	for i, l := range lengths {
		at, _ := slices.BinarySearch(rows, want[i])
		end, _ := slices.BinarySearch(rows, want[i]+1)
		if l > 0 && int64(end-at) != l {
			return nil, false
		}
		starts = append(starts, at)
	}
	return starts, true
}

// maxLength is the most statements of a trace that a file is believed to have.
const maxLength = 10_000_000

type drawColumns struct {
	row, chain, step, draw, parent, same, logWeight, weightRest, logLikelihood, likelihoodRest, score *column
	result, results, shape, seconds, status, err                                                      *column
}

func readDraws(c *columnFile, first, n int64) (d drawColumns, err error) {
	err = c.readAll(first, n, map[string]**column{"row": &d.row, "chain": &d.chain, "step": &d.step, "draw": &d.draw, "parent": &d.parent, "same_as": &d.same,
		"log_weight": &d.logWeight, "log_weight_rest": &d.weightRest, "log_likelihood": &d.logLikelihood, "log_likelihood_rest": &d.likelihoodRest,
		"score": &d.score, "result": &d.result, "results": &d.results, "result_shape": &d.shape, "seconds": &d.seconds, "status": &d.status, "error": &d.err})
	return d, err
}

type siteColumns struct {
	row, address, instance, name, control, origin, value, values, shape *column
	params, logP, logQ                                                  *column

	addresses []int            // place in the reader's, by code of address
	names     []uint32         // by code of name
	origins   []tracing.Origin // by code of origin
}

func readSites(c *columnFile, first, n int64) (s siteColumns, err error) {
	err = c.readAll(first, n, map[string]**column{"row": &s.row, "address": &s.address, "instance": &s.instance,
		"name": &s.name, "control": &s.control, "origin": &s.origin, "value": &s.value, "values": &s.values, "shape": &s.shape,
		"params": &s.params, "log_p": &s.logP, "log_q": &s.logQ})
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
	row := d.row.ints[i]
	b.Reset(r.Table, uint64(d.draw.ints[i]), uint32(d.chain.ints[i]))
	var shared *tracing.Trace
	if same := d.same.intsAt(i); len(same) > 0 {
		var err error
		if shared, err = r.shared(row, same[0], d.chain.ints[i]); err != nil {
			return nil, err
		}
	}
	b.Grow(l)
	for k := at; k < at+l; k++ {
		if s.row.ints[k] != row {
			return nil, fmt.Errorf("row %d has fewer than its %d statements", row, l)
		}
		if err := r.entry(b, s, k); err != nil {
			return nil, fmt.Errorf("row %d, statement %d: %w", row, k-at, err)
		}
	}
	result, err := tensorAt(d.result, d.results, d.shape, i)
	if err != nil {
		return nil, fmt.Errorf("row %d: result: %w", row, err)
	}
	t := b.Finish(result, d.logWeight.doubles[i], d.seconds.doubles[i])
	if shared != nil {
		t.Share(shared)
	}
	t.Row = row
	t.LogLikelihood = d.logLikelihood.doubles[i]
	t.LogWeightRest, t.LogLikelihoodRest = d.weightRest.doubles[i], d.likelihoodRest.doubles[i]
	p, x, step := d.parent.intsAt(i), d.score.at(i), d.step.ints[i]
	if len(p)+len(x) > 0 || step > 0 || t.From != nil {
		l := t.Lineage()
		l.Step = uint64(step)
		if len(p) > 0 {
			l.Parent = p[0]
		}
		if len(x) > 0 {
			l.Score = &x[0]
		}
		t.From = &l
	}
	if chain := d.chain.ints[i]; chain > 0 && shared == nil {
		r.keep(chain, t)
	}
	var ok bool
	if t.Status, ok = tracing.StatusByName(d.status.str(i)); !ok {
		return nil, fmt.Errorf("row %d: status %q", row, d.status.str(i))
	}
	if a, z := d.err.start[i], d.err.start[i+1]; a < z {
		t.Error = d.err.str(int(a))
	}
	return t, nil
}

// shared is the trace of an earlier row, whose statements another row has too.
func (r *Reader) shared(row, same, chain int64) (*tracing.Trace, error) {
	if t := r.same[chain]; t != nil && t.Row == same {
		return t, nil
	}
	if same < 0 || same >= row {
		return nil, fmt.Errorf("row %d is the same as row %d, which is no earlier one", row, same)
	}
	other := &Reader{Path: r.Path, Manifest: r.Manifest, Table: r.Table, known: r.known, ids: r.ids, kinds: r.kinds, ops: r.ops}
	t, err := other.Row(uint64(same))
	switch {
	case err != nil:
		return nil, fmt.Errorf("row %d is the same as row %d: %w", row, same, err)
	case t.Lineage().SameAs != tracing.NoRow:
		return nil, fmt.Errorf("row %d is the same as row %d, which is the same as another", row, same)
	}
	r.keep(chain, t)
	return t, nil
}

// keep keeps a trace for those that share its statements.
func (r *Reader) keep(chain int64, t *tracing.Trace) {
	const most = 1024 // chains
	if r.same == nil || len(r.same) > most {
		r.same = map[int64]*tracing.Trace{}
	}
	r.same[chain] = t
}

func (r *Reader) entry(b *tracing.Builder, s *siteColumns, row int) error {
	id := s.addresses[s.address.codes[row]]
	kind := r.kinds[id]
	e := tracing.Site{Op: r.ops[id], Kind: kind, Control: s.control.ints[row] != 0, Origin: s.origins[s.origin.codes[row]],
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
	if flat := s.params.at(row); len(flat) == 0 && len(v.Data) > 0 { // left out
		r.d.Kind, r.d.Params = kind, r.d.Params[:0]
	} else if !r.d.Unflatten(kind, flat, v.Shape, len(v.Data), &r.room) {
		return fmt.Errorf("%d numbers for the parameters of a %s with %d elements", len(flat), kind, len(v.Data))
	}
	b.Add(e, v, &r.d)
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
	Row                      uint64
	Chain                    uint32
	Step, Draw               uint64
	LogWeight, LogWeightRest float64
	LogLikelihood            float64
	Type                     uint64
	Length                   int
	Result                   ppx.Tensor
	Seconds                  float64
	Status                   tracing.Status
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
	defer damage(partName(r.Path, "draws", k), &err)
	c, err := r.openDraws(k)
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
		out[i] = Head{Row: uint64(d.row.ints[i]), Chain: uint32(d.chain.ints[i]), Step: uint64(d.step.ints[i]), Draw: uint64(d.draw.ints[i]), LogWeight: d.logWeight.doubles[i], LogWeightRest: d.weightRest.doubles[i],
			LogLikelihood: d.logLikelihood.doubles[i], Type: uint64(types.ints[i]), Length: int(lengths.ints[i]), Result: result,
			Seconds: d.seconds.doubles[i]}
		var ok bool
		if out[i].Status, ok = tracing.StatusByName(d.status.str(i)); !ok {
			return nil, damaged(c.f.Name(), fmt.Errorf("status %q", d.status.str(i)))
		}
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
