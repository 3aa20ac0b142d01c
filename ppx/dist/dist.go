package dist

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Dist is a distribution: a kind and its parameters, as many as the kind has, which broadcast against each other.
type Dist struct {
	Kind   Kind
	Params []Tensor
}

// New builds a distribution from scalar parameters; a row's numbers are the last of them (Categorical's probabilities). Families with several rows are built
// from tensors: Dist{Kind, Params}.
func New(k Kind, numbers ...float64) Dist {
	d := Dist{Kind: k}
	for i, p := range kinds[k].params {
		if p.event > 0 {
			d.Params = append(d.Params, Vector(numbers[i:]...))
			break
		}
		d.Params = append(d.Params, Scalar(numbers[i]))
	}
	return d
}

// String shows the distribution with its parameters: Normal(mean=1, stddev=2).
func (d Dist) String() string {
	if d.Kind == None || !d.Kind.Valid() {
		return ""
	}
	var b strings.Builder
	b.WriteString(d.Kind.String())
	if m := d.mixture(); m != "" {
		return d.Kind.String() + m
	}
	for i, p := range d.Params {
		separator := ", "
		if i == 0 {
			separator = "("
		}
		name := "?"
		if names := d.Kind.Params(); i < len(names) {
			name = names[i]
		}
		fmt.Fprintf(&b, "%s%s=%v", separator, name, p)
	}
	if len(d.Params) == 0 {
		return b.String()
	}
	return b.String() + ")"
}

// ParamError is an invalid parameter.
type ParamError struct {
	Kind   Kind
	Param  string
	Index  int // flat index of the element at fault
	Value  float64
	Reason string
}

func (e *ParamError) Error() string {
	at := ""
	if e.Index > 0 {
		at = fmt.Sprintf("[%d]", e.Index)
	}
	return fmt.Sprintf("%s: %s%s = %g %s", e.Kind, e.Param, at, e.Value, e.Reason)
}

// scalar tells that one element and at most one dimension describe every parameter, all of them numbers: the fast path.
func (d *Dist) scalar() bool {
	for i := range d.Params {
		if p := &d.Params[i]; len(p.Data) != 1 || len(p.Shape) > 1 {
			return false
		}
	}
	return kinds[d.Kind].rows == nil
}

// numbers tells that every parameter has the shape of a single number.
func (d *Dist) numbers() bool {
	for i := range d.Params {
		if len(d.Params[i].Shape) > 0 {
			return false
		}
	}
	return kinds[d.Kind].rows == nil
}

// args are the parameters of a scalar distribution.
func (d *Dist) args() (p args) {
	switch n := len(d.Params); {
	case n > 3:
		p.d = d.Params[3].Data[0]
		fallthrough
	case n > 2:
		p.c = d.Params[2].Data[0]
		fallthrough
	case n > 1:
		p.b = d.Params[1].Data[0]
		fallthrough
	case n > 0:
		p.a = d.Params[0].Data[0]
	}
	return p
}

// Label is the kind as it stands in addresses: its name, and the sizes of rows of parameters, Categorical(len_probs:3).
func (d *Dist) Label() string {
	f := &kinds[d.Kind]
	if f.rows == nil || f.rows.label == nil {
		return f.name
	}
	return f.name + f.rows.label(d.row(0))
}

// RowSize is how long the row of parameters is that addresses tell: the number of a Categorical's categories; 0 for other kinds.
func (d *Dist) RowSize() (n int) {
	if f := kinds[d.Kind].rows; f == nil || f.label == nil {
		return 0
	}
	return rowSize(d.Kind, 0, &d.Params[0])
}

// row is the parameters of draw i, where those are as many as there are draws.
func (d *Dist) row(i int) (p rows) {
	for k := range d.Params {
		n := rowSize(d.Kind, k, &d.Params[k])
		if at := i * n; at+n <= len(d.Params[k].Data) {
			p[k] = d.Params[k].Data[at : at+n]
		}
	}
	return p
}

// Size is how many numbers a draw takes of parameter k: 1, or those of a row or a matrix.
func (d *Dist) Size(k int) int { return rowSize(d.Kind, k, &d.Params[k]) }

// rowSize is how many numbers a draw takes of parameter k.
func rowSize(kind Kind, k int, p *Tensor) int {
	event := kinds[kind].params[k].event
	n := 1
	for _, d := range p.Shape[max(0, len(p.Shape)-event):] {
		n *= int(d)
	}
	return n
}

// batch is the shape of the draws that parameter k is for.
func (d *Dist) batch(k int) ([]int32, error) {
	s, event := d.Params[k].Shape, kinds[d.Kind].params[k].event
	if len(s) < event {
		what := "a row of numbers"
		if event == 2 {
			what = "a square matrix"
		}
		return nil, fmt.Errorf("%w: %s: %s has shape %s, it needs %s for each draw", ErrShape, d.Kind, kinds[d.Kind].params[k].name, ShapeString(s), what)
	}
	return s[:len(s)-event], nil
}

// width is how many numbers a draw has; the shapes of the parameters have as many dimensions as they must.
func (d *Dist) width() int {
	if f := kinds[d.Kind].rows; f != nil && f.vector {
		return rowSize(d.Kind, f.like, &d.Params[f.like])
	}
	return 1
}

// Shape appends the shape of one value to dst: the broadcast of the parameters' shapes, without the dimensions of rows, and the length of a draw that is a row.
func (d *Dist) Shape(dst []int32) ([]int32, error) {
	dst, err := d.batchShape(dst)
	if err == nil && d.Kind.Vector() {
		dst = append(dst, int32(d.width()))
	}
	return dst, err
}

// batchShape appends the shape of the draws: that of a value, without the dimension of a draw.
func (d *Dist) batchShape(dst []int32) ([]int32, error) {
	if d.numbers() { // the fast path: a scalar
		return dst, nil
	}
	at := len(dst)
	for k := range d.Params {
		b, err := d.batch(k)
		if err != nil {
			return dst, err
		}
		if len(b) == 0 {
			continue
		}
		if len(dst) == at || slices.Equal(dst[at:], b) {
			dst = append(dst[:at], b...)
			continue
		}
		if dst, err = d.together(dst, at, b, k); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// together broadcasts the shape from at on against that of parameter k.
func (d *Dist) together(dst []int32, at int, b []int32, k int) ([]int32, error) {
	var room [MaxRank]int32
	if len(dst)-at > MaxRank {
		return dst, fmt.Errorf("%w: %d dimensions, at most %d", ErrShape, len(dst)-at, MaxRank)
	}
	n := copy(room[:], dst[at:])
	dst, err := Broadcast(dst[:at], room[:n], b)
	if err != nil {
		return dst, fmt.Errorf("%s: %s: %w", d.Kind, strings.Join(d.Kind.Params()[:k+1], " and "), err)
	}
	return dst, nil
}

// Check reports the first invalid parameter: a *ParamError, or an error of shapes. The other methods
// require a distribution that passed.
func (d *Dist) Check() error {
	if d.Kind == None || !d.Kind.Valid() {
		return fmt.Errorf("%s is no distribution", d.Kind)
	}
	f := &kinds[d.Kind]
	if len(d.Params) != len(f.params) {
		return fmt.Errorf("%w: %s has %d parameters, not %d", ErrShape, d.Kind, len(f.params), len(d.Params))
	}
	if d.scalar() {
		p := d.args()
		if i, reason := f.check(p); reason != "" {
			return &ParamError{d.Kind, f.params[i].name, 0, p.at(i), reason}
		}
		return nil
	}
	for i, p := range d.Params {
		if n, err := Elements(p.Shape); err != nil {
			return fmt.Errorf("%s: %s: %w", d.Kind, f.params[i].name, err)
		} else if n != len(p.Data) {
			return fmt.Errorf("%s: %s: %w", d.Kind, f.params[i].name, ErrShape)
		}
	}
	if f.rows != nil {
		return d.checkRows()
	}
	var e elements
	if err := e.init(d, nil); err != nil {
		return err
	}
	for i := range e.n {
		p := e.next()
		if j, reason := f.check(p); reason != "" {
			return &ParamError{d.Kind, f.params[j].name, i, p.at(j), reason}
		}
	}
	return nil
}

// elements walks the broadcast parameters of a distribution.
type elements struct {
	shape [MaxRank]int32
	rank  int
	n     int
	used  int
	each  [MaxArgs]operand
}

// init prepares a walk over the parameters broadcast against each other and against the shape with.
func (e *elements) init(d *Dist, with []int32) (err error) {
	if e.rank, e.n, err = d.broadcast(&e.shape, with); err != nil {
		return err
	}
	e.used = len(d.Params)
	for i := range d.Params {
		e.each[i].init(d.Params[i], e.shape[:e.rank], e.n)
	}
	return nil
}

// broadcast puts the shape of d's draws, broadcast against with unless that is nil, into shape.
func (d *Dist) broadcast(shape *[MaxRank]int32, with []int32) (rank, n int, err error) {
	var room [MaxRank]int32
	own, err := d.batchShape(room[:0])
	if err != nil {
		return 0, 0, err
	}
	out := append(shape[:0], own...)
	if with != nil {
		if out, err = Broadcast(shape[:0], own, with); err != nil {
			return 0, 0, fmt.Errorf("%s: value and parameters: %w", d.Kind, err)
		}
	}
	n, err = Elements(out)
	return len(out), n, err
}

func (e *elements) next() (p args) {
	p.a = e.each[0].next()
	if e.used > 1 {
		p.b = e.each[1].next()
	}
	if e.used > 2 {
		p.c = e.each[2].next()
	}
	if e.used > 3 {
		p.d = e.each[3].next()
	}
	return p
}

// Len is the number of elements of one value.
func (d *Dist) Len() (int, error) {
	if d.scalar() {
		return 1, nil
	}
	var shape [MaxRank]int32
	s, err := d.Shape(shape[:0])
	if err != nil {
		return 0, err
	}
	return Elements(s)
}

// LogProb is the log density (or log probability) of x, in nats, summed over the elements; x broadcasts
// against the parameters. Outside the support it is −Inf; a NaN in x gives NaN.
func (d *Dist) LogProb(x Tensor) (float64, error) {
	f := &kinds[d.Kind]
	if f.rows != nil {
		return d.logProbRows(x)
	}
	if len(x.Data) == 1 && d.scalar() {
		v := x.Data[0]
		if v != v {
			return v, nil
		}
		return f.logProb(v, d.args()), nil
	}
	var e elements
	if err := e.init(d, nonNil(x.Shape)); err != nil {
		return 0, err
	}
	var xs operand
	xs.init(x, e.shape[:e.rank], e.n)
	sum := 0.0
	for range e.n {
		p := e.next()
		v := xs.next()
		if v != v {
			return v, nil
		}
		sum += f.logProb(v, p)
	}
	return sum, nil
}

// LogProbs writes the log density of each draw of x to out (see Draws); x has the elements of a value.
func (d *Dist) LogProbs(x, out []float64) error {
	f := &kinds[d.Kind]
	if f.rows != nil {
		m := d.width()
		return d.eachRow(len(out), func(i int, p rows) { out[i] = f.rows.density(x[i*m:(i+1)*m], p) })
	}
	i := 0
	return d.each(out, func(p args) float64 {
		v := x[i]
		i++
		if v != v {
			return v
		}
		return f.logProb(v, p)
	})
}

func nonNil(shape []int32) []int32 {
	if shape == nil {
		return []int32{}
	}
	return shape
}

// Sample draws one value into out, which has Len elements.
func (d *Dist) Sample(s *Stream, out []float64) error {
	f := &kinds[d.Kind]
	if d.Kind.Own() {
		return ErrOwn
	}
	if f.rows != nil {
		m := d.width()
		if m > 0 && d.aligned(len(out)/m) { // without a closure
			for i := range len(out) / m {
				f.rows.sample(s, d.row(i), out[i*m:(i+1)*m])
			}
			return nil
		}
		return d.eachDraw(out, func(p rows, x []float64) { f.rows.sample(s, p, x) })
	}
	if len(out) == 1 && d.scalar() {
		out[0] = f.sample(s, d.args())
		return nil
	}
	return d.each(out, func(p args) float64 { return f.sample(s, p) })
}

// Mean writes the mean of each element to out (NaN where there is none, the category's index counting as
// its value).
func (d *Dist) Mean(out []float64) error {
	f := &kinds[d.Kind]
	if f.rows != nil {
		return d.eachDraw(out, func(p rows, x []float64) { f.rows.moments(p, x, make([]float64, len(x))) })
	}
	return d.each(out, f.mean)
}

// Variance writes the variance of each element to out.
func (d *Dist) Variance(out []float64) error {
	f := &kinds[d.Kind]
	if f.rows != nil {
		return d.eachDraw(out, func(p rows, x []float64) { f.rows.moments(p, make([]float64, len(x)), x) })
	}
	return d.each(out, f.variance)
}

// Spread writes the size of typical differences of each element to out: the standard deviation, of families whose variance may be infinite the scale.
func (d *Dist) Spread(out []float64) error {
	f := &kinds[d.Kind]
	switch {
	case f.rows != nil && f.rows.place != nil:
		return d.eachDraw(out, func(p rows, x []float64) { _, x[0] = f.rows.place(p) })
	case f.spread != nil:
		return d.each(out, f.spread)
	}
	if err := d.Variance(out); err != nil {
		return err
	}
	for i, v := range out {
		out[i] = math.Sqrt(v)
	}
	return nil
}

// Support writes the ends of each element's support to lo and hi; continuous supports are open where the
// density is 0 or infinite there.
func (d *Dist) Support(lo, hi []float64) error {
	f, i := &kinds[d.Kind], 0
	if f.rows != nil {
		return d.eachDraw(lo, func(p rows, x []float64) {
			f.rows.support(p, x, hi[i:i+len(x)])
			i += len(x)
		})
	}
	return d.each(lo, func(p args) float64 {
		l, h := f.support(p)
		hi[i] = h
		i++
		return l
	})
}

// each applies g to the broadcast parameters of each element.
func (d *Dist) each(out []float64, g func(p args) float64) error {
	var e elements
	if err := e.init(d, nil); err != nil {
		return err
	}
	if e.n != len(out) {
		return fmt.Errorf("%w: %d elements wanted, room for %d", ErrShape, e.n, len(out))
	}
	for i := range out {
		out[i] = g(e.next())
	}
	return nil
}

// Roundings writes to out, for each of n elements of a value of that shape, the size that the rounding of a sample is relative to besides
// the value's own: 0 unless the sample is a sum in which large terms may cancel.
func (d *Dist) Roundings(shape []int32, out []float64) {
	clear(out)
	f := &kinds[d.Kind]
	switch {
	case !f.sums:
	case f.rows != nil:
		_ = d.eachDraw(out, func(p rows, x []float64) {
			most := 0.0
			for _, row := range p {
				for _, v := range row {
					most = math.Max(most, math.Abs(v))
				}
			}
			for i := range x {
				x[i] = most
			}
		})
	default:
		for i := range d.Params {
			for k, x := range Expand(nil, d.Params[i], shape, len(out)) {
				out[k] = math.Max(out[k], math.Abs(x))
			}
		}
	}
}

// Flatten appends the parameters of a value of n elements and that shape to dst, one parameter after the other, each broadcast to the
// draws of the value: as many numbers for each draw, which are a row's where the parameter is one.
func (d *Dist) Flatten(dst []float64, shape []int32, n int) []float64 {
	if d.Kind.Vector() {
		shape, n = shape[:len(shape)-1], n/max(1, d.width())
	}
	for k := range d.Params {
		p := &d.Params[k]
		size := rowSize(d.Kind, k, p)
		switch {
		case len(p.Data) == n*size:
			dst = append(dst, p.Data...)
		case kinds[d.Kind].params[k].event == 0:
			dst = Expand(dst, *p, shape, n)
		default:
			b, _ := d.batch(k)
			w := newWalk(shape, b)
			for range n {
				r := w.next()
				dst = append(dst, p.Data[r*size:(r+1)*size]...)
			}
		}
	}
	return dst
}

// FlatLen is how many numbers Flatten appends for a value of n elements.
func (d *Dist) FlatLen(n int) (total int) {
	if d.Kind.Vector() {
		n /= max(1, d.width())
	}
	for k := range d.Params {
		total += n * rowSize(d.Kind, k, &d.Params[k])
	}
	return total
}

// Shapes is room for the shapes of a distribution's parameters.
type Shapes [MaxArgs][MaxRank + 2]int32

// Unflatten is the inverse of Flatten, for a value of n elements; false where the numbers are no parameters of such a value. The tensors
// are views of flat, put into d's memory; room is for shapes.
func (d *Dist) Unflatten(k Kind, flat []float64, shape []int32, n int, room *Shapes) bool {
	d.Kind, d.Params = k, d.Params[:0]
	event := 0
	if k.Vector() {
		if len(shape) == 0 {
			return false
		}
		event = int(shape[len(shape)-1])
		shape = shape[:len(shape)-1]
		if n == 0 || event == 0 {
			return false // there is no telling how many parameters there were
		}
		n /= event
	}
	params := kinds[k].params
	sizes := [MaxArgs]int{1, 1, 1, 1}
	if f := kinds[k].rows; f != nil && n > 0 {
		var ok bool
		if sizes, ok = f.sizes(len(flat)/n, event, flat); !ok {
			return false
		}
	} else if f != nil { // no draw, and no row
		clear(sizes[:])
	}
	total := 0
	for i := range params {
		if sizes[i] < 0 || kinds[k].rows != nil && !kinds[k].rows.empty && n > 0 && sizes[i] == 0 {
			return false
		}
		total += n * sizes[i]
	}
	if total != len(flat) {
		return false
	}
	for i, p := range params {
		m := n * sizes[i]
		s := shape
		switch p.event {
		case 1:
			s = append(append(room[i][:0], shape...), int32(sizes[i]))
		case 2:
			side := int32(math.Round(math.Sqrt(float64(sizes[i]))))
			if int(side)*int(side) != sizes[i] {
				return false
			}
			s = append(append(room[i][:0], shape...), side, side)
		}
		d.Params = append(d.Params, Tensor{Data: flat[:m:m], Shape: s})
		flat = flat[m:]
	}
	return true
}

// InSupport tells whether every element of x has a finite, positive density.
func (d *Dist) InSupport(x Tensor) bool {
	lp, err := d.LogProb(x)
	return err == nil && !math.IsInf(lp, -1) && lp == lp
}
