package whatif

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Picked is a trace with how often it was picked.
type Picked struct {
	Trace *tracing.Trace
	Times float64
}

// Effect is how much the draws at an address matter.
type Effect struct {
	Address *tracing.Address // nil: all others together
	Names   []string
	Most    int // sites of it in one trace
	Share   float64
	// Total are the total effects on the outcomes, with the noise of all other draws kept: of a run of the prior the share of an outcome's variance that is left when all but these draws are known,
	// E[(Y − Y')²]/(2 Var Y) (M. Jansen, "Analysis of variance designs for model output", 1999, equation 14). Of a posterior Var Y is the prior's too, as the redrawn values are. NaN: the outcome does not vary.
	Total, SE []float64
	// Spread is what data have left of these draws' spread: the standard deviation of the picked traces' values over that of the prior's, on average over sites; NaN: not known.
	Spread, SpreadSE float64
}

// Why is which draws matter.
type Why struct {
	Outcomes []string
	Mean, SD []float64 // of the outcomes
	PriorSD  []float64 // of the outcomes before data; nil: the traces are of the prior
	Effects  []Effect
	Traces   int // different ones
	Runs     int
	Failed   int // runs that could not go on
}

// Redraws is a plan: for every address a redraw of each trace.
type Redraws struct {
	traces []Picked
	groups []group
	of     map[uint32]int // address → group
	Runs   int
}

type group struct {
	address uint32
	rest    bool
	weight  float64
	share   float64
	most    int
	names   []string
}

// Plan settles which addresses are redrawn: at most so many by themselves, those that most of the weight passes, and the others together.
func Plan(traces []Picked, most int) (*Redraws, error) {
	if len(traces) == 0 {
		return nil, unusable("there is no trace to ask")
	}
	p := &Redraws{traces: traces, of: map[uint32]int{}}
	by := map[uint32]*group{}
	total := 0.0
	for _, x := range traces {
		total += x.Times
		here := map[uint32]int{}
		for i := range x.Trace.Sites {
			e := &x.Trace.Sites[i]
			if e.Op != ppx.Sample || e.Kind == dist.None {
				continue
			}
			g := by[e.Address]
			if g == nil {
				g = &group{address: e.Address}
				by[e.Address] = g
			}
			if here[e.Address]++; here[e.Address] == 1 {
				g.share += x.Times
			}
			g.weight += x.Times
			g.most = max(g.most, here[e.Address])
			if name := x.Trace.Table.Name(e.Name); name != "" && len(g.names) < 5 && !slices.Contains(g.names, name) {
				g.names = append(g.names, name)
			}
		}
	}
	for _, g := range by {
		g.share /= total
		p.groups = append(p.groups, *g)
	}
	slices.SortFunc(p.groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(b.weight, a.weight), cmp.Compare(a.address, b.address))
	})
	for i, g := range p.groups {
		p.of[g.address] = i
	}
	if most > 0 && len(p.groups) > most {
		others := group{rest: true}
		for i, g := range p.groups[most:] {
			p.of[g.address] = most
			others.share = math.Max(others.share, g.share)
			others.most = i + 1
		}
		p.groups = append(p.groups[:most:most], others)
	}
	for _, x := range traces {
		p.Runs += len(p.entries(x.Trace))
	}
	return p, nil
}

// Addresses is how many addresses are redrawn, by themselves or with others.
func (p *Redraws) Addresses() int { return len(p.of) }

// entries are those of a trace by their group.
func (p *Redraws) entries(t *tracing.Trace) map[int]map[int]bool {
	out := map[int]map[int]bool{}
	for i := range t.Sites {
		if e := &t.Sites[i]; e.Op == ppx.Sample && e.Kind != dist.None {
			g, ok := p.of[e.Address]
			if !ok {
				continue
			}
			if out[g] == nil {
				out[g] = map[int]bool{}
			}
			out[g][i] = true
		}
	}
	return out
}

// Ask makes the runs. prior is how many draws of the prior are to tell its spread; conditioned tells that the traces are none themselves; outcomes are the variables that are looked at (Outcomes). done hears of each run.
func (p *Redraws) Ask(ctx context.Context, x engine.Executor, outcomes []string, prior int, conditioned bool, seed uint64, done func()) (*Why, error) {
	out := &Why{Traces: len(p.traces), Runs: p.Runs + prior}
	var vars tracing.Variables
	names := outcomes
	out.Outcomes = names
	lookup := tracing.NewLookup(&vars)
	lookup.Need(names)
	values := func(t *tracing.Trace) []float64 {
		lookup.Read(t)
		v := make([]float64, len(names))
		for i, n := range names {
			y, ok := lookup.Value(n)
			if v[i] = y; !ok {
				v[i] = math.NaN()
			}
		}
		return v
	}
	// What there is.
	n, total := len(names), 0.0
	y := make([][]float64, len(p.traces))
	at := map[int64]int{}
	posterior := spreads{}
	mean, counted := make([]float64, n), make([]float64, n)
	for i, t := range p.traces {
		y[i] = values(t.Trace)
		at[t.Trace.Row] = i
		total += t.Times
		posterior.add(t.Trace, t.Times)
		for j, v := range y[i] {
			if v == v {
				mean[j] += t.Times * v
				counted[j] += t.Times
			}
		}
	}
	variance := make([]float64, n)
	for j := range mean {
		mean[j] /= counted[j]
		for i, t := range p.traces {
			if d := y[i][j] - mean[j]; d == d {
				variance[j] += t.Times * d * d / counted[j]
			}
		}
		out.Mean, out.SD = append(out.Mean, mean[j]), append(out.SD, math.Sqrt(variance[j]))
	}
	// What would be.
	squares := make([][][]float64, len(p.groups)) // by group, outcome and trace
	for g := range squares {
		squares[g] = make([][]float64, n)
		for j := range squares[g] {
			squares[g][j] = make([]float64, len(p.traces))
		}
	}
	orders := make([][]int, len(p.traces)) // of the groups that a trace has
	for i, t := range p.traces {
		for g := range p.entries(t.Trace) {
			orders[i] = append(orders[i], g)
		}
		slices.Sort(orders[i])
	}
	list := func(yield func(*tracing.Trace, error) bool) {
		for _, t := range p.traces {
			if !yield(t.Trace, nil) {
				return
			}
		}
	}
	err := again(ctx, x, iter.Seq2[*tracing.Trace, error](list), func(t *tracing.Trace, replay *control.Replay) (layers []engine.Layer, err error) {
		entries := p.entries(t)
		for _, g := range orders[at[t.Row]] {
			layers = append(layers, control.NewIntervene(replay, nil, entries[g], control.Noise, seed))
		}
		return layers, nil
	}, seed, func(before *tracing.Trace, after []*tracing.Trace) error {
		i := at[before.Row]
		for k, g := range orders[i] {
			done()
			var v []float64
			if after[k].Status != tracing.OK {
				out.Failed++
				v = make([]float64, n)
				for j := range v {
					v[j] = math.NaN()
				}
			} else {
				v = values(after[k])
			}
			for j := range v {
				d := v[j] - y[i][j]
				squares[g][j][i] = d * d // NaN where one of them lacks it
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	before := spreads{}
	drawn := make([][]float64, n)
	for t, err := range x.Stream(ctx, engine.DrawsOf(dist.StreamPrediction, seed, 1<<40, uint64(prior), func(engine.Draw) engine.Stack { return engine.Stack{control.Prior{}} }), nil) {
		if err != nil {
			return nil, err
		}
		done()
		if t.Status != tracing.OK {
			continue
		}
		before.add(t, 1)
		for j, v := range values(t) {
			if v == v {
				drawn[j] = append(drawn[j], v)
			}
		}
	}
	var own []known // of the prior's variance
	if conditioned {
		for _, v := range drawn {
			k := varianceOf(v)
			own = append(own, k)
			out.PriorSD = append(out.PriorSD, math.Sqrt(k.variance))
		}
	}
	table := p.traces[0].Trace.Table
	for g, x := range p.groups {
		e := Effect{Names: x.names, Most: x.most, Share: x.share, Spread: math.NaN(), SpreadSE: math.NaN()}
		if !x.rest {
			a := table.Address(x.address)
			e.Address = &a
			e.Spread, e.SpreadSE = ratio(posterior, before, x.address)
		}
		for j := range names {
			var t, se float64
			if own != nil {
				t, se = own[j].total(squares[g][j], p.traces)
			} else {
				t, se = jansen(squares[g][j], p.traces, y, j, mean[j])
			}
			e.Total, e.SE = append(e.Total, t), append(e.SE, se)
		}
		out.Effects = append(out.Effects, e)
	}
	return out, nil
}

// jansen is the total effect with its standard error, of a ratio of means over traces that were picked by their weights.
func jansen(squares []float64, traces []Picked, y [][]float64, outcome int, mean float64) (total, se float64) {
	sum, a, v := 0.0, 0.0, 0.0
	for i, t := range traces {
		if d := y[i][outcome] - mean; d == d && squares[i] == squares[i] {
			sum += t.Times
			a += t.Times * squares[i]
			v += t.Times * d * d
		}
	}
	if a, v = a/sum, v/sum; !(v > 0) {
		return math.NaN(), math.NaN()
	}
	errors := 0.0
	for i, t := range traces {
		if d := y[i][outcome] - mean; d == d && squares[i] == squares[i] {
			x := (squares[i]-a)/(2*v) - a*(d*d-v)/(2*v*v)
			errors += t.Times * t.Times * x * x
		}
	}
	return a / (2 * v), math.Sqrt(errors) / sum
}

// known is a variance that other draws tell.
type known struct{ variance, relative float64 } // relative: squared relative standard error

func varianceOf(v []float64) known {
	if len(v) < 2 {
		return known{math.NaN(), math.NaN()}
	}
	n, mean := float64(len(v)), 0.0
	for _, x := range v {
		mean += x / n
	}
	s2, s4 := 0.0, 0.0
	for _, x := range v {
		d := (x - mean) * (x - mean)
		s2, s4 = s2+d/n, s4+d*d/n
	}
	return known{s2, (s4/(s2*s2) - 1) / n}
}

// total is jansen with that variance.
func (k known) total(squares []float64, traces []Picked) (total, se float64) {
	sum, a := 0.0, 0.0
	for i, t := range traces {
		if squares[i] == squares[i] {
			sum += t.Times
			a += t.Times * squares[i]
		}
	}
	if a /= sum; !(k.variance > 0) {
		return math.NaN(), math.NaN()
	}
	errors := 0.0
	for i, t := range traces {
		if squares[i] == squares[i] {
			errors += t.Times * t.Times * (squares[i] - a) * (squares[i] - a)
		}
	}
	total = a / (2 * k.variance)
	return total, math.Hypot(math.Sqrt(errors)/sum/(2*k.variance), total*math.Sqrt(k.relative))
}

// maxOutcomes are looked at unless they are named.
const maxOutcomes = 12

// Outcomes are the variables to look at: those that are asked for, if the traces have them, or the result and all named numbers that are no Samples.
func (p *Redraws) Outcomes(asked []string) ([]string, error) {
	var vars tracing.Variables
	census := tracing.NewCensus(&vars)
	samples := map[string]bool{}
	var order []string
	seen := map[string]bool{}
	for _, x := range p.traces {
		census.Add(x.Trace)
		vars.Each(x.Trace, func(entry int, q tracing.Quantity, v ppx.Tensor) {
			for i := range min(v.Len(), maxOutcomes) {
				label := vars.Label(q, v.Shape, i)
				if entry >= 0 && x.Trace.Sites[entry].Op == ppx.Sample {
					samples[label] = true
				}
				if !seen[label] {
					seen[label] = true
					order = append(order, label)
				}
			}
		})
	}
	known := census.Names()
	if len(asked) > 0 {
		for _, name := range asked {
			if !known[name] {
				return nil, unusable("--of %s: no trace has a variable of that name; there are %s", ppx.Quote(name), ppx.List(order, 20))
			}
		}
		return asked, nil
	}
	var out []string
	for _, name := range order {
		if !samples[name] && known[name] && len(out) < maxOutcomes {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, unusable("the simulator has no result, no Tag and no named Observe: name what is to be looked at by --of")
	}
	return out, nil
}

// spreads are moments of the values at sites, by element.
type spreads map[tracing.Key][]moments

type moments struct{ n, mean, squares, weights2 float64 }

// maxElements of a tensor are looked at.
const maxElements = 64

func (s spreads) add(t *tracing.Trace, times float64) {
	for i := range t.Sites {
		e := &t.Sites[i]
		if e.Op != ppx.Sample || e.Kind == dist.None {
			continue
		}
		v := t.Value(i).Data
		v = v[:min(len(v), maxElements)]
		m := s[e.Key]
		for len(m) < len(v) {
			m = append(m, moments{})
		}
		s[e.Key] = m
		for k, x := range v {
			m[k].n += times
			d := x - m[k].mean
			m[k].mean += times / m[k].n * d
			m[k].squares += times * d * (x - m[k].mean)
			m[k].weights2 += times * times
		}
	}
}

// enoughDraws of a site tell its spread.
const enoughDraws = 10

// ratio is how much narrower the values at an address are, on average over its sites that are often there.
func ratio(posterior, prior spreads, address uint32) (r, se float64) {
	n, squares := 0.0, 0.0
	for key, m := range posterior {
		if key.Address != address {
			continue
		}
		for k, a := range m {
			if k >= len(prior[key]) {
				continue
			}
			b := prior[key][k]
			na, nb := a.n*a.n/a.weights2, b.n*b.n/b.weights2
			if !(na >= enoughDraws && nb >= enoughDraws && b.squares > 0) {
				continue
			}
			x := math.Sqrt(a.squares / a.n / (b.squares / b.n))
			r += x
			squares += x * x * (1/(2*na) + 1/(2*nb)) // as of normal ones
			n++
		}
	}
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	return r / n, math.Sqrt(squares) / n
}
