package train

import (
	"math"
	"slices"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/simulators/families"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/training"
)

// A network proposes for each family as a prior, under data that say much, and for the parameter of each as a likelihood: the posterior is exact, and ESS/N at least 0.6.
func TestFamilies(t *testing.T) {
	const draws = 2000
	for _, c := range slices.Concat(families.Cases, families.Made) {
		c.Noise /= 5
		for kind, x := range map[string]struct {
			model gosim.Model
			data  gosim.Tensor
			exact enginetest.Exact
		}{
			"prior": {func(r *gosim.Run) gosim.Tensor {
				z := r.SampleTensor("latent", c.Prior).Float()
				r.Observe("data", gosim.Normal(z, c.Noise))
				return gosim.Scalar(z)
			}, gosim.Scalar(c.Y), enginetest.ExactPrior(&c)},
			"likelihood": {func(r *gosim.Run) gosim.Tensor {
				u := r.Sample("latent", gosim.Uniform(0.5, 2))
				r.Observe("data", c.Given(u))
				return gosim.Scalar(u)
			}, c.Data(), enginetest.ExactLikelihood(&c)},
		} {
			t.Run(c.Name+"/"+kind, func(t *testing.T) {
				e := local(t, x.model)
				s := ic.DefaultSettings()
				s.Hidden = 32
				n := learn(t, e, c.Name, s, training.Config{N: 12800})
				mean, total := 0.0, 0.0
				w := infer(t, e, n, control.Data{"data": x.data}, 3, draws, func(tr *tracing.Trace) {
					p := math.Exp(tr.LogWeight - x.exact.LogEvidence)
					mean += p * tr.Result.Float()
					total += p
				})
				mean /= total
				ess := w.ESS()
				if se := x.exact.SD / math.Sqrt(ess); !(math.Abs(mean-x.exact.Mean) <= 4*se+1e-3*x.exact.SD) {
					t.Errorf("the mean is %g ± %g, exact %g", mean, se, x.exact.Mean)
				}
				if se := math.Sqrt(1/ess - 1.0/draws); !(math.Abs(w.LogEvidence()-x.exact.LogEvidence) <= 4*se+1e-3) {
					t.Errorf("log evidence %g ± %g, exact %g", w.LogEvidence(), se, x.exact.LogEvidence)
				}
				t.Logf("ESS/N %.2f", ess/draws)
				if ess < 0.6*draws {
					t.Errorf("ESS/N is %.2f", ess/draws)
				}
			})
		}
	}
}
