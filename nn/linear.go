package nn

import "math"

// Linear is y = x·Wᵀ + b for rows of x.
type Linear[T Number] struct {
	In, Out int
	W, B    *Param[T] // [Out, In], [Out]
}

// NewLinear returns a layer without weights.
func NewLinear[T Number](name string, in, out int) *Linear[T] {
	return &Linear[T]{In: in, Out: out, W: NewParam[T](name+".weight", out, in), B: NewParam[T](name+".bias", out)}
}

// Params are the layer's.
func (l *Linear[T]) Params() []*Param[T] { return []*Param[T]{l.W, l.B} }

// Init draws the weights uniformly with a variance of 1/In (Glorot and Bengio 2010, without the fan-out) from
// uniform numbers in (0, 1).
func (l *Linear[T]) Init(uniform func() float64) {
	initUniform(l.W.Value, l.In, uniform)
	clear(l.B.Value)
}

func initUniform[T Number](w []T, fanIn int, uniform func() float64) {
	bound := math.Sqrt(3 / float64(fanIn))
	for i := range w {
		w[i] = T((2*uniform() - 1) * bound)
	}
}

// Forward returns rows × Out numbers for rows × In.
func (l *Linear[T]) Forward(a *Arena[T], x []T, rows int) []T {
	y := a.Take(rows * l.Out)
	for r := range rows {
		copy(y[r*l.Out:(r+1)*l.Out], l.B.Value)
	}
	mul(false, true, 1, matrix[T]{x, rows, l.In}, matrix[T]{l.W.Value, l.Out, l.In}, 1, matrix[T]{y, rows, l.Out})
	return y
}

// Backward adds the gradients of the weights for the gradient dy of Forward's result, and returns that of x.
func (l *Linear[T]) Backward(a *Arena[T], x, dy []T, rows int) (dx []T) {
	l.gradient(x, dy, rows)
	dx = a.Take(rows * l.In)
	mul(false, false, 1, matrix[T]{dy, rows, l.Out}, matrix[T]{l.W.Value, l.Out, l.In}, 0, matrix[T]{dx, rows, l.In})
	return dx
}

// BackwardWeights is Backward for an x whose gradient nobody wants.
func (l *Linear[T]) BackwardWeights(x, dy []T, rows int) { l.gradient(x, dy, rows) }

func (l *Linear[T]) gradient(x, dy []T, rows int) {
	d := matrix[T]{dy, rows, l.Out}
	mul(true, false, 1, d, matrix[T]{x, rows, l.In}, 1, matrix[T]{l.W.Grad, l.Out, l.In})
	addRows(l.B.Grad, dy, rows)
	l.W.Touch()
	l.B.Touch()
}
