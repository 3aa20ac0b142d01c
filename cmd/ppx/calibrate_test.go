package main

import (
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sbinet/npyio/npz"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/view"
)

func (s *session) calibration(out string) (c view.Calibration) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		s.t.Fatalf("%v in %q", err, out)
	}
	return c
}

// sortedLines are those of a file, in order.
func sortedLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	slices.Sort(out)
	return out
}

// A calibration that is killed goes on, and comes to what an undisturbed one does, to the bit; a right method passes, data of another
// simulator do not; a picture is there.
func TestCalibrate(t *testing.T) {
	s := newSession(t)
	sim := model("pair")
	begin := words("calibrate --json --seed 1 -n 600")
	out, _ := s.run(0, args(begin, words("--out whole"), sim)...)
	c := s.calibration(out)
	if c.Trust.Verdict != posterior.Good || c.Decided < 580 || c.Decided+c.Undecided != 600 || len(c.Quantities) != 5 || c.Quantities[0].Name != "x" || c.Seconds == 0 {
		t.Errorf("%+v", c)
	}
	cmd := s.command(args(begin, words("--quiet --out broken"), sim)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testbed.Wait(t, "some data sets", func() bool {
		info, err := os.Stat(filepath.Join(s.dir, "broken", "sets.jsonl"))
		return err == nil && info.Size() > 10000
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	sets := filepath.Join(s.dir, "broken", "sets.jsonl")
	if n := len(sortedLines(t, sets)); n >= 600 || n < 10 {
		t.Fatalf("killed after %d data sets", n)
	}
	f, err := os.OpenFile(sets, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"set":`); err != nil { // what a kill may cut off
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, e := s.run(2, args(words("calibrate --resume --seed 2 --out broken"), sim)...); !strings.Contains(e, "--seed: a job that goes on takes it from its folder") {
		t.Error(e)
	}
	s.run(0, args(words("calibrate --resume --quiet --out broken"))...)
	if a, b := sortedLines(t, filepath.Join(s.dir, "whole", "sets.jsonl")), sortedLines(t, sets); !slices.Equal(a, b) {
		t.Errorf("%d and %d data sets; the first: %s and %s", len(a), len(b), a[0], b[0])
	}
	picture, err := os.Open(filepath.Join(s.dir, "broken", "ranks.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	if img, err := png.Decode(picture); err != nil || img.Bounds().Dx() < 500 {
		t.Error(err)
	}
	// It can be looked at, and extended.
	text, _ := s.run(0, words("calibrate --resume --quiet --out broken")...)
	if !strings.Contains(text, "good: the truth is where a posterior would have it") || !strings.Contains(text, "gain over the prior 0.40 ± 0.03 nats") {
		t.Error(text)
	}
	if out, _ := s.run(0, words("calibrate --resume --quiet --json -n 610 --out broken")...); s.calibration(out).Decided+s.calibration(out).Undecided != 610 {
		t.Error(out)
	}
	// Truths of another simulator: the posterior is not theirs.
	s.run(0, args(words("prior --quiet --seed 5 -n 300 --out other"), model("pair", "V=shifted"))...)
	out, e := s.run(1, args(words("calibrate --json --quiet --strict --seed 1 -n 300 --truths other --out twin"), sim)...)
	if c := s.calibration(out); c.Trust.Verdict != posterior.None || c.Trust.Reasons[0].Code != posterior.NotCalibrated || !strings.Contains(e, "--strict: the calibration is not good (none)") {
		t.Errorf("%s %s", out, e)
	}
}

// What only some traces have is judged too; a simulator that fails now and then can be; a rank that is none is no rank.
func TestCalibrateWhatIsSometimesThere(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("prior --quiet --seed 9 -n 300 --out shifted"), model("rare", "V=shifted"))...)
	out, _ := s.run(0, args(words("calibrate --json --quiet --seed 5 -n 300 --truths shifted --out wrong"), model("rare"))...)
	if c := s.calibration(out); c.Trust.Verdict != posterior.None || c.Trust.Reasons[0].Variable == nil || *c.Trust.Reasons[0].Variable != "x" {
		t.Error(out)
	}
	out, _ = s.run(0, args(words("calibrate --json --quiet --seed 5 -n 300 --out right"), model("rare"))...)
	c := s.calibration(out)
	for _, q := range c.Quantities {
		if q.Name == "x" && (q.Sets < 100 || q.Undecided > 20) {
			t.Errorf("%+v", q)
		}
	}
	if c.Trust.Verdict != posterior.Doubtful || c.Trust.Reasons[0].Code != posterior.FewSets {
		t.Errorf("%+v", c.Trust)
	}
	out, _ = s.run(0, args(words("calibrate --json --quiet --max-failed 1 --seed 4 -n 6 --max-draws 128 --out failing"), model("failing"))...)
	if c := s.calibration(out); c.Failed < 1 || c.Decided+c.Failed+c.Undecided != 6 {
		t.Error(out)
	}
	path := filepath.Join(s.dir, "right", "sets.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := regexp.MustCompile(`"b":[0-9.e-]+`).ReplaceAllString(string(b), `"b":-7`)
	if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, e := s.run(2, words("calibrate --resume --quiet --out right")...); !strings.Contains(e, "line 1: the rank of b is -7") {
		t.Error(e)
	}
}

func TestCalibrateBadInput(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 50 --observe y=1 --out posterior"), model("pair"))...)
	s.run(0, args(words("prior --quiet --seed 1 -n 5 --out short"), model("pair"))...)
	for command, want := range map[string]string{
		"-n 0":                           "-n must be at least 1",
		"--min-ess 1":                    "--min-ess 1 must be at least 10",
		"--min-ess inf":                  "--min-ess +Inf",
		"--max-draws 5":                  "--max-draws 5 must be at least 128",
		"--out posterior":                "posterior is not empty",
		"--data nope":                    "--data nope: no Observe or Sample of that name",
		"--truths posterior":             "want a run of ppx prior",
		"--truths short -n 6":            "short has 5 traces; -n 6 asks for more data sets",
		"--method ic":                    "--method ic needs a network",
		"--method nuts":                  "this version has is",
		"--resume --out short":           "short was made by ppx prior",
		"--resume --out nowhere":         "nowhere",
		"--likelihood-importance 0":      "must be positive",
		"--observe y=1":                  "unknown flag: --observe",
		"--prior-inflation 1":            "must lie in [0, 1)",
		"--network short/run.json -n 10": "short/run.json",
	} {
		if _, e := s.run(2, args(words("calibrate --quiet "+command), model("pair"))...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
}

// Every data set of a file becomes what it would alone.
func TestEach(t *testing.T) {
	s := newSession(t)
	sim := model("pair")
	file := func(name, text string) {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file("sets.jsonl", "{\"y\": 1}\n\n{\"y\": -0.5}\n{\"y\": 2}\n")
	z, err := npz.Create(filepath.Join(s.dir, "sets.npz"))
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Write("y.npy", []float64{1, -0.5, 2}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	each := func(out string) (e view.Each) {
		t.Helper()
		if err := json.Unmarshal([]byte(out), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	var rows [2]view.Each
	for i, f := range []string{"sets.jsonl", "sets.npz"} {
		out, _ := s.run(0, args(words(fmt.Sprintf("infer --json --seed 7 -n 500 --each %s --out e%d", f, i)), sim)...)
		rows[i] = each(out)
	}
	for i, y := range []string{"1", "-0.5", "2"} {
		out, _ := s.run(0, args(words(fmt.Sprintf("infer --json --seed %d -n 500 --observe y=%s --out alone%d", 7+i, y, i)), sim)...)
		alone := decoded(t, out)
		for _, r := range rows {
			if x := r.Rows[i]; float64(x.ESS) != alone["ess"] || float64(x.LogEvidence) != alone["log_evidence"] || x.Set != i || x.Trust.Verdict != posterior.Good || float64(x.Variables[0].Mean) != alone["variables"].([]any)[0].(map[string]any)["mean"] {
				t.Errorf("data set %d: %+v, alone %v", i, x, alone)
			}
		}
		dir := fmt.Sprintf("e1/%06d", i)
		for k := range 3 {
			if a, b := first0(s.run(0, words(fmt.Sprintf("trace data %s %d", dir, k))...)), first0(s.run(0, words(fmt.Sprintf("trace data alone%d %d", i, k))...)); a != b {
				t.Errorf("draw %d of data set %d: %s, alone %s", k, i, a, b)
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "e0", "000001")); err != nil { // as if it had been killed before that
		t.Fatal(err)
	}
	again := each(first0(s.run(0, words("infer --json --resume --out e0")...)))
	again.Seconds, again.SetsPerSecond, again.TracesPerSecond = rows[0].Seconds, rows[0].SetsPerSecond, rows[0].TracesPerSecond
	if a, b := fmt.Sprintf("%+v", again), fmt.Sprintf("%+v", rows[0]); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if more := each(first0(s.run(0, words("infer --json --resume --out e0 -n 600")...))); more.Rows[2].Traces != 600 {
		t.Errorf("%+v", more)
	}
	// Data that one set cannot be, and the others can.
	file("bad.jsonl", "{\"y\": 1}\n{\"nope\": 1}\n{\"y\": 2}\n")
	out, e := s.run(1, args(words("infer --json --seed 7 -n 100 --each bad.jsonl --out bad"), sim)...)
	if r := each(out); len(r.Rows) != 3 || r.Rows[0].Error != "" || !strings.Contains(r.Rows[1].Error, "nope") || r.Rows[2].Traces != 100 || !strings.Contains(e, "data set 1: ") {
		t.Errorf("%s %s", out, e)
	}
	file("odd.jsonl", "{\"y\": \"one\"}\n")
	file("empty.jsonl", "\n")
	file("text.npz", "no archive")
	file("infinite.jsonl", "{\"y\": [1, [2]]}\n")
	for command, want := range map[string]string{
		"--each odd.jsonl":                "odd.jsonl: line 1: want a JSON object",
		"--each empty.jsonl":              "it has no data set",
		"--each text.npz":                 "no .npz archive",
		"--each nowhere.npz":              "nowhere.npz",
		"--each infinite.jsonl":           "line 1",
		"--each sets.jsonl --observe y=1": "y is also given by --observe",
		"--each sets.jsonl --plot x":      "--plot goes with one data set",
		"--each sets.jsonl --out e0":      "e0 is not empty",
	} {
		if _, e := s.run(2, args(words("infer --quiet -n 10 "+command), sim)...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
	if _, e := s.run(2, args(words("prior --each sets.jsonl"), sim)...); !strings.Contains(e, "unknown flag") {
		t.Error(e)
	}
}

// Importance sampling, trained networks and chains are calibrated on every model, and something is learned: minutes, for make verify.
func TestCalibrationsOfAll(t *testing.T) {
	if os.Getenv("PPX_VERIFY") == "" {
		t.Skip("takes minutes: PPX_VERIFY=1")
	}
	s := newSession(t)
	for _, name := range words("families gum branching hmm") {
		sim := model(name)
		if name != "families" {
			sim = append([]string{"--"}, testbed.Simulator(t, name, "cpp")...)
		}
		s.run(0, args(words("train --quiet --seed 1 -n 25600 --lstm 64 --head 64 -o "+name+".net"), sim)...)
		for i, flags := range []string{"", "--network " + name + ".net", "--method rmh", "--method lmh", "--method ic-mh --network " + name + ".net", "--method smc"} {
			n := 500
			if (name == "hmm" || name == "families") && strings.Contains(flags, "method") {
				n = 100 // minutes each: what is wrong at every site shows
			}
			cmd := s.command(args(words(fmt.Sprintf("calibrate --json --quiet --seed 1 -n %d --out %s%d %s", n, name, i, flags)), sim)...)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			c := s.calibration(string(out))
			t.Logf("%s %s: %s, %d decided of %d, gain %.3g ± %.2g nats, %.3g traces a data set", name, flags, c.Trust.Verdict, c.Decided, c.N, c.Gain, c.GainSE, float64(c.Draws)/float64(c.N))
			for _, r := range c.Trust.Reasons {
				if r.Code == posterior.NotCalibrated {
					t.Errorf("%s %s: %s", name, flags, r.Text)
				}
			}
			if !strings.Contains(flags, "mh") && n == 500 && !(c.Gain > 4*c.GainSE) {
				t.Errorf("%s %s: gain %g ± %g", name, flags, c.Gain, c.GainSE)
			}
		}
	}
}
