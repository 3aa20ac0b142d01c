package net

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

// Step moves the weights against their gradients, which it sets to zero.
func (o *Adam[T]) Step(params []*Param[T]) {
	for _, p := range params {
		if !touched(p.Grad) {
			continue
		}
		m := o.Moments(p)
		m.Steps++
		rate := T(o.Rate / (1 - math.Pow(o.Beta1, float64(m.Steps))))
		correction := T(1 / math.Sqrt(1-math.Pow(o.Beta2, float64(m.Steps))))
		b1, b2, eps, keep := T(o.Beta1), T(o.Beta2), T(o.Epsilon), T(1-o.Rate*o.Decay)
		first, second, value := m.First, m.Second, p.Value
		for i, g := range p.Grad {
			first[i] = b1*first[i] + (1-b1)*g
			second[i] = b2*second[i] + (1-b2)*g*g
			value[i] = keep*value[i] - rate*first[i]/(T(math.Sqrt(float64(second[i])))*correction+eps)
		}
		clear(p.Grad)
	}
}

func touched[T Number](grad []T) bool {
	for _, g := range grad {
		if g != 0 {
			return true
		}
	}
	return false
}

// Clip scales the gradients so that their norm, over all Params together, is at most most, and returns what it
// was before. A gradient that is not finite is an error that names its Param, and leaves all as they are.
func Clip[T Number](params []*Param[T], most float64) (norm float64, err error) {
	sum := 0.0
	for _, p := range params {
		own := 0.0
		for _, g := range p.Grad {
			own += float64(g) * float64(g)
		}
		if math.IsNaN(own) || math.IsInf(own, 0) {
			return own, fmt.Errorf("the gradient of %v is not finite", p)
		}
		sum += own
	}
	if norm = math.Sqrt(sum); norm > most && most > 0 {
		by := T(most / norm)
		for _, p := range params {
			for i := range p.Grad {
				p.Grad[i] *= by
			}
		}
	}
	return norm, nil
}
