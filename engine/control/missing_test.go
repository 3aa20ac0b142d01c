package control_test

import (
	"errors"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

func scores(t *testing.T, model gosim.Model, d control.Data, n uint64) []*tracing.Trace {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(model), 1)
	defer x.Close()
	stack := engine.Stack{control.NewCondition(d, true), control.Prior{}}
	var out []*tracing.Trace
	for tr, err := range x.Stream(t.Context(), engine.Draws(1, 0, n, func(engine.Draw) engine.Stack { return stack }), nil) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tr)
	}
	return out
}

func logNormal(x, mean, sd float64) float64 {
	z := (x - mean) / sd
	return -z*z/2 - math.Log(sd) - 0.5*math.Log(2*math.Pi)
}

// Missing elements are drawn from the prior and are not scored: the weight is the likelihood of the others, also in what
// an exponent would multiply; what was drawn follows the prior.
func TestMissingElements(t *testing.T) {
	const n = 2000
	nan := math.NaN()
	vector := func(r *gosim.Run) gosim.Tensor {
		m := r.Sample("m", gosim.Normal(0, 10))
		r.ObserveTensor(gosim.Site{}, "y", gosim.Tensors(dist.Normal, gosim.Vector(m, m+1, m+2, m+3), gosim.Scalar(2)), gosim.Tensor{})
		k := r.SampleTensor("k", gosim.Tensors(dist.Categorical, gosim.NewTensor([]float64{1, 3, 2, 2}, 2, 2)))
		return gosim.Vector(m, k.Data[0], k.Data[1])
	}
	var sum, squares, ones float64
	for _, tr := range scores(t, vector, control.Data{"y": dist.Vector(1, nan, 3, nan), "k": dist.Vector(1, nan)}, n) {
		m := tr.Result.Data[0]
		want := logNormal(1, m, 2) + logNormal(3, m+2, 2) + math.Log(0.75)
		if math.Abs(tr.LogWeight-want) > 1e-12*math.Abs(want) || tr.LogWeight != tr.LogLikelihood {
			t.Fatalf("draw %d: weight %g, likelihood %g, want %g", tr.Draw, tr.LogWeight, tr.LogLikelihood, want)
		}
		y := tr.Value(1).Data
		if y[0] != 1 || y[2] != 3 || tr.Result.Data[1] != 1 {
			t.Fatalf("%v is not what was given", y)
		}
		z := (y[3] - m - 3) / 2
		sum += z
		squares += z * z
		ones += tr.Result.Data[2]
	}
	// Mean 0 ± 1/√n, mean square 1 ± √(2/n), P(1) = ½ ± ½/√n.
	if root := math.Sqrt(n); math.Abs(sum/n) > 4/root || math.Abs(squares/n-1) > 4*math.Sqrt2/root || math.Abs(ones/n-0.5) > 2/root {
		t.Errorf("drawn elements: mean %g, mean square %g; P(k[1] = 1) %g", sum/n, squares/n, ones/n)
	}
}

// What is missing altogether is a latent: also where the simulator has a value of its own, and beside a value for every occurrence.
func TestMissingValues(t *testing.T) {
	model := func(r *gosim.Run) gosim.Tensor {
		m := r.Sample("m", gosim.Normal(0, 10))
		r.Observe("y", gosim.Normal(m, 1))
		r.Observe("y", gosim.Normal(m, 1))
		r.ObserveValue("own", gosim.Normal(m, 1), 5)
		return gosim.Scalar(m)
	}
	nan := math.NaN()
	for _, tr := range scores(t, model, control.Data{"y": dist.Scalar(8), "y@2": dist.Scalar(nan), "own": dist.Vector(nan)}, 50) {
		if want := logNormal(8, tr.Result.Float(), 1); math.Abs(tr.LogWeight-want) > 1e-12*math.Abs(want) ||
			tr.Sites[2].Origin != tracing.FromPrior || tr.Sites[3].Origin != tracing.FromPrior {
			t.Fatalf("draw %d: weight %g, want %g; %v, %v", tr.Draw, tr.LogWeight, want, tr.Sites[2].Origin, tr.Sites[3].Origin)
		}
	}
}

// Data of another shape are refused, also if they have as many elements; flat ones and dimensions of 1 are welcome.
func TestShapesOfData(t *testing.T) {
	matrix := func(r *gosim.Run) gosim.Tensor {
		r.ObserveTensor(gosim.Site{}, "v", gosim.Tensors(dist.Normal, gosim.NewTensor(make([]float64, 6), 2, 3), gosim.Scalar(1)), gosim.Tensor{})
		return gosim.Scalar(0)
	}
	for _, c := range []struct {
		shape []int
		ok    bool
	}{{[]int{2, 3}, true}, {[]int{6}, true}, {[]int{1, 2, 1, 3}, true}, {[]int{1, 6}, true}, {[]int{3, 2}, false}, {[]int{6, 1, 1}, true}, {[]int{2, 1, 3}, true}, {[]int{3, 1, 2}, false}} {
		x := engine.NewLocal(gosim.Wrap(matrix), 1)
		_, err := x.Execute(t.Context(), engine.Task{Draw: engine.Draw{}, Stack: func(engine.Draw) engine.Stack {
			return engine.Stack{control.NewCondition(control.Data{"v": gosim.NewTensor(make([]float64, 6), c.shape...)}, true), control.Prior{}}
		}})
		if c.ok != (err == nil) || err != nil && !errors.Is(err, engine.ErrData) {
			t.Errorf("%v: %v", c.shape, err)
		}
		x.Close()
	}
}

// A datum at which the density is infinite has no posterior.
func TestDataOfInfiniteDensity(t *testing.T) {
	model := func(r *gosim.Run) gosim.Tensor {
		r.Observe("y", gosim.Beta(r.Sample("a", gosim.Uniform(0.1, 0.9)), 1))
		return gosim.Scalar(0)
	}
	x := engine.NewLocal(gosim.Wrap(model), 1)
	defer x.Close()
	_, err := x.Execute(t.Context(), engine.Task{Draw: engine.Draw{}, Stack: func(engine.Draw) engine.Stack {
		return engine.Stack{control.NewCondition(control.Data{"y": dist.Scalar(0)}, true), control.Prior{}}
	}})
	if !errors.Is(err, engine.ErrData) {
		t.Error(err)
	}
}
