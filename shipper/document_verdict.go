package shipper

import (
	"fmt"
	"math"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// What is too much: shares of the interval, of a limit, or of the periods of a quota.
const (
	throttledAbove   = 0.25 // periods in which the quota held it back
	throttledBelow   = 0.01 // of them, so few that the quota isn't why it waits
	stalledAbove     = 0.10 // of the time, by pressure (PSI)
	limitUsageBelow  = 0.80 // of its CPU limit, so little that the limit isn't why it waits
	memoryLimitAbove = 0.90 // working set of the memory limit
)

// settled is how long after its start a container has the limits that it will have: a
// runtime makes the cgroup first, and the loop reads them again when it has heard of the
// start.
const settled = 10 * time.Second

// containerVerdict is one thing that is wrong with a container.
type containerVerdict uint8

const (
	verdictThrottled containerVerdict = iota
	verdictCPUStarved
	verdictMemoryPressure
	verdictIOPressure
	verdictMemoryNearLimit
	verdictNoCPULimit
	verdictNoMemoryLimit

	numVerdicts
)

// containerVerdicts are the words that documents have for them, and when they are given.
var containerVerdicts = [numVerdicts]struct{ word, when string }{
	verdictThrottled: {"throttled", fmt.Sprintf("Its own CPU limit holds it back: `container.cpu.throttled_ratio` > %v.", throttledAbove)},
	verdictCPUStarved: {"cpu_starved", fmt.Sprintf("Others take the CPU that it wants: `container.pressure.cpu.some_seconds` > %v of the interval, with `container.cpu.limit_usage` < %v or no limit, and `container.cpu.throttled_ratio` < %v.",
		stalledAbove, limitUsageBelow, throttledBelow)},
	verdictMemoryPressure:  {"memory_pressure", fmt.Sprintf("All of it waits for memory: `container.pressure.memory.full_seconds` > %v of the interval.", stalledAbove)},
	verdictIOPressure:      {"io_pressure", fmt.Sprintf("All of it waits for disks: `container.pressure.io.full_seconds` > %v of the interval.", stalledAbove)},
	verdictMemoryNearLimit: {"memory_near_limit", fmt.Sprintf("It may be killed soon: `container.memory.limit_usage` > %v.", memoryLimitAbove)},
	verdictNoCPULimit:      {"no_cpu_limit", "It may take all CPUs from others; of containers of a runtime, from ten seconds after their start on."},
	verdictNoMemoryLimit:   {"no_memory_limit", "It may take all memory from others; the same."},
}

// evidence is what verdicts are made of. What isn't known is NaN, which is neither above nor
// below anything.
type evidence struct {
	throttled  float64 // periods
	limitUsage float64 // CPU time of the limit
	memory     float64 // working set of the limit
}

func newEvidence() evidence { return evidence{math.NaN(), math.NaN(), math.NaN()} }

// appendVerdicts appends the verdicts on the window, nothing where there is none.
func appendVerdicts(dst []byte, w *metric.Window, found *evidence) []byte {
	tooLong := stalledAbove * 1e9 * w.Seconds()
	stalled := func(id metric.ID) bool {
		ns, ok := w.Last.Increase(&w.First, id, 0)
		return ok && tooLong > 0 && float64(ns) > tooLong
	}
	read := func(id metric.ID) bool {
		_, ok := w.Last.Get(id)
		return ok
	}
	c := w.Container
	limited := c.Runtime != "" && (c.Started.IsZero() || w.Last.Time-c.Started.UnixNano() >= int64(settled))
	given := [numVerdicts]bool{
		verdictThrottled:       found.throttled > throttledAbove,
		verdictCPUStarved:      stalled(metric.PressureCPUSome) && !(found.limitUsage >= limitUsageBelow) && !(found.throttled >= throttledBelow),
		verdictMemoryPressure:  stalled(metric.PressureMemoryFull),
		verdictIOPressure:      stalled(metric.PressureIOFull),
		verdictMemoryNearLimit: found.memory > memoryLimitAbove,
		verdictNoCPULimit:      limited && read(metric.CPUPeriod) && !read(metric.CPUQuota),
		verdictNoMemoryLimit:   limited && read(metric.MemoryUsage) && !read(metric.MemoryLimit),
	}
	head := len(dst)
	for v, is := range given {
		if !is {
			continue
		}
		if len(dst) == head {
			dst = append(dst, `,"container.verdict":["`...)
		} else {
			dst = append(dst, `","`...)
		}
		dst = append(dst, containerVerdicts[v].word...)
	}
	if len(dst) > head {
		dst = append(dst, `"]`...)
	}
	return dst
}
