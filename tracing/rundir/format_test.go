package rundir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// What chains and other algorithms say of their traces comes back; a row that is the same as another shares its statements, which are not
// stored again.
func TestLineageSurvivesTheDisk(t *testing.T) {
	traces := run(t, everything, 200, nil)
	var rows []*tracing.Trace
	for i, tr := range traces {
		for step := range 3 { // each state of a chain stays for two more steps
			c := *tr
			score := float64(i) / 7
			c.Row, c.Chain = int64(3*i+step), uint32(i%4)
			c.From = &tracing.Lineage{Step: uint64(3*i + step), Parent: tracing.NoRow, SameAs: tracing.NoRow, Score: &score}
			if step > 0 {
				c.From.SameAs, c.From.Parent = int64(3*i), int64(3*i+step-1)
			}
			if i%10 == 9 && step == 0 {
				c.Status = tracing.Partial
			}
			rows = append(rows, &c)
		}
	}
	path, plain := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "plain")
	write(t, path, &rundir.Manifest{N: uint64(len(rows)), Lineage: &rundir.Lineage{Run: "other", Change: "x = 3"}}, rows)
	write(t, plain, &rundir.Manifest{N: uint64(len(traces))}, traces)
	size := func(path string) (n int64) {
		files, _ := filepath.Glob(filepath.Join(path, "sites", "*"))
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			n += info.Size()
		}
		return n
	}
	if a, b := size(path), size(plain); float64(a) > 1.2*float64(b) {
		t.Errorf("%d bytes of statements, %d without the rows that share them", a, b)
	}
	r, err := rundir.Open(path, nil)
	if err != nil || r.Manifest.Lineage.Run != "other" || r.Manifest.Lineage.Change != "x = 3" {
		t.Fatal(r, err)
	}
	i := 0
	compare := func(got *tracing.Trace) {
		want := rows[i]
		a, b := got.Lineage(), want.Lineage()
		if got.Row != want.Row || got.Chain != want.Chain || got.Draw != want.Draw || a.Step != b.Step || a.Parent != b.Parent || a.SameAs != b.SameAs ||
			got.Status != want.Status || a.Score == nil || *a.Score != *b.Score || show(got) != show(want) {
			t.Errorf("row %d is %+v, want %+v", i, got, want)
		}
		i++
	}
	for tr, err := range r.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		compare(tr)
	}
	for _, i = range []int{0, 1, 599, 302, 301, 300} {
		tr, err := r.Row(uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		compare(tr)
	}
	w, m, next, err := rundir.Resume(ctx, path, nil, func(*tracing.Trace) error { return nil })
	if err != nil || next != 600 || m.Lineage == nil {
		t.Fatal(next, err)
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
}

// Readers ignore columns that they do not know: those of versions to come.
func TestUnknownColumnsAreIgnored(t *testing.T) {
	traces := run(t, everything, 70, nil)
	path := filepath.Join(t.TempDir(), "run")
	write(t, path, &rundir.Manifest{N: 70}, traces)
	want := everyTrace(t, path)
	for _, kind := range []string{"draws", "sites", "addresses"} {
		parts, err := filepath.Glob(filepath.Join(path, kind, "*"))
		if err != nil || len(parts) == 0 {
			t.Fatal(parts, err)
		}
		for _, name := range parts {
			addColumn(t, name)
		}
	}
	if got := everyTrace(t, path); got != want {
		t.Error("with a column more, other traces are read")
	}
}

// addColumn writes a Parquet file anew with one more column, in front of the others.
func addColumn(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	g := parquet.Group{"another": parquet.Compressed(parquet.String(), &parquet.Zstd)}
	for _, field := range p.Schema().Fields() {
		g[field.Name()] = field
	}
	var b strings.Builder
	schema := parquet.NewSchema("run", g)
	w := parquet.NewWriter(&b, schema, parquet.Compression(&parquet.Zstd))
	conv, err := parquet.Convert(schema, p.Schema())
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range p.RowGroups() {
		if _, err := parquet.CopyRows(w, parquet.ConvertRowGroup(group, conv).Rows()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func everyTrace(t *testing.T, path string) string {
	t.Helper()
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for tr, err := range r.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(testbed.Fingerprint(tr))
	}
	return b.String()
}

// The run directory in testdata was written by the first version of this format, and is never written anew: every version to come reads it,
// and finds what stands beside it. PPX_FREEZE=1 makes one where there is none, when the format gets a new number.
func TestFrozenRunDirectory(t *testing.T) {
	path := filepath.Join(testbed.Root(), "testdata", "frozen", fmt.Sprintf("run-%d", rundir.Format))
	text := path + ".txt"
	if _, err := os.Stat(path); err != nil && os.Getenv("PPX_FREEZE") != "" {
		traces := run(t, everything, 20, nil)
		failed := tracing.FailedTrace(traces[0].Table, 20, 0, fmt.Errorf("it has failed"))
		write(t, path, &rundir.Manifest{PPXVersion: "frozen", Model: "everything", Method: "is", N: 21}, append(traces, failed))
		if err := os.WriteFile(text, []byte(everyTrace(t, path)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := everyTrace(t, path); got != string(want) {
		t.Error("the frozen run is read differently")
	}
	r, err := rundir.Open(path, nil)
	if err != nil || r.Manifest.Counts.Traces != 20 || r.Manifest.Counts.Failed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Columns of numbers have no smallest and largest value where one of them is no number: readers would not find it.
func TestBoundsAndNaN(t *testing.T) {
	traces := run(t, everything, 40, nil)
	bounded := func(extra ...*tracing.Trace) map[string]bool {
		path := filepath.Join(t.TempDir(), "run")
		write(t, path, &rundir.Manifest{N: uint64(40 + len(extra))}, append(append([]*tracing.Trace{}, traces...), extra...))
		f, err := os.Open(filepath.Join(path, "draws", "part-00000.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		p, err := parquet.OpenFile(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, c := range p.Metadata().RowGroups[0].Columns {
			out[strings.Join(c.MetaData.PathInSchema, ".")] = len(c.MetaData.Statistics.MinValue) > 0
		}
		return out
	}
	with, without := bounded(), bounded(tracing.FailedTrace(traces[0].Table, 40, 0, context.Canceled))
	if !with["log_weight"] || !with["row"] || without["log_weight"] || !without["row"] {
		t.Errorf("bounds %v, with a failed draw %v", with, without)
	}
	if !math.IsNaN(tracing.FailedTrace(traces[0].Table, 40, 0, context.Canceled).LogWeight) {
		t.Error("a failed draw has a weight")
	}
}

// A small file that claims many addresses is refused before memory is taken for them.
func TestManyAddressesInFewBytes(t *testing.T) {
	type address struct {
		ID   int64  `parquet:"id"`
		Base string `parquet:"base,dict"`
		Role string `parquet:"role,dict"`
		Kind string `parquet:"kind,dict"`
	}
	path := filepath.Join(t.TempDir(), "run")
	write(t, path, &rundir.Manifest{N: 5}, run(t, everything, 5, nil))
	name := filepath.Join(path, "addresses", "part-00000.parquet")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[address](f, parquet.Compression(&parquet.Zstd))
	rows := make([]address, 1<<16)
	for i := range rows {
		rows[i] = address{1, "a__Normal", "sample", "Normal"}
	}
	for range 17 {
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() > 1<<20 {
		t.Fatal(info, err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = rundir.Open(path, nil)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, rundir.ErrDamaged) || !strings.Contains(err.Error(), "1114112 addresses, at most 1048576") {
		t.Error(err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
}

// Every file has the names of its columns, also one that is not its writer's first, and is the same however often its part was saved.
func TestFilesArePlainParquet(t *testing.T) {
	traces := run(t, everything, 20_000, nil)
	once, often := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	write(t, once, &rundir.Manifest{N: 20_000}, traces)
	w, err := rundir.Create(often, &rundir.Manifest{N: 20_000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.SyncEvery(time.Nanosecond)
	for i, tr := range traces {
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
		if i%5000 == 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(often, "*", "part-*"))
	if err != nil || len(parts) < 6 {
		t.Fatal(parts, err)
	}
	for _, name := range parts {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(often, name)
		if other, err := os.ReadFile(filepath.Join(once, rel)); err != nil || !bytes.Equal(b, other) {
			t.Errorf("%s depends on how often it was saved (%v)", rel, err)
		}
		p, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range p.Metadata().RowGroups {
			for _, c := range g.Columns {
				if len(c.MetaData.PathInSchema) == 0 || c.MetaData.PathInSchema[0] == "" {
					t.Fatalf("%s has a column without a name", rel)
				}
			}
		}
	}
}

// The size of a part is the same for a run in one piece, resumed, and read back, also without parameters.
func TestPartSizeWithoutParameters(t *testing.T) {
	probs := make([]float64, 5000)
	for i := range probs {
		probs[i] = 1
	}
	traces := run(t, func(r *gosim.Run) gosim.Tensor { return gosim.Scalar(r.Sample("k", gosim.Categorical(probs...))) }, 300, nil)
	sizes := map[uint64]bool{}
	for _, cut := range []int{0, 10} {
		path := filepath.Join(t.TempDir(), "run")
		w, err := rundir.Create(path, &rundir.Manifest{N: 300, NoParameters: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, tr := range traces {
			if i == cut && cut > 0 {
				if err := w.Close(rundir.Interrupted, nil); err != nil {
					t.Fatal(err)
				}
				if w, _, _, err = rundir.Resume(ctx, path, tr.Table, func(*tracing.Trace) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Write(ctx, tr); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(rundir.Complete, nil); err != nil {
			t.Fatal(err)
		}
		m, err := rundir.ReadManifest(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes[m.PartSize] = true
	}
	if len(sizes) != 1 {
		t.Errorf("sizes of parts: %v", sizes)
	}
}

// Many small data do not make run.json too large to be read.
func TestManySmallData(t *testing.T) {
	data := map[string]ppx.Tensor{}
	for i := range 1200 {
		v := make([]float64, 1000)
		for k := range v {
			v[k] = 1 / float64(1+k+i)
		}
		data[fmt.Sprintf("name%04d", i)] = dist.Vector(v...)
	}
	path := filepath.Join(t.TempDir(), "run")
	w, err := rundir.Create(path, &rundir.Manifest{N: 0}, data)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(path, "run.json")); err != nil || info.Size() > 4<<20 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	m, err := rundir.ReadManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Tensors(path)
	if err != nil || len(got) != len(data) {
		t.Fatal(len(got), err)
	}
	for name, v := range data {
		if !slices.Equal(got[name].Data, v.Data) {
			t.Fatalf("%s differs", name)
		}
	}
}

// A file that says too much of its own footer, rows in another order, and addresses with nulls are damaged, and no more.
func TestLiesOfFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	write(t, path, &rundir.Manifest{N: 50}, run(t, everything, 50, nil))
	read := func() error {
		r, err := rundir.Open(path, nil)
		if err != nil {
			return err
		}
		for _, err := range r.All(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	damage := func(what, name string, b []byte) {
		t.Helper()
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = read()
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, rundir.ErrDamaged) || grown > 64<<20 {
			t.Errorf("%s: %v, with %d MiB", what, err, grown>>20)
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addresses := filepath.Join(path, "addresses", "part-00000.parquet")
	b, err := os.ReadFile(addresses)
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Clone(b)
	long[len(long)-5] = 0xff
	damage("a long footer", addresses, long)
	damage("seven bytes", addresses, b[:7])
	type nullable struct {
		ID   int64   `parquet:"id"`
		Base *string `parquet:"base,optional"`
		Role string  `parquet:"role,dict"`
		Kind int64   `parquet:"kind"`
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[nullable](&out, parquet.Compression(&parquet.Zstd))
	base := "a__Normal"
	if _, err := w.Write([]nullable{{1, nil, "sample", 3}, {2, &base, "sample", 3}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	damage("nulls and other types", addresses, out.Bytes())
	if err := read(); err != nil {
		t.Error(err)
	}
	m, err := os.ReadFile(filepath.Join(path, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "run.json"), bytes.Replace(m, []byte(`"first": 0`), []byte(`"first": 7`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, rundir.ErrDamaged) || !strings.Contains(err.Error(), "row 0 where 7 was expected") {
		t.Error(err)
	}
}
