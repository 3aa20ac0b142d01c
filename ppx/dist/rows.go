package dist

import "fmt"

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

func (d *Dist) checkRows() error {
	f := &kinds[d.Kind]
	var w rowWalk
	if err := w.init(d, nil); err != nil {
		return err
	}
	for k := range d.Params {
		if w.size[k] == 0 {
			return fmt.Errorf("%w: %s: %s of shape %s has no numbers for an element", ErrShape, d.Kind, f.params[k].name, ShapeString(d.Params[k].Shape))
		}
	}
	for i := range w.n {
		p := w.next()
		if k, at, reason := f.rows.check(p); reason != "" {
			return &ParamError{d.Kind, f.params[k].name, i*w.size[k] + at, p[k][at], reason}
		}
	}
	return nil
}

func (d *Dist) logProbRows(x Tensor) (float64, error) {
	f := &kinds[d.Kind]
	if len(x.Data) == 1 {
		if n, err := d.Len(); err == nil && n == 1 { // the fast path
			if v := x.Data[0]; v != v {
				return v, nil
			}
			return f.rows.logProb(x.Data[0], d.row(0)), nil
		}
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

// eachRow applies g to the rows of each draw.
func (d *Dist) eachRow(out []float64, g func(p rows) float64) error {
	var w rowWalk
	if err := w.init(d, nil); err != nil {
		return err
	}
	if w.n != len(out) {
		return fmt.Errorf("%w: %s: %d elements wanted, room for %d", ErrShape, d.Kind, w.n, len(out))
	}
	for i := range out {
		out[i] = g(w.next())
	}
	return nil
}
