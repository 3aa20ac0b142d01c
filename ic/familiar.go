package ic

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ppx-engine/ppx-engine/nn"
)

// Familiar tells how far data are from those that a network was trained on: the Mahalanobis distance of their embedding, with a p-value. A network's
// proposals for data unlike any that it has seen may be anything.
type Familiar struct {
	Gain float64 // of the training over the prior, in nats (training.Trainer.Gain)

	mean, factor []float64 // of the embedding: mean, and the lower Cholesky factor of its covariance, row by row
	distances    []float64 // of other held-out data, squared, ascending
}

// Names in Extra.Numbers.
const (
	familiarGain      = "familiar.gain"
	familiarMean      = "familiar.mean"
	familiarFactor    = "familiar.factor"
	familiarDistances = "familiar.distances"
)

const (
	leastFamiliar = 16   // held-out traces
	mostFamiliar  = 1024 // numbers of an embedding
)

// embed is the embedding of data, given the inputs of each observable.
func (n *Network[T]) embed(inputs [][]T) (out []T) {
	a := &nn.Arena[T]{}
	for i, e := range n.embeds {
		k := embedKernel[T]{e: e, i: i, x: inputs[i]}
		out = append(out, k.forward(a, 1)...)
	}
	return out
}

// NewFamiliar learns from held-out traces what data are like: mean and covariance from one half, distances from the other, which the former do
// not know. nil where there is too little to learn from.
func NewFamiliar(n *Network[float32], held []*Example, gain float64) *Familiar {
	var rows [][]float64
	for _, e := range held {
		rows = append(rows, widened(n.embed(e.inputs)))
	}
	if len(rows) < leastFamiliar || len(rows[0]) == 0 || len(rows[0]) > mostFamiliar {
		return nil
	}
	d, half := len(rows[0]), len(rows)/2
	f := &Familiar{Gain: gain, mean: make([]float64, d)}
	x := mat.NewDense(half, d, nil)
	for i, r := range rows[:half] {
		x.SetRow(i, r)
	}
	for k := range d {
		f.mean[k] = stat.Mean(mat.Col(nil, k, x), nil)
	}
	var cov mat.SymDense
	stat.CovarianceMatrix(&cov, x, nil)
	// Few data know few directions: correlations shrink the more, the more numbers there are to each.
	keep := float64(half) / float64(half+d)
	top := 0.0
	for i := range d {
		top = max(top, cov.At(i, i))
	}
	for i := range d {
		for k := range i {
			cov.SetSym(i, k, keep*cov.At(i, k))
		}
		cov.SetSym(i, i, cov.At(i, i)+1e-6*top+1e-12)
	}
	var c mat.Cholesky
	if !c.Factorize(&cov) {
		return nil
	}
	var l mat.TriDense
	c.LTo(&l)
	for i := range d {
		for k := range d {
			f.factor = append(f.factor, l.At(i, k))
		}
	}
	for _, r := range rows[half:] {
		f.distances = append(f.distances, f.squared(r))
	}
	slices.Sort(f.distances)
	return f.rounded()
}

// rounded is what a file keeps of it, so that both say the same.
func (f *Familiar) rounded() *Familiar { return ReadFamiliar(f.Extra()) }

func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func narrowed(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// Extra is how a network file keeps it.
func (f *Familiar) Extra() *Extra {
	return &Extra{Numbers: map[string][]float32{familiarGain: {float32(f.Gain)}, familiarMean: narrowed(f.mean), familiarFactor: narrowed(f.factor), familiarDistances: narrowed(f.distances)}}
}

// ReadFamiliar is what a network file has of it; nil if nothing.
func ReadFamiliar(x *Extra) *Familiar {
	gain := x.Numbers[familiarGain]
	f := &Familiar{mean: widened(x.Numbers[familiarMean]), factor: widened(x.Numbers[familiarFactor]), distances: widened(x.Numbers[familiarDistances])}
	d := len(f.mean)
	if len(gain) != 1 || d == 0 || d > mostFamiliar || len(f.factor) != d*d || len(f.distances) < leastFamiliar/2 {
		return nil
	}
	for i := range d {
		if !(f.factor[i*d+i] > 0) {
			return nil
		}
	}
	f.Gain = float64(gain[0])
	return f
}

// squared is the squared distance of an embedding: |L⁻¹(x − mean)|².
func (f *Familiar) squared(x []float64) (sum float64) {
	d := len(f.mean)
	z := make([]float64, d)
	for i := range d {
		v := x[i] - f.mean[i]
		for k := range i {
			v -= f.factor[i*d+k] * z[k]
		}
		z[i] = v / f.factor[i*d+i]
		sum += z[i] * z[i]
	}
	return sum
}

// Of is the distance of a proposer's data, and the probability that data of the prior are so far: among the held-out ones their share, beyond
// them the tail of a gamma distribution with their moments. NaN where the embedding is of another size.
func (f *Familiar) Of(p *Proposer) (distance, probability float64) {
	if len(p.embedded) != len(f.mean) {
		return math.NaN(), math.NaN()
	}
	square := f.squared(widened(p.embedded))
	at, _ := slices.BinarySearch(f.distances, square)
	n := len(f.distances)
	share := float64(n-at+1) / float64(n+1)
	if at < n {
		return math.Sqrt(square), share
	}
	mean, sd := stat.MeanStdDev(f.distances, nil)
	if sd > 0 {
		gamma := distuv.Gamma{Alpha: mean * mean / (sd * sd), Beta: mean / (sd * sd)}
		share = min(share, gamma.Survival(square))
	}
	return math.Sqrt(square), share
}
