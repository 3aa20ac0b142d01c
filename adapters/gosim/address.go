package gosim

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// An address is the call stack from the model down to the statement: for each function its name and the
// line counted from the function's first, so that it survives edits elsewhere in the file and is the same
// in every process and build. Computing it takes microseconds, so it is kept by the stack's return
// addresses.

const maxDepth = 64

// callers finds addresses for the runs of one goroutine.
type callers struct {
	base    int // depth of the stack at which the model was called
	pcs     [maxDepth]uintptr
	shallow map[shallowKey]string
	deep    map[deepKey]string
}

// Most stacks are shallow; short keys hash faster.
type (
	shallowKey [8]uintptr
	deepKey    [maxDepth]uintptr
)

// begin notes how deep the stack is where the model is called.
func (c *callers) begin() {
	c.base = runtime.Callers(2, c.pcs[:]) // Wrap's function and what called it
}

// address is that of the statement skip frames up.
func (c *callers) address(skip int) string {
	n := runtime.Callers(skip+1, c.pcs[:]) - c.base
	if n < 1 {
		n = 1 // deeper than maxDepth, or called from another goroutine
	}
	if n <= len(shallowKey{}) {
		return lookUp(&c.shallow, zeroPadded[shallowKey](c.pcs[:n]), c.pcs[:n])
	}
	return lookUp(&c.deep, zeroPadded[deepKey](c.pcs[:n]), c.pcs[:n])
}

func zeroPadded[K shallowKey | deepKey](pcs []uintptr) (k K) {
	for i, pc := range pcs {
		k[i] = pc
	}
	return k
}

func lookUp[K comparable](m *map[K]string, k K, pcs []uintptr) string {
	a, ok := (*m)[k]
	if !ok {
		if *m == nil {
			*m = map[K]string{}
		}
		a = describe(pcs)
		(*m)[k] = a
	}
	return a
}

func describe(pcs []uintptr) string {
	var parts []string
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		name := filepath.Base(f.Function)
		if name == "" || name == "." {
			name = "?"
		}
		line := f.Line // of an inlined function the runtime does not tell where it begins
		if fn := f.Func; fn != nil {
			_, first := fn.FileLine(fn.Entry())
			line -= first
		}
		parts = append(parts, fmt.Sprintf("%s+%d", name, line))
		if !more {
			break
		}
	}
	// Outermost first.
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return "[" + strings.Join(parts, "; ") + "]"
}
