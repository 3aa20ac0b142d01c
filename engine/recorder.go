package engine

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

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

	// InvalidObserve scores an Observe whose parameters are invalid, and whose value is given, as impossible.
	InvalidObserve bool

	alone   bool         // the run has been made already: whatever comes is taken
	enough  bool         // a value that the run hangs on is impossible
	own     Later        // for runs that wait for nobody
	defers  bool         // whoever drives the recorder flushes, and asks again
	waiting bool         // for the answer to a request of the present statement
	invalid error        // what is wrong with the parameters of the present statement
	pending tracing.Site // the present one
	custom  *ppx.Own     // of the present statement, whose value the simulator draws in this process
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
	r.logWeight, r.logLikelihood, r.run.audit.compared, r.waiting = tracing.Sum{}, tracing.Sum{}, false, false
	r.alone, r.enough = false, false
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
	r.run.audit.trusted = r.run.audit.trusted || r.run.audit.compared
	if r.enough {
		t.Status = tracing.Partial
	}
	return t
}

// Partial finishes a run of which enough was seen.
func (r *Recorder) Partial() *tracing.Trace {
	t := r.End(ppx.Tensor{}, 0)
	t.Status = tracing.Partial
	return t
}

// Statements is the number of statements of the run so far.
func (r *Recorder) Statements() int { return len(r.run.Sofar.Sites) }

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

// bounded tells whether the run may go on.
func (r *Recorder) bounded(s *ppx.Statement) error {
	if n := len(r.run.Sofar.Sites); n >= maxStatements || r.b.Numbers() > maxNumbers {
		return fmt.Errorf("%w: a run of more than %d statements or %d numbers, at %s", ppx.ErrInvalid, maxStatements, maxNumbers, ppx.Quote(s.Address))
	}
	return nil
}

// identify begins an entry for a statement.
func (r *Recorder) identify(s *ppx.Statement) tracing.Site {
	info, name := r.intern(s)
	e := tracing.Site{Op: s.Op, Control: s.Control, Name: name, Origin: tracing.FromModel}
	e.Address = info.id
	e.Instance = r.count(&r.visits, info.id)
	r.site = Site{Statement: s, Index: len(r.run.Sofar.Sites), Key: e.Key, Base: info.base}
	if e.Name != 0 {
		r.site.Occurrence = int(r.count(&r.nameVisits, e.Name))
	}
	return e
}

// Sample implements ppx.Handler.
func (r *Recorder) Sample(s *ppx.Statement) (ppx.Tensor, error) { return r.decide(s) }

// Own implements ppx.Owner, for models in this process.
func (r *Recorder) Own(s *ppx.Statement, own ppx.Own) (ppx.Tensor, error) {
	stream := dist.NewStream(r.run.Draw.Seed, r.run.Draw.Stream(), uint64(len(r.run.Sofar.Sites)), r.run.Draw.Index, dist.PurposeValue)
	x := own.Draw(&stream)
	s.Dist.Params[0].Data[0] = own.LogProb(x)
	s.Value = dist.Scalar(x)
	r.custom = &own
	defer func() { r.custom = nil }()
	return r.decide(s)
}

// Observe implements ppx.Handler.
func (r *Recorder) Observe(s *ppx.Statement) error {
	if r.enough {
		return nil
	}
	if s.Dist.Kind == dist.None { // nothing to score
		if err := r.bounded(s); err != nil {
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
	if r.enough {
		return nil
	}
	if err := r.bounded(s); err != nil {
		return err
	}
	r.b.Add(r.identify(s), s.Value, nil)
	return nil
}

// decide asks the layers, scores and records.
func (r *Recorder) decide(s *ppx.Statement) (v ppx.Tensor, err error) {
	if r.enough {
		return v, nil
	}
	if !r.waiting {
		if err := r.prepare(s); err != nil {
			return v, err
		}
	}
	site, e := &r.site, r.pending
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
	if r.custom != nil && c.Value[0] != s.Value.Data[0] { // it was given
		s.Dist.Params[0].Data[0] = r.custom.LogProb(c.Value[0])
	}
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
	if err := r.run.audit.support(&r.run, site, &e, v); err != nil {
		return v, err
	}
	r.logWeight.Add(e.Contribution())
	if e.Origin.Scored() {
		r.logLikelihood.Add(e.Contribution()) // LogQ is that of elements that were not given
	}
	r.b.Add(e, v, &s.Dist)
	if c.Vital && math.IsInf(e.LogP, -1) {
		if r.enough = r.alone; !r.enough {
			return v, ErrStop
		}
	}
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
	if s.Op == ppx.Sample && s.Dist.Kind == dist.Factor {
		return fmt.Errorf("%w: a Sample of a Factor at %s: a factor is observed, there is nothing to draw", ppx.ErrInvalid, ppx.Quote(s.Address))
	}
	if s.Op == ppx.Observe && s.Dist.Kind.Own() {
		return fmt.Errorf("%w: an Observe of a custom distribution at %s: give its log density as a factor", ppx.ErrInvalid, ppx.Quote(s.Address))
	}
	if err := r.bounded(s); err != nil {
		return err
	}
	r.pending = r.identify(s)
	site := &r.site
	if site.Shape, err = s.Dist.Shape(r.shape[:0]); err == nil {
		site.Len, err = dist.Elements(site.Shape)
	}
	if err != nil {
		return fmt.Errorf("%w: %s at %s: %w", ppx.ErrInvalid, s.Op, ppx.Quote(s.Address), err)
	}
	switch r.run.audit.drawn = nil; {
	case r.custom != nil:
		r.run.audit.drawn, r.run.audit.due = s.Value.Data, false
	case s.Op == ppx.Sample && (s.Form != nil || s.Value.Data != nil && s.Dist.Kind.Own()):
		return r.run.audit.take(site, &r.run.Draw)
	}
	return nil
}

// refuse is the error of a statement with invalid parameters.
func (r *Recorder) refuse(s *ppx.Statement) error {
	return fmt.Errorf("%w: %s%s at %s: %w", ppx.ErrInvalid, s.Op, named(s.Name), ppx.Quote(s.Address), r.invalid)
}

// impossible records an Observe whose parameters are no distribution: the data, if they are given, have no chance.
func (r *Recorder) impossible(site *Site, e tracing.Site) (v ppx.Tensor, err error) {
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
	case r.custom != nil:
	default:
		err = r.run.audit.given(site, &c)
	}
	return c, err
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return " " + ppx.Quote(name)
}
