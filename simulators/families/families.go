// Package families has every distribution beyond the eleven of PPX 1.0, as a prior and as a likelihood, one independent of the other:
//
//	MODEL=priors       z ~ family; y ~ Normal(z, noise)
//	MODEL=likelihoods  u ~ Uniform(0.5, 2); x ~ family(u)
//	MODEL=unnamed      z ~ family, without a name, which an engine that speaks plain PPX 1.0 can have too; a tag has it
package families

import (
	"math"
	"os"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
)

// Name is the model's name in all languages.
const Name = "families"

// Case is a family.
type Case struct {
	Name     string
	Prior    gosim.Dist
	Y, Noise float64 // what is observed of a draw
	Given    func(u float64) gosim.Dist
	X        float64 // what is observed of a draw from that
}

// Cases are the families.
var Cases = []Case{
	{"truncated_normal", gosim.TruncatedNormal(0, 1, -1, 2), 0.8, 2, func(u float64) gosim.Dist { return gosim.TruncatedNormal(u, 1, -1, 2) }, 1.1},
	{"half_normal", gosim.HalfNormal(2), 1, 2, func(u float64) gosim.Dist { return gosim.HalfNormal(u) }, 0.9},
	{"student_t", gosim.StudentT(4, 1, 2), 2, 6, func(u float64) gosim.Dist { return gosim.StudentT(4, u, 1) }, 1.5},
	{"cauchy", gosim.Cauchy(0, 0.2), 2, 8, func(u float64) gosim.Dist { return gosim.Cauchy(u, 1) }, 0.7},
	{"laplace", gosim.Laplace(0, 1), 1, 3, func(u float64) gosim.Dist { return gosim.Laplace(u, 1) }, 1.2},
	{"logistic", gosim.Logistic(1, 2), 3, 7, func(u float64) gosim.Dist { return gosim.Logistic(u, 1) }, 1.4},
	{"pareto", gosim.Pareto(1, 3), 2, 2, func(u float64) gosim.Dist { return gosim.Pareto(0.4, u) }, 0.9},
	{"inverse_gamma", gosim.InverseGamma(3, 2), 1.5, 2, func(u float64) gosim.Dist { return gosim.InverseGamma(2, u) }, 1.1},
	{"von_mises", gosim.VonMises(1, 2), 0.5, 1.5, func(u float64) gosim.Dist { return gosim.VonMises(u, 1) }, 1.3},
	{"log_uniform", gosim.LogUniform(1, 10), 4, 5, func(u float64) gosim.Dist { return gosim.LogUniform(u/10, 4) }, 1},
	{"negative_binomial", gosim.NegativeBinomial2(4, 2), 6, 7, func(u float64) gosim.Dist { return gosim.NegativeBinomial2(3*u, 2) }, 4},
	{"geometric", gosim.Geometric(0.3), 3, 5, func(u float64) gosim.Dist { return gosim.Geometric(u / 4) }, 2},
	{"discrete_uniform", gosim.DiscreteUniform(-5, 5), 2, 6, func(u float64) gosim.Dist { return gosim.DiscreteUniform(-3, math.Floor(3*u)+2) }, 2},
	{"zero_inflated_poisson", gosim.ZeroInflatedPoisson(0.2, 4), 3, 5, func(u float64) gosim.Dist { return gosim.ZeroInflatedPoisson(0.3, 2*u) }, 2},
	{"zero_inflated_negative_binomial", gosim.ZeroInflatedNegativeBinomial2(0.2, 4, 3), 3, 6, func(u float64) gosim.Dist { return gosim.ZeroInflatedNegativeBinomial2(0.3, 3*u, 2) }, 3},
	{"beta_binomial", gosim.BetaBinomial(2, 3, 20), 9, 8, func(u float64) gosim.Dist { return gosim.BetaBinomial(u, 1, 9) }, 5},
}

// Model is the simulator; its result is the number of families.
func Model(r *gosim.Run) gosim.Tensor {
	switch os.Getenv("MODEL") {
	case "likelihoods":
		return Likelihoods(r)
	case "unnamed":
		return Unnamed(r)
	}
	return Priors(r)
}

// Priors is the model with the families as priors.
func Priors(r *gosim.Run) gosim.Tensor { return PriorsOf(Cases)(r) }

// PriorsOf is that of some families.
func PriorsOf(cases []Case) gosim.Model {
	return func(r *gosim.Run) gosim.Tensor {
		for _, c := range cases {
			z := r.Sample(c.Name, c.Prior)
			r.Observe("y_"+c.Name, gosim.Normal(z, c.Noise))
		}
		return gosim.Scalar(float64(len(cases)))
	}
}

// Unnamed is the model without names and data.
func Unnamed(r *gosim.Run) gosim.Tensor {
	for _, c := range Cases {
		r.Tag(c.Name, r.SampleAt(gosim.Site{Address: c.Name}, "", c.Prior))
	}
	return gosim.Scalar(float64(len(Cases)))
}

// Likelihoods is the model with the families as likelihoods.
func Likelihoods(r *gosim.Run) gosim.Tensor {
	for _, c := range Cases {
		u := r.Sample(c.Name, gosim.Uniform(0.5, 2))
		r.Observe("x_"+c.Name, c.Given(u))
	}
	return gosim.Scalar(float64(len(Cases)))
}
