package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// MCMC is what only jobs have whose method is chains; N is then the number of draws that are kept of all of them together.
type MCMC struct {
	Chains int    `json:"chains"`
	Warmup uint64 `json:"warmup"` // steps of each chain that are not kept, and during which it adapts
	Thin   uint64 `json:"thin"`   // every so many-th step is kept
}

// DefaultMCMC are the settings of chains that are not given.
func DefaultMCMC() MCMC { return MCMC{Chains: 8, Warmup: 1000, Thin: 1} }

const maxChains = 1000

// checkMCMC refuses settings of chains that make no sense.
func (s *Spec) checkMCMC() error {
	c := s.MCMC
	switch {
	case c == nil:
		return nil
	case c.Chains < 1 || c.Chains > maxChains:
		return misuse("--chains %d: want a number from 1 to %d", c.Chains, maxChains)
	case c.Thin < 1:
		return misuse("--thin %d must be at least 1", c.Thin)
	case c.Warmup > math.MaxInt32 || c.Thin > math.MaxInt32:
		return misuse("--warmup %d --thin %d: too large", c.Warmup, c.Thin)
	case s.N < 4*uint64(c.Chains):
		return misuse("-n %d is less than four draws of each of %d chains", s.N, c.Chains)
	case s.First > 0:
		return misuse("--first goes with independent draws: chains are not shared out")
	}
	return nil
}

// chained is a job whose method is chains.
func chained(ctx context.Context, m *Method, spec *Spec, o Options) (*Outcome, error) {
	if o.RetryFailed {
		return nil, misuse("--retry-failed goes with independent draws: a run that fails is a step that is not taken")
	}
	if spec.MCMC == nil {
		c := DefaultMCMC()
		spec.MCMC = &c
	}
	if err := spec.checkMCMC(); err != nil {
		return nil, err
	}
	r := &run{spec: spec, o: o, method: m, sum: posterior.NewChainSummary(), last: map[uint32]*tracing.Trace{}}
	r.draws = r.chains
	return r.do(ctx)
}

// kernel is that of the job's method.
func (r *run) kernel() mcmc.Kernel {
	m, c := kernels[r.spec.Method], &r.cfg
	if s := r.spec.SMC; s != nil {
		m = kernels[s.Kernel]
	}
	k := mcmc.Kernel{Seed: c.Seed, Kind: c.Kind, Data: c.Data, Condition: c.Condition, Walk: m.walk, Beta: c.LikelihoodImportance, Unchecked: r.o.Force, MaxFailed: r.spec.Simulator.MaxFailed}
	if r.proposer != nil {
		k.Guide, k.Alpha, k.Whole, k.Guided = r.proposer, r.spec.Defensive, m.whole, m.guided
	}
	return k
}

// chains runs the chains, all at a time, and takes what they keep in turns: row r is a draw of chain r mod Chains. What is random in a step is a function of
// chain and step, so that the rows are the same whatever the number of simulators.
func (r *run) chains(ctx context.Context, sink tracing.Writer) (out importance.Outcome, err error) {
	c := r.spec.MCMC
	k := mcmc.NewKernel(r.kernel())
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if t := r.cfg.MaxTime; t > 0 {
		timer := time.AfterFunc(t, func() { cancel(errTime) })
		defer timer.Stop()
	}
	begun := make(chan struct{}) // the first chain has found a start: where there is none, one has to look for it
	kept, together := make([]chan *tracing.Trace, c.Chains), engine.NewTogether(ctx, r.pool)
	var wg sync.WaitGroup
	for i := range kept {
		kept[i] = make(chan *tracing.Trace, 64)
		wg.Go(func() {
			if i > 0 {
				select {
				case <-begun:
				case <-ctx.Done():
					return
				}
			}
			if err := r.chain(ctx, k, together, i, begun, kept[i]); err != nil {
				if errors.Is(err, mcmc.ErrStart) {
					err = fmt.Errorf("%w%s; particles may find some (--method smc)", err, r.impossible(ctx))
				}
				if errors.Is(err, mcmc.ErrPath) {
					err = fmt.Errorf("%w; chains need one that does the same with the same values (--force goes on, for what it is worth)", err)
				}
				cancel(fmt.Errorf("chain %d: %w", i+1, err))
			}
		})
	}
	defer wg.Wait()
	defer cancel(nil)
	start, last := time.Now(), time.Now()
	for row := r.cfg.From; row < r.cfg.N; row++ {
		var t *tracing.Trace
		select {
		case t = <-kept[row%uint64(c.Chains)]:
		case <-ctx.Done():
			out.Cut = r.cut()
			if err := context.Cause(ctx); errors.Is(err, errTime) && parent.Err() == nil {
				out.Stopped = outOfTime
				return out, r.names.Final()
			} else if err != nil {
				return out, err
			}
		}
		if err := errors.Join(sink.Write(ctx, t), r.sum.Write(ctx, t)); err != nil {
			return out, err
		}
		out.Drawn++
		if err := r.names.Add(t); err != nil {
			return out, err
		}
		// Effective sample sizes cost more the more draws there are.
		if wait := max(r.o.Every, time.Duration(out.Drawn)*100*time.Microsecond); r.cfg.Progress != nil && time.Since(last) > wait {
			last = time.Now()
			p := importance.Progress{Done: row + 1, N: r.cfg.N, Elapsed: time.Since(start), ESS: r.sum.ESS()}
			p.PerSecond = float64(out.Drawn) / time.Since(start).Seconds()
			p.Estimate(r.cfg.MaxTime)
			r.cfg.Progress(p)
		}
	}
	return out, r.names.Final()
}

// cut is the run that is given up now.
func (r *run) cut() posterior.Cut {
	s := r.pool.Stats()
	return importance.Cut(r.pool, s.Busy/time.Duration(max(1, s.Finished)))
}

var errTime = errors.New(outOfTime)

// chain runs one chain and hands on what it keeps. One that goes on has its scales and its last recorded draw; where it was killed in its warm-up, it makes that again.
func (r *run) chain(ctx context.Context, k *mcmc.Kernel, together *engine.Together, index int, begun chan<- struct{}, kept chan<- *tracing.Trace) error {
	c, chain := r.spec.MCMC, uint32(index)+1
	last := r.last[chain]
	s, err := r.begin(ctx, k, index, last)
	if err != nil {
		return err
	}
	if index == 0 {
		close(begun)
	}
	together.Join()
	defer together.Leave()
	step := uint64(0)
	var made []mcmc.Outcome // steps that were made, and not taken yet
	one := func(adapt bool) error {
		if len(made) == 0 {
			n := 1
			if !adapt { // what is learned from a step changes the next
				n = together.Share(stepsAhead)
			}
			if made, err = k.Ahead(together.Execute, chain, step, n, s, adapt); err != nil {
				return err
			}
		}
		next := made[0]
		s, made = next.State, made[1:]
		step++
		return r.accept.add(next.Info, adapt, r.spec.Simulator.MaxFailed)
	}
	if last == nil {
		for step < c.Warmup {
			if err := one(true); err != nil {
				return err
			}
		}
		scales := maps.Clone(s.Scales) // they stay as they are from here on
		r.w.Update(func(m *rundir.Manifest) { m.Chains.Scales[index] = scales })
	}
	row := uint64(index)
	var before, own *tracing.Trace // the last draw, and the last one with statements of its own
	var state *tracing.Trace       // what that one was
	if last != nil {
		step, row = last.Lineage().Step+1, uint64(last.Row)+uint64(c.Chains)
		before, own, state = last, last, last
		if same := last.Lineage().SameAs; same != tracing.NoRow {
			original := *last
			original.Row = same
			own = &original
		}
	}
	for ; row < r.cfg.N; row += uint64(c.Chains) {
		for range c.Thin {
			if err := one(false); err != nil {
				return err
			}
		}
		t := *s.Trace
		if own == nil || s.Trace != state {
			t = *s.Trace.Alone()
		}
		t.Row, t.Chain, t.LogWeight, t.LogWeightRest = int64(row), chain, 0, 0
		t.From = &tracing.Lineage{Step: step - 1, Parent: tracing.NoRow, SameAs: tracing.NoRow}
		if before != nil {
			t.From.Parent = before.Row
		}
		if own != nil && s.Trace == state {
			t.Share(own)
		} else {
			own, state = &t, s.Trace
		}
		before = &t
		select {
		case kept <- &t:
			continue
		default:
		}
		together.Leave() // nobody is to wait for it meanwhile
		select {
		case kept <- &t:
			together.Join()
		case <-ctx.Done():
			together.Join()
			return nil
		}
	}
	return nil
}

// begin is where a chain starts, or goes on.
func (r *run) begin(ctx context.Context, k *mcmc.Kernel, index int, last *tracing.Trace) (*mcmc.State, error) {
	chain := uint32(index) + 1
	if last == nil {
		return k.Start(ctx, r.pool, chain)
	}
	recorded := r.manifest.Chains.Scales
	if len(recorded) != r.spec.MCMC.Chains || recorded[index] == nil {
		return nil, fmt.Errorf("%w: %s has no scales of chain %d in run.json (chains.scales), without which it cannot go on", rundir.ErrDamaged, r.spec.Out, chain)
	}
	s := k.Resume(last, maps.Clone(recorded[index]))
	return s, k.Again(ctx, r.pool, chain, s)
}

// stepsAhead is for how many steps the runs of all chains are made at a time, where there are fewer chains.
const stepsAhead = 4

// acceptance counts the steps of chains by address.
type acceptance struct {
	mu            sync.Mutex
	by            map[string]*rundir.Acceptance
	steps, failed uint64 // of all chains, with their warm-up
}

// add counts a step; an error if too many fail.
func (a *acceptance) add(i mcmc.Info, adapt bool, allowed float64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.steps++
	if i.Failed {
		a.failed++
		if engine.TooMany(int(a.failed), int(a.steps), allowed) {
			return fmt.Errorf("%w: the runs of %d of %d steps failed, clearly more than %g %% (--max-failed %g)", engine.ErrGivenUp, a.failed, a.steps, 100*allowed, allowed)
		}
	}
	if adapt {
		return nil
	}
	if a.by == nil {
		a.by = map[string]*rundir.Acceptance{}
	}
	x := a.by[i.Base]
	if x == nil {
		x = &rundir.Acceptance{}
		a.by[i.Base] = x
	}
	x.Steps++
	if i.Accepted {
		x.Accepted++
	}
	return nil
}

// stuck names the address whose steps are hardly ever taken, "" if there is none.
func (a *acceptance) stuck() string {
	for base, x := range a.by {
		if x.Steps >= 200 && float64(x.Accepted) < 0.01*float64(x.Steps) {
			return fmt.Sprintf("of %s steps at %s %s were taken: that site hardly moves", text.Thousands(x.Steps), ppx.Quote(base), text.Thousands(x.Accepted))
		}
	}
	return ""
}
