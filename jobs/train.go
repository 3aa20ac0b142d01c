package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ic/train"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/training"
)

// Trained is what a training came to.
type Trained struct {
	Trainer   *train.Trainer
	Manifest  *training.Manifest
	Picture   string // file of the loss curve
	PerSecond float64
	Lost      uint64 // runs
}

// defaultTraces is the budget of a training that is given none.
const defaultTraces = 100_000

// Complete writes out what a training leaves to the machine and to recorded runs: threads, traces, the folder.
func (s *Spec) Complete() error {
	t := s.Training
	if t == nil {
		return nil
	}
	if s.Out == "" {
		s.Out = t.Output + ".train"
	}
	if t.Threads == 0 {
		t.Threads = runtime.GOMAXPROCS(0)
	}
	if s.N == 0 && s.MaxTime == 0 && len(t.From) == 0 {
		s.N = defaultTraces
	}
	c, err := s.config()
	if err != nil {
		return err
	}
	if s.N == 0 {
		s.N = c.N // of recorded runs: every use counts
	}
	t.Settings = c.Settings
	return nil
}

// config is the trainer's.
func (s *Spec) config() (c training.Config, err error) {
	t := s.Training
	c = training.Config{Settings: t.Settings, Seed: s.Seed, N: s.N, MaxTime: time.Duration(s.MaxTime)}
	switch {
	case len(t.From) == 0:
		c.N *= uint64(t.Epochs)
	case s.N == 0 && s.MaxTime == 0:
		r, err := training.OpenRuns[*ic.Example](t.From, &c)
		if err != nil {
			return c, Misuse{err}
		}
		total := uint64(0)
		for _, run := range r.Runs {
			total += run.Manifest.Counts.Traces
		}
		c.N = uint64(t.Epochs) * (total - min(total-1, uint64(t.Validation)))
	}
	if err := errors.Join(c.Complete(), t.Network.Validate()); err != nil {
		return c, Misuse{err}
	}
	return c, nil
}

// checkTraining refuses settings of a training that make no sense.
func (s *Spec) checkTraining() error {
	t := s.Training
	switch {
	case t == nil || t.Output == "":
		return misuse("which network file? Give -o FILE")
	case len(t.From) > 0 && len(s.Simulator.Command)+len(s.Simulator.Connect) > 0:
		return misuse("give either --from or a simulator, not both")
	case t.Epochs < 1 || t.Epochs > 1000:
		return misuse("--epochs %d must lie between 1 and 1000", t.Epochs)
	case len(t.From) > 0 && t.Inflation != 0:
		return misuse("--prior-inflation goes with a simulator: recorded traces are what they are")
	}
	for _, x := range []struct {
		flag string
		zero bool
	}{{"--batch", t.Batch == 0}, {"--lr", t.Rate == 0}, {"--validation", t.Validation == 0}, {"--clip", t.Clip == 0}} {
		if x.zero {
			return misuse("%s 0: must be positive", x.flag)
		}
	}
	return nil
}

// trained is a job that trains a network.
func trained(ctx context.Context, _ *Method, s *Spec, o Options) (_ *Outcome, err error) {
	if err := s.Complete(); err != nil {
		return nil, err
	}
	j, trainer, err := journal(s, o)
	if err != nil {
		return nil, err
	}
	closed := false
	finish := func(state string, reason error) error {
		closed = true
		return j.Close(state, reason)
	}
	defer func() {
		if !closed {
			err = errors.Join(err, finish(rundir.Failed, FirstLine(err)))
		}
	}()
	source, lost, end, err := examples(ctx, s, o, trainer)
	if err != nil {
		return nil, err
	}
	defer end()
	defer source.Close()
	if err := j.WriteManifest(); err != nil {
		return nil, err
	}
	begun, start := trainer.Traces, time.Now()
	last := start
	warnings, err := trainer.Run(ctx, source, train.Begin(s.Training.Network, source.Model(), s.Seed), train.Hooks{Point: j.Point, Best: j.Best, Every: time.Duration(s.SaveEvery), Save: j.Save,
		Progress: func(p training.Progress) {
			if now := time.Now(); o.Trained != nil && now.Sub(last) >= o.Every {
				last = now
				o.Trained(p, lost())
			}
		}})
	if err == nil {
		err = familiar(s.Training.Output, trainer)
	}
	state := StateAfter(err)
	var reason error
	if err != nil {
		reason = FirstLine(err)
	}
	if e := finish(state, reason); e != nil && err == nil {
		err = e
	}
	switch {
	case err == nil:
	case errors.Is(err, ic.ErrEmbed), errors.Is(err, training.ErrRecorded), errors.Is(err, training.ErrAnother):
		return nil, Misuse{err}
	case state == rundir.Interrupted:
		return nil, fmt.Errorf("%w after %s traces; --resume -o %s continues", ErrInterrupted, text.Thousands(trainer.Traces), s.Training.Output)
	case trainer.Traces > 0 && j.HasCheckpoint():
		return nil, fmt.Errorf("%w\nppx: the last checkpoint is in %s", err, s.Out)
	default:
		return nil, err
	}
	m := &j.Manifest
	if n := lost(); n > 0 {
		warnings = append(warnings, fmt.Sprintf("%d runs failed or were lost with their simulator, and were drawn again", n))
	}
	if m.Failed > 0 {
		warnings = append(warnings, fmt.Sprintf("%d draws were given up, the simulator failed there: the network knows only what it survives", m.Failed))
	}
	return &Outcome{Dir: s.Out, Spec: s, Remarks: warnings, State: state, Done: trainer.Traces, Trained: &Trained{Trainer: trainer, Manifest: m, Picture: j.Picture(),
		PerSecond: float64(trainer.Traces-begun) / time.Since(start).Seconds(), Lost: lost()}}, nil
}

// familiar adds to a network's file what tells later how far data are from those of its training.
func familiar(path string, t *train.Trainer) error {
	n, _, err := ic.ReadFile(path)
	if err != nil {
		return err
	}
	f := ic.NewFamiliar(n, t.Held(), t.Gain())
	if f == nil {
		return nil
	}
	return ic.WriteFile(path, n, f.Extra())
}

// journal begins the records, or opens those of the training that goes on.
func journal(s *Spec, o Options) (j *train.Journal, trainer *train.Trainer, err error) {
	t := s.Training
	c, err := s.config()
	if err != nil {
		return nil, nil, err
	}
	if !o.Resume {
		if j, err = training.CreateJournal[*ic.Example](t.Output, s.Out, LossCurve); errors.Is(err, training.ErrExists) {
			return nil, nil, Misuse{err}
		} else if err != nil {
			return nil, nil, err
		}
		j.Manifest.PPXVersion, j.Manifest.Config = o.Version, c
		trainer = training.NewTrainer[*ic.Example](c)
	} else {
		if j, trainer, err = training.ResumeJournal(t.Output, s.Out, LossCurve, train.Read); err != nil {
			return nil, nil, err
		}
		if c.N > 0 && c.N+uint64(c.Batch) <= trainer.Traces { // the last minibatch may go beyond
			return nil, nil, errors.Join(misuse("-n %d: %s has trained with more already (%d uses of traces, of %d)", s.N, t.Output, trainer.Traces, c.N), j.Release())
		}
		trainer.Config.N, trainer.Config.MaxTime = c.N, c.MaxTime
	}
	j.Manifest.Command, j.Manifest.From = s.Simulator.Command, t.From
	if j.Manifest.Job, err = s.record(); err != nil {
		return nil, nil, errors.Join(err, j.Release())
	}
	return j, trainer, nil
}

// LossCurve draws the loss of a training.
func LossCurve(path, title string, points []training.Point) error {
	var out []report.LossPoint
	for _, p := range points {
		out = append(out, report.LossPoint{Traces: float64(p.Traces), Loss: p.Loss, Validation: p.Validation})
	}
	return report.LossCurve(path, title, out)
}

// examples opens the simulators or the runs that a training learns from; lost is how many runs have been.
func examples(ctx context.Context, s *Spec, o Options, trainer *train.Trainer) (_ train.Source, lost func() uint64, end func(), err error) {
	if from := s.Training.From; len(from) > 0 {
		r, err := training.OpenRuns[*ic.Example](from, &trainer.Config)
		if err != nil {
			return nil, nil, nil, Misuse{err}
		}
		return r, func() uint64 { return 0 }, func() {}, nil
	}
	options := s.Simulator.Options()
	options.System, options.Log, options.WorkDir = o.System, o.Remark, s.Out+".workers"
	pool, err := engine.Open(ctx, options)
	if err != nil {
		return nil, nil, nil, err
	}
	held := o.Held
	if held == nil {
		held = func(int, int) {}
	}
	return &train.Simulators{X: pool, Name: pool.Model(), Config: &trainer.Config, Held: func(done int) { held(done, trainer.Config.Validation) }},
		func() uint64 { return pool.Stats().Lost }, func() { pool.Close() }, nil
}
