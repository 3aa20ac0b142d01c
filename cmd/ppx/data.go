package main

import (
	"math"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/view"
)

func newTraceData() *cobra.Command {
	var latents bool
	c := &cobra.Command{
		Use:   "data [flags] RUN DRAW",
		Short: "Print the observations of one trace, as data for infer",
		Long: `Print the values of a trace's named Observes as a JSON object, in the form that "ppx infer --observe-file" reads; elements
that were missing in the data are null. From a run of
"ppx prior" these are simulated data whose truth is known: --latents prints that, the named Samples and tags.`,
		Example: `  ppx trace data prior 17 > event.json
  ppx infer --observe-file event.json -n 10000 -- ./simulator {endpoint}`,
		Args: exactArgs(2, "a run directory and the number of a draw"),
		RunE: func(c *cobra.Command, args []string) error {
			r, t, err := recorded(args)
			if err != nil {
				return err
			}
			given, err := r.Manifest.Tensors(r.Path)
			if err != nil {
				return err
			}
			values := map[string]any{}
			var occ tracing.Occurrences
			for i := range t.Sites {
				e := &t.Sites[i]
				k := occ.Next(e)
				if k == 0 || e.Kind == dist.None && e.Op == ppx.Observe || (e.Op == ppx.Observe) == latents {
					continue
				}
				name := tracing.OccurrenceName(t.Table.Name(e.Name), int(k))
				v := t.Value(i)
				if e.Origin == tracing.FromData {
					d, ok := given[name]
					if !ok { // for every occurrence
						d = given[t.Table.Name(e.Name)]
					}
					v = withHoles(v, d)
				}
				values[name] = view.Nested(v)
			}
			return view.JSON(c.OutOrStdout(), values)
		},
	}
	c.Flags().BoolVar(&latents, "latents", false, "print the named Samples and tags instead")
	return c
}

// withHoles is an observed value without the elements that were missing in the data, and drawn: they are no observations.
func withHoles(v, data ppx.Tensor) ppx.Tensor {
	if len(data.Data) != len(v.Data) || !control.Partial(data) {
		return v
	}
	v = v.Clone()
	for i, x := range data.Data {
		if math.IsNaN(x) {
			v.Data[i] = x
		}
	}
	return v
}
