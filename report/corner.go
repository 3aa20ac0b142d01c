package report

import (
	"errors"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Plane is how two variables lie together: shares of the weight, by row from the lowest y and column from the lowest x.
type Plane struct {
	LowX, HighX, LowY, HighY float64
	Share                    [][]float64
}

// Corner draws variables two by two: histograms on the diagonal, and below it the planes, Planes[i][j] being variable i over variable j < i.
func Corner(path, title string, marginals []Marginal, planes [][]Plane) error {
	n := len(marginals)
	if n < 2 {
		return errors.New("two variables at least make a pair")
	}
	grid := make([][]*plot.Plot, n)
	for i := range n {
		grid[i] = make([]*plot.Plot, n)
		name := shortened(marginals[i].Name)
		p, err := marginal(&marginals[i])
		if err != nil {
			return err
		}
		p.X.Label.Text = ""
		p.Title.Text = name
		p.Title.TextStyle.Font.Size = 10.5
		p.HideY()
		p.X.Tick.Marker = fewTicks{labels: i == n-1}
		if i > 0 && planes[i][0].LowY < planes[i][0].HighY { // as in the planes beside
			p.X.Min, p.X.Max = planes[i][0].LowY, planes[i][0].HighY
		} else if i == 0 && planes[1][0].LowX < planes[1][0].HighX {
			p.X.Min, p.X.Max = planes[1][0].LowX, planes[1][0].HighX
		}
		grid[i][i] = p
		for j := range i {
			p, err := plane(&planes[i][j])
			if err != nil {
				return err
			}
			for _, truth := range []struct {
				at       float64
				vertical bool
			}{{marginals[j].Truth, true}, {marginals[i].Truth, false}} {
				if err := cross(p, &planes[i][j], truth.at, truth.vertical); err != nil {
					return err
				}
			}
			p.X.Tick.Marker, p.Y.Tick.Marker = fewTicks{labels: i == n-1}, fewTicks{labels: j == 0}
			if i == n-1 {
				p.X.Label.Text = shortened(marginals[j].Name)
			}
			if j == 0 {
				p.Y.Label.Text = name
			}
			grid[i][j] = p
		}
	}
	side := 1.9 * vg.Inch
	if n > 5 {
		side = 1.5 * vg.Inch
	}
	width, height := vg.Length(n)*side, vg.Length(n)*side+0.35*vg.Inch
	return save(path, width, height, func(c draw.Canvas) {
		t := draw.Tiles{Rows: n, Cols: n, PadX: vg.Points(4), PadY: vg.Points(3), PadTop: vg.Points(34), PadBottom: vg.Points(6), PadLeft: vg.Points(6), PadRight: vg.Points(10)}
		for i, row := range plot.Align(grid, t, c) {
			for j := range row {
				if grid[i][j] != nil {
					grid[i][j].Draw(row[j])
				}
			}
		}
		header(c, title, nil, nil)
	})
}

// fewTicks are those with labels, three at most, or only their places.
type fewTicks struct{ labels bool }

func (f fewTicks) Ticks(low, high float64) (out []plot.Tick) {
	for _, t := range (ticks{}).Ticks(low, high) {
		if t.Label != "" {
			out = append(out, t)
		}
	}
	for len(out) > 3 { // every other one
		for i := range (len(out) + 1) / 2 {
			out[i] = out[2*i]
		}
		out = out[:(len(out)+1)/2]
	}
	if !f.labels {
		for i := range out {
			out[i].Label = ""
		}
	}
	return out
}

// plane draws one, darker where more weight is.
func plane(s *Plane) (*plot.Plot, error) {
	p := newPlot("", "", "")
	if len(s.Share) == 0 || !(s.LowX < s.HighX) || !(s.LowY < s.HighY) { // nothing lies together, or on a line
		return p, nil
	}
	h := plotter.NewHeatMap(roots{s}, white)
	h.Rasterized = true
	p.Add(h)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = s.LowX, s.HighX, s.LowY, s.HighY
	return p, nil
}

// cross marks a true value in a plane.
func cross(p *plot.Plot, s *Plane, at float64, vertical bool) error {
	low, high := s.LowY, s.HighY
	if vertical {
		low, high = s.LowX, s.HighX
	}
	if !(at >= low && at <= high) {
		return nil
	}
	ends := plotter.XYs{{X: s.LowX, Y: at}, {X: s.HighX, Y: at}}
	if vertical {
		ends = plotter.XYs{{X: at, Y: s.LowY}, {X: at, Y: s.HighY}}
	}
	line, err := plotter.NewLine(ends)
	if err != nil {
		return err
	}
	line.Color, line.Width = orange, vg.Points(0.9)
	p.Add(line)
	return nil
}

// roots shows the square roots of shares, so that tails are seen too.
type roots struct{ *Plane }

func (r roots) Dims() (c, rows int) { return len(r.Share[0]), len(r.Share) }
func (r roots) Z(c, row int) float64 {
	return math.Sqrt(r.Share[row][c])
}
func (r roots) X(c int) float64 {
	return r.LowX + (float64(c)+0.5)*(r.HighX-r.LowX)/float64(len(r.Share[0]))
}
func (r roots) Y(row int) float64 {
	return r.LowY + (float64(row)+0.5)*(r.HighY-r.LowY)/float64(len(r.Share))
}

// white is a palette from white to dark blue, which is read without colours too.
var white palette.Palette = fromWhite{}
