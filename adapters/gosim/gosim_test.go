package gosim_test

import (
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
