package report_test

import (
	"image"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/report"
)

// without panics is f's error, or its panic as a test's failure.
func withoutPanic(t *testing.T, what string, f func() error) (err error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s: panic: %v", what, r)
		}
	}()
	return f()
}

// A page without variables is an error.
func TestNothingToDrawIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.png")
	if err := withoutPanic(t, "no variables", func() error { return report.Marginals(path, title, nil, nil) }); err == nil {
		t.Error("no error")
	}
}

// Bars without height are none.
func TestBarsWithoutProbability(t *testing.T) {
	p := bars(t, unknown, []report.Bin{{0, 1, 0}, {1, 2, 0}})
	if box := p.region(blue, p.page()); box.Dy() > 2*strokePixels {
		t.Errorf("a bar of %v", box)
	}
}

// Single values beyond 2⁵³ are bars like any others.
func TestLargeSingleValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.png")
	for _, x := range []float64{1e17, -1e20} {
		if err := withoutPanic(t, "a single large value", func() error {
			return report.Marginals(path, title, nil, []report.Marginal{{Name: "x", Runs: [][]report.Bin{{{x, x, 1}}}, Truth: unknown}})
		}); err != nil {
			t.Error(err)
		}
		if !t.Failed() && !open(t, path, 3.3, 2.85).barred(0, 1, 1) {
			t.Errorf("%g: no bar", x)
		}
	}
}

// Elements that are no number leave holes, or are an error, but no panic.
func TestTensorsWithoutNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.png")
	nan, inf := math.NaN(), math.Inf(1)
	for _, x := range []float64{nan, inf, -inf} {
		_ = withoutPanic(t, "a matrix", func() error { return report.Tensor(path, title, []float64{1, x, 3, 4}, []int{2, 2}) })
		_ = withoutPanic(t, "all of a matrix", func() error { return report.Tensor(path, title, []float64{x, x, x, x}, []int{2, 2}) })
		_ = withoutPanic(t, "a volume", func() error { return report.Tensor(path, title, []float64{1, x, 3, 4, 5, 6, 7, 8}, []int{2, 2, 2}) })
	}
}

// A matrix of one number is seen.
func TestConstantMatrix(t *testing.T) {
	p := tensor(t, []float64{5, 5, 5, 5}, 2, 2)
	if p.region(blue, p.all()).Empty() {
		t.Error("an image in white")
	}
}

// A long name does not take the place of the picture.
func TestLongNamesLeaveRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.png")
	for _, n := range []int{40, 60, 80, 120, 1000} {
		m := report.Marginal{Name: strings.Repeat("n", n), Runs: [][]report.Bin{{{0, 1, 1}}}, Truth: unknown}
		if err := report.Marginals(path, title, nil, []report.Marginal{m}); err != nil {
			t.Fatal(err)
		}
		p := open(t, path, 3.3, 2.85)
		if !p.barred(0, 1, 1) {
			t.Errorf("a name of %d characters: the bar is %v", n, p.region(blue, image.Rect(0, headerPixels, p.width, p.height)))
		}
	}
}

// A loss of +Inf is not drawn, but the others are.
func TestInfiniteLoss(t *testing.T) {
	p := loss(t, report.LossPoint{Traces: 0, Loss: math.Inf(1), Validation: math.Inf(1)}, report.LossPoint{Traces: 1, Loss: 2, Validation: 2}, report.LossPoint{Traces: 2, Loss: 1, Validation: 1})
	if p.count(orange, p.all()) == 0 {
		t.Error("the best is not marked")
	}
}
