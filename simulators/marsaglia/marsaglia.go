// Package marsaglia is the Gaussian with unknown mean (package gum) whose μ is made by Marsaglia's polar
// method: a rejection loop, so that traces differ in length. The posterior of μ is that of gum.
package marsaglia

import (
	"math"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
)

// Name is the model's name in all languages.
const Name = "marsaglia"

// Model is the simulator; its result is μ, which is also tagged.
func Model(r *gosim.Run) gosim.Tensor {
	mu := polar(r, 1, math.Sqrt(5))
	r.Tag("mu", mu)
	likelihood := gosim.Normal(mu, math.Sqrt(2))
	r.Observe("obs0", likelihood)
	r.Observe("obs1", likelihood)
	return gosim.Scalar(mu)
}

// polar draws from Normal(mean, sd) (G. Marsaglia and T. A. Bray, "A convenient method for generating
// normal variables", 1964).
func polar(r *gosim.Run, mean, sd float64) float64 {
	for {
		x := r.Sample("", gosim.Uniform(-1, 1))
		y := r.Sample("", gosim.Uniform(-1, 1))
		if s := x*x + y*y; s < 1 && s > 0 {
			return mean + sd*x*math.Sqrt(-2*math.Log(s)/s)
		}
	}
}

// Marked is the same with a loop that is marked, for networks that learn its accepted passes alone.
func Marked(r *gosim.Run) gosim.Tensor {
	mu := polarMarked(r, 1, math.Sqrt(5))
	r.Tag("mu", mu)
	likelihood := gosim.Normal(mu, math.Sqrt(2))
	r.Observe("obs0", likelihood)
	r.Observe("obs1", likelihood)
	return gosim.Scalar(mu)
}

func polarMarked(r *gosim.Run, mean, sd float64) float64 {
	for {
		r.RejectionStart()
		x := r.Sample("", gosim.Uniform(-1, 1))
		y := r.Sample("", gosim.Uniform(-1, 1))
		if s := x*x + y*y; s < 1 && s > 0 {
			r.RejectionEnd()
			return mean + sd*x*math.Sqrt(-2*math.Log(s)/s)
		}
	}
}
