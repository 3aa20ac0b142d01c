package mcmc

import (
	"context"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
)

// BenchmarkOverSockets is a step of one chain on one C++ simulator, and a run of the prior there, alone in its message: delegated, and statement by statement.
func BenchmarkOverSockets(b *testing.B) {
	for _, i := range []int{0, 4} {
		c := enginetest.Cases()[i]
		name, _, _ := strings.Cut(c.Name, "(")
		for _, plain := range []bool{false, true} {
			how := map[bool]string{false: "delegated", true: "plain"}[plain]
			p, err := engine.Open(context.Background(), engine.Options{Command: testbed.Simulator(b, name, "cpp"), Workers: 1, Plain: plain})
			if err != nil {
				b.Fatal(err)
			}
			prior := engine.Stack{control.NewCondition(c.Data, true), control.Prior{}}
			b.Run(name+"/"+how+"/prior", func(b *testing.B) {
				for i := uint64(0); b.Loop(); i++ {
					if _, err := p.Execute(context.Background(), engine.Task{Draw: engine.Draw{Index: i}, Stack: func(engine.Draw) engine.Stack { return prior }}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/"+how+"/step", func(b *testing.B) {
				k := NewKernel(Kernel{Seed: 1, Data: c.Data, Condition: true, Walk: 0.5})
				s, err := k.Start(context.Background(), p, 1)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for i := uint64(0); b.Loop(); i++ {
					if s, _, err = k.Step(context.Background(), p, 1, i, s, false); err != nil {
						b.Fatal(err)
					}
				}
			})
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
