package report

import (
	"errors"
	"fmt"
	"html"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/internal/layered"
)

// Graph is how traces go from address to address; the first node is their start.
type Graph struct {
	Title, Caption string
	Nodes          []GraphNode
	Edges          []GraphEdge
}

// GraphNode is an address, or where traces start or end if it has no Role.
type GraphNode struct {
	Key           string // that others refer to it by
	Title, Second string // its two lines
	Role          string // controlled, uncontrolled, observed, tagged
	Tip           string // what is told of it when asked
}

// GraphEdge is a way from one node to another, by number.
type GraphEdge struct {
	From, To    int
	Probability float64
	PerTrace    float64
	Tip         string
}

// ErrTooMany says that a picture would show nothing.
var ErrTooMany = errors.New("too many nodes for a picture")

// MostNodes is how many nodes a picture of a graph has at most.
const MostNodes = 600

// look is the colours of a role: differing without colour by their line too.
type look struct {
	name       string
	fill, line color.RGBA
	width      float64
	dashes     []float64
}

var looks = []look{
	{"controlled", color.RGBA{214, 230, 244, 255}, blue, 1.2, nil},
	{"uncontrolled", color.RGBA{240, 240, 240, 255}, color.RGBA{118, 118, 118, 255}, 1.2, []float64{5, 3}},
	{"observed", color.RGBA{251, 227, 210, 255}, orange, 2.4, nil},
	{"tagged", color.RGBA{217, 239, 231, 255}, green, 1.4, []float64{1.5, 2.5}},
	{"", color.RGBA{255, 255, 255, 255}, ink, 1, nil},
}

func lookOf(role string) look {
	for _, l := range looks {
		if l.name == role {
			return l
		}
	}
	return looks[1]
}

// Sizes of a graph's parts, in points.
const (
	titleSize, secondSize, edgeSize = 11.0, 9.0, 8.5
	lineHeight                      = 14.0
	graphMargin                     = 16.0
	legendHeight                    = 24.0
)

// placed is a graph that is laid out; y grows downwards.
type placed struct {
	*Graph
	boxes         []layered.Node
	ways          []layered.Edge
	width, height float64
}

func (g *Graph) layout() (*placed, error) {
	if len(g.Nodes) > MostNodes {
		return nil, fmt.Errorf("%w: %d, at most %d can be drawn: show those of the largest weight (-n), or write a .dot", ErrTooMany, len(g.Nodes), MostNodes)
	}
	p := &placed{Graph: g}
	for _, n := range g.Nodes {
		w, h := math.Max(textWidth(n.Title, titleSize), textWidth(n.Second, secondSize))+20, lineHeight+8
		if n.Second != "" {
			h += lineHeight - 2
		}
		p.boxes = append(p.boxes, layered.Node{Width: math.Max(w, 44), Height: h})
	}
	for _, e := range g.Edges {
		p.ways = append(p.ways, layered.Edge{From: e.From, To: e.To, Weight: e.PerTrace})
	}
	p.width, p.height = layered.Layout(p.boxes, p.ways, layered.Gap{X: 22, Y: 34})
	right := p.width
	for i := range p.boxes {
		p.boxes[i].X += graphMargin
		p.boxes[i].Y += graphMargin + legendHeight
	}
	for _, e := range p.ways {
		for k := range e.Points {
			e.Points[k].X += graphMargin
			e.Points[k].Y += graphMargin + legendHeight
		}
		if e.From == e.To { // a loop goes out at the right
			right = math.Max(right, p.boxes[e.From].X+p.boxes[e.From].Width/2+40)
		}
	}
	p.width = math.Max(right+2*graphMargin, 360)
	p.height += 2*graphMargin + legendHeight + 20
	return p, nil
}

// textWidth is about how wide a text is in a font like Helvetica.
func textWidth(s string, size float64) float64 {
	return float64(plainText(size).Width(s)) * 1.04
}

func plainText(size float64) text.Style {
	style := text.Style{Font: sans, Handler: text.Plain{Fonts: font.DefaultCache}}
	style.Font.Size = vg.Length(size)
	return style
}

// curve is the way of an edge: its first point, and three control points for each piece that follows.
func (p *placed) curve(e *layered.Edge) (start layered.Point, pieces [][3]layered.Point) {
	if e.From == e.To {
		b := p.boxes[e.From]
		x, y := b.X+b.Width/2, b.Y
		return layered.Point{X: x, Y: y - 6}, [][3]layered.Point{{{X: x + 30, Y: y - 20}, {X: x + 30, Y: y + 20}, {X: x, Y: y + 6}}}
	}
	for k := 1; k < len(e.Points); k++ {
		a, b := e.Points[k-1], e.Points[k]
		half := (b.Y - a.Y) / 2
		pieces = append(pieces, [3]layered.Point{{X: a.X, Y: a.Y + half}, {X: b.X, Y: b.Y - half}, b})
	}
	return e.Points[0], pieces
}

// labelled is where the probability of an edge is written, whether it ends there rather than begins, and what; "" if it is the only way.
func (p *placed) labelled(i int) (at layered.Point, ends bool, s string) {
	e := &p.ways[i]
	if share := p.Edges[i].Probability; share < 1-1e-9 {
		s = percent(share)
	}
	start, pieces := p.curve(e)
	t, c := 0.4, pieces[0]
	if e.From == e.To {
		t = 0.5
	} else if e.Up { // beside those that come down
		c = pieces[len(pieces)-1]
		if len(pieces) > 1 {
			start = pieces[len(pieces)-2][2]
		}
		t = 0.6
	}
	u := 1 - t
	mix := func(a, b, c, d float64) float64 { return u*u*u*a + 3*u*u*t*b + 3*u*t*t*c + t*t*t*d }
	at = layered.Point{X: mix(start.X, c[0].X, c[1].X, c[2].X) + 4, Y: mix(start.Y, c[0].Y, c[1].Y, c[2].Y)}
	if ends = !e.Up && c[2].X < start.X-4; ends { // towards the left it is at the left
		at.X -= 8
	}
	return at, ends, s
}

func percent(share float64) string {
	switch {
	case share < 0.0005:
		return "<0.1 %"
	case share > 0.995:
		return ">99 %"
	case share < 0.1:
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// thickness of an edge.
func (e *GraphEdge) thickness() float64 { return 0.5 + 2.2*math.Min(1, e.PerTrace) }

// arrow is the head of an edge that ends with a piece, as a triangle.
func arrow(piece [3]layered.Point, thickness float64) (tip, left, right layered.Point) {
	dx, dy := piece[2].X-piece[1].X, piece[2].Y-piece[1].Y
	n := math.Hypot(dx, dy)
	if n == 0 {
		dx, dy, n = 0, 1, 1
	}
	dx, dy = dx/n, dy/n
	long, wide := 6+thickness, 2.5+thickness*0.7
	tip = piece[2]
	return tip, layered.Point{X: tip.X - long*dx - wide*dy, Y: tip.Y - long*dy + wide*dx}, layered.Point{X: tip.X - long*dx + wide*dy, Y: tip.Y - long*dy - wide*dx}
}

var edgeColor = color.RGBA{85, 85, 85, 255}

// SVG writes the graph for pages: nodes and edges are groups with a title, which browsers show, a class, and the keys of nodes.
func (g *Graph) SVG(w io.Writer) error {
	p, err := g.layout()
	if err != nil {
		return err
	}
	var b strings.Builder
	q := html.EscapeString
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="Helvetica,Arial,sans-serif" role="img">`+"\n", p.width, p.height, p.width, p.height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n", q(g.Title))
	x := graphMargin
	for _, l := range looks[:4] {
		fmt.Fprintf(&b, `<rect x="%.1f" y="10" width="16" height="11" rx="3" %s/><text x="%.1f" y="19" font-size="10" fill="#444444">%s</text>`+"\n", x, l.svg(), x+21, l.name)
		x += 34 + textWidth(l.name, 10)
	}
	for i := range p.ways {
		e := &p.ways[i]
		start, pieces := p.curve(e)
		fmt.Fprintf(&b, `<g class="edge" data-from="%s" data-to="%s"><title>%s</title><path d="M%.1f %.1f`, q(g.Nodes[e.From].Key), q(g.Nodes[e.To].Key), q(g.Edges[i].Tip), start.X, start.Y)
		for _, c := range pieces {
			fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", c[0].X, c[0].Y, c[1].X, c[1].Y, c[2].X, c[2].Y)
		}
		tip, left, right := arrow(pieces[len(pieces)-1], g.Edges[i].thickness())
		fmt.Fprintf(&b, `" fill="none" stroke="#555555" stroke-width="%.2f"/><path d="M%.1f %.1fL%.1f %.1fL%.1f %.1fZ" fill="#555555"/>`, g.Edges[i].thickness(), tip.X, tip.Y, left.X, left.Y, right.X, right.Y)
		if at, ends, s := p.labelled(i); s != "" {
			anchor := "start"
			if ends {
				anchor = "end"
			}
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="%g" text-anchor="%s" fill="#444444" stroke="#ffffff" stroke-width="3" paint-order="stroke">%s</text>`, at.X, at.Y, edgeSize, anchor, q(s))
		}
		b.WriteString("</g>\n")
	}
	for i, n := range g.Nodes {
		box := p.boxes[i]
		round := 5.0
		if n.Role == "" {
			round = box.Height / 2
		}
		fmt.Fprintf(&b, `<g class="node %s" data-key="%s"><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%.1f" %s/>`, n.Role, q(n.Key), q(n.Tip), box.X-box.Width/2, box.Y-box.Height/2, box.Width, box.Height, round, lookOf(n.Role).svg())
		y := box.Y + 4
		if n.Second != "" {
			y = box.Y - 2
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="%g" fill="#555555" text-anchor="middle">%s</text>`, box.X, box.Y+10, secondSize, q(n.Second))
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="%g" fill="#1f2328" text-anchor="middle">%s</text></g>`+"\n", box.X, y, titleSize, q(n.Title))
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="10" fill="#555555">%s</text>`+"\n</svg>\n", graphMargin, p.height-10, q(g.Caption))
	_, err = io.WriteString(w, b.String())
	return err
}

func (l look) svg() string {
	hex := func(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }
	out := fmt.Sprintf(`fill="%s" stroke="%s" stroke-width="%g"`, hex(l.fill), hex(l.line), l.width)
	if len(l.dashes) == 2 {
		out += fmt.Sprintf(` stroke-dasharray="%g %g"`, l.dashes[0], l.dashes[1])
	}
	return out
}

// Picture draws the graph into a file of one of the Formats.
func (g *Graph) Picture(path string) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	if strings.EqualFold(filepath.Ext(path), ".svg") {
		return disk.Replace(path, func(f *os.File) error { return g.SVG(f) })
	}
	p, err := g.layout()
	if err != nil {
		return err
	}
	return save(path, vg.Length(p.width), vg.Length(p.height), p.draw)
}

// draw is what SVG does, on paper, where y grows upwards.
func (p *placed) draw(c draw.Canvas) {
	pt := func(q layered.Point) vg.Point {
		return vg.Point{X: vg.Length(q.X), Y: vg.Length(p.height - q.Y)}
	}
	say := func(x, y, size float64, align text.XAlignment, ink color.Color, s string) {
		style := plainText(size)
		style.XAlign, style.YAlign, style.Color = align, text.YBottom, ink
		c.FillText(style, pt(layered.Point{X: x, Y: y}), s)
	}
	box := func(b layered.Node, round float64, l look) {
		x0, y0, x1, y1 := b.X-b.Width/2, b.Y-b.Height/2, b.X+b.Width/2, b.Y+b.Height/2
		var path vg.Path
		path.Move(pt(layered.Point{X: x0 + round, Y: y0}))
		for _, k := range [][4]float64{{x1, y0, 0, 1}, {x1, y1, -1, 0}, {x0, y1, 0, -1}, {x0, y0, 1, 0}} { // corners, and where it goes on from there
			before := layered.Point{X: k[0] + round*(k[3]*-1), Y: k[1] + round*k[2]}
			after := layered.Point{X: k[0] + round*k[2], Y: k[1] + round*k[3]}
			path.Line(pt(before))
			path.QuadTo(pt(layered.Point{X: k[0], Y: k[1]}), pt(after))
		}
		path.Close()
		c.SetColor(l.fill)
		c.Fill(path)
		c.SetColor(l.line)
		c.SetLineWidth(vg.Length(l.width))
		var dashes []vg.Length
		for _, d := range l.dashes {
			dashes = append(dashes, vg.Length(d))
		}
		c.SetLineDash(dashes, 0)
		c.Stroke(path)
		c.SetLineDash(nil, 0)
	}
	soft := color.RGBA{68, 68, 68, 255}
	x := graphMargin
	for _, l := range looks[:4] {
		box(layered.Node{X: x + 8, Y: 15.5, Width: 16, Height: 11}, 3, l)
		say(x+21, 19, 10, text.XLeft, soft, l.name)
		x += 34 + textWidth(l.name, 10)
	}
	for i := range p.ways {
		start, pieces := p.curve(&p.ways[i])
		var path vg.Path
		path.Move(pt(start))
		for _, k := range pieces {
			path.CubeTo(pt(k[0]), pt(k[1]), pt(k[2]))
		}
		c.SetColor(edgeColor)
		c.SetLineWidth(vg.Length(p.Edges[i].thickness()))
		c.Stroke(path)
		tip, left, right := arrow(pieces[len(pieces)-1], p.Edges[i].thickness())
		var head vg.Path
		head.Move(pt(tip))
		head.Line(pt(left))
		head.Line(pt(right))
		head.Close()
		c.Fill(head)
	}
	for i := range p.ways {
		if at, ends, s := p.labelled(i); s != "" {
			align := text.XLeft
			if ends {
				align = text.XRight
			}
			say(at.X, at.Y, edgeSize, align, soft, s)
		}
	}
	for i, n := range p.Nodes {
		b, round := p.boxes[i], 5.0
		if n.Role == "" {
			round = b.Height / 2
		}
		box(b, round, lookOf(n.Role))
		y := b.Y + 4
		if n.Second != "" {
			y = b.Y - 2
			say(b.X, b.Y+10, secondSize, text.XCenter, edgeColor, n.Second)
		}
		say(b.X, y, titleSize, text.XCenter, ink, n.Title)
	}
	say(graphMargin, p.height-10, 10, text.XLeft, edgeColor, p.Caption)
}
