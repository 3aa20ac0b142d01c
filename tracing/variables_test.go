package tracing_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// The vectors of testdata/variables.json: what SQL, Python and the command line go by too.
func TestVariables(t *testing.T) {
	for _, c := range testbed.VariableVectors(t) {
		var vars tracing.Variables
		type value struct {
			label func() string
			x     float64
		}
		traces := make([][]value, len(c.Traces))
		for i, tr := range c.Traces {
			vars.Each(tr, func(entry int, q tracing.Quantity, v ppx.Tensor) {
				if (entry < 0) != (q.Name == 0) {
					t.Errorf("%s: entry %d is %+v", c.Name, entry, q)
				}
				for k, x := range v.Data {
					traces[i] = append(traces[i], value{func() string { return vars.Label(q, v.Shape, k) }, x})
				}
			})
		}
		got := map[string][]string{}
		for i, values := range traces {
			for _, v := range values {
				l := v.label()
				if got[l] == nil {
					got[l] = make([]string, len(traces))
				}
				if got[l][i] != "" {
					t.Errorf("%s: trace %d has two variables %s", c.Name, i, l)
				}
				got[l][i] = fmt.Sprint(v.x)
			}
		}
		want := map[string][]string{}
		for _, v := range c.Variables {
			for _, x := range v.Values {
				text := ""
				if x != nil {
					text = fmt.Sprint(*x)
				}
				want[v.Name] = append(want[v.Name], text)
			}
		}
		if a, b := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); a != b {
			t.Errorf("%s:\n%s, want\n%s", c.Name, a, b)
		}
	}
}

// A sum keeps the small ones beside the large ones.
func TestSum(t *testing.T) {
	var s tracing.Sum
	for _, x := range []float64{1, -5e17, 0.25, 3e16, 0.125} {
		s.Add(x)
	}
	s.Add(5e17)
	s.Add(-3e16)
	if s.High != 1.375 || s.Rest != 0 {
		t.Errorf("%v", s)
	}
	s.AddProduct(0.1, 0.3) // 0.1·0.3 exactly, not its double
	s.Add(-1.375)
	if want := math.FMA(0.1, 0.3, -0.03); s.High != 0.03 || math.Abs(s.Rest-want) > 1e-32 {
		t.Errorf("%v, want .03 %+g", s, want)
	}
	for _, x := range []float64{math.Inf(1), math.NaN()} {
		s := tracing.Sum{High: 3, Rest: 1e-17}
		s.Add(x)
		s.Add(1)
		if s.Rest != 0 || fmt.Sprint(s.High) != fmt.Sprint(x) {
			t.Errorf("3 + %g: %v", x, s)
		}
	}
}
