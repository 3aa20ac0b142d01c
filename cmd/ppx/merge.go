package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

func newMerge() *cobra.Command {
	var out string
	var quiet bool
	var show shown
	c := &cobra.Command{
		Use:   "merge [flags] RUN… -o OUT",
		Short: "Join runs of neighbouring draws into the one that a single job would have left",
		Long: `Join the shards of one job: runs with the same settings, seed and data, each of which has made other draws of it (--first). The result is the
run directory that one job would have left, to the bit, but for times and hosts.`,
		Example: `  ppx infer --seed 7 --first 0      -n 500000 --observe x=8 --out a -- ./sim {endpoint}    # on one machine
  ppx infer --seed 7 --first 500000 -n 500000 --observe x=8 --out b -- ./sim {endpoint}    # on another
  ppx merge a b -o whole`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which runs? Give run directories, and -o OUT")
			}
			if out == "" {
				return usagef("into which folder? Give -o OUT")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			total, done := uint64(0), uint64(0)
			for _, path := range args {
				total += rundir.Rows(path)
			}
			p := newProgress(quiet, false, func() string { return "" })
			say := throttle(p.every())
			err := jobs.Merge(c.Context(), args, out, func(*tracing.Trace) error {
				if done++; say() {
					p.line(float64(done)/float64(max(1, total)), fmt.Sprintf("%s/%s traces", text.Thousands(done), text.Thousands(total)))
				}
				return nil
			})
			p.done()
			switch {
			case errors.Is(err, rundir.ErrMerge):
				err = usageError{err}
			case errors.Is(err, rundir.ErrExists):
				err = usagef("%w; give another -o", err)
			}
			if err != nil {
				return err
			}
			o, err := jobs.Summarise(c.Context(), out, show.full)
			if err != nil {
				return err
			}
			if !quiet && !show.json {
				fmt.Fprintf(os.Stderr, "ppx: %s draws of %d runs are in %s\n", text.Thousands(done), len(args), out)
			}
			return show.print(c.OutOrStdout(), view.NewPosterior(o))
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&out, "output", "o", "", "run directory to write")
	show.register(c)
	f.BoolVar(&quiet, "quiet", false, "no progress")
	return c
}
