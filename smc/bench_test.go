package smc

import (
	"context"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// nowhere takes traces and forgets them.
type nowhere struct{}

func (nowhere) Write(context.Context, *tracing.Trace) error { return nil }

// BenchmarkStatements is the statements of the hidden Markov model in C++, by particles and by importance sampling: an operation is
// 100,000 of its runs.
func BenchmarkStatements(b *testing.B) {
	c := enginetest.Cases()[4]
	pool := func(b *testing.B) *engine.Pool {
		p, err := engine.Open(context.Background(), engine.Options{Command: testbed.Simulator(b, "hmm", "cpp"), Workers: 2})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = p.Close() })
		return p
	}
	b.Run("importance", func(b *testing.B) {
		p := pool(b)
		for b.Loop() {
			if _, err := importance.Run(context.Background(), p, &importance.Config{Seed: 1, N: 100_000, Data: c.Data, Condition: true}, control.NewNames(c.Data, true, nil), posterior.NewSummary(), nowhere{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(p.Stats().Statements)/b.Elapsed().Seconds(), "statements/s")
	})
	for _, x := range []struct {
		name string
		n    int
	}{{"particles", 1000}, {"particles4096", 4096}} {
		b.Run(x.name, func(b *testing.B) {
			p := pool(b)
			for b.Loop() {
				k := mcmc.Kernel{Seed: 1, Data: c.Data, Condition: true, Kind: dist.StreamParticles, Walk: 0.5}
				if _, err := Run(context.Background(), p, &Config{Kernel: k, N: x.n, Islands: 16, Moves: 10}, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(p.Stats().Statements)/b.Elapsed().Seconds(), "statements/s")
		})
	}
}
