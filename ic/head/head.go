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

// Prior is the prior of one element.
type Prior = dist.Element

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

// head is a row of the table of heads: everything that a network needs to know of a kind.
type head struct {
	// new makes the family: of so many components if it is a mixture, for so many categories if the kind has some.
	new        func(components, categories int) (Family, error)
	coordinate func(x float64) float64                  // see Coordinate; nil: the value itself
	summary    func(p *Prior) (location, scale float64) // see Summary; nil: 0 and 1
	labels     bool                                     // values are labels, not quantities
}

// heads is the table.
var heads = [dist.NumKinds]head{
	dist.Normal:      mixed(MinPrior, normalKernel{}, identity, nil),
	dist.Uniform:     {mixtures(MinPriorUniform, truncatedKernel{}, unitInterval), nil, uniformSummary, false},
	dist.Exponential: mixed(MinPrior, logisticKernel{}, logarithm, logCoordinate),
	dist.Gamma:       mixed(MinPrior, logisticKernel{}, logarithm, logCoordinate),
	dist.LogNormal:   mixed(MinPrior, logisticKernel{}, logarithm, logCoordinate),
	dist.Weibull:     mixed(MinPrior, logisticKernel{}, logarithm, logCoordinate),
	dist.Beta:        mixed(MinPrior, logisticKernel{}, logit, logitCoordinate),
	dist.Poisson:     mixed(MinPrior, countKernel{}, counts, nil),
	dist.Binomial:    mixed(MinPrior, countKernel{}, counts, nil),

	dist.TruncatedNormal:               mixed(MinPrior, logisticKernel{}, truncated, nil),
	dist.HalfNormal:                    mixed(MinPrior, logisticKernel{}, logarithm, logCoordinate),
	dist.StudentT:                      mixed(MinPrior, logisticKernel{}, located, nil),
	dist.Cauchy:                        mixed(MinPrior, logisticKernel{}, located, nil),
	dist.Laplace:                       mixed(MinPrior, logisticKernel{}, located, nil),
	dist.Logistic:                      mixed(MinPrior, logisticKernel{}, located, nil),
	dist.Pareto:                        {mixtures(MinPrior, logisticKernel{}, excess), logCoordinate, paretoSummary, false},
	dist.InverseGamma:                  mixed(MinPrior, logisticKernel{}, logarithm, logCoordinate),
	dist.VonMises:                      {mixtures(MinPriorUniform, truncatedKernel{}, circle), nil, vonMisesSummary, false},
	dist.LogUniform:                    {mixtures(MinPriorUniform, truncatedKernel{}, logInterval), logCoordinate, logUniformSummary, false},
	dist.NegativeBinomial2:             mixed(MinPrior, countKernel{}, counts, nil),
	dist.Geometric:                     mixed(MinPrior, countKernel{}, counts, nil),
	dist.DiscreteUniform:               mixed(MinPriorUniform, countKernel{}, counts, nil),
	dist.ZeroInflatedPoisson:           mixed(MinPrior, countKernel{}, counts, nil),
	dist.ZeroInflatedNegativeBinomial2: mixed(MinPrior, countKernel{}, counts, nil),
	dist.BetaBinomial:                  mixed(MinPrior, countKernel{}, counts, nil),

	dist.Mixture:         {mixtures(MinPrior, logisticKernel{}, anywhere), nil, placeSummary, false},
	dist.DiscreteMixture: mixed(MinPrior, countKernel{}, counts, nil),
	dist.Empirical:       {mixtures(MinPriorUniform, atomKernel{}, atoms), nil, placeSummary, false},
	dist.Histogram:       {mixtures(MinPriorUniform, truncatedKernel{}, edges), nil, placeSummary, false},

	dist.Categorical: {newCategorical, nil, nil, true},
	dist.Bernoulli:   {func(int, int) (Family, error) { return bernoulli{}, nil }, signs, bernoulliSummary, true},
}

// mixtures makes mixtures of a kernel in a space.
func mixtures(minPrior float64, k kernel, in func(p *Prior) space) func(components, _ int) (Family, error) {
	return func(components, _ int) (Family, error) { return mixture{components, minPrior, k, in}, nil }
}

// mixed is the row of such mixtures, summarised by location and scale of the prior in that space.
func mixed(minPrior float64, k kernel, in func(p *Prior) space, coordinate func(float64) float64) head {
	summary := func(p *Prior) (float64, float64) {
		s := in(p)
		return s.location, s.scale
	}
	return head{mixtures(minPrior, k, in), coordinate, summary, false}
}

// New returns the family for a kind: a mixture of the given number of components where it is one.
// categories is the number of categories of a Categorical. Of a kind whose draws are rows it is that of their coordinates (dist.Row).
func New(k dist.Kind, components, categories int) (Family, error) {
	if k.Vector() {
		k = k.PartKind()
	}
	switch {
	case components < 1:
		return nil, fmt.Errorf("a proposal of %d components", components)
	case !k.Valid() || heads[k].new == nil:
		return nil, fmt.Errorf("no proposal for distribution %s", k)
	}
	return heads[k].new(components, categories)
}

func newCategorical(_, categories int) (Family, error) {
	if categories < 1 {
		return nil, fmt.Errorf("a Categorical of %d categories", categories)
	}
	return categorical{categories}, nil
}

// Labels tells that the values of a kind are labels, not quantities.
func Labels(k dist.Kind) bool { return heads[k].labels }

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
