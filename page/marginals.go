// Package page is the pictures and pages that are made of results: of one or several runs, in one file each.
package page

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/view"
)

// ErrVariable says that a run has no such variable, or none that could be drawn.
var ErrVariable = errors.New("no variable to draw")

// methodNames are what methods are called in legends.
var methodNames = map[string]string{"is": "importance sampling", "ic": "with the network", "smc": "particles", "lmh": "chains", "rmh": "chains", "ic-mh": "chains with the network"}

// legend is what a run is called in a picture beside others.
func legend(r *view.Posterior, alone bool) string {
	label := methodNames[r.Method]
	if label == "" {
		label = r.Method
	}
	if !r.Conditioned {
		label = "prior"
	}
	if r.Auto != nil {
		label = "auto: " + label
	}
	if r.Conditioned {
		label += ", ESS " + view.Figure(math.Round(r.Sum.ESS()*10)/10)
	}
	if !alone && r.Conditioned && r.Trust.Verdict == posterior.None {
		label += ": not trusted"
	}
	return label
}

// Marginals draws the histograms of variables of one or several runs, with the truths that are known, into a .png, .svg or .pdf; without names the first of those that can be drawn. Errors: ErrVariable.
func Marginals(out string, runs []*view.Posterior, vars []string, truths map[string]float64) error {
	var labels []string
	for _, r := range runs {
		labels = append(labels, legend(r, len(runs) == 1))
	}
	if len(vars) == 0 {
		vars = Plottable(runs[0].Sum)
	}
	ms, err := marginals(runs, vars, truths)
	if err != nil {
		return err
	}
	if len(ms) == 0 {
		return fmt.Errorf("%w: %s has none", ErrVariable, runs[0].Run)
	}
	return report.Marginals(out, "marginals of "+ppx.Printable(runs[0].Model), labels, ms)
}

// marginals are variables of several runs, with the truths that are known.
func marginals(runs []*view.Posterior, vars []string, truths map[string]float64) (out []report.Marginal, err error) {
	for _, name := range vars {
		m, err := marginal(runs, name)
		if err != nil {
			return nil, err
		}
		if v, ok := truths[name]; ok {
			m.Truth = v
		}
		out = append(out, m)
	}
	return out, nil
}

// marginal is a variable of several runs.
func marginal(runs []*view.Posterior, name string) (report.Marginal, error) {
	m := report.Marginal{Name: ppx.Printable(name), Truth: math.NaN()}
	warning, bad := "", 0
	for _, r := range runs {
		h, err := r.Sum.Histogram(name, 30)
		if err != nil {
			return m, fmt.Errorf("%w: %s: %w", ErrVariable, r.Run, err)
		}
		v := r.Variable(name)
		thin := r.Conditioned && float64(v.ESS) < sticksBelow
		if thin {
			h = r.Sum.Sticks(name, 50)
		}
		m.Sparse = append(m.Sparse, thin)
		if r.Conditioned && v.Trust.Verdict == posterior.None {
			bad++
			if warning = "not to be trusted"; thin {
				warning = "ESS " + view.Figure(math.Round(float64(v.ESS)*10)/10)
			}
		}
		var bins []report.Bin
		for _, b := range h {
			bins = append(bins, report.Bin(b))
		}
		m.Runs = append(m.Runs, bins)
	}
	if bad == len(runs) { // else others are good: their picture is not to be crossed out
		m.Warning = warning
	}
	return m, nil
}

// sticksBelow is the effective sample size below which a histogram would pretend to a shape.
const sticksBelow = 10

// Plottable is the variables that are drawn unless told otherwise.
func Plottable(sum *posterior.Summary) (names []string) {
	for _, v := range sum.Variables() {
		if v.Kind == posterior.TensorKind || strings.HasPrefix(v.Name, "result") || len(names) == 9 {
			continue
		}
		if canDraw(sum, v.Name) {
			names = append(names, v.Name)
		}
	}
	return names
}

// canDraw tells whether a variable has a histogram: some finite values with weight, of a size that a picture can have.
func canDraw(sum *posterior.Summary, name string) bool {
	bins, err := sum.Histogram(name, 30)
	return err == nil && !slices.ContainsFunc(bins, func(b posterior.Bin) bool {
		return math.Abs(b.Low) > report.Drawable || math.Abs(b.High) > report.Drawable
	})
}
