package jobs

import (
	"math"
	"path/filepath"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// maybeNetwork is loadNetwork for methods that do without one, too.
func maybeNetwork(r *run) (func(engine.Draw) engine.Layer, error) {
	if r.spec.Network == nil {
		return nil, nil
	}
	return loadNetwork(r)
}

// loadNetwork reads the network of a job and makes the layer that proposes with it.
func loadNetwork(r *run) (func(engine.Draw) engine.Layer, error) {
	ref := r.spec.Network
	read := func() (*ic.Network[float32], *ic.Extra, error) { return ic.ReadFile(ref.File) }
	if r.o.shared != nil {
		read = r.o.shared.network
	}
	n, extra, err := read()
	if err != nil {
		return nil, misuse("--network: %w", err)
	}
	switch {
	case ref.SHA256 == "":
		ref.SHA256 = extra.SHA256
	case ref.SHA256 != extra.SHA256:
		return nil, misuse("%s is not the network that was meant (its SHA-256 is %s…, not %s…)", ref.File, extra.SHA256[:12], ref.SHA256[:min(12, len(ref.SHA256))])
	}
	if path, err := filepath.Abs(ref.File); err == nil {
		ref.File = path
	}
	if r.proposer, err = ic.NewProposer(n, r.cfg.Data); err != nil {
		return nil, Misuse{err}
	}
	r.unseen.known = r.proposer.Knows
	if f := ic.ReadFamiliar(extra); f != nil {
		r.network = rundir.NetworkFile{Gain: f.Gain}
		if r.network.Distance, r.network.P = f.Of(r.proposer); math.IsNaN(r.network.P) {
			r.network.Distance, r.network.P = 0, 0
		} else {
			r.network.P = max(r.network.P, math.SmallestNonzeroFloat64) // 0 is none
		}
	}
	return func(engine.Draw) engine.Layer { return control.NewGuide(r.proposer.ForRun(), r.spec.Defensive) }, nil
}
