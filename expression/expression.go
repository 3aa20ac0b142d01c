// Package expression evaluates conditions and formulas over the variables of a trace: sqrt(px^2 + py^2), k == 1 and x > 0. The language is
// that of github.com/expr-lang/expr, with numbers only: ^ is the power, and, or, not join conditions, c ? a : b chooses. A variable
// is written as it is called (x, v[0], x@2); in backquotes any name is one. Where there are texts (CompileTexts), "…" is one, and contains, startsWith, endsWith and
// matches (a regular expression) ask for what is in them.
package expression

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// Error says what is wrong with an expression, and where.
type Error struct {
	Text   string // of the expression
	Column int    // of the first letter at fault, from 1
	What   string

	unknown string // what may be a variable's name
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (column %d)", ppx.Quote(e.Text), e.What, e.Column)
}

// Expression is a compiled one. Not for concurrent use.
type Expression struct {
	Names     []string // variables that it uses
	Condition bool     // its value is true or false

	texts   []string // of the variables, those that are texts
	isText  []bool   // of Names
	program *vm.Program
	idents  []string // what Names are called in the program
	env     map[string]any
	vm      vm.VM
}

// functions are those of one number.
var functions = map[string]func(float64) float64{
	"sqrt": math.Sqrt, "exp": math.Exp, "expm1": math.Expm1, "log": math.Log, "log10": math.Log10, "log1p": math.Log1p,
	"sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan,
	"sinh": math.Sinh, "cosh": math.Cosh, "tanh": math.Tanh, "erf": math.Erf,
	"lgamma": func(x float64) float64 { v, _ := math.Lgamma(x); return v },
}

// functions2 are those of two.
var functions2 = map[string]func(x, y float64) float64{"atan2": math.Atan2, "hypot": math.Hypot, "pow": math.Pow, "mod": math.Mod}

// builtins are those of the language that are of use for numbers.
var builtins = []string{"abs", "ceil", "floor", "round", "min", "max"}

// textWords are operators of texts.
var textWords = []string{"contains", "startsWith", "endsWith", "matches"}

// words are no names.
var words = []string{"and", "or", "not", "true", "false", "isnan"}

// maxLength bounds the time that the parser takes.
const maxLength = 5000

// Compile reads an expression over some variables. Errors: *Error.
func Compile(text string, variables []string) (*Expression, error) {
	return CompileTexts(text, variables, nil)
}

// Check looks at an expression before it is known which variables there are: what is no expression whatever they are is an *Error.
func Check(text string) error {
	var names []string
	for {
		_, err := Compile(text, names)
		var e *Error
		if !errors.As(err, &e) || e.unknown == "" || slices.Contains(names, e.unknown) {
			return err
		}
		names = append(names, e.unknown)
	}
}

// CompileTexts reads one over variables of which some, which are given besides, are texts. Errors: *Error.
func CompileTexts(text string, variables, texts []string) (*Expression, error) {
	variables = append(slices.Clone(variables), texts...)
	if len(text) > maxLength {
		return nil, &Error{Text: text[:maxLength], Column: 1, What: fmt.Sprintf("it is longer than %d letters", maxLength)}
	}
	known := map[string]bool{}
	for _, v := range variables {
		known[v] = true
	}
	e := &Expression{env: map[string]any{}, texts: texts}
	in, at, err := e.translate(text, known, variables)
	if err != nil {
		return nil, err
	}
	options := []expr.Option{expr.Env(e.env), expr.DisableAllBuiltins(),
		expr.Function("isnan", func(a ...any) (any, error) { return math.IsNaN(a[0].(float64)), nil }, new(func(float64) bool))}
	for _, b := range builtins {
		options = append(options, expr.EnableBuiltin(b))
	}
	for name, f := range functions {
		options = append(options, expr.Function(name, func(a ...any) (any, error) { return f(number(a[0])), nil }, new(func(float64) float64), new(func(int) float64)))
	}
	for name, f := range functions2 {
		options = append(options, expr.Function(name, func(a ...any) (any, error) { return f(number(a[0]), number(a[1])), nil },
			new(func(float64, float64) float64), new(func(int, float64) float64), new(func(float64, int) float64), new(func(int, int) float64)))
	}
	e.program, err = expr.Compile(in, options...)
	if err != nil {
		what, column := err.Error(), len(in)
		var located *file.Error
		if errors.As(err, &located) {
			if what = located.Message; !strings.Contains(what, "token EOF") {
				column = located.Column
			}
		}
		return nil, &Error{Text: text, Column: at.column(text, column), What: strings.ReplaceAll(what, "unexpected token EOF", "it ends too early")}
	}
	switch kind := e.program.Node().Type(); {
	case kind == nil:
		return nil, &Error{Text: text, Column: 1, What: "it is neither a number nor a condition"}
	case kind.Kind() == reflect.Bool:
		e.Condition = true
	case kind.Kind() != reflect.Float64 && kind.Kind() != reflect.Int:
		return nil, &Error{Text: text, Column: 1, What: "it is neither a number nor a condition"}
	}
	return e, nil
}

// number is a float64 or an int.
func number(x any) float64 {
	if i, ok := x.(int); ok {
		return float64(i)
	}
	return x.(float64)
}

// origin maps bytes of the translated text to those of the original.
type origin []struct{ to, from int }

// column is the column of the original for that of a letter, from 0, of the translation.
func (o origin) column(text string, to int) int {
	from := to
	for _, x := range o {
		if x.to <= to {
			from = x.from + to - x.to
		}
	}
	return 1 + utf8.RuneCountInString(text[:max(0, min(from, len(text)))])
}

// translate replaces the variables by identifiers.
func (e *Expression) translate(text string, known map[string]bool, variables []string) (string, origin, error) {
	var out strings.Builder
	var at origin
	idents := map[string]string{}
	use := func(name string, from, to int) {
		id, ok := idents[name]
		if !ok {
			id = fmt.Sprintf("v%d", len(idents))
			idents[name] = id
			e.Names, e.idents = append(e.Names, name), append(e.idents, id)
			isText := slices.Contains(e.texts, name)
			e.isText = append(e.isText, isText)
			if e.env[id] = 0.0; isText {
				e.env[id] = ""
			}
		}
		at = append(at, struct{ to, from int }{out.Len(), from})
		out.WriteString(id)
		at = append(at, struct{ to, from int }{out.Len(), to})
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case len(e.texts) > 0 && (r == '"' || r == '\''):
			end := i + 1
			for end < len(text) && text[end] != byte(r) {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(text) {
				return "", nil, wrong(text, i, "a text without its second quotation mark")
			}
			at = append(at, struct{ to, from int }{out.Len(), i})
			out.WriteString(text[i : end+1])
			i = end + 1
		case len(e.texts) > 0 && slices.Contains(textWords, text[i:i+identifier(text[i:])]):
			n := identifier(text[i:])
			out.WriteString(text[i : i+n])
			i += n
		case r == '`':
			end := strings.IndexByte(text[i+1:], '`')
			if end < 0 {
				return "", nil, wrong(text, i, "a name without its second backquote")
			}
			name := text[i+1 : i+1+end]
			if !known[name] {
				return "", nil, unknown(text, i, name, name, variables)
			}
			use(name, i, i+end+2)
			i += end + 2
		case unicode.IsLetter(r) || r == '_':
			word := text[i : i+identifier(text[i:])]
			name := longest(text[i:], word, known)
			if slices.Contains(words, word) && name == word || isWord(word) && strings.HasPrefix(strings.TrimLeft(text[i+len(word):], " "), "(") {
				name = "" // in backquotes it is one
			}
			switch {
			case name != "":
				use(name, i, i+len(name))
				i += len(name)
			case isWord(word):
				out.WriteString(word)
				i += len(word)
			default:
				return "", nil, unknown(text, i, word, text[i:i+furthest(text[i:])], variables)
			}
		case unicode.IsDigit(r) || r == '.': // a number, with its exponent
			n := numeral(text[i:])
			out.WriteString(text[i : i+n])
			if i += n; !strings.ContainsAny(text[i-n:i], ".eE") { // all numbers are real ones: whole ones would overflow, and be of another type
				out.WriteString(".0")
				at = append(at, struct{ to, from int }{out.Len(), i})
			}
			if next, _ := utf8.DecodeRuneInString(text[i:]); unicode.IsLetter(next) || next == '_' || next == '`' {
				return "", nil, wrong(text, i, "an operator is missing after "+text[i-n:i])
			}
		case r == '=' && !strings.HasPrefix(text[i:], "==") && (i == 0 || strings.IndexByte("=<>!", text[i-1]) < 0):
			return "", nil, wrong(text, i, "whether two numbers are equal is asked by ==")
		case r == '%':
			return "", nil, wrong(text, i, "% has no meaning here: the remainder is mod(a, b)")
		case r == '[' || r == '@':
			return "", nil, wrong(text, i, fmt.Sprintf("%q has a meaning in names of variables only, and none goes on like that here", r))
		case r == '"' || r == '\'' || r == '|' && !strings.HasPrefix(text[i:], "||") && !strings.HasPrefix(text[max(0, i-1):], "||") || r == '{' || r == '#' || r == ';':
			return "", nil, wrong(text, i, fmt.Sprintf("%q has no meaning here", r))
		default:
			out.WriteString(text[i : i+size])
			i += size
		}
	}
	return out.String(), at, nil
}

func wrong(text string, at int, what string) *Error {
	return &Error{Text: text, Column: 1 + utf8.RuneCountInString(text[:at]), What: what}
}

// unknown says that a word is no variable; if there were one, it could be called whole.
func unknown(text string, at int, word, whole string, variables []string) error {
	list := slices.Clone(variables)
	slices.Sort(list)
	e := wrong(text, at, fmt.Sprintf("there is no variable %s; there are %s", ppx.Quote(word), ppx.List(list, 40)))
	e.unknown = whole
	return e
}

// identifier is the length of the word that a text begins with.
func identifier(text string) int {
	for i, r := range text {
		if !(unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_') {
			return i
		}
	}
	return len(text)
}

// numeral is the length of the number that a text begins with.
func numeral(text string) int {
	i := 0
	for i < len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9' || c == '.':
		case (c == 'e' || c == 'E') && i > 0 && i+1 < len(text) && strings.IndexByte("0123456789+-", text[i+1]) >= 0:
			i++
		default:
			return i
		}
		i++
	}
	return i
}

// longest is the longest variable that a text begins with, of which word is the beginning; "" if there is none.
func longest(text, word string, known map[string]bool) (name string) {
	if known[word] {
		name = word
	}
	// What may follow the word in a name: an occurrence, subscripts, a namespace.
	for end := len(word); more(text, &end); {
		if known[text[:end]] {
			name = text[:end]
		}
	}
	return name
}

// furthest is the length of the longest name that a text may begin with.
func furthest(text string) int {
	end := identifier(text)
	for more(text, &end) {
	}
	return end
}

// more goes on in a name.
func more(text string, end *int) bool {
	if *end >= len(text) || strings.IndexByte("@[],.:/-0123456789_", text[*end]) < 0 {
		return false
	}
	*end++
	*end += identifier(text[*end:])
	return true
}

func isWord(w string) bool {
	_, one := functions[w]
	_, two := functions2[w]
	return one || two || slices.Contains(words, w) || slices.Contains(builtins, w)
}

// Functions are the names of functions, in order.
func Functions() []string {
	out := append(slices.Collect(maps.Keys(functions)), builtins...)
	out = append(append(out, "isnan"), slices.Collect(maps.Keys(functions2))...)
	slices.Sort(out)
	return out
}

// Uses are the variables that it needs, those that are texts too.
func (e *Expression) Uses() []string { return e.Names }

// Eval computes the expression; value gives a variable, !ok where it is absent. Then the expression is absent, too.
// A condition is 1 or 0.
func (e *Expression) Eval(value func(name string) (v float64, ok bool)) (v float64, ok bool) {
	return e.EvalTexts(value, nil)
}

// EvalTexts is that with variables that are texts.
func (e *Expression) EvalTexts(value func(name string) (v float64, ok bool), text func(name string) string) (v float64, ok bool) {
	for i, name := range e.Names {
		if e.isText[i] {
			e.env[e.idents[i]] = text(name)
			continue
		}
		x, ok := value(name)
		if !ok {
			return 0, false
		}
		e.env[e.idents[i]] = x
	}
	out, err := e.vm.Run(e.program, e.env)
	if err != nil { // of numbers, nothing fails
		return math.NaN(), true
	}
	switch x := out.(type) {
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case int:
		return float64(x), true
	case float64:
		return x, true
	}
	return math.NaN(), true
}
