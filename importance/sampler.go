package importance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Config says which traces to draw.
type Config struct {
	Seed uint64
	Kind dist.StreamKind // of random numbers
	// Draws First to First + N − 1 make the job; those before From were recorded earlier.
	First, N, From uint64

	Data control.Data
	// Condition scores Observes that bring their own value and are not in Data at that value. Without it
	// they are drawn afresh.
	Condition bool
	// Inflation is the probability ε of prior inflation, 0 for none (control.Inflate).
	Inflation float64
	// Guide makes the layer that proposes values (control.Guide); nil: they are drawn from the prior.
	Guide func(engine.Draw) engine.Layer
	// Layers makes all layers of a draw, in place of what the settings above ask for; nil: nobody else does.
	Layers func(engine.Draw) engine.Stack
	// LikelihoodImportance β multiplies the log likelihood of the data: the posterior is then that of
	// p(z)·g^β. 0 means 1.
	LikelihoodImportance float64
	// Equal gives every trace the weight 1: its values are draws of what is asked for already.
	Equal bool
	// Place is where the trace of a draw stands; nil: its row is its number.
	Place func(draw uint64) *engine.Place

	TargetESS float64       // stop once it is reached, looked at after 1,000·2^k draws; 0: no
	MaxTime   time.Duration // stop after it; 0: no

	// Progress is called at most every Every, and at the end, from the goroutine that called Run.
	Progress func(Progress)
	Every    time.Duration

	// Early hears of traces that are finished and wait for an earlier draw, from any goroutine; nil: nobody.
	Early func(*tracing.Trace)

	// Have are traces of draws from From on that were made earlier, with the weight that Temper gives, in the
	// order of draws.
	Have []*tracing.Trace
}

// end is the number after the last draw.
func (c *Config) end() uint64 { return c.First + c.N }

// stream is the traces from From to the end: those at hand, the others from x.
func (c *Config) stream(ctx context.Context, x engine.Executor) iter.Seq2[*tracing.Trace, error] {
	all := engine.DrawsOf(c.Kind, c.Seed, c.From, c.end()-c.From, c.Stack())
	at := map[uint64]bool{}
	for _, t := range c.Have {
		at[t.Draw] = true
	}
	missing := func() (engine.Task, bool) {
		for {
			t, ok := all()
			if ok && at[t.Draw.Index] {
				continue
			}
			if ok && c.Place != nil {
				t.Place = c.Place(t.Draw.Index)
			}
			return t, ok
		}
	}
	var early func(*tracing.Trace)
	if c.Early != nil {
		early = func(t *tracing.Trace) { c.Early(c.Temper(t)) }
	}
	return func(yield func(*tracing.Trace, error) bool) {
		have := c.Have
		upTo := func(draw uint64) bool {
			for ; len(have) > 0 && have[0].Draw < draw; have = have[1:] {
				if !yield(have[0], nil) {
					return false
				}
			}
			return true
		}
		for t, err := range x.Stream(ctx, missing, early) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !upTo(t.Draw) || !yield(c.Temper(t), nil) {
				return
			}
		}
		upTo(c.end())
	}
}

// Progress is how far a run of the sampler has come.
type Progress struct {
	Done, N     uint64 // draws
	Elapsed     time.Duration
	PerSecond   float64 // traces, over the last seconds
	ESS         float64
	LogEvidence float64
	Left        time.Duration // 0 while unknown
	Where       string        // in place of Done, for jobs that deliver all draws at the end
}

// Estimate sets Left: until N draws at this rate, or until a time limit (0: there is none).
func (p *Progress) Estimate(limit time.Duration) {
	if p.PerSecond > 0 {
		p.Left = time.Duration(float64(p.N-p.Done) / p.PerSecond * float64(time.Second))
	}
	if left := limit - p.Elapsed; limit > 0 && (p.Left == 0 || left < p.Left) {
		p.Left = max(left, 0)
	}
}

// Stack returns what makes the layers of a draw.
func (c *Config) Stack() func(engine.Draw) engine.Stack {
	if c.Layers != nil {
		return c.Layers
	}
	condition := control.NewCondition(c.Data, c.Condition)
	plain := engine.Stack{condition, control.Prior{}}
	if c.Guide != nil {
		return func(d engine.Draw) engine.Stack { return engine.Stack{condition, c.Guide(d), control.Prior{}} }
	}
	if c.Inflation == 0 {
		return func(engine.Draw) engine.Stack { return plain }
	}
	return func(engine.Draw) engine.Stack {
		return engine.Stack{condition, control.NewInflate(c.Inflation), control.Prior{}}
	}
}

// Validate reports settings that make no sense.
func (c *Config) Validate() error {
	switch b := c.LikelihoodImportance; {
	case !(c.Inflation >= 0 && c.Inflation < 1):
		return fmt.Errorf("prior inflation %g must lie in [0, 1)", c.Inflation)
	case !(b >= 0) || math.IsInf(b, 0):
		return fmt.Errorf("likelihood importance %g must be positive and finite", b)
	}
	return nil
}

// Temper returns the trace with the weight that the settings ask for.
func (c *Config) Temper(t *tracing.Trace) *tracing.Trace {
	if c.Equal && t.Status != tracing.Failed {
		equal := *t
		equal.LogWeight, equal.LogWeightRest, equal.LogLikelihood, equal.LogLikelihoodRest = 0, 0, 0, 0
		return &equal
	}
	b := c.LikelihoodImportance
	if b == 0 || b == 1 || t.Status == tracing.Failed || t.LogLikelihood == 0 {
		return t
	}
	tempered := *t
	if !math.IsInf(t.LogLikelihood, -1) { // else the weight is zero already
		w := tracing.Sum{High: t.LogWeight, Rest: t.LogWeightRest}
		w.AddProduct(b-1, t.LogLikelihood)
		w.AddProduct(b-1, t.LogLikelihoodRest)
		w = w.Kept()
		tempered.LogWeight, tempered.LogWeightRest = w.High, w.Rest
	}
	return &tempered
}

// Outcome is what Run came to.
type Outcome struct {
	Drawn   uint64        // draws delivered, those before From not included
	Stopped string        // why it ended before N: "target ESS", "time limit"; else ""
	Cut     posterior.Cut // the longest run that was going on when it ended early
}

// unfinished is an executor that knows what it is doing.
type unfinished interface{ Unfinished() []engine.Unfinished }

// Cut looks at the runs that are given up now; mean is what a run takes.
func Cut(x engine.Executor, mean time.Duration) (c posterior.Cut) {
	c.Mean = mean
	if u, ok := x.(unfinished); ok {
		if list := u.Unfinished(); len(list) > 0 {
			d := list[0].Draw
			c.Draw, c.Last, c.Running = d.Index, list[0].Last, list[0].Running
			if d.Chain > 0 {
				c.What = d.String()
			}
		}
	}
	return c
}

// Run draws traces and hands each to sink and to the summary, in the order of draws. It ends after N
// draws, at a stopping rule, with ctx's error, or with the first error of simulator or sink; what was
// delivered before stays delivered. Draws before From must have been given to names and sum already. Errors:
// those of Executor.Stream and of sink, control.ErrName.
func Run(ctx context.Context, x engine.Executor, c *Config, names *control.Names, sum *posterior.Summary, sink tracing.Writer) (out Outcome, err error) {
	if err := c.Validate(); err != nil {
		return out, err
	}
	start := time.Now()
	rate := newRate(start)
	if c.MaxTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.MaxTime, errMaxTime)
		defer cancel()
	}
	report := func(final bool) {
		if c.Progress == nil || !(final || rate.due(time.Now(), c.Every)) {
			return
		}
		p := Progress{Done: c.From - c.First + out.Drawn, N: c.N, Elapsed: time.Since(start), ESS: sum.Weights.ESS(), LogEvidence: sum.Weights.LogEvidence()}
		p.PerSecond = rate.perSecond(time.Now(), out.Drawn)
		p.Estimate(c.MaxTime)
		c.Progress(p)
	}
	seconds := 0.0 // of the runs
	for t, err := range c.stream(ctx, x) {
		if err != nil {
			if ctx.Err() != nil {
				out.Cut = Cut(x, time.Duration(seconds/float64(max(1, out.Drawn))*float64(time.Second)))
			}
			report(true)
			if errors.Is(err, errMaxTime) {
				out.Stopped = "time limit"
				return out, names.Final()
			}
			return out, err
		}
		if err := errors.Join(sink.Write(ctx, t), sum.Write(ctx, t)); err != nil {
			return out, err
		}
		out.Drawn++
		seconds += t.Seconds
		if err := names.Add(t); err != nil {
			return out, err
		}
		if c.TargetESS > 0 && looks(c.From-c.First+out.Drawn) && sum.Weights.ESS() >= c.TargetESS {
			if c.From+out.Drawn < c.end() {
				out.Stopped = "target ESS"
			}
			break
		}
		report(false)
	}
	report(true)
	return out, names.Final()
}

// looks tells whether the effective sample size is looked at after n draws: 1,000·2^k. Looked at after each it would be stopped at where it happens to be high, as
// before the first draw of a rare and heavy mode.
func looks(n uint64) bool {
	const first = 1000
	return n%first == 0 && bits.OnesCount64(n/first) == 1
}

var errMaxTime = errors.New("time limit")

// rate is a speed over the last few seconds.
type rate struct {
	last time.Time
	at   [8]time.Time
	n    [8]uint64
	i    int
}

func newRate(now time.Time) *rate {
	r := &rate{last: now}
	for i := range r.at {
		r.at[i] = now
	}
	return r
}

func (r *rate) due(now time.Time, every time.Duration) bool {
	if now.Sub(r.last) < every {
		return false
	}
	r.last = now
	return true
}

func (r *rate) perSecond(now time.Time, n uint64) float64 {
	oldest := (r.i + 1) % len(r.at)
	d := now.Sub(r.at[oldest]).Seconds()
	v := 0.0
	if d > 0 {
		v = float64(n-r.n[oldest]) / d
	}
	r.i = oldest
	r.at[r.i], r.n[r.i] = now, n
	return v
}
