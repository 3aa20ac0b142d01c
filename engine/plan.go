package engine

import (
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Planner is a layer that makes no decision during the run: what it will answer can be told beforehand, so
// that a simulator that speaks the extension makes the run by itself, in one message (a delegated run). Plan
// adds to p what the simulator must know, and tells whether that is the whole truth for this run. The layer
// is then asked as always, when the statements have come, and its answers are compared with the
// simulator's; a value that it would draw it takes from Run.Drawn.
type Planner interface {
	Layer
	Plan(p *Plan) bool
}

// Plan is what a stack tells a simulator. The simulator answers a Sample with the data of its name, else
// with a value to reuse, else under prior inflation, else from the prior; layers in another order cannot be
// delegated.
type Plan struct {
	ppx.Plan
	stage int
}

const (
	planData = iota + 1
	planReuse
	planInflation
	planPrior
)

func (p *Plan) at(stage int) bool {
	ok := p.stage < stage
	p.stage = stage
	return ok
}

// Condition answers Samples with data of their name. Nobody may change d any more.
func (p *Plan) Condition(d *ppx.Data) bool {
	p.Data = d
	return p.at(planData)
}

// Repeat answers Samples with recorded values. Nobody may change u any more.
func (p *Plan) Repeat(u *ppx.Reuse) bool {
	p.Reuse = u
	return p.at(planReuse)
}

// Inflate draws from widened priors with probability eps.
func (p *Plan) Inflate(eps float64) bool {
	p.Inflation = eps
	return p.at(planInflation)
}

// Prior draws from the prior; every plan ends with it.
func (p *Plan) Prior() bool { return p.at(planPrior) }

// plan is how the simulator can make the run of a draw by itself; !ok: it cannot.
func plan(d Draw, s Stack) (p Plan, ok bool) {
	p.Mode, p.Seed, p.Stream = ppx.Delegate, d.Seed, d.Stream()
	for _, l := range s {
		if x, ok := l.(Planner); !ok || !x.Plan(&p) {
			return p, false
		}
	}
	return p, p.stage == planPrior
}

// bytes is about how large the message is that tells the simulator.
func (p *Plan) bytes() int {
	n := 0
	if p.Data != nil {
		n += p.Data.Bytes()
	}
	if p.Reuse != nil {
		n += p.Reuse.Bytes()
	}
	return n
}

// alike tells that runs of two plans can be made together; with own also such that have streams and values of their own.
func (p *Plan) alike(q *Plan, own bool) bool {
	return p.Seed == q.Seed && p.Data == q.Data && p.Inflation == q.Inflation && (own || p.Stream == q.Stream && p.Reuse == q.Reuse)
}

// OneRun takes one run of a session: a recorder that keeps its trace.
type OneRun struct {
	*Recorder
	Trace *tracing.Trace // after the run
}

var _ ppx.Runs = (*OneRun)(nil)

// Finish implements ppx.Runs.
func (o *OneRun) Finish(result ppx.Tensor, seconds float64) error {
	o.Trace = o.End(result, seconds)
	return nil
}
