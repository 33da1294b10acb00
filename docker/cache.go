package docker

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// How long the cache keeps what nobody asks for, and how much at most. Containers that
// come and go, 200 a second, fill it in between; an entry has about 2 KiB.
const (
	maxIdle    = 2 * time.Minute
	maxEntries = 1 << 14
)

// An entry is the last answer about one cgroup.
type entry struct {
	container *metric.Container // nil while err is the answer
	err       error
	// stamp is the version of the record that the answer was read from, zero when it
	// came from the socket.
	stamp stamp
	// until is when the answer has to be made again though the record is the same;
	// zero for never.
	until time.Time
	// stale means that an event told of a change since.
	stale bool
	// told is the health that an event told last, at the time toldAt.
	told   string
	toldAt time.Time

	asked time.Time
	turn  uint64 // of the cache, when the answer was begun
}

// fresh reports whether the answer still holds for the record with that stamp.
func (n *entry) fresh(s stamp, now time.Time) bool {
	return n.stamp == s && !n.stale && (n.until.IsZero() || now.Before(n.until)) &&
		(n.container != nil || n.err != nil)
}

// A cache keeps answers by cgroup path. Methods may be called at once.
type cache struct {
	mu      sync.Mutex // guards all below; never held across a file or a socket
	entries map[string]entry
	swept   time.Time
	turn    uint64 // counts events
}

// get returns the entry of path, an empty one if there is none.
func (c *cache) get(path string, now time.Time) entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.entries[path]
	if ok {
		n.asked = now
		c.entries[path] = n
	}
	n.turn = c.turn
	return n
}

// runtime returns the runtime of the container that is known at path, "" if none is.
func (c *cache) runtime(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.entries[path].container; known != nil {
		return known.Runtime
	}
	return ""
}

// put stores an answer that was begun with get, and returns the container to hand out:
// the one from before if the new one says the same.
func (c *cache) put(path string, n entry, now time.Time) *metric.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.entries[path]
	if n.container != nil && old.container != nil && reflect.DeepEqual(n.container, old.container) {
		n.container = old.container
	}
	// An event that came while the answer was made may be newer than it.
	n.stale = n.turn != c.turn
	n.told, n.toldAt = old.told, old.toldAt
	n.asked = now
	if c.entries == nil {
		c.entries = make(map[string]entry)
	}
	c.entries[path] = n
	c.sweep(now)
	return n.container
}

// changed makes the answers about the container id stale, and returns what the last one
// was. The health is what an event told, "" if it told of something else.
func (c *cache) changed(id, health string, at time.Time) *metric.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	var last *metric.Container
	for path, n := range c.entries {
		if n.container == nil && n.err == nil || idOf(path) != id {
			continue
		}
		n.stale = true
		if health != "" {
			n.told, n.toldAt = health, at
		}
		if n.container != nil {
			last = n.container
		}
		c.entries[path] = n
	}
	return last
}

// changedAll makes all answers stale: nobody knows what happened.
func (c *cache) changedAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	for path, n := range c.entries {
		n.stale, n.told = true, ""
		c.entries[path] = n
	}
}

// find returns a container that f accepts, nil if there is none.
func (c *cache) find(f func(*metric.Container) bool) *metric.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.entries {
		if n.container != nil && f(n.container) {
			return n.container
		}
	}
	return nil
}

// sweep forgets what nobody asks for any more. c.mu is held.
func (c *cache) sweep(now time.Time) {
	if len(c.entries) > maxEntries {
		// The quarter that was asked for least recently goes, so that this is rare.
		type age struct {
			path  string
			asked time.Time
		}
		ages := make([]age, 0, len(c.entries))
		for path, n := range c.entries {
			ages = append(ages, age{path, n.asked})
		}
		slices.SortFunc(ages, func(a, b age) int { return a.asked.Compare(b.asked) })
		for _, a := range ages[:len(ages)/4] {
			delete(c.entries, a.path)
		}
	}
	if now.Sub(c.swept) < maxIdle/4 {
		return
	}
	c.swept = now
	maps.DeleteFunc(c.entries, func(_ string, n entry) bool { return now.Sub(n.asked) > maxIdle })
}

func idOf(path string) string {
	_, id, _ := recognize(path)
	return id
}
