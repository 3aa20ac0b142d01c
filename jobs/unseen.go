package jobs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Unseen counts what a network did not know.
type Unseen struct {
	traces, hit uint64
	rel         tracing.Relative
	all, with   float64                      // log of the sum of the weights of all traces, and of those that came to such addresses
	addresses   map[string]uint64            // how often
	met         uint64                       // sites that the network proposed
	known       func(base, name string) bool // whether the network was trained there; nil: what was not proposed was not
}

// Write implements tracing.Writer.
func (u *Unseen) Write(_ context.Context, t *tracing.Trace) error {
	if t.Status != tracing.OK {
		return nil
	}
	if u.traces == 0 {
		u.all, u.with = math.Inf(-1), math.Inf(-1)
	}
	u.traces++
	lw := u.rel.Of(t)
	u.all = tracing.LogAdd(u.all, lw)
	hit := false
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Op == ppx.Sample && e.Origin == tracing.FromProposal {
			u.met++
		}
		if e.Op != ppx.Sample || !e.Control || e.Origin != tracing.FromPrior {
			continue
		}
		if d := t.Dist(i); d.Coarse() || e.Kind.Own() { // known, but not to be proposed
			continue
		}
		base := t.Table.Address(e.Address).Base
		if u.known != nil && u.known(base, t.Table.Name(e.Name)) { // as what a chain has drawn afresh
			continue
		}
		hit = true
		if u.addresses == nil {
			u.addresses = map[string]uint64{}
		}
		u.addresses[base]++
	}
	if hit {
		u.hit++
		u.with = tracing.LogAdd(u.with, lw)
	}
	return nil
}

var _ tracing.Writer = (*Unseen)(nil)

// Share is the part of the weight that came to unseen addresses.
func (u *Unseen) Share() float64 {
	if u.hit == 0 || math.IsInf(u.with, -1) {
		return 0
	}
	return math.Min(1, math.Exp(u.with-u.all))
}

// Warnings says in words what was not seen.
func (u *Unseen) Warnings() []string {
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
		names[i] = fmt.Sprintf("%s (%s times)", text.Clip(n, 60), text.Thousands(u.addresses[n]))
	}
	advice := "train it with more traces"
	if u.met == 0 {
		advice = "none of its addresses was met: this is another program than it was trained with, or one that was edited or built anew since; train a network for it, or name the addresses yourself"
	}
	return []string{fmt.Sprintf("%s of %s traces came to addresses that the network did not meet in training, with %.3g %% of the weight, and drew from the prior there: %s%s; %s",
		text.Thousands(u.hit), text.Thousands(u.traces), 100*u.Share(), strings.Join(names, ", "), more, advice)}
}
