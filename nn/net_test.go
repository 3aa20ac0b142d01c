package nn

import (
	"math"
	"math/rand/v2"
	"testing"
)

func random[T Number](r *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(r.NormFloat64())
	}
	return x
}

// check compares the gradients that backward gives with central differences of forward's result, weighted by w.
func check(t *testing.T, what string, params []*Param[float64], x []float64, forward func() []float64, backward func(w []float64) []float64) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	w := random[float64](r, len(forward()))
	for _, p := range params {
		clear(p.Grad)
	}
	dx := append([]float64(nil), backward(append([]float64(nil), w...))...)
	loss := func() float64 {
		sum := 0.0
		for i, v := range forward() {
			sum += w[i] * v
		}
		return sum
	}
	try := func(name string, value, grad []float64) {
		for _, i := range r.Perm(len(value))[:min(len(value), 40)] {
			const h = 1e-5
			keep := value[i]
			value[i] = keep + h
			up := loss()
			value[i] = keep - h
			down := loss()
			value[i] = keep
			if want := (up - down) / (2 * h); !(math.Abs(grad[i]-want) <= 1e-7*math.Max(1, math.Abs(want))) {
				t.Errorf("%s: gradient of %s[%d] is %.9g, by differences %.9g", what, name, i, grad[i], want)
			}
		}
	}
	try("x", x, dx)
	for _, p := range params {
		try(p.String(), p.Value, p.Grad)
	}
}

func TestGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a := &Arena[float64]{}
	t.Run("linear", func(t *testing.T) {
		l := NewLinear[float64]("l", 7, 5)
		l.Init(r.Float64)
		copy(l.B.Value, random[float64](r, 5))
		x := random[float64](r, 3*7)
		check(t, "linear", l.Params(), x, func() []float64 { a.Reset(); return l.Forward(a, x, 3) },
			func(w []float64) []float64 { return l.Backward(a, x, w, 3) })
	})
	t.Run("relu", func(t *testing.T) {
		x := random[float64](r, 20)
		relu := func() []float64 { return ReLU(append([]float64(nil), x...)) }
		check(t, "relu", nil, x, relu, func(w []float64) []float64 { return ReLUBackward(relu(), w) })
	})
	for name, lengths := range map[string][]int{"one": {1}, "equal": {4, 4, 4}, "different": {9, 7, 7, 3, 1}, "some empty": {2, 1, 0}, "empty": {}} {
		t.Run("lstm/"+name, func(t *testing.T) {
			l := NewLSTM[float64]("l", 6, 5)
			l.Init(r.Float64)
			p, err := Pack(lengths)
			if err != nil {
				t.Fatal(err)
			}
			x := random[float64](r, p.Rows()*6)
			check(t, "lstm", l.Params(), x, func() []float64 { a.Reset(); return l.Forward(a, p, x).H },
				func(w []float64) []float64 { a.Reset(); return l.Backward(a, l.Forward(a, p, x), w) })
		})
	}
}

// A packed minibatch gives what each sequence gives alone, step by step.
func TestPackedSequencesAreIndependent(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	l := NewLSTM[float64]("l", 4, 6)
	l.Init(r.Float64)
	lengths := []int{8, 5, 5, 2, 1}
	p, err := Pack(lengths)
	if err != nil {
		t.Fatal(err)
	}
	x := random[float64](r, p.Rows()*4)
	a := &Arena[float64]{}
	run := l.Forward(a, p, x)
	for i, n := range lengths {
		h, c := make([]float64, 6), make([]float64, 6)
		for s := range n {
			row := p.Start[s] + i
			l.Step(a, x[row*4:(row+1)*4], h, c)
			for k, v := range h {
				if math.Abs(v-run.H[row*6+k]) > 1e-12 {
					t.Fatalf("sequence %d, step %d: %g alone, %g in the batch", i, s, v, run.H[row*6+k])
				}
			}
		}
	}
	if _, err := Pack([]int{2, 3}); err == nil {
		t.Error("lengths that increase were packed")
	}
}

// float32 agrees with float64, and accumulates gradients over passes.
func TestSinglePrecision(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	d, s := NewLSTM[float64]("l", 20, 30), NewLSTM[float32]("l", 20, 30)
	d.Init(r.Float64)
	for i, p := range d.Params() {
		for k, v := range p.Value {
			s.Params()[i].Value[k] = float32(v)
			p.Value[k] = float64(float32(v))
		}
	}
	p, _ := Pack([]int{12, 9, 4})
	x := random[float32](r, p.Rows()*20)
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	dH := random[float32](r, p.Rows()*30)
	wideH := make([]float64, len(dH))
	for i, v := range dH {
		wideH[i] = float64(v)
	}
	var a32 Arena[float32]
	var a64 Arena[float64]
	for range 2 {
		s.Backward(&a32, s.Forward(&a32, p, x), dH)
	}
	d.Backward(&a64, d.Forward(&a64, p, wide), wideH)
	for i, p := range d.Params() {
		for k, want := range p.Grad {
			if got := float64(s.Params()[i].Grad[k]) / 2; math.Abs(got-want) > 2e-5*math.Max(1, math.Abs(want)) {
				t.Fatalf("%v[%d]: %g in single precision, %g", p, k, got, want)
			}
		}
	}
}

func TestArena(t *testing.T) {
	var a Arena[float32]
	x := a.Zeros(10)
	y := a.Take(arenaBlock)
	y[0] = 1
	if x[9] != 0 || cap(x) != 10 {
		t.Error("pieces overlap")
	}
	a.Reset()
	if allocs := testing.AllocsPerRun(10, func() { a.Reset(); a.Take(10); a.Take(arenaBlock) }); allocs > 0 {
		t.Errorf("%g allocations after the first pass", allocs)
	}
}
