package cgroup

import (
	"bytes"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Whatever a file holds, to parse it takes time and memory by its length: 64 KiB of each of
// the real files, again and again, and of the same without sense.
func TestParsersAreCheap(t *testing.T) {
	const size = 64 << 10
	var most lab.Cost
	f := func(name string, row *row, b []byte) {
		t.Helper()
		cost := lab.CheckCheap(t, name, b, func(b []byte) {
			var k sink
			var l layout
			k.reset(new(metric.Sample))
			k.parse(row, b, &l)
		})
		most = most.Max(cost)
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
	t.Logf("64 KiB took at most %v", most)
}

func reversed(b []byte) []byte {
	r := bytes.Clone(b)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return r
}
