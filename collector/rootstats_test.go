package collector

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Without stats of the node it is still there, and nothing of it is measured or shipped.
func TestNoRootStats(t *testing.T) {
	f := func(without bool) {
		t.Helper()
		b := newBench(t, func(o *Options) { o.NoRootStats = without })
		b.tick(t)
		b.tick(t)
		b.windowEnd(t)
		var r Readings
		b.copyLatest(&r)
		listed, numbers := 0, 0
		for i := range r.Containers {
			if r.Containers[i].Container.Path == metric.Root {
				listed++
				numbers = r.Containers[i].Sample.Len()
			}
		}
		shipped := 0
		for _, w := range b.sink.windows {
			if w.container.Path == metric.Root {
				shipped++
			}
		}
		if listed != 1 || (numbers == 0) != without || (shipped == 0) != without {
			t.Errorf("without %v: listed %d times, %d numbers, %d windows", without, listed, numbers, shipped)
		}
	}
	f(true)
	f(false)
}
