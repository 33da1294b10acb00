package docker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestCacheForgets(t *testing.T) {
	var c cache
	now := time.Unix(1e9, 0)
	path := func(i int) string { return fmt.Sprintf("/docker/%064x", i) }
	put := func(i int) {
		p := path(i)
		n := c.get(p, now)
		n.container = &metric.Container{Path: p}
		c.put(p, n, now)
	}
	// Churn, and one container that stays.
	for i := 1; i < 3*maxEntries; i++ {
		now = now.Add(5 * time.Millisecond)
		put(i)
		if i%100 == 0 {
			put(0)
		}
		if len(c.entries) > maxEntries {
			t.Fatalf("%d entries", len(c.entries))
		}
	}
	if n := c.get(path(0), now); n.container == nil {
		t.Error("the container that is asked for all the time was forgotten")
	}
	if n := c.get(path(1), now); n.container != nil {
		t.Error("the first of many is still there")
	}
	now = now.Add(maxIdle + time.Second)
	put(0)
	if len(c.entries) != 1 {
		t.Errorf("%d entries after a while in which nobody asked for them", len(c.entries))
	}
}

func TestCacheEventWhileReading(t *testing.T) {
	var c cache
	now := time.Now()
	path := "/docker/" + id1
	n := c.get(path, now)
	c.changed(id1, "", now) // while the answer is made
	n.container = &metric.Container{Path: path}
	c.put(path, n, now)
	if n := c.get(path, now); n.fresh(stamp{}, now) {
		t.Error("an answer that may be older than the event counts as fresh")
	}
	n = c.get(path, now)
	n.container = &metric.Container{Path: path}
	c.put(path, n, now)
	if n := c.get(path, now); !n.fresh(stamp{}, now) {
		t.Error("an answer that was made after the event doesn't count as fresh")
	}
}

func TestEntryFresh(t *testing.T) {
	now := time.Now()
	c := &metric.Container{}
	f := func(n entry, want bool) {
		t.Helper()
		if n.fresh(stamp{inode: 1}, now) != want {
			t.Errorf("%+v is fresh: %v", n, !want)
		}
	}
	s := stamp{inode: 1}
	f(entry{}, false)
	f(entry{stamp: s}, false)
	f(entry{stamp: s, container: c}, true)
	f(entry{stamp: s, err: errors.New("x")}, true)
	f(entry{stamp: stamp{inode: 2}, container: c}, false)
	f(entry{stamp: s, container: c, stale: true}, false)
	f(entry{stamp: s, container: c, until: now.Add(1)}, true)
	f(entry{stamp: s, container: c, until: now}, false)
}
