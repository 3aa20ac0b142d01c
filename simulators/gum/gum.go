// Package gum is a Gaussian with unknown mean, the smallest model with an exact posterior:
//
//	μ ~ Normal(1, variance 5);  obs0, obs1 ~ Normal(μ, variance 2)
package gum

import (
	"math"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
)

// Name is the model's name in all languages.
const Name = "gum"

const (
	priorMean, priorVar = 1.0, 5.0
	noiseVar            = 2.0
)

// Model is the simulator; its result is μ.
func Model(r *gosim.Run) gosim.Tensor {
	mu := r.Sample("mu", gosim.Normal(priorMean, math.Sqrt(priorVar)))
	likelihood := gosim.Normal(mu, math.Sqrt(noiseVar))
	r.Observe("obs0", likelihood)
	r.Observe("obs1", likelihood)
	return gosim.Scalar(mu)
}

// Posterior is the exact posterior's mean and standard deviation of μ, and the log evidence.
func Posterior(obs0, obs1 float64) (mean, sd, logEvidence float64) {
	precision := 1/priorVar + 2/noiseVar
	mean = (priorMean/priorVar + (obs0+obs1)/noiseVar) / precision
	sd = math.Sqrt(1 / precision)
	// log p(y) = log p(y|μ) + log p(μ) − log p(μ|y) at any μ, here at the posterior mean.
	normal := func(x, m, v float64) float64 { return -(x-m)*(x-m)/2/v - math.Log(2*math.Pi*v)/2 }
	logEvidence = normal(obs0, mean, noiseVar) + normal(obs1, mean, noiseVar) +
		normal(mean, priorMean, priorVar) - normal(mean, mean, 1/precision)
	return mean, sd, logEvidence
}
