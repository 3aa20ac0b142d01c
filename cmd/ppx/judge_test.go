package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/view"
)

// The Bayes factor of two conjugate models is exact within its error, and refused where evidences are not of the same data.
func TestCompare(t *testing.T) {
	s := newSession(t)
	infer := func(out, data string, env ...string) {
		t.Helper()
		s.run(0, args(words("infer --quiet --seed 1 -n 20000 "+data+" --out "+out), model("pair", env...))...)
	}
	infer("zero", "--observe y=1")
	infer("five", "--observe y=1", "V=shifted")
	infer("again", "--observe y=1 --prior-inflation 0.3")
	infer("other", "--observe y=2")
	infer("half", "--observe y=1 --likelihood-importance 0.5")
	compare := func(runs string) (c view.Comparison) {
		t.Helper()
		out, _ := s.run(0, words("compare --json "+runs)...)
		if err := json.Unmarshal([]byte(out), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	// y ~ N(mean, 2): log N(1; 0, 2) − log N(1; 5, 2).
	c := compare("zero five")
	bf, se := float64(c.Runs[1].LogBayesFactor), float64(c.Runs[1].LogBayesFactorSE)
	if math.Abs(bf-3.75) > 4*se || !(se < 0.1) || c.Runs[1].NoBayesFactor != "" {
		t.Errorf("log Bayes factor %g ± %g, exact 3.75 (%s)", bf, se, c.Runs[1].NoBayesFactor)
	}
	// The posteriors are N(.5, .5) and N(3, .5).
	if x := c.Variables[0]; x.Name != "x" || !x.Runs[1].Differs || math.Abs(float64(x.Runs[1].Distance)-2.5/math.Sqrt(0.5+2.5*2.5/4)) > 0.1 {
		t.Errorf("%+v", x)
	}
	if c := compare("zero again"); c.Variables[0].Runs[1].Differs || c.Variables[0].Runs[1].Noise == 0 {
		t.Errorf("%+v", c.Variables[0])
	}
	s.run(0, args(words("prior --quiet --seed 1 -n 500 --out prior"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 2000 --observe y=8 --out partly"), model("sometimes"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 20 --observe y=1 --out few"), model("pair"))...)
	for runs, want := range map[string]string{"zero other": "their data for y differ", "zero half": "half has the exponent 0.5", "zero prior": "prior is of the prior", "partly partly": "partly", "zero few": "-"} {
		c := compare(runs)
		if no := c.Runs[1].NoBayesFactor; want != "-" && !strings.Contains(no, want) || !math.IsNaN(float64(c.Runs[1].LogBayesFactor)) && want != "-" && c.Runs[1].LogBayesFactor != 0 {
			t.Errorf("%s: %q, %v", runs, no, c.Runs[1].LogBayesFactor)
		}
	}
	out, _ := s.run(0, words("compare zero five other")...)
	for _, want := range []string{"log Bayes factor of (1) over (2): 3.7", "no Bayes factor: their data for y differ", "differs"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	s.run(2, words("compare zero")...)
	s.run(2, words("compare zero nosuch")...)
}

// Findings come with what they mean and what to do; the verdict is that of the table.
func TestDiagnose(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 20000 --observe obs0=4 --observe obs1=3 --out good"), s.sim("gum"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 300 --observe obs0=8 --observe obs1=9 --out bad"), s.sim("gum"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 4000 --observe y=8 --out partly"), model("sometimes"))...)
	for run, want := range map[string]string{"good": "good", "bad": "none", "partly": "doubtful"} {
		var d view.Diagnosis
		out, _ := s.run(0, "diagnose", "--json", run)
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		if string(d.Verdict) != want || string(s.posteriorOf(t, run).Trust.Verdict) != want {
			t.Errorf("%s: %s", run, out)
		}
		for i, f := range d.Findings {
			if f.Verdict != "good" && (f.Means == "" || f.Do == "") {
				t.Errorf("%s: %+v", run, f)
			}
			if i > 0 && f.Verdict == "none" && d.Findings[i-1].Verdict != "none" {
				t.Errorf("%s: not the worst first", run)
			}
		}
		code := 0
		if want != "good" {
			code = 1
		}
		if _, e := s.run(code, "diagnose", "--strict", run); code == 1 && !strings.Contains(e, fmt.Sprintf("--strict: not good: %s (%s)", run, want)) {
			t.Error(e)
		}
	}
	out, _ := s.run(0, words("diagnose good bad")...)
	for _, want := range []string{"good: good: nothing that was looked at", "bad: none: do not use the figures", "✗ the effective sample size is", "  means: ", "  do: ", "even and odd draws"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	s.run(2, words("diagnose")...)
	s.run(2, words("diagnose nosuch")...)
}
