package whatif

import (
	"context"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// chain is mu → x → y; a count of mu, a branch, and a tensor besides.
func chain(r *gosim.Run) gosim.Tensor {
	mu := r.Sample("mu", gosim.Normal(0, 1))
	x := r.Sample("x", gosim.Normal(mu, 1))
	r.Sample("k", gosim.Poisson(math.Exp(mu)))
	if mu > 0.5 {
		r.Sample("branch", gosim.Uniform(0, mu))
	}
	r.SampleTensor("v", gosim.Tensors(dist.Normal, gosim.Vector(mu, 0, x), gosim.Scalar(1)))
	r.Observe("y", gosim.Normal(x, 0.1))
	return gosim.Scalar(x)
}

// drawn are traces of a model: of the prior, or of a posterior under y.
func drawn(t *testing.T, x engine.Executor, n uint64, data control.Data) (out []*tracing.Trace) {
	t.Helper()
	condition := control.NewCondition(data, false)
	for tr, err := range x.Stream(context.Background(), engine.Draws(1, 0, n, func(engine.Draw) engine.Stack { return engine.Stack{condition, control.Prior{}} }), nil) {
		if err != nil {
			t.Fatal(err)
		}
		tr.Row = int64(tr.Draw)
		out = append(out, tr)
	}
	return out
}

func all(traces []*tracing.Trace) iter.Seq2[*tracing.Trace, error] {
	return func(yield func(*tracing.Trace, error) bool) {
		for _, t := range traces {
			if !yield(t, nil) {
				return
			}
		}
	}
}

func do(t *testing.T, x engine.Executor, traces []*tracing.Trace, rest control.Rest, settings ...Setting) (after []*tracing.Trace) {
	t.Helper()
	d, err := NewIntervention(settings, []string{"mu", "x", "k", "v[2]"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Do(context.Background(), x, all(traces), d, rest, 7, func(_, a *tracing.Trace) error {
		after = append(after, a)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Unused(); err != nil {
		t.Fatal(err)
	}
	return after
}

// An intervention moves what depends on it by what the same noise makes of it, and nothing else; with what comes after kept it moves nothing; weights are the factual ones.
func TestDo(t *testing.T) {
	x := engine.NewLocal(gosim.Wrap(chain), 3)
	defer x.Close()
	traces := drawn(t, x, 3000, control.Data{"y": dist.Scalar(1)})
	shift := Setting{"mu", "mu + 1"}
	noise, keep, fresh := do(t, x, traces, control.Noise, shift), do(t, x, traces, control.Keep, shift), do(t, x, traces, control.Fresh, shift)
	k1, k2, other := 0.0, 0.0, 0
	for i, before := range traces {
		a, b := enginetest.Values(before), enginetest.Values(noise[i])
		if math.Abs(b["x"]-a["x"]-1) > 1e-12 || math.Abs(b["mu"]-a["mu"]-1) > 1e-12 || noise[i].Result.Float() != b["x"] {
			t.Fatalf("%v, and with the noise kept %v", a, b)
		}
		if b["k"] < a["k"] {
			t.Fatalf("a larger rate makes %g of %g", b["k"], a["k"])
		}
		k1, k2 = k1+a["k"], k2+b["k"]
		for j := range noise[i].Sites {
			e := &noise[i].Sites[j]
			switch name := noise[i].Table.Name(e.Name); {
			case name == "y" && math.Abs(noise[i].Value(j).Float()-2) > 1e-12: // 1 was observed
				t.Fatalf("y would have been %v", noise[i].Value(j))
			case name == "v" && (noise[i].Value(j).Data[1] != element(before, "v", 1) || math.Abs(noise[i].Value(j).Data[2]-element(before, "v", 2)-1) > 1e-12):
				t.Fatalf("v would have been %v", noise[i].Value(j))
			case name == "mu" && e.Origin != tracing.Set, name == "x" && e.Origin != tracing.Carried, name == "branch" && a["mu"] <= 0.5 && e.Origin != tracing.FromPrior && b["mu"] > 0.5:
				t.Fatalf("%s is %v", name, e.Origin)
			case e.Contribution() != 0:
				t.Fatalf("%s contributes %g", name, e.Contribution())
			}
		}
		if noise[i].LogWeight != before.LogWeight || noise[i].Row != before.Row || noise[i].Lineage().Parent != before.Row {
			t.Fatalf("weight %g and row %d, recorded %g and %d", noise[i].LogWeight, noise[i].Row, before.LogWeight, before.Row)
		}
		if c := enginetest.Values(keep[i]); c["x"] != a["x"] || c["k"] != a["k"] || math.Abs(c["mu"]-a["mu"]-1) > 1e-12 {
			t.Fatalf("%v, and with the values kept %v", a, c)
		}
		if c := enginetest.Values(fresh[i]); c["x"] != a["x"] && math.Abs(c["mu"]-a["mu"]-1) < 1e-12 {
			other++
		}
	}
	if !(k2 > 2*k1) || other != len(traces) {
		t.Errorf("k %g, then %g; %d of %d are drawn afresh", k1, k2, other, len(traces))
	}
	// The same again, whatever the parallelism.
	y := engine.NewLocal(gosim.Wrap(chain), 1)
	defer y.Close()
	for i, again := range do(t, y, traces, control.Noise, shift) {
		if enginetest.Values(again)["k"] != enginetest.Values(noise[i])["k"] {
			t.Fatal("another number of workers, other traces")
		}
	}
	// Elements and lists; where there is nothing to set a trace stays as it is.
	for i, a := range do(t, x, traces[:200], control.Noise, Setting{"v[1]", "5"}, Setting{"branch", "0.25"}) {
		if element(a, "v", 1) != 5 || element(a, "v", 0) != element(traces[i], "v", 0) {
			t.Fatalf("v is %v", a)
		}
		if v, ok := enginetest.Values(a)["branch"]; ok && v != 0.25 {
			t.Fatal(v)
		}
	}
	for i, a := range do(t, x, traces[:200], control.Noise, Setting{"branch", "0.25"}) {
		if _, ok := enginetest.Values(traces[i])["branch"]; !ok && a != traces[i] {
			t.Fatal("a trace without it was made again")
		}
	}
	if a := do(t, x, traces[:1], control.Noise, Setting{"v", "[1, 2, 3]"}); element(a[0], "v", 2) != 3 {
		t.Error(a[0])
	}
}

func element(t *tracing.Trace, name string, k int) float64 {
	for i := range t.Sites {
		if t.Table.Name(t.Sites[i].Name) == name {
			return t.Value(i).Data[k]
		}
	}
	return math.NaN()
}

// What cannot be set is refused.
func TestSettingsThatAreWrong(t *testing.T) {
	x := engine.NewLocal(gosim.Wrap(chain), 1)
	defer x.Close()
	traces := drawn(t, x, 50, control.Data{"y": dist.Scalar(1)})
	for text, want := range map[string]string{
		"nope=1": "no trace has a Sample of that name", "y=1": "that is no Sample", "k=-1": "-1 is no value of Poisson", "k=1.5": "1.5 is no value of", "mu=": "want NAME=VALUE", "mu": "want NAME=VALUE",
		"mu=[1,2]": "2 numbers for 1", "mu=[1,": "no list of numbers", "mu=log(-1)": "in draw 0 that is no number", "v[1]=[1,2,3]": "3 numbers for 1", "mu=zz": "there is no variable zz", "v[9]=1": "no trace has a Sample",
	} {
		s, err := ParseSetting(text)
		var d *Intervention
		if err == nil {
			d, err = NewIntervention([]Setting{s}, []string{"mu"})
		}
		if err == nil {
			err = Do(context.Background(), x, all(traces), d, control.Noise, 1, func(_, _ *tracing.Trace) error { return nil })
		}
		if err == nil {
			err = d.Unused()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Total effects are Sobol's total indices: exactly ½ for mu, and for the noise of x; the interaction of a product counts for both of its factors.
func TestWhy(t *testing.T) {
	x := engine.NewLocal(gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		mu := r.Sample("mu", gosim.Normal(0, 1))
		v := r.Sample("x", gosim.Normal(mu, 1))
		a := r.Sample("a", gosim.Normal(0, 1))
		b := r.Sample("b", gosim.Normal(1, 1))
		r.Tag("product", a*b)
		r.Observe("y", gosim.Normal(v, 0.1))
		return gosim.Scalar(v)
	}), 2)
	defer x.Close()
	ask := func(traces []*tracing.Trace, most int, conditioned bool) *Why {
		var picked []Picked
		for _, t := range traces {
			picked = append(picked, Picked{t, math.Exp(t.LogWeight)})
		}
		plan, err := Plan(picked, most)
		if err != nil {
			t.Fatal(err)
		}
		runs := 0
		names, err := plan.Outcomes(nil)
		if err != nil || !slices.Contains(names, "result") || !slices.Contains(names, "product") || slices.Contains(names, "mu") {
			t.Fatal(names, err)
		}
		y, err := plan.Ask(context.Background(), x, []string{"result", "product"}, 2000, conditioned, 3, func() { runs++ })
		if err != nil {
			t.Fatal(err)
		}
		if runs != y.Runs {
			t.Errorf("%d runs, %d were planned", runs, y.Runs)
		}
		return y
	}
	exact := map[string][2]float64{"mu": {0.5, 0}, "x": {0.5, 0}, "a": {0, 1}, "b": {0, 0.5}} // Var(ab) = 2, of which b alone has 0 and the interaction 1
	prior := ask(drawn(t, x, 4000, nil), 0, false)
	for _, e := range prior.Effects {
		want := exact[e.Names[0]]
		for j := range want {
			if math.Abs(e.Total[j]-want[j]) > 4*e.SE[j]+1e-12 || e.SE[j] > 0.04 {
				t.Errorf("%v on %s: %g ± %g, exact %g", e.Names, prior.Outcomes[j], e.Total[j], e.SE[j], want[j])
			}
		}
		if math.Abs(e.Spread-1) > 4*e.SpreadSE || e.SpreadSE > 0.03 || e.Share != 1 || e.Most != 1 {
			t.Errorf("%+v", e)
		}
	}
	// Under data the spread of mu is 1/√2 of what it was: of x almost nothing is left; redrawn values are the prior's still.
	weighted := ask(drawn(t, x, 6000, control.Data{"y": dist.Scalar(1)}), 0, true)
	for _, e := range weighted.Effects {
		want := map[string]float64{"mu": math.Sqrt(1.01 / 2.01), "x": math.Sqrt(1/(0.5+100)) / math.Sqrt2, "a": 1, "b": 1}[e.Names[0]]
		if math.Abs(e.Spread-want) > 4*e.SpreadSE+0.02*want || e.SpreadSE > 0.09 {
			t.Errorf("%v: spread %g ± %g, exact %g", e.Names, e.Spread, e.SpreadSE, want)
		}
	}
	if weighted.PriorSD == nil || math.Abs(weighted.PriorSD[0]-math.Sqrt2) > 0.1 {
		t.Errorf("%v", weighted.PriorSD)
	}
	// The others go together.
	some := ask(drawn(t, x, 500, nil), 2, false)
	if n := len(some.Effects); n != 3 || some.Effects[2].Address != nil || some.Effects[2].Most != 2 {
		t.Errorf("%+v", some.Effects)
	}
	if _, err := Plan(nil, 1); err == nil {
		t.Error("no trace is asked")
	}
}
