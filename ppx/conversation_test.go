package ppx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/ppx/ppxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// links are the ways two sides can be connected: both ends, and what closes them.
var links = map[string]func(t *testing.T) (engine, simulator ppx.Conn){
	"pipe": func(t *testing.T) (ppx.Conn, ppx.Conn) {
		a, b := ppx.Pipe()
		t.Cleanup(func() { a.Close() })
		return a, b
	},
	"ipc":      func(t *testing.T) (ppx.Conn, ppx.Conn) { return zmqLink(t, "ipc://"+filepath.Join(t.TempDir(), "s")) },
	"abstract": func(t *testing.T) (ppx.Conn, ppx.Conn) { return zmqLink(t, testbed.Abstract(t)) },
	"tcp":      func(t *testing.T) (ppx.Conn, ppx.Conn) { return zmqLink(t, testbed.TCP(t)) },
}

func zmqLink(t *testing.T, endpoint string) (engine, simulator ppx.Conn) {
	t.Helper()
	tr, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tr.Listen(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	e, err := tr.Dial(endpoint, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), s.Close(), tr.Close()); err != nil {
			t.Error(err)
		}
	})
	return e, s
}

// serve runs a model behind c until the returned function is called, which gives Serve's error.
func serve(c ppx.Conn, name string, m ppx.Model) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ppx.Serve(ctx, c, "ppx test", name, m) }()
	return func() error {
		cancel()
		return <-done
	}
}

// The Go simulator side reproduces every transcript, over every kind of connection.
func TestSimulatorSideReplaysTranscripts(t *testing.T) {
	all, err := ppxtest.LoadAll(transcripts)
	if err != nil {
		t.Fatal(err)
	}
	for link, connect := range links {
		for _, tr := range all {
			t.Run(link+"/"+tr.Name, func(t *testing.T) {
				engine, simulator := connect(t)
				name, model := tr.Model()
				stop := serve(simulator, name, model)
				err := tr.PlayEngine(engine, patience)
				if err := errors.Join(err, stop()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// fromTranscript answers as the transcript's engine does.
type fromTranscript struct {
	t  *testing.T
	tr *ppxtest.Transcript
	at int
	// Statements that came along with the present message, and have not been handed on yet.
	notes []ppxtest.Note
}

// next compares a statement with the transcript's next one, and returns the engine's answer.
func (f *fromTranscript) next(s *ppx.Statement) *ppxtest.Step {
	got := ppx.Message{Type: s.Op, Statement: *s}
	got.Form = nil
	if s.Op == ppx.RunResult {
		got.Op = 0
	}
	for len(f.notes) == 0 {
		step := &f.tr.Steps[f.at]
		f.at++
		f.notes = step.Notes
		if !step.Engine && step.M.Op != 0 {
			f.notes = append(f.notes[:len(f.notes):len(f.notes)], ppxtest.Note{Message: step.M})
		}
	}
	want := f.notes[0]
	f.notes = f.notes[1:]
	want.Chunk = nil
	if !ppxtest.Equal(&got, &want.Message) {
		f.t.Errorf("got  %s\nwant %s", ppxtest.Format(&got), ppxtest.Format(&want.Message))
	}
	return &f.tr.Steps[min(f.at, len(f.tr.Steps)-1)]
}

func (f *fromTranscript) Sample(s *ppx.Statement) (ppx.Tensor, error) { return f.next(s).M.Value, nil }
func (f *fromTranscript) Observe(s *ppx.Statement) error              { f.next(s); return nil }
func (f *fromTranscript) Tag(s *ppx.Statement) error                  { f.next(s); return nil }
func (f *fromTranscript) Finish(result ppx.Tensor, _ float64) error {
	for len(f.notes) == 0 && f.tr.Steps[f.at].Engine {
		f.at++
	}
	if len(f.notes) == 0 && f.tr.Steps[f.at].M.Type == ppx.RunResult { // waited for
		f.at++
		return nil
	}
	f.next(&ppx.Statement{Op: ppx.RunResult, Value: result})
	return nil
}

// The engine side reproduces the transcripts that an orderly engine can: those without a message out of turn.
func TestEngineSideReplaysTranscripts(t *testing.T) {
	for _, name := range []string{"gum", "families", "tensors", "names", "delegated", "split", "given", "own", "inflated", "forwarded", "more-families", "made-families"} {
		tr, err := ppxtest.Load(filepath.Join(transcripts, name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		engine, simulator := links["pipe"](t)
		done := make(chan error, 1)
		go func() { done <- tr.PlaySimulator(simulator, patience) }()
		s := ppx.NewSession(ppx.Limits{})
		s.Token = tr.Steps[0].M.Token
		s.Plain = s.Token == 0
		if err := s.Connect(engine, "ppx", patience); err != nil {
			t.Fatal(err)
		}
		h := &fromTranscript{t: t, tr: tr}
		data := map[uint64]*ppx.Data{}
		for i := range tr.Steps {
			if tr.Steps[i].M.Type != ppx.Run {
				continue
			}
			if err := s.Execute(context.Background(), engine, plan(tr.Steps[i].M.Run, data), h, patience); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// plan is what an engine would have meant by a Run message.
func plan(w *ppx.WireRun, data map[uint64]*ppx.Data) *ppx.Plan {
	if w == nil {
		return nil
	}
	if w.Data != nil {
		data[w.DataID] = ppx.NewData(w.Data)
	}
	p := &ppx.Plan{Mode: w.Mode, Seed: w.Seed, Stream: w.Stream, Draws: w.Draws, Data: data[w.DataID], Inflation: w.Inflation,
		Flush: time.Duration(w.FlushMS) * time.Millisecond, FlushBytes: int(w.FlushBytes)}
	p.Streams = w.Streams
	if u := w.Reuse; u != nil {
		p.Reuse = &ppx.Reuse{}
		shapes, numbers := u.Shapes, u.Numbers
		for i := range u.Base {
			dims := shapes[1 : 1+shapes[0]]
			n, _ := dist.Elements(dims)
			p.Reuse.Values = append(p.Reuse.Values, ppx.Reused{Base: u.Bases[u.Base[i]], Instance: u.Instance[i], Value: ppx.Tensor{Data: numbers[:n], Shape: dims}})
			shapes, numbers = shapes[1+shapes[0]:], numbers[n:]
		}
		from := 0
		for _, to := range u.Ends {
			p.Own = append(p.Own, &ppx.Reuse{Values: p.Reuse.Values[from:to]})
			from = int(to)
		}
	}
	return p
}

type answerer struct{ v float64 }

func (a answerer) Sample(*ppx.Statement) (ppx.Tensor, error) { return dist.Scalar(a.v), nil }
func (answerer) Observe(*ppx.Statement) error                { return nil }
func (answerer) Tag(*ppx.Statement) error                    { return nil }
func (answerer) Finish(ppx.Tensor, float64) error            { return nil }

func TestHandshakeIsRepeatedOnceAfterReset(t *testing.T) {
	for resets, want := range map[int]error{1: nil, 2: ppx.ErrReset} {
		engine, simulator := ppx.Pipe()
		go func() {
			var enc ppx.Encoder
			for i := 0; ; i++ {
				if _, err := simulator.Recv(0); err != nil {
					return
				}
				m := ppx.Message{Type: ppx.Reset}
				if i >= resets {
					m = ppx.Message{Type: ppx.HandshakeResult, ModelName: "m"}
				}
				if simulator.Send(enc.Encode(&m)) != nil {
					return
				}
			}
		}()
		s := ppx.NewSession(ppx.Limits{})
		if err := s.Connect(engine, "ppx", patience); !errors.Is(err, want) {
			t.Errorf("%d times Reset: %v", resets, err)
		}
		engine.Close()
	}
}

func TestOutOfStepAnswers(t *testing.T) {
	var enc ppx.Encoder
	for _, typ := range []ppx.Type{ppx.Handshake, ppx.HandshakeResult, ppx.Run, ppx.SampleResult, ppx.Reset} {
		s := ppx.NewSession(ppx.Limits{})
		_, _, err := s.Step(enc.Encode(&ppx.Message{Type: typ}), answerer{})
		if !errors.Is(err, ppx.ErrOutOfStep) || !strings.Contains(err.Error(), typ.String()) {
			t.Errorf("%s in a run: %v", typ, err)
		}
		if typ == ppx.HandshakeResult || typ == ppx.Reset {
			continue
		}
		if err := s.Welcome(enc.Encode(&ppx.Message{Type: typ})); !errors.Is(err, ppx.ErrOutOfStep) {
			t.Errorf("%s for a handshake: %v", typ, err)
		}
	}
}

func TestSilenceEndsAtTheDeadline(t *testing.T) {
	for name, connect := range links {
		engine, _ := connect(t)
		s := ppx.NewSession(ppx.Limits{})
		start := time.Now()
		if err := s.Connect(engine, "ppx", 50*time.Millisecond); !errors.Is(err, ppx.ErrTimeout) {
			t.Errorf("%s: %v", name, err)
		}
		if waited := time.Since(start); waited < 45*time.Millisecond || waited > 3*time.Second {
			t.Errorf("%s: waited %v", name, waited)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	tr, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	s, err := tr.Dial("ipc://"+filepath.Join(t.TempDir(), "nobody"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.TrySend([]byte("hello")); !errors.Is(err, ppx.ErrTimeout) {
		t.Errorf("sending to nobody: %v", err)
	}
}

func TestPeerThatGoesAwayIsNoticed(t *testing.T) {
	tr, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	endpoint := "ipc://" + filepath.Join(t.TempDir(), "s")
	sim, err := tr.Listen(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := tr.Dial(endpoint, true)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if err := engine.Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Recv(patience); err != nil {
		t.Fatal(err)
	}
	sim.Close()
	if _, err := engine.Recv(patience); !errors.Is(err, ppx.ErrGone) {
		t.Errorf("after the peer closed: %v", err)
	}
}

// Beyond twice the limit; up to that the decoder says what is wrong.
func TestOversizedMessageNeverArrives(t *testing.T) {
	tr, err := ppx.NewTransport(ppx.Limits{Message: 1000})
	if err != nil {
		t.Fatal(err)
	}
	big, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "ipc://" + filepath.Join(t.TempDir(), "s")
	sim, err := big.Listen(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := tr.Dial(endpoint, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Recv(patience); err != nil {
		t.Fatal(err)
	}
	if err := sim.Send(make([]byte, 2001)); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Recv(patience); !errors.Is(err, ppx.ErrGone) {
		t.Errorf("2,001 bytes where 1,000 are allowed: %v", err)
	}
	if err := errors.Join(sim.Close(), engine.Close(), tr.Close(), big.Close()); err != nil {
		t.Error(err)
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"localhost:5555":                      "want tcp://HOST:PORT",
		"tcp://localhost":                     "no port",
		"udp://h:1":                           "scheme udp",
		"ipc://":                              "want tcp",
		"ipc:///" + strings.Repeat("x", 120):  "at most 107",
		"ipc:///tmp/\x1b[2Jx\x07" + "://////": "",
		"ipc://@name":                         "",
		"tcp://127.0.0.1:5555":                "",
	} {
		err := ppx.CheckEndpoint(endpoint)
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestPollerWakesForSocketsAndForWake(t *testing.T) {
	tr, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := tr.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	var engines, sims []*ppx.Socket
	for i := range 5 {
		endpoint := fmt.Sprintf("ipc://%s/%d", t.TempDir(), i)
		s, err := tr.Listen(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		e, err := tr.Dial(endpoint, i%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		p.Add(e)
		engines, sims = append(engines, e), append(sims, s)
		if err := e.Send([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		msg, err := s.Recv(patience)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(msg); err != nil {
			t.Fatal(err)
		}
	}
	got := map[*ppx.Socket]bool{}
	for len(got) < 5 {
		ready, err := p.Poll(patience)
		if err != nil || len(ready) == 0 {
			t.Fatalf("%d ready, %v", len(ready), err)
		}
		for _, s := range ready {
			if _, err := s.TryRecv(); err == nil {
				got[s] = true
			}
		}
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(2)
		go func() { defer wg.Done(); p.Wake() }()
		go func() { defer wg.Done(); p.Wake() }()
		if _, err := p.Poll(patience); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		_, _ = p.Poll(0) // a second wake may still be there
	}
	start := time.Now()
	if ready, _ := p.Poll(20 * time.Millisecond); len(ready) != 0 || time.Since(start) < 15*time.Millisecond {
		t.Errorf("%d ready after %v", len(ready), time.Since(start))
	}
	for i := range engines {
		p.Remove(engines[i])
		engines[i].Close()
		sims[i].Close()
	}
	p.Close()
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

// A family beyond the eleven from a simulator that has not agreed on the extension breaks a rule, asked for and noted.
func TestFamiliesAreAgreedOn(t *testing.T) {
	for name, text := range map[string]string{
		"asked for": "engine Handshake system_name=ppx\nsim HandshakeResult system_name=s model_name=m\nengine Run\nsim Sample address=a Cauchy loc=0 scale=1\n",
		"noted": "engine Handshake system_name=ppx extension=4 token=1\nsim HandshakeResult system_name=s model_name=m extension=2\n" +
			"engine Run mode=delegate seed=1 draws=0 flush_ms=1000 flush_bytes=1000\nnote Sample address=a Cauchy loc=0 scale=1 value=1\nnote RunResult statements=1 result=1\nsim Statements\n",
	} {
		path := filepath.Join(t.TempDir(), "t.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tr, err := ppxtest.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		engine, simulator := links["pipe"](t)
		go func() { _ = tr.PlaySimulator(simulator, patience) }()
		s := ppx.NewSession(ppx.Limits{})
		s.Token = tr.Steps[0].M.Token
		s.Plain = s.Token == 0
		if err := s.Connect(engine, "ppx", patience); err != nil {
			t.Fatal(err)
		}
		var run *ppx.WireRun
		for i := range tr.Steps {
			if tr.Steps[i].M.Type == ppx.Run {
				run = tr.Steps[i].M.Run
			}
		}
		if err := s.Execute(context.Background(), engine, plan(run, nil), nil, patience); !errors.Is(err, ppx.ErrRule) || !strings.Contains(err.Error(), "Cauchy is a distribution of extension 3") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
