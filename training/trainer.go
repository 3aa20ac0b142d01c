// Package training trains models on traces that simulators make meanwhile, or on recorded ones: minibatches, schedules, validation, checkpoints,
// and the journal that a training leaves behind. What is trained is a Model; package ic/train has that of inference compilation.
//
// A result is a function of the settings, the seed, the number of threads and the type of CPU; a job that was
// killed and resumed ends with the same parameters. Budgets of time are an exception, of course.
package training

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Progress is how far the training has come.
type Progress struct {
	Traces, N  uint64
	Step       uint64
	Loss       float64 // per trace, in nats, over the minibatches since the last report
	Validation float64 // NaN before the first
	Best       float64
	BestAt     uint64 // traces
	Rate       float64
	Norm       float64 // of the last gradient, before it was clipped
	Validated  uint64  // traces at the last validation
	PerSecond  float64
	Elapsed    time.Duration // with earlier sessions of a resumed job
	Left       time.Duration // 0 while unknown
}

// Example is what a model learns from.
type Example interface {
	Len() int   // what there is to learn: 0, nothing
	Lines() int // of a minibatch's matrices: work space
	Bytes() int // of memory, about
}

// Model is what is trained: parameters, and the loss of examples.
type Model[E Example] interface {
	Snapshot
	// Example turns a trace into what the model learns from. It may be called beside the others.
	Example(t *tracing.Trace) (E, error)
	Params() []*nn.Param[float32]
	// Gradient adds the gradients of the examples' losses, times scale, to the parameters, and returns the sum of the losses without scale, in nats.
	Gradient(batch []E, scale float64) (loss float64, err error)
	// Loss is the same sum without gradients.
	Loss(batch []E) (loss float64, err error)
	// Worst names what had the largest loss in the last call, for messages.
	Worst() string
	// Trained notes with how many traces it has been trained.
	Trained(traces uint64)
	// Clone is a copy of the parameters that does not change any more.
	Clone() Snapshot
	Describe() Description
}

// Snapshot is the parameters of a model, to be written.
type Snapshot interface {
	// Write writes a file, with what a checkpoint has besides (nil: nothing). It appears as a whole, in place of one that was there.
	Write(path string, x *Extra) error
}

// Extra is what a checkpoint keeps beside the parameters: numbers and texts by name.
type Extra struct {
	Numbers map[string][]float32
	Texts   map[string]string
}

// Description is what there is to say of a model.
type Description struct {
	Simulator string // the model that made the traces
	Addresses int
	Weights   int
}

// Source gives traces for training, in minibatches of examples.
type Source[E Example] interface {
	// Model is the name of the simulator.
	Model() string
	// First returns the traces that are held out, and how many draws were given up for them.
	First(ctx context.Context) (held []*tracing.Trace, gaveUp int, err error)
	// Begin starts the minibatches behind the first skip ones, which have been used in an earlier session. Called once, after First.
	Begin(ctx context.Context, example func(*tracing.Trace) (E, error), skip uint64)
	// Next returns the next minibatch, empty when all of its draws were given up; io.EOF when there is no more.
	Next() ([]E, error)
	// GaveUp is the number of draws that were given up since the last call.
	GaveUp() int
	Close()
}

// Hooks is what a training reports to.
type Hooks[E Example] struct {
	Progress func(Progress)          // after each minibatch
	Point    func(Point) error       // now and then, for the loss curve
	Best     func(*Trainer[E]) error // the validation has become better: Trainer.Best has changed
	Save     func(*Trainer[E]) error // a checkpoint is due
	Every    time.Duration           // between two checkpoints
}

// Point is a line of the loss curve.
type Point struct {
	Traces     uint64
	Seconds    float64
	Loss       float64 // mean per trace since the last point, in nats
	Validation float64
	Rate       float64
}

// Trainer is a training in its course.
type Trainer[E Example] struct {
	Config Config
	Model  Model[E] // nil before Run
	Best   Snapshot // with the best validation
	State

	adam  *nn.Adam[float32]
	held  []E
	base  time.Duration // of earlier sessions
	start time.Time

	looked struct { // the validation that is shown
		loss float64
		at   uint64 // traces
		when time.Time
	}
}

// State is the part of a training that checkpoints keep besides network and optimiser.
type State struct {
	Step      uint64  `json:"step"`
	Empty     uint64  `json:"empty"`  // minibatches whose draws were all given up
	Failed    uint64  `json:"failed"` // draws that were given up
	Traces    uint64  `json:"traces"`
	Last      float64 `json:"last_validation"`
	BestLoss  float64 `json:"best"`
	BestAt    uint64  `json:"best_at"`
	Validated uint64  `json:"validated"`  // traces at the last validation
	SinceBest int     `json:"since_best"` // validations
	Factor    float64 `json:"factor"`     // of the plateau schedule
	Seconds   float64 `json:"seconds"`
	Sum       float64 `json:"sum"` // of the losses since the last point
	SumOver   float64 `json:"sum_over"`
	PointLoss float64 `json:"loss"`
	Exploding int     `json:"exploding"`
	First     float64 `json:"first"` // the first validation
}

// NewTrainer returns the beginning of a training. The settings must be complete.
func NewTrainer[E Example](c Config) *Trainer[E] {
	t := &Trainer[E]{Config: c, adam: nn.NewAdam[float32](c.Rate)}
	t.adam.Decay = c.Decay
	t.Factor, t.BestLoss, t.Last = 1, math.MaxFloat64, math.MaxFloat64
	return t
}

// ErrDiverged says that the training led nowhere.
var ErrDiverged = errors.New("the training has diverged")

// ErrNothing says that there is nothing to learn in the traces.
var ErrNothing = errors.New("there is nothing to propose")

// ErrAnother says that a training goes on with the traces of another simulator.
var ErrAnother = errors.New("another simulator")

// Run trains until the budget is spent; begin makes the model of a new training from the traces that are held out. It ends with ctx's error
// when ctx ends, after saving. Errors: those of source and hooks, ErrNothing, ErrAnother, ErrDiverged.
func (t *Trainer[E]) Run(ctx context.Context, source Source[E], begin func(held []*tracing.Trace) (Model[E], []string, error), h Hooks[E]) (warnings []string, err error) {
	nn.SetThreads(t.Config.Threads)
	if warnings, err = t.open(ctx, source, begin); err != nil {
		return nil, err
	}
	t.base, t.start = time.Duration(t.Seconds*float64(time.Second)), time.Now()
	defer func() {
		t.Seconds = t.elapsed().Seconds()
	}()
	if t.Step == 0 {
		// Validation needs layers: the first minibatch makes them. What is reported for 0 traces is the prior's loss.
		if err := t.validate(h); err != nil {
			return warnings, err
		}
	}
	source.Begin(ctx, t.Model.Example, t.Step+t.Empty)
	saved := time.Now()
	rate := newRate(t.start, t.Traces)
	for !t.spent() {
		batch, err := source.Next()
		if err != nil {
			if isEOF(err) {
				break
			}
			if ctx.Err() != nil {
				return warnings, errors.Join(context.Cause(ctx), h.Save(t))
			}
			return warnings, err
		}
		t.Failed += uint64(source.GaveUp())
		if len(batch) == 0 {
			t.Empty++
			continue
		}
		loss, norm, err := t.step(batch)
		if err != nil {
			return warnings, err
		}
		if t.Traces-t.Validated >= t.Config.ValidateEvery {
			if err := t.validate(h); err != nil {
				return warnings, err
			}
		}
		if h.Progress != nil {
			p, err := t.progress(loss, norm, rate)
			if err != nil {
				return warnings, err
			}
			h.Progress(p)
		}
		if ctx.Err() != nil {
			return warnings, errors.Join(context.Cause(ctx), h.Save(t))
		}
		if time.Since(saved) > h.Every {
			if err := h.Save(t); err != nil {
				return warnings, err
			}
			saved = time.Now()
		}
	}
	if t.Validated != t.Traces {
		if err := t.validate(h); err != nil {
			return warnings, err
		}
	}
	if gain := t.Gain(); !(gain > littleGain) {
		warnings = append(warnings, fmt.Sprintf("the network has gained %.2g nats per trace over the prior, next to nothing: its proposals are as good as the prior's. Either the data say nothing of the latents, or it needs more traces, or other settings: look at the loss curve. (Latents whose values doubles cannot tell apart are drawn from the prior whatever it says.)", gain))
	}
	return warnings, h.Save(t)
}

// open takes what is held out, and makes the model unless there is one.
func (t *Trainer[E]) open(ctx context.Context, source Source[E], begin func([]*tracing.Trace) (Model[E], []string, error)) (warnings []string, err error) {
	first, gaveUp, err := source.First(ctx)
	if err != nil {
		return nil, err
	}
	if t.Model == nil {
		if t.Model, warnings, err = begin(first); err != nil {
			return nil, err
		}
		t.Failed += uint64(gaveUp) // in a training that goes on they have been counted
	} else if was := t.Model.Describe().Simulator; was != source.Model() {
		return nil, fmt.Errorf("%w: the training was begun with %q, this is %q", ErrAnother, was, source.Model())
	}
	n := 0
	for _, x := range first {
		e, err := t.Model.Example(x)
		if err != nil {
			return nil, err
		}
		t.held = append(t.held, e)
		n += e.Len()
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: none of %d traces has a Sample with control", ErrNothing, len(first))
	}
	return warnings, nil
}

// Held is what is held out, once a training has begun.
func (t *Trainer[E]) Held() []E { return t.held }

// Gain is by how much the network's proposals are better than the prior on what was held out: the mean of
// log q(z|x) − log p(z) over its traces, in nats. It is what the data say of the latents (their mutual information), as far as
// it was learned.
func (t *Trainer[E]) Gain() float64 { return t.First - t.BestLoss }

// littleGain is what a network has learned that has learned nothing.
const littleGain = 0.02

func (t *Trainer[E]) elapsed() time.Duration { return t.base + time.Since(t.start) }

// spent tells whether the budget is.
func (t *Trainer[E]) spent() bool {
	c := &t.Config
	return (c.N > 0 && t.Traces >= c.N) || (c.MaxTime > 0 && t.elapsed() >= c.MaxTime)
}

// part is how much of the budget is spent, from 0 to 1.
func (t *Trainer[E]) part() float64 {
	c := &t.Config
	x := 0.0
	if c.N > 0 {
		x = float64(t.Traces) / float64(c.N)
	}
	if c.MaxTime > 0 {
		x = math.Max(x, t.elapsed().Seconds()/c.MaxTime.Seconds())
	}
	return math.Min(x, 1)
}

// rate is the learning rate of the next step.
func (t *Trainer[E]) rate() float64 {
	c := &t.Config
	r := c.Rate
	switch x := t.part(); c.Schedule {
	case Polynomial:
		r = c.EndRate + (c.Rate-c.EndRate)*math.Pow(1-x, c.Power)
	case Cosine:
		r = c.EndRate + (c.Rate-c.EndRate)*(1+math.Cos(math.Pi*x))/2
	case Plateau:
		r = math.Max(c.Rate*t.Factor, c.EndRate)
	}
	if w := float64(c.Warmup); float64(t.Step) < w {
		r *= (float64(t.Step) + 1) / w
	}
	return r
}

// maxLines bounds the work space: larger minibatches are computed in parts, whose gradients add up.
const maxLines = 16384

// parts cuts a minibatch.
func parts[E Example](batch []E) (out [][]E) {
	for at := 0; at < len(batch); {
		end, lines := at, 0
		for end < len(batch) && (end == at || lines+batch[end].Lines() <= maxLines) && end-at < 1024 {
			lines += batch[end].Lines()
			end++
		}
		out = append(out, batch[at:end])
		at = end
	}
	return out
}

// step makes one step with a minibatch.
func (t *Trainer[E]) step(batch []E) (loss, norm float64, err error) {
	scale := 1 / float64(len(batch))
	for _, part := range parts(batch) {
		l, err := t.Model.Gradient(part, scale)
		if err != nil {
			return 0, 0, t.diverged(err)
		}
		loss += l
	}
	params := t.Model.Params()
	if norm, err = nn.Norm(params); err != nil {
		return 0, 0, t.diverged(fmt.Errorf("%w (the largest loss is at %s)", err, t.Model.Worst()))
	}
	by := 1.0
	if t.Config.Clip > 0 && norm > t.Config.Clip {
		by = t.Config.Clip / norm
	}
	t.adam.Rate = t.rate()
	t.adam.Step(params, by)
	t.Step++
	t.Traces += uint64(len(batch))
	t.Model.Trained(t.Traces)
	t.Sum += loss
	t.SumOver += float64(len(batch))
	loss *= scale
	// The losses of a training that works stay near or below that of the prior.
	if loss > t.First+1000+10*math.Abs(t.First) {
		if t.Exploding++; t.Exploding >= 10 {
			return 0, 0, t.diverged(fmt.Errorf("the loss is %.3g nats a trace, after %.3g at first; the largest is at %s", loss, t.First, t.Model.Worst()))
		}
	} else {
		t.Exploding = 0
	}
	return loss, norm, nil
}

func (t *Trainer[E]) diverged(err error) error {
	return fmt.Errorf("%w after %d traces: %w", ErrDiverged, t.Traces, err)
}

// patience is how many validations without a better one the plateau schedule waits.
const patience = 5

// heldLoss is the mean loss of what is held out.
func (t *Trainer[E]) heldLoss() (float64, error) {
	sum := 0.0
	for batch := range slices.Chunk(t.held, t.Config.Batch) {
		for _, part := range parts(batch) {
			l, err := t.Model.Loss(part)
			if err != nil {
				return 0, t.diverged(err)
			}
			sum += l
		}
	}
	return sum / float64(len(t.held)), nil
}

// validate computes the loss of what is held out, and keeps the network if it is the best.
func (t *Trainer[E]) validate(h Hooks[E]) (err error) {
	if t.Last, err = t.heldLoss(); err != nil {
		return err
	}
	t.Validated = t.Traces
	if t.Traces == 0 {
		t.First = t.Last
		return nil
	}
	t.SinceBest++
	if t.Last < t.BestLoss {
		t.BestLoss, t.BestAt, t.SinceBest = t.Last, t.Traces, 0
		t.Best = t.Model.Clone()
		if h.Best != nil {
			if err := h.Best(t); err != nil {
				return err
			}
		}
	}
	if t.Config.Schedule == Plateau && t.SinceBest >= patience {
		t.Factor /= 2
		t.SinceBest = 0
	}
	p := Point{Traces: t.Traces, Seconds: t.elapsed().Seconds(), Loss: math.NaN(), Validation: t.Last, Rate: t.adam.Rate}
	if t.SumOver >= float64(t.Config.ValidateEvery)/4 { // the mean of a few traces says nothing
		p.Loss = t.Sum / t.SumOver
	}
	t.Sum, t.SumOver = 0, 0
	if p.Loss == p.Loss {
		t.PointLoss = p.Loss
	}
	if h.Point != nil {
		return h.Point(p)
	}
	return nil
}

// lookEvery is how often those who watch want a new validation.
var lookEvery = 15 * time.Second

// look is the last validation, or one just for those who watch, where the next that counts is far: it changes nothing.
func (t *Trainer[E]) look() (loss float64, at uint64, err error) {
	if t.looked.at < t.Validated || t.looked.when.IsZero() {
		t.looked.loss, t.looked.at, t.looked.when = t.Last, t.Validated, time.Now()
	}
	if time.Since(t.looked.when) > lookEvery && t.looked.at < t.Traces {
		if t.looked.loss, err = t.heldLoss(); err != nil {
			return 0, 0, err
		}
		t.looked.at, t.looked.when = t.Traces, time.Now()
	}
	return t.looked.loss, t.looked.at, nil
}

func (t *Trainer[E]) progress(loss, norm float64, r *rate) (Progress, error) {
	validation, validated, err := t.look()
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Traces: t.Traces, N: t.Config.N, Step: t.Step, Loss: loss, Validation: validation, Validated: validated, Best: t.BestLoss, BestAt: t.BestAt,
		Rate: t.adam.Rate, Norm: norm, Elapsed: t.elapsed(), PerSecond: r.perSecond(time.Now(), t.Traces)}
	if validation == math.MaxFloat64 {
		p.Validation = math.NaN()
	}
	if p.PerSecond > 0 && p.N > 0 {
		p.Left = time.Duration(float64(p.N-min(p.N, p.Traces)) / p.PerSecond * float64(time.Second))
	}
	if m := t.Config.MaxTime; m > 0 {
		if left := m - p.Elapsed; p.Left == 0 || left < p.Left {
			p.Left = max(left, 0)
		}
	}
	return p, nil
}

// rate is a speed over the last seconds.
type rate struct {
	at time.Time
	n  uint64
	v  float64
}

func newRate(at time.Time, n uint64) *rate { return &rate{at: at, n: n} }

func (r *rate) perSecond(now time.Time, n uint64) float64 {
	if d := now.Sub(r.at).Seconds(); d > 1 || (r.v == 0 && d > 0) {
		v := float64(n-r.n) / d
		if r.v > 0 {
			v = 0.5*v + 0.5*r.v
		}
		r.v = v
		if d > 1 {
			r.at, r.n = now, n
		}
	}
	return r.v
}
