package collector

import (
	"time"

	"golang.org/x/sys/unix"
)

// clocks are what the machine's clocks said at one instant, in nanoseconds.
type clocks struct {
	wall    int64 // since the Unix epoch; it may be set
	running int64 // since the boot, without the time in which the machine was suspended
	boot    int64 // since the boot
}

// leastStep is how far the wall clock has to be off, all at once, for it to be told. A clock
// that is only made to run faster or slower never gets that far between two sweeps.
const leastStep = time.Second

// readClocks asks the kernel.
func readClocks() clocks {
	var wall, running, boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &running) // these three can't fail
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	return clocks{wall: wall.Nano(), running: running.Nano(), boot: boot.Nano()}
}

// since returns by how much the wall clock was set since before, and for how long the
// machine was suspended.
func (c clocks) since(before clocks) (stepped, suspended time.Duration) {
	return time.Duration(c.wall - before.wall - (c.boot - before.boot)),
		time.Duration(c.boot - before.boot - (c.running - before.running))
}

// shift moves what is known of earlier times to what the clock says now, which was set or
// didn't run while the machine was suspended: the time between two samples is then the time
// in which containers ran.
func (c *Collector) shift(by time.Duration) {
	d := int64(by)
	for _, t := range c.targets {
		for _, at := range [...]*int64{&t.cur.Time, &t.prev.Time, &t.window.First.Time, &t.summary.began} {
			if *at != 0 {
				*at += d
			}
		}
	}
	if c.lastWalk != 0 {
		c.lastWalk += d
	}
}
