package expression

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestExpressions(t *testing.T) {
	values := map[string]float64{"x": 3, "px": 3, "py": 4, "k": 1, "x@2": -2, "v[0]": 10, "v[1,2]": 20, "a b": 7, "and": 5, "log": 9, "n/2": 8, "µ": 2}
	var names []string
	for n := range values {
		names = append(names, n)
	}
	names = append(names, "absent")
	for text, want := range map[string]float64{
		"x": 3, "sqrt(px^2+py^2)": 5, "x^2": 9, "-x^2": -9, "2^3^2": 512, "x@2 + 1": -1, "v[0]+v[1,2]": 30, "`a b`*2": 14, "`and` + 1": 6, "`n/2`": 8, "n/2": 8,
		"x > 2": 1, "x > 2 and k == 1": 1, "x > 2 && not (k == 1)": 0, "x<0 || k==1": 1, "x > 0 ? px : py": 3, "1/2": 0.5, "7 / 2 * 2": 7, "µ*2": 4,
		"max(x, px, 10)": 10, "abs(x@2)": 2, "hypot(3, 4)": 5, "atan2(0, 1)": 0, "mod(7, 4)": 3, "sqrt(4)": 2, "exp(0)": 1, "isnan(x/0 - x/0)": 1, "1e3 + 2.5e-1": 1000.25,
		"x/0": math.Inf(1), "(x)": 3, "x != 3": 0, "x@2<0": 1, "lgamma(5)": math.Log(24), "log10(100)": 2, "3": 3, "floor(2.7)": 2,
	} {
		e, err := Compile(text, names)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		v, ok := e.Eval(func(n string) (float64, bool) { v, ok := values[n]; return v, ok })
		if !ok || math.Abs(v-want) > 1e-12 && v != want {
			t.Errorf("%s is %v, %v, want %v", text, v, ok, want)
		}
	}
	e, err := Compile("absent > 1 or x > 0", names)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Eval(func(n string) (float64, bool) { v, ok := values[n]; return v, ok }); ok || !e.Condition || len(e.Names) != 2 {
		t.Error("it is not absent")
	}
}

// All numbers are real ones: whole ones neither overflow nor are of another type; and nothing takes the parser long.
func TestNumbersAreReal(t *testing.T) {
	for text, want := range map[string]float64{"4000000000*4000000000": 1.6e19, "3000000000*3000000000*3": 2.7e19, "9223372036854775807+1": 9223372036854775808, "9223372036854775808": 9223372036854775808,
		"x > 2 ? x : 0": 3, "x > 2 ? 1 : 0.5": 1, "7/2": 3.5, "2^3": 8, "mod(7, 4)": 3, "1e3": 1000, "v[0]+1": 5} {
		e, err := Compile(text, []string{"x", "v[0]"})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if v, ok := e.Eval(func(n string) (float64, bool) { return map[string]float64{"x": 3, "v[0]": 4}[n], true }); !ok || v != want {
			t.Errorf("%s is %v, want %v", text, v, want)
		}
	}
	deep := strings.Repeat("x?", 30000) + "x" + strings.Repeat(":x", 30000)
	if _, err := Compile(deep, []string{"x"}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Error("a long expression is accepted")
	}
}

func TestExpressionsThatAreWrong(t *testing.T) {
	for text, c := range map[string]struct {
		column int
		want   string
	}{
		"":            {1, "it ends too early"},
		"x +":         {4, "it ends too early"},
		"x + zz":      {5, "there is no variable zz; there are v[0], x"},
		"`x":          {1, "second backquote"},
		"x + `y`":     {5, "there is no variable y"},
		"sqrt(x":      {7, ""},
		"x $ 2":       {3, ""},
		"sqrt(x, 1)":  {1, ""},
		`x == "a"`:    {6, "has no meaning"},
		"[1, 2]":      {1, "has a meaning in names of variables only"},
		"x@9":         {2, "has a meaning in names of variables only"},
		"x[1]":        {2, "has a meaning in names of variables only"},
		"x = 2":       {3, "is asked by =="},
		"x % 2":       {3, "mod(a, b)"},
		"x + 2x":      {6, "an operator is missing after 2"},
		"x and 1":     {3, ""},
		"filter(x)":   {1, "there is no variable filter"},
		"v[0] + w[1]": {8, "there is no variable w"},
		"v[0] + ) x":  {8, ""},
		"x ? 1 : 2":   {1, ""},
		"x | 2":       {3, "has no meaning"},
		"{x: 1}":      {1, "has no meaning"},
		"µ > 1":       {1, "there is no variable µ"},
	} {
		_, err := Compile(text, []string{"x", "v[0]"})
		var at *Error
		if !errors.As(err, &at) || !strings.Contains(at.What, c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "v0") {
			t.Errorf("%q: %v", text, err)
		} else if at.Column != c.column {
			t.Errorf("%q: column %d, want %d: %v", text, at.Column, c.column, err)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	e, err := Compile("sqrt(x^2 + y^2) > 1 and x < 3", []string{"x", "y"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Eval(func(string) (float64, bool) { return 2, true })
	}
}

// Where there are texts, they are compared and searched; numbers and texts do not mix.
func TestTexts(t *testing.T) {
	texts := map[string]string{"name": "mu", "address": `[shower(int)+0x1f; "x"]__Normal`}
	for text, want := range map[string]float64{
		`name == "mu"`: 1, `name == 'mu' and value > 3`: 1, `address contains "shower(" and not (name startsWith "x")`: 1, `address endsWith "\"x\"]__Normal"`: 1,
		`address matches "^\\[show.*Normal$"`: 1, `name == "nu" or value^2 == 25`: 1, `value < 3`: 0, `name in ["mu", "nu"]`: -1,
	} {
		e, err := CompileTexts(text, []string{"value"}, []string{"name", "address"})
		if want < 0 {
			if err == nil {
				t.Errorf("%s: compiles", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if v, ok := e.EvalTexts(func(string) (float64, bool) { return 5, true }, func(n string) string { return texts[n] }); !ok || v != want || !e.Condition {
			t.Errorf("%s: %g, %v", text, v, ok)
		}
	}
	for text, column := range map[string]int{`name == 3`: 6, `value contains "x"`: 7, `name == "mu`: 9, `nam == "mu"`: 1, `address matches "("`: 9} {
		_, err := CompileTexts(text, []string{"value"}, []string{"name", "address"})
		var at *Error
		if !errors.As(err, &at) || at.Column != column {
			t.Errorf("%s: %v, want column %d", text, err, column)
		}
	}
}

// What is no expression is told before it is known which variables there are; what may be one is left for then.
func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"infected_peak > 300": "", "h.x@2 + sqrt(y[3,1])": "", "`any name` - 2": "", "a-b": "", "day/Poisson:3 < 4 and not (k > 1)": "",
		"x >": "ends too early", "x = 3": "==", "sqrt(x": "", "3 3": "", "`x": "backquote", "x % 2": "mod", "2x": "operator is missing",
	} {
		err := Check(text)
		switch {
		case text == "sqrt(x" || text == "3 3":
			if err == nil {
				t.Errorf("%s: no error", text)
			}
		case want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
