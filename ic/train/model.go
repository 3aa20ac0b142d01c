// Package train trains the networks of inference compilation. Training minimises E[−log q(z|x)] over the prior's traces: the expected
// divergence from posterior to proposal, but for a constant (Le, Baydin and Wood 2017, eq. 3). How it goes about it is package training's.
package train

import (
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/training"
)

// What package training has, for inference compilation.
type (
	Trainer    = training.Trainer[*ic.Example]
	Hooks      = training.Hooks[*ic.Example]
	Source     = training.Source[*ic.Example]
	Simulators = training.Simulators[*ic.Example]
	Recorded   = training.Recorded[*ic.Example]
	Journal    = training.Journal[*ic.Example]
)

// Model is a network in training.
type Model struct {
	*ic.Network[float32]
	pass *ic.Pass[float32]
}

var _ training.Model[*ic.Example] = (*Model)(nil)

// NewModel returns the network for training.
func NewModel(n *ic.Network[float32]) *Model { return &Model{n, ic.NewPass(n)} }

// Begin makes a new network for the traces of a simulator.
func Begin(s ic.Settings, simulator string, seed uint64) func([]*tracing.Trace) (training.Model[*ic.Example], []string, error) {
	return func(held []*tracing.Trace) (training.Model[*ic.Example], []string, error) {
		n, warnings, err := ic.New[float32](s, simulator, seed, held)
		if err != nil {
			return nil, nil, err
		}
		return NewModel(n), warnings, nil
	}
}

// Read reads a network, and what a checkpoint has besides. Errors: ic.ErrFile.
func Read(path string) (training.Model[*ic.Example], *training.Extra, error) {
	n, extra, err := ic.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	return NewModel(n), &training.Extra{Numbers: extra.Numbers, Texts: extra.Texts}, nil
}

// Gradient implements training.Model.
func (m *Model) Gradient(batch []*ic.Example, scale float64) (float64, error) {
	return m.pass.Gradient(batch, scale)
}

// Loss implements training.Model.
func (m *Model) Loss(batch []*ic.Example) (float64, error) { return m.pass.Loss(batch) }

// Worst implements training.Model.
func (m *Model) Worst() string { return m.pass.Worst() }

// Trained implements training.Model.
func (m *Model) Trained(traces uint64) { m.Traces = traces }

// Clone implements training.Model.
func (m *Model) Clone() training.Snapshot { return snapshot{m.Network.Clone()} }

// Write implements training.Model.
func (m *Model) Write(path string, x *training.Extra) error {
	return snapshot{m.Network}.Write(path, x)
}

// Describe implements training.Model.
func (m *Model) Describe() training.Description {
	return training.Description{Simulator: m.Model, Addresses: len(m.Addresses()), Weights: m.Size()}
}

// snapshot is a network that does not change any more.
type snapshot struct{ *ic.Network[float32] }

// Write implements training.Snapshot.
func (s snapshot) Write(path string, x *training.Extra) error {
	var extra *ic.Extra
	if x != nil {
		extra = &ic.Extra{Numbers: x.Numbers, Texts: x.Texts}
	}
	return ic.WriteFile(path, s.Network, extra)
}
