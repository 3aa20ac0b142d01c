package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

func newTrace() *cobra.Command {
	return verbs("trace", "Inspect recorded traces",
		newTraceLs(), newTraceShow(), newTraceData(), newTraceTypes(), newTraceAddresses(), newTraceGraph(), newTraceGrep(), newTraceHist(), newTracePairs(), newTraceDiff(), newTraceReplay(), newTraceIntervene(), newTraceWhy())
}

// verbs is a command that only has others.
func verbs(use, short string, list ...*cobra.Command) *cobra.Command {
	var names []string
	for _, v := range list {
		names = append(names, v.Name())
	}
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%s has no verb %s; it has %s", use, ppx.Quote(args[0]), strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(list...)
	return c
}

// listing is what the inspecting verbs share.
type listing struct {
	json bool
	num  int
}

func (v *listing) register(c *cobra.Command, num int, what string) {
	c.Flags().BoolVar(&v.json, "json", false, "print one JSON object")
	if num > 0 {
		c.Flags().IntVarP(&v.num, "num", "n", num, "how many "+what+" to list; 0: all")
	}
}

func newTraceLs() *cobra.Command {
	var v listing
	var sort string
	c := &cobra.Command{
		Use:     "ls [flags] RUN",
		Short:   "List the traces of a run",
		Example: "  ppx trace ls RUN --sort weight",
		Args:    exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := rundir.Open(args[0], nil)
			if err != nil {
				return err
			}
			heads, total, err := listHeads(c.Context(), r, sort, v.num)
			if err != nil {
				return err
			}
			return print(c, view.NewHeads(heads, total), v.json)
		},
	}
	v.register(c, 20, "traces")
	c.Flags().StringVar(&sort, "sort", "draw", "order: draw, weight (largest first), length (longest first)")
	return c
}

// listHeads keeps at most num traces in memory, unless all are wanted.
func listHeads(ctx context.Context, r *rundir.Reader, sort string, num int) (out []rundir.Head, total int, err error) {
	var order func(a, b rundir.Head) int
	switch sort {
	case "draw":
	case "weight":
		order = func(a, b rundir.Head) int {
			return cmp.Or(cmp.Compare(b.LogWeight, a.LogWeight), cmp.Compare(b.LogWeightRest, a.LogWeightRest), cmp.Compare(a.Row, b.Row))
		}
	case "length":
		order = func(a, b rundir.Head) int {
			return cmp.Or(cmp.Compare(b.Length, a.Length), cmp.Compare(a.Row, b.Row))
		}
	default:
		return nil, 0, usagef("--sort %s: want draw, weight or length", ppx.Quote(sort))
	}
	for h, err := range r.Heads(ctx) {
		if err != nil {
			return nil, 0, err
		}
		total++
		if num > 0 && order == nil && len(out) == num {
			continue
		}
		out = append(out, h)
		if num > 0 && len(out) >= 2*num+1000 {
			slices.SortFunc(out, order)
			out = out[:num]
		}
	}
	if order != nil {
		slices.SortFunc(out, order)
	}
	if num > 0 && len(out) > num {
		out = out[:num]
	}
	return out, total, nil
}

// recorded opens a run and reads one draw.
func recorded(args []string) (*rundir.Reader, *tracing.Trace, error) {
	draw, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return nil, nil, usagef("%s is no number of a draw", ppx.Quote(args[1]))
	}
	r, err := rundir.Open(args[0], nil)
	if err != nil {
		return nil, nil, err
	}
	t, err := r.Row(draw)
	return r, t, err
}

func newTraceShow() *cobra.Command {
	var v listing
	c := &cobra.Command{
		Use:     "show [flags] RUN DRAW",
		Short:   "Show one trace statement by statement",
		Example: "  ppx trace show RUN 17",
		Args:    exactArgs(2, "a run directory and the number of a draw"),
		RunE: func(c *cobra.Command, args []string) error {
			r, t, err := recorded(args)
			if err != nil {
				return err
			}
			x := view.NewTrace(t, inspect.Places(r))
			find, _ := view.LocatorOf(r.Manifest)
			x.Locate(find)
			if v.json {
				return view.JSON(c.OutOrStdout(), x)
			}
			x.Text(c.OutOrStdout(), v.num)
			return nil
		},
	}
	v.register(c, 200, "statements")
	return c
}

func newTraceTypes() *cobra.Command {
	var v listing
	c := &cobra.Command{
		Use:   "types [flags] RUN",
		Short: "List the trace types: which paths the simulator took, and how often",
		Args:  exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := inspect.Open(c.Context(), args[0])
			if err != nil {
				return err
			}
			types, err := r.Types(c.Context())
			if err != nil {
				return err
			}
			return print(c, view.NewTypes(types, r.Damaged, v.num), v.json)
		},
	}
	v.register(c, 20, "types")
	return c
}

func newTraceAddresses() *cobra.Command {
	var v listing
	c := &cobra.Command{
		Use:   "addresses [flags] RUN",
		Short: "List the addresses: where in the simulator's code random numbers are drawn",
		Args:  exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := inspect.Open(c.Context(), args[0])
			if err != nil {
				return err
			}
			all, err := r.Folded(c.Context())
			if err != nil {
				return err
			}
			x := view.NewAddresses(all, r.Damaged, v.num)
			find, note := view.LocatorOf(r.Manifest)
			x.Locate(find)
			if note != "" && !v.json {
				defer fmt.Fprintln(os.Stderr, "ppx: "+note)
			}
			return print(c, x, v.json)
		},
	}
	v.register(c, 50, "addresses")
	return c
}

func newTraceReplay() *cobra.Command {
	var v listing
	var sim simulator
	c := &cobra.Command{
		Use:   "replay [flags] RUN DRAW [--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}]]",
		Short: "Run the simulator again with the values of a recorded trace, and compare",
		Long: `Run the simulator again with the values of a recorded trace: to look at that run with a debugger or with the
simulator's own output, and to see whether the simulator still does the same. Without one, it is the simulator of the run.`,
		Example: "  ppx trace replay RUN 17\n  ppx trace replay RUN 17 -- gdb --args ./simulator {endpoint}",
		Args: func(c *cobra.Command, args []string) error {
			own, _ := splitDash(c, args)
			return exactArgs(2, "a run directory and the number of a draw")(c, own)
		},
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitDash(c, args)
			sim.workers = "1"
			_, recorded, err := recorded(own)
			if err != nil {
				return err
			}
			o, err := sim.of(own[0], command, remark)
			if err != nil {
				return err
			}
			if recorded.Status == tracing.Failed {
				return fmt.Errorf("draw %d was given up: there is nothing to replay (%s)", recorded.Draw, ppx.Printable(recorded.Error))
			}
			pool, err := engine.Open(c.Context(), o)
			if err != nil {
				return err
			}
			defer pool.Close()
			stack := engine.Stack{control.NewReplay(recorded), control.Prior{}}
			t, err := pool.Execute(c.Context(), engine.Task{Draw: engine.Draw{Index: recorded.Draw}, Stack: func(engine.Draw) engine.Stack { return stack }})
			if err != nil {
				return err
			}
			diff := inspect.Compare(recorded, t, 0)
			if err := print(c, view.NewReplay(recorded, t, diff), v.json); err != nil {
				return err
			}
			if len(diff) > 0 {
				return errShown
			}
			return nil
		},
	}
	v.register(c, 0, "")
	sim.register(c.Flags(), false)
	return c
}
