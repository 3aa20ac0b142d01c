// The marsaglia simulator as a program: it serves an engine, or runs once by itself. MODEL=marked marks its rejection loop.
package main

import (
	"os"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/simulators/marsaglia"
)

func main() {
	model := marsaglia.Model
	if os.Getenv("MODEL") == "marked" {
		model = marsaglia.Marked
	}
	gosim.Main(marsaglia.Name, model)
}
