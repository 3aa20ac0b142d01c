package ic

import (
	"math"
	"testing"
)

// Data of the prior have uniform p-values, nearly; data from elsewhere have small ones, the smaller the farther; a file keeps all of it.
func TestFamiliar(t *testing.T) {
	n := trained(t, small(), everything, 1)
	held := examples(t, n, draw(t, everything, 5000, 400, 0))
	f := NewFamiliar(n, held[:200], 1.5)
	if f == nil || math.Abs(f.Gain-1.5) > 1e-6 {
		t.Fatalf("%+v", f)
	}
	at := func(inputs [][]float32) float64 {
		_, p := f.Of(&Proposer{n: n, embedded: n.embed(inputs)})
		return p
	}
	low := 0
	for _, e := range held[200:] {
		if at(e.inputs) < 0.1 {
			low++
		}
	}
	// The distances that p is read off are a hundred: so is their noise.
	if share, se := float64(low)/200, math.Sqrt(0.09/200+0.09/100); math.Abs(share-0.1) > 4*se {
		t.Errorf("p < 0.1 for a share %g ± %g of the prior's data", share, se)
	}
	last := 1.0
	for _, far := range []float32{2, 5, 20} { // standard deviations
		inputs := [][]float32{}
		for _, x := range held[0].inputs {
			row := make([]float32, len(x))
			for i := range row {
				row[i] = far
			}
			inputs = append(inputs, row)
		}
		p := at(inputs)
		if !(p <= last) || p > 0.02 {
			t.Errorf("%g standard deviations away: p = %g", far, p)
		}
		last = p
	}
	if last > 1e-6 {
		t.Errorf("20 standard deviations away: p = %g", last)
	}
	g := ReadFamiliar(f.Extra())
	if a, b := g.squared(make([]float64, len(f.mean))), f.squared(make([]float64, len(f.mean))); a != b {
		t.Errorf("%g, after a file %g", b, a)
	}
	if NewFamiliar(n, held[:3], 0) != nil || ReadFamiliar(&Extra{}) != nil || ReadFamiliar(&Extra{Numbers: map[string][]float32{familiarGain: {1}, familiarMean: {0}, familiarFactor: {0}, familiarDistances: make([]float32, 50)}}) != nil {
		t.Error("something was made of too little")
	}
}
