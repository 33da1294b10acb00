package collector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// series adds samples to a history as the loop does, which has the one before at hand.
type series struct {
	history
	prev metric.Sample
}

func (r *series) add(s *metric.Sample) {
	r.history.add(s, &r.prev)
	r.prev.CopyFrom(s)
}

func TestHistoryKeepsItsSpan(t *testing.T) {
	h := series{history: history{span: 120e9}}
	var s metric.Sample
	for second := range int64(1000) {
		s.Time = second * 1e9
		s.Put(metric.CPUUsage, uint64(second*second))
		if second == 500 {
			s.AddRow(metric.PerInterface, metric.Key{Name: "eth0"}) // a key frame in the middle
		}
		h.add(&s)

		var times []int64
		h.each(s.Time-119e9, func(s *metric.Sample) bool {
			times = append(times, s.Time)
			if v, _ := s.Get(metric.CPUUsage); v != uint64(s.Time/1e9*s.Time/1e9) {
				t.Fatalf("at %d s: CPU usage %d", s.Time/1e9, v)
			}
			return true
		})
		if want := min(second+1, 120); int64(len(times)) != want {
			t.Fatalf("after %d s: %d samples, want %d", second, len(times), want)
		}
		for i, at := range times {
			if want := s.Time - int64(len(times)-1-i)*1e9; at != want {
				t.Fatalf("after %d s: sample %d is of %d, want %d", second, i, at, want)
			}
		}
		if n := len(h.segments); n > 120/segmentSamples+3 {
			t.Fatalf("after %d s: %d segments", second, n)
		}
	}
}

// Whatever comes, the history gives it back: rows that come and go, numbers that aren't read
// any more, a clock that is set, and samples that were changed after they were added.
func TestHistoryGivesBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	h := history{span: math.MaxInt64}
	var prev, s metric.Sample
	var added []*metric.Sample
	var forgotten metric.Set
	forgotten.Add(metric.MemoryUsage)
	forgotten.Add(metric.NetworkReceiveBytes)
	for i := range 2000 {
		s.Time += 1 + random.Int64N(2e9)
		for range random.IntN(4) {
			s.Put(metric.CPUUsage+metric.ID(random.IntN(5)), random.Uint64())
		}
		s.Put(metric.MemoryUsage, random.Uint64N(1<<20))
		switch random.IntN(20) {
		case 0:
			s.PutRow(metric.NetworkReceiveBytes, s.AddRow(metric.PerInterface, metric.Key{Name: fmt.Sprint("eth", i)}), random.Uint64())
		case 1:
			s.Forget(&forgotten)
		case 2:
			s.DropRows(metric.PerInterface)
		case 3:
			s.CPUSet = fmt.Sprint("0-", random.IntN(3))
		case 4: // as when the clock is set
			prev.Time += 3600e9
			s.Time += 3600e9
		case 5: // as when a container goes over to another namespace
			prev.DropRows(metric.PerInterface)
			s.DropRows(metric.PerInterface)
			h.breakOff()
		}
		h.add(&s, &prev)
		prev.CopyFrom(&s)
		added = append(added, new(metric.Sample))
		added[i].CopyFrom(&s)
	}
	i := 0
	h.each(0, func(s *metric.Sample) bool {
		if want := added[i]; s.Time != want.Time || s.CPUSet != want.CPUSet || !s.SameNumbers(want) {
			t.Fatalf("sample %d isn't what was added", i)
		}
		i++
		return true
	})
	if i != len(added) {
		t.Errorf("%d of %d samples", i, len(added))
	}
}

func TestHistoryStops(t *testing.T) {
	h := series{history: history{span: 10e9}}
	var s metric.Sample
	for second := range int64(10) {
		s.Time = second * 1e9
		h.add(&s)
	}
	n := 0
	h.each(0, func(*metric.Sample) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("f was called %d times after it returned false at the third", n)
	}
}

func TestFullHistoryAllocatesNothing(t *testing.T) {
	h := series{history: history{span: 120e9}}
	var s metric.Sample
	tick := func() {
		s.Time += 1e9
		for id := metric.CPUUsage; id < metric.MemoryDirty; id++ {
			v, _ := s.Get(id)
			s.Put(id, v+12345)
		}
		h.add(&s)
	}
	for range 400 {
		tick()
	}
	if n := testing.AllocsPerRun(200, tick); n != 0 {
		t.Errorf("%g allocations a sample", n)
	}
}

func BenchmarkHistoryAdd(b *testing.B) {
	h := series{history: history{span: 120e9}}
	var s metric.Sample
	b.ReportAllocs()
	for b.Loop() {
		s.Time += 1e9
		for id := metric.CPUUsage; id < metric.MemoryDirty; id++ {
			v, _ := s.Get(id)
			s.Put(id, v+12345)
		}
		h.add(&s)
	}
	size := 0
	for i := range h.segments {
		size += cap(h.segments[i].deltas)
	}
	b.ReportMetric(float64(size), "B/history")
}
