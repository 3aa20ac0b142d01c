//go:build !gonumblas

package net

// #cgo LDFLAGS: -ldnnl -lgomp
// #include "cnn_onednn.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// fastCNN is a stack by oneDNN, which is made for each number of rows that is met.
type fastCNN struct {
	byRows map[int]*fastRun
	uses   int
}

// fastRun holds what oneDNN keeps between the two passes: one at a time for each number of rows.
type fastRun struct {
	c     *C.ppx_cnn
	grads [2][][]float32
	used  int

	threads int
}

// maxKept is for how many numbers of rows what was made is kept.
const maxKept = 4

func (f *fastCNN) get(c *CNN[float32], rows int) *fastRun {
	f.uses++
	if r := f.byRows[rows]; r != nil && r.threads == Threads() {
		r.used = f.uses
		return r
	}
	var spec []C.int
	for _, s := range c.stages {
		n := s.out
		if s.conv < 0 {
			n = 0
		}
		spec = append(spec, C.int(n))
		for _, e := range []extent{s.from, s.to, s.kernel, s.padding} {
			spec = append(spec, C.int(e[0]), C.int(e[1]), C.int(e[2]))
		}
	}
	r := &fastRun{used: f.uses, threads: Threads()}
	if status := C.ppx_cnn_new(&r.c, C.int(r.threads), C.int(rows), C.int(len(c.stages)), &spec[0]); status != 0 {
		panic(fmt.Sprintf("oneDNN cannot make a stack of convolutions: status %d", status))
	}
	runtime.AddCleanup(r, func(c *C.ppx_cnn) { C.ppx_cnn_free(c) }, r.c)
	for i := range c.weights {
		r.grads[0] = append(r.grads[0], make([]float32, len(c.weights[i].Value)))
		r.grads[1] = append(r.grads[1], make([]float32, len(c.biases[i].Value)))
	}
	if len(f.byRows) >= maxKept { // forget the one that was not used for longest
		oldest := 0
		for n, r := range f.byRows {
			if oldest == 0 || r.used < f.byRows[oldest].used {
				oldest = n
			}
		}
		delete(f.byRows, oldest)
	}
	if f.byRows == nil {
		f.byRows = map[int]*fastRun{}
	}
	f.byRows[rows] = r
	return r
}

// pointers is an array of C of the addresses of slices.
func pointers(pin *runtime.Pinner, slices [][]float32) **C.float {
	p := make([]*C.float, max(1, len(slices)))
	for i, s := range slices {
		p[i] = ptr(s)
		pin.Pin(p[i])
	}
	return (**C.float)(unsafe.Pointer(&p[0]))
}

func values(params []*Param[float32]) (out [][]float32) {
	for _, p := range params {
		out = append(out, p.Value)
	}
	return out
}

func (f *fastCNN) forward(c *CNN[float32], x []float32, rows int, y []float32) *fastRun {
	r := f.get(c, rows)
	var pin runtime.Pinner
	defer pin.Unpin()
	if status := C.ppx_cnn_forward(r.c, C.int(r.threads), ptr(x), pointers(&pin, values(c.weights)), pointers(&pin, values(c.biases)), ptr(y)); status != 0 {
		panic(fmt.Sprintf("oneDNN failed: status %d", status))
	}
	return r
}

func (f *fastCNN) backward(c *CNN[float32], r *fastRun, x, dy []float32) {
	var pin runtime.Pinner
	defer pin.Unpin()
	if status := C.ppx_cnn_backward(r.c, C.int(r.threads), ptr(x), pointers(&pin, values(c.weights)), ptr(dy), pointers(&pin, r.grads[0]), pointers(&pin, r.grads[1])); status != 0 {
		panic(fmt.Sprintf("oneDNN failed: status %d", status))
	}
	for i := range c.weights {
		Add(c.weights[i].Grad, r.grads[0][i])
		Add(c.biases[i].Grad, r.grads[1][i])
	}
}
