package collector

import (
	"sync/atomic"
	"time"
)

// Stats is what the loop says of itself. All numbers but Targets, TooDeep,
// LastSweep and Duration only grow.
type Stats struct {
	// Sweeps counts finished sweeps, Missed the slots that passed during one or while
	// the process didn't run.
	Sweeps, Missed int64
	// LastSweep is when the last sweep ended, zero before the first.
	LastSweep time.Time
	// Duration is how long the last sweep took, Total all of them together.
	Duration, Total time.Duration
	// Late is by how much the last sweep began after its slot, LateMost the worst.
	Late, LateMost time.Duration
	// Targets is how many cgroups are measured now.
	Targets int64
	// TooDeep is how many cgroups aren't, because they lie deeper than cgroup.MaxDepth;
	// those below them aren't counted.
	TooDeep int64
	// Samples counts readings of a cgroup that entered a window, Windows those that
	// were handed to the sink, Ended the cgroups that went, Events the events.
	Samples, Windows, Ended, Events int64
	// EventsLost counts events that came faster than the loop took them.
	EventsLost int64
	// NetworksRefused counts how often a container's network was not opened, for want of
	// descriptors.
	NetworksRefused int64
}

// counters are the loop's side of Stats: written by the loop, read by anybody.
type counters struct {
	sweeps, missedSlots, lastSweep, duration, total, lateness, lateMost atomic.Int64
	longest, latest                                                     atomic.Int64 // since Recent was asked last
	targets, tooDeep, samples, windows, ended, events, netsRefused      atomic.Int64
}

func (c *counters) late(d time.Duration) {
	c.lateness.Store(int64(d))
	c.lateMost.Store(max(c.lateMost.Load(), int64(d)))
	c.latest.Store(max(c.latest.Load(), int64(d)))
}

func (c *counters) swept(took time.Duration) {
	c.duration.Store(int64(took))
	c.total.Add(int64(took))
	c.longest.Store(max(c.longest.Load(), int64(took)))
	c.lastSweep.Store(time.Now().UnixNano())
	c.sweeps.Add(1)
}

// Stats returns the numbers of now. Any goroutine may call it.
func (c *Collector) Stats() Stats {
	s := &c.stats
	stats := Stats{
		Sweeps: s.sweeps.Load(), Missed: s.missedSlots.Load(),
		Duration: time.Duration(s.duration.Load()), Total: time.Duration(s.total.Load()),
		Late: time.Duration(s.lateness.Load()), LateMost: time.Duration(s.lateMost.Load()),
		Targets: s.targets.Load(), TooDeep: s.tooDeep.Load(), Samples: s.samples.Load(), Windows: s.windows.Load(),
		Ended: s.ended.Load(), Events: s.events.Load(),
		EventsLost: c.background.eventsLost.Load(), NetworksRefused: s.netsRefused.Load(),
	}
	if at := s.lastSweep.Load(); at != 0 {
		stats.LastSweep = time.Unix(0, at)
	}
	return stats
}

// Recent returns how long the longest of the sweeps took that have ended since it was called
// last, and by how much the latest of those began after its slot that have begun since. It is
// for a Sink, which asks it in Flush.
func (c *Collector) Recent() (longest, latest time.Duration) {
	return time.Duration(c.stats.longest.Swap(0)), time.Duration(c.stats.latest.Swap(0))
}
