package inspect

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Passes are Samples at the same addresses several times in a row.
type Passes struct {
	Trace  *tracing.Trace
	At     []int // entries of the Samples of all of them
	Period int   // Samples of one
}

// Count is how many there are.
func (p *Passes) Count() int { return len(p.At) / p.Period }

// Base is that of the address at which they begin.
func (p *Passes) Base() string { return p.Trace.Table.Address(p.Trace.Sites[p.At[0]].Address).Base }

// maxPeriod is how many Samples a pass has at most.
const maxPeriod = 16

// Repeats adds the passes of a trace to those found so far, by the addresses of a pass.
func Repeats(t *tracing.Trace, into map[string][]Passes) {
	var at []int
	for i := range t.Sites {
		if t.Sites[i].Op == ppx.Sample {
			at = append(at, i)
		}
	}
	same := func(a, b, n int) bool {
		for k := range n {
			if t.Sites[at[a+k]].Address != t.Sites[at[b+k]].Address {
				return false
			}
		}
		return true
	}
	for i := 0; i < len(at); {
		found := false
		for p := 1; p <= maxPeriod && i+2*p <= len(at); p++ {
			n := 1
			for i+(n+1)*p <= len(at) && same(i, i+n*p, p) {
				n++
			}
			if n > 1 {
				key := cycle(t, at[i:i+p])
				into[key] = append(into[key], Passes{t, at[i : i+n*p], p})
				i += n * p
				found = true
				break
			}
		}
		if !found {
			i++
		}
	}
}

func cycle(t *tracing.Trace, at []int) string {
	var b strings.Builder
	for _, i := range at {
		fmt.Fprintf(&b, "%d ", t.Sites[i].Address)
	}
	return b.String()
}

// Geometric tells whether passes come as they do where each is accepted with one probability: of those that come more than once, the numbers beyond the second
// are geometric again.
func Geometric(list []Passes) bool {
	n, sum, none := float64(len(list)), 0.0, 0.0
	for i := range list {
		k := float64(list[i].Count() - 2)
		sum += k
		if k == 0 {
			none++
		}
	}
	if n < 10 || sum == 0 {
		return false
	}
	p := 1 / (1 + sum/n) // of acceptance; P(k = 0)
	return math.Abs(none/n-p) <= 4*math.Sqrt(p*(1-p)/n)
}

// RejectionLoops are the addresses at which passes begin that come as those of a rejection loop do, in the first traces of a run; none where loops are marked.
func RejectionLoops(ctx context.Context, path string) (out []string, err error) {
	r, err := rundir.Open(path, nil)
	if err != nil {
		return nil, err
	}
	found := map[string][]Passes{}
	const most = 5000
	n := 0
	for t, err := range r.All(ctx) {
		if err != nil {
			return nil, err
		}
		if t.MarksLoops() {
			return nil, nil
		}
		Repeats(t, found)
		if n++; n == most {
			break
		}
	}
	for _, list := range found {
		if Geometric(list) {
			out = append(out, list[0].Base())
		}
	}
	slices.Sort(out)
	return out, nil
}
