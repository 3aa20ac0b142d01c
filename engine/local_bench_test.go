package engine_test

import (
	"context"
	"runtime"
	"testing"
	"time"

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
			for t, err := range x.Stream(context.Background(), engine.Draws(1, 0, n, func(engine.Draw) engine.Stack { return stack }), nil) {
				if err != nil {
					b.Fatal(err)
				}
				statements += len(t.Sites)
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
	r := &engine.OneRun{Recorder: engine.NewRecorder(tracing.NewTable())}
	stack := engine.Stack{control.NewCondition(control.Data{"y": dist.Scalar(1)}, true), control.Prior{}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for i := 0; b.Loop(); i++ {
		n++
		k := i % trace
		if k == 0 {
			if i > 0 {
				r.End(ppx.Tensor{}, 1)
			}
			s.Begin(&ppx.Plan{})
			r.Begin(engine.Draw{Seed: 1, Index: uint64(i)}, stack)
		}
		if _, _, err := s.Step(msgs[k], r); err != nil {
			b.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/statement")
}

// What the engine does for a statement of a delegated run: decode, look up, score, record.
func BenchmarkDelegatedStatement(b *testing.B) {
	for name, model := range map[string]gosim.Model{"hmm": hmm.Model, "normals": normals} {
		b.Run(name, func(b *testing.B) {
			const runs = 200
			stack := engine.Stack{control.NewCondition(nil, false), control.Prior{}}
			near, far := ppx.Pipe()
			defer near.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() { _ = ppx.Serve(ctx, far, "bench", name, gosim.Wrap(model)) }()
			s := ppx.NewSession(ppx.Limits{})
			if err := s.Connect(near, "bench", time.Second); err != nil {
				b.Fatal(err)
			}
			r := &batch{OneRun: engine.OneRun{Recorder: engine.NewRecorder(tracing.NewTable())}, stack: stack}
			p := ppx.Plan{Mode: ppx.Delegate, Seed: 1, FlushBytes: 256 << 10, Flush: time.Second}
			for i := range uint64(runs) {
				p.Draws = append(p.Draws, i)
			}
			var msgs [][]byte
			for range 2 { // the second time without the forms
				msgs = msgs[:0]
				r.start()
				if err := near.Send(s.Begin(&p)); err != nil {
					b.Fatal(err)
				}
				for done := false; !done; {
					msg, err := near.Recv(time.Second)
					if err != nil {
						b.Fatal(err)
					}
					msgs = append(msgs, append([]byte(nil), msg...))
					var reply []byte
					if reply, done, err = s.Step(msg, r); err == nil && !done {
						err = near.Send(reply)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			r.statements = 0
			b.ReportAllocs()
			for b.Loop() {
				s.Begin(&p)
				r.start()
				for _, msg := range msgs {
					if _, _, err := s.Step(msg, r); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(r.statements), "ns/statement")
		})
	}
}

func normals(r *gosim.Run) gosim.Tensor {
	for range 100 {
		r.Sample("x", gosim.Normal(1, 2))
	}
	return gosim.Scalar(0)
}

// batch takes runs one after the other.
type batch struct {
	engine.OneRun
	stack      engine.Stack
	draw       uint64
	statements int
}

func (r *batch) start() {
	r.draw = 0
	r.Begin(engine.Draw{Seed: 1}, r.stack)
}

func (r *batch) Finish(result ppx.Tensor, seconds float64) error {
	r.statements += r.Statements()
	r.draw++
	err := r.OneRun.Finish(result, seconds)
	r.Begin(engine.Draw{Seed: 1, Index: r.draw}, r.stack)
	return err
}
