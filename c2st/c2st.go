// Package c2st is the classifier two-sample test (D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017): how well a
// network learns to tell two sets of draws apart. An accuracy of ½ says that it does not.
package c2st

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Result is an accuracy on draws that the network was not trained on.
type Result struct {
	Accuracy float64
	SE       float64 // of chance: that of so many fair coins
	Draws    int     // of each set
}

const (
	folds    = 5
	least    = 50 // draws of each
	batch    = 200
	rate     = 1e-3
	epochs   = 200
	patience = 10 // epochs without a better loss on what is held out of the training
)

// Accuracy trains a network of two hidden layers of 10·d units on four fifths of two sets of draws, tells the others apart, and goes round. Both
// are scaled by mean and standard deviation of the first, the reference. Rows of both have the same d numbers; the larger set is cut. No row may
// occur twice: copies fall on both sides of a fold, and are recognised.
func Accuracy(reference, other [][]float64, seed uint64) (Result, error) {
	n := min(len(reference), len(other))
	if n < least {
		return Result{}, fmt.Errorf("%d draws are too few for a classifier", n)
	}
	d := len(reference[0])
	if d == 0 {
		return Result{}, errors.New("there is no variable that both have")
	}
	rows, labels := scaled(reference[:n], other[:n], d)
	order := shuffled(2*n, seed, 0)
	right := 0
	for fold := range folds {
		var train, test []int
		for i, at := range order {
			if i%folds == fold {
				test = append(test, at)
			} else {
				train = append(train, at)
			}
		}
		m := newMLP(d, seed, uint64(fold)+1)
		m.fit(rows, labels, train, seed, uint64(fold)+1)
		for i, z := range m.logits(rows, test) {
			if (z > 0) == (labels[test[i]] == 1) {
				right++
			}
		}
	}
	return Result{float64(right) / float64(2*n), 0.5 / math.Sqrt(float64(2*n)), n}, nil
}

// scaled puts both sets one behind the other.
func scaled(reference, other [][]float64, d int) (rows [][]float32, labels []float32) {
	mean, sd := make([]float64, d), make([]float64, d)
	column := make([]float64, len(reference))
	for k := range d {
		for i, r := range reference {
			column[i] = r[k]
		}
		if mean[k], sd[k] = stat.MeanStdDev(column, nil); !(sd[k] > 0) {
			sd[k] = 1
		}
	}
	for label, set := range [][][]float64{reference, other} {
		for _, r := range set {
			row := make([]float32, d)
			for k, x := range r {
				row[k] = float32((x - mean[k]) / sd[k])
			}
			rows, labels = append(rows, row), append(labels, float32(label))
		}
	}
	return rows, labels
}

// shuffled is the numbers below n in a random order.
func shuffled(n int, seed, k uint64) []int {
	s := dist.NewStream(seed, dist.StreamTraining.Stream(2), k, 0, dist.PurposeResample)
	out := make([]int, n)
	for i := range out {
		j := int(s.Float64() * float64(i+1))
		out[i] = out[j]
		out[j] = i
	}
	return out
}

// mlp has two hidden layers and one output, the log odds of the second set.
type mlp struct {
	layers [3]*nn.Linear[float32]
	arena  nn.Arena[float32]
	d      int
}

func newMLP(d int, seed, k uint64) *mlp {
	m := &mlp{d: d}
	width := 10 * d
	s := dist.NewStream(seed, dist.StreamTraining.Stream(1), k, 0, 0)
	for i, size := range [][2]int{{d, width}, {width, width}, {width, 1}} {
		m.layers[i] = nn.NewLinear[float32](fmt.Sprintf("layer%d", i), size[0], size[1])
		m.layers[i].Init(s.Float64)
	}
	return m
}

func (m *mlp) params() (out []*nn.Param[float32]) {
	for _, l := range m.layers {
		out = append(out, l.Params()...)
	}
	return out
}

// forward returns the hidden layers and the log odds of rows.
func (m *mlp) forward(x []float32, n int) (h1, h2, z []float32) {
	h1 = nn.ReLU(m.layers[0].Forward(&m.arena, x, n))
	h2 = nn.ReLU(m.layers[1].Forward(&m.arena, h1, n))
	return h1, h2, m.layers[2].Forward(&m.arena, h2, n)
}

func gather(rows [][]float32, at []int) (x []float32) {
	for _, i := range at {
		x = append(x, rows[i]...)
	}
	return x
}

func (m *mlp) logits(rows [][]float32, at []int) (out []float32) {
	for len(at) > 0 {
		part := at[:min(len(at), 1000)]
		at = at[len(part):]
		m.arena.Reset()
		_, _, z := m.forward(gather(rows, part), len(part))
		out = append(out, z...)
	}
	return out
}

// loss is the mean cross-entropy.
func (m *mlp) loss(rows [][]float32, labels []float32, at []int) (sum float64) {
	for i, z := range m.logits(rows, at) {
		x := float64(z)
		if labels[at[i]] == 1 {
			x = -x
		}
		sum += math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
	}
	return sum / float64(len(at))
}

// fit trains until a tenth that is held out gets no better, and keeps the best weights.
func (m *mlp) fit(rows [][]float32, labels []float32, train []int, seed, k uint64) {
	held, rest := train[:len(train)/10], train[len(train)/10:]
	adam := nn.NewAdam[float32](rate)
	best, since := math.Inf(1), 0
	var kept [][]float32
	for epoch := range uint64(epochs) {
		order := shuffled(len(rest), seed, k<<32|epoch+1)
		for from := 0; from < len(order); from += batch {
			var at []int
			for _, i := range order[from:min(from+batch, len(order))] {
				at = append(at, rest[i])
			}
			m.step(rows, labels, at, adam)
		}
		if loss := m.loss(rows, labels, held); loss < best {
			best, since, kept = loss, 0, nil
			for _, p := range m.params() {
				kept = append(kept, append([]float32{}, p.Value...))
			}
		} else if since++; since == patience {
			break
		}
	}
	for i, p := range m.params() {
		if kept != nil {
			copy(p.Value, kept[i])
		}
	}
}

func (m *mlp) step(rows [][]float32, labels []float32, at []int, adam *nn.Adam[float32]) {
	n := len(at)
	m.arena.Reset()
	x := gather(rows, at)
	h1, h2, z := m.forward(x, n)
	dz := m.arena.Take(n)
	for i := range dz {
		dz[i] = float32(1/(1+math.Exp(-float64(z[i])))) - labels[at[i]]
	}
	d2 := nn.ReLUBackward(h2, m.layers[2].Backward(&m.arena, h2, dz, n))
	d1 := nn.ReLUBackward(h1, m.layers[1].Backward(&m.arena, h1, d2, n))
	m.layers[0].BackwardWeights(x, d1, n)
	adam.Step(m.params(), 1/float64(n))
}
