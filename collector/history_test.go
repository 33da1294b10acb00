package collector

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestHistoryKeepsItsSpan(t *testing.T) {
	h := history{span: 120e9}
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

func TestHistoryStops(t *testing.T) {
	h := history{span: 10e9}
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
	h := history{span: 120e9}
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
	h := history{span: 120e9}
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
