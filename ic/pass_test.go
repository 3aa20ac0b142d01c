package ic

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// everything has all families, tensors, loops, branches, an image and observations in a sequence.
func everything(r *gosim.Run) gosim.Tensor { return everythingWith(r, -1) }

// fixed is everything with a loop of three passes.
func fixed(r *gosim.Run) gosim.Tensor { return everythingWith(r, 3) }

func everythingWith(r *gosim.Run, loop float64) gosim.Tensor {
	a := r.Sample("a", gosim.Normal(1, 2))
	n := r.Sample("n", gosim.Poisson(2))
	if loop < 0 {
		loop = n
	}
	for range int(loop) {
		x := r.Sample("x", gosim.Uniform(-1, a*a))
		r.Observe("seq", gosim.Normal(x, 1))
	}
	if r.Sample("coin", gosim.Bernoulli(0.4)) == 1 {
		r.Sample("b", gosim.Beta(2, 1+a*a))
		r.Sample("e", gosim.Exponential(0.5+n))
	} else {
		r.Sample("g", gosim.Gamma(1+n, 2))
		r.Sample("l", gosim.LogNormal(a, 0.5))
	}
	k := r.Sample("k", gosim.Categorical(0.2, 0.3, 0.5))
	r.Sample("bin", gosim.Binomial(10, 0.2+0.2*k))
	w := r.Sample("w", gosim.Weibull(2, 1.5))
	r.SampleTensor("v", gosim.Tensors(dist.Normal, gosim.NewTensor([]float64{1, 2}, 2, 1), gosim.NewTensor([]float64{1, 2, 3}, 1, 3)))
	r.SampleTensor("rows", gosim.Tensors(dist.Categorical, gosim.NewTensor([]float64{1, 0, 2, 3, 3, 3}, 2, 3)))
	mu := r.SampleTensor("mu", gosim.MultivariateNormal([]float64{a, w}, []float64{2, 1, 1, 3}))
	r.SampleTensor("d", gosim.Dirichlet(1, 2, 0.5+n))
	r.SampleTensor("counts", gosim.Multinomial(n+3, 1, 2, 3))
	r.SampleTensor("mt", gosim.MultivariateStudentT(4, mu.Data, []float64{1, 0, 0.5, 2}))
	r.Sample("mix", gosim.Mixture([]float64{1, 2}, gosim.Normal(mu.Data[0], 1), gosim.Logistic(mu.Data[1], 1)))
	r.Sample("em", gosim.Empirical([]float64{2, 1, a}))
	r.SampleTensor("flags", gosim.Tensors(dist.Bernoulli, gosim.Vector(0.2, 0.5, 0.7)))
	r.SampleTensor("empty", gosim.Tensors(dist.Normal, gosim.NewTensor([]float64{}, 0), gosim.Scalar(1)))
	r.SampleAt(gosim.Site{NoControl: true}, "hidden", gosim.Normal(w, 1))
	r.Observe("y0", gosim.Normal(a, 1))
	r.Observe("y1", gosim.Normal(w, 1))
	r.Observe("constant", gosim.Poisson(0))
	image := make([]float64, 30)
	for i := range image {
		image[i] = a + float64(i)*k
	}
	r.ObserveTensor(gosim.Site{}, "image", gosim.Tensors(dist.Normal, gosim.NewTensor(image, 5, 6), gosim.Scalar(1)), gosim.Tensor{})
	return gosim.Scalar(a)
}

// draw makes traces of a model from its prior.
func draw(t testing.TB, m gosim.Model, from, n uint64, inflation float64) (out []*tracing.Trace) {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(m), 1)
	t.Cleanup(func() { x.Close() })
	return drawFrom(t, x, from, n, inflation)
}

func drawFrom(t testing.TB, x engine.Executor, from, n uint64, inflation float64) (out []*tracing.Trace) {
	t.Helper()
	for tr, err := range x.Stream(context.Background(), engine.Draws(1, from, n, func(engine.Draw) engine.Stack {
		if inflation > 0 {
			return engine.Stack{control.NewInflate(inflation), control.Prior{}}
		}
		return engine.Stack{control.Prior{}}
	}), nil) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tr)
	}
	return out
}

func small() Settings {
	return Settings{Hidden: 7, Depth: 2, Address: 5, Kind: 3, Value: 2, Components: 3, Trunk: 6, Correlation: 3,
		Embed: map[string]Embedding{"image": {Kind: CNN2D, Dim: 4, Stages: []int{2, 0, 3}}, "y#": {Kind: FeedForward, Dim: 3}}}
}

// examples converts traces.
func examples[T float32 | float64](t testing.TB, n *Network[T], traces []*tracing.Trace) (out []*Example) {
	t.Helper()
	for _, tr := range traces {
		e, err := n.Example(tr)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// All gradients of a whole network are those of differences.
func TestGradientsOfANetwork(t *testing.T) {
	traces := draw(t, everything, 0, 40, 0.3)
	n, warnings, err := New[float64](small(), "everything", 1, traces)
	if err != nil {
		t.Fatal(err)
	}
	// "seq" is not in every trace; "constant" says nothing.
	if len(warnings) != 2 || n.Observables[0].Name != "y#" || len(n.Observables[0].Members) != 2 || len(n.Observables) != 3 {
		t.Errorf("%v %+v", warnings, n.Observables[0])
	}
	batch := examples(t, n, traces[:12])
	p := NewPass(n)
	loss, err := p.Gradient(batch, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.Loss(batch); err != nil || math.Abs(again-loss) > 1e-9*math.Abs(loss) {
		t.Errorf("the loss is %g with gradients, %g without (%v)", loss, again, err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	checked, used := 0, 0
	for _, q := range n.Params() {
		if strings.HasPrefix(q.Name, "observable.constant.first") {
			continue // its inputs are 0, where ReLU has no derivative
		}
		for _, i := range r.Perm(len(q.Value))[:min(12, len(q.Value))] {
			const h = 1e-5
			keep := q.Value[i]
			q.Value[i] = keep + h
			up, _ := p.Loss(batch)
			q.Value[i] = keep - h
			down, _ := p.Loss(batch)
			q.Value[i] = keep
			want := 0.1 * (up - down) / (2 * h)
			if math.Abs(q.Grad[i]-want) > 2e-6*math.Max(1, math.Abs(want)) {
				t.Errorf("gradient of %v[%d] is %.9g, by differences %.9g", q, i, q.Grad[i], want)
			}
			checked++
			if want != 0 {
				used++
			}
		}
	}
	if used < checked/2 {
		t.Errorf("only %d of %d gradients are not 0", used, checked)
	}
	if len(n.Addresses()) < 12 {
		t.Errorf("%d places", len(n.Addresses()))
	}
}

// A minibatch's loss is the sum of its examples', whatever their order.
func TestExamplesAreIndependent(t *testing.T) {
	traces := draw(t, everything, 0, 20, 0)
	n, _, err := New[float64](small(), "everything", 1, traces)
	if err != nil {
		t.Fatal(err)
	}
	batch := examples(t, n, traces)
	p := NewPass(n)
	all, err := p.Gradient(batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i := range batch {
		l, err := p.Loss(batch[len(batch)-1-i : len(batch)-i])
		if err != nil {
			t.Fatal(err)
		}
		sum += l
	}
	if math.Abs(sum-all) > 1e-9*math.Abs(all) {
		t.Errorf("%g together, %g one by one", all, sum)
	}
}

// Before training the loss is near the prior's, and training makes it smaller.
func TestTrainingLearns(t *testing.T) {
	traces := draw(t, everything, 0, 512, 0)
	s := small()
	s.Hidden, s.Trunk = 32, 32
	n, _, err := New[float32](s, "everything", 1, traces)
	if err != nil {
		t.Fatal(err)
	}
	batch := examples(t, n, traces)
	p := NewPass(n)
	first, last := 0.0, 0.0
	o := newAdam(n, 3e-3)
	for i := range 200 {
		at := i * 64 % len(batch)
		l, err := p.Gradient(batch[at:at+64], 1.0/64)
		if err != nil {
			t.Fatal(err)
		}
		if i < 8 {
			first += l / 512
		}
		if i >= 192 {
			last += l / 512
		}
		o.Step(n.Params(), 1)
	}
	t.Logf("loss %g at first, %g in the end", first, last)
	if !(last < first-1) {
		t.Errorf("the loss went from %g to %g", first, last)
	}
}
