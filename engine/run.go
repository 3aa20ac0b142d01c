// Package engine runs simulators and writes down what they did: one run (Recorder), and many in parallel
// (Executor: Local for models in this process, Pool for simulators behind endpoints).
//
// A run of the simulator is a walk in which a stack of layers answers each statement with a value. The
// recorder notes for each answer the density under the model (LogP) and under whatever chose it (LogQ).
// Inference algorithms differ in the layers they stack up (package control) and in what they do with the
// weights. See docs/architecture.md.
package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Draw names a run. Everything random in it is a function of its Draw, so that it can be repeated
// anywhere: after a crash, on another worker, alone.
type Draw struct {
	Seed  uint64
	Index uint64 // number of the draw, or of the step of a chain
	Chain uint32 // 0 for independent draws, else the chain's number from 1
	Kind  dist.StreamKind
}

// Stream is the number of the draw's stream of random numbers.
func (d *Draw) Stream() uint64 { return d.Kind.Stream(d.Chain) }

// Site is a Sample or Observe that waits for its value. It and all it refers to are valid until the
// layer returns.
type Site struct {
	*ppx.Statement
	Index      int // number of the statement in its run, from 0
	Key        tracing.Key
	Base       string // the address base of Key
	Occurrence int    // how many statements of the run have had this name, this one included
	Shape      []int32
	Len        int // number of elements of a value
}

// Choice is a layer's answer.
type Choice struct {
	// Value has as many elements as the site; its shape is not looked at. The layer may reuse it once the
	// next statement arrives.
	Value  []float64
	LogQ   float64 // log density under what chose it; not looked at for FromPrior
	Origin tracing.Origin
}

// Layer answers statements of one run, or leaves them to the next layer of the stack (!ok). An error ends
// the run; ErrData ends the job. A layer that keeps state belongs to one run.
type Layer interface {
	Choose(r *Run, s *Site) (c Choice, ok bool, err error)
}

// Giver is a layer that has values of its own for some statements, whatever their distributions.
type Giver interface {
	// Given is Choose for those alone.
	Given(r *Run, s *Site) (c Choice, ok bool, err error)
}

// Stack is the layers of one run, asked from the first to the last.
type Stack []Layer

// Batcher computes for many runs at once what their layers have asked for with Run.Later. It may be called from several
// goroutines.
type Batcher interface {
	// Flush answers requests; the layers are then asked again. A request's answer must not depend on the others.
	Flush(requests []any) error
}

// ErrSteer is what Choose returns when a delegated run cannot be made by the simulator alone after all: it is made again, and
// the layer's Plan must then say so.
var ErrSteer = errors.New("to be made value by value")

// ErrLater is what Choose returns after Run.Later: the layer is asked again, for the same site, when its request has
// been answered.
var ErrLater = errors.New("to be asked again")

// Later is the requests of runs that wait together. The zero value is ready.
type Later struct {
	groups []laterGroup
}

type laterGroup struct {
	b        Batcher
	requests []any
}

func (l *Later) add(b Batcher, request any) {
	for i := range l.groups {
		if g := &l.groups[i]; g.b == b {
			g.requests = append(g.requests, request)
			return
		}
	}
	l.groups = append(l.groups, laterGroup{b, []any{request}})
}

// flush has all requests answered.
func (l *Later) flush() (err error) {
	kept := l.groups[:0]
	for _, g := range l.groups {
		if len(g.requests) == 0 { // its job may have ended
			continue
		}
		if err == nil {
			err = g.b.Flush(g.requests)
		}
		clear(g.requests)
		g.requests = g.requests[:0]
		kept = append(kept, g)
	}
	clear(l.groups[len(kept):])
	l.groups = kept
	return err
}

// Executor runs a simulator. Its methods may be called from several goroutines.
type Executor interface {
	// Execute makes one run, and makes it again when the simulator was lost. Errors: ErrGivenUp, ErrData, ErrStart, ctx's.
	Execute(ctx context.Context, t Task) (*tracing.Trace, error)
	// Stream makes many in parallel and delivers their traces in the order of tasks. A draw that was given up is
	// delivered as a failed trace. The sequence ends after the first error (ErrGivenUp, ErrData, ErrStart), and with ctx's error when ctx
	// ends. Unless it is nil, early hears of traces that are finished and have to wait for an earlier task: at once, from any goroutine.
	Stream(ctx context.Context, next Source, early func(*tracing.Trace)) iter.Seq2[*tracing.Trace, error]
	// Table numbers the addresses and names of all traces of this executor.
	Table() *tracing.Table
	// Stats counts what happened so far.
	Stats() Stats
}

// Stats counts the work of an Executor.
type Stats struct {
	Workers    int
	Statements uint64
	Finished   uint64 // runs that came to their end
	Lost       uint64 // runs that were lost and drawn again
}

// ErrData says that the given data cannot be this simulator's: nothing would change if the run were made
// again.
var ErrData = errors.New("data do not fit the simulator")

// Run is the state of a run that layers may look at.
type Run struct {
	Draw  Draw
	Sofar *tracing.Trace // the statements before this one; read-only

	later    *Later
	stream   dist.Stream
	rooms    [2][]float64 // by turns: a value may be a parameter of the next statement
	turn     int
	drawn    []float64 // by the simulator itself, for the statement in question; else nil
	audit    bool      // draw again and compare
	compared bool      // it has been done in this run
}

// Rand returns the random numbers of a statement for a purpose (dist.PurposeValue, …), from their
// beginning. It is valid until the next call.
func (r *Run) Rand(statement int, purpose uint64) *dist.Stream {
	r.stream = dist.NewStream(r.Draw.Seed, r.Draw.Stream(), uint64(statement), r.Draw.Index, purpose)
	return &r.stream
}

// Later hands a request to a batcher; Choose returns its result.
func (r *Run) Later(b Batcher, request any) error {
	r.later.add(b, request)
	return ErrLater
}

// Delegated tells whether the simulator has drawn the present Sample's value by itself.
func (r *Run) Delegated() bool { return r.drawn != nil }

// Room returns n numbers of scratch space for a Choice's value, valid until the next call.
func (r *Run) Room(n int) []float64 {
	r.turn = 1 - r.turn
	room := &r.rooms[r.turn]
	if cap(*room) < n || *room == nil {
		*room = make([]float64, n)
	}
	return (*room)[:n]
}

// Drawn is the value that sample draws, a function of the run's random numbers: for layers that draw. In a
// delegated run it is what the simulator has drawn; of those, one in a thousand is drawn again here and compared.
// It is valid until the next call.
func (r *Run) Drawn(s *Site, sample func(v []float64) error) ([]float64, error) {
	if r.drawn != nil && !r.audit {
		return r.drawn, nil
	}
	v := r.Room(s.Len)
	err := sample(v)
	if err != nil || r.drawn == nil {
		return v, err
	}
	r.compared = true
	var sizes []float64 // of sums, which may cancel
	for i, x := range r.drawn {
		if x == v[i] {
			continue
		}
		size := math.Max(math.Abs(x), math.Abs(v[i]))
		if sizes == nil {
			sizes = make([]float64, s.Len)
			s.Dist.Roundings(s.Shape, sizes)
		}
		size = math.Max(size, sizes[i])
		// Two implementations of a sampler differ by rounding.
		if !(math.Abs(x-v[i]) <= 1e-9*size) {
			return nil, rule(s, "element %d is %.17g, the run's random numbers give %.17g", i, x, v[i])
		}
	}
	return r.drawn, nil
}

// rule is the error of a delegated run whose simulator has broken a rule at a statement.
func rule(s *Site, format string, args ...any) error {
	return fmt.Errorf("%w: statement %d: %s", ppx.ErrRule, s.Index, fmt.Sprintf(format, args...))
}

// auditEvery: of so many values that simulators draw by themselves, one is drawn again.
const auditEvery = 1000

// audited chooses the statements whose value is drawn again: the same ones however a run is made.
func (d *Draw) audited(statement int) bool {
	h := (d.Index+1)*0x9E3779B97F4A7C15 + (uint64(d.Chain)<<32+uint64(statement))*0xD6E8FEB86659FD93
	h = (h ^ h>>32) * 0xFF51AFD7ED558CCD
	return (h^h>>29)%auditEvery == 0
}

// Recorder is the engine's ppx.Handler: it lets a stack of layers answer the statements of one run after
// the other, scores the answers and builds the trace. Not for concurrent use.
type Recorder struct {
	table *tracing.Table
	sites map[siteKey]siteInfo
	names map[string]uint32

	run        Run
	site       Site
	stack      Stack
	b          tracing.Builder
	visits     []visit // by address number
	nameVisits []visit // by name number
	epoch      uint32
	shape      [dist.MaxRank]int32
	start      time.Time

	logWeight     tracing.Sum
	logLikelihood tracing.Sum
	trusted       bool // a whole run that the simulator made by itself has been drawn again and compared

	// InvalidObserve scores an Observe whose parameters are invalid, and whose value is given, as impossible.
	InvalidObserve bool

	own     Later         // for runs that wait for nobody
	defers  bool          // whoever drives the recorder flushes, and asks again
	waiting bool          // for the answer to a request of the present statement
	invalid error         // what is wrong with the parameters of the present statement
	entry   tracing.Entry // the present one
}

type siteKey struct {
	address string
	op      ppx.Type
	kind    dist.Kind
	row     int // numbers of a parameter that is one
}

type siteInfo struct {
	id   uint32
	base string
}

// visit counts within the run of its epoch.
type visit struct{ epoch, n uint32 }

// NewRecorder returns a recorder that numbers addresses in table.
func NewRecorder(table *tracing.Table) *Recorder {
	r := &Recorder{table: table, sites: map[siteKey]siteInfo{}, names: map[string]uint32{"": 0}}
	r.run.later = &r.own
	return r
}

// waitTogether lets the runs' requests wait in l for those of others: Sample may then return ErrLater, and is to be called
// again with the same statement after a flush.
func (r *Recorder) waitTogether(l *Later) { r.run.later, r.defers = l, true }

// Begin starts a run.
func (r *Recorder) Begin(d Draw, s Stack) {
	r.epoch++
	r.stack = s
	r.b.Reset(r.table, d.Index, d.Chain)
	r.run.Draw, r.run.Sofar = d, r.b.Sofar()
	r.logWeight, r.logLikelihood, r.run.compared, r.waiting = tracing.Sum{}, tracing.Sum{}, false, false
	r.start = time.Now()
}

// End finishes the run and returns its trace. seconds is how long it took; 0: the time since Begin.
func (r *Recorder) End(result ppx.Tensor, seconds float64) *tracing.Trace {
	if !(seconds > 0) {
		seconds = time.Since(r.start).Seconds()
	}
	if len(result.Data) == 0 { // how a client says that there is none
		result = ppx.Tensor{}
	}
	weight, likelihood := r.logWeight.Kept(), r.logLikelihood.Kept()
	t := r.b.Finish(result, weight.High, seconds)
	t.LogWeightRest = weight.Rest
	t.LogLikelihood, t.LogLikelihoodRest = likelihood.High, likelihood.Rest
	r.trusted = r.trusted || r.run.compared
	return t
}

// Partial finishes a run of which enough was seen.
func (r *Recorder) Partial() *tracing.Trace {
	t := r.End(ppx.Tensor{}, 0)
	t.Status = tracing.Partial
	return t
}

// Statements is the number of statements of the run so far.
func (r *Recorder) Statements() int { return len(r.run.Sofar.Entries) }

// known is what a recorder keeps with a form.
type known struct {
	owner *Recorder
	site  siteInfo
	name  uint32
}

// intern finds the numbers of a statement's address and name.
func (r *Recorder) intern(s *ppx.Statement) (siteInfo, uint32) {
	if s.Form == nil {
		return r.internSite(s), r.internName(s.Name)
	}
	k, ok := s.Form.Info.(*known)
	if !ok || k.owner != r {
		k = &known{r, r.internSite(s), r.internName(s.Name)}
		s.Form.Info = k
	}
	return k.site, k.name
}

func (r *Recorder) internSite(s *ppx.Statement) siteInfo {
	k := siteKey{s.Address, s.Op, s.Dist.Kind, s.Dist.RowSize()}
	info, ok := r.sites[k]
	if !ok {
		k.address = strings.Clone(s.Address)
		info.base = ppx.AddressBase(k.address, &s.Dist)
		info.id = r.table.Intern(info.base, k.op, k.kind)
		r.sites[k] = info
	}
	return info
}

func (r *Recorder) internName(name string) uint32 {
	id, ok := r.names[name]
	if !ok {
		id = r.table.InternName(name)
		r.names[strings.Clone(name)] = id
	}
	return id
}

// count returns how often number id was met in this run, this time included.
func (r *Recorder) count(visits *[]visit, id uint32) uint32 {
	for int(id) >= len(*visits) {
		*visits = append(*visits, visit{})
	}
	v := &(*visits)[id]
	if v.epoch != r.epoch {
		*v = visit{epoch: r.epoch}
	}
	v.n++
	return v.n
}

// Bounds of a run, so that a simulator that never ends does not eat all memory.
var (
	maxStatements = 10_000_000
	maxNumbers    = 1 << 28
)

// room tells whether the run may go on.
func (r *Recorder) room(s *ppx.Statement) error {
	if n := len(r.run.Sofar.Entries); n >= maxStatements || r.b.Numbers() > maxNumbers {
		return fmt.Errorf("%w: a run of more than %d statements or %d numbers, at %s", ppx.ErrInvalid, maxStatements, maxNumbers, ppx.Quote(s.Address))
	}
	return nil
}

// identify begins an entry for a statement.
func (r *Recorder) identify(s *ppx.Statement) tracing.Entry {
	info, name := r.intern(s)
	e := tracing.Entry{Op: s.Op, Control: s.Control, Name: name, Origin: tracing.FromModel}
	e.Address = info.id
	e.Instance = r.count(&r.visits, info.id)
	r.site = Site{Statement: s, Index: len(r.run.Sofar.Entries), Key: e.Key, Base: info.base}
	if e.Name != 0 {
		r.site.Occurrence = int(r.count(&r.nameVisits, e.Name))
	}
	return e
}

// Sample implements ppx.Handler.
func (r *Recorder) Sample(s *ppx.Statement) (ppx.Tensor, error) { return r.decide(s) }

// Observe implements ppx.Handler.
func (r *Recorder) Observe(s *ppx.Statement) error {
	if s.Dist.Kind == dist.None { // nothing to score
		if err := r.room(s); err != nil {
			return err
		}
		r.b.Add(r.identify(s), s.Value, nil)
		return nil
	}
	_, err := r.decide(s)
	return err
}

// Tag implements ppx.Handler.
func (r *Recorder) Tag(s *ppx.Statement) error {
	if err := r.room(s); err != nil {
		return err
	}
	r.b.Add(r.identify(s), s.Value, nil)
	return nil
}

// decide asks the layers, scores and records.
func (r *Recorder) decide(s *ppx.Statement) (v ppx.Tensor, err error) {
	if !r.waiting {
		if err := r.prepare(s); err != nil {
			return v, err
		}
	}
	site, e := &r.site, r.entry
	if r.invalid != nil {
		return r.impossible(site, e)
	}
	c, err := r.choose(site)
	for !r.defers && errors.Is(err, ErrLater) {
		if err = r.own.flush(); err == nil {
			c, err = r.choose(site)
		}
	}
	if r.waiting = errors.Is(err, ErrLater); r.waiting {
		return v, ErrLater
	}
	if err != nil {
		return v, fmt.Errorf("%s%s at %s: %w", s.Op, named(s.Name), ppx.Quote(s.Address), err)
	}
	v = ppx.Tensor{Data: c.Value, Shape: site.Shape}
	e.Kind, e.Origin, e.LogQ = s.Dist.Kind, c.Origin, c.LogQ
	if e.LogP, err = s.Dist.LogProb(v); err != nil {
		return v, fmt.Errorf("%w: %s at %s: %w", ppx.ErrInvalid, s.Op, ppx.Quote(s.Address), err)
	}
	if e.Origin == tracing.FromData && math.IsInf(e.LogP, 1) {
		return v, fmt.Errorf("%w: the density of the value given for %s, %v, is infinite under %v: a posterior needs a finite one; give a value inside the support, or round as the instrument does",
			ErrData, ppx.Quote(s.Name), v, s.Dist)
	}
	if e.Origin == tracing.FromPrior {
		e.LogQ = e.LogP
	}
	if r.run.drawn != nil && !(e.LogP > math.Inf(-1)) && (e.Origin == tracing.FromPrior || e.Origin == tracing.Inflated) {
		// At the ends of double precision a sampler's value may have no density; an impostor's has none anywhere else.
		ok := r.run.audit
		switch {
		case ok:
		case e.Origin == tracing.FromPrior:
			r.run.audit = true
			_, err = r.choose(site)
			ok = err == nil
		default: // the layer has noted it: it cannot be asked again
			ok = atTheEnds(&s.Dist, v)
		}
		if !ok {
			return v, fmt.Errorf("%w at %s", rule(site, "the simulator drew %v, outside the support of %v", v, s.Dist), ppx.Quote(s.Address))
		}
	}
	r.logWeight.Add(e.Contribution())
	if e.Origin.Scored() {
		r.logLikelihood.Add(e.Contribution()) // LogQ is that of elements that were not given
	}
	r.b.Add(e, v, &s.Dist)
	return v, nil
}

// prepare makes site and entry for a statement.
func (r *Recorder) prepare(s *ppx.Statement) (err error) {
	if r.invalid = s.Dist.Check(); r.invalid != nil {
		var number *dist.ParamError // and not a shape
		if !r.InvalidObserve || s.Op != ppx.Observe || !errors.As(r.invalid, &number) {
			return r.refuse(s)
		}
	}
	if err := r.room(s); err != nil {
		return err
	}
	r.entry = r.identify(s)
	site := &r.site
	if site.Shape, err = s.Dist.Shape(r.shape[:0]); err == nil {
		site.Len, err = dist.Elements(site.Shape)
	}
	if err != nil {
		return fmt.Errorf("%w: %s at %s: %w", ppx.ErrInvalid, s.Op, ppx.Quote(s.Address), err)
	}
	if r.run.drawn = nil; s.Op == ppx.Sample && s.Form != nil {
		if s.Value.Data == nil {
			return fmt.Errorf("%w at %s", rule(site, "the simulator drew no value"), ppx.Quote(s.Address))
		}
		if len(s.Value.Data) != site.Len || !slices.Equal(s.Value.Shape, site.Shape) {
			return fmt.Errorf("%w at %s", rule(site, "the simulator drew a value of shape %s, the distribution's have shape %s",
				dist.ShapeString(s.Value.Shape), dist.ShapeString(site.Shape)), ppx.Quote(s.Address))
		}
		r.run.drawn = s.Value.Data
		r.run.audit = !r.trusted || r.run.Draw.audited(site.Index)
	}
	return nil
}

// refuse is the error of a statement with invalid parameters.
func (r *Recorder) refuse(s *ppx.Statement) error {
	return fmt.Errorf("%w: %s%s at %s: %w", ppx.ErrInvalid, s.Op, named(s.Name), ppx.Quote(s.Address), r.invalid)
}

// impossible records an Observe whose parameters are no distribution: the data, if they are given, have no chance.
func (r *Recorder) impossible(site *Site, e tracing.Entry) (v ppx.Tensor, err error) {
	for _, l := range r.stack {
		g, ok := l.(Giver)
		if !ok {
			continue
		}
		c, ok, err := g.Given(&r.run, site)
		if err != nil {
			return v, err
		}
		if !ok {
			continue
		}
		v = ppx.Tensor{Data: c.Value, Shape: site.Shape}
		e.Kind, e.Origin, e.LogP = site.Dist.Kind, c.Origin, math.Inf(-1)
		r.logWeight, r.logLikelihood = tracing.Sum{High: e.LogP}, tracing.Sum{High: e.LogP}
		r.b.Add(e, v, &site.Dist)
		return v, nil
	}
	return v, r.refuse(site.Statement)
}

// atTheEnds tells whether v lies in the closed support of d.
func atTheEnds(d *ppx.Dist, v ppx.Tensor) bool {
	ends := make([]float64, 2*len(v.Data))
	lo, hi := ends[:len(v.Data)], ends[len(v.Data):]
	if d.Kind.Discrete() || d.Support(lo, hi) != nil {
		return false
	}
	for i, x := range v.Data {
		if !(x >= lo[i] && x <= hi[i]) {
			return false
		}
	}
	return true
}

// choose asks the layers.
func (r *Recorder) choose(site *Site) (c Choice, err error) {
	ok := false
	for _, l := range r.stack {
		if c, ok, err = l.Choose(&r.run, site); ok || err != nil {
			break
		}
	}
	switch {
	case err != nil:
	case !ok:
		err = errors.New("no layer answers it")
	case len(c.Value) != site.Len:
		err = fmt.Errorf("a layer answered %d elements for %d", len(c.Value), site.Len)
	case r.run.drawn != nil && site.Len > 0 && &c.Value[0] != &r.run.drawn[0]: // a value that was given beforehand
		for i, x := range c.Value {
			if y := r.run.drawn[i]; math.Float64bits(x) != math.Float64bits(y) && x != y {
				return c, rule(site, "the value was given (%s) as %g, the simulator went on with %g", c.Origin, x, y)
			}
		}
		c.Value = r.run.drawn
	}
	return c, err
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return " " + ppx.Quote(name)
}
