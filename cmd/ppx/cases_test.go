package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/marsaglia"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// models are simulators for the tests: the test binary is one of them where PPX_TEST_SIM names it.
var models = map[string]gosim.Model{
	"families": enginetest.Families,
	"quiet":    func(r *gosim.Run) gosim.Tensor { return gosim.Scalar(r.Sample("x", gosim.Normal(0, 1))) },
	"pinned": func(r *gosim.Run) gosim.Tensor { // a datum that all traces have, with a density of −5e17
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Observe("c", gosim.Normal(0, 1e-9))
		r.Observe("y", gosim.Normal(x, 0.5))
		return gosim.Scalar(x)
	},
	"own": func(r *gosim.Run) gosim.Tensor { // and a value of its own
		own, sd := 0.3, 1.0
		switch os.Getenv("V") {
		case "other":
			own = 1.3
		case "noise":
			sd = 0.3
		}
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Observe("y", gosim.Normal(x, sd))
		r.ObserveTensor(gosim.Site{}, "own", gosim.Normal(x, 1), gosim.Scalar(own))
		return gosim.Scalar(x)
	},
	"stamp": func(r *gosim.Run) gosim.Tensor { // two modes, on top of a large number
		t := r.Sample("t", gosim.Normal(1.7e9, 3))
		r.Observe("y", gosim.Normal(math.Abs(t-1.7e9), 0.03))
		return gosim.Tensor{}
	},
	"sometimes-modes": func(r *gosim.Run) gosim.Tensor { // two modes of what some traces lack
		n := r.Sample("n", gosim.Poisson(4))
		t := r.Sample("", gosim.Normal(0, 3))
		if n > 0 {
			r.Tag("t", t)
		}
		r.Observe("y", gosim.Normal(math.Abs(t), 0.03))
		return gosim.Tensor{}
	},
	"broken": func(*gosim.Run) gosim.Tensor { panic("it always fails") },
	"six": func(r *gosim.Run) gosim.Tensor { // numbers around mu
		mu := r.Sample("mu", gosim.Normal(0, 2))
		r.ObserveTensor(gosim.Site{}, "v", gosim.Tensors(dist.Normal, gosim.Vector(mu, mu, mu, mu, mu, mu), gosim.Scalar(1)), gosim.Vector(0, 0, 0, 0, 0, 0))
		return gosim.Scalar(mu)
	},
	"rare": func(r *gosim.Run) gosim.Tensor { // x is in half of the traces, and V moves it
		low := 0.0
		if os.Getenv("V") == "shifted" {
			low = 3
		}
		b := r.SampleAt(gosim.Site{Address: "b"}, "b", gosim.Bernoulli(0.5))
		if b == 1 {
			r.SampleAt(gosim.Site{Address: "x"}, "x", gosim.Uniform(low, low+1))
		}
		r.ObserveAt(gosim.Site{Address: "y"}, "y", gosim.Normal(b, 1))
		return gosim.Tensor{}
	},
	"failing": func(r *gosim.Run) gosim.Tensor { // one run in seven
		x := r.Sample("x", gosim.Normal(0, 1))
		if x > 1.07 {
			panic("too large")
		}
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.Scalar(x)
	},
	"restless": func(r *gosim.Run) gosim.Tensor { // it has a source of chance of its own
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Observe("y", gosim.Normal(x+rand.Float64(), 0.2))
		return gosim.Scalar(x)
	},
	"rare-branch": func(r *gosim.Run) gosim.Tensor { // P(k = 1 | y = 5) = .341
		z := 0.0
		if r.Sample("k", gosim.Bernoulli(0.001)) == 1 {
			z = r.Sample("z", gosim.Normal(5, 1))
		} else {
			z = r.Sample("z0", gosim.Normal(0, 1))
		}
		r.Observe("y", gosim.Normal(z, 1))
		return gosim.Scalar(z)
	},
	"two-modes": func(r *gosim.Run) gosim.Tensor { // ±8, with a valley that single steps do not cross
		x := r.Sample("x", gosim.Normal(0, 10))
		r.Observe("y", gosim.Normal(math.Abs(x)-8, 0.01))
		return gosim.Scalar(x)
	},
	"hostile": func(r *gosim.Run) gosim.Tensor { // names that would be markup, and more
		x := r.SampleAt(gosim.Site{Address: "<img src=x onerror=alert(2)>"}, "<script>alert(1)</script>", gosim.Normal(0, 1))
		r.Tag("=HYPERLINK(\"x\")\x1b[31m", x)
		r.Tag("\"; graph [label=\"", x)
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.Scalar(x)
	},
	"nowhere": func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Observe("y", gosim.Uniform(x*x+2, x*x+3))
		return gosim.Scalar(x)
	},
	"pair": func(r *gosim.Run) gosim.Tensor { // V tells versions apart
		mean := 0.0
		site := gosim.Site{Address: "x"}
		switch os.Getenv("V") {
		case "shifted":
			mean = 5
		case "moved":
			site.Address = "x2"
		case "random":
			mean = float64(time.Now().UnixNano() % 1000)
		}
		x := r.SampleAt(site, "x", gosim.Normal(mean, 1))
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.Scalar(x)
	},
	"slow": func(r *gosim.Run) gosim.Tensor {
		b := r.Sample("slow", gosim.Bernoulli(0.02))
		if b == 1 {
			time.Sleep(time.Hour)
		}
		r.Observe("y", gosim.Normal(b, 1))
		time.Sleep(time.Millisecond)
		return gosim.Scalar(b)
	},
	"seldom": func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		if r.Sample("k", gosim.Bernoulli(0.01)) == 1 {
			x += r.Sample("z", gosim.Normal(0, 1))
		}
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.Scalar(x)
	},
	"unnamed": func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		r.ObserveTensor(gosim.Site{}, "", gosim.Normal(x, 1), gosim.Scalar(1))
		return gosim.Scalar(x)
	},
	"twice": func(r *gosim.Run) gosim.Tensor { // a name twice, one that is seldom there, an Observe without data
		a := r.SampleAt(gosim.Site{Address: "a1"}, "a", gosim.Normal(10, 1))
		b := r.SampleAt(gosim.Site{Address: "a2"}, "a", gosim.Normal(10, 1))
		if r.Sample("k", gosim.Bernoulli(0.3)) == 1 {
			r.Sample("maybe", gosim.Normal(5, 1))
		}
		r.Observe("y", gosim.Normal(3, 1))
		r.Observe("z", gosim.Normal(a+b, 5))
		return gosim.Scalar(a)
	},
	"dyn": func(r *gosim.Run) gosim.Tensor { // a tensor whose length varies
		n := int(r.Sample("n", gosim.Poisson(2)))
		sum := 0.0
		for _, x := range r.SampleTensor("v", gosim.Tensors(dist.Normal, gosim.Vector(make([]float64, n+1)...), gosim.Scalar(1))).Data {
			sum += x
		}
		r.Observe("y", gosim.Normal(sum, 1))
		return gosim.Scalar(float64(n))
	},
	"nothing": func(r *gosim.Run) gosim.Tensor { // half of the runs return nothing
		x := r.Sample("x", gosim.Normal(0, 1))
		r.Observe("y", gosim.Normal(x, 1))
		if x > 0 {
			return gosim.Scalar(x)
		}
		return gosim.Tensor{}
	},
	"onenan": func(r *gosim.Run) gosim.Tensor { // a tag that is no number now and then
		x := r.Sample("x", gosim.Normal(0, 1))
		tag := x
		if x > 2 {
			tag = math.NaN()
		} else if x < -2 {
			tag = math.Inf(1)
		}
		r.Tag("t", tag)
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.Scalar(x)
	},
	"pin": func(r *gosim.Run) gosim.Tensor { // a far observation that says nothing of x
		x := r.Sample("x", gosim.Normal(0, 1))
		r.ObserveAt(gosim.Site{Address: "c"}, "c", gosim.Normal(0, 1e-9))
		r.Observe("y", gosim.Normal(x, 0.5))
		return gosim.Scalar(x)
	},
	"either": func(r *gosim.Run) gosim.Tensor { // one of two data, and a constant
		k := r.SampleAt(gosim.Site{Address: "k"}, "k", gosim.Bernoulli(0.5))
		if k == 1 {
			r.ObserveAt(gosim.Site{Address: "p"}, "p", gosim.Normal(0, 1))
		} else {
			r.ObserveAt(gosim.Site{Address: "q"}, "q", gosim.Normal(0, 2))
		}
		r.ObserveAt(gosim.Site{Address: "c"}, "c", gosim.Normal(0, 1e-9))
		return gosim.Scalar(k)
	},
	"zero": func(r *gosim.Run) gosim.Tensor { // a variable that only traces without weight have
		x := r.Sample("x", gosim.Uniform(0, 1))
		if x < 0.5 {
			r.Tag("dead", x)
		}
		r.Observe("y", gosim.Uniform(0.5, math.Max(x, 0.5)+0.1))
		return gosim.Scalar(x)
	},
	"named-result": func(r *gosim.Run) gosim.Tensor {
		if r.Sample("k", gosim.Bernoulli(0.5)) == 1 {
			r.Tag("result", 3)
		}
		return gosim.Scalar(7)
	},
	"far": func(r *gosim.Run) gosim.Tensor { // a far observation whose density has lost the digits that tell traces apart
		x := r.Sample("x", gosim.Normal(0, 10))
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.Scalar(x)
	},
	"wide": func(r *gosim.Run) gosim.Tensor { // some of its draws are so far away that their density has lost its digits
		x := r.Sample("x", gosim.LogNormal(0, 10))
		r.Observe("y", gosim.Normal(x, 1))
		return gosim.Scalar(x)
	},
	"count": func(r *gosim.Run) gosim.Tensor { // two or three observations
		k := r.Sample("k", gosim.Bernoulli(0.5))
		for range 2 + int(k) {
			r.Observe("y", gosim.Normal(0, 1))
		}
		return gosim.Scalar(k)
	},
	"vector": func(r *gosim.Run) gosim.Tensor {
		r.Sample("k", gosim.Normal(0, 1))
		r.ObserveTensor(gosim.Site{}, "x", gosim.Tensors(dist.Normal, gosim.Vector(make([]float64, 1500)...), gosim.Scalar(1)), gosim.Tensor{})
		return gosim.Tensor{}
	},
	"sometimes": func(r *gosim.Run) gosim.Tensor { // half of the traces see the datum
		a := r.Sample("a", gosim.Normal(0, 1))
		if a > 0 {
			r.Observe("y", gosim.Normal(a, 1))
		}
		return gosim.Scalar(a)
	},
	"nan-parameter": func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		mean := x
		if x > 1 {
			mean = math.NaN()
		}
		r.Observe("y", gosim.Normal(mean, 1))
		return gosim.Scalar(x)
	},
	"sharp": func(r *gosim.Run) gosim.Tensor {
		for i := range 8 {
			x := r.SampleAt(gosim.Site{Address: fmt.Sprint("x", i)}, fmt.Sprint("x", i), gosim.Normal(0, 1))
			r.ObserveAt(gosim.Site{Address: fmt.Sprint("y", i)}, fmt.Sprint("y", i), gosim.Normal(x, 0.3))
		}
		return gosim.Scalar(0)
	},
	"matrix": func(r *gosim.Run) gosim.Tensor {
		m := r.Sample("m", gosim.Normal(0, 10))
		mean := make([]float64, 6)
		for i := range mean {
			mean[i] = m + float64(i)
		}
		r.ObserveTensor(gosim.Site{}, "v", gosim.Tensors(dist.Normal, gosim.NewTensor(mean, 2, 3), gosim.Scalar(1)), gosim.Tensor{})
		return gosim.Scalar(m)
	},
	"golden": goldenModel,
	"steady": func(r *gosim.Run) gosim.Tensor { // so many traces a second on any machine, or fewer
		time.Sleep(time.Millisecond)
		return marsaglia.Model(r)
	},
	"threads": func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		for _, name := range []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} {
			var n float64
			if _, err := fmt.Sscan(os.Getenv(name), &n); err != nil {
				n = -1
			}
			r.Tag(name, n)
		}
		return gosim.Scalar(x)
	},
}

// model is the end of a command line that launches one of models, with more of the environment.
func model(name string, env ...string) []string {
	return append(append([]string{"--", "/usr/bin/env", "PPX_TEST_SIM=" + name}, env...), os.Args[0], "--endpoint", "{endpoint}")
}

// verdict is what the JSON says of trust.
type verdict struct {
	Trust struct {
		Verdict string
		Reasons []struct {
			Code, Text string
			Variable   *string
		}
	}
	ESS                  float64
	LogEvidence          *float64 `json:"log_evidence"`
	LogEvidenceSE        *float64 `json:"log_evidence_se"`
	LikelihoodImportance float64  `json:"likelihood_importance"`
	Success              float64
	SuccessSE            float64 `json:"success_se"`
	Traces, Failed       float64
	Warnings             []string
	Variables            []variableVerdict
}

type variableVerdict struct {
	Name                      string
	Mean, SD, Present, Finite float64
	MeanSE                    *float64 `json:"mean_se"`
	Trust                     struct{ Verdict string }
}

func verdictOf(t *testing.T, out string) (v verdict) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return v
}

func (v *verdict) has(code string) bool {
	for _, r := range v.Trust.Reasons {
		if r.Code == code {
			return true
		}
	}
	return false
}

// A result that rests on a few draws cannot be mistaken for a good one, by people or by programs.
func TestTrust(t *testing.T) {
	s := newSession(t)
	data := words("--observe y0=2 --observe y1=2 --observe y2=2 --observe y3=2 --observe y4=-2 --observe y5=2 --observe y6=2 --observe y7=2")
	out, _ := s.run(0, args(words("infer --json --seed 1 -n 500 --out bad"), data, model("sharp"))...)
	v := verdictOf(t, out)
	if v.Trust.Verdict != "none" || !v.has("low-ess") || v.LogEvidence == nil || v.LogEvidenceSE != nil {
		t.Errorf("ESS %g: %s", v.ESS, out)
	}
	for _, x := range v.Variables {
		if x.MeanSE != nil || x.Trust.Verdict != "none" {
			t.Errorf("%s has the verdict %s", x.Name, x.Trust.Verdict)
		}
	}
	table, stderr := s.run(0, "summary", "bad")
	if !strings.Contains(table, "DO NOT TRUST THIS RESULT: the effective sample size is") || strings.Contains(table, "±") || !strings.Contains(stderr, "do not trust") {
		t.Errorf("%s%s", table, stderr)
	}
	if _, stderr := s.run(1, args(words("infer --quiet --strict --seed 1 -n 500"), data, model("sharp"))...); !strings.Contains(stderr, "--strict: the result is not good (none)") {
		t.Error(stderr)
	}
	good := words("infer --json --strict --seed 1 -n 2000 --likelihood-importance 0.5 --observe y=1 --out good")
	out, _ = s.run(0, args(good, model("pair"))...)
	if v := verdictOf(t, out); v.Trust.Verdict != "good" || len(v.Trust.Reasons) > 0 || v.LogEvidenceSE == nil || v.LikelihoodImportance != 0.5 {
		t.Error(out)
	}
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 120 --observe y=2.5"), model("pair"))...)
	if v := verdictOf(t, out); v.Trust.Verdict != "doubtful" || !v.has("low-ess") {
		t.Error(out)
	}
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 9 --observe y=0"), model("pair"))...)
	if v := verdictOf(t, out); v.Trust.Verdict != "none" || !v.has("few-draws") {
		t.Error(out)
	}
	// Side by side the verdicts and the exponent stand with their runs.
	table, _ = s.run(0, "summary", "good", "bad")
	if !strings.Contains(table, "power of 0.5") || !strings.Contains(table, "DO NOT TRUST") {
		t.Error(table)
	}
	// A variable may rest on less than the result.
	s.run(0, args(words("infer --quiet --seed 1 -n 300 --observe y=0 --out seldom"), model("seldom"))...)
	s.run(0, words("plot marginals seldom --var z -o z.svg")...)
	s.run(0, words("plot marginals seldom --var x -o x.svg")...)
	if z, x := read(t, filepath.Join(s.dir, "z.svg")), read(t, filepath.Join(s.dir, "x.svg")); !regexp.MustCompile(`>ESS [1-9](\.\d)?<`).MatchString(z) ||
		strings.Contains(x, ">ESS") || strings.Contains(x, "not to be trusted") {
		t.Error("the pictures do not tell a variable's own effective sample size")
	}
	for _, name := range []string{"a.png", "b.pdf", "c.svg"} {
		s.run(0, "plot", "marginals", "good", "-o", name)
		s.run(0, "plot", "marginals", "bad", "--var", "x0", "-o", "bad-"+name)
		if info, err := os.Stat(filepath.Join(s.dir, "bad-"+name)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A resumed run whose simulator does another thing is refused, with the first difference.
func TestResumedWithAnotherSimulator(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --observe y=1 -n 500 --seed 3 --out run"), model("pair"))...)
	resume := words("infer --quiet --resume -n 1000 --out run")
	for v, says := range map[string]string{
		"shifted": "at statement 0: x: Normal(mean=5, stddev=1), recorded was Normal(mean=0, stddev=1)",
		"moved":   "at statement 0: Sample at x2__Normal, recorded was Sample at x__Normal",
	} {
		if _, stderr := s.run(2, args(resume, model("pair", "V="+v))...); !strings.Contains(stderr, "not the simulator that run was made with") || !strings.Contains(stderr, says) {
			t.Errorf("%s: %s", v, stderr)
		}
	}
	if m, err := rundir.ReadManifest(filepath.Join(s.dir, "run")); err != nil || m.Counts.Traces != 500 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, stderr := s.run(0, args(resume, model("pair", "V=random"))...); !strings.Contains(stderr, "not deterministic") {
		t.Error(stderr)
	}
	s.run(0, args(words("infer --quiet --resume -n 1500 --out run --plain"), model("pair"))...)
	if out, _ := s.run(0, "summary", "--json", "run"); verdictOf(t, out).Trust.Verdict != "good" {
		t.Error(out)
	}
	if _, stderr := s.run(0, args(words("infer --quiet --resume --force -n 1600 --out run"), model("pair", "V=shifted"))...); !strings.Contains(stderr, "the run will hold traces of both") {
		t.Error(stderr)
	}
	out, _ := s.run(0, "summary", "--json", "run")
	if v := verdictOf(t, out); !v.has("mixed-simulators") || !strings.Contains(out, "from draw 1500 on the simulator is another than before") {
		t.Error(out)
	}
	s.run(2, args(words("infer --quiet --force --observe y=1"), model("pair"))...)
}

// A run that a time limit or a Ctrl-C cuts off is named: long runs are under-represented.
func TestRunsThatAreCutOff(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json --seed 1 --workers 2 --max-time 3s --timeout 0 -n 1000000 --observe y=1 --out run"), model("slow"))...)
	v := verdictOf(t, out)
	if v.Trust.Verdict == "good" || !v.has("cut-off") || !strings.Contains(fmt.Sprint(v.Warnings), "and is not counted: long runs are under-represented") {
		t.Error(out)
	}
	out, _ = s.run(0, "summary", "--json", "run") // it is remembered
	if v := verdictOf(t, out); !v.has("cut-off") {
		t.Error(out)
	}
	// Of a chain it is a step.
	out, _ = s.run(0, args(words("infer --json --seed 1 --workers 2 --chains 2 --warmup 0 --method lmh --max-time 5s --timeout 0 -n 1000000 --observe y=1 --out chains"), model("slow"))...)
	if v := verdictOf(t, out); !v.has("cut-off") || !regexp.MustCompile(`step \d+ of chain [12] had been running for`).MatchString(fmt.Sprint(v.Warnings)) {
		t.Error(out)
	}
}

// Simulated data do not come back as a draw of the inference with the same seed.
func TestTruthIsNotAmongTheDraws(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("prior --quiet --seed 1 -n 20 --out prior"), model("sharp"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 20 --observe y0=1 --out posterior"), model("sharp"))...)
	seen := map[string]bool{}
	for i, name := range []string{"prior", "posterior"} {
		r, err := rundir.Open(filepath.Join(s.dir, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		for tr, err := range r.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			x := testbed.Bits(tr.Value(0).Float())
			if i == 0 {
				seen[x] = true
			} else if seen[x] {
				t.Errorf("draw %d of the inference is one of the prior", tr.Draw)
			}
		}
	}
	// An extended run of the prior goes on in its own stream.
	s.run(0, args(words("prior --quiet --resume -n 40 --out prior"), model("sharp"))...)
	s.run(0, args(words("prior --quiet --seed 1 -n 40 --out whole"), model("sharp"))...)
	if contents(t, filepath.Join(s.dir, "prior")) != contents(t, filepath.Join(s.dir, "whole")) {
		t.Error("the extended run differs")
	}
}

// What will be an error at the end is told at the beginning; an inference without data says that it is none.
func TestEarlyWords(t *testing.T) {
	s := newSession(t)
	if _, stderr := s.run(1, args(words("infer --quiet --seed 1 -n 100 --observe yy=1"), model("pair"))...); !strings.Contains(stderr, "yy was given, but it has x, y (20 traces); going on, in case it comes later\n") {
		t.Error(stderr)
	}
	if _, stderr := s.run(0, args(words("infer --quiet --seed 1 -n 100"), model("pair"))...); !strings.Contains(stderr, "no data are given (--observe)") {
		t.Error(stderr)
	}
	if _, stderr := s.run(0, args(words("infer --quiet --seed 1 -n 100"), model("unnamed"))...); strings.Contains(stderr, "no data are given") {
		t.Error(stderr)
	}
	// However the job ends before the name would have been checked.
	wrong := words("infer --json --seed 1 --workers 1 -n 1000000 --observe b=1")
	if _, stderr := s.run(1, args(wrong, words("--max-time 300ms"), model("steady"))...); !strings.Contains(stderr, "b was given, but it has") {
		t.Error(stderr)
	}
	cmd := exec.Command(s.ppx, args(wrong, words("--out cut"), model("steady"))...)
	cmd.Dir = s.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testbed.Wait(t, "traces", func() bool {
		return counted(s.dir, "cut") > 0
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	out, _ := s.run(0, "summary", "--json", "cut")
	if v := verdictOf(t, out); v.Trust.Verdict != "none" || !v.has("unused-data") {
		t.Error(out)
	}
}

// Data: shapes, missing elements, resumed with them.
func TestShapesAndMissingElementsOfData(t *testing.T) {
	s := newSession(t)
	infer := words("infer --json --seed 1 -n 200")
	if _, stderr := s.run(1, args(infer, words("--observe v=[[1,2],[3,4],[5,6]]"), model("matrix"))...); !strings.Contains(stderr, "v has shape [3,2] (6 elements), the simulator's has shape [2,3]") {
		t.Error(stderr)
	}
	var evidence []any
	for _, v := range []string{"[[1,2,3],[4,5,6]]", "[1,2,3,4,5,6]", "[[[1,2,3]],[[4,5,6]]]"} {
		out, _ := s.run(0, args(infer, words("--observe v="+v), model("matrix"))...)
		evidence = append(evidence, decoded(t, out)["log_evidence"])
	}
	if evidence[0] != evidence[1] || evidence[0] != evidence[2] {
		t.Error(evidence)
	}
	if _, stderr := s.run(2, args(infer, words("--observe v=[[1,2,null],[4,5,6]]"), model("matrix"))...); !strings.Contains(stderr, "v[0,2] is not a number") || !strings.Contains(stderr, "--missing ok") {
		t.Error(stderr)
	}
	missing := words("--missing ok --observe v=[[1,2,null],[4,null,6]]")
	s.run(0, args(words("infer --quiet --seed 1 -n 50 --out part"), missing, model("matrix"))...)
	s.run(0, args(words("infer --quiet --resume -n 200 --out part"), model("matrix"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 200 --workers 1 --plain --out whole"), missing, model("matrix"))...)
	if contents(t, filepath.Join(s.dir, "part")) != contents(t, filepath.Join(s.dir, "whole")) {
		t.Error("a resumed run with missing elements differs")
	}
	if _, stderr := s.run(0, "summary", "whole"); !strings.Contains(stderr, "2 of 6 elements of v are missing: drawn, not scored") {
		t.Error(stderr)
	}
	// What was drawn for them are no data.
	if out, _ := s.run(0, words("trace data whole 3")...); strings.Join(strings.Fields(out), "") != `{"v":[[1,2,null],[4,null,6]]}` {
		t.Error(out)
	}
	r, err := rundir.Open(filepath.Join(s.dir, "whole"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for tr, err := range r.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0
		for i, y := range []float64{1, 2, math.NaN(), 4, math.NaN(), 6} {
			if z := y - tr.Result.Float() - float64(i); z == z {
				want -= z*z/2 + 0.5*math.Log(2*math.Pi)
			}
		}
		if math.Abs(tr.LogWeight-want) > 1e-9*math.Abs(want) {
			t.Fatalf("draw %d: weight %g, that of the elements given is %g", tr.Draw, tr.LogWeight, want)
		}
	}
}

// Draws that fail may be allowed, or be impossible data.
func TestFailedDraws(t *testing.T) {
	s := newSession(t)
	infer := words("infer --json --seed 1 -n 400 --observe y=1")
	if _, stderr := s.run(1, args(infer, model("nan-parameter"))...); !strings.Contains(stderr, "clearly more than 1 % (--max-failed 0.01)") {
		t.Error(stderr)
	}
	out, _ := s.run(0, args(infer, words("--max-failed 0.5"), model("nan-parameter"))...)
	if v := verdictOf(t, out); v.Failed < 40 || v.Failed+v.Traces != 400 || !v.has("failed-draws") {
		t.Error(out)
	}
	// Evidence is that of "the run succeeds, and the data", whatever proposes: ∫_{x<1} N(x; 0, 1)·N(1; x, 1) dx.
	phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	exact := -0.25 - 0.5*math.Log(4*math.Pi) + math.Log(phi(0.5*math.Sqrt2))
	for _, way := range []string{"--max-failed 0.5", "--max-failed 0.5 --prior-inflation 0.5", "--invalid-observe zero --prior-inflation 0.5"} {
		out, _ := s.run(0, args(words("infer --json --seed 1 -n 6000 --observe y=1"), words(way), model("nan-parameter"))...)
		v := verdictOf(t, out)
		if d := *v.LogEvidence - exact; math.Abs(d) > 4**v.LogEvidenceSE {
			t.Errorf("%s: log evidence %g ± %g, exact %g", way, *v.LogEvidence, *v.LogEvidenceSE, exact)
		}
		want := phi(1)
		if strings.Contains(way, "zero") {
			want = 1
		}
		if math.Abs(v.Success-want) > 4*v.SuccessSE || v.SuccessSE > 0.02 {
			t.Errorf("%s: a run succeeds with probability %g ± %g, exact %g", way, v.Success, v.SuccessSE, want)
		}
	}
	out, _ = s.run(0, args(infer, words("--invalid-observe zero --out zero"), model("nan-parameter"))...)
	if v := verdictOf(t, out); v.Failed != 0 || v.Traces != 400 || !strings.Contains(fmt.Sprint(v.Warnings), "the parameters of an Observe were invalid (at y)") {
		t.Error(out)
	}
	s.run(0, args(words("infer --quiet --resume -n 500 --out zero"), model("nan-parameter"))...) // it is remembered
	s.run(2, args(infer, words("--max-failed 0"), model("nan-parameter"))...)
	s.run(2, args(infer, words("--invalid-observe maybe"), model("nan-parameter"))...)
}

// Launched copies use one thread each, unless the user has said otherwise.
func TestThreadsOfLaunchedCopies(t *testing.T) {
	s := newSession(t)
	for set, want := range map[string]string{"": "1 1 1", "OMP_NUM_THREADS=3": "3 -1 -1", "MKL_NUM_THREADS=2": "1 1 2"} {
		cmd := s.command(args(words("prior --json --seed 1 -n 10"), model("threads"))...)
		var env []string
		for _, v := range cmd.Env {
			if !strings.Contains(v, "_NUM_THREADS=") {
				env = append(env, v)
			}
		}
		cmd.Env = env
		if set != "" {
			cmd.Env = append(env, set)
		}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range verdictOf(t, string(out)).Variables {
			if strings.HasSuffix(v.Name, "_THREADS") {
				got = append(got, fmt.Sprint(v.Mean))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("with %q: %v, want %s", set, got, want)
		}
	}
}

// What is not there is not claimed: the run directory is removed while a job writes it.
func TestRunDirectoryRemoved(t *testing.T) {
	s := newSession(t)
	cmd := s.command(args(words("prior --quiet --save-every 300ms --seed 1 -n 100000000 --workers 2 --out run"), model("pair"))...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testbed.Wait(t, "the first part", func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "run", "draws", "part-00000.parquet"))
		return err == nil
	})
	// Moved away first: the job writes while files are removed one by one.
	if err := os.Rename(filepath.Join(s.dir, "run"), filepath.Join(s.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || strings.Contains(stderr.String(), "traces drawn before that are in") || !strings.Contains(stderr.String(), "no such file or directory") {
		t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), stderr.String())
	}
}

// The count in run.json is that of the rows on disk, whatever the disk did.
func rows(t *testing.T, path string) (traces uint64) {
	t.Helper()
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for tr, err := range r.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if tr.Status == tracing.OK {
			traces++
		}
	}
	return traces
}

// A terminal that is closed ends a job as Ctrl-C does, and leaves no folder behind; what kill -9 has left, the next run removes.
func TestHangupAndLeftovers(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("under nohup a hangup is not heard")
	}
	s := newSession(t)
	tmp := t.TempDir()
	start := func(out string) *exec.Cmd {
		cmd := s.command(args(words("prior --quiet --save-every 300ms --seed 1 -n 100000000 --workers 2 --out "+out), model("pair"))...)
		cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testbed.Wait(t, "traces in "+out, func() bool {
			m, err := rundir.ReadManifest(filepath.Join(s.dir, out))
			return err == nil && m.Counts.Traces > 0
		})
		return cmd
	}
	left := func() []string {
		l, _ := filepath.Glob(filepath.Join(tmp, "ppxs-*"))
		return l
	}
	cmd := start("hung-up")
	_ = cmd.Process.Signal(syscall.SIGHUP)
	_ = cmd.Wait()
	m, err := rundir.ReadManifest(filepath.Join(s.dir, "hung-up"))
	if err != nil || m.State != rundir.Interrupted || m.Counts.Traces != rows(t, filepath.Join(s.dir, "hung-up")) || len(left()) > 0 {
		t.Errorf("%+v, %v; left: %v", m, err, left())
	}
	cmd = start("killed")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(left()) == 0 {
		t.Error("the folder of sockets is elsewhere")
	}
	stale := filepath.Join(s.dir, "killed", "draws", ".tmp-part-00000.parquet.123")
	if err := os.WriteFile(stale, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd = s.command(args(words("prior --quiet --resume --out killed -n 200000000 --max-time 1s"), model("pair"))...)
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(stale); err == nil || len(left()) > 0 {
		t.Errorf("left: %v, %v", left(), err)
	}
}

// A line that moves fits into any terminal, also one that does not know how wide it is.
func TestProgressLineFits(t *testing.T) {
	for width := range 200 {
		most := width
		if width == 0 {
			most = 80
		}
		for _, text := range []string{"", "1/2", strings.Repeat("é", 150)} {
			if got := barLine(0.5, text, width); utf8.RuneCountInString(got) >= most {
				t.Errorf("%d columns: %q", width, got)
			}
		}
	}
}

// Messages in words.
func TestMessages(t *testing.T) {
	s := newSession(t)
	empty, huge := filepath.Join(t.TempDir(), "a.npy"), filepath.Join(t.TempDir(), "a.json")
	for path, text := range map[string]string{empty: "", huge: `{"a":1e400}`, filepath.Join(filepath.Dir(empty), "run.json"): "[]",
		filepath.Join(filepath.Dir(huge), "run.json"): `{"seed": "seven"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		code int
		args []string
		says string
	}{
		{2, words("infer -n -5"), "ppx: -n -5: want a whole number, 0 or more"},
		{2, words("infer --max-time 5"), "--max-time 5: want a time, such as 90s"},
		{2, words("train --lr fast"), "--lr fast: want a number"},
		{2, words("completion bsh"), "completion knows no shell bsh"},
		{2, words("help trian"), "ppx has no verb trian"},
		{2, words("plot marginals run -o a.svg --truth x=1=y"), "--truth x=1=y: want NAME=NUMBER"},
		{2, []string{"infer", "--observe-file", huge, "--", "true"}, "line 1, column 6: the number 1e400 is too large"},
		{2, []string{"infer", "--observe", "a=@" + empty, "--", "true"}, "it is empty"},
		{2, []string{"summary", filepath.Dir(empty)}, "run.json: damaged: it holds a JSON array, no object"},
		{2, []string{"summary", filepath.Dir(huge)}, "run.json: damaged: seed cannot be a JSON string"},
		{2, words("plot marginals run -o a.gif"), "want .png, .pdf, .svg"},
		{2, words("plot marginals run"), "-o FILE.png"},
		{2, words("infer --observe-file /dev/null -- true"), "/dev/null: it is empty"},
		{1, []string{"prior", "--start-timeout", "300ms", "--", "/bin/sh", "-c", "sleep 60", "{endpoint}"}, "--start-timeout"},
		{1, words("prior -- true {endpoint}"), "ppx::main, ppxsim.main or gosim.Main"},
		{1, words("check -- true {endpoint}"), "ppx::main, ppxsim.main or gosim.Main"},
		{1, []string{"check", "--start-timeout", "300ms", "--", "/bin/sh", "-c", "sleep 60", "{endpoint}"}, "longer --start-timeout"},
		{1, words("prior --connect ipc://@nobody-at-all --start-timeout 300ms"), "(waited 300ms, --start-timeout)"},
	} {
		stdout, stderr := s.run(c.code, c.args...)
		if !strings.Contains(stderr, c.says) && !strings.Contains(stdout, c.says) {
			t.Errorf("ppx %q says %q, want %q", c.args, stderr, c.says)
		}
		for _, bad := range []string{"<nil>", "map[", "strconv", "invalid syntax", "EOF"} {
			if strings.Contains(stderr, bad) {
				t.Errorf("ppx %q says %q", c.args, stderr)
			}
		}
	}
	if out, _ := s.run(0, "--version"); !strings.HasPrefix(out, "ppx ") || !strings.Contains(out, "PPX 1.0") {
		t.Error(out)
	}
	if out, _ := s.run(0, words("__complete infer --method i")...); !strings.Contains(out, "is\t") || !strings.Contains(out, "ic\t") {
		t.Error(out)
	}
	// A name may hold "=".
	if _, stderr := s.run(1, args(words("infer --quiet -n 30 --observe a=b=3"), model("pair"))...); !strings.Contains(stderr, "a=b was given") {
		t.Error(stderr)
	}
	// A limit of address space is told before the runtime meets it.
	cmd := exec.Command("/bin/sh", "-c", "ulimit -v 1000000; exec "+s.ppx+" version")
	if out, err := cmd.CombinedOutput(); err == nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "limited to 976 MB") {
		t.Errorf("%v: %s", err, out)
	}
}

// counted is how many traces a run that is being written has on disk.
func counted(dir, name string) uint64 {
	m, err := rundir.ReadManifest(filepath.Join(dir, name))
	if err != nil {
		return 0
	}
	return m.Counts.Traces
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
