// The families simulator as a program: it serves an engine, or runs once by itself.
package main

import (
	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/simulators/families"
)

func main() { gosim.Main(families.Name, families.Model) }
