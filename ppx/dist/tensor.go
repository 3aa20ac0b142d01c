// Package dist holds the distributions of PPX over tensors: validity, log density, sampling,
// support and moments. One file per family, one table of kinds (kinds.go) that drives everything else,
// the wire codec included.
//
// Sampling draws from a counter-based generator (Stream) by one written algorithm per family, so that a
// draw is a function of its key and two implementations can agree on every value; docs/random.md
// describes them.
package dist

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxElements is the largest number of elements of a tensor, also of a broadcast result (512 MiB of doubles).
const MaxElements = 1 << 26

// MaxRank is the largest number of dimensions of a tensor.
const MaxRank = 32

// Errors of shapes.
var (
	ErrShape     = errors.New("shape does not fit the data")
	ErrBroadcast = errors.New("shapes do not broadcast")
	ErrTooLarge  = fmt.Errorf("more than %d elements", MaxElements)
)

// Tensor is a dense row-major array of float64: len(Data) equals the product of Shape. The zero value is
// "no tensor" (Absent); a scalar has an empty Shape and one element.
//
// Tensors handed out by a codec or a recorder are views: copy them (Clone) to keep them.
type Tensor struct {
	Data  []float64
	Shape []int32
}

// Scalar returns a tensor of shape [].
func Scalar(v float64) Tensor { return Tensor{Data: []float64{v}} }

// Vector returns a tensor of shape [len(v)].
func Vector(v ...float64) Tensor {
	return Tensor{Data: v, Shape: []int32{int32(len(v))}}
}

// NewTensor checks that shape describes data: no negative dimension, product equal to len(data).
func NewTensor(data []float64, shape []int32) (Tensor, error) {
	n, err := Elements(shape)
	if err != nil {
		return Tensor{}, err
	}
	if n != len(data) {
		return Tensor{}, fmt.Errorf("%w: shape %s holds %d elements, the data %d", ErrShape, ShapeString(shape), n, len(data))
	}
	return Tensor{Data: data, Shape: shape}, nil
}

// Absent tells that t holds no element: no value at all, or an empty tensor.
func (t Tensor) Absent() bool { return len(t.Data) == 0 }

// Len is the number of elements.
func (t Tensor) Len() int { return len(t.Data) }

// Float returns the first element; the tensor must not be empty.
func (t Tensor) Float() float64 { return t.Data[0] }

// Clone copies data and shape.
func (t Tensor) Clone() Tensor {
	c := Tensor{}
	if t.Data != nil {
		c.Data = append(make([]float64, 0, len(t.Data)), t.Data...)
	}
	if t.Shape != nil {
		c.Shape = append(make([]int32, 0, len(t.Shape)), t.Shape...)
	}
	return c
}

// String shows a scalar as its number, others as shape and at most eight elements.
func (t Tensor) String() string {
	if len(t.Data) == 1 && len(t.Shape) == 0 {
		return strconv.FormatFloat(t.Data[0], 'g', 6, 64)
	}
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range t.Data {
		if i == 8 {
			fmt.Fprintf(&b, " … %d more", len(t.Data)-i)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.FormatFloat(v, 'g', 6, 64))
	}
	b.WriteByte(']')
	if len(t.Shape) != 1 {
		b.WriteString(" shape ")
		b.WriteString(ShapeString(t.Shape))
	}
	return b.String()
}

// Same tells whether two tensors have the same shape and the same numbers; NaN is NaN.
func (t Tensor) Same(o Tensor) bool {
	return slices.Equal(t.Shape, o.Shape) && slices.EqualFunc(t.Data, o.Data, func(x, y float64) bool { return x == y || x != x && y != y })
}

// ShapeString writes a shape as [2,3].
func ShapeString(shape []int32) string {
	b := []byte{'['}
	for i, d := range shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(d), 10)
	}
	return string(append(b, ']'))
}

// Elements is the product of a shape's dimensions, or an error for a negative dimension, too many
// dimensions, or more than MaxElements elements.
func Elements(shape []int32) (int, error) {
	if len(shape) > MaxRank {
		return 0, fmt.Errorf("%w: %d dimensions, at most %d", ErrShape, len(shape), MaxRank)
	}
	n, tooLarge := 1, false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("%w: negative dimension in %s", ErrShape, ShapeString(shape))
		case d == 0:
			n = 0
		case n > MaxElements/int(d):
			tooLarge = true
		default:
			n *= int(d)
		}
	}
	if tooLarge && n != 0 {
		return 0, fmt.Errorf("%w: shape %s", ErrTooLarge, ShapeString(shape))
	}
	return n, nil
}

// Broadcast appends the numpy broadcast of two shapes to dst: aligned at the right, a dimension of 1
// stretches.
func Broadcast(dst, a, b []int32) ([]int32, error) {
	rank := max(len(a), len(b))
	for i := range rank {
		da, db := int32(1), int32(1)
		if j := i - (rank - len(a)); j >= 0 {
			da = a[j]
		}
		if j := i - (rank - len(b)); j >= 0 {
			db = b[j]
		}
		switch {
		case da == db, db == 1:
			dst = append(dst, da)
		case da == 1:
			dst = append(dst, db)
		default:
			return dst, fmt.Errorf("%w: %s and %s", ErrBroadcast, ShapeString(a), ShapeString(b))
		}
	}
	return dst, nil
}

// walk visits the elements of a broadcast result in order and gives, for each, the flat index into an
// operand of shape s. The common cases (one element, equal shape) do without it; see index.
type walk struct {
	out    []int32
	stride [MaxRank]int // operand's stride for each dimension of out, 0 where it is stretched
	at     [MaxRank]int32
	pos    int
}

func newWalk(out, s []int32) walk {
	w := walk{out: out}
	stride := 1
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 1 {
			w.stride[len(out)-len(s)+i] = stride
		}
		stride *= int(s[i])
	}
	return w
}

// next returns the present index and moves on by one element of the result.
func (w *walk) next() int {
	pos := w.pos
	for d := len(w.out) - 1; d >= 0; d-- {
		w.at[d]++
		w.pos += w.stride[d]
		if w.at[d] < w.out[d] {
			return pos
		}
		w.pos -= int(w.at[d]) * w.stride[d]
		w.at[d] = 0
	}
	return pos
}

// operand reads a tensor as if it had been broadcast to a result of n elements and the given shape.
type operand struct {
	data []float64
	mode uint8 // 0 one element, 1 same layout, 2 strided
	i    int
	w    *walk // strided only: large, and seldom needed
}

func (o *operand) init(t Tensor, out []int32, n int) {
	o.data, o.i = t.Data, 0
	switch {
	case len(t.Data) == 1:
		o.mode = 0
	case len(t.Data) == n:
		o.mode = 1 // equal element counts under a valid broadcast differ only by dimensions of 1
	default:
		o.mode = 2
		w := newWalk(out, t.Shape)
		o.w = &w
	}
}

func (o *operand) next() float64 {
	switch o.mode {
	case 0:
		return o.data[0]
	case 1:
		v := o.data[o.i]
		o.i++
		return v
	default:
		return o.data[o.w.next()]
	}
}

// Expand appends t broadcast to shape (of n elements) to dst.
func Expand(dst []float64, t Tensor, shape []int32, n int) []float64 {
	var o operand
	o.init(t, shape, n)
	for range n {
		dst = append(dst, o.next())
	}
	return dst
}
