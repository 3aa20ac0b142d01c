package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/simulators/hmm"
	"github.com/ppx-engine/ppx-engine/simulators/marsaglia"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// The test binary is also the simulators: with PPX_TEST_SIM it runs one of them.
func TestMain(m *testing.M) {
	if name := os.Getenv("PPX_TEST_SIM"); name != "" {
		simulate(name)
		return
	}
	// The locked thread that starts children ends a moment after its goroutine's last work.
	goleak.VerifyTestMain(m)
}

var models = map[string]gosim.Model{
	"gum": gum.Model, "hmm": hmm.Model, "marsaglia": marsaglia.Model,
	"negative-sd": func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		return gosim.Scalar(r.Sample("y", gosim.Normal(x, -2)))
	},
	"no-broadcast": func(r *gosim.Run) gosim.Tensor {
		return r.SampleTensor("x", gosim.Tensors(dist.Normal, gosim.Vector(1, 2), gosim.Vector(1, 2, 3)))
	},
	"crash-at-rare": func(r *gosim.Run) gosim.Tensor { // a defect for one draw in 20
		if x := r.Sample("x", gosim.Uniform(0, 1)); x > 0.98 {
			fmt.Println("simulation diverged")
			os.Exit(3)
		}
		return gosim.Scalar(r.Sample("y", gosim.Normal(0, 1)))
	},
	"crash-always": func(r *gosim.Run) gosim.Tensor {
		r.Sample("x", gosim.Uniform(0, 1))
		fmt.Fprintln(os.Stderr, "segmentation \x1b[31mfault")
		os.Exit(3)
		return gosim.Tensor{}
	},
	"nan-parameter": func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		mean := x
		if x > 1 {
			mean = math.NaN()
		}
		r.Observe("y", gosim.Normal(mean, 1))
		return gosim.Scalar(x)
	},
	"fatal-draw": func(r *gosim.Run) gosim.Tensor { // the one whose first number is in the environment
		x := r.Sample("x", gosim.Uniform(0, 1))
		if fmt.Sprintf("%x", x) == os.Getenv("PPX_TEST_FATAL") {
			os.Exit(7)
		}
		return gosim.Scalar(x)
	},
	"hang": func(r *gosim.Run) gosim.Tensor {
		if r.Sample("x", gosim.Uniform(0, 1)) > 0.9 {
			time.Sleep(time.Hour)
		}
		return gosim.Tensor{}
	},
	"hang-always": func(r *gosim.Run) gosim.Tensor {
		r.Sample("x", gosim.Uniform(0, 1))
		time.Sleep(time.Hour)
		return gosim.Tensor{}
	},
	"chatty": func(r *gosim.Run) gosim.Tensor {
		fmt.Println(strings.Repeat("log ", 5000))
		return gosim.Scalar(r.Sample("x", gosim.Normal(0, 1)))
	},
}

func simulate(name string) {
	switch name {
	case "exit-at-once":
		fmt.Fprintln(os.Stderr, "cannot open config.yml")
		os.Exit(4)
	case "deaf":
		time.Sleep(time.Hour)
	}
	if strings.HasPrefix(name, "weather") {
		weather(name)
		return
	}
	if rule, ok := strings.CutPrefix(name, "break "); ok {
		breakRule(rule)
		return
	}
	if m := models[name]; m != nil {
		gosim.Main(name, m)
		return
	}
	// The wire-level villains: they answer the handshake and a few statements, then misbehave.
	t, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		panic(err)
	}
	s, err := t.Listen(os.Getenv("PPX_ENDPOINT"))
	if err != nil {
		panic(err)
	}
	var enc ppx.Encoder
	var dec ppx.Decoder
	sample := ppx.Message{Type: ppx.Sample, Statement: ppx.Statement{Op: ppx.Sample, Address: "here", Name: "x", Control: true, Dist: dist.New(dist.Normal, 0, 1)}}
	for {
		msg, err := s.Recv(0)
		if err != nil {
			return
		}
		var m ppx.Message
		if err := dec.Decode(msg, &m); err != nil {
			panic(err)
		}
		var out []byte
		switch m.Type {
		case ppx.Handshake:
			out = enc.Encode(&ppx.Message{Type: ppx.HandshakeResult, SystemName: "villain", ModelName: name})
		case ppx.Run:
			out = enc.Encode(&sample)
		default:
			switch name {
			case "out-of-turn":
				out = enc.Encode(&ppx.Message{Type: ppx.HandshakeResult})
			case "random-bytes":
				out = []byte("\x93\x01\xff\xfe\x00\x10 what a nice day for a walk")
			case "truncated":
				b := enc.Encode(&sample)
				out = b[:len(b)/2]
			case "huge":
				out = make([]byte, 200<<20)
			case "large":
				out = make([]byte, 3<<19)
			case "long-address":
				long := sample
				long.Address = strings.Repeat("a", ppx.MaxAddress+1)
				out = enc.Encode(&long)
			case "latin-1":
				bad := sample
				bad.Name = "temp\xe9rature \x1b[2J"
				out = enc.Encode(&bad)
			case "no-distribution":
				bad := sample
				bad.Dist = ppx.Dist{}
				out = enc.Encode(&bad)
			case "kind-200":
				b := append([]byte(nil), enc.Encode(&sample)...)
				// The union's type byte is the only byte with value 1 whose change leaves a kind to complain of.
				for i := range b {
					if b[i] == 1 {
						b[i] = 200
						if err := dec.Decode(b, &m); err != nil && strings.Contains(err.Error(), "kind 200") {
							break
						}
						b[i] = 1
					}
				}
				out = b
			}
		}
		if err := s.Send(out); err != nil {
			panic(err)
		}
	}
}

func options(sim string, workers int) engine.Options {
	return engine.Options{
		Command: []string{"/usr/bin/env", "PPX_TEST_SIM=" + sim, os.Args[0], "-endpoint", "{endpoint}"},
		Workers: workers, Timeout: 10 * time.Second, StartTimeout: 20 * time.Second, System: "ppx test",
	}
}

func open(t testing.TB, o engine.Options) *engine.Pool {
	t.Helper()
	p, err := engine.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

var prior = func() func(engine.Draw) engine.Stack {
	stack := engine.Stack{control.NewCondition(nil, false), control.Prior{}}
	return func(engine.Draw) engine.Stack { return stack }
}()

func draw(t testing.TB, x engine.Executor, n uint64, m func(engine.Draw) engine.Stack) ([]*tracing.Trace, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var out []*tracing.Trace
	for tr, err := range x.Stream(ctx, engine.Draws(7, 0, n, m), nil) {
		if err != nil {
			return out, err
		}
		if tr.Draw != uint64(len(out)) {
			t.Fatalf("draw %d delivered at position %d", tr.Draw, len(out))
		}
		out = append(out, tr)
	}
	return out, nil
}

// fingerprint is what must not depend on how traces were made.
func fingerprint(ts []*tracing.Trace) string {
	var b strings.Builder
	for _, t := range ts {
		b.WriteString(testbed.Fingerprint(t))
	}
	return b.String()
}

// The same traces for 1, 2 and 8 workers, in process, over ipc, abstract ipc and tcp, and with simulators
// being killed all the while.
func TestSameTracesHoweverTheyAreMade(t *testing.T) {
	const n = 600
	data := control.NewCondition(control.Data{"obs0": dist.Scalar(4), "obs1": dist.Scalar(3)}, true)
	maker := func(engine.Draw) engine.Stack { return engine.Stack{data, control.NewInflate(0.2), control.Prior{}} }
	local := engine.NewLocal(gosim.Wrap(marsaglia.Model), 3)
	defer local.Close()
	traces, err := draw(t, local, n, maker)
	if err != nil {
		t.Fatal(err)
	}
	want := fingerprint(traces)
	check := func(t *testing.T, x engine.Executor) {
		t.Helper()
		traces, err := draw(t, x, n, maker)
		if err != nil {
			t.Fatal(err)
		}
		if got := fingerprint(traces); got != want {
			t.Errorf("traces differ from those made in process; the first:\n%s\nwant\n%s", got[:strings.IndexByte(got, '\n')], want[:strings.IndexByte(want, '\n')])
		}
	}
	for _, workers := range []int{1, 2, 8, 0} {
		t.Run(fmt.Sprint("workers=", workers), func(t *testing.T) { check(t, open(t, options("marsaglia", workers))) })
	}
	for name, endpoint := range map[string]string{"tcp": testbed.TCP(t), "abstract": testbed.Abstract(t)} {
		t.Run(name, func(t *testing.T) {
			serve(t, endpoint, "marsaglia", marsaglia.Model)
			check(t, open(t, engine.Options{Connect: []string{endpoint}}))
		})
	}
	t.Run("pipe", func(t *testing.T) {
		// The same bytes in memory: a session and a recorder by hand.
		near, far := ppx.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- ppx.Serve(ctx, far, "ppx test", "marsaglia", gosim.Wrap(marsaglia.Model)) }()
		s := ppx.NewSession(ppx.Limits{})
		if err := s.Connect(near, "ppx test", time.Second); err != nil {
			t.Fatal(err)
		}
		r := &engine.OneRun{Recorder: engine.NewRecorder(tracing.NewTable())}
		var traces []*tracing.Trace
		for i := range uint64(n) {
			d := engine.Draw{Seed: 7, Index: i}
			r.Begin(d, maker(d))
			if err := s.Execute(ctx, near, nil, r, 10*time.Second); err != nil {
				t.Fatal(err)
			}
			traces = append(traces, r.Trace)
		}
		if fingerprint(traces) != want {
			t.Error("traces over the pipe differ from those made in process")
		}
		cancel()
		if err := errors.Join(near.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	t.Run("killed", func(t *testing.T) {
		o := options("marsaglia", 4)
		p := open(t, o)
		stop := make(chan struct{})
		var killer sync.WaitGroup
		killer.Go(func() {
			// One for every 20 runs: on a busy machine a simulator takes its time to start.
			for i, last := 0, uint64(0); ; {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				if n := p.Stats().Finished; n >= last+20 {
					if pids := children(t); len(pids) > 0 {
						_ = syscall.Kill(pids[i%len(pids)], syscall.SIGKILL)
						i++
					}
					last = n
				}
			}
		})
		defer func() {
			close(stop)
			killer.Wait()
		}()
		for i := 0; i < 3 || i < 50 && p.Stats().Lost == 0; i++ { // a kill may strike between two runs
			check(t, p)
		}
		if s := p.Stats(); s.Lost == 0 {
			t.Error("no run was lost: the test shows nothing")
		} else {
			t.Logf("%d runs lost and drawn again", s.Lost)
		}
	})
	t.Run("restarted", func(t *testing.T) {
		o := options("marsaglia", 2)
		o.RestartEvery, o.CwdPerWorker = 60, true
		check(t, open(t, o))
	})
}

// children are the processes that this one has started.
func children(t testing.TB) []int {
	t.Helper()
	var pids []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(w); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// serve runs a model behind an endpoint until the test ends.
func serve(t testing.TB, endpoint, name string, m gosim.Model) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gosim.Serve(ctx, endpoint, name, m) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	fds := func() int { n, _ := filepath.Glob("/proc/self/fd/*"); return len(n) }
	before := fds()
	for range 3 {
		p := open(t, options("gum", 3))
		if _, err := draw(t, p, 50, prior); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		// Close is called once more by the test's clean-up: it must bear that.
	}
	if pids := children(t); len(pids) > 0 {
		t.Errorf("processes %v are still there", pids)
	}
	runtime.GC()
	if after := fds(); after > before+3 {
		t.Errorf("%d open files, %d before", after, before)
	}
	if dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "ppx-[0-9]*")); len(dirs) > 0 {
		t.Errorf("%v are still there", dirs)
	}
}

// A defect that strikes a few draws costs those draws, and is recorded.
func TestDrawsThatAlwaysCrashAreGivenUp(t *testing.T) {
	p := open(t, options("crash-at-rare", 2))
	traces, err := draw(t, p, 200, prior)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, tr := range traces {
		if tr.Status != tracing.Failed {
			if v := tr.Result.Float(); math.IsNaN(v) {
				t.Error("NaN")
			}
			continue
		}
		failed++
		if !strings.Contains(tr.Error, "exit status 3") || !strings.Contains(tr.Error, "simulation diverged") || strings.Contains(tr.Error, "ipc://") {
			t.Errorf("error of draw %d: %s", tr.Draw, tr.Error)
		}
	}
	if failed == 0 || failed > 10 {
		t.Errorf("%d draws failed", failed)
	}
}

func TestFailures(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	for _, c := range []struct {
		sim     string
		kind    error
		message []string
	}{
		{"exit-at-once", engine.ErrStart, []string{"exit status 4", "cannot open config.yml"}},
		{"deaf", engine.ErrStart, []string{"did not answer", "within 1s"}},
		{"crash-always", engine.ErrStart, []string{"10 times in a row", "exit status 3", `segmentation \x1b[31mfault`}},
		{"negative-sd", ppx.ErrInvalid, []string{"Sample y at [engine_test.init.func", "Normal: stddev = -2 must be positive"}},
		{"no-broadcast", ppx.ErrInvalid, []string{"do not broadcast", "[2] and [3]"}},
		{"out-of-turn", ppx.ErrOutOfStep, []string{"HandshakeResult in the middle of a run"}},
		{"random-bytes", ppx.ErrMalformed, nil},
		{"truncated", ppx.ErrMalformed, nil},
		{"huge", ppx.ErrTimeout, nil}, // refused by the transport, before it takes so much memory
		{"large", ppx.ErrMalformed, []string{"1572864 bytes, at most 1048576"}},
		{"long-address", ppx.ErrMalformed, []string{"address has 1048577 bytes, at most 1048576"}},
		{"latin-1", ppx.ErrMalformed, []string{"name is not UTF-8", `temp\xe9rature \x1b[2J`}},
		{"no-distribution", ppx.ErrInvalid, []string{"a Sample without distribution", "here"}},
		{"kind-200", ppx.ErrMalformed, []string{"kind 200"}},
	} {
		t.Run(c.sim, func(t *testing.T) {
			t.Parallel()
			o := options(c.sim, 2)
			o.Timeout, o.StartTimeout = 300*time.Millisecond, 10*time.Second
			switch c.sim {
			case "deaf":
				o.StartTimeout = time.Second
			case "large":
				o.Limits.Message = 1 << 20
			}
			start := time.Now()
			ctx := context.Background()
			p, err := engine.Open(ctx, o)
			if err == nil {
				for _, e := range p.Stream(ctx, engine.Draws(1, 0, 1000, prior), nil) {
					if e != nil {
						err = e
					}
				}
				if e := p.Close(); e != nil {
					t.Error(e)
				}
			}
			if !errors.Is(err, c.kind) {
				t.Errorf("%v, want %v", err, c.kind)
			}
			for _, want := range c.message {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("control characters in %q", err)
			}
			if d := time.Since(start); d > 40*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestHungSimulatorsAreReplaced(t *testing.T) {
	o := options("hang", 2)
	o.Timeout = 150 * time.Millisecond
	p := open(t, o)
	traces, err := draw(t, p, 20, prior)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range traces {
		if tr.Status == tracing.Failed && !strings.Contains(tr.Error, "no message for 150ms") {
			t.Errorf("%s", tr.Error)
		}
	}
	if p.Stats().Lost == 0 {
		t.Error("nothing hung")
	}
}

// A run that was lost for its length is unfinished also between two tries: a job that ends there must know of it.
func TestUnfinishedRuns(t *testing.T) {
	o := options("hang-always", 1)
	o.RunTimeout = 100 * time.Millisecond
	p := open(t, o)
	done := make(chan error)
	go func() {
		_, err := p.Execute(t.Context(), engine.Task{Draw: engine.Draw{Index: 5}, Stack: prior})
		done <- err
	}()
	seen, empty, longest := 0, 0, time.Duration(0)
	for {
		select {
		case err := <-done:
			if !errors.Is(err, engine.ErrGivenUp) || longest < o.RunTimeout || seen == 0 {
				t.Error(err, seen, longest)
			}
			return
		default:
		}
		list := p.Unfinished()
		if len(list) == 0 {
			if longest >= o.RunTimeout {
				empty++
			}
			continue
		}
		x := list[0]
		if x.Draw.Index != 5 || x.Last != 5 || x.Running < min(longest, o.RunTimeout) || seen > 0 && empty > 0 {
			t.Fatalf("%+v after %v, %d times nothing", x, longest, empty)
		}
		longest = max(longest, x.Running)
		seen++
	}
}

func TestOutputDoesNotBlock(t *testing.T) {
	if _, err := draw(t, open(t, options("chatty", 2)), 50, prior); err != nil {
		t.Error(err)
	}
}

func TestCommandsThatCannotWork(t *testing.T) {
	for _, c := range []struct {
		o    engine.Options
		kind error
		says string
	}{
		{engine.Options{Command: []string{"/no/such/program", "{endpoint}"}}, engine.ErrStart, "no such file"},
		{engine.Options{Command: []string{"sleep", "100"}, StartTimeout: 300 * time.Millisecond}, engine.ErrUsage, "no {endpoint}"},
		{engine.Options{Connect: []string{"localhost:5555"}}, engine.ErrUsage, "want tcp://HOST:PORT"},
		{engine.Options{Connect: []string{"ipc:///no/such/dir/s"}, StartTimeout: 300 * time.Millisecond}, engine.ErrStart, "no simulator answers"},
		{engine.Options{Connect: []string{"ipc://@a", "ipc://@a"}}, engine.ErrUsage, "twice"},
		{engine.Options{}, engine.ErrUsage, "either"},
	} {
		p, err := engine.Open(context.Background(), c.o)
		if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%v: %v", c.o, err)
		}
		if err == nil {
			p.Close()
		}
	}
}

func TestTwoEnginesAtOneSimulator(t *testing.T) {
	endpoint := testbed.Abstract(t)
	serve(t, endpoint, "gum", gum.Model)
	o := engine.Options{Connect: []string{endpoint}}
	open(t, o)
	if _, err := engine.Open(context.Background(), o); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("the second engine: %v", err)
	}
	if _, err := engine.OpenSingle(o); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("a check beside it: %v", err)
	}
}

// A connected simulator that goes away and comes back costs its run only; one that stays away ends the
// job.
func TestConnectedSimulatorGoesAway(t *testing.T) {
	endpoint := "ipc://" + filepath.Join(t.TempDir(), "s")
	startSim := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-endpoint", endpoint)
		cmd.Env = append(os.Environ(), "PPX_TEST_SIM=hmm")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	sim := startSim()
	o := engine.Options{Connect: []string{endpoint}, StartTimeout: 5 * time.Second, Timeout: 10 * time.Second}
	p := open(t, o)
	var got []*tracing.Trace
	var last error
	for tr, err := range p.Stream(context.Background(), engine.Draws(7, 0, 1e6, prior), nil) {
		if last = err; err != nil {
			break
		}
		got = append(got, tr)
		switch len(got) {
		case 50:
			_ = sim.Process.Kill()
			_ = sim.Wait()
			sim = startSim()
		case 500:
			_ = sim.Process.Kill()
			_ = sim.Wait()
		}
	}
	if !errors.Is(last, engine.ErrStart) || len(got) < 500 {
		t.Errorf("%d traces, then %v", len(got), last)
	}
	local := engine.NewLocal(gosim.Wrap(hmm.Model), 2)
	defer local.Close()
	want, err := draw(t, local, 200, prior)
	if err != nil {
		t.Fatal(err)
	}
	if fingerprint(got[:200]) != fingerprint(want) {
		t.Error("the traces around the interruption differ")
	}
}

// A connected simulator that freezes, or whose host is lost, is noticed by the transport's heartbeat, without
// any --timeout.
func TestFrozenSimulatorIsNoticed(t *testing.T) {
	endpoint := testbed.TCP(t)
	sim := exec.Command(os.Args[0], "-endpoint", endpoint)
	sim.Env = append(os.Environ(), "PPX_TEST_SIM=hmm")
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sim.Process.Kill()
		_ = sim.Wait()
	}()
	p := open(t, engine.Options{Connect: []string{endpoint}, StartTimeout: 5 * time.Second})
	var last error
	n := 0
	start := time.Now()
	for _, err := range p.Stream(context.Background(), engine.Draws(7, 0, 1e6, prior), nil) {
		if last = err; err != nil {
			break
		}
		if n++; n == 20 {
			_ = sim.Process.Signal(syscall.SIGSTOP)
			start = time.Now()
		}
	}
	if d := time.Since(start); !errors.Is(last, engine.ErrStart) || d > 20*time.Second {
		t.Errorf("%d traces, then after %v: %v", n, d, last)
	}
}

// Data of another shape end the job at once, whatever the number of workers.
func TestDataOfTheWrongShape(t *testing.T) {
	c := control.NewCondition(control.Data{"obs1": dist.Vector(1, 2)}, true)
	p := open(t, options("gum", 2))
	_, err := draw(t, p, 100, func(engine.Draw) engine.Stack { return engine.Stack{c, control.Prior{}} })
	if !errors.Is(err, engine.ErrData) || !strings.Contains(err.Error(), "obs1 has shape [2] (2 elements), the simulator's has shape []") {
		t.Error(err)
	}
	// The pool is still good.
	if traces, err := draw(t, p, 20, prior); err != nil || len(traces) != 20 {
		t.Errorf("afterwards: %d traces, %v", len(traces), err)
	}
}

// Several streams and single runs at the same time.
func TestConcurrentUse(t *testing.T) {
	// What each of them must get, made alone and in process.
	local := engine.NewLocal(gosim.Wrap(models["gum"]), 1)
	defer local.Close()
	want := make([][]string, 4)
	for i := range want {
		seed := uint64(i)
		if i == 0 {
			seed = 7
		}
		for tr, err := range local.Stream(t.Context(), engine.Draws(seed, 0, 500, prior), nil) {
			if err != nil {
				t.Fatal(err)
			}
			want[i] = append(want[i], testbed.Fingerprint(tr))
		}
	}
	p := open(t, options("gum", 3))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if i == 0 {
				for k := range uint64(20) {
					tr, err := p.Execute(context.Background(), engine.Task{Draw: engine.Draw{Seed: 7, Index: k}, Stack: prior})
					if err != nil || testbed.Fingerprint(tr) != want[0][k] {
						t.Errorf("single run %d: %v, or another trace", k, err)
					}
				}
				return
			}
			n := 0
			for tr, err := range p.Stream(context.Background(), engine.Draws(uint64(i), 0, 500, prior), nil) {
				if err != nil {
					t.Error(err)
					return
				}
				if testbed.Fingerprint(tr) != want[i][n] {
					t.Errorf("stream %d: draw %d is another trace", i, n)
				}
				if n++; n == 100*i {
					return // leaves before the end
				}
			}
		})
	}
	wg.Wait()
}

// Simulators that have done their work may all die at once.
func TestManyDeathsAtOnce(t *testing.T) {
	p := open(t, options("marsaglia", 12))
	n := 0
	for _, err := range p.Stream(context.Background(), engine.Draws(1, 0, 6000, prior), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2000 {
			for _, pid := range children(t) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	if n != 6000 {
		t.Error(n)
	}
}

// An end that is asked for comes at once, also when many finished traces wait for a slow reader.
func TestCancelledWithResultsWaiting(t *testing.T) {
	x := engine.NewLocal(gosim.Wrap(gum.Model), 2)
	defer x.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	after := 0
	for _, err := range x.Stream(ctx, engine.Draws(1, 0, 1e9, prior), nil) {
		if err != nil {
			break
		}
		if after == 0 {
			time.Sleep(100 * time.Millisecond)
			cancel()
		}
		after++
	}
	if after > 2 {
		t.Errorf("%d traces were delivered after the end", after)
	}
}

// A simulator is found from the folder that it was named in, and its files stay.
func TestWorkingFolders(t *testing.T) {
	o := options("gum", 2)
	o.CwdPerWorker, o.WorkDir = true, filepath.Join(t.TempDir(), "workers")
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if o.Command[0], err = filepath.Rel(wd, "/usr/bin/env"); err != nil {
		t.Fatal(err)
	}
	p := open(t, o)
	if _, err := draw(t, p, 20, prior); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(o.WorkDir, "worker1")); err != nil {
		t.Error(err)
	}
}

// A connected simulator whose statement makes no sense is led to the end of its run, and can be used again.
func TestConnectedSimulatorSurvivesInvalidStatements(t *testing.T) {
	endpoint := "ipc://" + filepath.Join(t.TempDir(), "s")
	for _, sim := range []string{"negative-sd", "no-broadcast"} {
		serve(t, endpoint+sim, sim, models[sim])
		p := open(t, engine.Options{Connect: []string{endpoint + sim}, StartTimeout: 5 * time.Second, Timeout: 5 * time.Second})
		_, err := draw(t, p, 1000, prior)
		if !errors.Is(err, engine.ErrGivenUp) || !strings.Contains(err.Error(), "invalid statement") {
			t.Errorf("%s: %v", sim, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	p := open(t, options("gum", 2))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var last error
	for _, err := range p.Stream(ctx, engine.Draws(1, 0, 1e9, prior), nil) {
		if last = err; err == nil {
			if n++; n == 50 {
				cancel()
			}
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Error(last)
	}
}
