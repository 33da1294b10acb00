package collector

import (
	"testing"
	"time"
)

// What is asked for now and then is the worst of the time since, and not since the start.
func TestRecent(t *testing.T) {
	c := new(Collector)
	f := func(longest, latest time.Duration) {
		t.Helper()
		if a, b := c.Recent(); a != longest || b != latest {
			t.Errorf("longest %v, latest %v; want %v, %v", a, b, longest, latest)
		}
	}
	f(0, 0)
	for _, took := range [...]time.Duration{3, 9, 5} {
		c.stats.late(took * 10)
		c.stats.swept(took)
	}
	f(9, 90)
	f(0, 0)
	c.stats.late(20)
	c.stats.swept(2)
	f(2, 20)
}
