// The gum simulator as a program: it serves an engine, or runs once by itself.
package main

import (
	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
)

func main() { gosim.Main(gum.Name, gum.Model) }
