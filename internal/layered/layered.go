// Package layered lays out directed graphs that have a direction of flow, as those of programs have, in layers from top to bottom (K. Sugiyama, S. Tagawa
// and M. Toda, "Methods for visual understanding of hierarchical system structures", 1981): edges that close a cycle go up, all others down.
package layered

import (
	"cmp"
	"math"
	"slices"
)

// Node is a box; X and Y, which Layout sets, are its middle.
type Node struct{ Width, Height, X, Y float64 }

// Edge is from one node to another, by number. Layout sets where it passes: a place at its nodes' sides, and a point in each layer between. Up tells that it
// closes a cycle. That of a node to itself has no points.
type Edge struct {
	From, To int
	Weight   float64 // heavier ones are straighter
	Points   []Point
	Up       bool
}

// Point is a place; y grows downwards.
type Point struct{ X, Y float64 }

// Gap are the distances that Layout keeps, between boxes of one layer and between layers.
type Gap struct{ X, Y float64 }

// bend is the width that an edge takes where it passes a layer.
const bend = 14

// Layout places nodes and edges, from (0, 0) to the size that it returns. The first node is where the flow begins. The same graph is laid out the same way.
func Layout(nodes []Node, edges []Edge, gap Gap) (width, height float64) {
	if len(nodes) == 0 {
		return 0, 0
	}
	l := &layout{gap: gap}
	for _, n := range nodes {
		l.cells = append(l.cells, cell{width: n.Width, height: n.Height})
	}
	upwards(len(nodes), edges)
	l.rank(edges)
	l.split(edges)
	l.order()
	l.straighten()
	width, height = l.size()
	for i := range nodes {
		nodes[i].X, nodes[i].Y = l.cells[i].x, l.cells[i].y
	}
	for i := range edges {
		l.route(&edges[i], l.paths[i])
	}
	spread(nodes, edges)
	return width, height
}

// upwards finds the edges that close a cycle, going from the first node along the heaviest edges first.
func upwards(nodes int, edges []Edge) {
	leaving := make([][]int, nodes)
	for i := range edges {
		edges[i].Up = false
		leaving[edges[i].From] = append(leaving[edges[i].From], i)
	}
	for _, list := range leaving {
		slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(edges[b].Weight, edges[a].Weight) })
	}
	const (
		fresh = iota
		open
		done
	)
	state, next := make([]int, nodes), make([]int, nodes)
	for root := range nodes {
		if state[root] != fresh {
			continue
		}
		state[root] = open
		for stack := []int{root}; len(stack) > 0; {
			at := stack[len(stack)-1]
			if next[at] == len(leaving[at]) {
				state[at] = done
				stack = stack[:len(stack)-1]
				continue
			}
			e := &edges[leaving[at][next[at]]]
			next[at]++
			switch state[e.To] {
			case open:
				e.Up = true
			case fresh:
				state[e.To] = open
				stack = append(stack, e.To)
			}
		}
	}
}

// cell is a box, or the place where an edge passes a layer.
type cell struct {
	width, height, x, y float64
	layer, place        int
	up, down            []link // to the layers above and below
}

type link struct {
	to     int
	weight float64
}

type layout struct {
	gap    Gap
	cells  []cell
	layers [][]int
	paths  [][]int // of each edge, the cells from top to bottom; nil for that of a node to itself
}

// ends are an edge's nodes, the upper one first.
func (e *Edge) ends() (top, bottom int) {
	if e.Up {
		return e.To, e.From
	}
	return e.From, e.To
}

// rank puts each node into the layer below all that lead to it.
func (l *layout) rank(edges []Edge) {
	below, above := make([][]int, len(l.cells)), make([]int, len(l.cells))
	for i := range edges {
		if a, b := edges[i].ends(); a != b {
			below[a] = append(below[a], b)
			above[b]++
		}
	}
	var ready []int
	for i, n := range above {
		if n == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		at := ready[0]
		ready = ready[1:]
		for len(l.layers) <= l.cells[at].layer {
			l.layers = append(l.layers, nil)
		}
		for _, b := range below[at] {
			l.cells[b].layer = max(l.cells[b].layer, l.cells[at].layer+1)
			if above[b]--; above[b] == 0 {
				ready = append(ready, b)
			}
		}
	}
	for i := range l.cells {
		l.place(i)
	}
}

func (l *layout) place(i int) {
	c := &l.cells[i]
	c.place = len(l.layers[c.layer])
	l.layers[c.layer] = append(l.layers[c.layer], i)
}

// split puts cells where edges pass layers.
func (l *layout) split(edges []Edge) {
	for i := range edges {
		a, b := edges[i].ends()
		if a == b {
			l.paths = append(l.paths, nil)
			continue
		}
		path := []int{a}
		for layer := l.cells[a].layer + 1; layer < l.cells[b].layer; layer++ {
			l.cells = append(l.cells, cell{width: bend, layer: layer})
			l.place(len(l.cells) - 1)
			path = append(path, len(l.cells)-1)
		}
		path = append(path, b)
		for k, from := range path[:len(path)-1] {
			w := (0.1 + edges[i].Weight) * []float64{1, 3, 8}[min(k, 1)+min(len(path)-2-k, 1)] // long edges are to be straight
			l.cells[from].down = append(l.cells[from].down, link{path[k+1], w})
			l.cells[path[k+1]].up = append(l.cells[path[k+1]].up, link{from, w})
		}
		l.paths = append(l.paths, path)
	}
}

const sweeps = 24

// order arranges the cells of each layer by the mean place of what they are linked to, down and up in turns, and keeps the arrangement with the fewest crossings.
func (l *layout) order() {
	best, fewest := l.copyLayers(), l.crossings()
	for s := 0; s < sweeps && fewest > 0; s++ {
		for k := 1; k < len(l.layers); k++ {
			layer := k
			if s%2 == 1 {
				layer = len(l.layers) - 1 - k
			}
			mean := make(map[int]float64, len(l.layers[layer]))
			for place, i := range l.layers[layer] {
				links := l.cells[i].up
				if s%2 == 1 {
					links = l.cells[i].down
				}
				mean[i] = float64(place)
				if len(links) > 0 {
					sum := 0.0
					for _, k := range links {
						sum += float64(l.cells[k.to].place)
					}
					mean[i] = sum / float64(len(links))
				}
			}
			slices.SortStableFunc(l.layers[layer], func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
			l.number(layer)
		}
		if n := l.crossings(); n < fewest {
			best, fewest = l.copyLayers(), n
		}
	}
	l.layers = best
	for k := range l.layers {
		l.number(k)
	}
}

func (l *layout) number(layer int) {
	for place, i := range l.layers[layer] {
		l.cells[i].place = place
	}
}

func (l *layout) copyLayers() (out [][]int) {
	for _, layer := range l.layers {
		out = append(out, slices.Clone(layer))
	}
	return out
}

// crossings counts the pairs of edges that cross, by the inversions of their lower ends in the order of the upper ones.
func (l *layout) crossings() (n int) {
	for _, layer := range l.layers {
		var ends []int
		for _, i := range layer {
			from := len(ends)
			for _, k := range l.cells[i].down {
				ends = append(ends, l.cells[k.to].place)
			}
			slices.Sort(ends[from:])
		}
		n += inversions(ends)
	}
	return n
}

// inversions counts the pairs of numbers in wrong order, and sorts them.
func inversions(x []int) int {
	if len(x) < 2 {
		return 0
	}
	a, b := slices.Clone(x[:len(x)/2]), slices.Clone(x[len(x)/2:])
	n := inversions(a) + inversions(b)
	for k := range x {
		if len(b) == 0 || len(a) > 0 && a[0] <= b[0] {
			x[k], a = a[0], a[1:]
		} else {
			n += len(a)
			x[k], b = b[0], b[1:]
		}
	}
	return n
}

// straighten moves cells towards the mean of what they are linked to, as far as those beside them let them.
func (l *layout) straighten() {
	for _, layer := range l.layers {
		at := 0.0
		for _, i := range layer {
			c := &l.cells[i]
			c.x = at + c.width/2
			at += c.width + l.gap.X
		}
		for _, i := range layer {
			l.cells[i].x -= at / 2
		}
	}
	for s := range 2 * sweeps {
		for k := range l.layers {
			if s%2 == 1 {
				k = len(l.layers) - 1 - k
			}
			l.relax(l.layers[k])
		}
	}
}

// relax moves the cells of a layer to where the squares of the distances from what they are linked to are least, in their order and apart from each other: with the
// least distances taken off that is an isotonic regression.
func (l *layout) relax(layer []int) {
	type block struct {
		sum, weight float64
		n           int
	}
	var blocks []block
	offset := 0.0
	for k, i := range layer {
		c := &l.cells[i]
		if k > 0 {
			offset += (l.cells[layer[k-1]].width+c.width)/2 + l.gap.X
		}
		b := block{sum: 1e-3 * (c.x - offset), weight: 1e-3, n: 1}
		for _, links := range [][]link{c.up, c.down} {
			for _, k := range links {
				b.sum += k.weight * (l.cells[k.to].x - offset)
				b.weight += k.weight
			}
		}
		for len(blocks) > 0 && blocks[len(blocks)-1].sum/blocks[len(blocks)-1].weight >= b.sum/b.weight {
			last := blocks[len(blocks)-1]
			b = block{b.sum + last.sum, b.weight + last.weight, b.n + last.n}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	offset = 0
	k := 0
	for _, b := range blocks {
		for range b.n {
			c := &l.cells[layer[k]]
			if k > 0 {
				offset += (l.cells[layer[k-1]].width+c.width)/2 + l.gap.X
			}
			c.x = b.sum/b.weight + offset
			k++
		}
	}
}

// size places layers below each other, moves all to begin at 0, and returns how large it is.
func (l *layout) size() (width, height float64) {
	left, right := math.Inf(1), math.Inf(-1)
	for k, layer := range l.layers {
		tall := 0.0
		for _, i := range layer {
			tall = math.Max(tall, l.cells[i].height)
		}
		if k > 0 {
			height += l.gap.Y
		}
		for _, i := range layer {
			c := &l.cells[i]
			c.y = height + tall/2
			left, right = math.Min(left, c.x-c.width/2), math.Max(right, c.x+c.width/2)
		}
		height += tall
	}
	for i := range l.cells {
		l.cells[i].x -= left
	}
	return right - left, height
}

// route sets the points of an edge, in its own direction.
func (l *layout) route(e *Edge, path []int) {
	e.Points = nil
	for k, i := range path {
		c := &l.cells[i]
		switch k {
		case 0:
			e.Points = append(e.Points, Point{c.x, c.y + c.height/2})
		case len(path) - 1:
			e.Points = append(e.Points, Point{c.x, c.y - c.height/2})
		default:
			e.Points = append(e.Points, Point{c.x, c.y})
		}
	}
	if e.Up {
		slices.Reverse(e.Points)
	}
}

// port is where an edge meets a side of a box.
type port struct {
	x    *float64
	next float64 // where the edge goes, or comes from
}

// spread moves the ends of edges that meet at a side of a box apart, in the order in which they go on.
func spread(nodes []Node, edges []Edge) {
	sides := make([][]port, 2*len(nodes)) // top and bottom of each
	for i := range edges {
		e := &edges[i]
		if k := len(e.Points); k > 0 {
			above, below := 2*e.To, 2*e.From+1
			if e.Up {
				above, below = 2*e.To+1, 2*e.From
			}
			sides[below] = append(sides[below], port{&e.Points[0].X, e.Points[1].X})
			sides[above] = append(sides[above], port{&e.Points[k-1].X, e.Points[k-2].X})
		}
	}
	for i, list := range sides {
		slices.SortStableFunc(list, func(a, b port) int { return cmp.Compare(a.next, b.next) })
		step := math.Min(widest, 0.7*nodes[i/2].Width/float64(len(list)))
		for k, p := range list {
			*p.x += step * (float64(k) - float64(len(list)-1)/2)
		}
	}
}

// widest is how far apart edges are at most where they meet a box.
const widest = 24
