package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sbinet/npyio/npz"

	"github.com/ppx-engine/ppx-engine/internal/testbed"

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
	s.run(0, args(words("derive --quiet zero -o filtered --where"), []string{"x > 0"})...)
	for runs, want := range map[string]string{"zero other": "their data for y differ", "zero half": "half has the exponent 0.5", "zero prior": "prior is of the prior", "partly partly": "partly", "zero zero": "they are made of the same draws: give one of them another --seed", "zero filtered": "filtered is restricted to some of its draws", "zero few": "-"} {
		c := compare(runs)
		if no := c.Runs[1].NoBayesFactor; want != "-" && !strings.Contains(no, want) || !math.IsNaN(float64(c.Runs[1].LogBayesFactor)) && want != "-" && c.Runs[1].LogBayesFactor != 0 {
			t.Errorf("%s: %q, %v", runs, no, c.Runs[1].LogBayesFactor)
		}
	}
	out, _ := s.run(0, words("compare zero five other")...)
	for _, want := range []string{"log evidence of (1) less that of (2), a log Bayes factor if their models differ: 3.7", "no Bayes factor: their data for y differ", "differs"} {
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

// Large constants hide nothing: not from chains, nor from what is computed of a run.
func TestDigitsOfChainsAndJudgements(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 20000 --observe c=1 --observe y=2 --out is"), model("pinned"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 8000 --method rmh --observe c=1 --observe y=2 --out rmh"), model("pinned"))...)
	for _, run := range []string{"is", "rmh"} {
		if x := s.posteriorOf(t, run).Variable("x"); math.Abs(float64(x.Mean)-1.6) > 4*float64(x.MeanSE) || math.Abs(float64(x.SD)-0.447) > 0.05 {
			t.Errorf("%s: %g ± %g, exact 1.6; sd %g, exact .447", run, x.Mean, x.MeanSE, x.SD)
		}
		out, _ := s.run(0, words("compare --json --loo --powers "+run)...)
		var c view.Comparison
		if err := json.Unmarshal([]byte(out), &c); err != nil {
			t.Fatal(err)
		}
		if y := c.LeftOut[0].Data[1]; run == "is" && math.Abs(float64(y.ELPD)-(-4/2.5-math.Log(2*math.Pi*1.25)/2)) > 0.15 {
			t.Errorf("%s: %+v", run, y)
		}
		if x := c.Powers[0].Variables[0]; x.LikelihoodSE < 1e-3 || x.LikelihoodSE > 0.1 {
			t.Errorf("%s: %+v", run, x)
		}
	}
}

// Runs of two models are neither joined nor weighed against each other on data that only one of them has.
func TestDataOfTheSimulator(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 2000 --observe y=1 --out pair"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 2 -n 2000 --observe y=1 --out own"), model("own"))...)
	s.run(0, args(words("infer --quiet --seed 3 -n 2000 --observe y=1 --out other"), model("own", "V=other"))...)
	s.run(0, args(words("infer --quiet --seed 4 -n 4000 --observe y=3 --out far"), model("own"))...)
	s.run(0, args(words("infer --quiet --seed 5 -n 4000 --observe y=3 --out noise"), model("own", "V=noise"))...)
	text, _ := s.run(0, words("compare pair own")...)
	if !strings.Contains(text, "no Bayes factor: only one of them is scored against own") {
		t.Error(text)
	}
	for runs, want := range map[string]string{"own other": "bring other data", "far noise": "standard errors apart"} {
		if _, e := s.run(2, words("join "+runs+" -o no")...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %s", runs, e)
		}
	}
	// A filter says nothing of how many runs succeed.
	s.run(0, args(words("infer --quiet --seed 1 --max-failed 1 -n 150 --observe y=0 --out failing"), model("failing"))...)
	s.run(0, words("derive --quiet failing -o some --where x<0")...)
	text, e := s.run(0, words("summary some")...)
	if strings.Contains(text+e, "succeeds with probability") || !strings.Contains(text+e, "given up") {
		t.Error(text, e)
	}
	// NaN as Python writes it is a missing element.
	if err := os.WriteFile(filepath.Join(s.dir, "nan.json"), []byte(`{"v": [1, NaN, 3, NaN, 2, 2]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	a, _ := s.run(0, args(words("infer --quiet --json --seed 1 -n 500 --missing ok --observe-file nan.json --out n1"), model("six"))...)
	b, _ := s.run(0, args(words("infer --quiet --json --seed 1 -n 500 --missing ok --observe v=[1,NaN,3,null,2,2] --out n2"), model("six"))...)
	if decoded(t, a)["ess"] != decoded(t, b)["ess"] {
		t.Error(a, b)
	}
}

// Powers of prior and likelihood, and data that are left out, are exact for gum; a classifier cannot tell two runs of one posterior apart, and can those
// of two.
func TestCompareOnRequest(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	s.run(0, args(words("infer --quiet --seed 1 -n 60000 --observe obs0=4 --observe obs1=3 --out one"), sim)...)
	s.run(0, args(words("infer --quiet --seed 2 -n 60000 --observe obs0=4 --observe obs1=3 --out two"), sim)...)
	s.run(0, args(words("infer --quiet --seed 3 -n 60000 --observe obs0=3 --observe obs1=2 --out other"), sim)...)
	s.run(0, args(words("prior --quiet --seed 3 -n 100 --out prior"), sim)...)
	out, _ := s.run(0, words("compare --json --powers --loo --c2st one two other")...)
	var c view.Comparison
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err)
	}
	const se = 4 * 0.92 / 140 // four, at an ESS of 20,000, nearly
	x := c.Powers[0].Variables[0]
	for i, power := range []float64{0.8, 1.25} {
		prior, likelihood := (power/5+3.5)/(power/5+1), (0.2+power*3.5)/(0.2+power)
		if math.Abs(float64(x.Prior[i])-prior) > se || math.Abs(float64(x.Likelihood[i])-likelihood) > se {
			t.Errorf("power %g: %g, exact %g; %g, exact %g", power, x.Prior[i], prior, x.Likelihood[i], likelihood)
		}
	}
	if x.Word != "prior and data disagree" || x.PriorMoves > 0 || x.LikelihoodMoves < 0 {
		t.Errorf("%+v", x)
	}
	l := c.LeftOut[0]
	normal := func(y, mean, variance float64) float64 {
		return -(y-mean)*(y-mean)/2/variance - math.Log(2*math.Pi*variance)/2
	}
	exact := []float64{normal(4, (0.2+1.5)/0.7, 1/0.7+2), normal(3, (0.2+2)/0.7, 1/0.7+2)}
	for i, want := range exact {
		if d := l.Data[i]; math.Abs(float64(d.ELPD)-want) > 4/math.Sqrt(10000) || d.Khat > 0.7 {
			t.Errorf("%+v, exact %g", d, want)
		}
	}
	if two, other := c.LeftOut[1], c.LeftOut[2]; math.Abs(float64(two.Better)) > 4*float64(two.BetterSE) || other.Better != 0 || other.BetterSE != 0 || l.PLOO < 0.2 || l.PLOO > 1 {
		t.Errorf("%+v, %+v, %+v", l, two, other)
	}
	if a, b := c.C2ST[0], c.C2ST[1]; math.Abs(float64(a.Accuracy)-0.5) > 4*float64(a.SE) || b.Accuracy < 0.6 || a.Draws < 3000 {
		t.Errorf("%+v, %+v", a, b)
	}
	s.run(0, words("compare one --log-likelihood ll.npz")...)
	r, err := npz.Open(filepath.Join(s.dir, "ll.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var weights []float64
	if err := r.Read("log_weight.npy", &weights); err != nil || len(weights) != 60000 {
		t.Error(err, len(weights))
	}
	if h := r.Header("obs0.npy"); h == nil || !slices.Equal(h.Descr.Shape, []int{60000, 1}) {
		t.Errorf("%+v", h)
	}
	for command, want := range map[string]string{"one": "Give 2 run directories", "prior --powers": "prior is of the prior", "prior --loo": "prior is of the prior", "one two --log-likelihood x.npz": "is of one run",
		"one --log-likelihood x.csv": "ends in .npz", "prior one --c2st": ""} {
		code := 2
		if want == "" {
			code = 0
		}
		if _, e := s.run(code, words("compare "+command)...); !strings.Contains(e, want) {
			t.Errorf("%s: %s", command, e)
		}
	}
}
