package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// Ranks is a histogram of ranks: data sets in bins of equal width from 0 to 1, and how few and how many of them uniform ranks may put into one.
type Ranks struct {
	Name      string
	Bins      []int
	Low, High int
}

// RankHistograms draws histograms of ranks over the band of uniform ones.
func RankHistograms(path, title string, list []Ranks) error {
	plots, err := plotsOf(list, ranks)
	if err != nil {
		return err
	}
	return tiles(path, title, []string{"data sets", "outside of the band", "99 % band of a right posterior"}, []color.RGBA{blue, orange, grey}, plots)
}

func ranks(r *Ranks) (*plot.Plot, error) {
	p := newPlot("", shortened(r.Name), "")
	top := float64(r.High)
	band, err := plotter.NewPolygon(plotter.XYs{{X: 0, Y: float64(r.Low)}, {X: 1, Y: float64(r.Low)}, {X: 1, Y: float64(r.High)}, {X: 0, Y: float64(r.High)}})
	if err != nil {
		return nil, err
	}
	band.Color, band.LineStyle.Width = pale, 0
	p.Add(band)
	for i, n := range r.Bins {
		x, y := float64(i)/float64(len(r.Bins)), float64(n)
		width := 1 / float64(len(r.Bins))
		bar, err := plotter.NewPolygon(plotter.XYs{{X: x, Y: 0}, {X: x, Y: y}, {X: x + width, Y: y}, {X: x + width, Y: 0}})
		if err != nil {
			return nil, err
		}
		c := blue
		if n < r.Low || n > r.High {
			c = orange
		}
		fill := c
		fill.A = 110
		fill.R, fill.G, fill.B = premultiply(fill.R, fill.A), premultiply(fill.G, fill.A), premultiply(fill.B, fill.A)
		bar.Color, bar.LineStyle.Color, bar.LineStyle.Width = fill, c, vg.Points(0.7)
		p.Add(bar)
		top = math.Max(top, y)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, top*1.08
	return p, nil
}
