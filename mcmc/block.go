package mcmc

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Block moves many continuous sites at once, in coordinates without bounds: the values themselves, their logarithms above one end, their normal scores between
// two. A step shrinks towards the mean and adds noise, u' = Mean + √(1 − Scale²)·(u − Mean) + Scale·L·ξ with ξ standard normal: by itself it would leave the
// normal distribution of that mean and of the covariance L·Lᵀ as it is (preconditioned Crank-Nicolson: S. Cotter, G. Roberts, A. Stuart and D. White, "MCMC methods
// for functions: modifying old algorithms to make them faster", 2013, with a reference that is learned). The nearer the posterior is to it, the larger Scale can be, whatever the
// number of sites; small ones make it a random walk.
type Block struct {
	Keys     []tracing.Key // in the order of the run
	Elements []int         // of each
	Mean     []float64     // of all elements
	L        *mat.TriDense // lower triangle
	Scale    float64       // in (0, 1]
}

// Dim is the number of coordinates.
func (b *Block) Dim() int {
	n := 0
	for _, e := range b.Elements {
		n += e
	}
	return n
}

// FirstScale is the scale of a block that has not learned one: that of the best random walk on a normal distribution (G. Roberts, A. Gelman and W. Gilks, 1997).
func (b *Block) FirstScale() float64 { return math.Min(1, 2.38/math.Sqrt(float64(b.Dim()))) }

// coordinates are those of a value under its distribution, with Σ log |du/dz|; !ok: it has none there.
func coordinates(d *ppx.Dist, value, out []float64) (lo, hi []float64, logJ float64, ok bool) {
	lo, hi = make([]float64, len(value)), make([]float64, len(value))
	if d.Kind.Discrete() || d.Support(lo, hi) != nil {
		return nil, nil, 0, false
	}
	for i, z := range value {
		u := z
		switch below, above := !math.IsInf(lo[i], 0), !math.IsInf(hi[i], 0); {
		case below && above: // from the nearer end, which keeps its digits
			width := hi[i] - lo[i]
			if z-lo[i] < hi[i]-z {
				u = mathext.NormalQuantile((z - lo[i]) / width)
			} else {
				u = -mathext.NormalQuantile((hi[i] - z) / width)
			}
			logJ += u*u/2 + math.Log(2*math.Pi)/2 - math.Log(width)
		case below:
			u = math.Log(z - lo[i])
			logJ -= u
		case above:
			u = -math.Log(hi[i] - z)
			logJ += u
		}
		if out[i] = u; math.IsNaN(u) || math.IsInf(u, 0) {
			return nil, nil, 0, false
		}
	}
	return lo, hi, logJ, true
}

// fromCoordinates is the inverse of coordinates between two ends.
func fromCoordinates(lo, hi, u, out []float64) {
	for i, x := range u {
		switch below, above := !math.IsInf(lo[i], 0), !math.IsInf(hi[i], 0); {
		case below && above:
			if x < 0 {
				out[i] = lo[i] + (hi[i]-lo[i])*math.Erfc(-x/math.Sqrt2)/2
			} else {
				out[i] = hi[i] - (hi[i]-lo[i])*math.Erfc(x/math.Sqrt2)/2
			}
		case below:
			out[i] = lo[i] + math.Exp(x)
		case above:
			out[i] = hi[i] - math.Exp(-x)
		default:
			out[i] = x
		}
	}
}

// at are the coordinates of a state, in the order of the block; !ok: it lacks a site.
func (b *Block) at(s *State) (u []float64, ok bool) {
	u = make([]float64, b.Dim())
	i := 0
	for j, key := range b.Keys {
		entry, ok := s.at(key, -1)
		n := b.Elements[j]
		if !ok || s.Trace.Value(entry).Len() != n || s.Trace.Sites[entry].Origin.Scored() {
			return nil, false
		}
		d := s.Trace.Dist(entry)
		if _, _, _, ok := coordinates(&d, s.Trace.Value(entry).Data, u[i:i+n]); !ok {
			return nil, false
		}
		i += n
	}
	return u, true
}

// block begins a step of the block. A state that lacks one of its sites stays where it is.
func (k *Kernel) block(m *Move, s *State, draw *dist.Stream) error {
	b := k.Block
	m.info.Base, m.info.Sites = BlockOfSites, len(b.Keys)
	u, ok := b.at(s)
	if !ok {
		return nil
	}
	n := len(u)
	shrink := math.Sqrt(1 - b.Scale*b.Scale)
	xi, step := mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
	for i := range n {
		xi.SetVec(i, mathext.NormalQuantile(draw.Float64()))
	}
	step.MulVec(b.L, xi)
	changes := map[int]control.Change{}
	logJ := 0.0
	i := 0
	for j, key := range b.Keys {
		entry, _ := s.at(key, -1)
		size := b.Elements[j]
		d, old := s.Trace.Dist(entry), s.Trace.Value(entry).Data
		to, value := make([]float64, size), make([]float64, size)
		lo, hi, _, _ := coordinates(&d, old, to)
		for e := range to {
			mean := b.Mean[i+e]
			to[e] = mean + shrink*(to[e]-mean) + b.Scale*step.AtVec(i+e)
		}
		fromCoordinates(lo, hi, to, value)
		_, _, there, ok := coordinates(&d, value, to)
		if !ok { // rounding has taken it to an end
			return nil
		}
		logJ += there
		changes[entry] = control.Change{Value: value}
		i += size
	}
	m.back = func(next *State) (float64, error) {
		// The coordinates may be others where supports depend on what has moved.
		from, to, there := make([]float64, n), make([]float64, n), 0.0
		i := 0
		for j, key := range b.Keys {
			entry, ok := next.at(key, -1)
			size := b.Elements[j]
			if !ok {
				return math.Inf(-1), nil
			}
			d := next.Trace.Dist(entry)
			was, _ := s.at(key, -1)
			_, _, old, ok1 := coordinates(&d, s.Trace.Value(was).Data, to[i:i+size])
			_, _, _, ok2 := coordinates(&d, next.Trace.Value(entry).Data, from[i:i+size])
			if !ok1 || !ok2 {
				return math.Inf(-1), nil
			}
			there += old
			i += size
		}
		for i := range to {
			to[i] -= b.Mean[i] + shrink*(from[i]-b.Mean[i])
		}
		var back mat.VecDense
		if err := back.SolveVec(b.L, mat.NewVecDense(n, to)); err != nil {
			return 0, fmt.Errorf("the block's covariance: %w", err)
		}
		return (mat.Dot(xi, xi)-mat.Dot(&back, &back)/(b.Scale*b.Scale))/2 + there - logJ, nil
	}
	k.change(m, s, changes)
	return nil
}

// maxBlock is the most coordinates of a block: what comes later in the run moves by itself.
const maxBlock = 100

// NewBlock learns a block from states with weights (which sum to 1): the sites are the continuous ones that all of them have, mean and covariance are theirs.
// nil: there are fewer than two coordinates, or no two states.
func NewBlock(states []*State, weights []float64) *Block {
	if len(states) == 0 {
		return nil
	}
	b := &Block{}
	dim := 0
	for _, site := range states[0].moves {
		e := &states[0].Trace.Sites[site]
		n := states[0].Trace.Value(site).Len()
		if e.Kind.Discrete() || dim+n > maxBlock {
			continue
		}
		one := Block{Keys: []tracing.Key{e.Key}, Elements: []int{n}}
		if slices.ContainsFunc(states, func(s *State) bool { _, ok := one.at(s); return !ok }) {
			continue
		}
		b.Keys, b.Elements = append(b.Keys, e.Key), append(b.Elements, n)
		dim += n
	}
	if dim < 2 {
		return nil
	}
	mean, rows := make([]float64, dim), make([][]float64, len(states))
	for i, s := range states {
		rows[i], _ = b.at(s)
		for j, x := range rows[i] {
			mean[j] += weights[i] * x
		}
	}
	cov := mat.NewSymDense(dim, nil)
	square := 0.0
	for i, row := range rows {
		square += weights[i] * weights[i]
		for j := range dim {
			for l := j; l < dim; l++ {
				cov.SetSym(j, l, cov.At(j, l)+weights[i]*(row[j]-mean[j])*(row[l]-mean[l]))
			}
		}
	}
	// Towards its diagonal, the more the fewer states there are for so many coordinates.
	shrink := math.Min(1, float64(dim)*square)
	for j := range dim {
		for l := j + 1; l < dim; l++ {
			cov.SetSym(j, l, (1-shrink)*cov.At(j, l))
		}
		if !(cov.At(j, j) > 0) {
			return nil // that element does not vary
		}
		cov.SetSym(j, j, cov.At(j, j)*(1+1e-9))
	}
	var chol mat.Cholesky
	if !chol.Factorize(cov) {
		return nil
	}
	b.L = mat.NewTriDense(dim, mat.Lower, nil)
	chol.LTo(b.L)
	b.Mean, b.Scale = mean, b.FirstScale()
	return b
}
