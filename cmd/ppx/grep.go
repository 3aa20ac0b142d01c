package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/view"
)

func newTraceGrep() *cobra.Command {
	var v listing
	c := &cobra.Command{
		Use:   "grep [flags] RUN CONDITION",
		Short: "Look for statements",
		Long: `Look for statements for which a condition is true, and tell how much of the weight the traces have that hold one. The language is that of
derive; it can ask for
  ` + strings.Join(inspect.NumberFields, ", ") + `   (numbers; value is that of a statement with one element)
  ` + strings.Join(inspect.TextFields, ", ") + `   (texts: ==, contains, startsWith, endsWith, matches)`,
		Example: `  ppx trace grep RUN 'name == "channel" and value == 3'
  ppx trace grep RUN 'address contains "photon" and log_p < -10'
  ppx trace grep RUN 'id == "A7" and weight > 0.001' --json`,
		Args: exactArgs(2, "a run directory and a condition"),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := expression.CompileTexts(args[1], inspect.NumberFields, inspect.TextFields)
			if err != nil {
				return usagef("%w", err)
			}
			if !e.Condition {
				return usagef("%s is no condition: compare it with something", args[1])
			}
			r, err := inspect.Open(c.Context(), args[0])
			if err != nil {
				return err
			}
			found, err := r.Grep(c.Context(), e, v.num)
			if err != nil {
				return err
			}
			return print(c, view.NewFound(found, r.Damaged), v.json)
		},
	}
	v.register(c, 50, "statements")
	return c
}
