package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Panel is one plot of lines over numbers.
type Panel struct {
	X, Y   string // names of the axes
	Lines  [][]XY
	Dots   bool // mark the points
	Least  float64
	Most   float64 // ends of the y axis, if they differ
	Level  float64 // a line across; NaN: none
	Silent bool    // lines without names, in paler colours one after the other
}

// XY is a point. What is not finite is a gap.
type XY struct{ X, Y float64 }

// Lines draws panels side by side; names are those of the lines that all have, in order.
func Lines(path, title string, names []string, panels []Panel) error {
	plots, err := plotsOf(panels, panel)
	if err != nil {
		return err
	}
	var colors []color.RGBA
	for i := range names {
		colors = append(colors, lineColor(i))
	}
	return tiles(path, title, names, colors, plots)
}

// lineColors are those of several lines (Okabe and Ito, without yellow).
var lineColors = []color.RGBA{blue, orange, green, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}, grey, ink}

func lineColor(i int) color.RGBA { return lineColors[i%len(lineColors)] }

func panel(l *Panel) (*plot.Plot, error) {
	p := newPlot("", l.X, l.Y)
	p.Add(grid())
	add := func(xys plotter.XYs, i int) error {
		if len(xys) == 0 {
			return nil
		}
		line, err := plotter.NewLine(xys)
		if err != nil {
			return err
		}
		line.Color, line.Width = lineColor(i), vg.Points(1.3)
		if l.Silent {
			line.Width = vg.Points(0.6)
		}
		p.Add(line)
		if l.Dots {
			dots, err := plotter.NewScatter(xys)
			if err != nil {
				return err
			}
			dots.GlyphStyle = draw.GlyphStyle{Color: lineColor(i), Radius: vg.Points(2), Shape: draw.CircleGlyph{}}
			p.Add(dots)
		}
		return nil
	}
	if finite(l.Level) {
		x0, x1 := math.Inf(1), math.Inf(-1)
		for _, line := range l.Lines {
			for _, q := range line {
				x0, x1 = math.Min(x0, q.X), math.Max(x1, q.X)
			}
		}
		if x0 < x1 {
			level, err := plotter.NewLine(plotter.XYs{{X: x0, Y: l.Level}, {X: x1, Y: l.Level}})
			if err != nil {
				return nil, err
			}
			level.Color, level.Dashes = grey, []vg.Length{vg.Points(3), vg.Points(2)}
			p.Add(level)
		}
	}
	for i, line := range l.Lines {
		var xys plotter.XYs
		for _, q := range line {
			if !finite(q.X) || !(math.Abs(q.Y) <= Drawable) {
				if err := add(xys, i); err != nil {
					return nil, err
				}
				xys = nil
				continue
			}
			xys = append(xys, plotter.XY{X: q.X, Y: q.Y})
		}
		if err := add(xys, i); err != nil {
			return nil, err
		}
	}
	if l.Least < l.Most {
		p.Y.Min, p.Y.Max = l.Least, l.Most
	}
	return p, nil
}
