// Package adapters_test puts every client through the same gate: the transcripts, and ppx check.
package adapters_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/ppxtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testbed.Clean()
	os.Exit(code)
}

// replayers are the programs that make a transcript's statements in each language.
var replayers = map[string]func(t *testing.T, transcript, endpoint string) *exec.Cmd{
	"cpp": func(t *testing.T, transcript, endpoint string) *exec.Cmd {
		return exec.Command(testbed.CPP(t, "adapters/cpp/tests/ppx_replay"), transcript, endpoint)
	},
	"python": func(t *testing.T, transcript, endpoint string) *exec.Cmd {
		return exec.Command(testbed.Python(t), filepath.Join(testbed.Root(), "adapters/python/tests/replay.py"), transcript, endpoint)
	},
	"go": func(t *testing.T, transcript, endpoint string) *exec.Cmd {
		return exec.Command(testbed.Go(t, "./adapters/gosim/replay"), transcript, endpoint)
	},
}

// connect starts a simulator that binds endpoint, and waits until it answers a handshake there.
func connect(t *testing.T, cmd *exec.Cmd, endpoint string) *ppx.Socket {
	t.Helper()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	transport, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := transport.Dial(endpoint, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err := errors.Join(s.Close(), transport.Close()); err != nil {
			t.Error(err)
		}
	})
	var enc ppx.Encoder
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := s.TrySend(enc.Encode(&ppx.Message{Type: ppx.Handshake, SystemName: "ppx test"}))
		if err == nil {
			break
		} else if time.Since(start) > 20*time.Second {
			t.Fatal(err)
		}
	}
	if _, err := s.Recv(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTranscripts(t *testing.T) {
	all, err := ppxtest.LoadAll(filepath.Join(testbed.Root(), "testdata", "transcripts"))
	if err != nil {
		t.Fatal(err)
	}
	for language, command := range replayers {
		for _, tr := range all {
			t.Run(language+"/"+tr.Name, func(t *testing.T) {
				endpoint := "ipc://" + filepath.Join(t.TempDir(), "s")
				cmd := command(t, filepath.Join(testbed.Root(), "testdata", "transcripts", tr.Name+".txt"), endpoint)
				s := connect(t, cmd, endpoint)
				if err := tr.PlayEngine(s, 10*time.Second); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestCheckPassesForEveryClient(t *testing.T) {
	for _, language := range testbed.Languages {
		for _, model := range []string{"marsaglia", "hmm"} {
			t.Run(language+"/"+model, func(t *testing.T) {
				cmd := exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"check", "--json", "--"}, testbed.Simulator(t, model, language)...)...)
				cmd.Stderr = os.Stderr
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("%v", err)
				}
				var rep struct {
					Passed bool
					Rules  []struct {
						Rule, Detail string
						OK           bool
					}
				}
				if err := json.Unmarshal(out, &rep); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				for _, r := range rep.Rules {
					if !r.OK {
						t.Errorf("%s: %s", r.Rule, r.Detail)
					}
				}
				if !rep.Passed || len(rep.Rules) < 14 {
					t.Errorf("passed %v, %d rules", rep.Passed, len(rep.Rules))
				}
			})
		}
	}
}

// wantMean is the posterior mean of mu that these 50 traces have in every language.
const wantMean = `"mean":3.15183229795`

// Every client serves over tcp and abstract sockets, and a real engine infers through --connect.
func TestClientsServeWhereTheyAreTold(t *testing.T) {
	for _, language := range testbed.Languages {
		for _, endpoint := range []string{testbed.TCP(t), testbed.Abstract(t) + "-" + language} {
			t.Run(language+"/"+endpoint[:3], func(t *testing.T) {
				args := testbed.Simulator(t, "gum", language)
				args[len(args)-1] = endpoint
				sim := exec.Command(args[0], args[1:]...)
				sim.Stderr = os.Stderr
				if err := sim.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() {
					_ = sim.Process.Kill()
					_ = sim.Wait()
				}()
				out, err := exec.Command(testbed.Go(t, "./cmd/ppx"), "infer", "--json", "--quiet", "-n", "50", "--seed", "1", "--out", filepath.Join(t.TempDir(), "run"),
					"--observe", "obs0=4", "--observe", "obs1=3", "--connect", endpoint).Output()
				if err != nil {
					t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
				}
				// The same seed gives the same traces, whatever the language.
				if !strings.Contains(string(out), `"traces":50,`) || !strings.Contains(string(out), wantMean) {
					t.Errorf("%s", out)
				}
			})
		}
	}
}

// A program without an engine makes one run, prints the result, and says how to give it one: in the same words in
// every language.
func TestWithoutAnEngine(t *testing.T) {
	for _, language := range testbed.Languages {
		t.Run(language, func(t *testing.T) {
			cmd := exec.Command(testbed.Simulator(t, "gum", language)[0])
			if language == "python" {
				cmd.Args = append(cmd.Args, testbed.Simulator(t, "gum", language)[1])
			}
			cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PPX_ENDPOINT=") })
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			if v, err := strconv.ParseFloat(strings.TrimSuffix(string(out), "\n"), 64); err != nil || math.Abs(v) > 20 {
				t.Errorf("printed %q", out)
			}
			const hint = `give an endpoint as the first argument, or start it with "ppx … -- PROGRAM {endpoint}"`
			if stderr.String() != "gum: no engine ("+hint+"): running once by itself\n" {
				t.Errorf("said %q", stderr.String())
			}
		})
	}
}

// A model that catches everything must not take a new engine's Handshake for an answer.
func TestSwallowedAbort(t *testing.T) {
	script := filepath.Join(t.TempDir(), "sim.py")
	text := `
import sys
import ppxsim
def model():
    try:
        return ppxsim.sample(ppxsim.Normal(0, 1), name="x", address="here")
    except:
        return 0.0
ppxsim.serve(model, "careless", sys.argv[1])
`
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	transcript := filepath.Join(t.TempDir(), "careless.txt")
	text = `
engine Handshake system_name=one
sim    HandshakeResult system_name=* model_name=careless
engine Run
sim    Sample address=here name=x Normal mean=0 stddev=1
engine Handshake system_name=two
sim    HandshakeResult system_name=* model_name=careless
engine Run
sim    Sample address=here name=x Normal mean=0 stddev=1
engine SampleResult result=2
sim    RunResult result=2
`
	if err := os.WriteFile(transcript, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	tr, err := ppxtest.Load(transcript)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := testbed.Abstract(t)
	cmd := exec.Command(testbed.Python(t), script, endpoint)
	s := connect(t, cmd, endpoint)
	if err := tr.PlayEngine(s, 10*time.Second); err != nil {
		t.Error(err)
	}
}

// A model that fails for some values costs these draws; its simulator goes on, and the record says why.
func TestFailingModel(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "sim.py")
	if err := os.WriteFile(script, []byte(`
import ppxsim
def model():
    x = ppxsim.sample(ppxsim.Uniform(0, 1), name="x")
    if x > 0.99:
        raise ArithmeticError(f"no convergence at {x:.3f}")
    return x
ppxsim.main(model, name="fails")
`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"--plain"}} {
		run := filepath.Join(dir, "run"+strings.Join(flags, ""))
		args := append([]string{"prior", "--quiet", "--json", "-n", "300", "--seed", "1", "--workers", "2", "--out", run}, flags...)
		out, err := exec.Command(testbed.Go(t, "./cmd/ppx"), append(args, "--", testbed.Python(t), script, "{endpoint}")...).Output()
		var r struct{ Traces, Failed float64 }
		if err == nil {
			err = json.Unmarshal(out, &r)
		}
		if err != nil || r.Failed == 0 || r.Failed > 10 || r.Traces+r.Failed != 300 {
			t.Fatalf("%v: %s", err, out)
		}
		out, err = exec.Command(testbed.Go(t, "./cmd/ppx"), "trace", "ls", "-n", "0", run).CombinedOutput()
		if len(flags) == 0 && (err != nil || !strings.Contains(string(out), "the run failed: ArithmeticError: no convergence at 0.99")) {
			t.Errorf("%v: %s", err, out)
		}
	}
}
