package rundir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/hmm"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

// everything is a model with all that a trace can hold.
func everything(r *gosim.Run) gosim.Tensor {
	n := r.Sample("n", gosim.Poisson(3))
	for range int(n) {
		r.Sample("", gosim.Uniform(-1, 1))
	}
	r.SampleTensor("matrix", gosim.Tensors(dist.Normal, gosim.NewTensor([]float64{1, 2}, 2, 1), gosim.NewTensor([]float64{1, 2, 3}, 1, 3)))
	r.SampleTensor("one", gosim.Tensors(dist.Beta, gosim.Vector(2), gosim.Vector(3)))
	r.SampleTensor("rows", gosim.Tensors(dist.Categorical, gosim.NewTensor([]float64{1, 0, 2, 3, 3, 3}, 2, 3)))
	r.SampleTensor("empty", gosim.Tensors(dist.Normal, gosim.NewTensor([]float64{}, 0), gosim.Scalar(1)))
	r.SampleAt(gosim.Site{Address: "by hand", NoControl: true}, "x@y", gosim.Categorical(0.1, 0.9))
	r.Tag("tag", n*2)
	r.TagTensor(gosim.Site{}, "µ\t\"quoted\"", gosim.Vector(1, math.NaN(), math.Inf(1)))
	r.ObserveTensor(gosim.Site{}, "y", gosim.Tensors(dist.Normal, gosim.Vector(0, 0, 0), gosim.Scalar(1)), gosim.Vector(1, 2, 3))
	r.Observe("z", gosim.Poisson(n+0.5))
	if n == 0 {
		return gosim.Tensor{}
	}
	return gosim.NewTensor([]float64{n, n, n, n}, 2, 2)
}

// run draws n traces of a model; the executor stays open until the test ends.
func run(t testing.TB, m gosim.Model, n uint64, data control.Data) []*tracing.Trace {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(m), 2)
	defer x.Close()
	stack := engine.Stack{control.NewCondition(data, true), control.NewInflate(0.3), control.Prior{}}
	var out []*tracing.Trace
	for tr, err := range x.Stream(ctx, engine.Draws(1, 0, n, func(engine.Draw) engine.Stack {
		return append(engine.Stack{stack[0], control.NewInflate(0.3)}, stack[2])
	}), nil) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tr)
	}
	return out
}

// show writes down all that must survive the disk.
func show(t *tracing.Trace) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %v %v %v %s %s %x\n", t.Draw, t.Chain, t.LogWeight, t.LogLikelihood, t.Result, t.Status, t.Error, t.Type())
	for i := range t.Sites {
		e := &t.Sites[i]
		d := t.Dist(i)
		v := t.Value(i)
		// Parameters come back in the value's shape.
		for k := range d.Params {
			if d.Kind != dist.Categorical {
				d.Params[k] = ppx.Tensor{Data: dist.Expand(nil, d.Params[k], v.Shape, len(v.Data)), Shape: v.Shape}
			}
		}
		fmt.Fprintf(&b, "%s %s %q %s %v %s %v%v %v %v %v\n", t.Table.Label(e.Key), e.Op, t.Table.Name(e.Name), e.Kind, e.Control, e.Origin,
			v.Data, v.Shape, e.LogP, e.LogQ, d.Params)
	}
	return b.String()
}

func write(t testing.TB, path string, m *rundir.Manifest, traces []*tracing.Trace) {
	t.Helper()
	w, err := rundir.Create(path, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range traces {
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, path string) []*tracing.Trace {
	t.Helper()
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []*tracing.Trace
	for tr, err := range r.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tr)
	}
	return out
}

func TestTracesSurviveTheDisk(t *testing.T) {
	traces := run(t, everything, 200, control.Data{"z": dist.Scalar(2)})
	traces[7] = tracing.FailedTrace(traces[7].Table, 7, 0, errors.New("simulator gone: killed\x1b[31m"))
	path := filepath.Join(t.TempDir(), "run")
	write(t, path, &rundir.Manifest{Model: "everything", N: 200, Seed: 1}, traces)
	got := readAll(t, path)
	if len(got) != len(traces) {
		t.Fatalf("%d traces, wrote %d", len(got), len(traces))
	}
	for i := range traces {
		if a, b := show(traces[i]), show(got[i]); a != b {
			t.Fatalf("wrote\n%s\nread\n%s", a, b)
		}
	}
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, draw := range []uint64{199, 0, 7, 100} {
		tr, err := r.Row(draw)
		if err != nil || show(tr) != show(traces[draw]) {
			t.Errorf("draw %d by itself: %v\n%s\nwant\n%s", draw, err, show(tr), show(traces[draw]))
		}
	}
	if _, err := r.Row(200); err == nil || !strings.Contains(err.Error(), "draw 200 is not recorded") {
		t.Errorf("beyond the end: %v", err)
	}
	m := r.Manifest
	if m.Counts.Traces != 199 || m.Counts.Failed != 1 || m.State != rundir.Complete {
		t.Errorf("manifest %+v", m)
	}
}

// files is a folder's Parquet files as what they hold, times apart.
func files(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{"draws", "sites", "addresses"} {
		names, _ := filepath.Glob(filepath.Join(path, dir, "*"))
		for _, n := range names {
			rel, _ := filepath.Rel(path, n)
			fmt.Fprintln(&b, rel)
		}
	}
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range r.Addresses() {
		fmt.Fprintln(&b, i, a.Base, a.Op)
	}
	for k := uint64(0); ; k++ {
		traces, err := r.Part(k)
		if errors.Is(err, fs.ErrNotExist) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, "part", k)
		for _, tr := range traces {
			b.WriteString(show(tr))
		}
	}
}

func long(r *gosim.Run) gosim.Tensor {
	for range 1500 {
		r.Sample("", gosim.Normal(0, 1))
	}
	return gosim.Tensor{}
}

// Cut short anywhere and resumed, the folder is the same as undisturbed.
func TestResumedEqualsUndisturbed(t *testing.T) {
	testbed.WithoutRace(t)
	for name, c := range map[string]struct {
		model gosim.Model
		n     uint64
	}{"short traces": {everything, 300}, "several parts": {long, 300}} {
		t.Run(name, func(t *testing.T) {
			traces := run(t, c.model, c.n, nil)
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a"), &rundir.Manifest{N: c.n}, traces)
			want := files(t, filepath.Join(dir, "a"))
			if name == "several parts" && strings.Count(want, "part ") < 3 {
				t.Fatal("not several parts")
			}
			cuts := []int{0, 5, 63, 64, 65, 130, int(c.n)}
			if testing.Short() || name == "several parts" {
				cuts = []int{5, 64, 200}
			}
			for _, cut := range cuts {
				path := filepath.Join(dir, fmt.Sprint("cut", cut))
				write(t, path, &rundir.Manifest{N: c.n}, traces[:cut])
				var seen []*tracing.Trace
				table := traces[0].Table
				w, _, next, err := rundir.Resume(ctx, path, table, func(tr *tracing.Trace) error { seen = append(seen, tr); return nil })
				if err != nil || int(next) != cut || len(seen) != cut {
					t.Fatalf("cut at %d: next %d, %v", cut, next, err)
				}
				for _, tr := range traces[next:] {
					if err := w.Write(ctx, tr); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(rundir.Complete, nil); err != nil {
					t.Fatal(err)
				}
				if got := files(t, path); got != want {
					t.Errorf("cut at %d: the folder differs", cut)
				}
			}
		})
	}
}

func TestFailedDrawsCanBeReplaced(t *testing.T) {
	testbed.WithoutRace(t)
	traces := run(t, long, 150, nil)
	path := filepath.Join(t.TempDir(), "run")
	broken := append([]*tracing.Trace(nil), traces...)
	for _, d := range []uint64{3, 100, 149} {
		broken[d] = tracing.FailedTrace(traces[0].Table, d, 0, errors.New("gone"))
	}
	write(t, path, &rundir.Manifest{N: 150}, broken)
	w, m, _, err := rundir.Resume(ctx, path, nil, func(*tracing.Trace) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if m.Counts.Failed != 3 {
		t.Errorf("%+v", m.Counts)
	}
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Replace(r, map[int64]*tracing.Trace{3: traces[3], 100: traces[100], 149: traces[149]}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	for i, tr := range readAll(t, path) {
		if show(tr) != show(traces[i]) {
			t.Errorf("draw %d differs", i)
		}
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run")
	w, err := rundir.Create(path, &rundir.Manifest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rundir.Create(path, &rundir.Manifest{}, nil); !errors.Is(err, rundir.ErrLocked) {
		t.Errorf("two creators: %v", err)
	}
	if _, _, _, err := rundir.Resume(ctx, path, nil, nil); !errors.Is(err, rundir.ErrLocked) {
		t.Errorf("two writers: %v", err)
	}
	if err := w.Close(rundir.Interrupted, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := rundir.Open(dir, nil); !errors.Is(err, rundir.ErrNotARun) {
		t.Errorf("no run: %v", err)
	}
	if _, err := rundir.Create(path, &rundir.Manifest{}, nil); !errors.Is(err, rundir.ErrExists) {
		t.Errorf("an existing run: %v", err)
	}
	// What a Create leaves that was killed in its middle is no run, and in nobody's way.
	if err := os.Remove(filepath.Join(path, "run.json")); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"draws", "sites", "addresses"} {
		if err := errors.Join(os.RemoveAll(filepath.Join(path, k)), os.Mkdir(filepath.Join(path, k), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	if w, err = rundir.Create(path, &rundir.Manifest{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	// But a file that somebody else has put into a folder stays.
	mine := filepath.Join(dir, "mine")
	if err := errors.Join(os.Mkdir(mine, 0o700), os.WriteFile(filepath.Join(mine, "data.npz"), []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := rundir.Create(mine, &rundir.Manifest{}, nil); !errors.Is(err, rundir.ErrExists) {
		t.Errorf("a folder with another's file: %v", err)
	}
}

// Whatever happens to a part, reading it is an error that names the file, never a panic or other data.
func TestDamagedParts(t *testing.T) {
	traces := run(t, everything, 50, nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "run")
	write(t, path, &rundir.Manifest{N: 50}, traces)
	want := files(t, path)
	for _, kind := range []string{"draws", "sites", "addresses"} {
		name := filepath.Join(path, kind, "part-00000.parquet")
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		damage := map[string][]byte{"empty": {}, "text": []byte("hello"), "half": whole[:len(whole)/2]}
		for i := 0; i < len(whole); i += max(1, len(whole)/60) {
			b := append([]byte(nil), whole...)
			b[i] ^= 0x55
			damage[fmt.Sprint("byte ", i)] = b
		}
		for what, b := range damage {
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
			r, err := rundir.Open(path, nil)
			if err == nil {
				for _, e := range r.All(ctx) {
					if e != nil {
						err = e
					}
				}
			}
			if err != nil && (!errors.Is(err, rundir.ErrDamaged) || !strings.Contains(err.Error(), path)) {
				t.Errorf("%s, %s: %v", kind, what, err)
			}
			if err == nil && len(b) < len(whole) {
				t.Errorf("%s, %s: read without complaint", kind, what)
			}
		}
		if err := os.WriteFile(name, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if files(t, path) != want {
		t.Error("the test spoilt its own files")
	}
}

// A pipe where a file belongs is an error at once: nobody waits for a writer that never comes.
func TestPipesInPlaceOfFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	w, err := rundir.Create(path, &rundir.Manifest{N: 50}, map[string]ppx.Tensor{"image": {Data: make([]float64, 2000), Shape: []int32{2000}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range run(t, everything, 50, nil) {
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"draws/part-00000.parquet", "sites/part-00000.parquet", "addresses/part-00000.parquet", "data.npz", "run.json"} {
		name = filepath.Join(path, name)
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o600)); err != nil {
			t.Fatal(err)
		}
		err = nil
		r, e := rundir.Open(path, nil)
		if err = e; e == nil {
			_, err = r.Manifest.Tensors(path)
			for _, e := range r.All(ctx) {
				err = errors.Join(err, e)
			}
		}
		if err == nil || !strings.Contains(err.Error(), name+" is no regular file") {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(os.Remove(name), os.WriteFile(name, whole, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// A trace is on disk soon after it was finished, however slowly the next one comes.
func TestOpenPartIsSaved(t *testing.T) {
	traces := run(t, everything, 3, nil)
	path := filepath.Join(t.TempDir(), "run")
	w, err := rundir.Create(path, &rundir.Manifest{N: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range traces[:2] {
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(readAll(t, path)) < 2 {
		if time.Now().After(deadline) {
			t.Fatal("nothing was saved")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
}

func TestLargeDataGoBesideTheManifest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	image := gosim.NewTensor(make([]float64, 40*50), 40, 50)
	for i := range image.Data {
		image.Data[i] = float64(i) / 3
	}
	data := map[string]ppx.Tensor{"image": image, "x": dist.Scalar(1.5), "a/b": gosim.Vector(1, 2)}
	w, err := rundir.Create(path, &rundir.Manifest{}, data)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(rundir.Complete, nil)
	m, err := rundir.ReadManifest(path) // on disk before the first trace
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Tensors(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(data) || m.Data["image"].File == "" || m.Data["x"].File != "" {
		t.Errorf("%v", got)
	}
	for name, want := range data {
		if v := got[name]; !slices.Equal(v.Data, want.Data) || !slices.Equal(v.Shape, want.Shape) {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func BenchmarkHMM(b *testing.B) {
	traces := run(b, hmm.Model, 30000, nil)
	sites := 0
	for _, t := range traces {
		sites += len(t.Sites)
	}
	path := filepath.Join(b.TempDir(), "run")
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			os.RemoveAll(path)
			write(b, path, &rundir.Manifest{}, traces)
		}
		b.ReportMetric(float64(sites*b.N)/b.Elapsed().Seconds(), "sites/s")
		bytes := int64(0)
		for _, kind := range []string{"sites", "draws"} {
			names, _ := filepath.Glob(filepath.Join(path, kind, "*"))
			for _, n := range names {
				info, _ := os.Stat(n)
				bytes += info.Size()
			}
		}
		b.ReportMetric(float64(bytes)/float64(sites), "bytes/site")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := rundir.Open(path, nil)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for t, err := range r.All(ctx) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(t.Sites)
			}
			if n != sites {
				b.Fatal(n)
			}
		}
		b.ReportMetric(float64(sites*b.N)/b.Elapsed().Seconds(), "sites/s")
	})
}

// grown is a model that meets new addresses from a draw on.
func grown(from int) func(*gosim.Run) gosim.Tensor {
	n := 0
	return func(r *gosim.Run) gosim.Tensor {
		if n++; n > from {
			r.SampleAt(gosim.Site{Address: fmt.Sprint("new", n%7)}, "", gosim.Normal(0, 1))
		}
		return gosim.Scalar(r.Sample("x", gosim.Normal(0, 1)))
	}
}

func single(t testing.TB, m gosim.Model, draws ...uint64) []*tracing.Trace {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(m), 1)
	defer x.Close()
	var out []*tracing.Trace
	for _, d := range draws {
		tr, err := x.Execute(ctx, engine.Task{Draw: engine.Draw{Seed: 1, Index: d}, Stack: func(engine.Draw) engine.Stack { return engine.Stack{control.Prior{}} }})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tr)
	}
	return out
}

func TestResumeOfADamagedRunIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	write(t, path, &rundir.Manifest{N: 50}, run(t, everything, 50, nil))
	if err := os.Truncate(filepath.Join(path, "sites", "part-00000.parquet"), 500); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the lock was given back
		if _, _, _, err := rundir.Resume(ctx, path, nil, func(*tracing.Trace) error { return nil }); !errors.Is(err, rundir.ErrDamaged) {
			t.Error(err)
		}
	}
}

// A draw that is made again may bring addresses that no later part has.
func TestReplacedDrawsMayBringAddresses(t *testing.T) {
	traces := run(t, long, 150, nil)
	path := filepath.Join(t.TempDir(), "run")
	broken := append([]*tracing.Trace(nil), traces...)
	broken[3] = tracing.FailedTrace(traces[0].Table, 3, 0, errors.New("gone"))
	write(t, path, &rundir.Manifest{N: 150}, broken)
	open, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, _, _, err := rundir.Resume(ctx, path, nil, func(*tracing.Trace) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	again := single(t, grown(0), 3)
	if err := w.Replace(open, map[int64]*tracing.Trace{3: again[0]}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, path)[3]; show(got) != show(again[0]) {
		t.Errorf("%s\nwant\n%s", show(got), show(again[0]))
	}
	// A reader that was open all the while finds it too.
	if got, err := open.Row(3); err != nil || show(got) != show(again[0]) {
		t.Errorf("an open reader: %v", err)
	}
}

// A crash between the renames of a part: new sites, old draws. What the draws say is there.
func TestCrashBetweenTheFilesOfAPart(t *testing.T) {
	traces := run(t, everything, 50, nil)
	dir := t.TempDir()
	failed := append([]*tracing.Trace(nil), traces...)
	failed[20] = tracing.FailedTrace(traces[0].Table, 20, 0, errors.New("gone"))
	write(t, filepath.Join(dir, "old"), &rundir.Manifest{N: 50}, failed[:40])
	write(t, filepath.Join(dir, "new"), &rundir.Manifest{N: 50}, traces)
	for _, kind := range []string{"sites", "addresses"} {
		name := filepath.Join(kind, "part-00000.parquet")
		if err := os.Rename(filepath.Join(dir, "new", name), filepath.Join(dir, "old", name)); err != nil {
			t.Fatal(err)
		}
	}
	got := readAll(t, filepath.Join(dir, "old"))
	if len(got) != 40 {
		t.Fatalf("%d draws", len(got))
	}
	for i, tr := range got {
		if show(tr) != show(failed[i]) {
			t.Errorf("draw %d differs", i)
		}
	}
}

// A part never shrinks, and its size survives a resume, also where traces are large.
func TestPartSizeOfLargeTraces(t *testing.T) {
	testbed.WithoutRace(t)
	huge := func(r *gosim.Run) gosim.Tensor {
		r.SampleTensor("", gosim.Tensors(dist.Normal, gosim.NewTensor(make([]float64, 60000), 60000), gosim.Scalar(1)))
		return gosim.Tensor{}
	}
	traces := run(t, huge, 100, nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "whole"), &rundir.Manifest{N: 100}, traces)
	whole, err := rundir.ReadManifest(filepath.Join(dir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	if whole.PartSize == 0 || whole.PartSize > 64 {
		t.Errorf("part size %d", whole.PartSize)
	}
	for _, cut := range []int{5, 30, 70} {
		path := filepath.Join(dir, fmt.Sprint(cut))
		write(t, path, &rundir.Manifest{N: 100}, traces[:cut])
		w, m, next, err := rundir.Resume(ctx, path, nil, func(*tracing.Trace) error { return nil })
		if err != nil || int(next) != cut {
			t.Fatal(next, err)
		}
		for _, tr := range traces[next:] {
			if err := w.Write(ctx, tr); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(rundir.Complete, nil); err != nil {
			t.Fatal(err)
		}
		if m.PartSize != whole.PartSize {
			t.Errorf("cut at %d: part size %d, undisturbed %d", cut, m.PartSize, whole.PartSize)
		}
	}
}

// The manifest on disk may be older than the parts: the part size is chosen again, and the same.
func TestPartSizeLostInACrash(t *testing.T) {
	testbed.WithoutRace(t)
	traces := run(t, long, 150, nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "whole"), &rundir.Manifest{N: 150}, traces)
	path := filepath.Join(dir, "cut")
	write(t, path, &rundir.Manifest{N: 150}, traces[:60])
	old, err := os.ReadFile(filepath.Join(path, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	w, _, _, err := rundir.Resume(ctx, path, traces[0].Table, func(*tracing.Trace) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range traces[60:64] {
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(rundir.Interrupted, nil), os.WriteFile(filepath.Join(path, "run.json"), old, 0o644)); err != nil {
		t.Fatal(err)
	}
	w, _, next, err := rundir.Resume(ctx, path, traces[0].Table, func(*tracing.Trace) error { return nil })
	if err != nil || next != 64 {
		t.Fatal(next, err)
	}
	for _, tr := range traces[next:] {
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	if files(t, path) != files(t, filepath.Join(dir, "whole")) {
		t.Error("the folder differs")
	}
}
