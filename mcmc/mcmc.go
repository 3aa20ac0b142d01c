// Package mcmc is Markov chain Monte Carlo over traces of any structure: single-site Metropolis-Hastings (D. Wingate, A. Stuhlmüller and N. Goodman,
// "Lightweight implementations of probabilistic programming languages via transformational compilation", 2011), with new values from the prior (LMH), or in
// half of the steps from the neighbourhood of the present one (RMH). A step is one run of the simulator.
package mcmc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

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
	// Walk is the probability that a step of one site is from the neighbourhood of the present value, where the family has one: 0 is LMH. Never 1: the
	// prior connects what walks do not.
	Walk float64
	// Beta is the exponent of the likelihood; 0 means 1.
	Beta float64

	// Guide is a trained network with the data; nil: there is none. Alpha is its defensive share.
	Guide Guide
	Alpha float64
	// Whole is the probability of a step that draws a whole trace from the network, Guided that of one in which the network proposes for one site.
	Whole, Guided float64
	// Path is the exponent of the network's density: the chain's distribution is that of p·g^Beta·(q_α/p)^Path.
	Path float64

	// Block, if there is one, moves many sites at once, with the probability BlockShare.
	Block      *Block
	BlockShare float64

	// MaxFailed is the share of runs that may fail while a start is looked for; 0: engine.MaxFailed.
	MaxFailed float64
	// Unchecked takes simulators that are not deterministic too: their chains come to a distribution near the posterior at best.
	Unchecked bool
	// Allowed tells which traces there may be; nil: all.
	Allowed func(*tracing.Trace) bool

	condition *control.Condition
}

// Guide is a trained network with data.
type Guide interface {
	// ForRun is what proposes in one run.
	ForRun() control.Proposer
	// Along is what it would have proposed for the sites of recorded traces, given the values before them: by trace and entry, nil where it proposes nothing.
	Along([]*tracing.Trace) [][]control.Proposal
}

// Scales are the sizes of walks by address base, in standard deviations of the prior.
type Scales map[string]float64

// Of is the scale at an address.
func (s Scales) Of(base string) float64 {
	if x, ok := s[base]; ok {
		return x
	}
	return firstScale
}

const (
	firstScale = 0.5
	wanted     = 0.35 // acceptance of walks in one dimension
	maxTries   = 10_000
)

// State is where a chain stands.
type State struct {
	Trace  *tracing.Trace
	Scales Scales
	moves  []int // sites that can move
	index  map[tracing.Key]int
	replay *control.Replay // of its values
	place  *placed         // in the coordinates of the block that it was moved by last

	// What the network says of it, once that was asked.
	proposals []control.Proposal // by entry
	logRatio  float64            // log q_α/f
	rated     bool
}

// Info is what a step did.
type Info struct {
	Base     string // address of the site that was to move; or WholeTrace, or BlockOfSites
	Walked   bool   // whether it was a walk
	Sites    int    // how many sites were to move
	Accepted bool
	Ratio    float64 // probability that it was to be taken with
	Failed   bool    // the run did
	LogRatio float64
}

// Bases of steps that move more than one site.
const (
	WholeTrace   = "(whole trace)"
	BlockOfSites = "(block)"
)

// NewKernel returns a kernel that is ready. Of a copy of one that is ready, with other settings, only the data must be the same: simulators are then told them once.
func NewKernel(k Kernel) *Kernel {
	if k.condition == nil {
		k.condition = control.NewCondition(k.Data, k.Condition)
	}
	return &k
}

// Resume is the state of a chain at a trace that was recorded, or made by another method.
func (k *Kernel) Resume(t *tracing.Trace, scales Scales) *State {
	s := &State{Trace: t, Scales: scales}
	if s.Scales == nil {
		s.Scales = Scales{}
	}
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Op == ppx.Sample && !e.Origin.Scored() && e.Kind != dist.None && t.Value(i).Len() > 0 {
			s.moves = append(s.moves, i)
		}
	}
	return s
}

// at is the entry of a key; near is where it most probably is.
func (s *State) at(key tracing.Key, near int) (int, bool) {
	if near >= 0 && near < len(s.Trace.Sites) && s.Trace.Sites[near].Key == key {
		return near, true
	}
	if s.index == nil {
		s.index = make(map[tracing.Key]int, len(s.Trace.Sites))
		for i := range s.Trace.Sites {
			s.index[s.Trace.Sites[i].Key] = i
		}
	}
	i, ok := s.index[key]
	return i, ok
}

// kept is the layer that repeats its values.
func (s *State) kept() *control.Replay {
	if s.replay == nil {
		s.replay = control.NewReplayLatents(s.Trace)
	}
	return s.replay
}

// Movable is the number of sites that can move.
func (s *State) Movable() int { return len(s.moves) }

// LogRatio is log q_α/f, once the state is rated.
func (s *State) LogRatio() float64 { return s.logRatio }

// Forget frees the network's proposals; its density stays.
func (s *State) Forget() { s.proposals = nil }

// Copy is a state of its own.
func (s *State) Copy() *State {
	c := *s
	return &c
}

// Independent is the layers of draws that begin chains or particles: of the network's proposals, or of the prior.
func (k *Kernel) Independent(engine.Draw) engine.Stack {
	if k.Guide != nil {
		return engine.Stack{k.condition, control.NewGuide(k.Guide.ForRun(), k.Alpha), control.Prior{}}
	}
	return engine.Stack{k.condition, control.Prior{}}
}

// Start draws from the prior until a trace has a finite weight. Errors: ErrStart, ErrFixed, those of the executor.
func (k *Kernel) Start(ctx context.Context, x engine.Executor, chain uint32) (*State, error) {
	stack := engine.Stack{k.condition, control.Prior{}}
	failed, i := 0, uint64(0)
	// One by one, and then more and more together: where the first are no start, many may be none.
	for group := uint64(1); i < maxTries; {
		next, end := i, min(i+group, maxTries)
		task := func() engine.Task {
			next++
			return engine.Task{Draw: k.draw(chain, next-1), Stack: func(engine.Draw) engine.Stack { return stack }, Left: int(end - next)}
		}
		source := func() (t engine.Task, ok bool) {
			if ok = next < end; ok {
				t = task()
			}
			return t, ok
		}
		draws := x.Stream(ctx, source, nil)
		if group == 1 { // a model that always fails is found soon
			draws = func(yield func(*tracing.Trace, error) bool) {
				t, err := x.Execute(ctx, task())
				if errors.Is(err, engine.ErrGivenUp) && t != nil {
					err = nil
				}
				yield(t, err)
			}
		}
		for t, err := range draws {
			if err != nil {
				return nil, err
			}
			if i++; t.Status != tracing.OK {
				share := cmp.Or(k.MaxFailed, engine.MaxFailed)
				if failed++; share <= engine.MaxFailed && failed > 2 && failed == int(i) || engine.TooMany(failed, int(i), share) {
					return nil, fmt.Errorf("%d of the first %d runs failed: %w: %s", failed, i, engine.ErrGivenUp, t.Error)
				}
				continue
			}
			if w := k.logTarget(t); !math.IsInf(w, 0) && !math.IsNaN(w) {
				s := k.Resume(t, nil)
				for i := range t.Sites {
					if e := &t.Sites[i]; e.Kind.Own() && e.Op == ppx.Sample && !e.Origin.Scored() {
						return nil, fmt.Errorf("%w, at %s", dist.ErrOwn, ppx.Quote(t.Table.Address(e.Address).Base))
					}
				}
				if len(s.moves) == 0 {
					return nil, fmt.Errorf("%w: the run has no Sample that is not fixed by data", ErrFixed)
				}
				return s, k.Again(ctx, x, chain, s)
			}
		}
		if i >= 8 {
			group = min(2*group, 256)
		}
	}
	return nil, fmt.Errorf("%w: none of %d draws of the prior is possible under the data", ErrStart, maxTries)
}

// Again makes the run of the state that a chain starts at, or goes on from, again: all of it must be as it was. Errors: ErrPath, those of the executor.
func (k *Kernel) Again(ctx context.Context, x engine.Executor, chain uint32, s *State) error {
	return k.Repeat(ctx, x, s, k.draw(chain, maxTries))
}

// Repeat makes a state's run again, as a draw that is used for nothing else, with the values that it has: all of it must be as it was. Errors: ErrPath, those of the
// executor.
func (k *Kernel) Repeat(ctx context.Context, x engine.Executor, s *State, d engine.Draw) error {
	if k.Unchecked {
		return nil
	}
	stack := engine.Stack{k.condition, control.NewMove(s.kept(), nil), control.Prior{}}
	t, err := x.Execute(ctx, engine.Task{Draw: d, Stack: func(engine.Draw) engine.Stack { return stack }})
	switch {
	case errors.Is(err, engine.ErrGivenUp): // so are steps
		return nil
	case err != nil:
		return err
	}
	old := s.Trace
	if t.Status == tracing.Partial {
		return fmt.Errorf("%w: with the same values, what was possible at %s is not", ErrPath, ppx.Quote(t.Table.Label(t.Sites[len(t.Sites)-1].Key)))
	}
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Op != ppx.Sample {
			continue
		}
		at, ok := s.at(e.Key, i)
		switch {
		case !ok:
			return fmt.Errorf("%w: with the same values, it came to %s, where it has not been before", ErrPath, ppx.Quote(t.Table.Label(e.Key)))
		case !near(e.LogP, old.Sites[at].LogP):
			return fmt.Errorf("%w: with the same values, the log density at %s was %g, and then %g", ErrPath, ppx.Quote(t.Table.Label(e.Key)), old.Sites[at].LogP, e.LogP)
		}
	}
	if !near(t.LogLikelihood, old.LogLikelihood) {
		return fmt.Errorf("%w: with the same values, the log likelihood was %g, and then %g", ErrPath, old.LogLikelihood, t.LogLikelihood)
	}
	return nil
}

// near allows for sums in another order.
func near(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(a)) }

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

// Step makes one step of a chain, which is all that is random in it: some site is chosen, takes a new value, the simulator runs, and the new trace is
// taken or not. With adapt the scale of the site's address moves towards the acceptance that walks should have: only before what is kept. A run that fails
// is a step that is not taken.
func (k *Kernel) Step(ctx context.Context, x engine.Executor, chain uint32, step uint64, s *State, adapt bool) (*State, Info, error) {
	one := func(tasks ...engine.Task) ([]*tracing.Trace, error) {
		t, err := x.Execute(ctx, tasks[0])
		if errors.Is(err, engine.ErrGivenUp) {
			err = nil
		}
		return []*tracing.Trace{t}, err
	}
	out, err := k.Ahead(one, chain, step, 1, s, adapt)
	if err != nil {
		return s, Info{}, err
	}
	return out[0].State, out[0].Info, nil
}

// Outcome is what came of a step.
type Outcome struct {
	State *State
	Info  Info
}

// Ahead makes a step, or some: with the run of the step that is due go those of the next n − 1, as they are if none before them is taken. They end with the
// first that is. execute makes the runs, or the first few of them; a draw that was given up is a failed trace, or nil. With adapt n must be 1.
func (k *Kernel) Ahead(execute func(...engine.Task) ([]*tracing.Trace, error), chain uint32, step uint64, n int, s *State, adapt bool) (out []Outcome, err error) {
	var moves []*Move
	var tasks []engine.Task
	for i := range n {
		m, err := k.Propose(chain, step+uint64(i), s)
		if err != nil {
			return nil, err
		}
		if m.Task.Stack == nil {
			if i == 0 {
				return []Outcome{{s, m.info}}, nil
			}
			break
		}
		moves, tasks = append(moves, m), append(tasks, m.Task)
	}
	traces, err := execute(tasks...)
	if err != nil {
		return nil, err
	}
	for i, t := range traces {
		next, info, err := k.Finish(s, moves[i], t, adapt)
		if err != nil {
			return nil, err
		}
		if out = append(out, Outcome{next, info}); info.Accepted {
			break
		}
	}
	return out, nil
}

// Finish takes the trace of a move's run, nil or a failed one if it was given up, or leaves it.
func (k *Kernel) Finish(s *State, m *Move, t *tracing.Trace, adapt bool) (*State, Info, error) {
	var next *State
	if t != nil && t.Status == tracing.OK {
		next = k.Resume(t, s.Scales)
	}
	next, info, err := k.Take(s, m, t, next)
	if err == nil {
		k.learn(s, m, info, adapt)
	}
	return next, info, err
}

// Take is the state after a move whose run made a trace, nil if it was given up, which is the state next: next, or s as before.
func (k *Kernel) Take(s *State, m *Move, t *tracing.Trace, next *State) (*State, Info, error) {
	info := m.info
	if next == nil {
		info.Failed = t == nil || t.Status == tracing.Failed // else a value that it keeps has become impossible
		return s, info, nil
	}
	var err error
	if info.LogRatio, err = k.compare(s, next, m); err != nil {
		return s, info, err
	}
	info.Ratio = math.Exp(math.Min(0, info.LogRatio))
	if info.Accepted = m.accept < info.Ratio; !info.Accepted {
		return s, info, nil
	}
	return next, info, nil
}

// compare is log A of Metropolis and Hastings: what both traces have, sites that are drawn from the prior in one of the two cancel.
func (k *Kernel) compare(s, next *State, m *Move) (float64, error) {
	old, t := s.Trace, next.Trace
	if !m.whole {
		for i := range m.changes {
			key := old.Sites[i].Key
			if at, ok := next.at(key, i); ok && t.Sites[at].Origin == tracing.FromProposal {
				continue
			}
			if m.info.Sites > 1 && !m.first(i) { // another site before it has made it another run
				return math.Inf(-1), nil
			}
			if k.Unchecked {
				return math.Inf(-1), nil
			}
			return 0, fmt.Errorf("%w: with the same values before it, it did not come to %s again", ErrPath, ppx.Quote(old.Table.Label(key)))
		}
	}
	if math.IsInf(t.LogLikelihood, -1) || math.IsNaN(t.LogWeight) || k.Allowed != nil && !k.Allowed(t) {
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
		if m.whole { // its prior is in the network's ratio
			continue
		}
		at, ok := s.at(e.Key, i)
		switch {
		case !ok && k.Unchecked:
			return math.Inf(-1), nil
		case !ok:
			return 0, fmt.Errorf("%w: a value was reused that the trace before does not have", ErrPath)
		}
		sum.Add(e.LogP)
		sum.Add(-old.Sites[at].LogP)
	}
	if k.Path != 0 || m.whole {
		if err := k.Rate(s, next); err != nil {
			return 0, err
		}
		power := k.Path
		if m.whole {
			power--
		}
		sum.Add(power * next.logRatio)
		sum.Add(-power * s.logRatio)
	}
	if m.whole {
		return sum.Kept().High, nil
	}
	back, err := m.back(next)
	if err != nil || math.IsInf(back, -1) {
		return back, err
	}
	sum.Add(back)
	return sum.Kept().High, nil
}

// Rate asks the network for its density of states that were not rated yet.
func (k *Kernel) Rate(states ...*State) error {
	var todo []*State
	var traces []*tracing.Trace
	for _, s := range states {
		if !s.rated && !slices.Contains(todo, s) {
			todo = append(todo, s)
			traces = append(traces, s.Trace)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	for i, q := range k.Guide.Along(traces) {
		s := todo[i]
		var err error
		if s.logRatio, err = control.LogRatio(s.Trace, q, k.Alpha); err != nil {
			return err
		}
		s.proposals, s.rated = q, true
	}
	return nil
}

// learn moves the scale of an address towards the acceptance that walks should have (H. Robbins and S. Monro, 1951, with steps of one size).
func (k *Kernel) learn(s *State, m *Move, info Info, adapt bool) {
	if adapt && info.Walked {
		target := wanted
		if m.elements > 1 {
			target = 0.25
		}
		s.Scales[info.Base] = math.Max(1e-6, math.Min(1e3, s.Scales.Of(info.Base)*math.Exp(0.1*(info.Ratio-target))))
	}
}
