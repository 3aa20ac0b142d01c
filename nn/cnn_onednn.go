//go:build !gonumblas

package nn

// #cgo LDFLAGS: -ldnnl -lgomp
// #include "cnn_onednn.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// fastCNN is a stack by oneDNN. The images of a batch are shared out among threads; for each thread and number of images
// there is an object of oneDNN's, which works on one thread.
type fastCNN struct {
	objects map[objectKey]*fastObject
	uses    int
}

type objectKey struct{ part, rows int }

// fastObject holds what oneDNN keeps between the two passes.
type fastObject struct {
	c     *C.ppx_cnn
	grads [2][][]float32 // of weights and biases
	used  int
}

// fastRun is the objects of a forward pass.
type fastRun struct {
	parts []*fastObject
	rows  []int // where each begins, and the end
}

// maxKept is how many objects are kept.
const maxKept = 16

func (f *fastCNN) get(c *CNN[float32], k objectKey) *fastObject {
	f.uses++
	if r := f.objects[k]; r != nil {
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
	r := &fastObject{used: f.uses}
	succeed(C.ppx_cnn_new(&r.c, 1, C.int(k.rows), C.int(len(c.stages)), &spec[0]))
	runtime.AddCleanup(r, func(c *C.ppx_cnn) { C.ppx_cnn_free(c) }, r.c)
	for i := range c.weights {
		r.grads[0] = append(r.grads[0], make([]float32, len(c.weights[i].Value)))
		r.grads[1] = append(r.grads[1], make([]float32, len(c.biases[i].Value)))
	}
	if len(f.objects) >= maxKept { // forget the one that was not used for longest
		var oldest objectKey
		for k, r := range f.objects {
			if x := f.objects[oldest]; x == nil || r.used < x.used {
				oldest = k
			}
		}
		delete(f.objects, oldest)
	}
	if f.objects == nil {
		f.objects = map[objectKey]*fastObject{}
	}
	f.objects[k] = r
	return r
}

func succeed(status C.int) {
	if status != 0 {
		panic(fmt.Sprintf("oneDNN failed: status %d", status))
	}
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
	n := min(Threads(), rows)
	run := &fastRun{rows: []int{0}}
	for p := range n {
		to := rows * (p + 1) / n
		run.parts = append(run.parts, f.get(c, objectKey{p, to - run.rows[p]}))
		run.rows = append(run.rows, to)
	}
	in, out := len(x)/rows, len(y)/rows
	Parallel(n, 1, func(p, _ int) {
		var pin runtime.Pinner
		defer pin.Unpin()
		succeed(C.ppx_cnn_forward(run.parts[p].c, 1, ptr(x[run.rows[p]*in:]), pointers(&pin, values(c.weights)), pointers(&pin, values(c.biases)), ptr(y[run.rows[p]*out:])))
	})
	return run
}

func (f *fastCNN) backward(c *CNN[float32], run *fastRun, x, dy []float32) {
	n := len(run.parts)
	in, out := len(x)/run.rows[n], len(dy)/run.rows[n]
	Parallel(n, 1, func(p, _ int) {
		var pin runtime.Pinner
		defer pin.Unpin()
		r := run.parts[p]
		succeed(C.ppx_cnn_backward(r.c, 1, ptr(x[run.rows[p]*in:]), pointers(&pin, values(c.weights)), ptr(dy[run.rows[p]*out:]), pointers(&pin, r.grads[0]), pointers(&pin, r.grads[1])))
	})
	for _, r := range run.parts {
		for i := range c.weights {
			Add(c.weights[i].Grad, r.grads[0][i])
			Add(c.biases[i].Grad, r.grads[1][i])
		}
	}
}
