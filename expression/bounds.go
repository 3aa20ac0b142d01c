package expression

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Bound is a comparison of a variable with a constant: Op is one of < <= > >= ==, of a text only ==.
type Bound struct {
	Name, Op string
	Value    float64
	Text     string
	IsText   bool
}

// Holds tells whether a number is within.
func (b *Bound) Holds(v float64) bool {
	switch b.Op {
	case "<":
		return v < b.Value
	case "<=":
		return v <= b.Value
	case ">":
		return v > b.Value
	case ">=":
		return v >= b.Value
	}
	return v == b.Value
}

// Bounds are comparisons that must all hold for the condition to be true: who has millions of rows looks at them first, and evaluates it for the rows that are left.
func (e *Expression) Bounds() (out []Bound) {
	var walk func(n ast.Node)
	walk = func(n ast.Node) {
		b, ok := n.(*ast.BinaryNode)
		if !ok {
			return
		}
		if b.Operator == "and" || b.Operator == "&&" {
			walk(b.Left)
			walk(b.Right)
			return
		}
		op := b.Operator
		name, constant := e.name(b.Left), b.Right
		if name == "" {
			if name, constant = e.name(b.Right), b.Left; name == "" {
				return
			}
			if turned, ok := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}[op]; ok {
				op = turned
			}
		}
		bound := Bound{Name: name, Op: op}
		switch {
		case slices.Contains(e.texts, name):
			s, ok := constant.(*ast.StringNode)
			if !ok || op != "==" {
				return
			}
			bound.Text, bound.IsText = s.Value, true
		case !slices.Contains([]string{"<", "<=", ">", ">=", "=="}, op):
			return
		default:
			if bound.Value, ok = numberOf(constant); !ok {
				return
			}
		}
		out = append(out, bound)
	}
	walk(e.program.Node())
	return out
}

// Filter tells whether values are within the Bounds.
func (e *Expression) Filter() func(value func(name string) (v float64, ok bool), text func(name string) string) bool {
	bounds := e.Bounds()
	return func(value func(name string) (float64, bool), text func(name string) string) bool {
		for i := range bounds {
			b := &bounds[i]
			if b.IsText {
				if text(b.Name) != b.Text {
					return false
				}
			} else if v, ok := value(b.Name); !ok || !b.Holds(v) {
				return false
			}
		}
		return true
	}
}

// FilterOf tells whether one number is within those of the Bounds that are of it; nil: there are none.
func (e *Expression) FilterOf(name string) func(v float64) bool {
	bounds := slices.DeleteFunc(e.Bounds(), func(b Bound) bool { return b.Name != name || b.IsText })
	if len(bounds) == 0 {
		return nil
	}
	return func(v float64) bool {
		for i := range bounds {
			if !bounds[i].Holds(v) {
				return false
			}
		}
		return true
	}
}

// name is that of the variable that a node is, "" if it is none.
func (e *Expression) name(n ast.Node) string {
	id, ok := n.(*ast.IdentifierNode)
	if !ok {
		return ""
	}
	if i := slices.Index(e.idents, id.Value); i >= 0 {
		return e.Names[i]
	}
	return ""
}

// numberOf is the constant that a node is.
func numberOf(n ast.Node) (float64, bool) {
	switch x := n.(type) {
	case *ast.IntegerNode:
		return float64(x.Value), true
	case *ast.FloatNode:
		return x.Value, true
	case *ast.ConstantNode:
		switch v := x.Value.(type) {
		case int:
			return float64(v), true
		case float64:
			return v, true
		}
	case *ast.UnaryNode:
		if v, ok := numberOf(x.Node); ok && x.Operator == "-" {
			return -v, true
		}
	}
	return 0, false
}
