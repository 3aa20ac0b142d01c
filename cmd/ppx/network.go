package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// guidance is the part of a job that concerns a trained network.
type guidance struct {
	file      string
	defensive float64

	sum      string // SHA-256 of the file
	proposer *ic.Proposer
	unseen   unseen
}

// load reads the network and prepares it for the data; want is the file's checksum in a run that goes on.
func (g *guidance) load(data control.Data, want string) (func(engine.Draw) engine.Layer, error) {
	if !(g.defensive > 0 && g.defensive < 1) {
		return nil, usagef("--defensive %g must lie between 0 and 1", g.defensive)
	}
	n, extra, err := ic.ReadFile(g.file)
	if err != nil {
		return nil, usagef("--network: %w", err)
	}
	g.sum = extra.SHA256
	if want != "" && want != g.sum {
		return nil, usagef("%s is not the network that the run was begun with (its SHA-256 is %s…, not %s…)", g.file, g.sum[:12], want[:min(12, len(want))])
	}
	if g.proposer, err = ic.NewProposer(n, data); err != nil {
		return nil, usageError{err}
	}
	return func(engine.Draw) engine.Layer { return control.NewGuide(g.proposer.Pilot(), g.defensive) }, nil
}

// manifest is how the run directory names the network.
func (g *guidance) manifest() *rundir.NetworkFile {
	if g.file == "" {
		return nil
	}
	path, err := filepath.Abs(g.file)
	if err != nil {
		path = g.file
	}
	return &rundir.NetworkFile{File: path, SHA256: g.sum}
}

// Write implements tracing.Writer: it notes what the network did not know.
func (g *guidance) Write(_ context.Context, t *tracing.Trace) error {
	if g.proposer != nil {
		g.unseen.add(t)
	}
	return nil
}

// unseen counts what a network did not know.
type unseen struct {
	traces, hit uint64
	rel         tracing.Relative
	all, with   float64           // log of the sum of the weights of all traces, and of those that came to such addresses
	addresses   map[string]uint64 // how often
	met         uint64            // sites that the network proposed
}

func (u *unseen) add(t *tracing.Trace) {
	if t.Status != tracing.OK {
		return
	}
	if u.traces == 0 {
		u.all, u.with = math.Inf(-1), math.Inf(-1)
	}
	u.traces++
	lw := u.rel.Of(t)
	u.all = tracing.LogAdd(u.all, lw)
	hit := false
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Op == ppx.Sample && e.Origin == tracing.FromProposal {
			u.met++
		}
		if e.Op != ppx.Sample || !e.Control || e.Origin != tracing.FromPrior {
			continue
		}
		if d := t.Dist(i); d.Coarse() { // known, but not to be proposed
			continue
		}
		hit = true
		if u.addresses == nil {
			u.addresses = map[string]uint64{}
		}
		u.addresses[t.Table.Address(e.Address).Base]++
	}
	if hit {
		u.hit++
		u.with = tracing.LogAdd(u.with, lw)
	}
}

// share is the part of the weight that came to unseen addresses.
func (u *unseen) share() float64 {
	if u.hit == 0 || math.IsInf(u.with, -1) {
		return 0
	}
	return math.Min(1, math.Exp(u.with-u.all))
}

// warnings says in words what was not seen.
func (u *unseen) warnings() []string {
	if u.hit == 0 {
		return nil
	}
	var names []string
	for base := range u.addresses {
		names = append(names, base)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := int64(u.addresses[b]) - int64(u.addresses[a]); d != 0 {
			return int(max(-1, min(1, d)))
		}
		return strings.Compare(a, b)
	})
	more := ""
	total := len(names)
	if total > 5 {
		names, more = names[:5], fmt.Sprintf(" and %d more", total-5)
	}
	for i, n := range names {
		names[i] = fmt.Sprintf("%s (%s times)", clip(n, 60), thousands(u.addresses[n]))
	}
	advice := "train it with more traces"
	if u.met == 0 {
		advice = "none of its addresses was met: this is another program than it was trained with, or one that was edited or built anew since; train a network for it, or name the addresses yourself"
	}
	return []string{fmt.Sprintf("%s of %s traces came to addresses that the network did not meet in training, with %.3g %% of the weight, and drew from the prior there: %s%s; %s",
		thousands(u.hit), thousands(u.traces), 100*u.share(), strings.Join(names, ", "), more, advice)}
}
