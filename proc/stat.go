package proc

import (
	"bytes"

	"github.com/swarmgauge/swarmgauge/metric"
)

// nsPerTick is the length of the tick that /proc/stat counts in. The kernel shows 100 a
// second (USER_HZ) on every architecture that Go runs on, whatever its own HZ is.
const nsPerTick = 1e9 / 100

// The columns of a cpu line, in ticks. user and nice contain guest and guest_nice.
const (
	cpuUser = iota
	cpuNice
	cpuSystem
	cpuIdle
	cpuIOWait
	cpuIRQ
	cpuSoftIRQ
	cpuSteal
	cpuGuest
	cpuGuestNice

	cpuColumns
)

// statKeys are the lines of /proc/stat with one number.
var statKeys = [...]key{
	{"ctxt", metric.NodeContextSwitches, 1},
	{"processes", metric.NodeForks, 1},
	{"procs_running", metric.NodeTasksRunning, 1},
	{"procs_blocked", metric.NodeTasksBlocked, 1},
}

var statIDs = [...]metric.ID{
	metric.NodeCPUUser, metric.NodeCPUNice, metric.NodeCPUSystem, metric.NodeCPUIdle, metric.NodeCPUIOWait,
	metric.NodeCPUIRQ, metric.NodeCPUSoftIRQ, metric.NodeCPUSteal, metric.NodeCPUGuest,
	metric.NodeContextSwitches, metric.NodeForks, metric.NodeTasksRunning, metric.NodeTasksBlocked,
}

// parseStat parses /proc/stat (filesystems/proc.rst) but for the single CPUs.
//
//	cpu  14411 0 10886 207500 2146 0 342 1926 0 0
//	cpu0 6319 0 4655 106686 116 0 37 910 0 0
//	intr 533461 0 0 …
//	ctxt 1213138
//	processes 30377
//	procs_running 2
//	procs_blocked 0
func parseStat(b []byte, s *metric.Sample) (bad []byte) { return parseStatLines(b, s, false) }

// parseStatWithCPUs parses the same, and puts how long each CPU was busy: user, nice,
// system, irq and softirq time. CPUs that are offline have no line, and no number.
func parseStatWithCPUs(b []byte, s *metric.Sample) (bad []byte) { return parseStatLines(b, s, true) }

func parseStatLines(b []byte, s *metric.Sample, cpus bool) (bad []byte) {
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		name, values := cutField(line)
		ok := whole
		switch {
		case !whole:
		case string(name) == "cpu":
			ok = putModes(values, s)
		case bytes.HasPrefix(name, []byte("cpu")):
			ok = !cpus || putCPU(name[len("cpu"):], values, s)
		default:
			ok = putKey(statKeys[:], name, values, s)
		}
		if !ok {
			bad = firstOf(bad, line)
		}
	}
	return bad
}

// cpuTimes parses the columns of a cpu line into nanoseconds.
func cpuTimes(values []byte) (times [cpuColumns]uint64, ok bool) {
	if numbers(values, times[:]) < cpuColumns {
		return times, false
	}
	for i := range times {
		if times[i], ok = scaled(times[i], nsPerTick); !ok {
			return times, false
		}
	}
	// The kernel reads the columns one after the other, so that a guest's may be ahead.
	return times, times[cpuGuest] <= times[cpuUser] && times[cpuGuestNice] <= times[cpuNice]
}

// putModes puts the times of all CPUs together, guests apart from user time.
func putModes(values []byte, s *metric.Sample) bool {
	t, ok := cpuTimes(values)
	if !ok {
		return false
	}
	s.Put(metric.NodeCPUUser, t[cpuUser]-t[cpuGuest])
	s.Put(metric.NodeCPUNice, t[cpuNice]-t[cpuGuestNice])
	s.Put(metric.NodeCPUSystem, t[cpuSystem])
	s.Put(metric.NodeCPUIdle, t[cpuIdle])
	s.Put(metric.NodeCPUIOWait, t[cpuIOWait])
	s.Put(metric.NodeCPUIRQ, t[cpuIRQ])
	s.Put(metric.NodeCPUSoftIRQ, t[cpuSoftIRQ])
	s.Put(metric.NodeCPUSteal, t[cpuSteal])
	s.Put(metric.NodeCPUGuest, t[cpuGuest]+t[cpuGuestNice])
	return true
}

// putCPU puts the busy time of the CPU with that number. Stolen time isn't its own.
func putCPU(cpu, values []byte, s *metric.Sample) bool {
	t, ok := cpuTimes(values)
	if _, isNumber := number(cpu); !ok || !isNumber {
		return false
	}
	row := s.RowByName(metric.PerCPU, cpu)
	if row < 0 {
		row = s.AddRow(metric.PerCPU, metric.Key{Name: string(cpu)})
	}
	s.PutRow(metric.CPUUsagePerCPU, row, t[cpuUser]+t[cpuNice]+t[cpuSystem]+t[cpuIRQ]+t[cpuSoftIRQ])
	return true
}
