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

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/simulators/families"
)

// Every family has its exact posterior as a prior, and gives the exact posterior of its parameter as a likelihood, in every language.
func TestFamiliesInEveryLanguage(t *testing.T) {
	for model, kind := range map[string]struct {
		cases    []families.Case
		observed string
		data     func(c *families.Case) gosim.Tensor
		exact    func(c *families.Case) enginetest.Exact
	}{
		"priors":           {families.Cases, "y_", observedY, enginetest.ExactPrior},
		"likelihoods":      {families.Cases, "x_", (*families.Case).Data, enginetest.ExactLikelihood},
		"made-priors":      {families.Made, "y_", observedY, enginetest.ExactPrior},
		"made-likelihoods": {families.Made, "x_", (*families.Case).Data, enginetest.ExactLikelihood},
	} {
		var observe []string
		evidence := 0.0
		exact := map[string]enginetest.Exact{}
		for i := range kind.cases {
			c := &kind.cases[i]
			var numbers []string
			for _, x := range kind.data(c).Data {
				numbers = append(numbers, fmt.Sprintf("%g", x))
			}
			name := c.Name
			if kind.observed == "y_" {
				name = c.Variable()
			}
			observe = append(observe, fmt.Sprintf("%s%s=[%s]", kind.observed, c.Name, strings.Join(numbers, ",")))
			exact[name] = kind.exact(c)
			evidence += exact[name].LogEvidence
		}
		for language, n := range map[string]int{"go": 10_000, "cpp": 10_000, "python": 4000} {
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

func observedY(c *families.Case) gosim.Tensor { return gosim.Scalar(c.Y) }

// A factor weighs runs in every language, and is left out of what the prior draws.
func TestFactorsInEveryLanguage(t *testing.T) {
	for _, language := range testbed.Languages {
		t.Run(language, func(t *testing.T) {
			t.Setenv("MODEL", "factor")
			p := infer(t, 4000, nil, testbed.Simulator(t, "families", language))
			p.evidence(t, -0.25-math.Ln2/2, 1000)
			for _, v := range p.Variables {
				if v.Name == "u" {
					p.within(t, "mean of u", v.Mean, 0.5, math.Sqrt(0.5))
				}
			}
			cmd := exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"prior", "--seed", "3", "-n", "1000", "--out", filepath.Join(t.TempDir(), "run"), "--"}, testbed.Simulator(t, "families", language)...)...)
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "\nnear 1") || !strings.Contains(string(out), `these draws are without factors: the factor near 1 weighs runs under ppx infer only`) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// An engine that does not know the families has unnamed draws of them by uniform numbers, and is not told anything wrong.
func TestFamiliesInPlainPPX(t *testing.T) {
	for _, language := range testbed.Languages {
		for of, cases := range map[string][]families.Case{"": families.Cases, "made-": families.Made} {
			inPlainPPX(t, language, of, cases)
		}
	}
}

func inPlainPPX(t *testing.T, language, of string, cases []families.Case) {
	t.Run(language+of, func(t *testing.T) {
		n := map[string]int{"python": 1000}[language]
		if n == 0 {
			n = 3000
		}
		run := func(model string) ([]byte, error) {
			t.Setenv("MODEL", model)
			return exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"prior", "--plain", "--json", "--quiet", "--seed", "3", "-n", fmt.Sprint(n), "--out", filepath.Join(t.TempDir(), "run"), "--"},
				testbed.Simulator(t, "families", language)...)...).Output()
		}
		out, err := run(of + "unnamed")
		var p posterior
		if err == nil {
			err = json.Unmarshal(out, &p)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.ESS = float64(n)
		for i := range cases {
			c := &cases[i]
			e := enginetest.Moments(c)
			if math.IsNaN(e.Mean) || c.Name == "inverse_gamma" || c.Name == "pareto" || math.IsInf(e.SD, 0) || e.SD != e.SD { // whose errors are not normal
				continue
			}
			for _, v := range p.Variables {
				if v.Name == c.Variable() {
					p.within(t, "mean of "+c.Name, v.Mean, e.Mean, e.SD)
				}
			}
		}
		if len(p.Variables) < len(cases) {
			t.Errorf("%d variables", len(p.Variables))
		}
		_, err = run(of + "priors")
		var failed *exec.ExitError
		if !errors.As(err, &failed) || !strings.Contains(string(failed.Stderr), "the engine does not know this family") {
			t.Errorf("a named draw of an unknown family: %v", err)
		}
	})
}
