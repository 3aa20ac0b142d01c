package posterior

import (
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// Weights accumulates the log weights of traces.
//
// A weight of zero (−Inf) is an ordinary weight. NaN and +Inf are counted as Bad and enter the sums as
// zeros.
type Weights struct {
	N      uint64 // all, zero and bad ones included
	Zero   uint64
	Bad    uint64
	Failed uint64 // draws without a trace, not among N: their weight is zero too
	// LeftOut is draws that a condition leaves out, not among N either: their weight is zero, too.
	LeftOut uint64
	// Before is what traces of equal weight were drawn from, nil for ordinary draws: they are clones, and say no more than those.
	Before *Before

	rel    tracing.Relative // to the first finite log weight
	max    float64          // largest log weight, relative; the sums are relative to it
	s1, s2 float64          // Σ e^(w−max), Σ e^2(w−max)
	top    []float64
}

// Before is the weights that resampled traces had.
type Before struct{ ESS, Khat, LogEvidenceSE float64 }

// share is how much of a draw a trace stands for: below 1 for clones.
func (w *Weights) share() float64 {
	if w.Before == nil || w.N == 0 {
		return 1
	}
	return math.Min(1, w.Before.ESS/float64(w.N))
}

// keepTop bounds how many of the largest weights are kept for k̂, which needs 3√N of them.
const keepTop = 1 << 21

// NewWeights returns an empty accumulator.
func NewWeights() *Weights { return &Weights{max: math.Inf(-1)} }

// Add takes a log weight in nats, lw + rest, where rest is what lw has lost in rounding. It returns the log weight relative to the first
// finite one, which is what weights can be computed from; −Inf for a weight of zero and for a bad one.
func (w *Weights) Add(lw, rest float64) float64 {
	w.N++
	switch {
	case math.IsNaN(lw) || math.IsInf(lw, 1):
		w.Bad++
		lw = math.Inf(-1)
	case math.IsInf(lw, -1):
		w.Zero++
	default:
		lw = w.rel.Log(lw, rest)
		w.sum(lw)
	}
	if len(w.top) == 2*keepTop {
		slices.SortFunc(w.top, descending)
		w.top = w.top[:keepTop]
	}
	w.top = append(w.top, lw)
	return lw
}

func (w *Weights) sum(lw float64) {
	switch {
	case lw > w.max:
		r := math.Exp(w.max - lw)
		w.s1 = w.s1*r + 1
		w.s2 = w.s2*r*r + 1
		w.max = lw
	default:
		e := math.Exp(lw - w.max)
		w.s1 += e
		w.s2 += e * e
	}
}

// AddFailed takes a draw whose run failed. The evidence is that of "the run succeeds, and the data": such a draw has weight zero.
func (w *Weights) AddFailed() { w.Failed++ }

// draws is how many there were, failed ones included.
func (w *Weights) draws() float64 { return float64(w.N + w.Failed + w.LeftOut) }

func descending(a, b float64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

// ESS is the effective sample size (Σ w)² / Σ w²; 0 when no weight is positive.
func (w *Weights) ESS() float64 {
	if w.s2 == 0 {
		return 0
	}
	return w.s1 * w.s1 / w.s2 * w.share()
}

// Largest is the share of the largest weight; NaN when no weight is positive.
func (w *Weights) Largest() float64 {
	if w.s1 == 0 {
		return math.NaN()
	}
	return 1 / w.s1
}

// LogEvidence is log((1/N)·Σ w) over all N draws, failed ones with weight zero; −Inf when no weight is positive, NaN without
// traces.
func (w *Weights) LogEvidence() float64 {
	if w.N == 0 {
		return math.NaN()
	}
	if w.s1 == 0 {
		return math.Inf(-1)
	}
	return w.rel.Absolute(w.max + math.Log(w.s1/w.draws()))
}

// LogSum is log Σ w; −Inf when no weight is positive.
func (w *Weights) LogSum() float64 {
	if w.s1 == 0 {
		return math.Inf(-1)
	}
	return w.rel.Absolute(w.max + math.Log(w.s1))
}

// LogEvidenceSE is the standard error of LogEvidence by the delta method: √(1/ESS − 1/N), over all N draws.
func (w *Weights) LogEvidenceSE() float64 {
	if w.Before != nil {
		return w.Before.LogEvidenceSE
	}
	if w.s1 == 0 {
		return math.NaN()
	}
	return math.Sqrt(math.Max(0, 1/w.ESS()-1/w.draws()))
}

// Khat is the shape k̂ of a generalised Pareto distribution fitted to the largest min(N/5, 3√N) weights
// (A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, "Pareto smoothed importance sampling", JMLR
// 2024). NaN where fewer than five weights are in the tail; −Inf where the tail is a constant, or hardly more than one.
func (w *Weights) Khat() float64 {
	if w.Before != nil {
		return w.Before.Khat
	}
	n := w.draws()
	m := int(math.Ceil(math.Min(n/5, 3*math.Sqrt(n))))
	if m < 5 || w.N == 0 {
		return math.NaN()
	}
	top := slices.Clone(w.top)
	for len(top) <= m { // more draws failed than are left
		top = append(top, math.Inf(-1))
	}
	slices.SortFunc(top, descending)
	if math.IsInf(top[0], -1) {
		return math.NaN()
	}
	if top[m]-top[0] < nothing {
		// The tail reaches to draws that are all but impossible, as under a hard constraint: a tail is what the possible ones have.
		n := 0
		for n < len(top) && top[n]-top[0] >= nothing {
			n++
		}
		if m = int(math.Ceil(math.Min(float64(n)/5, 3*math.Sqrt(float64(n))))); m < 5 || m >= n {
			return math.NaN()
		}
	}
	cut := math.Exp(top[m] - top[0])
	if top[0] == top[m] {
		return math.Inf(-1)
	}
	tail := make([]float64, 0, m)
	for i := m - 1; i >= 0; i-- {
		if x := math.Exp(top[i]-top[0]) - cut; x > 0 {
			tail = append(tail, x)
		}
	}
	if len(tail) < 5 {
		return math.NaN()
	}
	if k := fitPareto(tail); k <= 0.5 || top[0]-top[m] > heavySpan*math.Log(float64(m)) {
		return k
	}
	return math.Inf(-1)
}

// nothing is the log of a weight, relative to the largest, that counts for none.
const nothing = -23

// heavySpan is the exponent of m by which the largest of m weights in a tail must exceed the smallest, if the tail is to be heavy.
// The largest of m draws from a power tail of shape 0.7 is some m^0.7 times the cut, and below m^0.35 with probability
// (1 − m^−½)^m ≈ exp(−√m). Weights that are all of a size have no such tail, but a fit to their excesses over the cut, which may be of
// many sizes, knows no better.
const heavySpan = 0.35

// KhatLimit is the k̂ above which the estimates are unreliable at n draws: min(1 − 1/log₁₀ n, 0.7).
func KhatLimit(n uint64) float64 { return math.Min(1-1/math.Log10(float64(n)), 0.7) }

// KhatSE is about the standard error of k̂ at n draws, whose largest 3·√n tell it (R. Smith, "Estimating tails of probability distributions", 1987).
func KhatSE(khat float64, n uint64) float64 {
	return (1 + math.Max(khat, 0)) / math.Sqrt(math.Min(float64(n)/5, 3*math.Sqrt(float64(n))))
}

// fitPareto estimates the shape of a generalised Pareto distribution from ascending positive excesses
// (J. Zhang and M. Stephens, "A new and efficient estimation method for the generalized Pareto
// distribution", Technometrics 2009), with the weakly informative prior of Vehtari et al. that pulls k̂
// towards ½ as ten observations would.
func fitPareto(x []float64) float64 {
	n := float64(len(x))
	const prior = 3
	m := 30 + int(math.Sqrt(n))
	quartile := x[int(n/4+0.5)-1]
	largest := x[len(x)-1]
	theta := make([]float64, m)
	profile := make([]float64, m)
	shape := func(b float64) float64 {
		sum := 0.0
		for _, v := range x {
			sum += math.Log1p(-b * v)
		}
		return sum / n
	}
	for j := range theta {
		b := 1/largest + (1-math.Sqrt(float64(m)/(float64(j)+0.5)))/prior/quartile
		theta[j] = b
		k := shape(b)
		profile[j] = n * (math.Log(-b/k) - k - 1)
	}
	b := 0.0
	for j := range theta {
		sum := 0.0
		for _, l := range profile {
			sum += math.Exp(l - profile[j])
		}
		b += theta[j] / sum
	}
	return (n*shape(b) + 10*0.5) / (n + 10)
}
