package inspect

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// AddressChange is an address in two runs.
type AddressChange struct {
	A, B             *Address // nil: that run never passes it
	WeightA, WeightB float64  // 0 where it is never passed
}

// TypeChange is a trace type in two runs.
type TypeChange struct {
	A, B             *Type
	WeightA, WeightB float64
}

// Changes are the addresses and trace types of two runs, those whose share of the weight differs most first.
func Changes(ctx context.Context, a, b *Run) (addresses []AddressChange, types []TypeChange, err error) {
	x, err := a.Addresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	y, err := b.Addresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	at := map[uint64]int{}
	for i := range x {
		at[x[i].Hash] = len(addresses)
		addresses = append(addresses, AddressChange{A: &x[i], WeightA: x[i].Weight})
	}
	for i := range y {
		k, ok := at[y[i].Hash]
		if !ok {
			k = len(addresses)
			addresses = append(addresses, AddressChange{})
		}
		addresses[k].B, addresses[k].WeightB = &y[i], y[i].Weight
	}
	s, err := a.Types(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := b.Types(ctx)
	if err != nil {
		return nil, nil, err
	}
	clear(at)
	for i := range s {
		at[s[i].ID] = len(types)
		types = append(types, TypeChange{A: &s[i], WeightA: s[i].Weight})
	}
	for i := range t {
		k, ok := at[t[i].ID]
		if !ok {
			k = len(types)
			types = append(types, TypeChange{})
		}
		types[k].B, types[k].WeightB = &t[i], t[i].Weight
	}
	slices.SortStableFunc(addresses, func(p, q AddressChange) int {
		return cmp.Compare(math.Abs(q.WeightB-q.WeightA), math.Abs(p.WeightB-p.WeightA))
	})
	slices.SortStableFunc(types, func(p, q TypeChange) int {
		return cmp.Compare(math.Abs(q.WeightB-q.WeightA), math.Abs(p.WeightB-p.WeightA))
	})
	return addresses, types, nil
}
