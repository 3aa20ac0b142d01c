package gosim

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/mat"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Distributions whose draws are vectors, and distributions that are made of others: extension 4.

// Dirichlet is shares that add up to 1.
func Dirichlet(concentration ...float64) Dist {
	return Tensors(dist.Dirichlet, Vector(concentration...))
}

// MultivariateNormal has a covariance, [len(loc), len(loc)]. It panics if that is not symmetric.
func MultivariateNormal(loc []float64, covariance []float64) Dist {
	return MultivariateNormalTril(loc, triangle(len(loc), covariance, false))
}

// MultivariateNormalPrecision has the inverse of a covariance.
func MultivariateNormalPrecision(loc []float64, precision []float64) Dist {
	return MultivariateNormalTril(loc, triangle(len(loc), precision, true))
}

// MultivariateNormalTril has the lower triangle L of its covariance L·Lᵀ, row by row.
func MultivariateNormalTril(loc []float64, tril []float64) Dist {
	return Tensors(dist.MultivariateNormal, Vector(loc...), square(len(loc), tril))
}

// MultivariateStudentT has df degrees of freedom, and the lower triangle of its scale, row by row.
func MultivariateStudentT(df float64, loc []float64, tril []float64) Dist {
	return Tensors(dist.MultivariateStudentT, Scalar(df), Vector(loc...), square(len(loc), tril))
}

func square(d int, m []float64) Tensor { return NewTensor(m, d, d) }

// triangle is the lower triangle of a covariance, or of the inverse of a precision. Where there is none it is the smallest eigenvalue, and no numbers: the engine has
// words for it.
func triangle(d int, m []float64, precision bool) []float64 {
	if len(m) != d*d {
		panic(fmt.Sprintf("gosim: a matrix of %d numbers for a vector of %d", len(m), d))
	}
	for i := range d {
		for j := range i {
			a, b := m[i*d+j], m[j*d+i]
			if !(math.Abs(a-b) <= 1e-8*(math.Abs(a)+math.Abs(b))+1e-12*math.Sqrt(math.Abs(m[i*d+i]*m[j*d+j]))) {
				panic("gosim: a covariance or precision is not symmetric")
			}
		}
	}
	out := make([]float64, d*d)
	s := mat.NewSymDense(d, slices.Clone(m))
	var c mat.Cholesky
	if !c.Factorize(s) {
		for i := range out {
			out[i] = math.NaN()
		}
		var e mat.EigenSym
		if e.Factorize(s, false) {
			out[0] = math.Min(0, slices.Min(e.Values(nil)))
		}
		return out
	}
	if precision { // Σ = P⁻¹
		var inverse mat.SymDense
		if err := c.InverseTo(&inverse); err != nil || !c.Factorize(&inverse) {
			out[0] = math.NaN()
			return out
		}
	}
	var l mat.TriDense
	c.LTo(&l)
	for i := range d {
		for j := range i + 1 {
			out[i*d+j] = l.At(i, j)
		}
	}
	return out
}

// Multinomial is how often each category comes in totalCount draws; probs need not be normalised.
func Multinomial(totalCount float64, probs ...float64) Dist {
	return Tensors(dist.Multinomial, Scalar(totalCount), Vector(probs...))
}

// Mixture is one of the components, which are scalar families, in proportion to probs: all of them counts, or none. It panics where they are not.
func Mixture(probs []float64, components ...Dist) Dist {
	var families, parameters []float64
	for _, c := range components {
		if c.t != nil || c.row != nil || c.kind.Extension() > 3 {
			panic("gosim: the components of a Mixture are scalar families, with numbers for parameters")
		}
		families = append(families, float64(c.kind))
		parameters = append(parameters, c.p[:len(c.kind.Params())]...)
	}
	kind := dist.Mixture
	if len(components) > 0 && components[0].kind.Discrete() {
		kind = dist.DiscreteMixture
	}
	return Tensors(kind, Vector(families...), Vector(probs...), Vector(parameters...))
}

// Empirical is one of the values, in proportion to their weights; without weights all are alike.
func Empirical(values []float64, weights ...float64) Dist {
	sum := map[float64]float64{}
	for i, x := range values {
		w := 1.0
		if len(weights) > 0 {
			w = weights[i]
		}
		sum[x] += w
	}
	var v, w []float64
	for x := range sum {
		v = append(v, x)
	}
	sort.Float64s(v)
	for _, x := range v {
		w = append(w, sum[x])
	}
	return Tensors(dist.Empirical, Vector(v...), Vector(w...))
}

// Histogram lies between edges, of which there is one more than weights, with the density of a weight over its width.
func Histogram(edges []float64, weights []float64) Dist {
	return Tensors(dist.Histogram, Vector(edges...), Vector(weights...))
}

// Factor weighs the run by exp(logWeight): a soft constraint, or a likelihood that was computed elsewhere. −Inf makes the run impossible. Under ppx prior factors do nothing.
func (r *Run) Factor(name string, logWeight float64) { r.FactorAt(Site{}, name, logWeight) }

// FactorAt is Factor with settings.
func (r *Run) FactorAt(site Site, name string, logWeight float64) {
	d := Dist{kind: dist.Factor, p: numbers{logWeight}}
	r.value[0] = 0
	r.observe(name, &d, Tensor{Data: r.value[:]}, &site)
}

// Custom draws from a distribution of the simulator's own: draw makes a value of uniform numbers between 0 and 1, logProb is its log density, parameters are recorded. The value may
// be given as data, or kept from another run: then logProb is asked for its density. The engine cannot check either function, and no network proposes values.
func (r *Run) Custom(name string, draw func(u func() float64) float64, logProb func(x float64) float64, parameters ...float64) float64 {
	return r.custom(Site{}, dist.Custom, name, draw, logProb, parameters)
}

// DiscreteCustom is Custom for integers.
func (r *Run) DiscreteCustom(name string, draw func(u func() float64) float64, logProb func(x float64) float64, parameters ...float64) float64 {
	return r.custom(Site{}, dist.DiscreteCustom, name, draw, logProb, parameters)
}

// CustomAt is Custom with settings.
func (r *Run) CustomAt(site Site, name string, draw func(u func() float64) float64, logProb func(x float64) float64, parameters ...float64) float64 {
	return r.custom(site, dist.Custom, name, draw, logProb, parameters)
}

func (r *Run) custom(site Site, kind dist.Kind, name string, draw func(u func() float64) float64, logProb func(x float64) float64, parameters []float64) float64 {
	d := Tensors(kind, Scalar(0), Vector(parameters...))
	s := r.prepare(ppx.Sample, name, &d, &site)
	h, ok := r.h.(ppx.Owner)
	if !ok {
		panic(aborted{fmt.Errorf("%w: a custom distribution at %s: nobody here takes one", ppx.ErrInvalid, ppx.Quote(s.Address))})
	}
	v, err := h.Own(s, ppx.Own{Draw: func(u *dist.Stream) float64 { return draw(u.Float64) }, LogProb: logProb})
	if err != nil {
		panic(aborted{err})
	}
	return v.Float()
}
