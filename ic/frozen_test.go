package ic

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// frozen is the model of the network in testdata; its addresses do not depend on this file.
func frozen(r *gosim.Run) gosim.Tensor {
	at := func(a string) gosim.Site { return gosim.Site{Address: a} }
	x := r.SampleAt(at("x"), "x", gosim.Normal(1, 2))
	k := r.SampleAt(at("k"), "k", gosim.Categorical(1, 2, 3))
	n := r.SampleAt(at("n"), "n", gosim.Poisson(4))
	v := r.SampleTensorAt(at("v"), "v", gosim.Tensors(dist.Gamma, gosim.Vector(1, 2, 3), gosim.Scalar(1)))
	for range int(k) {
		x += r.SampleAt(at("loop"), "", gosim.Uniform(-1, 1))
	}
	r.ObserveAt(at("y"), "y", gosim.Normal(x+n, 1))
	r.ObserveTensor(at("w"), "w", gosim.Tensors(dist.Normal, v, gosim.Scalar(1)), gosim.Tensor{})
	return gosim.Scalar(x)
}

// The network file in testdata was written by the first version of this format, and is never written anew: every version to come reads it,
// and it has the losses that stand beside it. PPX_FREEZE=1 makes one where there is none, when the format gets a new number.
func TestFrozenNetwork(t *testing.T) {
	path := filepath.Join(testbed.Root(), "testdata", "frozen", "network-1.net")
	text := strings.TrimSuffix(path, ".net") + ".txt"
	traces := draw(t, frozen, 0, 16, 0)
	losses := func() string {
		n, _, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pass := NewPass(n)
		var b strings.Builder
		for _, tr := range traces {
			e, err := n.Example(tr)
			if err != nil {
				t.Fatal(err)
			}
			loss, err := pass.Loss([]*Example{e})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%.9g\n", loss)
		}
		return b.String()
	}
	if _, err := os.Stat(path); err != nil && os.Getenv("PPX_FREEZE") != "" {
		settings := small()
		settings.Embed = nil
		if err := WriteFile(path, trained(t, settings, frozen, 1), nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(text, []byte(losses()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	want, got := strings.Fields(string(b)), strings.Fields(losses())
	for i := range want {
		var x, y float64
		if _, err := fmt.Sscan(want[i], &x); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(got[i], &y); err != nil {
			t.Fatal(err)
		}
		// Processors differ in the last digits of single precision.
		if math.Abs(x-y) > 1e-4*(1+math.Abs(x)) {
			t.Errorf("trace %d has the loss %g, frozen %g", i, y, x)
		}
	}
}
