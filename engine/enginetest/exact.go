package enginetest

import (
	"errors"
	"math"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/families"
)

// Exact is a posterior of the simulator families, by a sum or by the midpoint rule.
type Exact struct{ Mean, SD, LogEvidence float64 }

// ExactPrior is that of the draw, of a family as a prior.
func ExactPrior(c *families.Case) Exact {
	d := distOf(c.Prior)
	lo, hi := []float64{0}, []float64{0}
	if err := d.Support(lo, hi); err != nil {
		panic(err)
	}
	a, b := math.Max(lo[0], c.Y-12*c.Noise), math.Min(hi[0], c.Y+12*c.Noise)
	return integral(func(z float64) float64 {
		noise := dist.New(dist.Normal, z, c.Noise)
		return logProb(&d, z) + logProb(&noise, c.Y)
	}, a, b, d.Kind.Discrete())
}

// Moments are the mean and standard deviation of the draw without data; not finite where there is none.
func Moments(c *families.Case) Exact {
	d := distOf(c.Prior)
	m, v := []float64{0}, []float64{0}
	if err := errors.Join(d.Mean(m), d.Variance(v)); err != nil {
		panic(err)
	}
	return Exact{Mean: m[0], SD: math.Sqrt(v[0])}
}

// ExactLikelihood is that of the parameter, of a family as a likelihood.
func ExactLikelihood(c *families.Case) Exact {
	return integral(func(u float64) float64 {
		d := distOf(c.Given(u))
		return logProb(&d, c.X) - math.Log(1.5)
	}, 0.5, 2, false)
}

func logProb(d *dist.Dist, x float64) float64 {
	lp, err := d.LogProb(dist.Scalar(x))
	if err != nil {
		panic(err)
	}
	return lp
}

func integral(f func(x float64) float64, a, b float64, discrete bool) Exact {
	var s0, s1, s2 float64
	add := func(x, w float64) {
		p := w * math.Exp(f(x))
		s0, s1, s2 = s0+p, s1+p*x, s2+p*x*x
	}
	if discrete {
		for x := math.Ceil(a); x <= b; x++ {
			add(x, 1)
		}
	} else {
		const n = 1 << 13 // the midpoint rule, as some densities jump
		for i := range n {
			add(a+(b-a)*(float64(i)+0.5)/n, (b-a)/n)
		}
	}
	mean := s1 / s0
	return Exact{mean, math.Sqrt(s2/s0 - mean*mean), math.Log(s0)}
}

// distOf is a distribution as the engine sees it.
func distOf(d gosim.Dist) (out dist.Dist) {
	r := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		r.Sample("", d)
		return gosim.Scalar(0)
	})
	_, _ = r(seen{&out})
	return out
}

// seen keeps the distribution of a Sample.
type seen struct{ d *dist.Dist }

func (s seen) Sample(x *ppx.Statement) (ppx.Tensor, error) {
	s.d.Kind = x.Dist.Kind
	for _, p := range x.Dist.Params {
		s.d.Params = append(s.d.Params, p.Clone())
	}
	return dist.Scalar(0), nil
}
func (seen) Observe(*ppx.Statement) error { return nil }
func (seen) Tag(*ppx.Statement) error     { return nil }
