package wrap

import (
	"bufio"
	"cmp"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/ianlancetaylor/demangle"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/source"
)

// place is where in the program a draw is: the calls, outermost first, and what is called.
type place struct {
	what string // the function that draws: gsl_ran_poisson, Generator.normal
	kind dist.Kind
	// standIn tells that the value that is recorded is not what the program gets, but what that is made of.
	standIn bool
	// direct tells that the innermost of the calls is that of the function that draws.
	direct bool
	calls  []call
}

// call is a function on the stack, and where in it the next one is called.
type call struct {
	function string // demangled, "" if it has no name
	text     string // as it stands in addresses
	module   string // file's name and offset in it, for code that was compiled
	lines    []source.Place
	inlined  []string // functions that are part of it there
}

// address is the text of the place.
func (p *place) address() string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range p.calls {
		b.WriteString(p.calls[i].text)
		b.WriteString("; ")
	}
	b.WriteString(p.what)
	b.WriteByte(']')
	return b.String()
}

// innermost is the call of the function that draws, or of what that is called by; none is an empty one.
func (p *place) innermost() (c call) {
	if n := len(p.calls); n > 0 {
		c = p.calls[n-1]
	}
	return c
}

// line is FILE:LINE of a call, "" if it is not known.
func (c call) line() string {
	if len(c.lines) == 0 {
		return ""
	}
	return c.lines[0].String()
}

// here is the place of the draw in words: its line, else the innermost function.
func (p *place) here() string {
	c := p.innermost()
	return cmp.Or(c.line(), c.text, p.what)
}

// rule is what a file's rule says to mean the place.
func (p *place) rule() string {
	c := p.innermost()
	return cmp.Or(c.line(), c.module, p.what)
}

// spot tells apart places of the code, whoever calls it.
func (p *place) spot() string {
	c := p.innermost()
	if code := cmp.Or(c.line(), c.module, c.text); code != "" {
		return code + " (" + p.what + ")"
	}
	return p.what
}

// Libraries through which a program draws are nobody's place.
var passedThrough = []string{"libc.so", "libc-", "ld-linux", "ld-", "libgsl", "libgfortran", "libpython", "python", "libstdc++", "libffi", "_ctypes", "libppx-preload", "libm.so", "libgslcblas"}

func passes(module string) bool {
	base := filepath.Base(module)
	return base == "" || base == "." || slices.ContainsFunc(passedThrough, func(p string) bool { return strings.HasPrefix(base, p) }) || strings.HasPrefix(module, "[")
}

// modules are the files that a process has loaded.
type modules struct {
	pid   int
	maps  []mapped
	files map[string]*module
}

type mapped struct {
	low, high, offset uint64
	path              string
}

// module is a file of code.
type module struct {
	passed  bool
	symbols []elf.Symbol // of functions, by address
	loads   []elf.ProgHeader
	lines   *source.Program // nil: no debug information
}

// find is where an address of the process lies: the file, the address in that file.
func (m *modules) find(pid int, pc uint64) (path string, at uint64, f *module) {
	for range 2 {
		if m.pid == pid {
			k := sort.Search(len(m.maps), func(i int) bool { return m.maps[i].high > pc })
			if k < len(m.maps) && m.maps[k].low <= pc {
				r := &m.maps[k]
				f = m.open(r.path)
				return r.path, f.address(pc - r.low + r.offset), f
			}
		}
		m.load(pid)
	}
	return "", pc, nil
}

// load reads what the process has loaded now.
func (m *modules) load(pid int) {
	m.pid, m.maps = pid, m.maps[:0]
	file, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || !strings.Contains(fields[1], "x") {
			continue
		}
		low, high, _ := strings.Cut(fields[0], "-")
		var r mapped
		r.low, _ = strconv.ParseUint(low, 16, 64)
		r.high, _ = strconv.ParseUint(high, 16, 64)
		r.offset, _ = strconv.ParseUint(fields[2], 16, 64)
		r.path = strings.Join(fields[5:], " ")
		m.maps = append(m.maps, r)
	}
}

func (m *modules) open(path string) *module {
	if f := m.files[path]; f != nil {
		return f
	}
	f := &module{}
	if m.files == nil {
		m.files = map[string]*module{}
	}
	m.files[path] = f
	f.passed = passes(path)
	if f.passed && !strings.HasPrefix(filepath.Base(path), "libgsl") {
		return f
	}
	file, err := elf.Open(path)
	if err != nil {
		return f
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD {
			f.loads = append(f.loads, p.ProgHeader)
		}
	}
	f.symbols = source.Functions(file)
	sort.SliceStable(f.symbols, func(i, j int) bool { return f.symbols[i].Value < f.symbols[j].Value })
	if !f.passed {
		f.lines = source.OpenProgram(path)
	}
	return f
}

// address is that of an offset of the file.
func (f *module) address(offset uint64) uint64 {
	for _, p := range f.loads {
		if offset >= p.Off && offset < p.Off+p.Filesz {
			return offset - p.Off + p.Vaddr
		}
	}
	return offset
}

// function is the one that has an address, and where it begins; "" if it has no name.
func (f *module) function(at uint64) (name string, begins uint64) {
	k := sort.Search(len(f.symbols), func(i int) bool { return f.symbols[i].Value > at }) - 1
	for ; k >= 0; k-- {
		s := &f.symbols[k]
		if at < s.Value+max(s.Size, 1) {
			return demangle.Filter(s.Name), s.Value
		}
		if s.Size > 0 {
			break
		}
	}
	return "", 0
}

// compiled reads what a hijacked process says of a place by return addresses, innermost first.
func (m *modules) compiled(pid int, what string, kind dist.Kind, pcs []uint64) *place {
	p := &place{what: what, kind: kind, standIn: slices.Contains(standIns, what) || strings.HasSuffix(what, "/bits")}
	within := ""
	for i, pc := range pcs {
		path, at, f := m.find(pid, pc-1) // the call itself: what it returns to may be the next function's
		if f == nil {
			continue
		}
		name, begins := f.function(at)
		if f.passed {
			if name != "" && len(p.calls) == 0 {
				within = name
			}
			continue
		}
		if name == "_start" {
			continue
		}
		c := call{function: name, module: fmt.Sprintf("%s+0x%x", filepath.Base(path), at+1), lines: f.lines.At(at), inlined: f.lines.Inlined(at)}
		// What headers have put into the program's functions is not of the program.
		known := len(c.lines) > 0
		c.lines = slices.DeleteFunc(c.lines, func(l source.Place) bool { return source.Client(l.File) })
		if known && len(c.lines) == 0 && len(p.calls) == 0 { // all of it is a header's: std::shuffle
			continue
		}
		if len(p.calls) == 0 && (strings.HasPrefix(name, "ppx_std::") || strings.Contains(name, "std::ppx_")) {
			continue
		}
		c.text = c.module
		if name != "" {
			c.text = fmt.Sprintf("%s+0x%x", name, at+1-begins)
		}
		if len(p.calls) == 0 {
			p.direct = i == 0
		}
		p.calls = append(p.calls, c)
	}
	if within != "" && !p.direct { // a function of a library that is not a family of its own
		p.what, p.standIn = within+"/"+what, true
	}
	slices.Reverse(p.calls)
	return p
}

// standIns are functions whose values are made of what is recorded.
var standIns = []string{"gsl_ran_geometric", "gsl_ran_rayleigh_tail", "gsl_ran_gumbel1", "gsl_ran_gumbel2", "gsl_ran_bivariate_gaussian", "gsl_ran_shuffle", "gsl_ran_choose", "gsl_rng_get",
	"rand", "rand_r", "random", "random_r", "lrand48", "nrand48", "mrand48", "jrand48", "lrand48_r", "nrand48_r", "mrand48_r", "jrand48_r", "arc4random", "irand", "std::shuffle"}

// interpreted reads what an interpreter says of a place: lines of tab-separated text, outermost first, of each call its function, the text of addresses, the file and
// the line; the last line is what is called, and whether its value is made of what is recorded (1) or is that (0).
func interpreted(text string, kind dist.Kind) *place {
	lines := strings.Split(text, "\n")
	what, stands, _ := strings.Cut(lines[len(lines)-1], "\t")
	p := &place{what: what, kind: kind, standIn: stands == "1"}
	for _, l := range lines[:len(lines)-1] {
		f := strings.Split(l, "\t")
		if len(f) < 4 {
			continue
		}
		c := call{function: f[0], text: f[1]}
		if n, err := strconv.Atoi(f[3]); err == nil && n > 0 {
			c.lines = []source.Place{{File: f[2], Line: n}}
		}
		p.calls = append(p.calls, c)
	}
	return p
}
