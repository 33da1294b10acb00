package collector

import (
	"context"
	"time"
)

// schedule wakes its owner at the slots: the instants whose time since the Unix epoch
// is a multiple of the interval. Slots are of the wall clock, so that all nodes sample
// together; the waiting is on the monotonic clock, so that a clock that is set doesn't
// make a sweep too many. A sweep that takes too long makes slots be missed, never
// overlap; a process that was stopped misses them, too, and makes up for none.
type schedule struct {
	interval int64
	timer    *time.Timer
	next     int64     // the slot waited for, or worked on
	due      time.Time // the same on the monotonic clock
	woke     time.Time
	lateness time.Duration
}

func newSchedule(interval time.Duration) *schedule {
	s := &schedule{interval: int64(interval), timer: time.NewTimer(time.Hour)}
	s.arm(time.Now())
	return s
}

// arm sets the timer for the first slot after now.
func (s *schedule) arm(now time.Time) {
	s.next = (now.UnixNano()/s.interval + 1) * s.interval
	wait := time.Duration(s.next - now.UnixNano())
	s.due = now.Add(wait)
	s.timer.Reset(wait)
}

// wait returns the newest slot that has come, or the error of ctx, and how many slots
// before it have come and gone since the work on the last one ended, because the process
// didn't run. Until then it does what is asked for, which has to be short.
func (s *schedule) wait(ctx context.Context, asks <-chan func()) (slot, missed int64, err error) {
	for {
		select {
		case <-s.timer.C:
			s.woke = time.Now()
			s.lateness = s.woke.Sub(s.due)
			missed = int64(s.lateness) / s.interval
			s.next += missed * s.interval
			s.due = s.due.Add(time.Duration(missed * s.interval))
			return s.next, missed, nil
		case do := <-asks:
			do()
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
}

// late returns by how much the last wait came back after the slot that it had waited for.
// Both instants are of the monotonic clock: a clock that was set in between is not
// lateness.
func (s *schedule) late() time.Duration { return s.lateness }

// done ends the work on the slot and waits for the next one. It returns how long the
// work took and how many slots have passed during it.
func (s *schedule) done() (took time.Duration, missed int64) {
	now := time.Now()
	took, missed = now.Sub(s.woke), int64(now.Sub(s.due))/s.interval
	s.arm(now)
	return took, missed
}

func (s *schedule) stop() { s.timer.Stop() }
