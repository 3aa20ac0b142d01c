package inspect

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Change is an address, or a trace type, in two runs.
type Change[T any] struct {
	A, B             *T      // nil: that run never passes it
	WeightA, WeightB float64 // 0 there
}

// Changes are the addresses and trace types of two runs, those whose share of the weight differs most first.
func Changes(ctx context.Context, a, b *Run) (addresses []Change[Address], types []Change[Type], err error) {
	x, err := a.Addresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	y, err := b.Addresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := a.Types(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := b.Types(ctx)
	if err != nil {
		return nil, nil, err
	}
	return changed(x, y, func(v *Address) (uint64, float64) { return v.Hash, v.Weight }), changed(s, t, func(v *Type) (uint64, float64) { return v.ID, v.Weight }), nil
}

// changed puts what two runs have side by side; of tells what is the same, and its weight.
func changed[T any](a, b []T, of func(*T) (id uint64, weight float64)) (out []Change[T]) {
	at := map[uint64]int{}
	for i := range a {
		id, weight := of(&a[i])
		at[id] = len(out)
		out = append(out, Change[T]{A: &a[i], WeightA: weight})
	}
	for i := range b {
		id, weight := of(&b[i])
		k, ok := at[id]
		if !ok {
			k = len(out)
			out = append(out, Change[T]{})
		}
		out[k].B, out[k].WeightB = &b[i], weight
	}
	slices.SortStableFunc(out, func(p, q Change[T]) int {
		return cmp.Compare(math.Abs(q.WeightB-q.WeightA), math.Abs(p.WeightB-p.WeightA))
	})
	return out
}
