package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// parseData reads --observe and --observe-file. With missing, elements that are null or NaN stay NaN: they are left out.
func parseData(ctx context.Context, observe, files []string, missing bool) (map[string]jobs.Datum, error) {
	data := map[string]jobs.Datum{}
	add := func(where, name string, d jobs.Datum) error {
		t := d.Value
		_, given := data[name]
		switch {
		case name == "":
			return usagef("%s: a value without a name", where)
		case given:
			return usagef("%s: %s is given twice", where, ppx.Quote(name))
		case len(t.Data) == 0:
			return usagef("%s: %s is empty", where, ppx.Quote(name))
		}
		for i, v := range t.Data {
			switch {
			case math.IsInf(v, 0):
				return usagef("%s: %s holds %g; data must be finite", where, ppx.Quote(name), v)
			case v == v:
			case !missing:
				return usagef("%s: %s is not a number: data must be finite; --missing ok leaves out elements that are null or NaN", where, elementName(name, i, t.Shape))
			}
		}
		data[name] = d
		return nil
	}
	for _, f := range files {
		values, err := readDataFile(ctx, f)
		if err != nil {
			var file *fs.PathError
			if errors.As(err, &file) {
				err = fmt.Errorf("%s: %w", file.Path, file.Err)
			}
			return nil, usagef("--observe-file %w", err)
		}
		for _, v := range values {
			if err := add("--observe-file "+f, v.name, jobs.Datum{Value: v.value}); err != nil {
				return nil, err
			}
		}
	}
	for _, o := range observe {
		name, d, err := parseObservation(ctx, o)
		if err != nil {
			return nil, err
		}
		if err := add("--observe", name, d); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// parseObservation reads NAME=VALUE. A name may hold "=" itself: the first place after which a value stands parts them.
func parseObservation(ctx context.Context, o string) (name string, d jobs.Datum, err error) {
	for at, c := range o {
		if c != '=' {
			continue
		}
		v, e := parseValue(ctx, o[at+1:])
		if e == nil {
			d.Value = v
			if path, ok := strings.CutPrefix(o[at+1:], "@"); ok {
				d.File = &jobs.Ref{File: path}
			}
			return o[:at], d, nil
		}
		if err == nil {
			err = usagef("--observe %s: %w", ppx.Quote(o[:at]), e)
		}
	}
	if err == nil {
		err = usagef("--observe %s: want NAME=VALUE", ppx.Quote(o))
	}
	return "", d, err
}

// elementName names element i of a value: x, or x[1,2].
func elementName(name string, i int, shape []int32) string {
	name = ppx.Quote(name)
	if len(shape) > 0 {
		name += tracing.Subscript(i, shape)
	}
	return name
}

// parseValue reads a number, a JSON array, or @FILE.npy.
func parseValue(ctx context.Context, text string) (ppx.Tensor, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		return readNPY(ctx, path)
	}
	if v, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && !strings.ContainsAny(text, "_xX") { // Go's numbers, which are no one else's
		return dist.Scalar(v), nil
	}
	where := &lines{in: strings.NewReader(strings.ReplaceAll(text, "NaN", "null"))} // there are no strings in an array of numbers
	d := json.NewDecoder(where)
	t, err := decodeTensor(d)
	if len(t.Shape) == 0 && len(t.Data) == 0 || err != nil && strings.TrimSpace(text) != "" && !strings.HasPrefix(strings.TrimSpace(text), "[") {
		return t, fmt.Errorf("\"%s\" is neither a number, nor a JSON array, nor @FILE.npy", ppx.Quote(text))
	}
	if err != nil {
		return t, where.jsonError(d, err)
	}
	return t, where.atEnd(d, "the value")
}
