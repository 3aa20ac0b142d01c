package ppx

import (
	"fmt"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Elsewhere is how the Samples of a run are drawn where another process than the one that speaks PPX makes the run.
type Elsewhere struct {
	// Ask tells that every value is the Handler's: the engine is asked, values are kept from another run, or draws are inflated.
	Ask bool
	// Else Samples are drawn by the samplers of docs/random.md: from these numbers, the Statement being that of the next one.
	Seed, Stream, Draw, Statement uint64
}

// Outsourcer is a Handler of which another process may draw Samples.
type Outsourcer interface {
	Handler
	// Elsewhere is how the Samples of the present run are drawn.
	Elsewhere() Elsewhere
	// Given tells whether there are data of a name: then its values are the Handler's.
	Given(name string) bool
	// Drawn is Sample for a value that was drawn as Elsewhere says.
	Drawn(s *Statement, value Tensor) error
}

// Elsewhere implements Outsourcer.
func (r *remote) Elsewhere() Elsewhere {
	e := r.solo.elsewhere()
	e.Ask = r.solo.plan.Mode != Delegate || r.speaks < Extension || len(r.notes.reuse) > 0 || r.solo.inflates()
	return e
}

// elsewhere is what the samplers of another process need.
func (p *solo) elsewhere() Elsewhere {
	return Elsewhere{Seed: p.plan.Seed, Stream: p.plan.Stream, Draw: p.draw, Statement: p.statement}
}

// Given implements Outsourcer.
func (r *remote) Given(name string) bool { return r.solo.plan.Data.has(name) }

// Drawn implements Outsourcer.
func (r *remote) Drawn(s *Statement, value Tensor) error {
	s.Op = Sample
	if r.over {
		return ErrAborted
	}
	shape, n, err := r.solo.site(s)
	if err != nil {
		return r.refuse(s, err)
	}
	if len(value.Data) != n {
		return fmt.Errorf("%w: %s at %s: %d numbers were drawn where there are %d", ErrInvalid, s.Op, Quote(s.Address), len(value.Data), n)
	}
	v := Tensor{Data: value.Data, Shape: shape}
	f, err := r.form(s, &v)
	if err != nil {
		return err
	}
	r.notes.count(f.base)
	r.notes.count(f.name)
	r.solo.statement++
	return r.note(s, f, &v)
}

// inflates tells whether the run's draws are those of wider distributions.
func (p *solo) inflates() bool {
	if p.plan.Inflation > 0 && !p.decided {
		coin := p.stream(dist.StatementCoin, dist.PurposeProposal)
		p.decided, p.wide = true, coin.Float64() < p.plan.Inflation
	}
	return p.wide
}

// has tells whether there are data of a name; d may be nil.
func (d *Data) has(name string) bool { return d != nil && name != "" && d.byName[name] != nil }
