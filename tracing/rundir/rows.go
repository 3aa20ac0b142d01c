package rundir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// The columns of the three kinds of files. Order matters to the reader, which addresses columns by number
// (columns.go).

type drawRow struct {
	Draw          int64     `parquet:"draw,delta"`
	Chain         int32     `parquet:"chain,dict"`
	LogWeight     float64   `parquet:"log_weight"`
	LogLikelihood float64   `parquet:"log_likelihood"`
	TraceType     int64     `parquet:"trace_type,dict"`
	Length        int32     `parquet:"length,dict"`
	Result        *float64  `parquet:"result,optional"`
	Results       []float64 `parquet:"results,list"`
	ResultShape   []int32   `parquet:"result_shape,list"`
	Seconds       float64   `parquet:"seconds"`
	Status        string    `parquet:"status,dict"`
	Error         *string   `parquet:"error,optional"`
}

type siteRow struct {
	Draw     int64     `parquet:"draw,delta"`
	Index    int32     `parquet:"index,delta"`
	Address  int32     `parquet:"address,dict"`
	Instance int32     `parquet:"instance,dict"`
	Name     string    `parquet:"name,dict"`
	Control  bool      `parquet:"control"`
	Origin   string    `parquet:"origin,dict"`
	Value    *float64  `parquet:"value,optional"`
	Values   []float64 `parquet:"values,list"`
	Shape    []int32   `parquet:"shape,list"`
	Param1   *float64  `parquet:"param1,optional"`
	Params1  []float64 `parquet:"params1,list"`
	Param2   *float64  `parquet:"param2,optional"`
	Params2  []float64 `parquet:"params2,list"`
	LogP     float64   `parquet:"log_p"`
	LogQ     *float64  `parquet:"log_q,optional"`
}

type addressRow struct {
	ID   int32  `parquet:"id,delta"`
	Base string `parquet:"base"`
	Role string `parquet:"role,dict"`
	Kind string `parquet:"kind,dict"`
}

// Settings of all files. Pages are small enough that one draw is found without decoding much else.
func options() []parquet.WriterOption {
	return []parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.PageBufferSize(64 << 10),
		parquet.CreatedBy("ppx-engine", "1", ""),
	}
}

func partName(path, kind string, k uint64) string {
	return filepath.Join(path, kind, fmt.Sprintf("part-%05d.parquet", k))
}

// encoder turns traces into rows in reused memory.
type encoder struct {
	sites []siteRow
	slab  []float64
	sw    *parquet.GenericWriter[siteRow]
	dw    *parquet.GenericWriter[drawRow]
	aw    *parquet.GenericWriter[addressRow]
}

// chunkRows is how many rows go to the library at once.
const chunkRows = 4096

// writeSites writes the sites file of a part. fileID gives addresses their numbers.
func (e *encoder) writeSites(f *os.File, traces []*tracing.Trace, fileID func(*tracing.Trace, uint32) int32) error {
	if e.sw == nil {
		e.sw = parquet.NewGenericWriter[siteRow](f, options()...)
	} else {
		e.sw.Reset(f)
	}
	e.sites, e.slab = e.sites[:0], e.slab[:0]
	flush := func() error {
		_, err := e.sw.Write(e.sites)
		e.sites, e.slab = e.sites[:0], e.slab[:0]
		return err
	}
	for _, t := range traces {
		for i := range t.Entries {
			e.site(t, i, fileID(t, t.Entries[i].Address))
			if len(e.sites) == chunkRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(flush(), e.sw.Close())
}

// room returns n numbers that stay in place until the next flush.
func (e *encoder) room(n int) []float64 {
	if cap(e.slab)-len(e.slab) < n {
		e.slab = make([]float64, 0, max(1<<14, n)) // rows still refer to the old one
	}
	at := len(e.slab)
	e.slab = e.slab[:at+n]
	return e.slab[at : at+n : at+n]
}

func (e *encoder) site(t *tracing.Trace, i int, id int32) {
	s := &t.Entries[i]
	e.sites = append(e.sites, siteRow{})
	r := &e.sites[len(e.sites)-1]
	r.Draw, r.Index, r.Address, r.Instance = int64(t.Draw), int32(i), id, int32(s.Instance)
	r.Name, r.Control, r.Origin = t.Table.Name(s.Name), s.Control, s.Origin.String()
	v := t.Value(i)
	r.Value, r.Values = split(v.Data)
	r.Shape = v.Shape
	r.LogP = s.LogP
	if s.LogQ != s.LogP && !(s.LogQ != s.LogQ && s.LogP != s.LogP) {
		r.LogQ = &s.LogQ
	}
	if s.Kind == dist.None {
		return
	}
	d := t.Dist(i)
	if s.Kind == dist.Categorical {
		r.Params1 = d.Params[0].Data
		return
	}
	r.Param1, r.Params1 = e.param(d.Params[0], v)
	if len(s.Kind.Params()) == 2 {
		r.Param2, r.Params2 = e.param(d.Params[1], v)
	}
}

// param broadcasts a parameter to the shape of the value.
func (e *encoder) param(p, v ppx.Tensor) (*float64, []float64) {
	n := len(v.Data)
	if len(p.Data) == n {
		return split(p.Data)
	}
	out := e.room(n)
	dist.Expand(out[:0], p, v.Shape, n)
	return split(out)
}

// split puts a single number into the plain column, more into the list.
func split(data []float64) (*float64, []float64) {
	if len(data) == 1 {
		return &data[0], nil
	}
	return nil, data
}

func (e *encoder) writeDraws(f *os.File, traces []*tracing.Trace) error {
	if e.dw == nil {
		e.dw = parquet.NewGenericWriter[drawRow](f, options()...)
	} else {
		e.dw.Reset(f)
	}
	rows := make([]drawRow, 0, len(traces))
	for _, t := range traces {
		r := drawRow{Draw: int64(t.Draw), Chain: int32(t.Chain), LogWeight: t.LogWeight, LogLikelihood: t.LogLikelihood,
			TraceType: int64(t.Type()), Length: int32(len(t.Entries)), ResultShape: t.Result.Shape,
			Seconds: t.Seconds, Status: t.Status.String()}
		r.Result, r.Results = split(t.Result.Data)
		if t.Error != "" {
			r.Error = &t.Error
		}
		rows = append(rows, r)
	}
	_, err := e.dw.Write(rows)
	return errors.Join(err, e.dw.Close())
}

func (e *encoder) writeAddresses(f *os.File, rows []addressRow) error {
	if e.aw == nil {
		e.aw = parquet.NewGenericWriter[addressRow](f, options()...)
	} else {
		e.aw.Reset(f)
	}
	_, err := e.aw.Write(rows)
	return errors.Join(err, e.aw.Close())
}
