package engine_test

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// The storm: simulators that send garbage or hang by chance, kills from outside, a slow disk, all at the same time. make
// storm runs it for ten minutes (PPX_STORM=draws), make test a short one.

// exposed is gum in the weather; in calm weather where spoil is nil.
//
//go:noinline
func exposed(fatal bool, spoil *atomic.Bool) gosim.Model {
	return func(r *gosim.Run) gosim.Tensor {
		if fatal && r.Sample("luck", gosim.Uniform(0, 1)) < 0.002 {
			os.Exit(7)
		}
		if spoil != nil {
			switch x := rand.Float64(); {
			case x < 0.0003:
				time.Sleep(time.Hour)
			case x < 0.05:
				spoil.Store(true)
			}
		}
		return gum.Model(r)
	}
}

// weather is a simulator of gum between whose client and engine the weather is bad: in one run of twenty what it sends is
// garbage, or cut off; in one of some thousands it hangs. Chance is the process's own, so that a run that is made again may
// get through. "fatal" besides ends in every draw of a rare kind.
func weather(name string) {
	var spoil atomic.Bool
	model := exposed(name == "weather fatal", &spoil)
	near, far := ppx.Pipe()
	go func() { panic(ppx.Serve(context.Background(), far, "ppx test", name, gosim.Wrap(model))) }()
	t, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		panic(err)
	}
	s, err := t.Listen(os.Getenv("PPX_ENDPOINT"))
	if err != nil {
		panic(err)
	}
	for {
		msg, err := s.Recv(0)
		if err != nil {
			return
		}
		if err := near.Send(msg); err != nil {
			panic(err)
		}
		answer, err := near.Recv(0)
		if err != nil {
			panic(err)
		}
		if spoil.Swap(false) {
			if answer = append([]byte{}, answer...); rand.IntN(2) == 0 {
				answer = answer[:rand.IntN(len(answer)/2)]
			}
			for i := range answer {
				answer[i] = byte(rand.Uint32())
			}
		}
		if err := s.Send(answer); err != nil {
			panic(err)
		}
	}
}

// slowDisk is a writer that stalls now and then.
type slowDisk struct {
	w tracing.Writer
	n int
}

func (d *slowDisk) Write(ctx context.Context, t *tracing.Trace) error {
	if d.n++; d.n%5000 == 0 {
		time.Sleep(300 * time.Millisecond)
	}
	return d.w.Write(ctx, t)
}

func TestStorm(t *testing.T) {
	n := uint64(10_000)
	if testbed.Raced {
		n = 4000
	}
	if text := os.Getenv("PPX_STORM"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	data := control.NewCondition(control.Data{"obs0": dist.Scalar(8), "obs1": dist.Scalar(9)}, true)
	maker := func(engine.Draw) engine.Stack { return engine.Stack{data, control.Prior{}} }
	seed := maphash.MakeSeed()
	print := func(tr *tracing.Trace) uint64 { return maphash.String(seed, testbed.Fingerprint(tr)) }
	calm := make([]uint64, 0, n)
	local := engine.NewLocal(gosim.Wrap(exposed(false, nil)), 2)
	for tr, err := range local.Stream(t.Context(), engine.Draws(1, 0, n, maker), nil) {
		if err != nil {
			t.Fatal(err)
		}
		calm = append(calm, print(tr))
	}
	local.Close()

	o := options("weather", 8)
	o.Timeout = 2 * time.Second
	p := open(t, o)
	path := filepath.Join(t.TempDir(), "run")
	w, err := rundir.Create(path, &rundir.Manifest{N: n}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	calmDown := sync.OnceFunc(func() { close(stop) })
	defer calmDown()
	var killer sync.WaitGroup
	kills, finished := 0, uint64(0)
	killer.Go(func() {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			// A machine that is too slow to start a simulator between two kills gets time for a run.
			if n := p.Stats().Finished; n > finished {
				if pids := children(t); len(pids) > 0 {
					_ = syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL)
					kills++
					finished = n
				}
			}
		}
	})
	disk := tracing.NewAsync(&slowDisk{w: w}, 256)
	delivered := uint64(0)
	for tr, err := range p.Stream(t.Context(), engine.Draws(1, 0, n, maker), nil) {
		if err != nil {
			t.Fatalf("after %d draws: %v", delivered, err)
		}
		if err := disk.Write(t.Context(), tr); err != nil {
			t.Fatal(err)
		}
		if tr.Status == tracing.Failed {
			t.Errorf("draw %d was given up: %s", tr.Draw, tr.Error)
		}
		delivered++
	}
	calmDown()
	killer.Wait()
	if err := errors.Join(disk.Close(), w.Close(rundir.Complete, nil)); err != nil {
		t.Fatal(err)
	}
	r, err := rundir.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for tr, err := range r.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if print(tr) != calm[rows] {
			t.Fatalf("draw %d is not the one of calm weather", tr.Draw)
		}
		rows++
	}
	stats := p.Stats()
	if rows != int(n) || stats.Lost == 0 || kills == 0 {
		t.Errorf("%d of %d rows; %d runs lost, %d kills", rows, n, stats.Lost, kills)
	}
	t.Logf("%d draws: %d runs lost and made again, %d kills", rows, stats.Lost, kills)
}

// In the same weather draws that are fatal to their simulator are found, all of them and no others.
func TestFatalDrawsInBadWeather(t *testing.T) {
	n := uint64(6000)
	if testbed.Raced {
		n = 2000
	}
	o := options("weather fatal", 4)
	o.Timeout, o.MaxFailed = 2*time.Second, 0.05
	p := open(t, o)
	traces, err := draw(t, p, n, prior)
	if err != nil {
		t.Fatal(err)
	}
	fatal := 0
	for i, tr := range traces {
		s := dist.NewStream(7, 0, 0, uint64(i), dist.PurposeValue)
		if luck := s.Float64(); (luck < 0.002) != (tr.Status == tracing.Failed) {
			t.Errorf("draw %d, luck %g: %v %s", i, luck, tr.Status, tr.Error)
		}
		if tr.Status == tracing.Failed {
			fatal++
		}
	}
	if fatal == 0 {
		t.Error("there was no fatal draw")
	}
	t.Logf("%d fatal draws; %d runs lost", fatal, p.Stats().Lost)
}

// How often a fatal draw is made depends on what chance does in the job: three times in a calm one.
func TestTriesOfAFatalDraw(t *testing.T) {
	for _, c := range []struct{ n, atMost uint64 }{{5000, 3 + 5}, {150, 6 + 5}} { // besides the batches that die with it, each a quarter of the one before
		s := dist.NewStream(7, 0, 0, c.n-20, dist.PurposeValue)
		o := options("fatal-draw", 1)
		o.Command = append([]string{"/usr/bin/env", fmt.Sprintf("PPX_TEST_FATAL=%x", s.Float64())}, o.Command[1:]...)
		p := open(t, o)
		traces, err := draw(t, p, c.n, prior)
		if err != nil {
			t.Fatal(err)
		}
		failed := uint64(0)
		for _, tr := range traces {
			if tr.Status == tracing.Failed {
				failed++
			}
		}
		if lost := p.Stats().Lost + failed; failed != 1 || lost < 3 || lost > c.atMost {
			t.Errorf("%d draws: %d failed, %d runs lost", c.n, failed, lost)
		}
	}
}

// Data under parameters that are no distribution have no chance, where the user has said so; else the run fails.
func TestInvalidObserve(t *testing.T) {
	data := control.NewCondition(control.Data{"y": dist.Scalar(1)}, true)
	maker := func(engine.Draw) engine.Stack { return engine.Stack{data, control.Prior{}} }
	for _, plain := range []bool{false, true} {
		o := options("nan-parameter", 2)
		o.Plain = plain
		if !plain { // where each failure costs a simulator
			if _, err := draw(t, open(t, o), 300, maker); !errors.Is(err, engine.ErrGivenUp) || !errors.Is(err, ppx.ErrInvalid) {
				t.Error(err)
			}
		}
		o.InvalidObserve = true
		p := open(t, o)
		traces, err := draw(t, p, 300, maker)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range traces {
			x := tr.Value(0).Float()
			z := 1 - x
			want := -0.5*z*z - 0.9189385332046727
			if (x > 1) != (tr.LogWeight < -1e300) || x <= 1 && !(tr.LogWeight-want < 1e-12 && want-tr.LogWeight < 1e-12) {
				t.Errorf("plain %t, x = %g: weight %g", plain, x, tr.LogWeight)
			}
		}
		if plain {
			continue
		}
		// Without a value there is nothing to score: the run fails as before.
		if _, err := draw(t, p, 300, prior); !errors.Is(err, engine.ErrGivenUp) {
			t.Errorf("prior: %v", err)
		}
	}
}
