// Package smc is sequential Monte Carlo over traces of any structure (P. Del Moral, A. Doucet and A. Jasra, "Sequential Monte Carlo samplers", 2006): particles
// go from the prior, or from the proposals of a network, to the posterior by rungs of a ladder, at each of which they are weighted, resampled and moved by the
// kernels of package mcmc. Rare events are reached by adaptive multilevel splitting (C.-E. Bréhier, M. Gazeau, L. Goudenège, T. Lelièvre and M. Rousset,
// "Unbiasedness of some generalized adaptive multilevel splitting algorithms", 2016). Particles are traces, and every move is a run of the simulator.
package smc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"gonum.org/v1/gonum/stat"
)

// Errors of particles.
var (
	// ErrStart says that hardly any draw of the prior is possible under the data.
	ErrStart = errors.New("no start for particles")
	// ErrBudget says that the runs that may be made are not enough for the next rung.
	ErrBudget = errors.New("the budget is too small")
	// ErrReach says that the score does not come to its level.
	ErrReach = errors.New("the score is out of reach")
)

// Config is what particles are to do.
type Config struct {
	// Kernel is how they move; its Beta, Path, Block and Allowed are set at each rung. With its Guide they begin at the network's proposals.
	Kernel mcmc.Kernel
	N      int // particles, Islands of them at a time alone with each other
	// Islands share nothing but the ladder: they are independent, but for what an adaptive run learns from all of them, and tell the errors.
	Islands int
	// Power is the exponent of the likelihood at the end; 0 means 1.
	Power float64
	// Ladder is one that was learned in another run; nil: this run learns its own.
	Ladder []Rung
	// Moves is how many moves a particle makes at each rung; Adapt: as many as it takes.
	Moves int
	// Keep is how many states of each particle are draws, at most: at the last rung its moves are made so many times (in the manner of waste-free sequential
	// Monte Carlo: H. Dau and N. Chopin, 2022). 0 means 1. With a Score only the last state counts.
	Keep int
	// Offset sets the streams of random numbers apart from those of other populations: 3·N are taken from there.
	Offset uint32
	// MaxRuns is the most runs of the simulator; 0: any number.
	MaxRuns uint64
	// Score, if there is one, is what the particles are to raise: at the end they are those with a score above Level, or at least Level.
	Score   func(*tracing.Trace) (float64, error)
	Level   float64
	AtLeast bool

	// Begun hears of all first particles, before anything else.
	Begun func([]*tracing.Trace) error
	// Kept hears of the particles in each of the states that are draws, in turn, and tells whether they are enough; the last is that of the end.
	Kept func(*Population) (enough bool, err error)
	// Saved is called between rungs, for what is to be kept of them.
	Saved func(*Population) error
	// Progress is called between sweeps of moves.
	Progress func(*Population)
}

// Adapt is a number of moves that the particles decide themselves.
const Adapt = -1

// Rung is a step of the ladder: where it is, and what is done there.
type Rung struct {
	// Beta is the exponent of the likelihood, or, from a network's proposals, how far the way is gone: from 0 to 1.
	Beta float64
	// Possible tells that the first rung is whether the data are possible at all.
	Possible bool
	Moves    int
	Scales   mcmc.Scales
	Block    *mcmc.Block

	// What came of it.
	Level     float64 // of the score, on average over the islands that were still below; NaN: there is none
	ESS       float64 // of the weights before resampling
	Resampled int     // islands
	Moved     float64 // share of particles that moved
	Ancestors int     // particles of the first rung that have descendants
	Steps     map[string]*Taken
}

// Taken counts moves by the address base of what was to move.
type Taken struct{ Steps, Accepted uint64 }

// Particle is a trace with its weight in its island.
type Particle struct {
	*mcmc.State
	Island    int
	LogWeight float64 // normalised in its island: Σ exp = 1
	Ancestor  int     // the particle of the first rung that it comes from
	Score     float64
}

// Population is where all particles stand between two rungs.
type Population struct {
	Particles []Particle
	// LogZ is the log evidence by island, less Beta times Reference; LogZ0 what it was before the score came in, if there is one.
	LogZ, LogZ0 []float64
	// Reference is a log likelihood (times the power) that others are looked at relative to, where they are so large that what tells them apart would be lost; else 0.
	Reference float64
	Ladder    []Rung // that was climbed
	Next      int    // rungs of moves that were made: those of a score too
	Step      uint64 // moves that each particle has made, at most
	Beta      float64
	Possible  bool // the prior is that of draws which are possible under the data
	Splitting bool // the likelihood is all in, now it is the score's turn
	Reached   []bool
	Done      bool

	Runs, Failed uint64 // of the simulator
}

// sampler is a run.
type sampler struct {
	*Config
	x     engine.Executor
	p     *Population
	scale mcmc.Scales
	block float64 // factor of the block's scale
	// halves are the blocks that even and odd islands are moved by, at the present rung of a run that learns.
	halves [2]*mcmc.Block
}

// Run takes particles to the end, from where they stand if that is not nil; what the Ladder settles is not learned again. Errors: ErrStart, ErrBudget, ErrReach,
// those of the executor and the functions of c.
func Run(ctx context.Context, x engine.Executor, c *Config, from *Population) (*Population, error) {
	own := *c
	own.Kernel = *mcmc.NewKernel(c.Kernel)
	s := &sampler{Config: &own, x: x, p: from, scale: mcmc.Scales{}, block: 1}
	if c.N < 2*c.Islands {
		return nil, fmt.Errorf("%d particles are less than two for each of %d islands", c.N, c.Islands)
	}
	if s.p == nil {
		if err := s.start(ctx); err != nil {
			return nil, err
		}
	} else if n := len(s.p.Ladder); n > 0 { // it goes on with what it has learned
		s.remember(&s.p.Ladder[n-1])
	}
	if from != nil {
		if err := s.rate(); err != nil {
			return nil, err
		}
	}
	for !s.p.Done {
		var err error
		if s.p.Splitting {
			err = s.split(ctx)
		} else {
			err = s.rung(ctx)
		}
		if err != nil {
			return s.p, err
		}
		if s.Saved != nil {
			if err := s.Saved(s.p); err != nil {
				return s.p, err
			}
		}
	}
	if s.Score != nil && s.Kept != nil {
		_, err := s.Kept(s.p)
		return s.p, err
	}
	return s.p, nil
}

// remember takes over what the last rung has learned.
func (s *sampler) remember(r *Rung) {
	for base, x := range r.Scales {
		s.scale[base] = x
	}
	if r.Block != nil {
		s.block = r.Block.Scale / r.Block.FirstScale()
	}
}

// island of particle i.
func (c *Config) island(i int) int { return i % c.Islands }

// size of an island.
func (c *Config) size(island int) int { return (c.N - island + c.Islands - 1) / c.Islands }

// members are the particles of an island.
func (s *sampler) members(island int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := island; i < s.N; i += s.Islands {
			if !yield(i) {
				return
			}
		}
	}
}

const (
	// Streams of random numbers: particle i has the chain 1 + i, island r two behind those of all particles.
	maxStart    = 10_000 // tries for a first particle
	repeated    = 3      // first particles whose runs are repeated, to see whether the simulator is deterministic
	mostMoves   = 512    // of a particle at a rung
	remembered  = 0.2    // correlation of the likelihood with what it was before the moves of a rung, below which that is forgotten,
	leastMoves  = 0.1    // once this share of the sites has moved;
	enoughMoves = 4.0    // or so many accepted moves of a site
	wantedCESS  = 0.5    // conditional ESS over N from rung to rung
	maxRungs    = 10_000
)

func (c *Config) chain(i int) uint32           { return c.Offset + uint32(i) + 1 }
func (c *Config) starts(island int) uint32     { return c.Offset + uint32(c.N) + 2*uint32(island) + 1 }
func (c *Config) resampling(island int) uint32 { return c.Offset + uint32(c.N) + 2*uint32(island) + 2 }
func (c *Config) stream(chain uint32) uint64   { return c.Kernel.Kind.Stream(chain) }
func (c *Config) spent(p *Population, n int) error {
	if c.MaxRuns > 0 && p.Runs+uint64(n) > c.MaxRuns {
		return fmt.Errorf("%w: after %d runs of the simulator, %d more are needed, and %d may be made in all", ErrBudget, p.Runs, n, c.MaxRuns)
	}
	return nil
}

// settings are those of the kernel of a rung, with a block, or nil.
func (s *sampler) settings(block *mcmc.Block, beta float64) mcmc.Kernel {
	k := s.Kernel
	k.Beta = max(beta*s.power(), math.SmallestNonzeroFloat64) // 0 would be 1 there
	if k.Guide != nil {
		k.Path = 1 - beta
	}
	if k.Block = block; k.Block != nil {
		// Half of the moves are of sites one by one, whatever has been learned.
		k.Whole, k.Guided = k.Whole/2, k.Guided/2
		k.BlockShare = 0.5 - k.Whole - k.Guided
	}
	return k
}

func (c *Config) power() float64 {
	if c.Power == 0 {
		return 1
	}
	return c.Power
}

// relative is a trace's log likelihood (times the power) less the reference.
func (s *sampler) relative(t *tracing.Trace) float64 {
	if s.p.Reference == 0 || math.IsInf(t.LogLikelihood, 0) {
		return s.power() * t.LogLikelihood
	}
	return s.power() * ((t.LogLikelihood - s.p.Reference/s.power()) + t.LogLikelihoodRest)
}

// largeLikelihood is the size of log likelihoods whose differences are looked at by themselves.
const largeLikelihood = 1e6

// gain is what a trace's log weight grows by on the whole way.
func (s *sampler) gain(p *mcmc.State) float64 {
	w := s.relative(p.Trace)
	if s.Kernel.Guide != nil {
		w -= p.LogRatio()
	}
	if math.IsNaN(w) || math.IsInf(w, 1) || math.IsNaN(p.Trace.LogWeight) {
		return math.Inf(-1)
	}
	return w
}

// start draws the first particles, island by island.
func (s *sampler) start(ctx context.Context) error {
	p := &Population{Particles: make([]Particle, s.N), LogZ: make([]float64, s.Islands), Reached: make([]bool, s.Islands)}
	s.p = p
	if err := s.spent(p, s.N); err != nil {
		return err
	}
	k := mcmc.NewKernel(s.Kernel)
	draw := func(island int, from uint64, want func(*tracing.Trace) (more bool)) error {
		i := from
		source := func() (engine.Task, bool) {
			i++
			return engine.Task{Draw: engine.Draw{Seed: k.Seed, Kind: k.Kind, Chain: s.starts(island), Index: i - 1}, Stack: k.Independent}, true
		}
		for t, err := range s.x.Stream(ctx, source, nil) {
			if err != nil {
				return err
			}
			p.Runs++
			if t.Status == tracing.Failed {
				p.Failed++
			}
			if !want(t) {
				break
			}
			if err := s.spent(p, 1); err != nil {
				return err
			}
		}
		return nil
	}
	first := make([][]*tracing.Trace, s.Islands)
	impossible := 0
	possible := func(t *tracing.Trace) bool {
		return t.Status == tracing.OK && !math.IsInf(t.LogWeight, -1) && !math.IsNaN(t.LogWeight)
	}
	for r := range s.Islands {
		if err := draw(r, 0, func(t *tracing.Trace) bool {
			first[r] = append(first[r], t)
			if !possible(t) {
				impossible++
			}
			return len(first[r]) < s.size(r)
		}); err != nil {
			return err
		}
	}
	p.Possible = 2*impossible > s.N
	if s.Ladder != nil {
		p.Possible = s.Ladder[0].Possible
	}
	for r := range s.Islands {
		n, tries := s.size(r), uint64(len(first[r]))
		var found []*tracing.Trace
		for _, t := range first[r] {
			if possible(t) || !p.Possible && t.Status == tracing.OK {
				found = append(found, t)
			}
		}
		// Failed runs are draws of the prior too: of those that succeed, one takes the place of each, and the evidence is that of "the run succeeds, and the data".
		failed := n - len(found)
		last := func() bool { return len(found) >= n }
		if !last() {
			if err := draw(r, tries, func(t *tracing.Trace) bool {
				tries++
				if possible(t) || !p.Possible && t.Status == tracing.OK {
					found = append(found, t)
				}
				return !last() && tries < maxStart*uint64(max(1, len(found)))
			}); err != nil {
				return err
			}
		}
		if !last() {
			return fmt.Errorf("%w: of %d draws of the prior %d are possible under the data", ErrStart, tries, len(found))
		}
		if failed > 0 { // unbiased, as the last try was a success: J. Haldane, 1945
			p.LogZ[r] = math.Log(float64(n-1)) - math.Log(float64(tries-1))
		}
		for j, i := 0, r; i < s.N; i, j = i+s.Islands, j+1 {
			p.Particles[i] = Particle{State: k.Resume(found[j], nil), Island: r, LogWeight: -math.Log(float64(n)), Ancestor: i}
		}
	}
	if l := p.Particles[0].Trace.LogLikelihood; math.Abs(l) > largeLikelihood && !math.IsInf(l, 0) {
		p.Reference = s.power() * l
	}
	if s.Begun != nil {
		if err := s.Begun(p.Traces()); err != nil {
			return err
		}
	}
	for i := range min(repeated, s.N) {
		if err := k.Repeat(ctx, s.x, p.Particles[i].State, engine.Draw{Seed: k.Seed, Kind: k.Kind, Chain: s.chain(i)}); err != nil {
			return err
		}
	}
	return s.rate()
}

// rate asks the network about all particles.
func (s *sampler) rate() error {
	if s.Kernel.Guide == nil {
		return nil
	}
	k := mcmc.NewKernel(s.Kernel)
	for group := range slices.Chunk(s.p.Particles, 64) {
		states := make([]*mcmc.State, len(group))
		for i := range group {
			states[i] = group[i].State
		}
		if err := k.Rate(states...); err != nil {
			return err
		}
		for _, x := range states {
			x.Forget()
		}
	}
	return nil
}

// rung goes to the next rung of the likelihood.
func (s *sampler) rung(ctx context.Context) error {
	p := s.p
	gains := make([]float64, s.N)
	for i := range p.Particles {
		gains[i] = s.gain(p.Particles[i].State)
	}
	r := Rung{Possible: p.Possible, Level: math.NaN()}
	if s.Ladder == nil {
		r.Beta = s.next(gains)
		if len(p.Ladder) >= maxRungs {
			return fmt.Errorf("after %d rungs β is %g: the likelihood is too steep", maxRungs, p.Beta)
		}
	} else {
		if p.Next >= len(s.Ladder) {
			return fmt.Errorf("the ladder ends at β = %g", p.Beta)
		}
		settled := &s.Ladder[p.Next]
		r.Beta, r.Moves, r.Scales, r.Block = settled.Beta, settled.Moves, settled.Scales, settled.Block
	}
	flat := p.Next == 0 // nothing to learn: no particle knows of data
	for _, g := range gains {
		flat = flat && g == gains[0]
	}
	all := mean{}
	for island := range s.Islands {
		if math.IsInf(p.LogZ[island], -1) {
			continue
		}
		total := math.Inf(-1)
		for i := range s.members(island) {
			x := &p.Particles[i]
			if v := (r.Beta - p.Beta) * gains[i]; !math.IsInf(gains[i], -1) {
				x.LogWeight += v
			} else {
				x.LogWeight = math.Inf(-1)
			}
			total = tracing.LogAdd(total, x.LogWeight)
		}
		if p.LogZ[island] += total; math.IsInf(total, -1) { // all are dead
			p.LogZ[island] = math.Inf(-1)
			continue
		}
		squares := math.Inf(-1)
		for i := range s.members(island) {
			x := &p.Particles[i]
			x.LogWeight -= total
			squares = tracing.LogAdd(squares, 2*x.LogWeight)
		}
		ess := math.Exp(-squares)
		all.add(ess / float64(s.size(island)))
		if ess < float64(s.size(island))/2 {
			s.resample(island)
			r.Resampled++
		}
	}
	if all.n == 0 {
		return fmt.Errorf("%w: no particle of any island is possible under the data", ErrStart)
	}
	r.ESS = all.of() * float64(s.N)
	p.Beta = r.Beta
	alive := func(i int) bool { return !math.IsInf(p.Particles[i].LogWeight, -1) }
	var learned func(island int) *mcmc.Block
	if s.Ladder == nil && !flat {
		learned = s.learn(&r)
	}
	if flat {
		r.Moves = -1
	}
	own := s.kernels(&r, learned, nil)
	if err := s.move(ctx, &r, alive, own, nil); err != nil {
		return err
	}
	p.Next++
	p.Ladder = append(p.Ladder, r)
	switch {
	case p.Beta < 1:
		return nil
	case s.Score == nil:
		p.Done = true
		return s.keep(ctx, &r, alive, own)
	}
	p.Splitting, p.LogZ0 = true, slices.Clone(p.LogZ)
	for island := range s.Islands { // what is killed counts equally
		if !math.IsInf(p.LogZ[island], -1) {
			s.resample(island)
		} else {
			p.Reached[island] = true
		}
	}
	return s.scores(func(int) bool { return true })
}

// mean of numbers.
type mean struct{ sum, n float64 }

func (m *mean) add(x float64) { m.sum, m.n = m.sum+x, m.n+1 }
func (m *mean) of() float64   { return m.sum / m.n }

// next is how far the next rung can be: the conditional ESS (Y. Zhou, A. Johansen and J. Aston, "Towards automatic model comparison", 2016) is a half of N.
func (s *sampler) next(gains []float64) float64 {
	p := s.p
	cess := func(beta float64) float64 {
		most := math.Inf(-1)
		for i := range gains {
			if !math.IsInf(p.Particles[i].LogWeight, -1) {
				most = math.Max(most, (beta-p.Beta)*gains[i])
			}
		}
		if math.IsInf(most, -1) {
			return 0
		}
		sum, squares, total := 0.0, 0.0, 0.0
		for i, g := range gains {
			w := math.Exp(p.Particles[i].LogWeight)
			total += w
			if math.IsInf(g, -1) || w == 0 {
				continue
			}
			v := math.Exp((beta-p.Beta)*g - most)
			sum += w * v
			squares += w * v * v
		}
		return sum * sum / squares / total
	}
	// Particles that are impossible die at any rung: the rest goes on from what that leaves.
	least := math.Min(wantedCESS, 0.9*cess(math.Nextafter(p.Beta, 2)))
	if cess(1) >= least {
		return 1
	}
	lo, hi := p.Beta, 1.0
	for range 50 {
		if mid := (lo + hi) / 2; cess(mid) >= least {
			lo = mid
		} else {
			hi = mid
		}
	}
	if lo == p.Beta {
		return math.Nextafter(p.Beta, 2)
	}
	return lo
}

// resample draws as many particles of an island, by their weights, with one uniform number (systematic resampling: J. Carpenter, P. Clifford and
// P. Fearnhead, 1999).
func (s *sampler) resample(island int) {
	p := s.p
	stream := dist.NewStream(s.Kernel.Seed, s.stream(s.resampling(island)), dist.StatementResample, uint64(p.Next), dist.PurposeResample)
	n := float64(s.size(island))
	u := stream.Float64()
	var chosen []Particle
	total, k := 0.0, 0.0
	for i := range s.members(island) {
		total += math.Exp(p.Particles[i].LogWeight) * n
		for ; k+u < total && k < n; k++ {
			chosen = append(chosen, p.Particles[i])
		}
	}
	for k < n { // rounding
		chosen = append(chosen, chosen[len(chosen)-1])
		k++
	}
	j := 0
	for i := range s.members(island) {
		x := chosen[j]
		x.State, x.LogWeight = x.Copy(), -math.Log(n)
		p.Particles[i] = x
		j++
	}
}

// learn gives a rung its block, and tells which one islands are moved by: what they show themselves is not what they are moved by, or the evidence would be
// wrong, and the error would not show it. Those of even islands teach the odd ones, and these them; what all show together is for other runs.
func (s *sampler) learn(r *Rung) func(island int) *mcmc.Block {
	r.Block = s.learnBlock(func(int) bool { return true })
	s.halves = [2]*mcmc.Block{}
	if s.Islands > 1 {
		for half := range s.halves {
			s.halves[half] = s.learnBlock(func(island int) bool { return island%2 != half })
		}
	}
	return func(island int) *mcmc.Block { return s.halves[island%2] }
}

// kernels are those that particles are moved by at a rung: with its block, or those that islands have learned, and under the conditions of their islands, if
// there are some.
func (s *sampler) kernels(r *Rung, learned func(island int) *mcmc.Block, allowed func(island int) func(*tracing.Trace) bool) func(particle int) *mcmc.Kernel {
	list := make([]*mcmc.Kernel, s.Islands)
	for island := range list {
		block := r.Block
		if learned != nil {
			block = learned(island)
		}
		k := s.settings(block, s.p.Beta)
		if allowed != nil {
			k.Allowed = allowed(island)
		}
		list[island] = mcmc.NewKernel(k)
	}
	return func(particle int) *mcmc.Kernel { return list[s.island(particle)] }
}

// learnBlock is the block that the particles of some islands show.
func (s *sampler) learnBlock(of func(island int) bool) *mcmc.Block {
	var states []*mcmc.State
	var weights []float64
	total := 0.0
	for i := range s.p.Particles {
		x := &s.p.Particles[i]
		if w := math.Exp(x.LogWeight); w > 0 && of(x.Island) {
			states, weights = append(states, x.State), append(weights, w)
			total += w
		}
	}
	for i := range weights {
		weights[i] /= total
	}
	b := mcmc.NewBlock(states, weights)
	if b != nil {
		s.rescale(b)
	}
	return b
}

// move makes the moves of a rung: those of particles for which moves is true, by their kernels. Rung says how many; 0: until the
// particles have moved, and what it takes is learned, and settled, if there is one, agrees; −1: none.
func (s *sampler) move(ctx context.Context, r *Rung, moves func(int) bool, own func(int) *mcmc.Kernel, settled func() bool) error {
	p, who := s.p, s.those(moves)
	adapt := s.Ladder == nil
	k := mcmc.NewKernel(s.settings(nil, p.Beta)) // of what all have in common
	before := make([]*tracing.Trace, s.N)
	var sites float64
	for _, i := range who {
		before[i] = p.Particles[i].Trace
		sites += float64(max(1, p.Particles[i].Movable()))
	}
	scales := r.Scales
	if adapt {
		scales = s.scale
	}
	r.Steps = map[string]*Taken{}
	fixed := r.Moves < 0 || !slices.ContainsFunc(who, func(i int) bool { return p.Particles[i].Movable() > 0 }) // there is nothing to move, or no need
	most := r.Moves
	switch {
	case fixed:
		most = 0
	case adapt && s.Moves >= 0:
		most = s.Moves
	case adapt:
		most = mostMoves
	}
	moved, sweeps := 0.0, 0
	for sweeps < most && len(who) > 0 {
		accepted, err := s.sweep(ctx, k, own, who, scales, r, adapt)
		if err != nil {
			return err
		}
		moved += accepted
		sweeps++
		if adapt && s.Moves < 0 && (moved >= enoughMoves*sites || moved >= leastMoves*sites && s.forgotten(who, before) < remembered) && (settled == nil || settled()) {
			break
		}
	}
	if adapt {
		r.Moves, r.Scales = sweeps, mcmc.Scales{}
		for base, x := range s.scale {
			r.Scales[base] = x
		}
	}
	changed := 0
	ancestors := map[int]bool{}
	for _, i := range who {
		if p.Particles[i].Trace != before[i] {
			changed++
		}
	}
	for i := range p.Particles {
		if !math.IsInf(p.Particles[i].LogWeight, -1) {
			ancestors[p.Particles[i].Ancestor] = true
		}
	}
	r.Moved, r.Ancestors = float64(changed)/float64(max(1, len(who))), len(ancestors)
	if fixed {
		r.Moved, r.Moves = 1, max(0, r.Moves)
	}
	return nil
}

// those are the particles that a function names.
func (s *sampler) those(f func(int) bool) (who []int) {
	for i := range s.p.Particles {
		if f(i) {
			who = append(who, i)
		}
	}
	return who
}

// keep hands out the states that are kept, and makes the moves of the last rung in between, with what it has learned.
func (s *sampler) keep(ctx context.Context, r *Rung, moves func(int) bool, own func(int) *mcmc.Kernel) error {
	if s.Kept == nil {
		return nil
	}
	who, k := s.those(moves), mcmc.NewKernel(s.settings(nil, s.p.Beta))
	for kept := 1; ; kept++ {
		if enough, err := s.Kept(s.p); enough || err != nil || kept >= s.Keep {
			return err
		}
		for range (r.Moves + 1) / 2 { // what a state has in common with the one before costs less than to forget it
			if _, err := s.sweep(ctx, k, own, who, r.Scales, r, false); err != nil {
				return err
			}
		}
	}
}

// forgotten is the correlation of the log likelihoods of particles with those before their moves.
func (s *sampler) forgotten(who []int, before []*tracing.Trace) float64 {
	var x, y []float64
	for _, i := range who {
		a, b := s.relative(before[i]), s.relative(s.p.Particles[i].Trace)
		if !math.IsInf(a, 0) && !math.IsInf(b, 0) {
			x, y = append(x, a), append(y, b)
		}
	}
	if len(x) < 10 || stat.StdDev(x, nil) == 0 || stat.StdDev(y, nil) == 0 {
		return 1
	}
	return stat.Correlation(x, y, nil)
}

// group is how many moves are prepared at a time.
const group = 1024

// sweep makes one move of each particle, if the budget has as many runs, and returns how many were taken: whole traces count for all of their sites.
func (s *sampler) sweep(ctx context.Context, k *mcmc.Kernel, own func(int) *mcmc.Kernel, who []int, scales mcmc.Scales, r *Rung, adapt bool) (accepted float64, err error) {
	p := s.p
	if err := s.spent(p, len(who)); err != nil {
		return 0, err
	}
	walked := map[string]*mean{}
	step := p.Step
	p.Step++
	for some := range slices.Chunk(who, group) {
		var begun []*mcmc.Move
		var index []int
		if k.Guide != nil && (k.Guided > 0 || k.Whole > 0) {
			states := make([]*mcmc.State, len(some))
			for j, i := range some {
				states[j] = p.Particles[i].State
			}
			if err := k.Rate(states...); err != nil {
				return 0, err
			}
		}
		for _, i := range some {
			x := &p.Particles[i]
			x.Scales = scales
			m, err := own(i).Propose(s.chain(i), step, x.State)
			if err != nil {
				return 0, err
			}
			if m.Task.Stack != nil {
				begun, index = append(begun, m), append(index, i)
			}
		}
		next := 0
		source := func() (engine.Task, bool) {
			if next == len(begun) {
				return engine.Task{}, false
			}
			next++
			t := begun[next-1].Task
			t.Left = len(begun) - next
			return t, true
		}
		at := 0
		traces := make([]*tracing.Trace, 0, 64)
		finish := func() error {
			states := make([]*mcmc.State, len(traces))
			for j, t := range traces {
				if t.Status == tracing.OK {
					states[j] = k.Resume(t, scales)
				}
			}
			if k.Path != 0 {
				made := slices.DeleteFunc(slices.Clone(states), func(x *mcmc.State) bool { return x == nil })
				if err := k.Rate(made...); err != nil {
					return err
				}
			}
			for j, next := range states {
				i, m := index[at], begun[at]
				at++
				x := &p.Particles[i]
				state, info, err := own(i).Take(x.State, m, traces[j], next)
				if err != nil {
					return err
				}
				state.Forget()
				x.State = state
				if info.Failed {
					p.Failed++
				}
				count := r.Steps[info.Base]
				if count == nil {
					count = &Taken{}
					r.Steps[info.Base] = count
				}
				count.Steps++
				if info.Accepted {
					state.Trace = state.Trace.Alone()
					count.Accepted++
					if info.Base == mcmc.WholeTrace {
						accepted += float64(info.Sites)
					} else { // a block walks no farther than a site
						accepted++
					}
				}
				if info.Walked || info.Base == mcmc.BlockOfSites {
					w := walked[info.Base]
					if w == nil {
						w = &mean{}
						walked[info.Base] = w
					}
					w.add(info.Ratio)
				}
			}
			traces = traces[:0]
			return nil
		}
		for t, err := range s.x.Stream(ctx, source, nil) {
			if err != nil {
				return accepted, err
			}
			p.Runs++
			if traces = append(traces, t); len(traces) == cap(traces) {
				if err := finish(); err != nil {
					return accepted, err
				}
			}
		}
		if err := finish(); err != nil {
			return accepted, err
		}
	}
	if adapt {
		s.adapt(walked, r, scales)
	}
	if s.Progress != nil {
		s.Progress(p)
	}
	return accepted, nil
}

// rescale gives a block what blocks have learned.
func (s *sampler) rescale(b *mcmc.Block) { b.Scale = math.Min(1, b.FirstScale()*s.block) }

// adapt learns scales from what a sweep has taken.
func (s *sampler) adapt(walked map[string]*mean, r *Rung, scales mcmc.Scales) {
	for base, w := range walked {
		if base == mcmc.BlockOfSites {
			factor := math.Exp(math.Min(1, w.n/50) * (w.of() - 0.25))
			most := math.Inf(1)
			for _, b := range []*mcmc.Block{r.Block, s.halves[0], s.halves[1]} {
				if b != nil {
					most = math.Min(most, 1/b.FirstScale())
				}
			}
			s.block = math.Max(1e-3, math.Min(most, s.block*factor))
			for _, b := range []*mcmc.Block{r.Block, s.halves[0], s.halves[1]} {
				if b != nil {
					s.rescale(b)
				}
			}
			continue
		}
		scales[base] = math.Max(1e-6, math.Min(1e3, scales.Of(base)*math.Exp(math.Min(1, w.n/50)*(w.of()-0.35))))
	}
}

// Weighted is the particles with their weights: the weight of each, times what its island's evidence is of all; the mean of all weights is the evidence. Rows
// count from first, chains are islands, from 1.
func (p *Population) Weighted(first int64) iter.Seq[*tracing.Trace] {
	return func(yield func(*tracing.Trace) bool) {
		n := float64(len(p.Particles)) / float64(len(p.LogZ))
		for i := range p.Particles {
			x := &p.Particles[i]
			t := *x.Trace
			t.Row, t.Chain = first+int64(i), uint32(x.Island)+1
			t.From = &tracing.Lineage{Step: p.Step, Parent: tracing.NoRow, SameAs: tracing.NoRow}
			t.LogWeight, t.LogWeightRest = p.LogZ[x.Island]+x.LogWeight+math.Log(n), 0
			if p.Reference != 0 && !math.IsInf(t.LogWeight, 0) {
				t.LogWeight, t.LogWeightRest = p.Beta*p.Reference, t.LogWeight
			}
			if !yield(&t) {
				return
			}
		}
	}
}

// Traces are those of the particles.
func (p *Population) Traces() (out []*tracing.Trace) {
	for i := range p.Particles {
		out = append(out, p.Particles[i].Trace)
	}
	return out
}
