package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Tensor draws the numbers of a tensor: of a vector its values, of a matrix an image, of a volume its three
// projections (sums along each axis).
func Tensor(path, title string, data []float64, shape []int) error {
	switch len(shape) {
	case 1:
		p := newPlot(title, "index", "value")
		p.Add(grid())
		var xys plotter.XYs
		for i, v := range data {
			xys = append(xys, plotter.XY{X: float64(i), Y: v})
		}
		line, points, err := plotter.NewLinePoints(xys)
		if err != nil {
			return err
		}
		line.Color, points.Color, points.Shape = blue, blue, draw.CircleGlyph{}
		p.Add(line, points)
		return save(path, 6*vg.Inch, 3.4*vg.Inch, func(c draw.Canvas) { p.Draw(draw.Crop(c, 10, -14, 8, -8)) })
	case 2:
		m := field{data, shape[0], shape[1]}
		return images(path, title, []field{m}, [][2]string{{"column", "row"}})
	case 3:
		a, b, c := shape[0], shape[1], shape[2]
		front, side, top := field{make([]float64, b*c), b, c}, field{make([]float64, b*a), b, a}, field{make([]float64, a*c), a, c}
		for i := range a {
			for j := range b {
				for k := range c {
					v := data[(i*b+j)*c+k]
					front.data[j*c+k] += v
					side.data[j*a+i] += v
					top.data[i*c+k] += v
				}
			}
		}
		return images(path, title, []field{front, side, top}, [][2]string{{"axis 3", "axis 2"}, {"axis 1", "axis 2"}, {"axis 3", "axis 1"}})
	}
	return fmt.Errorf("a tensor of shape %v cannot be drawn: want 1 to 3 dimensions", shape)
}

// field is an image for gonum's heat map.
type field struct {
	data       []float64
	rows, cols int
}

func (f field) Dims() (c, r int)   { return f.cols, f.rows }
func (f field) Z(c, r int) float64 { return f.data[r*f.cols+c] }
func (f field) X(c int) float64    { return float64(c) }
func (f field) Y(r int) float64    { return float64(r) }

func images(path, title string, fields []field, axes [][2]string) error {
	var plots []*plot.Plot
	names := []string{"seen from the front", "from the side", "from above"}
	for i, f := range fields {
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range f.data {
			low, high = math.Min(low, v), math.Max(high, v)
		}
		if !(high > low) {
			high = low + 1
		}
		var heat *plotter.HeatMap
		if low >= -0.6*high { // one sign, but for noise
			heat = plotter.NewHeatMap(f, fromWhite{})
			heat.Min, heat.Max, heat.Underflow = math.Max(low, 0), high, color.White
		} else {
			colors := moreland.SmoothBlueRed()
			most := math.Max(-low, high)
			colors.SetMin(-most)
			colors.SetMax(most)
			heat = plotter.NewHeatMap(f, colors.Palette(256))
			heat.Min, heat.Max = -most, most
		}
		heat.Rasterized = f.cols*f.rows > 4000
		p := newPlot("", axes[i][0], axes[i][1])
		if len(fields) > 1 {
			p.Title.Text = names[i]
			p.Title.TextStyle.Font.Size = 11
		}
		p.X.LineStyle.Color, p.Y.LineStyle.Color = color.Transparent, color.Transparent
		p.Add(heat)
		plots = append(plots, p)
	}
	width := vg.Length(len(plots))*2.9*vg.Inch + 0.2*vg.Inch
	return save(path, width, 3.4*vg.Inch, func(c draw.Canvas) {
		t := draw.Tiles{Rows: 1, Cols: len(plots), PadX: vg.Points(16), PadTop: vg.Points(32), PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(12)}
		for i, p := range plots {
			p.Draw(t.At(c, i, 0))
		}
		header(c, title, nil, nil)
	})
}

// fromWhite is colours from white over light blue to dark blue.
type fromWhite struct{}

func (fromWhite) Colors() []color.Color {
	stops := [][3]float64{{255, 255, 255}, {198, 219, 239}, {107, 174, 214}, {33, 113, 181}, {8, 48, 107}}
	out := make([]color.Color, 256)
	for i := range out {
		x := float64(i) / 255 * float64(len(stops)-1)
		k := min(int(x), len(stops)-2)
		mix := func(c int) uint8 { return uint8(stops[k][c] + (x-float64(k))*(stops[k+1][c]-stops[k][c])) }
		out[i] = color.RGBA{mix(0), mix(1), mix(2), 255}
	}
	return out
}
