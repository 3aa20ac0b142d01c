package main

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
)

// Chains, particles and auto with a trained network have the exact posterior, and come to the same end when they are killed.
func TestGuidedMethods(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	s.run(0, args(words("train --quiet --seed 1 -n 12800 --lstm 32 --head 32 -o gum.net"), sim)...)
	for method, c := range map[string]struct{ flags, data string }{
		"ic-mh": {"--chains 4 --warmup 100 -n 8000", "--observe obs0=8 --observe obs1=9"},
		"smc":   {"-n 2048", "--observe obs0=8 --observe obs1=9"},
		"auto":  {"--target-ess 1000", "--observe obs0=8 --observe obs1=9"},
	} {
		command := words("infer --quiet --network gum.net --seed 3 --save-every 1ms --method " + method + " " + c.flags + " " + c.data)
		s.run(0, args(command, words("--out one-"+method), sim)...)
		want := contents(t, filepath.Join(s.dir, "one-"+method))
		p := s.posteriorOf(t, "one-"+method)
		if mu := p.Variable("mu"); math.Abs(float64(mu.Mean)-7.25) > 4*float64(mu.MeanSE) || !(float64(mu.MeanSE) < 0.08) || math.Abs(float64(mu.SD)-0.912871) > 0.15 || p.Trust.Verdict != posterior.Good {
			t.Errorf("%s: mean %g ± %g, sd %g; exact 7.25, 0.913; %+v", method, mu.Mean, mu.MeanSE, mu.SD, p.Trust)
		}
		if method == "smc" && (p.Rungs > 2 || math.Abs(float64(p.LogEvidence)+8.239404) > 0.02) {
			t.Errorf("from the network to the posterior: %d rungs, log evidence %g, exact −8.239404", p.Rungs, p.LogEvidence)
		}
		out := "broken-" + method
		begun := func() bool {
			kept, _ := filepath.Glob(filepath.Join(s.dir, out, "particles-*", "state.json"))
			pilot, _ := filepath.Glob(filepath.Join(s.dir, out+".auto", "pilot", "draws", "part-*"))
			return s.traces(out) > 0 || len(kept)+len(pilot) > 0
		}
		s.kill("a beginning", begun, args(command, words("--out "+out), sim)...)
		s.run(0, words("infer --resume --quiet --out "+out)...)
		if got := contents(t, filepath.Join(s.dir, out)); got != want {
			t.Errorf("a killed %s comes to something else", method)
		}
	}
	// A ladder climbed with a network goes with that one.
	_, e := s.run(2, args(words("infer --quiet --method smc --ladder one-smc --seed 4 -n 2048 --observe obs0=8 --observe obs1=9"), sim)...)
	if !strings.Contains(e, "another network") {
		t.Error(e)
	}
	s.run(0, args(words("infer --quiet --method smc --network gum.net --ladder one-smc --seed 4 -n 2048 --observe obs0=8 --observe obs1=9 --out frozen"), sim)...)
	if p := s.posteriorOf(t, "frozen"); math.Abs(float64(p.LogEvidence)+8.239404) > 0.02 || !slices.Contains([]int{1, 2}, p.Rungs) {
		t.Errorf("on a settled ladder: %d rungs, log evidence %g", p.Rungs, p.LogEvidence)
	}
}
