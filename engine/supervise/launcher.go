// Package supervise starts simulators and ends them: each in a process group of its own that dies with this process, on an endpoint in a
// private folder; and it keeps two engines away from one endpoint.
package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// EndpointVar is the environment variable in which a launched simulator finds its endpoint.
const EndpointVar = "PPX_ENDPOINT"

const (
	endpointMark = "{endpoint}"
	workerMark   = "{worker}"
	// stopGrace is what a simulator gets between SIGTERM and SIGKILL.
	stopGrace = time.Second
)

// Config says what to start.
type Config struct {
	// Command is program and arguments, no shell. "{endpoint}" in them is replaced by the copy's endpoint, which is also in the environment
	// variable EndpointVar, "{worker}" by its number.
	Command      []string
	CwdPerWorker bool   // give each copy a working folder of its own
	WorkDir      string // where these folders are made, and left; "": in the folder of the sockets
}

// ErrStart says that no simulator could be started or reached.
var ErrStart = errors.New("no simulator")

// Launcher starts simulators. A child is to die with its parent's thread (Pdeathsig) and inherits that
// thread's personality, so one goroutine keeps one thread for all of them, for good.
type Launcher struct {
	requests chan launchRequest
	command  []string
	dir      string // for sockets
	workDir  string // for working folders, "" for none
}

type launchRequest struct {
	worker, generation int
	exited             func(*Process)
	reply              chan launched
}

type launched struct {
	p   *Process
	err error
}

// NewLauncher returns one that makes sockets in a folder.
func NewLauncher(o Config, dir string) (*Launcher, error) {
	l := &Launcher{requests: make(chan launchRequest), command: slices.Clone(o.Command), dir: dir}
	if o.CwdPerWorker {
		if l.workDir = o.WorkDir; l.workDir == "" {
			l.workDir = dir
		}
		// In another folder, a relative path to the program would mean another file.
		if program, err := exec.LookPath(l.command[0]); err == nil {
			if l.command[0], err = filepath.Abs(program); err != nil {
				return nil, err
			}
		}
	}
	go l.loop()
	return l, nil
}

// addrNoRandomize makes the addresses of code equal in all processes, for simulators that report absolute
// ones.
const addrNoRandomize = 0x0040000

func (l *Launcher) loop() {
	runtime.LockOSThread() // for good: the thread ends with this goroutine, when its children have been waited for
	old, _, errno := syscall.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	if errno == 0 {
		// Some containers refuse it: then addresses differ where the simulator cannot help it.
		_, _, _ = syscall.Syscall(unix.SYS_PERSONALITY, old|addrNoRandomize, 0, 0)
	}
	for r := range l.requests {
		p, err := l.start(r)
		r.reply <- launched{p, err}
	}
}

// Close ends the launcher; its simulators must have ended.
func (l *Launcher) Close() { close(l.requests) }

// Launch starts a copy of the simulator on an endpoint of its own. exited is called, on another
// goroutine, when it has ended. Errors: ErrStart.
func (l *Launcher) Launch(worker, generation int, exited func(*Process)) (*Process, error) {
	r := launchRequest{worker, generation, exited, make(chan launched, 1)}
	l.requests <- r
	a := <-r.reply
	return a.p, a.err
}

// Process is a launched simulator.
type Process struct {
	Endpoint string
	cmd      *exec.Cmd
	out      tail
	Done     chan struct{} // closed when it has ended
	err      error         // why it ended, after done
	stopping bool          // we asked it to end
	mu       sync.Mutex
}

func (l *Launcher) start(r launchRequest) (*Process, error) {
	// A fresh path for each: a second bind to one in use would steal it silently.
	p := &Process{Done: make(chan struct{}), Endpoint: fmt.Sprintf("ipc://%s/w%d.%d", l.dir, r.worker, r.generation)}
	args := make([]string, len(l.command))
	for i, a := range l.command {
		a = strings.ReplaceAll(a, endpointMark, p.Endpoint)
		args[i] = strings.ReplaceAll(a, workerMark, strconv.Itoa(r.worker))
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(oneThread(os.Environ()), EndpointVar+"="+p.Endpoint, "PPX_WORKER="+strconv.Itoa(r.worker))
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.WaitDelay = stopGrace // a grandchild may hold the pipe
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if l.workDir != "" {
		p.cmd.Dir = filepath.Join(l.workDir, fmt.Sprintf("worker%d", r.worker))
		if err := os.MkdirAll(p.cmd.Dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: cannot start the simulator: %w", ErrStart, err)
	}
	go func() {
		err := p.cmd.Wait()
		p.Kill() // what it left running in its group
		if err == nil || errors.Is(err, exec.ErrWaitDelay) {
			err = errors.New(exitedWell)
		}
		p.err = err
		_ = os.Remove(strings.TrimPrefix(p.Endpoint, "ipc://"))
		close(p.Done)
		r.exited(p)
	}()
	return p, nil
}

// oneThread gives the numerical libraries of a launched copy one thread, unless the user has said how many: copies share
// the cores, and libraries that start a thread a core in each of them take turns at wasting them.
func oneThread(env []string) []string {
	set := map[string]bool{}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		set[name] = true
	}
	if set["OMP_NUM_THREADS"] { // the others follow it
		return env
	}
	for _, name := range []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"} {
		if !set[name] {
			env = append(env, name+"=1")
		}
	}
	return env
}

const exitedWell = "exit status 0"

// ExitedWell tells whether an error is of a simulator that has ended as if nothing was wrong.
func ExitedWell(err error) bool { return strings.Contains(err.Error(), exitedWell) }

// HasEndpoint tells whether a command tells the simulator its endpoint.
func HasEndpoint(command []string) bool {
	return slices.ContainsFunc(command, func(a string) bool { return strings.Contains(a, endpointMark) })
}

// Kill ends the simulator's process group at once.
func (p *Process) Kill() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// Stop asks the simulator to end, and ends it after a grace.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return
	}
	p.stopping = true
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	time.AfterFunc(stopGrace, func() {
		select {
		case <-p.Done:
		default:
			p.Kill()
		}
	})
}

// Killed tells whether the simulator, which has ended, was killed.
func (p *Process) Killed() bool {
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Epitaph tells how a simulator ended and what it said last.
func (p *Process) Epitaph() string {
	s := "simulator ended: " + p.err.Error()
	if out := p.out.String(); out != "" {
		s += "; its last output:\n" + out
	}
	return s
}

// Output is the last lines that it has printed, made safe to print.
func (p *Process) Output() string { return p.out.String() }

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended tells whether it has.
func (p *Process) Ended() bool {
	select {
	case <-p.Done:
		return true
	default:
		return false
	}
}

// tail keeps the last lines of what a simulator prints.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > 2*tailBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailBytes:]...)
	}
	return len(b), nil
}

// String is at most ten lines, made safe to print.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buf
	if len(b) > tailBytes {
		b = b[len(b)-tailBytes:]
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) > 10 {
		lines = lines[len(lines)-10:]
	}
	for i, l := range lines {
		lines[i] = "  | " + ppx.Printable(strings.TrimRight(l, "\r"))
	}
	if len(lines) == 1 && lines[0] == "  | " {
		return ""
	}
	return strings.Join(lines, "\n")
}
