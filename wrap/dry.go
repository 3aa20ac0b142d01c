package wrap

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Seen is what a program did in runs that were only to look at it.
type Seen struct {
	Runs       int
	Stack      string   // what kind of program it is
	Again      string   // how it is run again
	Parameters []Value  // of the last run
	Draws      []Draws  // by place
	Outputs    []Value  // of the last run
	Imports    []string // installed modules that a Python script imports
	Notes      []string // what could not be seen, and what is doubtful
	Problems   []string // what is wrong with the file
	Failed     string   // how the last run failed; "" if it did not
}

// Value is a named number or tensor.
type Value struct {
	Name  string
	Value ppx.Tensor
	What  string // a parameter's prior, an output's likelihood
}

// Draws are those at one place.
type Draws struct {
	Address string
	Line    string // FILE:LINE, "" if it is not known
	Spot    string // what a rule says to mean it: FILE:LINE, MODULE+0xOFFSET or a function
	What    string // the function that draws
	Dist    string // of the first draw, with its parameters
	Value   string // of the first draw
	Rule    int    // line of the rule in the file; 0: none
	Name    string
	As      string
	Count   int // of draws in all runs
}

// dry answers a program without an engine, and keeps what is told.
type dry struct {
	*ppx.Local
	seen *Seen
}

func (d *dry) Sample(s *ppx.Statement) (ppx.Tensor, error) {
	v, err := d.Local.Sample(s)
	if s.Address == s.Name && err == nil {
		d.seen.Parameters = append(d.seen.Parameters, Value{s.Name, v.Clone(), s.Dist.String()})
	}
	return v, err
}

func (d *dry) Observe(s *ppx.Statement) error {
	d.seen.Outputs = append(d.seen.Outputs, Value{Name: s.Name, What: "likelihood " + s.Dist.String()})
	return d.Local.Observe(s)
}

func (d *dry) Tag(s *ppx.Statement) error {
	if n, ok := ppx.NoticeOf(s.Address); ok {
		note := fmt.Sprintf("the program %s (%s): %s", n.Text, times(s.Value.Float()), n.Means)
		if !slices.Contains(d.seen.Notes, note) {
			d.seen.Notes = append(d.seen.Notes, note)
		}
	} else {
		d.seen.Outputs = append(d.seen.Outputs, Value{Name: s.Name, Value: s.Value.Clone()})
	}
	return d.Local.Tag(s)
}

func times(n float64) string {
	if n == 1 {
		return "once"
	}
	return short(n) + " times"
}

// seen keeps the first draw of a site.
func (s *site) seen(d ppx.Dist, r *record) {
	s.draws++
	if s.first != "" {
		return
	}
	s.first = shortened(d.String(), 50)
	if !r.asked {
		s.value = shortened(fmt.Sprintf("%.4g", r.value), 26)
		if len(r.value) == 1 {
			s.value = short(r.value[0])
		}
	}
}

func shortened(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// Look runs the program a few times without an engine, and tells what it did. A run may take so long.
func (w *Wrapped) Look(runs int, seed uint64, limit time.Duration) *Seen {
	ctx := w.ctx
	defer func() { w.ctx = ctx }()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	seen := &Seen{Stack: w.program.stack.String(), Again: w.againText()}
	w.look = true
	if w.program.why != "" {
		seen.Notes = append(seen.Notes, "its draws cannot be seen: "+w.program.why+". Parameters and outputs work all the same; its own randomness is then nobody's")
	}
	for k := range runs {
		seen.Parameters, seen.Outputs = nil, nil
		cancel := func() {}
		if limit > 0 {
			w.ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v (--timeout)", limit))
		}
		_, err := w.Model(&dry{ppx.NewLocal(seed, dist.StreamPrior.Stream(0), uint64(k)), seen})
		cancel()
		seen.Runs++
		if err != nil {
			seen.Failed = err.Error()
			break
		}
	}
	if seen.Imports = w.imports(); w.again == againManual && w.file.Fork != "none" && w.file.Fork != "draw" && len(w.file.Imports) == 0 && len(seen.Imports) > 0 {
		seen.Notes = append(seen.Notes, fmt.Sprintf("each run imports %s again: imports = [\"%s\"] makes that once", ppx.List(seen.Imports, 8), strings.Join(seen.Imports, "\", \"")))
	}
	matched := make([]bool, len(w.file.Draw))
	draws := 0
	for k, s := range w.sites {
		if s.failed != nil {
			seen.Problems = append(seen.Problems, s.failed.Error())
		}
		if s.rule >= 0 {
			matched[s.rule] = true
		}
		draws += s.draws
		if k == 0 && s.draws == 0 {
			continue
		}
		d := Draws{Address: s.address, What: s.place.what, Dist: s.first, Value: s.value, Name: s.name, As: "latent", Count: s.draws, Spot: s.place.rule(), Line: s.place.innermost().line()}
		switch {
		case k == 0:
			d.What, d.As = "", "quiet"
		case s.bulk:
			d.As = "bulk"
		case s.quiet:
			d.As = "quiet"
		}
		if s.place.standIn {
			d.What += " (made of it)"
		}
		if s.rule >= 0 {
			d.Rule = w.file.line(s.rule)
		}
		seen.Draws = append(seen.Draws, d)
	}
	for i, yes := range matched {
		if !yes {
			seen.Notes = append(seen.Notes, (&FileError{w.file.path, w.file.line(i), fmt.Sprintf("the rule at = %s is about none of the draws that were seen%s", ppx.Quote(w.file.Draw[i].At), hint(w.file.Draw[i].At))}).Error())
		}
	}
	if draws == 0 && len(seen.Draws) == 0 && w.program.why == "" && seen.Failed == "" {
		seen.Notes = append(seen.Notes, w.nothing())
		if text, err := w.stderr.text(); err == nil && len(text) > 0 {
			seen.Notes = append(seen.Notes, "it wrote to stderr: "+last(text))
		}
	}
	for _, a := range w.command[1:] {
		if a != "" && placeholder.FindString(a) == a && !slices.Contains(w.file.before(nil), a[1:len(a)-1]) {
			seen.Notes = append(seen.Notes, fmt.Sprintf("there is %s in the command line, and no parameter of that name: the program got it as it is", a))
		}
	}
	return seen
}

var importLine = regexp.MustCompile(`(?m)^(?:import[ \t]+([^#\n;]+)|from[ \t]+([A-Za-z_][A-Za-z0-9_.]*)[ \t]+import)`)

// imports are the modules that a Python script imports and that are not its own, but for small ones of the standard library.
func (w *Wrapped) imports() (names []string) {
	if w.program.stack != python {
		return nil
	}
	for _, a := range w.command[1:] {
		if !strings.HasSuffix(a, ".py") {
			continue
		}
		text, err := os.ReadFile(a)
		if err != nil {
			return nil
		}
		var all []string
		for _, m := range importLine.FindAllSubmatch(text, -1) {
			all = append(all, string(m[2]))
			for _, one := range strings.Split(string(m[1]), ",") { // import a.b as c, d
				name, _, _ := strings.Cut(strings.TrimSpace(one), " ")
				all = append(all, name)
			}
		}
		for _, name := range all {
			top, _, _ := strings.Cut(name, ".")
			_, file := os.Stat(filepath.Join(filepath.Dir(a), top+".py"))
			_, folder := os.Stat(filepath.Join(filepath.Dir(a), top))
			if name != "" && file != nil && folder != nil && !slices.Contains(smallModules, top) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return names
	}
	return nil
}

var smallModules = strings.Fields("__future__ argparse collections copy csv dataclasses functools io itertools json math operator os pathlib pickle random re shutil string struct sys tempfile time typing warnings")

// hint says why a rule by a function may miss.
func hint(at string) string {
	if identifier.MatchString(at) && !strings.HasPrefix(at, "gsl_") {
		return " (a function may be part of another, or have ended with the call: FILE:LINE, of a build with -g, is surer)"
	}
	return ""
}

// nothing says why there may be no draws.
func (w *Wrapped) nothing() string {
	s := "no draw was seen: the program draws from a generator of its own, or not at all"
	switch {
	case w.program.stack == script && w.file.Program == "":
		s = "no draw was seen: the script may start the program that draws. program = \"NAME\" in the file says which"
	case w.program.stack == dynamic && w.file.Program == "":
		s += ", or starts the program that does: program = \"NAME\" in the file says which. C++'s <random> is seen in a build with CXXFLAGS=\"$(ppx wrap --cxxflags)\""
	}
	return s + ". Parameters and outputs work all the same; its own randomness is then nobody's"
}

func (s stack) String() string {
	return [...]string{"dynamically linked", "statically linked", "Go", "Python", "script", "not to be hooked"}[s]
}

func (w *Wrapped) againText() string {
	switch {
	case w.file.Fork == "none":
		return "one run after the other in one process"
	case w.file.Fork == "draw":
		return "forked at the first draw"
	case w.again == againExec:
		return "started anew for each run"
	case w.again == againManual:
		return "forked where the script begins"
	}
	return "forked where main begins"
}
