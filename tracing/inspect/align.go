package inspect

import (
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Pair is a statement of two traces, by its index in each; −1 where one of them lacks it.
type Pair struct {
	A, B int
	Same bool // both have it, with the same distribution and value to the bit
}

// Align puts two traces side by side, statement by statement: those at the same address and instance stand beside each other, in an order that is that of both wherever the two do not contradict each other.
func Align(a, b *tracing.Trace) []Pair {
	type place struct {
		base     string
		instance uint32
		op       ppx.Type
	}
	of := func(t *tracing.Trace, i int) place {
		e := &t.Sites[i]
		return place{t.Table.Address(e.Address).Base, e.Instance, e.Op}
	}
	at := make(map[place]int, len(b.Sites))
	for j := range b.Sites {
		at[of(b, j)] = j
	}
	var out []Pair
	i, j := 0, 0
	for i < len(a.Sites) {
		// The next statement that both have: with the fewest left out.
		di, dj, best := -1, 0, len(a.Sites)+len(b.Sites)
		for d := 0; i+d < len(a.Sites) && d < best; d++ {
			if k, ok := at[of(a, i+d)]; ok && k >= j && d+k-j < best {
				di, dj, best = d, k-j, d+k-j
			}
		}
		if di < 0 {
			break
		}
		for range di {
			out = append(out, Pair{i, -1, false})
			i++
		}
		for range dj {
			out = append(out, Pair{-1, j, false})
			j++
		}
		out = append(out, Pair{i, j, same(a, i, b, j)})
		i, j = i+1, j+1
	}
	for ; i < len(a.Sites); i++ {
		out = append(out, Pair{i, -1, false})
	}
	for ; j < len(b.Sites); j++ {
		out = append(out, Pair{-1, j, false})
	}
	return out
}

// same compares two statements to the bit.
func same(a *tracing.Trace, i int, b *tracing.Trace, j int) bool {
	equal := func(x, y ppx.Tensor) bool {
		return slices.Equal(x.Shape, y.Shape) && slices.EqualFunc(x.Data, y.Data, func(u, v float64) bool { return u == v || u != u && v != v })
	}
	da, db := a.Dist(i), b.Dist(j)
	return da.Kind == db.Kind && slices.EqualFunc(da.Params, db.Params, equal) && equal(a.Value(i), b.Value(j))
}
