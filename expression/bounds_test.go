package expression_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ppx-engine/ppx-engine/expression"
)

// Whatever a condition is true for is within its bounds.
func TestBounds(t *testing.T) {
	numbers, texts := []string{"a", "b"}, []string{"name"}
	r := rand.New(rand.NewPCG(1, 2))
	for text, want := range map[string]string{
		"a > 3":                             "[a > 3]",
		"3 < a":                             "[a > 3]",
		"3 >= a and b == -2":                "[a <= 3 b == -2]",
		`name == "x" and a < 1.5 and b > 0`: "[name == x a < 1.5 b > 0]",
		`"x" == name`:                       "[name == x]",
		"a > 3 or b > 3":                    "[]",
		"not (a > 3)":                       "[]",
		"(a > 3 or b > 3) and b < 1":        "[b < 1]",
		"a > b":                             "[]",
		"a + 1 > 3":                         "[]",
		"a != 3":                            "[]",
		`name != "x" and a > -1e300`:        "[a > -1e+300]",
		`name contains "x" and a >= 2`:      "[a >= 2]",
		"a > 1 && a < 2":                    "[a > 1 a < 2]",
	} {
		e, err := expression.CompileTexts(text, numbers, texts)
		if err != nil {
			t.Fatal(text, err)
		}
		bounds := e.Bounds()
		var shown []string
		for _, b := range bounds {
			if b.IsText {
				shown = append(shown, fmt.Sprint(b.Name, " ", b.Op, " ", b.Text))
			} else {
				shown = append(shown, fmt.Sprint(b.Name, " ", b.Op, " ", b.Value))
			}
		}
		if got := fmt.Sprint(shown); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		for range 2000 {
			values := map[string]float64{"a": float64(r.IntN(9) - 4), "b": float64(r.IntN(9) - 4)}
			if r.IntN(10) == 0 {
				values["a"] = math.NaN()
			}
			name := []string{"x", "y"}[r.IntN(2)]
			v, _ := e.EvalTexts(func(n string) (float64, bool) { return values[n], true }, func(string) string { return name })
			if f := e.FilterOf("a"); v == 1 && f != nil && !f(values["a"]) {
				t.Fatalf("%s is true for %v, which its filter has not", text, values)
			}
			for _, b := range bounds {
				if v == 1 && (b.IsText && name != b.Text || !b.IsText && !b.Holds(values[b.Name])) {
					t.Fatalf("%s is true for %v %s, which is out of %v", text, values, name, b)
				}
			}
		}
	}
}
