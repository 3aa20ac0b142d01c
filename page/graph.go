package page

import (
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/view"
)

// Graph is the picture of a graph of traces.
func Graph(x *view.Graph) *report.Graph {
	out := &report.Graph{Title: "how traces go from address to address", Caption: x.About()}
	number := map[string]int{}
	for i := range x.Nodes {
		n := &x.Nodes[i]
		number[n.Key] = i
		node := report.GraphNode{Key: n.Key, Title: n.Key}
		if n.Address != nil {
			node.Title, node.Second, node.Tip, node.Role = n.Lines(28)
		}
		out.Nodes = append(out.Nodes, node)
	}
	for _, e := range x.Edges {
		out.Edges = append(out.Edges, report.GraphEdge{From: number[e.From], To: number[e.To], Probability: float64(e.Probability), PerTrace: float64(e.PerTrace), Tip: e.Tip()})
	}
	return out
}
