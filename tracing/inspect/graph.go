package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Places of what is no address in a graph.
const (
	Start = -1
	End   = -2
)

// GraphOptions are what a graph is made of.
type GraphOptions struct {
	Type string     // one trace type, as T1 or its number; "": all traces
	Most int        // addresses at most, those of the largest weight; 0: all
	Ops  []ppx.Type // kinds of statements; none: Samples and Observes
}

// Graph is how a run's traces go from address to address.
type Graph struct {
	Traces  uint64  // that it is made of
	Weight  float64 // share of all weight
	Nodes   []Node  // start and end first, then addresses, in the order of first appearance
	Edges   []Edge  // in the order of nodes
	LeftOut int     // addresses; what passes them goes on to the next that is shown
	Visits  float64 // share of the visits that are at addresses that were left out
}

// Node is an address, or Start or End.
type Node struct {
	Address
	PerTrace float64 // expected number of visits in a trace
}

// Edge is a transition from one statement to the next.
type Edge struct {
	From, To    int     // places of addresses, or Start and End
	Probability float64 // of going there from From
	PerTrace    float64 // expected number of them in a trace
}

// Graph counts the transitions of traces, by their weights: one of weight zero is not in it. Errors: ErrNoType, rundir's.
func (x *Run) Graph(ctx context.Context, o GraphOptions) (*Graph, error) {
	list, err := x.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	only, err := x.findType(ctx, o.Type)
	if err != nil {
		return nil, err
	}
	if len(o.Ops) == 0 {
		o.Ops = []ppx.Type{ppx.Sample, ppx.Observe}
	}
	g := &Graph{}
	list = slices.DeleteFunc(list, func(a Address) bool { return !slices.Contains(o.Ops, a.Op) })
	visits := make([]float64, len(x.Reader.Addresses())) // by place
	node := make([]bool, len(visits))
	for _, a := range list {
		node[a.Place] = true
	}
	total := 0.0
	// each gives the weight of the traces that count, and their addresses.
	each := func(f func(weight float64, c *rundir.Columns, from, to int)) error {
		g.Traces, total = 0, 0
		for c, err := range x.scan(ctx, rundir.Addresses) {
			if err != nil {
				return err
			}
			for d := range c.Draw {
				weight, shares := x.draw(c, d)
				if weight == 0 || only != nil && c.Type[d] != *only {
					continue
				}
				g.Traces += shares
				total += weight
				from, to := c.Sites(d)
				f(weight, c, from, to)
			}
		}
		return nil
	}
	if err := each(func(weight float64, c *rundir.Columns, from, to int) {
		for _, a := range c.Address[from:to] {
			if node[a] {
				visits[a] += weight
			}
		}
	}); err != nil {
		return nil, err
	}
	g.Weight = x.share(total)
	list = slices.DeleteFunc(list, func(a Address) bool { return visits[a.Place] == 0 })
	if o.Most > 0 && len(list) > o.Most {
		slices.SortStableFunc(list, func(a, b Address) int { return cmp.Compare(visits[b.Place], visits[a.Place]) })
		all, out := 0.0, 0.0
		for i, a := range list {
			all += visits[a.Place]
			if i >= o.Most {
				out += visits[a.Place]
				node[a.Place] = false
			}
		}
		g.LeftOut, g.Visits = len(list)-o.Most, out/all
		list = list[:o.Most]
		slices.SortFunc(list, func(a, b Address) int { return cmp.Compare(a.Place, b.Place) })
	}
	type pair struct{ from, to int }
	edges, leaving := map[pair]float64{}, map[int]float64{}
	if err := each(func(weight float64, c *rundir.Columns, from, to int) {
		at := Start
		pass := func(next int) {
			edges[pair{at, next}] += weight
			leaving[at] += weight
			at = next
		}
		for _, a := range c.Address[from:to] {
			if node[a] {
				pass(a)
			}
		}
		pass(End)
	}); err != nil {
		return nil, err
	}
	if total > 0 {
		g.Nodes = append(g.Nodes, Node{Address: Address{Place: Start}, PerTrace: 1}, Node{Address: Address{Place: End}, PerTrace: 1})
	}
	for _, a := range list {
		g.Nodes = append(g.Nodes, Node{a, visits[a.Place] / total})
	}
	for p, w := range edges {
		g.Edges = append(g.Edges, Edge{p.from, p.to, w / leaving[p.from], w / total})
	}
	order := func(place int) int { // the end is last
		if place == End {
			return math.MaxInt
		}
		return place
	}
	slices.SortFunc(g.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(order(a.From), order(b.From)), cmp.Compare(order(a.To), order(b.To)))
	})
	return g, nil
}

// ErrNoType says that a run has no trace type of a name.
var ErrNoType = errors.New("no trace type")

// findType is the number of a type that is given as T1, or by its number; nil: all.
func (x *Run) findType(ctx context.Context, name string) (*int64, error) {
	if name == "" {
		return nil, nil
	}
	place, short := -1, false
	if digits, ok := strings.CutPrefix(name, "T"); ok {
		if n, err := strconv.Atoi(digits); err == nil && n > 0 {
			place, short = n-1, true
		}
	}
	number, err := strconv.ParseUint(name, 16, 64)
	seen := map[int64]bool{}
	for c, e := range x.scan(ctx, 0) {
		if e != nil {
			return nil, e
		}
		for d := range c.Draw {
			id := c.Type[d]
			if _, shares := x.draw(c, d); c.Status[d] != tracing.OK || shares == 0 || seen[id] {
				continue
			}
			if short && len(seen) == place || !short && err == nil && uint64(id) == number {
				return &id, nil
			}
			seen[id] = true
		}
	}
	return nil, fmt.Errorf("%s: %w %s: it has T1 to T%d (ppx trace types)", x.Path, ErrNoType, ppx.Quote(name), len(seen))
}
