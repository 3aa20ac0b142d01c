package posterior

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// drawn is a summary of n draws of x, with weights.
func drawn(t *testing.T, n int, f func() (x, lw float64)) *Summary {
	t.Helper()
	table := tracing.NewTable()
	id, name := table.Intern("x__Normal", ppx.Sample, dist.Normal), table.InternName("x")
	s := NewSummary()
	var b tracing.Builder
	d := dist.New(dist.Normal, 0, 1)
	for i := range n {
		x, lw := f()
		b.Reset(table, uint64(i), 0)
		b.Add(tracing.Site{Key: tracing.Key{Address: id, Instance: 1}, Name: name, Op: ppx.Sample, Control: true, Origin: tracing.FromPrior}, dist.Scalar(x), &d)
		if err := s.Write(context.Background(), b.Finish(ppx.Tensor{}, lw, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Between two normal distributions of sd 1 the Wasserstein distance is that of their means; between samples of one it is the noise.
func TestDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(mean float64) func() (float64, float64) {
		return func() (float64, float64) { return mean + r.NormFloat64(), 0 }
	}
	a, b := drawn(t, 20000, normal(0)), drawn(t, 20000, normal(0.5))
	d, ok := a.Distance(b, "x")
	if sd := math.Sqrt(1 + 0.0625); !ok || math.Abs(d.Wasserstein-0.5/sd) > 4*0.01 || !d.Differs() {
		t.Errorf("%+v, want %g", d, 0.5/sd)
	}
	sum, noise, differ := 0.0, 0.0, 0
	const repeats = 200
	for range repeats {
		d, ok := drawn(t, 300, normal(0)).Distance(drawn(t, 500, normal(0)), "x")
		if !ok {
			t.Fatal("no distance")
		}
		sum += d.Wasserstein / repeats
		noise += d.Noise / repeats
		if d.Differs() {
			differ++
		}
	}
	// The distance of one pair varies by some 60 % of its mean.
	if se := 0.6 * sum / math.Sqrt(repeats); math.Abs(sum-noise) > 4*se || differ > 2 {
		t.Errorf("samples of one distribution are apart by %g ± %g, the noise is said to be %g; %d differ", sum, se, noise, differ)
	}
	// Weights count: importance sampling from a shifted proposal is not apart.
	w := drawn(t, 20000, func() (float64, float64) { x := 0.5 + r.NormFloat64(); return x, (0.25 - x) * 0.5 })
	if d, _ := a.Distance(w, "x"); d.Differs() {
		t.Errorf("%+v", d)
	}
	if _, ok := a.Distance(b, "y"); ok {
		t.Error("there is no y")
	}
	one := func() (float64, float64) { return 3, 0 }
	if d, ok := drawn(t, 10, one).Distance(drawn(t, 10, one), "x"); !ok || d.Differs() || d.Wasserstein != 0 {
		t.Errorf("%+v", d)
	}
}
