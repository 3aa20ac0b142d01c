package main

import (
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/training"
	"github.com/ppx-engine/ppx-engine/view"
)

// trainCommand is a train command.
type trainCommand struct {
	asked
	embed []string
	json  bool
	quiet bool
}

func newTrain() *cobra.Command {
	t := &trainCommand{asked: newAsked(jobs.Train)}
	spec, s := t.spec, t.spec.Training
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
	f.StringVarP(&s.Output, "output", "o", "", "network file to write")
	f.StringVar(&spec.Out, "out", "", "folder of checkpoints and loss curve (default NETWORK.train)")
	f.Uint64VarP(&spec.N, "num", "n", 0, "training traces (default 100,000 without --max-time; with --from: all of them, --epochs times)")
	duration(f, &spec.MaxTime, "max-time", "train for so long, sessions of a resumed training added up")
	f.Uint64Var(&spec.Seed, "seed", 0, "random seed (default: from the system; recorded)")
	f.StringArrayVar(&s.From, "from", nil, "train on the traces of this run (repeatable)")
	f.IntVar(&s.Epochs, "epochs", s.Epochs, "how often to use each trace: more than once where simulating is slow; traces of simulators are kept in memory then")
	f.StringArrayVar(&t.embed, "embed", nil, "embedding of an observable, NAME=ff|cnn1d|cnn2d|cnn3d|none[:DIM[:STAGES]] (repeatable)")
	f.BoolVar(&t.resume, "resume", false, "go on with the training of this network; -n and --max-time may extend it")
	n := &s.Network
	f.IntVar(&n.Hidden, "lstm", n.Hidden, "width of the LSTM")
	f.IntVar(&n.Depth, "lstm-depth", n.Depth, "layers of the LSTM")
	f.IntVar(&n.Correlation, "correlation", n.Correlation, "numbers that elements of a vector know of those before them (0: none)")
	f.BoolVar(&n.Loops, "rejection", false, "learn the accepted passes of marked rejection loops alone; inference then weighs them so")
	f.IntVar(&n.Components, "components", n.Components, "components of mixture proposals")
	f.IntVar(&n.Trunk, "head", n.Trunk, "width of the layer before the proposals")
	f.IntVar(&n.Address, "address-dim", n.Address, "numbers that stand for an address")
	f.IntVar(&n.Value, "value-dim", n.Value, "numbers that stand for the value before")
	f.IntVar(&s.Batch, "batch", s.Batch, "traces of a minibatch")
	f.Float64Var(&s.Rate, "lr", s.Rate, "learning rate")
	f.Float64Var(&s.EndRate, "lr-end", 0, "learning rate in the end (default: a hundredth)")
	f.StringVar(&s.Schedule, "schedule", s.Schedule, "learning-rate schedule: constant, polynomial, cosine or plateau")
	completes(c, "schedule", training.Constant, training.Polynomial, training.Cosine, training.Plateau)
	f.Float64Var(&s.Power, "power", s.Power, "power of the polynomial schedule")
	f.Float64Var(&s.Decay, "weight-decay", 0, "weight decay (AdamW)")
	f.Float64Var(&s.Clip, "clip", s.Clip, "largest norm of a gradient; negative: none")
	f.IntVar(&s.Validation, "validation", s.Validation, "traces held out for validation")
	f.Uint64Var(&s.ValidateEvery, "validate-every", 0, "traces between two validations (default: a fortieth of -n, at least eight times the held-out ones)")
	f.Float64Var(&s.Inflation, "prior-inflation", 0, "draw a training trace's latents from widened priors with this probability (reweighted)")
	f.IntVar(&s.Threads, "threads", 0, "threads of the training (default: one per core); results depend on it in the last digits")
	duration(f, &spec.SaveEvery, "checkpoint-every", "time between two checkpoints")
	t.asked.register(c)
	f.BoolVar(&t.json, "json", false, "print one JSON object")
	f.BoolVar(&t.quiet, "quiet", false, "no progress")
	return c
}

func (t *trainCommand) execute(c *cobra.Command, args []string) error {
	f := c.Flags()
	if f.Changed("num") && t.spec.N == 0 {
		return usagef("-n 0: must be positive")
	}
	s := t.spec.Training
	s.Network.Embed = map[string]ic.Embedding{}
	for _, text := range t.embed {
		name, e, err := ic.ParseEmbedding(text)
		if err != nil {
			return usagef("--embed %w", err)
		}
		s.Network.Embed[name] = e
	}
	if t.resume && t.spec.Out == "" && s.Output != "" {
		t.spec.Out = s.Output + ".train"
	}
	spec, err := t.ask(c, args)
	if err != nil || spec == nil {
		return err
	}
	lost, begun := uint64(0), time.Now()
	show := newProgress(t.quiet, false, func() string {
		if lost == 0 {
			return ""
		}
		return fmt.Sprintf("%d runs lost and drawn again", lost)
	})
	say := throttle(show.every())
	outcome, err := jobs.Run(c.Context(), spec, jobs.Options{Version: versionString(), System: "ppx-engine " + versionString(), Resume: t.resume, Every: show.every(),
		Remark: func(text string) {
			show.done()
			remark(text)
		},
		Held: func(done, n int) { // before the first line of the training itself
			if say() {
				show.line(float64(done)/float64(n), fmt.Sprintf("%s/%s traces to be held out  %s traces/s", text.Thousands(uint64(done)), text.Thousands(uint64(n)),
					view.Figure(view.Round(float64(done)/time.Since(begun).Seconds()))))
			}
		},
		Trained: func(p training.Progress, l uint64) {
			lost = l
			showTraining(show, p)
		}})
	show.done()
	if err != nil {
		return err
	}
	r := view.NewTraining(outcome)
	if t.json {
		return view.JSON(c.OutOrStdout(), r)
	}
	return r.Text(c.OutOrStdout(), warning)
}

func showTraining(show *progress, p training.Progress) {
	done := text.Thousands(p.Traces)
	fraction := 0.0
	if p.N > 0 {
		done += "/" + text.Thousands(p.N)
		fraction = float64(p.Traces) / float64(p.N)
	} else if p.Left > 0 {
		fraction = p.Elapsed.Seconds() / (p.Elapsed + p.Left).Seconds()
	}
	line := done + " traces"
	if p.Left > 0 { // what matters first: a narrow terminal cuts the end
		line += "  " + view.Short(p.Left) + " left"
	}
	line += "  loss " + view.Figure(p.Loss)
	if !math.IsNaN(p.Validation) {
		line += "  validation " + view.Figure(p.Validation)
		if p.Traces > p.Validated { // it is made now and then: say of when it is
			line += " at " + text.Thousands(p.Validated)
		}
		if p.BestAt < p.Traces && p.Best < p.Validation {
			line += " (best " + view.Figure(p.Best) + ")"
		}
	}
	line += fmt.Sprintf("  %s traces/s", view.Figure(view.Round(p.PerSecond)))
	if x := show.stats(); x != "" {
		line += "  " + x
	}
	show.line(fraction, line)
}
