package testbed

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// VariableVector is a case of testdata/variables.json: the traces of a run, and what their variables are called.
type VariableVector struct {
	Name      string
	Traces    []*tracing.Trace
	Variables []struct {
		Name   string
		Values []*float64 // by trace; nil: it lacks the variable
	}
}

// VariableVectors reads testdata/variables.json.
func VariableVectors(t *testing.T) (out []VariableVector) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(), "testdata", "variables.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name   string
			Traces []struct {
				Statements [][]any
				Result     any
			}
			Variables [][2]any
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		v := VariableVector{Name: c.Name}
		table := tracing.NewTable()
		for i, tr := range c.Traces {
			var b tracing.Builder
			b.Reset(table, uint64(i), 0)
			visits := map[uint32]uint32{}
			for _, s := range tr.Statements {
				e, value := statement(table, s)
				visits[e.Address]++
				e.Instance = visits[e.Address]
				d := normal
				if e.Op == ppx.Tag {
					b.Add(e, value, nil)
					continue
				}
				b.Add(e, value, &d)
			}
			result := ppx.Tensor{}
			if tr.Result != nil {
				result = nested(tr.Result)
			}
			v.Traces = append(v.Traces, b.Finish(result, 0, 0.001))
		}
		for _, x := range c.Variables {
			var values []*float64
			for _, y := range x[1].([]any) {
				if y == nil {
					values = append(values, nil)
					continue
				}
				z := number(y)
				values = append(values, &z)
			}
			v.Variables = append(v.Variables, struct {
				Name   string
				Values []*float64
			}{x[0].(string), values})
		}
		out = append(out, v)
	}
	return out
}

var normal = dist.Dist{Kind: dist.Normal, Params: []dist.Tensor{dist.Scalar(0), dist.Scalar(1)}}

func statement(table *tracing.Table, s []any) (tracing.Site, ppx.Tensor) {
	op := map[string]ppx.Type{"sample": ppx.Sample, "observe": ppx.Observe, "tag": ppx.Tag}[s[0].(string)]
	name := s[1].(string)
	e := tracing.Site{Op: op, Name: table.InternName(name), Control: true}
	kind := dist.Normal
	switch op {
	case ppx.Tag:
		kind, e.Origin = dist.None, tracing.FromModel
	case ppx.Observe:
		if len(s) > 3 {
			e.Origin = tracing.FromData
		}
	}
	e.Kind = kind
	base := fmt.Sprintf("%s/%s", s[0], name)
	if kind != dist.None {
		base = ppx.AddressBase(base, &normal)
	}
	e.Address = table.Intern(base, op, kind)
	return e, nested(s[2])
}

// nested is a number, or nested lists of numbers, as a tensor.
func nested(x any) ppx.Tensor {
	list, ok := x.([]any)
	if !ok {
		return dist.Scalar(number(x))
	}
	out := ppx.Tensor{Data: []float64{}, Shape: []int32{int32(len(list))}}
	for i, y := range list {
		t := nested(y)
		out.Data = append(out.Data, t.Data...)
		if i == 0 {
			out.Shape = append(out.Shape, t.Shape...)
		}
	}
	return out
}

func number(x any) float64 {
	if v, ok := x.(float64); ok {
		return v
	}
	v, err := strconv.ParseFloat(x.(string), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}
