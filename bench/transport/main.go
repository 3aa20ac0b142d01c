// Command transport is pingpong's driver (bench/pingpong.c) over this project's sockets and poller:
// transport SECONDS ENDPOINT…
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
)

func main() {
	if err := drive(); err != nil {
		fmt.Fprintln(os.Stderr, "transport:", err)
		os.Exit(1)
	}
}

func drive() error {
	runtime.LockOSThread()
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		return err
	}
	t, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		return err
	}
	p, err := t.NewPoller()
	if err != nil {
		return err
	}
	out := make([]byte, 80)
	sent := map[*ppx.Socket]*time.Time{}
	for _, e := range os.Args[2:] {
		s, err := t.Dial(e, false)
		if err != nil {
			return err
		}
		if err := s.Send(out); err != nil {
			return err
		}
		if _, err := s.Recv(5 * time.Second); err != nil {
			return err
		}
		p.Add(s)
		sent[s] = new(time.Time)
	}
	start := time.Now()
	for s, at := range sent {
		*at = time.Now()
		if err := s.TrySend(out); err != nil {
			return err
		}
	}
	latency := make([]float32, 0, 4<<20)
	for time.Since(start).Seconds() < seconds {
		ready, err := p.Poll(time.Second)
		if err != nil {
			return err
		}
		for _, s := range ready {
			if _, err := s.TryRecv(); err != nil {
				return err
			}
			now := time.Now()
			at := sent[s]
			latency = append(latency, float32(now.Sub(*at).Seconds()))
			*at = now
			if err := s.TrySend(out); err != nil {
				return err
			}
		}
	}
	elapsed := time.Since(start).Seconds()
	slices.Sort(latency)
	fmt.Printf("%.0f %.3f\n", float64(len(latency))/elapsed, 1e3*latency[len(latency)*99/100])
	return nil
}
