// Package view is the results of ppx as they are shown: one JSON shape each, and the text of the same. Names, values and errors that come from
// simulators are escaped in text.
package view

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// Schema is the version of all JSON that ppx prints (docs/command-line.md).
const Schema = 2

// Number is a float64 that JSON shows as null when it is NaN or infinite.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// JSON writes a value in one line.
func JSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}

// Tensor shows a tensor as shape and data; no value is null.
type Tensor ppx.Tensor

// MarshalJSON implements json.Marshaler.
func (t Tensor) MarshalJSON() ([]byte, error) {
	if t.Data == nil {
		return []byte("null"), nil
	}
	var b strings.Builder
	if err := JSON(&b, map[string]any{"shape": append([]int32{}, t.Shape...), "data": Numbers(t.Data)}); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSpace(b.String())), nil
}

// Numbers are those of a slice.
func Numbers(v []float64) []Number {
	out := make([]Number, len(v))
	for i, x := range v {
		out[i] = Number(x)
	}
	return out
}

// Nested is a value as nested arrays.
func Nested(v ppx.Tensor) any {
	var build func(shape []int32, data []float64) any
	build = func(shape []int32, data []float64) any {
		if len(shape) == 0 {
			return Number(data[0])
		}
		out := make([]any, shape[0])
		for k := range out {
			n := len(data) / int(shape[0])
			out[k] = build(shape[1:], data[k*n:(k+1)*n])
		}
		return out
	}
	if len(v.Data) == 0 {
		return []any{}
	}
	return build(v.Shape, v.Data)
}
