// Package families has every distribution beyond the eleven of PPX 1.0, as a prior and as a likelihood, one independent of the other:
//
//	MODEL=priors       z ~ family; y ~ Normal(z, noise)
//	MODEL=likelihoods  u ~ Uniform(0.5, 2); x ~ family(u)
//	MODEL=unnamed      z ~ family, without a name, which an engine that speaks plain PPX 1.0 can have too; a tag has it
//
// and, with made- before it, those whose draws are vectors, of which the first number is observed, or that are made of others; MODEL=factor has a factor in place of
// what it has observed.
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

	// Of a family whose draws are vectors:
	First gosim.Dist // the distribution of the first number, 0 or 1 of them
	Xs    []float64  // in place of X
}

// Vector tells that draws are vectors.
func (c *Case) Vector() bool { return c.Xs != nil }

// Data is what is observed of a draw given the parameter.
func (c *Case) Data() gosim.Tensor {
	if c.Vector() {
		return gosim.Vector(c.Xs...)
	}
	return gosim.Scalar(c.X)
}

// Variable is what the tables call what is observed of a draw.
func (c *Case) Variable() string {
	if c.Vector() {
		return c.Name + "[0]"
	}
	return c.Name
}

// Cases are the families.
var Cases = []Case{
	{Name: "truncated_normal", Prior: gosim.TruncatedNormal(0, 1, -1, 2), Y: 0.8, Noise: 2, Given: func(u float64) gosim.Dist { return gosim.TruncatedNormal(u, 1, -1, 2) }, X: 1.1},
	{Name: "half_normal", Prior: gosim.HalfNormal(2), Y: 1, Noise: 2, Given: func(u float64) gosim.Dist { return gosim.HalfNormal(u) }, X: 0.9},
	{Name: "student_t", Prior: gosim.StudentT(4, 1, 2), Y: 2, Noise: 6, Given: func(u float64) gosim.Dist { return gosim.StudentT(4, u, 1) }, X: 1.5},
	{Name: "cauchy", Prior: gosim.Cauchy(0, 0.2), Y: 2, Noise: 8, Given: func(u float64) gosim.Dist { return gosim.Cauchy(u, 1) }, X: 0.7},
	{Name: "laplace", Prior: gosim.Laplace(0, 1), Y: 1, Noise: 3, Given: func(u float64) gosim.Dist { return gosim.Laplace(u, 1) }, X: 1.2},
	{Name: "logistic", Prior: gosim.Logistic(1, 2), Y: 3, Noise: 7, Given: func(u float64) gosim.Dist { return gosim.Logistic(u, 1) }, X: 1.4},
	{Name: "pareto", Prior: gosim.Pareto(1, 3), Y: 2, Noise: 2, Given: func(u float64) gosim.Dist { return gosim.Pareto(0.4, u) }, X: 0.9},
	{Name: "inverse_gamma", Prior: gosim.InverseGamma(3, 2), Y: 1.5, Noise: 2, Given: func(u float64) gosim.Dist { return gosim.InverseGamma(2, u) }, X: 1.1},
	{Name: "von_mises", Prior: gosim.VonMises(1, 2), Y: 0.5, Noise: 1.5, Given: func(u float64) gosim.Dist { return gosim.VonMises(u, 1) }, X: 1.3},
	{Name: "log_uniform", Prior: gosim.LogUniform(1, 10), Y: 4, Noise: 5, Given: func(u float64) gosim.Dist { return gosim.LogUniform(u/10, 4) }, X: 1},
	{Name: "negative_binomial", Prior: gosim.NegativeBinomial2(4, 2), Y: 6, Noise: 7, Given: func(u float64) gosim.Dist { return gosim.NegativeBinomial2(3*u, 2) }, X: 4},
	{Name: "geometric", Prior: gosim.Geometric(0.3), Y: 3, Noise: 5, Given: func(u float64) gosim.Dist { return gosim.Geometric(u / 4) }, X: 2},
	{Name: "discrete_uniform", Prior: gosim.DiscreteUniform(-5, 5), Y: 2, Noise: 6, Given: func(u float64) gosim.Dist { return gosim.DiscreteUniform(-3, math.Floor(3*u)+2) }, X: 2},
	{Name: "zero_inflated_poisson", Prior: gosim.ZeroInflatedPoisson(0.2, 4), Y: 3, Noise: 5, Given: func(u float64) gosim.Dist { return gosim.ZeroInflatedPoisson(0.3, 2*u) }, X: 2},
	{Name: "zero_inflated_negative_binomial", Prior: gosim.ZeroInflatedNegativeBinomial2(0.2, 4, 3), Y: 3, Noise: 6, Given: func(u float64) gosim.Dist { return gosim.ZeroInflatedNegativeBinomial2(0.3, 3*u, 2) }, X: 3},
	{Name: "beta_binomial", Prior: gosim.BetaBinomial(2, 3, 20), Y: 9, Noise: 8, Given: func(u float64) gosim.Dist { return gosim.BetaBinomial(u, 1, 9) }, X: 5},
}

// Made are the families whose draws are vectors, and those that are made of others.
var Made = []Case{
	{Name: "mixture", Prior: gosim.Mixture([]float64{0.3, 0.7}, gosim.Normal(-2, 1), gosim.Cauchy(2, 0.5)), Y: 0.5, Noise: 2,
		Given: func(u float64) gosim.Dist {
			return gosim.Mixture([]float64{1, 2}, gosim.Normal(u, 1), gosim.Exponential(u))
		}, X: 1.2},
	{Name: "discrete_mixture", Prior: gosim.Mixture([]float64{2, 3}, gosim.Poisson(2), gosim.NegativeBinomial2(8, 3)), Y: 4, Noise: 4,
		Given: func(u float64) gosim.Dist {
			return gosim.Mixture([]float64{1, 1}, gosim.Poisson(u), gosim.DiscreteUniform(1, 6))
		}, X: 3},
	{Name: "empirical", Prior: gosim.Empirical([]float64{2.5, -1, 0, 7, 0}, 0.2, 0.5, 1, 0.3, 1), Y: 2, Noise: 3,
		Given: func(u float64) gosim.Dist { return gosim.Empirical([]float64{1, 2, 3}, u*u, 1, 1) }, X: 1},
	{Name: "histogram", Prior: gosim.Histogram([]float64{-1, 0, 2.5, 7}, []float64{0.2, 1, 0.8}), Y: 1, Noise: 3,
		Given: func(u float64) gosim.Dist { return gosim.Histogram([]float64{0, u, 3}, []float64{1, 2}) }, X: 1.3},
	{Name: "dirichlet", Prior: gosim.Dirichlet(2, 3, 4), First: gosim.Beta(2, 7), Y: 0.5, Noise: 0.3,
		Given: func(u float64) gosim.Dist { return gosim.Dirichlet(u, 1, 2*u) }, Xs: []float64{0.2, 0.3, 0.5}},
	{Name: "multivariate_normal", Prior: gosim.MultivariateNormal([]float64{1, -1}, []float64{4, 3, 3, 2.5}), First: gosim.Normal(1, 2), Y: 3, Noise: 4,
		Given: func(u float64) gosim.Dist {
			return gosim.MultivariateNormal([]float64{u, -u}, []float64{1, 0.5, 0.5, 1})
		}, Xs: []float64{1, 0}},
	{Name: "multivariate_student_t", Prior: gosim.MultivariateStudentT(5, []float64{1, -1}, []float64{2, 0, 1.5, 0.5}), First: gosim.StudentT(5, 1, 2), Y: 3, Noise: 5,
		Given: func(u float64) gosim.Dist {
			return gosim.MultivariateStudentT(3, []float64{u, -u}, []float64{1, 0, 0.5, 1})
		}, Xs: []float64{1, 0}},
	{Name: "multinomial", Prior: gosim.Multinomial(9, 0.2, 0.3, 0.5), First: gosim.Binomial(9, 0.2), Y: 4, Noise: 3,
		Given: func(u float64) gosim.Dist { return gosim.Multinomial(6, u, 1, 2*u) }, Xs: []float64{1, 2, 3}},
}

// Model is the simulator; its result is the number of families.
func Model(r *gosim.Run) gosim.Tensor {
	switch os.Getenv("MODEL") {
	case "likelihoods":
		return LikelihoodsOf(Cases)(r)
	case "unnamed":
		return UnnamedOf(Cases)(r)
	case "made-priors":
		return PriorsOf(Made)(r)
	case "made-likelihoods":
		return LikelihoodsOf(Made)(r)
	case "made-unnamed":
		return UnnamedOf(Made)(r)
	case "factor":
		return Factored(r)
	case "custom":
		return Customs(r)
	}
	return Priors(r)
}

// Customs is z with the density 2z on (0, 1), and k with the probabilities (1 + k)/6 on 0, 1, 2, both by functions of the simulator's; y ~ Normal(z + k, ½).
func Customs(r *gosim.Run) gosim.Tensor {
	r.Sample("before", gosim.Normal(0, 1))
	z := r.Custom("z", func(u func() float64) float64 { return math.Sqrt(u()) }, func(x float64) float64 {
		if x <= 0 || x >= 1 {
			return math.Inf(-1)
		}
		return math.Log(2 * x)
	}, 2)
	k := r.DiscreteCustom("k", func(u func() float64) float64 {
		switch x := u() * 6; {
		case x < 1:
			return 0
		case x < 3:
			return 1
		}
		return 2
	}, func(x float64) float64 { return math.Log((1 + x) / 6) })
	r.Observe("y", gosim.Normal(z+k, 0.5))
	return gosim.Vector(z, k)
}

// Factored is u ~ Normal(0, 1), weighed by exp(−(u − 1)²/2): the posterior is Normal(½, ½ of the variance), the evidence e^−¼/√2.
func Factored(r *gosim.Run) gosim.Tensor {
	u := r.Sample("u", gosim.Normal(0, 1))
	r.Factor("near 1", -(u-1)*(u-1)/2)
	return gosim.Scalar(u)
}

// Priors is the model with the families as priors.
func Priors(r *gosim.Run) gosim.Tensor { return PriorsOf(Cases)(r) }

// PriorsOf is that of some families.
func PriorsOf(cases []Case) gosim.Model {
	return func(r *gosim.Run) gosim.Tensor {
		for _, c := range cases {
			r.Observe("y_"+c.Name, gosim.Normal(r.SampleTensor(c.Name, c.Prior).Float(), c.Noise))
		}
		return gosim.Scalar(float64(len(cases)))
	}
}

// UnnamedOf is the model without names and data.
func UnnamedOf(cases []Case) gosim.Model {
	return func(r *gosim.Run) gosim.Tensor {
		for _, c := range cases {
			r.TagTensor(gosim.Site{}, c.Name, r.SampleTensorAt(gosim.Site{Address: c.Name}, "", c.Prior))
		}
		return gosim.Scalar(float64(len(cases)))
	}
}

// LikelihoodsOf is the model with the families as likelihoods.
func LikelihoodsOf(cases []Case) gosim.Model {
	return func(r *gosim.Run) gosim.Tensor {
		for _, c := range cases {
			u := r.Sample(c.Name, gosim.Uniform(0.5, 2))
			r.Observe("x_"+c.Name, c.Given(u))
		}
		return gosim.Scalar(float64(len(cases)))
	}
}
