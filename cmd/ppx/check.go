package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine/conform"
	"github.com/ppx-engine/ppx-engine/ppx"
)

func newCheck() *cobra.Command {
	var sim simulator
	var asJSON bool
	var seed uint64
	var statements int
	c := &cobra.Command{
		Use:   "check [flags] (--connect ENDPOINT | -- COMMAND [ARGS with {endpoint}])",
		Short: "Judge a simulator's client by the rules of the protocol",
		Long: `Talk to one copy of the simulator and judge its client: the handshake, one run statement by statement, every
rule of the protocol, determinism when the same values are replayed, and speed. For authors of clients, and
for the first minute with a new simulator.`,
		Example: `  ppx check -- ./simulator {endpoint}
  ppx check --connect tcp://127.0.0.1:5555 --json`,
		Args: commandOnly,
		RunE: func(c *cobra.Command, args []string) error {
			_, command := splitDash(c, args)
			o, err := sim.options(command, remark)
			if err != nil {
				return err
			}
			if len(o.Connect) > 1 {
				return usagef("check talks to one simulator, got %d endpoints", len(o.Connect))
			}
			rep, err := conform.Check(c.Context(), o, seed)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), checkJSON(rep))
			} else {
				printCheck(c.OutOrStdout(), rep, statements)
			}
			if err == nil && !rep.Passed() {
				return errShown
			}
			return err
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.Uint64Var(&seed, "seed", 1, "random seed of the runs")
	f.IntVar(&statements, "statements", 30, "how many statements of the run to show")
	sim.register(f, false)
	return c
}

type ruleJSON struct {
	Rule   string `json:"rule"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func checkJSON(rep *conform.Report) any {
	out := struct {
		Schema     int        `json:"schema"`
		Passed     bool       `json:"passed"`
		Model      string     `json:"model"`
		System     string     `json:"system"`
		RoundTrips number     `json:"round_trips_per_second"`
		Traces     number     `json:"traces_per_second"`
		Delegated  number     `json:"delegated_traces_per_second"`
		Rules      []ruleJSON `json:"rules"`
	}{schema, rep.Passed(), rep.Model, rep.System, number(rep.RoundTrips), number(rep.Traces), number(rep.Delegated), nil}
	for _, r := range rep.Rules {
		out.Rules = append(out.Rules, ruleJSON{r.Name, r.OK, r.Detail})
	}
	return out
}

func printCheck(w io.Writer, rep *conform.Report, statements int) {
	s := styled(w)
	if len(rep.Run) > 0 {
		fmt.Fprintf(w, "%s\n", s.bold("one run of "+ppx.Printable(rep.Model)))
		t := &table{header: []string{">#", "statement", "name", "distribution", ">value", ">log p", "address"}}
		for i, x := range rep.Run {
			if i == statements {
				break
			}
			op := x.Op
			if x.Op == "Sample" && !x.Control {
				op += " (no control)"
			}
			logP := ""
			if x.Dist != "" && x.Value != "" {
				logP = figure(x.LogP)
			}
			t.add(fmt.Sprint(x.Index), op, clip(x.Name, 20), head(x.Dist, 44), head(x.Value, 30), logP, clip(x.Label, 60))
		}
		t.print(w)
		if rest := rep.Total - min(statements, len(rep.Run)); rest > 0 {
			fmt.Fprintf(w, "… %d more\n", rest)
		}
		if rep.Result != "" {
			fmt.Fprintf(w, "result %s\n", rep.Result)
		}
		fmt.Fprintln(w)
	}
	broken := 0
	for _, r := range rep.Rules {
		mark := "pass"
		if !r.OK {
			mark = s.bold("FAIL")
			broken++
		}
		fmt.Fprintf(w, "%s  %-42s %s\n", mark, r.Name, strings.ReplaceAll(r.Detail, "\n", "\n"+strings.Repeat(" ", 49)))
	}
	if broken == 0 {
		fmt.Fprintf(w, "\nall %d rules hold\n", len(rep.Rules))
		return
	}
	fmt.Fprintf(w, "\n%d of %d rules broken\n", broken, len(rep.Rules))
}
