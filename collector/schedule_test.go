package collector

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// machineClocks are the clocks of a machine in a bubble of testing/synctest. The wall clock
// can be set, and the machine suspended.
type machineClocks struct {
	start       time.Time
	set, asleep time.Duration
}

func newMachineClocks() *machineClocks { return &machineClocks{start: time.Now()} }

func (m *machineClocks) read() clocks {
	running := time.Since(m.start)
	return clocks{
		wall:    m.start.Add(running + m.asleep + m.set).UnixNano(),
		running: int64(running), boot: int64(running + m.asleep),
	}
}

func TestSlotsAreAlignedToTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(137 * time.Millisecond) // start between two slots
		s := newSchedule(time.Second, newMachineClocks().read)
		defer s.stop()
		last := int64(0)
		for range 5 {
			w, err := s.wait(context.Background(), nil)
			slot := w.slot
			if err != nil || w != (wake{slot: slot}) {
				t.Fatalf("%+v, %v", w, err)
			}
			if slot%1e9 != 0 || time.Now().UnixNano() != slot {
				t.Errorf("slot %d at %d", slot, time.Now().UnixNano())
			}
			if last != 0 && slot != last+1e9 {
				t.Errorf("slot %d follows %d", slot, last)
			}
			last = slot
			time.Sleep(300 * time.Millisecond) // the work
			if took, missed := s.done(); took != 300*time.Millisecond || missed != 0 {
				t.Errorf("took %v, %d slots missed", took, missed)
			}
		}
	})
}

func TestOverrunsAreCountedAndNeverOverlap(t *testing.T) {
	f := func(work time.Duration, wantMissed int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule(time.Second, newMachineClocks().read)
			defer s.stop()
			first, _ := s.wait(context.Background(), nil)
			time.Sleep(work)
			if _, missed := s.done(); missed != wantMissed {
				t.Errorf("work of %v: %d missed, want %d", work, missed, wantMissed)
			}
			next, _ := s.wait(context.Background(), nil)
			if next.slot != first.slot+(wantMissed+1)*1e9 {
				t.Errorf("work of %v: next slot after %d is %d", work, first.slot, next.slot)
			}
			if s.late() != 0 {
				t.Errorf("the next sweep is late by %v", s.late())
			}
		})
	}
	f(0, 0)
	f(999*time.Millisecond, 0)
	f(1001*time.Millisecond, 1)
	f(3500*time.Millisecond, 3)
}

// A process that loses the CPU between two looks at the clock has missed the slots of that time,
// too.
func TestSlotsThatPassBetweenTwoLooksAreCounted(t *testing.T) {
	for _, lost := range []time.Duration{0, 300 * time.Millisecond, 1200 * time.Millisecond, 2500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			machine := newMachineClocks()
			pause := time.Duration(0) // before the clocks are read next
			s := newSchedule(time.Second, func() clocks {
				time.Sleep(pause)
				pause = 0
				return machine.read()
			})
			defer s.stop()
			first, _ := s.wait(context.Background(), nil)
			time.Sleep(900 * time.Millisecond)
			pause = lost
			_, missed := s.done()
			next, _ := s.wait(context.Background(), nil)
			if want := (next.slot-first.slot)/1e9 - 1; missed != want || next.stopped != 0 || s.late() != 0 {
				t.Errorf("%v lost: %d missed from %d to %+v, want %d; %v late", lost, missed, first.slot, next, want, s.late())
			}
		})
	}
}

// A process that didn't run misses the slots of that time, and is back in step with the next
// one that it sees.
func TestStoppedSlotsAreCountedAndNotMadeUpFor(t *testing.T) {
	f := func(stopped time.Duration, wantMissed int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule(time.Second, newMachineClocks().read)
			defer s.stop()
			first := s.next
			time.Sleep(time.Duration(first-time.Now().UnixNano()) + stopped)
			w, _ := s.wait(context.Background(), nil)
			if w != (wake{slot: first + wantMissed*1e9, stopped: wantMissed}) || s.late() != stopped {
				t.Errorf("stopped for %v: %+v after %d, %v late; want %d missed", stopped, w, first, s.late(), wantMissed)
			}
			if _, missed := s.done(); missed != 0 {
				t.Errorf("stopped for %v: %d more missed by the work", stopped, missed)
			}
			if next, _ := s.wait(context.Background(), nil); next != (wake{slot: w.slot + 1e9}) {
				t.Errorf("stopped for %v: after %+v comes %+v", stopped, w, next)
			}
		})
	}
	f(0, 0)
	f(999*time.Millisecond, 0)
	f(time.Second, 1)
	f(600*time.Second+500*time.Millisecond, 600)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(time.Hour, newMachineClocks().read)
		defer s.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.wait(ctx, nil); err == nil {
			t.Error("wait came back before the slot, without an error")
		}
	})
}
