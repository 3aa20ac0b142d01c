package engine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// A simulator that never ends its run does not eat all memory.
func TestBoundsOfARun(t *testing.T) {
	defer func(n, k int) { maxStatements, maxNumbers = n, k }(maxStatements, maxNumbers)
	maxStatements, maxNumbers = 100, 1000
	for elements, most := range map[int]int{1: 100, 50: 21} {
		r := NewRecorder(tracing.NewTable())
		r.Begin(Draw{}, nil)
		var err error
		n := 0
		for ; err == nil && n < 200; n++ {
			err = r.Tag(&ppx.Statement{Op: ppx.Tag, Address: "a", Value: dist.Vector(make([]float64, elements)...)})
		}
		if !errors.Is(err, ppx.ErrInvalid) || n-1 != most || !strings.Contains(err.Error(), "more than 100 statements or 1000 numbers") {
			t.Errorf("%d elements: after %d statements %v", elements, n-1, err)
		}
	}
}

// Comparing a large tensor that another implementation has drawn takes no longer than drawing it, and each
// element is judged by its own parameters.
func TestAuditOfLargeTensors(t *testing.T) {
	const n = 200_000
	mean := dist.Vector(make([]float64, n)...)
	mean.Data[0] = 1e12
	d := ppx.Dist{Kind: dist.Normal, Params: []ppx.Tensor{mean, dist.Scalar(1)}}
	stream := dist.NewStream(1, 0, 0, 0, dist.PurposeValue)
	v := ppx.Tensor{Data: make([]float64, n), Shape: []int32{n}}
	if err := d.Sample(&stream, v.Data); err != nil {
		t.Fatal(err)
	}
	for i := range v.Data {
		v.Data[i] *= 1 + 1e-15 // another implementation's rounding
	}
	sample := func() error {
		r := NewRecorder(tracing.NewTable())
		r.Begin(Draw{Seed: 1}, Stack{drawer{}})
		_, err := r.Sample(&ppx.Statement{Op: ppx.Sample, Address: "a", Dist: d, Value: v, Form: &ppx.Form{}})
		return err
	}
	start := time.Now()
	if err := sample(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	v.Data[n-1] += 1e-3
	if err := sample(); !errors.Is(err, ppx.ErrRule) || !strings.Contains(err.Error(), "element 199999") {
		t.Error(err)
	}
}

// drawer is the prior; package control cannot be used here.
type drawer struct{}

func (drawer) Choose(r *Run, s *Site) (Choice, bool, error) {
	v, err := r.Drawn(s, func(v []float64) error { return s.Dist.Sample(r.Rand(s.Index, dist.PurposeValue), v) })
	return Choice{Value: v, Origin: tracing.FromPrior}, true, err
}
