package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

func newTrace() *cobra.Command {
	return verbs("trace", "Inspect recorded traces",
		newTraceLs(), newTraceShow(), newTraceData(), newTraceTypes(), newTraceAddresses(), newTraceReplay())
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

// view is what the inspecting verbs share: a run to open, a length, a printer.
type view struct {
	json bool
	num  int
}

func (v *view) register(c *cobra.Command, num int, what string) {
	c.Flags().BoolVar(&v.json, "json", false, "print one JSON object")
	if num > 0 {
		c.Flags().IntVarP(&v.num, "num", "n", num, "how many "+what+" to list; 0: all")
	}
}

// rest says how many rows were left out.
func (v *view) rest(w io.Writer, total int) {
	if v.num > 0 && total > v.num {
		fmt.Fprintf(w, "… and %s more (-n 0 lists all)\n", thousands(uint64(total-v.num)))
	}
}

func (v *view) limit(total int) int {
	if v.num > 0 {
		return min(v.num, total)
	}
	return total
}

func newTraceLs() *cobra.Command {
	var v view
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
			w := c.OutOrStdout()
			if v.json {
				return printJSON(w, headsJSON(heads, total))
			}
			t := &table{header: []string{">draw", ">log weight", ">statements", "type", ">seconds", "result"}}
			for _, h := range heads {
				if h.Status == tracing.Failed {
					t.add(fmt.Sprint(h.Row), "failed", "", "", "", clip(h.Error, 100))
					continue
				}
				t.add(fmt.Sprint(h.Row), figure(h.LogWeight), fmt.Sprint(h.Length), typeName(h.Type), figure(h.Seconds), head(resultText(h.Result), 60))
			}
			t.print(w)
			v.rest(w, total)
			return nil
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

// resultText shows a result; a run may return none.
func resultText(t ppx.Tensor) string {
	if t.Data == nil {
		return "–"
	}
	return t.String()
}

func typeName(id uint64) string { return fmt.Sprintf("%016x", id) }

type headJSON struct {
	Row       uint64     `json:"row"`
	Chain     uint32     `json:"chain"`
	Step      uint64     `json:"step"`
	Draw      uint64     `json:"draw"`
	LogWeight number     `json:"log_weight"`
	Length    int        `json:"length"`
	Type      string     `json:"type"`
	Seconds   number     `json:"seconds"`
	Status    string     `json:"status"`
	Error     string     `json:"error,omitempty"`
	Result    tensorJSON `json:"result"`
}

// tensorJSON shows a tensor as shape and data; no value is null.
type tensorJSON ppx.Tensor

func (t tensorJSON) MarshalJSON() ([]byte, error) {
	if t.Data == nil {
		return []byte("null"), nil
	}
	var b strings.Builder
	if err := printJSON(&b, map[string]any{"shape": append([]int32{}, t.Shape...), "data": numbers(t.Data)}); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSpace(b.String())), nil
}

func numbers(v []float64) []number {
	out := make([]number, len(v))
	for i, x := range v {
		out[i] = number(x)
	}
	return out
}

func headsJSON(heads []rundir.Head, total int) any {
	out := struct {
		Schema int        `json:"schema"`
		Total  int        `json:"total"`
		Traces []headJSON `json:"traces"`
	}{schema, total, []headJSON{}}
	for _, h := range heads {
		out.Traces = append(out.Traces, headJSON{h.Row, h.Chain, h.Step, h.Draw, number(h.LogWeight), h.Length, typeName(h.Type), number(h.Seconds), h.Status.String(), h.Error, tensorJSON(h.Result)})
	}
	return out
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
	var v view
	c := &cobra.Command{
		Use:     "show [flags] RUN DRAW",
		Short:   "Show one trace statement by statement",
		Example: "  ppx trace show RUN 17",
		Args:    exactArgs(2, "a run directory and the number of a draw"),
		RunE: func(c *cobra.Command, args []string) error {
			_, t, err := recorded(args)
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			if v.json {
				return printJSON(w, traceJSON(t))
			}
			showTrace(w, t, &v)
			return nil
		},
	}
	v.register(c, 200, "statements")
	return c
}

type siteJSON struct {
	Index        int                   `json:"index"`
	Role         string                `json:"role"`
	Address      string                `json:"address"`
	Instance     uint32                `json:"instance"`
	Name         string                `json:"name"`
	Control      bool                  `json:"control"`
	Origin       string                `json:"origin"`
	Value        tensorJSON            `json:"value"`
	Distribution string                `json:"distribution,omitempty"`
	Params       map[string]tensorJSON `json:"params,omitempty"`
	LogP         number                `json:"log_p"`
	LogQ         number                `json:"log_q"`
}

func traceJSON(t *tracing.Trace) any {
	out := struct {
		Schema    int        `json:"schema"`
		Row       int64      `json:"row"`
		Chain     uint32     `json:"chain"`
		Step      uint64     `json:"step"`
		Draw      uint64     `json:"draw"`
		Status    string     `json:"status"`
		Error     string     `json:"error,omitempty"`
		LogWeight number     `json:"log_weight"`
		Type      string     `json:"type"`
		Result    tensorJSON `json:"result"`
		Sites     []siteJSON `json:"sites"`
	}{schema, t.Row, t.Chain, t.Lineage().Step, t.Draw, t.Status.String(), t.Error, number(t.LogWeight), typeName(t.Type()), tensorJSON(t.Result), []siteJSON{}}
	for i := range t.Entries {
		e := &t.Entries[i]
		d := t.Dist(i)
		s := siteJSON{Index: i, Role: tracing.Role(e.Op), Address: t.Table.Address(e.Address).Base, Instance: e.Instance, Name: t.Table.Name(e.Name),
			Control: e.Control, Origin: e.Origin.String(), Value: tensorJSON(t.Value(i)), LogP: number(e.LogP), LogQ: number(e.LogQ)}
		if d.Kind != dist.None {
			s.Distribution = d.Kind.String()
			s.Params = map[string]tensorJSON{}
			for k, p := range d.Kind.Params() {
				s.Params[p] = tensorJSON(d.Params[k])
			}
		}
		out.Sites = append(out.Sites, s)
	}
	return out
}

func showTrace(w io.Writer, t *tracing.Trace, v *view) {
	s := styled(w)
	fmt.Fprintf(w, "%s  log weight %s  %d statements  type %s\n", s.bold(fmt.Sprintf("draw %d", t.Draw)), figure(t.LogWeight), len(t.Entries), typeName(t.Type()))
	if t.Status == tracing.Failed {
		fmt.Fprintln(w, "given up:", ppx.Printable(t.Error))
		return
	}
	rows := &table{header: []string{">#", "statement", "name", ">value", "origin", ">log p", "distribution", "address"}}
	for i := range t.Entries[:v.limit(len(t.Entries))] {
		e := &t.Entries[i]
		op := tracing.Role(e.Op)
		if e.Op == ppx.Sample && !e.Control {
			op += " (no control)"
		}
		logP, origin := "", ""
		if e.Kind != dist.None {
			logP, origin = figure(e.LogP), e.Origin.String()
		}
		rows.add(fmt.Sprint(i), op, clip(t.Table.Name(e.Name), 24), head(t.Value(i).String(), 36), origin, logP, head(t.Dist(i).String(), 48), clip(t.Table.Label(e.Key), 64))
	}
	rows.print(w)
	v.rest(w, len(t.Entries))
	fmt.Fprintln(w, "result", resultText(t.Result))
}

func newTraceTypes() *cobra.Command {
	var v view
	c := &cobra.Command{
		Use:   "types [flags] RUN",
		Short: "List the trace types: which paths the simulator took, and how often",
		Args:  exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := rundir.Open(args[0], nil)
			if err != nil {
				return err
			}
			types, err := inspect.Types(c.Context(), r)
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			n := v.limit(len(types))
			if v.json {
				type typeJSON struct {
					Type       string `json:"type"`
					Traces     uint64 `json:"traces"`
					Weight     number `json:"weight"`
					Length     int    `json:"length"`
					Controlled int    `json:"controlled"`
					First      uint64 `json:"first_draw"`
				}
				list := []typeJSON{}
				for _, x := range types[:n] {
					list = append(list, typeJSON{typeName(x.ID), x.Traces, number(x.Weight), x.Length, x.Controlled, x.First})
				}
				return printJSON(w, map[string]any{"schema": schema, "total": len(types), "types": list})
			}
			t := &table{header: []string{"type", ">traces", ">weight", ">statements", ">controlled", ">first draw"}}
			for _, x := range types[:n] {
				t.add(typeName(x.ID), thousands(x.Traces), fmt.Sprintf("%.2f %%", 100*x.Weight), fmt.Sprint(x.Length), fmt.Sprint(x.Controlled), fmt.Sprint(x.First))
			}
			t.print(w)
			v.rest(w, len(types))
			return nil
		},
	}
	v.register(c, 20, "types")
	return c
}

func newTraceAddresses() *cobra.Command {
	var v view
	c := &cobra.Command{
		Use:   "addresses [flags] RUN",
		Short: "List the addresses: where in the simulator's code random numbers are drawn",
		Args:  exactArgs(1, "one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := rundir.Open(args[0], nil)
			if err != nil {
				return err
			}
			all, err := inspect.Addresses(c.Context(), r)
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			n := v.limit(len(all))
			if v.json {
				type addressJSON struct {
					ID        int      `json:"id"`
					Address   string   `json:"address"`
					Role      string   `json:"role"`
					Kind      string   `json:"kind"`
					Names     []string `json:"names"`
					Control   bool     `json:"control"`
					Traces    uint64   `json:"traces"`
					Visits    uint64   `json:"visits"`
					Instances uint32   `json:"instances"`
					Mean      number   `json:"mean"`
					SD        number   `json:"sd"`
				}
				list := []addressJSON{}
				for _, a := range all[:n] {
					list = append(list, addressJSON{a.ID, a.Base, tracing.Role(a.Op), kindName(a.Kind), append([]string{}, a.Names...), a.Control, a.Traces, a.Visits, a.Instances, number(a.Mean), number(a.SD)})
				}
				return printJSON(w, map[string]any{"schema": schema, "total": len(all), "addresses": list})
			}
			t := &table{header: []string{">id", "role", "kind", "names", ">traces", ">visits", ">most in one", ">mean", ">sd", "address"}}
			for _, a := range all[:n] {
				t.add(fmt.Sprint(a.ID), tracing.Role(a.Op), kindName(a.Kind), clip(strings.Join(a.Names, " "), 24), thousands(a.Traces), thousands(a.Visits),
					fmt.Sprint(a.Instances), figure(a.Mean), figure(a.SD), clip(a.Base, 80))
			}
			t.print(w)
			v.rest(w, len(all))
			return nil
		},
	}
	v.register(c, 50, "addresses")
	return c
}

func kindName(k dist.Kind) string {
	if k == dist.None {
		return ""
	}
	return k.String()
}

func newTraceReplay() *cobra.Command {
	var v view
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
			w := c.OutOrStdout()
			if v.json {
				list := []string{}
				for _, d := range diff {
					list = append(list, d.String())
				}
				if err := printJSON(w, map[string]any{"schema": schema, "draw": t.Draw, "same": len(diff) == 0, "differences": list, "statements": len(t.Entries)}); err != nil {
					return err
				}
			} else if len(diff) == 0 {
				fmt.Fprintf(w, "draw %d: the same %d statements, values and densities\n", t.Draw, len(t.Entries))
			} else {
				fmt.Fprintf(w, "draw %d differs from the recorded trace:\n", t.Draw)
				for _, d := range diff {
					fmt.Fprintln(w, "  "+d.String())
				}
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
