// Package graph builds a training pass out of a few coarse kernels (a whole embedding, a whole LSTM layer, all
// proposal heads) as a Gorgonia graph, and lets Gorgonia differentiate and run it. It is the only package that
// imports Gorgonia.
//
// A graph is made for one pass: making, differentiating and compiling one of ten nodes takes some tenths of a
// millisecond. Kernels own their memory; Gorgonia orders the calls and adds up gradients where a result is
// used twice.
package graph

import (
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/ppx-engine/ppx-engine/nn"
)

// Kernel is a differentiable function of matrices. It is called once in each direction.
type Kernel[T nn.Number] interface {
	// Forward returns the result, whose size was given to Node. A result of one number is a scalar.
	Forward(in [][]T) (out []T, err error)
	// Backward returns the gradient of each input for the gradient of the result, and adds those of weights where
	// they belong.
	Backward(dOut []T) (dIn [][]T, err error)
}

// Graph is one pass in the making. Not for concurrent use.
type Graph[T nn.Number] struct {
	g    *gorgonia.ExprGraph
	dt   tensor.Dtype
	ends gorgonia.Nodes // inputs: what is differentiated with respect to
}

// Node is the result of a kernel.
type Node struct {
	n          *gorgonia.Node
	rows, cols int
}

// New returns an empty graph.
func New[T nn.Number]() *Graph[T] {
	g := &Graph[T]{g: gorgonia.NewGraph(), dt: tensor.Float32}
	if _, ok := any(T(0)).(float64); ok {
		g.dt = tensor.Float64
	}
	return g
}

// Node adds a kernel with a result of rows × cols numbers. Both 1 is a scalar.
func (g *Graph[T]) Node(name string, k Kernel[T], rows, cols int, in ...*Node) (*Node, error) {
	op := &op[T]{common: newCommon(name), k: k, rows: rows, cols: cols, dt: g.dt}
	var inputs gorgonia.Nodes
	for _, n := range in {
		op.in = append(op.in, n)
		inputs = append(inputs, n.n)
	}
	if len(inputs) == 0 {
		// A kernel of data alone has weights that want gradients: it hangs on a scalar that nobody looks at.
		end := gorgonia.NewScalar(g.g, g.dt, gorgonia.WithName(fmt.Sprintf("%s.%d", name, op.id)), gorgonia.WithValue(T(1)))
		g.ends = append(g.ends, end)
		inputs = gorgonia.Nodes{end}
	}
	n, err := gorgonia.ApplyOp(op, inputs...)
	if err != nil {
		return nil, fmt.Errorf("graph: %s: %w", name, err)
	}
	return &Node{n, rows, cols}, nil
}

// Run computes a scalar and calls every kernel's Backward that it depends on.
func (g *Graph[T]) Run(loss *Node) (value float64, err error) {
	defer caught(&err)
	var out gorgonia.Value
	gorgonia.Read(loss.n, &out)
	if _, err := gorgonia.Grad(loss.n, g.ends...); err != nil {
		return 0, fmt.Errorf("graph: %w", err)
	}
	m := gorgonia.NewTapeMachine(g.g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return 0, err
	}
	switch v := out.Data().(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, fmt.Errorf("graph: the loss is a %T", out.Data())
}

// Forward computes a scalar alone.
func (g *Graph[T]) Forward(loss *Node) (value float64, err error) {
	defer caught(&err)
	var out gorgonia.Value
	gorgonia.Read(loss.n, &out)
	m := gorgonia.NewTapeMachine(g.g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return 0, err
	}
	if v, ok := out.Data().(float32); ok {
		return float64(v), nil
	}
	return out.Data().(float64), nil
}

var ids atomic.Uint64

// common is what Gorgonia asks of every operation: graphs join equal ones, and none of ours are.
type common struct {
	id   uint64
	name string
}

func newCommon(name string) common { return common{ids.Add(1), name} }

func (c common) ReturnsPtr() bool      { return true }
func (c common) CallsExtern() bool     { return false }
func (c common) OverwritesInput() int  { return -1 }
func (c common) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s.%d", c.name, c.id) }
func (c common) String() string        { return c.name }
func (c common) Hashcode() uint32 {
	h := fnv.New32a()
	c.WriteHash(h)
	return h.Sum32()
}

func typeOf(dt tensor.Dtype, rows, cols int) hm.Type {
	if rows == 1 && cols == 1 {
		return dt
	}
	return gorgonia.TensorType{Dims: 2, Of: dt}
}

func shapeOf(rows, cols int) tensor.Shape {
	if rows == 1 && cols == 1 {
		return tensor.ScalarShape()
	}
	return tensor.Shape{rows, cols}
}

// wrap makes Gorgonia's value of numbers, without a copy.
func wrap[T nn.Number](x []T, rows, cols int) (gorgonia.Value, error) {
	if len(x) != rows*cols {
		return nil, fmt.Errorf("%d numbers for %d × %d", len(x), rows, cols)
	}
	if rows == 1 && cols == 1 {
		switch v := any(x[0]).(type) {
		case float32:
			f := gorgonia.F32(v)
			return &f, nil
		case float64:
			f := gorgonia.F64(v)
			return &f, nil
		}
	}
	return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(x)), nil
}

func unwrap[T nn.Number](v gorgonia.Value) []T {
	switch x := v.Data().(type) {
	case []T:
		return x
	case T:
		return []T{x}
	}
	panic(fmt.Sprintf("a value of %T", v.Data()))
}

// op is a kernel's forward pass.
type op[T nn.Number] struct {
	common
	k          Kernel[T]
	dt         tensor.Dtype
	in         []*Node
	rows, cols int
	dIn        [][]T
}

func (o *op[T]) Arity() int { return max(1, len(o.in)) }

func (o *op[T]) Type() hm.Type {
	var types []hm.Type
	for _, n := range o.in {
		types = append(types, typeOf(o.dt, n.rows, n.cols))
	}
	if len(o.in) == 0 {
		types = append(types, o.dt)
	}
	return hm.NewFnType(append(types, typeOf(o.dt, o.rows, o.cols))...)
}

func (o *op[T]) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return shapeOf(o.rows, o.cols), nil
}

// caught turns a panic of a kernel into an error: Gorgonia runs them in goroutines of its own.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("graph: %v", p)
	}
}

func (o *op[T]) Do(values ...gorgonia.Value) (v gorgonia.Value, err error) {
	defer caught(&err)
	var in [][]T
	for i := range o.in {
		in = append(in, unwrap[T](values[i]))
	}
	out, err := o.k.Forward(in)
	if err != nil {
		return nil, err
	}
	return wrap(out, o.rows, o.cols)
}

func (o *op[T]) DiffWRT(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}

// SymDiff makes a node that runs Backward, and one for each input that hands out its part. The first one depends
// on all values of the forward pass, so that their memory stays.
func (o *op[T]) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	back := &backward[T]{common: newCommon(o.name + ".backward"), o: o}
	all := append(append(gorgonia.Nodes{}, inputs...), output, grad)
	token, err := gorgonia.ApplyOp(back, all...)
	if err != nil {
		return nil, err
	}
	var out gorgonia.Nodes
	for i := range inputs {
		p := &part[T]{common: newCommon(o.name + ".part"), o: o, i: i}
		n, err := gorgonia.ApplyOp(p, token)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// backward is a kernel's backward pass; its value means nothing.
type backward[T nn.Number] struct {
	common
	o *op[T]
}

func (b *backward[T]) Arity() int { return b.o.Arity() + 2 }

func (b *backward[T]) Type() hm.Type {
	out := typeOf(b.o.dt, b.o.rows, b.o.cols)
	var types []hm.Type
	for _, n := range b.o.in {
		types = append(types, typeOf(b.o.dt, n.rows, n.cols))
	}
	if len(b.o.in) == 0 {
		types = append(types, b.o.dt)
	}
	return hm.NewFnType(append(types, out, out, b.o.dt)...)
}

func (b *backward[T]) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return tensor.ScalarShape(), nil
}

func (b *backward[T]) Do(values ...gorgonia.Value) (v gorgonia.Value, err error) {
	defer caught(&err)
	if b.o.dIn, err = b.o.k.Backward(unwrap[T](values[len(values)-1])); err != nil {
		return nil, err
	}
	return wrap([]T{0}, 1, 1)
}

// part is the gradient of one input of a kernel.
type part[T nn.Number] struct {
	common
	o *op[T]
	i int
}

func (p *part[T]) size() (rows, cols int) {
	if len(p.o.in) == 0 {
		return 1, 1
	}
	return p.o.in[p.i].rows, p.o.in[p.i].cols
}

func (p *part[T]) Arity() int { return 1 }

func (p *part[T]) Type() hm.Type {
	rows, cols := p.size()
	return hm.NewFnType(p.o.dt, typeOf(p.o.dt, rows, cols))
}

func (p *part[T]) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return shapeOf(p.size()), nil
}

func (p *part[T]) Do(...gorgonia.Value) (gorgonia.Value, error) {
	if len(p.o.in) == 0 {
		return wrap([]T{0}, 1, 1)
	}
	rows, cols := p.size()
	return wrap(p.o.dIn[p.i], rows, cols)
}
