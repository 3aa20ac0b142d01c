package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ppx-engine/ppx-engine/ic"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// saved is what a checkpoint keeps as text.
type saved struct {
	Config Config         `json:"config"`
	State  State          `json:"state"`
	Steps  map[string]int `json:"steps"` // of each parameter's optimiser
}

// WriteCheckpoint writes all that the training needs to go on. The file appears as a whole.
func (t *Trainer) WriteCheckpoint(path string) error {
	s := saved{Config: t.Config, State: t.State, Steps: map[string]int{}}
	s.State.Seconds = t.elapsed().Seconds()
	extra := &ic.Extra{Numbers: map[string][]float32{}, Texts: map[string]string{}}
	for _, p := range t.Network.Params() {
		m := t.adam.Moments(p)
		s.Steps[p.Name] = m.Steps
		extra.Numbers["first."+p.Name], extra.Numbers["second."+p.Name] = m.First, m.Second
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	extra.Texts["training"] = string(b)
	return ic.WriteFile(path, t.Network, extra)
}

// ReadCheckpoint returns the training that WriteCheckpoint has written.
func ReadCheckpoint(path string) (*Trainer, error) {
	n, extra, err := ic.ReadFile(path)
	if err != nil {
		return nil, err
	}
	bad := func(what string) error {
		return fmt.Errorf("%s: %w: as a checkpoint it lacks %s", path, ic.ErrFile, what)
	}
	var s saved
	if err := json.Unmarshal([]byte(extra.Texts["training"]), &s); err != nil {
		return nil, bad("the state of the training")
	}
	if err := s.Config.Complete(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t := NewTrainer(s.Config)
	t.Network, t.State = n, s.State
	for _, p := range n.Params() {
		m := t.adam.Moments(p)
		first, second := extra.Numbers["first."+p.Name], extra.Numbers["second."+p.Name]
		if len(first) != len(m.First) || len(second) != len(m.Second) {
			return nil, bad("the optimiser's state of " + p.Name)
		}
		copy(m.First, first)
		copy(m.Second, second)
		m.Steps = s.Steps[p.Name]
	}
	if math.IsNaN(t.BestLoss) {
		return nil, bad("its best loss")
	}
	return t, nil
}
