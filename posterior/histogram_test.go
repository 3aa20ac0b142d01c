package posterior_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// weighted is a value with its log weight.
type weighted struct{ x, lw float64 }

// summary of traces with one Sample "x" each.
func summary(t *testing.T, kind dist.Kind, values []weighted) *posterior.Summary {
	t.Helper()
	s := posterior.NewSummary()
	table := tracing.NewTable()
	for i, v := range values {
		add(t, s, table, uint64(i), v.lw, kind, map[string]ppx.Tensor{"x": dist.Scalar(v.x)}, "x")
	}
	return s
}

// add gives a summary a trace with some Samples.
func add(t *testing.T, s *posterior.Summary, table *tracing.Table, draw uint64, lw float64, kind dist.Kind, values map[string]ppx.Tensor, names ...string) {
	t.Helper()
	var b tracing.Builder
	b.Reset(table, draw, 0)
	for _, name := range names {
		id := table.Intern(name, ppx.Sample, kind)
		b.Add(tracing.Site{Key: tracing.Key{Address: id, Instance: 1}, Name: table.InternName(name), Op: ppx.Sample, Kind: kind}, values[name], nil)
	}
	if err := s.Write(context.Background(), b.Finish(ppx.Tensor{}, lw, 0)); err != nil {
		t.Fatal(err)
	}
}

// normals are draws with the weights of another normal distribution; every tenth has none.
func normals(n int, mean, sd float64) []weighted {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]weighted, n)
	for i := range out {
		z := r.NormFloat64()
		out[i] = weighted{mean + sd*z, 0.3*z - 1000}
		if i%10 == 0 {
			out[i] = weighted{mean + 100*sd*z, math.Inf(-1)}
		}
	}
	return out
}

// A continuous variable has at most so many bins, side by side, at round numbers, and in each the weight of the values
// that lie there; those at the ends have what lies outside.
func TestHistogramOfContinuousVariable(t *testing.T) {
	for _, c := range []struct{ mean, sd float64 }{{0, 1}, {-3, 0.02}, {1e6, 300}, {0.001, 1e-7}, {-5e12, 1e12}} {
		values := normals(2000, c.mean, c.sd)
		total := 0.0
		for _, v := range values {
			total += math.Exp(v.lw + 1000)
		}
		s := summary(t, dist.Normal, values)
		for _, most := range []int{3, 4, 10, 30, 100} {
			bins, err := s.Histogram("x", most)
			if err != nil {
				t.Fatal(err)
			}
			if len(bins) < 1 || len(bins) > most {
				t.Errorf("%v: %d bins, want at most %d", c, len(bins), most)
			}
			width := bins[0].High - bins[0].Low
			// The width is 1, 2, 2.5 or 5 times a power of ten; the difference of two edges has their rounding.
			rounding := 2 * math.Max(math.Abs(bins[0].Low), math.Abs(bins[len(bins)-1].High)) * 0x1p-52
			step := math.NaN()
			for _, m := range []float64{1, 2, 2.5, 5, 10} {
				if nice := m * math.Pow(10, math.Floor(math.Log10(width))); math.Abs(width-nice) <= rounding {
					step = nice
				}
			}
			if math.IsNaN(step) {
				t.Errorf("%v, %d bins: width %.17g", c, most, width)
			}
			sum := 0.0
			for i, b := range bins {
				sum += b.Probability
				if i > 0 && b.Low != bins[i-1].High || math.Abs(b.High-b.Low-step) > rounding {
					t.Errorf("%v, %d bins: bin %d is from %.17g to %.17g, the one before ends at %.17g", c, most, i, b.Low, b.High, bins[max(0, i-1)].High)
				}
				if near := math.Round(b.Low/step) * step; math.Abs(b.Low-near) > rounding {
					t.Errorf("%v, %d bins: edge %.17g is no multiple of %g", c, most, b.Low, step)
				}
				want := 0.0
				for _, v := range values {
					if (v.x >= b.Low || i == 0) && (v.x < b.High || i == len(bins)-1) {
						want += math.Exp(v.lw+1000) / total
					}
				}
				// Sums of 2,000 terms in another order.
				if math.Abs(b.Probability-want) > 2000*0x1p-52 {
					t.Errorf("%v, %d bins: from %g to %g there is %.17g, want %.17g", c, most, b.Low, b.High, b.Probability, want)
				}
			}
			if math.Abs(sum-1) > 2000*0x1p-52 {
				t.Errorf("%v, %d bins: they sum to %.17g", c, most, sum)
			}
			// There are values at both ends, and bins of the next smaller width, which is at least half of it, would be
			// too many.
			if first, last := bins[0].Probability, bins[len(bins)-1].Probability; first == 0 || last == 0 || 2*len(bins) < most-2 {
				t.Errorf("%v, %d bins: %d are made, with %g and %g at the ends", c, most, len(bins), first, last)
			}
		}
	}
}

// One value far away, with a thousandth of the weight or less, does not make everything else a line.
func TestHistogramIsNotStretched(t *testing.T) {
	values := normals(5000, 0, 1)
	values[7] = weighted{1e9, -1000}
	values[8] = weighted{-1e9, -1000}
	bins, err := summary(t, dist.Normal, values).Histogram("x", 30)
	if err != nil || bins[0].Low < -10 || bins[len(bins)-1].High > 10 {
		t.Errorf("%v, %v", bins, err)
	}
}

// Values that are all the same are one.
func TestHistogramOfAConstant(t *testing.T) {
	for _, x := range []float64{0, -2.5, 1e300} {
		bins, err := summary(t, dist.Normal, []weighted{{x, 0}, {x, -3}, {7, math.Inf(-1)}, {x, 2}}).Histogram("x", 30)
		if err != nil || len(bins) != 1 || bins[0] != (posterior.Bin{Low: x, High: x, Probability: 1}) {
			t.Errorf("%g: %v, %v", x, bins, err)
		}
	}
}

// A discrete variable has a bin for each value; those at the ends with less than 1 in 2,000 are left out, others are not.
func TestHistogramOfDiscreteVariable(t *testing.T) {
	share := map[float64]float64{-4: 1e-4, -3: 4e-4, -1: 0.3, 0: 1e-5, 2: 0, 5: 0.6983, 6: 6e-4, 7: 4.9e-4, 20: 1e-5}
	var values []weighted
	total := 0.0
	for x, p := range share {
		values = append(values, weighted{x, math.Log(p)}, weighted{x, math.Log(p)})
		total += p
	}
	bins, err := summary(t, dist.Poisson, values).Histogram("x", 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{-1, 0, 2, 5, 6}
	for i, b := range bins {
		if i >= len(want) || b.Low != want[i] || b.High != want[i] || math.Abs(b.Probability-share[b.Low]/total) > float64(len(values))*0x1p-52 {
			t.Errorf("bin %d is %v", i, b)
		}
	}
	if len(bins) != len(want) {
		t.Errorf("%d bins, want one for each of %v", len(bins), want)
	}
	// Where every value is a rare one, some is left.
	var rare []weighted
	for i := range 64 {
		rare = append(rare, weighted{float64(i), 0})
	}
	if bins, err := summary(t, dist.Poisson, append(rare, weighted{30, 20})).Histogram("x", 40); err != nil || len(bins) != 1 || bins[0].Low != 30 {
		t.Errorf("%v, %v", bins, err)
	}
}

// Twice as many values as bins are still shown one by one; more are put together.
func TestHistogramOfManyDiscreteValues(t *testing.T) {
	var values []weighted
	for i := range 20 {
		values = append(values, weighted{float64(i), 0})
	}
	for most, want := range map[int]bool{10: true, 9: false} {
		bins, err := summary(t, dist.Poisson, values).Histogram("x", most)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, b := range bins {
			sum += b.Probability
		}
		if single := bins[0].Low == bins[0].High; single != want || single != (len(bins) == 20) || !single && len(bins) > most || math.Abs(sum-1) > 20*0x1p-52 {
			t.Errorf("at most %d bins: %v", most, bins)
		}
	}
}

// Elements of a tensor are variables; one too large to list cannot be drawn, and is not offered.
func TestHistogramOfTensors(t *testing.T) {
	s, table := posterior.NewSummary(), tracing.NewTable()
	large := ppx.Tensor{Data: make([]float64, 200), Shape: []int32{200}}
	for i := range uint64(4) {
		v := map[string]ppx.Tensor{"v": dist.Vector(float64(i), 5), "image": large}
		add(t, s, table, i, 0, dist.Normal, v, "v", "image")
	}
	if bins, err := s.Histogram("v[1]", 30); err != nil || len(bins) != 1 || bins[0].Low != 5 {
		t.Errorf("v[1]: %v, %v", bins, err)
	}
	for _, name := range []string{"image", "v"} {
		if _, err := s.Histogram(name, 30); err == nil || !strings.Contains(err.Error(), "no variable "+name) || !strings.HasSuffix(err.Error(), "there are v[0], v[1]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A name that is not there is an error that lists those that are, or some of them, in one line.
func TestHistogramOfUnknownName(t *testing.T) {
	s, table := posterior.NewSummary(), tracing.NewTable()
	var names []string
	values := map[string]ppx.Tensor{}
	for i := range 50 {
		name := fmt.Sprint("name\n", i)
		names = append(names, name)
		values[name] = dist.Scalar(1)
	}
	add(t, s, table, 0, 0, dist.Normal, values, names...)
	_, err := s.Histogram("nobody", 30)
	if err == nil || !strings.HasPrefix(err.Error(), `no variable nobody to plot; there are name\x0a0, name\x0a1, `) || !strings.HasSuffix(err.Error(), `, name\x0a39 and 10 more`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
	if _, err := posterior.NewSummary().Histogram("x", 30); err == nil {
		t.Error("no traces: no error")
	}
}

// A variable without weight, or without a number, has no distribution.
func TestHistogramsThatAreNone(t *testing.T) {
	inf := math.Inf(1)
	for name, values := range map[string][]weighted{
		"no weight":   {{1, -inf}, {2, -inf}},
		"bad weights": {{1, math.NaN()}, {2, inf}},
		"no number":   {{math.NaN(), 0}, {inf, -50}, {-inf, 0}},
	} {
		if bins, err := summary(t, dist.Normal, values).Histogram("x", 30); err == nil || !strings.Contains(err.Error(), "x has no weight, or no finite values") {
			t.Errorf("%s: %v, %v", name, bins, err)
		}
	}
	// It is of the finite values, if there are any.
	for _, lost := range []float64{math.NaN(), inf, -inf} {
		if bins, err := summary(t, dist.Normal, []weighted{{1, 0}, {lost, -1}}).Histogram("x", 30); err != nil || len(bins) != 1 || bins[0].Low != 1 {
			t.Errorf("%v, %v", bins, err)
		}
	}
}
