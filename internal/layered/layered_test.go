package layered

import (
	"math"
	"math/rand/v2"
	"testing"
)

func boxes(n int) (out []Node) {
	for i := range n {
		out = append(out, Node{Width: 40 + float64(i%3)*30, Height: 20})
	}
	return out
}

// check makes sure that no boxes overlap, and that edges go down but for those that close a cycle.
func check(t *testing.T, nodes []Node, edges []Edge, width, height float64) {
	t.Helper()
	for i, a := range nodes {
		if !(a.X-a.Width/2 >= -1e-6) || !(a.X+a.Width/2 <= width+1e-6) || !(a.Y-a.Height/2 >= -1e-6) || !(a.Y+a.Height/2 <= height+1e-6) {
			t.Errorf("node %d at %g, %g is outside of %g × %g", i, a.X, a.Y, width, height)
		}
		for j, b := range nodes[:i] {
			if math.Abs(a.X-b.X) < (a.Width+b.Width)/2-1e-6 && math.Abs(a.Y-b.Y) < (a.Height+b.Height)/2-1e-6 {
				t.Errorf("nodes %d and %d overlap", i, j)
			}
		}
	}
	for _, e := range edges {
		if e.From == e.To {
			continue
		}
		if down := nodes[e.From].Y < nodes[e.To].Y; down == e.Up {
			t.Errorf("edge %d to %d: up %v", e.From, e.To, e.Up)
		}
		for k := 1; k < len(e.Points); k++ {
			if down := e.Points[k-1].Y < e.Points[k].Y; down == e.Up {
				t.Errorf("edge %d to %d turns", e.From, e.To)
			}
		}
		if first, last := e.Points[0], e.Points[len(e.Points)-1]; math.Abs(first.X-nodes[e.From].X) > nodes[e.From].Width/2 || math.Abs(last.X-nodes[e.To].X) > nodes[e.To].Width/2 {
			t.Errorf("edge %d to %d does not lead from one to the other", e.From, e.To)
		}
	}
}

func TestLayout(t *testing.T) {
	// A loop: 0 → 1 → 2 → 1, 2 → 3, and 1 → 1.
	nodes := boxes(4)
	edges := []Edge{{From: 0, To: 1, Weight: 1}, {From: 1, To: 2, Weight: 1}, {From: 2, To: 1, Weight: .5}, {From: 2, To: 3, Weight: .5}, {From: 1, To: 1, Weight: .1}}
	w, h := Layout(nodes, edges, Gap{20, 30})
	check(t, nodes, edges, w, h)
	for i, up := range []bool{false, false, true, false} {
		if edges[i].Up != up {
			t.Errorf("edge %d: up %v", i, !up)
		}
	}
	if h != 4*20+3*30 || edges[4].Points != nil {
		t.Errorf("height %g, loop %v", h, edges[4].Points)
	}
	// What has no crossing gets none.
	nodes = boxes(7)
	edges = []Edge{{From: 0, To: 6}, {From: 0, To: 5}, {From: 0, To: 4}, {From: 6, To: 1}, {From: 5, To: 2}, {From: 4, To: 3}}
	w, h = Layout(nodes, edges, Gap{20, 30})
	check(t, nodes, edges, w, h)
	for _, p := range [][4]int{{6, 5, 1, 2}, {5, 4, 2, 3}, {6, 4, 1, 3}} {
		if (nodes[p[0]].X < nodes[p[1]].X) != (nodes[p[2]].X < nodes[p[3]].X) {
			t.Errorf("edges from %d and %d cross", p[0], p[1])
		}
	}
}

func TestLayoutOfAnyGraph(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + r.IntN(40)
		nodes := boxes(n)
		var edges []Edge
		for range r.IntN(3 * n) {
			edges = append(edges, Edge{From: r.IntN(n), To: r.IntN(n), Weight: r.Float64()})
		}
		w, h := Layout(nodes, edges, Gap{20, 30})
		check(t, nodes, edges, w, h)
		again := boxes(n)
		Layout(again, edges, Gap{20, 30})
		for i := range nodes {
			if nodes[i] != again[i] {
				t.Fatal("not the same twice")
			}
		}
	}
	if w, h := Layout(nil, nil, Gap{}); w != 0 || h != 0 {
		t.Error(w, h)
	}
}

func BenchmarkLayout(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	nodes := boxes(300)
	var edges []Edge
	for i := range 299 {
		edges = append(edges, Edge{From: i, To: i + 1, Weight: 1}, Edge{From: i, To: min(299, i+1+r.IntN(20)), Weight: .2})
	}
	for b.Loop() {
		Layout(nodes, edges, Gap{20, 30})
	}
}
