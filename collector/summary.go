package collector

import (
	"math"
	"slices"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Summary is how much a container has used over the last minute, hour and day.
type Summary struct {
	// Time is that of the newest sample, in nanoseconds since the Unix epoch.
	Time int64
	// CPU is what was used between the newest two samples, in thousandths of a core;
	// Memory the newest working set in bytes.
	CPU, Memory       uint64
	Minute, Hour, Day Usage
}

// Usage is what there was in a time: percentiles of CPU in thousandths of a core and of the
// working set in bytes.
type Usage struct {
	// Complete is how much of the time was measured, in percent.
	Complete    int
	CPU, Memory Percentiles
}

// Percentiles tell how a number was distributed. Count is how many values there were; with
// none, all are zero.
type Percentiles struct {
	Mean, Std, Max, Fifty, Ninety, NinetyFive uint64
	Count                                     int
}

// summary makes the Summary of one target as samples come. A minute is summed up of its
// samples, an hour of sixty minutes, a day of 48 half hours: of each part the ninetieth
// percentile stands for it, as in cAdvisor, whose day ends after an hour.
type summary struct {
	began   int64 // of the running minute
	cpu     []uint64
	memory  []uint64
	minute  Usage
	minutes []part
	halves  []part
	passed  int // minutes since the last half hour was summed up
}

// part is what remains of a minute or half an hour. CPU is in thousandths of a core.
type part struct {
	cpuMean, cpuMax, cpu90          uint32
	memoryMean, memoryMax, memory90 uint64
}

const (
	minutesKept = 60
	halvesKept  = 48
	halfHour    = 30 // minutes
)

// add takes the sample cur, which follows prev.
func (m *summary) add(prev, cur *metric.Sample) {
	if m.began == 0 {
		m.began = prev.Time
	}
	if used, ok := milliCores(prev, cur); ok {
		m.cpu = append(m.cpu, used)
	}
	if used, ok := cur.Get(metric.MemoryWorkingSet); ok {
		m.memory = append(m.memory, used)
	}
	if elapsed := cur.Time - m.began; elapsed >= int64(time.Minute) {
		m.endMinute(elapsed)
		m.began, m.cpu, m.memory = cur.Time, m.cpu[:0], m.memory[:0]
	}
}

func (m *summary) endMinute(elapsed int64) {
	m.minute = Usage{
		Complete: int(min(100, 100*elapsed/int64(time.Minute))),
		CPU:      percentiles(m.cpu), Memory: percentiles(m.memory),
	}
	p := part{
		uint32(m.minute.CPU.Mean), uint32(m.minute.CPU.Max), uint32(m.minute.CPU.Ninety),
		m.minute.Memory.Mean, m.minute.Memory.Max, m.minute.Memory.Ninety,
	}
	m.minutes = push(m.minutes, p, minutesKept)
	if m.passed++; m.passed == halfHour {
		m.passed = 0
		half := usage(m.minutes[max(0, len(m.minutes)-halfHour):], halfHour)
		m.halves = push(m.halves, part{
			uint32(half.CPU.Mean), uint32(half.CPU.Max), uint32(half.CPU.Ninety),
			half.Memory.Mean, half.Memory.Max, half.Memory.Ninety,
		}, halvesKept)
	}
}

// push appends p, and drops the oldest so that most remain.
func push(parts []part, p part, most int) []part {
	if len(parts) == most {
		copy(parts, parts[1:])
		parts = parts[:most-1]
	}
	return append(parts, p)
}

// now returns the summary at the sample cur, which follows prev.
func (m *summary) now(prev, cur *metric.Sample) Summary {
	s := Summary{Time: cur.Time, Minute: m.minute, Hour: usage(m.minutes, minutesKept)}
	s.CPU, _ = milliCores(prev, cur)
	s.Memory, _ = cur.Get(metric.MemoryWorkingSet)
	// The running half hour belongs to the day, too.
	day := m.halves
	if running := m.minutes[max(0, len(m.minutes)-m.passed):]; len(running) > 0 && m.passed > 0 {
		half := usage(running, halfHour)
		day = append(slices.Clone(day), part{
			uint32(half.CPU.Mean), uint32(half.CPU.Max), uint32(half.CPU.Ninety),
			half.Memory.Mean, half.Memory.Max, half.Memory.Ninety,
		})
	}
	s.Day = usage(day, halvesKept)
	return s
}

// usage sums up parts, of which there should be want.
func usage(parts []part, want int) Usage {
	if len(parts) == 0 {
		return Usage{}
	}
	u := Usage{Complete: min(100, 100*len(parts)/want)}
	cpu, memory := make([]uint64, len(parts)), make([]uint64, len(parts))
	var cpuMean, memoryMean, cpuMax, memoryMax uint64
	for i, p := range parts {
		cpu[i], memory[i] = uint64(p.cpu90), p.memory90
		cpuMean, memoryMean = cpuMean+uint64(p.cpuMean), memoryMean+p.memoryMean
		cpuMax, memoryMax = max(cpuMax, uint64(p.cpuMax)), max(memoryMax, p.memoryMax)
	}
	u.CPU, u.Memory = percentiles(cpu), percentiles(memory)
	u.CPU.Mean, u.Memory.Mean = cpuMean/uint64(len(parts)), memoryMean/uint64(len(parts))
	u.CPU.Max, u.Memory.Max = cpuMax, memoryMax
	return u
}

// percentiles sorts values.
func percentiles(values []uint64) Percentiles {
	n := len(values)
	if n == 0 {
		return Percentiles{}
	}
	slices.Sort(values)
	var sum, squares float64
	for _, v := range values {
		sum += float64(v)
	}
	mean := sum / float64(n)
	for _, v := range values {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	return Percentiles{
		Mean: uint64(mean), Std: uint64(math.Sqrt(squares / float64(n))), Max: values[n-1],
		Fifty: nearest(values, 50), Ninety: nearest(values, 90), NinetyFive: nearest(values, 95),
		Count: n,
	}
}

// nearest returns a percentile of sorted values by the nearest-rank method: the smallest
// value that so many percent of them don't exceed.
func nearest(values []uint64, percent int) uint64 {
	rank := (percent*len(values) + 99) / 100
	return values[max(rank, 1)-1]
}

// milliCores returns the CPU time used from prev to cur in thousandths of a core.
func milliCores(prev, cur *metric.Sample) (uint64, bool) {
	used, ok := cur.Increase(prev, metric.CPUUsage, 0)
	elapsed := cur.Time - prev.Time
	if !ok || elapsed <= 0 {
		return 0, false
	}
	return uint64(float64(used) / float64(elapsed) * 1000), true
}
