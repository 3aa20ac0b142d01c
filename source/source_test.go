package source_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/source"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// addresses are those of a few runs of a simulator.
func addresses(t *testing.T, command []string) (bases []string, m *rundir.Manifest) {
	t.Helper()
	spec := jobs.New(jobs.Prior)
	spec.Seed, spec.N, spec.Out, spec.Simulator.Command, spec.Simulator.Workers = 1, 40, filepath.Join(t.TempDir(), "run"), command, 1
	if _, err := jobs.Run(t.Context(), spec, jobs.Options{}); err != nil {
		t.Fatal(err)
	}
	r, err := rundir.Open(spec.Out, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Addresses() {
		bases = append(bases, a.Base)
	}
	return bases, r.Manifest
}

// marked are the lines of a file that say "here".
func marked(t *testing.T, path string) (lines []int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range strings.Split(string(b), "\n") {
		if strings.Contains(text, "// here") || strings.Contains(text, "# here") {
			lines = append(lines, i+1)
		}
	}
	return lines
}

func check(t *testing.T, command []string, file string) {
	t.Helper()
	bases, m := addresses(t, command)
	lines := source.Open(m.Command, ".", m.Started)
	var got []int
	for _, base := range bases {
		p, ok := lines.Of(base)
		if !ok || filepath.Base(p.File) != filepath.Base(file) {
			t.Errorf("%s: %s (%s)", base, p, lines.Note)
		}
		if !slices.Contains(got, p.Line) {
			got = append(got, p.Line)
		}
	}
	slices.Sort(got)
	if want := marked(t, file); !slices.Equal(got, want) {
		t.Errorf("lines %v, want %v", got, want)
	}
}

const cpp = `#include <ppx/ppx.hpp>

namespace deep {
template <class T>
struct Source {
  static inline __attribute__((always_inline)) double of(double x) {
    return ppx::sample(ppx::Normal(x, 1)); // here
  }
};
}  // namespace deep

static inline __attribute__((always_inline)) double twice(double x) {
  double a = deep::Source<int>::of(x);
  return a + ppx::sample(ppx::Uniform(0, 1)); // here
}

__attribute__((noinline)) double branch(double x) {
  if (x > 0) return ppx::sample(ppx::Exponential(1), "e"); // here
  return twice(x);
}

static double model() {
  double x = ppx::sample(ppx::Normal(0, 1), "x"); // here
  for (int i = 0; i < 3; i++)
    x += branch(x);
  ppx::observe(ppx::Normal(x, 1), "y"); // here
  ppx::tag(x, "t"); // here
  return x;
}

int main(int argc, char** argv) { return ppx::main("lines", model, argc, argv); }
`

// A draw of a C++ program is at its line, through functions that were inlined; without debug information, or of a program that has changed since, nothing is said.
func TestCPP(t *testing.T) {
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "lines.cpp")
	if err := os.WriteFile(file, []byte(cpp), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(flags ...string) []string {
		t.Helper()
		program := filepath.Join(dir, "lines"+strings.Join(flags, ""))
		args := append(flags, "-std=c++17", "-rdynamic", "-I"+filepath.Join(testbed.Root(), "adapters/cpp/include"), "-o", program, file, "-lzmq", "-ldl")
		if out, err := exec.Command("g++", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return []string{program, "{endpoint}"}
	}
	debug := build("-O2", "-g")
	check(t, debug, file)
	plain := build("-O1")
	bases, m := addresses(t, plain)
	lines := source.Open(m.Command, ".", m.Started)
	for _, base := range bases {
		if p, ok := lines.Of(base); ok {
			t.Errorf("%s: %s without debug information", base, p)
		}
	}
	lines = source.Open(debug, ".", time.Now().Add(-24*time.Hour))
	if _, ok := lines.Of(bases[0]); ok || !strings.Contains(lines.Note, "has changed since the run") {
		t.Error("lines of a program that is newer than the run:", lines.Note)
	}
}

const python = `import math

import ppxsim


def kept(f):
    return f


class Walk:
    @kept
    @kept
    def step(self, x):
        return x + ppxsim.sample(ppxsim.Normal(0, 1))  # here

    def all(self):
        def inner(x):
            y = [ppxsim.sample(ppxsim.Uniform(0, 1)) for _ in range(2)]  # here
            return x + sum(y)

        return inner(self.step(0.0))


def model():
    x = ppxsim.sample(ppxsim.Normal(0, 1), "x")  # here
    x += Walk().all()
    ppxsim.observe(ppxsim.Normal(x, 1), name="y")  # here
    return math.tanh(x)


if __name__ == "__main__":
    ppxsim.main(model, name="lines")
`

func TestPython(t *testing.T) {
	interpreter := filepath.Join(testbed.Root(), ".venv/bin/python")
	if _, err := os.Stat(interpreter); err != nil {
		t.Skip("no Python environment")
	}
	file := filepath.Join(t.TempDir(), "walk.py")
	if err := os.WriteFile(file, []byte(python), 0o644); err != nil {
		t.Fatal(err)
	}
	check(t, []string{interpreter, file, "{endpoint}"}, file)
}

const goProgram = `package main

import "github.com/ppx-engine/ppx-engine/adapters/gosim"

type walk struct{ at float64 }

//go:noinline
func (w *walk) step(r *gosim.Run) {
	w.at += r.Sample("", gosim.Normal(0, 1)) // here
}

func small(r *gosim.Run) float64 { return r.Sample("s", gosim.Uniform(0, 1)) } // here

func model(r *gosim.Run) gosim.Tensor {
	w := &walk{r.Sample("x", gosim.Normal(0, 1))} // here
	w.step(r)
	w.at += small(r)
	r.Observe("y", gosim.Normal(w.at, 1)) // here
	return gosim.Scalar(w.at)
}

func main() { gosim.Main("lines", model) }
`

// A draw of a Go program, small functions that were inlined included.
func TestGo(t *testing.T) {
	dir := filepath.Join(testbed.Root(), "source", "testdata", "lines") // within the module, whose packages it needs
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(dir)) })
	file, program := filepath.Join(dir, "main.go"), filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte(goProgram), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	check(t, []string{program, "{endpoint}"}, file)
}
