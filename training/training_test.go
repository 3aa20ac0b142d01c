package training_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ic/train"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/simulators/branching"
	"github.com/ppx-engine/ppx-engine/simulators/hmm"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/training"
)

type (
	Config     = training.Config
	Settings   = training.Settings
	Progress   = training.Progress
	Trainer    = train.Trainer
	Hooks      = train.Hooks
	Source     = train.Source
	Simulators = train.Simulators
	Journal    = train.Journal
)

const (
	Plateau    = training.Plateau
	Polynomial = training.Polynomial
)

var (
	ErrDiverged = training.ErrDiverged
	ErrRecorded = training.ErrRecorded
	ErrExists   = training.ErrExists
)

var ctx = context.Background()

func local(t testing.TB, m gosim.Model) engine.Executor {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(m), 2)
	t.Cleanup(func() { x.Close() })
	return x
}

// draw is the picture of a loss curve.
func draw(path, title string, curve []training.Point) error {
	var points []report.LossPoint
	for _, p := range curve {
		points = append(points, report.LossPoint{Traces: float64(p.Traces), Loss: p.Loss, Validation: p.Validation})
	}
	return report.LossCurve(path, title, points)
}

func tiny() ic.Settings {
	s := ic.DefaultSettings()
	s.Hidden, s.Address, s.Trunk, s.Components = 16, 4, 16, 3
	return s
}

// job is a training as the command runs it, with its folder.
type job struct {
	dir    string
	config Config
	source func(c *Config) Source
}

var errKilled = errors.New("killed")

// run trains until the end, or "dies" after a number of steps: what is not on disk then is lost.
func (k *job) run(t *testing.T, resume bool, dieAfter int, every time.Duration) error {
	t.Helper()
	var j *Journal
	var tr *Trainer
	var err error
	net := filepath.Join(k.dir, "x.net")
	if resume {
		if j, tr, err = training.ResumeJournal(net, net+".train", draw, train.Read); err != nil {
			t.Fatal(err)
		}
	} else {
		c := k.config
		if err := c.Complete(); err != nil {
			t.Fatal(err)
		}
		if j, err = training.CreateJournal[*ic.Example](net, net+".train", draw); err != nil {
			t.Fatal(err)
		}
		j.Manifest.Config = c
		tr = training.NewTrainer[*ic.Example](c)
		if err := j.WriteManifest(); err != nil {
			t.Fatal(err)
		}
	}
	s := k.source(&tr.Config)
	defer s.Close()
	c, cancel := context.WithCancelCause(ctx)
	steps := 0
	h := Hooks{Point: j.Point, Best: j.Best, Save: j.Save, Every: every, Progress: func(Progress) {
		if steps++; dieAfter > 0 && steps == dieAfter {
			cancel(errKilled)
		}
	}}
	if dieAfter > 0 { // a process that is killed saves nothing in the end
		h.Save = func(x *Trainer) error {
			if steps >= dieAfter {
				return nil
			}
			return j.Save(x)
		}
	}
	_, err = tr.Run(c, s, train.Begin(tiny(), s.Model(), tr.Config.Seed), h)
	if dieAfter > 0 {
		training.DropLock(j)
		return err
	}
	if err != nil {
		t.Fatal(err)
	}
	return j.Close("complete", nil)
}

// A training that is killed again and again ends with the network of an undisturbed one, byte by byte.
func TestKilledTrainingsGoOn(t *testing.T) {
	x := local(t, branching.Model)
	simulate := func(c *Config) Source {
		return &Simulators{X: x, Name: "branching", Config: c}
	}
	var runs []string
	for i := range 2 {
		path := filepath.Join(t.TempDir(), "run")
		record(t, branching.Model, path, "branching", uint64(10+i), 800, 0, nil)
		runs = append(runs, path)
	}
	recorded := func(c *Config) Source {
		r, err := training.OpenRuns[*ic.Example](runs, c)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		name   string
		config Config
		source func(*Config) Source
	}{
		{"simulators", Config{Settings: Settings{Inflation: 0.3}, N: 2000}, simulate},
		{"epochs", Config{Settings: Settings{Epochs: 3, Schedule: Plateau}, N: 2400}, simulate},
		{"recorded", Config{Settings: Settings{Decay: 0.1, Schedule: Polynomial}, N: 2600}, recorded},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Seed, c.config.Threads = 3, 2
			c.config.Validation, c.config.ValidateEvery, c.config.Batch = 64, 300, 50
			whole := &job{t.TempDir(), c.config, c.source}
			if err := whole.run(t, false, 0, time.Hour); err != nil {
				t.Fatal(err)
			}
			broken := &job{t.TempDir(), c.config, c.source}
			for i, steps := range []int{7, 1, 13, 6} {
				every := time.Duration(0) // a checkpoint after each step
				if i == 2 {
					every = time.Hour // none
				}
				if err := broken.run(t, i > 0, steps, every); !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
			}
			if err := broken.run(t, true, 0, time.Hour); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"x.net", "x.net.train/loss.csv"} {
				a, err1 := os.ReadFile(filepath.Join(whole.dir, name))
				b, err2 := os.ReadFile(filepath.Join(broken.dir, name))
				if err := errors.Join(err1, err2); err != nil {
					t.Fatal(err)
				}
				if name != "x.net" {
					a, b = withoutSeconds(a), withoutSeconds(b)
				}
				if !bytes.Equal(a, b) {
					t.Errorf("%s differs:\n%.600s\n%.600s", name, a, b)
				}
			}
			if info, err := os.Stat(filepath.Join(broken.dir, "x.net.train", "loss.png")); err != nil || info.Size() < 5000 {
				t.Error("no picture", err)
			}
		})
	}
}

// withoutSeconds leaves out a column that may differ.
func withoutSeconds(b []byte) []byte {
	var out []string
	for line := range strings.Lines(string(b)) {
		f := strings.Split(line, ",")
		out = append(out, strings.Join(slices.Delete(f, 1, 2), ","))
	}
	return []byte(strings.Join(out, ""))
}

// record writes a run directory.
func record(t *testing.T, m gosim.Model, path, name string, seed, n uint64, inflation float64, data control.Data) {
	t.Helper()
	x := local(t, m)
	w, err := rundir.Create(path, &rundir.Manifest{Model: name, Method: "prior", Seed: seed, N: n, Conditioned: data != nil, Inflation: inflation}, data)
	if err != nil {
		t.Fatal(err)
	}
	condition := control.NewCondition(data, false)
	for tr, err := range x.Stream(ctx, engine.Draws(seed, 0, n, func(engine.Draw) engine.Stack {
		if inflation > 0 {
			return engine.Stack{condition, control.NewInflate(inflation), control.Prior{}}
		}
		return engine.Stack{condition, control.Prior{}}
	}), nil) {
		if err == nil {
			err = w.Write(ctx, tr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
}

func TestRunsThatCannotBeTrainedOn(t *testing.T) {
	dir := t.TempDir()
	a, b, c, d, e := dir+"/a", dir+"/b", dir+"/c", dir+"/d", dir+"/e"
	record(t, branching.Model, a, "branching", 1, 100, 0, nil)
	record(t, branching.Model, b, "branching", 2, 100, 0, control.Data{"obs": gosim.Scalar(6)})
	record(t, hmm.Model, c, "hmm", 3, 100, 0, nil)
	record(t, branching.Model, d, "branching", 1, 50, 0, nil)
	record(t, branching.Model, e, "branching", 4, 400, 0, nil)
	config := Config{Settings: Settings{Validation: 64}, N: 100}
	if err := config.Complete(); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		paths []string
		want  string
	}{
		{[]string{b}, "recorded with data"}, {[]string{a, c}, `of "hmm"`}, {[]string{a, d}, "same seed"}, {[]string{a, e}, ""}, {[]string{dir}, "run"},
	} {
		_, err := training.OpenRuns[*ic.Example](x.paths, &config)
		if (err == nil) != (x.want == "") || (err != nil && !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%v: %v", x.paths, err)
		}
	}
	few := config
	few.Validation = 512
	r, err := training.OpenRuns[*ic.Example]([]string{a}, &few)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.First(ctx); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Error(err)
	}
}

// Models that nothing can be learnt from, or that go wrong meanwhile.
func TestModelsThatCannotBeLearnt(t *testing.T) {
	for name, c := range map[string]struct {
		model  gosim.Model
		embed  map[string]ic.Embedding
		change func(*Config)
		want   string
	}{
		"no observe":  {func(r *gosim.Run) gosim.Tensor { return gosim.Scalar(r.Sample("x", gosim.Normal(0, 1))) }, nil, nil, "no trace has a named Observe"},
		"no sample":   {func(r *gosim.Run) gosim.Tensor { r.Observe("y", gosim.Normal(0, 1)); return gosim.Scalar(0) }, nil, nil, "nothing to propose"},
		"wrong embed": {branching.Model, map[string]ic.Embedding{"nosuch": {Kind: ic.FeedForward}}, nil, `nosuch: the simulator never observes that (64 traces); it has obs`},
		"wrong cnn":   {branching.Model, map[string]ic.Embedding{"obs": {Kind: ic.CNN3D}}, nil, "want one image of 3 dimensions"},
		"shapes": {func(r *gosim.Run) gosim.Tensor {
			n := int(r.Sample("n", gosim.Poisson(3)))
			r.ObserveTensor(gosim.Site{}, "y", gosim.Tensors(1, gosim.NewTensor(make([]float64, n+1), n+1), gosim.Scalar(1)), gosim.Tensor{})
			return gosim.Scalar(0)
		}, nil, nil, "different shapes: leave it out with --embed y=none"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tiny()
			s.Embed = c.embed
			config := Config{Settings: Settings{Validation: 64, Threads: 1, Batch: 16}, N: 3000, Seed: 1}
			if c.change != nil {
				c.change(&config)
			}
			if err := config.Complete(); err != nil {
				t.Fatal(err)
			}
			tr := training.NewTrainer[*ic.Example](config)
			source := &Simulators{X: local(t, c.model), Name: "m", Config: &config}
			defer source.Close()
			_, err := tr.Run(ctx, source, train.Begin(s, source.Model(), tr.Config.Seed), Hooks{Save: func(*Trainer) error { return nil }, Every: time.Hour})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Sites that the prior answers, whatever a network says, are in no loss: nothing is gained where nothing can be.
func TestNothingIsGainedFromWhatThePriorAnswers(t *testing.T) {
	config := Config{Settings: Settings{Validation: 64, ValidateEvery: 100, Threads: 1, Batch: 16}, N: 600, Seed: 1}
	if err := config.Complete(); err != nil {
		t.Fatal(err)
	}
	tr := training.NewTrainer[*ic.Example](config)
	source := &Simulators{X: local(t, func(r *gosim.Run) gosim.Tensor {
		x := r.Sample("x", gosim.Beta(0.001, 0.001))
		r.Observe("y", gosim.Normal(x, 0.1))
		return gosim.Scalar(x)
	}), Name: "m", Config: &config}
	defer source.Close()
	warnings, err := tr.Run(ctx, source, train.Begin(tiny(), source.Model(), tr.Config.Seed), Hooks{Save: func(*Trainer) error { return nil }, Every: time.Hour})
	if err != nil || tr.First != 0 || tr.BestLoss != 0 || !strings.Contains(fmt.Sprint(warnings), "the network has gained 0 nats") {
		t.Errorf("loss %g, at first %g, %q, %v", tr.BestLoss, tr.First, warnings, err)
	}
}

// Validations for those who watch change nothing.
func TestLookingChangesNothing(t *testing.T) {
	defer func(d time.Duration) { *training.LookEvery = d }(*training.LookEvery)
	var nets []string
	shown := map[uint64]bool{}
	for _, every := range []time.Duration{time.Hour, 0} {
		*training.LookEvery = every
		config := Config{Settings: Settings{Validation: 64, ValidateEvery: 320, Threads: 1, Batch: 16}, N: 640, Seed: 1}
		if err := config.Complete(); err != nil {
			t.Fatal(err)
		}
		tr := training.NewTrainer[*ic.Example](config)
		source := &Simulators{X: local(t, branching.Model), Name: "m", Config: &config}
		_, err := tr.Run(ctx, source, train.Begin(tiny(), source.Model(), tr.Config.Seed), Hooks{Save: func(*Trainer) error { return nil }, Every: time.Hour, Progress: func(p Progress) {
			if every == 0 {
				shown[p.Validated] = true
			}
		}})
		source.Close()
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintln(tr.BestLoss, tr.BestAt, tr.Last, tr.Validated)
		for _, p := range tr.Model.Params() {
			text += fmt.Sprintf("%x ", p.Value)
		}
		nets = append(nets, text)
	}
	if nets[0] != nets[1] {
		t.Error("the network depends on whether somebody looks")
	}
	if len(shown) != 40 {
		t.Errorf("%d validations were shown, want one a minibatch", len(shown))
	}
}

// A training whose loss explodes, or whose weights are no numbers any more, ends with ErrDiverged, and keeps the best network.
func TestDivergence(t *testing.T) {
	trainer := func() *Trainer {
		config := Config{Settings: Settings{Validation: 64, Threads: 1, Batch: 16}, N: 200, Seed: 1}
		if err := config.Complete(); err != nil {
			t.Fatal(err)
		}
		tr := training.NewTrainer[*ic.Example](config)
		// Two sites of 690 nats each.
		source := &Simulators{X: local(t, func(r *gosim.Run) gosim.Tensor {
			x := r.Sample("x", gosim.Uniform(0, 1e300)) + r.Sample("z", gosim.Uniform(0, 1e300))
			r.Observe("y", gosim.Normal(x/1e300, 1))
			return gosim.Scalar(0)
		}), Name: "m", Config: &config}
		t.Cleanup(func() { source.Close() })
		if _, err := tr.Run(ctx, source, train.Begin(tiny(), source.Model(), tr.Config.Seed), Hooks{Save: func(*Trainer) error { return nil }, Every: time.Hour}); err != nil {
			t.Fatal(err)
		}
		return tr
	}
	tr := trainer()
	best := tr.BestLoss
	tr.First = 0 // as if the loss had been that at first
	for i := range 10 {
		if _, _, err := training.Step(tr); (i == 9) != errors.Is(err, ErrDiverged) {
			t.Errorf("step %d: %v", i, err)
		}
	}
	if tr.Best == nil || tr.BestLoss != best || math.IsInf(best, 0) {
		t.Errorf("best loss %g, then %g", best, tr.BestLoss)
	}
	tr = trainer()
	tr.Model.Params()[0].Value[0] = float32(math.NaN())
	if _, _, err := training.Step(tr); !errors.Is(err, ErrDiverged) {
		t.Error(err)
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no budget": func(c *Config) { c.N = 0 },
		"batch":     func(c *Config) { c.Batch = -1 },
		"rate":      func(c *Config) { c.Rate = math.NaN() },
		"schedule":  func(c *Config) { c.Schedule = "foo" },
		"inflation": func(c *Config) { c.Inflation = 1 },
		"few":       func(c *Config) { c.Validation = 3 },
		"epochs":    func(c *Config) { c.Epochs = -2 },
	} {
		c := Config{N: 100}
		change(&c)
		if err := c.Complete(); err == nil {
			t.Errorf("%s: %+v was taken", name, c)
		}
	}
}

// Under prior inflation the loss is an unbiased estimate of the prior's.
func TestInflationIsReweighted(t *testing.T) {
	x := local(t, branching.Model)
	loss := func(inflation float64) (mean, se float64) {
		config := Config{Settings: Settings{Validation: 2000, Threads: 1}, N: 100, Seed: 1}
		if err := config.Complete(); err != nil {
			t.Fatal(err)
		}
		s := &Simulators{X: x, Name: "branching", Config: &config}
		first, _, err := s.First(ctx)
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := train.Begin(tiny(), "branching", 1)(first)
		if err != nil {
			t.Fatal(err)
		}
		var held []*ic.Example
		for _, x := range first {
			e, err := m.Example(x)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, e)
		}
		if _, err := m.Gradient(held, 0); err != nil { // makes the layers
			t.Fatal(err)
		}
		var sum, squares, k float64
		config.Inflation = inflation
		s.Begin(ctx, m.Example, 60) // some way behind them
		defer s.Close()
		var batch []*ic.Example
		for range 4000 {
			if len(batch) == 0 {
				if batch, err = s.Next(); err != nil {
					t.Fatal(err)
				}
			}
			e := batch[0]
			batch = batch[1:]
			l, err := m.Loss([]*ic.Example{e})
			if err != nil {
				t.Fatal(err)
			}
			sum += l
			squares += l * l
			k++
		}
		mean = sum / k
		return mean, math.Sqrt((squares/k - mean*mean) / k)
	}
	plain, se0 := loss(0)
	inflated, se1 := loss(0.5)
	if math.Abs(plain-inflated) > 4*math.Hypot(se0, se1) {
		t.Errorf("the loss is %.4f ± %.4f, under inflation %.4f ± %.4f", plain, se0, inflated, se1)
	}
}
