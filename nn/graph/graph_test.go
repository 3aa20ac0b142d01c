package graph

import (
	"errors"
	"testing"
)

// scale is y = w·Σ inputs, elementwise; a source without inputs gives its data.
type scale struct {
	w, dw float64
	data  []float64
	n     int
	sum   []float64
	fail  error
}

func (k *scale) Forward(in [][]float64) ([]float64, error) {
	k.n = len(in)
	k.sum = append([]float64(nil), k.data...)
	for i, x := range in {
		if i == 0 {
			k.sum = make([]float64, len(x))
		}
		for j, v := range x {
			k.sum[j] += v
		}
	}
	y := make([]float64, len(k.sum))
	for i, v := range k.sum {
		y[i] = k.w * v
	}
	return y, k.fail
}

func (k *scale) Backward(d []float64) (dIn [][]float64, err error) {
	dx := make([]float64, len(d))
	for i, v := range d {
		k.dw += v * k.sum[i]
		dx[i] = v * k.w
	}
	for range k.n {
		dIn = append(dIn, append([]float64(nil), dx...))
	}
	return dIn, nil
}

// total is a loss: the sum of squares of its input, over two.
type total struct{ x []float64 }

func (k *total) Forward(in [][]float64) ([]float64, error) {
	k.x = in[0]
	s := 0.0
	for _, v := range k.x {
		s += v * v / 2
	}
	return []float64{s}, nil
}

func (k *total) Backward(d []float64) ([][]float64, error) {
	out := make([]float64, len(k.x))
	for i, v := range k.x {
		out[i] = d[0] * v
	}
	return [][]float64{out}, nil
}

// A diamond: the source is used twice, and its gradients add up.
func TestDiamond(t *testing.T) {
	run := func(a, b, c *scale) float64 {
		g := New[float64]()
		node := func(name string, k Kernel[float64], rows, cols int, in ...*Node) *Node {
			n, err := g.Node(name, k, rows, cols, in...)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		x := node("a", a, 2, 3)
		y := node("b", b, 2, 3, x)
		z := node("c", c, 2, 3, x, y)
		v, err := g.Run(node("loss", &total{}, 1, 1, z))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	w := []float64{0.7, -1.3, 0.4}
	kernels := func() []*scale {
		return []*scale{{w: w[0], data: []float64{1, 2, 3, -4, 5, -6}}, {w: w[1]}, {w: w[2]}}
	}
	k := kernels()
	run(k[0], k[1], k[2])
	for i := range w {
		const h = 1e-6
		keep := w[i]
		w[i] = keep + h
		up := kernels()
		a := run(up[0], up[1], up[2])
		w[i] = keep - h
		down := kernels()
		b := run(down[0], down[1], down[2])
		w[i] = keep
		if want := (a - b) / (2 * h); want-k[i].dw > 1e-6 || k[i].dw-want > 1e-6 {
			t.Errorf("gradient of weight %d is %g, by differences %g", i, k[i].dw, want)
		}
	}
}

func TestErrorsOfKernelsComeOut(t *testing.T) {
	g := New[float64]()
	wrong := errors.New("out of numbers")
	x, err := g.Node("a", &scale{w: 1, data: []float64{1, 2}, fail: wrong}, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	loss, err := g.Node("loss", &total{}, 1, 1, x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Run(loss); err == nil {
		t.Error("an error was lost")
	}
}

func BenchmarkGraph(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		g := New[float64]()
		x, _ := g.Node("a", &scale{w: 1, data: make([]float64, 64)}, 8, 8)
		for range 4 {
			x, _ = g.Node("b", &scale{w: 1}, 8, 8, x)
		}
		loss, _ := g.Node("loss", &total{}, 1, 1, x)
		if _, err := g.Run(loss); err != nil {
			b.Fatal(err)
		}
	}
}
