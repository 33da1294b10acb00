package collector

import (
	"math"
	"slices"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// used is what a container uses in each second of its life, in thousandths of a core and
// in bytes: something else at any time.
func used(second int) (cpu, memory uint64) {
	return uint64(100 + second%60*10 + second/3600*7), uint64(1<<20 + second%97*4096 + second)
}

// live has a summary see a container for that many seconds and returns it.
func live(seconds int) Summary {
	var m summary
	var prev, cur metric.Sample
	total := uint64(0)
	set := func(s *metric.Sample, second int) {
		cpu, memory := used(second)
		total += cpu * 1e6
		s.Time = int64(second+1) * 1e9
		s.Put(metric.CPUUsage, total)
		s.Put(metric.MemoryWorkingSet, memory)
	}
	set(&prev, 0)
	for second := 1; second <= seconds; second++ {
		set(&cur, second)
		m.add(&prev, &cur)
		if second < seconds {
			prev.CopyFrom(&cur)
		}
	}
	return m.now(&prev, &cur)
}

func TestSummaryBeginsEmpty(t *testing.T) {
	s := live(59)
	cpu, memory := used(59)
	if s.CPU != cpu || s.Memory != memory || s.Time != 60e9 {
		t.Errorf("after 59 s the newest usage is %d and %d at %d", s.CPU, s.Memory, s.Time)
	}
	if s.Minute != (Usage{}) || s.Hour != (Usage{}) || s.Day != (Usage{}) {
		t.Errorf("no minute has ended, and there is %+v", s)
	}
}

// reference computes percentiles by counting.
func reference(values []uint64) (fifty, ninety, ninetyFive uint64) {
	at := func(share float64) uint64 {
		for _, v := range slices.Sorted(slices.Values(values)) {
			below := 0
			for _, w := range values {
				if w <= v {
					below++
				}
			}
			if float64(below) >= share*float64(len(values)) {
				return v
			}
		}
		panic("no such percentile")
	}
	return at(0.5), at(0.9), at(0.95)
}

func TestSummaryOfAMinute(t *testing.T) {
	s := live(60)
	var cpu, memory []uint64
	mean := 0.0
	for second := 1; second <= 60; second++ {
		c, m := used(second)
		cpu, memory = append(cpu, c), append(memory, m)
		mean += float64(c) / 60
	}
	squares := 0.0
	for _, c := range cpu {
		squares += (float64(c) - mean) * (float64(c) - mean) / 60
	}
	fifty, ninety, ninetyFive := reference(cpu)
	want := Percentiles{
		Mean: uint64(mean), Std: uint64(math.Sqrt(squares)), Max: slices.Max(cpu),
		Fifty: fifty, Ninety: ninety, NinetyFive: ninetyFive, Count: 60,
	}
	if s.Minute.CPU != want || s.Minute.Complete != 100 {
		t.Errorf("CPU of a minute is %+v, want %+v", s.Minute, want)
	}
	if fifty, ninety, ninetyFive = reference(memory); s.Minute.Memory.Fifty != fifty || s.Minute.Memory.Ninety != ninety || s.Minute.Memory.NinetyFive != ninetyFive {
		t.Errorf("memory of a minute is %+v, want %d, %d, %d", s.Minute.Memory, fifty, ninety, ninetyFive)
	}
	if s.Hour.Complete != 1 || s.Hour.CPU.Count != 1 || s.Hour.CPU.Ninety != want.Ninety || s.Hour.CPU.Max != want.Max || s.Hour.CPU.Mean != want.Mean {
		t.Errorf("the hour of one minute is %+v", s.Hour)
	}
}

// The hour is the last one, and the day more than an hour.
func TestSummaryOfADay(t *testing.T) {
	const hours = 30
	s := live(hours * 3600)
	if s.Hour.Complete != 100 || s.Hour.CPU.Count != 60 {
		t.Errorf("the hour is %+v", s.Hour)
	}
	if s.Day.Complete != 100 || s.Day.CPU.Count != 48 {
		t.Errorf("the day is %+v", s.Day)
	}
	top := func(hour int) uint64 { return uint64(100 + 59*10 + hour*7) }
	if s.Hour.CPU.Max != top(hours) && s.Hour.CPU.Max != top(hours-1) {
		t.Errorf("most CPU of the last hour is %d, want %d", s.Hour.CPU.Max, top(hours-1))
	}
	// Of 24 hours the median lies twelve hours ago, of their ninetieth percentiles.
	const ninetieth = 100 + 53*10
	if want := uint64(ninetieth + (hours-12)*7); s.Day.CPU.Fifty < want-14 || s.Day.CPU.Fifty > want+14 {
		t.Errorf("the median of the day is %d, want %d", s.Day.CPU.Fifty, want)
	}
	// cAdvisor makes its day of the minutes of the last hour: what the hour is here.
	if theirs := s.Hour.CPU.Fifty; theirs == s.Day.CPU.Fifty {
		t.Errorf("cAdvisor's median of the day, %d, is right here, too", theirs)
	}
	if half := live(90 * 60); half.Day.CPU.Count != 3 || half.Day.Complete != 6 {
		t.Errorf("the day after 90 minutes is %+v", half.Day)
	}
	if some := live(100 * 60); some.Day.CPU.Count != 4 {
		t.Errorf("the day after 100 minutes has %d parts", some.Day.CPU.Count)
	}
}

func BenchmarkSummary(b *testing.B) {
	var m summary
	var prev, cur metric.Sample
	prev.Put(metric.CPUUsage, 0)
	cur.Put(metric.CPUUsage, 0)
	cur.Put(metric.MemoryWorkingSet, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		prev.Time, cur.Time = cur.Time, cur.Time+1e9
		m.add(&prev, &cur)
	}
}
