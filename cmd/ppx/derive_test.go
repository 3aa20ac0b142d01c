package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/view"
)

// posteriorOf is the result of a recorded run.
func (s *session) posteriorOf(t *testing.T, run string) *view.Posterior {
	t.Helper()
	o, err := jobs.Summarise(t.Context(), filepath.Join(s.dir, run), false)
	if err != nil {
		t.Fatal(err)
	}
	return view.NewPosterior(o)
}

// alike compares all figures of two results: the order of sums may differ.
func alike(t *testing.T, what string, a, b *view.Posterior) {
	t.Helper()
	near := func(name string, x, y view.Number) {
		if d := math.Abs(float64(x - y)); d > 1e-9*math.Max(1, math.Abs(float64(y))) {
			t.Errorf("%s: %s is %v, want %v", what, name, x, y)
		}
	}
	near("log evidence", a.LogEvidence, b.LogEvidence)
	near("its error", a.LogEvidenceSE, b.LogEvidenceSE)
	near("ESS", a.ESS, b.ESS)
	if len(a.Variables) != len(b.Variables) {
		t.Fatalf("%s: %d variables, want %d", what, len(a.Variables), len(b.Variables))
	}
	for i := range a.Variables {
		x, y := &a.Variables[i], &b.Variables[i]
		near(x.Name+" mean", x.Mean, y.Mean)
		near(x.Name+" sd", x.SD, y.SD)
		near(x.Name+" median", x.Q50, y.Q50)
	}
}

// Other data, and another exponent, give what inference with them would have given with the same random numbers.
func TestDerivedWeights(t *testing.T) {
	s := newSession(t)
	infer := words("infer --quiet --seed 3 -n 4000")
	s.run(0, args(infer, words("--observe obs0=8 --observe obs1=9 --out run"), s.sim("gum"))...)
	s.run(0, args(words("prior --quiet --seed 3 -n 3000 --out prior"), s.sim("gum"))...)
	s.run(0, args(infer, words("--observe obs0=4 --observe obs1=3 --out fresh"), s.sim("gum"))...)
	s.run(0, args(infer, words("--observe obs0=4 --observe obs1=3 --likelihood-importance 0.5 --out half"), s.sim("gum"))...)
	s.run(0, words("derive --quiet run -o other --observe obs0=4 --observe obs1=3")...)
	alike(t, "other data", s.posteriorOf(t, "other"), s.posteriorOf(t, "fresh"))
	s.run(0, words("derive --quiet other -o other-half --likelihood-importance 0.5")...)
	alike(t, "another exponent", s.posteriorOf(t, "other-half"), s.posteriorOf(t, "half"))
	s.run(0, words("derive --quiet run -o both --observe obs0=4 --observe obs1=3 --likelihood-importance 0.5")...)
	alike(t, "both at once", s.posteriorOf(t, "both"), s.posteriorOf(t, "half"))
	s.run(0, words("derive --quiet half -o whole --likelihood-importance 1")...)
	alike(t, "and back", s.posteriorOf(t, "whole"), s.posteriorOf(t, "fresh"))
	// From the prior, whose Observes were drawn.
	s.run(0, words("derive --quiet prior -o conditioned --observe obs0=4 --observe obs1=3")...)
	p := s.posteriorOf(t, "conditioned")
	mu := p.Variable("mu")
	if d := float64(mu.Mean) - 3.083333; math.Abs(d) > 4*float64(mu.MeanSE) || math.Abs(float64(p.LogEvidence) - -4.072737) > 4*float64(p.LogEvidenceSE) || p.ESS < 500 {
		t.Errorf("mu %v ± %v, exact 3.0833; log evidence %v ± %v, exact -4.0727", mu.Mean, mu.MeanSE, p.LogEvidence, p.LogEvidenceSE)
	}
	out, _ := s.run(0, words("trace show other 3")...)
	if !strings.Contains(out, "data") {
		t.Error(out)
	}
	s.run(2, args(words("infer --resume --out other"), s.sim("gum"))...) // its weights are another job's
}

// A condition restricts the model, new variables are like others, clones say no more than what they are clones of.
func TestDerivedTraces(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 20000 --observe obs0=4 --observe obs1=3 --out run"), s.sim("gum"))...)
	run := s.posteriorOf(t, "run")
	out, _ := s.run(0, args(words("derive --json run -o high"), []string{"--let", "sq=mu^2", "--let", "shifted=sq+1", "--where", "mu > 3 and shifted > 0"})...)
	high := s.posteriorOf(t, "high")
	// log Z + log P(mu > 3 | data)
	exact := -4.072737 + math.Log(math.Erfc(-(3.083333-3)/0.912871/math.Sqrt2)/2)
	if d := float64(high.LogEvidence) - exact; math.Abs(d) > 4*float64(high.LogEvidenceSE) || !strings.Contains(out, "the evidence is that of the model restricted to") {
		t.Errorf("log evidence %v ± %v, exact %g: %s", high.LogEvidence, high.LogEvidenceSE, exact, out)
	}
	// E[mu² | mu > 3] for a normal distribution.
	m, sd, a := 3.083333, 0.912871, (3-3.083333)/0.912871
	phi := math.Exp(-a*a/2) / math.Sqrt(2*math.Pi) / (math.Erfc(a/math.Sqrt2) / 2)
	want := m*m + sd*sd + sd*phi*(2*m+sd*a)
	sq := high.Variable("sq")
	if sq == nil || math.Abs(float64(sq.Mean)-want) > 4*float64(sq.MeanSE) || sq.Present != 1 {
		t.Errorf("sq %+v, exact %g", sq, want)
	}
	// Of a derived run another is derived, and the condition's share stays in the evidence.
	s.run(0, args(words("derive --quiet high -o higher"), []string{"--where", "mu > 4"})...)
	s.run(0, args(words("derive --quiet run -o direct"), []string{"--where", "mu > 4"})...)
	if x, y := s.posteriorOf(t, "higher"), s.posteriorOf(t, "direct"); math.Abs(float64(x.LogEvidence-y.LogEvidence)) > 1e-9 {
		t.Errorf("log evidence %v, then %v", x.LogEvidence, y.LogEvidence)
	}
	// Every second draw.
	s.run(0, words("derive --quiet run -o thin --thin 2")...)
	if p := s.posteriorOf(t, "thin"); p.Traces != 10000 || math.Abs(float64(p.LogEvidence-run.LogEvidence)) > 4*float64(p.LogEvidenceSE) {
		t.Errorf("%+v", p)
	}
	// Equal weights.
	out, _ = s.run(0, words("derive --json run -o equal --resample 30000 --seed 5")...)
	equal := s.posteriorOf(t, "equal")
	mu, was := equal.Variable("mu"), run.Variable("mu")
	if equal.Traces != 30000 || math.Abs(float64(equal.ESS/run.ESS)-1) > 1e-9 || math.Abs(float64(mu.MeanSE)*math.Sqrt(float64(equal.ESS))/float64(mu.SD)-1) > 0.01 || math.Abs(float64(mu.Mean-was.Mean)) > float64(was.MeanSE)/2 ||
		math.Abs(float64(equal.LogEvidence-run.LogEvidence)) > 1e-9 || equal.LogEvidenceSE != run.LogEvidenceSE || !strings.Contains(out, "beyond which no number of copies goes") {
		t.Errorf("%s\n%+v %+v", out, mu, was)
	}
	if again, _ := s.run(0, words("derive --json run -o equal2 --resample 30000 --seed 5")...); contents(t, filepath.Join(s.dir, "equal")) != contents(t, filepath.Join(s.dir, "equal2")) || again == "" {
		t.Error("the same seed drew others")
	}
	out, _ = s.run(0, words("trace ls --json -n 1 equal")...)
	if !strings.Contains(out, `"row":0`) {
		t.Error(out)
	}
	for _, c := range []struct{ flags, want string }{
		{"--observe obs0=1", "has been resampled: its weights are gone"}, {"--resample 5", "has been resampled"}, {"--likelihood-importance 2", "has been resampled"},
	} {
		if _, e := s.run(2, words("derive equal -o no "+c.flags)...); !strings.Contains(e, c.want) {
			t.Errorf("%s: %s", c.flags, e)
		}
	}
	for i, c := range [][]string{
		{"--where", "mu > zz", "there is no variable zz; there are"}, {"--where", "mu >", "it ends too early (column 5)"}, {"--where", "mu", "it is a number, no condition"},
		{"--let", "mu=3", "has a variable of that name"}, {"--let", "x", "want NAME=EXPRESSION"}, {"--observe", "mu=3", "mu is a Sample"}, {"--observe", "nosuch=3", "nosuch was given, but it has"},
		{"--observe", "obs0=[1,2]", "has shape [2]"}, {"--where", "mu > 100", "no trace of run is left"}, {"--thin", "0", "must be at least 1"}, {"--resample", "-1", "a whole number"},
		{"--likelihood-importance", "0", "must be positive"},
	} {
		if _, e := s.run(2, args(words("derive --quiet run"), c[:2], []string{"-o", fmt.Sprintf("bad%d", i)})...); !strings.Contains(e, c[2]) || strings.Count(e, "\n") != 1 {
			t.Errorf("%v: %s", c[:2], e)
		}
	}
	s.run(2, words("derive run -o run2")...)
	s.run(2, words("derive run --thin 2")...)
	s.run(2, words("derive run -o equal --thin 2")...)
}

// Clones stay clones, whatever is derived from them; a datum of the only occurrence takes the place of that of all; what fails leaves nothing.
func TestDerivedFromDerived(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 7 -n 2000 --observe obs0=8 --observe obs1=9 --out run"), s.sim("gum"))...)
	s.run(0, words("derive --quiet run -o clones --resample 5000 --seed 3")...)
	was := s.posteriorOf(t, "clones")
	for i, flags := range []string{"--let a=mu", "--thin 1", "--thin 2", "--where mu>7"} {
		out := fmt.Sprintf("d%d", i)
		s.run(0, words("derive --quiet clones -o "+out+" "+flags)...)
		if p := s.posteriorOf(t, out); p.Trust.Verdict != "none" || float64(p.ESS) > float64(was.ESS)*1.0001 {
			t.Errorf("%s: %s, ESS %g, of clones %g", flags, p.Trust.Verdict, p.ESS, was.ESS)
		}
		if _, e := s.run(2, words("derive --quiet "+out+" -o no --observe obs0=5")...); !strings.Contains(e, "has been resampled") {
			t.Error(e)
		}
	}
	s.run(0, words("derive --quiet run -o first --observe obs0@1=5")...)
	s.run(0, words("derive --quiet run -o every --observe obs0=5")...)
	a, b := s.posteriorOf(t, "first"), s.posteriorOf(t, "every")
	if a.ESS != b.ESS || a.Trust.Verdict != b.Trust.Verdict {
		t.Errorf("%+v, %+v", a.Trust, b.Trust)
	}
	s.run(2, words("derive --quiet run -o again --where mu>1e9")...)
	s.run(0, words("derive --quiet run -o again --where mu>1")...)
	if _, e := s.run(2, words("derive --quiet run -o huge --resample 100000000000")...); !strings.Contains(e, "is more than") {
		t.Error(e)
	}
}

// A variable that a trace lacks makes what is computed from it absent, and a condition false.
func TestDerivedAbsence(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 2000 --observe z=20 --out run"), model("twice"))...)
	s.run(0, args(words("derive --quiet run -o twice"), []string{"--let", "double=maybe*2", "--let", "sum=`a@2`+a"})...)
	p := s.posteriorOf(t, "twice")
	a, b := p.Variable("maybe"), p.Variable("double")
	if a == nil || b == nil || a.Present != b.Present || math.Abs(float64(b.Mean-2*a.Mean)) > 1e-9 || p.Variable("sum").Present != 1 {
		t.Errorf("%+v\n%+v", a, b)
	}
	s.run(0, args(words("derive --quiet run -o with"), []string{"--where", "maybe > -1e300"})...)
	if p := s.posteriorOf(t, "with"); p.Variable("maybe").Present != 1 {
		t.Errorf("%+v", p.Variable("maybe"))
	}
}

// Runs with other seeds are one run; the same traces twice are not.
func TestJoin(t *testing.T) {
	s := newSession(t)
	for i := range 3 {
		s.run(0, args(words(fmt.Sprintf("infer --quiet --seed %d -n %d --observe obs0=4 --observe obs1=3 --out r%d", i+1, 1000*(i+1), i)), s.sim("gum"))...)
	}
	s.run(0, words("join --quiet r0 r1 r2 -o all")...)
	z, n := 0.0, 0.0
	for i := range 3 {
		p := s.posteriorOf(t, fmt.Sprintf("r%d", i))
		z += math.Exp(float64(p.LogEvidence)) * float64(p.N)
		n += float64(p.N)
	}
	all := s.posteriorOf(t, "all")
	if math.Abs(float64(all.LogEvidence)-math.Log(z/n)) > 1e-9 || all.Traces != 6000 {
		t.Errorf("log evidence %v, want %g", all.LogEvidence, math.Log(z/n))
	}
	s.run(0, args(words("infer --quiet --seed 1 -n 100 --observe obs0=4 --observe obs1=2 --out data"), s.sim("gum"))...)
	s.run(0, args(words("prior --quiet --seed 9 -n 100 --out prior"), s.sim("gum"))...)
	s.run(0, words("derive --quiet r0 -o equal --resample 10")...)
	for _, c := range []struct{ runs, want string }{
		{"r0 r0", "have the same seed and draws"}, {"all r1", "have the same seed and draws"}, {"r1 data", "have different data"}, {"r1 prior", "the method of r1"},
		{"r1 equal", "equal has been resampled"}, {"r1", "two run directories"}, {"r1 nosuch", "nosuch"},
	} {
		if _, e := s.run(2, words("join "+c.runs+" -o no")...); !strings.Contains(e, c.want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %s", c.runs, e)
		}
	}
}
