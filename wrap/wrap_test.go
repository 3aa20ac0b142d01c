package wrap

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/source"
)

// Both sides of the link have one layout.
func TestLayout(t *testing.T) {
	compiler, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("no g++")
	}
	dir := t.TempDir()
	program := `#include <link.hpp>
#include <cstdio>
using namespace ppx::hijack;
int main() {
`
	want := map[string]int{}
	for field, at := range map[string]int{"bell": atBell, "call": atCall, "server": atServer, "runs": atRuns, "status": atStatus, "pid": atPid, "request": atRequest, "answer": atAnswer, "again": atAgain,
		"tasks": atTasks, "seed": atSeed, "stream": atStream, "draw": atDraw, "statement": atNext, "ask": atAsk, "length": atLength, "written": atWritten, "read": atRead, "notice": atNotices,
		"argc": atArgc, "envc": atEnvc} {
		program += fmt.Sprintf("  std::printf(\"%s %%zu\\n\", offsetof(Head, %s));\n", field, field)
		want[field] = at
	}
	for name, at := range map[string]int{"flags_at": atFlags, "flags_size": flagsSize, "table_at": atTable, "memo_at": atMemo, "args_at": atArgs, "args_size": argsSize, "exchange_at": atExchange, "log_at": atLog, "whole": linkSize} {
		program += fmt.Sprintf("  std::printf(\"%s %%zu\\n\", %s);\n", name, name)
		want[name] = at
	}
	program += "  std::printf(\"notices %d\\n\", static_cast<int>(repeats) + 1);\n}\n"
	want["notices"] = len(ppx.Notices)
	if err := os.WriteFile(filepath.Join(dir, "layout.cpp"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compiler, "-std=c++17", "-I", "../adapters/hijack", "-o", filepath.Join(dir, "layout"), filepath.Join(dir, "layout.cpp")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(filepath.Join(dir, "layout")).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var name string
		var at int
		if _, err := fmt.Sscan(line, &name, &at); err != nil || want[name] != at {
			t.Errorf("%s is %d there, %d here", name, at, want[name])
		}
	}
}

// The library needs libc alone.
func TestPreloadNeedsNothing(t *testing.T) {
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++")
	}
	path, err := Preload()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		t.Skip("no ldd")
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if base := filepath.Base(name); !slices.ContainsFunc([]string{"linux-vdso", "linux-gate", "libc.so", "libm.so", "ld-linux"}, func(p string) bool { return strings.HasPrefix(base, p) }) {
			t.Errorf("it needs %s", name)
		}
	}
}

// What a program that writes where it must not leaves in the memory is an error, never a panic.
func TestDamagedLog(t *testing.T) {
	l, err := newLink()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	long := func(i int, v uint64) {
		for k := range 8 {
			l.mem[atLog+8*i+k] = byte(v >> (8 * k))
		}
	}
	whole := func() uint64 { // a Normal of two elements, its mean a vector
		long(0, 9|3<<32)
		long(1, uint64(dist.Normal)|2<<16|1<<24|2<<32)
		for i, v := range []uint64{2, 1, 2, 0, 0, 0, 0, 0, 0, 0} {
			long(2+i, v)
		}
		long(0, 11|3<<32)
		return 88
	}
	var r record
	written := whole()
	if err := l.read(&r, 0, written); err != nil || r.site != 3 || len(r.value) != 2 || len(r.params) != 2 || len(r.params[0].data) != 2 || len(r.params[1].data) != 1 {
		t.Fatalf("%v %+v", err, r)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200000 {
		written := whole()
		for range 1 + random.IntN(3) {
			l.mem[atLog+random.IntN(int(written))] ^= 1 << random.IntN(8)
		}
		if err := l.read(&r, 0, written-uint64(random.IntN(2)*8)); err == nil {
			n := 0
			for _, p := range r.params {
				n += len(p.data)
			}
			if n+len(r.value) > 16 {
				t.Fatalf("%+v", r)
			}
		}
	}
	for _, written := range []uint64{0, 8, linkSize, 1 << 62} {
		if l.read(&r, 0, written) == nil && written < 88 {
			t.Errorf("%d bytes are a record", written)
		}
	}
}

func TestRules(t *testing.T) {
	p := &place{what: "gsl_ran_poisson", kind: dist.Poisson, direct: true, calls: []call{
		{function: "main", text: "main+0x10", module: "sim+0x1010", lines: []source.Place{{File: "/src/main.c", Line: 3}}},
		{function: "Cell::divide(double, int)", text: "Cell::divide(double, int)+0x20", module: "sim+0x2020", lines: []source.Place{{File: "/src/noise.h", Line: 9}, {File: "/src/cell.cpp", Line: 40}}},
	}}
	for at, want := range map[string][2]bool{
		"gsl_ran_poisson": {true, true}, "gsl_ran": {false, false}, "Poisson": {true, true}, "Normal": {false, false},
		"cell.cpp:40": {true, true}, "noise.h:9": {true, true}, "src/cell.cpp:40": {true, true}, "ell.cpp:40": {false, false}, "cell.cpp:4": {false, false}, "main.c:3": {true, false},
		"main": {true, false}, "divide": {true, true}, "Cell::divide": {true, true}, "Cell::divide(double, int)": {true, true}, "vide": {false, false},
		"sim+0x2020": {true, true}, "sim+0x1010": {true, false}, "sim+0x202": {false, false}, "/divide.*poisson/": {true, false}, "/^\\[main/": {true, false}, "/nothing/": {false, false},
	} {
		m, err := parseAt(at)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		if yes, caller := m(p); yes != want[0] || caller != want[1] {
			t.Errorf("%s: %v, by the caller %v, want %v", at, yes, caller, want)
		}
	}
	if got, want := p.address(), "[main+0x10; Cell::divide(double, int)+0x20; gsl_ran_poisson]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFamilies(t *testing.T) {
	for text, want := range map[string]string{
		"Normal(0, 1)":                          "Normal(mean=0, stddev=1)",
		" Normal( a , 2*b^2 ) ":                 "Normal(mean=3, stddev=32)",
		"Normal(value, sqrt(b))":                "Normal(mean=[1 2], stddev=2)",
		"Categorical([0.2, 0.8])":               "Categorical(probs=[0.2 0.8])",
		"Categorical(0.2, 0.8)":                 "Categorical(probs=[0.2 0.8])",
		"NegativeBinomial(4, 0.5)":              "NegativeBinomial2(mean=4, concentration=4)",
		"ChiSquared(b)":                         "Gamma(concentration=2, rate=0.5)",
		"TruncatedNormal(0, 1, max(a, b), 1e3)": "TruncatedNormal(loc=0, scale=1, low=4, high=1000)",
		"Poisson(value + a)":                    "Poisson(rate=[4 5])",
	} {
		f, err := parseFamily(text, []string{"a", "b", "value"})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		d, err := f.dist(map[string]float64{"a": 3, "b": 4}, dist.Vector(1, 2))
		if err != nil || d.String() != want {
			t.Errorf("%s: %v %v, want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", "Normal", "Normal(0, 1", "Normal(0)", "Normal(0, 1, 2)", "Normal(0, -1)", "Nrmal(0, 1)", "Normal(c, 1)", "Normal(0, 1))", "Normal(, 1)", "Mixture(1)", "Custom(1)"} {
		if f, err := parseFamily(text, []string{"a"}); err == nil {
			t.Errorf("%q is %v", text, f)
		}
	}
}

func TestOutputs(t *testing.T) {
	read := func(text string) *Output {
		t.Helper()
		path := filepath.Join(t.TempDir(), "f.toml")
		if err := os.WriteFile(path, []byte("[[output]]\nname = \"x\"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		return &f.Output[0]
	}
	for _, c := range []struct{ how, text, want string }{
		{`regex = 'x = (\S+)'`, "x = 1.5\n", "1.5"},
		{`regex = '^\S+$'`, "1\n2\n-3e4\n", "[1 2 -30000]"},
		{`regex = 'x (\S+)'`, "x 1.5D+02", "150"},
		{`regex = 'x (\S+)'`, "x nan", "NaN"},
		{`regex = 'x (\S+)'`, "x 1e999", "+Inf"},
		{`regex = 'x (\S+)'`, "y 1", `nothing in stdout is like`},
		{`regex = 'x (\S+)'`, "x one", "one is not a number"},
		{"regex = 'x'\ncount = 2", "x", "x is not a number"},
		{"regex = '[0-9]'\ncount = 1", "3", "[3]"},
		{`json = ".a.b[1]"`, `{"a": {"b": [1, 2.5]}}`, "2.5"},
		{`json = "a"`, `{"a": [[1, 2], [3, 4]]}`, "[1 2 3 4] shape [2,2]"},
		{`json = ".a"`, `{"a": [[1, 2], [3]]}`, "different lengths"},
		{`json = ".a"`, `{"a": true}`, "1"},
		{`json = ".a"`, `{"a": "x"}`, "x is not a number"},
		{`json = ".b"`, `{"a": 1}`, "has no b of .b"},
		{`json = ".a[2]"`, `{"a": [1]}`, "has no .a[2]"},
		{`json = ".a["`, `{"a": [1]}`, "has no .a["},
		{`json = ".a"`, `{"a": `, "is no JSON"},
		{`csv = "v"`, "t,v\n0,1\n1,2.5\n", "[1 2.5]"},
		{`csv = "1"`, "0;1\n1;2.5\n", "[1 2.5]"},
		{`csv = "1"`, "t;v\n1;2.5\n", "[2.5]"},
		{`csv = "w"`, "t,v\n0,1\n", "has no column w; it has t, v"},
		{`csv = "v"`, "t,v\n0,1\n1\n", "line 3 of stdout has 1 columns"},
		{`csv = "v"`, "t,v\n0,a\n", "line 2 of stdout: a is not a number"},
		{`csv = "v"`, "", "is empty"},
		{`npy = true`, "not numpy", ".npy"},
	} {
		v, err := read(c.how).find([]byte(c.text))
		got := fmt.Sprint(v)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s in %q: %s, want %s", c.how, c.text, got, c.want)
		}
	}
}

// Functions of math/rand of which a toolchain has none are told, not left alone.
func TestGoHooksAreComplete(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("no go")
	}
	for pkg, hooks := range goHooks {
		dir := filepath.Join(strings.TrimSpace(string(root)), "src", pkg)
		if _, err := hookedPackage(dir, hooks); err != nil {
			t.Error(err)
		}
		if _, err := hookedPackage(dir, map[string]string{"Rand.Gone": ""}); err == nil || !strings.Contains(err.Error(), "no Rand.Gone") {
			t.Errorf("a function that is not there: %v", err)
		}
	}
}

func BenchmarkDrain(b *testing.B) {
	l, err := newLink()
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	at := 0
	for range 1000 {
		for i, v := range []uint64{7, uint64(dist.Normal) | 2<<16 | 1<<32, 0, 0, 0, 0x3ff0000000000000, 0} {
			for k := range 8 {
				l.mem[atLog+at+8*i+k] = byte(v >> (8 * k))
			}
		}
		at += 56
	}
	w := &Wrapped{link: l, sites: []*site{{place: &place{}, address: "[a]"}}}
	h := &dry{ppx.NewLocal(0, 0, 0), &Seen{}}
	b.ReportAllocs()
	for b.Loop() {
		l.set64(atRead, 0)
		l.set64(atWritten, uint64(at))
		if err := w.drain(h, h); err != nil {
			b.Fatal(err)
		}
	}
}
