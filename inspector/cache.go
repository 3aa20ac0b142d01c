package inspector

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// cache has what was made of runs, so that many who look do not cost more than one: a result serves until its run has changed, and of a run that is being written
// twenty times as long as it took to make. Two are made at a time, so that a job beside keeps its processors, and a large one does
// not keep all others waiting.
type cache struct {
	mu    sync.Mutex
	made  map[string]*made
	order []string // keys, oldest first
	bytes int
	slots chan struct{}
}

type made struct {
	done  chan struct{}
	value any
	err   error
	state string // of the run when it was made
	live  bool   // the run was being written
	at    time.Time
	cost  time.Duration
	bytes int

	before *made // that serves until this one is done; it is, without an error
}

const (
	mostMade  = 200
	mostBytes = 256 << 20 // of what is kept
	leastLive = 2 * time.Second
	timesCost = 20
	longest   = 10 * time.Minute // that anything may take
)

func newCache() *cache { return &cache{made: map[string]*made{}, slots: make(chan struct{}, 2)} }

// get is what make makes, or has made of a run in the same state. It goes on for others if who asked has gone.
func (c *cache) get(ctx context.Context, key, state string, live bool, build func(context.Context) (any, error)) (any, error) {
	c.mu.Lock()
	m := c.made[key]
	if m != nil && !m.serves(state, live) {
		m = nil
	}
	if m == nil {
		m = &made{done: make(chan struct{}), state: state, live: live}
		if old := c.made[key]; old != nil && live && old.live { // of a run that goes on, who looks has the one before until the next is there
			m.before = old
		}
		if old := c.made[key]; old == nil {
			c.order = append(c.order, key)
		} else {
			c.bytes -= old.bytes
		}
		c.made[key] = m
		for len(c.order) > mostMade || c.bytes > mostBytes && len(c.order) > 1 {
			if old := c.made[c.order[0]]; old != nil {
				c.bytes -= old.bytes
			}
			delete(c.made, c.order[0])
			c.order = c.order[1:]
		}
		go c.build(key, m, build)
	}
	before := m.before
	c.mu.Unlock()
	if before != nil {
		select {
		case <-m.done:
		default:
			return before.value, before.err
		}
	}
	select {
	case <-m.done:
		return m.value, m.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serves tells whether what was made, or is being made, is good enough. Under the cache's lock.
func (m *made) serves(state string, live bool) bool {
	select {
	case <-m.done:
	default:
		return m.state == state || live
	}
	return m.state == state || live && m.live && time.Since(m.at) < max(leastLive, timesCost*m.cost)
}

func (c *cache) build(key string, m *made, build func(context.Context) (any, error)) {
	c.slots <- struct{}{}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	start := time.Now()
	value, err := survive(ctx, build)
	<-c.slots
	c.mu.Lock()
	defer c.mu.Unlock()
	m.before = nil
	m.value, m.err, m.at, m.cost = value, err, time.Now(), time.Since(start)
	switch b := value.(type) {
	case []byte:
		m.bytes = len(b)
	case json.RawMessage:
		m.bytes = len(b)
	case *result:
		m.bytes = len(b.summary) + len(b.live)
	}
	if c.made[key] == m {
		c.bytes += m.bytes
	}
	if err != nil && c.made[key] == m { // is tried again
		c.bytes -= m.bytes
		delete(c.made, key)
		if i := slices.Index(c.order, key); i >= 0 {
			c.order = slices.Delete(c.order, i, i+1)
		}
	}
	close(m.done)
}

// survive makes an error of a panic: what is shown comes from files of any kind, and others are still looking.
func survive(ctx context.Context, build func(context.Context) (any, error)) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("this view failed: %v", p)
		}
	}()
	return build(ctx)
}
