package source

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// scripts are Python files: those of a command, and those that lie beside them.
type scripts struct {
	fresh func(path string) bool
	dirs  []string
	read  map[string]map[string]int // by file and qualified name, the line where a function begins
}

func (s *scripts) add(path string) { s.dirs = append(s.dirs, filepath.Dir(path)) }

// places is the line of a call in a function of a script: file.function+lines.
func (s *scripts) places(f frame) []Place {
	stem, name, ok := strings.Cut(f.name, ".")
	if f.hex || !ok || strings.ContainsAny(stem, `/\`) {
		return nil
	}
	for _, dir := range s.dirs {
		path := filepath.Join(dir, stem+".py")
		if first, ok := s.functions(path)[name]; ok {
			return []Place{{path, first + int(f.offset)}}
		}
	}
	return nil
}

var (
	definition = regexp.MustCompile(`^([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+([^\s(:\[]+)`)
	decorator  = regexp.MustCompile(`^[ \t]*@`)
)

// functions are those that a file defines, by qualified name: where Python says that they begin, at the first decorator. A name that is defined twice is not known.
func (s *scripts) functions(path string) map[string]int {
	if known, ok := s.read[path]; ok {
		return known
	}
	if s.read == nil {
		s.read = map[string]map[string]int{}
	}
	out := map[string]int{"<module>": 1}
	s.read[path] = out
	if _, err := os.Stat(path); err != nil || !s.fresh(path) { // one of the folder's that is not there is in another
		s.read[path] = nil
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		s.read[path] = nil
		return nil
	}
	defer f.Close()
	type scope struct {
		indent int
		name   string
	}
	var within []scope
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	decorated := 0 // first line of the decorators of what comes
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if decorator.MatchString(text) {
			if decorated == 0 {
				decorated = n
			}
			continue
		}
		m := definition.FindStringSubmatch(text)
		if m == nil {
			if decorated > 0 && strings.TrimSpace(text) != "" && !strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "\t") && !strings.HasPrefix(strings.TrimSpace(text), ")") {
				decorated = 0
			}
			continue
		}
		indent := len(m[1])
		for len(within) > 0 && within[len(within)-1].indent >= indent {
			within = within[:len(within)-1]
		}
		name := m[3]
		if len(within) > 0 {
			name = within[len(within)-1].name + "." + name
		}
		within = append(within, scope{indent, name})
		first := n
		if decorated > 0 {
			first = decorated
		}
		decorated = 0
		if m[2] == "class" {
			continue
		}
		if _, twice := out[name]; twice {
			out[name] = -1 << 40
		} else {
			out[name] = first
		}
	}
	for name, first := range out {
		if first < 0 {
			delete(out, name)
		}
	}
	return out
}
