package inspect

import (
	"math"
	"testing"
)

// Shares of bins add up, whatever lies beyond their ends; whole numbers have bins of their own; several sets have the same.
func TestBinned(t *testing.T) {
	a := Values{V: []float64{0, 1, 1, 2}, W: []float64{1, 1, 1, 1}}
	b := Values{V: []float64{2, 3}, W: []float64{3, 1}}
	x := Binned([]Values{a, b}, 20)
	if len(x.Low) != 4 || x.Low[3] != 3 || x.High[3] != 3 || x.Share[0][1] != 0.5 || x.Share[1][2] != 0.75 || x.Share[0][3] != 0 {
		t.Errorf("%+v", x)
	}
	var c Values
	for i := range 10_000 {
		c.V, c.W = append(c.V, float64(i)/1000), append(c.W, 1)
	}
	c.V, c.W = append(c.V, 1e9), append(c.W, 1e-9) // as good as without weight
	x = Binned([]Values{c}, 10)
	sum := 0.0
	for i, s := range x.Share[0] {
		sum += s
		if math.Abs(s-0.1) > 0.01 || x.High[i]-x.Low[i] > 1.01 {
			t.Errorf("%g to %g: %g", x.Low[i], x.High[i], s)
		}
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("shares of %g", sum)
	}
	// One value, and none that differs.
	if x := Binned([]Values{{V: []float64{0.3, 0.3}, W: []float64{1, 2}}}, 10); x.Share[0][5] != 1 {
		t.Errorf("%+v", x)
	}
}

// Two variables lie together in the traces that have both, by their weights.
func TestTogether(t *testing.T) {
	x, y := Values{Name: "x"}, Values{Name: "y"}
	for i := range 1000 {
		v := float64(i) / 1000
		x.V, x.W, x.Draws = append(x.V, v), append(x.W, 1), append(x.Draws, i)
		if i%2 == 0 {
			y.V, y.W, y.Draws = append(y.V, 3-2*v), append(y.W, 1), append(y.Draws, i)
		}
	}
	p := Together(&x, &y, 10, 10)
	if p.Both != 500 || math.Abs(p.Correlation+1) > 1e-9 || p.Share[9][0] < 0.09 || p.Share[0][9] < 0.09 || p.Share[0][0] != 0 {
		t.Errorf("%+v", p)
	}
	none := Together(&x, &Values{Name: "z", V: []float64{1}, W: []float64{1}, Draws: []int{5000}}, 4, 4)
	if none.Both != 0 || !math.IsNaN(none.Correlation) {
		t.Errorf("%+v", none)
	}
}
