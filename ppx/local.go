package ppx

// Local answers one run without an engine: it draws by itself, as a delegated run does. It implements Outsourcer.
type Local struct{ solo solo }

// NewLocal is the run of a draw of a seed and a stream.
func NewLocal(seed, stream, draw uint64) *Local {
	l := &Local{}
	l.solo.plan = Plan{Seed: seed, Stream: stream, Draws: []uint64{draw}}
	l.solo.begin(0)
	return l
}

// Sample implements Handler.
func (l *Local) Sample(s *Statement) (Tensor, error) {
	s.Op = Sample
	shape, n, err := l.solo.site(s)
	if err != nil {
		return Tensor{}, err
	}
	v, err := l.solo.answer(s, shape, n, Tensor{}, Tensor{})
	l.solo.statement++
	return v, err
}

// Observe implements Handler.
func (l *Local) Observe(*Statement) error { l.solo.statement++; return nil }

// Tag implements Handler.
func (l *Local) Tag(*Statement) error { l.solo.statement++; return nil }

// Elsewhere implements Outsourcer.
func (l *Local) Elsewhere() Elsewhere { return l.solo.elsewhere() }

// Given implements Outsourcer.
func (l *Local) Given(string) bool { return false }

// Drawn implements Outsourcer.
func (l *Local) Drawn(s *Statement, _ Tensor) error {
	s.Op = Sample
	_, _, err := l.solo.site(s)
	l.solo.statement++
	return err
}
