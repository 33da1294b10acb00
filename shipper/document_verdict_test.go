package shipper

import (
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestVerdictsHaveRows(t *testing.T) {
	seen := map[string]bool{}
	for i, v := range containerVerdicts {
		if v.word == "" || seen[v.word] || !strings.HasSuffix(v.when, ".") {
			t.Errorf("verdict %d: %+v", i, v)
		}
		seen[v.word] = true
	}
}

// Verdicts at their thresholds, and of what isn't known.
func TestVerdicts(t *testing.T) {
	f := func(change func(w *metric.Window), wanted string) {
		t.Helper()
		w := &metric.Window{Last: new(metric.Sample), Slot: slotTime, Container: documentContainer(), Samples: 10}
		w.First.Time, w.Last.Time = slotTime-10e9, slotTime
		w.Last.Put(metric.CPUQuota, 100_000)
		w.Last.Put(metric.CPUPeriod, 100_000)
		w.Last.Put(metric.MemoryUsage, 0)
		w.Last.Put(metric.MemoryLimit, 1000)
		change(w)
		for id := range metric.ID(metric.NumIDs) {
			if metric.Describe(id).Kind == metric.Counter && id.Per() == metric.PerContainer {
				if _, ok := w.Last.Get(id); ok && w.First.Time != 0 {
					w.First.Put(id, 0)
				}
			}
		}
		wantMembers(t, NewEncoder(documentOptions).AppendContainer(nil, documentNode, w), map[string]string{"container.verdict": wanted})
	}
	// within sets numbers of a container that lives within the limits it has.
	within := func(numbers map[metric.ID]uint64) func(*metric.Window) {
		return func(w *metric.Window) {
			for id, v := range numbers {
				w.Last.Put(id, v)
			}
		}
	}
	f(within(nil), "")
	f(within(map[metric.ID]uint64{metric.CPUPeriods: 100, metric.CPUThrottledPeriods: 25}), "")
	f(within(map[metric.ID]uint64{metric.CPUPeriods: 100, metric.CPUThrottledPeriods: 26}), `["throttled"]`)
	f(within(map[metric.ID]uint64{metric.CPUPeriods: 0, metric.CPUThrottledPeriods: 0}), "")
	f(within(map[metric.ID]uint64{metric.PressureCPUSome: 1_000_000_000, metric.CPUUsage: 1e9}), "")
	f(within(map[metric.ID]uint64{metric.PressureCPUSome: 1_000_000_001, metric.CPUUsage: 1e9}), `["cpu_starved"]`)
	f(within(map[metric.ID]uint64{metric.PressureCPUSome: 5e9, metric.CPUUsage: 8e9}), "")
	f(within(map[metric.ID]uint64{metric.PressureCPUSome: 5e9, metric.CPUUsage: 7_999_999_999}), `["cpu_starved"]`)
	f(within(map[metric.ID]uint64{metric.PressureCPUSome: 5e9, metric.CPUUsage: 1e9, metric.CPUPeriods: 100, metric.CPUThrottledPeriods: 1}), "")
	f(within(map[metric.ID]uint64{metric.PressureCPUSome: 5e9, metric.CPUUsage: 1e9, metric.CPUPeriods: 100, metric.CPUThrottledPeriods: 0}), `["cpu_starved"]`)
	f(within(map[metric.ID]uint64{metric.PressureMemoryFull: 1_100_000_000, metric.PressureIOFull: 1_200_000_000}), `["memory_pressure","io_pressure"]`)
	f(within(map[metric.ID]uint64{metric.PressureMemorySome: 9e9, metric.PressureIOSome: 9e9}), "")
	f(within(map[metric.ID]uint64{metric.MemoryWorkingSet: 900}), "")
	f(within(map[metric.ID]uint64{metric.MemoryWorkingSet: 901}), `["memory_near_limit"]`)

	forget := func(ids ...metric.ID) func(*metric.Window) {
		return func(w *metric.Window) {
			var set metric.Set
			for _, id := range ids {
				set.Add(id)
			}
			w.Last.Forget(&set)
		}
	}
	f(forget(metric.CPUQuota), `["no_cpu_limit"]`)
	f(forget(metric.MemoryLimit), `["no_memory_limit"]`)
	f(forget(metric.CPUQuota, metric.MemoryLimit), `["no_cpu_limit","no_memory_limit"]`)
	// No controller is not the same as no limit, and a unit of systemd isn't a container's.
	f(forget(metric.CPUQuota, metric.CPUPeriod, metric.MemoryLimit, metric.MemoryUsage), "")
	f(func(w *metric.Window) {
		forget(metric.CPUQuota, metric.MemoryLimit)(w)
		w.Container.Runtime = ""
	}, "")
	// A runtime may not have written the limits of a container that it has just started.
	f(func(w *metric.Window) {
		forget(metric.CPUQuota)(w)
		w.Container.Started = time.Unix(0, slotTime-10e9+1)
	}, "")
	f(func(w *metric.Window) {
		forget(metric.CPUQuota)(w)
		w.Container.Started = time.Unix(0, slotTime-10e9)
	}, `["no_cpu_limit"]`)
	// Without a CPU limit it starves as long as it waits.
	f(func(w *metric.Window) {
		forget(metric.CPUQuota)(w)
		w.Last.Put(metric.PressureCPUSome, 2e9)
		w.Last.Put(metric.CPUUsage, 20e9)
	}, `["cpu_starved","no_cpu_limit"]`)
	// Found running: what it did before isn't known.
	f(func(w *metric.Window) {
		w.First = metric.Sample{}
		w.Last.Put(metric.PressureCPUSome, 9e18)
		w.Last.Put(metric.CPUPeriods, 100)
		w.Last.Put(metric.CPUThrottledPeriods, 100)
	}, "")
}
