package train

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/training"
)

// BenchmarkSimulator trains on the simulator in $PPX_SIMULATOR (a command without arguments but its endpoint), for profiles.
func BenchmarkSimulator(b *testing.B) {
	command := os.Getenv("PPX_SIMULATOR")
	if command == "" {
		b.Skip("no $PPX_SIMULATOR")
	}
	args := []string{command, "{endpoint}"}
	if f := os.Getenv("PPX_FLAG"); f != "" {
		args = []string{command, f, "{endpoint}"}
	}
	pool, err := engine.Open(context.Background(), engine.Options{Command: args, StartTimeout: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	settings := ic.DefaultSettings()
	c := training.Config{Settings: training.Settings{Threads: 2}, Seed: 1, MaxTime: 15 * time.Second}
	if os.Getenv("PPX_SMALL") != "" {
		settings.Hidden = 128
		settings.Components = 5
	}
	if err := c.Complete(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		t := training.NewTrainer[*ic.Example](c)
		s := &Simulators{X: pool, Name: pool.Model(), Config: &c}
		_, err := t.Run(context.Background(), s, Begin(settings, pool.Model(), c.Seed), Hooks{Save: func(*Trainer) error { return nil }, Every: time.Hour})
		s.Close()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(t.Traces)/t.Seconds, "traces/s")
	}
}
