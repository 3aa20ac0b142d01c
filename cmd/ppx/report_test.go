package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A page has the verdict, the table, pictures and what makes it again, in one file; nothing that comes from a simulator is markup.
func TestReport(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("prior --quiet --seed 1 -n 500 --out prior"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 2 -n 2000 --observe y=1 --out run"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 2 -n 320 --method smc --observe y=1 --out smc"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 2 -n 400 --method rmh --chains 4 --warmup 50 --observe y=1 --out rmh"), model("pair"))...)
	page := func(command string) string {
		s.run(0, words("report "+command)...)
		b, err := os.ReadFile(filepath.Join(s.dir, "r.html"))
		if err != nil {
			t.Fatal(err)
		}
		if out := regexp.MustCompile(`(?i)(src|href)="?(https?:|//)`).Find(b); out != nil || len(b) > 3<<20 {
			t.Errorf("%s: %d bytes, with %s", command, len(b), out)
		}
		return string(b)
	}
	one := page("run -o r.html --truth x=0.5")
	for _, want := range []string{"Posterior of pair", `class="verdict good"`, "effective sample size", "<td>x</td>", "data:image/svg&#43;xml;base64,", "seed 2.", "y = 1", "--job", "A1", "T1"} {
		if !strings.Contains(one, want) {
			t.Errorf("no %q", want)
		}
	}
	if text, _ := s.run(0, words("summary run")...); !strings.Contains(text, regexp.MustCompile(`effective sample size [\d.]+`).FindString(one)) {
		t.Error("another effective sample size than the table's")
	}
	if two := page("smc prior rmh -o r.html --title Three"); !strings.Contains(two, "<title>Three</title>") || !strings.Contains(two, "Ladder") || !strings.Contains(two, "Steps of the chains") || strings.Count(two, `class="verdict`) != 3 {
		t.Error("of three runs something is missing")
	}
	s.run(0, args(words("infer --quiet --seed 1 -n 50 --observe y=1 --out hostile"), model("hostile"))...)
	hostile := page("hostile -o r.html")
	if strings.Contains(hostile, "<script>alert") || strings.Contains(hostile, "<img src=x") || strings.Contains(hostile, "\x1b") || !strings.Contains(hostile, "&lt;script&gt;alert") {
		t.Error("a name is markup")
	}
	// One that nobody may believe says so first.
	s.run(0, args(words("infer --quiet --seed 1 -n 100 --observe y=30 --out none"), model("pair"))...)
	before, _, found := strings.Cut(page("none -o r.html"), "<table")
	if !found || !strings.Contains(before, "do not trust this result") {
		t.Error("no warning before the table")
	}
	// Replicates alone are shown beside the run that they are of; one variable that is out of all measure, or a draws folder that is none, does not take the rest away.
	s.run(0, args(words("predict --quiet --seed 1 -n 100 run --out replicates"))...)
	if alone := page("replicates -o r.html"); !strings.Contains(alone, "Data beside what the posterior predicts") || !strings.Contains(alone, "<td>x</td>") {
		t.Error("replicates alone")
	}
	s.run(0, words("derive run -o huge --quiet --let huge=x*1e300")...)
	if huge := page("huge -o r.html"); !strings.Contains(huge, "<td>huge</td>") {
		t.Error("a variable that is huge")
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "huge", "draws")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "huge", "draws"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(2, words("trace types huge")...)
	for command, want := range map[string]string{
		"report": "which run?", "report run": "which file?", "report run -o r.pdf": "which file? Give -o FILE.html", "report run -o x.html --var nope": "no variable nope", "report nowhere -o x.html": "nowhere",
		"report run -o x.html --truth x": "--truth x: want NAME=NUMBER", "report run -o x.html --truth-from run": "want RUN:DRAW",
	} {
		if _, e := s.run(2, words(command)...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
}
