package net

import (
	"runtime"
	"sync"
	"sync/atomic"
)

var threads atomic.Int64

// SetThreads sets how many threads a training step uses; 0 means one per core. Results depend on it in the last
// digits. It is one setting for the process, and for the BLAS too.
func SetThreads(n int) {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	threads.Store(int64(n))
	setBLASThreads(n)
}

// Threads is what SetThreads has set.
func Threads() int { return max(1, int(threads.Load())) }

// Parallel calls f for parts of [0, n), on several threads if there are at least two parts of grain elements.
// f must not make results depend on where the parts end.
func Parallel(n, grain int, f func(from, to int)) {
	parts := min(Threads(), n/max(grain, 1))
	if parts <= 1 {
		if n > 0 {
			f(0, n)
		}
		return
	}
	var w sync.WaitGroup
	for p := 1; p < parts; p++ {
		w.Go(func() { f(n*p/parts, n*(p+1)/parts) })
	}
	f(0, n/parts)
	w.Wait()
}
