package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Chains have the exact posterior, with clients in all languages; figures say that draws depend on each other.
func TestChains(t *testing.T) {
	for _, language := range []string{"cpp", "go", "python"} {
		s := newSession(t)
		n := "6000"
		if language == "python" {
			n = "1600"
		}
		for _, method := range []string{"lmh", "rmh"} {
			s.run(0, args(words("infer --quiet --seed 1 --warmup 300 --observe obs0=4 --observe obs1=3 --out "+method+" --method "+method+" -n "+n), []string{"--"}, testbed.Simulator(t, "gum", language))...)
			p := s.posteriorOf(t, method)
			mu := p.Variable("mu")
			if d := math.Abs(float64(mu.Mean) - 3.083333); d > 4*float64(mu.MeanSE) || float64(mu.MeanSE) > 0.12 || math.Abs(float64(mu.SD)-0.912871) > 0.15 {
				t.Errorf("%s, %s: mean %g ± %g, sd %g; exact 3.0833, 0.913", language, method, mu.Mean, mu.MeanSE, mu.SD)
			}
			if p.Rhat == nil || *p.Rhat > 1.1 || p.Chains != 8 || p.ESS > 0.6*6000 || !math.IsNaN(float64(p.LogEvidence)) || mu.Rhat == nil || p.Method != method {
				t.Errorf("%s, %s: R̂ %v, ESS %g, log evidence %g", language, method, p.Rhat, p.ESS, p.LogEvidence)
			}
		}
	}
}

// The same seed gives the same chains, for any number of simulators, and after kills; a rejected step stores no sites.
func TestKilledChains(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "branching", "cpp")...)
	command := words("infer --quiet --seed 3 --method rmh --chains 3 --warmup 200 --thin 2 --observe obs=6 --save-every 50ms -n 6001")
	s.run(0, args(command, words("--workers 1 --out one"), sim)...)
	s.run(0, args(command, words("--workers 3 --out three"), sim)...)
	want := contents(t, filepath.Join(s.dir, "one"))
	if got := contents(t, filepath.Join(s.dir, "three")); got != want {
		t.Error("three simulators make other chains than one")
	}
	out, _ := s.run(0, words("trace ls --json -n 8 one")...)
	if !strings.Contains(out, `"chain":3`) || !strings.Contains(out, `"step":203`) {
		t.Error(out)
	}
	for i := range 3 {
		more := args(command, words("--out broken"), sim)
		if i > 0 {
			more = words("infer --resume --quiet --out broken")
		}
		before := s.traces("broken")
		s.kill("draws on disk", func() bool { return s.traces("broken") > before }, more...)
	}
	s.run(0, words("infer --resume --quiet --out broken")...)
	if got := contents(t, filepath.Join(s.dir, "broken")); got != want {
		t.Error("killed chains are others")
	}
	// Longer chains begin with the same draws.
	s.run(0, words("infer --resume --quiet --out broken -n 7000")...)
	s.run(0, args(command[:len(command)-1], words("7000 --out longer"), sim)...)
	if contents(t, filepath.Join(s.dir, "broken")) != contents(t, filepath.Join(s.dir, "longer")) {
		t.Error("extended chains are others")
	}
	// What warm-up has learned is recorded, and what goes on needs it.
	m, err := rundir.ReadManifest(filepath.Join(s.dir, "broken"))
	if err != nil || len(m.Chains.Scales) != 3 || len(m.Chains.Scales[2]) == 0 {
		t.Fatalf("%+v, %v", m.Chains, err)
	}
	if err := rundir.Amend(filepath.Join(s.dir, "broken"), func(m *rundir.Manifest) { m.Chains.Scales = nil }); err != nil {
		t.Fatal(err)
	}
	if _, e := s.run(2, words("infer --resume --quiet --out broken -n 8000")...); !strings.Contains(e, "no scales of chain") {
		t.Error(e)
	}
	if len(want) > 6001*400 {
		t.Errorf("%d bytes of draws and sites: rejected steps store theirs", len(want))
	}
}

// Chains that are stuck on modes of their own are not trusted, nor is a single one; what needs weighted draws is refused.
func TestChainsThatAreNotTrusted(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 --method rmh --chains 6 --warmup 200 -n 1200 --observe y=0 --out modes"), model("two-modes"))...)
	p := s.posteriorOf(t, "modes")
	if p.Trust.Verdict != "none" || p.Trust.Reasons[0].Code != "stuck-chains" || p.Trust.Reasons[1].Code != "high-rhat" {
		t.Errorf("%+v", p.Trust)
	}
	if text, _ := s.run(0, words("diagnose modes")...); !strings.Contains(text, "chains never leave a part of the values of x") || !strings.Contains(text, "autocorrelation 1 apart") {
		t.Error(text)
	}
	s.run(1, args(words("infer --quiet --strict --seed 1 --method lmh --chains 1 -n 1000 --observe y=1 --out alone"), model("pair"))...)
	if p := s.posteriorOf(t, "alone"); p.Trust.Verdict != "none" || p.Trust.Reasons[0].Code != "one-chain" {
		t.Errorf("%+v", p.Trust)
	}
	s.run(0, args(words("infer --quiet --seed 1 --method lmh -n 4000 --observe y=1 --out run"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 2 --method lmh -n 4000 --observe y=1 --out other"), model("pair"))...)
	for command, want := range map[string]string{
		"derive run -o d --where x>0":                            "is of chains, not of weighted draws",
		"derive run -o d --observe y=2":                          "is of chains",
		"derive run -o d --resample 10":                          "is of chains",
		"join run other -o j":                                    "is of chains",
		"infer --resume --retry-failed --out run -n 5000":        "--retry-failed goes with independent draws",
		"infer --method lmh --target-ess 5 --observe y=1":        "--target-ess does not go with --method lmh, but with is, ic",
		"infer --method is --chains 4 --observe y=1":             "--chains does not go with --method is, but with lmh, rmh",
		"infer --method lmh --chains 0 --observe y=1":            "--chains 0: want a number from 1",
		"infer --method lmh --thin 0 --observe y=1":              "--thin 0 must be at least 1",
		"infer --method lmh -n 10 --observe y=1":                 "-n 10 is less than four draws of each of 8 chains",
		"infer --method lmh --first 5 --observe y=1":             "--first goes with independent draws",
		"infer --method lmh --prior-inflation 0.5 --observe y=1": "--prior-inflation does not go with --method lmh",
	} {
		list := words(command)
		if strings.HasPrefix(command, "infer --method") {
			list = args(list, model("pair"))
		}
		if _, e := s.run(2, list...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
	if _, e := s.run(2, words("infer --resume --out run -n 5000 --chains 4")...); !strings.Contains(e, "--chains: a job that goes on takes it from its folder") {
		t.Error(e)
	}
	// Runs that fail are steps that are not taken, and are counted.
	if _, e := s.run(1, args(words("infer --quiet --method rmh --seed 1 --warmup 100 -n 400 --observe y=2 --out f1"), model("failing"))...); !strings.Contains(e, "fails too often") {
		t.Error(e)
	}
	s.run(0, args(words("infer --quiet --method rmh --seed 1 --chains 4 --warmup 20 --max-failed 1 -n 200 --observe y=2 --out f2"), model("failing"))...)
	if p := s.posteriorOf(t, "f2"); !strings.Contains(fmt.Sprint(p.Warnings), "of the steps failed") || !math.IsNaN(float64(p.Success)) {
		t.Errorf("%+v", p.Warnings)
	}
	if _, e := s.run(1, args(words("infer --quiet --method lmh --chains 2 -n 100 --observe y=1 --out f3"), model("broken"))...); !strings.Contains(e, "fails too often") || strings.Contains(e, "none of 10000") {
		t.Error(e)
	}
	// An offset that swallows the digits of single precision, and one absent draw in some, hide no modes.
	for _, name := range []string{"stamp", "sometimes-modes"} {
		s.run(0, args(words("infer --quiet --seed 5 --method rmh --chains 4 --warmup 300 -n 4000 --observe y=2 --out "+name), model(name))...)
		if p := s.posteriorOf(t, name); p.Trust.Verdict == "good" || p.Variable("t").Rhat == nil || !(*p.Variable("t").Rhat > 1.01) {
			t.Errorf("%s: %+v", name, p.Trust)
		}
	}
	if _, e := s.run(1, args(words("infer --quiet --method lmh -n 100 --observe y=1 --out stop"), model("nowhere"))...); !strings.Contains(e, "none of 10000 draws of the prior is possible") {
		t.Error(e)
	}
	// New variables, predictions, pictures and comparisons work.
	s.run(0, words("derive --quiet run -o twice --let d=x*2")...)
	if p := s.posteriorOf(t, "twice"); p.Rhat == nil || p.Variable("d") == nil || math.Abs(float64(p.Variable("d").Mean-2*p.Variable("x").Mean)) > 1e-9 {
		t.Errorf("%+v", p)
	}
	text, _ := s.run(0, words("predict --quiet --seed 1 run --out pred")...)
	if !strings.Contains(text, "effective sample size") || strings.Contains(text, "effective sample size 4000") {
		t.Error(text)
	}
	text, _ = s.run(0, words("compare run other --powers --loo --c2st")...)
	if !strings.Contains(text, "no Bayes factor: run is of chains") || !strings.Contains(text, "no classifier for (1) and (2): cannot be judged: run is of chains") || strings.Contains(text, "  differs") {
		t.Error(text)
	}
	text, _ = s.run(0, words("diagnose run")...)
	if !strings.Contains(text, "R̂ ") || strings.Contains(text, "k̂") {
		t.Error(text)
	}
}
