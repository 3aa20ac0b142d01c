package train

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/training"
)

// Ten latents whose differences are known well, and whose common level is not: in the posterior neighbours have a correlation of .95. Proposals that know of the
// elements before them get half of the draws and more, independent ones less than a twentieth; the posterior is exact.
func TestCorrelatedLatents(t *testing.T) {
	const d, noise = 10, 0.105
	y := make([]float64, d-1)
	for i := range y {
		y[i] = 0.4 * math.Sin(float64(i))
	}
	tril := make([]float64, d*d) // of a prior that has a covariance of its own, 1 on the diagonal
	for i := range d {
		tril[i*d+i] = 1
	}
	observe := func(r *gosim.Run, x []float64) gosim.Tensor {
		differences := make([]float64, d-1)
		for i := range differences {
			differences[i] = x[i+1] - x[i]
		}
		r.ObserveTensor(gosim.Site{}, "y", gosim.Tensors(dist.Normal, gosim.Vector(differences...), gosim.Scalar(noise)), gosim.Tensor{})
		return gosim.Vector(x...)
	}
	models := map[string]gosim.Model{
		"vector": func(r *gosim.Run) gosim.Tensor {
			return observe(r, r.SampleTensor("x", gosim.Tensors(dist.Normal, gosim.NewTensor(make([]float64, d), d), gosim.Scalar(1))).Data)
		},
		"multivariate": func(r *gosim.Run) gosim.Tensor {
			return observe(r, r.SampleTensor("x", gosim.MultivariateNormalTril(make([]float64, d), tril)).Data)
		},
	}
	// The posterior: precision I + AᵀA/noise², A the differences.
	precision := mat.NewSymDense(d, nil)
	b := mat.NewVecDense(d, nil)
	for i := range d {
		precision.SetSym(i, i, 1)
	}
	for i := range d - 1 {
		w := 1 / (noise * noise)
		precision.SetSym(i, i, precision.At(i, i)+w)
		precision.SetSym(i+1, i+1, precision.At(i+1, i+1)+w)
		precision.SetSym(i, i+1, precision.At(i, i+1)-w)
		b.SetVec(i, b.AtVec(i)-w*y[i])
		b.SetVec(i+1, b.AtVec(i+1)+w*y[i])
	}
	var c mat.Cholesky
	if !c.Factorize(precision) {
		t.Fatal("no posterior")
	}
	var mean mat.VecDense
	var cov mat.SymDense
	if c.SolveVecTo(&mean, b) != nil || c.InverseTo(&cov) != nil {
		t.Fatal("no posterior")
	}
	// log N(y; 0, I·noise² + A·Aᵀ)
	evidence := -0.5*float64(d-1)*math.Log(2*math.Pi*noise*noise) - 0.5*c.LogDet()
	for _, v := range y {
		evidence -= v * v / (2 * noise * noise)
	}
	evidence += 0.5 * mat.Dot(b, &mean)
	rho := cov.At(4, 5) / math.Sqrt(cov.At(4, 4)*cov.At(5, 5))
	t.Logf("correlation of neighbours %.3f", rho)
	for name, model := range models {
		for rank, c := range map[int]struct {
			traces uint64
			want   func(share float64) bool
		}{8: {128_000, func(s float64) bool { return s >= 0.5 }}, 0: {12_800, func(s float64) bool { return s < 0.05 }}} {
			x := local(t, model)
			s := ic.DefaultSettings()
			s.Hidden, s.Correlation = 64, rank
			n := learn(t, x, name, s, training.Config{N: c.traces})
			const draws = 4000
			m, total := make([]float64, d), 0.0
			w := infer(t, x, n, control.Data{"y": dist.Vector(y...)}, 3, draws, func(tr *tracing.Trace) {
				p := math.Exp(tr.LogWeight - evidence)
				total += p
				for i, v := range tr.Result.Data {
					m[i] += p * v
				}
			})
			ess := w.ESS()
			t.Logf("%s, %d numbers: ESS/N %.3f", name, rank, ess/draws)
			if !c.want(ess / draws) {
				t.Errorf("%s, %d numbers: ESS/N %.3f", name, rank, ess/draws)
			}
			if rank == 0 {
				continue
			}
			if se := math.Sqrt(1/ess - 1.0/draws); !(math.Abs(w.LogEvidence()-evidence) <= 4*se) {
				t.Errorf("%s: log evidence %g ± %g, exact %g", name, w.LogEvidence(), se, evidence)
			}
			for i := range d {
				if se := math.Sqrt(cov.At(i, i) / ess); !(math.Abs(m[i]/total-mean.AtVec(i)) <= 4*se) {
					t.Errorf("%s: the mean of x[%d] is %g ± %g, exact %g", name, i, m[i]/total, se, mean.AtVec(i))
				}
			}
		}
	}
}
