package adapters_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// vectors are the programs that compute what the test vectors ask for, line by line (adapters/cpp/tests/vectors.cpp).
var vectors = map[string]func(t *testing.T) *exec.Cmd{
	"cpp": func(t *testing.T) *exec.Cmd { return exec.Command(testbed.CPP(t, "adapters/cpp/tests/ppx_vectors")) },
	"python": func(t *testing.T) *exec.Cmd {
		return exec.Command(testbed.Python(t), filepath.Join(testbed.Root(), "adapters/python/tests/vectors.py"))
	},
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testbed.Root(), "testdata", name))
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every client draws the same values from the same key, and names sites alike; package ppx/dist has its own
// test with the same vectors.
func TestVectors(t *testing.T) {
	type sample struct {
		Kind               string
		Params             []any
		Seed, Draw         string
		Stream             uint64
		Statement, Purpose uint64
		Values             []float64
	}
	var ask []string
	var want []any
	for wide, name := range []string{"dist/samples.json", "dist/widened.json"} {
		var rows []sample
		load(t, name, &rows)
		for _, r := range rows {
			k, _ := dist.KindByName(r.Kind)
			line := fmt.Sprintf("sample %d %d %s %d %d %s %d %d", k, wide, r.Seed, r.Stream, r.Statement, r.Draw, r.Purpose, len(r.Values))
			for _, p := range r.Params {
				line += " " + strings.TrimSuffix(fmt.Sprint(p), "inity") // of an infinite one, a text
			}
			ask, want = append(ask, line), append(want, r.Values)
		}
	}
	var places []struct {
		Address    string
		Kind       dist.Kind
		Categories int
		Base       string
	}
	load(t, "identity.json", &places)
	for _, p := range places {
		d := dist.Dist{Kind: p.Kind}
		if p.Categories > 0 {
			d = dist.New(p.Kind, make([]float64, p.Categories)...)
		}
		if got := ppx.AddressBase(p.Address, &d); got != p.Base {
			t.Errorf("Go: the base of %+v is %s", p, got)
		}
		ask, want = append(ask, fmt.Sprintf("base %d %d %s", p.Kind, p.Categories, p.Address)), append(want, p.Base)
	}
	for language, command := range vectors {
		t.Run(language, func(t *testing.T) {
			cmd := command(t)
			cmd.Stdin = strings.NewReader(strings.Join(ask, "\n") + "\n")
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(bytes.TrimRight(out, "\n")), "\n")
			if len(lines) != len(want) {
				t.Fatalf("%d answers to %d questions", len(lines), len(want))
			}
			for i, line := range lines {
				values, ok := want[i].([]float64)
				if !ok {
					if line != want[i] {
						t.Errorf("%s: %q, want %q", ask[i], line, want[i])
					}
					continue
				}
				got := strings.Fields(line)
				if len(got) != len(values) {
					t.Errorf("%s: %d values", ask[i], len(got))
					continue
				}
				for k, w := range values {
					if x, err := strconv.ParseFloat(got[k], 64); err != nil || !(math.Abs(x-w) <= 1e-12*math.Abs(w)+1e-300) {
						t.Errorf("%s: value %d is %s, want %.17g", ask[i], k, got[k], w)
					}
				}
			}
		})
	}
}
