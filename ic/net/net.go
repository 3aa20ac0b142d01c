// Package net holds the layers of inference compilation's networks as plain Go structs: forward and backward
// passes over slices, with weights and gradients in Params and work space from an Arena. Layers are generic
// over the number type: float32 for speed, float64 for checking gradients.
//
// A layer keeps nothing between calls but its weights: what the backward pass needs is handed back by the
// forward pass. Gradients are added to, so that a minibatch may be made of several passes.
package net

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

// mul is c = alpha·a·b + beta·c, where a and b may be transposed. The sizes must fit.
func mul[T Number](transA, transB bool, alpha T, a, b matrix[T], beta T, c matrix[T]) {
	if c.rows == 0 || c.cols == 0 {
		return
	}
	k := a.cols
	if transA {
		k = a.rows
	}
	ta, tb := transpose(transA), transpose(transB)
	switch x := any(a.data).(type) {
	case []float32:
		sgemm(ta, tb, c.rows, c.cols, k, float32(alpha), x, a.cols, any(b.data).([]float32), b.cols, float32(beta), any(c.data).([]float32), c.cols)
	case []float64:
		gonum.Implementation{}.Dgemm(ta, tb, c.rows, c.cols, k, float64(alpha), x, a.cols, any(b.data).([]float64), b.cols, float64(beta), any(c.data).([]float64), c.cols)
	}
}

func transpose(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}
