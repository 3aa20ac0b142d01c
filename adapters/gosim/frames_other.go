//go:build !amd64

package gosim

import (
	"runtime"
	"unsafe"
)

// framePCs writes the return addresses of the calling function and of those above it, innermost first,
// to pcs, at most max, and returns how many.
func framePCs(pcs *uintptr, max int) int { return runtime.Callers(3, unsafe.Slice(pcs, max)) }
