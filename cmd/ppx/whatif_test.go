package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

// as reads what a command printed.
func as[T any](s *session, args ...string) (x T) {
	s.t.Helper()
	out, _ := s.run(0, args...)
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		s.t.Fatalf("%v in %q", err, out)
	}
	return x
}

// What would have happened, with clients in all languages: one trace side by side, and a run as a run of its own, which other commands take.
func TestIntervene(t *testing.T) {
	for _, language := range testbed.Languages {
		s := newSession(t)
		sim := append([]string{"--"}, testbed.Simulator(t, "gum", language)...)
		s.run(0, args(words("infer --quiet --seed 1 -n 400 --observe obs0=4 --observe obs1=3 --out run"), sim)...)
		one := as[view.TwoTraces](s, words("trace intervene run 7 --set mu=mu+2 --json")...)
		if n := len(one.Statements); n != 3 || one.Same != 0 || math.Abs(one.ResultB.Data[0]-one.ResultA.Data[0]-2) > 1e-12 {
			t.Errorf("%s: %+v", language, one)
		}
		for _, v := range one.Statements {
			if d := v.ValueB.Data[0] - v.ValueA.Data[0]; math.Abs(d-2) > 1e-12 {
				t.Errorf("%s: %s moves by %g", language, v.Name, d)
			}
		}
		all := as[view.Intervened](s, words("trace intervene run --set mu=mu+2 --json --quiet --out moved")...)
		if all.Traces != 400 || all.Failed != 0 || len(all.Variables) != 4 {
			t.Errorf("%s: %+v", language, all)
		}
		for _, v := range all.Variables {
			if math.Abs(float64(v.Change)-2) > 1e-9 || math.Abs(float64(v.After-v.Before)-2) > 1e-9 {
				t.Errorf("%s: %+v", language, v)
			}
		}
		before, after := s.posteriorOf(t, "run"), s.posteriorOf(t, "moved")
		if math.Abs(float64(after.ESS-before.ESS)) > 1e-9 || math.Abs(float64(after.Variable("mu").Mean-before.Variable("mu").Mean)-2) > 1e-9 {
			t.Errorf("%s: ESS %g, %g; mean %g, %g", language, before.ESS, after.ESS, before.Variable("mu").Mean, after.Variable("mu").Mean)
		}
		if m, err := rundir.ReadManifest(filepath.Join(s.dir, "moved")); err != nil || m.Lineage == nil || m.Lineage.Change != "do(mu=mu+2), the rest with its noise" || m.State != rundir.Complete {
			t.Errorf("%s: %+v, %v", language, m.Lineage, err)
		}
	}
}

// Chains and particles, too: each of their traces goes on from where it was.
func TestInterveneInChainsAndParticles(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "branching", "cpp")...)
	s.run(0, args(words("infer --quiet --seed 1 --method rmh --chains 4 --warmup 100 -n 400 --observe obs=6 --out rmh"), sim)...)
	s.run(0, args(words("infer --quiet --seed 1 --method smc -n 320 --observe obs=6 --out smc"), sim)...)
	for _, run := range []string{"rmh", "smc"} {
		x := as[view.Intervened](s, words("trace intervene "+run+" --set r=2 --rest fresh --json --quiet --out do-"+run)...)
		p, q := s.posteriorOf(t, run), s.posteriorOf(t, "do-"+run)
		if x.Failed > 0 || q.Variable("r").Mean != 2 || q.Variable("r").SD != 0 || q.Traces != p.Traces || q.Chains != p.Chains || q.Islands != p.Islands {
			t.Errorf("%s: %+v, %+v", run, x, q.Variable("r"))
		}
	}
}

// Which draws matter: all of them here, and none of them alone; the cost is told first.
func TestWhy(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	s.run(0, args(words("prior --quiet --seed 1 -n 3000 --out prior"), sim)...)
	_, e := s.run(0, words("trace why prior --traces 100")...)
	if !strings.Contains(e, "1 addresses, redrawn in 100 traces, and the prior: 200 runs of the simulator") {
		t.Error(e)
	}
	x := as[view.Why](s, words("trace why prior --traces 2000 --of result --of obs0 --json --quiet")...)
	if len(x.Effects) != 1 || x.Effects[0].Short != "A1" || x.Effects[0].Names[0] != "mu" {
		t.Fatalf("%+v", x)
	}
	for j, want := range []float64{1, 5.0 / 7} { // obs0 ~ N(mu, 2), and mu ~ N(1, 5)
		if got, se := float64(x.Effects[0].Total[j]), float64(x.Effects[0].TotalSE[j]); math.Abs(got-want) > 4*se || se > 0.05 {
			t.Errorf("%s: %g ± %g, exact %g", x.Outcomes[j].Name, got, se, want)
		}
	}
	s.run(0, args(words("infer --quiet --seed 2 -n 3000 --observe obs0=4 --observe obs1=3 --out run"), sim)...)
	x = as[view.Why](s, words("trace why run --traces 2000 --json --quiet")...)
	if got, se := float64(x.Effects[0].Spread), float64(x.Effects[0].SpreadSE); math.Abs(got-0.912871/math.Sqrt(5)) > 4*se || se > 0.02 {
		t.Errorf("posterior to prior: %g ± %g, exact %g", got, se, 0.912871/math.Sqrt(5))
	}
}

// Two runs, and two traces, side by side.
func TestDiff(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "branching", "cpp")...)
	s.run(0, args(words("prior --quiet --seed 1 -n 2000 --out prior"), sim)...)
	s.run(0, args(words("infer --quiet --seed 2 -n 2000 --observe obs=6 --out run"), sim)...)
	x := as[view.Changes](s, words("trace diff prior run --json")...)
	if len(x.Types) != 2 || len(x.Addresses) != 3 || x.Addresses[0].Names[0] != "extra" || float64(x.Addresses[0].WeightA) < 0.6 || float64(x.Addresses[0].WeightB) > 0.25 || x.Types[0].ShortA == "" || x.Types[0].ShortB == "" {
		t.Errorf("%+v", x)
	}
	text, _ := s.run(0, words("trace diff prior run")...)
	for _, want := range []string{"shift/sd", "pp", "2 addresses are passed by the same share"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	two := as[view.TwoTraces](s, words("trace diff run 0 0 --json")...)
	if two.PartsAt != nil || two.Same != len(two.Statements) || two.Same == 0 {
		t.Errorf("%+v", two)
	}
	parts := false
	for _, other := range words("1 2 3 4 5 6 7 8 9") {
		two := as[view.TwoTraces](s, words("trace diff run 0 prior "+other+" --json")...)
		if two.PartsAt != nil {
			parts = true
			if *two.PartsAt != 1 {
				t.Errorf("%+v", two)
			}
		}
	}
	if !parts {
		t.Error("no trace is of another type")
	}
}

// Histograms and planes in the terminal, with the figures of the table.
func TestHistogramsInTheTerminal(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "branching", "cpp")...)
	s.run(0, args(words("prior --quiet --seed 1 -n 2000 --out prior"), sim)...)
	s.run(0, args(words("infer --quiet --seed 2 -n 2000 --observe obs=6 --out run"), sim)...)
	x := as[view.Histograms](s, words("trace hist prior r extra --with run --json")...)
	if len(x.Runs) != 2 || len(x.Variables) != 2 || x.Variables[0].Present[0] != 1 || float64(x.Variables[1].Present[1]) > 0.3 {
		t.Errorf("%+v", x)
	}
	for k, run := range x.Runs { // the modes are those of the table
		best := 0
		for i, b := range x.Variables[0].Bins {
			if b.Share[k] > x.Variables[0].Bins[best].Share[k] {
				best = i
			}
		}
		if mode := s.posteriorOf(t, run).Variable("r").Mode; mode == nil || x.Variables[0].Bins[best].Low != *mode {
			t.Errorf("%s: %+v, mode %v", run, x.Variables[0].Bins[best], mode)
		}
	}
	text, _ := s.run(0, words("trace hist run")...)
	if !strings.Contains(text, "█") || !strings.Contains(text, " %") {
		t.Error(text)
	}
	p := as[view.Pairs](s, words("trace pairs run r extra result --json")...)
	if len(p.Pairs) != 3 || math.Abs(float64(p.Pairs[1].Correlation)-1) > 1e-9 || p.Pairs[0].Traces >= 2000 {
		t.Errorf("%+v", p.Pairs)
	}
	if text, _ = s.run(0, words("trace pairs run")...); !strings.Contains(text, "correlation") || !strings.Contains(text, "└─") {
		t.Error(text)
	}
	for command, want := range map[string]string{
		"trace hist": "wants a run directory", "trace hist run nope": "no such variable: nope; run has", "trace hist run --bins 1": "--bins 1", "trace pairs run r": "1 variables: want two to eight",
		"trace hist nowhere": "nowhere", "trace hist run extra --with nowhere": "nowhere",
	} {
		if _, e := s.run(2, words(command)...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
}

// What cannot be asked gets a line.
func TestWhatIfBadInput(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 20 --observe y=1 --out run"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 20 --no-parameters --observe y=1 --out bare"), model("pair"))...)
	if err := os.WriteFile(filepath.Join(s.dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"trace intervene run":                       "what is to be set? Give --set NAME=VALUE",
		"trace intervene run --set x":               "--set x: want NAME=VALUE",
		"trace intervene run --set x=1 --rest none": "--rest none: want noise, fresh or keep",
		"trace intervene run --set x=2* --out o1":   "--set x: 2*: it ends too early",
		"trace intervene run 3 --set y=2":           "that is no Sample",
		"trace intervene run 3 --set z=2":           "no trace has a Sample of that name",
		"trace intervene run 3 --set x=1 --out o2":  "--out and -n go with a whole run",
		"trace intervene run three --set x=1":       "three is no number of a draw",
		"trace intervene run --set x=1 --out run":   "run exists and is not empty; give another --out",
		"trace intervene run --set x=zz --out o3":   "there is no variable zz",
		"trace intervene bare --set x=1 --out o4":   "--no-parameters",
		"trace why bare":                            "--no-parameters",
		"trace why run --traces 3":                  "--traces 3",
		"trace why run --of nope":                   "--of nope: no trace has a variable of that name",
		"trace why nowhere":                         "nowhere",
		"trace diff run":                            "wants two runs",
		"trace diff run 3":                          "give another draw, or another run",
		"trace diff run nowhere":                    "nowhere",
	} {
		if _, e := s.run(2, words(command)...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
	// Another simulator would tell of another model.
	if _, e := s.run(2, args(words("trace intervene run --set x=1 --out o5"), model("pair", "V=moved"))...); !strings.Contains(e, "this is not the simulator that run was made with") {
		t.Error(e)
	}
}
