package inspector

import (
	"context"
	"sync"
	"time"
)

// cache has what was made of runs, so that many who look do not cost more than one: a result serves until its run has changed, and of a run that is being written
// twenty times as long as it took to make. One is made at a time, so that a job beside keeps its processors.
type cache struct {
	mu    sync.Mutex
	made  map[string]*made
	order []string // keys, oldest first
	one   chan struct{}
}

type made struct {
	done  chan struct{}
	value any
	err   error
	state string // of the run when it was made
	live  bool   // the run was being written
	at    time.Time
	cost  time.Duration
}

const (
	mostMade  = 200
	leastLive = 2 * time.Second
	timesCost = 20
	longest   = 10 * time.Minute // that anything may take
)

func newCache() *cache { return &cache{made: map[string]*made{}, one: make(chan struct{}, 1)} }

// get is what make makes, or has made of a run in the same state. It goes on for others if who asked has gone.
func (c *cache) get(ctx context.Context, key, state string, live bool, build func(context.Context) (any, error)) (any, error) {
	c.mu.Lock()
	m := c.made[key]
	if m != nil && !m.serves(state) {
		m = nil
	}
	if m == nil {
		m = &made{done: make(chan struct{}), state: state, live: live}
		if c.made[key] == nil {
			c.order = append(c.order, key)
		}
		c.made[key] = m
		for len(c.order) > mostMade {
			delete(c.made, c.order[0])
			c.order = c.order[1:]
		}
		go c.build(key, m, build)
	}
	c.mu.Unlock()
	select {
	case <-m.done:
		return m.value, m.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serves tells whether what was made, or is being made, is good enough. Under the cache's lock.
func (m *made) serves(state string) bool {
	select {
	case <-m.done:
	default:
		return true
	}
	return m.state == state || m.live && time.Since(m.at) < max(leastLive, timesCost*m.cost)
}

func (c *cache) build(key string, m *made, build func(context.Context) (any, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	c.one <- struct{}{}
	start := time.Now()
	value, err := build(ctx)
	<-c.one
	c.mu.Lock()
	defer c.mu.Unlock()
	m.value, m.err, m.at, m.cost = value, err, time.Now(), time.Since(start)
	if err != nil && c.made[key] == m { // is tried again
		delete(c.made, key)
		for i, k := range c.order {
			if k == key {
				c.order = append(c.order[:i], c.order[i+1:]...)
				break
			}
		}
	}
	close(m.done)
}
