package report

import (
	"errors"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Fan is a series: quantiles .05 .25 .5 .75 .95 at each place, and what was observed (NaN: nothing).
type Fan struct {
	Name     string
	Bands    [][5]float64
	Observed []float64
}

// Fans draws series as fan charts and single statistics as histograms, with what was observed.
func Fans(path, title string, fans []Fan, marginals []Marginal) error {
	var plots []*plot.Plot
	for i := range fans {
		p, err := fan(&fans[i])
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	for i := range marginals {
		p, err := marginal(&marginals[i])
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	if len(plots) == 0 {
		return errors.New("there is nothing to draw")
	}
	return tiles(path, title, []string{"replicated", "observed"}, []color.RGBA{blue, orange}, plots)
}

func fan(f *Fan) (*plot.Plot, error) {
	p := newPlot("", shortened(f.Name), "")
	p.Add(grid())
	for _, band := range []struct {
		low, high int
		alpha     uint8
	}{{0, 4, 45}, {1, 3, 80}} {
		var outline plotter.XYs
		for i, b := range f.Bands {
			outline = append(outline, plotter.XY{X: float64(i), Y: b[band.low]})
		}
		for i := len(f.Bands) - 1; i >= 0; i-- {
			outline = append(outline, plotter.XY{X: float64(i), Y: f.Bands[i][band.high]})
		}
		for _, x := range outline {
			if !(math.Abs(x.Y) <= Drawable) {
				return nil, errors.New(f.Name + " has values that cannot be drawn")
			}
		}
		area, err := plotter.NewPolygon(outline)
		if err != nil {
			return nil, err
		}
		c := blue
		c.A = band.alpha
		c.R, c.G, c.B = premultiply(c.R, c.A), premultiply(c.G, c.A), premultiply(c.B, c.A)
		area.Color, area.LineStyle.Width = c, 0
		p.Add(area)
	}
	var middle, observed plotter.XYs
	for i, b := range f.Bands {
		middle = append(middle, plotter.XY{X: float64(i), Y: b[2]})
		if y := f.Observed[i]; !math.IsNaN(y) && math.Abs(y) <= Drawable {
			observed = append(observed, plotter.XY{X: float64(i), Y: y})
		}
	}
	line, err := plotter.NewLine(middle)
	if err != nil {
		return nil, err
	}
	line.Color, line.Width = blue, vg.Points(1.3)
	p.Add(line)
	if len(observed) > 0 {
		points, err := plotter.NewScatter(observed)
		if err != nil {
			return nil, err
		}
		points.GlyphStyle = draw.GlyphStyle{Color: orange, Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}
		p.Add(points)
	}
	return p, nil
}
