package proc

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestParseStat(t *testing.T) {
	const tick = 10_000_000 // ns
	f := func(text, wantBad string, user, nice, guest, cpu7 int64) {
		t.Helper()
		var s metric.Sample
		bad := parseStatWithCPUs([]byte(text), &s)
		if string(bad) != wantBad || (bad != nil) != (wantBad != "") {
			t.Errorf("%q: bad line %q, want %q", text, bad, wantBad)
		}
		check(t, &s, metric.NodeCPUUser, 0, user)
		check(t, &s, metric.NodeCPUNice, 0, nice)
		check(t, &s, metric.NodeCPUGuest, 0, guest)
		if row := s.RowByName(metric.PerCPU, []byte("7")); row >= 0 {
			check(t, &s, metric.CPUUsagePerCPU, row, cpu7)
		} else if cpu7 >= 0 {
			t.Errorf("%q: no CPU 7", text)
		}
	}
	// A host of virtual machines: guests are part of user and nice.
	f("cpu  100 50 3 4 5 6 7 8 90 40\n", "", 10*tick, 10*tick, 130*tick, -1)
	f("cpu  100 50 3 4 5 6 7 8 101 0\n", "cpu  100 50 3 4 5 6 7 8 101 0", -1, -1, -1, -1)
	// Time stolen, idle or waiting isn't busy; guests aren't counted twice.
	f("cpu7 1 2 30 4000 5000 600 7000 80000 1 2\n", "", -1, -1, -1, (1+2+30+600+7000)*tick)
	f("cpu7 1 2 30 4000 5000 600 7000 80000\n", "cpu7 1 2 30 4000 5000 600 7000 80000", -1, -1, -1, -1)
	f("cpu  1844674407371 0 0 0 0 0 0 0 0 0\n", "cpu  1844674407371 0 0 0 0 0 0 0 0 0", -1, -1, -1, -1)
	f("cpux 1 1 1 1 1 1 1 1 1 1\n", "cpux 1 1 1 1 1 1 1 1 1 1", -1, -1, -1, -1)
	f("unknown 1 2 3\nintr\n", "", -1, -1, -1, -1)
}
