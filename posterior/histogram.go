package posterior

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// Bin is a piece of a histogram; of a discrete variable Low = High is one value.
type Bin struct{ Low, High, Probability float64 }

// ErrVariable says that there is nothing to draw of a name.
var ErrVariable = errors.New("no variable")

// Histogram is the weighted distribution of a variable, in at most bins pieces of equal width over its
// central 99.8 per cent (what lies outside goes to the ends), or by value for a discrete one with few
// values.
func (s *Summary) Histogram(name string, bins int) ([]Bin, error) {
	a, ok := s.find(name)
	if !ok {
		var names []string
		for _, x := range s.list() {
			if x.shape == nil {
				names = append(names, x.name)
			}
		}
		return nil, fmt.Errorf("%w %s to plot; there are %s", ErrVariable, name, strings.ReplaceAll(ppx.List(names, 40), "\n", " "))
	}
	if a.m.w == 0 {
		return nil, fmt.Errorf("%w: %s has no weight, or no finite values", ErrVariable, name)
	}
	v := s.finish(a)
	if v.Kind == Discrete && len(v.Values) > 0 && len(v.Values) <= 2*bins {
		var out []Bin
		for _, x := range v.Values {
			out = append(out, Bin{x.Value, x.Value, x.Probability})
		}
		// Values that hardly ever happen would only make the picture long.
		for len(out) > 1 && out[len(out)-1].Probability < 5e-4 {
			out = out[:len(out)-1]
		}
		for len(out) > 1 && out[0].Probability < 5e-4 {
			out = out[1:]
		}
		return out, nil
	}
	return a.s.histogram(name, bins, a.integers)
}

// HistogramOf is the histogram of finite numbers, in at most bins pieces; whole numbers of few kinds are by value.
func HistogramOf(name string, values []float64, bins int) ([]Bin, error) {
	if len(values) == 0 {
		return nil, fmt.Errorf("%w: %s has no values", ErrVariable, name)
	}
	integers := true
	count := map[float64]float64{}
	var k sketch
	for _, x := range values {
		integers = integers && x == math.Trunc(x)
		if len(count) <= 2*bins {
			count[x]++
		}
		k.points = append(k.points, point{x: x})
	}
	if integers && len(count) <= 2*bins {
		var out []Bin
		for _, x := range slices.Sorted(maps.Keys(count)) {
			out = append(out, Bin{x, x, count[x] / float64(len(values))})
		}
		return out, nil
	}
	return k.histogram(name, bins, integers)
}

// histogram is one of equal widths; integers tells that all values are whole numbers.
func (s *sketch) histogram(name string, bins int, integers bool) ([]Bin, error) {
	ends := s.quantiles(0.001, 0.999)
	lo, hi := ends[0], ends[1]
	if math.IsInf(hi-lo, 0) {
		return nil, fmt.Errorf("variable %s has a range that has no histogram", name)
	}
	if lo == hi {
		return []Bin{{lo, lo, 1}}, nil
	}
	// Round the width so that the edges are numbers one likes to read.
	width := niceStep((hi - lo) / float64(max(1, bins-2)))
	if integers { // as many whole numbers in each
		width = math.Max(1, math.Ceil(width))
	}
	if !(width > 0) { // narrower than numbers are apart
		return []Bin{{lo, lo, 1}}, nil
	}
	lo = math.Floor(lo/width) * width
	n := int(math.Ceil((hi - lo) / width))
	out := make([]Bin, max(1, n))
	for i := range out {
		out[i].Low, out[i].High = lo+float64(i)*width, lo+float64(i+1)*width
	}
	top, sum := s.total()
	for _, p := range s.points {
		i := min(max(0, int(math.Floor((p.x-lo)/width))), len(out)-1)
		out[i].Probability += math.Exp(p.lw-top) / sum
	}
	return slices.Clip(out), nil
}

// Sticks are the heaviest single values of a variable, at most so many: what there is to show where a histogram would
// pretend to a shape.
func (s *Summary) Sticks(name string, most int) []Bin {
	a, ok := s.find(name)
	if !ok || a.m.w == 0 {
		return nil
	}
	top, sum := a.s.total()
	points := slices.Clone(a.s.points)
	slices.SortFunc(points, func(x, y point) int { return descending(x.lw, y.lw) })
	var out []Bin
	for _, p := range points[:min(most, len(points))] {
		out = append(out, Bin{p.x, p.x, math.Exp(p.lw-top) / sum})
	}
	return out
}

// niceStep is the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below x.
func niceStep(x float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if m*p >= x*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}
