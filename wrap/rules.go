package wrap

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// matcher tells whether a rule is about a place; caller, that the call of the drawing function alone decides that.
type matcher func(p *place) (yes, caller bool)

var (
	fileLine     = regexp.MustCompile(`^(.+):(\d+)$`)
	moduleOffset = regexp.MustCompile(`^.+\+0x[0-9a-f]+$`)
)

// parseAt reads what a rule is about: FILE:LINE, MODULE+0xOFFSET, FAMILY, FUNCTION, or a regular expression of addresses between slashes.
func parseAt(at string) (matcher, error) {
	if len(at) > 1 && at[0] == '/' && at[len(at)-1] == '/' {
		re, err := regexp.Compile(at[1 : len(at)-1])
		if err != nil {
			return nil, fmt.Errorf("at = %s: %s", ppx.Quote(at), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		return func(p *place) (bool, bool) { return re.MatchString(p.address()), false }, nil
	}
	if m := fileLine.FindStringSubmatch(at); m != nil {
		line, err := strconv.Atoi(m[2])
		if err != nil || line == 0 {
			return nil, fmt.Errorf("at = %s: lines are numbered from 1", ppx.Quote(at))
		}
		return anyCall(func(c *call) bool {
			for _, l := range c.lines {
				if l.Line == line && (l.File == m[1] || strings.HasSuffix(l.File, "/"+m[1])) {
					return true
				}
			}
			return false
		}), nil
	}
	if moduleOffset.MatchString(at) {
		return anyCall(func(c *call) bool { return c.module == at || c.text == at }), nil
	}
	if slices.Contains(families(), at) {
		if kind, ok := dist.KindByName(at); ok {
			return func(p *place) (bool, bool) { return p.kind == kind, p.kind == kind }, nil
		}
	}
	return func(p *place) (bool, bool) {
		if p.what == at || strings.HasPrefix(p.what, at+"/") {
			return true, true
		}
		return anyCall(func(c *call) bool {
			return named(c.function, at) || slices.ContainsFunc(c.inlined, func(f string) bool { return named(f, at) })
		})(p)
	}, nil
}

// anyCall is about places that one call on the stack decides.
func anyCall(is func(c *call) bool) matcher {
	return func(p *place) (bool, bool) {
		for i := len(p.calls) - 1; i >= 0; i-- {
			if is(&p.calls[i]) {
				return true, i == len(p.calls)-1 && p.direct
			}
		}
		return false, false
	}
}

// named tells whether a function is called that: its whole name, the name without parameters, or the last part of that.
func named(function, name string) bool {
	if function == "" {
		return false
	}
	if function == name {
		return true
	}
	plain, _, _ := strings.Cut(function, "(")
	if plain == name {
		return true
	}
	for _, separator := range []string{"::", "."} {
		if k := strings.LastIndex(plain, separator); k >= 0 && plain[k+len(separator):] == name {
			return true
		}
	}
	return false
}

// site is a place as the statements have it.
type site struct {
	place   *place
	address string
	rule    int // −1: none
	name    string
	quiet   bool
	bulk    bool
	caller  bool
	kind    dist.Kind
	failed  error // what is wrong with its rule

	draws        int    // that were seen, for who looks
	first, value string // the first of them
}

// rules gives places their rules.
type rules struct {
	file  *File
	spots []map[string]bool // of each rule: the places of code that it has matched
}

// first tells whether no rule before this one looks at more than the function that draws: then whatever is on the stack, none of them is meant.
func (f *File) first(rule int) bool {
	for i := range rule {
		if _, ok := dist.KindByName(f.Draw[i].At); !ok {
			return false
		}
	}
	return true
}

// site finds the rule of a place. A rule that matches several places of the code and does not say so is an error: it would give them one name, or leave unseen what is
// to be seen.
func (r *rules) site(p *place) *site {
	s := &site{place: p, address: p.address(), rule: -1, kind: p.kind}
	for i := range r.file.Draw {
		rule := &r.file.Draw[i]
		yes, caller := rule.matches(p)
		if !yes {
			continue
		}
		s.rule, s.name, s.quiet, s.bulk, s.caller = i, rule.Name, rule.As == "quiet", rule.As == "bulk", caller && r.file.first(i)
		if r.spots == nil {
			r.spots = make([]map[string]bool, len(r.file.Draw))
		}
		if r.spots[i] == nil {
			r.spots[i] = map[string]bool{}
		}
		r.spots[i][p.spot()] = true
		if len(r.spots[i]) > 1 && !rule.Many {
			var all []string
			for spot := range r.spots[i] {
				all = append(all, spot)
			}
			slices.Sort(all)
			s.failed = &FileError{r.file.path, r.file.line(i), fmt.Sprintf("the rule at = %s is about draws at several places of the code: write a rule for each, or many = true if they are one. They are %s", ppx.Quote(rule.At),
				strings.Join(all, ", "))}
		}
		break
	}
	return s
}
