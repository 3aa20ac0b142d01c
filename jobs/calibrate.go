package jobs

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Calibration is what only jobs have that judge a method by data sets of known truth; N is the number of these.
type Calibration struct {
	// Names are the statements whose values are the data; none: every named Observe.
	Names    []string `json:"names"`
	MinESS   float64  `json:"min_ess"`   // of each inference: below, its ranks are undecided
	MaxDraws uint64   `json:"max_draws"` // for each data set
	Truths   string   `json:"truths"`    // run directory whose traces are the truths; "": they are drawn
}

// CalibratedSet is what one data set came to: a line of sets.jsonl. Numbers are null where they cannot be computed.
type CalibratedSet struct {
	Set           uint64        `json:"set"`
	Draws         uint64        `json:"draws"`
	Failed        uint64        `json:"failed"`
	ESS           rundir.Number `json:"ess"`
	Khat          rundir.Number `json:"khat"`
	LogEvidence   rundir.Number `json:"log_evidence"`
	LogLikelihood rundir.Number `json:"log_likelihood"` // of the truth
	// Ranks are those of the truth's quantities, by name. Undecided are the quantities with too small an effective sample size.
	Ranks     map[string]float64 `json:"ranks"`
	Undecided []string           `json:"undecided"`
	Error     string             `json:"error,omitempty"` // why there is no inference

	bulk []float64 // of chains: the effective sample size of each quantity
}

// line is what sets.jsonl has of it.
func (s *CalibratedSet) line() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // ranks are numbers between 0 and 1, the others Numbers
	}
	return append(b, '\n')
}

// Gain is log q(θ*|x) − log p(θ*) in nats, by Bayes' rule: what the data say of the truth beyond the prior.
func (s *CalibratedSet) Gain(beta float64) float64 {
	return beta*float64(s.LogLikelihood) - float64(s.LogEvidence)
}

// Quantities that are ranked besides variables. Statistics of the data and the parameters together see what ranks of single variables cannot: that
// the prior is no posterior, for instance.
const (
	RankLikelihood = "log likelihood"
	RankJoint      = "log joint density"
	// RankDistance is TARP: the share of draws that are nearer to a reference than the truth, where the reference depends on the data
	// (P. Lemos, A. Coogan, Y. Hezaveh and L. Perreault-Levasseur, "Sampling-based accuracy testing of posterior estimators", ICML 2023).
	RankDistance = "distance to a reference"
)

const (
	pilots        = 200 // truths that tell what variables there are, their scales, and what of them the data foretell
	firstPilot    = 1 << 40
	firstDraws    = 128 // of a data set
	maxRanked     = 16  // elements of a tensor, evenly spaced
	maxQuantities = 1000
	inFlight      = 4  // data sets at least
	rareDraws     = 10 // times as many draws are made, for what only some of them have, as do for the others
	tieDraw       = 1 << 62
)

// calibration is such a job in its course.
type calibration struct {
	spec   *Spec
	o      Options
	method *Method
	x      engine.Executor
	model  string
	shared *shared
	table  *columns
	ref    *reference
	want   map[string][]int32       // shapes of the data
	truths []*truth                 // that were recorded; nil: they are drawn
	broken func(*importance.Config) // what a test breaks
	drawn  atomic.Uint64            // in this session, of unfinished data sets too
}

// manifestFile of a calibration, and the file of its data sets.
const (
	calibrationFile = "calibration.json"
	setsFile        = "sets.jsonl"
)

// CalibrationManifest is calibration.json.
type CalibrationManifest struct {
	Schema     int             `json:"schema"`
	PPXVersion string          `json:"ppx_version"`
	Model      string          `json:"model"`
	Job        json.RawMessage `json:"job"`
	Order      []string        `json:"order"` // of quantities
}

// Calibrated is what a calibration came to.
type Calibrated struct {
	Manifest  *CalibrationManifest
	Sets      []CalibratedSet // in their order
	Draws     uint64          // of all sets in this session
	Seconds   float64         // of it
	PerSecond float64         // traces
}

// calibrated is a job that judges a method.
func calibrated(ctx context.Context, m *Method, spec *Spec, o Options) (_ *Outcome, err error) {
	if m.Name == "auto" {
		return nil, misuse("--method auto takes whichever method serves: calibrate that one, is, ic or smc")
	}
	if m.Particles && spec.SMC == nil {
		spec.SMC = spec.defaultSMC()
	}
	if m.Chains && spec.MCMC == nil {
		spec.MCMC = &MCMC{Chains: 4, Warmup: 500, Thin: 1}
	}
	if spec.Out == "" {
		spec.Out = FreshDirectory(spec.Verb)
	}
	out := &Outcome{Dir: spec.Out, Spec: spec, State: rundir.Complete, Calibrated: &Calibrated{}}
	cal := out.Calibrated
	if o.Resume {
		if cal.Manifest, cal.Sets, err = readCalibration(spec.Out); err != nil {
			return nil, err
		}
		cal.Sets = slices.DeleteFunc(cal.Sets, func(s CalibratedSet) bool { // what a larger budget, or another try, may settle
			return o.RetryFailed && s.Error != "" || !(float64(s.ESS) >= spec.Calibration.MinESS) && s.Draws < spec.Calibration.MaxDraws
		})
	} else if err := unused(spec.Out); err != nil {
		return nil, err
	}
	done := map[uint64]bool{}
	for _, s := range cal.Sets {
		done[s.Set] = true
	}
	todo := []uint64{}
	for k := range spec.N {
		if !done[k] {
			todo = append(todo, k)
		}
	}
	if len(todo) > 0 {
		if err = calibrateSets(ctx, m, spec, o, cal, todo); err != nil && !errors.Is(err, ErrInterrupted) {
			return nil, err
		}
		out.State = StateAfter(err)
	}
	slices.SortFunc(cal.Sets, func(a, b CalibratedSet) int { return cmp.Compare(a.Set, b.Set) })
	cal.Sets = slices.DeleteFunc(cal.Sets, func(s CalibratedSet) bool { return s.Set >= spec.N })
	out.Done = uint64(len(cal.Sets))
	if err != nil {
		err = fmt.Errorf("%w: %s of %s data sets are in %s; --resume --out %s continues", ErrInterrupted, text.Thousands(out.Done), text.Thousands(spec.N), spec.Out, spec.Out)
	}
	return out, err
}

// calibrateSets makes the data sets of todo.
func calibrateSets(ctx context.Context, m *Method, spec *Spec, o Options, cal *Calibrated, todo []uint64) (err error) {
	if err := spec.hash(); err != nil {
		return err
	}
	pool, err := spec.open(ctx, o)
	if err != nil {
		return err
	}
	defer pool.Close()
	c := &calibration{spec: spec, o: o, method: m, x: pool, model: pool.Model(), shared: newShared(pool, spec)}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	manifest := &CalibrationManifest{Schema: Schema, PPXVersion: o.Version, Model: pool.Model(), Order: c.table.names}
	if manifest.Job, err = spec.record(); err != nil {
		return err
	}
	release, err := holdFolder(spec.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	switch old := cal.Manifest; {
	case old == nil:
	case old.Model != manifest.Model:
		return misuse("%s was made with the model %s; this simulator is %s", spec.Out, ppx.Quote(old.Model), ppx.Quote(manifest.Model))
	case !slices.Equal(old.Order, manifest.Order):
		return misuse("this is not the simulator that %s was made with: it has other variables", spec.Out)
	}
	cal.Manifest = manifest
	if err := disk.WriteJSON(filepath.Join(spec.Out, calibrationFile), manifest); err != nil {
		return err
	}
	if o.Begun != nil {
		o.Begun(pool.Model(), spec)
	}
	path := filepath.Join(spec.Out, setsFile)
	if err := disk.Replace(path, func(f *os.File) error { // without what a kill has cut off
		for i := range cal.Sets {
			if _, err := f.Write(cal.Sets[i].line()); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	sets, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sets.Close()) }()
	begin, have := time.Now(), len(cal.Sets)
	var made atomic.Int64
	if o.Sets != nil { // also while large data sets are on their way
		tick := time.NewTicker(max(o.Every, 100*time.Millisecond))
		stop, stopped := make(chan struct{}), make(chan struct{})
		defer func() {
			tick.Stop()
			close(stop)
			<-stopped
		}()
		go func() {
			defer close(stopped)
			for {
				select {
				case <-tick.C:
					o.Sets(have+int(made.Load()), int(spec.N), float64(c.drawn.Load())/time.Since(begin).Seconds(), pool.Stats())
				case <-stop:
					return
				}
			}
		}()
	}
	err = c.all(ctx, todo, pool.Stats().Workers, func(s *CalibratedSet) error {
		cal.Sets = append(cal.Sets, *s)
		cal.Draws += s.Draws
		cal.Seconds = time.Since(begin).Seconds()
		cal.PerSecond = float64(cal.Draws) / cal.Seconds
		made.Add(1)
		_, err := sets.Write(s.line())
		return err
	})
	return err
}

// all makes data sets, several at a time, and calls done for each, one after the other, as they come.
func (c *calibration) all(ctx context.Context, todo []uint64, workers int, done func(*CalibratedSet) error) error {
	return together(ctx, len(todo), max(inFlight, workers), func(ctx context.Context, i int) (*CalibratedSet, error) { return c.set(ctx, todo[i]) }, done)
}

// together calls work for 0 to n − 1, some at a time, and done with what comes, one after the other. The first error ends it.
func together[T any](ctx context.Context, n, atOnce int, work func(context.Context, int) (T, error), done func(T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for range min(n, atOnce) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n || ctx.Err() != nil {
					return
				}
				x, err := work(ctx, i)
				mu.Lock()
				if err == nil && ctx.Err() == nil {
					err = done(x)
				}
				mu.Unlock()
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// truth is one data set, and what it was made from.
type truth struct {
	values        []float64 // by column
	data          control.Data
	logLikelihood float64
	logJoint      float64
}

// priorStack draws everything from the prior.
func priorStack(engine.Draw) engine.Stack { return engine.Stack{control.Prior{}} }

// prior makes a trace of the prior; a draw that is given up is a failed one.
func (c *calibration) prior(ctx context.Context, index uint64) (*tracing.Trace, error) {
	t, err := c.x.Execute(ctx, engine.Task{Draw: engine.Draw{Seed: c.spec.Seed, Kind: dist.StreamTruths, Index: index}, Stack: priorStack})
	if t != nil && errors.Is(err, engine.ErrGivenUp) {
		err = nil
	}
	return t, err
}

// prepare makes the pilot draws, which tell what is to be ranked, and on what scale.
func (c *calibration) prepare(ctx context.Context) error {
	var traces []*tracing.Trace
	for t, err := range c.x.Stream(ctx, engine.DrawsOf(dist.StreamTruths, c.spec.Seed, firstPilot, pilots, priorStack), nil) {
		if err != nil {
			return err
		}
		if t.Status == tracing.OK {
			traces = append(traces, t)
		}
	}
	if len(traces) < pilots/2 {
		return misuse("more than half of the simulator's runs fail: there is nothing to calibrate")
	}
	var err error
	if c.table, err = newColumns(traces, c.spec.Calibration.Names); err != nil {
		return err
	}
	var list []*truth
	for _, t := range traces {
		x := c.table.truth(t)
		if c.want == nil {
			c.want = map[string][]int32{}
			for name, v := range x.data {
				c.want[name] = v.Shape
			}
		}
		if err := c.fits(x, "a run of the prior"); err != nil {
			return err
		}
		list = append(list, x)
	}
	if len(c.want) == 0 {
		return misuse("the simulator has no named Observe: name what is data, or choose it (--data NAME)")
	}
	c.ref = newReference(list, c.table.common, c.spec.Seed)
	if dir := c.spec.Calibration.Truths; dir != "" {
		c.truths, err = c.table.recordedTruths(ctx, dir, c.spec.N)
	}
	return err
}

// fits refuses data that are not of the shape that all others have.
func (c *calibration) fits(x *truth, where string) error {
	for name, shape := range c.want {
		v, ok := x.data[name]
		if !ok {
			return misuse("%s has no %s, which others have: calibrate needs the same data in all runs; choose them (--data NAME)", where, ppx.Quote(name))
		}
		if !slices.Equal(v.Shape, shape) {
			return misuse("%s has %s of the shape %v, others of %v: calibrate needs the same data in all runs; choose them (--data NAME)", where, ppx.Quote(name), v.Shape, shape)
		}
	}
	for name := range x.data {
		if _, ok := c.want[name]; !ok {
			return misuse("%s has %s, which others have not: calibrate needs the same data in all runs; choose them (--data NAME)", where, ppx.Quote(name))
		}
	}
	return nil
}

// set makes the inference for one data set.
func (c *calibration) set(ctx context.Context, k uint64) (*CalibratedSet, error) {
	out := &CalibratedSet{Set: k, ESS: rundir.Number(math.NaN()), Khat: rundir.Number(math.NaN()), LogEvidence: rundir.Number(math.NaN()), LogLikelihood: rundir.Number(math.NaN()),
		Ranks: map[string]float64{}, Undecided: []string{}}
	var x *truth
	if c.truths != nil {
		x = c.truths[k]
	} else {
		t, err := c.prior(ctx, k)
		if err != nil {
			return nil, err
		}
		if t.Status != tracing.OK { // the posterior is that of runs that succeed: so are truths
			out.Error = t.Error
			return out, nil
		}
		x = c.table.truth(t)
	}
	if err := c.fits(x, fmt.Sprintf("data set %d", k)); err != nil {
		return nil, err
	}
	r := &run{spec: c.spec.clone(), o: c.o, method: c.method}
	r.o.shared = c.shared
	r.cfg = importance.Config{Seed: c.spec.Seed, Kind: dist.StreamCalibration, Data: x.data, Inflation: c.spec.Inflation, LikelihoodImportance: c.spec.LikelihoodImportance}
	if c.method.guide != nil {
		var err error
		if r.cfg.Guide, err = c.method.guide(r); err != nil {
			return nil, err
		}
	}
	if r.proposer != nil {
		if err := r.proposer.Check(c.model); err != nil {
			return nil, Misuse{err}
		}
	}
	if c.broken != nil {
		c.broken(&r.cfg)
	}
	out.LogLikelihood = rundir.Number(x.logLikelihood)
	draw := c.draw
	switch {
	case c.method.Particles:
		draw = c.drawParticles
	case c.method.Chains:
		draw = c.drawChains
	}
	ranks, err := draw(ctx, k, r, x, out)
	if err != nil {
		return nil, err
	}
	ties := dist.NewStream(c.spec.Seed, dist.StreamCalibration.Stream(uint32(k)+1), dist.StatementResample, tieDraw, dist.PurposeAccept)
	for i, name := range c.table.names {
		rank, ess := ranks.Of(i, ties.Float64())
		if out.bulk != nil {
			ess = out.bulk[i]
		}
		switch {
		case !ranks.Known(i):
		case ess < c.spec.Calibration.MinESS:
			out.Undecided = append(out.Undecided, name)
		default:
			out.Ranks[name] = rank
		}
	}
	return out, nil
}

// draw draws from the posterior of a data set until the effective sample size is enough, or there are too many draws: first a few, then as many
// as seem to lack, so that a set stops at one of few places and not when its luck is best.
func (c *calibration) draw(ctx context.Context, k uint64, r *run, x *truth, out *CalibratedSet) (*posterior.Ranks, error) {
	q := c.quantities(x, k)
	want := q.truth()
	ranks, weights := posterior.NewRanks(want), posterior.NewWeights()
	cfg := &r.cfg
	stack := cfg.Stack()
	var rel tracing.Relative
	enough := uint64(0) // draws, but for what only some have
	for end := uint64(firstDraws); ; {
		end = min(end, c.spec.Calibration.MaxDraws)
		next := out.Draws
		source := func() (engine.Task, bool) {
			if next == end {
				return engine.Task{}, false
			}
			next++
			return engine.Task{Draw: engine.Draw{Seed: c.spec.Seed, Kind: cfg.Kind, Chain: uint32(k) + 1, Index: next - 1}, Stack: stack}, true
		}
		for t, err := range c.x.Stream(ctx, source, nil) {
			if err != nil {
				return nil, err
			}
			out.Draws++
			c.drawn.Add(1)
			if t.Status != tracing.OK {
				out.Failed++
				weights.AddFailed()
				continue
			}
			t = cfg.Temper(t)
			weights.Add(t.LogWeight, t.LogWeightRest)
			ranks.Add(rel.Of(t), q.of(t))
		}
		ess := weights.ESS()
		if ess >= c.spec.Calibration.MinESS { // what only some draws have takes longer
			if enough == 0 {
				enough = end
			}
			for i := range want {
				if _, own := ranks.Of(i, 0); ranks.Known(i) && end < rareDraws*enough {
					ess = min(ess, own)
				}
			}
		}
		if ess >= c.spec.Calibration.MinESS || end >= c.spec.Calibration.MaxDraws {
			out.ESS, out.Khat, out.LogEvidence = rundir.Number(weights.ESS()), rundir.Number(weights.Khat()), rundir.Number(weights.LogEvidence())
			return ranks, nil
		}
		lack := 1.1 * float64(end) * c.spec.Calibration.MinESS / max(ess, 1)
		end = uint64(min(max(lack, 1.25*float64(end)), 4*float64(end)))
	}
}

// quantities are what is ranked of a data set.
type quantities struct {
	c      *calibration
	x      *truth
	ref    []float64
	reader *columnReader
	values []float64
}

func (c *calibration) quantities(x *truth, k uint64) *quantities {
	return &quantities{c: c, x: x, ref: c.ref.of(x.data, k), reader: c.table.reader(), values: make([]float64, len(c.table.names))}
}

// truth is their true values.
func (q *quantities) truth() []float64 {
	out := slices.Clone(q.x.values)
	distance, likelihood, joint := q.c.table.extra()
	out[distance], out[likelihood], out[joint] = q.c.ref.distance(q.ref, q.x.values), q.x.logLikelihood, q.x.logJoint
	return out
}

// of is their values in a trace, until the next call.
func (q *quantities) of(t *tracing.Trace) []float64 {
	q.reader.read(t, q.values)
	distance, likelihood, joint := q.c.table.extra()
	q.values[distance], q.values[likelihood], q.values[joint] = q.c.ref.distance(q.ref, q.values), t.LogLikelihood, t.LogJoint()
	return q.values
}

// unused refuses a folder that is taken.
func unused(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return Misuse{err}
	case len(entries) > 0:
		return misuse("%s is not empty; give another --out, or --resume to continue it", dir)
	}
	return nil
}

// readCalibration reads what a calibration has left. A last line that a kill has cut off is left out.
func readCalibration(dir string) (*CalibrationManifest, []CalibratedSet, error) {
	b, err := disk.ReadFile(filepath.Join(dir, calibrationFile), maxSpec)
	if err != nil {
		return nil, nil, misuse("there is no calibration in %s to go on with", dir)
	}
	m := new(CalibrationManifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", rundir.ErrDamaged, filepath.Join(dir, calibrationFile), err)
	}
	f, err := os.Open(filepath.Join(dir, setsFile))
	if errors.Is(err, os.ErrNotExist) {
		return m, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	var sets []CalibratedSet
	seen := map[uint64]bool{}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return m, sets, nil
		}
		var s CalibratedSet
		if err := json.Unmarshal(bytes.TrimSpace(line), &s); err != nil {
			return nil, nil, fmt.Errorf("%w: %s, line %d: %w", rundir.ErrDamaged, f.Name(), len(sets)+1, err)
		}
		for name, x := range s.Ranks {
			if !(x >= 0 && x <= 1) {
				return nil, nil, fmt.Errorf("%w: %s, line %d: the rank of %s is %g, which is none", rundir.ErrDamaged, f.Name(), len(sets)+1, ppx.Quote(name), x)
			}
		}
		if !seen[s.Set] {
			seen[s.Set] = true
			sets = append(sets, s)
		}
	}
}

// checkCalibration refuses settings of a calibration that make no sense.
func (s *Spec) checkCalibration() error {
	c := s.Calibration
	switch {
	case c == nil:
		return misuse("calibration: is missing")
	case len(s.Data) > 0:
		return misuse("a calibration makes its data itself")
	case !(c.MinESS >= 10) || math.IsInf(c.MinESS, 0):
		return misuse("--min-ess %g must be at least 10", c.MinESS)
	case c.MaxDraws < firstDraws || c.MaxDraws > 1<<40:
		return misuse("--max-draws %d must be at least %d", c.MaxDraws, firstDraws)
	case s.N > 1<<31:
		return misuse("-n %d: too many data sets", s.N)
	}
	return nil
}

// Judge tells what the data sets come to.
func (c *Calibrated) Judge(s *Spec) *posterior.Calibration {
	var ranks []map[string]float64
	var undecided [][]string
	var gains []float64
	for i := range c.Sets {
		x := &c.Sets[i]
		if x.Error != "" {
			continue
		}
		ranks, undecided, gains = append(ranks, x.Ranks), append(undecided, x.Undecided), append(gains, x.Gain(s.LikelihoodImportance))
	}
	return posterior.Calibrate(c.Manifest.Order, RankJoint, ranks, undecided, gains)
}
