package posterior_test

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
