package report_test

import (
	"path/filepath"
	"testing"

	"github.com/ppx-engine/ppx-engine/report"
)

// A tensor of a million elements is a picture like any other.
func TestLargeTensors(t *testing.T) {
	data := make([]float64, 1_000_000)
	for i := range data {
		data[i] = float64(i % 1017)
	}
	for _, shape := range [][]int{{1_000_000}, {1000, 1000}, {100, 100, 100}, {1, 1_000_000}} {
		if err := report.Tensor(filepath.Join(t.TempDir(), "x.png"), "", data, shape); err != nil {
			t.Error(shape, err)
		}
	}
}
