// Package adapters has the sources of the hooks that are put into programs which nobody edits: they are built where they are needed.
package adapters

import "embed"

// Hijack is the library that is preloaded, and the header that C++ is compiled with.
//
//go:embed hijack/*.cpp hijack/*.hpp hijack/ppxlink/link.go
var Hijack embed.FS

// Random is what draws.
//
//go:embed cpp/include/ppx/random.hpp
var Random embed.FS

// Python is what runs Python scripts.
//
//go:embed python/src/ppxsim/hijack.py
var Python embed.FS
