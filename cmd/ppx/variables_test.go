package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// of is a variable of a result, nil if it has none of that name.
func (v *verdict) of(name string) *variableVerdict {
	for i := range v.Variables {
		if v.Variables[i].Name == name {
			return &v.Variables[i]
		}
	}
	return nil
}

// near complains unless a mean lies within four standard errors.
func near(t *testing.T, v *verdict, name string, want float64) {
	t.Helper()
	x := v.of(name)
	if x == nil || x.MeanSE == nil || math.Abs(x.Mean-want) > 4**x.MeanSE {
		t.Errorf("%s: %+v, exact mean %g", name, x, want)
	}
}

// What a weight has in common with all others cancels from them, however large it is; where a single density has lost the digits that tell
// traces apart, the result says that it is none.
func TestDigitsOfWeights(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json --seed 1 -n 2000 --observe c=1 --observe y=2 --out run"), model("pin"))...)
	v := verdictOf(t, out)
	near(t, &v, "x", 1.6)
	if v.Trust.Verdict != "good" || v.ESS < 100 || v.ESS > 1000 || math.Abs(v.of("x").SD-math.Sqrt(0.2)) > 0.05 {
		t.Errorf("ESS %g, %+v", v.ESS, v.Trust)
	}
	// Alike in a tempered posterior, p(x)·g(y|x)^½, and in one that is resumed.
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 2000 --observe c=1 --observe y=2 --likelihood-importance 0.5"), model("pin"))...)
	v = verdictOf(t, out)
	near(t, &v, "x", 4.0/3)
	s.run(0, args(words("infer --quiet --seed 1 -n 700 --observe c=1 --observe y=2 --out part"), model("pin"))...)
	s.run(0, args(words("infer --quiet --resume -n 2000 --out part"), model("pin"))...)
	if contents(t, filepath.Join(s.dir, "part")) != contents(t, filepath.Join(s.dir, "run")) {
		t.Error("a resumed run differs")
	}
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 2000 --observe y=1e18"), model("far"))...)
	if v := verdictOf(t, out); v.Trust.Verdict != "none" || !v.has("digits-lost") || !strings.Contains(out, "digits lost at y (") {
		t.Error(out)
	}
	// What is lost where the weight is nothing beside the others' is no loss: a wide prior has such draws as a matter of course.
	out, _ = s.run(0, args(words("infer --json --seed 2 -n 4000 --observe y=1"), model("wide"))...)
	v = verdictOf(t, out)
	near(t, &v, "x", 0.235952)
	if v.Trust.Verdict != "good" || math.Abs(*v.LogEvidence - -1.954443) > 4**v.LogEvidenceSE {
		t.Error(out)
	}
}

// Beside a value for the second occurrence of a name, one for the name is for the first, as in what "trace data" prints: a third is no
// repetition of it.
func TestDataOfOccurrences(t *testing.T) {
	s := newSession(t)
	exact := -2.5 - math.Log(2*math.Pi) // of y = 1 and y = 2, whatever k is
	for _, flags := range []string{"", "--plain"} {
		out, _ := s.run(0, args(words("infer --json --seed 1 -n 500 --observe y=1 --observe y@2=2 "+flags), model("count"))...)
		if v := verdictOf(t, out); math.Abs(*v.LogEvidence-exact) > 1e-12 || v.ESS < 499 || !strings.Contains(out, "no data were given for y@3") {
			t.Error(out)
		}
	}
	out, _ := s.run(0, args(words("infer --json --seed 1 -n 500 --observe y=1"), model("count"))...) // for every one
	if v := verdictOf(t, out); strings.Contains(out, "no data were given") || v.ESS > 499 {
		t.Error(out)
	}
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 500 --observe y=1 --observe y@1=2"), model("count"))...) // but for the first
	if strings.Contains(out, "no data were given") {
		t.Error(out)
	}
}

// Data that only some traces use are told, with the weight of those that do.
func TestDataThatSomeTracesUse(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json --seed 1 -n 4000 --observe y=8 --out run"), model("sometimes"))...)
	v := verdictOf(t, out)
	if !v.has("data-partly-used") || !regexp.MustCompile(`y was used by (4|5)\d(\.\d)? % of the traces, which carry [\d.]+(e-\d+)? % of the weight`).MatchString(out) {
		t.Error(out)
	}
	if out, _ := s.run(0, "summary", "--json", "run"); !strings.Contains(out, "data-partly-used") {
		t.Error(out)
	}
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 4000 --observe z=20 --observe maybe=5 --observe y=3"), model("twice"))...)
	if v := verdictOf(t, out); !v.has("data-partly-used") || strings.Contains(out, "y was used") || strings.Contains(out, "z was used") {
		t.Error(out)
	}
}

// The weight of those that use a datum is told right where all weights share a large constant.
func TestSharesOfLargeWeights(t *testing.T) {
	s := newSession(t)
	share := regexp.MustCompile(`p was used by [\d.]+ % of the traces, which carry ([\d.]+) % of the weight`)
	var got []string
	for _, c := range []string{"1e-9", "0.5"} {
		out, _ := s.run(0, args(words("infer --json --seed 1 -n 3000 --observe p=0 --observe q=0 --observe c="+c+" --out c"+c), model("either"))...)
		m := share.FindStringSubmatch(out)
		if m == nil {
			t.Fatal(out)
		}
		types, _ := s.run(0, "trace", "types", "--json", "c"+c)
		got = append(got, m[1]+" "+regexp.MustCompile(`"weight":0\.\d{4}`).FindString(types))
	}
	if got[0] != got[1] {
		t.Errorf("shares %q", got)
	}
}

// Truths are called as in the run that they are of, and shown beside the variables of that name.
func TestTruthsHaveTheirNames(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("prior --quiet --seed 2 -n 60 --out run"), model("named-result"))...)
	r, err := rundir.Open(filepath.Join(s.dir, "run"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for tr, err := range r.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(tr.Sites) > 1 { // this one has a tag of the result's name
			continue
		}
		table, _ := s.run(0, "summary", "run", "--truth-from", fmt.Sprint("run:", tr.Draw))
		if !regexp.MustCompile(`(?m)^result +– `).MatchString(table) || !regexp.MustCompile(`(?m)^result@2 +7 `).MatchString(table) {
			t.Error(table)
		}
		break
	}
}

// Absent results, tensors of varying length, values that are no numbers, variables that hardly any trace has.
func TestVariablesThatAreNotAlwaysThere(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json --seed 1 -n 8000 --observe y=1"), model("nothing"))...)
	v := verdictOf(t, out)
	// The posterior of x is N(½, ½): P(x > 0) = Φ(1/√2), E[x | x > 0] = ½ + φ(1/√2)/(√2·Φ(1/√2)).
	p := math.Erfc(-0.5) / 2
	r := v.of("result")
	if r == nil || math.Abs(r.Present-p) > 4*math.Sqrt(p*(1-p)/v.ESS) {
		t.Errorf("the result is %+v, present in %g", r, p)
	}
	near(t, &v, "result", 0.5+math.Exp(-0.25)/math.Sqrt(2*math.Pi)/math.Sqrt2/p)
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 2000 --observe y=3"), model("dyn"))...)
	v = verdictOf(t, out)
	if v.of("v") != nil || v.of("v[0]") == nil || v.of("v[0]").Present != 1 || v.of("v[2]").Present >= 1 {
		t.Error(out)
	}
	out, _ = s.run(0, args(words("infer --json --seed 1 -n 4000 --observe y=1"), model("onenan"))...)
	v = verdictOf(t, out)
	tag := v.of("t")
	if tag == nil || tag.Finite > 0.995 || tag.Finite < 0.9 || tag.MeanSE == nil || !strings.Contains(out, "t is NaN or infinite in traces with") {
		t.Error(out)
	}
	near(t, &v, "x", 0.5)
	s.run(0, args(words("infer --quiet --seed 1 -n 4000 --observe y=1 --out nan"), model("onenan"))...)
	s.run(0, words("plot marginals nan --var t -o t.png")...)
	// One trace has z: its own effective sample size decides what is shown of it.
	out, _ = s.run(0, args(words("infer --json --seed 3 -n 130 --observe y=0"), model("seldom"))...)
	v = verdictOf(t, out)
	if z := v.of("z"); z == nil || z.Present > 0.05 || z.MeanSE != nil || z.Trust.Verdict != "none" {
		t.Errorf("%+v", z)
	}
}

// Parameters may be left out, where nobody will need them.
func TestRunsWithoutParameters(t *testing.T) {
	s := newSession(t)
	infer := words("infer --quiet --seed 1 -n 500 --observe v=[[1,2,3],[4,5,6]]")
	s.run(0, args(infer, words("--out with"), model("matrix"))...)
	s.run(0, args(infer, words("--out without --no-parameters"), model("matrix"))...)
	size := func(dir string) int64 {
		info, err := os.Stat(filepath.Join(s.dir, dir, "sites", "part-00000.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if a, b := size("with"), size("without"); b > a*2/3 {
		t.Errorf("%d bytes without, %d with", b, a)
	}
	figures := func(dir string) string {
		out, _ := s.run(0, "summary", "--json", dir)
		var r map[string]json.RawMessage
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %s", r["variables"], r["log_evidence"])
	}
	if figures("with") != figures("without") {
		t.Error("figures differ")
	}
	if out, _ := s.run(0, words("trace show without 3")...); !strings.Contains(out, "Normal") || strings.Contains(out, "mean=") {
		t.Error(out)
	}
	s.run(0, words("trace show --json without 3")...)
	s.run(0, args(words("infer --quiet --resume -n 600 --out without"), model("matrix"))...)
	s.run(0, args(words("prior --quiet --seed 1 -n 100 --no-parameters --out bare"), model("matrix"))...)
	if _, stderr := s.run(2, words("train -o x.net --from bare")...); !strings.Contains(stderr, "--no-parameters") {
		t.Error(stderr)
	}
}

// Shards that were made apart are, joined, what one job would have left.
func TestMerge(t *testing.T) {
	s := newSession(t)
	infer := words("infer --quiet --seed 4 --observe y=1 --max-failed 0.5")
	s.run(0, args(infer, words("-n 700 --out whole"), model("nan-parameter"))...)
	for i, n := range []int{10, 290, 400} { // the first has too few draws to choose the size of a part
		s.run(0, args(infer, words(fmt.Sprintf("--first %d -n %d --out shard%d", []int{0, 10, 300}[i], n, i)), model("nan-parameter"))...)
	}
	out, _ := s.run(0, words("merge --json shard2 shard0 shard1 -o joined")...)
	if contents(t, filepath.Join(s.dir, "joined")) != contents(t, filepath.Join(s.dir, "whole")) {
		t.Error("the shards together differ from the whole")
	}
	var a, b map[string]json.RawMessage
	for dir, m := range map[string]*map[string]json.RawMessage{"joined": &a, "whole": &b} {
		if err := json.Unmarshal([]byte(read(t, filepath.Join(s.dir, dir, "run.json"))), m); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"started", "ended", "seconds", "host", "command", "counts"} {
			delete(*m, k)
		}
	}
	if x, y := fmt.Sprintf("%s", a), fmt.Sprintf("%s", b); x != y {
		t.Errorf("run.json %s\nwant %s", x, y)
	}
	whole, _ := s.run(0, "summary", "--json", "whole")
	if x, y := verdictOf(t, out), verdictOf(t, whole); *x.LogEvidence != *y.LogEvidence || x.ESS != y.ESS || x.Failed != y.Failed || x.Failed == 0 {
		t.Errorf("%s\n%s", out, whole)
	}
	for _, kind := range []string{"draws", "sites", "addresses"} {
		x, err1 := os.ReadDir(filepath.Join(s.dir, "joined", kind))
		y, err2 := os.ReadDir(filepath.Join(s.dir, "whole", kind))
		if err1 != nil || err2 != nil || len(x) != len(y) {
			t.Errorf("%s: %d parts, want %d", kind, len(x), len(y))
		}
	}
	// A joined run can be extended, and a shard resumed.
	s.run(0, args(words("infer --quiet --resume -n 800 --max-failed 0.5 --out joined"), model("nan-parameter"))...)
	s.run(0, args(words("infer --quiet --resume -n 800 --max-failed 0.5 --out whole"), model("nan-parameter"))...)
	if contents(t, filepath.Join(s.dir, "joined")) != contents(t, filepath.Join(s.dir, "whole")) {
		t.Error("extended, they differ")
	}
	s.run(0, args(infer, words("--first 700 -n 20 --out shard3"), model("nan-parameter"))...)
	s.run(0, args(words("infer --quiet --resume -n 50 --max-failed 0.5 --out shard3"), model("nan-parameter"))...)
	s.run(0, args(words("infer --quiet --seed 5 --first 700 -n 20 --observe y=1 --max-failed 0.5 --out other"), model("nan-parameter"))...)
	s.run(0, args(words("infer --quiet --seed 4 --first 700 -n 20 --observe y=2 --max-failed 0.5 --out data"), model("nan-parameter"))...)
	if out, _ := s.run(0, words("trace show shard3 745")...); !strings.Contains(out, "draw 745") {
		t.Error(out)
	}
	// What was cut off at the end of a shard is missing from the whole, unless another shard has made it.
	s.run(0, args(words("infer --quiet --seed 1 -n 20 --observe y=1 --out early"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 1 --first 20 -n 20 --observe y=1 --out late"), model("pair"))...)
	for shard, draw := range map[string]int{"early": 20, "late": 47} {
		path := filepath.Join(s.dir, shard, "run.json")
		text := strings.Replace(read(t, path), `"first"`, fmt.Sprintf(`"cut": {"draw": %d, "running": 50, "mean": 0.001}, "first"`, draw), 1)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ = s.run(0, words("merge --json early late -o cut")...)
	if v := verdictOf(t, out); !v.has("cut-off") || !strings.Contains(out, "draw 47 had been running") {
		t.Error(out)
	}
	// Another simulator of the same name; a shard that is being written; runs that begin differently each time tell nothing.
	shards := func(name string, n int, env ...string) {
		for i := range 2 {
			s.run(0, args(words(fmt.Sprintf("infer --quiet --seed 1 --first %d -n %d --observe y=1 --out %s%d", i*n, n, name, i)), model("pair", env...))...)
		}
	}
	shards("shifted", 20, "V=shifted")
	shards("random", 20, "V=random")
	s.run(0, words("merge --quiet random0 random1 -o randoms")...)
	for _, file := range []string{"run.json", ".lock"} {
		path := filepath.Join(s.dir, "random1", file)
		text := ""
		if file == "run.json" {
			text = strings.Replace(read(t, path), `"complete"`, `"running"`, 1)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := disk.Lock(filepath.Join(s.dir, "random1", ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Unlock(lock)
	for _, c := range []struct{ shards, says string }{
		{"early shifted1", "different simulators have made them: runs begin with Sample Normal(mean=0, stddev=1) at x__Normal named x in early, with Sample Normal(mean=5, stddev=1) at x__Normal named x in shifted1"},
		{"random0 random1", "random1 is not finished: another process is writing it"},
		{"shard0 shard2", "between shard0 and shard2 the draws 10 to 299 are missing (--first 10 -n 290 makes them)"},
		{"shard0 shard1 shard1", "shard1 and shard1 overlap: draw 10 is in both"},
		{"shard2 other", "the seed of shard2 is 4, that of other 5"},
		{"shard2 data", "shard2 and data have different data"},
		{"shard2 nosuch", "nosuch"},
	} {
		if _, stderr := s.run(2, words("merge "+c.shards+" -o fails")...); !strings.Contains(stderr, c.says) {
			t.Errorf("%s: %s", c.shards, stderr)
		}
	}
	if _, stderr := s.run(2, words("merge shard0 -o whole")...); !strings.Contains(stderr, "exists and is not empty; give another -o\n") {
		t.Error(stderr)
	}
	if _, stderr := s.run(2, words("merge shard0")...); !strings.Contains(stderr, "-o OUT") {
		t.Error(stderr)
	}
}

// What a hand or a damaged disk has written into run.json is refused by name, and never shown as it is.
func TestRunJSONIsChecked(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 100 --observe y=1 --out run"), model("pair"))...)
	path := filepath.Join(s.dir, "run", "run.json")
	good := read(t, path)
	for _, c := range [][3]string{
		{`"state": "complete"`, `"state": "\u001b[31mred"`, `state "\x1b[31mred"`},
		{`"part_size": 64`, `"part_size": 3`, "part_size 3 is no power of two"},
		{`"shape": []`, `"shape": [-2]`, "data of y: shape [-2]"},
		{`"shape": []`, `"shape": [3]`, "data of y: shape [3]"},
		{`"method": "is"`, `"method": "\u001b[1mhm"`, `method "\x1b[1mhm"`},
		{`"format": 2`, `"format": 1`, "its format is 1, and this version of ppx reads 2"},
		{`"first": 0`, `"first": 18446744073709551615`, "too large"},
	} {
		old := c[0]
		if c[0] == `"part_size": 64` {
			old = regexp.MustCompile(`"part_size": \d+`).FindString(good)
		}
		if strings.Count(good, old) < 1 {
			t.Fatalf("%q is not in %s", old, good)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(good, old, c[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"summary run", "trace ls run"} {
			if _, stderr := s.run(2, words(verb)...); !strings.Contains(stderr, c[2]) || strings.Contains(stderr, "\x1b") {
				t.Errorf("%s: %q says %q, want %q", verb, c[1], stderr, c[2])
			}
		}
	}
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := rundir.ReadManifest(filepath.Dir(path)); err != nil || m.First != 0 {
		t.Error(m, err)
	}
}
