// Package gosim is what a simulator written in Go links: it asks an inference engine for every random
// number. The same model runs in the engine's process, behind an endpoint (Serve, Main), or by itself
// without an engine (Local), without a changed line:
//
//	func model(r *gosim.Run) gosim.Tensor {
//		mu := r.Sample("mu", gosim.Normal(1, math.Sqrt(5)))
//		r.Observe("obs0", gosim.Normal(mu, math.Sqrt(2)))
//		return gosim.Scalar(mu)
//	}
//
//	func main() { gosim.Main("gum", model) }
package gosim

import (
	"fmt"
	"sync"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Tensor is a dense row-major array.
type Tensor = ppx.Tensor

// Scalar returns a tensor of shape [].
func Scalar(v float64) Tensor { return dist.Scalar(v) }

// Vector returns a tensor of shape [len(v)].
func Vector(v ...float64) Tensor { return dist.Vector(v...) }

// NewTensor returns a tensor; it panics if shape does not describe data.
func NewTensor(data []float64, shape ...int) Tensor {
	s := make([]int32, len(shape))
	for i, d := range shape {
		s[i] = int32(d)
	}
	t, err := dist.NewTensor(data, s)
	if err != nil {
		panic("gosim: " + err.Error())
	}
	return t
}

// Dist is a distribution. Invalid parameters are reported by the engine, with the address.
type Dist struct {
	kind dist.Kind
	p    [dist.MaxArgs]float64 // scalar parameters, while t is absent
	row  []float64             // or a row of them
	t    []Tensor              // tensor parameters
}

type numbers = [dist.MaxArgs]float64

// The eleven families of PPX 1.0. Parameters as in PPX: standard deviations, rates, probabilities.

// Normal has a mean and a standard deviation.
func Normal(mean, stddev float64) Dist { return Dist{kind: dist.Normal, p: numbers{mean, stddev}} }

// Uniform lies between low and high.
func Uniform(low, high float64) Dist { return Dist{kind: dist.Uniform, p: numbers{low, high}} }

// Categorical is one of 0, …, len(probs)−1; probs need not be normalised.
func Categorical(probs ...float64) Dist {
	return Dist{kind: dist.Categorical, row: probs}
}

// Poisson has a rate.
func Poisson(rate float64) Dist { return Dist{kind: dist.Poisson, p: numbers{rate}} }

// Bernoulli is 1 with the given probability, else 0.
func Bernoulli(prob float64) Dist { return Dist{kind: dist.Bernoulli, p: numbers{prob}} }

// Beta has two concentrations: of 1 and of 0.
func Beta(concentration1, concentration0 float64) Dist {
	return Dist{kind: dist.Beta, p: numbers{concentration1, concentration0}}
}

// Exponential has a rate.
func Exponential(rate float64) Dist { return Dist{kind: dist.Exponential, p: numbers{rate}} }

// Gamma has a concentration (shape) and a rate.
func Gamma(concentration, rate float64) Dist {
	return Dist{kind: dist.Gamma, p: numbers{concentration, rate}}
}

// LogNormal has the mean and standard deviation of the logarithm.
func LogNormal(loc, scale float64) Dist { return Dist{kind: dist.LogNormal, p: numbers{loc, scale}} }

// Binomial counts successes among totalCount.
func Binomial(totalCount, prob float64) Dist {
	return Dist{kind: dist.Binomial, p: numbers{totalCount, prob}}
}

// Weibull has a scale and a concentration (shape).
func Weibull(scale, concentration float64) Dist {
	return Dist{kind: dist.Weibull, p: numbers{scale, concentration}}
}

// The families of extension 3, with names and parameters as in NumPyro and PyTorch.

// TruncatedNormal is a Normal between two ends, of which one or both may be infinite.
func TruncatedNormal(loc, scale, low, high float64) Dist {
	return Dist{kind: dist.TruncatedNormal, p: numbers{loc, scale, low, high}}
}

// HalfNormal is the absolute value of a Normal of mean 0.
func HalfNormal(scale float64) Dist {
	return Dist{kind: dist.HalfNormal, p: numbers{scale}}
}

// StudentT has df degrees of freedom.
func StudentT(df, loc, scale float64) Dist {
	return Dist{kind: dist.StudentT, p: numbers{df, loc, scale}}
}

// Cauchy has a location and a scale, half the width at half maximum.
func Cauchy(loc, scale float64) Dist {
	return Dist{kind: dist.Cauchy, p: numbers{loc, scale}}
}

// Laplace has a location and a scale, the mean distance from it.
func Laplace(loc, scale float64) Dist {
	return Dist{kind: dist.Laplace, p: numbers{loc, scale}}
}

// Logistic has a location and a scale.
func Logistic(loc, scale float64) Dist {
	return Dist{kind: dist.Logistic, p: numbers{loc, scale}}
}

// Pareto lies above scale, with a tail of the power alpha.
func Pareto(scale, alpha float64) Dist {
	return Dist{kind: dist.Pareto, p: numbers{scale, alpha}}
}

// InverseGamma is that of 1/x, x a Gamma of that concentration and rate.
func InverseGamma(concentration, rate float64) Dist {
	return Dist{kind: dist.InverseGamma, p: numbers{concentration, rate}}
}

// VonMises is a direction between −π and π.
func VonMises(loc, concentration float64) Dist {
	return Dist{kind: dist.VonMises, p: numbers{loc, concentration}}
}

// LogUniform is that of a number whose logarithm is Uniform.
func LogUniform(low, high float64) Dist {
	return Dist{kind: dist.LogUniform, p: numbers{low, high}}
}

// Geometric counts the failures before the first success.
func Geometric(prob float64) Dist {
	return Dist{kind: dist.Geometric, p: numbers{prob}}
}

// DiscreteUniform is an integer from low to high, both included.
func DiscreteUniform(low, high float64) Dist {
	return Dist{kind: dist.DiscreteUniform, p: numbers{low, high}}
}

// ZeroInflatedPoisson is 0 with the probability gate, else a Poisson.
func ZeroInflatedPoisson(gate, rate float64) Dist {
	return Dist{kind: dist.ZeroInflatedPoisson, p: numbers{gate, rate}}
}

// BetaBinomial is a Binomial whose probability is a Beta.
func BetaBinomial(concentration1, concentration0, totalCount float64) Dist {
	return Dist{kind: dist.BetaBinomial, p: numbers{concentration1, concentration0, totalCount}}
}

// NegativeBinomial counts the successes, each of that probability, before totalCount failures: a NegativeBinomial2 of mean totalCount·prob/(1 − prob).
func NegativeBinomial(totalCount, prob float64) Dist {
	return NegativeBinomial2(totalCount*prob/(1-prob), totalCount)
}

// NegativeBinomial2 is a Poisson whose rate is a Gamma: its variance is mean + mean²/concentration.
func NegativeBinomial2(mean, concentration float64) Dist {
	return Dist{kind: dist.NegativeBinomial2, p: numbers{mean, concentration}}
}

// ZeroInflatedNegativeBinomial2 is 0 with the probability gate, else a NegativeBinomial2.
func ZeroInflatedNegativeBinomial2(gate, mean, concentration float64) Dist {
	return Dist{kind: dist.ZeroInflatedNegativeBinomial2, p: numbers{gate, mean, concentration}}
}

// ZeroInflatedNegativeBinomial is 0 with the probability gate, else a NegativeBinomial.
func ZeroInflatedNegativeBinomial(gate, totalCount, prob float64) Dist {
	return ZeroInflatedNegativeBinomial2(gate, totalCount*prob/(1-prob), totalCount)
}

// ChiSquared is a Gamma of concentration df/2 and rate ½.
func ChiSquared(df float64) Dist { return Gamma(df/2, 0.5) }

// Tensors returns the distribution of a kind with tensor parameters, in the order of the schema; they
// broadcast against each other. A Categorical has one row of probabilities per element.
func Tensors(k dist.Kind, params ...Tensor) Dist {
	return Dist{kind: k, t: params}
}

// Run is one run of the simulator, the engine as the model sees it. Use it on the goroutine that the model
// was called on.
type Run struct {
	h     ppx.Handler
	s     ppx.Statement
	room  [dist.MaxArgs][1]float64
	args  []Tensor
	long  [1]int32 // a row's shape
	value [1]float64
	shape [dist.MaxRank]int32
	stack callers
}

// Site sets what a plain Sample or Observe leaves to itself. The zero Site is that of Run's own methods.
type Site struct {
	// Address names the place in the code, instead of the call stack: for loops over models, generated code,
	// or addresses that must survive refactoring.
	Address string
	// NoControl asks the engine to use no proposal here.
	NoControl bool
}

// Sample draws a value; name may be "". For a distribution over tensors use SampleTensor.
func (r *Run) Sample(name string, d Dist) float64 {
	return r.sample(name, &d, &Site{}).Float()
}

// SampleAt is Sample with settings.
func (r *Run) SampleAt(site Site, name string, d Dist) float64 {
	return r.sample(name, &d, &site).Float()
}

// SampleTensor draws a tensor, which is the caller's.
func (r *Run) SampleTensor(name string, d Dist) Tensor {
	return r.sample(name, &d, &Site{}).Clone()
}

// SampleTensorAt is SampleTensor with settings.
func (r *Run) SampleTensorAt(site Site, name string, d Dist) Tensor {
	return r.sample(name, &d, &site).Clone()
}

// Observe tells the engine that data of this name are distributed like d; the engine has the data.
func (r *Run) Observe(name string, d Dist) { r.observe(name, &d, Tensor{}, &Site{}) }

// ObserveAt is Observe with settings.
func (r *Run) ObserveAt(site Site, name string, d Dist) { r.observe(name, &d, Tensor{}, &site) }

// ObserveValue is Observe with a value that the simulator knows itself.
func (r *Run) ObserveValue(name string, d Dist, value float64) {
	r.value[0] = value
	r.observe(name, &d, Tensor{Data: r.value[:]}, &Site{})
}

// ObserveTensor is ObserveValue for a tensor, with settings.
func (r *Run) ObserveTensor(site Site, name string, d Dist, value Tensor) {
	r.observe(name, &d, value, &site)
}

// Tag records a value that the model computed.
func (r *Run) Tag(name string, value float64) {
	r.value[0] = value
	r.tag(name, Tensor{Data: r.value[:]}, &Site{})
}

// TagTensor is Tag for a tensor, with settings.
func (r *Run) TagTensor(site Site, name string, value Tensor) { r.tag(name, value, &site) }

// RejectionStart marks the beginning of each pass of a rejection loop, RejectionEnd the end of the loop after the accepted pass: a network may be trained to know
// the accepted passes alone, and traces weighed by them. Loops may be nested; data are observed after them.
func (r *Run) RejectionStart() { r.loop(Site{}, ppx.LoopStart) }

// RejectionEnd is the end of the loop that has begun last.
func (r *Run) RejectionEnd() { r.loop(Site{}, ppx.LoopEnd) }

// RejectionStartAt and RejectionEndAt are the same at addresses of one's own.
func (r *Run) RejectionStartAt(site Site) { r.loop(site, ppx.LoopStart) }

// RejectionEndAt is RejectionEnd with settings.
func (r *Run) RejectionEndAt(site Site) { r.loop(site, ppx.LoopEnd) }

func (r *Run) loop(site Site, mark string) {
	if site.Address == "" {
		site.Address = r.stack.address()
	}
	site.Address += mark
	r.value[0] = 1
	r.tag("", Tensor{Data: r.value[:]}, &site)
}

// aborted carries a handler's error through the model to Wrap.
type aborted struct{ err error }

func (r *Run) prepare(op ppx.Type, name string, d *Dist, site *Site) *ppx.Statement {
	s := &r.s
	*s = ppx.Statement{Op: op, Name: name, Address: site.Address, Control: op == ppx.Sample && !site.NoControl}
	if s.Address == "" {
		s.Address = r.stack.address()
	}
	if d == nil {
		return s
	}
	s.Dist.Kind = d.kind
	if d.t != nil {
		s.Dist.Params = d.t
		return s
	}
	r.args = r.args[:0]
	if d.row != nil {
		r.long[0] = int32(len(d.row))
		r.args = append(r.args, Tensor{Data: d.row, Shape: r.long[:]})
		s.Dist.Params = r.args
		return s
	}
	for i := range d.kind.Params() {
		r.room[i][0] = d.p[i]
		r.args = append(r.args, Tensor{Data: r.room[i][:]})
	}
	s.Dist.Params = r.args
	return s
}

func (r *Run) sample(name string, d *Dist, site *Site) Tensor {
	s := r.prepare(ppx.Sample, name, d, site)
	v, err := r.h.Sample(s)
	if err != nil {
		panic(aborted{err})
	}
	// The answer takes the shape of the site: some engines answer a scalar with shape [1].
	shape, err := s.Dist.Shape(r.shape[:0])
	n, _ := dist.Elements(shape)
	if err == nil && !ppx.Answers(v, shape, n) {
		err = fmt.Errorf("its values have shape %s", dist.ShapeString(shape))
	}
	if err != nil {
		panic(aborted{fmt.Errorf("%w: an answer of shape %s to Sample at %s: %w",
			ppx.ErrOutOfStep, dist.ShapeString(v.Shape), ppx.Quote(s.Address), err)})
	}
	v.Shape = shape
	return v
}

func (r *Run) observe(name string, d *Dist, value Tensor, site *Site) {
	s := r.prepare(ppx.Observe, name, d, site)
	s.Value = value
	if err := r.h.Observe(s); err != nil {
		panic(aborted{err})
	}
}

func (r *Run) tag(name string, value Tensor, site *Site) {
	s := r.prepare(ppx.Tag, name, nil, site)
	s.Value = value
	if err := r.h.Tag(s); err != nil {
		panic(aborted{err})
	}
}

// Model is a simulator: one call is one run, and its value is the run's result. The engine may abandon a
// run at any statement: the statement then does not return, and deferred functions run.
type Model func(*Run) Tensor

// Wrap makes a model what the engine's packages take.
func Wrap(m Model) ppx.Model {
	var runs sync.Pool // each with the addresses that it has met
	return func(h ppx.Handler) (result Tensor, err error) {
		r, ok := runs.Get().(*Run)
		if !ok {
			r = new(Run)
		}
		r.h = h
		r.stack.begin()
		defer func() {
			r.h = nil
			runs.Put(r)
			switch p := recover().(type) {
			case nil:
			case aborted:
				err = p.err
			default:
				panic(p)
			}
		}()
		return call(m, r), nil
	}
}

// call is where addresses begin: the frame above the model.
//
//go:noinline
func call(m Model, r *Run) Tensor { return m(r) }
