package jobs

import (
	"cmp"
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/branching"
	"github.com/ppx-engine/ppx-engine/simulators/families"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/smc"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// ranksOf calibrates importance sampling on a model in this process.
func ranksOf(t *testing.T, model func(*gosim.Run) gosim.Tensor, sets uint64, workers int, change func(*calibration)) (*posterior.Calibration, []CalibratedSet) {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(model), workers)
	defer x.Close()
	s := New(Calibrate)
	s.Seed, s.N, s.Calibration.MaxDraws = 1, sets, 60000
	c := &calibration{spec: s, method: Lookup(Infer, "is"), x: x}
	if change != nil {
		change(c)
	}
	if err := c.prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	var todo []uint64
	for k := range sets {
		todo = append(todo, k)
	}
	out := &Calibrated{Manifest: &CalibrationManifest{Order: c.table.names}}
	if err := c.all(context.Background(), todo, workers, func(s *CalibratedSet) error {
		out.Sets = append(out.Sets, *s)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out.Sets, func(a, b CalibratedSet) int { return cmp.Compare(a.Set, b.Set) })
	return out.Judge(s), out.Sets
}

// Importance sampling is calibrated on every model, and something is learned.
func TestCalibrated(t *testing.T) {
	models := map[string]func(*gosim.Run) gosim.Tensor{"gum": gum.Model, "branching": branching.Model, "families": enginetest.Families}
	cases := slices.Concat(families.Cases, families.Made)
	for i := 0; i < len(cases) && !testbed.Raced; i += 4 { // few at a time: independent data would leave few of the draws
		models[cases[i].Name] = families.PriorsOf(cases[i : i+4])
	}
	for name, model := range models {
		sets := uint64(300)
		if testbed.Raced {
			sets = 60
		}
		c, _ := ranksOf(t, model, sets, 4, nil)
		for _, r := range c.Trust.Reasons {
			if r.Code == posterior.NotCalibrated {
				t.Errorf("%s: %s", name, r.Text)
			}
		}
		if !(c.Gain > 4*c.GainSE) || c.Decided < int(sets)*2/3 || len(c.Quantities) < 5 {
			t.Errorf("%s: gain %g ± %g, %d decided, %d quantities", name, c.Gain, c.GainSE, c.Decided, len(c.Quantities))
		}
	}
}

// The gain of gum is the mutual information of mu and two observations: ½·log(1 + 2·5/2).
func TestGainIsTheMutualInformation(t *testing.T) {
	testbed.WithoutRace(t)
	c, _ := ranksOf(t, gum.Model, 400, 4, nil)
	if want := 0.5 * math.Log(6); math.Abs(c.Gain-want) > 4*c.GainSE {
		t.Errorf("gain %g ± %g, exact %g", c.Gain, c.GainSE, want)
	}
}

// liar proposes something else than it says.
type liar struct {
	name string
	f    func(d ppx.Dist, x float64) float64
}

func (l liar) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if s.Op != ppx.Sample || s.Name != l.name {
		return engine.Choice{}, false, nil
	}
	v, err := r.Prior(s)
	if err != nil {
		return engine.Choice{}, false, err
	}
	v[0] = l.f(s.Dist, v[0])
	return engine.Choice{Value: v, Origin: tracing.FromPrior}, true, nil
}

// Broken methods are caught: a proposal that is narrower than it says, one of another family, one that is shifted, a likelihood that is too sharp, the prior as a posterior, and
// data that another simulator has made.
func TestBrokenTwinsAreCaught(t *testing.T) {
	testbed.WithoutRace(t)
	lie := func(f func(ppx.Dist, float64) float64) func(*calibration) {
		return func(c *calibration) {
			c.broken = func(cfg *importance.Config) {
				cfg.Guide = func(engine.Draw) engine.Layer { return liar{"mu", f} }
			}
		}
	}
	for name, change := range map[string]func(*calibration){
		"narrow":  lie(func(_ ppx.Dist, x float64) float64 { return 1 + 0.5*(x-1) }),
		"uniform": lie(func(_ ppx.Dist, x float64) float64 { return 3 * math.Erfc(-(x-1)/math.Sqrt(10)) }), // on (0, 6), in place of N(1, √5)
		"shifted": lie(func(_ ppx.Dist, x float64) float64 { return x + 1.5 }),
		"sharp":   func(c *calibration) { c.spec.LikelihoodImportance = 2 },
		"prior":   func(c *calibration) { c.broken = func(cfg *importance.Config) { cfg.LikelihoodImportance = 1e-9 } },
	} {
		c, _ := ranksOf(t, gum.Model, 300, 4, change)
		if c.Trust.Verdict != posterior.None || c.Trust.Reasons[0].Code != posterior.NotCalibrated {
			t.Errorf("%s: %+v", name, c.Trust)
		}
		for _, q := range c.Quantities {
			if name == "prior" && (q.Name == "mu") != (q.Adjusted > 0.01) && q.Name != "result" {
				t.Errorf("the prior as a posterior: %s has p = %g", q.Name, q.Adjusted) // its ranks are uniform: others have to see it
			}
			if name == "sharp" && q.Name == "mu" && q.Word() != "too narrow" {
				t.Errorf("a sharp likelihood: %s", q.Word())
			}
		}
	}
}

// The same seed gives the same data sets, ranks and all, whatever the parallelism.
func TestCalibrationDoesNotDependOnWorkers(t *testing.T) {
	var want []CalibratedSet
	for _, workers := range []int{1, 8} {
		_, got := ranksOf(t, branching.Model, 30, workers, func(c *calibration) { c.spec.Calibration.MaxDraws = 2000 })
		if want == nil {
			want = got
		}
		for i := range got {
			if a, b := string(got[i].line()), string(want[i].line()); a != b {
				t.Errorf("%d workers: %s, not %s", workers, a, b)
			}
		}
	}
}

// Chains are calibrated, and those of another posterior are not.
func TestCalibratedChains(t *testing.T) {
	testbed.WithoutRace(t)
	chains := func(method string, change func(*calibration)) func(*calibration) {
		return func(c *calibration) {
			c.method, c.spec.Method, c.spec.MCMC = Lookup(Infer, method), method, &MCMC{Chains: 4, Warmup: 200, Thin: 1}
			c.spec.Calibration.MaxDraws = 20000
			if change != nil {
				change(c)
			}
		}
	}
	for _, method := range []string{"lmh", "rmh"} {
		c, _ := ranksOf(t, branching.Model, 120, 4, chains(method, nil))
		if c.Trust.Verdict != posterior.Doubtful || c.Trust.Reasons[0].Code != posterior.FewSets || c.Decided < 110 || !math.IsNaN(c.Gain) {
			t.Errorf("%s: %+v, %d decided", method, c.Trust, c.Decided)
		}
	}
}

// redrawn draws afresh what a chain's moves say that they keep.
type redrawn struct{ engine.Executor }

func (x redrawn) Execute(ctx context.Context, t engine.Task) (*tracing.Trace, error) {
	stack := t.Stack
	t.Stack = func(d engine.Draw) engine.Stack {
		layers := slices.Clone(stack(d))
		for i, l := range layers {
			if m, ok := l.(*control.Move); ok {
				layers[i] = redraws{m}
			}
		}
		return layers
	}
	return x.Executor.Execute(ctx, t)
}

type redraws struct{ move *control.Move }

func (l redraws) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	c, ok, err := l.move.Choose(r, s)
	if ok && err == nil && c.Origin != tracing.FromProposal {
		c.Value, err = r.Prior(s)
	}
	return c, ok, err
}

// Broken chains and particles are caught: posteriors whose standard deviation is 1.25 of the right one, and values that are drawn again in place of being kept.
func TestBrokenChainsAndParticlesAreCaught(t *testing.T) {
	testbed.WithoutRace(t)
	for name, change := range map[string]func(*calibration){
		"lmh, wide":    func(c *calibration) { c.spec.LikelihoodImportance = 0.568 },
		"rmh, wide":    func(c *calibration) { c.spec.LikelihoodImportance = 0.568 },
		"smc, wide":    func(c *calibration) { c.spec.LikelihoodImportance = 0.568 },
		"rmh, redrawn": func(c *calibration) { c.x, c.o.Force = redrawn{c.x}, true },
	} {
		method, how, _ := strings.Cut(name, ", ")
		model, sets := gum.Model, uint64(500)
		if how == "redrawn" {
			model, sets = looseNumbers, 150
		}
		if method != "lmh" && how == "wide" && os.Getenv("PPX_VERIFY") == "" {
			continue // half a minute each
		}
		c, _ := ranksOf(t, model, sets, 4, func(c *calibration) {
			c.method, c.spec.Method = Lookup(Infer, method), method
			if method == "smc" {
				c.spec.SMC = &SMC{Islands: 16, Moves: smc.Adapt}
				c.spec.Calibration.MinESS, c.spec.Calibration.MaxDraws = 50, 20000
			} else {
				c.spec.MCMC = &MCMC{Chains: 4, Warmup: 200, Thin: 1}
				c.spec.Calibration.MaxDraws = 20000
			}
			change(c)
		})
		if c.Trust.Verdict != posterior.None || c.Trust.Reasons[0].Code != posterior.NotCalibrated {
			t.Errorf("%s: %+v, %d decided", name, c.Trust, c.Decided)
		}
	}
}

// looseNumbers are some of which data say little: the model for values that are not what they were.
func looseNumbers(r *gosim.Run) gosim.Tensor {
	a := r.Sample("a", gosim.Normal(0, 1))
	sum := 0.0
	for _, x := range r.SampleTensor("b", gosim.Tensors(dist.Normal, gosim.Vector(a, a, a, a, a, a, a, a), gosim.Scalar(1))).Data {
		sum += x
	}
	r.Observe("y", gosim.Normal(sum, 4))
	return gosim.Scalar(sum)
}

// What cannot be calibrated is refused with a reason.
func TestUncalibratable(t *testing.T) {
	for want, model := range map[string]func(*gosim.Run) gosim.Tensor{
		"no named Observe": func(r *gosim.Run) gosim.Tensor { return gosim.Scalar(r.Sample("x", gosim.Normal(0, 1))) },
		"calibrate needs the same data in all runs": func(r *gosim.Run) gosim.Tensor {
			n := r.Sample("n", gosim.Poisson(3))
			for range int(n) {
				r.Observe("y", gosim.Normal(n, 1))
			}
			return gosim.Tensor{}
		},
	} {
		x := engine.NewLocal(gosim.Wrap(model), 1)
		c := &calibration{spec: New(Calibrate), method: Lookup(Infer, "is"), x: x}
		if err := c.prepare(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}
