package tracing

import (
	"fmt"
	"hash/fnv"
	"strings"
	"sync"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Address is the identity of a place where the simulator draws, observes or tags; a visit of it in a
// trace adds the instance (Key).
type Address struct {
	// Base is the simulator's address followed by the kind of distribution, "…__Normal"; a Categorical's
	// kind carries its number of categories, "…__Categorical(len_probs:3)", so that a site whose size
	// changes is another address. A statement without distribution has no suffix.
	Base string
	Op   ppx.Type // Sample, Observe or Tag
	Kind dist.Kind
	Hash uint64 // of Base and Op, the same in every process
}

// Role is the name of a statement's type: sample, observe or tag.
func Role(op ppx.Type) string { return strings.ToLower(op.String()) }

// OpByRole is the type of that name.
func OpByRole(role string) (op ppx.Type, ok bool) {
	for _, op := range []ppx.Type{ppx.Sample, ppx.Observe, ppx.Tag} {
		if Role(op) == role {
			return op, true
		}
	}
	return 0, false
}

// Key is the identity of a site within a trace: the visit number of an address, from 1.
type Key struct {
	Address  uint32 // in the trace's Table
	Instance uint32
}

// Table numbers the addresses and the names that a job's traces use, in the order in which they were met.
// It only grows. Safe for concurrent use.
type Table struct {
	mu        sync.RWMutex
	addresses []Address
	ids       map[addressKey]uint32
	names     []string
	nameIDs   map[string]uint32
}

type addressKey struct {
	base string
	op   ppx.Type
}

// NewTable returns an empty table; name 0 is "".
func NewTable() *Table {
	return &Table{ids: map[addressKey]uint32{}, names: []string{""}, nameIDs: map[string]uint32{"": 0}}
}

// Intern returns the number of an address, given its base.
func (t *Table) Intern(base string, op ppx.Type, kind dist.Kind) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := addressKey{base, op}
	id, ok := t.ids[k]
	if !ok {
		k.base = strings.Clone(base)
		h := fnv.New64a()
		_, _ = h.Write([]byte(k.base)) // never fails
		_, _ = h.Write([]byte{0, byte(op)})
		id = uint32(len(t.addresses))
		t.addresses = append(t.addresses, Address{Base: k.base, Op: op, Kind: kind, Hash: h.Sum64()})
		t.ids[k] = id
	}
	return id
}

// Address returns the address with a number that Intern gave.
func (t *Table) Address(id uint32) Address {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.addresses[id]
}

// Len is the number of addresses.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.addresses)
}

// ID identifies the address in every run and process: the hash of its base and operation.
func (a *Address) ID() int64 { return int64(a.Hash) }

// AppendIDs appends the IDs of the addresses from number len(ids) on.
func (t *Table) AppendIDs(ids []int64) []int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := len(ids); i < len(t.addresses); i++ {
		ids = append(ids, t.addresses[i].ID())
	}
	return ids
}

// AppendNames appends the names from number len(names) on.
func (t *Table) AppendNames(names []string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return append(names, t.names[len(names):]...)
}

// FindName is the number of a name, 0 where no trace has had it.
func (t *Table) FindName(name string) uint32 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.nameIDs[name]
}

// InternName returns the number of a name.
func (t *Table) InternName(name string) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.nameIDs[name]
	if !ok {
		name = strings.Clone(name)
		id = uint32(len(t.names))
		t.names = append(t.names, name)
		t.nameIDs[name] = id
	}
	return id
}

// Name returns the name with a number that InternName gave.
func (t *Table) Name(id uint32) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.names[id]
}

// Names is the number of names, "" included.
func (t *Table) Names() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.names)
}

// Label writes a key as people read it: the base, then "__2" from the second visit on.
func (t *Table) Label(k Key) string {
	base := t.Address(k.Address).Base
	if k.Instance == 1 {
		return base
	}
	return fmt.Sprintf("%s__%d", base, k.Instance)
}
