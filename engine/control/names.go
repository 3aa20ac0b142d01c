package control

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// EarlyCheck is after how many traces a name in the data that was not met is worth a remark: it may still come.
const EarlyCheck = 20

// NameCheck is after how many traces a name in the data that was never met is an error.
const NameCheck = 1000

// ErrName says that data were given for a name that the simulator does not have.
var ErrName = errors.New("no such name in the simulator")

// Names watches how the names in the data meet the simulator's statements. Give it every trace, in the order of draws.
type Names struct {
	data      []datum
	holes     []string // data of which elements are missing, in words
	condition bool
	remark    func(string)

	table  *tracing.Table // of the last trace
	traces int
	rel    tracing.Relative
	weight float64 // log of the sum over all traces
	occ    tracing.Occurrences
	uses   []use // by name

	unanswered []string // Observes that had neither data nor a value
	scored     bool     // something was
}

// datum is an entry of the data that is to be met.
type datum struct {
	name   string
	first  bool     // it is for the first occurrence of its name
	last   int      // the last trace that used it
	traces int      // that used it
	missed float64  // log of the sum of the weights of the others
	tagged bool     // met at a Tag: there is nothing to score
	met    []uint32 // addresses where it was met, a few
}

// mostMet bounds the addresses that are kept of a datum.
const mostMet = 8

// use is what there is to know of a name of the simulator.
type use struct {
	known      bool
	every      int            // index of the datum for every occurrence, −1
	at         map[uint32]int // of data for one occurrence
	statement  bool           // a Sample or Observe has it
	unanswered bool
}

// NewNames returns a watch for these data; condition tells that Observes without data are latents because nobody gave any. remark takes what
// a user should hear at once, nil: nobody.
func NewNames(data Data, condition bool, remark func(string)) *Names {
	n := &Names{condition: condition, remark: remark, weight: math.Inf(-1)}
	firsts := data.firsts()
	for name, v := range data {
		if Absent(v) {
			continue
		}
		n.data = append(n.data, datum{name: name, first: firsts[name], last: -1, missed: math.Inf(-1)})
		if m := missing(v); m > 0 {
			n.holes = append(n.holes, fmt.Sprintf("%d of %d elements of %s", m, len(v.Data), ppx.Quote(name)))
		}
	}
	slices.SortFunc(n.data, func(a, b datum) int { return cmp.Compare(a.name, b.name) })
	slices.Sort(n.holes)
	return n
}

// missing counts the elements of a value that are left out.
func missing(v ppx.Tensor) (n int) {
	for _, x := range v.Data {
		if isNaN(x) {
			n++
		}
	}
	return n
}

// find looks up what the data have for a name of the simulator.
func (n *Names) find(name string) use {
	u := use{known: true, every: -1}
	for i := range n.data {
		base, k := ppx.SplitOccurrence(n.data[i].name)
		switch {
		case n.data[i].first && n.data[i].name == name:
			base, k = name, 1
		case n.data[i].name == name:
			u.every = i
		}
		if k > 0 && base == name {
			if u.at == nil {
				u.at = map[uint32]int{}
			}
			u.at[uint32(k)] = i
		}
	}
	return u
}

// Add looks at a trace; an ErrName when the first NameCheck traces have shown that a name is wrong.
func (n *Names) Add(t *tracing.Trace) error {
	if t.Status != tracing.OK {
		return nil
	}
	n.table = t.Table
	n.traces++
	lw := n.rel.Of(t)
	n.weight = tracing.LogAdd(n.weight, lw)
	used := 0
	n.occ.Reset()
	for i := range t.Sites {
		e := &t.Sites[i]
		n.scored = n.scored || e.Op == ppx.Observe && e.Kind != dist.None && e.Origin.Scored()
		if e.Name == 0 {
			continue
		}
		k := n.occ.Next(e)
		for int(e.Name) >= len(n.uses) {
			n.uses = append(n.uses, use{})
		}
		u := &n.uses[e.Name]
		if !u.known {
			*u = n.find(t.Table.Name(e.Name))
		}
		at := u.every
		if d, ok := u.at[k]; ok {
			at = d
		}
		switch {
		case e.Op == ppx.Tag || e.Kind == dist.None: // there is nothing to score: a warning, no error
			if at >= 0 {
				n.data[at].tagged = true
			}
			continue
		case e.Op == ppx.Observe && !e.Origin.Scored() && !u.unanswered:
			u.unanswered = true
			n.unanswered = append(n.unanswered, tracing.OccurrenceName(t.Table.Name(e.Name), int(k)))
		}
		u.statement = true
		if e.Origin != tracing.FromData || at < 0 {
			continue
		}
		d := &n.data[at]
		if len(d.met) < mostMet && !slices.Contains(d.met, e.Address) {
			d.met = append(d.met, e.Address)
		}
		if d.last != n.traces {
			d.last = n.traces
			d.traces++
			used++
		}
	}
	if used < len(n.data) {
		for i := range n.data {
			if d := &n.data[i]; d.last != n.traces {
				d.missed = tracing.LogAdd(d.missed, lw)
			}
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

// Unused are the names in the data that no trace has used so far, though there were some: those that no statement has, and those that only
// statements have with nothing to score.
func (n *Names) Unused() (names []string) { return n.unused(true) }

func (n *Names) unused(tagged bool) (names []string) {
	for i := range n.data {
		if d := &n.data[i]; n.traces > 0 && d.traces == 0 && (tagged || !d.tagged) {
			names = append(names, d.name)
		}
	}
	return names
}

// Final is an ErrName if the traces so far, and there will be no more, have used no data of some name.
func (n *Names) Final() error {
	unused := n.unused(false)
	if len(unused) == 0 {
		return nil
	}
	var seen []string
	for id := range n.uses {
		if n.uses[id].statement {
			seen = append(seen, n.table.Name(uint32(id)))
		}
	}
	slices.Sort(seen)
	list := "it has no named Observe or Sample"
	if len(seen) > 0 {
		list = "it has " + ppx.List(seen, 40)
	}
	hint := ""
	for _, name := range unused {
		if base, _, ok := strings.Cut(name, "["); ok && slices.Contains(seen, base) {
			hint = fmt.Sprintf("; the elements of %s are given as one list", ppx.Quote(base))
		}
	}
	return fmt.Errorf("%w: %s was given, but %s (%d traces)%s", ErrName, ppx.List(unused, 20), list, n.traces, hint)
}

// Met are the data that were met at one place of the code.
type Met struct {
	Names   []string
	Address string // without kind
	Sample  bool   // at a draw, not at an observation
}

// Met lists where data were met, by address.
func (n *Names) Met() (out []Met) {
	at := map[uint32]int{}
	for i := range n.data {
		for _, id := range n.data[i].met {
			k, ok := at[id]
			if !ok {
				k = len(out)
				at[id] = k
				a := n.table.Address(id)
				out = append(out, Met{Address: a.Base, Sample: a.Op == ppx.Sample})
			}
			out[k].Names = append(out[k].Names, n.data[i].name)
		}
	}
	return out
}

// Partly is a datum that only some traces have used: the others are not scored against it.
type Partly struct {
	Name   string
	Traces float64 // share of traces that have used it
	Weight float64 // share of the weight that these have; NaN where there is no weight
}

// Partly lists the data that some traces have used and others have not.
func (n *Names) Partly() (out []Partly) {
	for i := range n.data {
		if d := &n.data[i]; d.traces > 0 && d.traces < n.traces {
			out = append(out, Partly{d.name, float64(d.traces) / float64(n.traces), 1 - math.Min(1, math.Exp(d.missed-n.weight))})
		}
	}
	return out
}

// Warnings are remarks on names, in words.
func (n *Names) Warnings() (w []string) {
	if n.condition && len(n.unanswered) > 0 {
		slices.Sort(n.unanswered)
		w = append(w, fmt.Sprintf("no data were given for %s: drawn from the prior, as latents", ppx.List(n.unanswered, 20)))
	}
	if len(n.holes) > 0 {
		w = append(w, ppx.List(n.holes, 20)+" are missing: drawn, not scored; that is right if what is missing does not depend on the values")
	}
	var ignored []string
	for i := range n.data {
		if d := &n.data[i]; d.tagged && d.traces == 0 {
			ignored = append(ignored, d.name)
		}
	}
	if len(ignored) > 0 {
		w = append(w, fmt.Sprintf("the value given for %s is ignored: a tag, or an observation without distribution, has nothing to score", ppx.List(ignored, 20)))
	}
	return w
}
