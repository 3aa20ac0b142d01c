package nn

import (
	"math"
	"strings"
	"testing"
)

// Two steps by hand: with constant gradients both corrected moments are the gradient, so each step has the size
// of the rate, and then the decay.
func TestAdamSteps(t *testing.T) {
	p := NewParam[float64]("p", 3)
	copy(p.Value, []float64{1, 2, 3})
	o := NewAdam[float64](0.1)
	o.Decay = 0.5
	want := []float64{1, 2, 3}
	for range 3 {
		copy(p.Grad, []float64{0.5, -4, 1e-3})
		p.Touch()
		o.Step([]*Param[float64]{p}, 1)
		for i, g := range []float64{0.5, -4, 1e-3} {
			want[i] = want[i]*(1-0.1*0.5) - 0.1*g/(math.Abs(g)+1e-8)
			if math.Abs(p.Value[i]-want[i]) > 1e-12 {
				t.Errorf("weight %d is %.15g, want %.15g", i, p.Value[i], want[i])
			}
		}
	}
	if p.Grad[0] != 0 {
		t.Error("the gradient is still there")
	}
}

// Params that appear later have their own bias correction; untouched ones do not move.
func TestAdamKeepsParamsApart(t *testing.T) {
	a, b := NewParam[float32]("a", 1), NewParam[float32]("b", 1)
	o := NewAdam[float32](0.01)
	for i := range 50 {
		a.Grad[0] = 1
		a.Touch()
		if i == 49 {
			b.Grad[0] = 1
			b.Touch()
		}
		o.Step([]*Param[float32]{b, a}, 1)
		if i < 49 && b.Value[0] != 0 {
			t.Fatal("a weight without a gradient moved")
		}
	}
	if math.Abs(float64(b.Value[0])+0.01) > 1e-6 {
		t.Errorf("the first step of a late weight is %g", b.Value[0])
	}
	if o.Moments(b).Steps != 1 || o.Moments(a).Steps != 50 {
		t.Error("steps are counted together")
	}
}

func TestAdamFindsAMinimum(t *testing.T) {
	p := NewParam[float64]("p", 2)
	o := NewAdam[float64](0.05)
	for range 2000 {
		p.Grad[0] = 2 * (p.Value[0] - 3)
		p.Grad[1] = 200 * (p.Value[1] + 1)
		p.Touch()
		o.Step([]*Param[float64]{p}, 1)
	}
	if math.Abs(p.Value[0]-3) > 1e-3 || math.Abs(p.Value[1]+1) > 1e-3 {
		t.Error(p.Value)
	}
}

func TestNorm(t *testing.T) {
	a, b := NewParam[float32]("a", 1), NewParam[float32]("b.weight", 37)
	both := []*Param[float32]{a, b}
	a.Grad[0], b.Grad[36] = 3, 4
	a.Touch()
	b.Touch()
	if n, err := Norm(both); n != 5 || err != nil {
		t.Errorf("%g %v", n, err)
	}
	b.Grad[1] = float32(math.NaN())
	if _, err := Norm(both); err == nil || !strings.Contains(err.Error(), "b.weight") {
		t.Error(err)
	}
}
