package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/page"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/view"
)

func newTraceGraph() *cobra.Command {
	var v listing
	var o inspect.GraphOptions
	var out string
	var of []string
	c := &cobra.Command{
		Use:   "graph [flags] RUN",
		Short: "Show how traces go from address to address",
		Long: `Show how traces go from address to address, by their weights: which draws follow which, where the ways part, what is a loop. The
picture has an address for a node (blue: controlled, grey: not, orange: observed, green: tagged), and the probability of each way.`,
		Example: "  ppx trace graph RUN -o graph.svg\n  ppx trace graph RUN --type T1\n  ppx trace graph RUN -n 0 -o all.dot",
		Args:    exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			if out != "" && filepath.Ext(out) != ".dot" && report.CheckPath(out) != nil {
				return usagef("-o %s: want a file .svg, .png, .pdf or .dot", ppx.Quote(out))
			}
			for _, name := range of {
				op, ok := tracing.OpByRole(name)
				if !ok {
					return usagef("--of %s: want sample, observe or tag", ppx.Quote(name))
				}
				o.Ops = append(o.Ops, op)
			}
			r, err := inspect.Open(c.Context(), args[0])
			if err != nil {
				return err
			}
			o.Most = v.num
			g, err := r.Graph(c.Context(), o)
			if err != nil {
				return err
			}
			x := view.NewGraph(args[0], o.Type, g, r.Damaged)
			find, _ := view.LocatorOf(r.Manifest)
			x.Locate(find)
			if out == "" {
				return print(c, x, v.json)
			}
			if filepath.Ext(out) != ".dot" {
				err := page.Graph(x).Picture(out)
				if errors.Is(err, report.ErrTooMany) {
					return usageError{err}
				}
				return err
			}
			var dot bytes.Buffer
			x.DOT(&dot)
			return disk.Replace(out, func(f *os.File) error {
				_, err := f.Write(dot.Bytes())
				return err
			})
		},
	}
	v.register(c, 40, "addresses")
	f := c.Flags()
	f.StringVar(&o.Type, "type", "", "only traces of one type, as trace types calls it: T1")
	f.StringSliceVar(&of, "of", []string{"sample", "observe"}, "kinds of statements: sample, observe, tag")
	f.StringVarP(&out, "output", "o", "", "file to write: .svg, .png, .pdf, or .dot for Graphviz")
	return c
}
