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
	if n, err = d.Draws(); err != nil {
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

// density is the log density of a draw; that of one with a NaN is NaN.
func (f *rowFamily) density(x []float64, p rows) float64 {
	for _, v := range x {
		if v != v {
			return v
		}
	}
	return f.logProb(x, p)
}

func (d *Dist) checkRows() error {
	f := &kinds[d.Kind]
	for k := range d.Params {
		p := &d.Params[k]
		if _, err := d.batch(k); err != nil {
			return err
		}
		if rowSize(d.Kind, k, p) == 0 && !f.rows.empty {
			return fmt.Errorf("%w: %s: %s of shape %s has no numbers for a draw", ErrShape, d.Kind, f.params[k].name, ShapeString(p.Shape))
		}
		if s := p.Shape; f.params[k].event == 2 && s[len(s)-1] != s[len(s)-2] {
			return fmt.Errorf("%w: %s: %s has shape %s, its matrices must be square", ErrShape, d.Kind, f.params[k].name, ShapeString(s))
		}
	}
	if d.Kind.Vector() {
		if n, err := d.Draws(); err == nil && n > MaxElements/d.width() {
			return fmt.Errorf("%w: %s: %d draws of %d numbers", ErrTooLarge, d.Kind, n, d.width())
		}
	}
	n, err := d.Draws()
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
	f, m := kinds[d.Kind].rows, d.width()
	if n, err := d.Draws(); err == nil && n*m == len(x.Data) && d.aligned(n) && (n == 1 && m == 1 || d.fits(x)) {
		sum := 0.0
		for i := range n {
			sum += f.density(x.Data[i*m:(i+1)*m], d.row(i))
		}
		return sum, nil
	}
	with := x.Shape
	if f.vector {
		if len(with) == 0 || int(with[len(with)-1]) != m {
			return 0, fmt.Errorf("%w: %s: a value of shape %s, its last dimension must be %d", ErrShape, d.Kind, ShapeString(with), m)
		}
		with = with[:len(with)-1]
	}
	var w rowWalk
	if err := w.init(d, nonNil(with)); err != nil {
		return 0, err
	}
	at := newWalk(w.shape[:w.rank], with)
	sum := 0.0
	for range w.n {
		i := at.next()
		sum += f.density(x.Data[i*m:(i+1)*m], w.next())
	}
	return sum, nil
}

// fits tells whether x has the shape of a value.
func (d *Dist) fits(x Tensor) bool {
	var room [MaxRank + 1]int32
	s, err := d.Shape(room[:0])
	return err == nil && slices.Equal(s, x.Shape)
}

// eachRow calls f with the rows of each of n draws.
func (d *Dist) eachRow(n int, f func(i int, p rows)) error {
	draws, err := d.Draws()
	if err == nil && draws != n {
		err = fmt.Errorf("%w: %s: %d draws wanted, room for %d", ErrShape, d.Kind, draws, n)
	}
	if err != nil {
		return err
	}
	_, err = d.walkRows(func(i int, p rows) bool {
		f(i, p)
		return true
	})
	return err
}

// eachDraw calls f with the rows of each draw, and its part of out, which has the elements of a value.
func (d *Dist) eachDraw(out []float64, f func(p rows, x []float64)) error {
	m := d.width()
	n := len(out)
	if m > 0 {
		n /= m
	}
	if n*m != len(out) {
		return fmt.Errorf("%w: %s: draws of %d numbers, room for %d", ErrShape, d.Kind, m, len(out))
	}
	return d.eachRow(n, func(i int, p rows) { f(p, out[i*m:(i+1)*m]) })
}
