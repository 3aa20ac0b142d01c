package mcmc

import (
	"encoding/binary"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
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

	near []int // where the sites are in traces, most probably
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

// coordinate is that of an element between two ends, with log |du/dz|; !ok: it has none there.
func coordinate(lo, hi, z float64) (u, logJ float64, ok bool) {
	if !(z > lo && z < hi) { // as where the ends have moved
		return 0, 0, false
	}
	u = z
	switch below, above := !math.IsInf(lo, 0), !math.IsInf(hi, 0); {
	case below && above: // from the nearer end, which keeps its digits
		width := hi - lo
		if z-lo < hi-z {
			u = mathext.NormalQuantile((z - lo) / width)
		} else {
			u = -mathext.NormalQuantile((hi - z) / width)
		}
		logJ = u*u/2 + math.Log(2*math.Pi)/2 - math.Log(width)
	case below:
		u = math.Log(z - lo)
		logJ = -u
	case above:
		u = -math.Log(hi - z)
		logJ = u
	}
	return u, logJ, !math.IsNaN(u) && !math.IsInf(u, 0)
}

// fromCoordinate is the inverse of coordinate.
func fromCoordinate(lo, hi, u float64) float64 {
	switch below, above := !math.IsInf(lo, 0), !math.IsInf(hi, 0); {
	case below && above && u < 0:
		return lo + (hi-lo)*math.Erfc(-u/math.Sqrt2)/2
	case below && above:
		return hi - (hi-lo)*math.Erfc(u/math.Sqrt2)/2
	case below:
		return lo + math.Exp(u)
	case above:
		return hi - math.Exp(-u)
	}
	return u
}

// placed is where a state stands in a block's coordinates.
type placed struct {
	block     *Block
	ok        bool  // it has all sites of the block, and coordinates there
	entries   []int // of the block's sites
	u, lo, hi []float64
	logJ      float64 // Σ log |du/dz|
}

// placed finds where a state stands.
func (s *State) placed(b *Block) *placed {
	if s.place == nil || s.place.block != b {
		s.place = b.place(s)
	}
	return s.place
}

// blocks tells whether the elements of a value can be moved by any small amounts: shares add up to 1, and an Empirical has values of its own only.
func blocks(k dist.Kind) bool { return !k.Discrete() && k != dist.Dirichlet && k != dist.Empirical }

func (b *Block) place(s *State) *placed {
	n := b.Dim()
	room := make([]float64, 3*n)
	p := &placed{block: b, entries: make([]int, len(b.Keys)), u: room[:n:n], lo: room[n : 2*n : 2*n], hi: room[2*n:]}
	i := 0
	var d ppx.Dist
	for j, key := range b.Keys {
		near := -1
		if b.near != nil {
			near = b.near[j]
		}
		entry, ok := s.at(key, near)
		size := b.Elements[j]
		if !ok || s.Trace.Value(entry).Len() != size || s.Trace.Sites[entry].Origin.Scored() {
			return p
		}
		p.entries[j] = entry
		s.Trace.DistInto(entry, &d)
		if !blocks(d.Kind) || d.Support(p.lo[i:i+size], p.hi[i:i+size]) != nil {
			return p
		}
		for e, z := range s.Trace.Value(entry).Data {
			u, logJ, ok := coordinate(p.lo[i+e], p.hi[i+e], z)
			if !ok {
				return p
			}
			p.u[i+e] = u
			p.logJ += logJ
		}
		i += size
	}
	p.ok = true
	return p
}

// block begins a step of the block. A state that lacks one of its sites stays where it is.
func (k *Kernel) block(m *Move, s *State, draw *dist.Stream) error {
	b := k.Block
	m.info.Base, m.info.Sites = BlockOfSites, len(b.Keys)
	from := s.placed(b)
	if !from.ok {
		return nil
	}
	n := len(from.u)
	shrink := math.Sqrt(1 - b.Scale*b.Scale)
	noise := make([]float64, n)
	squares := 0.0
	for i := range noise {
		noise[i] = mathext.NormalQuantile(draw.Float64())
		squares += noise[i] * noise[i]
	}
	blas64.Trmv(blas.NoTrans, b.L.RawTriangular(), blas64.Vector{N: n, Data: noise, Inc: 1})
	changes := make(map[int]control.Change, len(b.Keys))
	values := make([]float64, n)
	logJ := 0.0
	for i, u := range from.u {
		values[i] = fromCoordinate(from.lo[i], from.hi[i], b.Mean[i]+shrink*(u-b.Mean[i])+b.Scale*noise[i])
		_, there, ok := coordinate(from.lo[i], from.hi[i], values[i])
		if !ok { // rounding has taken it to an end
			return nil
		}
		logJ += there
	}
	i := 0
	for j, entry := range from.entries {
		end := i + b.Elements[j]
		changes[entry] = control.Change{Value: values[i:end:end]}
		i = end
	}
	m.back = func(next *State) (float64, error) {
		to := next.placed(b)
		if !to.ok {
			return math.Inf(-1), nil
		}
		// The coordinates may be others where supports depend on what has moved.
		u, there := from.u, from.logJ
		if !slices.Equal(from.lo, to.lo) || !slices.Equal(from.hi, to.hi) {
			u, there = make([]float64, n), 0
			i := 0
			for j, entry := range from.entries {
				for _, z := range s.Trace.Value(entry).Data[:b.Elements[j]] {
					x, logJ, ok := coordinate(to.lo[i], to.hi[i], z)
					if !ok {
						return math.Inf(-1), nil
					}
					u[i] = x
					there += logJ
					i++
				}
			}
		}
		back := make([]float64, n)
		for i := range back {
			back[i] = (u[i] - b.Mean[i] - shrink*(to.u[i]-b.Mean[i])) / b.Scale
		}
		blas64.Trsv(blas.NoTrans, b.L.RawTriangular(), blas64.Vector{N: n, Data: back, Inc: 1})
		behind := 0.0
		for _, x := range back {
			behind += x * x
		}
		return (squares-behind)/2 + there - logJ, nil
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
		if !blocks(e.Kind) || dim+n > maxBlock {
			continue
		}
		one := Block{Keys: []tracing.Key{e.Key}, Elements: []int{n}, near: []int{site}}
		if slices.ContainsFunc(states, func(s *State) bool { return !one.place(s).ok }) {
			continue
		}
		b.Keys, b.Elements, b.near = append(b.Keys, e.Key), append(b.Elements, n), append(b.near, site)
		dim += n
	}
	if dim < 2 {
		return nil
	}
	mean, rows := make([]float64, dim), mat.NewDense(len(states), dim, nil)
	own := map[string]float64{} // what was resampled into several is one
	squares := 0.0              // of their weights
	var key []byte
	for i, s := range states {
		rows.SetRow(i, s.placed(b).u)
		key = key[:0]
		for _, x := range s.placed(b).u {
			key = binary.NativeEndian.AppendUint64(key, math.Float64bits(x))
		}
		before := own[string(key)]
		own[string(key)] += weights[i]
		squares += weights[i] * (weights[i] + 2*before)
		for j, x := range rows.RawRowView(i) {
			mean[j] += weights[i] * x
		}
	}
	for i, w := range weights {
		row := rows.RawRowView(i)
		for j := range row {
			row[j] = math.Sqrt(w/(1-squares)) * (row[j] - mean[j])
		}
	}
	cov := mat.NewSymDense(dim, nil)
	cov.SymOuterK(1, rows.T())
	if cov = shrunk(cov, 1/squares); cov == nil {
		return nil // an element that does not vary, or as good as one state
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
