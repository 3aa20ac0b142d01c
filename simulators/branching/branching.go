// Package branching is a model whose number of random choices depends on a random choice:
//
//	r ~ Poisson(4); above 4 the rate is 6, else 1 + fib(3r) + Poisson(4); obs ~ Poisson(rate)
package branching

import (
	"math"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
)

// Name is the model's name in all languages.
const Name = "branching"

// Model is the simulator; its result is r.
func Model(r *gosim.Run) gosim.Tensor {
	count := r.Sample("r", gosim.Poisson(4))
	rate := 6.0
	if count <= 4 {
		rate = 1 + fibonacci(3*int(count)) + r.Sample("extra", gosim.Poisson(4))
	}
	r.Observe("obs", gosim.Poisson(rate))
	return gosim.Scalar(count)
}

// fibonacci has fib(0) = fib(1) = fib(2) = 1 and then the usual sum.
func fibonacci(n int) float64 {
	a, b := 1.0, 1.0
	for i := 2; i < n; i++ {
		a, b = b, a+b
	}
	return b
}

// Posterior is the exact probability of r = 0, …, 39 given obs, by enumeration, and the log evidence.
func Posterior(obs float64) (p [40]float64, logEvidence float64) {
	poisson := func(k, rate float64) float64 {
		lg, _ := math.Lgamma(k + 1)
		return math.Exp(k*math.Log(rate) - rate - lg)
	}
	total := 0.0
	for r := range p {
		prior := poisson(float64(r), 4)
		if r > 4 {
			p[r] = prior * poisson(obs, 6)
		} else {
			for extra := 0.0; extra < 200; extra++ {
				p[r] += prior * poisson(extra, 4) * poisson(obs, 1+fibonacci(3*r)+extra)
			}
		}
		total += p[r]
	}
	for r := range p {
		p[r] /= total
	}
	return p, math.Log(total)
}
