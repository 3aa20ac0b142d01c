package nn

import (
	"fmt"
	"math"
)

// Adam is the optimiser of Kingma and Ba (2015), with the decoupled weight decay of Loshchilov and Hutter
// (2019). Its state belongs to each Param: new ones may appear at any time, and one without a gradient in a
// step is left alone.
type Adam[T Number] struct {
	Rate         float64 // step size
	Beta1, Beta2 float64
	Epsilon      float64
	Decay        float64 // weight decay per step, times Rate; 0: none

	state map[*Param[T]]*Moments[T]
}

// Moments is the optimiser's state of one Param.
type Moments[T Number] struct {
	Steps         int
	First, Second []T
}

// NewAdam returns the optimiser with the usual constants.
func NewAdam[T Number](rate float64) *Adam[T] {
	return &Adam[T]{Rate: rate, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, state: map[*Param[T]]*Moments[T]{}}
}

// Moments is the state of a Param, made if it has none: for checkpoints.
func (o *Adam[T]) Moments(p *Param[T]) *Moments[T] {
	m := o.state[p]
	if m == nil {
		m = &Moments[T]{First: make([]T, len(p.Value)), Second: make([]T, len(p.Value))}
		o.state[p] = m
	}
	return m
}

// Step moves the weights against their gradients times scale, and sets the gradients to zero.
func (o *Adam[T]) Step(params []*Param[T], scale float64) {
	for _, p := range params {
		if !p.touched {
			continue
		}
		p.touched = false
		m := o.Moments(p)
		m.Steps++
		rate := o.Rate / (1 - math.Pow(o.Beta1, float64(m.Steps)))
		correction := 1 / math.Sqrt(1-math.Pow(o.Beta2, float64(m.Steps)))
		adam(p.Value, p.Grad, m.First, m.Second, rate, correction, o.Beta1, o.Beta2, o.Epsilon, 1-o.Rate*o.Decay, scale)
	}
}

// Norm is the norm of the gradients of all Params together. One that is not finite is an error that names
// its Param.
func Norm[T Number](params []*Param[T]) (norm float64, err error) {
	sum := 0.0
	for _, p := range params {
		if !p.touched {
			continue
		}
		own := sumSquares(p.Grad)
		if math.IsNaN(own) || math.IsInf(own, 0) {
			return own, fmt.Errorf("the gradient of %v is not finite", p)
		}
		sum += own
	}
	return math.Sqrt(sum), nil
}
