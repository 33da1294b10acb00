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
// would use the CPUs that are measured. It fails where it isn't the same: see steeper.
func BenchmarkAgentScale(b *testing.B) {
	length := windowLength(b) / 2
	groups := newBareCgroups(b)
	floor, program := buildFloor(b), buildAgent(b)
	b.Log(machine())

	var lines strings.Builder
	fmt.Fprintf(&lines, "%8s %12s %14s %12s %7s %14s %10s %12s\n", "cgroups", "per sample", "each further", "floor", "ratio", "CPU per sweep", "PSS", "descriptors")
	var before step
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
			now := step{n, t, c.floorPerSample()}
			if t.samples < n*t.sweeps {
				b.Errorf("%d samples in %d sweeps over %d cgroups", t.samples, t.sweeps, n)
			}
			fmt.Fprintf(&lines, "%8d %12s %14s %12s %7.2f %11.2f ms %10s %12d\n", n, micros(t.perSample()), now.further(before.window), micros(now.floor), c.ratio(),
				milliseconds(t.usage.cpu)/float64(max(1, t.sweeps)), mebibytes(memory.pss), memory.descriptors)
			if why := now.steeper(before); why != "" {
				b.Error(why)
			}
			before = now
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(t.perSample().Nanoseconds())/1e3, "µs/sample")
			b.ReportMetric(float64(c.floorPerSample().Nanoseconds())/1e3, "floor-µs/sample")
			b.ReportMetric(float64(memory.pss)/(1<<20), "PSS-MiB")
		})
	}
	b.Log("\n" + lines.String())
}

// step is what was measured with one number of cgroups.
type step struct {
	cgroups int
	window  window
	floor   time.Duration // per sample
}

// further returns what each cgroup costs that s has more than another window, per sample: the
// agent's fixed cost is not in it. "" if that can't be said.
func (s step) further(fewer window) string {
	if each, ok := further(fewer, s.window); ok {
		return micros(each)
	}
	return ""
}

// fixedUpTo is the number of cgroups below which the agent's fixed cost is most of a sample.
const fixedUpTo = 100

// steepest is how much dearer a further cgroup may be than those before it.
const steepest = 1.3

// steeper says that each cgroup that s has more than the step before costs more than a sample
// did there; "" if it doesn't. Both are counted in floors of their own step, so that what
// the kernel's own files cost among more of them is nobody's fault. A sample of the step
// before has its share of the fixed cost: a tenth of it among 300, which counts for the agent.
// Steps from fewer than fixedUpTo cgroups tell nothing, because the small difference of two
// small numbers is more of noise than of anything else.
func (s step) steeper(before step) string {
	each, ok := further(before.window, s.window)
	if !ok || before.cgroups < fixedUpTo || s.floor <= 0 || before.floor <= 0 {
		return ""
	}
	now, then := float64(each)/float64(s.floor), float64(before.window.perSample())/float64(before.floor)
	if now <= steepest*then {
		return ""
	}
	return fmt.Sprintf("each cgroup from %d to %d costs %.2f floors, and one of %d costs %.2f: more than %.1f times as much, so that the cost isn't flat",
		before.cgroups, s.cgroups, now, before.cgroups, then, steepest)
}

// further returns what each cgroup costs that one window has more than another, per sample; ok
// is false if that can't be said.
func further(fewer, more window) (each time.Duration, ok bool) {
	if fewer.sweeps == 0 || more.sweeps == 0 {
		return 0, false
	}
	perSweep := func(w window) (cpu, samples float64) {
		return float64(w.usage.cpu) / float64(w.sweeps), float64(w.samples) / float64(w.sweeps)
	}
	cpu, samples := perSweep(fewer)
	moreCPU, moreSamples := perSweep(more)
	if moreSamples <= samples {
		return 0, false
	}
	return time.Duration((moreCPU - cpu) / (moreSamples - samples)), true
}

func TestFurther(t *testing.T) {
	at := func(sweeps, cgroups int, cpu time.Duration) window {
		return window{sweeps: sweeps, samples: sweeps * cgroups, usage: usage{cpu: time.Duration(sweeps) * cpu}}
	}
	f := func(fewer, more window, want string) {
		t.Helper()
		if got := (step{window: more}).further(fewer); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(at(30, 10, 2*time.Millisecond), at(60, 110, 7*time.Millisecond), "50.0 µs")
	f(window{}, at(30, 10, time.Millisecond), "")
	f(at(30, 10, time.Millisecond), at(30, 10, time.Millisecond), "")
}

func TestSteeper(t *testing.T) {
	at := func(cgroups int, perSweep, floor time.Duration) step {
		const sweeps = 40
		return step{cgroups, window{sweeps: sweeps, samples: sweeps * cgroups, usage: usage{cpu: sweeps * perSweep}}, floor}
	}
	f := func(before, now step, want bool) {
		t.Helper()
		if got := now.steeper(before); (got != "") != want {
			t.Errorf("from %d to %d: %q, want a complaint: %v", before.cgroups, now.cgroups, got, want)
		}
	}
	// As it was measured.
	ten, hundred := at(10, 1240*time.Microsecond, 45400*time.Nanosecond), at(100, 3360*time.Microsecond, 32400*time.Nanosecond)
	threeHundred, thousand := at(300, 9250*time.Microsecond, 31800*time.Nanosecond), at(1000, 32750*time.Microsecond, 30200*time.Nanosecond)
	f(step{}, ten, false)
	f(ten, hundred, false)
	f(hundred, threeHundred, false)
	f(threeHundred, thousand, false)
	f(hundred, thousand, false)
	// 14 µs more for each sample among a thousand, by something that looks at all others; and a
	// kernel that is dearer by as much.
	dearer := at(1000, 46750*time.Microsecond, 30200*time.Nanosecond)
	f(threeHundred, dearer, true)
	f(hundred, dearer, true)
	dearer.floor = 44200 * time.Nanosecond
	f(threeHundred, dearer, false)
	f(ten, dearer, false)
}
