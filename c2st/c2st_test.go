package c2st_test

import (
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/ppx-engine/ppx-engine/c2st"
)

func normals(g *rand.Rand, n, d int, shift, scale float64) (out [][]float64) {
	for range n {
		row := make([]float64, d)
		for k := range row {
			row[k] = scale * g.NormFloat64()
		}
		row[0] += shift
		out = append(out, row)
	}
	return out
}

// The best accuracy is ½ + ½ of the total variation: what is learned comes near to it, and does not exceed it by more than chance.
func TestAccuracy(t *testing.T) {
	all := os.Getenv("PPX_VERIFY") != ""
	for _, c := range []struct {
		d            int
		shift, scale float64
		best, lack   float64 // how much of the best the network may miss
		long         bool
	}{
		{1, 0, 1, 0.5, 0, false},
		{1, 0.1, 1, 0.520, 0.02, true},
		{1, 0.2, 1, 0.540, 0.01, true},
		{1, 0.5, 1, 0.599, 0.01, false},
		{1, 0, 0.9, 0.526, 0.01, true},
		{1, 0, 0.8, 0.554, 0.01, false},
		{10, 0, 0.9, 0.592, 0.035, true},
		{10, 0, 0.8, 0.688, 0.03, true},
	} {
		if c.long && !all {
			continue
		}
		n := 4000
		if all {
			n = 10000
		}
		g := rand.New(rand.NewPCG(1, uint64(c.d)))
		r, err := c2st.Accuracy(normals(g, n, c.d, 0, 1), normals(g, n, c.d, c.shift, c.scale), 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("d %d, shift %g, scale %g: %.3f, ideal %.3f", c.d, c.shift, c.scale, r.Accuracy, c.best)
		if r.Accuracy > c.best+4*r.SE || r.Accuracy < c.best-c.lack-4*r.SE || r.Draws != n || math.Abs(r.SE-0.5/math.Sqrt(float64(2*n))) > 1e-15 {
			t.Errorf("d %d, shift %g, scale %g: %.3f ± %.3f, ideal %.3f", c.d, c.shift, c.scale, r.Accuracy, r.SE, c.best)
		}
	}
	if _, err := c2st.Accuracy(normals(rand.New(rand.NewPCG(1, 1)), 10, 1, 0, 1), nil, 1); err == nil {
		t.Error("too few draws are accepted")
	}
}
