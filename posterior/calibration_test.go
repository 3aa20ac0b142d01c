package posterior

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// The p-value of ranks is one: uniform ranks are below p in a share p of repetitions. Kolmogorov's D of five numbers by hand.
func TestUniform(t *testing.T) {
	u := Uniform([]float64{0.1, 0.2, 0.3, 0.4, 0.95})
	if math.Abs(u.Distance-0.4) > 1e-15 || u.Sets != 5 || u.Bins[2] != 1 || u.Coverage[0].Value != 0.4-0.2*0 && u.Coverage[0].Value != 0.2 {
		t.Errorf("%+v", u)
	}
	// P(D ≥ 0.1340) = 0.05 at n = 100 (Miller's table: 0.13403).
	if p := kolmogorov(0.13403, 100); math.Abs(p-0.05) > 0.001 {
		t.Errorf("p %g, table 0.05", p)
	}
	s := dist.NewStream(1, 0, 0, 0, 0)
	const times, n = 4000, 100
	low := 0
	for range times {
		r := make([]float64, n)
		for i := range r {
			r[i] = s.Float64()
		}
		if Uniform(r).P < 0.05 {
			low++
		}
	}
	if got, se := float64(low)/times, math.Sqrt(0.05*0.95/times); math.Abs(got-0.05) > 4*se {
		t.Errorf("p < 0.05 in a share %g ± %g of repetitions", got, se)
	}
}

// Words for what is wrong, and the bins of uniform ranks stay in the band.
func TestShapesOfRanks(t *testing.T) {
	s := dist.NewStream(2, 0, 0, 0, 0)
	for _, c := range []struct {
		word string
		f    func(u float64) float64
	}{
		{"too high", func(u float64) float64 { return u * u }},
		{"too low", math.Sqrt},
		{"too narrow", func(u float64) float64 { // towards the ends
			if u < 0.5 {
				return 2 * u * u
			}
			return 1 - 2*(1-u)*(1-u)
		}},
		{"too wide", func(u float64) float64 {
			if u < 0.5 {
				return math.Sqrt(u / 2)
			}
			return 1 - math.Sqrt((1-u)/2)
		}},
	} {
		var r []float64
		for range 500 {
			r = append(r, c.f(s.Float64()))
		}
		if u := Uniform(r); u.Word() != c.word || u.P > 1e-3 {
			t.Errorf("%s: %q, p %g, shift %g, spread %g", c.word, u.Word(), u.P, u.Shift, u.Spread)
		}
	}
	low, high := BinomialBand(500, 20, 0.99)
	outside := 0
	const times = 500
	for range times {
		var r []float64
		for range 500 {
			r = append(r, s.Float64())
		}
		for _, n := range Uniform(r).Bins {
			if n < low || n > high {
				outside++
			}
		}
	}
	if share := float64(outside) / times / RankBins; share > 0.011+4*math.Sqrt(0.01*0.99/times/RankBins) || share < 0.003 {
		t.Errorf("%g of the bins are outside of [%d, %d]", share, low, high)
	}
}

// Ranks against sums written out, whatever the order of weights; of a discrete quantity the share of the tie makes exact posteriors uniform.
func TestRanks(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 2))
	truth := []float64{0.3, 2, math.NaN()}
	r := NewRanks(truth)
	var below, tie, all, squares [2]float64
	for range 300 {
		lw := 30 * (g.Float64() - 0.5)
		v := []float64{g.NormFloat64(), float64(g.IntN(5)), 1}
		if g.IntN(3) == 0 {
			v[1] = math.NaN()
		}
		r.Add(lw, v)
		w := math.Exp(lw)
		for i := range below {
			switch {
			case math.IsNaN(v[i]):
				continue
			case v[i] < truth[i]:
				below[i] += w
			case v[i] == truth[i]:
				tie[i] += w
			}
			all[i] += w
			squares[i] += w * w
		}
	}
	r.Add(math.Inf(-1), []float64{0, 0, 0})
	for i := range below {
		got, ess := r.Of(i, 0.25)
		if want := (below[i] + 0.25*tie[i]) / all[i]; math.Abs(got-want) > 1e-12 || math.Abs(ess/(all[i]*all[i]/squares[i])-1) > 1e-12 {
			t.Errorf("%d: rank %g, by definition %g; ESS %g", i, got, want, ess)
		}
	}
	if _, ess := r.Of(2, 0.5); ess != 0 || r.Known(2) {
		t.Error("a quantity that the truth lacks has a rank")
	}
	var ranks []float64
	for range 2000 {
		p := g.Float64()
		flip := func() float64 {
			if g.Float64() < p {
				return 1
			}
			return 0
		}
		r := NewRanks([]float64{flip()})
		for range 200 {
			r.Add(0, []float64{flip()})
		}
		rank, _ := r.Of(0, g.Float64())
		ranks = append(ranks, rank)
	}
	if u := Uniform(ranks); u.P < 1e-4 {
		t.Errorf("ranks of a coin: p %g", u.P)
	}
}

// The judgement: what is wrong decides, what is undecided is no bias, few data sets say so.
func TestCalibrate(t *testing.T) {
	s := dist.NewStream(3, 0, 0, 0, 0)
	make := func(n, lost int, f func(float64) float64) *Calibration {
		var ranks []map[string]float64
		var undecided [][]string
		var gains []float64
		for i := range n {
			if i < lost {
				ranks, undecided, gains = append(ranks, nil), append(undecided, []string{"x", "all"}), append(gains, math.NaN())
				continue
			}
			ranks, undecided = append(ranks, map[string]float64{"x": f(s.Float64()), "all": s.Float64()}), append(undecided, nil)
			gains = append(gains, float64(i%2))
		}
		return Calibrate([]string{"x", "never", "all"}, "all", ranks, undecided, gains)
	}
	same := func(u float64) float64 { return u }
	if c := make(500, 0, same); c.Trust.Verdict != Good || c.Decided != 500 || len(c.Quantities) != 2 || c.Gain != 0.5 || math.Abs(c.GainSE-0.5/math.Sqrt(499)) > 1e-12 {
		t.Errorf("%+v", c)
	}
	if c := make(500, 0, math.Sqrt); c.Trust.Verdict != None || c.Trust.Reasons[0].Code != NotCalibrated || c.Trust.Reasons[0].Variable != "x" {
		t.Errorf("%+v", c.Trust)
	}
	if c := make(500, 100, same); c.Trust.Verdict != Doubtful || c.Trust.Reasons[0].Code != Undecided || c.Undecided != 100 {
		t.Errorf("%+v", c.Trust)
	}
	if c := make(50, 0, same); c.Trust.Verdict != Doubtful || c.Trust.Reasons[0].Code != FewSets {
		t.Errorf("%+v", c.Trust)
	}
	if c := make(0, 0, same); c.Trust.Verdict != None || len(c.Quantities) != 0 {
		t.Errorf("%+v", c.Trust)
	}
}
