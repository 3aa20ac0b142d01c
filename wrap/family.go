package wrap

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// family is a distribution as it is written in a file: Gamma(2, 0.5), Normal(value, 0.1*value).
type family struct {
	kind dist.Kind
	args []*expression.Expression // one for each parameter; of a row, one for each of its numbers
	rows bool
}

// written are families that are none of the kinds' own.
var written = map[string]struct {
	kind dist.Kind
	n    int // of parameters
	of   func(p []string) []string
}{
	"NegativeBinomial": {dist.NegativeBinomial2, 2, func(p []string) []string { return []string{fmt.Sprintf("(%s)*(%s)/(1-(%s))", p[0], p[1], p[1]), p[0]} }},
	"ChiSquared":       {dist.Gamma, 1, func(p []string) []string { return []string{fmt.Sprintf("(%s)/2", p[0]), "0.5"} }},
}

// families are the names of those that can be written.
func families() (names []string) {
	for k := dist.Normal; k <= dist.BetaBinomial; k++ {
		names = append(names, k.String())
	}
	return append(names, "ChiSquared", "NegativeBinomial")
}

// parseFamily reads a distribution whose parameters are formulas of some names.
func parseFamily(text string, names []string) (f *family, err error) {
	name, rest, ok := strings.Cut(strings.TrimSpace(text), "(")
	name = strings.TrimSpace(name)
	if text == "" {
		return nil, errors.New(`it is missing: "Normal(0, 1)"`)
	}
	if !ok || !strings.HasSuffix(rest, ")") {
		return nil, fmt.Errorf("%s is no distribution, such as Normal(0, 1)", ppx.Quote(text))
	}
	args := split(rest[:len(rest)-1])
	f = &family{}
	if w, ok := written[name]; ok {
		if len(args) != w.n {
			return nil, fmt.Errorf("%s has %d parameters, not %d", name, w.n, len(args))
		}
		f.kind, args = w.kind, w.of(args)
	} else {
		all := families()
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no family %s; there are %s", ppx.Quote(name), strings.Join(all, ", "))
		}
		f.kind, _ = dist.KindByName(name)
	}
	if f.rows = f.kind == dist.Categorical; f.rows {
		if len(args) == 1 && strings.HasPrefix(args[0], "[") && strings.HasSuffix(args[0], "]") {
			args = split(args[0][1 : len(args[0])-1])
		}
	} else if want := f.kind.Params(); len(args) != len(want) {
		return nil, fmt.Errorf("%s has the parameters %s: %d, not %d", name, strings.Join(want, ", "), len(want), len(args))
	}
	if args, err = inOrder(f.kind, args); err != nil {
		return nil, err
	}
	for _, a := range args {
		e, err := expression.Compile(a, names)
		if err != nil {
			if len(names) == 0 {
				return nil, fmt.Errorf("%s is not a number", ppx.Quote(a))
			}
			return nil, err
		}
		f.args = append(f.args, e)
	}
	if !slices.ContainsFunc(f.args, func(e *expression.Expression) bool { return len(e.Names) > 0 }) {
		d, err := f.dist(nil, ppx.Tensor{Data: []float64{0}})
		if err != nil {
			return nil, err
		}
		if err := d.Check(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// inOrder takes the names from parameters that are written with them, and puts those into the family's order.
func inOrder(kind dist.Kind, args []string) ([]string, error) {
	params := kind.Params()
	out := slices.Clone(args)
	named := 0
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok || strings.HasPrefix(value, "=") {
			continue
		}
		k := slices.Index(params, strings.TrimSpace(name))
		if k < 0 || k >= len(out) {
			return nil, fmt.Errorf("%s has no parameter %s; it has %s", kind, ppx.Quote(strings.TrimSpace(name)), strings.Join(params, ", "))
		}
		named++
		out[k] = strings.TrimSpace(value)
	}
	if named > 0 && named < len(args) {
		return nil, fmt.Errorf("name all parameters of %s, or none", kind)
	}
	return out, nil
}

// split takes apart what commas separate outside of brackets.
func split(text string) (parts []string) {
	depth, from := 0, 0
	for i, c := range text {
		switch c {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		}
	}
	return append(parts, strings.TrimSpace(text[from:]))
}

// dist is the distribution for given values of the names; where value is a tensor that a parameter depends on, so is the parameter.
func (f *family) dist(values map[string]float64, value ppx.Tensor) (ppx.Dist, error) {
	d := ppx.Dist{Kind: f.kind}
	var failed error
	eval := func(e *expression.Expression, i int) float64 {
		v, ok := e.Eval(func(name string) (float64, bool) {
			if name == "value" {
				return value.Data[i], true
			}
			v, ok := values[name]
			return v, ok
		})
		if !ok && failed == nil {
			failed = errors.New("a formula of it has no value")
		}
		return v
	}
	if f.rows {
		row := make([]float64, len(f.args))
		for i, e := range f.args {
			row[i] = eval(e, 0)
		}
		d.Params = []ppx.Tensor{dist.Vector(row...)}
		return d, failed
	}
	for _, e := range f.args {
		if !slices.Contains(e.Names, "value") {
			d.Params = append(d.Params, dist.Scalar(eval(e, 0)))
			continue
		}
		t := ppx.Tensor{Data: make([]float64, len(value.Data)), Shape: value.Shape}
		for i := range t.Data {
			t.Data[i] = eval(e, i)
		}
		d.Params = append(d.Params, t)
	}
	return d, failed
}

// short is a value in words.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
