package mcmc

import (
	"context"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Chains that start at exact draws, and are moved by nothing but blocks, stay there, whatever the block has learned: with a mean and a covariance that are wrong, and
// sites without an end, with one, with two, with ends that are other sites' values, an observed one, and one that only some traces have.
func TestBlocksKeepExactDraws(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		a := r.Sample("a", gosim.Normal(0.5, 1))
		b := r.Sample("b", gosim.Exponential(0.7))
		c := r.Sample("c", gosim.Uniform(-1, 1+b)) // an end that the block moves
		if r.Sample("k", gosim.Bernoulli(0.4)) == 1 {
			a += r.Sample("e", gosim.Gamma(2, 1))
		}
		d := r.Sample("d", gosim.Beta(2, 3))
		r.Observe("y", gosim.Normal(a+b*c+d, 1))
		return gosim.Tensor{}
	})
	const n, steps = 4000, 4
	x := engine.NewLocal(model, 1)
	defer x.Close()
	data := control.Data{"y": dist.Scalar(2.5)}
	condition := control.NewCondition(data, true)
	var exact []*tracing.Trace
	bound := -math.Log(2*math.Pi) / 2
	for tr, err := range x.Stream(context.Background(), engine.Draws(11, 0, 1_000_000, func(engine.Draw) engine.Stack { return engine.Stack{condition, control.Prior{}} }), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if coin := dist.NewStream(12, 0, 0, tr.Draw, 0); math.Log(coin.Float64()) < tr.LogLikelihood-bound {
			exact = append(exact, tr)
		}
		if len(exact) == n {
			break
		}
	}
	first := (&Kernel{Data: data}).Resume(exact[0], nil)
	b := &Block{Mean: []float64{0.8, -0.3, 0.4, -0.2}, L: mat.NewTriDense(4, mat.Lower, []float64{0.9, 0, 0, 0, -0.5, 0.7, 0, 0, 0.3, 0.4, 0.6, 0, 0.2, -0.3, 0.5, 0.8})}
	for i := range first.Trace.Sites {
		if name := first.Trace.Table.Name(first.Trace.Sites[i].Name); len(name) == 1 && name != "k" && name != "e" && name != "y" {
			b.Keys, b.Elements = append(b.Keys, first.Trace.Sites[i].Key), append(b.Elements, 1)
		}
	}
	if b.Dim() != 4 {
		t.Fatalf("%d sites", b.Dim())
	}
	of := func(tr *tracing.Trace) (out []float64) {
		v := enginetest.Values(tr)
		for _, name := range []string{"a", "b", "c", "d"} {
			out = append(out, v[name], v[name]*v[name])
		}
		return append(out, v["a"]*v["b"], v["b"]*v["c"], v["k"]*v["a"], tr.LogLikelihood)
	}
	for _, scale := range []float64{0.1, 0.6, 1} {
		block := *b
		block.Scale = scale
		k := NewKernel(Kernel{Seed: 1, Data: data, Condition: true, Block: &block, BlockShare: 1})
		var sum, squares []float64
		accepted := 0
		for i, tr := range exact {
			s := k.Resume(tr, nil)
			for step := range uint64(steps) {
				var info Info
				var err error
				if s, info, err = k.Step(context.Background(), x, uint32(i)+1, step, s, false); err != nil {
					t.Fatal(err)
				}
				if info.Base != BlockOfSites {
					t.Fatal(info.Base)
				}
				if info.Accepted {
					accepted++
				}
			}
			before, after := of(tr), of(s.Trace)
			if sum == nil {
				sum, squares = make([]float64, len(after)), make([]float64, len(after))
			}
			for j := range after {
				d := after[j] - before[j] // 0 on average: both are exact
				sum[j], squares[j] = sum[j]+d, squares[j]+d*d
			}
		}
		if share := float64(accepted) / n / steps; share < 0.1 || share > 0.98 {
			t.Errorf("scale %g: %.2f of the moves are accepted", scale, share)
		}
		for j := range sum {
			m := sum[j] / n
			if se := math.Sqrt((squares[j]/n - m*m) / n); math.Abs(m) > 4*se {
				t.Errorf("scale %g, figure %d: changes by %g ± %g", scale, j, m, se)
			}
		}
	}
}
