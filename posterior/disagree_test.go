package posterior_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Two results that differ by 4.5 of their joint errors do not agree, by more than five neither can be believed; results of the same distribution agree.
func TestDisagreement(t *testing.T) {
	const n = 2000
	normal := func(seed uint64, mean float64) (out []weighted) {
		r := rand.New(rand.NewPCG(seed, 1))
		sum := 0.0
		for range n {
			x := r.NormFloat64()
			out, sum = append(out, weighted{x, 0}), sum+x
		}
		for i := range out { // of exactly that mean
			out[i].x += mean - sum/n
		}
		return out
	}
	se := math.Sqrt(2. / n)
	for _, c := range []struct {
		apart   float64
		verdict posterior.Verdict
		code    string
	}{{0, posterior.Good, ""}, {2, posterior.Good, ""}, {4.5, posterior.Doubtful, posterior.CheckDiffers}, {7, posterior.None, posterior.CheckDiffers}} {
		a, b := summary(t, dist.Normal, normal(1, 0)), summary(t, dist.Normal, normal(2, c.apart*se))
		d := posterior.Disagreement(a, b)
		trust := a.Judge(posterior.Facts{Conditioned: true, Check: &posterior.Check{Made: true, Z: d.Z, Text: d.Text}})
		code := ""
		for _, r := range trust.Reasons {
			code += r.Code
		}
		if d.Figures != 1 || math.Abs(d.Z-c.apart) > 0.3 || trust.Verdict != c.verdict || code != c.code {
			t.Errorf("%g apart: %+v, %+v", c.apart, d, trust)
		}
	}
	// A variable that only one of them has.
	a, b := posterior.NewSummary(), posterior.NewSummary()
	table := tracing.NewTable()
	for i := range uint64(n) {
		add(t, a, table, i, 0, dist.Normal, map[string]ppx.Tensor{"x": dist.Scalar(float64(i % 7))}, "x")
		values, names := map[string]ppx.Tensor{"x": dist.Scalar(float64(i % 7)), "k": dist.Scalar(1)}, []string{"x"}
		if i%20 == 0 {
			names = append(names, "k")
		}
		add(t, b, table, i, 0, dist.Normal, values, names...)
	}
	if d := posterior.Disagreement(a, b); !(d.Z > 5) || d.Where != "k" {
		t.Errorf("%+v", d)
	}
}

// Where one island has all the weight, it is its descendants that agree; the effective sample size says so, and so do errors.
func TestOneIslandThatHasAllTheWeight(t *testing.T) {
	for _, heavy := range []float64{0, 1, 20, 400} {
		s := posterior.NewParticleSummary()
		table := tracing.NewTable()
		r := rand.New(rand.NewPCG(3, 4))
		const islands, each = 16, 50
		for i := range islands {
			for j := range each {
				x, lw := r.NormFloat64(), 0.0
				if i == 0 {
					lw = heavy
				}
				if heavy > 1 { // each island came somewhere else
					x = float64(i) + 0.01*x
				}
				var b tracing.Builder
				b.Reset(table, uint64(i*each+j), uint32(i+1))
				id := table.Intern("x", ppx.Sample, dist.Normal)
				b.Add(tracing.Site{Key: tracing.Key{Address: id, Instance: 1}, Name: table.InternName("x"), Op: ppx.Sample, Kind: dist.Normal}, dist.Scalar(x), nil)
				tr := b.Finish(ppx.Tensor{}, lw, 0)
				tr.Chain = uint32(i + 1)
				if err := s.Write(t.Context(), tr); err != nil {
					t.Fatal(err)
				}
			}
		}
		ess, verdict := s.ESS(), s.Judge(posterior.Facts{Conditioned: true, Moved: 1}).Verdict
		if few := ess < 10 && verdict == posterior.None; few != (heavy > 1) {
			t.Errorf("one island of log weight %g: ESS %g, %v", heavy, ess, verdict)
		}
	}
}
