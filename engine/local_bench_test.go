package engine_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/simulators/hmm"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Statements per second of a Go model in this process, recorded and delivered.
func BenchmarkLocal(b *testing.B) {
	for _, c := range []struct {
		name  string
		model gosim.Model
	}{{"gum", gum.Model}, {"hmm", hmm.Model}} {
		b.Run(c.name, func(b *testing.B) {
			x := engine.NewLocal(gosim.Wrap(c.model), 1)
			defer x.Close()
			stack := engine.Stack{control.NewCondition(nil, false), control.Prior{}}
			n, statements := uint64(b.N), 0
			b.ReportAllocs()
			for t, err := range x.Stream(context.Background(), engine.Draws(1, 0, n), func(engine.Draw) engine.Stack { return stack }) {
				if err != nil {
					b.Fatal(err)
				}
				statements += len(t.Entries)
			}
			b.ReportMetric(float64(statements)/b.Elapsed().Seconds(), "statements/s")
		})
	}
}

// What the engine does for a statement beyond transport: decode, look up, choose, score, record, encode.
func BenchmarkStatement(b *testing.B) {
	var enc ppx.Encoder
	const trace = 30
	msgs := make([][]byte, trace)
	for i := range msgs {
		m := ppx.Message{Type: ppx.Sample, Statement: ppx.Statement{Op: ppx.Sample, Control: true, Name: "x" + string(rune('a'+i)),
			Address: "[simulate(Detector&, Particle const&)+0x96; main+0x1c; run(int, double)+0x12]" + string(rune('a'+i)),
			Dist:    dist.New(dist.Normal, 1, 2)}}
		msgs[i] = append([]byte(nil), enc.Encode(&m)...)
	}
	s := ppx.NewSession(ppx.Limits{})
	r := engine.NewRecorder(tracing.NewTable())
	stack := engine.Stack{control.NewCondition(control.Data{"y": dist.Scalar(1)}, true), control.Prior{}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for i := 0; b.Loop(); i++ {
		n++
		k := i % trace
		if k == 0 {
			if i > 0 {
				r.End(ppx.Tensor{})
			}
			r.Begin(engine.Draw{Seed: 1, Index: uint64(i)}, stack)
		}
		if _, _, err := s.Step(msgs[k], r); err != nil {
			b.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/statement")
}
