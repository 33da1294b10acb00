package collector

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/faults"
)

// jumps are what a clock may do. The one of a machine without a battery begins in 1970.
var jumps = []struct {
	name        string
	set, asleep time.Duration
}{
	{"an hour forward", time.Hour, 0},
	{"an hour back", -time.Hour, 0},
	{"a year forward", 365 * 24 * time.Hour, 0},
	{"a year back", -365 * 24 * time.Hour, 0},
	{"to 1970", -time.Since(time.Unix(3600, 0)).Truncate(time.Second), 0},
	{"an odd time", 12345678901 * time.Nanosecond, 0},
	{"a leap second", -time.Second, 0},
	{"suspended for an hour", 0, time.Hour},
	{"suspended, and set by a minute", time.Minute, 8 * time.Hour},
} // immutable

// The wall clock is set, and the machine suspended, by clocks that the test makes up. Package
// test does the same to a virtual machine's own.
func TestC08ClockThatJumps(t *testing.T) {
	row := faults.Start(t, "C8")
	for _, j := range jumps {
		testScheduleJumps(t, j.name, j.set, j.asleep)
	}
	b := newBench(t, nil)
	b.windowEnd(t)
	events, windows := 0, 0
	for _, j := range jumps {
		events, windows = events+testWindowsJump(t, b, j.name, j.set, j.asleep), windows+1
	}
	row.Result("%d jumps by injected clocks: slots go on with the wall clock, one sweep a slot and none made up for, %d events, one gap for each suspension, intervals of all windows those in which containers ran", windows, events)
}

// Slots go on where the clock is, one after the other, and each jump is told once.
func testScheduleJumps(t *testing.T, name string, set, asleep time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		clock := newMachineClocks()
		clock.start = clock.start.AddDate(26, 10, 0) // 1970 is far behind
		s := newSchedule(time.Second, clock.read)
		defer s.stop()
		s.wait(context.Background(), nil)
		s.done()
		time.Sleep(300 * time.Millisecond)
		clock.set, clock.asleep = set, asleep
		jumped := time.Now()
		var told, suspended, sweeps int
		for time.Since(jumped) < 10*time.Second {
			w, err := s.wait(context.Background(), nil)
			if err != nil {
				t.Fatal(err)
			}
			sweeps++
			wall := clock.read().wall
			if w.slot%1e9 != 0 || w.slot > wall || wall-w.slot >= 1e9 {
				t.Errorf("%s: slot %d at %d", name, w.slot, wall)
			}
			if w.stepped != 0 {
				told++
			}
			if w.asleep != 0 {
				suspended++
			}
			if w.stopped != 0 || w.stepped != 0 && w.stepped != set || w.asleep != 0 && w.asleep != asleep || w.suspended != int64(w.asleep/time.Second) {
				t.Errorf("%s: %+v", name, w)
			}
			s.done()
		}
		want := func(there bool) int {
			if there {
				return 1
			}
			return 0
		}
		if told != want(set != 0) || suspended != want(asleep != 0) {
			t.Errorf("%s: told as %d steps and %d suspensions", name, told, suspended)
		}
		if sweeps < 10 || sweeps > 11 {
			t.Errorf("%s: %d sweeps in ten seconds", name, sweeps)
		}
	})
}

// Windows around a jump are as long as containers ran in them, and the jump is one event or
// one gap.
func testWindowsJump(t *testing.T, b *bench, name string, set, asleep time.Duration) (events int) {
	b.sink.windows, b.sink.events, b.sink.missed = nil, nil, nil
	b.tick(t)
	time.Sleep(interval)
	before := b.clocks
	b.clocks = func() clocks {
		c := before()
		c.wall, c.boot = c.wall+int64(set+asleep), c.boot+int64(asleep)
		return c
	}
	stepped, suspended := b.clocks().since(before())
	if (stepped-set).Abs() > time.Second || (suspended-asleep).Abs() > time.Second {
		t.Fatalf("%s: set by %v, asleep for %v", name, stepped, suspended)
	}
	w := wake{slot: b.slot, asleep: asleep, suspended: int64(asleep / interval), stepped: set}
	b.woken(&w)
	b.tick(t)
	b.windowEnd(t)
	for _, w := range b.sink.windows {
		if long := time.Duration(w.last.Time - w.first.Time); long < interval || long > time.Minute {
			t.Errorf("%s: a window of %v", name, long)
		}
	}
	for _, e := range b.sink.events {
		if e.Action == metric.ClockStep && e.Step == set && e.Container.Path == metric.Root {
			events++
		}
	}
	missed := slices.IndexFunc(b.sink.missed, func(m metric.Missed) bool { return m.Reason == metric.MissedSuspended })
	if (events == 1) != (set != 0) || (missed >= 0) != (asleep != 0) || missed >= 0 && b.sink.missed[missed].Sweeps != w.suspended {
		t.Errorf("%s: %d events, missed %+v", name, events, b.sink.missed)
	}
	return events
}

// A clock that is set back doesn't make the history grow for as long as it was set back.
func TestHistoryEndsWithItsFuture(t *testing.T) {
	h := series{history: history{span: int64(time.Minute)}}
	var s metric.Sample
	now := int64(1e18)
	for i := range 1000 {
		if i == 200 {
			now -= int64(time.Hour)
		}
		s.Time = now + int64(i)*1e9
		s.Put(metric.CPUUsage, uint64(i))
		h.add(&s)
	}
	if n := h.len(); n > 200 {
		t.Errorf("%d samples are kept of a minute", n)
	}
}
