// Package derive makes runs of recorded ones, without a simulator: it filters traces, adds variables, takes other data or another exponent of
// the likelihood, resamples, thins, joins. What comes out is a run directory that says where it came from.
package derive

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// ErrUse says that what was asked for cannot be done with this run.
var ErrUse = errors.New("cannot be done")

// Let is a new variable.
type Let struct{ Name, Value string }

// Options say what is to be done, in this order.
type Options struct {
	Thin                 uint64                // take every so many-th draw; 0: all
	Let                  []Let                 // variables, each of which may use those before
	Where                string                // keep the traces for which this is true
	Observe              map[string]ppx.Tensor // score the Observes of these names against other data
	LikelihoodImportance float64               // exponent of the likelihood; 0: as it is
	Resample             uint64                // draw so many traces of equal weight; 0: none
	Seed                 uint64                // of that

	Version  string                // of the program, for the record
	Progress func(done, of uint64) // traces read, of all passes together
}

// Run makes the run directory at out from the one at dir. Errors: ErrUse, *expression.Error, control.ErrName, those of rundir.
func Run(ctx context.Context, dir, out string, o Options) (m *rundir.Manifest, err error) {
	r, err := rundir.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = func(uint64, uint64) {}
	}
	d := &deriver{Options: o, r: r, total: r.Manifest.Counts.Traces + r.Manifest.Counts.Failed}
	d.passes = 1
	if o.Where != "" || len(o.Let) > 0 {
		d.passes++
	}
	if o.Resample > 0 {
		d.passes++
	}
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	var picked []int
	if o.Resample > 0 {
		if picked, err = d.pick(ctx); err != nil {
			return nil, err
		}
	}
	return d.write(ctx, out, picked)
}

// deriver is the work in its course.
type deriver struct {
	Options
	r      *rundir.Reader
	done   uint64
	passes uint64
	total  uint64

	vars   tracing.Variables
	where  *expression.Expression
	lets   []let
	lookup tracing.Lookup
	own    []owned
	data   *ppx.Data
	names  *control.Names
	b      tracing.Builder

	kept, left uint64 // traces that are kept, that the condition leaves out
	resampled  *rundir.Resampled
	equal      tracing.Sum // log weight of resampled traces
}

type let struct {
	name    uint32
	address uint32
	value   *expression.Expression
}

// owned is one of those that an expression needs.
type owned struct {
	name string
	of   func(*tracing.Trace) float64
}

// own are what every trace has besides its variables.
var own = map[string]func(*tracing.Trace) float64{
	"log_weight":     func(t *tracing.Trace) float64 { return t.LogWeight },
	"log_likelihood": func(t *tracing.Trace) float64 { return t.LogLikelihood },
	"draw":           func(t *tracing.Trace) float64 { return float64(t.Draw) },
	"statements":     func(t *tracing.Trace) float64 { return float64(len(t.Sites)) },
	"seconds":        func(t *tracing.Trace) float64 { return t.Seconds },
}

// maxResample is the most traces that can be drawn.
const maxResample = 50_000_000

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUse, fmt.Sprintf(format, args...))
}

// each calls f for the traces of a pass that the thinning leaves.
func (d *deriver) each(ctx context.Context, f func(*tracing.Trace) error) error {
	i := uint64(0)
	for t, err := range d.r.All(ctx) {
		if err != nil {
			return err
		}
		d.done++
		d.Progress(d.done, d.passes*d.total)
		if i++; d.Thin > 1 && (i-1)%d.Thin != 0 {
			continue
		}
		if t.Status == tracing.Partial {
			return unusable("%s holds partial traces", d.r.Path)
		}
		if err := f(t); err != nil {
			return err
		}
	}
	return nil
}

// prepare reads the expressions and the data.
func (d *deriver) prepare(ctx context.Context) error {
	m := d.r.Manifest
	switch {
	case m.Resampled != nil && (len(d.Observe) > 0 || d.LikelihoodImportance != 0 || d.Resample > 0):
		return unusable("%s has been resampled: its weights are gone; take the run that it was made from (%s)", d.r.Path, lineage(m))
	case m.Particles != nil && (len(d.Observe) > 0 || d.LikelihoodImportance != 0 || d.Resample > 0 || d.Where != "" || d.Thin > 1):
		return unusable("%s is of particles, whose errors are between islands: only new variables (--let) can be derived", d.r.Path)
	case m.Chains != nil && (len(d.Observe) > 0 || d.LikelihoodImportance != 0 || d.Resample > 0 || d.Where != "" || d.Thin > 1):
		return unusable("%s is of chains, not of weighted draws: only new variables (--let) can be derived; thin it with infer --thin", d.r.Path)
	case len(d.Observe) > 0 && m.NoParameters:
		return unusable("%s was recorded with --no-parameters: other data cannot be scored", d.r.Path)
	case d.Resample > maxResample:
		return unusable("--resample %d is more than %d", d.Resample, maxResample)
	case d.LikelihoodImportance != 0 && !m.Conditioned:
		return unusable("%s has no likelihood: it is of the prior", d.r.Path)
	}
	if len(d.Observe) > 0 {
		data := control.Data(d.Observe)
		d.data, d.names = data.Index(), control.NewNames(data, true, nil)
	}
	if d.Where == "" && len(d.Let) == 0 {
		return nil
	}
	// What variables there are, and what they are called, depends on all traces.
	census := tracing.NewCensus(&d.vars)
	if err := d.each(ctx, func(t *tracing.Trace) error {
		census.Add(t)
		return nil
	}); err != nil {
		return err
	}
	known := census.Names()
	names := []string{}
	for name := range known {
		names = append(names, name)
	}
	for name := range own {
		if !known[name] {
			names = append(names, name)
		}
	}
	for _, l := range d.Let {
		if known[l.Name] || l.Name == "" {
			return unusable("--let %s: %s has a variable of that name", ppx.Quote(l.Name), d.r.Path)
		}
		e, err := expression.Compile(l.Value, names)
		if err != nil {
			return fmt.Errorf("--let %s: %w", ppx.Quote(l.Name), err)
		}
		known[l.Name] = true
		names = append(names, l.Name)
		d.lets = append(d.lets, let{d.r.Table.InternName(l.Name), d.r.Table.Intern("derived:"+l.Name, ppx.Tag, dist.None), e})
	}
	if d.Where != "" {
		e, err := expression.Compile(d.Where, names)
		if err != nil {
			return fmt.Errorf("--where: %w", err)
		}
		if !e.Condition {
			return fmt.Errorf("--where: %w", &expression.Error{Text: d.Where, Column: 1, What: "it is a number, no condition"})
		}
		d.where = e
	}
	d.lookup = tracing.NewLookup(&d.vars)
	need := func(names []string) {
		d.lookup.Need(names)
		for _, n := range names {
			if f := own[n]; f != nil && !known[n] {
				d.own = append(d.own, owned{n, f})
			}
		}
	}
	for _, l := range d.lets {
		need(l.value.Names)
	}
	if d.where != nil {
		need(d.where.Names)
	}
	return nil
}

// apply makes the derived trace of one; nil where the condition leaves it out.
func (d *deriver) apply(t *tracing.Trace) (*tracing.Trace, error) {
	if t.Status == tracing.Failed {
		return t, nil
	}
	if d.where != nil || len(d.lets) > 0 {
		d.lookup.Read(t)
		for _, x := range d.own {
			d.lookup.Set(x.name, x.of(t))
		}
	}
	added := make([]float64, 0, len(d.lets))
	for i, l := range d.lets {
		v, ok := l.value.Eval(d.lookup.Value)
		if !ok {
			v = math.NaN()
		} else {
			d.lookup.Set(d.Let[i].Name, v)
		}
		added = append(added, v)
	}
	if d.where != nil {
		if v, ok := d.where.Eval(d.lookup.Value); !ok || v == 0 {
			return nil, nil
		}
	}
	if len(d.lets) > 0 || d.data != nil {
		var err error
		if t, err = d.rebuild(t, added); err != nil {
			return nil, err
		}
	}
	return d.temper(t), nil
}

// rebuild copies a trace, with other data and new variables.
func (d *deriver) rebuild(t *tracing.Trace, added []float64) (*tracing.Trace, error) {
	if f := t.Factor(); f != "" && d.data != nil {
		return nil, unusable("%s has %s, which may have been reckoned from the old data: infer again", d.r.Path, f)
	}
	before := cmpOne(d.r.Manifest.LikelihoodImportance)
	weight, likelihood := tracing.Sum{High: t.LogWeight, Rest: t.LogWeightRest}, tracing.Sum{High: t.LogLikelihood, Rest: t.LogLikelihoodRest}
	d.b.Reset(t.Table, t.Draw, t.Chain)
	d.b.Grow(len(t.Sites) + len(added))
	var occ tracing.Occurrences
	for i := range t.Sites {
		e := t.Sites[i]
		v, p := t.Value(i), t.Dist(i)
		k := occ.Next(&e)
		if datum, ok := d.datum(t, &e, k); ok {
			was := e.Contribution()
			if err := d.score(t, &e, &p, datum); err != nil {
				return nil, err
			}
			v = ppx.Tensor{Data: datum.Data, Shape: v.Shape}
			if math.IsInf(weight.High, 0) || math.IsInf(was, 0) { // there is nothing to take away from infinity
				return nil, unusable("draw %d has weight zero for the old data, which hides what it has for others: infer again", t.Draw)
			}
			weight.AddProduct(before, -was)
			weight.AddProduct(before, e.Contribution())
			likelihood.Add(-was)
			likelihood.Add(e.Contribution())
		}
		if p.Kind == dist.None {
			d.b.Add(e, v, nil)
		} else {
			d.b.Add(e, v, &p)
		}
	}
	for i, x := range added {
		l := d.lets[i]
		if x == x || len(l.value.Names) == 0 { // else it is absent
			d.b.Add(tracing.Site{Key: tracing.Key{Address: l.address, Instance: 1}, Name: l.name, Op: ppx.Tag, Origin: tracing.FromModel}, dist.Scalar(x), nil)
		}
	}
	weight, likelihood = weight.Kept(), likelihood.Kept()
	out := d.b.Finish(t.Result, weight.High, t.Seconds)
	out.LogWeightRest, out.LogLikelihood, out.LogLikelihoodRest = weight.Rest, likelihood.High, likelihood.Rest
	out.Row, out.From, out.Status = t.Row, t.From, t.Status
	return out, nil
}

func cmpOne(b float64) float64 {
	if b == 0 {
		return 1
	}
	return b
}

// hasMore tells whether any trace has a second statement of a name.
func (d *deriver) hasMore(ctx context.Context, name string) (bool, error) {
	var occ tracing.Occurrences
	d.passes++
	more := false
	err := d.each(ctx, func(t *tracing.Trace) error {
		occ.Reset()
		for i := range t.Sites {
			if e := &t.Sites[i]; occ.Next(e) > 1 && t.Table.Name(e.Name) == name {
				more = true
			}
		}
		return nil
	})
	return more, err
}

// datum is what the new data have for an entry.
func (d *deriver) datum(t *tracing.Trace, e *tracing.Site, k uint32) (ppx.Tensor, bool) {
	if d.data == nil || e.Name == 0 || e.Kind == dist.None || e.Op == ppx.Tag {
		return ppx.Tensor{}, false
	}
	return d.data.Find(t.Table.Name(e.Name), int(k))
}

// score gives an entry another value as data.
func (d *deriver) score(t *tracing.Trace, e *tracing.Site, p *ppx.Dist, v ppx.Tensor) error {
	name := ppx.Quote(t.Table.Name(e.Name))
	shape, err := p.Shape(nil)
	if err != nil {
		return err
	}
	n, _ := dist.Elements(shape)
	switch {
	case e.Op == ppx.Sample:
		return unusable("%s is a Sample: with it the simulator would have gone another way; only Observes take other data", name)
	case !ppx.Answers(v, shape, n):
		return unusable("the value given for %s has shape %s, the simulator's have %s", name, dist.ShapeString(v.Shape), dist.ShapeString(shape))
	case control.Partial(v):
		return unusable("elements of %s are missing", name)
	}
	if e.LogP, err = p.LogProb(ppx.Tensor{Data: v.Data, Shape: shape}); err != nil {
		return err
	}
	if math.IsInf(e.LogP, 1) {
		return unusable("the density of the value given for %s is infinite", name)
	}
	e.LogQ, e.Origin = 0, tracing.FromData
	return nil
}

// temper gives a trace the weight that another exponent of the likelihood makes.
func (d *deriver) temper(t *tracing.Trace) *tracing.Trace {
	b, was := d.LikelihoodImportance, cmpOne(d.r.Manifest.LikelihoodImportance)
	if b == 0 || b == was || t.LogLikelihood == 0 || math.IsInf(t.LogLikelihood, -1) {
		return t
	}
	out := *t
	w := tracing.Sum{High: t.LogWeight, Rest: t.LogWeightRest}
	w.AddProduct(b-was, t.LogLikelihood)
	w.AddProduct(b-was, t.LogLikelihoodRest)
	w = w.Kept()
	out.LogWeight, out.LogWeightRest = w.High, w.Rest
	return &out
}

// pick draws traces of equal weight; they are numbered among those that are kept.
func (d *deriver) pick(ctx context.Context) ([]int, error) {
	var lw []float64
	var rel tracing.Relative
	w := posterior.NewWeights()
	left := uint64(0)
	if err := d.each(ctx, func(t *tracing.Trace) error {
		x, err := d.apply(t)
		switch {
		case err != nil:
			return err
		case x == nil:
			left++
		case x.Status == tracing.Failed:
			w.AddFailed()
		default:
			lw = append(lw, rel.Of(x))
			w.Add(x.LogWeight, x.LogWeightRest)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	w.LeftOut = left + d.r.Manifest.LeftOut
	stream := dist.NewStream(d.Seed, dist.StreamInference.Stream(0), dist.StatementResample, 0, dist.PurposeValue)
	picked, err := posterior.Resample(lw, int(d.Resample), &stream)
	if err != nil {
		return nil, unusable("%v", err)
	}
	d.equal = tracing.Sum{High: w.LogEvidence()}
	d.resampled = &rundir.Resampled{From: w.N, ESS: w.ESS(), Khat: rundir.Number(w.Khat()), LogEvidenceSE: rundir.Number(w.LogEvidenceSE())}
	return picked, nil
}

// write makes the run directory.
func (d *deriver) write(ctx context.Context, out string, picked []int) (m *rundir.Manifest, err error) {
	old := d.r.Manifest
	data, err := old.Tensors(d.r.Path)
	if err != nil {
		return nil, err
	}
	for name, v := range d.Observe {
		if base, k := ppx.SplitOccurrence(name); k == 1 {
			more, err := d.hasMore(ctx, base)
			if err != nil {
				return nil, err
			}
			if !more { // the old ones are of no other
				delete(data, base)
			}
		}
		data[name] = v
	}
	path, err := filepath.Abs(d.r.Path)
	if err != nil {
		return nil, err
	}
	next := *old
	m = &next
	m.PPXVersion, m.Job, m.First, m.Counts, m.PartSize, m.Cut, m.Ended, m.Error = d.Version, nil, 0, rundir.Counts{}, 0, nil, nil, ""
	m.Lineage = old.Lineage.From(path, d.change())
	if d.resampled != nil { // else clones stay clones
		m.Resampled = d.resampled
	}
	if d.LikelihoodImportance != 0 {
		m.LikelihoodImportance = d.LikelihoodImportance
	}
	m.Conditioned = old.Conditioned || len(d.Observe) > 0
	if d.Thin > 1 {
		m.LeftOut /= d.Thin
	}
	w, err := rundir.Create(out, m, data)
	if err != nil {
		return nil, err
	}
	defer func() {
		state := rundir.Complete
		if err != nil {
			state = rundir.Failed
		}
		if e := w.Close(state, err); e != nil && err == nil {
			err = e
		}
		if err != nil { // it is made again from what is there: nothing is lost
			err = errors.Join(err, os.RemoveAll(out))
		}
	}()
	row, at := int64(0), 0
	put := func(t *tracing.Trace) error {
		x := *t
		x.Row, x.From = row, &tracing.Lineage{Parent: t.Row, SameAs: tracing.NoRow}
		row++
		return w.Write(ctx, &x)
	}
	err = d.each(ctx, func(t *tracing.Trace) error {
		x, err := d.apply(t)
		switch {
		case err != nil:
			return err
		case x == nil:
			d.left++
			return nil
		case x.Status == tracing.Failed:
			if picked != nil { // there is no weight to draw it by
				return nil
			}
			return put(x)
		}
		if d.names != nil {
			if err := d.names.Add(x); err != nil {
				return err
			}
		}
		n := int(d.kept)
		d.kept++
		if picked == nil {
			return put(x)
		}
		y := *x
		y.LogWeight, y.LogWeightRest = d.equal.High, d.equal.Rest
		for ; at < len(picked) && picked[at] == n; at++ {
			if err := put(&y); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && d.names != nil {
		err = d.names.Final()
	}
	w.Update(func(m *rundir.Manifest) {
		m.N = uint64(row)
		if picked == nil {
			m.LeftOut += d.left
		} else {
			m.LeftOut = 0
		}
		if x := old.Resampled; x != nil && d.total > 0 { // as large a share of the draws behind the clones
			kept := *x
			kept.ESS *= float64(row) / float64(d.total)
			m.Resampled = &kept
		}
		m.Started, m.Seconds = time.Now().UTC().Truncate(time.Second), old.Seconds
	})
	if err == nil && row == 0 {
		err = unusable("no trace of %s is left", d.r.Path)
	}
	return m, err
}

// change says what was done.
func (d *deriver) change() string {
	var out []string
	if d.Thin > 1 {
		out = append(out, fmt.Sprintf("every %d-th draw", d.Thin))
	}
	for _, l := range d.Let {
		out = append(out, l.Name+" = "+l.Value)
	}
	if d.Where != "" {
		out = append(out, "where "+d.Where)
	}
	for _, name := range control.Data(d.Observe).Names() {
		out = append(out, "other data for "+name)
	}
	if b := d.LikelihoodImportance; b != 0 {
		out = append(out, fmt.Sprintf("likelihood to the power of %g", b))
	}
	if d.Resample > 0 {
		out = append(out, fmt.Sprintf("resampled to %d", d.Resample))
	}
	return strings.Join(out, "; ")
}

func lineage(m *rundir.Manifest) string {
	if m.Lineage == nil {
		return "unknown"
	}
	return m.Lineage.Run
}
