package wrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Wrapped is a program as a simulator. Use it on one goroutine.
type Wrapped struct {
	file    *File
	command []string
	program program
	again   uint32
	hooks   hooks
	ctx     context.Context

	link           *link
	folder         *folder
	stdin          *os.File
	stdinAt        int64 // how far it had been read at the snapshot
	stdout, stderr *capture
	before         [2][]byte // what was written to them before the snapshot

	process *process
	served  uint32 // runs that the process has ended

	rules     rules
	modules   modules
	sites     []*site
	byText    map[string]int
	look      bool // a rule at fault is not an error: who looks is to see all
	record    record
	statement ppx.Statement
	params    [4]ppx.Tensor
}

// Open prepares a program to be run as the file says. The hooks are looked for, or built, where the program needs them.
func Open(ctx context.Context, f *File, command []string) (w *Wrapped, err error) {
	w = &Wrapped{file: f, command: command, ctx: ctx, byText: map[string]int{}, rules: rules{file: f}}
	if w.program, err = inspect(command); err != nil {
		return nil, err
	}
	if w.program.stack == python {
		if w.command, err = scriptOf(command, w.program.path); err != nil {
			return nil, err
		}
		if w.program.path, err = exec.LookPath(w.command[0]); err != nil {
			return nil, err
		}
	}
	if err := f.fits(command, w.program); err != nil {
		return nil, err
	}
	if w.again = w.runAgain(); w.again == againExec { // what a run leaves behind becomes our child, and is ended
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.link, err = newLink(); err != nil {
		return w, err
	}
	w.link.set(atAgain, w.again)
	if w.folder, err = newFolder(f); err != nil {
		return w, err
	}
	if w.stdout, err = newCapture("stdout"); err != nil {
		return w, err
	}
	if w.stderr, err = newCapture("stderr"); err != nil {
		return w, err
	}
	if err = w.openStdin(); err != nil {
		return w, err
	}
	if w.program.why == "" {
		if w.hooks, err = findHooks(w.program.stack); err != nil {
			return w, err
		}
	}
	w.addSite(&site{place: &place{what: "bulk"}, address: "[bulk]", rule: -1, quiet: true, kind: dist.Uniform})
	return w, nil
}

// fits checks what the file says against the command.
func (f *File) fits(command []string, p program) error {
	text := strings.Join(command, "\x00")
	for i := range f.Parameter {
		switch q := &f.Parameter[i]; q.Into {
		case "arg":
			if !strings.Contains(text, "{"+q.Name+"}") {
				return f.wrong(fmt.Sprintf("parameter[%d].name", i), "parameter %s goes into the command line, in which there is no {%s}", q.Name, q.Name)
			}
		case "file":
			if err := f.fitsTemplate(q, fmt.Sprintf("parameter[%d].template", i)); err != nil {
				return err
			}
		}
	}
	switch {
	case f.Fork == "none" && p.stack != python:
		return f.wrong("fork", "fork = \"none\" runs a Python script again in one process; of this program each run is a process: main, draw or exec")
	case p.stack != dynamic && p.stack != python && (f.Fork == "main" || f.Fork == "draw"):
		return f.wrong("fork", "fork = %s goes with programs that are dynamically linked, and Python; this one is run with fork = \"exec\"", strconv.Quote(f.Fork))
	case f.Program != "" && f.Fork != "" && f.Fork != "exec":
		return f.wrong("program", "a program that others start is run anew with them: fork = \"exec\"")
	}
	return nil
}

// fitsTemplate reads a parameter's template and checks what is in it.
func (f *File) fitsTemplate(q *Parameter, key string) error {
	b, err := os.ReadFile(q.Template)
	if err != nil {
		return f.wrong(key, "%v", err)
	}
	q.text = string(b)
	if !strings.Contains(q.text, "{"+q.Name+"}") {
		return f.wrong(key, "there is no {%s} in %s", q.Name, q.Template)
	}
	for _, m := range placeholder.FindAllString(q.text, -1) {
		if name := m[1 : len(m)-1]; !slices.Contains(f.before(nil), name) {
			return f.wrong(key, "%s has {%s}, and there is no parameter of that name", q.Template, name)
		}
	}
	return nil
}

func (w *Wrapped) runAgain() uint32 {
	switch {
	case w.file.Fork == "draw" && w.program.stack != python:
		return againDraw
	case w.file.Fork == "exec", w.file.Program != "":
		return againExec
	case w.program.stack == python:
		return againManual
	case w.program.stack == dynamic:
		return againMain
	}
	return againExec
}

func (w *Wrapped) openStdin() (err error) {
	path := os.DevNull
	if w.file.Stdin != "" {
		path = w.folder.at(w.file.Stdin)
		if w.file.writes(filepath.Clean(w.file.Stdin)) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
		}
	}
	w.stdin, err = os.Open(path)
	return err
}

// Close ends the program, and removes what was made for it.
func (w *Wrapped) Close() (err error) {
	w.stop()
	if w.link != nil {
		err = w.link.close()
	}
	for _, c := range []*capture{w.stdout, w.stderr} {
		if c != nil {
			err = errors.Join(err, c.file.Close())
		}
	}
	if w.stdin != nil {
		err = errors.Join(err, w.stdin.Close())
	}
	if w.folder != nil {
		err = errors.Join(err, w.folder.close())
	}
	return err
}

// Stack is what kind of program it is.
func (w *Wrapped) Stack() string { return w.program.stack.String() }

// Name is the model's.
func (w *Wrapped) Name() string { return w.file.model(w.command, w.program.stack) }

// Serve answers an engine at an endpoint, by runs of the program, until ctx ends.
func (w *Wrapped) Serve(endpoint, system string) error {
	runtime.LockOSThread() // whose end would be that of the processes
	defer runtime.UnlockOSThread()
	return ppx.ServeAt(w.ctx, endpoint, system, w.Name(), w.Model)
}
