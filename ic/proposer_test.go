package ic

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// trained is a network after some steps.
func trained(t testing.TB, s Settings, m gosim.Model, steps int) *Network[float32] {
	t.Helper()
	traces := draw(t, m, 0, 512, 0)
	n, _, err := New[float32](s, "everything", 1, traces)
	if err != nil {
		t.Fatal(err)
	}
	batch := examples(t, n, traces)
	p, o := NewPass(n), nn.NewAdam[float32](3e-3)
	for i := range steps {
		at := i * 64 % len(batch)
		if _, err := p.Gradient(batch[at:at+64], 1.0/64); err != nil {
			t.Fatal(err)
		}
		o.Step(n.Params(), 1)
	}
	return n
}

// guided draws traces with a network.
func guided(t testing.TB, p *Proposer, data control.Data, m gosim.Model, n uint64, alpha float64, workers int) (out []*tracing.Trace) {
	t.Helper()
	x := engine.NewLocal(gosim.Wrap(m), workers)
	defer x.Close()
	condition := control.NewCondition(data, false)
	for tr, err := range x.Stream(context.Background(), engine.Draws(7, 0, n, func(engine.Draw) engine.Stack {
		return engine.Stack{condition, control.NewGuide(p.ForRun(), alpha), control.Prior{}}
	}), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if tr.Status != tracing.OK {
			t.Fatal(tr.Error)
		}
		out = append(out, tr)
	}
	return out
}

func everythingData() control.Data {
	image := make([]float64, 30)
	for i := range image {
		image[i] = float64(i % 7)
	}
	return control.Data{"y0": dist.Scalar(2), "y1": dist.Scalar(1.5), "constant": dist.Scalar(0), "seq": dist.Scalar(0.3), "seq@2": dist.Scalar(-1), "seq@3": dist.Scalar(0.3),
		"image": ppx.Tensor{Data: image, Shape: []int32{5, 6}}}
}

// What a network proposes at inference has the density that it was trained with.
func TestProposalsHaveTheDensityOfTraining(t *testing.T) {
	n := trained(t, small(), fixed, 30)
	data := everythingData()
	p, err := NewProposer(n, data)
	if err != nil {
		t.Fatal(err)
	}
	pass := NewPass(n)
	places := map[uint32]bool{}
	for _, tr := range guided(t, p, data, fixed, 200, 1e-13, 1) {
		logQ := 0.0
		asPrior := *tr
		asPrior.Sites = slices.Clone(tr.Sites)
		asPrior.LogWeight = 0
		for i := range tr.Sites {
			if e := &tr.Sites[i]; guides(e) {
				places[e.Address] = true
				if e.Origin != tracing.FromProposal {
					t.Fatalf("%s has a value %s", tr.Table.Label(e.Key), e.Origin)
				}
				logQ += e.LogQ
				asPrior.Sites[i].Origin = tracing.FromPrior
			}
		}
		e, err := n.Example(&asPrior)
		if err != nil {
			t.Fatal(err)
		}
		loss, err := pass.Loss([]*Example{e})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(loss+logQ) > 1e-6*float64(e.Len()) { // numbers of 24 bits, some tens of operations a site
			t.Errorf("draw %d (%d sites): log q is %g at inference, %g in training", tr.Draw, e.Len(), logQ, -loss)
		}
	}
	if len(places) != len(n.Addresses()) {
		t.Errorf("%d of %d places were met", len(places), len(n.Addresses()))
	}
}

// A network that is written and read proposes the same values, and so do several workers.
func TestNetworksSurviveTheDisk(t *testing.T) {
	n := trained(t, small(), everything, 10)
	path := t.TempDir() + "/n.net"
	if err := WriteFile(path, n, &Extra{Numbers: map[string][]float32{"x": {1, 2}}, Texts: map[string]string{"y": "z"}}); err != nil {
		t.Fatal(err)
	}
	again, extra, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if extra.Texts["y"] != "z" || !slices.Equal(extra.Numbers["x"], []float32{1, 2}) {
		t.Error(extra)
	}
	data := everythingData()
	var all [3][]*tracing.Trace
	for i, x := range []*Network[float32]{n, again, n.Clone()} {
		p, err := NewProposer(x, data)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = guided(t, p, data, everything, 100, 0.01, 1+2*i)
	}
	for i := range all[0] {
		for _, other := range all[1:] {
			if a, b := testbed.Fingerprint(all[0][i]), testbed.Fingerprint(other[i]); a != b {
				t.Fatalf("draw %d is\n%sthen\n%s", i, a, b)
			}
		}
	}
}

// What runs propose together is what each proposes alone, in every bit.
func TestBatchesDoNotMatter(t *testing.T) {
	s := small()
	s.Hidden, s.Trunk = 37, 21
	n := trained(t, s, everything, 5)
	data := everythingData()
	p, err := NewProposer(n, data)
	if err != nil {
		t.Fatal(err)
	}
	alone := guided(t, p, data, everything, 64, 0.01, 1)
	// The same runs in step with each other, by hand.
	table := tracing.NewTable()
	type step struct {
		ask   chan any
		reply chan bool
	}
	runs := make([]*step, len(alone))
	traces := make([]*tracing.Trace, len(alone))
	for i := range runs {
		r := &step{make(chan any), make(chan bool)}
		runs[i] = r
		go func() {
			defer close(r.ask)
			condition := control.NewCondition(data, false)
			rec := engine.NewRecorder(table)
			b := &handOver{p: p, f: func(requests []any) {
				r.ask <- requests[0]
				<-r.reply
			}}
			rec.Begin(engine.Draw{Seed: 7, Index: uint64(i)}, engine.Stack{condition, control.NewGuide(&through{p.ForRun().(*pilot), b}, 0.01), control.Prior{}})
			v, err := gosim.Wrap(everything)(rec)
			if err != nil {
				t.Error(err)
			}
			traces[i] = rec.End(v, 1)
		}()
	}
	for {
		var waiting []any
		var who []*step
		for _, r := range runs {
			if r == nil {
				continue
			}
			if x, ok := <-r.ask; ok {
				waiting = append(waiting, x)
				who = append(who, r)
			}
		}
		if len(waiting) == 0 {
			break
		}
		if err := p.Flush(waiting); err != nil {
			t.Fatal(err)
		}
		for _, r := range who {
			r.reply <- true
		}
	}
	for i, a := range alone {
		if b := traces[i]; a.LogWeight != b.LogWeight || len(a.Sites) != len(b.Sites) {
			t.Errorf("draw %d: %v alone, %v together", i, a.LogWeight, b.LogWeight)
		}
	}
}

// handOver is a batcher that hands requests to others.
type handOver struct {
	p *Proposer
	f func([]any)
}

func (h *handOver) Flush(requests []any) error { h.f(requests); return nil }

// through is a pilot whose requests go to another batcher.
type through struct {
	*pilot
	b *handOver
}

func (x *through) Propose(r *engine.Run, at *engine.Site) (control.Proposal, bool, error) {
	q, ok, err := x.pilot.ask(r, at, x.b)
	return q, ok, err
}

func TestDataThatDoNotFit(t *testing.T) {
	n := trained(t, small(), everything, 1)
	for name, c := range map[string]struct {
		change func(control.Data)
		want   string
	}{
		"missing": {func(d control.Data) { delete(d, "y1") }, `y1 of shape []`},
		"shape":   {func(d control.Data) { d["image"] = dist.Scalar(1) }, "of shape [5 6], the value given has shape []"},
		"rotated": {func(d control.Data) { d["image"] = ppx.Tensor{Data: d["image"].Data, Shape: []int32{6, 5}} }, "the value given has shape [6,5]"},
		"flat":    {func(d control.Data) { d["image"] = dist.Vector(d["image"].Data...) }, ""},
		"a hole": {func(d control.Data) {
			v := slices.Clone(d["image"].Data)
			v[7] = math.NaN()
			d["image"] = ppx.Tensor{Data: v, Shape: []int32{5, 6}}
		}, "elements of image are missing"},
		"unknown":  {func(d control.Data) { d["other"] = dist.Scalar(1) }, `not trained to see other`},
		"good":     {func(d control.Data) {}, ""},
		"not seen": {func(d control.Data) { delete(d, "seq@3"); delete(d, "seq@2"); delete(d, "seq") }, ""},
	} {
		d := everythingData()
		c.change(d)
		_, err := NewProposer(n, d)
		if (err == nil) != (c.want == "") || (err != nil && (!errors.Is(err, ErrObservable) || !strings.Contains(err.Error(), c.want))) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := NewProposer(n, everythingData())
	if err != nil {
		t.Fatal(err)
	}
	if p.Check("everything") != nil || !errors.Is(p.Check("another"), ErrModel) {
		t.Error(p.Check("another"))
	}
}

// Addresses that were not seen in training are drawn from the prior.
func TestUnseenAddresses(t *testing.T) {
	model := func(extra bool) gosim.Model {
		return func(r *gosim.Run) gosim.Tensor {
			x := r.SampleAt(gosim.Site{Address: "x"}, "x", gosim.Normal(0, 1))
			if extra {
				r.SampleAt(gosim.Site{Address: "new"}, "new", gosim.Normal(0, 1))
			}
			x += r.SampleAt(gosim.Site{Address: "z"}, "z", gosim.Normal(0, 1))
			r.Observe("y", gosim.Normal(x, 1))
			return gosim.Scalar(x)
		}
	}
	s := small()
	s.Embed = nil
	n := trained(t, s, model(false), 20)
	data := control.Data{"y": dist.Scalar(1)}
	p, err := NewProposer(n, data)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range guided(t, p, data, model(true), 20, 0.01, 1) {
		for i, want := range []tracing.Origin{tracing.FromProposal, tracing.FromPrior, tracing.FromProposal} {
			if got := tr.Sites[i].Origin; got != want {
				t.Errorf("entry %d has a value %s", i, got)
			}
		}
	}
}
