package rundir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// Want is which columns of statements a Scan reads.
type Want uint8

// What Columns has of statements.
const (
	Addresses Want = 1 << iota
	Instances
	Names
	Controls
	Values
	LogPs
)

// Columns is what a part of a run, in the order of rows, has in some columns: for those who go through millions of statements, and build no traces.
type Columns struct {
	First         uint64  // row of the first draw; the others follow
	SameAs        []int64 // row whose statements a draw has; tracing.NoRow: its own
	Draw          []int64
	Status        []tracing.Status
	LogWeight     []float64
	LogWeightRest []float64
	Type          []int64
	Length        []int64 // statements

	// By statement; Sites tells which ones are a draw's.
	Address  []int // place in Reader.Addresses
	Instance []int64
	Control  []bool    // whether it allows a proposal
	LogP     []float64 // log density under the model

	name, value, values *column
	starts              []int
	own                 []int64 // statements

	reader *Reader
	part   uint64
	have   Want
	room   *columnRoom
}

// columnRoom is what the parts of a Scan have their columns in, one after the other.
type columnRoom struct {
	draws, sites columnPool
	address      []int
}

// More reads further columns of the part: those that are needed only where others have shown something. Errors: ErrDamaged.
func (c *Columns) More(want Want) (err error) {
	if want &^= c.have; want == 0 {
		return nil
	}
	defer damage(partName(c.reader.Path, "sites", c.part), &err)
	rows, total := make([]int64, len(c.own)), int64(0)
	for i, n := range c.own {
		rows[i] = int64(c.First) + int64(i)
		total += n
	}
	if err := c.reader.siteColumns(c, c.part, want, rows, total); err != nil {
		return err
	}
	c.have |= want
	return nil
}

// Sites are the places [from, to) of a draw's statements; none if it shares another's.
func (c *Columns) Sites(draw int) (from, to int) {
	return c.starts[draw], c.starts[draw] + int(c.own[draw])
}

// Name is that of a statement.
func (c *Columns) Name(site int) string { return c.name.str(site) }

// NameCode is a number that statements of a part have in common only if they have the same name.
func (c *Columns) NameCode(site int) int32 { return c.name.codes[site] }

// Value is the elements of a statement; nil if it has none.
func (c *Columns) Value(site int) []float64 {
	if v := c.value.at(site); len(v) > 0 {
		return v
	}
	return c.values.at(site)
}

// One is the value of a statement with one element.
func (c *Columns) One(site int) (float64, bool) {
	if from, to := c.value.start[site], c.value.start[site+1]; to == from+1 {
		return c.value.doubles[from], true
	}
	if v := c.values.at(site); len(v) == 1 {
		return v[0], true
	}
	return 0, false
}

// Scan yields the parts of a run, with what is wanted of their statements; what it yielded before is overwritten. After an ErrDamaged it goes on with the next part, if that is wanted.
func (r *Reader) Scan(ctx context.Context, want Want) iter.Seq2[*Columns, error] {
	return func(yield func(*Columns, error) bool) {
		n := uint64(0)
		room := &columnRoom{draws: columnPool{}, sites: columnPool{}}
		for k := uint64(0); ; k++ {
			c, err := r.columns(k, want, room)
			if errors.Is(err, fs.ErrNotExist) {
				if err := r.whole(n); err != nil {
					yield(nil, err)
				}
				return
			}
			if cause := context.Cause(ctx); cause != nil {
				yield(nil, cause)
				return
			}
			if err != nil {
				if n += r.Manifest.PartSize; !yield(nil, err) || k >= r.lastPart() {
					return
				}
				continue
			}
			if n += uint64(len(c.Draw)); !yield(c, nil) {
				return
			}
		}
	}
}

// lastPart is the number of the last part that there is a file of; 0 where the folder cannot be read.
func (r *Reader) lastPart() (last uint64) {
	files, err := os.ReadDir(filepath.Join(r.Path, "draws"))
	if err != nil {
		return 0
	}
	for _, f := range files {
		var k uint64
		if n, err := fmt.Sscanf(f.Name(), "part-%d.parquet", &k); n == 1 && err == nil {
			last = max(last, k)
		}
	}
	return last
}

// columns reads a part.
func (r *Reader) columns(k uint64, want Want, room *columnRoom) (c *Columns, err error) {
	defer damage(partName(r.Path, "sites", k), &err)
	dc, err := r.openDraws(k)
	if err != nil {
		return nil, err
	}
	defer dc.Close()
	dc.pool = room.draws
	n := dc.rows()
	var row, same, draw, status, lw, rest, kind, length *column
	if err := dc.readAll(0, n, map[string]**column{"row": &row, "same_as": &same, "draw": &draw, "status": &status, "log_weight": &lw, "log_weight_rest": &rest,
		"trace_type": &kind, "length": &length}); err != nil {
		return nil, err
	}
	c = &Columns{reader: r, part: k, have: want, room: room, Draw: draw.ints, LogWeight: lw.doubles, LogWeightRest: rest.doubles, Type: kind.ints, Length: length.ints}
	c.own = make([]int64, n)
	total := int64(0)
	for i := range n {
		if i == 0 {
			c.First = uint64(row.ints[0])
		}
		if row.ints[i] != int64(c.First)+i {
			return nil, damaged(dc.f.Name(), fmt.Errorf("row %d where %d was expected", row.ints[i], int64(c.First)+i))
		}
		s, ok := tracing.StatusByName(status.str(int(i)))
		if !ok {
			return nil, damaged(dc.f.Name(), fmt.Errorf("status %q", status.str(int(i))))
		}
		c.Status = append(c.Status, s)
		if c.SameAs = append(c.SameAs, tracing.NoRow); len(same.intsAt(int(i))) > 0 {
			if c.SameAs[i] = same.intsAt(int(i))[0]; c.SameAs[i] < 0 || c.SameAs[i] >= row.ints[i] {
				return nil, damaged(dc.f.Name(), fmt.Errorf("row %d is the same as row %d, which is no earlier one", row.ints[i], c.SameAs[i]))
			}
			continue
		}
		if c.own[i] = length.ints[i]; c.own[i] < 0 || c.own[i] > maxLength {
			return nil, damaged(dc.f.Name(), fmt.Errorf("length %d", c.own[i]))
		}
		total += c.own[i]
	}
	if want == 0 {
		return c, nil
	}
	return c, r.siteColumns(c, k, want, row.ints, total)
}

// siteColumns reads what is wanted of a part's statements.
func (r *Reader) siteColumns(c *Columns, k uint64, want Want, rows []int64, total int64) error {
	sc, err := r.openSites(k)
	if err != nil {
		return err
	}
	defer sc.Close()
	sc.pool = c.room.sites
	if sc.rows() > maxLength || sc.rows() < total {
		return damaged(sc.f.Name(), fmt.Errorf("%d statements, the draws have %d", sc.rows(), total))
	}
	// A draw that failed may have been made again since the draws were written (Writer.Replace): then statements are where their rows say.
	total = sc.rows()
	var row, address, instance, control, logP *column
	columns := map[string]**column{"row": &row}
	for bit, x := range map[Want]map[string]**column{Addresses: {"address": &address}, Instances: {"instance": &instance}, Names: {"name": &c.name}, Controls: {"control": &control},
		Values: {"value": &c.value, "values": &c.values}, LogPs: {"log_p": &logP}} {
		for name, col := range x {
			if want&bit != 0 {
				columns[name] = col
			}
		}
	}
	if err := sc.readAll(0, total, columns); err != nil {
		return err
	}
	var ok bool
	if c.starts, ok = startsOf(row, rows, c.own, nil); !ok {
		if c.starts, ok = search(row.ints, rows, c.own); !ok {
			return damaged(sc.f.Name(), errors.New("it does not have the statements that the draws have"))
		}
	}
	if want&Instances != 0 {
		c.Instance = instance.ints
	}
	if want&LogPs != 0 {
		c.LogP = logP.doubles
	}
	if want&Controls != 0 {
		c.Control = make([]bool, total)
		for i, x := range control.ints {
			c.Control[i] = x != 0
		}
	}
	if want&Addresses == 0 {
		return nil
	}
	places, err := r.places(sc, address)
	if err != nil {
		return err
	}
	c.Address = c.room.address[:0]
	for _, code := range address.codes {
		c.Address = append(c.Address, places[code])
	}
	c.room.address = c.Address
	return nil
}
