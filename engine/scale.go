package engine

import (
	"cmp"
	"runtime"
	"time"

	"github.com/ppx-engine/ppx-engine/engine/supervise"
)

// scale adds workers as long as that makes the whole faster: more simulators than cores pay because each
// waits for the wire most of the time.
func (p *Pool) scale() {
	const window = 250 * time.Millisecond
	cores := runtime.GOMAXPROCS(0)
	last := 0.0
	for n := 2 * cores; n <= 8*cores; n *= 2 {
		rate := p.measure(window)
		if p.closing.Load() || rate < last*1.1 {
			return
		}
		last = rate
		if n > p.fitting(n) {
			return
		}
		if err := p.grow(n); err != nil {
			p.o.Log("no more workers: " + err.Error())
			return
		}
	}
}

// measure waits until all members have started, and then counts statements for a while that is long
// enough for a few runs.
func (p *Pool) measure(window time.Duration) float64 {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var start time.Time
	var from, runs uint64
	for range tick.C {
		switch {
		case p.closing.Load():
			return 0
		case start.IsZero():
			if p.starting() == 0 {
				start, from, runs = time.Now(), p.q.statements.Load(), p.q.finished.Load()
			}
		case time.Since(start) >= window && p.q.finished.Load() >= runs+uint64(2*p.alive.Load()):
			return float64(p.q.statements.Load()-from) / time.Since(start).Seconds()
		}
	}
	return 0
}

// starting is how many members have yet to answer their first handshake.
func (p *Pool) starting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, l := range p.loops {
		n += int(l.starting.Load())
	}
	return n
}

// fitting is how many copies fit into half of the memory that is free, at most n.
func (p *Pool) fitting(n int) int {
	available, resident := supervise.FreeMemory(), int64(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.loops {
		if pid := l.pid.Load(); pid > 0 {
			resident = cmp.Or(supervise.Memory(pid), resident)
		}
	}
	if available == 0 || resident == 0 {
		return n
	}
	return min(n, len(p.members)+int(available/2/resident))
}
