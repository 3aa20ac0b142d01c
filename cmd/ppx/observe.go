package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// parseData reads --observe and --observe-file.
func parseData(observe, files []string) (control.Data, error) {
	data := control.Data{}
	add := func(where, name string, t ppx.Tensor) error {
		if name == "" {
			return usagef("%s: a value without a name", where)
		}
		if _, ok := data[name]; ok {
			return usagef("%s: %s is given twice", where, ppx.Quote(name))
		}
		if len(t.Data) == 0 {
			return usagef("%s: %s is empty", where, ppx.Quote(name))
		}
		for _, v := range t.Data {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return usagef("%s: %s holds %g; data must be finite", where, ppx.Quote(name), v)
			}
		}
		data[name] = t
		return nil
	}
	for _, f := range files {
		values, err := readDataFile(f)
		if err != nil {
			return nil, usageError{err}
		}
		for _, v := range values {
			if err := add("--observe-file "+f, v.name, v.value); err != nil {
				return nil, err
			}
		}
	}
	for _, o := range observe {
		name, text, ok := strings.Cut(o, "=")
		if !ok {
			return nil, usagef("--observe %s: want NAME=VALUE", ppx.Quote(o))
		}
		t, err := parseValue(text)
		if err != nil {
			return nil, usagef("--observe %s: %w", ppx.Quote(name), err)
		}
		if err := add("--observe", name, t); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// parseValue reads a number, a JSON array, or @FILE.npy.
func parseValue(text string) (ppx.Tensor, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		f, err := os.Open(path)
		if err != nil {
			return ppx.Tensor{}, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return ppx.Tensor{}, err
		}
		t, err := rundir.ReadNPY(f, info.Size())
		if err != nil {
			return ppx.Tensor{}, fmt.Errorf("%s: %w", path, err)
		}
		return t, nil
	}
	if v, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
		return dist.Scalar(v), nil
	}
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&v); err != nil || d.More() {
		return ppx.Tensor{}, fmt.Errorf("\"%s\" is neither a number, nor a JSON array, nor @FILE.npy", ppx.Quote(text))
	}
	return tensorOf(v)
}

// tensorOf turns nested JSON arrays of numbers into a tensor.
func tensorOf(v any) (ppx.Tensor, error) {
	t := ppx.Tensor{Data: []float64{}, Shape: []int32{}}
	var walk func(v any, depth int) error
	walk = func(v any, depth int) error {
		switch v := v.(type) {
		case float64:
			if depth != len(t.Shape) {
				return errors.New("numbers at different depths of the array")
			}
			t.Data = append(t.Data, v)
		case bool:
			x := 0.0
			if v {
				x = 1
			}
			return walk(x, depth)
		case []any:
			if depth == len(t.Shape) {
				if len(t.Data) > 0 || depth == dist.MaxRank {
					return errors.New("numbers at different depths of the array")
				}
				t.Shape = append(t.Shape, int32(len(v)))
			}
			if int(t.Shape[depth]) != len(v) {
				return fmt.Errorf("rows of different lengths (%d and %d)", t.Shape[depth], len(v))
			}
			for _, x := range v {
				if err := walk(x, depth+1); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%v is not a number", v)
		}
		return nil
	}
	err := walk(v, 0)
	return t, err
}

type namedValue struct {
	name  string
	value ppx.Tensor
}

// readDataFile reads a JSON object {"x": 8, "y": [1, 2]}, or a CSV file: a header of names and either one
// row (scalars) or several (each column a vector).
func readDataFile(path string) ([]namedValue, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []namedValue
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(rows) < 2 {
			return nil, fmt.Errorf("%s: want a line of names and at least one line of values", path)
		}
		for c, name := range rows[0] {
			t := ppx.Tensor{}
			for r, row := range rows[1:] {
				v, err := strconv.ParseFloat(strings.TrimSpace(row[c]), 64)
				if err != nil {
					return nil, fmt.Errorf("%s: line %d, column %s: %s is not a number", path, r+2, ppx.Quote(name), ppx.Quote(row[c]))
				}
				t.Data = append(t.Data, v)
			}
			if len(t.Data) > 1 {
				t.Shape = []int32{int32(len(t.Data))}
			}
			out = append(out, namedValue{strings.TrimSpace(name), t})
		}
		return out, nil
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	// Decoded by hand, token by token at the top: a name given twice is an error, not the last one wins.
	d := json.NewDecoder(strings.NewReader(string(b)))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return nil, fmt.Errorf("%s: want a JSON object of names and values (or a .csv file)", path)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		t, err := tensorOf(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, ppx.Quote(fmt.Sprint(key)), err)
		}
		out = append(out, namedValue{fmt.Sprint(key), t})
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}
