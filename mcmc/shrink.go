package mcmc

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// shrunk is what a sample covariance of n independent draws says of the covariance: with as many coordinates as draws its small eigenvalues are far too small and
// its large ones too large, and steps that believe it are not taken. The variances stay, and the eigenvalues of the correlations take the values of quadratic-inverse
// shrinkage (O. Ledoit and M. Wolf, "Quadratic shrinkage for large covariance matrices", 2022); without correlations if there are not more draws than coordinates.
// nil: it has no inverse.
func shrunk(sample *mat.SymDense, n float64) *mat.SymDense {
	p := sample.SymmetricDim()
	sd := make([]float64, p)
	for i := range sd {
		if sd[i] = math.Sqrt(sample.At(i, i)); !(sd[i] > 0) || math.IsInf(sd[i], 0) {
			return nil
		}
	}
	c := float64(p) / n
	if !(c < 1) {
		out := mat.NewSymDense(p, nil)
		for i := range p {
			out.SetSym(i, i, sample.At(i, i))
		}
		return out
	}
	correlation := mat.NewSymDense(p, nil)
	for i := range p {
		for j := range i + 1 {
			correlation.SetSym(i, j, sample.At(i, j)/sd[i]/sd[j])
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(correlation, true) {
		return nil
	}
	values, vectors := eigen.Values(nil), new(mat.Dense)
	eigen.VectorsTo(vectors)
	if !(values[0] > 0) {
		return nil
	}
	// The smoothed Stein shrinker of the inverse eigenvalues and its conjugate (section 4.5 there).
	h := math.Pow(math.Min(c*c, 1/(c*c))/float64(p), 0.35)
	delta := make([]float64, p)
	for i := range values {
		theta, conjugate := 0.0, 0.0
		for j := range values {
			lj := 1 / values[j]
			d := lj - 1/values[i]
			below := d*d + h*h*lj*lj
			theta += lj * d / below
			conjugate += lj * h * lj / below
		}
		theta, conjugate = theta/float64(p), conjugate/float64(p)
		delta[i] = values[i] / ((1-c)*(1-c) + 2*c*(1-c)*theta + c*c*(theta*theta+conjugate*conjugate))
	}
	floats.Scale(floats.Sum(values)/floats.Sum(delta), delta)
	root := make([]float64, p)
	for k, d := range delta {
		root[k] = math.Sqrt(d)
	}
	var half mat.Dense
	half.Mul(vectors, mat.NewDiagDense(p, root))
	out := mat.NewSymDense(p, nil)
	out.SymOuterK(1, &half)
	for i := range p { // to the same variances
		sd[i] /= math.Sqrt(out.At(i, i))
	}
	for i := range p {
		for j := range i + 1 {
			out.SetSym(i, j, out.At(i, j)*sd[i]*sd[j])
		}
	}
	return out
}
