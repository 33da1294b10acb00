package collector

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// What is too old isn't shown, though its segment is still kept.
func TestOlder(t *testing.T) {
	h := series{history: history{span: 1000e9}}
	var s metric.Sample
	for second := range int64(100) {
		s.Time = second * 1e9
		h.add(&s)
	}
	for _, from := range []int64{-1, 0, 1, 29, 30, 31, 60, 99, 100, 1000} {
		if got, want := h.older(from*1e9), int(min(100, max(0, from))); got != want {
			t.Errorf("%d samples are older than %d s, want %d", got, from, want)
		}
	}
	copied := History{count: -1, oldest: 37e9}
	copied.samples.copyNewest(&h.history, -1)
	n, first := 0, int64(0)
	copied.Each(func(s *metric.Sample) bool {
		if n++; n == 1 {
			first = s.Time
		}
		return true
	})
	if n != 63 || first != 37e9 {
		t.Errorf("from 37 s on there are %d samples, the first of %d s", n, first/1e9)
	}
}

// A copy has the newest samples, whatever is asked for, and doesn't change with the original.
func TestCopyNewest(t *testing.T) {
	original := series{history: history{span: 1000e9}}
	var s metric.Sample
	for second := range int64(100) {
		s.Time = second * 1e9
		s.Put(metric.CPUUsage, uint64(second))
		original.add(&s)
	}
	copied := &History{}
	for _, n := range []int{0, 1, 2, 29, 30, 31, 100, 1000, -1} {
		copied.count = n
		copied.samples.copyNewest(&original.history, n)
		want := n
		if n < 0 || n > 100 {
			want = 100
		}
		var times []int64
		copied.Each(func(s *metric.Sample) bool {
			if v, _ := s.Get(metric.CPUUsage); v != uint64(s.Time/1e9) {
				t.Fatalf("%d wanted: at %d s the number is %d", n, s.Time/1e9, v)
			}
			times = append(times, s.Time/1e9)
			return true
		})
		if len(times) != want {
			t.Fatalf("%d wanted: got %d", n, len(times))
		}
		for i, at := range times {
			if at != int64(100-want+i) {
				t.Fatalf("%d wanted: sample %d is of %d s", n, i, at)
			}
		}
	}
	copied.samples.copyNewest(&original.history, 1)
	for second := range int64(100) {
		s.Time = (100 + second) * 1e9
		original.add(&s)
	}
	copied.count = 1
	copied.Each(func(s *metric.Sample) bool {
		if s.Time != 99e9 {
			t.Errorf("the copy went on to %d s", s.Time/1e9)
		}
		return true
	})
}

func TestFreshSample(t *testing.T) {
	b := newBench(t, nil)
	b.start(t, id("a"), "sleep", "1000")
	b.tick(t)
	b.tick(t)
	path := "/" + filepath.Join(b.parent, id("a"))
	target := b.byPath[path]
	if target == nil {
		t.Fatalf("%s is not measured", path)
	}
	var h History
	count := func() (n int) {
		h.Each(func(*metric.Sample) bool { n++; return true })
		return n
	}
	b.copyHistory(target, Query{Path: path, Count: -1, MaxAge: -1}, &h)
	kept := count()
	if h.Newest().Time != target.cur.Time || kept == 0 {
		t.Errorf("the newest of %d samples is of %d, want %d", kept, h.Newest().Time, target.cur.Time)
	}
	before := target.cur.Time
	b.copyHistory(target, Query{Path: path, Count: -1, MaxAge: 0}, &h)
	if h.Newest().Time <= before || count() != kept+1 {
		t.Errorf("asked for a fresh one: newest of %d, %d samples; had %d and %d", h.Newest().Time, count(), before, kept)
	}
	if target.cur.Time != before || target.history.len() != kept {
		t.Error("the fresh sample has entered the history")
	}
	b.copyHistory(target, Query{Path: path, Count: 1, MaxAge: 0}, &h)
	if count() != 1 {
		t.Errorf("of one sample that was asked for there are %d", count())
	}
	b.copyHistory(target, Query{Path: path, Count: -1, MaxAge: time.Hour}, &h)
	if h.Newest().Time != before {
		t.Error("a sample that is young enough was taken anew")
	}
}

// While the loop runs, anybody may ask.
func TestQueriesBesideTheLoop(t *testing.T) {
	b := newBench(t, nil)
	b.start(t, id("a"), "sleep", "1000")
	path := "/" + filepath.Join(b.parent, id("a"))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()

	var h History
	deadline := time.Now().Add(20 * time.Second)
	for n := 0; n < 3; {
		if err := b.History(ctx, Query{Path: path, Count: -1, MaxAge: -1}, &h); err != nil && !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		} else if err == nil {
			n = h.samples.len()
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d samples after 20 s", n)
		}
		time.Sleep(interval / 10)
	}
	list, err := b.List(ctx, nil)
	found := false
	for _, l := range list {
		found = found || l.Container.Path == path
	}
	if err != nil || !found {
		t.Errorf("List: %d containers, without %s; %v", len(list), path, err)
	}
	if err := b.History(ctx, Query{Path: "/no such cgroup"}, &h); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown path: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := b.History(t.Context(), Query{Path: path}, &h); !errors.Is(err, ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
}

// What the loop is held up by a query: a copy of two samples, and of two minutes.
func BenchmarkCopyHistory(b *testing.B) {
	full := series{history: history{span: 120e9}}
	var s metric.Sample
	for id := range metric.ID(metric.NumIDs) {
		if id.Per() == metric.PerContainer {
			s.Put(id, uint64(id))
		}
	}
	for second := range int64(200) {
		s.Time = second * 1e9
		s.Put(metric.CPUUsage, uint64(second)*1e6)
		s.Put(metric.MemoryUsage, uint64(second)<<12)
		full.add(&s)
	}
	for _, n := range []int{2, -1} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var h history
			for b.Loop() {
				h.copyNewest(&full.history, n)
			}
		})
	}
}
