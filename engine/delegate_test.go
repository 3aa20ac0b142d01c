package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

func init() {
	models["zoo"] = zoo
	models["made"] = made
	models["many-places"] = manyPlaces
	models["slow"] = func(r *gosim.Run) gosim.Tensor {
		for range 8 {
			r.Sample("x", gosim.Normal(0, 1))
			time.Sleep(150 * time.Millisecond)
		}
		return gosim.Scalar(1)
	}
	models["image"] = func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Normal(0, 1))
		r.ObserveTensor(gosim.Site{}, "image", gosim.Tensors(dist.Normal, gosim.NewTensor(make([]float64, 10_000), 10_000), gosim.Scalar(1+x*x)), gosim.Tensor{})
		return gosim.Scalar(x)
	}
	models["bad-name"] = func(r *gosim.Run) gosim.Tensor {
		if r.Sample("x", gosim.Uniform(0, 1)) > 0.99 {
			r.Tag("caf\xe9", 1)
		}
		return gosim.Scalar(r.Sample("y", gosim.Normal(0, 1)))
	}
	models["hang-once-in-a-while"] = func(r *gosim.Run) gosim.Tensor {
		if r.Sample("x", gosim.Uniform(0, 1)) > 0.99 {
			time.Sleep(time.Hour)
		}
		return gosim.Scalar(r.Sample("y", gosim.Normal(0, 1)))
	}
}

// zoo has everything at once: all families, tensors, loops, names that repeat, a run whose course depends
// on its values, Observes with and without values, Samples without control.
func zoo(r *gosim.Run) gosim.Tensor {
	n := int(r.Sample("n", gosim.Poisson(3)))
	for i := range n {
		x := r.Sample("x", gosim.Normal(float64(i), 1))
		if x > 1 {
			probs := make([]float64, n+1) // one place, a varying number of categories
			probs[i], probs[n] = 1, 2
			r.Sample("", gosim.Categorical(probs...))
		}
		r.Tag("i", float64(i))
	}
	r.Sample("u", gosim.Uniform(-1, 1))
	r.SampleAt(gosim.Site{NoControl: true}, "b", gosim.Bernoulli(0.2))
	p := r.Sample("p", gosim.Beta(2, 3))
	rate := r.Sample("", gosim.Exponential(0.5))
	g := r.Sample("g", gosim.Gamma(0.5+rate, 2))
	r.Sample("l", gosim.LogNormal(0, 0.5))
	r.Sample("k", gosim.Binomial(20, p))
	r.Sample("w", gosim.Weibull(1, 1.5))
	r.Sample("many", gosim.Poisson(50+g))
	v := r.SampleTensor("v", gosim.Tensors(dist.Normal, gosim.Vector(1, 2, 3), gosim.Scalar(0.5)))
	r.SampleTensor("c", gosim.Tensors(dist.Categorical, gosim.NewTensor([]float64{1, 2, 0, 0, 1, 1}, 2, 3)))
	r.Observe("y", gosim.Normal(g, 1))
	r.ObserveValue("z", gosim.Normal(g, 1), 0.5)
	r.ObserveTensor(gosim.Site{}, "image", gosim.Tensors(dist.Normal, v, gosim.Scalar(0.1)), gosim.Tensor{})
	return gosim.Vector(g, p)
}

// manyPlaces has more names than a client remembers at once, and many addresses.
func manyPlaces(r *gosim.Run) gosim.Tensor {
	for i := range 40_000 {
		r.SampleAt(gosim.Site{Address: fmt.Sprint("place", i%25_000)}, fmt.Sprint("x", i), gosim.Uniform(0, 1))
	}
	return gosim.Scalar(0)
}

// stopper is a layer that has seen enough after so many statements.
type stopper int

func (s stopper) Choose(_ *engine.Run, at *engine.Site) (engine.Choice, bool, error) {
	if at.Index >= int(s) {
		return engine.Choice{}, false, engine.ErrStop
	}
	return engine.Choice{}, false, nil
}

// makers are stacks that can be delegated, and some that cannot.
func makers(t *testing.T) map[string]func(engine.Draw) engine.Stack {
	local := engine.NewLocal(gosim.Wrap(zoo), 1)
	defer local.Close()
	recorded, err := draw(t, local, 3, prior)
	if err != nil {
		t.Fatal(err)
	}
	replay := control.NewReplay(recorded[2])
	latents := control.NewCondition(control.Data{"x@2": dist.Scalar(0.25), "p": dist.Vector(0.5), "v": dist.Vector(1, 1, 1), "y": dist.Scalar(2), "image": dist.Vector(1, 2, 3)}, true)
	nan := math.NaN()
	observed := control.NewCondition(control.Data{"p": dist.Vector(0.5), "image": dist.Vector(1, nan, 3)}, true)
	sampled := control.NewCondition(control.Data{"v": dist.Vector(1, nan, nan), "p": dist.Vector(nan), "c": dist.Vector(nan, 2), "image": dist.Vector(1, nan, 3)}, true)
	stack := func(s ...engine.Layer) func(engine.Draw) engine.Stack {
		return func(engine.Draw) engine.Stack { return s }
	}
	return map[string]func(engine.Draw) engine.Stack{
		"prior":  prior,
		"data":   stack(latents, control.Prior{}),
		"replay": stack(replay, control.Prior{}),
		// Of a Sample's value only a part is given: such runs are steered once that has shown.
		"missing": stack(observed, control.Prior{}), "missing of a Sample": stack(sampled, control.Prior{}),
		"all": func(engine.Draw) engine.Stack {
			return engine.Stack{latents, replay, control.NewInflate(0.3), control.Prior{}}
		},
		"inflated": func(engine.Draw) engine.Stack {
			return engine.Stack{control.NewCondition(nil, false), control.NewInflate(0.3), control.Prior{}}
		},
		"steered": stack(latents, steer{}),
		"some steered": func(d engine.Draw) engine.Stack {
			if d.Index%5 == 0 {
				return engine.Stack{latents, steer{}}
			}
			return engine.Stack{latents, control.Prior{}}
		},
		"stopped": func(d engine.Draw) engine.Stack { // two in three, at some statement: their traces are partial
			if d.Index%3 > 0 {
				return engine.Stack{latents, stopper(d.Index % 7), control.Prior{}}
			}
			return engine.Stack{latents, control.Prior{}}
		},
		"by turns": func(d engine.Draw) engine.Stack { // runs that cannot be asked for together
			if d.Index%3 == 0 {
				return engine.Stack{replay, control.Prior{}}
			}
			return engine.Stack{latents, control.Prior{}}
		},
	}
}

// The same traces, to the bit: in process, in lockstep, delegated, from clients of before the extension, and
// from both kinds at once.
func TestDelegatedRunsAreTheSame(t *testing.T) {
	n := uint64(150)
	if testbed.Raced {
		n = 60
	}
	for name, maker := range makers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			local := engine.NewLocal(gosim.Wrap(zoo), 2)
			defer local.Close()
			traces, err := draw(t, local, n, maker)
			if err != nil {
				t.Fatal(err)
			}
			want := fingerprint(traces)
			if name == "stopped" && strings.Count(want, " partial ") != int(n)*2/3 {
				t.Errorf("%d partial traces of %d", strings.Count(want, " partial "), n)
			}
			check := func(what string, o engine.Options) {
				t.Helper()
				p := open(t, o)
				defer p.Close()
				traces, err := draw(t, p, n, maker)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if fingerprint(traces) != want {
					t.Errorf("%s: other traces", what)
				}
			}
			check("delegated", options("zoo", 3))
			o := options("zoo", 3)
			o.Plain = true
			check("plain", o)
			old, fresh := testbed.TCP(t), testbed.Abstract(t)
			serveOld(t, old, gosim.Wrap(zoo))
			serve(t, fresh, "zoo", zoo)
			check("old", engine.Options{Connect: []string{old}})
			check("both", engine.Options{Connect: []string{old, fresh}})
		})
	}
}

// made has draws that are vectors, mixtures and a factor, whose parameters depend on each other.
func made(r *gosim.Run) gosim.Tensor {
	n := r.Sample("n", gosim.NegativeBinomial2(6, 2))
	m := r.SampleTensor("m", gosim.MultivariateNormal([]float64{n, 1}, []float64{2, 1, 1, 3}))
	d := r.SampleTensor("d", gosim.Dirichlet(1, 2, 0.5+n))
	c := r.SampleTensor("", gosim.Multinomial(n, d.Data...))
	r.Sample("mix", gosim.Mixture(d.Data[:2], gosim.Normal(m.Data[0], 1), gosim.Cauchy(m.Data[1], 1)))
	r.Sample("", gosim.Mixture([]float64{1, 2}, gosim.Poisson(c.Data[0]), gosim.Geometric(0.3)))
	e := r.Sample("e", gosim.Empirical([]float64{2, 1, m.Data[0]}))
	r.SampleTensor("t", gosim.MultivariateStudentT(3, []float64{e, 0}, []float64{1, 0, n, 1}))
	r.SampleTensor("b", gosim.Tensors(dist.MultivariateNormal, gosim.NewTensor([]float64{0, 0, 5, 5}, 2, 1, 2), gosim.NewTensor([]float64{1, 0, 0.5, 2, 3, 0, 0, 3}, 2, 2, 2)))
	r.Sample("h", gosim.Histogram([]float64{0, 1, 3}, []float64{1 + n, 2}))
	r.Factor("f", -m.Data[0]*m.Data[0]/8)
	r.Observe("y", gosim.Dirichlet(1+n, 2, 3))
	return m
}

// The same traces of families beyond PPX 1.0: in process, delegated, and asked for value by value.
func TestMadeFamiliesAreTheSameHoweverDelegated(t *testing.T) {
	local := engine.NewLocal(gosim.Wrap(made), 1)
	defer local.Close()
	condition := control.NewCondition(control.Data{"y": dist.Vector(0.2, 0.3, 0.5), "d": dist.Vector(0.1, 0.4, 0.5)}, true)
	recorded, err := draw(t, local, 3, prior)
	if err != nil {
		t.Fatal(err)
	}
	replay := control.NewReplay(recorded[2])
	for name, maker := range map[string]func(engine.Draw) engine.Stack{
		"prior": prior,
		"all": func(engine.Draw) engine.Stack {
			return engine.Stack{condition, replay, control.NewInflate(0.3), control.Prior{}}
		},
		"steered": func(engine.Draw) engine.Stack { return engine.Stack{condition, steer{}} },
	} {
		traces, err := draw(t, local, 100, maker)
		if err != nil {
			t.Fatal(err)
		}
		want := fingerprint(traces)
		p := open(t, options("made", 2))
		traces, err = draw(t, p, 100, maker)
		p.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if fingerprint(traces) != want {
			t.Errorf("%s: other traces", name)
		}
	}
}

// serveOld is a client that knows nothing of extensions: it refuses what it does not know.
func serveOld(t *testing.T, endpoint string, model ppx.Model) {
	transport, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := transport.Listen(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ppx.Serve(ctx, oldWire{s, t}, "old client", "zoo", model) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close(), transport.Close()); err != nil {
			t.Error(err)
		}
	})
}

// oldWire lets messages through as PPX 1.0 knows them.
type oldWire struct {
	*ppx.Socket
	t *testing.T
}

func (o oldWire) Recv(timeout time.Duration) ([]byte, error) {
	msg, err := o.Socket.Recv(timeout)
	if err != nil {
		return nil, err
	}
	var enc ppx.Encoder
	var dec ppx.Decoder
	var m ppx.Message
	if err := dec.Decode(msg, &m); err != nil {
		return nil, err
	}
	if m.Type > ppx.Reset {
		o.t.Errorf("%s for a simulator that knows nothing of it", m.Type)
	}
	if m.Type == ppx.Run && m.Run != nil {
		o.t.Error("orders for a simulator that knows nothing of them")
	}
	m.Extension, m.Token = 0, 0
	return append([]byte(nil), enc.Encode(&m)...), nil
}

// More places than a client remembers; long runs in pieces.
func TestManyPlaces(t *testing.T) {
	const n = 3
	local := engine.NewLocal(gosim.Wrap(manyPlaces), 2)
	defer local.Close()
	want, err := draw(t, local, n, prior)
	if err != nil {
		t.Fatal(err)
	}
	got, err := draw(t, open(t, options("many-places", 1)), n, prior)
	if err != nil {
		t.Fatal(err)
	}
	if fingerprint(got) != fingerprint(want) {
		t.Error("other traces")
	}
}

// A simulator that is slow, not silent: its statements come before --timeout.
func TestSlowDelegatedRunsDoNotTimeOut(t *testing.T) {
	o := options("slow", 2)
	o.Timeout = 800 * time.Millisecond
	p := open(t, o)
	if _, err := draw(t, p, 4, prior); err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); s.Lost > 0 {
		t.Errorf("%d runs were lost", s.Lost)
	}
}

// Simulators that are killed or hang in the middle of a batch cost the runs that had not been delivered,
// and these are made again with the same values.
func TestLostInTheMiddleOfABatch(t *testing.T) {
	const n = 20_000
	local := engine.NewLocal(gosim.Wrap(models["gum"]), 2)
	defer local.Close()
	traces, err := draw(t, local, n, prior)
	if err != nil {
		t.Fatal(err)
	}
	want := fingerprint(traces)
	p := open(t, options("gum", 3))
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for range 12 {
			time.Sleep(15 * time.Millisecond)
			if pids := children(t); len(pids) > 0 {
				_ = syscall.Kill(pids[0], syscall.SIGKILL)
			}
		}
	}()
	for lost := uint64(0); lost == 0; lost = p.Stats().Lost {
		traces, err := draw(t, p, n, prior)
		if err != nil {
			t.Fatal(err)
		}
		if fingerprint(traces) != want {
			t.Fatal("other traces")
		}
	}
	<-stop
	t.Logf("%d runs lost and drawn again", p.Stats().Lost)
}

func TestHungInTheMiddleOfABatch(t *testing.T) {
	o := options("hang-once-in-a-while", 4)
	o.Timeout = 200 * time.Millisecond
	p := open(t, o)
	traces, err := draw(t, p, 400, prior)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, tr := range traces {
		if tr.Status == tracing.Failed {
			if failed++; !strings.Contains(tr.Error, "no message for 200ms") {
				t.Error(tr.Error)
			}
		} else if x := tr.Value(0).Float(); x > 0.99 {
			t.Errorf("draw %d did not hang", tr.Draw)
		}
	}
	if failed == 0 {
		t.Error("nothing hung")
	}
}

// breakers answer the order for delegated runs with a chunk that breaks a rule of the extension. good is a
// chunk that breaks none.
var breakers = map[string]struct {
	says string
	kind error
	do   func(good ppx.Chunk, w *ppx.WireRun) *ppx.Message
}{
	"unknown form":     {"unknown form number 77, there are", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Statements[0] = 77; return chunk(c) }},
	"unknown address":  {"unknown string number 99", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Forms[0].Address = 99; return chunk(c) }},
	"unknown family":   {"unknown distribution kind", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Forms[0].Kind = dist.NumKinds; return chunk(c) }},
	"no statement":     {"Handshake is no statement", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Forms[0].Op = ppx.Handshake; return chunk(c) }},
	"shapes end early": {"shapes end early", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Forms[0].Shapes = []int32{0}; return chunk(c) }},
	"shape too large": {"more than 67108864 elements", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message {
		c.Forms[0].Shapes = []int32{2, 1 << 20, 1 << 20, 0, 0}
		return chunk(c)
	}},
	"count":            {"1 statements have come, the simulator counts 2", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers[3] = 2; return chunk(c) }},
	"no count":         {"the simulator counts -1", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers[3] = math.NaN(); return chunk(c) }},
	"too few numbers":  {"end in the middle of a RunResult", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers = c.Numbers[:5]; return chunk(c) }},
	"too many numbers": {"1 numbers are left over", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers = append(c.Numbers, 1); return chunk(c) }},
	"too few runs":     {"runs were asked for that were not made", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Statements, c.Numbers = nil, nil; return chunk(c) }},
	"too many runs": {"more was done than the", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message {
		c.Statements = append(c.Statements, c.Statements...)
		c.Numbers = append(c.Numbers, c.Numbers...)
		return chunk(c)
	}},
	"own generator": {"the run's random numbers give", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers[2] += 1e-6; return chunk(c) }},
	"outside":       {"statement 0: element 0 is", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers[2] = 3; return chunk(c) }},
	"NaN parameter": {"low = NaN must be finite", ppx.ErrInvalid, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers[0] = math.NaN(); return chunk(c) }},
	"NaN value":     {"statement 0: element 0 is NaN", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers[2] = math.NaN(); return chunk(c) }},
	"no value": {"drew no value", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message {
		c.Forms[0].Shapes = []int32{0, 0, -1}
		c.Numbers = append(c.Numbers[:2], c.Numbers[3:]...)
		return chunk(c)
	}},
	"value's shape": {"drew a value of shape [1], the distribution's have shape []", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message {
		c.Forms[0].Shapes = []int32{0, 0, 1, 1}
		return chunk(c)
	}},
	"asks": {"Sample in a run of mode 2", ppx.ErrRule, func(ppx.Chunk, *ppx.WireRun) *ppx.Message {
		return &ppx.Message{Type: ppx.Sample, Statement: ppx.Statement{Op: ppx.Sample, Address: "a", Dist: dist.New(dist.Uniform, 0, 1)}}
	}},
	"RunResult": {"RunResult in a run of mode 2", ppx.ErrRule, func(ppx.Chunk, *ppx.WireRun) *ppx.Message {
		return &ppx.Message{Type: ppx.RunResult, Statement: ppx.Statement{Value: dist.Scalar(0)}}
	}},
	"too large":          {"bytes, at most 1000000", ppx.ErrMalformed, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { c.Numbers = make([]float64, 130_000); return chunk(c) }},
	"own value of data":  {"the value was given (data) as 0.5, the simulator went on with", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { return chunk(c) }},
	"own value of reuse": {"the value was given (reused) as 0.25, the simulator went on with", ppx.ErrRule, func(c ppx.Chunk, _ *ppx.WireRun) *ppx.Message { return chunk(c) }},
}

func chunk(c ppx.Chunk) *ppx.Message { return &ppx.Message{Type: ppx.Statements, Chunk: &c} }

// breakRule serves as a simulator that breaks a rule.
func breakRule(name string) {
	t, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		fatal(err)
	}
	s, err := t.Listen(os.Getenv("PPX_ENDPOINT"))
	if err != nil {
		fatal(err)
	}
	var enc ppx.Encoder
	var dec ppx.Decoder
	for {
		msg, err := s.Recv(0)
		if err != nil {
			return
		}
		var m ppx.Message
		if err := dec.Decode(msg, &m); err != nil {
			fatal(err)
		}
		out := &ppx.Message{Type: ppx.Reset, Reason: ppx.Aborted}
		switch m.Type {
		case ppx.Handshake:
			out = &ppx.Message{Type: ppx.HandshakeResult, SystemName: "villain", ModelName: name, Extension: 1}
		case ppx.Run:
			good := ppx.Chunk{Restart: true, Strings: []string{"a", "x"}, Forms: []ppx.WireForm{
				{Op: ppx.Sample, Control: true, Kind: dist.Uniform, Address: 1, Name: 2, Shapes: []int32{0, 0, 0}},
				{Op: ppx.RunResult, Shapes: []int32{0}},
			}}
			for _, d := range m.Run.Draws {
				stream := dist.NewStream(m.Run.Seed, m.Run.Stream, 0, d, dist.PurposeValue)
				good.Statements = append(good.Statements, 0, 1)
				good.Numbers = append(good.Numbers, 0, 1, stream.Float64(), 1, 0.001, 7)
			}
			out = breakers[name].do(good, m.Run)
		}
		if err := s.Send(enc.Encode(out)); err != nil {
			fatal(err)
		}
	}
}

// fatal ends a simulator with the reason as its last words.
func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

func TestBrokenRules(t *testing.T) {
	for name, b := range breakers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			maker := prior
			switch name {
			case "own value of data":
				c := control.NewCondition(control.Data{"x": dist.Scalar(0.5)}, false)
				maker = func(engine.Draw) engine.Stack { return engine.Stack{c, control.Prior{}} }
			case "own value of reuse":
				table := tracing.NewTable()
				r := engine.NewRecorder(table)
				half := control.NewCondition(control.Data{"x": dist.Scalar(0.25)}, false)
				r.Begin(engine.Draw{}, engine.Stack{half})
				if _, err := r.Sample(&ppx.Statement{Op: ppx.Sample, Address: "a", Name: "x", Control: true, Dist: dist.New(dist.Uniform, 0, 1)}); err != nil {
					t.Fatal(err)
				}
				tr := r.End(ppx.Tensor{}, 0)
				tr.Sites[0].Origin = tracing.FromPrior
				replay := control.NewReplay(tr)
				maker = func(engine.Draw) engine.Stack { return engine.Stack{replay, control.Prior{}} }
			}
			o := options("break "+name, 1)
			o.Limits.Message = 1_000_000
			p := open(t, o)
			_, err := draw(t, p, 20, maker)
			if !errors.Is(err, b.kind) || !strings.Contains(err.Error(), b.says) || !strings.Contains(err.Error(), "draw ") || !strings.Contains(err.Error(), " at ipc://") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A value that the simulator draws wrongly in few of its families is found by the samples that are drawn again,
// and one outside the support at once.
func TestWrongValuesAreFound(t *testing.T) {
	for name, spoil := range map[string]func(n int, v float64) float64{
		"statement 0: the simulator drew 1.5, outside the support": func(_ int, v float64) float64 { return v + 1 },
		"the run's random numbers give":                            func(_ int, v float64) float64 { return v * 0.999 },
	} {
		r := &engine.OneRun{Recorder: engine.NewRecorder(tracing.NewTable())}
		form := &ppx.Form{}
		var err error
		for n := range uint64(20_000) {
			d := engine.Draw{Seed: 1, Index: n}
			r.Begin(d, engine.Stack{control.Prior{}})
			stream := dist.NewStream(1, 0, 0, n, dist.PurposeValue)
			v := stream.Float64()
			if n > 0 { // the first run is drawn again as a whole
				v = spoil(int(n), v)
			}
			if name[0] == 's' && n > 0 {
				v = 1.5
			}
			s := &ppx.Statement{Op: ppx.Sample, Address: "a", Control: true, Dist: dist.New(dist.Uniform, 0, 1), Value: dist.Scalar(v), Form: form}
			if _, err = r.Sample(s); err != nil {
				break
			}
			r.End(ppx.Tensor{}, 0)
		}
		if !errors.Is(err, ppx.ErrRule) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v\nwant %s", err, name)
		}
	}
}

// An engine that is refused because another one has the simulator waits for it; when the first leaves, it
// is let in.
func TestSecondEngineWaitsForTheFirst(t *testing.T) {
	endpoint := testbed.Abstract(t)
	serve(t, endpoint, "gum", models["gum"])
	transport, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	s, err := transport.Dial(endpoint, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := ppx.NewSession(ppx.Limits{})
	if err := first.Connect(s, "first", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	o := engine.Options{Connect: []string{endpoint}, StartTimeout: 600 * time.Millisecond}
	if _, err := engine.Open(context.Background(), o); !errors.Is(err, engine.ErrBusy) || !strings.Contains(err.Error(), "another engine is at this simulator") {
		t.Errorf("beside another engine: %v", err)
	}
	leave := sync.OnceFunc(func() { _ = s.Send(first.Abandon(true)) })
	o.Log = func(text string) {
		if strings.Contains(text, "waiting for it") {
			leave()
		}
	}
	o.StartTimeout = 60 * time.Second
	if _, err := draw(t, open(t, o), 50, prior); err != nil {
		t.Error(err)
	}
}

// An engine that has done its work leaves a connected simulator to the next, at once; one whose model fails
// stays well, and so does one whose engine ends in the middle of a run.
func TestConnectedSimulatorIsLeftInOrder(t *testing.T) {
	endpoint := testbed.Abstract(t)
	transport, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := transport.Listen(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- ppx.Serve(ctx, s, "ppx test", "fails at times", func(h ppx.Handler) (ppx.Tensor, error) {
			if err := h.Tag(&ppx.Statement{Address: "t", Value: dist.Scalar(1)}); err != nil {
				return ppx.Tensor{}, err
			}
			v, err := h.Sample(&ppx.Statement{Address: "a", Name: "x", Control: true, Dist: dist.New(dist.Uniform, 0, 1)})
			if err == nil && v.Float() > 0.99 {
				err = errors.New("the solver did not converge")
			}
			return v.Clone(), err
		})
	}()
	defer func() {
		cancel()
		if err := errors.Join(<-done, s.Close(), transport.Close()); err != nil {
			t.Error(err)
		}
	}()
	o := engine.Options{Connect: []string{endpoint}, StartTimeout: 5 * time.Second}
	for _, plan := range []func(engine.Draw) engine.Stack{prior, func(engine.Draw) engine.Stack { return engine.Stack{steer{}} }} {
		p := open(t, o)
		traces, err := draw(t, p, 400, plan)
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, tr := range traces {
			if tr.Status != tracing.Failed {
				continue
			}
			if failed++; strings.Contains(tr.Error, "ipc://") || !strings.Contains(tr.Error, "the run failed: the solver did not converge") {
				t.Error(tr.Error)
			}
		}
		if failed == 0 || failed > 10 || p.Stats().Lost != uint64(failed) {
			t.Errorf("%d draws failed, %d runs were made again", failed, p.Stats().Lost)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	// In the middle of many runs.
	for range 5 {
		p := open(t, o)
		n := 0
		for _, err := range p.Stream(context.Background(), engine.Draws(1, 0, 1e9, prior), nil) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n > 100 {
				break
			}
		}
		start := time.Now()
		if err := p.Close(); err != nil || time.Since(start) > 1900*time.Millisecond {
			t.Errorf("closed after %v: %v", time.Since(start), err)
		}
	}
}

// steer is the prior as a layer that is asked in mid-run.
type steer struct{}

func (steer) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	return control.Prior{}.Choose(r, s)
}

// Data that do not fit into a message are told value by value.
func TestDataLargerThanAMessage(t *testing.T) {
	image := make([]float64, 10_000)
	for i := range image {
		image[i] = float64(i % 7)
	}
	layer := control.NewCondition(control.Data{"image": dist.Vector(image...), "x": dist.Scalar(1)}, true)
	maker := func(engine.Draw) engine.Stack { return engine.Stack{layer, control.Prior{}} }
	local := engine.NewLocal(gosim.Wrap(models["image"]), 1)
	defer local.Close()
	want, err := draw(t, local, 5, maker)
	if err != nil {
		t.Fatal(err)
	}
	o := options("image", 1)
	o.Limits.Message = 120_000
	got, err := draw(t, open(t, o), 5, maker)
	if err != nil {
		t.Fatal(err)
	}
	if fingerprint(got) != fingerprint(want) {
		t.Error("other traces")
	}
}

// A run that makes a message unreadable is found among those that came with it, and only it is given up.
func TestUnreadableRunInABatch(t *testing.T) {
	const n = 400
	traces, err := draw(t, open(t, options("bad-name", 1)), n, prior)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, tr := range traces {
		stream := dist.NewStream(7, 0, 0, tr.Draw, dist.PurposeValue)
		bad := stream.Float64() > 0.99
		if bad != (tr.Status == tracing.Failed) || bad && !strings.Contains(tr.Error, "UTF-8") {
			t.Errorf("draw %d: %s %s", tr.Draw, tr.Status, tr.Error)
		}
		if bad {
			failed++
		}
	}
	if failed == 0 {
		t.Error("no run was bad")
	}
}
