package rundir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/ppx-engine/ppx-engine/internal/disk"
)

// Files are read column by column and page by page, into typed slices: several times faster than rows.

// columnFile is an open Parquet file.
type columnFile struct {
	f    *os.File
	p    *parquet.File
	by   map[string]int
	pool columnPool
}

// columnPool has columns, by name, whose room may be used again: of a file that nobody looks at any more. nil: none.
type columnPool map[string]*column

// take is a column without rows.
func (p columnPool) take(name string) *column {
	col := p[name]
	if col == nil {
		col = &column{start: make([]int32, 1), coded: name == "address"}
		if p != nil {
			p[name] = col
		}
		return col
	}
	col.ints, col.doubles, col.codes, col.table, col.keys, col.start = col.ints[:0], col.doubles[:0], col.codes[:0], col.table[:0], col.keys[:0], col.start[:1]
	return col
}

func openColumns(path string) (c *columnFile, err error) {
	f, size, err := disk.OpenRegular(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, damaged(path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			err = damaged(path, err)
		}
	}()
	defer recoverTo(&err)
	// The library believes what the file says of its footer's length.
	var tail [8]byte
	if _, err := f.ReadAt(tail[:], size-8); err != nil || int64(binary.LittleEndian.Uint32(tail[:])) > size-12 {
		return nil, errors.New("invalid Parquet: its end is cut off or damaged")
	}
	p, err := parquet.OpenFile(f, size, parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	c = &columnFile{f: f, p: p, by: map[string]int{}}
	for i, col := range p.Schema().Columns() {
		c.by[col[0]] = i
	}
	for _, g := range p.Metadata().RowGroups {
		for _, chunk := range g.Columns {
			// Another codec is a damaged byte; some decoders take any length from the data.
			if codec := chunk.MetaData.Codec; codec != format.Zstd {
				return nil, fmt.Errorf("unexpected compression %v", codec)
			}
		}
	}
	return c, nil
}

// recoverTo turns a panic of the library, which it has for some damaged files, into an error.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("invalid Parquet: %v", p)
	}
}

// damage, deferred, says of an error in which file it was; panics of the library, and what it says, are damage.
func damage(path string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("invalid Parquet: %v", p)
	}
	if *err != nil && !errors.Is(*err, os.ErrNotExist) && !errors.Is(*err, ErrDamaged) {
		*err = damaged(path, *err)
	}
}

// ErrDamaged says that a file of the run directory cannot be read.
var ErrDamaged = errors.New("damaged")

func damaged(path string, err error) error { return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err) }

func (c *columnFile) Close() error { return c.f.Close() }
func (c *columnFile) rows() int64  { return c.p.NumRows() }

// column is what a range of rows has in one column.
type column struct {
	ints    []int64   // integers and booleans
	doubles []float64 // present ones only
	// Strings: row r has table[codes[r]]; coded integers: keys[codes[r]].
	codes []int32
	table []string
	keys  []int64
	coded bool // few different integers: to be read as codes
	// For optional and list columns: where the values of row r begin and end.
	start []int32

	left int64 // rows still to come, to make room for them at once
	base int32 // of table or keys: where the present dictionary begins, −1 before it was read
}

// at is the values of row r.
func (c *column) at(r int) []float64 { return c.doubles[c.start[r]:c.start[r+1]] }

// str is the string of row r.
func (c *column) str(r int) string { return c.table[c.codes[r]] }

func (c *column) intsAt(r int) []int64 { return c.ints[c.start[r]:c.start[r+1]] }

// read decodes rows [from, from+n) of a column.
func (c *columnFile) read(name string, from, n int64) (col *column, err error) {
	defer func() {
		if err != nil {
			err = damaged(c.f.Name(), fmt.Errorf("column %s: %w", name, err))
		}
	}()
	defer recoverTo(&err)
	i, ok := c.by[name]
	if !ok {
		return nil, errors.New("missing")
	}
	col = c.pool.take(name)
	want := n
	for _, g := range c.p.RowGroups() {
		rows := g.NumRows()
		if from >= rows {
			from -= rows
			continue
		}
		k := min(n, rows-from)
		if err := col.append(g.ColumnChunks()[i], from, k); err != nil {
			return nil, err
		}
		if n -= k; n == 0 {
			break
		}
		from = 0
	}
	if n > 0 {
		return nil, fmt.Errorf("%d rows are missing", n)
	}
	if got := max(len(col.ints), len(col.doubles), len(col.codes), len(col.start)-1); len(col.start) == 1 && int64(got) != want ||
		len(col.start) > 1 && int64(len(col.start)-1) != want {
		return nil, fmt.Errorf("it has %d rows, not %d", got, want)
	}
	return col, nil
}

func (col *column) append(chunk parquet.ColumnChunk, from, n int64) error {
	pages := chunk.Pages()
	defer pages.Close()
	col.base = -1
	if from > 0 {
		if err := pages.SeekToRow(from); err != nil {
			return err
		}
	}
	for n > 0 {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return fmt.Errorf("%d rows are missing", n)
		}
		if err != nil {
			return err
		}
		if page.NumRows() > n {
			page = page.Slice(0, n)
		}
		col.left = n
		n -= page.NumRows()
		err = col.page(page, chunk.Type().Kind())
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
	return nil
}

func (col *column) page(page parquet.Page, kind parquet.Kind) error {
	data := page.Data()
	dict := page.Dictionary()
	switch {
	case kind == parquet.Double:
		col.doubles = reserve(col.doubles, col.left)
	case kind != parquet.ByteArray && !col.coded:
		col.ints = reserve(col.ints, col.left)
	}
	switch kind {
	case parquet.Double:
		if dict != nil {
			return errors.New("unexpected dictionary")
		}
		col.doubles = append(col.doubles, data.Double()...)
	case parquet.Boolean:
		// Not from the page's bits: those of a part of a page begin anywhere in a byte.
		values, ok := page.Values().(parquet.BooleanReader)
		if !ok {
			return errors.New("unexpected booleans")
		}
		var room [256]bool
		for {
			n, err := values.ReadBooleans(room[:])
			for _, v := range room[:n] {
				x := int64(0)
				if v {
					x = 1
				}
				col.ints = append(col.ints, x)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
	case parquet.Int32:
		values := data.Int32()
		if dict == nil {
			for _, v := range values {
				col.ints = append(col.ints, int64(v))
			}
			break
		}
		d := dict.Page().Data()
		table := d.Int32()
		for _, k := range values {
			col.ints = append(col.ints, int64(table[k]))
		}
	case parquet.Int64:
		if col.coded {
			return col.code(data, dict)
		}
		if dict == nil {
			col.ints = append(col.ints, data.Int64()...)
			break
		}
		d := dict.Page().Data()
		table := d.Int64()
		for _, k := range data.Int32() {
			col.ints = append(col.ints, table[k])
		}
	case parquet.ByteArray:
		if dict == nil {
			bytes, offsets := data.ByteArray()
			for i := range len(offsets) - 1 {
				col.codes = append(col.codes, int32(len(col.table)))
				col.table = append(col.table, string(bytes[offsets[i]:offsets[i+1]]))
			}
			break
		}
		if col.base < 0 {
			col.base = int32(len(col.table))
			for i := range dict.Len() {
				col.table = append(col.table, string(dict.Index(int32(i)).ByteArray()))
			}
		}
		col.codes = reserve(col.codes, col.left)
		for _, k := range data.Int32() {
			col.codes = append(col.codes, col.base+k)
		}
	default:
		return fmt.Errorf("unexpected type %s", kind)
	}
	col.levels(page)
	return nil
}

// code reads integers as codes of keys. The column is required.
func (col *column) code(data encoding.Values, dict parquet.Dictionary) error {
	col.codes = reserve(col.codes, col.left)
	if dict == nil {
		for _, v := range data.Int64() {
			col.codes = append(col.codes, int32(len(col.keys)))
			col.keys = append(col.keys, v)
		}
		return nil
	}
	if col.base < 0 {
		col.base = int32(len(col.keys))
		d := dict.Page().Data()
		col.keys = append(col.keys, d.Int64()...)
	}
	for _, k := range data.Int32() {
		col.codes = append(col.codes, col.base+k)
	}
	return nil
}

// levels extends start by the page's rows.
func (col *column) levels(page parquet.Page) {
	defs, reps := page.DefinitionLevels(), page.RepetitionLevels()
	if len(defs) == 0 { // required: one value a row, start is not used
		return
	}
	// The only level is 1, a value that is there: in an optional column, and in a list (its elements are
	// required, an empty list has level 0).
	col.start = reserve(col.start, col.left)
	at := col.start[len(col.start)-1]
	if len(reps) == 0 || int64(len(defs)) == page.NumRows() { // at most one value a row
		for _, d := range defs {
			if d > 0 {
				at++
			}
			col.start = append(col.start, at)
		}
		return
	}
	for i, d := range defs {
		if i > 0 && (len(reps) == 0 || reps[i] == 0) {
			col.start = append(col.start, at)
		}
		if d > 0 {
			at++
		}
	}
	col.start = append(col.start, at)
}

// reserve makes room for about n more elements the first time.
func reserve[T any](s []T, n int64) []T {
	if cap(s)-len(s) < int(n) && len(s) < 2 {
		return append(make([]T, 0, int(n)+len(s)), s...)
	}
	return s
}
