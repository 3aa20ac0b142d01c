package importance_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// BenchmarkInfer is a whole inference in this process, a trace an operation: the run, its weight, the table, the disk.
func BenchmarkInfer(b *testing.B) {
	x := engine.NewLocal(gosim.Wrap(gum.Model), 1)
	defer x.Close()
	c := importance.Config{Seed: 1, N: uint64(b.N), Data: control.Data{"obs0": dist.Scalar(8), "obs1": dist.Scalar(9)}, Condition: true}
	w, err := rundir.Create(filepath.Join(b.TempDir(), "run"), &rundir.Manifest{N: c.N}, c.Data)
	if err != nil {
		b.Fatal(err)
	}
	queue := tracing.NewAsync(w, 256)
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := importance.Run(context.Background(), x, &c, control.NewNames(c.Data, true, nil), posterior.NewSummary(), queue); err != nil {
		b.Fatal(err)
	}
	if err := queue.Close(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if err := w.Close(rundir.Complete, nil); err != nil {
		b.Fatal(err)
	}
}
