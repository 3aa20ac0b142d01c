package mcmc

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
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
	key := func(tr *tracing.Trace) string {
		out := ""
		for i := range tr.Sites {
			if tr.Sites[i].Op == ppx.Sample {
				out += fmt.Sprintf("%s=%g ", tr.Table.Name(tr.Sites[i].Name), tr.Value(i).Float())
			}
		}
		return out
	}
	for _, walk := range []float64{0, 0.5} {
		for _, beta := range []float64{1, 0.3} {
			k := NewKernel(Kernel{Data: control.Data{"d": dist.Scalar(1)}, Walk: walk, Beta: beta})
			var states []*State
			index := map[string]int{}
			var target []float64
			total := 0.0
			each(t, x, engine.Stack{k.condition}, func(tr *tracing.Trace, prior float64) {
				index[key(tr)] = len(states)
				states = append(states, k.Resume(tr, Scales{}))
				target = append(target, prior*math.Exp(beta*tr.LogLikelihood))
				total += target[len(target)-1]
			})
			if len(states) != 10 {
				t.Fatalf("%d states", len(states))
			}
			n := len(states)
			matrix := make([]float64, n*n)
			for i, s := range states {
				target[i] /= total
				left := 1.0
				for _, site := range s.moves {
					p := k.proposal(s.Trace, site, s.Scales)
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
						each(t, x, engine.Stack{k.condition, control.NewMove(s.Trace, site, value, forward)}, func(tr *tracing.Trace, fresh float64) {
							next := k.Resume(tr, s.Scales)
							log, err := k.logRatio(s, next, site, forward, backward)
							if err != nil {
								t.Fatal(err)
							}
							step := math.Exp(forward) / float64(len(s.moves)) * fresh * math.Exp(math.Min(0, log))
							matrix[i*n+index[key(tr)]] += step
							left -= step
						})
					}
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
					if a, b := target[i]*matrix[i*n+j], target[j]*matrix[j*n+i]; math.Abs(a-b) > 1e-14 {
						t.Errorf("walk %g, β %g: %sto %s: %g there, %g back", walk, beta, key(states[i].Trace), key(states[j].Trace), a, b)
					}
				}
				if math.Abs(sum-target[j]) > 1e-14 {
					t.Errorf("walk %g, β %g: %s: %g after a step, %g before", walk, beta, key(states[j].Trace), sum, target[j])
				}
			}
		}
	}
}
