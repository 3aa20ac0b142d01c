// Package report draws pictures: loss curves, marginals, images.
package report

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours of all pictures: distinct for people who see no red or no green too (Okabe and Ito).
var (
	blue   = color.RGBA{0, 114, 178, 255}
	orange = color.RGBA{213, 94, 0, 255}
	green  = color.RGBA{0, 158, 115, 255}
	grey   = color.RGBA{150, 150, 150, 255}
	ink    = color.RGBA{40, 40, 40, 255}
	pale   = color.RGBA{225, 225, 225, 255}

	runColors = []color.RGBA{blue, green, grey}
)

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

// newPlot is an empty plot in our style.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(6)
	for _, s := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		size := s.Font.Size
		s.Font = sans
		s.Font.Size = size
		s.Color = ink
	}
	p.Title.TextStyle.Font.Size = 13
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = 11, 11
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size, p.Legend.TextStyle.Font.Size = 9.5, 9.5, 10
	p.X.LineStyle.Color, p.Y.LineStyle.Color = grey, grey
	p.X.Tick.LineStyle.Color, p.Y.Tick.LineStyle.Color = grey, grey
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{}
	p.BackgroundColor = color.White
	return p
}

// ticks are at multiples of 1, 2 or 5 times a power of ten, with labels that people like to read: 25,000 and 0.5, not 25000.00 and 0.500; with
// smaller ones between.
type ticks struct{}

func (ticks) Ticks(low, high float64) (out []plot.Tick) {
	if !(high > low) || math.IsInf(high-low, 0) {
		return plot.DefaultTicks{}.Ticks(low, high)
	}
	power := math.Pow(10, math.Floor(math.Log10((high-low)/2)))
	step, between := power, 5.0
	for _, m := range []struct{ step, between float64 }{{5, 5}, {2, 4}, {1, 5}} { // the largest of which three go in
		if step, between = m.step*power, m.between; math.Floor(high/step+1e-9)-math.Ceil(low/step-1e-9) >= 2 {
			break
		}
	}
	small := step / between
	for i := math.Ceil(low/small - 1e-9); i*small <= high+1e-9*small && len(out) < 100; i++ {
		t := plot.Tick{Value: i * small}
		if k := i / between; math.Abs(k-math.Round(k)) < 1e-9 {
			t.Value = math.Round(k) * step
			t.Label = label(t.Value)
		}
		out = append(out, t)
	}
	return out
}

func label(v float64) string {
	if v == 0 {
		v = 0 // and not −0
	}
	s := strconv.FormatFloat(v, 'g', 6, 64)
	whole, rest, _ := strings.Cut(s, ".")
	if strings.ContainsAny(s, "e") || len(strings.TrimPrefix(whole, "-")) < 5 {
		return strings.Replace(s, "-", "−", 1)
	}
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return strings.Replace(whole, "-", "−", 1)
}

// header writes a title at the top left of a page, and names in their colours at the right.
func header(c draw.Canvas, title string, names []string, colors []color.RGBA) {
	style := newPlot("", "", "").Title.TextStyle
	style.XAlign, style.YAlign, style.Font.Size = text.XLeft, text.YTop, 13
	y := c.Max.Y - 9
	c.FillText(style, vg.Point{X: 12, Y: y}, title)
	room := c.Max.X - 14 - 12 - style.Width(title) - 12
	style.Font.Size, style.XAlign = 10.5, text.XRight
	wide := vg.Length(0)
	for _, n := range names {
		wide += style.Width(n)*nameRoom + 16
	}
	if wide > room && room > 0 { // smaller rather than over each other
		style.Font.Size *= vg.Length(math.Max(0.5, float64(room/wide)))
	}
	x := c.Max.X - 14
	for i := len(names) - 1; i >= 0; i-- {
		style.Color = colors[i]
		c.FillText(style, vg.Point{X: x, Y: y}, names[i])
		x -= style.Width(names[i])*nameRoom + 16
	}
}

// nameRoom is how much wider than here letters may be where an .svg is looked at.
const nameRoom = 1.3

// grid draws faint lines behind the data.
func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = pale, pale
	g.Vertical.Width, g.Horizontal.Width = vg.Points(0.5), vg.Points(0.5)
	return g
}

// LossPoint is a point of a loss curve. NaN: none.
type LossPoint struct{ Traces, Loss, Validation float64 }

// LossCurve draws the loss, in nats, over the number of training traces.
func LossCurve(path, title string, points []LossPoint) error {
	p := newPlot(title, "training traces", "loss per trace (nats)")
	p.Add(grid())
	var train, held plotter.XYs
	for _, q := range points {
		if finite(q.Loss) {
			train = append(train, plotter.XY{X: q.Traces, Y: q.Loss})
		}
		if finite(q.Validation) {
			held = append(held, plotter.XY{X: q.Traces, Y: q.Validation})
		}
	}
	for _, c := range []struct {
		name  string
		xys   plotter.XYs
		color color.Color
	}{{"training", train, grey}, {"validation", held, blue}} {
		if len(c.xys) == 0 {
			continue
		}
		line, err := plotter.NewLine(c.xys)
		if err != nil {
			return err
		}
		line.Color, line.Width = c.color, vg.Points(1.6)
		p.Add(line)
		p.Legend.Add(c.name, line)
	}
	if len(held) > 0 {
		best := held[0]
		for _, q := range held {
			if q.Y < best.Y {
				best = q
			}
		}
		mark, err := plotter.NewScatter(plotter.XYs{best})
		if err != nil {
			return err
		}
		mark.Shape, mark.Color, mark.Radius = draw.CircleGlyph{}, orange, vg.Points(3.5)
		p.Add(mark)
		p.Legend.Add("best, kept", mark)
	}
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(3)
	return save(path, 6.4*vg.Inch, 3.8*vg.Inch, func(c draw.Canvas) { p.Draw(draw.Crop(c, 10, -14, 8, -8)) })
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Formats are the endings of the files that can be written.
var Formats = []string{".png", ".pdf", ".svg"}

// CheckPath reports a file whose ending names no format.
func CheckPath(path string) error {
	if !slices.Contains(Formats, strings.ToLower(filepath.Ext(path))) {
		return fmt.Errorf("%s: the ending says the format: want %s", path, strings.Join(Formats, ", "))
	}
	return nil
}

// save draws into a file of the format that its name ends in.
func save(path string, width, height vg.Length, f func(draw.Canvas)) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".pdf":
		c := vgpdf.New(width, height)
		f(draw.NewCanvas(c, width, height))
		return write(path, c)
	case ".svg":
		c := vgsvg.New(width, height)
		f(draw.NewCanvas(c, width, height))
		return write(path, c)
	}
	img := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(160), vgimg.UseBackgroundColor(color.White))
	f(draw.New(img))
	return write(path, vgimg.PngCanvas{Canvas: img})
}
