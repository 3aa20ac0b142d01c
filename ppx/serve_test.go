package ppx

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// orders is a Run message with everything in it; the tests of the other clients read it from testdata.
func orders() []byte {
	w := &WireRun{Mode: Delegate, Seed: 1, Draws: []uint64{4, 5}, Streams: []uint64{6, 1 << 40}, DataID: 1, Data: []Datum{{"x", dist.Vector(1, 2)}, {"y@2", dist.Scalar(3)}},
		Reuse: &WireReuse{Restart: true, Bases: []string{"a__Normal", "b__Uniform"}, Base: []uint32{0, 1, 0}, Instance: []uint32{1, 1, 2},
			Shapes: []int32{0, 1, 2, 0}, Numbers: []float64{1, 2, 3, 4}, Ends: []uint32{2, 3}}, Inflation: 0.25, FlushMS: 1000, FlushBytes: 1000}
	var enc Encoder
	return enc.Encode(&Message{Type: Run, Run: w, Token: 7})
}

func TestOrdersAreThoseOfTheOtherClients(t *testing.T) {
	const path = "../testdata/run.bin"
	if os.Getenv("PPX_UPDATE") != "" {
		if err := os.WriteFile(path, orders(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(want, orders()) {
		t.Errorf("%s is out of date (%v): run this test with PPX_UPDATE=1", path, err)
	}
}

// Whatever an engine sends for a Run: no panic.
func TestDamagedOrders(t *testing.T) {
	msg := orders()
	try := func(buf []byte) {
		r := &remote{}
		r.notes.reset()
		if r.dec.Decode(buf, &r.m) == nil && r.m.Type == Run {
			_ = r.orders(r.m.Run)
		}
	}
	try(msg)
	for n := range msg {
		try(msg[:n])
		for bit := range 8 {
			msg[n] ^= 1 << bit
			try(msg)
			msg[n] ^= 1 << bit
		}
	}
}

// An engine that is gone does not keep the simulator for ever: another one is let in when nothing was heard of it
// for the time of a lease, and what it says after that is refused.
func TestLeaseEnds(t *testing.T) {
	defer func(d time.Duration) { lease = d }(lease)
	for _, midRun := range []bool{false, true} {
		engine, simulator := Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- Serve(ctx, simulator, "test", "m", func(h Handler) (Tensor, error) {
				return h.Sample(&Statement{Address: "a", Control: true, Dist: dist.New(dist.Normal, 0, 1)})
			})
		}()
		say := func(msg []byte) []byte {
			t.Helper()
			if err := engine.Send(msg); err != nil {
				t.Fatal(err)
			}
			answer, err := engine.Recv(10 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		lease = time.Hour // longer than any machine takes for what follows
		first, second := NewSession(Limits{}), NewSession(Limits{})
		if err := first.Welcome(say(first.Hello("first"))); err != nil {
			t.Fatal(err)
		}
		if midRun {
			say(first.Begin(&Plan{}))
		}
		if err := second.Welcome(say(second.Hello("second"))); !errors.Is(err, ErrBusy) {
			t.Errorf("at once: %v", err)
		}
		lease = 20 * time.Millisecond // seen by the other side with the next message
		time.Sleep(2 * lease)
		if err := second.Welcome(say(second.Hello("second"))); err != nil {
			t.Errorf("after the lease: %v", err)
		}
		if _, _, err := first.Step(say(first.Begin(&Plan{})), nil); !errors.Is(err, ErrBusy) {
			t.Errorf("the first engine comes back: %v", err)
		}
		cancel()
		if err := errors.Join(<-done, engine.Close()); err != nil {
			t.Error(err)
		}
	}
}
