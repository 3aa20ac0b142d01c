// Package simulators_test runs every bundled simulator, in every language, through the ppx command, and
// compares with the exact posteriors.
package simulators_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/simulators/branching"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/simulators/hmm"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testbed.Clean()
	os.Exit(code)
}

type posterior struct {
	Traces        float64 `json:"traces"`
	ESS           float64 `json:"ess"`
	LogEvidence   float64 `json:"log_evidence"`
	LogEvidenceSE float64 `json:"log_evidence_se"`
	Variables     []struct {
		Name   string       `json:"name"`
		Mean   float64      `json:"mean"`
		SD     float64      `json:"sd"`
		Values [][3]float64 `json:"values"`
	} `json:"variables"`
}

func infer(t *testing.T, n int, observe []string, sim []string, flags ...string) posterior {
	t.Helper()
	args := []string{"infer", "--json", "--quiet", "--seed", "5", "-n", fmt.Sprint(n), "--out", filepath.Join(t.TempDir(), "run")}
	args = append(args, flags...)
	for _, o := range observe {
		args = append(args, "--observe", o)
	}
	cmd := exec.Command(testbed.Go(t, "./cmd/ppx"), append(append(args, "--"), sim...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var p posterior
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if p.Traces != float64(n) {
		t.Errorf("%g traces, want %d", p.Traces, n)
	}
	return p
}

// within compares at 4 standard errors, from the exact posterior's standard deviation and the ESS.
func (p *posterior) within(t *testing.T, what string, got, want, sd float64) {
	t.Helper()
	if se := sd / math.Sqrt(p.ESS); !(math.Abs(got-want) <= 4*se+1/p.ESS) {
		t.Errorf("%s = %.5f, exact %.5f (standard error %.5f)", what, got, want, se)
	}
}

func (p *posterior) evidence(t *testing.T, want, minESS float64) {
	t.Helper()
	if p.ESS < minESS {
		t.Errorf("ESS %g, want at least %g", p.ESS, minESS)
	}
	if !(math.Abs(p.LogEvidence-want) <= 4*math.Sqrt(1/p.ESS-1/p.Traces)) {
		t.Errorf("log evidence %.5f ± %.5f, exact %.5f", p.LogEvidence, p.LogEvidenceSE, want)
	}
}

func (p *posterior) probability(t *testing.T, name string, value, want float64) {
	t.Helper()
	for _, v := range p.Variables {
		if v.Name != name {
			continue
		}
		got := 0.0
		for _, x := range v.Values {
			if x[0] == value {
				got = x[1]
			}
		}
		p.within(t, fmt.Sprintf("P(%s = %g)", name, value), got, want, math.Sqrt(want*(1-want)))
		return
	}
	t.Errorf("no variable %s", name)
}

func (p *posterior) normal(t *testing.T, name string, mean, sd float64) {
	t.Helper()
	for _, v := range p.Variables {
		if v.Name == name {
			p.within(t, "mean of "+name, v.Mean, mean, sd)
			// The variance of a Normal sample's variance is 2σ⁴/n.
			p.within(t, "variance of "+name, v.SD*v.SD, sd*sd, math.Sqrt2*sd*sd)
			return
		}
	}
	t.Errorf("no variable %s", name)
}

// The same draws of the same model are the same traces: in every language, in lockstep and delegated, with
// values that the engine draws and values that the clients draw.
func TestEveryLanguageBothWays(t *testing.T) {
	for model, observe := range map[string][]string{
		"gum": {"obs0=4"}, "marsaglia": {"obs0=4", "obs1=3"}, "hmm": {"obs1=0.9", "state3=1"}, "branching": {"obs=6"},
	} {
		var want posterior
		for _, language := range []string{"go", "cpp", "python"} {
			for _, flags := range [][]string{{"--plain"}, nil} {
				got := infer(t, 200, observe, testbed.Simulator(t, model, language), append(flags, "--workers", "2", "--prior-inflation", "0.3")...)
				if want.Traces == 0 {
					want = got
					continue
				}
				if math.Abs(got.LogEvidence-want.LogEvidence) > 1e-9 || len(got.Variables) != len(want.Variables) {
					t.Errorf("%s in %s %v: log evidence %.12g, want %.12g", model, language, flags, got.LogEvidence, want.LogEvidence)
					continue
				}
				for i, v := range got.Variables {
					if w := want.Variables[i]; v.Name != w.Name || !(math.Abs(v.Mean-w.Mean) <= 1e-9*math.Max(1, math.Abs(w.Mean))) {
						t.Errorf("%s in %s %v: %s is %.12g, want %s = %.12g", model, language, flags, v.Name, v.Mean, w.Name, w.Mean)
					}
				}
			}
		}
	}
}

func TestExactPosteriorsInEveryLanguage(t *testing.T) {
	for _, language := range testbed.Languages {
		slow := language == "python"
		t.Run("gum/"+language, func(t *testing.T) {
			mean, sd, logZ := gum.Posterior(4, 3)
			p := infer(t, 2000, []string{"obs0=4", "obs1=3"}, testbed.Simulator(t, "gum", language))
			p.evidence(t, logZ, 400)
			p.normal(t, "mu", mean, sd)
			p.normal(t, "result", mean, sd)
		})
		t.Run("marsaglia/"+language, func(t *testing.T) {
			mean, sd, logZ := gum.Posterior(4, 3)
			p := infer(t, 2000, []string{"obs0=4", "obs1=3"}, testbed.Simulator(t, "marsaglia", language))
			p.evidence(t, logZ, 400)
			p.normal(t, "mu", mean, sd)
		})
		t.Run("branching/"+language, func(t *testing.T) {
			exact, logZ := branching.Posterior(6)
			p := infer(t, 2000, []string{"obs=6"}, testbed.Simulator(t, "branching", language))
			p.evidence(t, logZ, 400)
			for r := range 10 {
				p.probability(t, "r", float64(r), exact[r])
			}
		})
		t.Run("hmm/"+language, func(t *testing.T) {
			data, n := hmm.Data, 31000
			if slow { // the first five observations say less, and leave more of the traces
				n = 2500
				for i := 5; i < hmm.Steps; i++ {
					data[i] = math.NaN()
				}
			}
			var observe []string
			for i, y := range data {
				if !math.IsNaN(y) {
					observe = append(observe, fmt.Sprintf("obs%d=%g", i+1, y))
				}
			}
			smoothed, logZ := hmm.Posterior(data)
			p := infer(t, n, observe, testbed.Simulator(t, "hmm", language))
			p.evidence(t, logZ, 100)
			for step := range smoothed {
				for s, want := range smoothed[step] {
					p.probability(t, fmt.Sprintf("state%d", step), float64(s), want)
				}
			}
		})
	}
}
