package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// saved is what a checkpoint keeps as text.
type saved struct {
	Config Config         `json:"config"`
	State  State          `json:"state"`
	Steps  map[string]int `json:"steps"` // of each parameter's optimiser
}

// WriteCheckpoint writes all that the training needs to go on. The file appears as a whole.
func (t *Trainer[E]) WriteCheckpoint(path string) error {
	s := saved{Config: t.Config, State: t.State, Steps: map[string]int{}}
	s.State.Seconds = t.elapsed().Seconds()
	extra := &Extra{Numbers: map[string][]float32{}, Texts: map[string]string{}}
	for _, p := range t.Model.Params() {
		m := t.adam.Moments(p)
		s.Steps[p.Name] = m.Steps
		extra.Numbers["first."+p.Name], extra.Numbers["second."+p.Name] = m.First, m.Second
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	extra.Texts["training"] = string(b)
	return t.Model.Write(path, extra)
}

// ErrCheckpoint says that a file is no checkpoint.
var ErrCheckpoint = errors.New("not a checkpoint")

// Read is how a model is read from a file that its Write has written.
type Read[E Example] func(path string) (Model[E], *Extra, error)

// ReadCheckpoint returns the training that WriteCheckpoint has written. Errors: those of read, ErrCheckpoint.
func ReadCheckpoint[E Example](path string, read Read[E]) (*Trainer[E], error) {
	m, extra, err := read(path)
	if err != nil {
		return nil, err
	}
	bad := func(what string) error {
		return fmt.Errorf("%s: %w: it lacks %s", path, ErrCheckpoint, what)
	}
	var s saved
	if err := json.Unmarshal([]byte(extra.Texts["training"]), &s); err != nil {
		return nil, bad("the state of the training")
	}
	if err := s.Config.Complete(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t := NewTrainer[E](s.Config)
	t.Model, t.State = m, s.State
	for _, p := range m.Params() {
		moments := t.adam.Moments(p)
		first, second := extra.Numbers["first."+p.Name], extra.Numbers["second."+p.Name]
		if len(first) != len(moments.First) || len(second) != len(moments.Second) {
			return nil, bad("the optimiser's state of " + p.Name)
		}
		copy(moments.First, first)
		copy(moments.Second, second)
		moments.Steps = s.Steps[p.Name]
	}
	if math.IsNaN(t.BestLoss) {
		return nil, bad("its best loss")
	}
	return t, nil
}
