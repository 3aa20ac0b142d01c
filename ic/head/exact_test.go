package head_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic/head"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// extremes is parameters at which rounding to doubles makes atoms: at the ends of supports, or everywhere because the
// distribution is narrow against the grid, beside ordinary ones. Shapes, scales and rates are crossed.
func extremes() (all []dist.Dist) {
	cross := func(k dist.Kind, as, bs []float64) {
		for _, a := range as {
			for _, b := range bs {
				all = append(all, dist.New(k, a, b))
			}
		}
	}
	one := func(k dist.Kind, as ...float64) {
		for _, a := range as {
			all = append(all, dist.New(k, a))
		}
	}
	concentrations := []float64{1e-3, 0.03, 0.1, 0.36, 0.5, 1, 20, 1e5, 1e12, 1e30}
	cross(dist.Beta, concentrations, concentrations)
	cross(dist.Gamma, []float64{1e-3, 0.015, 0.05, 1, 1e6, 1e14, 1e23}, []float64{1e-306, 1, 1e300})
	cross(dist.Weibull, []float64{1e-300, 1, 1e300}, []float64{0.01, 0.05, 1, 1e3, 1e12})
	cross(dist.LogNormal, []float64{-700, 0, 700}, []float64{1e-14, 1e-3, 1, 200})
	cross(dist.Normal, []float64{0, 1, -1e20, 1e308}, []float64{1e-318, 1e-12, 1e-6, 1, 1e307})
	cross(dist.Binomial, []float64{0, 1, 1e4, 1e15}, []float64{0, 1e-18, 0.3, 1 - 1e-12})
	one(dist.Exponential, 1e-308, 1e-300, 1, 1e303)
	one(dist.Poisson, 0, 1e-12, 3, 1e8, 1e20, 1e25)
	one(dist.Bernoulli, 1e-12, 0.3, 1-0x1p-53)
	for _, e := range [][2]float64{{0, 1}, {-1, 1e-320}, {0, 1e-320}, {1e16, 1e16 + 8}, {1, 1 + 0x1p-51}, {-1.7e308, 0}} {
		all = append(all, dist.New(dist.Uniform, e[0], e[1]))
	}
	all = append(all, dist.New(dist.Binomial, 9e15, 1-0x1p-53), dist.New(dist.Beta, 9e8, 1), dist.New(dist.Beta, 1e10, 2), dist.New(dist.Beta, 3, 0.5))
	inf := math.Inf(1)
	for _, e := range [][4]float64{{0, 1, -1, 2}, {0, 1, 0, inf}, {0, 1, 40, inf}, {1e6, 1, -inf, 0}, {0, 1, 1, 1 + 0x1p-50}, {0, 1e-6, 1e-6, 1}, {1e12, 1, 1e12, inf}, {0, 1, -inf, inf}, {0, 1e300, 0, inf}} {
		all = append(all, dist.New(dist.TruncatedNormal, e[0], e[1], e[2], e[3]))
	}
	one(dist.HalfNormal, 1e-300, 1, 1e300)
	for _, e := range [][3]float64{{0.01, 0, 1}, {0.5, 1, 2}, {3, 1e20, 1}, {30, 0, 1e-300}} {
		all = append(all, dist.New(dist.StudentT, e[0], e[1], e[2]))
	}
	for _, k := range []dist.Kind{dist.Cauchy, dist.Laplace, dist.Logistic} {
		cross(k, []float64{0, -1e20}, []float64{1e-12, 1, 1e300})
	}
	cross(dist.Pareto, []float64{1e-300, 1, 1e300}, []float64{0.01, 1, 1e3, 1e12})
	cross(dist.InverseGamma, []float64{1e-3, 0.05, 1, 1e14}, []float64{1e-300, 1, 1e300})
	cross(dist.VonMises, []float64{0, 3, 1e9}, []float64{1e-12, 1, 1e6, 1e20})
	for _, e := range [][2]float64{{1, 10}, {1e-300, 1e300}, {1, 1 + 0x1p-45}, {1e-320, 1}} {
		all = append(all, dist.New(dist.LogUniform, e[0], e[1]))
	}
	cross(dist.NegativeBinomial2, []float64{0, 1e-9, 4, 1e6}, []float64{0.05, 2, 1e12})
	one(dist.Geometric, 1e-12, 0.3, 1)
	for _, e := range [][2]float64{{0, 0}, {-3, 5}, {-1 << 50, 1 << 50}} {
		all = append(all, dist.New(dist.DiscreteUniform, e[0], e[1]))
	}
	cross(dist.ZeroInflatedPoisson, []float64{0, 0.3, 1}, []float64{0, 4, 1e9})
	all = append(all, dist.New(dist.ZeroInflatedNegativeBinomial2, 0.2, 40, 0.5), dist.New(dist.BetaBinomial, 0.1, 0.2, 30), dist.New(dist.BetaBinomial, 2, 3, 1e12))
	return append(all, dist.New(dist.Categorical, 0.1, 0, 0.7, 1e-300))
}

// fixed proposes a family's density with one row.
type fixed struct {
	row  []float64
	prob head.Prior
	f    head.Family
}

func (q *fixed) Propose(_ *engine.Run, s *engine.Site) (control.Proposal, bool, error) {
	q.prob = head.Prior{Kind: s.Dist.Kind}
	for i, p := range s.Dist.Params {
		q.prob.Args[i], q.prob.Rows[i] = p.Float(), p.Data
	}
	return q, true, nil
}

func (q *fixed) Sample(s *dist.Stream, out []float64) error {
	out[0] = q.f.Sample(&q.prob, q.row, s)
	return nil
}

func (q *fixed) LogProb(v []float64) float64 { return q.f.LogProb(&q.prob, q.row, v[0], nil) }

// estimate is the mean of w·g over draws, and its variance.
type estimate struct{ n, sum, squares float64 }

func (e *estimate) add(x float64) { e.n++; e.sum += x; e.squares += x * x }
func (e *estimate) mean() float64 { return e.sum / e.n }
func (e *estimate) variance() float64 {
	return math.Max(0, e.squares/e.n-e.mean()*e.mean()) / e.n
}

// E_q[w·g] = E_f[g] for every family at any parameters, whatever is proposed: networks and prior inflation are exact in
// the limit. The truth is the sampler's own, doubles with their atoms; g are indicators of either end, of the upper
// half, and 1, which catch masses that are lost, doubled, or given to the wrong value.
func TestProposalsAreExactInTheLimit(t *testing.T) {
	n, rows := 3000, 2
	if os.Getenv("PPX_VERIFY") != "" {
		n, rows = 20_000, 8
	}
	random := rand.New(rand.NewPCG(5, 8))
	for i, d := range extremes() {
		name := d.String()
		sample := func(k int) float64 {
			s := dist.NewStream(3, 0, 0, uint64(k), dist.PurposeValue)
			var v [1]float64
			if err := d.Sample(&s, v[:]); err != nil {
				t.Fatal(name, err)
			}
			return v[0]
		}
		prior := make([]float64, n)
		for k := range prior {
			prior[k] = sample(k)
		}
		sorted := slices.Clone(prior)
		slices.Sort(sorted)
		lowest, middle, highest := sorted[0], sorted[n/2], sorted[n-1]
		tests := []func(x float64) float64{
			func(float64) float64 { return 1 },
			indicator(func(x float64) bool { return x <= lowest }),
			indicator(func(x float64) bool { return x > middle }),
			indicator(func(x float64) bool { return x >= highest }),
		}
		f, err := head.New(d.Kind, 3, len(d.Params[0].Data))
		if err != nil {
			t.Fatal(err)
		}
		layers := map[string]func() engine.Layer{"inflation": func() engine.Layer { return control.NewInflate(0.5) }}
		for r := range rows {
			row := make([]float64, f.Outputs())
			for k := range row {
				row[k] = 2 * float64(r%4+1) * random.NormFloat64()
			}
			layers[fmt.Sprint("row ", r)] = func() engine.Layer { return control.NewGuide(&fixed{row: row, f: f}, 0.05) }
		}
		if f.Outputs() == 10 { // narrow, and where doubles are far apart or end
			for r, row := range [][]float64{{9, 0, 0, -9, 19, 0, 0, -30, 0, 0}, {9, 0, 0, -9, -300, 0, 0, -12, 0, 0}, {9, 0, 0, -9, 12, 0, 0, -12, 0, 0}} {
				layers[fmt.Sprint("edge ", r)] = func() engine.Layer { return control.NewGuide(&fixed{row: row, f: f}, 0.05) }
			}
		}
		x := engine.NewLocal(gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
			return r.SampleTensor("x", gosim.Tensors(d.Kind, d.Params[:len(d.Kind.Params())]...))
		}), 1)
		for label, layer := range layers {
			want, got := make([]estimate, len(tests)), make([]estimate, len(tests))
			for tr, err := range x.Stream(t.Context(), engine.Draws(uint64(100+i), 0, uint64(n), func(engine.Draw) engine.Stack {
				return engine.Stack{layer(), control.Prior{}}
			}), nil) {
				if err != nil {
					t.Fatalf("%s, %s: %v", name, label, err)
				}
				for k, g := range tests {
					got[k].add(math.Exp(tr.LogWeight) * g(tr.Result.Float()))
				}
			}
			for _, v := range prior {
				for k, g := range tests {
					want[k].add(g(v))
				}
			}
			for k := range tests {
				// One draw of weight 1 is what the error cannot see when nothing was met.
				se := math.Sqrt(got[k].variance() + want[k].variance() + 1/float64(n)/float64(n))
				if diff := got[k].mean() - want[k].mean(); !(math.Abs(diff) <= 4.5*se) {
					t.Errorf("%s, %s, function %d: %.5f, want %.5f ± %.5f", name, label, k, got[k].mean(), want[k].mean(), se)
				}
			}
		}
		x.Close()
	}
}

func indicator(in func(x float64) bool) func(x float64) float64 {
	return func(x float64) float64 {
		if in(x) {
			return 1
		}
		return 0
	}
}
