package main

import (
	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine/conform"
	"github.com/ppx-engine/ppx-engine/view"
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
				err = view.JSON(c.OutOrStdout(), view.NewCheck(rep))
			} else {
				view.NewCheck(rep).Text(c.OutOrStdout(), statements)
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
