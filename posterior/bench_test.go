package posterior_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// BenchmarkSummary is what a trace costs that goes into the table, for traces of one and of many named values.
func BenchmarkSummary(b *testing.B) {
	for _, sites := range []int{1, 32, 1000} {
		b.Run(fmt.Sprint("sites=", sites), func(b *testing.B) {
			table := tracing.NewTable()
			var builder tracing.Builder
			traces := make([]*tracing.Trace, 256)
			for i := range traces {
				builder.Reset(table, uint64(i), 0)
				for k := range sites {
					base := fmt.Sprintf("a%d__Normal", k)
					e := tracing.Site{Op: ppx.Sample, Control: true, Name: table.InternName(fmt.Sprint("x", k))}
					e.Address, e.Instance = table.Intern(base, ppx.Sample, dist.Normal), 1
					d := dist.New(dist.Normal, 0, 1)
					builder.Add(e, dist.Scalar(math.Sin(float64(i*sites+k))), &d)
				}
				traces[i] = builder.Finish(dist.Scalar(float64(i)), -float64(i%7), 0.001)
			}
			s := posterior.NewSummary()
			b.ReportAllocs()
			for i := range b.N {
				if err := s.Write(context.Background(), traces[i%len(traces)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
