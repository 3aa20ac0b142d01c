package nn

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var threads atomic.Int64

// SetThreads sets how many threads a training step uses; 0 means one per core. Results depend on it in the last
// digits. It is one setting for the process.
func SetThreads(n int) {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	threads.Store(int64(n))
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
	if !team.mu.TryLock() { // somebody else has the helpers
		for p := range parts {
			f(n*p/parts, n*(p+1)/parts)
		}
		return
	}
	defer team.mu.Unlock()
	for len(team.helpers) < parts-1 {
		h := &helper{wake: make(chan struct{}, 1)}
		team.helpers = append(team.helpers, h)
		go h.run()
	}
	team.wrong.Store(nil)
	team.left.Store(int64(parts - 1))
	for p := 1; p < parts; p++ {
		team.helpers[p-1].post(errand{f, n * p / parts, n * (p + 1) / parts})
	}
	first(n/parts, f)
	if p := team.wrong.Load(); p != nil {
		panic(*p) // here, where somebody may recover it
	}
}

// first is the caller's part; it returns when all are done.
func first(to int, f func(from, to int)) {
	defer func() {
		for team.left.Load() > 0 {
			runtime.Gosched()
		}
	}()
	f(0, to)
}

// The helpers are goroutines that look out for work for a while before they sleep: the steps of an LSTM follow each other
// faster than a sleeping one wakes up.
var team struct {
	mu      sync.Mutex
	helpers []*helper
	left    atomic.Int64        // parts that are not done
	wrong   atomic.Pointer[any] // a panic in one of them
}

type errand struct {
	f        func(from, to int)
	from, to int
}

func (e *errand) do() {
	defer team.left.Add(-1)
	defer func() {
		if p := recover(); p != nil {
			team.wrong.Store(&p)
		}
	}()
	e.f(e.from, e.to)
}

type helper struct {
	errand errand
	posted atomic.Bool
	asleep atomic.Bool
	wake   chan struct{}
}

// lookOut is for how long a helper looks out for work.
const lookOut = 200 * time.Microsecond

func (h *helper) post(e errand) {
	h.errand = e
	h.posted.Store(true)
	if h.asleep.Swap(false) {
		h.wake <- struct{}{}
	}
}

func (h *helper) run() {
	for {
		for since := time.Now(); time.Since(since) < lookOut; runtime.Gosched() {
			if h.posted.Load() {
				e := h.errand
				h.posted.Store(false)
				e.do()
				since = time.Now()
			}
		}
		h.asleep.Store(true)
		if h.posted.Load() && h.asleep.Swap(false) {
			continue
		}
		<-h.wake
	}
}
