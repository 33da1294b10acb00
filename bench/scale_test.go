package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkAgentScale shows that a cgroup costs the same among 10 and among 1,000: bare
// cgroups without an engine, one sample and one document of each per second, into the
// spool. Without an Elasticsearch, because one that takes a thousand documents a second
// would use the CPUs that are measured.
func BenchmarkAgentScale(b *testing.B) {
	length := windowLength(b) / 2
	groups := newBareCgroups(b)
	floor, program := buildFloor(b), buildAgent(b)
	b.Log(machine())

	var lines strings.Builder
	fmt.Fprintf(&lines, "%8s %12s %14s %12s %7s %14s %10s %12s\n", "cgroups", "per sample", "each further", "floor", "ratio", "CPU per sweep", "PSS", "descriptors")
	var fewer window // of the step before
	for _, n := range []int{10, 100, 300, 1000} {
		b.Run(fmt.Sprintf("cgroups=%d", n), func(b *testing.B) {
			if err := groups.grow(n); err != nil {
				b.Fatal(err)
			}
			agent := startAgent(b, program, nil, "-raw_cgroup_prefix_whitelist="+parent+"/", "-docker=", "-docker_root="+b.TempDir())
			if err := sleepUntil(b.Context(), time.Now().Add(length/2)); err != nil {
				b.Fatal(err)
			}
			var c comparison
			for b.Loop() {
				if err := c.alternate(b.Context(), agent, floor, length, fleet{member: groups.member}); err != nil {
					b.Fatal(err)
				}
			}
			b.Log("\n" + c.log.String())
			memory, err := measureMemory(agent.proc)
			if err != nil {
				b.Fatal(err)
			}
			t := c.total()
			if t.samples < n*t.sweeps {
				b.Errorf("%d samples in %d sweeps over %d cgroups", t.samples, t.sweeps, n)
			}
			fmt.Fprintf(&lines, "%8d %12s %14s %12s %7.2f %11.2f ms %10s %12d\n", n, micros(t.perSample()), further(fewer, t), micros(c.floorPerSample()), c.ratio(),
				milliseconds(t.usage.cpu)/float64(max(1, t.sweeps)), mebibytes(memory.pss), memory.descriptors)
			fewer = t
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(t.perSample().Nanoseconds())/1e3, "µs/sample")
			b.ReportMetric(float64(c.floorPerSample().Nanoseconds())/1e3, "floor-µs/sample")
			b.ReportMetric(float64(memory.pss)/(1<<20), "PSS-MiB")
		})
	}
	b.Log("\n" + lines.String())
}

// further returns what each cgroup costs that one window has more than another, per
// sample: the agent's fixed cost is not in it. "" if that can't be said.
func further(fewer, more window) string {
	if fewer.sweeps == 0 || more.sweeps == 0 {
		return ""
	}
	perSweep := func(w window) (cpu, samples float64) {
		return float64(w.usage.cpu) / float64(w.sweeps), float64(w.samples) / float64(w.sweeps)
	}
	cpu, samples := perSweep(fewer)
	moreCPU, moreSamples := perSweep(more)
	if moreSamples <= samples {
		return ""
	}
	return micros(time.Duration((moreCPU - cpu) / (moreSamples - samples)))
}

func TestFurther(t *testing.T) {
	at := func(sweeps, cgroups int, cpu time.Duration) window {
		return window{sweeps: sweeps, samples: sweeps * cgroups, usage: usage{cpu: time.Duration(sweeps) * cpu}}
	}
	f := func(fewer, more window, want string) {
		t.Helper()
		if got := further(fewer, more); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(at(30, 10, 2*time.Millisecond), at(60, 110, 7*time.Millisecond), "50.0 µs")
	f(window{}, at(30, 10, time.Millisecond), "")
	f(at(30, 10, time.Millisecond), at(30, 10, time.Millisecond), "")
}
