package tracing_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// An address is a base and a statement's type: the same number for the same, numbered as they are met.
func TestAddressesAreNumberedAsTheyAreMet(t *testing.T) {
	table := tracing.NewTable()
	met := []struct {
		base string
		op   ppx.Type
		kind dist.Kind
	}{
		{"a__Normal", ppx.Sample, dist.Normal}, {"a__Normal", ppx.Observe, dist.Normal}, {"", ppx.Tag, dist.None}, {"a", ppx.Tag, dist.None},
		{"a__Poisson", ppx.Sample, dist.Poisson}, {"\xff\x00", ppx.Sample, dist.Beta},
	}
	for range 2 { // the second time nothing is new
		for i, m := range met {
			if id := table.Intern(m.base, m.op, m.kind); id != uint32(i) {
				t.Errorf("%q %v has number %d, want %d", m.base, m.op, id, i)
			}
		}
	}
	if table.Len() != len(met) {
		t.Errorf("%d addresses, want %d", table.Len(), len(met))
	}
	hashes := map[uint64]bool{}
	other := tracing.NewTable()
	for i := len(met) - 1; i >= 0; i-- { // another order
		other.Intern(met[i].base, met[i].op, met[i].kind)
	}
	for i, m := range met {
		a := table.Address(uint32(i))
		if a.Base != m.base || a.Op != m.op || a.Kind != m.kind {
			t.Errorf("address %d is %+v, want %+v", i, a, m)
		}
		if b := other.Address(uint32(len(met) - 1 - i)); a != b {
			t.Errorf("address %+v is %+v in another table", a, b)
		}
		hashes[a.Hash] = true
	}
	if len(hashes) != len(met) {
		t.Errorf("%d hashes of %d addresses", len(hashes), len(met))
	}
}

// Name 0 is that of statements without one.
func TestNamesAreNumberedAsTheyAreMet(t *testing.T) {
	table := tracing.NewTable()
	if table.Names() != 1 || table.Name(0) != "" {
		t.Errorf("an empty table has %d names, the first %q", table.Names(), table.Name(0))
	}
	names := []string{"", "x", "y", "x@2", "µ\xff", "X"}
	for range 2 {
		for i, name := range names {
			if id := table.InternName(name); id != uint32(i) || table.Name(id) != name {
				t.Errorf("%q has number %d, which is %q", name, id, table.Name(id))
			}
		}
	}
	if table.Names() != len(names) {
		t.Errorf("%d names, want %d", table.Names(), len(names))
	}
}

func TestLabels(t *testing.T) {
	table := tracing.NewTable()
	id := table.Intern("f__Normal", ppx.Sample, dist.Normal)
	for instance, want := range map[uint32]string{1: "f__Normal", 2: "f__Normal__2", 1000: "f__Normal__1000"} {
		if got := table.Label(tracing.Key{Address: id, Instance: instance}); got != want {
			t.Errorf("visit %d: %s, want %s", instance, got, want)
		}
	}
	for _, c := range [][2]string{
		{tracing.Role(ppx.Sample), "sample"}, {tracing.Role(ppx.Observe), "observe"}, {tracing.Role(ppx.Tag), "tag"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s, want %s", c[0], c[1])
		}
	}
}

// All goroutines get the same number for the same address and name, and every number means something at once.
func TestTableIsSharedByGoroutines(t *testing.T) {
	const goroutines, n = 8, 300
	table := tracing.NewTable()
	var addresses, names [goroutines][n]uint32
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			// Each meets them in an order of its own.
			for _, i := range rand.New(rand.NewPCG(uint64(g), 1)).Perm(n) {
				base, name := fmt.Sprint("address ", i/2), fmt.Sprint("name ", i)
				op := [2]ppx.Type{ppx.Sample, ppx.Observe}[i%2]
				addresses[g][i], names[g][i] = table.Intern(base, op, dist.Normal), table.InternName(name)
				if a := table.Address(addresses[g][i]); a.Base != base || a.Op != op {
					t.Errorf("%s %v has number %d, which is %+v", base, op, addresses[g][i], a)
				}
				if got := table.Name(names[g][i]); got != name {
					t.Errorf("%s has number %d, which is %s", name, names[g][i], got)
				}
				if l := table.Label(tracing.Key{Address: addresses[g][i], Instance: 1}); l != base {
					t.Errorf("%s is labelled %s", base, l)
				}
				if table.Len() > n || table.Names() > n+1 {
					t.Errorf("%d addresses and %d names", table.Len(), table.Names())
				}
			}
		})
	}
	wg.Wait()
	for g := range goroutines {
		if addresses[g] != addresses[0] || names[g] != names[0] {
			t.Errorf("goroutine %d was given other numbers", g)
		}
	}
	if table.Len() != n || table.Names() != n+1 {
		t.Errorf("%d addresses and %d names, want %d and %d", table.Len(), table.Names(), n, n+1)
	}
}
