// Package source tells which line of a simulator's code an address is: from the debug information of a program in C++ or Go, through inlined functions, or
// from the text of a Python script. Where nothing is known, or the program is newer than the run, it says nothing.
package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Place is a line of code.
type Place struct {
	File string
	Line int
}

// String is how a place is shown: the file's name without its folder, and the line.
func (p Place) String() string {
	if p.Line == 0 {
		return ""
	}
	return filepath.Base(p.File) + ":" + strconv.Itoa(p.Line)
}

// frame is a function of an address, with the offset of the call in it: in bytes if it is Hex, else in lines.
type frame struct {
	name   string
	offset int64
	hex    bool
}

// resolver finds the lines of frames: from the innermost inlined function outwards.
type resolver interface {
	places(f frame) []Place
}

// Lines finds places of addresses.
type Lines struct {
	with  []resolver
	known map[string]Place
	Note  string // why there is nothing to find, "" if there is
}

// Open looks for the code of a simulator's command, whose relative paths are taken from dir. What was changed after made is not that of the run.
func Open(command []string, dir string, made time.Time) *Lines {
	l := &Lines{known: map[string]Place{}}
	if at := slices.Index(command, "--"); at > 2 && command[1] == "wrap" { // ppx wrap FILE … -- PROGRAM
		command = command[at+1:]
	}
	if len(command) == 0 {
		return l
	}
	at := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	fresh := func(path string) bool {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			l.Note = path + " is not there, so that source lines are not known: paths are taken from where ppx is run"
			return false
		}
		if info.ModTime().After(made.Add(time.Second)) { // which is recorded in whole seconds
			l.Note = path + " has changed since the run: source lines are not shown"
			return false
		}
		return true
	}
	program := command[0]
	if !strings.Contains(program, "/") {
		program, _ = exec.LookPath(program)
	}
	if program = at(program); fresh(program) {
		if p := openProgram(program); p != nil {
			l.with = append(l.with, p)
		} else {
			l.Note = program + " has no debug information: compile it with -g to see source lines"
		}
	}
	scripts := &scripts{fresh: fresh}
	for i, arg := range command[1:] {
		switch {
		case strings.HasSuffix(arg, ".py"):
			scripts.add(at(arg))
		case i > 0 && command[i] == "-m": // a module, from where it runs
			scripts.add(at(strings.ReplaceAll(arg, ".", "/") + ".py"))
		}
	}
	if len(scripts.dirs) > 0 {
		l.Note = "" // the program is an interpreter
		l.with = append(l.with, scripts)
	}
	return l
}

var frameText = regexp.MustCompile(`^(.*)\+(0x[0-9a-f]+|-?\d+)$`)

// frames are those of an address, innermost first. An address that was given by hand has none.
func frames(base string) (out []frame) {
	end := strings.LastIndexByte(base, ']')
	if !strings.HasPrefix(base, "[") || end < 0 {
		return nil
	}
	parts := strings.Split(base[1:end], "; ")
	for i := len(parts) - 1; i >= 0; i-- {
		m := frameText.FindStringSubmatch(parts[i])
		if m == nil {
			continue
		}
		n, err := strconv.ParseInt(m[2], 0, 64)
		if err != nil {
			continue
		}
		out = append(out, frame{m[1], n, strings.HasPrefix(m[2], "0x")})
	}
	return out
}

// Of is the line of the draw at an address: that of the innermost code which is not the client's own; not ok if it is not known.
func (l *Lines) Of(base string) (p Place, ok bool) {
	if l == nil || len(l.with) == 0 {
		return p, false
	}
	if p, ok := l.known[base]; ok {
		return p, p.Line > 0
	}
	defer func() { l.known[base] = p }()
	for _, f := range frames(base) {
		for _, r := range l.with {
			for _, q := range r.places(f) {
				if q.Line > 0 && !Client(q.File) {
					return q, true
				}
			}
		}
	}
	return p, false
}

// Client tells whether a file is of a client library, or of the language's own.
func Client(file string) bool {
	dir := filepath.ToSlash(filepath.Dir(file))
	return strings.Contains(dir+"/", "/include/ppx/") || strings.HasSuffix(dir, "/include/ppx") || filepath.Base(file) == "ppx.hpp" || filepath.Base(file) == "ppx_std.hpp" || strings.Contains(dir+"/", "/adapters/gosim/") || strings.HasPrefix(dir, "/usr/include") || strings.Contains(dir, "/include/c++/")
}
