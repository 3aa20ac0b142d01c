package adapters_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	for _, r := range rowQuestions(t) {
		ask, want = append(ask, r.ask), append(want, r.want)
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
				size := 1e-300 // of what a value may be a sum of
				if r, ok := want[i].(rowValues); ok {
					want[i], size = r.values, math.Max(1e-300, 1e-3*r.size)
				}
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
					if x, err := strconv.ParseFloat(got[k], 64); err != nil || !(math.Abs(x-w) <= 1e-12*math.Abs(w)+1e-9*size) {
						t.Errorf("%s: value %d is %s, want %.17g", ask[i], k, got[k], w)
					}
				}
			}
		})
	}
}

// rowValues are numbers that are sums of others, of some size.
type rowValues struct {
	values []float64
	size   float64
}

type rowQuestion struct {
	ask  string
	want any
}

// rowQuestions are those about distributions of which parameters are rows: draws, which one parameter says how many there are, and what is invalid.
func rowQuestions(t *testing.T) (out []rowQuestion) {
	type tensor struct {
		Data  []any
		Shape []int32
	}
	var vectors []struct {
		Kind              string
		Params            []tensor
		Seed, Draw        string
		Stream, Statement uint64
		Samples, Widened  [][]float64
	}
	load(t, "dist/rows.json", &vectors)
	text := func(p tensor, times int) string {
		shape := p.Shape
		if times > 1 {
			shape = append([]int32{int32(times)}, shape...)
		}
		line := fmt.Sprintf(" %d", len(shape))
		for _, d := range shape {
			line += fmt.Sprintf(" %d", d)
		}
		for range times {
			for _, x := range p.Data {
				line += fmt.Sprintf(" %v", x)
			}
		}
		return line
	}
	for _, v := range vectors {
		k, _ := dist.KindByName(v.Kind)
		if k == dist.Factor { // nothing is drawn
			continue
		}
		size := 0.0
		for _, p := range v.Params {
			for _, x := range p.Data {
				size = math.Max(size, math.Abs(x.(float64)))
			}
		}
		for wide, rows := range [][][]float64{v.Samples, v.Widened} {
			line := fmt.Sprintf("rows %d %d %s %d %d %s %d", k, wide, v.Seed, v.Stream, v.Statement, v.Draw, wide)
			for i, p := range v.Params {
				times := 1
				if i == len(v.Params)-1 { // the others broadcast
					times = len(rows)
				}
				line += text(p, times)
			}
			out = append(out, rowQuestion{line, rowValues{slices.Concat(rows...), size}})
		}
	}
	for _, line := range []string{"28 0 1 1 1 1 0 1 2 1 0", "29 0 1 1 1 1 0 1 2 0 0 2 2 2 1 0 0 -1", "29 0 1 1 1 1 0 1 2 0 0 2 2 2 1 1 0 1", "29 0 1 1 1 1 0 1 3 0 0 0 2 2 2 1 0 0 1",
		"30 0 1 1 1 1 0 0 0 1 1 0 2 1 1 1", "31 0 1 1 1 1 0 0 2.5 1 2 1 1", "31 0 1 1 1 1 0 0 2 1 2 0 0", "32 0 1 1 1 1 0 1 2 1 4 1 2 1 1 1 3 0 1 2", "32 0 1 1 1 1 0 1 2 1 1 1 2 0 0 1 4 0 1 0 1",
		"32 0 1 1 1 1 0 1 2 1 1 1 2 1 1 1 4 0 1 0 -1", "33 0 1 1 1 1 0 1 1 3 1 1 1 1 1 1", "34 0 1 1 1 1 0 1 2 1 1 1 2 1 1", "34 0 1 1 1 1 0 1 2 1 2 1 1 1", "35 0 1 1 1 1 0 1 2 1 2 1 2 1 1"} {
		out = append(out, rowQuestion{"rows " + line, "invalid"})
	}
	return out
}
