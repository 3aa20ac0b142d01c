package mcmc

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/engine/enginetest"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// enumerate answers Samples that nobody else has answered with the values of a list, and the first one where the list ends.
type enumerate struct {
	list []int
	at   int
	size []int   // of the supports that it has met
	logP float64 // of the values under the prior
}

func (e *enumerate) Choose(_ *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	if s.Op != ppx.Sample {
		return engine.Choice{}, false, nil
	}
	lo, hi := []float64{0}, []float64{0}
	if err := s.Dist.Support(lo, hi); err != nil {
		return engine.Choice{}, false, err
	}
	if e.at == len(e.list) {
		e.list = append(e.list, 0)
	}
	v := []float64{lo[0] + float64(e.list[e.at])}
	e.at++
	e.size = append(e.size, int(hi[0]-lo[0])+1)
	p, err := s.Dist.LogProb(ppx.Tensor{Data: v})
	e.logP += p
	return engine.Choice{Value: v, Origin: tracing.FromPrior}, true, err
}

// each makes a run with every combination of values of the Samples that the layers leave open, and tells the trace and the prior's probability of the combination.
func each(t *testing.T, x engine.Executor, layers engine.Stack, f func(*tracing.Trace, float64)) {
	t.Helper()
	for list := []int{}; ; {
		e := &enumerate{list: list}
		stack := append(append(engine.Stack{}, layers...), e, control.Prior{})
		tr, err := x.Execute(context.Background(), engine.Task{Stack: func(engine.Draw) engine.Stack {
			*e = enumerate{list: list}
			return stack
		}})
		if err != nil {
			t.Fatal(err)
		}
		f(tr, math.Exp(e.logP))
		list = e.list[:e.at]
		for len(list) > 0 && list[len(list)-1]+1 == e.size[len(list)-1] {
			list = list[:len(list)-1]
		}
		if len(list) == 0 {
			return
		}
		list[len(list)-1]++
	}
}

// The transition matrix of each kernel, computed state by state from all that a step can come to, leaves the posterior as it is, exactly: of a model whose
// structure changes. It is in detailed balance with it, site by site.
func TestDetailedBalanceByEnumeration(t *testing.T) {
	model := gosim.Wrap(func(r *gosim.Run) gosim.Tensor {
		p := 0.0
		if r.Sample("k", gosim.Bernoulli(0.4)) == 1 {
			a := r.Sample("x", gosim.Categorical(0.2, 0.3, 0.5))
			p = 0.1 + 0.2*a + 0.3*r.Sample("y", gosim.Bernoulli(0.1+0.3*a))
		} else {
			p = 0.05 + 0.15*r.Sample("z", gosim.Binomial(3, 0.4))
		}
		r.Observe("d", gosim.Bernoulli(p))
		return gosim.Tensor{}
	})
	x := engine.NewLocal(model, 1)
	defer x.Close()
	data := control.Data{"d": dist.Scalar(1)}
	guide := enginetest.Untrained(t, x, data, 0.3)
	for _, c := range []struct {
		name string
		k    Kernel
	}{
		{"lmh", Kernel{}}, {"lmh, β = .3", Kernel{Beta: 0.3}}, {"rmh", Kernel{Walk: 0.5}}, {"rmh, β = .3", Kernel{Walk: 0.5, Beta: 0.3}},
		{"one site by the network", Kernel{Walk: 0.5, Guided: 1}},
		{"whole traces by the network", Kernel{Walk: 0.5, Whole: 1}},
		{"all of them", Kernel{Walk: 0.5, Guided: 0.25, Whole: 0.25}},
		{"all of them, between network and posterior", Kernel{Walk: 0.5, Guided: 0.25, Whole: 0.25, Beta: 0.4, Path: 0.6}},
		{"under a condition", Kernel{Walk: 0.5, Guided: 0.25, Whole: 0.25, Allowed: func(t *tracing.Trace) bool { return len(t.Sites) > 2 || t.Value(1).Float() > 1 }}},
	} {
		c.k.Data, c.k.Guide, c.k.Alpha = data, guide, 0.2
		balance(t, c.name, x, NewKernel(c.k))
	}
}

// balance looks at one kernel.
func balance(t *testing.T, name string, x engine.Executor, k *Kernel) {
	t.Helper()
	key := func(tr *tracing.Trace) string {
		out := ""
		for i := range tr.Sites {
			if tr.Sites[i].Op == ppx.Sample {
				out += fmt.Sprintf("%s=%g ", tr.Table.Name(tr.Sites[i].Name), tr.Value(i).Float())
			}
		}
		return out
	}
	var states []*State
	index := map[string]int{}
	var target, proposed []float64
	total, sumQ := 0.0, 0.0
	each(t, x, engine.Stack{k.condition}, func(tr *tracing.Trace, prior float64) {
		if k.Allowed != nil && !k.Allowed(tr) {
			return
		}
		s := k.Resume(tr, Scales{})
		if err := k.Rate(s); err != nil {
			t.Fatal(err)
		}
		index[key(tr)] = len(states)
		states = append(states, s)
		target = append(target, prior*math.Exp(k.beta()*tr.LogLikelihood+k.Path*s.logRatio))
		proposed = append(proposed, prior*math.Exp(s.logRatio))
		total, sumQ = total+target[len(target)-1], sumQ+proposed[len(proposed)-1]
	})
	if k.Allowed == nil && (len(states) != 10 || math.Abs(sumQ-1) > 1e-6) {
		t.Fatalf("%d states, which the network proposes with a probability of %g in all", len(states), sumQ)
	}
	n := len(states)
	matrix := make([]float64, n*n)
	for i, s := range states {
		target[i] /= total
		left := 1.0
		taken := func(probability float64, m *Move, next *State) {
			log, err := k.compare(s, next, m)
			if err != nil {
				t.Fatal(err)
			}
			step := probability * math.Exp(math.Min(0, log))
			if step == 0 {
				return
			}
			matrix[i*n+index[key(next.Trace)]] += step
			left -= step
		}
		for _, guided := range []bool{false, true} {
			share := k.Guided
			if !guided {
				share = 1 - k.Guided - k.Whole
			}
			for _, site := range s.moves {
				p, err := k.proposal(s, site, guided)
				if err != nil {
					t.Fatal(err)
				}
				lo, hi := []float64{0}, []float64{0}
				if err := p.dist.Support(lo, hi); err != nil {
					t.Fatal(err)
				}
				for v := lo[0]; v <= hi[0]; v++ {
					value := []float64{v}
					forward, err1 := p.logProb(p.from, value)
					backward, err2 := p.logProb(value, p.from)
					if err1 != nil || err2 != nil {
						t.Fatal(err1, err2)
					}
					m := &Move{changes: map[int]control.Change{site: {Value: value, LogQ: forward}}, info: Info{Sites: 1}}
					m.back = func(next *State) (float64, error) {
						return backward - forward + math.Log(float64(len(s.moves))) - math.Log(float64(len(next.moves))), nil
					}
					each(t, x, engine.Stack{k.condition, control.NewMove(control.NewReplayLatents(s.Trace), m.changes)}, func(tr *tracing.Trace, fresh float64) {
						taken(share*math.Exp(forward)/float64(len(s.moves))*fresh, m, k.Resume(tr, s.Scales))
					})
				}
			}
		}
		for j, next := range states {
			taken(k.Whole*proposed[j], &Move{whole: true}, next)
		}
		matrix[i*n+i] += left
		if left < -1e-12 {
			t.Errorf("steps from %s have a probability above 1", key(s.Trace))
		}
	}
	for j := range n {
		sum := 0.0
		for i := range n {
			sum += target[i] * matrix[i*n+j]
			if a, b := target[i]*matrix[i*n+j], target[j]*matrix[j*n+i]; math.Abs(a-b) > 1e-13 {
				t.Errorf("%s: %sto %s: %g there, %g back", name, key(states[i].Trace), key(states[j].Trace), a, b)
			}
		}
		if math.Abs(sum-target[j]) > 1e-13 {
			t.Errorf("%s: %s: %g after a step, %g before", name, key(states[j].Trace), sum, target[j])
		}
	}
}
