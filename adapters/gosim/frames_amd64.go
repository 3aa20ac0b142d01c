package gosim

// framePCs writes the return addresses of the calling function and of those above it, innermost first,
// to pcs, at most max, and returns how many: a few nanoseconds where runtime.Callers takes a microsecond.
//
//go:noescape
func framePCs(pcs *uintptr, max int) int
