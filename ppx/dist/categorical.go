package dist

import (
	"fmt"
	"math"
)

// A Categorical has one row of probabilities per element: probs of shape [..., k] give values of shape
// [...] in {0, …, k−1}. Rows need not be normalised.

// rows returns the number of categories k and the number of rows.
func (d *Dist) rows() (k, n int) {
	if k = d.Categories(); k > 0 {
		n = len(d.Params[0].Data) / k
	}
	return k, n
}

// rowSum is the sum of a row's probabilities, which Check knows to be positive and finite.
func rowSum(row []float64) float64 {
	sum := 0.0
	for _, p := range row {
		sum += p
	}
	return sum
}

func (d *Dist) checkCategorical() error {
	p := d.Params[0]
	if len(p.Shape) == 0 {
		_, err := d.Shape(nil)
		return err
	}
	n, err := Elements(p.Shape)
	switch {
	case err != nil:
		return fmt.Errorf("Categorical: probs: %w", err)
	case n != len(p.Data):
		return fmt.Errorf("Categorical: probs: %w", ErrShape)
	}
	k, rows := d.rows()
	if k == 0 {
		return fmt.Errorf("%w: Categorical: probs of shape %s has no categories", ErrShape, ShapeString(p.Shape))
	}
	for r := range rows {
		row := p.Data[r*k : (r+1)*k]
		for j, v := range row {
			if !(v >= 0) || math.IsInf(v, 0) {
				return &ParamError{Categorical, "probs", r*k + j, v, "must be finite and not negative"}
			}
		}
		if sum := rowSum(row); !(sum > 0) || math.IsInf(sum, 0) {
			return &ParamError{Categorical, "probs", r * k, row[0], "begins a row whose sum is not positive and finite"}
		}
	}
	return nil
}

// categoricalLogProb is log(row[x] / Σ row).
func categoricalLogProb(x float64, row []float64) float64 {
	if x != x {
		return x
	}
	if x < 0 || x >= float64(len(row)) || !isInteger(x) {
		return math.Inf(-1)
	}
	return math.Log(row[int(x)] / rowSum(row))
}

func (d *Dist) logProbCategorical(x Tensor) (float64, error) {
	k, n := d.rows()
	p := d.Params[0]
	if n == 1 && len(x.Data) == 1 {
		return categoricalLogProb(x.Data[0], p.Data), nil
	}
	batch := p.Shape[:len(p.Shape)-1]
	var room [MaxRank]int32
	shape, err := Broadcast(room[:0], batch, x.Shape)
	if err != nil {
		return 0, fmt.Errorf("Categorical: value and probs: %w", err)
	}
	m, err := Elements(shape)
	if err != nil {
		return 0, err
	}
	rowAt, xs := newWalk(shape, batch), newWalk(shape, x.Shape)
	sum := 0.0
	for range m {
		r := rowAt.next()
		sum += categoricalLogProb(x.Data[xs.next()], p.Data[r*k:(r+1)*k])
	}
	return sum, nil
}

// sampleCategorical inverts each row's cumulative sum.
func (d *Dist) sampleCategorical(s *Stream, out []float64) error {
	k, n := d.rows()
	if n != len(out) {
		return fmt.Errorf("%w: Categorical: %d elements wanted, room for %d", ErrShape, n, len(out))
	}
	for r := range out {
		row := d.Params[0].Data[r*k : (r+1)*k]
		t := s.Float64() * rowSum(row)
		cum, pick := 0.0, 0
		for j, p := range row {
			if p == 0 {
				continue
			}
			pick = j // the last category with mass catches rounding at the end
			if cum += p; t < cum {
				break
			}
		}
		out[r] = float64(pick)
	}
	return nil
}

func (d *Dist) momentsCategorical(mean, variance []float64) error {
	k, n := d.rows()
	if (mean != nil && len(mean) != n) || (variance != nil && len(variance) != n) {
		return ErrShape
	}
	for r := range n {
		row := d.Params[0].Data[r*k : (r+1)*k]
		var m, v float64
		sum := rowSum(row)
		for j, p := range row {
			m += float64(j) * p / sum
		}
		for j, p := range row {
			v += (float64(j) - m) * (float64(j) - m) * p / sum
		}
		if mean != nil {
			mean[r] = m
		}
		if variance != nil {
			variance[r] = v
		}
	}
	return nil
}
