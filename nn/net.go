// Package nn holds the layers of neural networks as plain Go structs: forward and backward
// passes over slices, with weights and gradients in Params and work space from an Arena. Layers are generic
// over the number type: float32 for speed, float64 for checking gradients.
//
// A layer keeps nothing between calls but its weights: what the backward pass needs is handed back by the
// forward pass. Gradients are added to, so that a minibatch may be made of several passes.
package nn

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Number is the type of weights and activations.
type Number interface{ float32 | float64 }

// Param is weights and their gradient.
type Param[T Number] struct {
	Name  string
	Shape []int
	Value []T
	Grad  []T

	touched bool // Grad may hold something
}

// Touch says that a gradient has been added: one that has none is left alone by the optimiser.
func (p *Param[T]) Touch() { p.touched = true }

// NewParam returns zeros.
func NewParam[T Number](name string, shape ...int) *Param[T] {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return &Param[T]{Name: name, Shape: shape, Value: make([]T, n), Grad: make([]T, n)}
}

// String shows name and shape.
func (p *Param[T]) String() string { return fmt.Sprint(p.Name, p.Shape) }

// Arena is work space that one pass takes in pieces and gives back as a whole. The zero value is ready. Not for
// concurrent use.
type Arena[T Number] struct {
	blocks [][]T
	block  int // in use
	used   int // of it
}

const arenaBlock = 1 << 18 // numbers

// Take returns n numbers that hold anything.
func (a *Arena[T]) Take(n int) []T {
	for a.block < len(a.blocks) && a.used+n > len(a.blocks[a.block]) {
		a.block++
		a.used = 0
	}
	if a.block == len(a.blocks) {
		a.blocks = append(a.blocks, make([]T, max(n, arenaBlock)))
	}
	s := a.blocks[a.block][a.used : a.used+n : a.used+n]
	a.used += n
	return s
}

// Zeros returns n zeros.
func (a *Arena[T]) Zeros(n int) []T {
	s := a.Take(n)
	clear(s)
	return s
}

// Reset gives back everything that was taken.
func (a *Arena[T]) Reset() { a.block, a.used = 0, 0 }

// matrix is rows × cols numbers, row by row.
type matrix[T Number] struct {
	data       []T
	rows, cols int
}

// mul is c = alpha·a·b + beta·c, where a and b may be transposed. The sizes must fit. Large products are made in parts of c's rows
// or columns, one for each thread: the library's own threads wait for each other by spinning, and starve the simulators.
func mul[T Number](transA, transB bool, alpha T, a, b matrix[T], beta T, c matrix[T]) {
	if c.rows == 0 || c.cols == 0 {
		return
	}
	k := inner(transA, a.rows, a.cols)
	if k == 0 {
		for i := range c.data[:c.rows*c.cols] {
			c.data[i] *= beta
		}
		return
	}
	const grain = 1 << 20 // multiplications worth a thread
	parts := min(Threads(), c.rows*c.cols*k/grain)
	if parts <= 1 {
		gemm(transA, transB, c.rows, c.cols, k, alpha, a.data, a.cols, b.data, b.cols, beta, c.data, c.cols)
		return
	}
	if c.rows >= c.cols {
		Parallel(parts, 1, func(p, _ int) {
			from, to := c.rows*p/parts, c.rows*(p+1)/parts
			at := from * a.cols
			if transA {
				at = from
			}
			gemm(transA, transB, to-from, c.cols, k, alpha, a.data[at:], a.cols, b.data, b.cols, beta, c.data[from*c.cols:], c.cols)
		})
		return
	}
	Parallel(parts, 1, func(p, _ int) {
		from, to := c.cols*p/parts, c.cols*(p+1)/parts
		at := from
		if transB {
			at = from * b.cols
		}
		gemm(transA, transB, c.rows, to-from, k, alpha, a.data, a.cols, b.data[at:], b.cols, beta, c.data[from:], c.cols)
	})
}

// inner is the dimension that a product sums over. (A variable that is set twice would be on the heap: closures share it.)
func inner(trans bool, rows, cols int) int {
	if trans {
		return rows
	}
	return cols
}

func gemm[T Number](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	ta, tb := transpose(transA), transpose(transB)
	switch x := any(a).(type) {
	case []float32:
		sgemm(ta, tb, m, n, k, float32(alpha), x, lda, any(b).([]float32), ldb, float32(beta), any(c).([]float32), ldc)
	case []float64:
		gonum.Implementation{}.Dgemm(ta, tb, m, n, k, float64(alpha), x, lda, any(b).([]float64), ldb, float64(beta), any(c).([]float64), ldc)
	}
}

func transpose(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}
