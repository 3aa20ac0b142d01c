package head

import (
	"math"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// mixture is a mixture of k kernels and the prior. A row holds k + 1 logits, the last one the prior's, then k
// raw locations, then k raw log scales. Kernels live in a space in which priors look alike (see space), so
// that a row means the same whatever the prior's parameters are at this visit.
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
	fixed           bool    // the prior has all its mass at one point
}

// kernel is a density or mass function in the space, with raw location m and raw log scale s.
type kernel interface {
	// logProb also returns the derivatives with respect to m and s.
	logProb(sp *space, m, s, u float64) (lp, dm, ds float64)
	sample(sp *space, m, s float64, st *dist.Stream) float64
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
	if sp.fixed || math.IsInf(prior, -1) || prior != prior {
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
	u, slope := sp.to(x), sp.logSlope(x)
	m, s := row[f.k+1:2*f.k+1], row[2*f.k+1:]
	for j := range f.k {
		lp, dm, ds := f.kernel.logProb(&sp, m[j], s[j], u)
		terms[j] = math.Log1p(-f.least) + logW[j] + lp + slope
		if grad != nil {
			grad[f.k+1+j], grad[2*f.k+1+j] = dm, ds
		}
	}
	terms[f.k] = logPrior + prior
	total := logSumExp(terms...)
	if grad == nil {
		return total
	}
	// d log q/d logitᵢ = rᵢ − wᵢ·Σr, where the prior's share r counts as far as its weight depends on its logit.
	share := (1 - f.least) * math.Exp(logW[f.k]-logPrior)
	sum := 0.0
	for j := range f.k {
		r := math.Exp(terms[j] - total)
		grad[j] = r
		grad[f.k+1+j] *= r
		grad[2*f.k+1+j] *= r
		sum += r
	}
	grad[f.k] = share * math.Exp(terms[f.k]-total)
	sum += grad[f.k]
	for j := range f.k + 1 {
		grad[j] -= math.Exp(logW[j]) * sum
	}
	return total
}

func (f mixture) Sample(p *Prior, row []float64, st *dist.Stream) float64 {
	sp := f.space(p)
	if sp.fixed {
		return p.sample(st)
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
			return sp.from(f.kernel.sample(&sp, row[f.k+1+j], row[2*f.k+1+j], st))
		}
	}
	return p.sample(st)
}
