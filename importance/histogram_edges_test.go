package importance_test

import (
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Whole numbers that are put together are as many in each bin: 64 equally likely values make a level histogram, as the
// variable is drawn as densities.
func TestHistogramOfManyValuesIsLevel(t *testing.T) {
	for _, n := range []int{64, 70, 130, 200, 1000} {
		var values []weighted
		for i := range n {
			values = append(values, weighted{float64(i), 0})
		}
		bins, err := summary(t, dist.Poisson, values).Histogram("x", 30)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range bins[:len(bins)-1] { // the last may be cut
			if density := b.Probability / (b.High - b.Low) * float64(n); math.Abs(density-1) > 0.01 {
				t.Errorf("%d values: bin %d, from %g to %g, has density %g", n, i, b.Low, b.High, density)
				break
			}
		}
	}
}

// An infinite value is an error in words, or lies in a bin at an end, but no bin has NaN for edges.
func TestHistogramOfInfiniteValues(t *testing.T) {
	for _, x := range []float64{math.Inf(1), math.Inf(-1)} {
		bins, err := summary(t, dist.Normal, []weighted{{1, 0}, {x, 0}, {2, 0}}).Histogram("x", 30)
		for _, b := range bins {
			if err == nil && (math.IsNaN(b.Low) || math.IsNaN(b.High)) {
				t.Errorf("%g: %v", x, bins)
				break
			}
		}
	}
}
