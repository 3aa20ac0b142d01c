// A Gaussian of unknown mean, as one writes it with math/rand and math/rand/v2.
package main

import (
	"fmt"
	"math"
	"math/rand"
	v2 "math/rand/v2"
)

func main() {
	mu := 1 + math.Sqrt(5)*rand.New(rand.NewSource(1)).NormFloat64()
	y := mu + math.Sqrt2*v2.NormFloat64()
	fmt.Println("mu", mu)
	fmt.Println("y", y, v2.IntN(6), rand.Float64(), v2.ExpFloat64())
}
