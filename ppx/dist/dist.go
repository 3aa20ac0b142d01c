package dist

import (
	"fmt"
	"math"
	"strings"
)

// Dist is a distribution: a kind and its parameters, which broadcast against each other.
type Dist struct {
	Kind   Kind
	Params [2]Tensor
}

// New builds a distribution from scalar parameters; for Categorical the numbers are the probabilities.
func New(k Kind, params ...float64) Dist {
	d := Dist{Kind: k}
	if k == Categorical {
		d.Params[0] = Vector(params...)
		return d
	}
	for i, p := range params {
		d.Params[i] = Scalar(p)
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
	for i, p := range d.params() {
		fmt.Fprintf(&b, "%s%s=%v", [2]string{"(", ", "}[i], kinds[d.Kind].params[i], p)
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

// params returns the parameters in use.
func (d *Dist) params() []Tensor { return d.Params[:len(kinds[d.Kind].params)] }

// scalar tells that one element and at most one dimension describe every parameter: the fast path.
func (d *Dist) scalar() bool {
	return len(d.Params[0].Data) == 1 && len(d.Params[0].Shape) <= 1 &&
		len(d.Params[1].Data) <= 1 && len(d.Params[1].Shape) <= 1
}

// second is the second parameter of a scalar distribution, 0 for one-parameter families.
func (d *Dist) second() float64 {
	if len(d.Params[1].Data) == 0 {
		return 0
	}
	return d.Params[1].Data[0]
}

// Categories is the number of categories of a Categorical, 0 for other kinds.
func (d *Dist) Categories() int {
	s := d.Params[0].Shape
	if d.Kind != Categorical || len(s) == 0 {
		return 0
	}
	return int(s[len(s)-1])
}

// Shape appends the shape of one value to dst: the broadcast of the parameters' shapes, for a
// Categorical the shape of probs without its last dimension.
func (d *Dist) Shape(dst []int32) ([]int32, error) {
	a := d.Params[0].Shape
	if d.Kind == Categorical {
		if len(a) == 0 {
			return dst, fmt.Errorf("%w: Categorical: probs is a scalar, it needs one probability per category", ErrShape)
		}
		return append(dst, a[:len(a)-1]...), nil
	}
	if len(kinds[d.Kind].params) < 2 {
		return append(dst, a...), nil
	}
	dst, err := Broadcast(dst, a, d.Params[1].Shape)
	if err != nil {
		return dst, fmt.Errorf("%s: %s and %s: %w", d.Kind, d.Kind.Params()[0], d.Kind.Params()[1], err)
	}
	return dst, nil
}

// Check reports the first invalid parameter: a *ParamError, or an error of shapes. The other methods
// require a distribution that passed.
func (d *Dist) Check() error {
	if d.Kind == None || !d.Kind.Valid() {
		return fmt.Errorf("%s is no distribution", d.Kind)
	}
	if d.Kind == Categorical {
		return d.checkCategorical()
	}
	f := &kinds[d.Kind]
	if d.scalar() && (len(f.params) == 1 || len(d.Params[1].Data) == 1) {
		if i, reason := f.check(d.Params[0].Data[0], d.second()); reason != "" {
			return &ParamError{d.Kind, f.params[i], 0, d.Params[i].Data[0], reason}
		}
		return nil
	}
	for i, p := range d.params() {
		if n, err := Elements(p.Shape); err != nil {
			return fmt.Errorf("%s: %s: %w", d.Kind, f.params[i], err)
		} else if n != len(p.Data) {
			return fmt.Errorf("%s: %s: %w", d.Kind, f.params[i], ErrShape)
		}
	}
	var e elements
	if err := e.init(d, nil); err != nil {
		return err
	}
	for i := range e.n {
		a, b := e.next()
		if j, reason := f.check(a, b); reason != "" {
			return &ParamError{d.Kind, f.params[j], i, [2]float64{a, b}[j], reason}
		}
	}
	return nil
}

// elements walks the broadcast parameters of a distribution.
type elements struct {
	shape  [MaxRank]int32
	rank   int
	n      int
	a, b   operand
	second bool
}

// init prepares a walk over the parameters broadcast against each other and against the shape with.
func (e *elements) init(d *Dist, with []int32) error {
	shape, err := d.Shape(e.shape[:0])
	if err != nil {
		return err
	}
	if with != nil {
		var own [MaxRank]int32
		k := copy(own[:], shape)
		if shape, err = Broadcast(e.shape[:0], own[:k], with); err != nil {
			return fmt.Errorf("%s: value and parameters: %w", d.Kind, err)
		}
	}
	if e.n, err = Elements(shape); err != nil {
		return err
	}
	e.rank = len(shape)
	out := e.shape[:e.rank]
	e.a.init(d.Params[0], out, e.n)
	if e.second = len(kinds[d.Kind].params) == 2; e.second {
		e.b.init(d.Params[1], out, e.n)
	}
	return nil
}

func (e *elements) next() (a, b float64) {
	a = e.a.next()
	if e.second {
		b = e.b.next()
	}
	return a, b
}

// Len is the number of elements of one value.
func (d *Dist) Len() (int, error) {
	if d.Kind != Categorical && d.scalar() {
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
	if d.Kind == Categorical {
		return d.logProbCategorical(x)
	}
	f := &kinds[d.Kind]
	if len(x.Data) == 1 && d.scalar() {
		v := x.Data[0]
		if v != v {
			return v, nil
		}
		return f.logProb(v, d.Params[0].Data[0], d.second()), nil
	}
	var e elements
	if err := e.init(d, nonNil(x.Shape)); err != nil {
		return 0, err
	}
	var xs operand
	xs.init(x, e.shape[:e.rank], e.n)
	sum := 0.0
	for range e.n {
		a, b := e.next()
		v := xs.next()
		if v != v {
			return v, nil
		}
		sum += f.logProb(v, a, b)
	}
	return sum, nil
}

// LogProbs writes the log density of each element of x to out; x has the elements of a value.
func (d *Dist) LogProbs(x, out []float64) error {
	if d.Kind == Categorical {
		for i, v := range x {
			k := d.Categories()
			row := Dist{Kind: Categorical, Params: [2]Tensor{{Data: d.Params[0].Data[i*k : (i+1)*k], Shape: []int32{int32(k)}}}}
			lp, err := row.LogProb(Scalar(v))
			if err != nil {
				return err
			}
			out[i] = lp
		}
		return nil
	}
	i := 0
	return d.each(out, func(a, b float64) float64 {
		v := x[i]
		i++
		if v != v {
			return v
		}
		return kinds[d.Kind].logProb(v, a, b)
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
	if d.Kind == Categorical {
		return d.sampleCategorical(s, out)
	}
	f := &kinds[d.Kind]
	if len(out) == 1 && d.scalar() {
		out[0] = f.sample(s, d.Params[0].Data[0], d.second())
		return nil
	}
	return d.each(out, func(a, b float64) float64 { return f.sample(s, a, b) })
}

// Mean writes the mean of each element to out (NaN where there is none, the category's index counting as
// its value).
func (d *Dist) Mean(out []float64) error {
	if d.Kind == Categorical {
		return d.momentsCategorical(out, nil)
	}
	return d.each(out, kinds[d.Kind].mean)
}

// Variance writes the variance of each element to out.
func (d *Dist) Variance(out []float64) error {
	if d.Kind == Categorical {
		return d.momentsCategorical(nil, out)
	}
	return d.each(out, kinds[d.Kind].variance)
}

// Support writes the ends of each element's support to lo and hi; continuous supports are open where the
// density is 0 or infinite there.
func (d *Dist) Support(lo, hi []float64) error {
	if d.Kind == Categorical {
		for i := range lo {
			lo[i], hi[i] = 0, float64(d.Categories()-1)
		}
		return nil
	}
	i := 0
	return d.each(lo, func(a, b float64) float64 {
		l, h := kinds[d.Kind].support(a, b)
		hi[i] = h
		i++
		return l
	})
}

// each applies g to every pair of broadcast parameters.
func (d *Dist) each(out []float64, g func(a, b float64) float64) error {
	var e elements
	if err := e.init(d, nil); err != nil {
		return err
	}
	if e.n != len(out) {
		return fmt.Errorf("%w: %d elements wanted, room for %d", ErrShape, e.n, len(out))
	}
	for i := range out {
		a, b := e.next()
		out[i] = g(a, b)
	}
	return nil
}

// InSupport tells whether every element of x has a finite, positive density.
func (d *Dist) InSupport(x Tensor) bool {
	lp, err := d.LogProb(x)
	return err == nil && !math.IsInf(lp, -1) && lp == lp
}
