package proc

import (
	"bytes"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Whatever a file holds, to parse it takes time and memory by its length: 64 KiB of each of
// the real files, again and again.
func TestParsersAreCheap(t *testing.T) {
	const size = 64 << 10
	var most lab.Cost
	f := func(name string, text []byte, parse func([]byte, *metric.Sample)) {
		t.Helper()
		if len(text) == 0 {
			return
		}
		text = bytes.Repeat(text, size/len(text)+1)[:size]
		cost := lab.CheckCheap(t, name, text, func(b []byte) { parse(b, new(metric.Sample)) })
		most = most.Max(cost)
	}
	for _, machine := range []string{v1Machine, v2Machine} {
		for _, source := range nodeSources {
			if text, err := testdata.ReadFile("testdata/" + machine + "/" + source.name); err == nil {
				f(machine+" "+source.name, text, func(b []byte, s *metric.Sample) { source.parse(b, s) })
			}
		}
		f(machine+" mountinfo", fixture(t, machine+"/self/mountinfo"), func(b []byte, _ *metric.Sample) { parseMounts(b) })
	}
	f("net/dev", fixture(t, v1Machine+"/1/net/dev"), func(b []byte, s *metric.Sample) { parseNetDev(b, s) })
	f("cgroup", fixture(t, v1Machine+"/1/cgroup"), func(b []byte, _ *metric.Sample) { inContainer(b, idA) })
	f("limits", fixture(t, v1Machine+"/28949/limits"), func(b []byte, s *metric.Sample) { parseLimits(b, s) })
	f("os-release", []byte("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=x\n"), func(b []byte, _ *metric.Sample) { prettyName(bytes.NewReader(b)) })
	t.Logf("64 KiB took at most %v", most)
}

func FuzzOSRelease(f *testing.F) {
	f.Add("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
	f.Add("NAME=Alpine\nPRETTY_NAME='Alpine Linux v3.20'\n")
	f.Add("PRETTY_NAME=\"")
	f.Fuzz(func(t *testing.T, text string) {
		if name := prettyName(strings.NewReader(text)); name != "Linux" && len(name) > len(text) || strings.Contains(name, "\n") {
			t.Errorf("%q of %q", name, text)
		}
	})
}
