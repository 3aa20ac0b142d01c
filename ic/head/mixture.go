package head

import (
	"math"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// mixture is a mixture of k kernels and the prior. A row holds k + 1 logits, the last one the prior's, then k
// raw locations, then k raw log scales. Kernels live in a space in which priors look alike (see space), so
// that a row means the same whatever the prior's parameters are at this visit.
//
// What a kernel would draw beyond the space's first and last u is drawn from the prior instead. There doubles end, and the
// last one would be an atom whose probability no density tells; or they are so far apart that a narrow kernel falls between two.
type mixture struct {
	k      int
	least  float64 // weight of the prior
	kernel kernel
	space  func(p *Prior) space
}

// space maps a value x to u, in which the prior has about the location and scale given.
type space struct {
	to              func(x float64) float64
	from            func(u float64) float64
	logSlope        func(x float64) float64 // log |du/dx|
	location, scale float64
	low, high       float64 // ends of the support, for kernels that need them
	first, last     float64 // the part of it that kernels reach; both 0: all
	fixed           bool    // the prior has all its mass at one point
	whole           bool    // values are integers
	// Of values that are numbered by u: the log-odds of the prior's probability up to each end of u's share, and whose share log-odds are in.
	share func(u float64) (low, high float64)
	whose func(logOdds float64) float64
}

// kernel is a density or mass function in the space, with raw location m and raw log scale s.
type kernel interface {
	// logProb also returns the derivatives with respect to m and s.
	logProb(sp *space, m, s, u float64) (lp, dm, ds float64)
	sample(sp *space, m, s float64, st *dist.Stream) float64
	// outside is the mass beyond the space's first and last u, and its derivatives with respect to m and s.
	outside(sp *space, m, s float64) (p, dm, ds float64)
}

func (f mixture) Outputs() int { return 3*f.k + 1 }

func (f mixture) Linear() (from, to int) { return f.k + 1, 2*f.k + 1 }

// Init spreads the components over the prior.
func (f mixture) Init(row []float64) {
	clear(row)
	spread := 1.5
	if _, ok := f.kernel.(truncatedKernel); ok { // whose locations go through a sigmoid
		spread = 3
	}
	for j := range f.k {
		row[f.k+1+j] = spread * ((2*float64(j)+1)/float64(f.k) - 1)
		row[2*f.k+1+j] = -0.3
	}
}

// weights writes the log softmax of the logits to room, and returns the prior's log weight.
func (f mixture) weights(row, room []float64) (logPrior float64) {
	total := logSumExp(row[:f.k+1]...)
	for i := range room {
		room[i] = row[i] - total
	}
	return math.Log(f.least + (1-f.least)*math.Exp(room[f.k]))
}

// maxRoom is the number of components up to which nothing is allocated.
const maxRoom = 32

func (f mixture) LogProb(p *Prior, row []float64, x float64, grad []float64) float64 {
	prior := p.LogProb(x)
	sp := f.space(p)
	u, slope := sp.to(x), sp.logSlope(x)
	if sp.fixed || prior != prior || !sp.has(u) {
		clear(grad)
		return prior // nothing to choose, or a value that the prior cannot have
	}
	var rooms [3][maxRoom + 1]float64
	logW, terms := rooms[0][:], rooms[1][:]
	if f.k > maxRoom {
		logW, terms = make([]float64, f.k+1), make([]float64, f.k+1)
	}
	logW, terms = logW[:f.k+1], terms[:f.k+1]
	logPrior := f.weights(row, logW)
	m, s := row[f.k+1:2*f.k+1], row[2*f.k+1:]
	beyond := 0.0 // of the kernels' mass
	reached := sp.reaches(u)
	for j := range f.k {
		lp, dm, ds := math.Inf(-1), 0.0, 0.0
		if reached {
			lp, dm, ds = f.kernel.logProb(&sp, m[j], s[j], u)
		}
		terms[j] = math.Log1p(-f.least) + logW[j] + lp + slope
		if grad != nil {
			grad[f.k+1+j], grad[2*f.k+1+j] = dm, ds
		}
		if out, _, _ := f.kernel.outside(&sp, m[j], s[j]); out > 0 {
			beyond += (1 - f.least) * math.Exp(logW[j]) * out
		}
	}
	logAll := logPrior // the prior's weight with what goes beyond
	if beyond > 0 {
		logAll = math.Log(math.Exp(logPrior) + beyond)
	}
	terms[f.k] = logAll + prior
	total := logSumExp(terms...)
	if grad == nil || math.IsInf(total, -1) {
		clear(grad)
		return total
	}
	// q = Σ wⱼ·((1−ε)·kⱼ + (1−ε)·oⱼ·f) + (ε + (1−ε)·w₀)·f: with rᵢ the part of log q that is proportional to wᵢ,
	// d log q/d logitᵢ = rᵢ − wᵢ·Σr.
	fq := math.Exp(prior - total) // f/q
	sum := 0.0
	for j := range f.k {
		r := math.Exp(terms[j] - total)
		grad[j] = r
		grad[f.k+1+j] *= r
		grad[2*f.k+1+j] *= r
		if beyond > 0 {
			out, dm, ds := f.kernel.outside(&sp, m[j], s[j])
			w := (1 - f.least) * math.Exp(logW[j]) * fq
			grad[j] += w * out
			grad[f.k+1+j] += w * dm
			grad[2*f.k+1+j] += w * ds
		}
		sum += grad[j]
	}
	grad[f.k] = (1 - f.least) * math.Exp(logW[f.k]) * fq
	sum += grad[f.k]
	for j := range f.k + 1 {
		grad[j] -= math.Exp(logW[j]) * sum
	}
	return total
}

// reaches tells whether kernels may draw u.
func (sp *space) reaches(u float64) bool {
	return sp.first == sp.last || u >= sp.first && u <= sp.last
}

// has tells whether a value of the support is at u.
func (sp *space) has(u float64) bool {
	return !math.IsInf(u, 0) && u == u && (sp.low == sp.high || u >= sp.low && u <= sp.high && (!sp.whole || u == math.Floor(u)))
}

func (f mixture) Sample(p *Prior, row []float64, st *dist.Stream) float64 {
	sp := f.space(p)
	if sp.fixed {
		return p.Sample(st)
	}
	var room [maxRoom + 1]float64
	logW := room[:]
	if f.k > maxRoom {
		logW = make([]float64, f.k+1)
	}
	logW = logW[:f.k+1]
	f.weights(row, logW)
	t := st.Float64()
	for j := range f.k {
		if t -= (1 - f.least) * math.Exp(logW[j]); t < 0 {
			if u := f.kernel.sample(&sp, row[f.k+1+j], row[2*f.k+1+j], st); sp.reaches(u) {
				return sp.from(u)
			}
			break
		}
	}
	return p.Sample(st)
}
