package posterior

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Ranks finds where the true values of one data set lie among weighted draws of its posterior. If these are draws of the posterior, the ranks
// are uniform over data sets that the model has made (S. Talts, M. Betancourt, D. Simpson, A. Vehtari and A. Gelman, "Validating Bayesian
// inference algorithms with simulation-based calibration", 2018).
type Ranks struct {
	truth []float64
	sums  []rankSums
	top   float64 // log weight that the sums are relative to
}

// rankSums are sums of weights of the draws that have a quantity.
type rankSums struct{ below, tie, all, squares float64 }

// NewRanks takes the true value of each quantity; NaN: the truth lacks it.
func NewRanks(truth []float64) *Ranks {
	return &Ranks{truth: truth, sums: make([]rankSums, len(truth)), top: math.Inf(-1)}
}

// Add takes a draw: its log weight, relative to any constant, and its values; NaN where it lacks the quantity.
func (r *Ranks) Add(lw float64, values []float64) {
	if math.IsInf(lw, -1) || math.IsNaN(lw) {
		return
	}
	if lw > r.top {
		f := math.Exp(r.top - lw)
		for i := range r.sums {
			s := &r.sums[i]
			s.below, s.tie, s.all, s.squares = s.below*f, s.tie*f, s.all*f, s.squares*f*f
		}
		r.top = lw
	}
	w := math.Exp(lw - r.top)
	for i, x := range values {
		if math.IsNaN(x) {
			continue
		}
		s := &r.sums[i]
		switch {
		case x < r.truth[i]:
			s.below += w
		case x == r.truth[i]:
			s.tie += w
		}
		s.all += w
		s.squares += w * w
	}
}

// Known tells whether the truth has quantity i.
func (r *Ranks) Known(i int) bool { return !math.IsNaN(r.truth[i]) }

// Of is the rank of quantity i, in (0, 1): the weight below the truth and a share u, uniform, of that at it. Without the share exact posteriors
// of discrete quantities fail. ess is the effective sample size of the draws that have the quantity; 0 where none has, or the truth has not.
func (r *Ranks) Of(i int, u float64) (rank, ess float64) {
	s := &r.sums[i]
	if !r.Known(i) || !(s.all > 0) {
		return math.NaN(), 0
	}
	return min(1, (s.below+u*s.tie)/s.all), s.all * s.all / s.squares
}

// Uniformity is what the ranks of one quantity over data sets say.
type Uniformity struct {
	Sets     int
	Distance float64 // Kolmogorov and Smirnov's, of the ranks from uniform ones
	// P is the p-value, for this quantity alone, of the more surprising of two: that distance, which sees shifts, and the ranks' variance, which sees
	// posteriors that are too narrow or too wide.
	P float64
	// Coverage is the share of truths inside of the central 50, 80, 90 and 95 % intervals, with the standard error that calibrated ones have.
	Coverage [len(Intervals)]Share
	Bins     [RankBins]int // data sets by rank
	// Shift is the mean of the ranks less ½, and Spread their variance over 1/12, less 1, in standard errors. A posterior that is too narrow
	// has ranks at the ends: a positive spread.
	Shift, Spread float64
}

// Share is a share with its standard error.
type Share struct{ Value, SE float64 }

// RankBins is how many bars a histogram of ranks has.
const RankBins = 20

// Intervals are the central intervals whose coverage is counted.
var Intervals = [...]float64{0.5, 0.8, 0.9, 0.95}

// Uniform judges ranks.
func Uniform(ranks []float64) (u Uniformity) {
	n := float64(len(ranks))
	u.Sets = len(ranks)
	if u.Sets == 0 {
		u.Distance, u.P = math.NaN(), math.NaN()
		return u
	}
	r := slices.Clone(ranks)
	slices.Sort(r)
	mean, second := 0.0, 0.0
	for i, x := range r {
		u.Distance = max(u.Distance, x-float64(i)/n, float64(i+1)/n-x)
		u.Bins[max(0, min(RankBins-1, int(x*RankBins)))]++
		mean += x
		second += (x - 0.5) * (x - 0.5)
		for k, c := range Intervals {
			if math.Abs(x-0.5) <= c/2 {
				u.Coverage[k].Value++
			}
		}
	}
	for k, c := range Intervals {
		u.Coverage[k] = Share{u.Coverage[k].Value / n, math.Sqrt(c * (1 - c) / n)}
	}
	u.P = kolmogorov(u.Distance, n)
	if n >= leastVariance {
		u.P = min(1, 2*min(u.P, math.Erfc(math.Abs(u.spread(second))/math.Sqrt2)))
	}
	u.Shift = (mean/n - 0.5) * math.Sqrt(12*n)
	u.Spread = u.spread(second)
	return u
}

// leastVariance is how many ranks it takes for their variance to have a normal distribution, nearly.
const leastVariance = 50

// spread is the variance of uniform numbers over what it should be, less 1, in standard errors, from the sum of squares about ½: E (x − ½)⁴ = 1/80.
func (u *Uniformity) spread(sum float64) float64 {
	n := float64(u.Sets)
	return (12*sum/n - 1) / math.Sqrt(0.8/n)
}

// kolmogorov is the probability that n uniform numbers are at least so far from uniform: Kolmogorov's limit with M. Stephens' correction for
// finite n (1970), good to a few per cent of p from n = 8 on.
func kolmogorov(d, n float64) float64 {
	x := d * (math.Sqrt(n) + 0.12 + 0.11/math.Sqrt(n))
	if x < 0.3 {
		return 1
	}
	p := 0.0
	for k := 1.0; k <= 100; k++ {
		term := math.Exp(-2 * k * k * x * x)
		if int(k)%2 == 0 {
			term = -term
		}
		p += 2 * term
	}
	return max(0, min(1, p))
}

// Word says in a word what is wrong with ranks that are not uniform.
func (u *Uniformity) Word() string {
	switch {
	case math.Abs(u.Shift) >= max(3, math.Abs(u.Spread)) && u.Shift < 0:
		return "too high" // truths lie low among the draws
	case math.Abs(u.Shift) >= max(3, math.Abs(u.Spread)):
		return "too low"
	case u.Spread > 3:
		return "too narrow"
	case u.Spread < -3:
		return "too wide"
	}
	return "not uniform"
}

// BinomialBand is the least and the greatest number, of n data sets, that one of k bins has at uniform ranks, with at least the probability level.
func BinomialBand(n, k int, level float64) (low, high int) {
	b := distuv.Binomial{N: float64(n), P: 1 / float64(k)}
	for low < n && b.CDF(float64(low)) <= (1-level)/2 {
		low++
	}
	for high = low; high < n && b.CDF(float64(high)) < 1-(1-level)/2; {
		high++
	}
	return low, high
}

// Calibration is what the ranks of all quantities over data sets come to.
type Calibration struct {
	Quantities []RankedQuantity
	Trust      Trust
	Decided    int     // data sets of which every quantity was ranked
	Undecided  int     // data sets with too small an effective sample size, which say nothing
	Gain       float64 // mean of log q(θ*|x) − log p(θ*) in nats: what is learned of the truth; at most the mutual information
	GainSE     float64
}

// RankedQuantity is one of them.
type RankedQuantity struct {
	Name string
	Uniformity
	Undecided int
	Adjusted  float64 // p-value, times the number of quantities (Bonferroni)
}

// Codes of reasons that only calibrations have.
const (
	NotCalibrated = "not-calibrated"
	Undecided     = "undecided"
	FewSets       = "few-data-sets"
)

// Bounds of a calibration. A right method fails one in a hundred times to be good.
const (
	doubtfulP = 0.01
	noneP     = 0.001
	leastSets = 500 // made, decided or not
	leastP    = 8   // data sets that a p-value can be computed of
)

// Calibrate judges the ranks of quantities, by data set. A data set is undecided if the quantity that every draw has is. gains are those of the data
// sets, NaN where there is none.
func Calibrate(names []string, every string, ranks []map[string]float64, undecided [][]string, gains []float64) *Calibration {
	c := &Calibration{}
	lost := map[string]int{}
	for _, list := range undecided {
		if slices.Contains(list, every) {
			c.Undecided++
		} else {
			c.Decided++
		}
		for _, name := range list {
			lost[name]++
		}
	}
	tested := 0
	for _, name := range names {
		var list []float64
		for _, r := range ranks {
			if x, ok := r[name]; ok {
				list = append(list, x)
			}
		}
		if len(list)+lost[name] == 0 {
			continue
		}
		q := RankedQuantity{Name: name, Uniformity: Uniform(list), Undecided: lost[name], Adjusted: math.NaN()}
		if q.Sets >= leastP {
			tested++
		}
		c.Quantities = append(c.Quantities, q)
	}
	worst := -1
	rare := ""
	for i := range c.Quantities {
		q := &c.Quantities[i]
		if float64(q.Undecided) > 0.1*float64(q.Sets+q.Undecided)+float64(c.Undecided) && rare == "" {
			rare = fmt.Sprintf("%s was ranked in %d of the %d data sets that have it", q.Name, q.Sets, q.Sets+q.Undecided)
		}
		if q.Sets < leastP {
			continue
		}
		q.Adjusted = min(1, q.P*float64(tested))
		if worst < 0 || q.Adjusted < c.Quantities[worst].Adjusted || q.Adjusted == c.Quantities[worst].Adjusted && q.Distance > c.Quantities[worst].Distance {
			worst = i
		}
	}
	var n, sum, sum2 float64
	for _, g := range gains {
		if !math.IsNaN(g) && !math.IsInf(g, 0) {
			n++
			sum += g
			sum2 += g * g
		}
	}
	c.Gain = sum / n
	c.GainSE = math.Sqrt(max(0, sum2/n-c.Gain*c.Gain) / (n - 1))
	c.Trust.Verdict = Good
	add := func(v Verdict, code, variable, format string, args ...any) {
		c.Trust.Verdict = c.Trust.Verdict.Worse(v)
		c.Trust.Reasons = append(c.Trust.Reasons, Reason{code, fmt.Sprintf(format, args...), variable, v})
	}
	if worst >= 0 {
		if q := &c.Quantities[worst]; q.Adjusted < doubtfulP {
			v := Doubtful
			if q.Adjusted < noneP {
				v = None
			}
			add(v, NotCalibrated, q.Name, "the posterior is not calibrated: the ranks of the truth are not uniform for %s (%s; p %s for %d quantities together)", q.Name, q.Word(), tiny(q.Adjusted), tested)
		}
	}
	all := c.Decided + c.Undecided
	if c.Undecided > 0 && float64(c.Undecided) > 0.1*float64(all) {
		add(Doubtful, Undecided, "", "%d of %d data sets are undecided: their effective sample size stayed too small; those say nothing of whether the method is right, but that it is of little use there", c.Undecided, all)
	}
	if rare != "" {
		add(Doubtful, Undecided, "", "%s: in the others too few draws came to it (--max-draws)", rare)
	}
	switch {
	case c.Decided < leastP:
		add(None, FewSets, "", "so few data sets were ranked (%d) that it says nothing", c.Decided)
	case all < leastSets:
		add(Doubtful, FewSets, "", "%d data sets show only gross errors; make %d", all, leastSets)
	}
	slices.SortStableFunc(c.Trust.Reasons, func(a, b Reason) int {
		return slices.Index([]Verdict{None, Doubtful, Good}, a.Verdict) - slices.Index([]Verdict{None, Doubtful, Good}, b.Verdict)
	})
	return c
}
