package report_test

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/report"
)

const (
	// dpi is the resolution of all pictures.
	dpi = 160
	// strokePixels is how far the outline of a bar, 1.5 points or 3.3 pixels wide, reaches beyond it: half of that, and a
	// pixel for smoothing.
	strokePixels = 3
	// headerPixels is what the title and the names of runs have at the top of a page of marginals.
	headerPixels = 34 * dpi / 72
)

// title is that of all pictures: names of models and of files may be anything.
const title = "\x00\x1b[31mred \xff\xfe\t $\\frac{1}{ %s%d%n \u202eabc\u2066 \U0001F600 日本語 é́́́"

// The hues that pixels are told apart by; grey ones, black and white included, have none.
const (
	none byte = iota
	blue
	green
	orange
)

// picture is a decoded file.
type picture struct {
	width, height int
	pix           []byte // red, green, blue and opacity
	hues          []byte
}

// open decodes a picture and checks that it has the size in inches, and that something is drawn.
func open(t *testing.T, path string, width, height float64) *picture {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	p := &picture{width: img.Bounds().Dx(), height: img.Bounds().Dy()}
	switch x := img.(type) {
	case *image.RGBA:
		p.pix = x.Pix
	case *image.NRGBA:
		p.pix = x.Pix
	default:
		t.Fatalf("a picture of type %T", img)
	}
	if w, h := width*dpi, height*dpi; math.Abs(float64(p.width)-w) > 1 || math.Abs(float64(p.height)-h) > 1 {
		t.Errorf("%d × %d pixels, want %g × %g", p.width, p.height, w, h)
	}
	if !slices.ContainsFunc(p.pix, func(v byte) bool { return v != 255 }) {
		t.Error("a blank picture")
	}
	p.hues = make([]byte, p.width*p.height)
	for i := range p.hues {
		p.hues[i] = hue(p.pix[4*i : 4*i+3])
	}
	return p
}

// hue of a pixel, also where it is mixed with white: the palest, a bar's fill, has 37 more of green than of red.
func hue(pixel []byte) byte {
	const clear = 20
	switch r, g, b := int(pixel[0]), int(pixel[1]), int(pixel[2]); {
	case b > r+clear && b >= g:
		return blue
	case g > r+clear && g > b:
		return green
	case r > b+clear && r > g:
		return orange
	}
	return none
}

// rows are the hues of a part of the picture. (What is done with them is quick also under the race detector.)
func (p *picture) rows(in image.Rectangle) (out [][]byte) {
	for y := in.Min.Y; y < in.Max.Y; y++ {
		out = append(out, p.hues[y*p.width+in.Min.X:y*p.width+in.Max.X])
	}
	return out
}

// region is the smallest part of a part of the picture that holds all pixels of a hue.
func (p *picture) region(hue byte, in image.Rectangle) (out image.Rectangle) {
	for y, row := range p.rows(in) {
		if x := bytes.IndexByte(row, hue); x >= 0 {
			out = out.Union(image.Rect(x, y, bytes.LastIndexByte(row, hue)+1, y+1).Add(in.Min))
		}
	}
	return out
}

// count of a hue's pixels.
func (p *picture) count(hue byte, in image.Rectangle) (n int) {
	for _, row := range p.rows(in) {
		n += bytes.Count(row, []byte{hue})
	}
	return n
}

func (p *picture) all() image.Rectangle { return image.Rect(0, 0, p.width, p.height) }

// page is a page of marginals without its header.
func (p *picture) page() image.Rectangle { return image.Rect(0, headerPixels, p.width, p.height) }

// column is the part of the picture one pixel wide at a fraction of a region's width.
func column(in image.Rectangle, at float64) image.Rectangle {
	x := in.Min.X + int(at*float64(in.Dx()))
	return image.Rect(x, in.Min.Y, x+1, in.Max.Y)
}

// bars draws the histogram of one variable.
func bars(t *testing.T, truth float64, runs ...[]report.Bin) *picture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.png")
	if err := report.Marginals(path, title, nil, []report.Marginal{{Name: "x", Runs: runs, Truth: truth}}); err != nil {
		t.Fatal(err)
	}
	return open(t, path, 3.3, 2.85)
}

var unknown = math.NaN()

// Bars are as high as their densities are to each other, also where their widths differ: here one is 9 times as dense
// as the other.
func TestBarsAreAsHighAsTheirDensities(t *testing.T) {
	for _, c := range []struct {
		bins      []report.Bin
		low, tall float64 // places of the bars, as fractions of the whole
	}{
		{[]report.Bin{{-3, -1, 0.9}, {-1, 1, 0.1}}, 0.75, 0.25},
		{[]report.Bin{{0, 0.2, 0.5}, {0.2, 2, 0.5}}, 0.6, 0.05}, // equal masses
	} {
		p := bars(t, unknown, c.bins)
		box := p.region(blue, p.page())
		low, tall := p.count(blue, column(box, c.low)), p.count(blue, column(box, c.tall))
		if math.Abs(float64(tall-9*low)) > 9*strokePixels {
			t.Errorf("%v: bars of %d and %d pixels, want one of 9 times the other", c.bins, low, tall)
		}
		if p.count(orange, p.all()) > 0 {
			t.Errorf("%v: a mark where no truth is known", c.bins)
		}
	}
}

// Single values are bars apart from each other, with the probabilities for heights.
func TestSingleValuesAreBarsApart(t *testing.T) {
	p := bars(t, unknown, []report.Bin{{3, 3, 0.25}, {4, 4, 0.5}, {5, 5, 0.25}})
	box := p.region(blue, p.page())
	at := func(x float64) int { return p.count(blue, column(box, (x-2.6)/2.8)) } // bars have width 0.8
	a, b, c := at(3), at(4), at(5)
	if a != c || math.Abs(float64(b-2*a)) > 2*strokePixels {
		t.Errorf("bars of %d, %d and %d pixels", a, b, c)
	}
	const base = 2 * strokePixels // the outline goes on along the axis
	if left, right := at(3.5), at(4.5); left > base || right > base {
		t.Errorf("%d and %d pixels between the bars", left, right)
	}
	// Values that are closer than 1 do not overlap.
	p = bars(t, unknown, []report.Bin{{0, 0, 0.5}, {0.1, 0.1, 0.5}})
	if n := p.count(blue, column(p.region(blue, p.page()), 0.5)); n > base {
		t.Errorf("%d pixels between the bars of 0 and 0.1", n)
	}
}

// The truth is a line at its place; it widens the picture where it lies outside.
func TestTruthIsMarked(t *testing.T) {
	p := bars(t, 0.5, []report.Bin{{0, 1, 0.5}, {1, 2, 0.5}})
	box, mark := p.region(blue, p.page()), p.region(orange, p.page())
	middle, want := float64(mark.Min.X+mark.Max.X)/2, float64(box.Min.X)+float64(box.Dx())/4
	if math.Abs(middle-want) > 2*strokePixels || mark.Dx() > 2*strokePixels || mark.Dy() < box.Dy() {
		t.Errorf("0.5 is marked at %v, want a line at %g", mark, want)
	}
	if p.count(orange, image.Rect(0, 0, p.width, headerPixels)) == 0 {
		t.Error("the header does not tell what the line is")
	}
	p = bars(t, 4, []report.Bin{{0, 1, 0.5}, {1, 2, 0.5}})
	box, mark = p.region(blue, p.page()), p.region(orange, p.page())
	if mark.Min.X < box.Max.X+box.Dx()*9/10 { // as far from the bars as they are wide
		t.Errorf("truth 4 is marked at %v, the bars from 0 to 2 are %v", mark, box)
	}
}

// The first run is filled, the second an outline over it, in the colours of their names.
func TestRunsAreDrawnOverEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.png")
	m := report.Marginal{Name: "x", Truth: unknown, Runs: [][]report.Bin{{{0, 1, 1}}, {{1, 2, 1}}}}
	if err := report.Marginals(path, title, []string{"first", "second"}, []report.Marginal{m}); err != nil {
		t.Fatal(err)
	}
	p := open(t, path, 3.3, 2.85)
	first, second := p.region(blue, p.page()), p.region(green, p.page())
	if math.Abs(float64(second.Min.X-first.Max.X)) > 4*strokePixels || math.Abs(float64(first.Dx()-second.Dx())) > 4*strokePixels {
		t.Errorf("the runs are at %v and %v, want them side by side", first, second)
	}
	if n, area := p.count(blue, first), first.Dx()*first.Dy(); n < area*9/10 {
		t.Errorf("the first run has %d of %d pixels filled", n, area)
	}
	// Two uprights and a top, each as wide as the outline.
	if n, most := p.count(green, second), 2*strokePixels*(second.Dx()+2*second.Dy()); n == 0 || n > most {
		t.Errorf("the second run has %d pixels, want an outline of at most %d", n, most)
	}
	header := image.Rect(0, 0, p.width, headerPixels)
	if a, b := p.region(blue, header), p.region(green, header); a.Empty() || b.Empty() || a.Max.X > b.Min.X {
		t.Errorf("the names of the runs are at %v and %v", a, b)
	}
}

// Every variable has a tile of its own, whatever its name.
func TestTilesOfManyVariables(t *testing.T) {
	names := []string{
		"", "\t\r", "\x00\x01\x1b[31mred", "\xff\xfe\xe9", "two\nlines", `$\frac{1}{`, "%s%d%n%!", "\u202eabc\u2066", "\U0001F600 日本語 é́́́",
	}
	for n, size := range map[int][2]int{3: {2, 2}, 9: {3, 3}} {
		columns, rows := size[0], size[1]
		path := filepath.Join(t.TempDir(), "m.png")
		var ms []report.Marginal
		for i := range n {
			ms = append(ms, report.Marginal{Name: names[i], Runs: [][]report.Bin{{{0, 1, 1}}}, Truth: unknown})
		}
		if err := report.Marginals(path, title, names, ms); err != nil {
			t.Fatal(err)
		}
		p := open(t, path, 3.3*float64(columns), 2.5*float64(rows)+0.35)
		for i := range columns * rows {
			if got := p.barred(i, columns, rows); got != (i < n) {
				t.Errorf("%d variables: tile %d has a bar: %v", n, i, got)
			}
		}
	}
}

// barred tells whether most of a tile is a bar; below it there are labels.
func (p *picture) barred(i, columns, rows int) bool {
	page := p.page()
	x, y := i%columns, i/columns
	tile := image.Rect(p.width*x/columns, page.Min.Y+page.Dy()*y/rows, p.width*(x+1)/columns, page.Min.Y+page.Dy()*(y+1)/rows)
	return p.count(blue, tile) > tile.Dx()*tile.Dy()/2
}

// Histograms of which nothing can be drawn are drawn as such, and bars fill the picture however narrow they are.
func TestDegenerateHistograms(t *testing.T) {
	for name, c := range map[string]struct {
		runs  [][]report.Bin
		truth float64
		bar   bool
	}{
		"no bins, a truth": {[][]report.Bin{nil, {}}, 3, false},
		"one value":        {[][]report.Bin{{{7, 7, 1}}}, unknown, true},
		"narrow":           {[][]report.Bin{{{1, 1 + 1e-15, 1}}}, unknown, true},
	} {
		if got := bars(t, c.truth, c.runs...).barred(0, 1, 1); got != c.bar {
			t.Errorf("%s: a bar: %v", name, got)
		}
	}
}

// What is no number cannot be drawn, and the picture of before stays.
func TestHistogramsThatCannotBeDrawn(t *testing.T) {
	inf := math.Inf(1)
	dir := t.TempDir()
	path := filepath.Join(dir, "m.png")
	if err := os.WriteFile(path, []byte("of before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]report.Marginal{
		"probability NaN": {Runs: [][]report.Bin{{{0, 1, unknown}}}, Truth: unknown},
		"edge NaN":        {Runs: [][]report.Bin{{{unknown, unknown, 1}}}, Truth: unknown},
		"edge infinite":   {Runs: [][]report.Bin{{{0, 1, 0.5}, {1, inf, 0.5}}}, Truth: unknown},
		"truth infinite":  {Runs: [][]report.Bin{{{0, 1, 1}}}, Truth: inf},
	} {
		if err := report.Marginals(path, title, nil, []report.Marginal{m}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "of before" {
		t.Errorf("the file is now %.20q, %v", b, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v are left, %v", files, err)
	}
}

// Names that are longer than the page, or have more lines, take the place of the picture, but there is one.
func TestLongNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.png")
	name := strings.Repeat(title, 5) + strings.Repeat("\n", 200)
	if err := report.Marginals(path, name, []string{name, name}, []report.Marginal{{Name: name, Runs: [][]report.Bin{{{0, 1, 1}}}, Truth: 0.5}}); err != nil {
		t.Error(err)
	}
	open(t, path, 3.3, 2.85)
	if err := report.Tensor(path, name, []float64{1, 2, 3, 4}, []int{2, 2}); err != nil {
		t.Error(err)
	}
	open(t, path, 3.8, 3.4)
}

// A file that cannot be written is an error, and leaves nothing.
func TestFilesThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	occupied := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(occupied, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing", "m.png")
	m := []report.Marginal{{Name: "x", Runs: [][]report.Bin{{{0, 1, 1}}}, Truth: unknown}}
	for what, err := range map[string]error{
		"marginals, no folder":      report.Marginals(missing, "", nil, m),
		"marginals, a folder there": report.Marginals(occupied, "", nil, m),
		"tensor, no folder":         report.Tensor(missing, "", []float64{1, 2}, []int{2}),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v are left, %v", files, err)
	}
}

// tensor draws one, and opens the picture.
func tensor(t *testing.T, data []float64, shape ...int) *picture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.png")
	if err := report.Tensor(path, title, data, shape); err != nil {
		t.Fatal(err)
	}
	size := map[int][2]float64{1: {6, 3.4}, 2: {3.8, 3.4}, 3: {11, 3.4}}[len(shape)]
	return open(t, path, size[0], size[1])
}

// blueness of the middle of a cell of a matrix that fills a region, the first row uppermost: 0 is white, more is more.
func (p *picture) blueness(in image.Rectangle, row, column, rows, columns int) int {
	x := in.Min.X + in.Dx()*(2*column+1)/(2*columns)
	y := in.Min.Y + in.Dy()*(2*row+1)/(2*rows)
	return 255 - int(p.pix[4*(y*p.width+x)]) // from white over light to dark blue, red falls all the way
}

// withoutBar leaves the colour bar, 9 points wide and 8 from the image, out of the region of an image's colours.
func withoutBar(in image.Rectangle) image.Rectangle {
	in.Max.X -= 17*dpi/72 + 1
	return in
}

// A matrix is an image, each cell the darker the larger it is; small ones are drawn cell by cell, large ones as a raster.
func TestMatrixIsAnImage(t *testing.T) {
	// The corners that are not zero tell where the image is.
	cells := [3][4]float64{{1, 0, 0, 2}, {0, 3, 0, 0}, {2.5, 0, 0, 4}}
	for _, block := range []int{1, 20} { // 12 numbers, and 4,800
		rows, columns := 3*block, 4*block
		data := make([]float64, 0, rows*columns)
		for r := range rows {
			for c := range columns {
				data = append(data, cells[r/block][c/block])
			}
		}
		p := tensor(t, data, rows, columns)
		box := withoutBar(p.region(blue, p.all()))
		if box.Dx() < p.width/2 || math.Abs(float64(box.Dx())/float64(box.Dy())-4.0/3) > 0.03 {
			t.Errorf("%d × %d: the image is %v, its cells are no squares", rows, columns, box)
		}
		for r, row := range cells {
			for c, v := range row {
				got := p.blueness(box, r, c, 3, 4)
				for r2, row2 := range cells {
					for c2, v2 := range row2 {
						if other := p.blueness(box, r2, c2, 3, 4); v < v2 && got >= other || v == v2 && got != other {
							t.Errorf("%d × %d: cell %d,%d with %g is drawn as %d, cell %d,%d with %g as %d", rows, columns, r, c, v, got, r2, c2, v2, other)
						}
					}
				}
			}
		}
	}
}

// A matrix with both signs is red above zero and blue below, the colour bar too; however little is below zero is seen to be so.
func TestMatrixWithSigns(t *testing.T) {
	p := tensor(t, []float64{-1, 0, 0, 1}, 2, 2)
	box := withoutBar(p.region(blue, p.all()).Union(p.region(orange, p.all())))
	below, above := p.region(blue, box), p.region(orange, box)
	if below.Empty() || above.Empty() || below.Max.X > above.Min.X+1 || below.Max.Y > above.Min.Y+1 {
		t.Errorf("−1 is drawn at %v, 1 at %v", below, above)
	}
	bar := image.Rect(box.Max.X+2, 0, p.width, p.height)
	if low, high := p.region(blue, bar), p.region(orange, bar); low.Empty() || high.Empty() || high.Max.Y > low.Min.Y+1 {
		t.Errorf("the colour bar is blue at %v, red at %v", low, high)
	}
}

// A volume is its sums along each axis, side by side.
func TestVolumeIsThreeProjections(t *testing.T) {
	const a, b, c = 2, 3, 4
	data := make([]float64, a*b*c)
	set := func(i, j, k int, v float64) { data[(i*b+j)*c+k] = v }
	set(0, 0, 0, 2) // two opposite corners tell where the projections are
	set(a-1, b-1, c-1, 3)
	set(0, 1, 2, 4)
	set(1, 1, 2, 2) // behind the one before, from the front
	p := tensor(t, data, a, b, c)
	for i, view := range []struct {
		rows, columns int
		sums          map[[2]int]float64 // by row and column; 0 elsewhere
	}{
		{b, c, map[[2]int]float64{{0, 0}: 2, {1, 2}: 6, {2, 3}: 3}},
		{b, a, map[[2]int]float64{{0, 0}: 2, {1, 0}: 4, {1, 1}: 2, {2, 1}: 3}},
		{a, c, map[[2]int]float64{{0, 0}: 2, {0, 2}: 4, {1, 2}: 2, {1, 3}: 3}},
	} {
		box := withoutBar(p.region(blue, image.Rect(p.width*i/3, 0, p.width*(i+1)/3, p.height)))
		for r := range view.rows {
			for k := range view.columns {
				got, sum := p.blueness(box, r, k, view.rows, view.columns), view.sums[[2]int{r, k}]
				if (got > 0) != (sum > 0) {
					t.Errorf("view %d: cell %d,%d with %g is drawn as %d", i, r, k, sum, got)
				}
				for at, other := range view.sums {
					if x := p.blueness(box, at[0], at[1], view.rows, view.columns); sum > other && got <= x {
						t.Errorf("view %d: cell %d,%d with %g is drawn as %d, %v with %g as %d", i, r, k, sum, got, at, other, x)
					}
				}
			}
		}
	}
}

// A vector is its values in order.
func TestVectorIsACurve(t *testing.T) {
	p := tensor(t, []float64{0, 0, 0, 10, 10, 10}, 6)
	box := p.region(blue, p.all())
	left, right := p.region(blue, column(box, 0.2)), p.region(blue, column(box, 0.8)) // between elements 1 and 2, and 3 and 4
	if left.Min.Y < box.Max.Y-box.Dy()/4 || right.Max.Y > box.Min.Y+box.Dy()/4 {
		t.Errorf("the curve is at %v on the left, at %v on the right, of %v", left, right, box)
	}
}

// Tensors without any number are drawn as such; those of other dimensions are refused, in words.
func TestTensorsAtTheEdges(t *testing.T) {
	tensor(t, nil, 0, 3)
	tensor(t, nil, 2, 0, 2)
	for shape, data := range map[string][]float64{"[]": {1}, "[1 1 1 1]": {1}} {
		var dims []int
		if shape != "[]" {
			dims = []int{1, 1, 1, 1}
		}
		path := filepath.Join(t.TempDir(), "t.png")
		if err := report.Tensor(path, "", data, dims); err == nil || !strings.Contains(err.Error(), "shape "+shape) {
			t.Errorf("shape %s: %v", shape, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("shape %s: there is a file", shape)
		}
	}
}

// loss draws a curve, and opens the picture.
func loss(t *testing.T, points ...report.LossPoint) *picture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loss.png")
	if err := report.LossCurve(path, title, points); err != nil {
		t.Fatal(err)
	}
	return open(t, path, 6.4, 3.8)
}

// The validation's curve goes where the numbers go, and its lowest point is marked.
func TestLossCurveMarksTheBest(t *testing.T) {
	for name, c := range map[string]struct {
		validation []float64
		best       float64 // where, as a fraction of the width
	}{
		"falling":          {[]float64{10, 6, 3, 1, 0}, 1},
		"rising, and gaps": {[]float64{10, unknown, 0, unknown, 6}, 0.5},
	} {
		var points []report.LossPoint
		for i, v := range c.validation {
			points = append(points, report.LossPoint{Traces: 1000 * float64(i), Loss: 5, Validation: v})
		}
		p := loss(t, points...)
		// The legend is in the upper quarter at the right, where none of these curves is.
		curve := p.region(blue, image.Rect(0, 0, p.width/2, p.height)).Union(p.region(blue, image.Rect(0, p.height/4, p.width, p.height)))
		mark := p.region(orange, image.Rect(0, p.height/4, p.width, p.height))
		got, want := float64(mark.Min.X+mark.Max.X)/2, float64(curve.Min.X)+c.best*float64(curve.Dx())
		// The mark has a radius of 3.5 points.
		if mark.Empty() || math.Abs(got-want) > 3.5*dpi/72+strokePixels || mark.Max.Y < curve.Max.Y {
			t.Errorf("%s: the best is marked at %v, want %g from the left at the bottom of %v", name, mark, want, curve)
		}
		if first := p.region(blue, column(curve, 0.01)); first.Min.Y > curve.Min.Y+curve.Dy()/10 {
			t.Errorf("%s: the curve begins at %v, want the top of %v", name, first, curve)
		}
	}
}

// A curve of which there are no points is not drawn, nor is its name.
func TestLossCurveWithoutPoints(t *testing.T) {
	if p := loss(t, report.LossPoint{1, 3, unknown}, report.LossPoint{2, 1, unknown}); p.count(blue, p.all())+p.count(orange, p.all()) > 0 {
		t.Error("a validation that was not made is drawn")
	}
	loss(t)
}
