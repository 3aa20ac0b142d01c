package wrap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

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
	asked     map[int]bool // sites whose flags say that values are asked for
	look      bool         // a rule at fault is not an error: who looks is to see all
	record    record
	statement ppx.Statement
	params    [4]ppx.Tensor
}

// process is a started program.
type process struct {
	cmd    *exec.Cmd
	exited atomic.Bool
	status syscall.WaitStatus // once it has exited
}

// Open prepares a program to be run as the file says. The hooks are looked for, or built, where the program needs them.
func Open(ctx context.Context, f *File, command []string) (w *Wrapped, err error) {
	w = &Wrapped{file: f, command: command, ctx: ctx, byText: map[string]int{}, asked: map[int]bool{}, rules: rules{file: f}}
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
	values := map[string]string{}
	for i := range f.Parameter {
		values[f.Parameter[i].Name] = ""
	}
	text := strings.Join(command, "\x00")
	for i := range f.Parameter {
		if q := &f.Parameter[i]; q.Into == "arg" && !strings.Contains(text, "{"+q.Name+"}") {
			return f.wrong(fmt.Sprintf("parameter[%d].name", i), "parameter %s goes into the command line, in which there is no {%s}", q.Name, q.Name)
		}
		if q := &f.Parameter[i]; q.Into == "file" {
			b, err := os.ReadFile(q.Template)
			if err != nil {
				return f.wrong(fmt.Sprintf("parameter[%d].template", i), "%v", err)
			}
			if !strings.Contains(string(b), "{"+q.Name+"}") {
				return f.wrong(fmt.Sprintf("parameter[%d].template", i), "there is no {%s} in %s", q.Name, q.Template)
			}
			var unknown error
			fill(string(b), values, func(name string) {
				if unknown == nil {
					unknown = f.wrong(fmt.Sprintf("parameter[%d].template", i), "%s has {%s}, and there is no parameter of that name", q.Template, name)
				}
			})
			if unknown != nil {
				return unknown
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
	return errors.Join(err, w.hooks.close())
}

// Name is the model's.
func (w *Wrapped) Name() string { return w.file.model(w.command, w.program.stack) }

// start starts the program, with a command line.
func (w *Wrapped) start(args, env []string) error {
	if w.again == againExec {
		w.link.forget()
	}
	w.link.set(atServer, 0)
	w.link.set(atCall, 0)
	w.modules.pid = 0
	cmd := w.hooks.command(w.program.path, args, w.file)
	cmd.Dir = w.folder.path
	cmd.Stdin, cmd.Stdout, cmd.Stderr = w.stdin, w.stdout.file, w.stderr.file
	cmd.ExtraFiles = []*os.File{w.link.file} // descriptor 3
	cmd.Env = append(w.hooks.environment(os.Environ(), w.file), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd}
	w.process, w.served = p, w.link.get(atRuns)
	go func() {
		_ = cmd.Wait() // how it ended is in its state
		p.status, _ = cmd.ProcessState.Sys().(syscall.WaitStatus)
		p.exited.Store(true)
		w.link.ring()
	}()
	return nil
}

// stop ends the program.
func (w *Wrapped) stop() {
	p := w.process
	if p == nil {
		return
	}
	w.process = nil
	w.kill()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	for !p.exited.Load() {
		w.link.wait(w.link.get(atBell), 20*time.Millisecond)
	}
}

// kill ends a run: its process, and those that this has started.
func (w *Wrapped) kill() {
	if pid := int(w.link.get(atPid)); pid > 1 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Model is the program as a model: one call is one run.
func (w *Wrapped) Model(h ppx.Handler) (result ppx.Tensor, err error) {
	values := map[string]float64{}
	known := map[string]ppx.Tensor{}
	for i := range w.file.Parameter {
		p := &w.file.Parameter[i]
		d, err := w.file.prior[i].dist(values, ppx.Tensor{})
		if err != nil {
			return result, fmt.Errorf("prior of %s: %w", p.Name, err)
		}
		v, err := h.Sample(&ppx.Statement{Op: ppx.Sample, Address: p.Name, Name: p.Name, Control: true, Dist: d})
		if err != nil {
			return result, err
		}
		values[p.Name] = v.Float()
		known[p.Name] = dist.Scalar(v.Float())
	}
	if err := w.run(h, values); err != nil {
		return result, err
	}
	if err := w.outputs(h, values, known); err != nil {
		return result, err
	}
	if err := w.notices(h); err != nil {
		return result, err
	}
	return w.result(known), nil
}

// result is the run's: that which the file names, else the first output, else the exit status.
func (w *Wrapped) result(known map[string]ppx.Tensor) ppx.Tensor {
	switch {
	case w.file.Result != "":
		return known[w.file.Result]
	case len(w.file.Output) > 0:
		return known[w.file.Output[0].Name]
	}
	return dist.Scalar(float64(syscall.WaitStatus(w.link.get(atStatus)).ExitStatus()))
}

// prepare puts the parameters where the program looks for them.
func (w *Wrapped) prepare(values map[string]float64) (args, env []string, err error) {
	texts := map[string]string{}
	for name, v := range values {
		texts[name] = number(v)
	}
	for _, a := range w.command[1:] {
		args = append(args, fill(a, texts, nil))
	}
	done := map[string]bool{}
	for i := range w.file.Parameter {
		switch p := &w.file.Parameter[i]; p.Into {
		case "env":
			env = append(env, p.Env+"="+texts[p.Name])
		case "file":
			if done[p.File] {
				continue
			}
			done[p.File] = true
			b, err := os.ReadFile(p.Template)
			if err != nil {
				return nil, nil, err
			}
			if err := os.WriteFile(w.folder.at(p.File), []byte(fill(string(b), texts, nil)), 0o600); err != nil {
				return nil, nil, err
			}
		}
	}
	for i := range w.file.Output { // what an earlier run has left there is not this one's
		if path, ok := strings.CutPrefix(w.file.Output[i].From, "file:"); ok {
			if err := os.Remove(w.folder.at(fill(path, texts, nil))); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, nil, err
			}
		}
	}
	return args, env, nil
}

// run makes the program run once.
func (w *Wrapped) run(h ppx.Handler, values map[string]float64) (err error) {
	out, _ := h.(ppx.Outsourcer)
	args, env, err := w.prepare(values)
	if err != nil {
		return err
	}
	alone := w.again == againExec // a process makes one run
	if w.process != nil && w.process.exited.Load() {
		w.stop()
	}
	w.begin(out)
	given := args
	if w.program.stack == python {
		given = args[interpreterOptions(args):]
	}
	if err := w.link.setArgs(append([]string{w.command[0]}, given...), env); err != nil {
		return err
	}
	if w.process == nil {
		w.stdinAt = 0
		if err := errors.Join(w.rewind(), w.start(args, env)); err != nil {
			return err
		}
		if !alone {
			if err := w.ready(); err != nil {
				return err
			}
			if err := w.snapshot(); err != nil {
				return err
			}
		}
	}
	if !alone {
		if err := w.order(); err != nil {
			return err
		}
	}
	failure, err := w.follow(h, out)
	switch {
	case err != nil:
		w.abandon(alone)
		return err
	case failure != "":
		return w.failure(failure)
	}
	return nil
}

// begin tells the program's processes how they draw.
func (w *Wrapped) begin(out ppx.Outsourcer) {
	l := w.link
	e := ppx.Elsewhere{Ask: true}
	if out != nil {
		e = out.Elsewhere()
	}
	l.set64(atSeed, e.Seed)
	l.set64(atStream, e.Stream)
	l.set64(atDraw, e.Draw)
	l.set64(atNext, e.Statement)
	ask := uint32(0)
	if e.Ask {
		ask = 1
	}
	l.set(atAsk, ask)
	if l.get64(atWritten) > 32<<20 {
		_ = unix.Madvise(l.mem[atLog:], unix.MADV_REMOVE) // memory of a long run: if it stays, it stays
	}
	l.set64(atWritten, 0)
	l.set64(atRead, 0)
	if w.file.Fork != "none" { // where the process is waiting
		l.set(atPid, 0)
		l.set(atCall, 0)
	}
	clear(l.mem[atNotices : atNotices+8*len(ppx.Notices)])
	if out != nil {
		for k, s := range w.sites {
			if s.name != "" {
				w.flag(k, out)
			}
		}
	}
}

// flag tells the program's processes how a site is answered.
func (w *Wrapped) flag(k int, out ppx.Outsourcer) {
	s := w.sites[k]
	var f byte
	if s.bulk {
		f |= flagBulk
		if s.caller {
			f |= flagCaller
		}
	}
	if out != nil && out.Given(s.name) {
		f |= flagAsk
	}
	w.link.setFlags(k, f)
}

// ready waits until the program can make runs.
func (w *Wrapped) ready() error {
	for {
		seen := w.link.get(atBell)
		switch {
		case w.link.get(atServer) == 1:
			if n := w.link.get(atTasks); n > 1 && w.file.Threads != "allow" {
				w.stop()
				return fmt.Errorf("the program has %d threads where it is forked, which would be missing in the runs: threads = \"allow\" if that does no harm (idle threads of a library), fork = \"exec\" or \"main\" else", n)
			}
			return nil
		case w.again == againManual && w.link.get(atCall) == 1 && w.link.get(atRequest) == requestNext:
			return nil
		case w.link.get(atCall) == 1 && w.link.get(atRequest) == requestFail:
			text := string(w.link.exchange())
			w.stop()
			return errors.New(text)
		case w.process.exited.Load():
			what := ended(w.process.status, false)
			w.process = nil
			if what == "" {
				what = "the program ended without any draw that is hooked"
				if w.again != againDraw {
					what = "the program ended before its main function was to begin"
				}
			}
			return w.failure(what)
		case w.ctx.Err() != nil:
			return context.Cause(w.ctx)
		}
		w.link.wait(seen, 100*time.Millisecond)
	}
}

// snapshot keeps what the program has written so far: it is before the output of every run.
func (w *Wrapped) snapshot() error {
	var err [2]error
	w.before[0], err[0] = w.stdout.text()
	w.before[1], err[1] = w.stderr.text()
	if w.file.Stdin != "" {
		var at error
		w.stdinAt, at = w.stdin.Seek(0, io.SeekCurrent)
		return errors.Join(err[0], err[1], at)
	}
	return errors.Join(err[0], err[1])
}

// rewind makes the program's streams begin anew.
func (w *Wrapped) rewind() error {
	err := errors.Join(w.stdout.rewind(), w.stderr.rewind())
	if w.file.Stdin != "" {
		_, e := w.stdin.Seek(w.stdinAt, io.SeekStart)
		err = errors.Join(err, e)
	}
	return err
}

// order makes a program run that waits for that.
func (w *Wrapped) order() error {
	if err := w.ready(); err != nil { // it may still be ending the run before
		return err
	}
	if err := w.rewind(); err != nil {
		return err
	}
	w.served = w.link.get(atRuns)
	if w.link.get(atServer) == 1 {
		w.link.tell(atServer, 2)
	} else {
		w.link.tell(atCall, 2) // of a process that makes one run after the other
	}
	return nil
}

// follow answers the program until the run ends; failure says what went wrong with that.
func (w *Wrapped) follow(h ppx.Handler, out ppx.Outsourcer) (failure string, err error) {
	l := w.link
	exitIsOutput := false
	for i := range w.file.Output {
		exitIsOutput = exitIsOutput || w.file.Output[i].From == "exit"
	}
	for {
		seen := l.get(atBell)
		// What it had drawn when it asked, or ended, is noted first: so it is looked at after that.
		exited, runs, asks := w.process.exited.Load(), l.get(atRuns), l.get(atCall) == 1
		if err := w.drain(h, out); err != nil {
			return "", err
		}
		if asks {
			done, err := w.answer(h, out)
			if err != nil || done {
				return ended(syscall.WaitStatus(l.get(atStatus)), exitIsOutput), err
			}
			continue
		}
		switch {
		case runs != w.served && w.again != againExec:
			w.served = runs
			return ended(syscall.WaitStatus(l.get(atStatus)), exitIsOutput), nil
		case exited:
			if w.again != againExec {
				failure = "the program's first process has ended: "
			}
			l.set(atStatus, uint32(w.process.status))
			what := ended(w.process.status, exitIsOutput)
			pid := w.process.cmd.Process.Pid
			w.process = nil
			clearUp(pid)
			if failure != "" && what == "" {
				what = "it has left by itself (_exit) where another run was to follow"
			}
			return failure + what, nil
		case w.ctx.Err() != nil:
			return "", context.Cause(w.ctx)
		}
		l.wait(seen, 50*time.Millisecond)
	}
}

// clearUp ends what a run has left behind: processes of its group, and others that have come to this one as their parents ended.
func clearUp(group int) {
	_ = syscall.Kill(-group, syscall.SIGKILL) // the error of what has ended
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				_, _ = syscall.Wait4(pid, nil, 0, nil)
			}
		}
	}
}

// abandon ends a run that is not to go on, and leaves the program ready for the next.
func (w *Wrapped) abandon(alone bool) {
	if w.process == nil {
		return
	}
	if alone || w.file.Fork == "none" || w.link.get(atServer) == 0 {
		w.stop()
		return
	}
	for start := time.Now(); w.link.get(atRuns) == w.served; {
		seen := w.link.get(atBell)
		w.kill()
		if w.process.exited.Load() || time.Since(start) > 10*time.Second {
			w.stop()
			return
		}
		if w.link.get(atRuns) == w.served {
			w.link.wait(seen, 10*time.Millisecond)
		}
	}
	w.served = w.link.get(atRuns)
}

// failure is the error of a run that went wrong, with the program's last words.
func (w *Wrapped) failure(what string) error {
	text, err := w.stderr.text()
	if err == nil && len(strings.TrimSpace(string(text))) == 0 {
		text, err = w.stdout.text()
	}
	if words := last(text); err == nil && words != "" {
		if at := strings.LastIndexByte(words, '\n'); at >= 0 { // the last is what matters most: texts may be cut
			return fmt.Errorf("%s: %s; its last lines: %s", what, words[at+1:], words)
		}
		return fmt.Errorf("%s: %s", what, words)
	}
	return errors.New(what)
}

// answer does what a process asks for. done tells that a run of a process that makes several has ended.
func (w *Wrapped) answer(h ppx.Handler, out ppx.Outsourcer) (done bool, err error) {
	l := w.link
	switch what := l.get(atRequest); what {
	case requestSite:
		k, err := w.describe(out)
		if err != nil {
			return false, err
		}
		l.set(atAnswer, uint32(k))
	case requestValue, requestRoom: // drain has done it
		if what == requestRoom {
			l.set64(atWritten, 0)
			l.set64(atRead, 0)
		}
	case requestEnded:
		l.tell(atCall, 2)
		return true, nil
	case requestFail:
		return false, errors.New(string(l.exchange()))
	case requestNext:
		return false, nil
	default:
		return false, errLog
	}
	l.tell(atCall, 2)
	return false, nil
}

// describe reads what a process says of a place, and returns its number.
func (w *Wrapped) describe(out ppx.Outsourcer) (int, error) {
	b := w.link.exchange()
	if len(b) < 16 {
		return 0, errLog
	}
	length, n := int(binary.LittleEndian.Uint32(b)), int(int32(binary.LittleEndian.Uint32(b[4:])))
	kind := dist.Kind(b[8])
	b = b[16:]
	var p *place
	if n < 0 {
		if length > len(b) {
			return 0, errLog
		}
		p = interpreted(string(b[:length]), kind)
	} else {
		if 8*n+length > len(b) {
			return 0, errLog
		}
		pcs := make([]uint64, n)
		for i := range pcs {
			pcs[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
		p = w.modules.compiled(int(w.link.get(atPid)), string(b[8*n:8*n+length]), kind, pcs)
	}
	s := w.rules.site(p)
	if k, ok := w.byText[s.address]; ok {
		return k, nil
	}
	if s.failed != nil && !w.look {
		return 0, s.failed
	}
	k := w.addSite(s)
	w.flag(k, out)
	return k, nil
}

func (w *Wrapped) addSite(s *site) int {
	if len(w.sites) == flagsSize {
		return flagsSize - 1 // as many places as that are none
	}
	k := len(w.sites)
	w.sites = append(w.sites, s)
	w.byText[s.address] = k
	return k
}

// drain notes the draws that the program's process has written down, and answers the last of them if it is asked for.
func (w *Wrapped) drain(h ppx.Handler, out ppx.Outsourcer) error {
	l := w.link
	written, at := l.get64(atWritten), l.get64(atRead)
	for at < written {
		r := &w.record
		if err := l.read(r, at, written); err != nil {
			return err
		}
		if r.site >= len(w.sites) {
			return errLog
		}
		if err := w.note(h, out, w.sites[r.site], r); err != nil {
			return err
		}
		at += 8 * uint64(r.words)
		l.set64(atRead, at)
	}
	return nil
}

// note makes a statement of a record.
func (w *Wrapped) note(h ppx.Handler, out ppx.Outsourcer, s *site, r *record) error {
	st := &w.statement
	*st = ppx.Statement{Op: ppx.Sample, Address: s.address, Name: s.name, Control: !s.quiet, Dist: ppx.Dist{Kind: dist.Kind(r.kind)}}
	for k := range r.params {
		w.params[k] = ppx.Tensor{Data: r.params[k].data, Shape: r.params[k].shape}
	}
	st.Dist.Params = w.params[:len(r.params)]
	if w.look {
		s.seen(r)
	}
	if !r.asked && out != nil {
		return out.Drawn(st, ppx.Tensor{Data: r.value, Shape: r.shape})
	}
	if s.place.standIn && s.name != "" && out != nil && out.Given(s.name) {
		return fmt.Errorf("data for %s: what is recorded at %s is a %s of which %s makes its value, so that data of the program's values would mean something else. Observe an output instead",
			ppx.Quote(s.name), s.place.here(), st.Dist.Kind, s.place.what)
	}
	v, err := h.Sample(st)
	if err != nil {
		return err
	}
	if len(v.Data) != len(r.value) {
		return fmt.Errorf("the answer to the draw at %s has %d numbers, not %d", s.address, len(v.Data), len(r.value))
	}
	copy(r.value, v.Data)
	return nil
}

// outputs tells what the program has written.
func (w *Wrapped) outputs(h ppx.Handler, values map[string]float64, known map[string]ppx.Tensor) error {
	texts := map[string][]byte{}
	read := func(from string) ([]byte, error) {
		if b, ok := texts[from]; ok {
			return b, nil
		}
		var b []byte
		var err error
		switch from {
		case "stdout":
			if b, err = w.stdout.text(); err == nil {
				b = append(w.before[0][:len(w.before[0]):len(w.before[0])], b...)
			}
		case "stderr":
			if b, err = w.stderr.text(); err == nil {
				b = append(w.before[1][:len(w.before[1]):len(w.before[1])], b...)
			}
		default:
			names := map[string]string{}
			for name, v := range values {
				names[name] = number(v)
			}
			path := fill(strings.TrimPrefix(from, "file:"), names, nil)
			b, err = os.ReadFile(w.folder.at(path))
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("the program has written no %s", path)
			}
		}
		texts[from] = b
		return b, err
	}
	for i := range w.file.Output {
		o := &w.file.Output[i]
		var t ppx.Tensor
		if o.From == "exit" {
			t = dist.Scalar(float64(syscall.WaitStatus(w.link.get(atStatus)).ExitStatus()))
		} else {
			text, err := read(o.From)
			if err != nil {
				return fmt.Errorf("output %s: %w", o.Name, err)
			}
			if t, err = o.find(text); err != nil {
				return err
			}
		}
		known[o.Name] = t
		s := ppx.Statement{Address: o.Name, Name: o.Name}
		if o.likelihood == nil {
			if out, ok := h.(ppx.Outsourcer); ok && out.Given(o.Name) {
				return w.file.wrong(fmt.Sprintf("output[%d].name", i), "data for %s: this output has no likelihood, so that they would mean nothing: likelihood = \"Normal(value, …)\" says how what was measured lies around the value", o.Name)
			}
			s.Op, s.Value = ppx.Tag, t
			if err := h.Tag(&s); err != nil {
				return err
			}
			continue
		}
		d, err := o.likelihood.dist(values, t)
		if err != nil {
			return fmt.Errorf("likelihood of %s: %w", o.Name, err)
		}
		s.Op, s.Dist = ppx.Observe, d
		if err := h.Observe(&s); err != nil {
			return err
		}
	}
	return nil
}

// notices tells what the hooks have seen.
func (w *Wrapped) notices(h ppx.Handler) error {
	for k := range ppx.Notices {
		n := w.link.get64(atNotices + 8*k)
		if n == 0 {
			continue
		}
		if err := h.Tag(&ppx.Statement{Op: ppx.Tag, Address: ppx.NoticePrefix + ppx.Notices[k].Text, Value: dist.Scalar(float64(n))}); err != nil {
			return err
		}
	}
	return nil
}

// Serve answers an engine at an endpoint, by runs of the program, until ctx ends.
func (w *Wrapped) Serve(endpoint, system string) error {
	runtime.LockOSThread() // whose end would be that of the processes
	defer runtime.UnlockOSThread()
	t, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		return err
	}
	s, err := t.Listen(endpoint)
	if err != nil {
		return errors.Join(err, t.Close())
	}
	err = ppx.Serve(w.ctx, s, system, w.Name(), w.Model)
	return errors.Join(err, s.Close(), t.Close())
}
