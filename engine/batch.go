package engine

import "errors"

// Batcher computes for many runs at once what their layers have asked for with Run.Later. It may be called from several
// goroutines.
type Batcher interface {
	// Flush answers requests; the layers are then asked again. A request's answer must not depend on the others.
	Flush(requests []any) error
}

// ErrLater is what Choose returns after Run.Later: the layer is asked again, for the same site, when its request has
// been answered.
var ErrLater = errors.New("to be asked again")

// Later is the requests of runs that wait together. The zero value is ready.
type Later struct {
	groups []laterGroup
}

type laterGroup struct {
	b        Batcher
	requests []any
}

func (l *Later) add(b Batcher, request any) {
	for i := range l.groups {
		if g := &l.groups[i]; g.b == b {
			g.requests = append(g.requests, request)
			return
		}
	}
	l.groups = append(l.groups, laterGroup{b, []any{request}})
}

// flush has all requests answered.
func (l *Later) flush() (err error) {
	kept := l.groups[:0]
	for _, g := range l.groups {
		if len(g.requests) == 0 { // its job may have ended
			continue
		}
		if err == nil {
			err = g.b.Flush(g.requests)
		}
		clear(g.requests)
		g.requests = g.requests[:0]
		kept = append(kept, g)
	}
	clear(l.groups[len(kept):])
	l.groups = kept
	return err
}
