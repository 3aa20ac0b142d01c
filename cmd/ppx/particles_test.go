package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Particles have the exact posterior and evidence, with clients in all languages; a ladder that was learned is used as it is.
func TestParticles(t *testing.T) {
	for _, language := range []string{"cpp", "go", "python"} {
		s := newSession(t)
		n := "2048"
		if language == "python" {
			n = "512"
		}
		sim := append([]string{"--"}, testbed.Simulator(t, "gum", language)...)
		check := func(run string) {
			t.Helper()
			p := s.posteriorOf(t, run)
			mu := p.Variable("mu")
			if d := math.Abs(float64(mu.Mean) - 7.25); d > 4*float64(mu.MeanSE) || float64(mu.MeanSE) > 0.12 || math.Abs(float64(mu.SD)-0.912871) > 0.2 {
				t.Errorf("%s, %s: mean %g ± %g, sd %g; exact 7.25, 0.913", language, run, mu.Mean, mu.MeanSE, mu.SD)
			}
			if math.Abs(float64(p.LogEvidence)+8.239404) > 4*float64(p.LogEvidenceSE) || p.LogEvidenceSE > 0.4 {
				t.Errorf("%s, %s: log evidence %g ± %g", language, run, p.LogEvidence, p.LogEvidenceSE)
			}
			if p.Islands != 16 || p.Runs == 0 || p.Rungs < 3 || p.ESS > p.Variable("mu").ESS+1e-9 || !math.IsNaN(float64(p.Khat)) {
				t.Errorf("%s, %s: %d islands, %d runs, %d rungs, ESS %g", language, run, p.Islands, p.Runs, p.Rungs, p.ESS)
			}
		}
		s.run(0, args(words("infer --quiet --method smc --seed 1 --observe obs0=8 --observe obs1=9 --out adapted -n "+n), sim)...)
		check("adapted")
		s.run(0, args(words("infer --quiet --method smc --seed 2 --ladder adapted --observe obs0=8 --observe obs1=9 --out frozen -n "+n), sim)...)
		check("frozen")
		a, err1 := rundir.ReadManifest(filepath.Join(s.dir, "adapted"))
		f, err2 := rundir.ReadManifest(filepath.Join(s.dir, "frozen"))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for i, r := range f.Particles.Ladder {
			if x := a.Particles.Ladder[i]; r.Beta != x.Beta || r.Moves != x.Moves || len(r.Scales) != len(x.Scales) {
				t.Errorf("rung %d: %+v, learned %+v", i, r, x)
			}
		}
	}
}

// The same seed gives the same particles, for any number of simulators, and after kills.
func TestKilledParticles(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "marsaglia", "cpp")...)
	command := words("infer --quiet --seed 3 --method smc --observe obs0=8 --observe obs1=9 --save-every 1ms -n 1600 --keep 6 --target-ess 1e6")
	s.run(0, args(command, words("--workers 1 --out one"), sim)...)
	s.run(0, args(command, words("--workers 3 --out three"), sim)...)
	want := contents(t, filepath.Join(s.dir, "one"))
	if got := contents(t, filepath.Join(s.dir, "three")); got != want {
		t.Error("three simulators make other particles than one")
	}
	kept := func() string {
		list, _ := filepath.Glob(filepath.Join(s.dir, "broken", "particles-*", "state.json"))
		return strings.Join(list, " ")
	}
	for i := range 3 {
		more := args(command, words("--out broken"), sim)
		if i > 0 {
			more = words("infer --resume --quiet --out broken")
		}
		before := kept()
		if i < 2 {
			s.kill("another rung", func() bool { return kept() != before && kept() != "" }, more...)
		} else { // among the states that are kept
			s.kill("draws", func() bool { return rundir.Rows(filepath.Join(s.dir, "broken")) >= 1600 }, more...)
		}
	}
	// What there is of them is judged as particles already, not by weights that say nothing.
	if p := s.posteriorOf(t, "broken"); p.Islands != 16 || p.ESS > 1600 {
		t.Errorf("%d islands, ESS %g", p.Islands, p.ESS)
	}
	s.run(0, words("diagnose broken")...)
	s.run(0, words("infer --resume --quiet --out broken")...)
	if got := contents(t, filepath.Join(s.dir, "broken")); got != want {
		t.Error("killed particles are others")
	}
	if list, _ := filepath.Glob(filepath.Join(s.dir, "broken", "particles-*")); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
	a, _ := rundir.ReadManifest(filepath.Join(s.dir, "one"))
	b, _ := rundir.ReadManifest(filepath.Join(s.dir, "broken"))
	if len(a.Particles.Looks) < 4 || !slices.Equal(a.Particles.Looks, b.Particles.Looks) {
		t.Errorf("looked at %v, undisturbed at %v", b.Particles.Looks, a.Particles.Looks)
	}
	if a.Particles.Runs != b.Particles.Runs || len(a.Particles.Ladder) != len(b.Particles.Ladder) {
		t.Errorf("%d runs and %d rungs, undisturbed %d and %d", b.Particles.Runs, len(b.Particles.Ladder), a.Particles.Runs, len(a.Particles.Ladder))
	}
}

// What cannot be is refused in one line; both modes are found; rare events have their probability.
func TestParticlesThatAreRefused(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --method smc --seed 1 -n 320 --observe y=1 --out run"), model("pair"))...)
	if _, e := s.run(0, args(words("infer --quiet --method smc --kernel lmh --seed 2 -n 320 --observe y=1 --ladder run --out lmh"), model("pair"))...); !strings.Contains(e, "run was climbed with --kernel rmh, this is with lmh") {
		t.Error(e)
	}
	for command, want := range map[string]string{
		"derive run -o d --where x>0":                                            "is of particles",
		"join run run -o j":                                                      "is of particles",
		"infer --resume --out run -n 400":                                        "how many particles there are was settled",
		"infer --method smc -n 20 --observe y=1":                                 "less than two particles for each of 16 islands",
		"infer --method smc --moves some --observe y=1":                          "--moves some: want a number, or auto",
		"infer --method smc --kernel hmc --observe y=1":                          "--kernel hmc: want lmh, rmh or ic-mh",
		"infer --method smc --kernel ic-mh --observe y=1":                        "--kernel ic-mh needs a network",
		"infer --method smc --score x --observe y=1":                             "--score wants --above X or --at-least X",
		"infer --method smc --above 3 --observe y=1":                             "--above and --at-least go with --score",
		"infer --method smc --score zz --above 1 -n 100 --observe y=1 --out s0":  "zz",
		"infer --method smc --score x> --above 1 -n 100 --observe y=1 --out s1":  "--score: x>: it ends too early",
		"infer --method smc --ladder nothing --observe y=1 -n 100 --out l0":      "--ladder: nothing: not a run directory",
		"infer --method smc --seed 1 --ladder run --observe y=1 -n 320 --out l1": "was made with the same --seed",
		"infer --method is --islands 4 --observe y=1":                            "--islands does not go with --method is, but with smc",
		"infer --method smc --islands 0 --observe y=1":                           "--islands 0: want a number from 1",
		"infer --method smc --target-ess 50 --observe y=1":                       "--target-ess with --method smc stops what --keep goes on with",
		"infer --method smc --keep 0 --observe y=1":                              "--keep 0: want a number from 1",
		"infer --method smc --keep -1 --observe y=1":                             "--keep -1: want a number from 1",
		"infer --method smc --keep 4 --score x --above 1 --observe y=1":          "--keep goes without --score",
	} {
		list := words(command)
		if strings.HasPrefix(command, "infer --method") {
			list = args(list, model("pair"))
		}
		if _, e := s.run(2, list...); !strings.Contains(e, want) || strings.Count(strings.TrimSuffix(e, "\n"), "\n") > 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
	if _, e := s.run(1, args(words("infer --quiet --method smc -n 100 --observe y=1 --out stop"), model("nowhere"))...); !strings.Contains(e, "no start for particles") || !strings.Contains(e, "impossible at") {
		t.Error(e)
	}
	for _, dir := range words("s0 s1 l0 l1 stop") { // the next try may have the name
		if _, err := os.Stat(filepath.Join(s.dir, dir)); err == nil {
			t.Errorf("%s is left behind", dir)
		}
	}
	for _, command := range []string{"infer --quiet --method smc -n 64", "infer --quiet --method rmh -n 64"} {
		if _, e := s.run(1, args(words(command+" --seed 1 --observe y=1 --out d"+command[len(command)-9:len(command)-6]), model("restless"))...); !strings.Contains(e, "is not deterministic") || !strings.Contains(e, "--force") {
			t.Error(e)
		}
	}
	s.run(0, args(words("infer --quiet --method auto --seed 1 --observe y=1 --out undetermined"), model("restless"))...)
	if p := s.posteriorOf(t, "undetermined"); p.Trust.Verdict != "doubtful" || p.Trust.Reasons[0].Code != "not-checked" {
		t.Errorf("%+v", p.Trust)
	}
	// Chains of one mode each are not trusted there (see TestChainsThatAreNotTrusted).
	s.run(0, args(words("infer --quiet --seed 1 --method smc -n 1024 --observe y=0 --out modes"), model("two-modes"))...)
	p := s.posteriorOf(t, "modes")
	x := p.Variables[0]
	if math.Abs(float64(x.Mean)) > 4*float64(x.MeanSE) || x.SD < 3 {
		t.Errorf("two modes: %+v", x)
	}
	text, _ := s.run(0, words("diagnose modes")...)
	if !strings.Contains(text, "ancestors left") {
		t.Error(text)
	}
	s.run(0, words("predict --quiet --seed 1 run --out pred")...)
}
