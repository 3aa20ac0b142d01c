package rundir_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
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
			c.Row, c.Step, c.Chain = int64(3*i+step), uint64(3*i+step), uint32(i%4)
			if step > 0 {
				c.SameAs, c.Parent = int64(3*i), int64(3*i+step-1)
			}
			score := float64(i) / 7
			c.Score = &score
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
		if got.Row != want.Row || got.Step != want.Step || got.Chain != want.Chain || got.Draw != want.Draw || got.Parent != want.Parent || got.SameAs != want.SameAs ||
			got.Status != want.Status || got.Score == nil || *got.Score != *want.Score || show(got) != show(want) {
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
