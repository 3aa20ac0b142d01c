package rundir

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// The columns of the three kinds of files. Readers find them by name, and ignore those that they do not know.

type drawRow struct {
	Row            int64     `parquet:"row,delta"`
	Chain          int32     `parquet:"chain,dict"`
	Step           int64     `parquet:"step,delta"`
	Draw           int64     `parquet:"draw,delta"`
	Parent         *int64    `parquet:"parent,optional"`
	SameAs         *int64    `parquet:"same_as,optional"`
	LogWeight      float64   `parquet:"log_weight"`
	WeightRest     float64   `parquet:"log_weight_rest"`
	LogLikelihood  float64   `parquet:"log_likelihood"`
	LikelihoodRest float64   `parquet:"log_likelihood_rest"`
	Score          *float64  `parquet:"score,optional"`
	TraceType      int64     `parquet:"trace_type,dict"`
	Length         int32     `parquet:"length,dict"`
	Result         *float64  `parquet:"result,optional"`
	Results        []float64 `parquet:"results,list"`
	ResultShape    []int32   `parquet:"result_shape,list"`
	Seconds        float64   `parquet:"seconds"`
	Status         string    `parquet:"status,dict"`
	Error          *string   `parquet:"error,optional"`
}

type siteRow struct {
	Row      int64     `parquet:"row,delta"`
	Index    int32     `parquet:"index,delta"`
	Address  int64     `parquet:"address,dict"`
	Instance int32     `parquet:"instance,dict"`
	Name     string    `parquet:"name,dict"`
	Control  bool      `parquet:"control"`
	Origin   string    `parquet:"origin,dict"`
	Value    *float64  `parquet:"value,optional"`
	Values   []float64 `parquet:"values,list"`
	Shape    []int32   `parquet:"shape,list"`
	Params   []float64 `parquet:"params,list"`
	Missing  []int32   `parquet:"missing,list"`
	LogP     float64   `parquet:"log_p"`
	LogQ     *float64  `parquet:"log_q,optional"`
}

type addressRow struct {
	ID     int64    `parquet:"id"`
	Base   string   `parquet:"base"`
	Role   string   `parquet:"role,dict"`
	Kind   string   `parquet:"kind,dict"`
	Params []string `parquet:"params,list"`
	Source []string `parquet:"source,list"`
}

// codec is one for all files: it keeps the compressors, which are large.
var codec = &zstd.Codec{Level: zstd.SpeedFastest}

// Settings of all files. Pages are small enough that one row is found without decoding much else.
func options() []parquet.WriterOption {
	return []parquet.WriterOption{
		parquet.Compression(codec),
		parquet.PageBufferSize(64 << 10),
		parquet.CreatedBy("ppx-engine", "2", ""),
	}
}

// fileWriter makes a file of rows. A writer for each file: one that is used again leaves out the names of columns in the metadata
// (parquet-go 0.32). Readers take a NaN to lie nowhere between a smallest and a largest value, and
// so do not find it: in a file that holds one, the columns of numbers have no such bounds.
func fileWriter[R any](f *os.File, nan bool) *parquet.GenericWriter[R] {
	o := options()
	if nan {
		schema := parquet.SchemaOf(*new(R))
		for _, c := range schema.Columns() {
			if leaf, ok := schema.Lookup(c...); ok && leaf.Node.Type().Kind() == parquet.Double {
				o = append(o, parquet.SkipPageBounds(c...))
			}
		}
	}
	return parquet.NewGenericWriter[R](f, o...)
}

func partName(path, kind string, k uint64) string {
	return filepath.Join(path, kind, fmt.Sprintf("part-%05d.parquet", k))
}

// encoder turns traces into rows in reused memory.
type encoder struct {
	bare  bool // without parameters
	sites []siteRow
	draws []drawRow
	slab  []float64
	d     ppx.Dist
	table *tracing.Table // of ids and names
	ids   []int64        // of addresses
	names []string
}

// chunkRows is how many rows go to the library at once.
const chunkRows = 4096

// writeSites writes the sites file of a part.
func (e *encoder) writeSites(f *os.File, traces []*tracing.Trace) error {
	w := fileWriter[siteRow](f, slices.ContainsFunc(traces, e.holdsNaN))
	e.sites, e.slab = e.sites[:0], e.slab[:0]
	flush := func() error {
		_, err := w.Write(e.sites)
		e.sites, e.slab = e.sites[:0], e.slab[:0]
		return err
	}
	for _, t := range traces {
		if t.From != nil && t.From.SameAs != tracing.NoRow {
			continue
		}
		e.use(t)
		for i := range t.Sites {
			e.site(t, i)
			if len(e.sites) == chunkRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(flush(), w.Close())
}

// holdsNaN tells whether some number of a trace's statements is none.
func (e *encoder) holdsNaN(t *tracing.Trace) bool {
	for i := range t.Sites {
		if s := &t.Sites[i]; s.LogP != s.LogP || s.LogQ != s.LogQ || e.bare && slices.ContainsFunc(t.Value(i).Data, math.IsNaN) {
			return true
		}
	}
	return !e.bare && t.AnyNaN()
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

// use makes sure that the trace's addresses and names are known.
func (e *encoder) use(t *tracing.Trace) {
	if e.table != t.Table {
		e.table, e.ids, e.names = t.Table, e.ids[:0], e.names[:0]
	}
	for i := range t.Sites {
		if s := &t.Sites[i]; int(s.Address) >= len(e.ids) || int(s.Name) >= len(e.names) {
			e.ids, e.names = t.Table.AppendIDs(e.ids), t.Table.AppendNames(e.names)
		}
	}
}

func (e *encoder) site(t *tracing.Trace, i int) {
	s := &t.Sites[i]
	e.sites = append(e.sites, siteRow{})
	r := &e.sites[len(e.sites)-1]
	r.Row, r.Index, r.Address, r.Instance = t.Row, int32(i), e.ids[s.Address], int32(s.Instance)
	r.Name, r.Control, r.Origin = e.names[s.Name], s.Control, s.Origin.String()
	v := t.Value(i)
	r.Value, r.Values = split(v.Data)
	r.Shape = v.Shape
	r.LogP = s.LogP
	if s.LogQ != s.LogP && !(s.LogQ != s.LogQ && s.LogP != s.LogP) {
		r.LogQ = &s.LogQ
	}
	if s.Kind == dist.None || e.bare {
		return
	}
	t.DistInto(i, &e.d)
	r.Params = e.d.Flatten(e.room(e.d.FlatLen(len(v.Data)))[:0], v.Shape, len(v.Data))
}

// split puts a single number into the plain column, more into the list.
func split(data []float64) (*float64, []float64) {
	if len(data) == 1 {
		return &data[0], nil
	}
	return nil, data
}

func (e *encoder) writeDraws(f *os.File, traces []*tracing.Trace) error {
	w := fileWriter[drawRow](f, slices.ContainsFunc(traces, drawHoldsNaN))
	e.draws = e.draws[:0]
	flush := func() error {
		_, err := w.Write(e.draws)
		e.draws = e.draws[:0]
		return err
	}
	for _, t := range traces {
		r := drawRow{Row: t.Row, Chain: int32(t.Chain), Draw: int64(t.Draw),
			LogWeight: t.LogWeight, WeightRest: t.LogWeightRest, LogLikelihood: t.LogLikelihood, LikelihoodRest: t.LogLikelihoodRest,
			TraceType: int64(t.Type()), Length: int32(len(t.Sites)), ResultShape: t.Result.Shape,
			Seconds: t.Seconds, Status: t.Status.String()}
		if f := t.From; f != nil {
			r.Step, r.Parent, r.SameAs, r.Score = int64(f.Step), rowOf(&f.Parent), rowOf(&f.SameAs), f.Score
		}
		r.Result, r.Results = split(t.Result.Data)
		if t.Error != "" {
			r.Error = &t.Error
		}
		if e.draws = append(e.draws, r); len(e.draws) == chunkRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return errors.Join(flush(), w.Close())
}

// drawHoldsNaN tells whether some number of a trace as a whole is none.
func drawHoldsNaN(t *tracing.Trace) bool {
	return t.LogWeight != t.LogWeight || t.LogLikelihood != t.LogLikelihood || slices.ContainsFunc(t.Result.Data, math.IsNaN) ||
		t.From != nil && t.From.Score != nil && math.IsNaN(*t.From.Score)
}

// rowOf is a row where there is one.
func rowOf(row *int64) *int64 {
	if *row == tracing.NoRow {
		return nil
	}
	return row
}

func (e *encoder) writeAddresses(f *os.File, rows []addressRow) error {
	w := fileWriter[addressRow](f, false)
	_, err := w.Write(rows)
	return errors.Join(err, w.Close())
}
