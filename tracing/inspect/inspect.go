// Package inspect looks into recorded traces and returns plain structs; others print them, as text, JSON
// or pictures.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Run is a run that is looked into: with the weights of its draws, and what of it cannot be read.
type Run struct {
	*rundir.Reader
	Damaged []string // what cannot be read, and why; the rest is shown

	first  uint64
	weight []float64 // by row, relative to the largest: that of those that share its statements included
	shares []uint32  // how many draws have a row's statements
	total  float64
}

// Open opens a run, and reads its weights. Errors: rundir's.
func Open(ctx context.Context, path string) (*Run, error) {
	r, err := rundir.Open(path, nil)
	if err != nil {
		return nil, err
	}
	x := &Run{Reader: r, first: r.Manifest.First}
	var rel tracing.Relative
	var same []int64
	largest := math.Inf(-1)
	for c, err := range x.scan(ctx, 0) {
		if err != nil {
			return nil, err
		}
		for uint64(len(x.weight)) < c.First-x.first { // of a part that cannot be read
			x.weight, same = append(x.weight, math.Inf(-1)), append(same, tracing.NoRow)
		}
		for i := range c.Draw {
			lw := math.Inf(-1)
			if high := c.LogWeight[i]; c.Status[i] == tracing.OK && !math.IsNaN(high) && !math.IsInf(high, 1) {
				lw = rel.Log(high, c.LogWeightRest[i])
			}
			largest = math.Max(largest, lw)
			x.weight, same = append(x.weight, lw), append(same, c.SameAs[i])
		}
	}
	x.shares = make([]uint32, len(x.weight))
	for i, lw := range x.weight {
		x.weight[i] = 0
		if !math.IsInf(lw, -1) {
			x.weight[i] = math.Exp(lw - largest)
		}
		x.total += x.weight[i]
	}
	for i, s := range same {
		own := i
		if s != tracing.NoRow {
			own = int(s - int64(x.first))
			if own < 0 || own >= i {
				continue
			}
			x.weight[own] += x.weight[i]
			x.weight[i] = 0
		}
		x.shares[own]++
	}
	return x, nil
}

// scan is that of the draws that there were at Open, and notes what is damaged: an error only if nothing else is there.
func (x *Run) scan(ctx context.Context, want rundir.Want) iter.Seq2[*rundir.Columns, error] {
	return func(yield func(*rundir.Columns, error) bool) {
		var damage error
		read := false
		for c, err := range x.Scan(ctx, want) {
			if errors.Is(err, rundir.ErrDamaged) {
				damage = err
				_ = x.note(err) // which it is
				continue
			}
			if err == nil && x.shares != nil { // of a run that is being written there may be more by now
				known := len(x.weight) - int(c.First-x.first)
				c.Draw = c.Draw[:max(0, min(known, len(c.Draw)))]
			}
			read = true
			if !yield(c, err) || err != nil {
				return
			}
		}
		if !read && damage != nil {
			yield(nil, damage)
		}
	}
}

// note takes what cannot be read of a part, and gives back what is another error.
func (x *Run) note(err error) error {
	if !errors.Is(err, rundir.ErrDamaged) {
		return err
	}
	if text := err.Error(); !slices.Contains(x.Damaged, text) {
		x.Damaged = append(x.Damaged, text)
	}
	return nil
}

// draw is what is known of a draw: the weight, relative to the largest, and the number of all that have its statements.
func (x *Run) draw(c *rundir.Columns, i int) (weight float64, shares uint64) {
	at := c.First + uint64(i) - x.first
	return x.weight[at], uint64(x.shares[at])
}

// Weights are those of all draws whose statements are their own, relative to the largest: that of those that share them included.
func (x *Run) Weights() []float64 {
	var out []float64
	for i, w := range x.weight {
		if x.shares[i] > 0 {
			out = append(out, w)
		}
	}
	return out
}

// share is a part of all weight; NaN if there is none.
func (x *Run) share(weight float64) float64 { return weight / x.total }

// ShortAddress is what an address is called for short: the places of addresses are those of their first appearance in the run.
func ShortAddress(place int) string { return fmt.Sprintf("A%d", place+1) }

// Places are those of a run's addresses, by the hash of each.
func Places(r *rundir.Reader) map[uint64]int {
	out := map[uint64]int{}
	for i, a := range r.Addresses() {
		out[a.Hash] = i
	}
	return out
}

// ShortType is the same for trace types.
func ShortType(place int) string { return fmt.Sprintf("T%d", place+1) }

// Address is what the traces of a run did at an address.
type Address struct {
	tracing.Address
	Place     int // in the order of first appearance
	Names     []string
	Control   bool    // some visit allowed a proposal
	Traces    uint64  // that passed it
	Weight    float64 // their share of the weight
	Visits    uint64
	Instances uint32  // most visits in one trace
	Mean      float64 // of one-element values, by the weights of their traces; NaN without any of weight
	SD        float64

	values, m2 float64
	last       int    // trace that passed it last
	here       uint32 // visits in it
}

// maxNames bounds the names listed for an address.
const maxNames = 20

// Addresses returns every address that was passed, in the order of first appearance.
func (x *Run) Addresses(ctx context.Context) ([]Address, error) { return x.addresses(ctx, false) }

// Folded returns the places in the code as people and networks tell them apart: Categoricals of different lengths at one address are one, draws
// of different names there are several, unless the names differ by numbers alone (tracing.Fold, tracing.Stem).
func (x *Run) Folded(ctx context.Context) ([]Address, error) { return x.addresses(ctx, true) }

// folding finds the row of a statement.
type folding struct {
	rows   []Address
	byKey  map[string]int
	byPart map[[2]uint32]int // by address and name, as a part numbers them
}

func (f *folding) row(list []tracing.Address, address int, name uint32, text func() string) int {
	if f.byKey == nil { // a row is an address
		return address
	}
	at := [2]uint32{uint32(address), name}
	row, ok := f.byPart[at]
	if !ok {
		a := &list[address]
		k := fmt.Sprint(a.Op, tracing.Fold(a.Base), "|", tracing.Stem(text()))
		if row, ok = f.byKey[k]; !ok {
			row = len(f.rows)
			f.byKey[k] = row
			f.rows = append(f.rows, Address{Address: *a, Place: address})
		}
		if r := &f.rows[row]; r.Base != a.Base {
			r.Base = tracing.Fold(a.Base)
		}
		f.byPart[at] = row
	}
	return row
}

// addresses returns the addresses, folded or not.
func (x *Run) addresses(ctx context.Context, folded bool) ([]Address, error) {
	var f folding
	if folded {
		f.byKey = map[string]int{}
	}
	var named []int // by code of a name: the row that had it last
	n := 0
	for c, err := range x.scan(ctx, rundir.Addresses|rundir.Instances|rundir.Names|rundir.Controls|rundir.Values) {
		if err != nil {
			return nil, err
		}
		list := x.Reader.Addresses()
		for i := len(f.rows); i < len(list) && !folded; i++ {
			f.rows = append(f.rows, Address{Address: list[i], Place: i})
		}
		named = named[:0] // names have other codes in each part
		f.byPart = map[[2]uint32]int{}
		for d := range c.Draw {
			weight, shares := x.draw(c, d)
			n++
			from, to := c.Sites(d)
			for s := from; s < to; s++ {
				code := c.NameCode(s)
				row := f.row(list, c.Address[s], uint32(code), func() string { return c.Name(s) })
				a := &f.rows[row]
				if a.Visits += shares; a.last != n {
					a.last, a.here = n, 0
					a.Traces += shares
					a.Weight += weight
				}
				a.here++
				a.Instances = max(a.Instances, a.here)
				a.Control = a.Control || c.Control[s]
				for int(code) >= len(named) {
					named = append(named, -1)
				}
				if named[code] != row {
					named[code] = row
					if name := c.Name(s); name != "" && len(a.Names) < maxNames && !slices.Contains(a.Names, name) {
						a.Names = append(a.Names, name)
					}
				}
				if v, ok := c.One(s); ok && weight > 0 {
					k := weight
					a.values += k
					if a.values == k {
						a.Mean = v
					}
					d := v - a.Mean
					a.Mean += d * k / a.values
					a.m2 += k * d * (v - a.Mean)
				}
			}
		}
	}
	all := f.rows
	out := all[:0]
	for i := range all {
		a := &all[i]
		if a.Weight = x.share(a.Weight); a.Visits == 0 {
			continue
		}
		a.SD = math.Sqrt(a.m2 / a.values)
		if a.values == 0 {
			a.Mean, a.SD = math.NaN(), math.NaN()
		}
		out = append(out, *a)
	}
	return out, nil
}

// Type is a trace type: the traces that pass the same addresses in the same order, tags apart.
type Type struct {
	ID     uint64 // tracing.Trace.Type
	Place  int    // in the order of first appearance
	Traces uint64
	Weight float64 // fraction of the total weight
	Length int     // statements, tags included
	First  uint64  // the first draw of this type; of chains and particles its row
	// Controlled is the number of Samples that allow a proposal.
	Controlled int
}

// Types returns the trace types, in the order of first appearance.
func (x *Run) Types(ctx context.Context) ([]Type, error) {
	at := map[int64]int{}
	var out []Type
	var damage error // of statements, of which none could be read
	read := false
	for c, err := range x.scan(ctx, 0) {
		if err != nil {
			return nil, err
		}
		for d := range c.Draw {
			weight, shares := x.draw(c, d)
			if c.Status[d] != tracing.OK || shares == 0 {
				continue
			}
			k, ok := at[c.Type[d]]
			if !ok {
				k = len(out)
				at[c.Type[d]] = k
				t := Type{ID: uint64(c.Type[d]), Place: k, Length: int(c.Length[d]), First: uint64(c.Draw[d])}
				if m := x.Manifest; m.Chains != nil || m.Particles != nil { // whose draws have no numbers of their own
					t.First = c.First + uint64(d)
				}
				if err := c.More(rundir.Addresses | rundir.Controls); err != nil {
					if e := x.note(err); e != nil {
						return nil, e
					}
					damage = err
					out = append(out, t)
					out[k].Traces, out[k].Weight = shares, weight
					continue
				}
				read = true
				list := x.Reader.Addresses()
				from, to := c.Sites(d)
				for s := from; s < to; s++ {
					if c.Control[s] && list[c.Address[s]].Op == ppx.Sample {
						t.Controlled++
					}
				}
				out = append(out, t)
			}
			out[k].Traces += shares
			out[k].Weight += weight
		}
	}
	if damage != nil && !read {
		return nil, damage
	}
	for k := range out {
		out[k].Weight = x.share(out[k].Weight)
	}
	return out, nil
}
