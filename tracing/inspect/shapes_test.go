package inspect_test

import (
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
)

// Compare says that it tells of distributions, and of values, which have shapes.
func TestDistributionsAndShapesAreCompared(t *testing.T) {
	with := func(mean float64, value, result ppx.Tensor) *tracing.Trace {
		var b tracing.Builder
		table := tracing.NewTable()
		b.Reset(table, 0, 0)
		d := dist.New(dist.Normal, mean, 1)
		logP, _ := d.LogProb(dist.Scalar(1)) // of both means: 1 is as far from 0 as from 2
		b.Add(tracing.Site{Key: tracing.Key{Address: table.Intern("a__Normal", ppx.Sample, dist.Normal), Instance: 1}, Op: ppx.Sample, LogP: logP}, value, &d)
		return b.Finish(result, 0, 0)
	}
	row, column := ppx.Tensor{Data: []float64{1, 1}, Shape: []int32{1, 2}}, ppx.Tensor{Data: []float64{1, 1}, Shape: []int32{2, 1}}
	a := with(0, row, row)
	for what, b := range map[string]*tracing.Trace{"the mean": with(2, row, row), "the value's shape": with(0, column, row), "the result's shape": with(0, row, column)} {
		if d := inspect.Compare(a, b, 0); len(d) == 0 {
			t.Errorf("another %s is no difference", what[4:])
		}
	}
}
