package nn

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// CNN is a stack of convolutions, 3 wide in each dimension of the image and followed by ReLU, and of
// max-pools, 2 wide. Images have up to three dimensions and one channel.
type CNN[T Number] struct {
	stages  []stage
	weights []*Param[T] // of each convolution: [out, in, kernel…]
	biases  []*Param[T]
	fast    fastCNN
}

// extent is the size of a volume.
type extent [3]int

func (e extent) n() int { return e[0] * e[1] * e[2] }

// stage is a convolution, or a pool when conv is negative.
type stage struct {
	conv            int // which
	in, out         int // channels
	from, to        extent
	kernel, padding extent // of a pool its width
}

// ParseStages reads a stack as people write it: channels of convolutions and p for pools, "64-64-p-128-p". A
// pool is 0.
func ParseStages(text string) (stages []int, err error) {
	for _, s := range strings.Split(text, "-") {
		n := 0
		if s != "p" {
			if n, err = strconv.Atoi(s); err != nil || n < 1 || n > 4096 {
				return nil, fmt.Errorf("%q in %q is neither p (a pool) nor a number of channels", s, text)
			}
		}
		stages = append(stages, n)
	}
	return stages, nil
}

// FormatStages is the inverse of ParseStages.
func FormatStages(stages []int) string {
	var out []string
	for _, n := range stages {
		if n == 0 {
			out = append(out, "p")
		} else {
			out = append(out, strconv.Itoa(n))
		}
	}
	return strings.Join(out, "-")
}

// NewCNN returns a stack for images of a shape. Convolutions do without padding if the image is large enough for
// all stages, as in the Etalumis network (Baydin et al. 2019); else the image is padded with zeros so that they
// keep its size. Pools leave out what does not fill them, and dimensions of size 1.
func NewCNN[T Number](name string, shape, stages []int) (*CNN[T], error) {
	if len(shape) < 1 || len(shape) > 3 {
		return nil, fmt.Errorf("an image of shape %v: want 1 to 3 dimensions", shape)
	}
	c := &CNN[T]{}
	if !c.build(name, shape, stages, 0) {
		c = &CNN[T]{}
		if !c.build(name, shape, stages, 1) || c.Out() == 0 {
			return nil, fmt.Errorf("images of shape %v are too small for convolutions", shape)
		}
	}
	return c, nil
}

func (c *CNN[T]) build(name string, shape, stages []int, padding int) bool {
	for _, d := range shape {
		if d < 1 {
			return false
		}
	}
	size, kernel, pad := extent{1, 1, 1}, extent{1, 1, 1}, extent{}
	for i, d := range shape {
		at := 3 - len(shape) + i
		size[at], kernel[at], pad[at] = d, 3, padding
	}
	channels := 1
	for _, n := range stages {
		s := stage{conv: -1, in: channels, out: channels, from: size, to: size}
		if n == 0 {
			for d := range size {
				s.kernel[d] = min(2, size[d])
				s.to[d] = size[d] / s.kernel[d]
			}
		} else {
			s.conv, s.out, s.kernel, s.padding = len(c.weights), n, kernel, pad
			for d := range size {
				if s.to[d] = size[d] + 2*pad[d] - kernel[d] + 1; s.to[d] < 1 {
					return false
				}
			}
			c.weights = append(c.weights, NewParam[T](fmt.Sprintf("%s.conv%d.weight", name, s.conv), n, channels, kernel[0], kernel[1], kernel[2]))
			c.biases = append(c.biases, NewParam[T](fmt.Sprintf("%s.conv%d.bias", name, s.conv), n))
		}
		channels, size = s.out, s.to
		c.stages = append(c.stages, s)
	}
	return true
}

// Params are the stack's.
func (c *CNN[T]) Params() []*Param[T] {
	return append(append([]*Param[T](nil), c.weights...), c.biases...)
}

// Init draws the weights with a variance of 2/fan-in (He et al. 2015).
func (c *CNN[T]) Init(uniform func() float64) {
	for i, w := range c.weights {
		initUniform(w.Value, w.Shape[1]*w.Shape[2]*w.Shape[3]*w.Shape[4], uniform)
		for k := range w.Value {
			w.Value[k] *= T(math.Sqrt2)
		}
		clear(c.biases[i].Value)
	}
}

// Out is how many numbers come out for an image.
func (c *CNN[T]) Out() int {
	last := &c.stages[len(c.stages)-1]
	return last.out * last.to.n()
}

// CNNRun is what the forward pass hands to the backward pass.
type CNNRun[T Number] struct {
	rows int
	x    [][]T     // of each stage, and the result
	pick [][]int32 // of each pool, where its maxima were
	fast *fastRun
}

// Forward returns rows × Out numbers for rows of images.
func (c *CNN[T]) Forward(a *Arena[T], x []T, rows int) (y []T, run *CNNRun[T]) {
	if f, ok := any(c).(*CNN[float32]); ok && rows > 0 {
		y := a.Take(rows * c.Out())
		if r := f.fast.forward(f, any(x).([]float32), rows, any(y).([]float32)); r != nil {
			return y, &CNNRun[T]{rows: rows, x: [][]T{x}, fast: r}
		}
	}
	run = &CNNRun[T]{rows: rows, x: [][]T{x}}
	for i := range c.stages {
		s := &c.stages[i]
		y := a.Take(rows * s.out * s.to.n())
		var pick []int32
		if s.conv < 0 {
			pick = make([]int32, len(y))
			pool(s, rows, x, y, pick)
		} else {
			col := a.Take(s.columns() * s.to.n())
			w, b := c.weights[s.conv].Value, c.biases[s.conv].Value
			for r := range rows {
				unfold(s, x[r*s.in*s.from.n():], col)
				o := y[r*s.out*s.to.n() : (r+1)*s.out*s.to.n()]
				for k := range o {
					o[k] = b[k/s.to.n()]
				}
				mul(false, false, 1, matrix[T]{w, s.out, s.columns()}, matrix[T]{col, s.columns(), s.to.n()}, 1, matrix[T]{o, s.out, s.to.n()})
			}
			ReLU(y)
		}
		run.x, run.pick = append(run.x, y), append(run.pick, pick)
		x = y
	}
	return x, run
}

// Backward adds the gradients of the weights for the gradient dy of Forward's result.
func (c *CNN[T]) Backward(a *Arena[T], run *CNNRun[T], dy []T) {
	for i := range c.weights {
		c.weights[i].Touch()
		c.biases[i].Touch()
	}
	if run.fast != nil {
		c.fast.backward(any(c).(*CNN[float32]), run.fast, any(run.x[0]).([]float32), any(dy).([]float32))
		return
	}
	dy = append(a.Take(len(dy))[:0], dy...)
	for i := len(c.stages) - 1; i >= 0; i-- {
		s := &c.stages[i]
		var dx []T
		if i > 0 {
			dx = a.Zeros(run.rows * s.in * s.from.n())
		}
		if s.conv < 0 {
			if i == 0 {
				break
			}
			for k, from := range run.pick[i] {
				dx[from] += dy[k]
			}
			dy = dx
			continue
		}
		ReLUBackward(run.x[i+1], dy)
		col, dcol := a.Take(s.columns()*s.to.n()), a.Take(s.columns()*s.to.n())
		w, b := c.weights[s.conv], c.biases[s.conv]
		for r := range run.rows {
			unfold(s, run.x[i][r*s.in*s.from.n():], col)
			d := matrix[T]{dy[r*s.out*s.to.n() : (r+1)*s.out*s.to.n()], s.out, s.to.n()}
			mul(false, true, 1, d, matrix[T]{col, s.columns(), s.to.n()}, 1, matrix[T]{w.Grad, s.out, s.columns()})
			for k, g := range d.data {
				b.Grad[k/s.to.n()] += g
			}
			if dx != nil {
				mul(true, false, 1, matrix[T]{w.Value, s.out, s.columns()}, d, 0, matrix[T]{dcol, s.columns(), s.to.n()})
				fold(s, dcol, dx[r*s.in*s.from.n():])
			}
		}
		dy = dx
	}
}

// columns is how many numbers of the input an output depends on.
func (s *stage) columns() int { return s.in * s.kernel.n() }

// each calls f with the number of each column's element and that of the input element that it is, row of the
// last dimension by row: length n from column at and input from.
func (s *stage) each(f func(at, from, n int)) {
	at := 0
	for c := range s.in {
		for kz := range s.kernel[0] {
			for ky := range s.kernel[1] {
				for kx := range s.kernel[2] {
					for z := range s.to[0] {
						for y := range s.to[1] {
							iz, iy, ix := z+kz-s.padding[0], y+ky-s.padding[1], kx-s.padding[2]
							lo, hi := max(0, -ix), min(s.to[2], s.from[2]-ix)
							if iz >= 0 && iz < s.from[0] && iy >= 0 && iy < s.from[1] && lo < hi {
								f(at+lo, ((c*s.from[0]+iz)*s.from[1]+iy)*s.from[2]+ix+lo, hi-lo)
							}
							at += s.to[2]
						}
					}
				}
			}
		}
	}
}

// unfold writes an image as columns, so that the convolution is a product of matrices.
func unfold[T Number](s *stage, x, col []T) {
	clear(col)
	s.each(func(at, from, n int) { copy(col[at:at+n], x[from:from+n]) })
}

// fold adds columns to the image that they came from.
func fold[T Number](s *stage, col, x []T) {
	s.each(func(at, from, n int) {
		for i := range n {
			x[from+i] += col[at+i]
		}
	})
}

func pool[T Number](s *stage, rows int, x, y []T, pick []int32) {
	k := 0
	for rc := range rows * s.out {
		base := rc * s.from.n()
		for z := range s.to[0] {
			for yy := range s.to[1] {
				for xx := range s.to[2] {
					best := -1
					for dz := range s.kernel[0] {
						for dy := range s.kernel[1] {
							for dx := range s.kernel[2] {
								at := base + ((z*s.kernel[0]+dz)*s.from[1]+yy*s.kernel[1]+dy)*s.from[2] + xx*s.kernel[2] + dx
								if best < 0 || x[at] > x[best] || x[at] != x[at] {
									best = at
								}
							}
						}
					}
					y[k], pick[k] = x[best], int32(best)
					k++
				}
			}
		}
	}
}
