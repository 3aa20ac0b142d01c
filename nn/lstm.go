package nn

import (
	"fmt"
	"math"
)

// Packed is a minibatch of sequences of different lengths, longest first: step t has Alive[t] rows, those of the
// sequences that have not ended, and all rows lie one after the other, step by step.
type Packed struct {
	Alive []int // not increasing
	Start []int // first row of each step, and the number of rows at the end
}

// Pack describes sequences of the given lengths, which must not increase.
func Pack(lengths []int) (Packed, error) {
	p := Packed{Start: []int{0}}
	alive := len(lengths)
	for i := 1; i < len(lengths); i++ {
		if lengths[i] > lengths[i-1] {
			return p, fmt.Errorf("sequence %d of length %d comes after a shorter one", i, lengths[i])
		}
	}
	for t := 0; ; t++ {
		for alive > 0 && lengths[alive-1] <= t {
			alive--
		}
		if alive == 0 {
			return p, nil
		}
		p.Alive = append(p.Alive, alive)
		p.Start = append(p.Start, p.Start[t]+alive)
	}
}

// Rows is the number of rows.
func (p *Packed) Rows() int { return p.Start[len(p.Start)-1] }

// LSTM is a layer of long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates): gates
// i, f, g, o of x·Wxᵀ + h·Whᵀ + b; c' = σ(f)·c + σ(i)·tanh(g); h' = σ(o)·tanh(c').
type LSTM[T Number] struct {
	In, Hidden int
	Wx, Wh, B  *Param[T] // [4·Hidden, In], [4·Hidden, Hidden], [4·Hidden]
}

// NewLSTM returns a layer without weights.
func NewLSTM[T Number](name string, in, hidden int) *LSTM[T] {
	return &LSTM[T]{In: in, Hidden: hidden, Wx: NewParam[T](name+".weight_x", 4*hidden, in),
		Wh: NewParam[T](name+".weight_h", 4*hidden, hidden), B: NewParam[T](name+".bias", 4*hidden)}
}

// Params are the layer's.
func (l *LSTM[T]) Params() []*Param[T] { return []*Param[T]{l.Wx, l.Wh, l.B} }

// Init draws the weights; the forget gates begin open (Jozefowicz et al. 2015).
func (l *LSTM[T]) Init(uniform func() float64) {
	initUniform(l.Wx.Value, l.In+l.Hidden, uniform)
	initUniform(l.Wh.Value, l.In+l.Hidden, uniform)
	clear(l.B.Value)
	for i := range l.Hidden {
		l.B.Value[l.Hidden+i] = 1
	}
}

// LSTMRun is what the forward pass hands to the backward pass.
type LSTMRun[T Number] struct {
	p     Packed
	x     []T
	gates []T // σ(i), σ(f), tanh(g), σ(o)
	c     []T
	tanhC []T
	H     []T // the result: rows × Hidden
}

// Forward runs all sequences from a state of zeros over x, rows × In.
func (l *LSTM[T]) Forward(a *Arena[T], p Packed, x []T) *LSTMRun[T] {
	n, h := p.Rows(), l.Hidden
	r := &LSTMRun[T]{p: p, x: x, gates: a.Take(n * 4 * h), c: a.Take(n * h), tanhC: a.Take(n * h), H: a.Take(n * h)}
	for i := range n {
		copy(r.gates[i*4*h:(i+1)*4*h], l.B.Value)
	}
	mul(false, true, 1, matrix[T]{x, n, l.In}, matrix[T]{l.Wx.Value, 4 * h, l.In}, 1, matrix[T]{r.gates, n, 4 * h})
	for t, alive := range p.Alive {
		at := p.Start[t]
		g := matrix[T]{r.gates[at*4*h : (at+alive)*4*h], alive, 4 * h}
		var before []T
		if t > 0 {
			// The sequences that are alive are the first ones of the step before.
			from := p.Start[t-1]
			mul(false, true, 1, matrix[T]{r.H[from*h : (from+alive)*h], alive, h}, matrix[T]{l.Wh.Value, 4 * h, h}, 1, g)
			before = r.c[from*h : (from+alive)*h]
		}
		o := at * h
		gateForward(alive, h, g.data, before, r.c[o:], r.tanhC[o:], r.H[o:])
	}
	return r
}

// Backward adds the gradients of the weights for the gradient dH of the result, and returns that of x.
func (l *LSTM[T]) Backward(a *Arena[T], r *LSTMRun[T], dH []T) (dx []T) {
	p, h := r.p, l.Hidden
	n := p.Rows()
	dGates := a.Take(n * 4 * h)
	width := 0
	if len(p.Alive) > 0 {
		width = p.Alive[0]
	}
	// What comes back from the step after, for the sequences that go on; zeros for those that end.
	dh, dc := a.Zeros(width*h), a.Zeros(width*h)
	for t := len(p.Alive) - 1; t >= 0; t-- {
		alive, at := p.Alive[t], p.Start[t]
		var before []T
		if t > 0 {
			before = r.c[p.Start[t-1]*h:]
		}
		gateBackward(alive, h, r.gates[at*4*h:], before, r.tanhC[at*h:], dH[at*h:], dh, dc, dGates[at*4*h:])
		if t > 0 {
			mul(false, false, 1, matrix[T]{dGates[at*4*h : (at+alive)*4*h], alive, 4 * h}, matrix[T]{l.Wh.Value, 4 * h, h}, 0, matrix[T]{dh[:alive*h], alive, h})
		}
	}
	all := matrix[T]{dGates, n, 4 * h}
	mul(true, false, 1, all, matrix[T]{r.x, n, l.In}, 1, matrix[T]{l.Wx.Grad, 4 * h, l.In})
	addRows(l.B.Grad, dGates, n)
	l.Wx.Touch()
	l.B.Touch()
	if first := width; n > first {
		// The states before each row but those of the first step, as one matrix.
		before := a.Take((n - first) * h)
		for t := 1; t < len(p.Alive); t++ {
			copy(before[(p.Start[t]-first)*h:(p.Start[t+1]-first)*h], r.H[p.Start[t-1]*h:])
		}
		mul(true, false, 1, matrix[T]{dGates[first*4*h:], n - first, 4 * h}, matrix[T]{before, n - first, h}, 1, matrix[T]{l.Wh.Grad, 4 * h, h})
		l.Wh.Touch()
	}
	dx = a.Take(n * l.In)
	mul(false, false, 1, all, matrix[T]{l.Wx.Value, 4 * h, l.In}, 0, matrix[T]{dx, n, l.In})
	return dx
}

// Step advances one state by one input, for inference: h and c are replaced.
func (l *LSTM[T]) Step(a *Arena[T], x, h, c []T) {
	n := l.Hidden
	g := a.Take(4 * n)
	copy(g, l.B.Value)
	mul(false, true, 1, matrix[T]{x, 1, l.In}, matrix[T]{l.Wx.Value, 4 * n, l.In}, 1, matrix[T]{g, 1, 4 * n})
	mul(false, true, 1, matrix[T]{h, 1, n}, matrix[T]{l.Wh.Value, 4 * n, n}, 1, matrix[T]{g, 1, 4 * n})
	for k := range n {
		c[k] = Sigmoid(g[n+k])*c[k] + Sigmoid(g[k])*tanh(g[2*n+k])
		h[k] = Sigmoid(g[3*n+k]) * tanh(c[k])
	}
}

// Sigmoid is the logistic function.
func Sigmoid[T Number](x T) T { return T(1 / (1 + math.Exp(-float64(x)))) }

func tanh[T Number](x T) T { return T(math.Tanh(float64(x))) }
