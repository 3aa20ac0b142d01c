package wrap

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stack is what a program is written with, as far as hooks go.
type stack int

const (
	dynamic stack = iota // C, C++, Fortran …: its libraries are loaded when it starts
	static               // nothing can be put in place of its functions
	golang               // which has its own
	python
	script // of another interpreter
	other  // setuid, or no program of this machine
)

// program is what a command runs.
type program struct {
	path  string // of the executable
	stack stack
	why   string // that it cannot be hooked; "" if it can
}

var pythonName = regexp.MustCompile(`^(python|pypy)[0-9.]*$`)

// inspect looks at a command's program. Errors: it is not there.
func inspect(command []string) (p program, err error) {
	p.path, err = exec.LookPath(command[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return p, err
	}
	if p.path, err = filepath.Abs(p.path); err != nil {
		return p, err
	}
	if pythonName.MatchString(filepath.Base(p.path)) {
		p.stack = python
		return p, nil
	}
	info, err := os.Stat(p.path)
	if err != nil {
		return p, err
	}
	if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		p.stack, p.why = other, "it is setuid: the system lets nobody put functions in place of its own"
		return p, nil
	}
	f, err := elf.Open(p.path)
	if err != nil {
		if fields, err := shebang(p.path); err == nil && fields != nil {
			p.stack = script
			if slices.ContainsFunc(fields, func(f string) bool { return pythonName.MatchString(filepath.Base(f)) }) {
				p.stack = python
			}
			return p, nil
		}
		p.stack, p.why = other, "it is no program of this kind of machine"
		return p, nil
	}
	defer f.Close()
	switch {
	case f.Machine != machine:
		p.stack, p.why = other, fmt.Sprintf("it is a program for %s", f.Machine)
	case isGo(p.path):
		p.stack = golang
		if !hasHook(f) {
			p.why = "it is a Go program that was built without hooks: eval $(ppx wrap --goflags), then go build"
		}
	case !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }):
		p.stack, p.why = static, "it is statically linked: nothing can be put in place of its functions; link it dynamically"
	}
	return p, nil
}

// shebang is the interpreter that a script names in its first line, and what that is given; nil of what is no script.
func shebang(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 256)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	line, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return nil, nil
	}
	return strings.Fields(line), nil
}

func isGo(path string) bool {
	_, err := buildinfo.ReadFile(path)
	return err == nil
}

// hasHook tells whether a Go program was built with our math/rand.
func hasHook(f *elf.File) bool {
	symbols, _ := f.Symbols()
	return len(symbols) == 0 || slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return strings.HasPrefix(s.Name, "internal/ppxlink.") })
}

// folder is where the program runs: its own is one for each copy, with links to what is in the folder where the command was given.
type folder struct {
	path string // "" for the one where we are
}

func newFolder(f *File) (*folder, error) {
	if !f.ownFolder() {
		return &folder{}, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ppx-wrap-")
	if err != nil {
		return nil, err
	}
	own := &folder{dir}
	if err := f.mirror(here, dir, "."); err != nil {
		return nil, errors.Join(err, own.close())
	}
	return own, nil
}

// mirror fills a folder with links to what is in another, but for files that runs write, and makes the folders of those.
func (f *File) mirror(from, to, name string) error {
	entries, err := os.ReadDir(filepath.Join(from, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var below []string // folders that are to be our own
	for _, path := range f.written() {
		if rest, err := filepath.Rel(name, path); err == nil && strings.Contains(rest, "/") && !strings.HasPrefix(rest, "../") {
			first, _, _ := strings.Cut(rest, "/")
			below = append(below, filepath.Join(name, first))
		}
	}
	for _, e := range entries {
		path := filepath.Join(name, e.Name())
		if slices.Contains(below, path) || f.writes(path) {
			continue
		}
		if err := os.Symlink(filepath.Join(from, path), filepath.Join(to, path)); err != nil {
			return err
		}
	}
	slices.Sort(below)
	for _, path := range slices.Compact(below) {
		if err := os.Mkdir(filepath.Join(to, path), 0o755); err != nil {
			return err
		}
		if err := f.mirror(from, to, path); err != nil {
			return err
		}
	}
	return nil
}

// written are the files of relative paths that runs write.
func (f *File) written() (paths []string) {
	for i := range f.Output {
		if path, ok := strings.CutPrefix(f.Output[i].From, "file:"); ok && !filepath.IsAbs(path) {
			paths = append(paths, filepath.Clean(path))
		}
	}
	for i := range f.Parameter {
		if path := f.Parameter[i].File; path != "" && !filepath.IsAbs(path) {
			paths = append(paths, filepath.Clean(path))
		}
	}
	return paths
}

// ownFolder tells whether copies of the program would be in each other's way in one folder.
func (f *File) ownFolder() bool {
	if f.Folder != "" {
		return f.Folder == "own"
	}
	return len(f.written()) > 0
}

// writes tells whether a file is one that runs write, so that it is not to be a link to one for all.
func (f *File) writes(path string) bool { return slices.Contains(f.written(), path) }

func (f *folder) at(path string) string {
	if f.path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(f.path, path)
}

func (f *folder) close() error {
	if f.path == "" {
		return nil
	}
	return os.RemoveAll(f.path)
}

// capture is a stream of the program, in memory.
type capture struct{ file *os.File }

func newCapture(name string) (*capture, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &capture{os.NewFile(uintptr(fd), name)}, nil
}

// rewind empties it.
func (c *capture) rewind() error {
	_, err := c.file.Seek(0, io.SeekStart) // for the program too, which has the same open file
	return errors.Join(c.file.Truncate(0), err)
}

// text is what the program has written, up to a gigabyte.
func (c *capture) text() ([]byte, error) {
	info, err := c.file.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(info.Size(), maxOutput))
	n, err := c.file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// last are the last lines of a text, as words of an error have room for.
func last(text []byte) string {
	if len(text) > 1500 {
		text = text[len(text)-1500:]
	}
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(text), "?")), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	return strings.Join(lines, "\n")
}

// ended says how a process ended; "" for well.
func ended(status syscall.WaitStatus, exitIsOutput bool) string {
	switch {
	case status.Signaled():
		s := fmt.Sprintf("the program was ended by signal %d (%s)", status.Signal(), status.Signal())
		if status.CoreDump() {
			s += ", with a core dump"
		}
		return s
	case status.ExitStatus() != 0 && !exitIsOutput:
		return fmt.Sprintf("the program ended with status %d", status.ExitStatus())
	}
	return ""
}
