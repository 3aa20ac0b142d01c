package ic

import "github.com/ppx-engine/ppx-engine/tracing"

// named is what a place is told by: numbers of an address and of a name.
type named struct{ address, name uint32 }

// maxStems is how many kinds of names a place has of its own: names that are made up without end share the first.
const maxStems = 256

// at finds the place of a base and a stem; nil: there is none.
func (n *Network[T]) at(base, stem string) (found *Address) {
	list := n.byPlace[tracing.Fold(base)]
	for _, p := range list {
		switch {
		case p.Stem == stem && p.Base == base: // also of a file in which lengths are places
			return p
		case p.Stem == stem && found == nil:
			found = p
		}
	}
	if found != nil {
		return found
	}
	for _, p := range list {
		if p.Base == base && p.Stem == "" || len(list) >= maxStems { // of a file from before names told places apart
			return p
		}
	}
	return nil
}

// layer is what the layers of a place are called.
func (p *Address) layer() string {
	if p.second {
		return "place." + p.Base + "|" + p.Stem
	}
	return "place." + p.Base
}
