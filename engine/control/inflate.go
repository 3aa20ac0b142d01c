package control

import (
	"math"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Inflate is prior inflation per trace: with probability ε all free, controlled latents of the run draw
// from a widened distribution f̃, else from their own f. The trace's proposal is the mixture
// (1−ε)·Π f + ε·Π f̃, so its weight is at most 1/(1−ε), however many latents there are.
//
// The mixture is recorded site by site: with ℓ = log Π f̃/f over the sites so far and
// a = ε·e^ℓ/((1−ε) + ε·e^ℓ), site i has LogQ = log[(1−a)·f(z) + a·f̃(z)], and Σ LogQ is the log density
// of the mixture exactly. One Inflate belongs to one run.
type Inflate struct {
	logEps, log1mEps float64
	eps              float64
	decided, wide    bool
	ratio            float64 // ℓ

	el   element
	a, b []float64 // the broadcast parameters of a tensor site
}

var _ engine.Layer = (*Inflate)(nil)

// coinStatement is the statement number of the coin's random numbers: no statement has it.
const coinStatement = math.MaxUint64 >> 1

// NewInflate returns the layer for 0 < eps < 1.
func NewInflate(eps float64) *Inflate {
	return &Inflate{eps: eps, logEps: math.Log(eps), log1mEps: math.Log1p(-eps)}
}

// Choose implements engine.Layer.
func (l *Inflate) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if s.Op != ppx.Sample || !s.Control {
		return engine.Choice{}, false, nil
	}
	if !l.decided {
		l.decided = true
		l.wide = r.Rand(coinStatement, dist.PurposeProposal).Float64() < l.eps
	}
	v := r.Room(s.Len)
	var err error
	if !l.wide {
		err = s.Dist.Sample(r.Rand(s.Index, dist.PurposeValue), v)
	} else {
		err = l.each(s, func(i int) error {
			v[i] = l.el.sample(r.Rand(s.Index, dist.PurposeProposal), uint64(i))
			return nil
		})
	}
	if err != nil {
		return engine.Choice{}, false, err
	}
	logF, err := s.Dist.LogProb(ppx.Tensor{Data: v, Shape: s.Shape})
	if err != nil {
		return engine.Choice{}, false, err
	}
	logWide := 0.0
	if err := l.each(s, func(i int) error { logWide += l.el.logProb(v[i]); return nil }); err != nil {
		return engine.Choice{}, false, err
	}
	total := tracing.LogAdd(l.log1mEps, l.logEps+l.ratio)
	c := engine.Choice{Value: v, Origin: tracing.Inflated}
	c.LogQ = tracing.LogAdd(l.log1mEps-total+logF, l.logEps+l.ratio-total+logWide)
	l.ratio += logWide - logF
	return c, true, nil
}

// each sets l.el to the widened distribution of each element of a site in turn.
func (l *Inflate) each(s *engine.Site, f func(i int) error) error {
	k := s.Dist.Kind
	if k == dist.Categorical {
		n := s.Dist.Categories()
		for i := range s.Len {
			l.el.widenCategorical(s.Dist.Params[0].Data[i*n : (i+1)*n])
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	l.a = dist.Expand(l.a[:0], s.Dist.Params[0], s.Shape, s.Len)
	two := len(k.Params()) == 2
	if two {
		l.b = dist.Expand(l.b[:0], s.Dist.Params[1], s.Shape, s.Len)
	}
	for i := range s.Len {
		b := 0.0
		if two {
			b = l.b[i]
		}
		l.el.widen(k, l.a[i], b)
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// element is the widened distribution of one element: a member of the same family, or for the counts a
// mixture over their mean. Its support is the prior's.
type element struct {
	d     dist.Dist // the distribution, or what the mean is mixed over
	mixed dist.Kind // Poisson: negative binomial; Binomial: beta-binomial; else None
	n     float64   // Binomial's total count
	room  [2][1]float64
	probs []float64
}

func (e *element) set(k dist.Kind, a, b float64) {
	e.d.Kind, e.mixed = k, dist.None
	e.room[0][0], e.room[1][0] = a, b
	e.d.Params = [2]dist.Tensor{{Data: e.room[0][:]}}
	if len(k.Params()) == 2 {
		e.d.Params[1] = dist.Tensor{Data: e.room[1][:]}
	}
}

// widenCategorical makes the categories that have a chance equally likely.
func (e *element) widenCategorical(row []float64) {
	e.probs = e.probs[:0]
	for _, p := range row {
		e.probs = append(e.probs, math.Ceil(math.Min(p, 1)))
	}
	e.mixed = dist.None
	e.d = dist.Dist{Kind: dist.Categorical, Params: [2]dist.Tensor{{Data: e.probs, Shape: []int32{int32(len(row))}}}}
}

// widen triples the standard deviation where the family can (the counts' and the Beta's concentration is
// kept high enough for a single peak), keeping the mean where that leaves the density at 0 finite.
func (e *element) widen(k dist.Kind, a, b float64) {
	if !widens(k, a, b) {
		e.set(k, a, b)
		return
	}
	flatter := func(c, by float64) float64 { return math.Max(c/by, math.Min(c, 1)) }
	switch k {
	case dist.Normal, dist.LogNormal:
		e.set(k, a, 3*b)
	case dist.Bernoulli:
		e.set(k, 0.5, b)
	case dist.Beta:
		e.set(k, flatter(a, 9), flatter(b, 9))
	case dist.Exponential:
		e.set(k, a/3, b)
	case dist.Gamma:
		shape := flatter(a, 9)
		e.set(k, shape, b*math.Sqrt(shape/a)/3)
	case dist.Weibull:
		c := flatter(b, 3)
		e.set(k, a*3*c/b, c)
	case dist.Poisson:
		// Gamma-mixed Poisson of mean a and variance 9a: the Gamma has shape a/8, kept at 1 or above.
		shape := math.Max(a/8, 1)
		e.set(dist.Gamma, shape, shape/a)
		e.mixed = dist.Poisson
	case dist.Binomial:
		// Beta-mixed Binomial of mean n·p and nine times the variance where n allows it.
		total := math.Max((a-9)/8, 1/math.Min(b, 1-b))
		e.set(dist.Beta, total*b, total*(1-b))
		e.mixed, e.n = dist.Binomial, a
	}
}

// widens tells whether widening an element is of use and can be scored exactly: a Uniform has nowhere to go,
// and near the ends of double precision samples are clamped, or densities lose their digits.
func widens(k dist.Kind, a, b float64) bool {
	const large = 1e9       // counts beyond it lose digits in differences of log-gammas
	const logMax = 700.0    // of what a double can hold
	const tail = 40.0       // standard deviations, or nats, that samples may reach
	const smallShape = 0.05 // below, a Gamma's or Beta's samples underflow
	switch k {
	case dist.Normal:
		return b < 1e300
	case dist.LogNormal:
		return math.Abs(a)+3*tail*b < logMax
	case dist.Bernoulli:
		return a > 0 && a < 1
	case dist.Beta:
		return a > smallShape && b > smallShape
	case dist.Exponential:
		return a > 1e-290 && a < 1e290
	case dist.Gamma:
		return a > smallShape && a < large && math.Abs(math.Log(b)) < logMax-100
	case dist.Weibull:
		return math.Abs(math.Log(a))+tail/math.Min(b/3, 1) < logMax
	case dist.Poisson:
		return a > 1/large && a < large
	case dist.Binomial:
		return a >= 1 && a < large && b > 1/large && b < 1-1/large
	}
	return false
}

// sample draws element i of a site from its own part of the site's random numbers.
func (e *element) sample(s *dist.Stream, i uint64) float64 {
	s.Skip(i << 16)
	var v [1]float64
	d := e.d
	_ = d.Sample(s, v[:]) // cannot fail: one element, checked parameters
	switch e.mixed {
	case dist.Poisson:
		d = dist.New(dist.Poisson, v[0])
		_ = d.Sample(s, v[:])
	case dist.Binomial:
		d = dist.New(dist.Binomial, e.n, v[0])
		_ = d.Sample(s, v[:])
	}
	return v[0]
}

func (e *element) logProb(x float64) float64 {
	a, b := e.room[0][0], e.room[1][0]
	switch e.mixed {
	case dist.Poisson: // negative binomial
		if x < 0 || x != math.Floor(x) {
			return math.Inf(-1)
		}
		return lgamma(x+a) - lgamma(a) - lgamma(x+1) + a*math.Log(b/(b+1)) - x*math.Log1p(b)
	case dist.Binomial: // beta-binomial
		if x < 0 || x > e.n || x != math.Floor(x) {
			return math.Inf(-1)
		}
		return lgamma(e.n+1) - lgamma(x+1) - lgamma(e.n-x+1) +
			lgamma(x+a) + lgamma(e.n-x+b) - lgamma(e.n+a+b) + lgamma(a+b) - lgamma(a) - lgamma(b)
	}
	var v [1]float64
	v[0] = x
	lp, err := e.d.LogProb(dist.Tensor{Data: v[:]})
	if err != nil {
		return math.NaN()
	}
	return lp
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
