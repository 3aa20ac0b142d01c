package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/sbinet/npyio"
)

// What --print-job prints does, with --job, what the flags do.
func TestJobs(t *testing.T) {
	s := newSession(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	same := func(a, b string) {
		t.Helper()
		if contents(t, filepath.Join(s.dir, a)) != contents(t, filepath.Join(s.dir, b)) {
			t.Errorf("%s and %s differ", a, b)
		}
	}
	for name, flags := range map[string]string{
		"prior": "prior --seed 3 -n 300 --prior-inflation 0.25 --no-parameters",
		"infer": "infer --seed 3 --first 7 -n 300 --observe y=1.5 --likelihood-importance 0.5",
	} {
		command := args(words(flags), model("pair"))
		text, _ := s.run(0, args(command[:1], words("--print-job --out byjob-"+name), command[1:])...)
		write(name+".json", text)
		s.run(0, args(command[:1], words("--quiet --out byflags-"+name), command[1:])...)
		s.run(0, words(command[0]+" --quiet --job "+name+".json")...)
		same("byflags-"+name, "byjob-"+name)
		// A run is a job too.
		s.run(0, words(command[0]+" --quiet --job byjob-"+name+" --out again-"+name)...)
		same("byflags-"+name, "again-"+name)
	}
	// Training, and inference with what it has made; paths are relative to the file.
	if err := os.MkdirAll(filepath.Join(s.dir, "jobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	text, _ := s.run(0, args(words("train --print-job --seed 1 -n 640 --lstm 8 --head 8 --components 2 --validation 64 --threads 1 --embed y=ff:8 -o jobs/x.net"), model("pair"))...)
	if strings.Contains(text, s.dir) {
		t.Errorf("absolute paths in %s", text)
	}
	write("jobs/train.json", strings.ReplaceAll(text, `"jobs/x.net`, `"x.net`))
	s.run(0, words("train --quiet --job jobs/train.json")...)
	s.run(0, args(words("train --quiet --seed 1 -n 640 --lstm 8 --head 8 --components 2 --validation 64 --threads 1 --embed y=ff:8 -o y.net"), model("pair"))...)
	if read(t, filepath.Join(s.dir, "jobs/x.net")) != read(t, filepath.Join(s.dir, "y.net")) {
		t.Error("the networks differ")
	}
	text, _ = s.run(0, args(words("infer --print-job --seed 1 -n 100 --network y.net --observe y=1 --out guided"), model("pair"))...)
	if !regexp.MustCompile(`"sha256": "[0-9a-f]{64}"`).MatchString(text) {
		t.Error(text)
	}
	write("guided.json", text)
	s.run(0, words("infer --quiet --job guided.json")...)
	s.run(0, args(words("infer --quiet --seed 1 -n 100 --network jobs/x.net --observe y=1 --out guided2"), model("pair"))...)
	same("guided", "guided2")
	// Flags may repeat what the file says, and no more.
	s.run(0, args(words("infer --quiet --job guided.json --seed 1 --network y.net --observe y=1 --out more"), model("pair"))...)
	for flags, want := range map[string]string{
		"--seed 2": "--seed contradicts guided.json: its seed is 1", "-n 5": "its n is 100", "--observe y=2": "--observe y contradicts", "--observe z=1": "--observe z contradicts",
		"--network jobs/none.net": "--network: open jobs/none.net", "--timeout 5s": "its timeout is 1m0s", "--resume": "--job and --print-job are for new jobs",
		"-- other {endpoint}": "the command after -- contradicts",
	} {
		if _, e := s.run(2, words("infer --out z --job guided.json "+flags)...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %s", flags, e)
		}
	}
	if _, e := s.run(2, words("prior --job guided.json")...); !strings.Contains(e, `is a job for "ppx infer"`) {
		t.Error(e)
	}
	// Large data stand in a file of their own, with what it must hold.
	npy := filepath.Join(s.dir, "big.npy")
	writeNPY(t, npy, make([]float64, 1500))
	text, _ = s.run(0, args(words("infer --print-job --seed 1 --observe x=@big.npy --out big"), model("vector"))...)
	write("big.json", text)
	s.run(0, words("infer --quiet --job big.json")...)
	s.run(0, words("infer --quiet --job big --out big2")...)
	same("big", "big2")
	writeNPY(t, npy, append(make([]float64, 1499), 1))
	if _, e := s.run(2, words("infer --job big.json --out big3")...); !strings.Contains(e, "data: x: ") || !strings.Contains(e, "not the file that was meant: its sha256 is") {
		t.Error(e)
	}
	if err := os.Remove(npy); err != nil {
		t.Fatal(err)
	}
	if _, e := s.run(2, words("infer --job big.json --out big3")...); !strings.Contains(e, "big.json: data: x: open ") || strings.Count(e, "\n") != 1 {
		t.Error(e)
	}
}

// writeNPY writes a vector.
func writeNPY(t *testing.T, path string, v []float64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(npyio.Write(f, v), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A job that is wrong is refused in a line that names what is.
func TestJobsThatAreWrong(t *testing.T) {
	s := newSession(t)
	text, _ := s.run(0, args(words("infer --print-job --seed 1 -n 100 --observe y=1 --out run"), model("pair"))...)
	var good map[string]any
	if err := json.Unmarshal([]byte(text), &good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field string // a.b is b of a
		value any
		want  string
	}{
		{"sed", 1, `unknown field "sed"`},
		{"simulator.comand", []string{}, `unknown field "comand"`},
		{"schema", 2, "schema 2; this version of ppx reads 1"},
		{"schema", nil, "schema 0"},
		{"verb", "guess", `is a job for "ppx guess"`},
		{"method", "lmao", "--method lmao: this version has is (importance sampling from the prior) and ic"},
		{"method", "ic", "needs a network"},
		{"n", 0, "-n must be at least 1"},
		{"n", -1, "n cannot be a JSON number -1"},
		{"seed", "x", "seed cannot be a JSON string"},
		{"max_time", "soon", `"soon" is no time, such as "90s"`},
		{"max_time", "-3s", "max_time -3s must not be negative"},
		{"save_every", "0s", "save_every 0s must be positive"},
		{"data.y", "x", "x is no number"},
		{"data.y", []any{[]any{1, 2}, []any{3}}, "rows of different shapes"},
		{"data.y", map[string]any{"file": "none.npy"}, "data: y: open "},
		{"data.y", nil, "elements that are not given"},
		{"missing", "maybe", "--missing maybe: want refuse or ok"},
		{"network", map[string]any{"file": "none.net"}, "--network does not go with --method is"},
		{"keep_values", true, "--keep-values does not go with ppx infer"},
		{"prior_inflation", 2, "prior inflation 2"},
		{"training", map[string]any{}, "training does not go with ppx infer"},
		{"simulator.command", []string{}, "which simulator?"},
		{"simulator.command", []string{"/no/such/simulator", "{endpoint}"}, "/no/such/simulator"},
		{"simulator.workers", -1, "--workers -1"},
		{"simulator.timeout", 5, "5 is no time"},
	} {
		var bad map[string]any
		if err := json.Unmarshal([]byte(text), &bad); err != nil {
			t.Fatal(err)
		}
		at, name := bad, c.field
		if group, rest, ok := strings.Cut(c.field, "."); ok {
			at, name = bad[group].(map[string]any), rest
		}
		if at[name] = c.value; c.value == nil && c.field == "schema" {
			delete(at, name)
		}
		b, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "bad.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		code := 2
		if c.want == "/no/such/simulator" {
			code = 1
		}
		if _, e := s.run(code, words("infer --job bad.json")...); !strings.Contains(e, c.want) || strings.Count(e, "\n") != 1 && code == 2 {
			t.Errorf("%s = %v: %s", c.field, c.value, e)
		}
	}
	for text, want := range map[string]string{"": "it ends too early", `{"schema": 1, "verb": "infer", "method": "is"}`: "data is missing", "[1]": "cannot be a JSON array", "{}": "schema 0", `{"schema": 1} {}`: "something stands behind the object"} {
		if err := os.WriteFile(filepath.Join(s.dir, "bad.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := jobs.Read(filepath.Join(s.dir, "bad.json")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A job goes on with the simulator and the settings of its folder, and so does a replay.
func TestJobsGoOnByThemselves(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 100 --observe y=1 --max-failed 0.5 --timeout 7s --out run"), model("nan-parameter"))...)
	s.run(0, words("infer --quiet --resume -n 300 --out run")...) // a third of the draws fail
	s.run(0, args(words("infer --quiet --seed 1 -n 300 --observe y=1 --max-failed 0.5 --out whole"), model("nan-parameter"))...)
	if contents(t, filepath.Join(s.dir, "run")) != contents(t, filepath.Join(s.dir, "whole")) {
		t.Error("the runs differ")
	}
	job, err := jobs.Recorded(filepath.Join(s.dir, "run"))
	if err != nil || job.N != 300 || job.Simulator.Timeout.String() != "7s" || job.Simulator.MaxFailed != 0.5 {
		t.Errorf("%+v, %v", job, err)
	}
	if out, _ := s.run(0, words("trace replay run 1")...); !strings.Contains(out, "the same") {
		t.Error(out)
	}
	// A budget that is reached stays so, unless another one is given.
	s.run(0, args(words("infer --quiet --seed 1 -n 5000 --observe y=1 --target-ess 50 --out target"), model("pair"))...)
	n := decoded(t, first0(s.run(0, "summary", "--json", "target")))["n"].(float64)
	s.run(0, words("infer --quiet --resume --out target")...)
	if again := decoded(t, first0(s.run(0, "summary", "--json", "target")))["n"].(float64); again != n || n >= 5000 {
		t.Errorf("%g draws, then %g", n, again)
	}
	s.run(0, words("infer --quiet --resume --target-ess 200 --out target")...)
	if again := decoded(t, first0(s.run(0, "summary", "--json", "target")))["n"].(float64); again <= n || again >= 5000 {
		t.Errorf("%g draws, then %g", n, again)
	}
	// Trainings.
	s.run(0, args(words("train --quiet --seed 1 -n 640 --lstm 8 --head 8 --components 2 --validation 64 --threads 1 -o x.net"), model("pair"))...)
	s.run(0, words("train --quiet --resume -n 1280 -o x.net")...)
	if job, err := jobs.Recorded(filepath.Join(s.dir, "x.net.train")); err != nil || job.N != 1280 {
		t.Errorf("%+v, %v", job, err)
	}
	if _, e := s.run(2, words("infer --resume --out x.net.train")...); !strings.Contains(e, "was made by ppx train") {
		t.Error(e)
	}
}
