package training

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"
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
	return Settings{Epochs: 1, Batch: 64, Rate: 3e-3, Schedule: Cosine, Power: 2, Warmup: 20, Clip: 10, Validation: 512}
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
	return nil
}
