package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// What --json prints is a promise (docs/command-line.md): fields may be added, none changes or goes away within a schema. The
// files in testdata/golden hold it; -update writes them anew, and the difference is to be read.
var update = flag.Bool("update", false, "write the golden files anew")

// goldenModel has everything that JSON shows: names that repeat, absence, a tensor, tags, discrete values, addresses of its own.
func goldenModel(r *gosim.Run) gosim.Tensor {
	at := func(a string) gosim.Site { return gosim.Site{Address: a} }
	a := r.SampleAt(at("a1"), "a", gosim.Normal(1, 2))
	b := r.SampleAt(at("a2"), "a", gosim.Uniform(0, 1))
	if k := r.SampleAt(at("k"), "k", gosim.Bernoulli(0.3)); k == 1 {
		r.SampleAt(at("maybe"), "maybe", gosim.Poisson(4))
	}
	v := r.SampleTensorAt(at("v"), "v", gosim.Tensors(dist.Normal, gosim.Vector(0, 1), gosim.Scalar(1)))
	r.TagTensor(at("t"), "t", gosim.Vector(a+b, v.Data[0]))
	r.ObserveAt(at("y"), "y", gosim.Normal(a, 1))
	r.ObserveAt(at("z"), "z", gosim.Normal(b, 1)) // without data
	return gosim.Scalar(a)
}

func TestGolden(t *testing.T) {
	s := newSession(t)
	sim := model("golden")
	s.run(0, args(words("infer --quiet --seed 1 -n 300 --observe y=2 --likelihood-importance 0.5 --out run"), sim)...)
	s.run(0, args(words("prior --quiet --seed 1 -n 50 --out prior"), sim)...)
	s.run(0, args(words("train --quiet --seed 1 -n 640 --lstm 8 --head 8 --components 2 --validation 64 --threads 1 -o x.net"), sim)...)
	if err := os.WriteFile(filepath.Join(s.dir, "sets.jsonl"), []byte("{\"y\": 2}\n{\"y\": 0}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(0, args(words("calibrate --quiet --seed 1 -n 20 --max-draws 500 --data y --out calibration"), sim)...)
	for name, c := range map[string]struct {
		args  []string
		shape bool // the numbers depend on the processor: only their places count
		code  int
	}{
		"prior":           {args: args(words("prior --json --seed 1 -n 50 --out p2"), sim)},
		"infer":           {args: args(words("infer --json --seed 1 -n 300 --observe y=2 --out i2"), sim)},
		"infer-none":      {args: args(words("infer --json --seed 1 -n 5 --observe y=2 --out i3"), sim)},
		"infer-network":   {args: args(words("infer --json --seed 1 -n 20 --observe y=2 --observe z=0 --network x.net --out i4"), sim), shape: true},
		"summary":         {args: words("summary --json run")},
		"summary-full":    {args: words("summary --json --full run")},
		"train":           {args: args(words("train --json --seed 1 -n 640 --lstm 8 --head 8 --components 2 --validation 64 --threads 1 -o y.net"), sim), shape: true},
		"check":           {args: args(words("check --json --seed 1"), sim), shape: true},
		"trace-ls":        {args: words("trace ls --json -n 5 run")},
		"trace-show":      {args: words("trace show --json run 3")},
		"trace-data":      {args: words("trace data prior 3")},
		"trace-latents":   {args: words("trace data --latents prior 3")},
		"trace-types":     {args: words("trace types --json run")},
		"trace-addresses": {args: words("trace addresses --json run")},
		"trace-graph":     {args: words("trace graph --json --of sample,observe,tag run")},
		"trace-grep":      {args: append(words("trace grep --json -n 3 run"), `name == "a" and value > 1`)},
		"trace-replay":    {args: args(words("trace replay --json run 3"), sim)},
		"trace-hist":      {args: words("trace hist --json run a --with prior")},
		"trace-pairs":     {args: words("trace pairs --json run a result")},
		"trace-diff":      {args: words("trace diff --json prior run")},
		"trace-diff-two":  {args: words("trace diff --json run 3 4")},
		"trace-intervene": {args: args(words("trace intervene --json --quiet --seed 1 run 3 --set a=1"), sim)},
		"trace-why":       {args: args(words("trace why --json --quiet --seed 1 --traces 20 run"), sim)},
		"version":         {args: words("version --json")},
		"diagnose":        {args: words("diagnose --json run")},
		"compare":         {args: words("compare --json run prior")},
		"calibrate":       {args: args(words("calibrate --json --quiet --seed 1 -n 20 --max-draws 500 --data y --out cc"), sim)},
		"each":            {args: args(words("infer --json --quiet --seed 1 -n 100 --each sets.jsonl --out ee"), sim)},
		"infer-chains":    {args: args(words("infer --json --quiet --method rmh --chains 2 --warmup 50 --seed 1 -n 100 --observe y=2 --out ch"), sim)},
		"predict":         {args: words("predict --json --quiet --seed 1 -n 200 run --out pj")},
		"derive":          {args: words("derive --json run -o dd --let s=a^2 --thin 2")},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := s.run(c.code, c.args...)
			golden(t, name, []byte(out), c.shape)
		})
	}
	for name, command := range map[string]string{"summary": "summary run --plot a", "summary-two": "summary run prior --truth-from prior:3", "trace-ls": "trace ls -n 5 run",
		"trace-show": "trace show -n 4 run 3", "trace-types": "trace types run", "trace-addresses": "trace addresses run", "trace-graph": "trace graph --of sample,observe,tag run", "trace-replay": "trace replay run 3", "diagnose": "diagnose run", "compare": "compare run prior run", "predict": "predict --quiet --seed 1 -n 200 run --out pt", "calibrate": "calibrate --quiet --resume --out calibration", "job": "infer --print-job --job run"} {
		t.Run(name, func(t *testing.T) {
			out, _ := s.run(0, words(command)...)
			goldenText(t, name, out)
		})
	}
	for name, path := range map[string]string{"run.json": "run/run.json", "train.json": "x.net.train/train.json"} {
		b, err := os.ReadFile(filepath.Join(s.dir, path))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "manifest-"+strings.TrimSuffix(name, ".json"), b, name == "train.json")
	}
}

// goldenText compares a text with its file.
func goldenText(t *testing.T, name, got string) {
	t.Helper()
	if name == "trace-ls" { // whose column of seconds is as wide as it is
		got = regexp.MustCompile(`  +`).ReplaceAllString(got, "  ")
		got = regexp.MustCompile(`(?m)  \S+  (\S+)$`).ReplaceAllString(got, "  …  $1")
	}
	got = regexp.MustCompile(`"/[^"]*test[^"]*"`).ReplaceAllString(got, `"…"`)
	path := filepath.Join(testbed.Root(), "testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs from %s (go test ./cmd/ppx -run Golden -update writes it anew):\n%s", name, path, firstDifference(string(want), got))
	}
}

// golden compares a JSON object with its file.
func golden(t *testing.T, name string, got []byte, shape bool) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(got))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v in %q", name, err, got)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(normal(v, shape)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(testbed.Root(), "testdata", "golden", name+".json")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s differs from %s (go test ./cmd/ppx -run Golden -update writes it anew):\n%s", name, path, firstDifference(string(want), b.String()))
	}
}

// varying are the fields that differ from run to run.
var varying = map[string]bool{"seconds": true, "traces_per_second": true, "round_trips_per_second": true, "sets_per_second": true, "version": true, "ppx_version": true,
	"started": true, "ended": true, "host": true, "command": true, "systems": true, "system": true, "sha256": true, "elapsed": true}

// normal is a value without what differs from run to run, its numbers to ten digits: compilers may fuse operations.
func normal(v any, shape bool) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if varying[k] {
				v[k] = "varies"
			} else {
				v[k] = normal(x, shape)
			}
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i], shape)
		}
		if shape && len(v) > 1 && allNumbers(v) {
			return v[:1]
		}
	case json.Number:
		x, err := v.Float64()
		switch {
		case shape:
			return "number"
		case err == nil && x != math.Trunc(x):
			return json.Number(strconv.FormatFloat(x, 'g', 10, 64))
		}
	case string:
		if shape && strings.ContainsAny(v, "0123456789") {
			return "text"
		}
	case nil:
		if shape {
			return "number"
		}
	}
	return v
}

func allNumbers(list []any) bool {
	for _, x := range list {
		if x != "number" {
			return false
		}
	}
	return true
}

// firstDifference is the first lines that differ.
func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "line " + strconv.Itoa(i+1) + ": " + b[i] + "\nwant " + a[i]
		}
	}
	return "one is longer than the other"
}
