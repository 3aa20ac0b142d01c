package ic

import (
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// The density of a recorded trace under a network is the one that it was drawn with, the coin of the defensive mixture included, however many traces are asked for
// at a time, and whoever has answered its sites.
func TestDensityOfRecordedTraces(t *testing.T) {
	p, err := NewProposer(trained(t, small(), everything, 30), everythingData())
	if err != nil {
		t.Fatal(err)
	}
	const alpha = 0.3
	traces := guided(t, p, everythingData(), everything, 200, alpha, 2)
	for i, q := range p.Along(traces) {
		tr := traces[i]
		var want float64
		for j := range tr.Sites {
			if e := &tr.Sites[j]; e.Origin == tracing.FromProposal {
				want += e.LogQ - e.LogP
			}
		}
		got, err := control.LogRatio(tr, q, alpha)
		if err != nil {
			t.Fatal(err)
		}
		again := *tr
		again.Sites = append([]tracing.Site(nil), tr.Sites...)
		for j := range again.Sites {
			if e := &again.Sites[j]; !e.Origin.Scored() {
				e.Origin = tracing.Reused
			}
		}
		alone, err := control.LogRatio(&again, p.Along([]*tracing.Trace{&again})[0], alpha)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got-want) > 1e-9*(1+math.Abs(want)) || alone != got {
			t.Errorf("draw %d: %g when it was drawn, %g together, %g alone", tr.Draw, want, got, alone)
		}
	}
}
