package train

import (
	"fmt"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/training"
)

// Categoricals of any length at one address are one place of the network, and draws of different names on one line are two: those whose names differ by a number are one.
func TestPlaces(t *testing.T) {
	model := func(r *gosim.Run) gosim.Tensor {
		n := r.Sample("n", gosim.DiscreteUniform(2, 9))
		probs := make([]float64, int(n))
		for i := range probs {
			probs[i] = 1
		}
		k := r.Sample("k", gosim.Categorical(probs...))
		r.Observe("y", gosim.Normal(k, 0.5))
		sum := k
		for _, name := range []string{"low", "high", "high2"} {
			prior := gosim.Normal(0, 1)
			if name == "low" {
				prior = gosim.Normal(-5, 0.1)
			}
			z := r.Sample(name, prior)
			r.Observe("of_"+name, gosim.Normal(z, 0.3))
			sum += z
		}
		return gosim.Scalar(sum)
	}
	x := local(t, model)
	s := ic.DefaultSettings()
	s.Hidden = 48
	n := learn(t, x, "places", s, training.Config{N: 25_600})
	names := map[string]int{}
	for _, p := range n.Addresses() {
		names[fmt.Sprint(p.Kind, " ", p.Stem)]++
	}
	if fmt.Sprint(names) != "map[Categorical k:1 DiscreteUniform n:1 Normal high:1 Normal low:1]" {
		t.Errorf("places %v", names)
	}
	// The posterior of k: Σ over n of 1/(8n) for k < n, times the density of y.
	weights, total, mean := make([]float64, 9), 0.0, 0.0
	const y = 6.6
	for k := range weights {
		for n := max(2, k+1); n <= 9; n++ {
			weights[k] += 1 / (8 * float64(n))
		}
		weights[k] *= math.Exp(-0.5*(y-float64(k))*(y-float64(k))/0.25) / (0.5 * math.Sqrt(2*math.Pi))
		total += weights[k]
		mean += weights[k] * float64(k)
	}
	mean /= total
	evidence := math.Log(total)
	data := control.Data{"y": dist.Scalar(y)}
	for name, v := range map[string]float64{"of_low": -5.1, "of_high": 0.7, "of_high2": -0.3} {
		data[name] = dist.Scalar(v)
		loc, sd := 0.0, 1.0
		if name == "of_low" {
			loc, sd = -5, 0.1
		}
		variance := sd*sd + 0.09
		evidence -= 0.5*math.Log(2*math.Pi*variance) + 0.5*(v-loc)*(v-loc)/variance
	}
	const draws = 2000
	got, all := 0.0, 0.0
	w := infer(t, x, n, data, 3, draws, func(tr *tracing.Trace) {
		p := math.Exp(tr.LogWeight - evidence)
		all += p
		for i := range tr.Sites {
			if e := &tr.Sites[i]; tr.Table.Name(e.Name) == "k" {
				got += p * tr.Value(i).Float()
			}
		}
	})
	t.Logf("ESS/N %.2f", w.ESS()/draws)
	if w.ESS() < 0.6*draws {
		t.Errorf("ESS/N %.2f", w.ESS()/draws)
	}
	if se := math.Sqrt(1/w.ESS() - 1.0/draws); !(math.Abs(w.LogEvidence()-evidence) <= 4*se) {
		t.Errorf("log evidence %g ± %g, exact %g", w.LogEvidence(), se, evidence)
	}
	if se := 1 / math.Sqrt(w.ESS()); !(math.Abs(got/all-mean) <= 4*se) {
		t.Errorf("mean of k %g ± %g, exact %g", got/all, se, mean)
	}
	// Written and read, it proposes the same.
	path := t.TempDir() + "/places.net"
	if err := ic.WriteFile(path, n, nil); err != nil {
		t.Fatal(err)
	}
	again, _, err := ic.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if v := infer(t, x, again, data, 3, draws, func(*tracing.Trace) {}); v.LogEvidence() != w.LogEvidence() {
		t.Errorf("log evidence %g, as read %g", w.LogEvidence(), v.LogEvidence())
	}
}
