package posterior

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"
)

// ChainFigures are what several chains say of one quantity (A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P. Bürkner, "Rank-normalization, folding,
// and localization: an improved R̂ for assessing convergence of MCMC", Bayesian Analysis 2021).
type ChainFigures struct {
	Rhat float64 // rank-normalised split-R̂, or that of the folded values if it is larger; NaN of a constant
	Bulk float64 // effective sample size of the rank-normalised values
	Tail float64 // that of the quantiles .05 and .95, the smaller
	Mean float64 // that of the mean
	MCSE float64 // Monte Carlo standard error of the mean
}

// Chains computes the figures of chains of equal length, four draws at least.
func Chains(chains [][]float64) (f ChainFigures) {
	nan := math.NaN()
	if len(chains) == 0 || len(chains[0]) < 4 || slices.ContainsFunc(chains, func(c []float64) bool { return len(c) != len(chains[0]) || slices.ContainsFunc(c, isBad) }) {
		return ChainFigures{nan, nan, nan, nan, nan}
	}
	halves := split(chains)
	all := slices.Concat(halves...)
	if slices.Min(all) == slices.Max(all) {
		n := float64(len(all))
		return ChainFigures{nan, n, n, n, 0}
	}
	z := normalised(halves)
	f.Rhat = rhat(z)
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	median := quantile(sorted, 0.5)
	f.Rhat = max(f.Rhat, rhat(normalised(mapped(halves, func(x float64) float64 { return math.Abs(x - median) }))))
	f.Bulk, f.Mean = chainESS(z), chainESS(halves)
	f.Tail = math.Inf(1)
	for _, p := range []float64{0.05, 0.95} {
		q := quantile(sorted, p)
		f.Tail = min(f.Tail, chainESS(mapped(halves, func(x float64) float64 {
			if x <= q {
				return 1
			}
			return 0
		})))
	}
	f.MCSE = stat.StdDev(slices.Concat(chains...), nil) / math.Sqrt(f.Mean)
	return f
}

func isBad(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }

// split halves each chain; of an odd number of draws the middle one is left out.
func split(chains [][]float64) (out [][]float64) {
	for _, c := range chains {
		half := len(c) / 2
		out = append(out, c[:half], c[len(c)-half:])
	}
	return out
}

func mapped(chains [][]float64, f func(float64) float64) (out [][]float64) {
	for _, c := range chains {
		d := make([]float64, len(c))
		for i, x := range c {
			d[i] = f(x)
		}
		out = append(out, d)
	}
	return out
}

// quantile interpolates between the two nearest of n sorted values (R's and numpy's default).
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// normalised replaces values by the normal quantiles of their ranks among all; those of ties are the mean of their ranks.
func normalised(chains [][]float64) (out [][]float64) {
	sorted := slices.Concat(chains...)
	slices.Sort(sorted)
	n := float64(len(sorted))
	return mapped(chains, func(x float64) float64 {
		first, _ := slices.BinarySearch(sorted, x)
		last, _ := slices.BinarySearchFunc(sorted, x, func(y, x float64) int {
			if y <= x {
				return -1
			}
			return 1
		})
		rank := (float64(first+1) + float64(last)) / 2
		return mathext.NormalQuantile((rank - 0.375) / (n + 0.25))
	})
}

// rhat is the potential scale reduction of chains.
func rhat(chains [][]float64) float64 {
	n := float64(len(chains[0]))
	within, between := variances(chains)
	return math.Sqrt((between/within + n - 1) / n)
}

// variances are the mean variance within chains, and n times the variance of their means.
func variances(chains [][]float64) (within, between float64) {
	var means []float64
	for _, c := range chains {
		m, v := stat.MeanVariance(c, nil)
		means = append(means, m)
		within += v / float64(len(chains))
	}
	if len(means) > 1 {
		between = stat.Variance(means, nil) * float64(len(chains[0]))
	}
	return within, between
}

// chainESS is the effective sample size of chains by Geyer's initial monotone sequence of their autocorrelations.
func chainESS(chains [][]float64) float64 {
	m, n := len(chains), len(chains[0])
	total := float64(m * n)
	all := slices.Concat(chains...)
	if slices.Min(all) == slices.Max(all) {
		return total
	}
	acov := make([]float64, n)
	for _, c := range chains {
		for lag, v := range autocovariance(c) {
			acov[lag] += v / float64(m)
		}
	}
	within := acov[0] * float64(n) / float64(n-1)
	pooled := within * float64(n-1) / float64(n)
	if m > 1 {
		_, between := variances(chains)
		pooled += between / float64(n)
	}
	rho := func(lag int) float64 { return 1 - (within-acov[lag])/pooled }
	// Sums of pairs are positive and fall, if it is not noise.
	r := make([]float64, n)
	r[0], r[1] = 1, rho(1)
	even, odd := 1.0, r[1]
	t := 1
	for t < n-3 && even+odd > 0 {
		even, odd = rho(t+1), rho(t+2)
		if even+odd >= 0 {
			r[t+1], r[t+2] = even, odd
		}
		t += 2
	}
	last := t - 2
	if even > 0 && last+1 < n {
		r[last+1] = even
	}
	for t := 1; t <= last-2; t += 2 {
		if r[t+1]+r[t+2] > r[t-1]+r[t] {
			r[t+1] = (r[t-1] + r[t]) / 2
			r[t+2] = r[t+1]
		}
	}
	tau := -1.0
	for i := 0; i <= last; i++ {
		tau += 2 * r[i]
	}
	if last+1 < n {
		tau += r[last+1]
	}
	return total / max(tau, 1/math.Log10(total))
}

// autocovariance is that of a chain at each lag, by the fast Fourier transform.
func autocovariance(x []float64) []float64 {
	n := len(x)
	size := 1
	for size < 2*n {
		size *= 2
	}
	padded := make([]float64, size)
	mean := stat.Mean(x, nil)
	for i, v := range x {
		padded[i] = v - mean
	}
	fft := fourier.NewFFT(size)
	c := fft.Coefficients(nil, padded)
	for i, v := range c {
		c[i] = complex(real(v)*real(v)+imag(v)*imag(v), 0)
	}
	out := fft.Sequence(nil, c)[:n]
	for i := range out {
		out[i] /= float64(size) * float64(n)
	}
	return out
}

// Chained is what a Summary keeps of chains besides: each variable in the order of steps. Draws of one chain depend on each other, so that neither errors nor
// effective sample sizes follow from their number.
type Chained struct {
	index   map[uint32]int // of a chain
	count   []int          // draws of each
	joint   *sequence      // log joint density
	length  *sequence      // number of statements
	tracked []*sequence    // of variables
	numbers int
	figures ChainFigures // of all: the largest R̂, the smallest sizes
	at      int          // draws when they were computed
}

// sequence is one number of each draw, by chain; NaN where the draw has none.
type sequence struct {
	chains [][]float64
	absent bool // some draw has none

	figures ChainFigures
	at      uint64 // draws of all chains when they were computed
}

// maxSequences is how many numbers are kept; above, the variables that came last lose theirs.
const maxSequences = 50_000_000

// NewChainSummary returns an empty summary of chains, whose traces have equal weights.
func NewChainSummary() *Summary {
	s := NewSummary()
	s.Chained = &Chained{index: map[uint32]int{}, joint: &sequence{}, length: &sequence{}}
	return s
}

// next is a draw of a chain.
func (c *Chained) next(chain uint32) int {
	i, ok := c.index[chain]
	if !ok {
		i = len(c.count)
		c.index[chain] = i
		c.count = append(c.count, 0)
	}
	c.count[i]++
	return i
}

// track begins the sequence of another variable; nil if there is no room.
func (c *Chained) track() *sequence {
	if c.numbers > maxSequences {
		return nil
	}
	q := &sequence{}
	c.tracked = append(c.tracked, q)
	return q
}

// put is the value of the chain's present draw.
func (c *Chained) put(q *sequence, i int, x float64) {
	for len(q.chains) < len(c.count) {
		q.chains = append(q.chains, nil)
	}
	for len(q.chains[i]) < c.count[i]-1 {
		q.chains[i] = append(q.chains[i], math.NaN())
		q.absent = true
	}
	if len(q.chains[i]) < c.count[i] {
		q.chains[i] = append(q.chains[i], x)
		c.numbers++
	}
	if c.numbers > maxSequences && len(c.tracked) > 1 {
		half := len(c.tracked) / 2
		for _, lost := range c.tracked[half:] {
			lost.chains = nil
		}
		c.tracked, c.numbers = c.tracked[:half], c.numbers/2
	}
}

// of are the figures of a sequence; of one that some draws have not, the worse of those of whether they have it, and of the values that there are.
func (c *Chained) of(q *sequence) ChainFigures {
	least, total := math.MaxInt, uint64(0)
	for _, n := range c.count {
		least = min(least, n)
		total += uint64(n)
	}
	if q == nil || q.chains == nil || least == math.MaxInt {
		return Chains(nil)
	}
	if q.at != total {
		q.at, q.figures = total, c.compute(q, least)
	}
	return q.figures
}

// compute are the figures of the first draws of a sequence, as many of each chain.
func (c *Chained) compute(q *sequence, least int) ChainFigures {
	absent := q.absent
	for i := range c.count {
		absent = absent || i >= len(q.chains) || len(q.chains[i]) < c.count[i]
	}
	var chains [][]float64
	for i := range c.count {
		x := make([]float64, least)
		for k := range x {
			v := math.NaN()
			if i < len(q.chains) && k < len(q.chains[i]) {
				v = q.chains[i][k]
			}
			switch {
			case !absent:
				x[k] = v
			case v == v:
				x[k] = 1
			}
		}
		chains = append(chains, x)
	}
	f := Chains(chains)
	if !absent {
		return f
	}
	var there [][]float64
	fewest := math.MaxInt
	for i := range c.count {
		var x []float64
		if i < len(q.chains) {
			x = slices.DeleteFunc(slices.Clone(q.chains[i]), isBad)
		}
		there = append(there, x)
		fewest = min(fewest, len(x))
	}
	for i := range there {
		there[i] = there[i][:fewest]
	}
	if v := Chains(there); !math.IsNaN(v.Bulk) {
		worse := func(a, b float64) float64 {
			if math.IsNaN(a) {
				return b
			}
			return min(a, b)
		}
		f = ChainFigures{math.Max(nanless(f.Rhat), nanless(v.Rhat)), worse(f.Bulk, v.Bulk), worse(f.Tail, v.Tail), worse(f.Mean, v.Mean), v.MCSE}
	}
	return f
}

// ChainFigures are those of all variables, the log joint density and the number of statements together: the largest R̂, and the smallest effective sample
// sizes. Constants say nothing.
func (s *Summary) ChainFigures() ChainFigures {
	c := s.Chained
	if n := int(s.Weights.N); n != c.at {
		c.at = n
		f := ChainFigures{Rhat: math.NaN(), Bulk: math.Inf(1), Tail: math.Inf(1), Mean: math.Inf(1)}
		for _, q := range append([]*sequence{c.joint, c.length}, c.tracked...) {
			if x := c.of(q); !math.IsNaN(x.Rhat) || len(c.count) == 1 && x.MCSE > 0 {
				f = ChainFigures{math.Max(nanless(f.Rhat), nanless(x.Rhat)), min(f.Bulk, x.Bulk), min(f.Tail, x.Tail), min(f.Mean, x.Mean), 0}
			}
		}
		if math.IsInf(f.Bulk, 1) { // too few draws
			f = ChainFigures{math.NaN(), 0, 0, 0, math.NaN()}
		}
		c.figures = f
	}
	return c.figures
}

func nanless(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// ESS is the effective sample size of the result: that of the weights; of chains the smallest bulk effective sample size, of particles the smallest one that
// their islands tell.
func (s *Summary) ESS() float64 {
	switch {
	case s.Islands != nil:
		return s.islandESS()
	case s.Chained != nil:
		return s.ChainFigures().Bulk
	}
	return s.Weights.ESS()
}

// ChainsOf are the values of a variable by chain, in the order of steps, NaN where a draw lacks it; nil if they are not of chains, or were not kept.
func (s *Summary) ChainsOf(name string) [][]float64 {
	a, ok := s.find(name)
	if !ok || s.Chained == nil || a.chains == nil {
		return nil
	}
	return a.chains.chains
}

// RankCounts are the histograms of the chains' draws among the ranks of all of them, in so many bins: alike and level if the chains have come to the same
// (A. Vehtari et al., "Rank-normalization, folding, and localization", 2021, section 5). NaN is left out.
func RankCounts(chains [][]float64, bins int) [][]int {
	type draw struct {
		v     float64
		chain int
	}
	var all []draw
	for i, c := range chains {
		for _, v := range c {
			if !math.IsNaN(v) {
				all = append(all, draw{v, i})
			}
		}
	}
	slices.SortFunc(all, func(a, b draw) int { return cmp.Compare(a.v, b.v) })
	out := make([][]int, len(chains))
	for i := range out {
		out[i] = make([]int, bins)
	}
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].v == all[from].v {
			to++
		}
		// Ties share their ranks: in turns they take them all.
		by := make([][]int, len(chains))
		for k, d := range all[from:to] {
			by[d.chain] = append(by[d.chain], k)
		}
		for i, own := range by {
			for k := range own {
				rank := from + int((float64(k)+0.5)/float64(len(own))*float64(to-from))
				out[i][min(bins-1, rank*bins/len(all))]++
			}
		}
		from = to
	}
	return out
}
