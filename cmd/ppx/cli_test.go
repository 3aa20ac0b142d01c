package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// The test binary is also the simulators of models: with PPX_TEST_SIM it runs one of them.
func TestMain(m *testing.M) {
	if name := os.Getenv("PPX_TEST_SIM"); name != "" {
		gosim.Main(name, models[name])
		return
	}
	code := m.Run()
	testbed.Clean()
	os.Exit(code)
}

// session runs the command as a user would, in a folder of its own.
type session struct {
	t   *testing.T
	ppx string
	dir string
}

func newSession(t *testing.T) *session {
	return &session{t: t, ppx: testbed.Go(t, "./cmd/ppx"), dir: t.TempDir()}
}

func (s *session) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.ppx, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+s.t.TempDir())
	return cmd
}

// run returns stdout and stderr, and checks the exit code.
func (s *session) run(code int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	cmd := s.command(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	start := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("ppx %q: exit code %d, want %d\n%s%s", args, got, code, out.String(), errOut.String())
	}
	if time.Since(start) > 10*time.Minute {
		s.t.Errorf("ppx %q took %v", args, time.Since(start))
	}
	if strings.Contains(errOut.String(), "\x1b") || strings.Contains(out.String(), "\x1b") {
		s.t.Errorf("ppx %q printed control characters: %q %q", args, out.String(), errOut.String())
	}
	return out.String(), errOut.String()
}

// kill begins a command, and kills it when something is the case.
func (s *session) kill(what string, when func() bool, args ...string) {
	s.t.Helper()
	cmd := s.command(args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	testbed.Wait(s.t, what, when)
	if err := cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = cmd.Wait()
}

// traces are those that a run directory's manifest counts.
func (s *session) traces(run string) uint64 {
	m, err := rundir.ReadManifest(filepath.Join(s.dir, run))
	if err != nil {
		return 0
	}
	return m.Counts.Traces
}

// sim is the end of a command line that launches a Go simulator.
func (s *session) sim(model string) []string {
	return append([]string{"--"}, testbed.Simulator(s.t, model, "go")...)
}

func args(lists ...[]string) []string { return slices.Concat(lists...) }

func words(s string) []string { return strings.Fields(s) }

// decoded is the JSON and checks that it has what the contract names.
func decoded(t *testing.T, out string) map[string]any {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if strings.Count(strings.TrimSpace(out), "\n") != 0 {
		t.Error("more than one line of JSON")
	}
	for _, k := range words("schema run method seed n traces failed bad_weights ess khat log_evidence log_evidence_se seconds traces_per_second warnings variables") {
		if _, ok := r[k]; !ok {
			t.Errorf("the JSON has no %q", k)
		}
	}
	for _, v := range r["variables"].([]any) {
		for _, k := range words("name kind present mean mean_se sd q05 q50 q95") {
			if _, ok := v.(map[string]any)[k]; !ok {
				t.Errorf("a variable has no %q: %v", k, v)
			}
		}
	}
	return r
}

func TestInferSummaryAndTraceAgree(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json --seed 11 -n 500 --out run --observe obs0=8 --observe obs1=9"), s.sim("gum"))...)
	r := decoded(t, out)
	if r["traces"] != 500.0 || r["n"] != 500.0 || r["seed"] != 11.0 || r["method"] != "is" || r["run"] != "run" || r["schema"] != 2.0 {
		t.Errorf("%v", r)
	}
	var names []string
	for _, v := range r["variables"].([]any) {
		names = append(names, v.(map[string]any)["name"].(string))
	}
	if fmt.Sprint(names) != "[mu result]" {
		t.Errorf("variables %v", names)
	}
	again, _ := s.run(0, "summary", "--json", "run")
	if a, b := decoded(t, again), r; fmt.Sprint(a["variables"]) != fmt.Sprint(b["variables"]) || a["ess"] != b["ess"] || a["log_evidence"] != b["log_evidence"] {
		t.Errorf("summary differs:\n%s\n%s", again, out)
	}
	table, _ := s.run(0, "summary", "run", "--plot", "mu")
	for _, want := range []string{"posterior of gum from 500 traces", "effective sample size", "log evidence", "variable", "mu", "│█"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	list, _ := s.run(0, "trace", "ls", "run", "-n", "3", "--sort", "weight")
	if !strings.Contains(list, "… and 497 more") {
		t.Error(list)
	}
	show, _ := s.run(0, "trace", "show", "run", "17")
	if !strings.Contains(show, "Normal(mean=1, stddev=2.23607)") || !strings.Contains(show, "data") {
		t.Error(show)
	}
	for _, verb := range []string{"types", "addresses"} {
		if out, _ := s.run(0, "trace", verb, "run"); !strings.Contains(out, "500") {
			t.Error(out)
		}
	}
	for _, c := range []string{"trace ls run", "trace show run 3", "trace types run", "trace addresses run", "version"} {
		out, _ := s.run(0, append(words(c), "--json")...)
		var v map[string]any
		if err := json.Unmarshal([]byte(out), &v); err != nil || v["schema"] != 2.0 {
			t.Errorf("%s: %v: %s", c, err, out)
		}
	}
	if out, _ := s.run(0, args(words("trace replay run 17"), s.sim("gum"))...); !strings.Contains(out, "the same 3 statements") {
		t.Error(out)
	}
	if out, _ := s.run(1, args(words("trace replay run 17"), s.sim("hmm"))...); !strings.Contains(out, "differs") {
		t.Error(out)
	}
}

func TestSameSeedSameResult(t *testing.T) {
	s := newSession(t)
	var first string
	for i, w := range []string{"1", "2", "8"} {
		out, _ := s.run(0, args(words("infer --json --seed 3 -n 300 --observe obs=6 --workers "+w+" --out run"+w), s.sim("branching"))...)
		r := decoded(t, out)
		got := fmt.Sprint(r["variables"], r["ess"], r["log_evidence"], r["khat"])
		if i == 0 {
			first = got
		} else if got != first {
			t.Errorf("%s workers: %s\n1 worker: %s", w, got, first)
		}
	}
}

func TestDefaultsArePrintedAndRecorded(t *testing.T) {
	s := newSession(t)
	out, stderr := s.run(0, args(words("prior -n 10"), s.sim("gum"))...)
	m := regexp.MustCompile(`model gum, seed (\d+), run directory (ppx-runs/\d{8}T\d{6}Z-prior)`).FindStringSubmatch(stderr)
	if m == nil {
		t.Fatal(stderr)
	}
	if !strings.Contains(out, "recorded in "+m[2]) {
		t.Error(out)
	}
	manifest, err := rundir.ReadManifest(filepath.Join(s.dir, m[2]))
	if err != nil || fmt.Sprint(manifest.Seed) != m[1] || manifest.State != rundir.Complete || manifest.Method != "prior" || manifest.Conditioned {
		t.Errorf("%+v, %v", manifest, err)
	}
	if _, stderr := s.run(0, args(words("prior -n 10 --quiet"), s.sim("gum"))...); stderr != "" {
		t.Errorf("--quiet says %q", stderr)
	}
}

// Wrong use: exit code 2, one line that says what is wrong and what to do, and no run directory.
func TestWrongUse(t *testing.T) {
	s := newSession(t)
	for name, data := range map[string]string{
		"dup.json": `{"x": 1, "x": 2}`, "ragged.json": `{"x": [[1,2],[3]]}`, "text.json": `{"x": "eight"}`, "list.json": `[1]`,
		"bad.csv": "a,b\n1,two\n", "empty.csv": "a,b\n",
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	npy := func(name, descr, shape string, data int) {
		h := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
		h += strings.Repeat(" ", 117-len(h)) + "\n"
		b := append([]byte("\x93NUMPY\x01\x00\x76\x00"), h...)
		if err := os.WriteFile(filepath.Join(s.dir, name), append(b, make([]byte, data)...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	npy("objects.npy", "|O", "(2,)", 16)
	npy("lying.npy", "<f8", "(1000000, 60)", 16)
	npy("negative.npy", "<f8", "(-5,)", 16)
	npy("huge.npy", "<f8", "(99999999, 99999999, 99999999)", 16)
	npy("short.npy", "<f8", "(3,)", 16)
	if err := os.WriteFile(filepath.Join(s.dir, "text.npy"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "full", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	gum := s.sim("gum")
	for _, c := range []struct {
		args []string
		says string
	}{
		{words("infer"), "which simulator"},
		{words("infer --observe x=1 sim"), "goes after --"},
		{args(words("infer --connect ipc://@x"), gum), "not both"},
		{words("prior --connect localhost:55"), "want tcp://HOST:PORT"},
		{words("check --connect localhost:55"), "want tcp://HOST:PORT"},
		{args(words("infer --observe x"), gum), "want NAME=VALUE"},
		{args(words("infer --observe =1"), gum), "without a name"},
		{args(words("infer --observe x=eight"), gum), `"eight" is neither a number, nor a JSON array, nor @FILE.npy`},
		{args(words("infer --observe x=[[1,2],[3]]"), gum), "rows of different lengths (2 and 1)"},
		{args(words("infer --observe x=[1,[2]]"), gum), "different depths"},
		{args(words("infer --observe x=[]"), gum), "x is empty"},
		{args(words("infer --observe x=nan"), gum), "must be finite"},
		{args(words("infer --observe x=1 --observe x=2"), gum), "x is given twice"},
		{args(words("infer --observe x=@missing.npy"), gum), "no such file"},
		{args(words("infer --observe x=@objects.npy"), gum), "type |O are not supported"},
		{args(words("infer --observe x=@lying.npy"), gum), "needs 480000000 bytes of data, the file has 16"},
		{args(words("infer --observe x=@negative.npy"), gum), "dimension -5"},
		{args(words("infer --observe x=@huge.npy"), gum), "dimension"},
		{args(words("infer --observe x=@short.npy"), gum), "short.npy: its shape [3] needs 24 bytes of data, the file has 16"},
		{args(words("infer --observe x=@text.npy"), gum), "not a valid .npy file"},
		{args(words("infer --observe-file dup.json"), gum), "x is given twice"},
		{args(words("infer --observe-file ragged.json"), gum), "rows of different lengths"},
		{args(words("infer --observe-file text.json"), gum), `"eight" is not a number`},
		{args(words("infer --observe-file list.json"), gum), "want a JSON object"},
		{args(words("infer --observe-file bad.csv"), gum), "line 2, column b: two is not a number"},
		{args(words("infer --observe-file empty.csv"), gum), "at least one line of values"},
		{args(words("infer --method magic"), gum), "--method magic"},
		{args(words("infer -n 0"), gum), "at least 1"},
		{args(words("infer -n few"), gum), "-n few: want a whole number"},
		{args(words("infer --workers many"), gum), "want auto or a number"},
		{args(words("infer --prior-inflation 1"), gum), "must lie in [0, 1)"},
		{args(words("infer --likelihood-importance 0"), gum), "must be positive"},
		{args(words("infer --out full"), gum), "exists and is not empty; give another --out, or --resume"},
		{args(words("infer --resume"), gum), "--out DIR"},
		{args(words("infer --resume --out nowhere"), gum), "not a run directory"},
		{args(words("infer --retry-failed"), gum), "goes with --resume"},
		{words("infer --no-such-flag"), "unknown flag"},
		{words("summary"), "which run?"},
		{words("summary full"), "not a run directory"},
		{words("trace show full x"), "no number of a draw"},
		{words("trace frobnicate"), "trace has no verb frobnicate"},
		{words("prior --start-timeout 300ms -- sleep 60"), "no {endpoint}"},
		{words("version now"), "takes no arguments"},
	} {
		_, stderr := s.run(2, c.args...)
		if !strings.Contains(stderr, c.says) || !strings.HasPrefix(stderr, "ppx: ") {
			t.Errorf("ppx %q says %q, want %q", c.args, stderr, c.says)
		}
	}
	if dirs, _ := filepath.Glob(filepath.Join(s.dir, "ppx-runs", "*")); len(dirs) > 0 {
		t.Errorf("wrong use left %v", dirs)
	}
	if _, stderr := s.run(2, "nonsense"); !strings.Contains(stderr, "unknown command") {
		t.Error(stderr)
	}
}

// Failures: exit code 1, and a line that names what failed.
func TestFailuresThroughTheCommand(t *testing.T) {
	s := newSession(t)
	gum := s.sim("gum")
	for _, c := range []struct {
		args []string
		says []string
	}{
		{words("prior --connect ipc://@nobody-is-here --start-timeout 300ms"), []string{"no simulator answers at ipc://@nobody-is-here"}},
		{words("prior -- /no/such/simulator {endpoint}"), []string{"cannot start the simulator"}},
		{words("prior -- false {endpoint}"), []string{"exit status 1"}},
		{words("check --connect ipc://@nobody-is-here --start-timeout 300ms"), nil},
		{args(words("infer -n 1000 --observe obs7=3 --out wrong-name"), gum), []string{"obs7 was given", "it has mu, obs0, obs1", "the 1,000 traces drawn before that are in wrong-name"}},
		{args(words("infer -n 5 --observe obs0@3=3"), gum), []string{"obs0@3 was given"}},
		{args(words("infer -n 100 --observe obs0=[1,2]"), gum), []string{"obs0 has shape [2] (2 elements), the simulator's has shape [] (1 elements)"}},
		{words("prior --out /dev/null/run -n 3 " + strings.Join(gum, " ")), []string{"/dev/null"}},
	} {
		out, stderr := s.run(1, c.args...)
		for _, want := range c.says {
			if !strings.Contains(stderr, want) {
				t.Errorf("ppx %q says %q, want %q", c.args, stderr, want)
			}
		}
		if strings.HasPrefix(out, "panic") {
			t.Error(out)
		}
	}
	// What was recorded before the failure can be read.
	if out, _ := s.run(0, "summary", "--json", "wrong-name"); decoded(t, out)["traces"] != 1000.0 {
		t.Error(out)
	}
}

// Impossible data are no failure: the weight is zero everywhere, and the warning names the site.
func TestImpossibleData(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json -n 50 --observe obs=2.5"), s.sim("branching"))...)
	r := decoded(t, out)
	if r["log_evidence"] != nil || r["ess"] != 0.0 || !strings.Contains(fmt.Sprint(r["warnings"]), "every weight is zero") || !strings.Contains(fmt.Sprint(r["warnings"]), "obs (") {
		t.Error(out)
	}
	if out, stderr := s.run(0, args(words("infer -n 50 --observe obs=-1"), s.sim("branching"))...); !strings.Contains(stderr, "do not trust this result: every weight is zero") || !strings.Contains(out, "DO NOT TRUST") {
		t.Error(out, stderr)
	}
}

func TestUnansweredObservationsAreWarnedOf(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json -n 50 --observe obs0=1"), s.sim("gum"))...)
	if !strings.Contains(out, "no data were given for obs1") {
		t.Error(out)
	}
	out, _ = s.run(0, args(words("infer --json -n 50 --observe mu=1"), s.sim("marsaglia"))...) // a tag there
	if !strings.Contains(out, "the value given for mu is ignored") {
		t.Error(out)
	}
	if v := verdictOf(t, out); v.Trust.Verdict != "none" || !v.has("unused-data") {
		t.Error(out)
	}
	s.run(1, args(words("infer --json --strict -n 50 --observe mu=1"), s.sim("marsaglia"))...)
}

// A Sample whose name is given is fixed and scored.
func TestConditionedSample(t *testing.T) {
	s := newSession(t)
	out, _ := s.run(0, args(words("infer --json -n 50 --observe mu=1 --observe obs0=1 --observe obs1=1"), s.sim("gum"))...)
	r := decoded(t, out)
	v := r["variables"].([]any)[0].(map[string]any)
	if v["name"] != "mu" || v["mean"] != 1.0 || v["sd"] != 0.0 {
		t.Error(out)
	}
	// log N(1; 1, 5) + 2 log N(1; 1, 2)
	if le := r["log_evidence"].(float64); le < -4.2547 || le > -4.2546 {
		t.Errorf("log evidence %v", le)
	}
}

func TestObservationsFromFiles(t *testing.T) {
	s := newSession(t)
	for name, data := range map[string]string{"a.json": `{"obs0": 8, "obs1": [9]}`, "b.csv": "obs0, obs1\n8, 9\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, from := range []string{"--observe-file a.json", "--observe-file b.csv", "--observe obs0=8 --observe obs1=9"} {
		out, _ := s.run(0, args(words("infer --json --seed 1 -n 50 "+from), s.sim("gum"))...)
		got = append(got, fmt.Sprint(decoded(t, out)["log_evidence"]))
	}
	if got[0] != got[2] || got[1] != got[2] {
		t.Error(got)
	}
}

// contents is what a run directory says, without times.
func contents(t *testing.T, path string) string {
	t.Helper()
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for tr, err := range r.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(testbed.Fingerprint(tr))
	}
	for _, a := range r.Addresses() {
		fmt.Fprintln(&b, a.Base)
	}
	parts, _ := filepath.Glob(filepath.Join(path, "*", "part-*"))
	for _, p := range parts {
		rel, _ := filepath.Rel(path, p)
		fmt.Fprintln(&b, rel)
	}
	m := r.Manifest
	fmt.Fprintln(&b, m.State, m.N, m.PartSize, m.Counts.Traces, m.Counts.Failed)
	return b.String()
}

// kill -9 at any moment: what is on disk can be read, and --resume ends with the same run as undisturbed.
func TestKilledAndResumed(t *testing.T) {
	s := newSession(t)
	base := args(words("infer --quiet --json --save-every 300ms --seed 4 --workers 4 --observe obs0=8 --observe obs1=9 -n 16000"))
	sim := model("steady")
	s.run(0, args(base, words("--out whole"), sim)...)
	want := contents(t, filepath.Join(s.dir, "whole"))
	path := filepath.Join(s.dir, "killed")
	recorded := func() uint64 {
		m, err := rundir.ReadManifest(path)
		if err != nil {
			return 0
		}
		return m.Counts.Traces
	}
	command := args(base, words("--out killed"), sim)
	for kill := range 2 {
		before := recorded()
		cmd := s.command(command...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testbed.Wait(t, "traces on disk", func() bool { return recorded() > before })
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if n := rows(t, path); n == 0 || n >= 16000 {
			t.Errorf("kill %d found %d traces: it was none in the middle of a run", kill, n)
		}
		command = args(words("infer --quiet --json --save-every 300ms --resume --out killed"), sim)
	}
	s.run(0, command...)
	if got := contents(t, path); got != want {
		t.Error("the run differs from the undisturbed one")
	}
}

// Ctrl-C and SIGTERM finish cleanly with what there is; --resume goes on; a larger -n extends.
func TestInterruptedResumedAndExtended(t *testing.T) {
	s := newSession(t)
	base := args(words("infer --quiet --json --save-every 300ms --seed 4 --observe obs0=8 --observe obs1=9"))
	sim := s.sim("gum")
	s.run(0, args(base, words("-n 20000 --out whole"), sim)...)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		out := fmt.Sprintf("cut-%v", sig)
		cmd := s.command(args(base, words("-n 10000000 --out"), []string{out}, sim)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testbed.Wait(t, "traces on disk", func() bool {
			m, err := rundir.ReadManifest(filepath.Join(s.dir, out))
			return err == nil && m.Counts.Traces > 0
		})
		_ = cmd.Process.Signal(sig)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("%v: exit code %d: %s", sig, code, stderr.String())
		}
		r := decoded(t, stdout.String())
		if r["traces"].(float64) == 0 || !strings.Contains(stderr.String(), "--resume --out") {
			t.Errorf("%v: %s%s", sig, stdout.String(), stderr.String())
		}
		m, err := rundir.ReadManifest(filepath.Join(s.dir, out))
		if err != nil || m.State != rundir.Interrupted || float64(m.Counts.Traces) != r["traces"].(float64) {
			t.Errorf("%v: %+v, %v", sig, m, err)
		}
	}
	s.run(0, args(base, words("-n 5000 --out part"), sim)...)
	s.run(2, args(words("infer --resume --out part -n 10"), sim)...)
	s.run(2, args(words("infer --resume --out part --seed 5"), sim)...)
	s.run(2, args(words("prior --resume --out part"), sim)...)
	s.run(2, args(words("infer --resume --out part"), s.sim("marsaglia"))...)
	out, _ := s.run(0, args(words("infer --json --resume --out part -n 20000"), sim)...)
	if decoded(t, out)["traces"] != 20000.0 {
		t.Error(out)
	}
	if contents(t, filepath.Join(s.dir, "part")) != contents(t, filepath.Join(s.dir, "whole")) {
		t.Error("the extended run differs")
	}
}

// A full disk, a limit on the size of files: exit code 1, the reason, and what was recorded before can be read; what is said to be
// there is there.
func TestDiskFull(t *testing.T) {
	s := newSession(t)
	for _, c := range []struct{ name, limit, says string }{{"full", "", "no space left on device"}, {"limited", "ulimit -f 4000; ", "file too large"}} {
		t.Run(c.name, func(t *testing.T) {
			small := filepath.Join(s.dir, c.name)
			if err := os.Mkdir(small, 0o755); err != nil {
				t.Fatal(err)
			}
			if c.limit == "" {
				if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small).Run(); err != nil {
					t.Skip("cannot mount a small disk here")
				}
				defer func() { _ = exec.Command("umount", small).Run() }()
			}
			command := strings.Join(args(words("exec "+s.ppx+" prior --save-every 100ms -n 10000000 --out "+c.name+"/run"), s.sim("gum")), " ")
			cmd := s.command()
			cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", c.limit + command}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			_ = cmd.Run()
			if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), stderr.String())
			}
			path := filepath.Join(small, "run")
			n := rows(t, path)
			if n == 0 || !strings.Contains(stderr.String(), "the "+text.Thousands(n)+" traces drawn before that are in "+c.name+"/run") {
				t.Errorf("%d traces are readable: %s", n, stderr.String())
			}
			m, err := rundir.ReadManifest(path)
			if err != nil {
				t.Error(err)
			} else if m.State == rundir.Complete || m.Counts.Traces > n { // run.json itself may not have found room
				t.Errorf("%d traces are readable: %+v", n, m)
			}
		})
	}
}

func TestDamagedRun(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("prior -n 100 --out run"), s.sim("gum"))...)
	part := filepath.Join(s.dir, "run", "sites", "part-00000.parquet")
	b, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, b[:len(b)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"summary run", "trace show run 3", "trace types run", "trace addresses run"} {
		if _, stderr := s.run(2, words(c)...); !strings.Contains(stderr, "part-00000.parquet") || !strings.Contains(stderr, "damaged") {
			t.Errorf("%s: %s", c, stderr)
		}
	}
}

// Draws that were given up can be tried again.
func TestRetryFailed(t *testing.T) {
	s := newSession(t)
	script := filepath.Join(s.dir, "sim.sh")
	// A simulator that dies while a file is there.
	text := "#!/bin/sh\nexport FRAGILE=" + filepath.Join(s.dir, "fragile") + "\nexec " + testbed.Python(t) + " " + filepath.Join(s.dir, "sim.py") + " --endpoint $1\n"
	py := `
import os, sys
import ppxsim
def model():
    x = ppxsim.sample(ppxsim.Uniform(0, 1), name="x")
    if x > 0.95 and os.path.exists(os.environ["FRAGILE"]):
        sys.exit("too fragile")
    return x
ppxsim.main(model, name="fragile")
`
	for name, data := range map[string]string{script: text, filepath.Join(s.dir, "sim.py"): py, filepath.Join(s.dir, "fragile"): ""} {
		if err := os.WriteFile(name, []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := s.run(0, args(words("prior --json --seed 2 -n 60 --workers 2 --out run -- ./sim.sh {endpoint}"))...)
	r := decoded(t, out)
	failed := r["failed"].(float64)
	if failed == 0 || r["traces"].(float64)+failed != 60 || !strings.Contains(out, "the run succeeds, and the data") {
		t.Fatal(out)
	}
	if list, _ := s.run(0, words("trace ls run -n 0")...); !strings.Contains(list, "failed") || !strings.Contains(list, "too fragile") {
		t.Error(list)
	}
	// Tried again while nothing has changed, they fail again, and the run is as good as before.
	out, _ = s.run(0, words("prior --json --resume --retry-failed --out run -- ./sim.sh {endpoint}")...)
	if r := decoded(t, out); r["failed"] != failed {
		t.Error(out)
	}
	if err := os.Remove(filepath.Join(s.dir, "fragile")); err != nil {
		t.Fatal(err)
	}
	out, _ = s.run(0, words("prior --json --resume --retry-failed --out run -- ./sim.sh {endpoint}")...)
	if r := decoded(t, out); r["failed"] != 0.0 || r["traces"] != 60.0 {
		t.Error(out)
	}
	out, _ = s.run(0, words("prior --json --seed 2 -n 60 --workers 1 --out fresh -- ./sim.sh {endpoint}")...)
	if contents(t, filepath.Join(s.dir, "run")) != contents(t, filepath.Join(s.dir, "fresh")) {
		t.Error("the mended run differs from one without failures: " + out)
	}
}

// Finished traces that wait for a slow earlier run survive a kill.
func TestTracesBehindASlowRunAreKept(t *testing.T) {
	s := newSession(t)
	py := `
import os, time
import ppxsim
def model():
    x = ppxsim.sample(ppxsim.Uniform(0, 1), name="x")
    try:
        os.remove("slow")
        time.sleep(1000)
    except FileNotFoundError:
        pass
    time.sleep(0.01)
    with open("runs.log", "a") as f:
        f.write(f"{x!r}\n")
    ppxsim.observe(ppxsim.Normal(x, 1), name="y")
    return x
ppxsim.main(model, name="slow")
`
	for name, data := range map[string]string{"sim.py": py, "slow": ""} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sim := []string{"--", testbed.Python(t), "sim.py", "--endpoint", "{endpoint}"}
	runs := func() []string {
		b, _ := os.ReadFile(filepath.Join(s.dir, "runs.log"))
		return strings.Fields(string(b))
	}
	cmd := s.command(args(words("infer --quiet --save-every 300ms --seed 1 -n 200 --workers 2 --likelihood-importance 0.5 --observe y=1 --out run"), sim)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// All but the slow one are on disk, in the run or waiting beside it.
	testbed.Wait(t, "199 traces on disk", func() bool {
		most := uint64(0)
		for _, pattern := range []string{"run", "run/pending-*"} {
			folders, _ := filepath.Glob(filepath.Join(s.dir, pattern))
			n := uint64(0)
			for _, f := range folders { // of two one is about to go
				n = max(n, rundir.Rows(f))
			}
			most += n
		}
		return most >= 199
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	out, _ := s.run(0, args(words("infer --json --resume --out run"), sim)...)
	if decoded(t, out)["traces"] != 200.0 {
		t.Error(out)
	}
	all := runs()
	slices.Sort(all)
	if n := len(slices.Compact(all)); len(runs()) > n+2 || n != 200 {
		t.Errorf("%d runs for 200 draws: those that had finished were made again", len(runs()))
	}
	s.run(0, args(words("infer --quiet --seed 1 -n 200 --likelihood-importance 0.5 --observe y=1 --out fresh"), sim)...)
	if contents(t, filepath.Join(s.dir, "run")) != contents(t, filepath.Join(s.dir, "fresh")) {
		t.Error("the resumed run differs from an undisturbed one")
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "run", "pending-*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestTwoEnginesThroughTheCommand(t *testing.T) {
	s := newSession(t)
	endpoint := testbed.Abstract(t)
	sim := exec.Command(testbed.Go(t, "./simulators/gum/go"), "--endpoint", endpoint)
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sim.Process.Kill(); _ = sim.Wait() }()
	first := s.command(words("prior --quiet -n 100000000 --out a --connect " + endpoint)...)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Process.Kill(); _ = first.Wait() }()
	testbed.Wait(t, "the first engine", func() bool { _, err := os.Stat(filepath.Join(s.dir, "a", "run.json")); return err == nil })
	// Both must look for locks in the same folder.
	cmd := s.command(words("prior -n 10 --out b --connect " + endpoint)...)
	cmd.Env = first.Env
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another ppx is connected to "+endpoint) {
		t.Errorf("%v: %s", err, out)
	}
}

// The run directory belongs to its readers: pandas, by the code in the docs, and DuckDB, by the views in the folder, have the figures
// of "ppx summary" for every variable, of every bundled model and of some that are made to be difficult; and of the vectors.
func TestReadableFromPython(t *testing.T) {
	s := newSession(t)
	python := testbed.Python(t)
	var stdin strings.Builder
	summary := func(path string) {
		out, _ := s.run(0, "summary", "--json", path)
		fmt.Fprintf(&stdin, "%s\t%s", path, out)
	}
	for name, c := range map[string]struct {
		data string
		sim  []string
	}{
		"gum":       {"--observe obs0=4 --observe obs1=3", s.sim("gum")},
		"marsaglia": {"--observe obs0=4 --observe obs1=3", s.sim("marsaglia")},
		"hmm":       {"--observe obs1=0.9 --observe obs2=0.8", s.sim("hmm")},
		"branching": {"--observe obs=6", s.sim("branching")},
		"tau":       {"", []string{"--", testbed.CPP(t, "simulators/tau"), "--small", "{endpoint}"}},
		"golden":    {"--observe y=2", model("golden")},
		"twice":     {"--observe z=20", model("twice")},
		"dyn":       {"--observe y=3", model("dyn")},
		"nothing":   {"--observe y=1", model("nothing")},
		"onenan":    {"--observe y=1", model("onenan")},
		"pin":       {"--observe c=1 --observe y=2", model("pin")},
		"zero":      {"--observe y=0.61", model("zero")},
		"failing":   {"--observe y=1 --max-failed 0.5", model("nan-parameter")},
	} {
		s.run(0, args(words("infer --quiet --seed 5 -n 1000 --out "+name+" "+c.data), c.sim)...)
		summary(name)
	}
	for i, c := range testbed.VariableVectors(t) {
		name := fmt.Sprint("vector", i)
		w, err := rundir.Create(filepath.Join(s.dir, name), &rundir.Manifest{N: uint64(len(c.Traces)), Method: "is"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range c.Traces {
			if err := w.Write(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(rundir.Complete, nil); err != nil {
			t.Fatal(err)
		}
		out, _ := s.run(0, "summary", "--json", name)
		var want, got []string
		for _, v := range c.Variables {
			want = append(want, v.Name)
		}
		for _, v := range verdictOf(t, out).Variables {
			got = append(got, v.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.Name, got, want)
		}
		summary(name)
	}
	cmd := exec.Command(python, filepath.Join(testbed.Root(), "testdata", "read_run.py"), filepath.Join(testbed.Root(), "docs", "run-directory.md"))
	cmd.Dir = s.dir
	cmd.Stdin = strings.NewReader(stdin.String())
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, b)
	}
}

func TestHelpAndCompletion(t *testing.T) {
	s := newSession(t)
	for _, verb := range []string{"", "prior", "infer", "train", "summary", "plot", "plot marginals", "plot tensor", "trace", "trace ls", "trace show", "trace data", "trace types", "trace addresses", "trace replay", "check", "version"} {
		out, _ := s.run(0, append(words(verb), "--help")...)
		if !strings.Contains(out, "Usage:") {
			t.Errorf("%s --help: %s", verb, out)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, _ := s.run(0, "completion", shell); len(out) < 1000 {
			t.Errorf("completion %s: %s", shell, out)
		}
	}
}
