package wrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a started program.
type process struct {
	cmd    *exec.Cmd
	exited atomic.Bool
	status syscall.WaitStatus // once it has exited
}

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
