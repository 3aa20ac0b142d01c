package importance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Config says which traces to draw.
type Config struct {
	Seed uint64
	Kind dist.StreamKind // of random numbers
	N    uint64          // number of draws, those before From included
	From uint64          // first draw to make: what comes before was recorded earlier

	Data control.Data
	// Condition scores Observes that bring their own value and are not in Data at that value. Without it
	// they are drawn afresh.
	Condition bool
	// Inflation is the probability ε of prior inflation, 0 for none (control.Inflate).
	Inflation float64
	// Guide makes the layer that proposes values (control.Guide); nil: they are drawn from the prior.
	Guide func(engine.Draw) engine.Layer
	// LikelihoodImportance β multiplies the log likelihood of the data: the posterior is then that of
	// p(z)·g^β. 0 means 1.
	LikelihoodImportance float64

	TargetESS float64       // stop once it is reached; 0: no
	MaxTime   time.Duration // stop after it; 0: no

	// Remark takes what a user should hear at once, while the run goes on; nil: nobody.
	Remark func(string)

	// Progress is called at most every Every, and at the end, from the goroutine that called Run.
	Progress func(Progress)
	Every    time.Duration

	// Have are traces of draws from From on that were made earlier, with the weight that Temper gives, in the
	// order of draws.
	Have []*tracing.Trace
}

// stream is the traces from From to N: those at hand, the others from x.
func (c *Config) stream(ctx context.Context, x engine.Executor) iter.Seq2[*tracing.Trace, error] {
	all := engine.DrawsOf(c.Kind, c.Seed, c.From, c.N-c.From)
	at := map[uint64]bool{}
	for _, t := range c.Have {
		at[t.Draw] = true
	}
	missing := func() (engine.Draw, bool) {
		for {
			if d, ok := all(); !ok || !at[d.Index] {
				return d, ok
			}
		}
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
		for t, err := range x.Stream(ctx, missing, c.Maker()) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !upTo(t.Draw) || !yield(c.Temper(t), nil) {
				return
			}
		}
		upTo(c.N)
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
}

// Maker returns the layers of a draw.
func (c *Config) Maker() engine.Maker {
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
	b := c.LikelihoodImportance
	if b == 0 || b == 1 || t.Status == tracing.Failed || t.LogLikelihood == 0 {
		return t
	}
	tempered := *t
	if !math.IsInf(t.LogLikelihood, -1) { // else the weight is zero already
		tempered.LogWeight += (b - 1) * t.LogLikelihood
	}
	return &tempered
}

// EarlyCheck is after how many traces a name in the data that was not met is worth a remark: it may still come.
const EarlyCheck = 20

// NameCheck is after how many traces a name in the data that was never met is an error.
const NameCheck = 1000

// ErrName says that data were given for a name that the simulator does not have.
var ErrName = errors.New("no such name in the simulator")

// Outcome is what Run came to.
type Outcome struct {
	Drawn   uint64 // draws delivered, those before From not included
	Stopped string // why it ended before N: "target ESS", "time limit"; else ""
	Cut     Cut    // the longest run that was going on when it ended early
}

// unfinished is an executor that knows what it is doing.
type unfinished interface{ Unfinished() []engine.Unfinished }

// cut looks at the runs that are given up now.
func cut(x engine.Executor, mean time.Duration) (c Cut) {
	c.Mean = mean
	if u, ok := x.(unfinished); ok {
		if list := u.Unfinished(); len(list) > 0 {
			c.Draw, c.Running = list[0].Draw.Index, list[0].Running
		}
	}
	return c
}

// Run draws traces and hands each to sink and to the summary, in the order of draws. It ends after N
// draws, at a stopping rule, with ctx's error, or with the first error of simulator or sink; what was
// delivered before stays delivered. Draws before From must have been given to names and sum already.
func Run(ctx context.Context, x engine.Executor, c *Config, names *Names, sum *Summary, sink tracing.Writer) (out Outcome, err error) {
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
		p := Progress{Done: c.From + out.Drawn, N: c.N, Elapsed: time.Since(start), ESS: sum.Weights.ESS(), LogEvidence: sum.Weights.LogEvidence()}
		p.PerSecond = rate.perSecond(time.Now(), out.Drawn)
		if p.PerSecond > 0 {
			p.Left = time.Duration(float64(c.N-p.Done) / p.PerSecond * float64(time.Second))
		}
		c.Progress(p)
	}
	seconds := 0.0 // of the runs
	for t, err := range c.stream(ctx, x) {
		if err != nil {
			if ctx.Err() != nil {
				out.Cut = cut(x, time.Duration(seconds/float64(max(1, out.Drawn))*float64(time.Second)))
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
		if c.TargetESS > 0 && sum.Weights.ESS() >= c.TargetESS {
			if c.From+out.Drawn < c.N {
				out.Stopped = "target ESS"
			}
			break
		}
		report(false)
	}
	report(true)
	return out, names.Final()
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

// Names watches how the names in the data meet the simulator's statements.
type Names struct {
	data   control.Data
	holes  []string        // data of which elements are missing, in words
	met    map[string]bool // of data
	all    bool            // every name was met
	traces int

	seen       map[string]bool // named Observes and Samples
	unanswered map[string]bool // Observes that had neither data nor a value
	ignored    map[string]bool // data names met at a Tag only
	known      map[uint64]bool // (name, op, origin) seen before
	condition  bool
	scored     bool // something was
	remark     func(string)
}

// NewNames returns a watch for these data.
func NewNames(c *Config) *Names {
	data := control.Data{} // that is to be met
	var holes []string
	for name, v := range c.Data {
		if control.Absent(v) {
			continue
		}
		data[name] = v
		if n := missing(v); n > 0 {
			holes = append(holes, fmt.Sprintf("%d of %d elements of %s", n, len(v.Data), ppx.Quote(name)))
		}
	}
	slices.Sort(holes)
	return &Names{data: data, holes: holes, all: len(data) == 0, condition: c.Condition, met: map[string]bool{}, seen: map[string]bool{},
		unanswered: map[string]bool{}, ignored: map[string]bool{}, known: map[uint64]bool{}, remark: c.Remark}
}

// missing counts the elements of a value that are left out.
func missing(v ppx.Tensor) (n int) {
	for _, x := range v.Data {
		if x != x {
			n++
		}
	}
	return n
}

// Add looks at a trace; an ErrName when the first NameCheck traces have shown that a name is wrong.
func (n *Names) Add(t *tracing.Trace) error {
	if t.Status == tracing.Failed {
		return nil
	}
	n.traces++
	for i := range t.Entries {
		e := &t.Entries[i]
		k := uint64(e.Name)<<16 | uint64(e.Op)<<8 | uint64(e.Origin)
		if n.all && n.known[k] {
			continue
		}
		n.known[k] = true
		n.scored = n.scored || e.Op == ppx.Observe && e.Kind != dist.None && e.Origin.Scored()
		if e.Name == 0 {
			continue
		}
		name := t.Table.Name(e.Name)
		switch {
		case e.Op == ppx.Tag || e.Kind == dist.None:
			// There is nothing to score: a warning, no error.
			for given := range n.data {
				if base, _ := ppx.SplitOccurrence(given); base == name || given == name {
					n.ignored[given] = true
				}
			}
			continue
		case e.Op == ppx.Observe && !e.Origin.Scored():
			n.unanswered[name] = true
		}
		n.seen[name] = true
		if e.Origin == tracing.FromData {
			n.mark(t, i, name)
		}
	}
	switch n.traces {
	case EarlyCheck:
		n.early()
	case NameCheck:
		return n.Final()
	}
	return nil
}

// early says at once what will probably be an error, or is no inference.
func (n *Names) early() {
	if n.remark == nil {
		return
	}
	if err := n.Final(); err != nil {
		n.remark(err.Error() + "; going on, in case it comes later")
	}
	if n.condition && !n.scored && len(n.data) == 0 {
		n.remark("no data are given (--observe), and the simulator observes none of its own: this draws from the prior, as \"ppx prior\" does")
	}
}

// mark notes which entry of the data answered entry i.
func (n *Names) mark(t *tracing.Trace, i int, name string) {
	if n.all {
		return
	}
	occurrence := 0
	for j := 0; j <= i; j++ {
		if t.Entries[j].Name == t.Entries[i].Name {
			occurrence++
		}
	}
	key := ppx.JoinOccurrence(name, occurrence)
	if _, ok := n.data[key]; !ok {
		key = name
	}
	n.met[key] = true
	n.all = len(n.met) == len(n.data)
}

// Unused are the names in the data, quoted, that no trace has used so far, though there were some.
func (n *Names) Unused() (names []string) {
	if n.all || n.traces == 0 {
		return nil
	}
	for name := range n.data {
		if !n.met[name] && !n.ignored[name] {
			names = append(names, ppx.Quote(name))
		}
	}
	slices.Sort(names)
	return names
}

// Final is the verdict when no more traces will come.
func (n *Names) Final() error {
	unused := n.Unused()
	if len(unused) == 0 {
		return nil
	}
	var seen []string
	for name := range n.seen {
		seen = append(seen, ppx.Quote(name))
	}
	slices.Sort(seen)
	list := "it has no named Observe or Sample"
	if len(seen) > 0 {
		list = "it has " + shorten(seen, 40)
	}
	hint := ""
	for name := range n.data {
		if base, _, ok := strings.Cut(name, "["); ok && n.seen[base] {
			hint = fmt.Sprintf("; the elements of %s are given as one list", ppx.Quote(base))
		}
	}
	return fmt.Errorf("%w: %s was given, but %s (%d traces)%s", ErrName, strings.Join(unused, ", "), list, n.traces, hint)
}

func shorten(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Warnings are remarks on names, in words.
func (n *Names) Warnings() []string {
	var w []string
	list := func(m map[string]bool) string {
		var names []string
		for name := range m {
			names = append(names, ppx.Quote(name))
		}
		slices.Sort(names)
		return shorten(names, 20)
	}
	if n.condition && len(n.unanswered) > 0 {
		w = append(w, fmt.Sprintf("no data were given for %s: drawn from the prior, as latents", list(n.unanswered)))
	}
	if len(n.holes) > 0 {
		w = append(w, shorten(n.holes, 20)+" are missing: drawn, not scored; that is right if what is missing does not depend on the values")
	}
	for name := range n.met {
		delete(n.ignored, name) // it was of use elsewhere
	}
	if len(n.ignored) > 0 {
		w = append(w, fmt.Sprintf("the value given for %s is ignored: a tag, or an observation without distribution, has nothing to score", list(n.ignored)))
	}
	return w
}

// draws is a number of draws with its verb.
func draws(n uint64) string {
	if n == 1 {
		return "1 draw was"
	}
	return fmt.Sprintf("%d draws were", n)
}

// Warnings are remarks on the quality of the figures, in words, besides those of Judge.
func (s *Summary) Warnings() []string {
	var out []string
	w := s.Weights
	if w.Bad > 0 {
		out = append(out, fmt.Sprintf("%d of %d weights are NaN or +Inf (at %s): they count as zero; look at the densities there",
			w.Bad, w.N, strings.Join(s.BadAt, ", ")))
	}
	if s.Invalid > 0 {
		out = append(out, fmt.Sprintf("in %d of %d traces the parameters of an Observe were invalid (%s): they count as impossible (--invalid-observe zero)",
			s.Invalid, w.N, strings.Join(s.InvalidAt, ", ")))
	}
	if w.Failed > 0 {
		p, se := s.Success()
		out = append(out, fmt.Sprintf("%s given up, the simulator failed there: figures and evidence are those of \"the run succeeds, and the data\"; under the prior a run succeeds with probability %.3g ± %.1g",
			draws(w.Failed), p, se))
	}
	return out
}
