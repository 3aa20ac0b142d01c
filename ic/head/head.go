// Package head holds the proposal families of inference compilation: for each distribution kind a family of
// densities on the prior's support, whose parameters are a row of raw numbers from a network. One element at
// a time; elements of a tensor share a head.
//
// Every family contains the prior itself with a weight of at least MinPrior, so that the ratio of prior to
// proposal, and with it the weight's variance, is bounded wherever the value lies. Rows of zeros give
// proposals that resemble the prior.
package head

import (
	"fmt"
	"math"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// MinPrior is the smallest weight of the prior in a proposal.
const MinPrior = 0.001

// MinPriorUniform is that in proposals for a Uniform: what happens at the edges of its regions (of a rejection loop, say) is hard to
// learn, and expensive to miss.
const MinPriorUniform = 0.01

// Prior is the prior of one element: valid parameters of its kind, in the order of the protocol; of a
// Categorical its row of probabilities, which need not be normalised.
type Prior struct {
	Kind  dist.Kind
	A, B  float64
	Probs []float64
}

// dist is the prior as a distribution.
func (p *Prior) dist(room *[2][1]float64) dist.Dist {
	d := dist.Dist{Kind: p.Kind}
	if p.Kind == dist.Categorical {
		d.Params[0] = dist.Tensor{Data: p.Probs, Shape: []int32{int32(len(p.Probs))}}
		return d
	}
	room[0][0], room[1][0] = p.A, p.B
	for i := range p.Kind.Params() {
		d.Params[i] = dist.Tensor{Data: room[i][:]}
	}
	return d
}

// LogProb is the prior's log density, in nats.
func (p *Prior) LogProb(x float64) float64 {
	var room [2][1]float64
	var v [1]float64
	v[0] = x
	d := p.dist(&room)
	lp, err := d.LogProb(dist.Tensor{Data: v[:]})
	if err != nil {
		return math.NaN()
	}
	return lp
}

func (p *Prior) sample(s *dist.Stream) float64 {
	var room [2][1]float64
	var v [1]float64
	d := p.dist(&room)
	_ = d.Sample(s, v[:]) // cannot fail: one element of a valid distribution
	return v[0]
}

// Family is a family of proposal densities. Its methods may be called from several goroutines.
type Family interface {
	// Outputs is the length of a row.
	Outputs() int
	// LogProb is log q(x), in nats, with the density's parameters in row. Unless grad is nil, its gradient with
	// respect to the row is written there.
	LogProb(p *Prior, row []float64, x float64, grad []float64) float64
	// Linear is the part of a row, from..to, that may well depend on data linearly: locations, and the logits of a discrete choice.
	// Logits and scales of mixtures would go wrong far from the data that were trained on.
	Linear() (from, to int)
	// Init writes a row to begin training with: near the prior, with components that differ.
	Init(row []float64)
	// Sample draws from q.
	Sample(p *Prior, row []float64, s *dist.Stream) float64
}

// New returns the family for a kind: a mixture of the given number of components where it is one.
// categories is the number of categories of a Categorical.
func New(k dist.Kind, components, categories int) (Family, error) {
	if components < 1 {
		return nil, fmt.Errorf("a proposal of %d components", components)
	}
	switch k {
	case dist.Normal:
		return mixture{components, MinPrior, normalKernel{}, identity}, nil
	case dist.Uniform:
		return mixture{components, MinPriorUniform, truncatedKernel{}, unitInterval}, nil
	case dist.Exponential, dist.Gamma, dist.LogNormal, dist.Weibull:
		return mixture{components, MinPrior, logisticKernel{}, logarithm}, nil
	case dist.Beta:
		return mixture{components, MinPrior, logisticKernel{}, logit}, nil
	case dist.Poisson, dist.Binomial:
		return mixture{components, MinPrior, countKernel{}, counts}, nil
	case dist.Categorical:
		if categories < 1 {
			return nil, fmt.Errorf("a Categorical of %d categories", categories)
		}
		return categorical{categories}, nil
	case dist.Bernoulli:
		return bernoulli{}, nil
	}
	return nil, fmt.Errorf("no proposal for distribution %s", k)
}

// The functions of one variable that the families share, stable at both ends.

// softplus is log(1 + eˣ).
func softplus(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}

// sigmoid is 1/(1 + e⁻ˣ).
func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// logSumExp is log Σ eˣ; −Inf for a sum without a term.
func logSumExp(xs ...float64) float64 {
	m := math.Inf(-1)
	for _, x := range xs {
		m = math.Max(m, x)
	}
	if math.IsInf(m, 0) {
		return m
	}
	sum := 0.0
	for _, x := range xs {
		sum += math.Exp(x - m)
	}
	return m + math.Log(sum)
}

// bounded keeps a raw log scale between −8 and 8, smoothly, and returns the derivative too.
func bounded(raw float64) (v, derivative float64) {
	const most = 8
	t := math.Tanh(raw / most)
	return most * t, 1 - t*t
}
