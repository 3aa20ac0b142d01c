package conform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// What looks like a rejection loop: the same addresses, once and several times in a row, where the values of a pass that is not the last do not matter: with those
// of another trace's the run goes on as it did.

const (
	maxSeen   = 200   // traces that are looked at
	maxSites  = 5_000 // of these
	maxPeriod = 16    // Samples of a pass
	swaps     = 3     // that must leave the rest as it is
)

// passes are some in a row.
type passes struct {
	t      *tracing.Trace
	at     []int // entries of the Samples of all of them
	period int
}

func (p *passes) count() int { return len(p.at) / p.period }

// repeats are the passes of a trace, by the addresses of one.
func repeats(t *tracing.Trace, into map[string][]passes) {
	var at []int
	for i := range t.Sites {
		if t.Sites[i].Op == ppx.Sample {
			at = append(at, i)
		}
	}
	same := func(a, b, n int) bool {
		for k := range n {
			if t.Sites[at[a+k]].Address != t.Sites[at[b+k]].Address {
				return false
			}
		}
		return true
	}
	for i := 0; i < len(at); {
		found := false
		for p := 1; p <= maxPeriod && i+2*p <= len(at); p++ {
			n := 1
			for i+(n+1)*p <= len(at) && same(i, i+n*p, p) {
				n++
			}
			if n > 1 {
				key := cycle(t, at[i:i+p])
				into[key] = append(into[key], passes{t, at[i : i+n*p], p})
				i += n * p
				found = true
				break
			}
		}
		if !found {
			i++
		}
	}
}

func cycle(t *tracing.Trace, at []int) string {
	var b strings.Builder
	for _, i := range at {
		fmt.Fprintf(&b, "%d ", t.Sites[i].Address)
	}
	return b.String()
}

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
	found := map[string][]passes{}
	for _, t := range c.seen {
		for i := range t.Sites {
			if start, _ := tracing.Mark(t.Sites[i].Op, table.Address(t.Sites[i].Address).Base); start { // whoever marks one knows
				return
			}
		}
		repeats(t, found)
	}
	var lines []string
	for _, list := range found {
		if len(list) < 2 || !slices.ContainsFunc(list, func(p passes) bool { return p.count() != list[0].count() }) && len(list) == len(c.seen) {
			continue // always as many
		}
		if list[0].count() > 1 && c.indifferent(ctx, table, list) {
			lines = append(lines, ppx.Quote(table.Address(list[0].t.Sites[list[0].at[0]].Address).Base))
		}
	}
	if slices.Sort(lines); len(lines) > 0 {
		c.rule("rejection loops", nil, "what begins at %s looks like one, as the values of passes before the last make no difference: where a network's weights collapse there, mark it by rs_start and rs_end", strings.Join(lines, ", "))
	}
}

// indifferent tells whether runs go on as they did with the first pass of others.
func (c *checker) indifferent(ctx context.Context, table *tracing.Table, list []passes) bool {
	for k := range min(swaps, len(list)-1) {
		p, other := &list[k], &list[k+1]
		w := swap{}
		for i := range p.period {
			w[p.at[i]] = other.t.Value(other.at[i]).Data
		}
		t, _, err := c.run(ctx, table, engine.Draw{Seed: c.seed, Index: p.t.Draw}, engine.Stack{w, control.NewReplay(p.t), control.Prior{}})
		if err != nil || len(t.Sites) != len(p.t.Sites) {
			return false
		}
		for i := range t.Sites {
			a, b := &t.Sites[i], &p.t.Sites[i]
			if _, swapped := w[i]; swapped {
				continue
			}
			if a.Key != b.Key || a.LogP != b.LogP || !t.Value(i).Same(p.t.Value(i)) {
				return false
			}
		}
		if !t.Result.Same(p.t.Result) {
			return false
		}
	}
	return true
}
