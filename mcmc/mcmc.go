// Package mcmc is Markov chain Monte Carlo over traces of any structure: single-site Metropolis-Hastings (D. Wingate, A. Stuhlmüller and N. Goodman,
// "Lightweight implementations of probabilistic programming languages via transformational compilation", 2011), with new values from the prior (LMH), or in
// half of the steps from the neighbourhood of the present one (RMH). A step is one run of the simulator.
package mcmc

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Errors of chains.
var (
	// ErrStart says that no trace of the prior has a finite weight.
	ErrStart = errors.New("no start for a chain")
	// ErrFixed says that a trace has no Sample that could move.
	ErrFixed = errors.New("nothing to move")
	// ErrPath says that the simulator did something else before the site that moved: it is not deterministic.
	ErrPath = errors.New("the simulator is not deterministic")
)

// Kernel is a chain's settings: what it conditions on, and how it moves. Safe for concurrent use by several chains.
type Kernel struct {
	Seed uint64
	Kind dist.StreamKind // of random numbers
	Data control.Data
	// Condition scores Observes that bring their own value, and are not in Data, at that value.
	Condition bool
	// Walk is the probability of a step from the neighbourhood of the present value, where the family has one: 0 is LMH. Never 1: the prior
	// connects what walks do not.
	Walk float64
	// Beta is the exponent of the likelihood; 0 means 1.
	Beta float64

	condition *control.Condition
}

// Scales are the sizes of walks by address base, in standard deviations of the prior.
type Scales map[string]float64

// of is the scale at an address.
func (s Scales) of(base string) float64 {
	if x, ok := s[base]; ok {
		return x
	}
	return firstScale
}

const (
	firstScale = 0.5
	wanted     = 0.35 // acceptance of walks in one dimension
	maxTries   = 10_000
	maxFailed  = 10      // of those: more of them, if they are the half, are no bad luck
	firstStep  = 1 << 32 // the draw of step 0: before it are those that look for a start
)

// State is where a chain stands.
type State struct {
	Trace  *tracing.Trace
	Scales Scales
	moves  []int // sites that can move
	at     map[tracing.Key]int
}

// Info is what a step did.
type Info struct {
	Base     string // address of the site that was to move
	Walked   bool   // whether it was a walk
	Accepted bool
	Failed   bool // the run did
	LogRatio float64
}

// NewKernel returns a kernel that is ready.
func NewKernel(k Kernel) *Kernel {
	k.condition = control.NewCondition(k.Data, k.Condition)
	return &k
}

// Resume is the state of a chain at a trace that was recorded, or made by another method.
func (k *Kernel) Resume(t *tracing.Trace, scales Scales) *State {
	s := &State{Trace: t, Scales: scales, at: make(map[tracing.Key]int, len(t.Sites))}
	if s.Scales == nil {
		s.Scales = Scales{}
	}
	for i := range t.Sites {
		e := &t.Sites[i]
		s.at[e.Key] = i
		if e.Op == ppx.Sample && !e.Origin.Scored() && e.Kind != dist.None && t.Value(i).Len() > 0 {
			s.moves = append(s.moves, i)
		}
	}
	return s
}

// Start draws from the prior until a trace has a finite weight. Errors: ErrStart, ErrFixed, those of the executor.
func (k *Kernel) Start(ctx context.Context, x engine.Executor, chain uint32) (*State, error) {
	stack := engine.Stack{k.condition, control.Prior{}}
	failed := 0
	for i := range uint64(maxTries) {
		t, err := x.Execute(ctx, engine.Task{Draw: k.draw(chain, i), Stack: func(engine.Draw) engine.Stack { return stack }})
		switch {
		case errors.Is(err, engine.ErrGivenUp):
			if failed++; failed > 2 && failed == int(i)+1 || failed > maxFailed && 2*failed > int(i) {
				return nil, fmt.Errorf("%d of the first %d runs failed: %w", failed, i+1, err)
			}
			continue
		case err != nil:
			return nil, err
		}
		if w := k.logTarget(t); !math.IsInf(w, 0) && !math.IsNaN(w) {
			s := k.Resume(t, nil)
			if len(s.moves) == 0 {
				return nil, fmt.Errorf("%w: the run has no Sample that is not fixed by data", ErrFixed)
			}
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: none of %d draws of the prior is possible under the data", ErrStart, maxTries)
}

// draw names the runs of a chain.
func (k *Kernel) draw(chain uint32, index uint64) engine.Draw {
	return engine.Draw{Seed: k.Seed, Kind: k.Kind, Chain: chain, Index: index}
}

// beta is the exponent of the likelihood.
func (k *Kernel) beta() float64 {
	if k.Beta == 0 {
		return 1
	}
	return k.Beta
}

// logTarget is the log density of a trace, but for what is drawn from the prior.
func (k *Kernel) logTarget(t *tracing.Trace) float64 { return k.beta() * t.LogLikelihood }

// Step makes one step of a chain, which is all that is random in it: a site is chosen, takes a new value, the simulator runs, and the new trace is
// taken or not. With adapt the scale of the site's address moves towards the acceptance that walks should have: only before what is kept. A run that fails
// is a step that is not taken.
func (k *Kernel) Step(ctx context.Context, x engine.Executor, chain uint32, step uint64, s *State, adapt bool) (*State, Info, error) {
	d := k.draw(chain, firstStep+step)
	choose := dist.NewStream(k.Seed, d.Stream(), dist.StatementCoin, d.Index, dist.PurposeAccept)
	site := s.moves[int(choose.Float64()*float64(len(s.moves)))]
	coin, accept := choose.Float64(), choose.Float64()
	old := s.Trace
	p := k.proposal(old, site, s.Scales)
	info := Info{Base: p.base}
	value := make([]float64, len(p.from))
	draw := dist.NewStream(k.Seed, d.Stream(), dist.StatementCoin, d.Index, dist.PurposeProposal)
	if info.Walked = p.walk != nil && coin < k.Walk; info.Walked {
		p.walk.sample(&draw, p.from, p.scale, value)
	} else if err := p.dist.Sample(&draw, value); err != nil {
		return s, info, err
	}
	forward, err := p.logProb(p.from, value)
	if err != nil {
		return s, info, err
	}
	move := control.NewMove(old, site, value, forward)
	stack := engine.Stack{k.condition, move, control.Prior{}}
	t, err := x.Execute(ctx, engine.Task{Draw: d, Stack: func(engine.Draw) engine.Stack { return stack }})
	switch {
	case errors.Is(err, engine.ErrGivenUp):
		info.Failed = true
		return s, k.learn(s, &p, info, adapt, 0), nil
	case err != nil:
		return s, info, err
	}
	next := k.Resume(t, s.Scales)
	backward, err := p.logProb(value, p.from)
	if err != nil {
		return s, info, err
	}
	if info.LogRatio, err = k.logRatio(s, next, site, forward, backward); err != nil {
		return s, info, err
	}
	ratio := math.Exp(math.Min(0, info.LogRatio))
	info.Accepted = accept < ratio
	info = k.learn(s, &p, info, adapt, ratio)
	if !info.Accepted {
		return s, info, nil
	}
	return next, info, nil
}

// proposal is how a site moves.
type proposal struct {
	base  string
	dist  ppx.Dist
	shape []int32
	from  []float64
	walk  *walker
	scale float64 // of each element
	mix   float64 // probability of the walk
	n     int
}

func (k *Kernel) proposal(t *tracing.Trace, site int, scales Scales) proposal {
	v := t.Value(site)
	p := proposal{base: t.Table.Address(t.Sites[site].Address).Base, dist: t.Dist(site), shape: v.Shape, from: v.Data, n: len(v.Data)}
	if k.Walk > 0 {
		if w, ok := newWalker(&p.dist, p.n); ok {
			p.walk, p.mix = w, k.Walk
			p.scale = scales.of(p.base) / math.Sqrt(float64(p.n))
		}
	}
	return p
}

// logProb is the log density of the mixture of walk and prior, by whichever of them a value came about.
func (p *proposal) logProb(from, to []float64) (float64, error) {
	prior, err := p.dist.LogProb(ppx.Tensor{Data: to, Shape: p.shape})
	if err != nil || p.walk == nil {
		return prior, err
	}
	return tracing.LogAdd(math.Log1p(-p.mix)+prior, math.Log(p.mix)+p.walk.logProb(from, to, p.scale)), nil
}

// logRatio is log A of Metropolis and Hastings: what both traces have, sites that are drawn from the prior in one of the two cancel.
func (k *Kernel) logRatio(s, next *State, site int, forward, backward float64) (float64, error) {
	old, t := s.Trace, next.Trace
	key := old.Sites[site].Key
	if i, ok := next.at[key]; !ok || t.Sites[i].Origin != tracing.FromProposal {
		return 0, fmt.Errorf("%w: with the same values before it, it did not come to %s again", ErrPath, ppx.Quote(old.Table.Label(key)))
	}
	if math.IsInf(t.LogLikelihood, -1) || math.IsNaN(t.LogWeight) {
		return math.Inf(-1), nil
	}
	var sum tracing.Sum
	// With what rounding has taken from both: a constant that all traces have must not hide what tells them apart.
	for _, x := range []struct{ sign, high, rest float64 }{{1, t.LogLikelihood, t.LogLikelihoodRest}, {-1, old.LogLikelihood, old.LogLikelihoodRest}} {
		sum.AddProduct(x.sign*k.beta(), x.high)
		sum.AddProduct(x.sign*k.beta(), x.rest)
	}
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Op != ppx.Sample || e.Origin != tracing.Reused && e.Origin != tracing.FromProposal {
			continue
		}
		if math.IsInf(e.LogP, -1) {
			return math.Inf(-1), nil
		}
		at, ok := s.at[e.Key]
		if !ok {
			return 0, fmt.Errorf("%w: a value was reused that the trace before does not have", ErrPath)
		}
		sum.Add(e.LogP)
		sum.Add(-old.Sites[at].LogP)
	}
	sum.Add(backward)
	sum.Add(-forward)
	sum.Add(math.Log(float64(len(s.moves))))
	sum.Add(-math.Log(float64(len(next.moves))))
	return sum.Kept().High, nil
}

// learn moves the scale of an address towards the acceptance that walks should have (H. Robbins and S. Monro, 1951, with steps of one size).
func (k *Kernel) learn(s *State, p *proposal, info Info, adapt bool, ratio float64) Info {
	if adapt && info.Walked {
		target := wanted
		if p.n > 1 {
			target = 0.25
		}
		s.Scales[p.base] = math.Max(1e-6, math.Min(1e3, s.Scales.of(p.base)*math.Exp(0.1*(ratio-target))))
	}
	return info
}
