package proc

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestParseMeminfo(t *testing.T) {
	f := func(text, wantBad string, free int64) {
		t.Helper()
		var s metric.Sample
		bad := parseMeminfo([]byte(text), &s)
		if string(bad) != wantBad || (bad != nil) != (wantBad != "") {
			t.Errorf("%q: bad line %q, want %q", text, bad, wantBad)
		}
		check(t, &s, metric.NodeMemoryFree, 0, free)
	}
	f("MemFree:        20 kB\n", "", 20480)
	f("MemFree:        0 kB\nHugePages_Total:       0\n", "", 0)
	f("MemFreeCma:        20 kB\n", "", -1)
	f("MemFree:        20 MB\n", "MemFree:        20 MB", -1)
	f("MemFree:        20\n", "MemFree:        20", -1)
	f("MemFree:\n", "MemFree:", -1)
	f("MemFree:        18446744073709551615 kB\n", "MemFree:        18446744073709551615 kB", -1)
	f("MemFree:        20 k", "MemFree:        20 k", -1)
}
