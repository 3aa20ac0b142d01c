// Package train trains the networks of inference compilation, on traces that simulators make meanwhile or on
// recorded ones. Training minimises E[−log q(z|x)] over the prior's traces: the expected divergence from posterior to
// proposal, but for a constant (Le, Baydin and Wood 2017, eq. 3).
//
// A result is a function of the settings, the seed, the number of threads and the type of CPU; a job that was
// killed and resumed ends with the same network. Budgets of time are an exception, of course.
package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ic/net"
)

// Config says how to train, and for how long. Zero values stand for what Complete fills in.
type Config struct {
	Settings
	Seed    uint64        `json:"seed"`
	N       uint64        `json:"n"`        // traces to train with, every use counted; 0: until MaxTime
	MaxTime time.Duration `json:"max_time"` // 0: none
}

// Settings say how to train.
type Settings struct {
	Network ic.Settings `json:"network"`

	Epochs   int     `json:"epochs"`   // how often each trace is used
	Batch    int     `json:"batch"`    // traces of a minibatch
	Rate     float64 `json:"rate"`     // of Adam, at the beginning
	EndRate  float64 `json:"end_rate"` // at the end, for schedules that fall
	Schedule string  `json:"schedule"` // Constant, Polynomial, Cosine or Plateau
	Power    float64 `json:"power"`    // of Polynomial
	Warmup   int     `json:"warmup"`   // minibatches in which the rate rises
	Decay    float64 `json:"decay"`    // weight decay (AdamW)
	Clip     float64 `json:"clip"`     // largest norm of a gradient; negative: none

	Validation    int     `json:"validation"`     // traces held out
	ValidateEvery uint64  `json:"validate_every"` // traces between two validations
	Inflation     float64 `json:"inflation"`      // prior inflation of the training traces (control.Inflate)
	Threads       int     `json:"threads"`
}

// Defaults are the settings that a training has when nothing else is asked for.
func Defaults() Settings {
	return Settings{Network: ic.DefaultSettings(), Epochs: 1, Batch: 64, Rate: 3e-3, Schedule: Cosine, Power: 2, Warmup: 20, Clip: 10, Validation: 512}
}

// The schedules of the learning rate.
const (
	Constant   = "constant"
	Polynomial = "polynomial"
	Cosine     = "cosine"
	Plateau    = "plateau" // halved when the validation has not become better five times
)

// Complete fills in what is not given, and reports settings that make no sense.
func (c *Config) Complete() error {
	d := Defaults()
	for _, x := range []struct {
		at *int
		v  int
	}{{&c.Batch, d.Batch}, {&c.Epochs, d.Epochs}, {&c.Warmup, d.Warmup}, {&c.Validation, d.Validation}} {
		*x.at = cmp.Or(*x.at, x.v)
	}
	c.Rate, c.Schedule, c.Power, c.Clip = cmp.Or(c.Rate, d.Rate), cmp.Or(c.Schedule, d.Schedule), cmp.Or(c.Power, d.Power), cmp.Or(c.Clip, d.Clip)
	if c.EndRate == 0 && c.Rate > 0 {
		c.EndRate = c.Rate / 100
	}
	if c.ValidateEvery == 0 {
		c.ValidateEvery = max(uint64(8*c.Validation), c.N/40, uint64(4*c.Batch))
	}
	switch {
	case c.N == 0 && c.MaxTime == 0:
		return errors.New("training without a budget: give a number of traces or a time")
	case c.Epochs < 1 || (c.Epochs > 1 && c.N == 0):
		return fmt.Errorf("%d epochs: want at least 1, and a number of traces for more than one", c.Epochs)
	case c.Batch < 1 || c.Batch > 1<<16:
		return fmt.Errorf("minibatches of %d traces: want 1 to %d", c.Batch, 1<<16)
	case !(c.Rate > 0) || c.Rate > 10 || !(c.EndRate >= 0):
		return fmt.Errorf("the learning rate, %g, must lie between 0 and 10", c.Rate)
	case c.Schedule != Constant && c.Schedule != Polynomial && c.Schedule != Cosine && c.Schedule != Plateau:
		return fmt.Errorf("learning-rate schedule %q: want constant, polynomial, cosine or plateau", c.Schedule)
	case c.EndRate > c.Rate:
		return fmt.Errorf("the learning rate at the end, %g, is larger than at first, %g", c.EndRate, c.Rate)
	case !(c.Power > 0) || math.IsInf(c.Power, 0):
		return fmt.Errorf("the power of the schedule, %g, must be positive", c.Power)
	case !(c.Decay >= 0) || math.IsInf(c.Decay, 0) || c.Warmup < 0:
		return fmt.Errorf("the weight decay, %g, must not be negative", c.Decay)
	case math.IsNaN(c.Clip):
		return fmt.Errorf("the largest norm of a gradient, %g, must be a number", c.Clip)
	case c.Threads < 0 || c.Threads > 1024 || c.MaxTime < 0:
		return fmt.Errorf("%d threads, at most %v: must not be negative, nor more than 1024", c.Threads, c.MaxTime)
	case !(c.Inflation >= 0 && c.Inflation < 1):
		return fmt.Errorf("prior inflation %g must lie in [0, 1)", c.Inflation)
	case c.Validation < 16:
		return fmt.Errorf("%d traces for validation: want at least 16", c.Validation)
	}
	return c.Network.Validate()
}

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
	Places     int
	Weights    int
}

// Source gives training data.
type Source interface {
	// Open returns what is held out for validation, and the network: a new one, or the one given.
	Open(ctx context.Context, n *ic.Network[float32]) (network *ic.Network[float32], held []*ic.Example, warnings []string, err error)
	// Next returns the next minibatch, empty when all of its draws were given up; io.EOF when there is no more. skip minibatches have been used in an earlier session,
	// when it is called for the first time.
	Next(ctx context.Context, skip uint64) ([]*ic.Example, error)
	// GaveUp is the number of draws that were given up since the last call.
	GaveUp() int
	Close()
}

// Hooks is what a training reports to.
type Hooks struct {
	Progress func(Progress)       // after each minibatch
	Point    func(Point) error    // now and then, for the loss curve
	Best     func(*Trainer) error // the validation has become better: Trainer.Best has changed
	Save     func(*Trainer) error // a checkpoint is due
	Every    time.Duration        // between two checkpoints
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
type Trainer struct {
	Config  Config
	Network *ic.Network[float32]
	Best    *ic.Network[float32] // the weights with the best validation
	State

	pass  *ic.Pass[float32]
	adam  *net.Adam[float32]
	held  []*ic.Example
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
func NewTrainer(c Config) *Trainer {
	t := &Trainer{Config: c, adam: net.NewAdam[float32](c.Rate)}
	t.adam.Decay = c.Decay
	t.Factor, t.BestLoss, t.Last = 1, math.MaxFloat64, math.MaxFloat64
	return t
}

// ErrDiverged says that the training led nowhere.
var ErrDiverged = errors.New("the training has diverged")

// Run trains until the budget is spent. It ends with ctx's error when ctx ends, after saving.
func (t *Trainer) Run(ctx context.Context, source Source, h Hooks) (warnings []string, err error) {
	net.SetThreads(t.Config.Threads)
	var more []string
	if t.Network, t.held, more, err = source.Open(ctx, t.Network); err != nil {
		return nil, err
	}
	warnings = append(warnings, more...)
	t.pass = ic.NewPass(t.Network)
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
	saved, skip := time.Now(), t.Step+t.Empty
	rate := newRate(t.start, t.Traces)
	for !t.spent() {
		batch, err := source.Next(ctx, skip)
		skip = 0
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

// Gain is by how much the network's proposals are better than the prior on what was held out: the mean of
// log q(z|x) − log p(z) over its traces, in nats. It is what the data say of the latents (their mutual information), as far as
// it was learned.
func (t *Trainer) Gain() float64 { return t.First - t.BestLoss }

// littleGain is what a network has learned that has learned nothing.
const littleGain = 0.02

func (t *Trainer) elapsed() time.Duration { return t.base + time.Since(t.start) }

// spent tells whether the budget is.
func (t *Trainer) spent() bool {
	c := &t.Config
	return (c.N > 0 && t.Traces >= c.N) || (c.MaxTime > 0 && t.elapsed() >= c.MaxTime)
}

// part is how much of the budget is spent, from 0 to 1.
func (t *Trainer) part() float64 {
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
func (t *Trainer) rate() float64 {
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
func parts(batch []*ic.Example) (out [][]*ic.Example) {
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
func (t *Trainer) step(batch []*ic.Example) (loss, norm float64, err error) {
	scale := 1 / float64(len(batch))
	for _, part := range parts(batch) {
		l, err := t.pass.Gradient(part, scale)
		if err != nil {
			return 0, 0, t.diverged(err)
		}
		loss += l
	}
	params := t.Network.Params()
	if norm, err = net.Norm(params); err != nil {
		return 0, 0, t.diverged(fmt.Errorf("%w (the largest loss is at %s)", err, t.pass.Worst()))
	}
	by := 1.0
	if t.Config.Clip > 0 && norm > t.Config.Clip {
		by = t.Config.Clip / norm
	}
	t.adam.Rate = t.rate()
	t.adam.Step(params, by)
	t.Step++
	t.Traces += uint64(len(batch))
	t.Network.Traces = t.Traces
	t.Sum += loss
	t.SumOver += float64(len(batch))
	loss *= scale
	// The losses of a training that works stay near or below that of the prior.
	if loss > t.First+1000+10*math.Abs(t.First) {
		if t.Exploding++; t.Exploding >= 10 {
			return 0, 0, t.diverged(fmt.Errorf("the loss is %.3g nats a trace, after %.3g at first; the largest is at %s", loss, t.First, t.pass.Worst()))
		}
	} else {
		t.Exploding = 0
	}
	return loss, norm, nil
}

func (t *Trainer) diverged(err error) error {
	return fmt.Errorf("%w after %d traces: %w", ErrDiverged, t.Traces, err)
}

// patience is how many validations without a better one the plateau schedule waits.
const patience = 5

// heldLoss is the mean loss of what is held out.
func (t *Trainer) heldLoss() (float64, error) {
	sum := 0.0
	for batch := range slices.Chunk(t.held, t.Config.Batch) {
		for _, part := range parts(batch) {
			l, err := t.pass.Loss(part)
			if err != nil {
				return 0, t.diverged(err)
			}
			sum += l
		}
	}
	return sum / float64(len(t.held)), nil
}

// validate computes the loss of what is held out, and keeps the network if it is the best.
func (t *Trainer) validate(h Hooks) (err error) {
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
		t.Best = t.Network.Clone()
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
func (t *Trainer) look() (loss float64, at uint64, err error) {
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

func (t *Trainer) progress(loss, norm float64, r *rate) (Progress, error) {
	validation, validated, err := t.look()
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Traces: t.Traces, N: t.Config.N, Step: t.Step, Loss: loss, Validation: validation, Validated: validated, Best: t.BestLoss, BestAt: t.BestAt,
		Rate: t.adam.Rate, Norm: norm, Elapsed: t.elapsed(), PerSecond: r.perSecond(time.Now(), t.Traces), Places: len(t.Network.Places())}
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
