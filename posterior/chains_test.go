package posterior

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// The figures of chains against those that ArviZ computes (testdata/chains).
func TestChainsAgainstVectors(t *testing.T) {
	b, err := os.ReadFile("../testdata/chains/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name                   string
		Chains                 [][]float64
		Rhat                   *float64
		Bulk, Tail, Mean, MCSE float64
	}
	if err := json.Unmarshal(b, &list); err != nil || len(list) < 9 {
		t.Fatal(err, len(list))
	}
	for _, c := range list {
		f := Chains(c.Chains)
		for _, x := range []struct {
			what      string
			got, want float64
		}{{"bulk", f.Bulk, c.Bulk}, {"tail", f.Tail, c.Tail}, {"mean", f.Mean, c.Mean}, {"mcse", f.MCSE, c.MCSE}} {
			if math.Abs(x.got/x.want-1) > 1e-6 {
				t.Errorf("%s: %s %.10g, want %.10g", c.Name, x.what, x.got, x.want)
			}
		}
		if c.Rhat != nil && math.Abs(f.Rhat-*c.Rhat) > 1e-9 {
			t.Errorf("%s: R̂ %.10g, want %.10g", c.Name, f.Rhat, *c.Rhat)
		}
	}
}

// The effective sample size of an autoregressive chain is N(1−ρ)/(1+ρ), and its standard error what repetitions show.
func TestChainsOfKnownAutocorrelation(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 1))
	const rho, chains, n, times = 0.8, 4, 2000, 100
	ess, squares, mcse := 0.0, 0.0, 0.0
	for range times {
		x := make([][]float64, chains)
		mean := 0.0
		for i := range x {
			v := g.NormFloat64() / math.Sqrt(1-rho*rho)
			for range n {
				v = rho*v + g.NormFloat64()
				x[i] = append(x[i], v)
				mean += v / chains / n
			}
		}
		f := Chains(x)
		ess += f.Mean / times
		squares += mean * mean / times
		mcse += f.MCSE / times
		if f.Rhat > 1.03 {
			t.Errorf("R̂ %g", f.Rhat)
		}
	}
	if want := chains * n * (1 - rho) / (1 + rho); math.Abs(ess/want-1) > 0.05 {
		t.Errorf("ESS %g, want %g", ess, want)
	}
	if r := mcse / math.Sqrt(squares); math.Abs(math.Log(r)) > 4/math.Sqrt(2*times) {
		t.Errorf("standard error %g, repetitions %g", mcse, math.Sqrt(squares))
	}
	if f := Chains([][]float64{{1, 1, 1, 1}, {1, 1, 1, 1}}); !math.IsNaN(f.Rhat) || f.MCSE != 0 {
		t.Errorf("%+v", f)
	}
	if f := Chains([][]float64{{1, 2}}); !math.IsNaN(f.Bulk) {
		t.Errorf("%+v", f)
	}
}
