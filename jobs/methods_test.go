package jobs

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// The example of docs/adding-a-method.md.
func TestAddedMethod(t *testing.T) {
	before := slices.Clone(Methods)
	defer func() { Methods = before }()
	Methods = append(Methods,
		Method{Name: "wide", Doc: "importance sampling, half of it from widened priors", Verb: Infer, Conditioned: true, Settings: conditioned, run: sampling,
			guide: func(*run) (func(engine.Draw) engine.Layer, error) {
				return func(engine.Draw) engine.Layer { return control.NewInflate(0.5) }, nil
			}})
	s := New(Infer)
	s.Method, s.Seed, s.N, s.Out = "wide", 1, 20000, filepath.Join(t.TempDir(), "run")
	s.Data = map[string]Datum{"obs0": {Value: dist.Scalar(8)}, "obs1": {Value: dist.Scalar(9)}}
	s.Simulator.Command = testbed.Simulator(t, "gum", "cpp")
	o, err := Run(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range o.Summary.Variables() {
		if v.Name == "mu" && (math.Abs(v.Mean-7.25) > 4*v.MeanSE || v.ESS < 200) {
			t.Errorf("mu %g ± %g, exact 7.25; ESS %g", v.Mean, v.MeanSE, v.ESS)
		}
	}
	if z, se := o.Summary.Weights.LogEvidence(), o.Summary.Weights.LogEvidenceSE(); math.Abs(z - -8.239404) > 4*se {
		t.Errorf("log evidence %g ± %g, exact -8.239404", z, se)
	}
	// What it has no use for is refused by name, and another name with the names that there are.
	s.Inflation = 0.2
	if err := s.Check(); err == nil || err.Error() != "--prior-inflation does not go with --method wide, but with is" {
		t.Error(err)
	}
	s.Inflation, s.Method = 0, "wider"
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "wide (importance sampling, half of it from widened priors)") {
		t.Error(err)
	}
}
