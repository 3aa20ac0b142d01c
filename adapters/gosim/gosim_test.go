package gosim_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// notes keeps what a model says.
type notes struct{ addresses []string }

func (n *notes) Sample(s *ppx.Statement) (ppx.Tensor, error) {
	n.addresses = append(n.addresses, s.Address)
	return dist.Scalar(float64(len(n.addresses))), nil
}
func (n *notes) Observe(s *ppx.Statement) error {
	n.addresses = append(n.addresses, s.Address)
	return nil
}
func (n *notes) Tag(s *ppx.Statement) error { n.addresses = append(n.addresses, s.Address); return nil }

//go:noinline
func helper(r *gosim.Run) float64 { return r.Sample("", gosim.Normal(0, 1)) }

func recurse(r *gosim.Run, depth int) float64 {
	if depth == 0 {
		return helper(r)
	}
	return recurse(r, depth-1) + 1
}

func addressModel(r *gosim.Run) gosim.Tensor {
	helper(r)
	helper(r) // another caller of the same helper: another address
	for range 2 {
		helper(r) // the same place twice: one address
	}
	r.Observe("", gosim.Poisson(1))
	r.Tag("", 1)
	r.SampleAt(gosim.Site{Address: "mine"}, "", gosim.Poisson(1))
	recurse(r, 3)
	recurse(r, 1000)
	func() { helper(r) }()
	return gosim.Tensor{}
}

func TestAddresses(t *testing.T) {
	var first, second notes
	model := gosim.Wrap(addressModel)
	for _, n := range []*notes{&first, &second} {
		// From different depths: what stands above the model does not count.
		run := func() {
			if _, err := model(n); err != nil {
				t.Error(err)
			}
		}
		if n == &second {
			done := make(chan bool)
			go func() { defer close(done); func() { run() }() }()
			<-done
			continue
		}
		run()
	}
	a := first.addresses
	if strings.Join(a, "\n") != strings.Join(second.addresses, "\n") {
		t.Errorf("addresses depend on the caller of the model:\n%v\n%v", a, second.addresses)
	}
	if a[0] != "[gosim_test.addressModel+1; gosim_test.helper+0]" {
		t.Errorf("first address %s", a[0])
	}
	if a[0] == a[1] || a[2] != a[3] || a[6] != "mine" || !strings.Contains(a[4], "addressModel+6]") {
		t.Errorf("%q", a)
	}
	if strings.Count(a[7], "recurse") != 4 || strings.Count(a[8], "recurse") < 50 || len(a[8]) > 10000 || !strings.Contains(a[9], "func1") {
		t.Errorf("%q", a[7:])
	}
}

// answers gives every Sample the same value.
type answers struct {
	notes
	value ppx.Tensor
}

func (a *answers) Sample(*ppx.Statement) (ppx.Tensor, error) { return a.value, nil }

// An answer takes the shape of the site, whatever shape of as many elements an engine gives it.
func TestAnswersTakeTheShapeOfTheSite(t *testing.T) {
	sample := func(d gosim.Dist, data []float64, shape []int32) (got gosim.Tensor, err error) {
		model := func(r *gosim.Run) gosim.Tensor {
			got = r.SampleTensor("", d)
			return gosim.Tensor{}
		}
		_, err = gosim.Wrap(model)(&answers{value: ppx.Tensor{Data: data, Shape: shape}})
		return got, err
	}
	zeros := func(shape ...int) gosim.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return gosim.NewTensor(make([]float64, n), shape...)
	}
	for _, x := range []struct {
		d    gosim.Dist
		data []float64
		want []int32
	}{
		{gosim.Poisson(3), []float64{4}, []int32{}},
		{gosim.Categorical(0.5, 0.5), []float64{1}, []int32{}},
		{gosim.Tensors(dist.Normal, zeros(1), gosim.Scalar(1)), []float64{4}, []int32{1}},
		{gosim.Tensors(dist.Normal, zeros(1, 1), gosim.Scalar(1)), []float64{4}, []int32{1, 1}},
		{gosim.Tensors(dist.Normal, zeros(2, 1), zeros(1, 3)), []float64{1, 2, 3, 4, 5, 6}, []int32{2, 3}},
		{gosim.Tensors(dist.Categorical, zeros(2, 3)), []float64{1, 2}, []int32{2}},
		{gosim.Tensors(dist.Poisson, zeros(0)), []float64{}, []int32{0}},
	} {
		n := int32(len(x.data))
		for _, shape := range [][]int32{nil, {n}, {1, n}, {n, 1}, x.want, append([]int32{1}, x.want...)} {
			got, err := sample(x.d, x.data, shape)
			if err != nil || !slices.Equal(got.Shape, x.want) || !slices.Equal(got.Data, x.data) {
				t.Errorf("%v, shape %v: %v, shape %v, %v", x.d, shape, got, got.Shape, err)
			}
		}
	}
	for _, x := range []struct {
		d     gosim.Dist
		data  []float64
		shape []int32
	}{
		{gosim.Normal(0, 1), []float64{1, 2}, []int32{2}},
		{gosim.Normal(0, 1), []float64{}, []int32{0}},
		{gosim.Normal(0, 1), nil, nil},
		{gosim.Tensors(dist.Poisson, zeros(2)), []float64{1}, nil},
		{gosim.Tensors(dist.Poisson, zeros(2, 3)), []float64{1, 2, 3, 4, 5, 6}, []int32{3, 2}},
		{gosim.Tensors(dist.Normal, zeros(2), zeros(3)), []float64{1, 2, 3, 4, 5, 6}, []int32{6}},
	} {
		_, err := sample(x.d, x.data, x.shape)
		if !errors.Is(err, ppx.ErrOutOfStep) || !strings.Contains(err.Error(), "to Sample at [") {
			t.Errorf("%v, %v, shape %v: %v", x.d, x.data, x.shape, err)
		}
	}
}

// Without an engine, Main prints the result.
func ExampleMain() {
	os.Args = []string{"sim"}
	gosim.Main("sim", func(*gosim.Run) gosim.Tensor {
		return gosim.NewTensor([]float64{1, 2e300, -3, 0.1, 1e6, 1e-7}, 2, 3)
	})
	// Output: [[1, 2e+300, -3], [0.1, 1000000, 1e-07]]
}
