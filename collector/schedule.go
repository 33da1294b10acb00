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
//
// When the wall clock was set, or the machine suspended, the slots go on where the wall clock
// is now.
type schedule struct {
	interval int64
	timer    *time.Timer
	next     int64     // the slot waited for, or worked on
	due      time.Time // the same on the monotonic clock
	woke     time.Time
	lateness time.Duration
	clocks   func() clocks
	last     clocks // when the last wait ended
}

// wake is what wait has found.
type wake struct {
	// slot is the newest that has come.
	slot int64
	// stopped and suspended are how many slots before it have come and gone since the work
	// on the last one ended: because the process didn't run, or the machine.
	stopped, suspended int64
	// stepped is by how much the wall clock was set, 0 for less than leastStep. asleep is
	// for how long the machine was suspended, 0 for less than an interval.
	stepped, asleep time.Duration
}

func newSchedule(interval time.Duration, clocks func() clocks) *schedule {
	s := &schedule{interval: int64(interval), timer: time.NewTimer(time.Hour), clocks: clocks, last: clocks()}
	s.arm()
	return s
}

// together is how far apart the readings of two clocks may be to count as of one instant.
const together = time.Millisecond

// read returns what the clocks say, and the instant of that. The process may lose the CPU
// between the two; a slot that passes meanwhile would be in neither.
func (s *schedule) read() (c clocks, now time.Time) {
	const tries = 10 // on a machine that is that busy, the last one has to do
	for range tries {
		before := time.Now()
		c = s.clocks()
		if now = time.Now(); now.Sub(before) < together {
			break
		}
	}
	return c, now
}

// arm sets the timer for the first slot that comes.
func (s *schedule) arm() {
	c, now := s.read()
	s.next = (c.wall/s.interval + 1) * s.interval
	wait := time.Duration(s.next - c.wall)
	s.due = now.Add(wait)
	s.timer.Reset(wait)
}

// wait waits for the next slot, or returns the error of ctx. Until then it does what is
// asked for, which has to be short.
func (s *schedule) wait(ctx context.Context, asks <-chan func()) (wake, error) {
	for {
		select {
		case <-s.timer.C:
			return s.wake(), nil
		case do := <-asks:
			do()
		case <-ctx.Done():
			return wake{}, ctx.Err()
		}
	}
}

// wake finds out where the clocks are, now that the time to wait is over.
func (s *schedule) wake() (w wake) {
	s.woke = time.Now()
	s.lateness = s.woke.Sub(s.due)
	w.stopped = int64(s.lateness) / s.interval
	s.next += w.stopped * s.interval
	s.due = s.due.Add(time.Duration(w.stopped * s.interval))

	before := s.last
	s.last = s.clocks()
	stepped, asleep := s.last.since(before)
	if stepped.Abs() >= leastStep || asleep >= time.Duration(s.interval) {
		// The clocks are read one after the other, and the process may have been stopped
		// in between.
		s.last = s.clocks()
		stepped, asleep = s.last.since(before)
	}
	if stepped.Abs() >= leastStep {
		w.stepped = stepped
	}
	if asleep >= time.Duration(s.interval) {
		w.asleep, w.suspended = asleep, int64(asleep)/s.interval
	}
	if w.stepped != 0 || w.asleep != 0 {
		var now time.Time
		s.last, now = s.read()
		s.next = s.last.wall - s.last.wall%s.interval
		s.due = now.Add(-time.Duration(s.last.wall - s.next))
	}
	w.slot = s.next
	return w
}

// late returns by how much the last wait came back after the slot that it had waited for.
// Both instants are of the monotonic clock: a clock that was set in between is not
// lateness.
func (s *schedule) late() time.Duration { return s.lateness }

// done ends the work on the slot and waits for the next one. It returns how long the
// work took and how many slots have passed during it.
func (s *schedule) done() (took time.Duration, missed int64) {
	took = time.Since(s.woke)
	before := s.due
	s.arm()
	// From the slot that was worked on to the one that is waited for, and not to this instant:
	// none passes between two looks at the clock.
	return took, max(0, int64(s.due.Sub(before).Round(time.Duration(s.interval)))/s.interval-1)
}

func (s *schedule) stop() { s.timer.Stop() }
