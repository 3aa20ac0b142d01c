package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/page"
	"github.com/ppx-engine/ppx-engine/ppx"
)

func newReport() *cobra.Command {
	var o page.Options
	var out, from string
	var given []string
	c := &cobra.Command{
		Use:   "report [flags] RUN… -o FILE.html",
		Short: "Write a page about a result, in one file that opens anywhere",
		Long: `Write a page about one or several runs: how far they can be trusted, the table, histograms of the runs over one another, how variables lie together, the way of
particles or chains, how much of the weight few draws have, the network's training, which draws follow which, addresses and trace types, and what it takes to make
them again. A folder of replicates among the runs (ppx predict) is set beside the data. It is one file, without a network, for screens of any size and for paper.`,
		Example: "  ppx report RUN -o report.html\n  ppx report POSTERIOR PRIOR --var mu --var sigma --truth mu=7.2 -o both.html",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which run? Give a run directory")
			}
			if ext := strings.ToLower(out[max(0, strings.LastIndexByte(out, '.')):]); ext != ".html" && ext != ".htm" {
				return usagef("which file? Give -o FILE.html")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if o.Truths, err = knownTruths(c.Context(), from, given); err != nil {
				return err
			}
			var b bytes.Buffer
			if err := misused(page.Report(c.Context(), &b, args, o)); err != nil {
				return err
			}
			if err := disk.Replace(out, func(f *os.File) error {
				_, err := f.Write(b.Bytes())
				return err
			}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", out)
			return err
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&out, "output", "o", "", "file to write: .html")
	f.StringVar(&o.Title, "title", "", "of the page (default: what it is of)")
	f.StringArrayVar(&o.Vars, "var", nil, "variable to draw (repeatable; default: the first nine named ones)")
	f.StringArrayVar(&given, "truth", nil, "true value to mark, NAME=NUMBER (repeatable)")
	f.StringVar(&from, "truth-from", "", "mark the values of a recorded trace, RUN:DRAW")
	return c
}

// truths reads NAME=NUMBER, and returns the names.
func truths(given []string, into map[string]float64) (names []string, err error) {
	for _, g := range given {
		at := max(0, strings.LastIndexByte(g, '=')) // names may hold one
		v, err := strconv.ParseFloat(strings.TrimPrefix(g[at:], "="), 64)
		if err != nil || at == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, usagef("--truth %s: want NAME=NUMBER", ppx.Quote(g))
		}
		into[g[:at]] = v
		names = append(names, g[:at])
	}
	return names, nil
}
