package wrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Model is the program as a model: one call is one run.
func (w *Wrapped) Model(h ppx.Handler) (result ppx.Tensor, err error) {
	values := map[string]float64{}
	texts := map[string]string{} // as the program gets them
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
		texts[p.Name] = number(v.Float())
		known[p.Name] = dist.Scalar(v.Float())
	}
	if err := w.run(h, texts); err != nil {
		return result, err
	}
	if err := w.outputs(h, values, texts, known); err != nil {
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
	return dist.Scalar(float64(w.status().ExitStatus()))
}

// status is how the last run ended.
func (w *Wrapped) status() syscall.WaitStatus { return syscall.WaitStatus(w.link.get(atStatus)) }

// prepare puts the parameters where the program looks for them.
func (w *Wrapped) prepare(texts map[string]string) (args, env []string, err error) {
	for _, a := range w.command[1:] {
		args = append(args, fill(a, texts))
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
			if err := os.WriteFile(w.folder.at(p.File), []byte(fill(p.text, texts)), 0o600); err != nil {
				return nil, nil, err
			}
		}
	}
	for i := range w.file.Output { // what an earlier run has left there is not this one's
		if path, ok := strings.CutPrefix(w.file.Output[i].From, "file:"); ok {
			if err := os.Remove(w.folder.at(fill(path, texts))); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, nil, err
			}
		}
	}
	return args, env, nil
}

// run makes the program run once.
func (w *Wrapped) run(h ppx.Handler, texts map[string]string) (err error) {
	out, _ := h.(ppx.Outsourcer)
	args, env, err := w.prepare(texts)
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

// follow answers the program until the run ends; failure says what went wrong with that.
func (w *Wrapped) follow(h ppx.Handler, out ppx.Outsourcer) (failure string, err error) {
	l := w.link
	exitIsOutput := slices.ContainsFunc(w.file.Output, func(o Output) bool { return o.From == "exit" })
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
				return ended(w.status(), exitIsOutput), err
			}
			continue
		}
		switch {
		case runs != w.served && w.again != againExec:
			w.served = runs
			return ended(w.status(), exitIsOutput), nil
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

// outputs tells what the program has written.
func (w *Wrapped) outputs(h ppx.Handler, values map[string]float64, texts map[string]string, known map[string]ppx.Tensor) error {
	written := map[string][]byte{}
	read := func(from string) ([]byte, error) {
		if b, ok := written[from]; ok {
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
			path := fill(strings.TrimPrefix(from, "file:"), texts)
			b, err = os.ReadFile(w.folder.at(path))
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("the program has written no %s", path)
			}
		}
		written[from] = b
		return b, err
	}
	for i := range w.file.Output {
		o := &w.file.Output[i]
		var t ppx.Tensor
		if o.From == "exit" {
			t = dist.Scalar(float64(w.status().ExitStatus()))
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
