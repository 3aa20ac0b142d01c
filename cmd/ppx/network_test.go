package main

import (
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// train runs a training of a small network.
func (s *session) train(net, model, language string, flags ...string) map[string]any {
	s.t.Helper()
	out, _ := s.run(0, args(words("train --json --quiet --seed 3 --threads 2 --lstm 32 --head 32 --validation 64 -o "+net), flags, []string{"--"}, testbed.Simulator(s.t, model, language))...)
	var r map[string]any
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		s.t.Fatalf("%v in %q", err, out)
	}
	for _, k := range words("schema network run seed traces failed loss validation best_at addresses weights seconds traces_per_second warnings") {
		if _, ok := r[k]; !ok {
			s.t.Errorf("the JSON of train has no %q", k)
		}
	}
	return r
}

// Train, infer, look: with clients in all languages.
func TestTrainAndInfer(t *testing.T) {
	for _, language := range []string{"go", "cpp", "python"} {
		t.Run(language, func(t *testing.T) {
			s := newSession(t)
			r := s.train("gum.net", "gum", language, "-n", "6400")
			if r["traces"] != 6400.0 || r["addresses"] != 1.0 || r["validation"].(float64) > 1.6 {
				t.Errorf("%v", r)
			}
			out, _ := s.run(0, args(words("infer --json --seed 11 -n 1000 --out run --network gum.net --observe obs0=4 --observe obs1=3 --"), testbed.Simulator(t, "gum", language))...)
			p := decoded(t, out)
			if p["method"] != "ic" || p["ess"].(float64) < 700 {
				t.Errorf("method %v, ESS %v", p["method"], p["ess"])
			}
			// Exact: −4.072737; mean 3.083333, standard deviation 0.912871.
			if d := p["log_evidence"].(float64) + 4.072737; d*d > 16*p["log_evidence_se"].(float64)*p["log_evidence_se"].(float64) {
				t.Errorf("log evidence %v ± %v", p["log_evidence"], p["log_evidence_se"])
			}
			if mu := p["variables"].([]any)[0].(map[string]any); mu["mean"].(float64) < 2.95 || mu["mean"].(float64) > 3.22 {
				t.Errorf("%v", mu)
			}
			var m map[string]any
			b, err := os.ReadFile(filepath.Join(s.dir, "run", "run.json"))
			if err != nil || json.Unmarshal(b, &m) != nil || m["defensive"] != 0.01 || len(m["network"].(map[string]any)["sha256"].(string)) != 64 {
				t.Errorf("%v %s", err, b)
			}
		})
	}
}

// The result is the same for any number of workers, in plain PPX, and after a run was interrupted.
func TestGuidedRunsDoNotDependOnWorkers(t *testing.T) {
	s := newSession(t)
	s.train("hmm.net", "hmm", "cpp", "-n", "1280")
	var data []string
	for i := 1; i <= 16; i++ {
		data = append(data, "--observe", fmt.Sprintf("obs%d=%g", i, float64(i%3)-1))
	}
	simulator := append([]string{"--"}, testbed.Simulator(t, "hmm", "cpp")...)
	var first string
	for i, flags := range []string{"--workers 1", "--workers 7", "--workers 3 --plain"} {
		out := fmt.Sprintf("run%d", i)
		s.run(0, args(words("infer --json --seed 5 -n 300 --network hmm.net --out "+out+" "+flags), data, simulator)...)
		summary, _ := s.run(0, "trace", "ls", out, "-n", "0", "--sort", "draw", "--json")
		summary = withoutTimes(t, summary)
		if i == 0 {
			first = summary
		} else if summary != first {
			t.Errorf("%s: other traces than with one worker", flags)
		}
	}
	cmd := s.command(args(words("infer --json --save-every 300ms --seed 5 -n 200000 --network hmm.net --out broken"), data, simulator)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testbed.Wait(t, "traces on disk", func() bool {
		m, err := rundir.ReadManifest(filepath.Join(s.dir, "broken"))
		return err == nil && m.Counts.Traces > 0
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Error(err)
	}
	if out, _ := s.run(0, "summary", "--json", "broken"); decoded(t, out)["method"] != "ic" {
		t.Error(out)
	}
	// What goes on takes the network from run.json, and refuses another one.
	done := decoded(t, first0(s.run(0, "summary", "--json", "broken")))["traces"].(float64)
	s.run(0, args(words(fmt.Sprintf("infer --json --resume --out broken -n %.0f", done+100)), simulator)...)
	s.train("other.net", "hmm", "cpp", "-n", "640")
	if _, e := s.run(2, args(words("infer --json --resume --out broken --network other.net"), simulator)...); !strings.Contains(e, "not the network that was meant") {
		t.Error(e)
	}
}

func first0(out, _ string) string { return out }

// withoutTimes leaves out what differs from run to run.
func withoutTimes(t *testing.T, out string) string {
	t.Helper()
	var x any
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		t.Fatalf("%v in %.200q", err, out)
	}
	var clean func(v any)
	clean = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "seconds")
			delete(v, "run")
			for _, x := range v {
				clean(x)
			}
		case []any:
			for _, x := range v {
				clean(x)
			}
		}
	}
	clean(x)
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// kill -9 at any moment, and --resume, end with the network of an undisturbed training.
func TestKilledTrainingThroughTheCommand(t *testing.T) {
	s := newSession(t)
	flags := words("--batch 32 -n 12800 --validate-every 640 --checkpoint-every 100ms")
	s.train("whole.net", "branching", "cpp", flags...)
	simulator := append([]string{"--"}, testbed.Simulator(t, "branching", "cpp")...)
	command := args(words("train --json --quiet --seed 3 --threads 2 --lstm 32 --head 32 --validation 64 -o broken.net"), flags)
	checkpoint := filepath.Join(s.dir, "broken.net.train", "checkpoint.safetensors")
	last := time.Time{}
	for i := range 3 {
		if info, err := os.Stat(checkpoint); err == nil {
			last = info.ModTime()
		}
		more := command
		if i > 0 {
			more = words("train --resume --quiet --checkpoint-every 100ms -o broken.net")
		}
		cmd := s.command(args(more, simulator)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// In its middle: a new checkpoint has come, and the training goes on.
		testbed.Wait(t, "a checkpoint", func() bool {
			info, err := os.Stat(checkpoint)
			return err == nil && info.ModTime().After(last)
		})
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Fatalf("kill %d: the training is over: %v", i, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if cmd.ProcessState.Success() {
			t.Fatalf("kill %d came too late", i)
		}
	}
	s.run(0, args(words("train --resume --json --quiet -o broken.net"), simulator)...)
	a, err := os.ReadFile(filepath.Join(s.dir, "whole.net"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, "broken.net")); err != nil || string(a) != string(b) {
		t.Error("another network than that of an undisturbed training", err)
	}
	f, err := os.Open(filepath.Join(s.dir, "broken.net.train", "loss.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 500 {
		t.Error(err)
	}
	if _, e := s.run(2, args(command, simulator)...); !strings.Contains(e, "exists already; give another -o, or --resume") {
		t.Error(e)
	}
}

// A training whose last minibatch went beyond its number of traces has ended; fields of other jobs are refused; what a loss was before the first is null.
func TestTrainingsThatAreOver(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	train := "train --quiet --seed 3 --lstm 8 --head 8 --validation 32 --threads 1 "
	s.run(0, args(words(train+"-n 100 -o over.net"), sim)...)
	s.run(0, words("train --resume --quiet -o over.net")...)
	if _, e := s.run(2, words("train --resume --quiet -n 32 -o over.net")...); !strings.Contains(e, "has trained with more already") {
		t.Error(e)
	}
	out, _ := s.run(0, args(words("train --quiet --json --lstm 8 --validation 64 -n 64 -o short.net"), sim)...)
	if !strings.Contains(out, `"loss":null`) {
		t.Error(out)
	}
	text, _ := s.run(0, args(words(train+"--print-job -n 64 -o job.net"), sim)...)
	for _, more := range []string{`"first": 0,`, `"data": {"obs0": 8},`} {
		if err := os.WriteFile(filepath.Join(s.dir, "bad.json"), []byte(strings.Replace(text, "{", "{"+more, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, e := s.run(2, words("train --job bad.json")...); !strings.Contains(e, "a job that trains has no data") || strings.Count(e, "\n") != 1 {
			t.Error(e)
		}
	}
	// Once more what it did, to another file.
	s.run(0, words("train --quiet --job over.net.train -o twice.net --out twice")...)
}

func TestTrainOnRecordedRuns(t *testing.T) {
	s := newSession(t)
	simulator := append([]string{"--"}, testbed.Simulator(t, "branching", "cpp")...)
	for i := range 2 {
		s.run(0, args(words(fmt.Sprintf("prior --quiet -n 2000 --seed %d --out p%d", i, i)), simulator)...)
	}
	out, _ := s.run(0, words("train --json --quiet -o b.net --from p0 --from p1 --epochs 2 --validation 64 --seed 1 --lstm 32")...)
	if !strings.Contains(out, `"traces":7872`) {
		t.Error(out)
	}
	s.run(0, args(words("infer --quiet -n 100 --seed 1 --out post --network b.net --observe obs=6"), simulator)...)
	for _, c := range []struct{ command, want string }{
		{"train -o c.net --from post", "post was recorded with data"},
		{"train -o c.net --from nosuch", "nosuch"},
		{"train -o c.net --from p0 --from p0", "the same seed"},
		{"train -o c.net --from p0 --validation 5000", "too few"},
	} {
		if _, e := s.run(2, words(c.command)...); !strings.Contains(e, c.want) || strings.Count(strings.TrimSpace(e), "\n") > 0 {
			t.Errorf("%s: %s", c.command, e)
		}
	}
	if _, e := s.run(2, args(words("train -o c.net --from p0"), simulator)...); !strings.Contains(e, "either --from or a simulator") {
		t.Error(e)
	}
}

// Networks and data that do not fit get one clear line.
func TestNetworksThatDoNotFit(t *testing.T) {
	s := newSession(t)
	s.train("gum.net", "gum", "cpp", "-n", "640")
	b, err := os.ReadFile(filepath.Join(s.dir, "gum.net"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cut.net", b[:len(b)/2])
	write("short.net", b[:5])
	write("empty.net", nil)
	write("text.net", []byte(`{"a": 1}`))
	write("version.net", []byte(strings.Replace(string(b), `"version":"1"`, `"version":"7"`, 1)))
	write("foreign.net", append([]byte{16, 0, 0, 0, 0, 0, 0, 0}, []byte(`{"__metadata__":`)...))
	data := words("--observe obs0=8 --observe obs1=9")
	gum := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	for _, c := range []struct {
		args []string
		want string
	}{
		{args(words("--network cut.net"), data, gum), "not a network file, or one that was cut off"},
		{args(words("--network short.net"), data, gum), "not a network file"},
		{args(words("--network empty.net"), data, gum), "not a network file"},
		{args(words("--network text.net"), data, gum), "not a network file"},
		{args(words("--network foreign.net"), data, gum), "not a network file"},
		{args(words("--network version.net"), data, gum), "its version is 7"},
		{args(words("--network nosuch.net"), data, gum), "nosuch.net"},
		{args(words("--network gum.net --observe obs0=8"), gum), "no value is given for it"},
		{args(words("--network gum.net --observe obs0=[8,9] --observe obs1=9"), gum), "the value given has shape [2]"},
		{args(words("--network gum.net --observe other=1"), data, gum), "not trained to see other"},
		{args(words("--network gum.net"), data, []string{"--"}, testbed.Simulator(t, "marsaglia", "cpp")), "trained with the simulator gum, this is marsaglia"},
		{args(words("--network gum.net --defensive 2"), data, gum), "--defensive 2"},
		{args(words("--method is --network gum.net"), data, gum), "--network does not go with --method is, but with ic"},
		{args(words("--method ic"), data, gum), "needs a network"},
		{args(words("--network gum.net --prior-inflation 0.5"), data, gum), "does not go with"},
	} {
		_, e := s.run(2, args([]string{"infer", "--out", "x"}, c.args)...)
		if !strings.Contains(e, c.want) || strings.Count(strings.TrimSpace(e), "\n") > 0 {
			t.Errorf("%v: %s", c.args, e)
		}
	}
	for _, c := range []struct{ flags, want string }{
		{"", "which network file"}, {"-o y.net --batch -1", "minibatches"}, {"-o y.net --lstm 0", "LSTM width 0"}, {"-o y.net --lr NaN", "learning rate, NaN"}, {"-o y.net --clip NaN", "NaN"}, {"-o y.net --batch 0", "--batch 0"}, {"-o y.net --lstm 16384 --lstm-depth 16", "weights"}, {"-o gum.net --resume --seed 5", "--seed: a job that goes on takes it from its folder"}, {"-o gum.net --resume -n 10", "with more already"},
		{"-o y.net --schedule foo", `schedule "foo"`}, {"-o y.net --embed obs0", "want NAME=KIND"}, {"-o y.net --embed obs0=nn", "none of ff"},
		{"-o y.net --embed obs0=cnn2d:8:3-x", "neither p"}, {"-o y.net --epochs 0", "--epochs 0"}, {"-o y.net --validation 2", "validation"},
	} {
		_, e := s.run(2, args(words("train "+c.flags), gum)...)
		if !strings.Contains(e, c.want) || strings.Count(strings.TrimSpace(e), "\n") > 0 {
			t.Errorf("train %s: %s", c.flags, e)
		}
	}
	if _, e := s.run(2, args(words("train -o z.net --embed nosuch=ff"), gum)...); !strings.Contains(e, "nosuch: the simulator never observes that") || !strings.Contains(e, "obs0, obs1") {
		t.Error(e)
	}
}

// Addresses that training did not meet are counted and named.
func TestUnseenAddressesAreNamed(t *testing.T) {
	s := newSession(t)
	s.train("branching.net", "branching", "cpp", "-n", "640")
	// The same model in another language has other addresses.
	out, _ := s.run(0, args(words("infer --json --seed 1 -n 200 --out run --network branching.net --observe obs=6 --"), testbed.Simulator(t, "branching", "go"))...)
	w := fmt.Sprint(decoded(t, out)["warnings"])
	if !strings.Contains(w, "200 of 200 traces came to addresses that the network did not meet") || !strings.Contains(w, "__Poisson") {
		t.Error(w)
	}
	if again, _ := s.run(0, "summary", "--json", "run"); !strings.Contains(fmt.Sprint(decoded(t, again)["warnings"]), "did not meet") {
		t.Error(again)
	}
}

func TestPictures(t *testing.T) {
	s := newSession(t)
	tau := []string{"--", testbed.CPP(t, "simulators/tau"), "--small", "{endpoint}"}
	s.run(0, args(words("prior --quiet -n 3 --seed 1 --out events"), tau)...)
	event, _ := s.run(0, words("trace data events 1")...)
	if err := os.WriteFile(filepath.Join(s.dir, "event.json"), []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(0, args(words("infer --quiet -n 200 --seed 1 --out post --observe-file event.json"), tau)...)
	s.run(0, words("plot tensor events 1 calorimeter -o image.png")...)
	s.run(0, words("plot marginals post events --var px --var channel --truth-from events:1 --truth px=1 -o marginals.png")...)
	s.run(0, words("plot marginals post -o all.png")...)
	for _, name := range []string{"image.png", "marginals.png", "all.png"} {
		f, err := os.Open(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(f)
		f.Close()
		if err != nil || img.Bounds().Dx() < 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
	table, _ := s.run(0, words("summary post events --truth-from events:1")...)
	for _, want := range []string{"truth", "mean (2)", "channel", "visible_energy"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	for _, c := range []struct{ command, want string }{
		{"plot tensor events 1 nosuch -o x.png", "no statement named nosuch"}, {"plot tensor events 1 px -o x.png", "cannot be drawn"},
		{"plot marginals post", "which file"}, {"plot marginals post --var nosuch -o x.png", "no variable nosuch"}, {"plot foo", "no verb foo"},
		{"plot marginals post --truth px=a -o x.png", "NAME=NUMBER"}, {"plot marginals post --truth-from events -o x.png", "RUN:DRAW"},
	} {
		if _, e := s.run(2, words(c.command)...); !strings.Contains(e, c.want) {
			t.Errorf("%s: %s", c.command, e)
		}
	}
}

// mortal is a simulator that dies after some runs, if it is told to.
const mortal = `import os
import sys
import ppxsim as ppx

runs = 0

def model():
    global runs
    runs += 1
    mu = ppx.sample(ppx.Normal(1, 2), name="mu")
    if len(sys.argv) > 2 and runs == 25:
        os._exit(3)
    ppx.observe(ppx.Normal(mu, 1), name="y")
    return mu

ppx.serve(model, "mortal", sys.argv[1])
`

// Simulators that die all the while cost time, and change nothing.
func TestTrainingWithDyingSimulators(t *testing.T) {
	s := newSession(t)
	python := testbed.Python(t)
	path := filepath.Join(s.dir, "mortal.py")
	if err := os.WriteFile(path, []byte(mortal), 0o600); err != nil {
		t.Fatal(err)
	}
	var nets []string
	for i, flag := range []string{"", "die"} {
		net := fmt.Sprintf("n%d.net", i)
		simulator := args([]string{"--", python, path, "{endpoint}"}, words(flag))
		out, _ := s.run(0, args(words("train --json --quiet --seed 3 --threads 1 --lstm 16 --head 16 --validation 32 --workers 2 -n 320 -o "+net), simulator)...)
		if died := strings.Contains(out, "lost with their simulator"); died != (i == 1) {
			t.Error(out)
		}
		b, err := os.ReadFile(filepath.Join(s.dir, net))
		if err != nil {
			t.Fatal(err)
		}
		nets = append(nets, string(b))
	}
	if nets[0] != nets[1] {
		t.Error("another network than that of simulators that live")
	}
}

// A network file can be read with safetensors' own library.
func TestNetworkIsReadableFromPython(t *testing.T) {
	s := newSession(t)
	s.train("gum.net", "gum", "cpp", "-n", "640")
	cmd := exec.Command(testbed.Python(t), "-c", `
import json
from safetensors import safe_open
with safe_open("gum.net", "numpy") as f:
    meta = f.metadata()
    assert meta["format"] == "ppx-network" and meta["version"] == "1"
    info = json.loads(meta["network"])
    assert info["model"] == "gum" and info["observables"][0]["members"] == ["obs0", "obs1"] and info["places"][0]["kind"] == "Normal"
    assert f.get_tensor("lstm0.weight_h").shape == (128, 32)
    assert sum(f.get_tensor(k).size for k in f.keys()) > 10000
`)
	cmd.Dir = s.dir
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, b)
	}
}
