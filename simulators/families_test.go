package simulators_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/simulators/families"
)

// Every family has its exact posterior as a prior, and gives the exact posterior of its parameter as a likelihood, in every language.
func TestFamiliesInEveryLanguage(t *testing.T) {
	for model, kind := range map[string]struct {
		observed string
		data     func(c *families.Case) float64
		exact    func(c *families.Case) enginetest.Exact
	}{
		"priors":      {"y_", func(c *families.Case) float64 { return c.Y }, enginetest.ExactPrior},
		"likelihoods": {"x_", func(c *families.Case) float64 { return c.X }, enginetest.ExactLikelihood},
	} {
		var observe []string
		evidence := 0.0
		exact := map[string]enginetest.Exact{}
		for i := range families.Cases {
			c := &families.Cases[i]
			observe = append(observe, fmt.Sprintf("%s%s=%g", kind.observed, c.Name, kind.data(c)))
			exact[c.Name] = kind.exact(c)
			evidence += exact[c.Name].LogEvidence
		}
		for language, n := range map[string]int{"go": 10_000, "cpp": 10_000, "python": 2000} {
			t.Run(model+"/"+language, func(t *testing.T) {
				t.Setenv("MODEL", model)
				p := infer(t, n, observe, testbed.Simulator(t, "families", language), "--workers", "2")
				p.evidence(t, evidence, 1000)
				found := 0
				for _, v := range p.Variables {
					if e, ok := exact[v.Name]; ok {
						found++
						p.within(t, "mean of "+v.Name, v.Mean, e.Mean, e.SD)
					}
				}
				if found != len(exact) {
					t.Errorf("%d variables of %d", found, len(exact))
				}
			})
		}
	}
}

// An engine that does not know the families has unnamed draws of them by uniform numbers, and is not told anything wrong.
func TestFamiliesInPlainPPX(t *testing.T) {
	for _, language := range testbed.Languages {
		t.Run(language, func(t *testing.T) {
			n := map[string]int{"python": 1000}[language]
			if n == 0 {
				n = 3000
			}
			run := func(model string) ([]byte, error) {
				t.Setenv("MODEL", model)
				return exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"prior", "--plain", "--json", "--quiet", "--seed", "3", "-n", fmt.Sprint(n), "--out", filepath.Join(t.TempDir(), "run"), "--"},
					testbed.Simulator(t, "families", language)...)...).Output()
			}
			out, err := run("unnamed")
			var p posterior
			if err == nil {
				err = json.Unmarshal(out, &p)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.ESS = float64(n)
			for i := range families.Cases {
				c := &families.Cases[i]
				e := enginetest.Moments(c)
				if math.IsNaN(e.Mean) || c.Name == "inverse_gamma" || c.Name == "pareto" { // whose errors are not normal
					continue
				}
				for _, v := range p.Variables {
					if v.Name == c.Name {
						p.within(t, "mean of "+c.Name, v.Mean, e.Mean, e.SD)
					}
				}
			}
			if len(p.Variables) < len(families.Cases) {
				t.Errorf("%d variables", len(p.Variables))
			}
			_, err = run("priors")
			var failed *exec.ExitError
			if !errors.As(err, &failed) || !strings.Contains(string(failed.Stderr), "the engine does not know this family") {
				t.Errorf("a named draw of an unknown family: %v", err)
			}
		})
	}
}
