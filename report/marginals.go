package report

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bin is a bar of a histogram; a single value when Low and High are equal.
type Bin struct{ Low, High, Probability float64 }

// Marginal is the histogram of a variable, one for each run that is compared, and the true value if it is known.
type Marginal struct {
	Name  string
	Runs  [][]Bin
	Truth float64 // NaN: unknown
	// Sparse, if it is given, tells which runs rest on so few draws that their bins are single values and drawn as such. Warning, if it is
	// not empty, is written across the picture.
	Sparse  []bool
	Warning string
}

func (m *Marginal) sparse(run int) bool { return run < len(m.Sparse) && m.Sparse[run] }

// Marginals draws histograms side by side; labels name the runs.
func Marginals(path, title string, labels []string, marginals []Marginal) error {
	if len(marginals) == 0 {
		return errors.New("there is no variable to draw")
	}
	plots, err := plotsOf(marginals, marginal)
	if err != nil {
		return err
	}
	truth := slices.ContainsFunc(marginals, func(m Marginal) bool { return !math.IsNaN(m.Truth) })
	names, colors := []string{}, []color.RGBA{}
	for i, l := range labels {
		names, colors = append(names, l), append(colors, runColors[i%len(runColors)])
	}
	if truth {
		names, colors = append(names, "truth"), append(colors, orange)
	}
	return tiles(path, title, names, colors, plots)
}

// plotsOf are the plots of several things; an error if there are none.
func plotsOf[T any](list []T, draw func(*T) (*plot.Plot, error)) (plots []*plot.Plot, err error) {
	if len(list) == 0 {
		return nil, errors.New("there is nothing to draw")
	}
	for i := range list {
		p, err := draw(&list[i])
		if err != nil {
			return nil, err
		}
		plots = append(plots, p)
	}
	return plots, nil
}

// tiles draws plots in rows, below a line with the title and what colours mean.
func tiles(path, title string, names []string, colors []color.RGBA, plots []*plot.Plot) error {
	columns := min(len(plots), 2)
	if len(plots) > 4 {
		columns = 3
	}
	rows := (len(plots) + columns - 1) / columns
	width, height := vg.Length(columns)*3.3*vg.Inch, vg.Length(rows)*2.5*vg.Inch+0.35*vg.Inch
	return save(path, width, height, func(c draw.Canvas) {
		t := draw.Tiles{Rows: rows, Cols: columns, PadX: vg.Points(18), PadY: vg.Points(14), PadTop: vg.Points(34), PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(14)}
		for i, p := range plots {
			p.Draw(t.At(c, i%columns, i/columns))
		}
		header(c, title, names, colors)
	})
}

func marginal(m *Marginal) (*plot.Plot, error) {
	p := newPlot("", shortened(m.Name), "")
	p.Add(grid())
	most := 0.0
	for _, bins := range m.Runs {
		for _, b := range bins {
			if math.Abs(b.Low) > Drawable || math.Abs(b.High) > Drawable {
				return nil, fmt.Errorf("%s has values beyond ±%g, which cannot be drawn", m.Name, Drawable)
			}
		}
	}
	for i, bins := range m.Runs {
		if len(bins) == 0 || m.sparse(i) { // sparse ones when the others have shown how high the picture is
			continue
		}
		c := runColors[i%len(runColors)]
		outline, top := steps(bins)
		most = math.Max(most, top)
		line, err := plotter.NewLine(outline)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = c, vg.Points(1.5)
		if i == 0 {
			fill := c
			fill.A = 60
			fill.R, fill.G, fill.B = premultiply(fill.R, fill.A), premultiply(fill.G, fill.A), premultiply(fill.B, fill.A)
			line.FillColor = fill
		} else {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
		}
		p.Add(line)
	}
	if most == 0 {
		most = 1
	}
	for i, bins := range m.Runs {
		if !m.sparse(i) {
			continue
		}
		s, err := sticks(bins, most)
		if err != nil {
			return nil, err
		}
		for _, line := range s {
			line.Color, line.Width = runColors[i%len(runColors)], vg.Points(1.5)
			p.Add(line)
		}
	}
	if m.Warning != "" {
		p.Add(across(m.Warning))
	}
	p.Y.Min, p.Y.Max = 0, most*1.15
	p.Y.Tick.Marker = plot.ConstantTicks(nil)
	if !math.IsNaN(m.Truth) {
		line, err := plotter.NewLine(plotter.XYs{{X: m.Truth, Y: 0}, {X: m.Truth, Y: most * 1.1}})
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = orange, vg.Points(1.6)
		p.Add(line)
	}
	return p, nil
}

// Drawable is the largest number of which a picture can be made; coordinates are computed from differences.
const Drawable = 1e290

// shortened is a name that leaves room for the picture.
func shortened(name string) string {
	const most = 32
	r := []rune(strings.ReplaceAll(name, "\n", " "))
	if len(r) <= most {
		return string(r)
	}
	return string(r[:most/2]) + "…" + string(r[len(r)-most/2:])
}

// sticks are single values, the highest as high as the picture.
func sticks(bins []Bin, height float64) (out []*plotter.Line, err error) {
	most := 0.0
	for _, b := range bins {
		most = math.Max(most, b.Probability)
	}
	for _, b := range bins {
		x := (b.Low + b.High) / 2
		line, err := plotter.NewLine(plotter.XYs{{X: x, Y: 0}, {X: x, Y: height * b.Probability / most}})
		if err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, nil
}

// across is a text over the middle of a picture.
type across string

// Plot implements plot.Plotter.
func (a across) Plot(c draw.Canvas, _ *plot.Plot) {
	style := newPlot("", "", "").Title.TextStyle
	style.Color, style.Font.Size, style.XAlign, style.YAlign = orange, 15, text.XCenter, text.YCenter
	c.FillText(style, c.Center(), string(a))
}

func premultiply(c, a uint8) uint8 { return uint8(uint16(c) * uint16(a) / 255) }

// steps is the outline of a histogram of densities; single values are bars of width 0.8, or less where they are
// closer.
func steps(bins []Bin) (out plotter.XYs, most float64) {
	gap := 1.0
	if len(bins) == 1 { // visible whatever its size
		gap = math.Max(gap, math.Abs(bins[0].Low)*1e-3)
	}
	for i := 1; i < len(bins); i++ {
		if d := bins[i].Low - bins[i-1].Low; bins[i].Low == bins[i].High && d > 0 {
			gap = math.Min(gap, d)
		}
	}
	add := func(x, y float64) { out = append(out, plotter.XY{X: x, Y: y}) }
	last := math.NaN()
	for _, b := range bins {
		low, high, y := b.Low, b.High, b.Probability
		if low == high {
			low, high = low-0.4*gap, high+0.4*gap
		} else {
			y /= high - low
		}
		if last != low {
			if !math.IsNaN(last) {
				add(last, 0)
			}
			add(low, 0)
		}
		add(low, y)
		add(high, y)
		last, most = high, math.Max(most, y)
	}
	add(last, 0)
	return out, most
}
