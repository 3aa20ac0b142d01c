package report_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/report"
)

func chain(n int) *report.Graph {
	g := &report.Graph{Title: "a graph", Caption: "10 traces", Nodes: []report.GraphNode{{Key: "start", Title: "start"}}}
	for i := range n {
		g.Nodes = append(g.Nodes, report.GraphNode{Key: fmt.Sprintf("A%d", i+1), Title: fmt.Sprintf("x%d", i), Second: "Normal", Role: "controlled", Tip: "x"})
		g.Edges = append(g.Edges, report.GraphEdge{From: i, To: i + 1, Probability: 1, PerTrace: 1})
	}
	return g
}

// What comes from simulators is text in a picture, never a part of it.
func TestGraphOfHostileNames(t *testing.T) {
	g := chain(3)
	hostile := `</title><script>alert(1)</script>" onload="alert(1)&]]>`
	for i := range g.Nodes {
		g.Nodes[i].Title, g.Nodes[i].Second, g.Nodes[i].Tip, g.Nodes[i].Key = hostile, hostile, hostile, hostile
	}
	g.Title, g.Caption, g.Edges[0].Tip = hostile, hostile, hostile
	g.Edges = append(g.Edges, report.GraphEdge{From: 2, To: 1, Probability: 0.0001, PerTrace: 0.1}, report.GraphEdge{From: 2, To: 2, Probability: 0.3, PerTrace: 0.1})
	var b strings.Builder
	if err := g.SVG(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	texts := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err, b.String())
		}
		switch x := token.(type) {
		case xml.StartElement:
			if !strings.Contains("svg title rect g path text", x.Name.Local) {
				t.Errorf("element %s", x.Name.Local)
			}
			for _, a := range x.Attr {
				if strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("attribute %s", a.Name.Local)
				}
			}
		case xml.CharData:
			if strings.Contains(string(x), hostile) {
				texts++
			}
		}
	}
	if texts < 12 {
		t.Errorf("%d texts", texts)
	}
}

func TestGraphPictures(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"g.png", "g.pdf", "g.svg"} {
		path := filepath.Join(dir, name)
		if err := chain(4).Picture(path); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || len(b) < 1000 {
			t.Error(name, len(b), err)
		}
	}
	if err := chain(report.MostNodes).Picture(filepath.Join(dir, "many.svg")); !errors.Is(err, report.ErrTooMany) {
		t.Error(err)
	}
	if err := chain(report.MostNodes - 1).Picture(filepath.Join(dir, "many.svg")); err != nil {
		t.Error(err)
	}
	if err := (&report.Graph{}).Picture(filepath.Join(dir, "empty.svg")); err != nil { // a run without draws
		t.Error(err)
	}
}
