// Command delegate measures what the protocol's extension is worth, for one simulator: runs per second in
// lockstep (plain PPX 1.0), delegated, and steered with Observes sent along. Each figure alternates with the one
// that it is compared with, so that a slow moment of the machine strikes both.
//
//	delegate SECONDS SIMULATORS NAMES=VALUES -- COMMAND ARGS…
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "delegate:", err)
		os.Exit(1)
	}
}

// steered is the prior as a layer that is asked in mid-run.
type steered struct{ p control.Prior }

func (l steered) Choose(r *engine.Run, s *engine.Site) (engine.Choice, bool, error) {
	return l.p.Choose(r, s)
}

func run(args []string) error {
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return err
	}
	workers, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	data := control.Data{}
	at := 2
	for ; args[at] != "--"; at++ {
		name, value, _ := strings.Cut(args[at], "=")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return err
		}
		data[name] = dist.Scalar(v)
	}
	o := engine.Options{Command: args[at+1:], Workers: workers, Timeout: time.Minute}
	fast, err := engine.Open(context.Background(), o)
	if err != nil {
		return err
	}
	defer fast.Close()
	o.Plain = true
	plain, err := engine.Open(context.Background(), o)
	if err != nil {
		return err
	}
	defer plain.Close()

	own := control.NewCondition(nil, false)
	given := control.NewCondition(data, true)
	for _, c := range []struct {
		what       string
		pool, base *engine.Pool
		stack      engine.Stack
	}{
		{"prior, delegated", fast, plain, engine.Stack{own, control.Prior{}}},
		{"importance sampling, delegated", fast, plain, engine.Stack{given, control.Prior{}}},
		{"steered, Observes sent along", fast, plain, engine.Stack{given, steered{}}},
	} {
		var a, b rate
		for range 3 {
			if err := a.measure(c.base, c.stack, seconds/3); err != nil {
				return err
			}
			if err := b.measure(c.pool, c.stack, seconds/3); err != nil {
				return err
			}
		}
		fmt.Printf("%-32s %9.0f traces/s, %9.0f statements/s; in lockstep %6.0f traces/s: ratio %.1f\n",
			c.what, b.traces/b.seconds, b.statements/b.seconds, a.traces/a.seconds, b.traces/b.seconds/(a.traces/a.seconds))
	}
	return nil
}

type rate struct{ traces, statements, seconds float64 }

// measure streams for a while; the first tenth does not count.
func (r *rate) measure(p *engine.Pool, s engine.Stack, seconds float64) error {
	begin := time.Now()
	var start time.Time
	for t, err := range p.Stream(context.Background(), engine.Draws(1, 0, 1<<40, func(engine.Draw) engine.Stack { return s }), nil) {
		if err != nil {
			return err
		}
		switch since := time.Since(begin).Seconds(); {
		case since < seconds/10:
			continue
		case start.IsZero():
			start = time.Now()
		case since > seconds:
			r.seconds += time.Since(start).Seconds()
			return nil
		}
		r.traces++
		r.statements += float64(len(t.Sites))
	}
	return nil
}
