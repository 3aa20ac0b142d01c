package nn

// #cgo CFLAGS: -O3 -Wno-psabi
// #include "kernels.h"
import "C"

import (
	"math"
	"unsafe"
)

func ptr(x []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(x))) }

// gateGrain is how many numbers of a state are worth a thread.
const gateGrain = 32768

// tail is x from a place on, nil if x is.
func tail(x []float32, from int) []float32 {
	if x == nil {
		return nil
	}
	return x[from:]
}

// gateForward is the elementwise part of a step of an LSTM for rows of gates; before may be nil.
func gateForward[T Number](rows, h int, gates, before, c, tanhC, out []T) {
	if g, ok := any(gates).([]float32); ok {
		b, c, t, o := any(before).([]float32), any(c).([]float32), any(tanhC).([]float32), any(out).([]float32)
		if rows*h < 2*gateGrain {
			C.ppx_lstm_forward(C.int(rows), C.int(h), ptr(g), ptr(b), ptr(c), ptr(t), ptr(o))
			return
		}
		Parallel(rows, 1+gateGrain/h, func(from, to int) {
			C.ppx_lstm_forward(C.int(to-from), C.int(h), ptr(g[from*4*h:]), ptr(tail(b, from*h)), ptr(c[from*h:]), ptr(t[from*h:]), ptr(o[from*h:]))
		})
		return
	}
	for i := range rows {
		row := gates[i*4*h : (i+1)*4*h]
		o := i * h
		for k := range h {
			in, forget := Sigmoid(row[k]), Sigmoid(row[h+k])
			cell, gate := tanh(row[2*h+k]), Sigmoid(row[3*h+k])
			row[k], row[h+k], row[2*h+k], row[3*h+k] = in, forget, cell, gate
			s := in * cell
			if before != nil {
				s += forget * before[o+k]
			}
			th := tanh(s)
			c[o+k], tanhC[o+k], out[o+k] = s, th, gate*th
		}
	}
}

// gateBackward is the gradient of gateForward: dc comes in as that of c and leaves as that of before.
func gateBackward[T Number](rows, h int, gates, before, tanhC, dOut, dh, dc, dGates []T) {
	if g, ok := any(gates).([]float32); ok {
		b, t, dO := any(before).([]float32), any(tanhC).([]float32), any(dOut).([]float32)
		dh, dc, dG := any(dh).([]float32), any(dc).([]float32), any(dGates).([]float32)
		if rows*h < 2*gateGrain {
			C.ppx_lstm_backward(C.int(rows), C.int(h), ptr(g), ptr(b), ptr(t), ptr(dO), ptr(dh), ptr(dc), ptr(dG))
			return
		}
		Parallel(rows, 1+gateGrain/h, func(from, to int) {
			C.ppx_lstm_backward(C.int(to-from), C.int(h), ptr(g[from*4*h:]), ptr(tail(b, from*h)), ptr(t[from*h:]), ptr(dO[from*h:]), ptr(dh[from*h:]),
				ptr(dc[from*h:]), ptr(dG[from*4*h:]))
		})
		return
	}
	for i := range rows {
		row, d := gates[i*4*h:(i+1)*4*h], dGates[i*4*h:(i+1)*4*h]
		o := i * h
		for k := range h {
			in, forget, cell, gate := row[k], row[h+k], row[2*h+k], row[3*h+k]
			th := tanhC[o+k]
			dH := dOut[o+k] + dh[o+k]
			dC := dc[o+k] + dH*gate*(1-th*th)
			var c T
			if before != nil {
				c = before[o+k]
			}
			d[k] = dC * cell * in * (1 - in)
			d[h+k] = dC * c * forget * (1 - forget)
			d[2*h+k] = dC * in * (1 - cell*cell)
			d[3*h+k] = dH * th * gate * (1 - gate)
			dc[o+k] = dC * forget
		}
	}
}

// ReLU replaces negative numbers of x by 0, in place, and returns x.
func ReLU[T Number](x []T) []T {
	if s, ok := any(x).([]float32); ok {
		Parallel(len(s), 1<<15, func(from, to int) { C.ppx_relu(C.long(to-from), ptr(s[from:])) })
		return x
	}
	for i, v := range x {
		x[i] = max(v, 0)
	}
	return x
}

// ReLUBackward is the gradient of ReLU's argument, in dy's place, given ReLU's result.
func ReLUBackward[T Number](y, dy []T) []T {
	if s, ok := any(y).([]float32); ok {
		d := any(dy).([]float32)
		Parallel(len(s), 1<<15, func(from, to int) { C.ppx_relu_backward(C.long(to-from), ptr(s[from:]), ptr(d[from:])) })
		return dy
	}
	for i, v := range y {
		if v <= 0 {
			dy[i] = 0
		}
	}
	return dy
}

// Add adds x to sum.
func Add[T Number](sum, x []T) {
	if s, ok := any(sum).([]float32); ok {
		C.ppx_add(C.long(len(x)), ptr(s), ptr(any(x).([]float32)))
		return
	}
	for i, v := range x {
		sum[i] += v
	}
}

// addRows adds the rows of x to sum.
func addRows[T Number](sum, x []T, rows int) {
	n := len(sum)
	for r := range rows {
		Add(sum, x[r*n:(r+1)*n])
	}
}

func sumSquares[T Number](x []T) float64 {
	if s, ok := any(x).([]float32); ok {
		return float64(C.ppx_sum_squares(C.long(len(s)), ptr(s)))
	}
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// adam is the update of one Param, of gradients times scale, which are set to zero.
func adam[T Number](value, grad, first, second []T, rate, correction, b1, b2, eps, keep, scale float64) {
	if v, ok := any(value).([]float32); ok {
		g, m, s := any(grad).([]float32), any(first).([]float32), any(second).([]float32)
		Parallel(len(v), 1<<15, func(from, to int) {
			C.ppx_adam(C.long(to-from), ptr(v[from:]), ptr(g[from:]), ptr(m[from:]), ptr(s[from:]), C.float(rate), C.float(correction),
				C.float(b1), C.float(b2), C.float(eps), C.float(keep), C.float(scale))
		})
		return
	}
	for i, g := range grad {
		g := float64(g) * scale
		m := b1*float64(first[i]) + (1-b1)*g
		v := b2*float64(second[i]) + (1-b2)*g*g
		first[i], second[i] = T(m), T(v)
		value[i] = T(keep*float64(value[i]) - rate*m/(math.Sqrt(v)*correction+eps))
		grad[i] = 0
	}
}

// Step is the elementwise part of one step for inference: the sums of the gates are replaced, and the state h, c
// of n numbers each.
func Step(gates, h, c []float32) { C.ppx_lstm_step(C.int(len(h)), ptr(gates), ptr(h), ptr(c)) }

// Dense is a matrix for inference. A row's result has the same bits in a batch of any size, which a BLAS does
// not promise: what is drawn must not depend on which runs happen to wait together.
type Dense struct {
	In, Out int
	packed  []float32 // panels of 16 outputs, In × 16 each
}

// NewDense packs columns from..from+in of a matrix of out rows that are stride long.
func NewDense(w []float32, out, stride, from, in int) *Dense {
	d := &Dense{In: in, Out: out, packed: make([]float32, (out+15)/16*16*in)}
	for o := range out {
		panel := d.packed[o/16*in*16:]
		for k := range in {
			panel[k*16+o%16] = w[o*stride+from+k]
		}
	}
	return d
}

// Add adds x·Wᵀ to out, for rows of x.
func (d *Dense) Add(rows int, x, out []float32) {
	if rows > 0 && d.In > 0 {
		_, _ = x[rows*d.In-1], out[rows*d.Out-1]
		C.ppx_dense(C.int(rows), C.int(d.In), C.int(d.Out), ptr(x), ptr(d.packed), ptr(out))
	}
}
