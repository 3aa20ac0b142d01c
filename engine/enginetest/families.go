package enginetest

import (
	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Families draws one of every family, and a vector, and observes some.
func Families(r *gosim.Run) gosim.Tensor {
	x := r.Sample("normal", gosim.Normal(0, 1))
	u := r.Sample("uniform", gosim.Uniform(1, 3))
	r.Sample("categorical", gosim.Categorical(1, 2, 3))
	n := r.Sample("poisson", gosim.Poisson(2*u))
	b := r.Sample("bernoulli", gosim.Bernoulli(0.4))
	p := r.Sample("beta", gosim.Beta(2, 3))
	e := r.Sample("exponential", gosim.Exponential(1))
	g := r.Sample("gamma", gosim.Gamma(2, 2))
	l := r.Sample("lognormal", gosim.LogNormal(0, 0.5))
	k := r.Sample("binomial", gosim.Binomial(8, p))
	w := r.Sample("weibull", gosim.Weibull(1, 2))
	v := r.SampleTensor("vector", gosim.Tensors(dist.Normal, gosim.Vector(x, u, 0), gosim.Scalar(1)))
	if b == 1 {
		r.Sample("maybe", gosim.Normal(x, 1))
	}
	r.Observe("y", gosim.Normal(x+b+v.Data[0], 1))
	r.Observe("count", gosim.Poisson(1+g+n))
	r.Observe("coin", gosim.Binomial(10, (k+1)/10))
	r.ObserveTensor(gosim.Site{}, "z", gosim.Tensors(dist.Normal, gosim.Vector(e, l), gosim.Scalar(1)), gosim.Vector(0, 0)) // its own value is not the data
	return gosim.Vector(x+w, u)
}
