package inspector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

var (
	errForbidden = errors.New("not allowed")
	errConflict  = errors.New("not now")
)

// Job is one that was submitted here.
type Job struct {
	Run   string `json:"run"`   // its run directory
	State string `json:"state"` // running, complete, interrupted, failed
	Exit  int    `json:"exit"`  // of its process, once it has ended
	Said  string `json:"said"`  // the end of what it printed to its standard error
}

// submitted are the jobs that were submitted, each a process.
type submitted struct {
	server *Server
	mu     sync.Mutex
	list   []*job
	wait   sync.WaitGroup
	over   bool
}

type job struct {
	Job
	cmd  *exec.Cmd
	said *tail
}

const (
	mostSpec    = 1 << 20 // bytes
	mostAtOnce  = 4
	mostSaid    = 4000 // bytes that are kept
	endPatience = 20 * time.Second
	interrupted = 130 // exit code
)

// submit takes a Spec, whose paths are below the folder and whose simulator is one of those that are allowed.
func (j *submitted) submit(w http.ResponseWriter, r *http.Request) error {
	if len(j.server.o.Allow) == 0 {
		return fmt.Errorf("%w: this inspector takes no jobs (ppx open --allow-submit)", errForbidden)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostSpec))
	if err != nil {
		return bad{err}
	}
	dir := j.server.dir
	spec, err := jobs.Decode(b, dir, j.check)
	if err != nil {
		return err
	}
	if spec.Out == "" {
		spec.Out = filepath.Join(dir, time.Now().UTC().Format("20060102T150405.000Z")+"-"+spec.Verb)
	}
	if _, err := os.Lstat(spec.Out); err == nil {
		return fmt.Errorf("%w: %s exists", errConflict, filepath.Base(spec.Out))
	}
	if err := spec.Check(); err != nil {
		return err
	}
	x, err := j.start(spec, dir)
	if err != nil {
		return err
	}
	return sendAs(w, http.StatusAccepted, x)
}

// check refuses what was not allowed.
func (j *submitted) check(spec *jobs.Spec) error {
	dir := j.server.dir
	allowed := func(words ...string) bool {
		return len(words) > 0 && slices.ContainsFunc(j.server.o.Allow, func(a string) bool { return slices.Equal(strings.Fields(a), words) })
	}
	switch {
	case len(spec.Simulator.Connect) > 0:
		for _, e := range spec.Simulator.Connect {
			if !allowed(e) {
				return fmt.Errorf("%w: the simulator at %s is none of those that jobs are accepted for", errForbidden, ppx.Quote(e))
			}
		}
	case !allowed(spec.Simulator.Command...):
		return fmt.Errorf("%w: the simulator %s is none of those that jobs are accepted for", errForbidden, ppx.Quote(strings.Join(spec.Simulator.Command, " ")))
	}
	for _, p := range spec.Paths() {
		// What is there of it must be below, links followed.
		real := p
		for {
			at, err := filepath.EvalSymlinks(real)
			if err == nil {
				real = at
				break
			}
			if !errors.Is(err, os.ErrNotExist) || filepath.Dir(real) == real {
				return bad{fmt.Errorf("%s cannot be used", ppx.Quote(p))}
			}
			real = filepath.Dir(real)
		}
		if !below(dir, p) || !below(dir, real) {
			return fmt.Errorf("%w: %s is not below the folder that is served", errForbidden, ppx.Quote(p))
		}
	}
	for at := spec.Out; spec.Out != "" && below(dir, at); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "run.json")); err == nil {
			return fmt.Errorf("%w: there is a run in %s already", errConflict, ppx.Quote(filepath.Base(at)))
		}
	}
	return nil
}

// start runs a job as a process of its own.
func (j *submitted) start(spec *jobs.Spec, dir string) (*Job, error) {
	rel, err := filepath.Rel(dir, spec.Out)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := spec.Write(&text, dir); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, ".job-*.json")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Write(text.Bytes()); err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	running := 0
	for _, x := range j.list {
		if x.State == rundir.Running {
			running++
		}
	}
	if j.over || running >= mostAtOnce {
		return nil, errors.Join(fmt.Errorf("%w: %d jobs are running already", errConflict, running), os.Remove(f.Name()))
	}
	x := &job{Job: Job{Run: rel, State: rundir.Running}, said: &tail{}}
	args := append(slices.Clone(j.server.o.Command[1:]), spec.Verb, "--quiet", "--job", f.Name())
	x.cmd = exec.Command(j.server.o.Command[0], args...)
	x.cmd.Stderr, x.cmd.SysProcAttr = x.said, &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us: we pass it on
	x.cmd.WaitDelay = 5 * time.Second                                             // whatever it has left behind may have our pipe open
	if err := x.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	j.list = append(j.list, x)
	answer := x.Job
	j.wait.Go(func() {
		err := x.cmd.Wait()
		os.Remove(f.Name())
		j.mu.Lock()
		defer j.mu.Unlock()
		x.State, x.Exit = rundir.Complete, x.cmd.ProcessState.ExitCode()
		switch {
		case x.Exit == interrupted:
			x.State = rundir.Interrupted
		case err != nil:
			x.State = rundir.Failed
		}
	})
	return &answer, nil
}

// show lists the jobs.
func (j *submitted) show(w http.ResponseWriter, _ *http.Request) error {
	list := []Job{}
	j.mu.Lock()
	for _, x := range j.list {
		one := x.Job
		one.Said = x.said.String()
		list = append(list, one)
	}
	j.mu.Unlock()
	return send(w, map[string]any{"schema": view.Schema, "jobs": list})
}

// end interrupts all jobs, and waits for them to have written what they have.
func (j *submitted) end() {
	j.mu.Lock()
	j.over = true
	for _, x := range j.list {
		if x.State == rundir.Running {
			_ = x.cmd.Process.Signal(os.Interrupt) // it may have ended meanwhile
		}
	}
	j.mu.Unlock()
	done := make(chan struct{})
	go func() { j.wait.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(endPatience): // it does not listen
		j.mu.Lock()
		for _, x := range j.list {
			if x.State == rundir.Running {
				_ = syscall.Kill(-x.cmd.Process.Pid, syscall.SIGKILL) // with its simulators; what is on disk stays readable
			}
		}
		j.mu.Unlock()
		<-done
	}
}

// tail keeps the end of what is written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > mostSaid {
		t.b = t.b[len(t.b)-mostSaid:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.b), "�")
}

// stop interrupts the process that is writing a run: it ends with what it has, and can be gone on with.
func (s *Server) stop(w http.ResponseWriter, r *http.Request) error {
	path, err := s.find(r.PathValue("id"))
	if err != nil {
		return err
	}
	pid, _ := disk.Holder(filepath.Join(path, rundir.LockFile))
	if pid == 0 {
		return fmt.Errorf("%w: no process that may be stopped from here is writing %s", errConflict, r.PathValue("id"))
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return sendAs(w, http.StatusAccepted, map[string]any{"schema": view.Schema, "process": pid})
}

// Event is what those who follow a run are told.
type Event struct {
	Run
	Verdict string      `json:"verdict"`
	ESS     view.Number `json:"ess"`
}

// events follows a run until it has ended: one when it changes, as server-sent events.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	path, err := s.find(id)
	if err != nil {
		return err
	}
	flush := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	last := ""
	for {
		state, live := stateOf(path)
		if state != last {
			last = state
			e := Event{Run: describe(id, path)}
			if x, err := s.result(r); err == nil { // else there is nothing to read yet
				e.Verdict, e.ESS, e.Traces, e.Failed = x.event.Verdict, x.event.ESS, x.event.Traces, x.event.Failed
			}
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil {
				return err
			}
			if err := flush.Flush(); err != nil {
				return err
			}
		}
		if !live {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
