package ic

import (
	"math"

	"github.com/ppx-engine/ppx-engine/ic/head"
	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// The elements of a vector are proposed one after the other, and what was drawn moves the locations of what follows: by
//
//	Δᵢ = uᵢ·sᵢ₋₁,   sᵢ = σ(dᵢ)∘sᵢ₋₁ + vᵢ·ζᵢ,   s₀ = 0
//
// of vectors uᵢ, vᵢ, dᵢ of a few numbers, which the network gives for each element beside its head's row, and ζᵢ, the element's value in units of its
// prior. A jointly Gaussian posterior has such conditional means, with triangles that are of low rank, or decay from element to element, or both.

// maxZeta bounds a value's part: heavy tails would move everything.
const maxZeta = 20

// correlates tells that moving the locations of proposals of a kind means something.
func correlates(k dist.Kind) bool { return k != dist.Categorical }

// outputs is how many numbers the network gives for an element: the row of its head, then u, v and d.
func (p *Address) outputs() int { return p.family.Outputs() + 3*p.Rank }

// initCorrelation writes the first biases: nothing is moved, and the memories are of different lengths.
func (p *Address) initCorrelation(row []float64) {
	r := p.Rank
	clear(row)
	for k := range r {
		row[r+k] = 1 / math.Sqrt(float64(r))
		if k%2 == 1 {
			row[r+k] *= -1
		}
		row[2*r+k] = 6*(float64(k)+0.5)/float64(r) - 2
	}
}

// zeta is an element's value in units of its prior.
func zeta(prior *head.Prior, x float64) float64 {
	location, scale := head.Summary(prior)
	z := (head.Coordinate(prior.Kind, x) - location) / scale
	if z != z {
		return 0
	}
	return math.Max(-maxZeta, math.Min(maxZeta, z))
}

// memory is what was drawn of a vector so far.
type memory struct {
	s       []float64
	uvd     int // where an element's numbers begin
	rank    int
	from    int // the part of a row that is moved
	to      int
	shifted []float64
}

func (p *Address) memory() *memory {
	if p.Rank == 0 {
		return nil
	}
	n := p.family.Outputs()
	m := &memory{s: make([]float64, p.Rank), uvd: n, rank: p.Rank, shifted: make([]float64, n)}
	m.from, m.to = p.family.Linear()
	return m
}

// row is the row of the next element, whose numbers are given, moved by what was drawn.
func (m *memory) row(numbers []float64) []float64 {
	if m == nil {
		return numbers
	}
	shift := m.shift(numbers)
	copy(m.shifted, numbers[:m.uvd])
	for j := m.from; j < m.to; j++ {
		m.shifted[j] += shift
	}
	return m.shifted
}

func (m *memory) shift(numbers []float64) (shift float64) {
	for k, s := range m.s {
		shift += numbers[m.uvd+k] * s
	}
	return shift
}

// add remembers an element.
func (m *memory) add(numbers []float64, z float64) {
	if m == nil {
		return
	}
	v, d := numbers[m.uvd+m.rank:], numbers[m.uvd+2*m.rank:]
	for k := range m.s {
		m.s[k] = nn.Sigmoid(d[k])*m.s[k] + v[k]*z
	}
}

// trail is a vector of a minibatch, element by element.
type trail struct {
	p       *Address
	zetas   []float64
	numbers [][]float64 // that the network gives for each
	states  []float64   // before each
}

// newTrail follows a visit, whose numbers are those of each element.
func newTrail(p *Address, s *site, numbers [][]float64) *trail {
	t := &trail{p: p, numbers: numbers}
	for i, x := range s.values() {
		prior := s.conditional(i)
		t.zetas = append(t.zetas, zeta(&prior, x))
	}
	return t
}

// shifts writes by how much each element is moved.
func (t *trail) shifts(out []float64) {
	m := t.p.memory()
	t.states = t.states[:0]
	for i, numbers := range t.numbers {
		t.states = append(t.states, m.s...)
		out[i] = m.shift(numbers)
		m.add(numbers, t.zetas[i])
	}
}

// backward writes the gradients of each element's u, v and d to g, from those of the shifts, and calls keep.
func (t *trail) backward(shifts, g []float64, keep func(i int)) {
	r, at := t.p.Rank, t.p.family.Outputs()
	later := make([]float64, r) // d loss/d s after element i
	for i := len(t.numbers) - 1; i >= 0; i-- {
		n, s := t.numbers[i][at:], t.states[i*r:(i+1)*r]
		for k := range r {
			kept := nn.Sigmoid(n[2*r+k])
			g[k] = shifts[i] * s[k]
			g[r+k] = later[k] * t.zetas[i]
			g[2*r+k] = later[k] * s[k] * kept * (1 - kept)
			later[k] = later[k]*kept + shifts[i]*n[k]
		}
		keep(i)
	}
}
