// Package collector decides which cgroups are measured, when, and under whose name: the
// loop, the targets and their history.
//
// One goroutine, the one that calls Run, owns all of it: one timer, one sweep over all
// targets per interval, starting on slots of the wall clock that are the same on every
// node. What is slow (who a container is, how full the filesystems are) happens in other
// goroutines and comes back by channel at the next sweep. The cgroup tree says what
// exists; a Runtime only says who it is, and the numbers never wait for it.
//
// It knows nothing of outputs: it gives windows of samples to a Sink.
package collector

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
)

// Options are what a Collector works with. All fields are needed unless they say otherwise.
type Options struct {
	Cgroups *cgroup.Hierarchy
	Proc    *proc.FS
	// Host reads the node's own numbers. The Collector closes it.
	Host    *proc.Node
	Runtime Runtime
	Sink    Sink
	Log     *zap.Logger
	// Node tells about the machine. New asks it first; then it is asked every
	// NodeInterval, from a goroutine of its own.
	Node func(context.Context) (*metric.Node, error)
	// Filesystems measures the node's filesystems into the rows of a sample. It is
	// asked every RefreshInterval, from a goroutine of its own; nil for none.
	Filesystems func(*metric.Sample) error
	// Storage counts what a container's files take on disk: it puts the numbers from
	// StorageLayer to StorageAsOf, and a row of the filesystem that the layer lies on,
	// whose key has its device numbers. What can't be counted is absent. It may take as
	// long as it needs, in a goroutine of its own; nil for none.
	Storage func(context.Context, *metric.Container, *metric.Sample)
	// Details reads processes, sockets and groups of resctrl, in a goroutine of its own: all
	// of them every DetailsInterval, and more slowly where that would take too much of the
	// time. nil for none.
	Details         *proc.Details
	DetailsInterval time.Duration
	// Swarm tells the state of the Swarm, and what has happened to its services since it
	// was asked last; nil where that isn't for this node to tell. It is asked toward the
	// end of each Window and, a second later at the earliest, when SwarmChanges says so,
	// from a goroutine of its own. Its answers go to SwarmSink; nil for none.
	Swarm        func(context.Context) (*metric.SwarmState, []metric.Event)
	SwarmChanges <-chan struct{}
	SwarmSink    SwarmSink

	// Interval is the time between sweeps: cAdvisor's -housekeeping_interval.
	Interval time.Duration
	// Window is the time that one document covers, a multiple of Interval.
	Window time.Duration
	// SlowInterval is the time between readings of the kernel's files whose numbers
	// rarely change: limits and peaks. An update that the runtime tells of makes
	// them be read at once.
	SlowInterval time.Duration
	// RefreshInterval is the time between looks at what isn't the kernel's: who a
	// container is, how full the filesystems are.
	RefreshInterval time.Duration
	// NodeInterval is the time between looks at the machine itself.
	NodeInterval time.Duration
	// RescanInterval is the time between full listings of the cgroup tree, which
	// don't trust what the last one saw: cAdvisor's -global_housekeeping_interval.
	RescanInterval time.Duration
	// History is how long samples are kept: cAdvisor's -storage_duration.
	History time.Duration
	// Dynamic lets a container whose numbers stand still be read less and less
	// often, down to every MaxInterval, though always at the end of a window:
	// cAdvisor's -allow_dynamic_housekeeping.
	Dynamic     bool
	MaxInterval time.Duration
	// RuntimeOnly leaves out cgroups that no container runtime made, the node
	// itself excepted: cAdvisor's -docker_only. RawPrefixes are paths that are
	// measured all the same and, without RuntimeOnly, the only raw ones that are:
	// cAdvisor's -raw_cgroup_prefix_whitelist.
	RuntimeOnly bool
	RawPrefixes []string
	// NoRootStats measures nothing of the node itself, which is still there by name:
	// cAdvisor's -disable_root_cgroup_stats.
	NoRootStats bool
	// MaxNetworks is how many containers' networks may be kept open, each of which takes a
	// descriptor; further ones have no network numbers. 0 is no limit, a negative number
	// none.
	MaxNetworks int
	// Occurrences takes what happens to cgroups; nil for none.
	Occurrences *Occurrences
}

// Collector is the loop and what it knows. Its methods are for one goroutine, Stats and
// Latest excepted.
type Collector struct {
	o    Options
	tree *cgroup.Tree
	// deepSaid tells that the log has a line of cgroups that the tree leaves out.
	deepSaid bool
	node     *metric.Node

	targets []*target          // in the order in which they were found
	byPath  map[string]*target // the same
	byID    map[string]*target // those of a runtime
	owners  map[uint64]*target // who counts a network namespace's interfaces

	background *background
	lifecycle  lifecycle
	asks       chan func()        // what others want to know, done by the loop
	sampled    chan struct{}      // closed after the first sweep
	ended      chan struct{}      // closed when the loop has ended
	filesystem metric.Sample      // rows of the newest measurement
	swarm      *metric.SwarmState // newest, nil if none is known or it was handed over
	networks   int                // that are open
	kills      []killed           // of this sweep
	buried     []Killed
	storageSet metric.Set // the numbers of a container's files; immutable
	detailSet  metric.Set // those of its processes; immutable
	clocks     func() clocks

	self     int            // the agent's process in the node's PID namespace
	pids     []int          // scratch
	text     proc.NetBuffer // scratch
	pidOf    map[string]int // by id, for containers that no process list shows
	sweeps   uint64
	interval int64                                  // end of the shipping interval that the sweep is in, as metric.Window.Slot
	handed   int64                                  // the interval whose windows were handed over last
	missed   [metric.NumMissedReasons]metric.Missed // not handed over yet
	walked   bool                                   // the tree has been listed once: what comes now is new
	rescan   time.Time                              // when the tree is listed anew
	rescans  uint64
	lastWalk int64
	began    time.Time // when the sweep began
	wall     int64     // the same on the wall clock, in nanoseconds since the Unix epoch
	stats    counters
}

// New returns a Collector that has read nothing yet but who the node is.
func New(ctx context.Context, o Options) (*Collector, error) {
	if o.Interval <= 0 || o.Window < o.Interval || o.Window%o.Interval != 0 {
		return nil, fmt.Errorf("the shipping interval (%v) has to be a multiple of the housekeeping interval (%v)", o.Window, o.Interval)
	}
	node, err := o.Node(ctx)
	if err != nil {
		return nil, err
	}
	self, err := o.Proc.Self()
	if err != nil {
		return nil, err
	}
	return &Collector{
		o:          o,
		node:       node,
		tree:       o.Cgroups.NewTree(),
		self:       self,
		byPath:     map[string]*target{},
		byID:       map[string]*target{},
		owners:     map[uint64]*target{},
		background: newBackground(o),
		lifecycle:  newLifecycle(),
		asks:       make(chan func()),
		sampled:    make(chan struct{}),
		ended:      make(chan struct{}),
		storageSet: storageSet(),
		detailSet:  detailSet(),
		clocks:     readClocks,
	}, nil
}

// Run sweeps until ctx ends, then hands over what the running windows hold. It returns
// nil then; it has no other end.
func (c *Collector) Run(ctx context.Context) error {
	stop := c.background.start(ctx)
	defer stop()
	defer c.close()
	defer close(c.ended)

	// The first sample comes at once, so that a restart costs no more than it must; but
	// not just before a slot, because a window of next to nothing has no rate.
	if now := time.Now(); c.untilSlot(now) > c.o.Interval/4 {
		c.sweep(now.UnixNano())
		c.stats.swept(time.Since(now))
	}
	clock := newSchedule(c.o.Interval, c.clocks)
	defer clock.stop()
	for {
		w, err := clock.wait(ctx, c.asks)
		if err != nil {
			c.finish()
			return nil
		}
		c.woken(&w)
		c.stats.late(clock.late())
		c.sweep(w.slot)
		took, missed := clock.done()
		c.miss(metric.MissedOverrun, w.slot+int64(c.o.Interval), missed)
		c.stats.swept(took)
	}
}

// finish gives all that there is to the sink: nobody will.
func (c *Collector) finish() {
	c.answers()
	c.lifecycle.finish(c)
	c.handOver(everything)
}

// untilSlot returns the time from now to the next slot.
func (c *Collector) untilSlot(now time.Time) time.Duration {
	return c.o.Interval - time.Duration(now.UnixNano())%c.o.Interval
}

// woken takes what happened to the clocks since the last sweep.
func (c *Collector) woken(w *wake) {
	interval := int64(c.o.Interval)
	c.miss(metric.MissedSuspended, w.slot-(w.stopped+w.suspended)*interval, w.suspended)
	c.miss(metric.MissedStopped, w.slot-w.stopped*interval, w.stopped)
	if by := w.stepped + w.asleep; by != 0 {
		c.shift(by)
	}
	if w.stepped == 0 {
		return
	}
	c.o.Log.Warn("The wall clock was set. Documents have the times that it shows.", zap.Duration("by", w.stepped))
	root := &metric.Container{Path: metric.Root}
	if t := c.byPath[metric.Root]; t != nil {
		root = t.container
	}
	c.o.Sink.PutEvent(c.node, &metric.Event{Time: time.Now(), Action: metric.ClockStep, Container: root, Step: w.stepped})
	c.stats.events.Add(1)
}

// miss notes that n sweeps were not made, from the one of the slot first on.
func (c *Collector) miss(why metric.MissedReason, first, n int64) {
	if n == 0 {
		return
	}
	c.stats.missedSlots.Add(n)
	m := &c.missed[why]
	if m.Sweeps == 0 {
		*m = metric.Missed{Reason: why, FirstSlot: c.intervalEnd(first)}
	}
	m.Sweeps += n
	m.LastSlot = c.intervalEnd(first + (n-1)*int64(c.o.Interval))
}

// intervalEnd returns the end of the shipping interval that the slot of a sweep lies in.
func (c *Collector) intervalEnd(slot int64) int64 {
	window := int64(c.o.Window)
	return (slot + window - 1) / window * window
}

// Once measures everything twice, apart by the interval, waits until names are known,
// and hands over one window of each container. It is what "agent collect" runs.
func (c *Collector) Once(ctx context.Context) error {
	stop := c.background.start(ctx)
	defer stop()
	defer c.close()

	c.sweep(time.Now().UnixNano())
	timer := time.NewTimer(c.o.Interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.background.settle(ctx); err != nil {
		return err
	}
	slot := time.Now().UnixNano()
	c.sweep(slot)
	if c.o.Swarm != nil {
		c.swarm, _ = c.o.Swarm(ctx)
		c.putSwarm()
	}
	c.handOver(everything) // of which the sweep may have done most
	return nil
}

// sweep reads every target once. The slot is in nanoseconds since the Unix epoch.
func (c *Collector) sweep(slot int64) {
	c.began, c.wall = time.Now(), c.clocks().wall
	c.answers()
	interval := c.intervalEnd(slot)
	windowEnds := slot == interval
	if c.interval != 0 && interval != c.interval && c.handed != c.interval {
		c.handOver(named) // the sweep at the last interval's end was missed
	}
	c.interval = interval

	for i := 0; i < len(c.targets); {
		t := c.targets[i]
		if c.due(t, windowEnds) {
			if gone := c.read(t); gone {
				c.end(t) // takes t out of c.targets
				continue
			}
		}
		i++
	}
	c.walk()
	c.tellKills()
	c.identify()
	c.askStorage()
	c.handSubjects()
	c.lifecycle.release(c)
	if c.sweeps++; c.sweeps == 1 {
		close(c.sampled)
	}
	c.stats.targets.Store(int64(len(c.targets)))
	if windowEnds {
		c.handOver(named)
	}
}

// now returns the time in nanoseconds since the Unix epoch. A clock that is set during a
// sweep is so for the next one: the times within one have to fit together.
func (c *Collector) now() int64 { return c.wall + int64(time.Since(c.began)) }

// walk finds the cgroups that came and went since the last sweep.
func (c *Collector) walk() {
	now := time.Now()
	rescan := !c.rescan.After(now)
	if rescan {
		c.tree.Forget()
		c.rescan = now.Add(c.o.RescanInterval)
		c.rescans++
	}
	if err := c.tree.Update(c.found, c.gone); err != nil {
		c.o.Log.Warn("The cgroup tree can't be listed: new containers are not seen. Mount the host's /sys/fs/cgroup read-only.", zap.Error(err))
		return
	}
	c.walked, c.lastWalk = true, c.now()
	if n := c.tree.Cut(); c.stats.tooDeep.Swap(int64(n)) == 0 && n > 0 && !c.deepSaid {
		c.deepSaid = true
		c.o.Log.Warn("Cgroups lie too deep and are not measured; their parents' numbers contain theirs.",
			zap.Int("cgroups", n), zap.Int("levels", cgroup.MaxDepth))
	}
	if rescan {
		for i := 0; i < len(c.targets); {
			if t := c.targets[i]; t.scanned != c.rescans {
				c.end(t)
				continue
			}
			i++
		}
	}
}

// found takes up a cgroup and reads it for the first time.
func (c *Collector) found(path string, instance uint64) {
	if t := c.byPath[path]; t != nil {
		if t.container.Instance == instance {
			t.scanned = c.rescans
			return
		}
		c.end(t)
	}
	runtime, id, ok := c.o.Runtime.Recognize(path)
	if outer := c.byID[id]; ok && outer != nil && strings.HasPrefix(path, outer.path()+"/") {
		// A cgroup below the container's own (Podman's "container"): part of it.
		runtime, id, ok = "", "", false
	}
	if !ok && !c.wanted(path) {
		return
	}
	reader, err := c.o.Cgroups.OpenReader(path, instance)
	if err != nil {
		return // gone again: news, not an error
	}
	t := newTarget(path, instance, runtime, id, reader, c.o.History)
	t.begun = c.walked
	t.phase = uint64(len(c.targets))
	t.scanned = c.rescans
	c.byPath[path] = t
	if id != "" {
		c.byID[id] = t
	}
	c.targets = append(c.targets, t)
	if gone := c.read(t); gone {
		c.end(t)
		return
	}
	if id == "" {
		c.tellCreation(t)
	}
}

// wanted tells whether a cgroup of no runtime is measured.
func (c *Collector) wanted(path string) bool {
	if path == metric.Root {
		return true
	}
	for _, prefix := range c.o.RawPrefixes {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return !c.o.RuntimeOnly && len(c.o.RawPrefixes) == 0
}

func (c *Collector) gone(path string) {
	if t := c.byPath[path]; t != nil {
		c.end(t)
	}
}

// windows says which windows are handed over.
type windows bool

const (
	// named: a window of a container that was found a moment ago, and has no name yet,
	// goes on into the next interval instead: its document says whose it is then.
	named windows = false
	// everything, because no other interval comes.
	everything windows = true
)

// handOver tells the sink of the sweeps that were missed since the last time, and then gives it
// the windows of all targets and begins new ones.
func (c *Collector) handOver(which windows) {
	for i := range c.missed {
		if m := &c.missed[i]; m.Sweeps > 0 {
			c.o.Sink.PutMissed(c.node, m)
			m.Sweeps = 0
		}
	}
	for _, t := range c.targets {
		if t.window.Samples == 0 || which == named && t.awaitsName() {
			continue
		}
		c.put(t)
		t.window.Next()
	}
	if which == named {
		c.putSwarm() // else the interval goes on in another run, which tells
	}
	c.o.Sink.Flush(c.interval)
	c.handed = c.interval
}

// putSwarm gives the state of the Swarm to its sink, once.
func (c *Collector) putSwarm() {
	if c.swarm != nil {
		c.o.SwarmSink.PutSwarm(c.node, c.swarm, c.interval)
		c.swarm = nil
	}
}

// put gives the window of t, as it is, to the sink.
func (c *Collector) put(t *target) {
	t.window.Container = t.container
	t.window.Slot = c.interval
	t.window.Last = t.cur
	c.o.Sink.Put(c.node, &t.window)
	c.stats.windows.Add(1)
}

// close gives back every descriptor.
func (c *Collector) close() {
	for _, t := range c.targets {
		t.close()
	}
	c.o.Host.Close()
	c.tree.Close()
}
