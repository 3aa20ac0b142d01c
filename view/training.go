package view

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Training is what train prints. Other programs read the JSON: fields may be added, none changes or goes away within a
// Schema Number.
type Training struct {
	Schema          int      `json:"schema"`
	Network         string   `json:"network"`
	Run             string   `json:"run"`
	Seed            uint64   `json:"seed"`
	Traces          uint64   `json:"traces"`
	Failed          uint64   `json:"failed"`
	Loss            Number   `json:"loss"`
	Validation      Number   `json:"validation"`
	BestAt          uint64   `json:"best_at"`
	Gain            Number   `json:"gain"` // over the prior, in nats per trace
	Addresses       int      `json:"addresses"`
	Weights         int      `json:"weights"`
	Seconds         Number   `json:"seconds"`
	TracesPerSecond Number   `json:"traces_per_second"`
	Warnings        []string `json:"warnings"`

	outcome *jobs.Trained
}

// NewTraining collects the figures of a training.
func NewTraining(o *jobs.Outcome) *Training {
	x, m, output := o.Trained.Trainer, o.Trained.Manifest, o.Spec.Training.Output
	loss := Number(x.PointLoss)
	if loss == 0 { // none has been computed yet
		loss = Number(math.NaN())
	}
	return &Training{Schema: Schema, Network: output, Run: o.Spec.Out, Seed: x.Config.Seed, Traces: x.Traces, Failed: m.Failed, Loss: loss,
		Validation: Number(x.BestLoss), BestAt: x.BestAt, Gain: Number(x.Gain()), Addresses: m.Places, Weights: m.Weights, Seconds: Number(x.Seconds),
		TracesPerSecond: Number(o.Trained.PerSecond), Warnings: append([]string{}, o.Remarks...), outcome: o.Trained}
}

// Text writes the figures; warn hears the warnings.
func (r *Training) Text(w io.Writer, warn func(string)) error {
	x, m := r.outcome.Trainer, r.outcome.Manifest
	s, perSecond := Styled(w), Figure(Round(r.outcome.PerSecond))
	fmt.Fprintf(w, "%s of %s: %s traces in %s (%s traces/s)\n", s.Bold("network"), s.Bold(ppx.Printable(x.Model.Describe().Simulator)), text.Thousands(x.Traces),
		Short(time.Duration(x.Seconds*float64(time.Second))), perSecond)
	fmt.Fprintf(w, "gained %s nats per trace over the prior: loss %s on held-out traces, best after %s traces, %s before training\n", Figure(x.Gain()), Figure(x.BestLoss),
		text.Thousands(x.BestAt), Figure(x.First))
	fmt.Fprintf(w, "%s weights for %d addresses\n", text.Thousands(uint64(m.Weights)), m.Places)
	for _, x := range r.Warnings {
		warn(x)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", s.Dim(fmt.Sprintf("network %s, loss curve %s", r.Network, r.outcome.Picture)))
	return err
}
