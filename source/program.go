package source

import (
	"debug/dwarf"
	"debug/elf"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// program is an executable with debug information.
type program struct {
	data    *dwarf.Data
	name    string                  // of the file
	base    uint64                  // where it is loaded
	symbols []elf.Symbol            // of functions
	starts  map[string][]uint64     // where they begin, by their demangled names; of those that were asked for
	spans   map[dwarf.Offset][]span // lines of units, in the order of addresses
	plain   map[string]function     // of languages without mangled names, by the name behind the last slash
}

type function struct {
	place Place // where it begins
	entry bool  // it has code of its own, so that lines are counted from there
}

// openProgram reads an executable; nil if it says nothing of lines. Debug information is read from files that users name: what is broken is not there.
func openProgram(path string) (p *program) {
	defer func() {
		if recover() != nil { // debug/dwarf does not promise to survive any bytes
			p = nil
		}
	}()
	f, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := f.DWARF()
	if err != nil {
		return nil
	}
	p = &program{data: data, name: filepath.Base(path), base: math.MaxUint64, starts: map[string][]uint64{}, spans: map[dwarf.Offset][]span{}}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_LOAD {
			p.base = min(p.base, segment.Vaddr)
		}
	}
	p.symbols = Functions(f)
	p.readFunctions()
	return p
}

// Functions are the symbols of a file's functions.
func Functions(f *elf.File) (out []elf.Symbol) {
	symbols, _ := f.Symbols() // stripped of them it may still have dynamic ones
	dynamic, _ := f.DynamicSymbols()
	for _, s := range append(symbols, dynamic...) {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Value != 0 {
			out = append(out, s)
		}
	}
	return out
}

// readFunctions notes where Go's functions begin.
func (p *program) readFunctions() {
	r := p.data.Reader()
	var files []*dwarf.LineFile
	isGo := false
	for {
		e, err := r.Next()
		if err != nil || e == nil {
			return
		}
		switch e.Tag {
		case dwarf.TagCompileUnit:
			language, _ := e.Val(dwarf.AttrLanguage).(int64)
			if isGo = language == 0x16; !isGo {
				r.SkipChildren()
				continue
			}
			files = nil
			if lines, err := p.data.LineReader(e); err == nil && lines != nil {
				files = lines.Files()
			}
		case dwarf.TagSubprogram:
			r.SkipChildren()
			name, _ := e.Val(dwarf.AttrName).(string)
			if name == "" || !isGo {
				continue
			}
			if p.plain == nil {
				p.plain = map[string]function{}
			}
			short := filepath.Base(name)
			if low, ok := e.Val(dwarf.AttrLowpc).(uint64); ok {
				if at := p.line(low); at.Line > 0 {
					p.plain[short] = function{at, true}
				}
			} else if k, ok := e.Val(dwarf.AttrDeclFile).(int64); ok && k >= 0 && int(k) < len(files) && files[k] != nil && p.plain[short].place.Line == 0 {
				p.plain[short] = function{Place{files[k].Name, 1}, false}
			}
		default:
			r.SkipChildren()
		}
	}
}

// span is code of one line.
type span struct {
	low, high uint64
	at        Place
}

// line is that of an instruction. Lines of a unit may come in several sequences, in any order.
func (p *program) line(pc uint64) Place {
	unit, err := p.data.Reader().SeekPC(pc)
	if err != nil {
		return Place{}
	}
	spans, ok := p.spans[unit.Offset]
	if !ok {
		spans = p.spansOf(unit)
		p.spans[unit.Offset] = spans
	}
	k := sort.Search(len(spans), func(i int) bool { return spans[i].low > pc }) - 1
	if k < 0 || pc >= spans[k].high {
		return Place{}
	}
	return spans[k].at
}

func (p *program) spansOf(unit *dwarf.Entry) (out []span) {
	lines, err := p.data.LineReader(unit)
	if err != nil || lines == nil {
		return nil
	}
	var before, e dwarf.LineEntry
	for first := true; lines.Next(&e) == nil; first = false {
		if !first && !before.EndSequence && before.File != nil && before.Address < e.Address {
			out = append(out, span{before.Address, e.Address, Place{before.File.Name, before.Line}})
		}
		before = e
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].low < out[j].low })
	return out
}

// Program is the debug information of an executable or a library.
type Program struct{ p *program }

// OpenProgram reads it; nil if there is none.
func OpenProgram(path string) *Program {
	if p := openProgram(path); p != nil {
		return &Program{p}
	}
	return nil
}

// At are the lines of an instruction, from the innermost function that was inlined there outwards; pc is an address of the file, not of where it is loaded.
func (l *Program) At(pc uint64) (out []Place) {
	if l == nil {
		return nil
	}
	defer func() {
		if recover() != nil { // debug/dwarf does not promise to survive any bytes
			out = nil
		}
	}()
	here := l.p.line(pc)
	if here.Line == 0 {
		return nil
	}
	around := l.p.blocks(pc, false)
	if len(around) == 0 && Client(here.File) { // the function may be within another, as a lambda is
		around = l.p.blocks(pc, true)
	}
	out = append(out, here)
	for _, b := range around {
		out = append(out, b.at)
	}
	return out
}

// places are the lines of a call, from the innermost function that was inlined there to the function itself.
func (p *program) places(f frame) (out []Place) {
	defer func() {
		if recover() != nil {
			out = nil
		}
	}()
	if !f.hex {
		g, ok := p.plain[f.name]
		switch {
		case !ok:
			return nil
		case g.entry:
			return []Place{{g.place.File, g.place.Line + int(f.offset)}}
		}
		return []Place{{g.place.File, int(f.offset)}} // an inlined function's line is its own
	}
	starts := p.begins(f.name)
	if f.name == p.name { // a function without a symbol is told by the module
		starts = []uint64{p.base}
	}
	if len(starts) != 1 { // which of several functions of one name it is, is not known
		return nil
	}
	pc := starts[0] + uint64(f.offset) - 1 // the call is before where it returns to
	return (&Program{p}).At(pc)
}

// identifiers are the words of a demangled name.
var identifiers = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// begins is where the functions of a demangled name begin. Only symbols that have its first word, or that before its parameters, are demangled: a large program has millions.
func (p *program) begins(name string) []uint64 {
	if known, ok := p.starts[name]; ok {
		return known
	}
	before, _, _ := strings.Cut(name, "(")
	before, _, _ = strings.Cut(before, "<")
	words := identifiers.FindAllString(before, -1)
	var out []uint64
	for _, s := range p.symbols {
		if len(words) > 0 && !strings.Contains(s.Name, words[len(words)-1]) {
			continue
		}
		if !slices.Contains(out, s.Value) && demangle.Filter(s.Name) == name {
			out = append(out, s.Value)
		}
	}
	p.starts[name] = out
	return out
}

// Inlined are the names of the functions that the compiler has put into another around an instruction, innermost first.
func (l *Program) Inlined(pc uint64) (names []string) {
	if l == nil {
		return nil
	}
	defer func() {
		if recover() != nil { // as above
			names = nil
		}
	}()
	for _, b := range l.p.blocks(pc, false) {
		if name := l.p.nameOf(b.origin, 4); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// nameOf is a function's name: its own, or that of what it is an instance of.
func (p *program) nameOf(at dwarf.Offset, depth int) string {
	r := p.data.Reader()
	r.Seek(at)
	e, err := r.Next()
	if err != nil || e == nil || depth == 0 {
		return ""
	}
	if name, ok := e.Val(dwarf.AttrLinkageName).(string); ok {
		return demangle.Filter(name)
	}
	if name, ok := e.Val(dwarf.AttrName).(string); ok {
		return name
	}
	for _, a := range []dwarf.Attr{dwarf.AttrAbstractOrigin, dwarf.AttrSpecification} {
		if origin, ok := e.Val(a).(dwarf.Offset); ok {
			return p.nameOf(origin, depth-1)
		}
	}
	return ""
}

// block is code of a function that was put into another.
type block struct {
	at     Place // of the call
	size   uint64
	origin dwarf.Offset
}

// blocks are those around an instruction, innermost first; deep: also in functions that are within others.
func (p *program) blocks(pc uint64, deep bool) (found []block) {
	r := p.data.Reader()
	unit, err := r.SeekPC(pc)
	if err != nil {
		return nil
	}
	lines, err := p.data.LineReader(unit)
	if err != nil || lines == nil {
		return nil
	}
	files := lines.Files()
	for depth := 1; depth > 0; {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == dwarf.TagCompileUnit {
			break
		}
		if e.Tag == 0 {
			depth--
			continue
		}
		covers, size := p.covers(e, pc)
		switch {
		case e.Tag == dwarf.TagInlinedSubroutine && covers:
			k, _ := e.Val(dwarf.AttrCallFile).(int64)
			line, _ := e.Val(dwarf.AttrCallLine).(int64)
			if k >= 0 && int(k) < len(files) && files[k] != nil {
				origin, _ := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
				found = append(found, block{Place{files[k].Name, int(line)}, size, origin})
			}
		case (e.Tag == dwarf.TagSubprogram && !deep || e.Tag == dwarf.TagInlinedSubroutine) && !covers:
			r.SkipChildren() // pc is in none of its
			continue
		}
		if e.Children {
			depth++
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].size < found[j].size }) // the smaller is within the larger
	return found
}

// covers tells whether an entry's code has an instruction, and how much code that is.
func (p *program) covers(e *dwarf.Entry, pc uint64) (yes bool, size uint64) {
	ranges, err := p.data.Ranges(e)
	if err != nil {
		return false, 0
	}
	for _, r := range ranges {
		yes = yes || r[0] <= pc && pc < r[1]
		size += r[1] - r[0]
	}
	return yes, size
}
