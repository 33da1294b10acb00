package proc

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestParsePressure(t *testing.T) {
	f := func(text, wantBad string, some, someAvg60, full int64) {
		t.Helper()
		var s metric.Sample
		bad := cpuPressure.parse([]byte(text), &s)
		if string(bad) != wantBad || (bad != nil) != (wantBad != "") {
			t.Errorf("%q: bad line %q, want %q", text, bad, wantBad)
		}
		check(t, &s, metric.PressureCPUSome, 0, some)
		check(t, &s, metric.PressureCPUSomeAvg60, 0, someAvg60)
		check(t, &s, metric.PressureCPUFull, 0, full)
	}
	// Before Linux 5.13 the cpu file had no full.
	f("some avg10=0.00 avg60=12.34 avg300=2.05 total=7\n", "", 7000, 1234, -1)
	f("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n", "", 0, 0, 3000)
	f("some avg10=0.00 avg3600=0.10 total=7\nirq total=9\n", "", 7000, -1, -1)
	f("some total=18446744073709552\n", "some total=18446744073709552", -1, -1, -1)
	f("some avg60=x\nfull total=1\n", "some avg60=x", -1, -1, 1000)
}
