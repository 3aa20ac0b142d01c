package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// auto goes on with importance sampling where that works, and takes particles where it does not; both times the answer is right, and checked.
func TestAuto(t *testing.T) {
	s := newSession(t)
	for _, c := range []struct {
		model, data, chosen string
		name                string
		mean, logZ          float64
	}{
		{"gum", "--observe obs0=4 --observe obs1=3", "is", "mu", 3.083333, -4.072737},
		{"gum", "--observe obs0=14 --observe obs1=15", "smc", "mu", (1.0/5 + 29.0/2) / (1.0/5 + 2.0/2), math.NaN()},
		{"marsaglia", "--observe obs0=4 --observe obs1=3", "is", "mu", 3.083333, -4.072737},
	} {
		out := c.model + c.chosen
		_, e := s.run(0, args(words("infer --method auto --quiet --seed 2 --out "+out+" "+c.data), []string{"--"}, testbed.Simulator(t, c.model, "cpp"))...)
		p := s.posteriorOf(t, out)
		v := p.Variable(c.name)
		if p.Method != c.chosen || p.Auto == nil || p.Auto.Chosen != c.chosen || !p.Auto.Checked || p.Trust.Verdict != posterior.Good || p.ESS < 400 {
			t.Errorf("%s: %s, ESS %g, %+v, %+v\n%s", out, p.Method, p.ESS, p.Auto, p.Trust, e)
			continue
		}
		if math.Abs(float64(v.Mean)-c.mean) > 4*float64(v.MeanSE) || math.Abs(float64(p.LogEvidence)-c.logZ) > 4*float64(p.LogEvidenceSE) {
			t.Errorf("%s: %g ± %g, log evidence %g ± %g", out, v.Mean, v.MeanSE, p.LogEvidence, p.LogEvidenceSE)
		}
		text, _ := s.run(0, words("summary "+out)...)
		if !strings.Contains(text, "The answer is from") || !strings.Contains(text, "agrees with it") {
			t.Error(text)
		}
	}
	// Nothing is left to do.
	s.run(0, words("infer --resume --quiet --out gumis")...)
	// Where nothing was drawn nothing is left that would be in the way.
	s.run(2, args(words("infer --method auto --quiet --seed 2 -n 10 --observe obs0=4 --observe obs1=3 --out few --"), testbed.Simulator(t, "gum", "cpp"))...)
	s.run(0, args(words("infer --method auto --quiet --seed 2 --observe obs0=4 --observe obs1=3 --out few --"), testbed.Simulator(t, "gum", "cpp"))...)
	// A folder that is taken, a budget that is too small, one that leaves nothing for a check.
	sim := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	for command, want := range map[string]string{
		"--out gumis":    "not empty",
		"-n 50":          "auto needs at least 100 runs",
		"-n 1500":        "particles did not get to the posterior within the budget",
		"--islands 4":    "--islands does not go with --method auto",
		"--retry-failed": "--retry-failed goes with --resume",
	} {
		if _, e := s.run(2, args(words("infer --method auto --quiet --seed 1 --observe obs0=14 --observe obs1=15 "+command), sim)...); !strings.Contains(e, want) {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
}

// A mode that one draw of the prior in a thousand meets is found, or the result is not called good.
func TestAutoIsNotLucky(t *testing.T) {
	s := newSession(t)
	seeds, target := 4, "--target-ess 100"
	if os.Getenv("PPX_VERIFY") != "" {
		seeds, target = 20, "" // the default
	}
	good := 0
	for seed := range seeds {
		out := fmt.Sprintf("rare%d", seed)
		s.run(0, args(words(fmt.Sprintf("infer --method auto --quiet %s -n 300000 --observe y=5 --out %s --seed %d", target, out, seed+1)), model("rare-branch"))...)
		p := s.posteriorOf(t, out)
		k := p.Variable("k")
		if p.Trust.Verdict == posterior.Good {
			good++
			if se := math.Max(float64(k.MeanSE), 1e-3); math.Abs(float64(k.Mean)-0.341) > 4*se {
				t.Errorf("seed %d: P(k) = %g ± %g, exact .341, and called good: %+v", seed+1, k.Mean, k.MeanSE, p.Auto)
			}
		}
	}
	t.Logf("%d of %d are called good", good, seeds)
}

// An auto that is killed goes on where it was, to the same end.
func TestKilledAuto(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	command := words("infer --method auto --quiet --seed 3 --observe obs0=14 --observe obs1=15 --save-every 1ms")
	s.run(0, args(command, words("--out one"), sim)...)
	want := contents(t, filepath.Join(s.dir, "one"))
	s.kill("the second stage", func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "broken.auto", "learned"))
		return err == nil
	}, args(command, words("--out broken"), sim)...)
	s.kill("an answer", func() bool { return s.traces("broken") > 0 }, words("infer --resume --quiet --out broken")...)
	// Nothing has checked that.
	if m, err := rundir.ReadManifest(filepath.Join(s.dir, "broken")); err != nil || !m.Auto.Checked {
		if p := s.posteriorOf(t, "broken"); err != nil || p.Trust.Verdict == posterior.Good {
			t.Errorf("%v, %+v", err, p.Trust)
		}
	}
	s.run(0, words("infer --resume --quiet --out broken")...)
	if got := contents(t, filepath.Join(s.dir, "broken")); got != want {
		t.Error("a killed auto comes to something else")
	}
	m, err := rundir.ReadManifest(filepath.Join(s.dir, "broken"))
	if err != nil || m.Auto == nil || !m.Auto.Checked {
		t.Errorf("%+v, %v", m.Auto, err)
	}
}

// What auto comes to by itself is what was computed outside of the engine (testdata/references).
func TestAutoAgainstReferences(t *testing.T) {
	if os.Getenv("PPX_VERIFY") == "" {
		t.Skip("takes minutes: PPX_VERIFY=1")
	}
	s := newSession(t)
	var want map[string]map[string]struct{ Mean, SE, SD float64 }
	folder := filepath.Join(testbed.Root(), "testdata", "references")
	b, err := os.ReadFile(filepath.Join(folder, "posterior.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for name, variables := range want {
		sim := []string{filepath.Join(testbed.Root(), "build", "simulators", name), "{endpoint}"}
		if name == "peaked" {
			sim = []string{filepath.Join(testbed.Root(), ".venv", "bin", "python"), filepath.Join(testbed.Root(), "simulators", name, "python", name+".py"), "{endpoint}"}
		}
		s.run(0, args(words("infer --method auto --quiet --seed 1 --out "+name+" --observe-file "+filepath.Join(folder, name+".json")), []string{"--"}, sim)...)
		p := s.posteriorOf(t, name)
		t.Logf("%s: %s, ESS %.0f, %d runs in all", name, p.Trust.Verdict, p.ESS, p.Auto.Runs)
		if p.ESS < 400 || p.Trust.Verdict != posterior.Good {
			t.Errorf("%s: ESS %g, %+v", name, p.ESS, p.Trust)
		}
		for v, x := range variables {
			got := p.Variable(v)
			if math.Abs(float64(got.Mean)-x.Mean) > 4*math.Hypot(float64(got.MeanSE), x.SE) || math.Abs(float64(got.SD)/x.SD-1) > 0.3 {
				t.Errorf("%s: %s is %g ± %g, sd %g; reference %g ± %g, %g", name, v, got.Mean, got.MeanSE, got.SD, x.Mean, x.SE, x.SD)
			}
		}
	}
}
