package wrap

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// maxOutput is how many bytes of a file or stream are looked at.
const maxOutput = 1 << 30

// find reads an output's numbers from what the program has written.
func (o *Output) find(text []byte) (ppx.Tensor, error) {
	t, err := o.numbers(text)
	if err != nil {
		return t, fmt.Errorf("output %s: %w", o.Name, err)
	}
	if o.Count > 0 && len(t.Data) != o.Count {
		return t, fmt.Errorf("output %s: %d numbers in %s, there are to be %d", o.Name, len(t.Data), o.From, o.Count)
	}
	if n := len(t.Data); n > dist.MaxElements {
		return t, fmt.Errorf("output %s: %d numbers, at most %d", o.Name, n, dist.MaxElements)
	}
	return t, nil
}

func (o *Output) numbers(text []byte) (ppx.Tensor, error) {
	switch {
	case o.regex != nil:
		var values []float64
		for _, m := range o.regex.FindAllSubmatch(text, -1) {
			v, err := parse(string(m[len(m)-1]))
			if err != nil {
				return ppx.Tensor{}, err
			}
			values = append(values, v)
		}
		if len(values) == 0 {
			return ppx.Tensor{}, fmt.Errorf("nothing in %s is like %s", o.From, ppx.Quote(o.Regex))
		}
		return o.tensor(values), nil
	case o.JSON != "":
		return o.fromJSON(text)
	case o.CSV != "":
		return o.fromCSV(text)
	}
	return rundir.ReadNPY(bytes.NewReader(text), int64(len(text)))
}

// tensor is one number, or a row of several.
func (o *Output) tensor(values []float64) ppx.Tensor {
	if len(values) == 1 && o.Count == 0 {
		return dist.Scalar(values[0])
	}
	return dist.Vector(values...)
}

func parse(s string) (float64, error) {
	s = strings.TrimSpace(s)
	v, err := strconv.ParseFloat(strings.NewReplacer("D", "e", "d", "e").Replace(s), 64) // Fortran's exponents
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is not a number", ppx.Quote(s))
	}
	return v, nil
}

// fromJSON follows a path: .fit.chi2, .points[0], .rows.
func (o *Output) fromJSON(text []byte) (t ppx.Tensor, err error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return t, fmt.Errorf("%s is no JSON: %w", o.From, err)
	}
	path := o.JSON
	for path != "" {
		switch {
		case path[0] == '.':
			end := strings.IndexAny(path[1:], ".[")
			key := path[1:]
			if end >= 0 {
				key = path[1 : 1+end]
			}
			path = path[1+len(key):]
			if key == "" {
				continue
			}
			m, ok := v.(map[string]any)
			if ok {
				v, ok = m[key]
			}
			if !ok {
				return t, fmt.Errorf("the JSON of %s has no %s of %s", o.From, ppx.Quote(key), o.JSON)
			}
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			i, bad := strconv.Atoi(path[1:max(end, 1)])
			list, ok := v.([]any)
			if end < 0 || bad != nil || !ok || i < 0 || i >= len(list) {
				return t, fmt.Errorf("the JSON of %s has no %s", o.From, o.JSON)
			}
			v, path = list[i], path[end+1:]
		default:
			path = "." + path
		}
	}
	return nested(v)
}

// nested is a number, or lists of them that are all alike.
func nested(v any) (t ppx.Tensor, err error) {
	switch v := v.(type) {
	case json.Number:
		x, err := parse(v.String())
		return dist.Scalar(x), err
	case bool:
		x := 0.0
		if v {
			x = 1
		}
		return dist.Scalar(x), nil
	case []any:
		t.Data = []float64{}
		for i := range v {
			part, err := nested(v[i])
			if err != nil {
				return t, err
			}
			if i == 0 {
				t.Shape = append([]int32{int32(len(v))}, part.Shape...)
			} else if dist.ShapeString(part.Shape) != dist.ShapeString(t.Shape[1:]) {
				return t, errors.New("its lists are of different lengths")
			}
			t.Data = append(t.Data, part.Data...)
		}
		if len(v) == 0 {
			t.Shape = []int32{0}
		}
		return t, nil
	}
	return t, fmt.Errorf("%v is not a number", v)
}

// fromCSV reads a column, by its name in the first line or by its number from 0.
func (o *Output) fromCSV(text []byte) (t ppx.Tensor, err error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.TrimLeadingSpace, r.FieldsPerRecord = true, -1
	if first, _, _ := bytes.Cut(text, []byte("\n")); !bytes.Contains(first, []byte(",")) {
		switch {
		case bytes.Contains(first, []byte(";")):
			r.Comma = ';'
		case bytes.Contains(first, []byte("\t")):
			r.Comma = '\t'
		}
	}
	rows, err := r.ReadAll()
	if err != nil {
		return t, err
	}
	if len(rows) == 0 {
		return t, fmt.Errorf("%s is empty", o.From)
	}
	// With a line of names, or without.
	first := 1
	if !slices.ContainsFunc(rows[0], func(cell string) bool { _, err := parse(cell); return err != nil }) {
		first = 0
	}
	column := slices.IndexFunc(rows[0], func(name string) bool { return first == 1 && strings.TrimSpace(name) == o.CSV })
	if column < 0 {
		if column, err = strconv.Atoi(o.CSV); err != nil || column < 0 {
			return t, fmt.Errorf("%s has no column %s; it has %s", o.From, ppx.Quote(o.CSV), strings.Join(rows[0], ", "))
		}
	}
	t.Data = []float64{}
	for i, row := range rows[first:] {
		if column >= len(row) {
			return t, fmt.Errorf("line %d of %s has %d columns", first+i+1, o.From, len(row))
		}
		v, err := parse(row[column])
		if err != nil {
			return t, fmt.Errorf("line %d of %s: %w", first+i+1, o.From, err)
		}
		t.Data = append(t.Data, v)
	}
	t.Shape = []int32{int32(len(t.Data))}
	return t, nil
}
