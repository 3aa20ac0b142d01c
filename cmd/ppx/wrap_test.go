package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

// wrapped is a session with programs that nobody edits, and ppx on the path as ppx wrap's users have it.
type wrapped struct {
	*session
	programs string
}

func newWrapped(t *testing.T) *wrapped {
	s := newSession(t)
	return &wrapped{s, filepath.Join(testbed.Root(), "testdata", "programs")}
}

// file writes a file of the session's folder.
func (s *wrapped) file(name, text string) string {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// build compiles a program as its author would; the test is left out where there is no such compiler.
func (s *wrapped) build(compiler, source string, flags ...string) string {
	s.t.Helper()
	if _, err := exec.LookPath(compiler); err != nil {
		s.t.Skipf("no %s", compiler)
	}
	out := "./" + strings.TrimSuffix(source, filepath.Ext(source))
	cmd := exec.Command(compiler, slices.Concat([]string{"-g", "-O1", filepath.Join(s.programs, source), "-o", out}, flags)...)
	cmd.Dir = s.dir
	if b, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, b)
	}
	return out
}

var gsl = []string{"-lgsl", "-lgslcblas", "-lm", "-lpthread"}

// sim is the simulator that a program is: its command, behind the dashes.
func (s *wrapped) sim(file string, program ...string) []string {
	return slices.Concat([]string{"--", s.ppx, "wrap", file, "{endpoint}", "--"}, program)
}

func (s *wrapped) need(program string) {
	s.t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		s.t.Skipf("no %s", program)
	}
}

// python is the interpreter of the tests, if it has a module.
func (s *wrapped) python(module string) string {
	s.t.Helper()
	python := testbed.Python(s.t)
	if exec.Command(python, "-c", "import "+module).Run() != nil {
		s.t.Skipf("no %s", module)
	}
	return python
}

// exact is what a posterior is to be; NaN is not looked at.
type exact struct {
	variable   string
	mean, sd   float64
	logZ       float64
	atLeastESS float64
}

// near checks a posterior within four standard errors.
func (s *wrapped) near(what string, p *view.Posterior, e exact) {
	s.t.Helper()
	v := p.Variable(e.variable)
	if v == nil {
		s.t.Fatalf("%s: no variable %s", what, e.variable)
	}
	if d := math.Abs(float64(v.Mean) - e.mean); !(d <= 4*float64(v.MeanSE)) {
		s.t.Errorf("%s: mean of %s %g ± %g, exact %g", what, e.variable, v.Mean, v.MeanSE, e.mean)
	}
	if se := e.sd / math.Sqrt(float64(p.ESS)); !math.IsNaN(e.sd) && !(math.Abs(float64(v.SD)-e.sd) <= 4*1.5*se) { // that of a distribution with a kurtosis of up to ten
		s.t.Errorf("%s: sd of %s %g, exact %g ± %g", what, e.variable, v.SD, e.sd, se)
	}
	if !math.IsNaN(e.logZ) && !(math.Abs(float64(p.LogEvidence)-e.logZ) <= 4*float64(p.LogEvidenceSE)) {
		s.t.Errorf("%s: log evidence %g ± %g, exact %g", what, p.LogEvidence, p.LogEvidenceSE, e.logZ)
	}
	if !(float64(p.ESS) >= e.atLeastESS) {
		s.t.Errorf("%s: ESS %g, at least %g", what, p.ESS, e.atLeastESS)
	}
}

// infer compares posteriors of three seeds with the exact one.
func (s *wrapped) infer(n int, data string, sim []string, e exact) {
	s.t.Helper()
	for seed := 1; seed <= 3; seed++ {
		out := fmt.Sprintf("run%d", seed)
		if err := os.RemoveAll(filepath.Join(s.dir, out)); err != nil {
			s.t.Fatal(err)
		}
		s.run(0, args(words(fmt.Sprintf("infer --quiet --seed %d -n %d --out %s %s", seed, n, out, data)), sim)...)
		s.near(out, s.posteriorOf(s.t, out), e)
	}
}

// A binary of Debian's, whose draws are data.
func TestWrapGSLDraws(t *testing.T) {
	s := newWrapped(t)
	s.need("gsl-randist")
	file := s.file("sim.toml", `
[[parameter]]
name = "rate"
prior = "Gamma(2, 0.5)"
[[draw]]
at = "gsl_ran_poisson"
name = "y"
`)
	sim := s.sim(file, words("gsl-randist 0 5 poisson {rate}")...)
	s.infer(2000, "--observe y@1=3 --observe y@2=7 --observe y@3=4 --observe y@4=2 --observe y@5=6", sim, exact{"rate", 24 / 5.5, math.Sqrt(24) / 5.5, -11.460946, 500})
	out, _ := s.run(0, args(words("check"), sim)...)
	if strings.Contains(out, "FAIL") || !strings.Contains(out, "all 32 rules hold") {
		t.Error(out)
	}
}

// The same, whose output is what was measured; a network guides it.
func TestWrapGSLOutput(t *testing.T) {
	s := newWrapped(t)
	s.need("gsl-randist")
	file := s.file("sim.toml", `
[[parameter]]
name = "sigma"
prior = "Exponential(0.5)"
[[output]]
name = "x"
regex = '(\S+)'
likelihood = "Normal(value, 0.5)"
`)
	sim := s.sim(file, words("gsl-randist 0 1 gaussian {sigma}")...)
	e := exact{"sigma", 2.217, 1.541, -2.486, 200}
	s.infer(2000, "--observe x=1.7", sim, e)
	s.near("x", s.posteriorOf(t, "run1"), exact{"result", 1.499, math.NaN(), math.NaN(), 0})
	s.run(0, args(words("train --quiet --seed 1 -n 12800 --lstm 32 --head 32 -o net"), sim)...)
	s.run(0, args(words("infer --quiet --seed 1 -n 600 --out guided --network net --observe x=1.7"), sim)...)
	e.atLeastESS = 300
	s.near("guided", s.posteriorOf(t, "guided"), e)
}

// C++ by a header alone: the statements and the random numbers are those of the client's own program.
func TestWrapStandardCPP(t *testing.T) {
	s := newWrapped(t)
	flags, _ := s.run(0, words("wrap --cxxflags")...)
	program := s.build("g++", "gum.cpp", words(flags)...)
	file := s.file("sim.toml", `
[[draw]]
at = "gum.cpp:8"
name = "mu"
[[draw]]
at = "gum.cpp:16"
name = "y"
`)
	s.infer(3000, "--observe y@1=4 --observe y@2=3", s.sim(file, program), exact{"mu", 3.083333, 0.912871, -4.072737, 500})
	s.run(0, args(words("infer --quiet --seed 1 -n 3000 --out own --observe obs0=4 --observe obs1=3 --"), testbed.Simulator(t, "gum", "cpp"))...)
	a, b := s.posteriorOf(t, "run1"), s.posteriorOf(t, "own")
	if x, y := a.Variable("mu"), b.Variable("mu"); x.Mean != y.Mean || x.SD != y.SD || a.LogEvidence != b.LogEvidence || a.ESS != b.ESS {
		t.Errorf("hijacked %v ± %v, log evidence %v; linked %v ± %v, %v", x.Mean, x.SD, a.LogEvidence, y.Mean, y.SD, b.LogEvidence)
	}
	// Without ppx wrap it is the program that it was.
	if out, err := exec.Command(filepath.Join(s.dir, program)).Output(); err != nil || !strings.HasPrefix(string(out), "mu ") {
		t.Errorf("by itself: %s %v", out, err)
	}
}

// A rule by a name under which several draws are would condition the wrong one: it is refused.
func TestWrapAmbiguousRule(t *testing.T) {
	s := newWrapped(t)
	flags, _ := s.run(0, words("wrap --cxxflags")...)
	program := s.build("g++", "gum.cpp", words(flags)...)
	file := s.file("sim.toml", "[[draw]]\nat = \"main\"\nname = \"y\"\n")
	out, _ := s.run(1, "wrap", file, "--", program)
	if !strings.Contains(out, "sim.toml:1: the rule at = main is about draws at several places") || !strings.Contains(out, "gum.cpp:8") || !strings.Contains(out, "gum.cpp:16") {
		t.Error(out)
	}
	_, errors := s.run(1, args(words("infer --quiet -n 20 --out run --observe y@1=8"), s.sim(file, program))...)
	if !strings.Contains(errors, "many = true") {
		t.Error(errors)
	}
	s.file("sim.toml", "[[draw]]\nat = \"main\"\nname = \"y\"\nmany = true\n")
	if out, _ := s.run(0, "wrap", file, "--", program); strings.Contains(out, "wrong:") {
		t.Error(out)
	}
}

// A module of PyPI's in C, which has a libgsl of its own, from a snapshot at the first draw.
func TestWrapMsprime(t *testing.T) {
	s := newWrapped(t)
	python := s.python("msprime")
	file := s.file("sim.toml", `
fork = "draw"
[[draw]]
at = "gsl_ran_poisson"
name = "S"
[[output]]
name = "T"
regex = '^tmrca (\S+)'
`)
	s.infer(300, "--observe S@1=3 --observe S@2=1", s.sim(file, python, filepath.Join(s.programs, "coalescent.py")), exact{"T", 1000, 447.2, -3.888, 15})
}

// Processes in simulated time, by Python's random.
func TestWrapSimpy(t *testing.T) {
	s := newWrapped(t)
	python := s.python("simpy")
	file := s.file("sim.toml", `
imports = ["simpy"]
[[parameter]]
name = "rate"
prior = "Gamma(4, 4)"
[[draw]]
at = "bank.customer"
name = "service"
[[output]]
name = "wait"
regex = 'mean wait (\S+)'
`)
	data := ""
	for i, v := range []float64{.5, 1.5, .7, .4, 1.2, .9, .6, 1.1} {
		data += fmt.Sprintf(" --observe service@%d=%g", i+1, v)
	}
	s.infer(600, data, s.sim(file, python, filepath.Join(s.programs, "bank.py"), "{rate}"), exact{"rate", 12 / 10.9, math.Sqrt(12) / 10.9, -7.40943, 200})
}

// A Go module, by an overlay of its toolchain's math/rand.
func TestWrapGo(t *testing.T) {
	s := newWrapped(t)
	flags, _ := s.run(0, words("wrap --goflags")...)
	cmd := exec.Command("sh", "-c", flags+"\ngo build -o "+filepath.Join(s.dir, "gum")+" .")
	cmd.Dir = filepath.Join(s.programs, "gum")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	file := s.file("sim.toml", `
[[draw]]
at = "main.go:13"
name = "z"
[[output]]
name = "mu"
regex = '^mu (\S+)'
[[output]]
name = "y"
regex = '^y (\S+)'
likelihood = "Normal(value, 1)"
`)
	// mu ~ N(1, 5), y ~ N(mu, 2), 6 measured with a variance of 1.
	s.infer(1000, "--observe y=6", s.sim(file, "./gum"), exact{"mu", 1 + 5.0/8*5, math.Sqrt(5 - 25.0/8), -0.5*25.0/8 - 0.5*math.Log(2*math.Pi*8), 100})
	out, _ := s.run(0, args(words("check"), s.sim(file, "./gum"))...)
	if strings.Contains(out, "FAIL") {
		t.Error(out)
	}
}

// irwinHall is the density of a sum of n uniform numbers.
func irwinHall(n int, x float64) (p float64) {
	sign, binomial := 1.0, 1.0
	for k := 0; float64(k) < x && k <= n; k++ {
		p += sign * binomial * math.Pow(x-float64(k), float64(n-1))
		sign, binomial = -sign, binomial*float64(n-k)/float64(k+1)
	}
	return p / math.Gamma(float64(n))
}

// Sums of uniform numbers have the density of Irwin and Hall.
func TestWrapUniforms(t *testing.T) {
	s := newWrapped(t)
	file := s.file("sim.toml", "[[output]]\nname = \"sum\"\nregex = 'sum +(\\S+)'\nlikelihood = \"Normal(value, 0.2)\"\n")
	for program, n := range map[string]int{s.build("gcc", "dice.c"): 3, s.build("gfortran", "darts.f90"): 4} {
		var z, first, second float64
		for i := range 8000 {
			x := (float64(i) + 0.5) / 8000 * float64(n)
			w := irwinHall(n, x) * math.Exp(-0.5*(x-1)*(x-1)/0.04) / (0.2 * math.Sqrt(2*math.Pi)) * float64(n) / 8000
			z, first, second = z+w, first+w*x, second+w*x*x
		}
		mean := first / z
		s.infer(2000, "--observe sum=1", s.sim(file, program), exact{"result", mean, math.Sqrt(second/z - mean*mean), math.Log(z), 100})
		out, _ := s.run(0, args(words("check"), s.sim(file, program))...)
		if strings.Contains(out, "FAIL") {
			t.Error(out)
		}
	}
}

// Programs that were not made for this: awk, whose rand() is the C library's, and graphs of networkx. How many of n tries succeeded was counted: the posterior is a Beta.
func TestWrapCounts(t *testing.T) {
	for _, c := range []struct {
		name         string
		n, k, sd     float64
		program      func(s *wrapped) []string
		regex        string
		traces       int
		head         string
		leastSamples float64
	}{
		{"awk", 10, 7, 0.5, func(s *wrapped) []string {
			s.need("mawk")
			return []string{"mawk", "-v", "p={p}", `BEGIN { for (i = 0; i < 10; i++) n += rand() < p; print "heads", n + 0 }`}
		}, `heads (\S+)`, 1000, "", 60},
		{"networkx", 45, 20, 3, func(s *wrapped) []string {
			return []string{s.python("networkx"), filepath.Join(s.programs, "graph.py"), "{p}"}
		}, `edges (\S+)`, 500, "imports = [\"networkx\"]\n", 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newWrapped(t)
			program := c.program(s)
			file := s.file("sim.toml", c.head+`
[[parameter]]
name = "p"
prior = "Beta(2, 2)"
[[output]]
name = "k"
regex = '`+c.regex+`'
likelihood = "Normal(value, `+fmt.Sprint(c.sd)+`)"
`)
			// Of k successes given p the number that was measured is Normal; given k, p is a Beta.
			lbeta := func(a, b float64) float64 {
				x, _ := math.Lgamma(a)
				y, _ := math.Lgamma(b)
				z, _ := math.Lgamma(a + b)
				return x + y - z
			}
			var z, first, second float64
			for k := 0.0; k <= c.n; k++ {
				a, b := 2+k, 2+c.n-k
				w := math.Exp(-lbeta(k+1, c.n-k+1)-math.Log(c.n+1)+lbeta(a, b)-lbeta(2, 2)-0.5*(c.k-k)*(c.k-k)/c.sd/c.sd) / c.sd / math.Sqrt(2*math.Pi)
				z, first, second = z+w, first+w*a/(a+b), second+w*a*(a+1)/(a+b)/(a+b+1)
			}
			mean := first / z
			s.infer(c.traces, fmt.Sprintf("--observe k=%g", c.k), s.sim(file, program...), exact{"p", mean, math.Sqrt(second/z - mean*mean), math.Log(z), c.leastSamples})
		})
	}
}

// Draws in bulk are latents: chains and particles have the posterior, as their key is drawn anew and kept like any other value.
func TestWrapBulk(t *testing.T) {
	s := newWrapped(t)
	program := s.build("gcc", "noisy.c", gsl...)
	file := s.file("sim.toml", `
[[draw]]
at = "noisy.c:7"
name = "x"
[[draw]]
at = "noisy.c:9"
as = "bulk"
[[output]]
name = "y"
regex = '^y (\S+)'
likelihood = "Normal(value, 0.7)"
`)
	// y ~ N(0, 2), 2 measured with a variance of .49.
	e := exact{"x", 2 / 2.49, math.Sqrt(1 - 1/2.49), math.NaN(), 200}
	for _, method := range []string{"lmh", "smc"} {
		n := map[string]int{"lmh": 8000, "smc": 800}[method]
		s.run(0, args(words(fmt.Sprintf("infer --quiet --seed 1 --method %s -n %d --out %s --observe y=2", method, n, method)), s.sim(file, program))...)
		s.near(method, s.posteriorOf(t, method), e)
	}
	s.run(0, args(words("infer --quiet --seed 1 -n 3000 --out is --observe y=2"), s.sim(file, program))...)
	e.logZ = -0.5*4/2.49 - 0.5*math.Log(2*math.Pi*2.49)
	s.near("is", s.posteriorOf(t, "is"), e)
	out, _ := s.run(0, args(words("check"), s.sim(file, program))...)
	if strings.Contains(out, "FAIL") {
		t.Error(out)
	}
}

// What programs do that one does not expect of a simulator: clear words, nothing lost, no process left.
func TestWrapHabits(t *testing.T) {
	s := newWrapped(t)
	program := s.build("gcc", "odd.c", gsl...)
	const x = "[[output]]\nname = \"x\"\nregex = '^x (\\S+)'\ncount = 1\n"
	folder := "[[output]]\nname = \"x\"\nfrom = \"file:out.csv\"\ncsv = \"x\"\n"
	s.file("numbers", "40\n70\n")
	if err := os.Mkdir(filepath.Join(s.dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.file("below/out.csv", "ours\n")
	for _, c := range []struct {
		habit, file string
		code        int
		want        string
	}{
		{"plain", x, 0, "0.3038"},
		{"plain", "fork = \"exec\"\n" + x, 0, "0.3038"},
		{"plain", "fork = \"draw\"\n" + x, 0, "0.3038"},
		{"nothing", "fork = \"draw\"\n" + x, 1, "ended without any draw that is hooked"},
		{"stdin", x, 1, "ended with status 4"},
		{"stdin", "stdin = \"numbers\"\n" + x, 0, "40.3"},
		{"reads-on", "fork = \"draw\"\nstdin = \"numbers\"\n" + x, 0, "110.3"},
		{"keeps-open", "fork = \"draw\"\n" + x, 1, "kept is open for writing where the program is forked"},
		{"below", "[[output]]\nname = \"x\"\nfrom = \"file:below/out.csv\"\ncsv = \"1\"\n", 0, "[7, 9]"},
		{"folder", folder, 0, "[-0.6855, 0.3038]"},
		{"folder", "folder = \"own\"\n" + strings.ReplaceAll(folder, "file:out.csv", "file:other.csv"), 1, "the program has written no other.csv"},
		{"folder", strings.ReplaceAll(folder, "csv = \"x\"", "csv = \"y\""), 1, "has no column y; it has time, x"},
		{"forks", x, 0, "drew in processes that it started"},
		{"leaves", x, 0, "0.3038"},
		{"leaves", "fork = \"exec\"\n" + x, 0, "0.3038"},
		{"execs", x, 0, "0.3038"},
		{"threads", "fork = \"draw\"\n" + x, 1, "2 threads where it is forked"},
		{"threads", "fork = \"draw\"\nthreads = \"allow\"\n" + x, 0, "0.3038"},
		{"draws-in-thread", x, 0, "drew on other threads"},
		{"sigchld", x, 0, "0.3038"},
		{"sigchld", "fork = \"draw\"\n" + x, 0, "0.3038"},
		{"ignores-sigchld", "fork = \"draw\"\n" + x, 0, "0.3038"},
		{"closes", x, 0, "0.3038"},
		{"closes", "fork = \"exec\"\n" + x, 0, "0.3038"},
		{"_exit", x, 0, "0.3038"},
		{"megabytes", x, 0, "0.3038"},
		{"seeds-again", x, 0, "seeded a generator again"},
		{"clock", x, 0, "looked at the clock"},
		{"outside", x, 0, "took random numbers from the system"},
		{"words", x, 1, "nothing is not a number"},
		{"twice", x, 1, "2 numbers in stdout, there are to be 1"},
		{"nothing", x, 1, "nothing in stdout is like"},
		{"hangs", x, 1, "it took longer than 1s"},
		{"plain", x + "[[draw]]\nat = \"nowhere.c:3\"\n", 0, "sim.toml:5: the rule at = nowhere.c:3 is about none of the draws"},
		{"plain", x + "[[draw]]\nat = \"Normal\"\nas = \"bulk\"\n", 0, "bulk"},
		{"plain", x + "[[draw]]\nat = \"/main.*gaussian/\"\nname = \"z\"\n", 0, "line 5"},
	} {
		s.file("sim.toml", c.file)
		out, errors := s.run(c.code, "wrap", "--timeout", "1s", "sim.toml", "--", program, c.habit)
		if c.habit != "hangs" && strings.Contains(out, "took longer") { // a busy machine
			out, errors = s.run(c.code, "wrap", "--timeout", "60s", "sim.toml", "--", program, c.habit)
		}
		if !strings.Contains(out+errors, c.want) {
			t.Errorf("%s with %q: no %q in\n%s%s", c.habit, c.file, c.want, out, errors)
		}
		if left, err := exec.Command("pgrep", "-r", "R,S,D", "-f", "^"+program+" "+c.habit+"$").Output(); err == nil {
			t.Errorf("%s: processes are left: %s", c.habit, left)
		}
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, "below", "out.csv")); err != nil || string(b) != "ours\n" {
		t.Errorf("a file of ours was written: %q %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "out.csv")); err == nil {
		t.Error("what a run wrote into its own folder is in ours")
	}
}

// Draws are neither lost where the log begins anew, nor mistaken where each is asked for.
func TestWrapManyDraws(t *testing.T) {
	s := newWrapped(t)
	program := s.build("gcc", "odd.c", gsl...)
	s.file("sim.toml", "[[output]]\nname = \"x\"\nregex = '^x (\\S+)'\n")
	if out, _ := s.run(0, "wrap", "--runs", "1", "sim.toml", "--", program, "many", "5000000"); !strings.Contains(out, "5,000,000") {
		t.Error(out)
	}
	sim := s.sim("sim.toml", program, "many", "20000")
	s.run(0, args(words("prior --quiet --seed 1 -n 3 --out run"), sim)...)
	for k := range 3 {
		if out, _ := s.run(0, args(words(fmt.Sprintf("trace replay run %d", k)), sim)...); !strings.Contains(out, "the same 20001 statements") {
			t.Error(out)
		}
	}
}

// Quiet draws are recorded, and nobody proposes them; data of a value that is made of what is recorded are refused.
func TestWrapQuietAndMade(t *testing.T) {
	s := newWrapped(t)
	program := s.build("gcc", "dice.c")
	sim := s.sim(s.file("sim.toml", "[[draw]]\nat = \"rand\"\nname = \"r\"\nmany = true\n[[draw]]\nat = \"drand48\"\nas = \"quiet\"\n"), program)
	s.run(0, args(words("prior --quiet --seed 1 -n 1 --out run"), sim)...)
	out, _ := s.run(0, words("trace show --json run 0")...)
	var trace struct {
		Sites []struct {
			Address string
			Control bool
		}
	}
	if err := json.Unmarshal([]byte(out), &trace); err != nil {
		t.Fatal(err)
	}
	for function, control := range map[string]bool{"drand48": false, "random": true} {
		found := false
		for _, site := range trace.Sites {
			if strings.Contains(site.Address, "; "+function+"]") {
				found = true
				if site.Control != control {
					t.Errorf("%s: control %v", function, site.Control)
				}
			}
		}
		if !found {
			t.Errorf("no %s in %s", function, out)
		}
	}
	if _, errors := s.run(1, args(words("infer --quiet -n 30 --out data --observe r@1=.5"), sim)...); !strings.Contains(errors, "Observe an output instead") && !strings.Contains(errors, "of which rand makes its value") {
		t.Error(errors)
	}
}

// Python's runs are the same however they are made, and by whichever command.
func TestWrapPythonWays(t *testing.T) {
	s := newWrapped(t)
	python := testbed.Python(t)
	s.file("x.py", "#!"+python+" -u\nimport random, sys\nprint('x', random.gauss(0, 1), sys.argv[1:])\n")
	if err := os.Chmod(filepath.Join(s.dir, "x.py"), 0o755); err != nil {
		t.Fatal(err)
	}
	const x = "[[output]]\nname = \"x\"\nregex = '^x (\\S+)'\n"
	for _, fork := range []string{"", "fork = \"main\"\n", "fork = \"draw\"\n", "fork = \"none\"\n", "fork = \"exec\"\n"} {
		s.file("sim.toml", fork+x)
		for _, program := range [][]string{{python, "x.py", "a"}, {python, "-X", "utf8", "-m", "x", "a"}, {"./x.py", "a"}, {python, "-cimport random; print('x', random.gauss(0, 1))"}} {
			out, _ := s.run(0, args(words("wrap sim.toml --"), program)...)
			if !strings.Contains(out, "Normal(mean=0, stddev=1)") || !strings.Contains(out, "0.3038") || strings.Contains(out, "note:") {
				t.Errorf("%q %q: %s", fork, program, out)
			}
		}
	}
	s.file("y.py", "import numpy as np\nfrom scipy.stats import norm\nimport sys, x\nprint('x', np.random.normal())\n")
	s.file("sim.toml", x)
	if out, _ := s.run(0, "wrap", "--runs", "1", "sim.toml", "--", python, "y.py"); !strings.Contains(out, `imports = ["numpy", "scipy.stats"] makes that once`) {
		t.Error(out)
	}
	for command, want := range map[string]string{python: "which script?", python + " -": "cannot be run again"} {
		if _, errors := s.run(1, args(words("wrap sim.toml --"), words(command))...); !strings.Contains(errors, want) {
			t.Errorf("%s: %s", command, errors)
		}
	}
	bin := t.TempDir()
	if err := os.Symlink(s.ppx, filepath.Join(bin, "ppx")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-m", "ppxsim.hijack", "sim.toml", "--", "x.py")
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "0.3038") {
		t.Errorf("%v: %s", err, out)
	}
}

// A run that fails is recorded with the program's last words.
func TestWrapFailures(t *testing.T) {
	s := newWrapped(t)
	program := s.build("gcc", "odd.c", gsl...)
	file := s.file("sim.toml", "[[draw]]\nat = \"odd.c:82\"\nname = \"z\"\n[[output]]\nname = \"x\"\nregex = '^x (\\S+)'\n")
	s.run(0, args(words("prior --quiet --seed 1 -n 300 --max-failed 1 --out run"), s.sim(file, program, "aborts"))...)
	p := s.posteriorOf(t, "run")
	// P(|z| > 1.5) = .1336
	if d := math.Abs(float64(p.Failed) - 300*.1336); d > 4*math.Sqrt(300*.1336*.8664) {
		t.Errorf("%d failed, expected %g", p.Failed, 300*.1336)
	}
	var failed string
	for k := 0; k < 60 && failed == ""; k++ {
		out, _ := s.run(0, "trace", "show", "run", fmt.Sprint(k))
		if strings.Contains(out, "that cannot be") {
			failed = out
		}
	}
	if !strings.Contains(failed, "ended by signal 6") && !strings.Contains(failed, "ended with status 3") {
		t.Error(failed)
	}
}

// Programs that cannot be hooked have parameters and outputs all the same.
func TestWrapBlackBox(t *testing.T) {
	s := newWrapped(t)
	program := s.build("gcc", "odd.c", "-static", "-lgsl", "-lgslcblas", "-lm", "-lpthread")
	s.file("sim.toml", "[[output]]\nname = \"x\"\nregex = '^x (\\S+)'\n")
	out, _ := s.run(0, "wrap", "sim.toml", "--", program)
	if !strings.Contains(out, "statically linked: nothing can be put in place") || !strings.Contains(out, "0.1339") { // GSL's own first number
		t.Error(out)
	}
	file := s.file("box.toml", `
[[parameter]]
name = "mu"
prior = "Normal(0, 1)"
env = "MU"
[[parameter]]
name = "sd"
prior = "Uniform(1, 2)"
file = "box.cfg"
template = "box.in"
[[output]]
name = "status"
from = "exit"
[[output]]
name = "y"
from = "file:out.json"
json = ".y[1]"
likelihood = "Normal(value, sd)"
`)
	s.file("box.in", "sd = {sd}\n")
	s.file("box.sh", "#!/bin/sh\n. ./check.sh\nprintf '{\"y\": [0, %s]}' \"$MU\" > out.json\nexit 3\n")
	s.file("check.sh", "grep -q '^sd = 1' box.cfg || exit 9\n")
	var z, first, second float64 // over sd; given it all is Normal
	for i := range 1000 {
		v := math.Pow(1+(float64(i)+0.5)/1000, 2)
		w := math.Exp(-0.5/(1+v)) / math.Sqrt(2*math.Pi*(1+v)) / 1000
		z, first, second = z+w, first+w/(1+v), second+w*(v/(1+v)+1/(1+v)/(1+v))
	}
	s.infer(600, "--observe y=1", s.sim(file, "sh", "box.sh"), exact{"mu", first / z, math.Sqrt(second/z - first*first/z/z), math.Log(z), 100})
}

// Wrong use gets one line that names what is wrong, and where.
func TestWrapWrongUse(t *testing.T) {
	s := newWrapped(t)
	s.file("in", "a = {a} {b}\n")
	for text, want := range map[string]string{
		"frok = \"main\"":                                                                        "sim.toml:1: nothing here is called frok; there are model, result, fork",
		"\nfork = \"never\"":                                                                     "sim.toml:2: never is no fork: there are main, draw, exec, none",
		"[[parameter]]\nname = \"a\"":                                                            "sim.toml:1: prior of a: it is missing",
		"[[parameter]]\nname = \"a\"\nprior = \"Gama(1, 2)\"":                                    "sim.toml:3: prior of a: there is no family Gama; there are Normal, Uniform",
		"[[parameter]]\nname = \"a\"\nprior = \"Gamma(1)\"":                                      "sim.toml:3: prior of a: Gamma has the parameters concentration, rate: 2, not 1",
		"[[parameter]]\nname = \"a\"\nprior = \"Normal(0, -1)\"":                                 "sim.toml:3: prior of a: Normal: stddev = -1",
		"[[parameter]]\nname = \"a\"\nprior = \"Normal(0, 1)\"":                                  "sim.toml:2: parameter a goes into the command line, in which there is no {a}",
		"fork = \"draw\"\n[[parameter]]\nname = \"a\"\nprior = \"Normal(0, 1)\"":                 "sim.toml:1: fork = \"draw\" goes on from the first draw",
		"[[parameter]]\nname = \"a\"\nprior = \"Normal(0, 1)\"\nfile = \"a\"\ntemplate = \"in\"": "in has {b}, and there is no parameter of that name",
		"[[parameter]]\nname = \"a\"\nprior = \"Normal(0, 1)\"\nfile = \"a\"":                    "parameter a goes into a file",
		"[[output]]\nname = \"x\"":                                                               "sim.toml:2: output x: one of regex, json, csv and npy says where in stdout it is",
		"[[output]]\nname = \"x\"\nregex = '('":                                                  "sim.toml:3: output x: missing closing )",
		"[[output]]\nname = \"x\"\nregex = '(a)(b)'":                                             "one pair of parentheses is around the number",
		"[[output]]\nname = \"x\"\nregex = 'a'\nlikelihood = \"Normal(y, 1)\"":                   "sim.toml:4: likelihood of x: y: there is no variable y",
		"[[output]]\nname = \"x\"\nregex = 'a'\n[[output]]\nname = \"x\"\nregex = 'b'":           "sim.toml:5: x is the name of another output",
		"result = \"z\"":                                    "sim.toml:1: z is none of the outputs and parameters",
		"[[draw]]\nname = \"z\"":                            "sim.toml:1: a rule needs at =",
		"[[draw]]\nat = \"f\"\nas = \"big\"":                "sim.toml:3: big is no as: there are latent, quiet, bulk",
		"[[draw]]\nat = \"f\"\nas = \"bulk\"\nname = \"z\"": "sim.toml:4: draws that are bulk are not recorded",
		"[[draw]]\nat = \"/(/\"":                            "sim.toml:2: at = /(/",
		"fork = \"none\"":                                   "sim.toml:1: fork = \"none\" runs a Python script again in one process",
		"model = [":                                         "sim.toml:1: ",
	} {
		s.file("sim.toml", text)
		_, errors := s.run(2, "wrap", "sim.toml", "--", "/bin/true")
		if !strings.Contains(errors, want) || strings.Count(errors, "\n") != 1 {
			t.Errorf("%q: %q, want %q", text, errors, want)
		}
	}
	s.file("sim.toml", "")
	for _, c := range []struct {
		code    int
		command string
		want    string
	}{
		{2, "wrap sim.toml", "which program? It goes after --"},
		{2, "wrap none.toml -- true", "none.toml: no such file"},
		{2, "wrap sim.toml -- ./nothing", "./nothing"},
		{2, "wrap sim.toml there -- true", "there is no endpoint"},
		{2, "wrap --init sim.toml -- true", "sim.toml is there already"},
		{2, "wrap -- true", "wrap wants a file"},
	} {
		if _, errors := s.run(c.code, words(c.command)...); !strings.Contains(errors, c.want) {
			t.Errorf("%s: %q, want %q", c.command, errors, c.want)
		}
	}
	// A first file that is valid as it is.
	s.run(0, words("wrap --init first.toml -- sh -c true")...)
	s.run(0, words("wrap first.toml -- sh -c true")...)
}

// Every function that is hooked gives numbers of its distribution: means and spreads against exact ones.
func TestWrapFamilies(t *testing.T) {
	for _, c := range []struct {
		name    string
		n       int
		program func(s *wrapped) []string
		head    string
	}{
		{"gsl", 800, func(s *wrapped) []string { return []string{s.build("gcc", "families.c", gsl...)} }, ""},
		{"python", 120, func(s *wrapped) []string {
			return []string{s.python("scipy.stats"), filepath.Join(s.programs, "families.py")}
		}, "imports = [\"numpy\", \"scipy.stats\"]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if os.Getenv("PPX_VERIFY") != "" {
				c.n *= 20
			}
			s := newWrapped(t)
			program := c.program(s)
			native := exec.Command(program[0], program[1:]...)
			native.Dir = s.dir
			out, err := native.Output()
			if err != nil {
				t.Fatal(err)
			}
			type moments struct{ mean, sd, sum, squares float64 }
			var names []string
			want := map[string]*moments{}
			for line := range strings.Lines(string(out)) {
				var name string
				var value float64
				var m moments
				if _, err := fmt.Sscan(line, &name, &value, &m.mean, &m.sd); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				names = append(names, name)
				want[name] = &m
			}
			s.file("sim.toml", c.head+fmt.Sprintf("[[output]]\nname = \"v\"\nregex = '^\\S+ (\\S+) \\S+ \\S+$'\ncount = %d\n", len(names)))
			s.run(0, args(words(fmt.Sprintf("prior --quiet --seed 1 -n %d --out run", c.n)), s.sim("sim.toml", program...))...)
			r, err := rundir.Open(filepath.Join(s.dir, "run"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for trace, err := range r.All(t.Context()) {
				if err != nil || len(trace.Result.Data) != len(names) {
					t.Fatal(err, trace.Result)
				}
				for i, v := range trace.Result.Data {
					m := want[names[i]]
					m.sum += v
					m.squares += v * v
				}
			}
			n := float64(c.n)
			for _, name := range names {
				m := want[name]
				mean := m.sum / n
				if se := m.sd / math.Sqrt(n); !(math.Abs(mean-m.mean) <= 4*se) {
					t.Errorf("%s: mean %g ± %g, exact %g", name, mean, se, m.mean)
				}
				if sd := math.Sqrt(m.squares/n - mean*mean); !(math.Abs(sd/m.sd-1) <= 4*2.5/math.Sqrt(n)) { // a kurtosis of up to 26
					t.Errorf("%s: sd %g, exact %g", name, sd, m.sd)
				}
			}
			if c.name == "python" { // which takes long
				return
			}
			check, _ := s.run(1, args(words("check"), s.sim("sim.toml", program...))...)
			for line := range strings.Lines(check) { // the programs copy generators and seed them again: that is told
				if strings.HasPrefix(line, "FAIL") && !strings.Contains(line, "copies no generator") && !strings.Contains(line, "seeds no generator twice") {
					t.Error(line)
				}
			}
		})
	}
}
