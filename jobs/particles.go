package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/smc"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// SMC is what only jobs have that move particles; N is then their number.
type SMC struct {
	Islands int    `json:"islands"`
	Keep    int    `json:"keep"`     // states of each particle that are draws
	Moves   int    `json:"moves"`    // of a particle at each rung; −1: as many as it takes
	Kernel  string `json:"kernel"`   // lmh, rmh or ic-mh
	Ladder  string `json:"ladder"`   // run directory that has learned one; "": it learns its own
	MaxRuns uint64 `json:"max_runs"` // of the simulator; 0: any number
	// Score is an expression over variables, which the particles raise until it is above, or at least, a level; "": none.
	Score   string   `json:"score"`
	Above   *float64 `json:"above,omitempty"`
	AtLeast *float64 `json:"at_least,omitempty"`
}

// DefaultSMC are the settings of particles that are not given.
func DefaultSMC() SMC { return SMC{Islands: 16, Keep: 1, Moves: smc.Adapt, Kernel: "rmh"} }

// defaultSMC are those of a job, which moves by its network if it has one.
func (s *Spec) defaultSMC() *SMC {
	c := DefaultSMC()
	if s.Network != nil {
		c.Kernel = "ic-mh"
	}
	return &c
}

const (
	maxIslands = 10_000
	maxMoves   = 1_000_000
	maxKeep    = 100_000
)

// draws is how many there are of so many particles.
func (c *SMC) draws(particles uint64) uint64 {
	if c == nil {
		return particles
	}
	return particles * uint64(max(1, c.Keep))
}

// checkSMC refuses settings of particles that make no sense.
func (s *Spec) checkSMC() error {
	c := s.SMC
	if c == nil {
		return nil
	}
	k, known := kernels[c.Kernel]
	switch {
	case c.Islands < 1 || c.Islands > maxIslands:
		return misuse("--islands %d: want a number from 1 to %d", c.Islands, maxIslands)
	case s.N < 2*uint64(c.Islands):
		return misuse("-n %d is less than two particles for each of %d islands", s.N, c.Islands)
	case s.N > math.MaxInt32/4:
		return misuse("-n %d: too many particles", s.N)
	case c.Keep < 0 || c.Keep > maxKeep:
		return misuse("--keep %d: want a number from 1 to %d", c.Keep, maxKeep)
	case s.TargetESS > 0 && c.Keep <= 1:
		return misuse("--target-ess with --method smc stops what --keep goes on with: give --keep, the most states of each particle")
	case c.Keep > 1 && c.Score != "":
		return misuse("--keep goes without --score: what raises a score has no last rung")
	case c.Moves < smc.Adapt || c.Moves > maxMoves:
		return misuse("--moves %d: want a number from 0 to %d, or auto", c.Moves, maxMoves)
	case !known:
		return misuse("--kernel %s: want lmh, rmh or ic-mh", ppx.Quote(c.Kernel))
	case k.whole > 0 && s.Network == nil:
		return misuse("--kernel %s needs %s", c.Kernel, aNetwork(s))
	case c.Ladder != "" && c.Moves != smc.Adapt:
		return misuse("--moves goes without --ladder, which says how many there are")
	case c.Score == "" && (c.Above != nil || c.AtLeast != nil):
		return misuse("--above and --at-least go with --score")
	case c.Score != "" && (c.Above == nil) == (c.AtLeast == nil):
		return misuse("--score wants --above X or --at-least X")
	case c.Above != nil && isBad(*c.Above) || c.AtLeast != nil && isBad(*c.AtLeast):
		return misuse("the level of the score must be a finite number")
	case s.First > 0:
		return misuse("--first goes with independent draws: particles are not shared out")
	}
	if c.Score != "" {
		if err := expression.Check(c.Score); err != nil {
			return misuse("--score: %w", err)
		}
	}
	return nil
}

func isBad(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }

// particles is a job whose method moves particles.
func particles(ctx context.Context, m *Method, spec *Spec, o Options) (*Outcome, error) {
	if o.RetryFailed {
		return nil, misuse("--retry-failed goes with independent draws: a run that fails is a move that is not made")
	}
	if spec.SMC == nil {
		spec.SMC = spec.defaultSMC()
	}
	if err := spec.checkSMC(); err != nil {
		return nil, err
	}
	if spec.SMC.Ladder != "" { // before there is a directory; what it says is looked at when the simulator is known
		if _, err := rundir.ReadManifest(spec.SMC.Ladder); err != nil {
			return nil, misuse("--ladder: %w", err)
		}
	}
	r := &run{spec: spec, o: o, method: m, sum: posterior.NewParticleSummary()}
	r.draws = r.particles
	return r.do(ctx)
}

// config is what the particles of a job are to do.
func (r *run) particleConfig() (*smc.Config, error) {
	s := r.spec.SMC
	c := &smc.Config{Kernel: r.kernel(), N: int(r.spec.N), Islands: s.Islands, Keep: s.Keep, Power: r.spec.LikelihoodImportance, Moves: s.Moves, MaxRuns: s.MaxRuns}
	c.Kernel.Kind = dist.StreamParticles
	if s.Score != "" {
		x := &score{text: s.Score, remark: r.o.Remark}
		c.Begun, c.Score = x.begin, x.of
		c.AtLeast = s.AtLeast != nil
		c.Level = *cmp.Or(s.AtLeast, s.Above)
	}
	if s.Ladder == "" {
		return c, nil
	}
	m, err := rundir.ReadManifest(s.Ladder)
	if err != nil {
		return nil, misuse("--ladder: %w", err)
	}
	switch {
	case m.Particles == nil || len(m.Particles.Ladder) == 0:
		return nil, misuse("--ladder: %s has no ladder: it was made by --method %s, and is %s", s.Ladder, m.Method, m.State)
	case m.State != rundir.Complete:
		return nil, misuse("--ladder: %s is %s: its ladder does not reach the posterior; --resume --out %s goes on with it", s.Ladder, m.State, s.Ladder)
	case m.Particles.Score != s.Score:
		return nil, misuse("--ladder: %s was climbed with the score %s, this is with %s", s.Ladder, orNone(m.Particles.Score), orNone(s.Score))
	case m.Model != r.pool.Model():
		return nil, misuse("--ladder: %s is of the model %s, this is %s", s.Ladder, ppx.Quote(m.Model), ppx.Quote(r.pool.Model()))
	case (m.Network == nil) != (r.spec.Network == nil) || m.Network != nil && m.Network.SHA256 != r.network.SHA256:
		return nil, misuse("--ladder: %s was climbed with another network, or only one of the two has one: its steps are of that way", s.Ladder)
	case m.Seed == r.spec.Seed || m.Particles.Taught != nil && *m.Particles.Taught == r.spec.Seed:
		return nil, misuse("--ladder: %s was made with the same --seed: what is learned from particles must be used by others", s.Ladder)
	}
	if other, err := Recorded(s.Ladder); err == nil && other.SMC != nil && other.SMC.Kernel != s.Kernel {
		r.o.Remark(fmt.Sprintf("--ladder: %s was climbed with --kernel %s, this is with %s: its moves may be too few, or its steps too long", s.Ladder, other.SMC.Kernel, s.Kernel))
	}
	if r.taught = m.Particles.Taught; r.taught == nil {
		r.taught = &m.Seed
	}
	if err := plausible(m.Particles.Ladder, s.Score != ""); err != nil {
		return nil, misuse("--ladder: %s: %w", s.Ladder, err)
	}
	c.Ladder, err = ladderOf(r.pool.Table(), m.Particles.Ladder)
	if err != nil {
		return nil, misuse("--ladder: %s: %w", s.Ladder, err)
	}
	return c, nil
}

// particles moves the particles to the end and delivers them.
func (r *run) particles(ctx context.Context, sink tracing.Writer) (out importance.Outcome, err error) {
	if r.cfg.From >= r.cfg.First+r.cfg.N {
		return out, r.names.Final()
	}
	c, err := r.particleConfig()
	if err != nil {
		return out, err
	}
	names := c.Begun
	begun := control.NewNames(r.cfg.Data, r.cfg.Condition, r.o.Remark) // as the prior uses data; how the posterior does is told by what is kept
	if r.spec.SMC.Score != "" && len(r.cfg.Data) == 0 {                // of the event alone
		begun = control.NewNames(nil, false, nil)
	}
	c.Begun = func(first []*tracing.Trace) error {
		for _, t := range first {
			if err := begun.Add(t); err != nil {
				return err
			}
		}
		if names != nil {
			return names(first)
		}
		return nil
	}
	store := checkpoint{dir: r.spec.Out, every: time.Duration(r.spec.SaveEvery), version: r.o.Version, last: time.Now()}
	c.Saved = func(p *smc.Population) error { return store.save(ctx, p) }
	start, last := time.Now(), time.Now()
	c.Progress = func(p *smc.Population) {
		if r.cfg.Progress == nil || time.Since(last) < r.o.Every {
			return
		}
		last = time.Now()
		x := importance.Progress{Done: out.Drawn, N: r.cfg.N, Elapsed: time.Since(start), ESS: math.NaN(), PerSecond: float64(p.Runs) / time.Since(start).Seconds()}
		x.Where = fmt.Sprintf("rung %d, β %.3g, %s runs", p.Next+1, p.Beta, text.Thousands(p.Runs))
		if p.Splitting {
			x.Where = fmt.Sprintf("level %d, %s runs", p.Next+1, text.Thousands(p.Runs))
		}
		r.cfg.Progress(x)
	}
	from, err := store.load(ctx, r.pool.Table())
	if err != nil {
		return out, err
	}
	if from != nil && names != nil {
		if err := names(from.Traces()); err != nil {
			return out, err
		}
	}
	if t := r.cfg.MaxTime; t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, t, errTime)
		defer cancel()
	}
	row := r.cfg.First
	kept := 0
	c.Kept = func(p *smc.Population) (enough bool, err error) {
		if kept == 0 { // what was there when the job went on comes once more, and is looked at as it was
			full := r.sum.Full
			r.sum, r.names = posterior.NewParticleSummary(), control.NewNames(r.cfg.Data, r.cfg.Condition, nil)
			r.sum.Full = full
			r.w.Update(func(m *rundir.Manifest) {
				if m.Particles != nil {
					m.Particles.Looks = nil
				}
			})
		}
		r.describe(p) // with what is on disk one can say what it is
		for t := range p.Weighted(int64(row)) {
			if row++; row > r.cfg.From {
				if err := sink.Write(ctx, t); err != nil {
					return false, err
				}
				out.Drawn++
			}
			if err := errors.Join(r.sum.Write(ctx, t), r.names.Add(t)); err != nil {
				return false, err
			}
		}
		if kept++; kept == lookAt(kept) && r.cfg.TargetESS > 0 {
			out.Stopped = r.look(kept)
		}
		return out.Stopped != "", nil
	}
	p, err := smc.Run(ctx, r.pool, c, from)
	if kept > 0 { // what was kept stands
		switch {
		case errors.Is(err, errTime):
			out.Stopped, out.Cut, err = outOfTime, r.cut(), nil
		case errors.Is(err, smc.ErrBudget):
			out.Stopped, err = outOfRuns, nil
		}
	}
	switch {
	case errors.Is(err, errTime):
		where := "before the first rung"
		if p != nil {
			where = fmt.Sprintf("at rung %d, β = %.3g", p.Next+1, p.Beta)
		}
		return out, fmt.Errorf("%w %s; particles say nothing before the end, and a rung that was not finished is begun again: go on with a longer one", ErrTime, where)
	case errors.Is(err, mcmc.ErrPath):
		return out, fmt.Errorf("%w; particles need one that does the same with the same values (--force goes on, for what it is worth)", err)
	case errors.Is(err, smc.ErrBudget):
		return out, misuse("%w; give it more, or take fewer particles", err)
	case errors.Is(err, smc.ErrStart):
		return out, fmt.Errorf("%w%s", err, r.impossible(ctx))
	case err != nil:
		return out, err
	}
	r.describe(p)
	if r.cfg.Progress != nil {
		r.cfg.Progress(importance.Progress{Done: r.cfg.N, N: r.cfg.N, Elapsed: time.Since(start), ESS: r.sum.ESS(), PerSecond: float64(p.Runs) / time.Since(start).Seconds()})
	}
	r.done = func() error { return store.remove() }
	if err := begun.Final(); err != nil { // what no draw of the prior has used moves may come to
		return out, r.names.Final()
	}
	return out, nil
}

// look is why what is kept of particles is enough, or no more of it helps; "" if it goes on.
func (r *run) look(kept int) string {
	ess, before := r.sum.ESS(), math.NaN()
	r.w.Update(func(m *rundir.Manifest) {
		p := m.Particles
		p.Looks = append(p.Looks, rundir.Look{States: kept, ESS: ess})
		for _, l := range p.Looks {
			if 2*l.States == kept {
				before = l.ESS
			}
		}
	})
	switch {
	case ess >= r.cfg.TargetESS:
		return fmt.Sprintf("effective sample size %g reached", r.cfg.TargetESS)
	case kept >= 8 && ess < fewerGain*before:
		return fmt.Sprintf("%d states of each particle have an effective sample size of %.3g, half of them %.3g: more states would not help, more particles do (-n)", kept, ess, before)
	}
	return ""
}

// Why a job ended before it had all that it was to draw.
const (
	outOfTime = "time limit"
	outOfRuns = "no runs left"
)

// fewerGain is what twice the states have to bring: particles that do not change their modes, or the weights of islands, are then what errors come from.
const fewerGain = 1.25

// lookAt is the last of 1, 2, 3, 4, 6, 8, 12, … that is at most k: how many states are kept when the effective sample size is looked at.
func lookAt(k int) int {
	for n := 1; ; n *= 2 {
		switch {
		case k < 2*n && k >= 3*n/2 && n > 1:
			return 3 * n / 2
		case k < 2*n:
			return n
		}
	}
}

// impossible names what makes a few draws of the prior impossible under the data.
func (r *run) impossible(ctx context.Context) string {
	sum := posterior.NewSummary()
	for t, err := range r.pool.Stream(ctx, engine.DrawsOf(dist.StreamParticles, r.spec.Seed, 0, 20, r.cfg.Stack()), nil) {
		if err != nil || sum.Write(ctx, t) != nil {
			return ""
		}
	}
	if len(sum.ZeroAt) == 0 {
		return ""
	}
	return "; impossible at " + sum.ZeroAt[0]
}

func orNone(score string) string {
	if score == "" {
		return "none"
	}
	return ppx.Quote(score)
}

// plausible looks at what particles would believe. Above the last rung of the likelihood a score has levels; the first, of those that have no score, is below all numbers.
func plausible(ladder []rundir.Rung, scored bool) error {
	before := 0.0
	for i, r := range ladder {
		rises := r.Beta > before || scored && before == 1 && r.Beta == 1 || i == 0 && r.Possible && r.Beta >= 0
		if !rises || r.Beta > 1 || r.Moves < -1 || r.Moves > maxMoves {
			return fmt.Errorf("rung %d has β = %g after %g, and %d moves", i+1, r.Beta, before, r.Moves)
		}
		for base, x := range r.Scales {
			if !(x > 0) || math.IsInf(x, 0) {
				return fmt.Errorf("rung %d has the scale %g at %s", i+1, x, ppx.Quote(base))
			}
		}
		before = r.Beta
	}
	if before != 1 {
		return fmt.Errorf("its last rung has β = %g, not 1", before)
	}
	return nil
}

// describe notes what came of the particles.
func (r *run) describe(p *smc.Population) {
	s := r.spec.SMC
	m := &rundir.Particles{Islands: s.Islands, Keep: max(1, s.Keep), Moves: s.Moves, From: s.Ladder, Taught: r.taught, Runs: p.Runs, Failed: p.Failed, Score: s.Score, Ladder: recordLadder(r.pool.Table(), p.Ladder)}
	for _, z := range p.LogZ {
		m.LogEvidence = append(m.LogEvidence, rundir.Number(p.Beta*p.Reference+z))
	}
	if s.Score != "" {
		log, se := posterior.IslandRatio(p.LogZ, p.LogZ0)
		a, b := rundir.Number(log), rundir.Number(se)
		m.LogProbability, m.LogProbabilitySE = &a, &b
		if s.Above != nil {
			m.Above = (*rundir.Number)(s.Above)
		} else {
			m.AtLeast = (*rundir.Number)(s.AtLeast)
		}
	}
	r.w.Update(func(x *rundir.Manifest) {
		if x.Particles != nil {
			m.Looks = x.Particles.Looks
		}
		x.Particles = m
	})
}

// recordLadder is a ladder as run.json has it.
func recordLadder(table *tracing.Table, ladder []smc.Rung) (out []rundir.Rung) {
	for _, r := range ladder {
		x := rundir.Rung{Beta: r.Beta, Possible: r.Possible, Moves: r.Moves, Scales: r.Scales, ESS: r.ESS, Resampled: r.Resampled, Moved: r.Moved, Ancestors: r.Ancestors, Steps: map[string]*rundir.Acceptance{}}
		if !math.IsNaN(r.Level) {
			level := rundir.Number(r.Level)
			x.Level = &level
		}
		for base, n := range r.Steps {
			x.Steps[base] = &rundir.Acceptance{Steps: n.Steps, Accepted: n.Accepted}
		}
		if b := r.Block; b != nil {
			x.Block = &rundir.Block{Scale: b.Scale, Mean: b.Mean}
			for i, key := range b.Keys {
				a := table.Address(key.Address)
				x.Block.Sites = append(x.Block.Sites, rundir.BlockSite{Address: a.Base, Instance: key.Instance, Kind: a.Kind.String(), Elements: b.Elements[i]})
			}
			for i := range b.Dim() {
				row := make([]float64, i+1)
				for j := range row {
					row[j] = b.L.At(i, j)
				}
				x.Block.L = append(x.Block.L, row)
			}
		}
		out = append(out, x)
	}
	return out
}

// ladderOf is the ladder that run.json has.
func ladderOf(table *tracing.Table, recorded []rundir.Rung) (out []smc.Rung, err error) {
	for _, r := range recorded {
		x := smc.Rung{Beta: r.Beta, Possible: r.Possible, Moves: r.Moves, Scales: r.Scales, Level: math.NaN(), ESS: r.ESS, Resampled: r.Resampled, Moved: r.Moved, Ancestors: r.Ancestors,
			Steps: map[string]*smc.Taken{}}
		if r.Level != nil {
			x.Level = float64(*r.Level)
		}
		for base, n := range r.Steps {
			x.Steps[base] = &smc.Taken{Steps: n.Steps, Accepted: n.Accepted}
		}
		if x.Scales == nil {
			x.Scales = mcmc.Scales{}
		}
		if b := r.Block; b != nil {
			x.Block = &mcmc.Block{Scale: b.Scale, Mean: b.Mean}
			for _, site := range b.Sites {
				kind, ok := dist.KindByName(site.Kind)
				if !ok || site.Elements < 1 {
					return nil, fmt.Errorf("a block has a site of %d elements and the family %s", site.Elements, ppx.Quote(site.Kind))
				}
				x.Block.Keys = append(x.Block.Keys, tracing.Key{Address: table.Intern(site.Address, ppx.Sample, kind), Instance: site.Instance})
				x.Block.Elements = append(x.Block.Elements, site.Elements)
			}
			n := x.Block.Dim()
			if len(b.L) != n || len(b.Mean) != n || n == 0 || n > 10_000 || !(b.Scale > 0 && b.Scale <= 1) {
				return nil, fmt.Errorf("a block of %d elements has %d rows, %d means and the scale %g", n, len(b.L), len(b.Mean), b.Scale)
			}
			x.Block.L = mat.NewTriDense(n, mat.Lower, nil)
			for i, row := range b.L {
				if len(row) != i+1 || !(row[i] > 0) {
					return nil, errors.New("a block's matrix is no lower triangle")
				}
				for j, v := range row {
					x.Block.L.SetTri(i, j, v)
				}
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// score is what particles are to raise.
type score struct {
	text   string
	remark func(string)
	vars   tracing.Variables
	lookup tracing.Lookup
	e      *expression.Expression
	bad    bool // some trace had none
}

// begin compiles the expression, over the variables that the first particles have.
func (s *score) begin(first []*tracing.Trace) error {
	census := tracing.NewCensus(&s.vars)
	for _, t := range first {
		census.Add(t)
	}
	var names []string
	for name := range census.Names() {
		names = append(names, name)
	}
	slices.Sort(names)
	var err error
	if s.e, err = expression.Compile(s.text, names); err != nil {
		return misuse("--score: %w", err)
	}
	s.lookup = tracing.NewLookup(&s.vars)
	s.lookup.Need(s.e.Names)
	return nil
}

// of is the score of a trace; −Inf where it has none.
func (s *score) of(t *tracing.Trace) (float64, error) {
	s.lookup.Read(t)
	v, ok := s.e.Eval(s.lookup.Value)
	if ok && v == v {
		return v, nil
	}
	if !s.bad {
		s.bad = true
		s.remark(fmt.Sprintf("the score %s is missing, or no number, in some traces: they count as below any level", ppx.Quote(s.text)))
	}
	return math.Inf(-1), nil
}
