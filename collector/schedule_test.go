package collector

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlotsAreAlignedToTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(137 * time.Millisecond) // start between two slots
		s := newSchedule(time.Second)
		defer s.stop()
		last := int64(0)
		for range 5 {
			slot, missed, err := s.wait(context.Background(), nil)
			if err != nil || missed != 0 {
				t.Fatalf("%d slots missed, %v", missed, err)
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
			s := newSchedule(time.Second)
			defer s.stop()
			first, _, _ := s.wait(context.Background(), nil)
			time.Sleep(work)
			if _, missed := s.done(); missed != wantMissed {
				t.Errorf("work of %v: %d missed, want %d", work, missed, wantMissed)
			}
			next, _, _ := s.wait(context.Background(), nil)
			if next != first+(wantMissed+1)*1e9 {
				t.Errorf("work of %v: next slot after %d is %d", work, first, next)
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

// A process that didn't run misses the slots of that time, and is back in step with the next
// one that it sees.
func TestStoppedSlotsAreCountedAndNotMadeUpFor(t *testing.T) {
	f := func(stopped time.Duration, wantMissed int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule(time.Second)
			defer s.stop()
			first := s.next
			time.Sleep(time.Duration(first-time.Now().UnixNano()) + stopped)
			slot, missed, _ := s.wait(context.Background(), nil)
			if missed != wantMissed || slot != first+wantMissed*1e9 || s.late() != stopped {
				t.Errorf("stopped for %v: slot %d of the first, %d missed, %v late; want %d missed", stopped, (slot-first)/1e9, missed, s.late(), wantMissed)
			}
			if _, missed := s.done(); missed != 0 {
				t.Errorf("stopped for %v: %d more missed by the work", stopped, missed)
			}
			if next, missed, _ := s.wait(context.Background(), nil); next != slot+1e9 || missed != 0 {
				t.Errorf("stopped for %v: next slot after %d is %d, %d missed", stopped, slot, next, missed)
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
		s := newSchedule(time.Hour)
		defer s.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.wait(ctx, nil); err == nil {
			t.Error("wait came back before the slot, without an error")
		}
	})
}
