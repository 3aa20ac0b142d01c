package dist

import (
	"errors"
	"fmt"
	"slices"
)

// What the families have in common of which a draw takes rows of numbers.

// rowWalk walks the rows of a distribution's parameters, broadcast.
type rowWalk struct {
	shape [MaxRank]int32
	rank  int
	n     int
	d     *Dist
	size  [MaxArgs]int
	at    [MaxArgs]walk
}

func (w *rowWalk) init(d *Dist, with []int32) (err error) {
	if w.rank, w.n, err = d.broadcast(&w.shape, with); err != nil {
		return err
	}
	w.d = d
	for k := range d.Params {
		b, err := d.batch(k)
		if err != nil {
			return err
		}
		w.size[k] = rowSize(d.Kind, k, &d.Params[k])
		w.at[k] = newWalk(w.shape[:w.rank], b)
	}
	return nil
}

func (w *rowWalk) next() (p rows) {
	for k := range w.d.Params {
		r := w.at[k].next()
		p[k] = w.d.Params[k].Data[r*w.size[k] : (r+1)*w.size[k]]
	}
	return p
}

// aligned tells whether the parameters have as many rows as there are draws, n: then draw i takes row i of each.
func (d *Dist) aligned(n int) bool {
	for k := range d.Params {
		if p := &d.Params[k]; len(p.Data) != n*rowSize(d.Kind, k, p) {
			return false
		}
	}
	return true
}

// walkRows calls f with the rows of each draw, until it says stop.
func (d *Dist) walkRows(f func(i int, p rows) bool) (n int, err error) {
	if n, err = d.Len(); err != nil {
		return 0, err
	}
	if d.aligned(n) {
		for i := range n {
			if !f(i, d.row(i)) {
				break
			}
		}
		return n, nil
	}
	var w rowWalk
	if err := w.init(d, nil); err != nil {
		return 0, err
	}
	for i := range n {
		if !f(i, w.next()) {
			break
		}
	}
	return n, nil
}

func (d *Dist) checkRows() error {
	f := &kinds[d.Kind]
	for k := range d.Params {
		p := &d.Params[k]
		if _, err := d.batch(k); err != nil {
			return err
		}
		if rowSize(d.Kind, k, p) == 0 {
			return fmt.Errorf("%w: %s: %s of shape %s has no numbers for an element", ErrShape, d.Kind, f.params[k].name, ShapeString(p.Shape))
		}
	}
	n, err := d.Len()
	if err == nil && d.aligned(n) { // without a closure: this is done for every statement
		for i := range n {
			p := d.row(i)
			if k, at, reason := f.rows.check(p); reason != "" {
				return &ParamError{d.Kind, f.params[k].name, i*len(p[k]) + at, p[k][at], reason}
			}
		}
		return nil
	}
	var wrong error
	_, err = d.walkRows(func(i int, p rows) bool {
		if k, at, reason := f.rows.check(p); reason != "" {
			wrong = &ParamError{d.Kind, f.params[k].name, i*len(p[k]) + at, p[k][at], reason}
		}
		return wrong == nil
	})
	return errors.Join(err, wrong)
}

func (d *Dist) logProbRows(x Tensor) (float64, error) {
	f := &kinds[d.Kind]
	if n, err := d.Len(); err == nil && n == len(x.Data) && d.aligned(n) && (n == 1 || d.fits(x)) {
		sum := 0.0
		for i, v := range x.Data {
			if v != v {
				return v, nil
			}
			sum += f.rows.logProb(v, d.row(i))
		}
		return sum, nil
	}
	var w rowWalk
	if err := w.init(d, nonNil(x.Shape)); err != nil {
		return 0, err
	}
	var xs operand
	xs.init(x, w.shape[:w.rank], w.n)
	sum := 0.0
	for range w.n {
		p, v := w.next(), xs.next()
		if v != v {
			return v, nil
		}
		sum += f.rows.logProb(v, p)
	}
	return sum, nil
}

// fits tells whether x has the shape of a value.
func (d *Dist) fits(x Tensor) bool {
	var room [MaxRank]int32
	s, err := d.Shape(room[:0])
	return err == nil && slices.Equal(s, x.Shape)
}

// eachRow applies g to the rows of each draw.
func (d *Dist) eachRow(out []float64, g func(p rows) float64) error {
	n, err := d.Len()
	if err == nil && n != len(out) {
		err = fmt.Errorf("%w: %s: %d elements wanted, room for %d", ErrShape, d.Kind, n, len(out))
	}
	if err != nil {
		return err
	}
	_, err = d.walkRows(func(i int, p rows) bool {
		out[i] = g(p)
		return true
	})
	return err
}
