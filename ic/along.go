package ic

import (
	"slices"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Along is what the network proposes for the sites of recorded traces, each given what the trace has before it: by trace and entry, nil where it proposes
// nothing. These are the proposals that a run would have had that drew these values.
func (p *Proposer) Along(traces []*tracing.Trace) [][]control.Proposal {
	out := make([][]control.Proposal, len(traces))
	walks := make([]walk, len(traces))
	var going []*walk
	for i, t := range traces {
		out[i] = make([]control.Proposal, len(t.Sites))
		walks[i] = walk{pilot: &pilot{p: p}, t: t, sofar: *t, proposals: out[i]}
		going = append(going, &walks[i])
	}
	for {
		going = slices.DeleteFunc(going, func(w *walk) bool { return !w.next() })
		if len(going) == 0 {
			return out
		}
		requests := make([]any, len(going))
		for i, w := range going {
			requests[i] = w.pilot
		}
		_ = p.Flush(requests) // which has no errors
		for _, w := range going {
			w.keep()
		}
	}
}

// walk follows a recorded trace.
type walk struct {
	pilot     *pilot
	t         *tracing.Trace
	sofar     tracing.Trace // what comes before entry at
	at        int
	proposals []control.Proposal
}

// next goes to the next site that the network proposes for; false after the last.
func (w *walk) next() bool {
	for ; w.at < len(w.t.Sites); w.at++ {
		e := &w.t.Sites[w.at]
		if !guides(e) || e.Origin.Scored() {
			continue
		}
		v := w.t.Value(w.at)
		w.sofar.Sites = w.t.Sites[:w.at]
		at := engine.Site{Statement: &ppx.Statement{Name: w.t.Table.Name(e.Name), Dist: w.t.Dist(w.at)}, Index: w.at, Key: e.Key, Shape: v.Shape, Len: v.Len()}
		if w.pilot.arrive(&w.sofar, &at) {
			return true
		}
	}
	return false
}

// keep takes the present proposal out of the walk.
func (w *walk) keep() {
	q := w.pilot.proposal
	q.site.shape = slices.Clone(q.site.shape)
	q.numbers = slices.Clone(q.numbers)
	q.site.numbers, q.rows = q.numbers, slices.Clone(q.rows)
	w.proposals[w.at] = &q
	w.at++
}
