package cgroup

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Whatever a file holds, to parse it takes time and memory by its length: 64 KiB of each of
// the real files, again and again, and of the same without sense.
func TestParsersAreCheap(t *testing.T) {
	const size = 64 << 10
	var slowest time.Duration
	var most float64
	f := func(name string, row *row, b []byte) {
		t.Helper()
		best := time.Hour
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		runs := 0
		// A machine that does other things interrupts some runs, and not all of them.
		for ; runs < 5 || best > 10*time.Millisecond && runs < 200; runs++ {
			var k sink
			var l layout
			k.reset(new(metric.Sample))
			began := time.Now()
			k.parse(row, b, &l)
			best = min(best, time.Since(began))
		}
		runtime.ReadMemStats(&after)
		times := float64(after.TotalAlloc-before.TotalAlloc) / float64(runs) / float64(len(b))
		slowest, most = max(slowest, best), max(most, times)
		if best > 10*time.Millisecond || times > 8 {
			t.Errorf("%s: %v, and %.1f times its length allocated", name, best, times)
		}
	}
	for _, fx := range fixtures(t) {
		if len(fx.b) == 0 {
			continue
		}
		long := bytes.Repeat(fx.b, size/len(fx.b)+1)[:size]
		f(fx.name, fx.row, long)
		f(fx.name+" in one line", fx.row, bytes.ReplaceAll(long, []byte("\n"), []byte(" ")))
		f(fx.name+" reversed", fx.row, reversed(long))
	}
	t.Logf("the slowest 64 KiB took %v, the most that was allocated is %.1f times the length", slowest, most)
}

func reversed(b []byte) []byte {
	r := bytes.Clone(b)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return r
}
