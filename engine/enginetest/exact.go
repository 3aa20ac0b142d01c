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
	d := first(c)
	lo, hi := []float64{0}, []float64{0}
	if err := d.Support(lo, hi); err != nil {
		panic(err)
	}
	a, b := math.Max(lo[0], c.Y-12*c.Noise), math.Min(hi[0], c.Y+12*c.Noise)
	log := func(z float64) float64 {
		noise := dist.New(dist.Normal, z, c.Noise)
		return logProb(&d, dist.Scalar(z)) + logProb(&noise, dist.Scalar(c.Y))
	}
	if d.Kind == dist.Empirical {
		return sum(log, d.Params[0].Data)
	}
	return integral(log, a, b, d.Kind.Discrete())
}

// first is the distribution of what is observed of a draw.
func first(c *families.Case) dist.Dist {
	if c.Vector() {
		return distOf(c.First)
	}
	return distOf(c.Prior)
}

// Moments are the mean and standard deviation of the draw without data; not finite where there is none.
func Moments(c *families.Case) Exact {
	d := first(c)
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
		return logProb(&d, c.Data()) - math.Log(1.5)
	}, 0.5, 2, false)
}

func logProb(d *dist.Dist, x dist.Tensor) float64 {
	lp, err := d.LogProb(x)
	if err != nil {
		panic(err)
	}
	return lp
}

func integral(f func(x float64) float64, a, b float64, discrete bool) Exact {
	var m moments
	if discrete {
		for x := math.Ceil(a); x <= b; x++ {
			m.add(f, x, 1)
		}
	} else {
		const n = 1 << 13 // the midpoint rule, as some densities jump
		for i := range n {
			m.add(f, a+(b-a)*(float64(i)+0.5)/n, (b-a)/n)
		}
	}
	return m.exact()
}

func sum(f func(x float64) float64, values []float64) Exact {
	var m moments
	for _, x := range values {
		m.add(f, x, 1)
	}
	return m.exact()
}

type moments [3]float64

func (m *moments) add(f func(x float64) float64, x, w float64) {
	p := w * math.Exp(f(x))
	m[0], m[1], m[2] = m[0]+p, m[1]+p*x, m[2]+p*x*x
}

func (m *moments) exact() Exact {
	mean := m[1] / m[0]
	return Exact{mean, math.Sqrt(m[2]/m[0] - mean*mean), math.Log(m[0])}
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
