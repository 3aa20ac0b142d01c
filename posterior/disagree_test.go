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

// particlesOf are the summary of 16 islands of 50: island i's values lie around centre(i), with the log weight weight(i).
func particlesOf(t *testing.T, centre, weight func(island int) float64) *posterior.Summary {
	t.Helper()
	s := posterior.NewParticleSummary()
	table := tracing.NewTable()
	r := rand.New(rand.NewPCG(3, 4))
	const islands, each = 16, 50
	for i := range islands {
		for j := range each {
			var b tracing.Builder
			b.Reset(table, uint64(i*each+j), uint32(i+1))
			id := table.Intern("x", ppx.Sample, dist.Normal)
			b.Add(tracing.Site{Key: tracing.Key{Address: id, Instance: 1}, Name: table.InternName("x"), Op: ppx.Sample, Kind: dist.Normal}, dist.Scalar(centre(i)+r.NormFloat64()), nil)
			tr := b.Finish(ppx.Tensor{}, weight(i), 0)
			tr.Chain = uint32(i + 1)
			if err := s.Write(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// Where one island has all the weight, it is its descendants that agree; the effective sample size says so, and so do errors.
func TestOneIslandThatHasAllTheWeight(t *testing.T) {
	for _, heavy := range []float64{0, 1, 20, 400} {
		s := particlesOf(t, func(island int) float64 {
			if heavy > 1 { // each island came somewhere else
				return 100 * float64(island)
			}
			return 0
		}, func(island int) float64 {
			if island == 0 {
				return heavy
			}
			return 0
		})
		ess, verdict := s.ESS(), s.Judge(posterior.Facts{Conditioned: true, Moved: 1}).Verdict
		if few := ess < 10 && verdict == posterior.None; few != (heavy > 1) {
			t.Errorf("one island of log weight %g: ESS %g, %v", heavy, ess, verdict)
		}
	}
}

// What particles cannot be trusted for has a name.
func TestReasonsOfParticles(t *testing.T) {
	none := func(int) float64 { return 0 }
	dead := func(n int) func(int) float64 {
		return func(island int) float64 {
			if island < n {
				return math.Inf(-1)
			}
			return 0
		}
	}
	for _, c := range []struct {
		weight  func(int) float64
		moved   float64
		code    string
		verdict posterior.Verdict
	}{
		{none, 1, "", posterior.Good},
		{none, 0.25, "", posterior.Good},
		{none, 0.15, posterior.FewMoved, posterior.Doubtful},
		{none, math.SmallestNonzeroFloat64, posterior.FewMoved, posterior.Doubtful},
		{dead(1), 1, posterior.Extinct, posterior.Doubtful},
		{dead(9), 1, posterior.Extinct, posterior.None},
		{dead(16), 1, posterior.NoWeight, posterior.None},
		{func(island int) float64 { // 57 % of the weight
			if island == 3 {
				return 3
			}
			return 0
		}, 1, posterior.LargeIsland, posterior.Doubtful},
	} {
		trust := particlesOf(t, none, c.weight).Judge(posterior.Facts{Conditioned: true, Moved: c.moved})
		found := c.code == "" && len(trust.Reasons) == 0
		for _, r := range trust.Reasons {
			found = found || r.Code == c.code && r.Verdict == c.verdict
		}
		if !found {
			t.Errorf("want %v, %q: %+v", c.verdict, c.code, trust)
		}
	}
}

// A variable that is the same in all particles, or missing in all, but for some that have next to no weight tells nothing of how many particles count.
func TestValuesWithoutWeightDoNotCount(t *testing.T) {
	s := posterior.NewParticleSummary()
	table := tracing.NewTable()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 16 * 50 {
		var b tracing.Builder
		b.Reset(table, uint64(i), uint32(i%16+1))
		b.Add(tracing.Site{Key: tracing.Key{Address: table.Intern("x", ppx.Sample, dist.Normal), Instance: 1}, Name: table.InternName("x"), Op: ppx.Sample, Kind: dist.Normal}, dist.Scalar(r.NormFloat64()), nil)
		count, lw := 4.0, 0.0
		if i == 77 {
			count, lw = 3, -50
		}
		b.Add(tracing.Site{Key: tracing.Key{Address: table.Intern("count", ppx.Tag, dist.None), Instance: 1}, Name: table.InternName("count"), Op: ppx.Tag}, dist.Scalar(count), nil)
		if i == 77 {
			b.Add(tracing.Site{Key: tracing.Key{Address: table.Intern("seldom", ppx.Sample, dist.Normal), Instance: 1}, Name: table.InternName("seldom"), Op: ppx.Sample, Kind: dist.Normal}, dist.Scalar(1), nil)
		}
		tr := b.Finish(ppx.Tensor{}, lw, 0)
		tr.Chain = uint32(i%16 + 1)
		if err := s.Write(t.Context(), tr); err != nil {
			t.Fatal(err)
		}
	}
	if ess := s.ESS(); !(ess > 200) {
		t.Errorf("effective sample size %g", ess)
	}
}
