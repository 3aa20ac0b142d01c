package engine

import (
	"testing"
	"testing/synctest"
)

// Workers that found the window full are woken when there is room again, though a finished trace waits behind one that is
// slow: here one trace of 8 MiB of the 64 that the window holds.
func TestRoomInTheWindowIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := make([]float64, 1<<20)
		window := windowBytes/traceOf(&job{}, large).Bytes() + 1 // 8
		var slow *job
		rounds := 0
		b := newBench(func(b *bench) {
			rounds++
			for j := b.take(); j != nil; j = b.take() {
				if slow == nil && int(j.Draw.Index) == window-1 {
					slow = j
					continue
				}
				b.finish(j, traceOf(j, large))
			}
		})
		var out consumer
		go out.read(b.stream(t.Context(), b.draws(1000, nil), nil, false))
		synctest.Wait()
		b.mu.Lock()
		bytes := slow.src.bytes
		b.mu.Unlock()
		if len(out.got) != window-1 || bytes <= windowBytes/2 {
			t.Errorf("%d draws begun, %d delivered; %d MiB wait, of 64 that may, and the workers, woken %d times, are idle", b.asked, len(out.got), bytes>>20, rounds)
		}
	})
}
