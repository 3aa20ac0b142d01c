package mcmc

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// What shrinkage makes of a covariance is what a program in another language makes of it, from the paper's formulas.
func TestShrunkAgainstReference(t *testing.T) {
	sample := mat.NewSymDense(4, []float64{4, 1.5, -.6, .2, 1.5, 1, .1, .3, -.6, .1, 2, -.9, .2, .3, -.9, 9})
	for n, want := range map[float64][]float64{
		5:   {0.0722626820361, -0.0797358133397, -0.00378140983241, -0.0358345826831, 0.0978900604962, 0.304694281431},
		40:  {1.34439217642, -0.575153468364, 0.169926864264, -0.136542750133, 0.289328974592, -0.435527949037},
		1e6: {1.49999424149, -0.599998543918, 0.100003083508, 0.199985742888, 0.299998872163, -0.89998091193},
		4:   {0, 0, 0, 0, 0, 0}, // no more draws than coordinates
	} {
		got, k := shrunk(sample, n), 0
		for i := range 4 {
			if math.Abs(got.At(i, i)-sample.At(i, i)) > 1e-12 {
				t.Errorf("n = %g: variance %d is %g", n, i, got.At(i, i))
			}
			for j := range i {
				if math.Abs(got.At(i, j)-want[k]) > 1e-10 {
					t.Errorf("n = %g: covariance of %d and %d is %.12g, want %.12g", n, i, j, got.At(i, j), want[k])
				}
				k++
			}
		}
	}
	if shrunk(mat.NewSymDense(2, []float64{1, 0, 0, 0}), 10) != nil || shrunk(mat.NewSymDense(2, []float64{1, math.NaN(), math.NaN(), math.NaN()}), 10) != nil {
		t.Error("what does not vary has a covariance")
	}
}

// Of sixty coordinates, four of whose directions are known well, two hundred draws show enough for steps as large as the whole: with the sample covariance itself
// they are hardly ever taken.
func TestShrunkTakesLargeSteps(t *testing.T) {
	const p, n, scale = 60, 200, 1.0
	rng := rand.New(rand.NewPCG(1, 2))
	normal := func(rows int) *mat.Dense {
		m := mat.NewDense(rows, p, nil)
		for i := range m.RawMatrix().Data {
			m.RawMatrix().Data[i] = rng.NormFloat64()
		}
		return m
	}
	var qr mat.QR
	qr.Factorize(normal(p))
	var half mat.Dense // of the covariance: directions times their sd
	qr.QTo(&half)
	for j, sd := range []float64{0.02, 0.08, 0.2, 0.25} {
		for i := range p {
			half.Set(i, j, half.At(i, j)*sd)
		}
	}
	draws := normal(n)
	draws.Mul(draws, half.T())
	var sample mat.SymDense
	stat.CovarianceMatrix(&sample, draws, nil)
	// Independent proposals from N(0, C) are taken by the ratio of target to proposal.
	acceptance := func(c *mat.SymDense) float64 {
		var chol, target mat.Cholesky
		var truth mat.SymDense
		truth.SymOuterK(1, &half)
		if !chol.Factorize(c) || !target.Factorize(&truth) {
			t.Fatal("no inverse")
		}
		var l mat.TriDense
		chol.LTo(&l)
		square := func(c *mat.Cholesky, x mat.Vector) float64 {
			y := mat.NewVecDense(p, nil)
			if err := c.SolveVecTo(y, x); err != nil {
				t.Fatal(err)
			}
			return mat.Dot(x, y)
		}
		const pairs = 500
		from, to := normal(pairs), normal(pairs)
		from.Mul(from, half.T())
		to.Mul(to, l.T())
		sum := 0.0
		for i := range pairs {
			x, y := from.RowView(i), to.RowView(i)
			sum += math.Min(1, math.Exp((square(&target, x)-square(&target, y)+square(&chol, y)-square(&chol, x))/2))
		}
		return sum / pairs
	}
	with, without := acceptance(shrunk(&sample, n)), acceptance(&sample)
	if !(with > 5*without) {
		t.Errorf("acceptance %.3g, and %.3g by the sample covariance", with, without)
	}
}
