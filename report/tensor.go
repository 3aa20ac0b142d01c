package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Squeezed is a shape without the dimensions that have one element.
func Squeezed(shape []int32) (out []int) {
	for _, d := range shape {
		if d != 1 {
			out = append(out, int(d))
		}
	}
	return out
}

// Tensor draws the numbers of a tensor: of a vector its values, of a matrix an image, of a volume its three
// projections (sums along each axis).
func Tensor(path, title string, data []float64, shape []int) error {
	for _, x := range data {
		if math.Abs(x) > Drawable && !math.IsInf(x, 0) {
			return fmt.Errorf("it has values beyond ±%g, which cannot be drawn", Drawable)
		}
	}
	switch len(shape) {
	case 1:
		p := newPlot(title, "index", "value")
		p.Add(grid())
		var xys plotter.XYs
		// Of more numbers than a picture has columns the smallest and the largest in each column.
		const most = 2000
		each := max(1, (len(data)+most-1)/most)
		for from := 0; from < len(data); from += each {
			to := min(len(data), from+each)
			low, high := from, from
			for i := from; i < to; i++ {
				if data[i] < data[low] {
					low = i
				}
				if data[i] > data[high] {
					high = i
				}
			}
			xys = append(xys, plotter.XY{X: float64(min(low, high)), Y: data[min(low, high)]})
			if low != high {
				xys = append(xys, plotter.XY{X: float64(max(low, high)), Y: data[max(low, high)]})
			}
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

// field is an image for gonum's heat map, whose y axis points upwards: the first row is the uppermost, as of a matrix on paper
// and of a camera's image.
type field struct {
	data       []float64
	rows, cols int
}

func (f field) Dims() (c, r int)   { return f.cols, f.rows }
func (f field) Z(c, r int) float64 { return f.data[(f.rows-1-r)*f.cols+c] }
func (f field) X(c int) float64    { return float64(c) }
func (f field) Y(r int) float64    { return float64(r) }

// cellTicks numbers columns: by whole numbers only.
type cellTicks struct{}

// Ticks implements plot.Ticker.
func (cellTicks) Ticks(low, high float64) []plot.Tick {
	return slices.DeleteFunc(ticks{}.Ticks(low, high), func(t plot.Tick) bool { return t.Value != math.Trunc(t.Value) })
}

// rowTicks numbers the rows from the top.
type rowTicks struct{ rows int }

// Ticks implements plot.Ticker.
func (t rowTicks) Ticks(low, high float64) []plot.Tick {
	last := float64(t.rows - 1)
	all := cellTicks{}.Ticks(last-high, last-low)
	for i := range all {
		all[i].Value = last - all[i].Value
	}
	return all
}

// scale is the colours of an image's values.
type scale struct {
	low, high float64
	colors    []color.Color
}

// scaleOf finds the colours for values: white for 0 and dark for the largest; or, where some are negative, blue below and
// red above 0, which then is in the middle. NaN and infinities have none.
func scaleOf(values []float64) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if finite(v) {
			low, high = math.Min(low, v), math.Max(high, v)
		}
	}
	switch {
	case !(low <= high): // no number at all
		low, high = 0, 1
	case low < 0:
		most := math.Max(-low, math.Abs(high))
		m := moreland.SmoothBlueRed()
		m.SetMin(-most)
		m.SetMax(most)
		return scale{-most, most, m.Palette(255).Colors()}
	case low == high && low == 0:
		high = 1
	case low > 0.5*high: // differences would not show from 0 on
	default:
		low = 0
	}
	if low == high {
		low = 0
	}
	return scale{low, high, fromWhite{}.Colors()}
}

// Colors implements palette.Palette.
func (s scale) Colors() []color.Color { return s.colors }

const (
	// barSpace is what a colour bar and its numbers take at the right of an image.
	barSpace = 52 * vg.Length(1)
	barWidth = 9 * vg.Length(1)
	// Cells are squares, unless an image were more than so many times longer than wide.
	mostStretched = 6
)

func images(path, title string, fields []field, axes [][2]string) error {
	var plots []*plot.Plot
	var scales []scale
	names := []string{"seen from the front", "from the side", "from above"}
	for i, f := range fields {
		sc := scaleOf(f.data)
		heat := plotter.NewHeatMap(f, sc)
		heat.Min, heat.Max = sc.low, sc.high
		heat.Underflow, heat.Overflow, heat.NaN = pale, pale, pale
		heat.Rasterized = f.cols*f.rows > 4000
		p := newPlot("", axes[i][0], axes[i][1])
		if len(fields) > 1 {
			p.Title.Text = names[i]
			p.Title.TextStyle.Font.Size = 11
		}
		p.X.LineStyle.Color, p.Y.LineStyle.Color = color.Transparent, color.Transparent
		p.X.Tick.Marker, p.Y.Tick.Marker = cellTicks{}, rowTicks{f.rows}
		p.Add(heat)
		plots, scales = append(plots, p), append(scales, sc)
	}
	width := vg.Length(len(plots))*3.6*vg.Inch + 0.2*vg.Inch
	return save(path, width, 3.4*vg.Inch, func(c draw.Canvas) {
		t := draw.Tiles{Rows: 1, Cols: len(plots), PadX: vg.Points(10), PadTop: vg.Points(32), PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(4)}
		for i, p := range plots {
			tile := t.At(c, i, 0)
			at := draw.Crop(tile, 0, -barSpace, 0, 0)
			in := square(p.DataCanvas(at).Rectangle, fields[i])
			data := p.DataCanvas(at).Rectangle
			at = draw.Crop(at, 0, in.Max.X-data.Max.X, in.Min.Y-data.Min.Y, 0)
			p.Draw(at)
			scales[i].bar(c, p.DataCanvas(at).Rectangle)
		}
		header(c, title, nil, nil)
	})
}

// square is the part of a rectangle, at its upper left, in which the cells of an image are squares.
func square(r vg.Rectangle, f field) vg.Rectangle {
	w, h := r.Max.X-r.Min.X, r.Max.Y-r.Min.Y
	if f.rows == 0 || f.cols == 0 {
		return r
	}
	ratio := vg.Length(math.Min(mostStretched, math.Max(1.0/mostStretched, float64(f.rows)/float64(f.cols))))
	if w*ratio > h {
		w = h / ratio
	} else {
		h = w * ratio
	}
	return vg.Rectangle{Min: vg.Point{X: r.Min.X, Y: r.Max.Y - h}, Max: vg.Point{X: r.Min.X + w, Y: r.Max.Y}}
}

// bar draws the colours with their values at the right of an image.
func (s scale) bar(c draw.Canvas, image vg.Rectangle) {
	x, height := image.Max.X+8, image.Max.Y-image.Min.Y
	step := height / vg.Length(len(s.colors))
	for i, col := range s.colors {
		y := image.Min.Y + vg.Length(i)*step
		top := math.Min(float64(y+1.5*step), float64(image.Max.Y)) // no gaps by rounding
		c.FillPolygon(col, []vg.Point{{X: x, Y: y}, {X: x + barWidth, Y: y}, {X: x + barWidth, Y: vg.Length(top)}, {X: x, Y: vg.Length(top)}})
	}
	style := newPlot("", "", "").X.Tick.Label
	style.XAlign, style.YAlign = text.XLeft, text.YCenter
	for _, v := range []float64{s.low, (s.low + s.high) / 2, s.high} {
		y := image.Min.Y + height*vg.Length((v-s.low)/(s.high-s.low))
		c.FillText(style, vg.Point{X: x + barWidth + 4, Y: y}, label(rounded(v, s.high-s.low)))
	}
}

// rounded is v to three digits of a width.
func rounded(v, width float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(width))-2)
	if !(unit > 0) || math.IsInf(unit, 0) {
		return v
	}
	return math.Round(v/unit) * unit
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
