package conform

import (
	"context"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
)

// What looks like a rejection loop: the same addresses, once and several times in a row, where the values of a pass that is not the last do not matter: with those
// of another trace's the run goes on as it did.

const (
	maxSeen  = 200   // traces that are looked at
	maxSites = 5_000 // of these
	swaps    = 3     // that must leave the rest as it is
)

// swap answers some statements with values of another trace's.
type swap map[int][]float64

// Choose implements engine.Layer.
func (w swap) Choose(_ *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	v, ok := w[s.Index]
	if !ok || len(v) != s.Len {
		return engine.Choice{}, false, nil
	}
	return engine.Choice{Value: v, Origin: tracing.Reused}, true, nil
}

// loops tells of what looks like a rejection loop that is not marked.
func (c *checker) loops(ctx context.Context, table *tracing.Table) {
	found := map[string][]inspect.Passes{}
	for _, t := range c.seen {
		if t.MarksLoops() { // whoever marks one knows
			return
		}
		inspect.Repeats(t, found)
	}
	var lines []string
	for _, list := range found {
		if len(list) < 2 || !slices.ContainsFunc(list, func(p inspect.Passes) bool { return p.Count() != list[0].Count() }) && len(list) == len(c.seen) {
			continue // always as many
		}
		if list[0].Count() > 1 && c.indifferent(ctx, table, list) {
			lines = append(lines, ppx.Quote(list[0].Base()))
		}
	}
	if slices.Sort(lines); len(lines) > 0 {
		c.rule("rejection loops", nil, "what begins at %s looks like one, as the values of passes before the last make no difference: where a network's weights collapse there, mark it by rs_start and rs_end", strings.Join(lines, ", "))
	}
}

// indifferent tells whether runs go on as they did with the first pass of others.
func (c *checker) indifferent(ctx context.Context, table *tracing.Table, list []inspect.Passes) bool {
	for k := range min(swaps, len(list)-1) {
		p, other := &list[k], &list[k+1]
		w := swap{}
		for i := range p.Period {
			w[p.At[i]] = other.Trace.Value(other.At[i]).Data
		}
		t, _, err := c.run(ctx, table, engine.Draw{Seed: c.seed, Index: p.Trace.Draw}, engine.Stack{w, control.NewReplay(p.Trace), control.Prior{}})
		if err != nil || len(t.Sites) != len(p.Trace.Sites) {
			return false
		}
		for i := range t.Sites {
			a, b := &t.Sites[i], &p.Trace.Sites[i]
			if _, swapped := w[i]; swapped {
				continue
			}
			if a.Key != b.Key || a.LogP != b.LogP || !t.Value(i).Same(p.Trace.Value(i)) {
				return false
			}
		}
		if !t.Result.Same(p.Trace.Result) {
			return false
		}
	}
	return true
}
