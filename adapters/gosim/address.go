package gosim

import (
	"fmt"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
)

// An address is the call stack from the model down to the statement: for each function its name and the
// line counted from the function's first, so that it survives edits elsewhere in the file and is the same
// in every process and build. Describing a stack takes microseconds, so descriptions are kept by the
// stack's return addresses.

const (
	maxDepth = 256
	maxKnown = 1 << 14 // stacks without end: recursion that branches at random
)

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
func (c *callers) begin() { c.base = framePCs(&c.pcs[0], maxDepth) }

// address is that of the statement at which the model called into this package. Recursion deeper than
// maxDepth/2 is told apart by the innermost calls only.
func (c *callers) address() string {
	n := framePCs(&c.pcs[0], maxDepth)
	if n < maxDepth {
		n = max(1, n-c.base)
	}
	if n <= len(shallowKey{}) {
		return lookUp(&c.shallow, padded[shallowKey](c.pcs[:n]))
	}
	return lookUp(&c.deep, padded[deepKey](c.pcs[:n]))
}

func padded[K shallowKey | deepKey](pcs []uintptr) (k K) {
	for i, pc := range pcs {
		k[i] = pc
	}
	return k
}

func lookUp[K comparable](m *map[K]string, k K) string {
	a, ok := (*m)[k]
	if !ok {
		if *m == nil || len(*m) >= maxKnown {
			*m = map[K]string{}
		}
		a = describe()
		(*m)[k] = a
	}
	return a
}

// describe writes the present call stack, outermost function first, from the model to the call into this
// package.
func describe() string {
	pcs := make([]uintptr, 4*maxDepth)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var parts []string
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function == ownPackage+".call" {
			break
		}
		if len(parts) == 0 && strings.HasPrefix(f.Function, ownPackage+".") {
			continue
		}
		if len(parts) == maxDepth/2 {
			parts = append(parts, "…")
			break
		}
		line := f.Line // of an inlined function the runtime does not tell where it begins
		if fn := f.Func; fn != nil {
			_, first := fn.FileLine(fn.Entry())
			line -= first
		}
		parts = append(parts, fmt.Sprintf("%s+%d", path.Base(f.Function), line))
	}
	slices.Reverse(parts)
	return "[" + strings.Join(parts, "; ") + "]"
}

var ownPackage = reflect.TypeFor[Run]().PkgPath()
