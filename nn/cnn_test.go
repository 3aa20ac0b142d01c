package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestCNNGradients(t *testing.T) {
	for _, c := range []struct {
		shape  []int
		stages string
	}{
		{[]int{11}, "3-p-4"}, {[]int{9, 8}, "3-p-4-p"}, {[]int{8, 9, 10}, "2-3-p-3"}, {[]int{4, 5, 6}, "2-p-3-p-2-p"}, {[]int{3, 3, 3}, "2"}, {[]int{6, 6}, "p-2"},
	} {
		t.Run(fmt.Sprint(c.shape, c.stages), func(t *testing.T) {
			stages, err := ParseStages(c.stages)
			if err != nil || FormatStages(stages) != c.stages {
				t.Fatal(stages, err)
			}
			n, err := NewCNN[float64]("c", c.shape, stages)
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			n.Init(r.Float64)
			for _, b := range n.biases {
				copy(b.Value, random[float64](r, len(b.Value)))
			}
			size := 1
			for _, d := range c.shape {
				size *= d
			}
			x := random[float64](r, 2*size)
			a := &Arena[float64]{}
			forward := func() []float64 { a.Reset(); y, _ := n.Forward(a, x, 2); return y }
			if got := len(forward()); got != 2*n.Out() {
				t.Fatalf("%d numbers come out, not %d", got, 2*n.Out())
			}
			check(t, "cnn", n.Params(), nil, forward, func(w []float64) []float64 {
				a.Reset()
				_, run := n.Forward(a, x, 2)
				n.Backward(a, run, w)
				return nil
			})
			// float32, by the library, against this.
			f, _ := NewCNN[float32]("c", c.shape, stages)
			for i, p := range n.Params() {
				for k, v := range p.Value {
					f.Params()[i].Value[k] = float32(v)
				}
				clear(p.Grad)
			}
			narrow := make([]float32, len(x))
			for i, v := range x {
				narrow[i] = float32(v)
			}
			a32 := &Arena[float32]{}
			a.Reset()
			y64, run := n.Forward(a, x, 2)
			w := random[float64](r, len(y64))
			n.Backward(a, run, w)
			w32 := make([]float32, len(w))
			for i, v := range w {
				w32[i] = float32(v)
			}
			for range 2 {
				a32.Reset()
				y, run := f.Forward(a32, narrow, 2)
				for i, v := range y {
					if math.Abs(float64(v)-y64[i]) > 1e-4*(1+math.Abs(y64[i])) {
						t.Fatalf("result %d is %g in single precision, %g", i, v, y64[i])
					}
				}
				f.Backward(a32, run, w32)
			}
			for i, p := range n.Params() {
				for k, want := range p.Grad {
					if got := float64(f.Params()[i].Grad[k]) / 2; math.Abs(got-want) > 1e-3*(1+math.Abs(want)) {
						t.Fatalf("%v[%d]: gradient %g in single precision, %g", p, k, got, want)
					}
				}
			}
		})
	}
	if _, err := ParseStages("3-x"); err == nil {
		t.Error("3-x was read")
	}
	if _, err := NewCNN[float32]("c", []int{2, 2, 2, 2}, []int{3}); err == nil {
		t.Error("a 4-D image was taken")
	}
}

// etalumis is the network of Baydin et al. (2019) for images of 20 × 35 × 35.
func etalumis(b testing.TB) *CNN[float32] {
	stages, err := ParseStages("64-64-p-128-128-128-p")
	if err != nil {
		b.Fatal(err)
	}
	c, err := NewCNN[float32]("c", []int{20, 35, 35}, stages)
	if err != nil {
		b.Fatal(err)
	}
	if c.Out() != 128*4*4 {
		b.Fatalf("%d numbers come out", c.Out())
	}
	c.Init(rand.New(rand.NewPCG(1, 2)).Float64)
	return c
}

func BenchmarkCNN(b *testing.B) {
	c := etalumis(b)
	const rows = 8
	x := random[float32](rand.New(rand.NewPCG(1, 2)), rows*20*35*35)
	dy := random[float32](rand.New(rand.NewPCG(3, 2)), rows*c.Out())
	a := &Arena[float32]{}
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", n), func(b *testing.B) {
			SetThreads(n)
			pass := func() {
				a.Reset()
				_, run := c.Forward(a, x, rows)
				c.Backward(a, run, dy)
			}
			for pass(); b.Loop(); {
				pass()
			}
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func BenchmarkLSTM(b *testing.B) {
	l := NewLSTM[float32]("l", 212, 512)
	r := rand.New(rand.NewPCG(1, 2))
	l.Init(r.Float64)
	lengths := make([]int, 64)
	for i := range lengths {
		lengths[i] = 50
	}
	p, _ := Pack(lengths)
	x, dH := random[float32](r, p.Rows()*212), random[float32](r, p.Rows()*512)
	a, o := &Arena[float32]{}, NewAdam[float32](1e-3)
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("step/threads=%d", n), func(b *testing.B) {
			SetThreads(n)
			b.ReportAllocs()
			for b.Loop() {
				a.Reset()
				l.Backward(a, l.Forward(a, p, x), dH)
				o.Step(l.Params(), 1)
			}
		})
		b.Run(fmt.Sprintf("gemms/threads=%d", n), func(b *testing.B) {
			SetThreads(n)
			m := p.Rows()
			h := 512
			gates, wx, wh := matrix[float32]{make([]float32, m*4*h), m, 4 * h}, matrix[float32]{l.Wx.Value, 4 * h, 212}, matrix[float32]{l.Wh.Value, 4 * h, h}
			in, hs := matrix[float32]{x, m, 212}, matrix[float32]{dH, m, h}
			dWx, dWh := matrix[float32]{l.Wx.Grad, 4 * h, 212}, matrix[float32]{l.Wh.Grad, 4 * h, h}
			for b.Loop() {
				mul(false, true, 1, in, wx, 0, gates)
				for t := 1; t < 50; t++ {
					g := matrix[float32]{gates.data[t*64*4*h : (t+1)*64*4*h], 64, 4 * h}
					mul(false, true, 1, matrix[float32]{dH[:64*h], 64, h}, wh, 0, g)
					mul(false, false, 1, g, wh, 0, matrix[float32]{hs.data[:64*h], 64, h})
				}
				mul(true, false, 1, gates, in, 0, dWx)
				mul(true, false, 1, matrix[float32]{gates.data[64*4*h:], m - 64, 4 * h}, matrix[float32]{dH[64*h:], m - 64, h}, 0, dWh)
				mul(false, false, 1, gates, wx, 0, in)
			}
		})
	}
}

// A row has the same bits in a batch of any size, and is the product.
func TestDense(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int{{1, 1}, {7, 5}, {20, 16}, {33, 40}, {512, 2048}, {100, 70}} {
		in, out := size[0], size[1]
		w := random[float32](r, out*(in+3))
		d := NewDense(w, out, in+3, 2, in)
		x := random[float32](r, 65*in)
		alone := make([]float32, 65*out)
		for i := range 65 {
			d.Add(1, x[i*in:(i+1)*in], alone[i*out:(i+1)*out])
			for o := range out {
				want := 0.0
				for k := range in {
					want += float64(x[i*in+k]) * float64(w[o*(in+3)+2+k])
				}
				if math.Abs(float64(alone[i*out+o])-want) > 1e-4*math.Sqrt(float64(in)) {
					t.Fatalf("%v: row %d, output %d: %g, want %g", size, i, o, alone[i*out+o], want)
				}
			}
		}
		for n := 1; n <= 65; n++ {
			batch := make([]float32, n*out)
			d.Add(n, x, batch)
			for i, v := range batch {
				if math.Float32bits(v) != math.Float32bits(alone[i]) {
					t.Fatalf("%v: number %d of %d rows is %g, alone %g", size, i, n, v, alone[i])
				}
			}
		}
	}
}

func TestStepIsTheLayers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	l := NewLSTM[float32]("l", 6, 70)
	l.Init(r.Float64)
	p, _ := Pack([]int{5})
	x := random[float32](r, 5*6)
	a := &Arena[float32]{}
	H := l.Forward(a, p, x).H
	h, c := make([]float32, 70), make([]float32, 70)
	wx, wh := NewDense(l.Wx.Value, 280, 6, 0, 6), NewDense(l.Wh.Value, 280, 70, 0, 70)
	for s := range 5 {
		g := append([]float32(nil), l.B.Value...)
		wx.Add(1, x[s*6:(s+1)*6], g)
		wh.Add(1, h, g)
		Step(g, h, c)
		for k, v := range h {
			if math.Abs(float64(v-H[s*70+k])) > 1e-5 {
				t.Fatalf("step %d, number %d: %g, the layer has %g", s, k, v, H[s*70+k])
			}
		}
	}
}

func BenchmarkStep(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	l := NewLSTM[float32]("l", 212, 512)
	l.Init(r.Float64)
	wx, wh := NewDense(l.Wx.Value, 2048, 212, 0, 212), NewDense(l.Wh.Value, 2048, 512, 0, 512)
	for _, rows := range []int{1, 16} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			x, h, c, g := random[float32](r, rows*212), random[float32](r, rows*512), random[float32](r, rows*512), make([]float32, rows*2048)
			for b.Loop() {
				clear(g)
				wx.Add(rows, x, g)
				wh.Add(rows, h, g)
				for i := range rows {
					Step(g[i*2048:(i+1)*2048], h[i*512:(i+1)*512], c[i*512:(i+1)*512])
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*rows), "µs/row")
		})
	}
}
