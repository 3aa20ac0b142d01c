package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// ErrVariable says that a run has no variable of a name.
var ErrVariable = errors.New("no such variable")

// Values are those of a variable in the traces that have it, with weights that are relative to the largest of all traces. What is no number is left out.
type Values struct {
	Name   string
	V, W   []float64
	Draws  []int   // which traces they are of: numbers that all Values of one call share
	Others float64 // weight of the traces that lack it
}

// Values reads some variables; none: the first most of those that every trace may have, in the order of the program.
func (x *Run) Values(ctx context.Context, names []string, most int) ([]Values, error) {
	var vars tracing.Variables
	if len(names) == 0 {
		for t, err := range x.All(ctx) {
			if err != nil {
				return nil, err
			}
			if t.Status != tracing.OK {
				continue
			}
			vars.Each(t, func(_ int, q tracing.Quantity, v ppx.Tensor) {
				for i := range v.Data {
					if label := vars.Label(q, v.Shape, i); len(names) < most && !slices.Contains(names, label) {
						names = append(names, label)
					}
				}
			})
			break
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("%w: %s has no named values", ErrVariable, x.Path)
		}
	}
	lookup := tracing.NewLookup(&vars)
	lookup.Need(names)
	out := make([]Values, len(names))
	for i, n := range names {
		out[i].Name = n
	}
	census := tracing.NewCensus(&vars)
	var rel tracing.Relative
	var logWeights []float64
	largest := math.Inf(-1)
	for t, err := range x.All(ctx) {
		switch {
		case errors.Is(err, rundir.ErrDamaged):
			if text := err.Error(); !slices.Contains(x.Damaged, text) {
				x.Damaged = append(x.Damaged, text)
			}
			continue
		case err != nil:
			return nil, err
		case t.Status != tracing.OK:
			continue
		}
		lw := rel.Of(t)
		if math.IsNaN(lw) || math.IsInf(lw, 1) {
			continue
		}
		if len(logWeights) < 1000 {
			census.Add(t)
		}
		largest = math.Max(largest, lw)
		lookup.Read(t)
		for i := range out {
			if v, ok := lookup.Value(out[i].Name); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
				out[i].V, out[i].Draws = append(out[i].V, v), append(out[i].Draws, len(logWeights))
			}
		}
		logWeights = append(logWeights, lw)
	}
	total := 0.0
	for i, lw := range logWeights {
		logWeights[i] = math.Exp(lw - largest) // weights from here on
		total += logWeights[i]
	}
	for i := range out {
		if len(out[i].V) == 0 {
			var known []string
			for name := range census.Names() {
				known = append(known, name)
			}
			slices.Sort(known)
			return nil, fmt.Errorf("%w: %s; %s has %s", ErrVariable, ppx.Quote(out[i].Name), x.Path, ppx.List(known, 20))
		}
		out[i].Others = total
		for _, d := range out[i].Draws {
			out[i].W = append(out[i].W, logWeights[d])
			out[i].Others -= logWeights[d]
		}
		out[i].Others = math.Max(0, out[i].Others)
	}
	return out, nil
}

// Bins share a range between several sets of values: whole numbers of few kinds are by value, others in pieces of equal width between what all but a thousandth of the weight is below and above.
type Bins struct {
	Low, High []float64 // of each; equal: a value
	Share     [][]float64
}

// Binned are the shares of the weight in at most so many bins, of several sets; what lies beyond the ends counts in the outermost.
func Binned(sets []Values, most int) Bins {
	var b Bins
	var all []float64
	lo, hi := math.Inf(1), math.Inf(-1)
	whole := true
	for i := range sets {
		l, h := inner(&sets[i])
		lo, hi = math.Min(lo, l), math.Max(hi, h)
		for _, v := range sets[i].V {
			whole = whole && v == math.Trunc(v)
		}
	}
	if whole && hi-lo < float64(most) {
		for v := lo; v <= hi; v++ {
			b.Low, b.High = append(b.Low, v), append(b.High, v)
		}
	} else {
		if lo == hi {
			lo, hi = lo-0.5, hi+0.5
		}
		width := (hi - lo) / float64(most)
		for i := range most {
			b.Low, b.High = append(b.Low, lo+float64(i)*width), append(b.High, lo+float64(i+1)*width)
		}
	}
	n := len(b.Low)
	for i := range sets {
		all = make([]float64, n)
		sum := 0.0
		for k, v := range sets[i].V {
			all[b.of(v)] += sets[i].W[k]
			sum += sets[i].W[k]
		}
		for k := range all {
			all[k] /= sum
		}
		b.Share = append(b.Share, all)
	}
	return b
}

// of is the bin of a value.
func (b *Bins) of(v float64) int {
	n := len(b.Low)
	if b.Low[0] == b.High[0] {
		return max(0, min(n-1, int(v-b.Low[0])))
	}
	return max(0, min(n-1, int(math.Floor((v-b.Low[0])/(b.High[n-1]-b.Low[0])*float64(n)))))
}

// inner are the values that all but a thousandth of the weight lie between.
func inner(x *Values) (lo, hi float64) {
	order := make([]int, len(x.V))
	sum := 0.0
	for i := range order {
		order[i] = i
		sum += x.W[i]
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case x.V[a] < x.V[b]:
			return -1
		case x.V[a] > x.V[b]:
			return 1
		}
		return 0
	})
	lo, hi = math.NaN(), math.NaN()
	below := 0.0
	for _, i := range order {
		if below += x.W[i]; lo != lo && below > 0.0005*sum {
			lo = x.V[i]
		}
		if below <= 0.9995*sum || hi != hi {
			hi = x.V[i]
		}
		if below > 0.9995*sum {
			hi = x.V[i]
			break
		}
	}
	return lo, hi
}

// Plane is how two variables lie together: shares of the weight, by row from the lowest y and column from the lowest x.
type Plane struct {
	X, Y        string
	LowX, HighX float64
	LowY, HighY float64
	Share       [][]float64
	Correlation float64
	Both        int // traces that have both
}

// Together are two variables of one call of Values in a plane of so many columns and rows.
func Together(x, y *Values, columns, rows int) Plane {
	p := Plane{X: x.Name, Y: y.Name, Share: make([][]float64, rows)}
	p.LowX, p.HighX = inner(x)
	p.LowY, p.HighY = inner(y)
	for i := range p.Share {
		p.Share[i] = make([]float64, columns)
	}
	at := func(v, lo, hi float64, n int) int {
		if hi == lo {
			return n / 2
		}
		return int(math.Floor((v - lo) / (hi - lo) * float64(n) * (1 - 1e-12)))
	}
	sum, mx, my := 0.0, 0.0, 0.0
	each := func(f func(a, b, w float64)) {
		for i, j := 0, 0; i < len(x.V) && j < len(y.V); {
			switch {
			case x.Draws[i] < y.Draws[j]:
				i++
			case x.Draws[i] > y.Draws[j]:
				j++
			default:
				f(x.V[i], y.V[j], x.W[i])
				i, j = i+1, j+1
			}
		}
	}
	each(func(a, b, w float64) {
		p.Both++
		sum += w
		mx += w * a
		my += w * b
		c, r := at(a, p.LowX, p.HighX, columns), at(b, p.LowY, p.HighY, rows)
		if c >= 0 && c < columns && r >= 0 && r < rows {
			p.Share[r][c] += w
		}
	})
	mx, my = mx/sum, my/sum
	xx, yy, xy := 0.0, 0.0, 0.0
	each(func(a, b, w float64) {
		xx += w * (a - mx) * (a - mx)
		yy += w * (b - my) * (b - my)
		xy += w * (a - mx) * (b - my)
	})
	p.Correlation = xy / math.Sqrt(xx*yy)
	for _, row := range p.Share {
		for c := range row {
			row[c] /= sum
		}
	}
	return p
}
