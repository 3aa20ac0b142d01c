package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ic/train"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// training is a train command.
type training struct {
	sim     simulator
	cfg     train.Config
	from    []string
	embed   []string
	network string
	dir     string
	resume  bool
	every   time.Duration
	json    bool
	quiet   bool
	lost    func() uint64 // runs
}

func newTrain() *cobra.Command {
	t := &training{}
	t.cfg.Network = ic.DefaultSettings()
	c := &cobra.Command{
		Use:   "train -o NETWORK [flags] (--from RUN … | --connect ENDPOINT | -- COMMAND [ARGS with {endpoint}])",
		Short: "Train a network that proposes latents given data",
		Long: `Train a network for "ppx infer --method ic": it learns from traces of the prior which latents go with which
observations (inference compilation), and is of use for any data afterwards. Traces are made by the simulator while the network trains,
or were recorded by "ppx prior" (--from).

Every named Observe is an observable that the network sees. Scalars and vectors go through a small feed-forward net (ff),
matrices and volumes through a convolutional one (cnn2d, cnn3d); --embed NAME=KIND[:DIM[:STAGES]] chooses, where STAGES are the channels of
convolutions and p for a pool (16-16-p-32), and KIND none hides an observable. Scalars whose names differ in a number, obs0, obs1, …, are one
observable, obs#.

The network with the smallest loss on held-out traces is kept. OUT (default NETWORK.train) gets the loss curve, loss.csv and loss.png, and
checkpoints: --resume continues an interrupted training with the result that an undisturbed one would have had.`,
		Example: `  ppx train -o gum.net -n 25600 -- ./gum {endpoint}
  ppx train -o sky.net --max-time 20m --embed image=cnn2d:128 -- ./telescope {endpoint}
  ppx train -o gum.net --from prior-1 --from prior-2 --epochs 4`,
		Args: commandOnly,
		RunE: t.execute,
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&t.network, "output", "o", "", "network file to write")
	f.StringVar(&t.dir, "out", "", "folder of checkpoints and loss curve (default NETWORK.train)")
	f.Uint64VarP(&t.cfg.N, "num", "n", 0, "training traces (default 100,000 without --max-time; with --from: all of them, --epochs times)")
	f.DurationVar(&t.cfg.MaxTime, "max-time", 0, "train for so long, sessions of a resumed training added up")
	f.Uint64Var(&t.cfg.Seed, "seed", 0, "random seed (default: from the system; recorded)")
	f.StringArrayVar(&t.from, "from", nil, "train on the traces of this run (repeatable)")
	f.IntVar(&t.cfg.Epochs, "epochs", 1, "how often to use each trace: more than once where simulating is slow; traces of simulators are kept in memory then")
	f.StringArrayVar(&t.embed, "embed", nil, "embedding of an observable, NAME=ff|cnn1d|cnn2d|cnn3d|none[:DIM[:STAGES]] (repeatable)")
	f.BoolVar(&t.resume, "resume", false, "go on with the training of this network; -n and --max-time may extend it")
	s := &t.cfg.Network
	f.IntVar(&s.Hidden, "lstm", s.Hidden, "width of the LSTM")
	f.IntVar(&s.Depth, "lstm-depth", s.Depth, "layers of the LSTM")
	f.IntVar(&s.Components, "components", s.Components, "components of mixture proposals")
	f.IntVar(&s.Trunk, "head", s.Trunk, "width of the layer before the proposals")
	f.IntVar(&s.Address, "address-dim", s.Address, "numbers that stand for an address")
	f.IntVar(&s.Value, "value-dim", s.Value, "numbers that stand for the value before")
	f.IntVar(&t.cfg.Batch, "batch", 64, "traces of a minibatch")
	f.Float64Var(&t.cfg.Rate, "lr", 3e-3, "learning rate")
	f.Float64Var(&t.cfg.EndRate, "lr-end", 0, "learning rate in the end (default: a hundredth)")
	f.StringVar(&t.cfg.Schedule, "schedule", train.Cosine, "learning-rate schedule: constant, polynomial, cosine or plateau")
	completes(c, "schedule", train.Constant, train.Polynomial, train.Cosine, train.Plateau)
	f.Float64Var(&t.cfg.Power, "power", 2, "power of the polynomial schedule")
	f.Float64Var(&t.cfg.Decay, "weight-decay", 0, "weight decay (AdamW)")
	f.Float64Var(&t.cfg.Clip, "clip", 10, "largest norm of a gradient; negative: none")
	f.IntVar(&t.cfg.Validation, "validation", 512, "traces held out for validation")
	f.Uint64Var(&t.cfg.ValidateEvery, "validate-every", 0, "traces between two validations (default: a fortieth of -n, at least eight times the held-out ones)")
	f.Float64Var(&t.cfg.Inflation, "prior-inflation", 0, "draw a training trace's latents from widened priors with this probability (reweighted)")
	f.IntVar(&t.cfg.Threads, "threads", 0, "threads of the training (default: one per core); results depend on it in the last digits")
	f.DurationVar(&t.every, "checkpoint-every", 30*time.Second, "time between two checkpoints")
	t.sim.register(f, true)
	f.BoolVar(&t.json, "json", false, "print one JSON object")
	f.BoolVar(&t.quiet, "quiet", false, "no progress")
	return c
}

func (t *training) execute(c *cobra.Command, args []string) (err error) {
	_, command := splitDash(c, args)
	if t.network == "" {
		return usagef("which network file? Give -o FILE")
	}
	if t.dir == "" {
		t.dir = t.network + ".train"
	}
	recorded := len(t.from) > 0
	if recorded && (len(command) > 0 || len(t.sim.o.Connect) > 0) {
		return usagef("give either --from or a simulator, not both")
	}
	if err := t.check(c, recorded); err != nil {
		return err
	}
	if !t.resume {
		if err := t.settings(c, recorded); err != nil {
			return err
		}
	}
	j, trainer, err := t.journal(c, command)
	if err != nil {
		return err
	}
	closed := false
	finish := func(state string, reason error) error {
		closed = true
		return j.Close(state, reason)
	}
	defer func() {
		if !closed {
			err = errors.Join(err, finish(rundir.Failed, firstLine(err)))
		}
	}()
	ctx := c.Context()
	show := newProgress(t.quiet, false, func() string {
		if t.lost == nil || t.lost() == 0 {
			return ""
		}
		return fmt.Sprintf("%d runs lost and drawn again", t.lost())
	})
	source, end, err := t.source(c, command, j, trainer, show)
	if err != nil {
		return err
	}
	defer end()
	defer source.Close()
	if err := j.WriteManifest(); err != nil {
		return err
	}
	begun := trainer.Traces
	start := time.Now()
	last := start
	warnings, err := trainer.Run(ctx, source, train.Hooks{Point: j.Point, Best: j.Best, Every: t.every,
		Save: j.Save,
		Progress: func(p train.Progress) {
			if now := time.Now(); now.Sub(last) >= show.every() {
				last = now
				showTraining(show, p)
			}
		}})
	show.done()
	state := stateAfter(err)
	var reason error
	if err != nil {
		reason = firstLine(err)
	}
	if e := finish(state, reason); e != nil && err == nil {
		err = e
	}
	if errors.Is(err, ic.ErrEmbed) || errors.Is(err, train.ErrRecorded) || errors.Is(err, ic.ErrModel) {
		err = usageError{err}
	}
	if err != nil {
		if state == rundir.Interrupted {
			return fmt.Errorf("%w after %s traces; --resume -o %s continues", errInterrupted, thousands(trainer.Traces), t.network)
		}
		if trainer.Traces > 0 && j.HasCheckpoint() {
			err = fmt.Errorf("%w\nppx: the last checkpoint is in %s", err, t.dir)
		}
		return err
	}
	return t.print(c.OutOrStdout(), j, trainer, warnings, float64(trainer.Traces-begun)/time.Since(start).Seconds())
}

// check refuses flags that would be ignored.
func (t *training) check(c *cobra.Command, recorded bool) error {
	f := c.Flags()
	for _, name := range []string{"num", "batch", "lr", "validation", "clip"} {
		if f.Changed(name) && f.Lookup(name).Value.String() == "0" {
			return usagef("--%s 0: must be positive", name)
		}
	}
	if t.every <= 0 {
		return usagef("--checkpoint-every %v must be positive", t.every)
	}
	if recorded && f.Changed("prior-inflation") {
		return usagef("--prior-inflation goes with a simulator: recorded traces are what they are")
	}
	if t.resume {
		for _, name := range []string{"seed", "epochs", "embed", "from", "lstm", "lstm-depth", "components", "head", "address-dim", "value-dim", "batch", "lr", "lr-end", "schedule",
			"power", "weight-decay", "clip", "validation", "validate-every", "prior-inflation", "threads"} {
			if f.Changed(name) {
				return usagef("--%s: a training that goes on takes it from its checkpoint (-n and --max-time may extend it)", name)
			}
		}
	}
	return nil
}

// settings completes the configuration of a new training.
func (t *training) settings(c *cobra.Command, recorded bool) error {
	if !c.Flags().Changed("seed") {
		t.cfg.Seed = systemSeed()
	}
	if t.cfg.Threads == 0 {
		t.cfg.Threads = runtime.GOMAXPROCS(0)
	}
	if t.cfg.N == 0 && t.cfg.MaxTime == 0 && !recorded {
		t.cfg.N = 100_000
	}
	if t.cfg.Epochs < 1 || t.cfg.Epochs > 1000 {
		return usagef("--epochs %d must lie between 1 and 1000", t.cfg.Epochs)
	}
	if !recorded {
		t.cfg.N *= uint64(t.cfg.Epochs)
	}
	t.cfg.Network.Embed = map[string]ic.Embedding{}
	for _, text := range t.embed {
		name, e, err := ic.ParseEmbedding(text)
		if err != nil {
			return usagef("--embed %w", err)
		}
		t.cfg.Network.Embed[name] = e
	}
	if recorded {
		if err := t.budget(); err != nil {
			return err
		}
	}
	if err := t.cfg.Complete(); err != nil {
		return usageError{err}
	}
	return nil
}

// budget is how many traces recorded runs give.
func (t *training) budget() error {
	r, err := train.OpenRuns(t.from, &t.cfg)
	if err != nil {
		return usageError{err}
	}
	if t.cfg.N > 0 || t.cfg.MaxTime > 0 {
		return nil
	}
	total := uint64(0)
	for _, run := range r.Runs {
		total += run.Manifest.Counts.Traces
	}
	t.cfg.N = uint64(t.cfg.Epochs) * (total - min(total-1, uint64(t.cfg.Validation)))
	return nil
}

// journal begins the records, or opens those of the training that goes on.
func (t *training) journal(c *cobra.Command, command []string) (*train.Journal, *train.Trainer, error) {
	if !t.resume {
		j, err := train.CreateJournal(t.network, t.dir)
		if err != nil {
			if errors.Is(err, train.ErrExists) {
				err = usageError{err}
			}
			return nil, nil, err
		}
		j.Manifest.PPXVersion, j.Manifest.Config, j.Manifest.From = versionString(), t.cfg, t.from
		return j, train.NewTrainer(t.cfg), nil
	}
	j, trainer, err := train.ResumeJournal(t.network, t.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, usagef("there is no training of %s to go on with: %w", t.network, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if c.Flags().Changed("num") {
		n := t.cfg.N * uint64(trainer.Config.Epochs)
		if n < trainer.Traces {
			return nil, nil, errors.Join(usagef("-n %d: %s has trained with more already (%d)", t.cfg.N, t.network, trainer.Traces), j.Release())
		}
		trainer.Config.N = n
	}
	if c.Flags().Changed("max-time") {
		trainer.Config.MaxTime = t.cfg.MaxTime
	}
	if len(t.from) == 0 {
		t.from = j.Manifest.From
	}
	if len(t.from) > 0 && (len(command) > 0 || len(t.sim.o.Connect) > 0) {
		return nil, nil, errors.Join(usagef("%s was trained on recorded runs (%s): it does not go on with a simulator", t.network, strings.Join(t.from, ", ")), j.Release())
	}
	return j, trainer, nil
}

// source opens the simulators or the runs.
func (t *training) source(c *cobra.Command, command []string, j *train.Journal, trainer *train.Trainer, show *progress) (train.Source, func(), error) {
	if len(t.from) > 0 {
		r, err := train.OpenRuns(t.from, &trainer.Config)
		if err != nil {
			return nil, nil, usageError{err}
		}
		return r, func() {}, nil
	}
	o, err := t.sim.options(c, command, func(text string) {
		show.done()
		remark(text)
	})
	if err != nil {
		return nil, nil, err
	}
	o.WorkDir = t.dir + ".workers"
	pool, err := engine.Open(c.Context(), o)
	if err != nil {
		if !o.HasEndpoint() && len(o.Command) > 0 && errors.Is(err, engine.ErrStart) {
			err = o.Hint(err)
		}
		return nil, nil, err
	}
	j.Manifest.Command = command
	t.lost = func() uint64 { return pool.Stats().Lost }
	begun, say := time.Now(), throttle(show.every())
	held := func(done int) { // before the first line of the training itself
		if n := trainer.Config.Validation; say() {
			show.line(float64(done)/float64(n), fmt.Sprintf("%s/%s traces to be held out  %s traces/s", thousands(uint64(done)), thousands(uint64(n)),
				figure(round(float64(done)/time.Since(begun).Seconds()))))
		}
	}
	return &train.Simulators{X: pool, Model: pool.Model(), Config: &trainer.Config, Held: held},
		func() { pool.Close() }, nil
}

func showTraining(show *progress, p train.Progress) {
	done := thousands(p.Traces)
	fraction := 0.0
	if p.N > 0 {
		done += "/" + thousands(p.N)
		fraction = float64(p.Traces) / float64(p.N)
	} else if p.Left > 0 {
		fraction = p.Elapsed.Seconds() / (p.Elapsed + p.Left).Seconds()
	}
	text := done + " traces"
	if p.Left > 0 { // what matters first: a narrow terminal cuts the end
		text += "  " + shortDuration(p.Left) + " left"
	}
	text += "  loss " + figure(p.Loss)
	if !math.IsNaN(p.Validation) {
		text += "  validation " + figure(p.Validation)
		if p.Traces > p.Validated { // it is made now and then: say of when it is
			text += " at " + thousands(p.Validated)
		}
		if p.BestAt < p.Traces && p.Best < p.Validation {
			text += " (best " + figure(p.Best) + ")"
		}
	}
	text += fmt.Sprintf("  %s traces/s", figure(round(p.PerSecond)))
	if x := show.stats(); x != "" {
		text += "  " + x
	}
	show.line(fraction, text)
}

// trained is what train prints. Other programs read the JSON: fields may be added, none changes or goes away within a
// schema number.
type trained struct {
	Schema          int      `json:"schema"`
	Network         string   `json:"network"`
	Run             string   `json:"run"`
	Seed            uint64   `json:"seed"`
	Traces          uint64   `json:"traces"`
	Failed          uint64   `json:"failed"`
	Loss            number   `json:"loss"`
	Validation      number   `json:"validation"`
	BestAt          uint64   `json:"best_at"`
	Gain            number   `json:"gain"` // over the prior, in nats per trace
	Addresses       int      `json:"addresses"`
	Weights         int      `json:"weights"`
	Seconds         number   `json:"seconds"`
	TracesPerSecond number   `json:"traces_per_second"`
	Warnings        []string `json:"warnings"`
}

func (t *training) print(w io.Writer, j *train.Journal, x *train.Trainer, warnings []string, perSecond float64) error {
	m := &j.Manifest
	if t.lost != nil && t.lost() > 0 {
		warnings = append(warnings, fmt.Sprintf("%d runs failed or were lost with their simulator, and were drawn again", t.lost()))
	}
	if m.Failed > 0 {
		warnings = append(warnings, fmt.Sprintf("%d draws were given up, the simulator failed there: the network knows only what it survives", m.Failed))
	}
	r := trained{Schema: schema, Network: t.network, Run: t.dir, Seed: x.Config.Seed, Traces: x.Traces, Failed: m.Failed, Loss: number(x.PointLoss),
		Validation: number(x.BestLoss), BestAt: x.BestAt, Gain: number(x.Gain()), Addresses: m.Places, Weights: m.Weights, Seconds: number(x.Seconds),
		TracesPerSecond: number(perSecond), Warnings: append([]string{}, warnings...)}
	if t.json {
		return printJSON(w, r)
	}
	s := styled(w)
	fmt.Fprintf(w, "%s of %s: %s traces in %s (%s traces/s)\n", s.bold("network"), s.bold(ppx.Printable(x.Network.Model)), thousands(x.Traces),
		shortDuration(time.Duration(x.Seconds*float64(time.Second))), figure(round(perSecond)))
	fmt.Fprintf(w, "gained %s nats per trace over the prior: loss %s on held-out traces, best after %s traces, %s before training\n", figure(x.Gain()), figure(x.BestLoss),
		thousands(x.BestAt), figure(x.First))
	fmt.Fprintf(w, "%s weights for %d addresses\n", thousands(uint64(m.Weights)), m.Places)
	for _, text := range warnings {
		fmt.Fprintln(os.Stderr, "ppx: warning: "+text)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", s.dim(fmt.Sprintf("network %s, loss curve %s", t.network, j.Picture())))
	return err
}
