package collector

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
)

// target is one cgroup that is measured.
type target struct {
	container *metric.Container // as published; replaced, never changed
	inspected *metric.Container // what the runtime last said
	reader    *cgroup.Reader
	net       *proc.Net // nil while there is none

	cur, prev *metric.Sample // the newest two; swapped at each reading
	window    metric.Window
	history   history
	summary   summary

	begun   bool       // the agent saw it begin: its counters began at zero
	known   metric.Set // what was ever read of one that was seen to begin
	started bool       // the agent has told when it was started
	told    bool       // has told that it was made
	killed  bool       // the kernel has counted an OOM kill
	phase   uint64     // spreads the slow readings of many targets over the sweeps
	reads   uint64
	changed bool   // its limits may have been changed: they are read next
	netRead bool   // prev has interfaces read
	scanned uint64 // the last full listing of the tree that showed it

	wait, idle uint64 // dynamic housekeeping: sweeps to wait, and last wait

	detail *metric.Sample // read in the background since the last sample; nil without

	identity   identity
	storage    storage
	ranAtCount uint64 // the CPU time that it had used when its files were counted last
}

// identity is the state of asking who a target is.
type identity struct {
	due     time.Time
	asked   bool // under way
	again   bool // an event came meanwhile: the answer may be from before it
	misses  int
	settled bool // it has a name
}

func newTarget(path string, instance uint64, runtime, id string, reader *cgroup.Reader, history_ time.Duration) *target {
	t := &target{
		container: &metric.Container{Path: path, Instance: instance, Runtime: runtime, ID: id, Created: reader.Created()},
		reader:    reader,
		cur:       new(metric.Sample),
		prev:      new(metric.Sample),
		history:   history{span: int64(history_)},
	}
	if id != "" {
		t.container.Unidentified = "not asked yet"
	}
	return t
}

func (t *target) path() string { return t.container.Path }

func (t *target) close() {
	t.reader.Close()
	if t.net != nil {
		t.net.Close()
	}
}

// due tells whether t is read in this sweep.
func (c *Collector) due(t *target, windowEnds bool) bool {
	if t.wait == 0 || windowEnds {
		return true
	}
	t.wait--
	return false
}

// settling is for how many readings limits are not expected to stay: a runtime makes a
// cgroup, and sets its limits a moment later.
const settling = 2

// read takes one sample of t. It reports whether the cgroup is gone, and then leaves
// the last good sample in place.
func (c *Collector) read(t *target) (gone bool) {
	t.cur, t.prev = t.prev, t.cur
	t.cur.CopyFrom(t.prev)
	t.cur.Time = c.now()
	if c.o.NoRootStats && t.path() == metric.Root {
		t.reads++ // there it is, without a number
		return false
	}
	changed := t.changed
	slow := t.reads < settling || changed || c.turn(t, c.o.SlowInterval)
	t.changed = false

	if err := t.reader.Read(t.cur, slow); errors.Is(err, cgroup.ErrGone) {
		t.cur, t.prev = t.prev, t.cur
		return true
	}
	hadNet := t.netRead
	if t.path() == metric.Root {
		if err := c.o.Host.Read(t.cur, slow); err != nil {
			c.o.Log.Warn("some numbers of the node are missing", zap.Error(err))
		}
		c.copyFilesystems(t.cur)
		t.netRead = true
	} else {
		t.netRead = c.readNet(t, changed)
	}
	c.takeDetail(t)
	t.cur.DropEmptyRows()
	c.keep(t)

	switch {
	case t.reads == 0 && t.begun:
		t.prev.CopyFrom(t.cur)
		t.prev.Zero()
		t.prev.Time = c.lastWalk
		t.window.First.CopyFrom(t.prev)
	case t.reads == 0:
		// Found running: its past is unknown.
		t.prev.CopyFrom(t.cur)
		t.window.First.CopyFrom(t.cur)
	default:
		// What is there only since a moment after the container began has counted from zero: a
		// runtime makes the directories of v1 one after the other, v2's files come when a
		// controller is switched on, and the background takes its time.
		if t.begun {
			t.prev.AddNewCounters(t.cur, &t.known)
			t.window.First.AddNewCounters(t.cur, &t.known)
		}
		// A device or interface that wasn't there a moment ago begins at zero. Interfaces
		// that were read for the first time a moment ago begin at what they had then.
		t.prev.AddMissingRows(metric.PerDevice, t.cur)
		if hadNet || t.begun {
			t.prev.AddMissingRows(metric.PerInterface, t.cur)
		}
		for _, per := range [...]metric.Per{metric.PerDevice, metric.PerInterface} {
			t.window.First.CopyMissingRows(per, t.prev)
		}
	}
	if t.begun {
		t.known.AddRead(t.cur)
	}
	if t.reads > 0 || t.begun {
		t.window.Observe(t.prev, t.cur)
		t.summary.add(t.prev, t.cur)
		c.noteKills(t)
		c.stats.samples.Add(1)
	}
	t.reads++
	return false
}

// keep completes the newest sample of t and adds it to the history, before anything is done
// to the one before. How long t may wait is seen before: whatever becomes of its files keeps
// nobody awake.
func (c *Collector) keep(t *target) {
	c.relax(t)
	c.putStorage(t)
	t.history.add(t.cur, t.prev)
}

// turn tells whether it is the turn of t for what is done once in that time. Those of all
// targets are spread over the sweeps.
func (c *Collector) turn(t *target, every time.Duration) bool {
	return (c.sweeps+t.phase)%uint64(max(1, every/c.o.Interval)) == 0
}

// relax sets how long an idle target may wait, as cAdvisor's dynamic housekeeping does:
// twice as long each time that nothing changed, from anew once something did.
func (c *Collector) relax(t *target) {
	if !c.o.Dynamic || t.path() == metric.Root {
		return
	}
	if t.cur.SameNumbers(t.prev) {
		most := uint64(max(1, c.o.MaxInterval/c.o.Interval))
		t.idle = min(max(1, 2*t.idle), most)
		t.wait = t.idle - 1
	} else {
		t.idle, t.wait = 0, 0
	}
}

// lastMinute returns what t did in the minute before its newest sample, or since it was
// first seen; nil if there is one sample only.
func (t *target) lastMinute() *metric.Window {
	w := &metric.Window{Container: t.container, Ended: true, NetworkOf: t.window.NetworkOf}
	var prev metric.Sample
	t.history.each(t.cur.Time-int64(time.Minute), func(s *metric.Sample) bool {
		if w.First.Time == 0 {
			w.First.CopyFrom(s)
		} else {
			w.Observe(&prev, s)
		}
		prev.CopyFrom(s)
		return true
	})
	if w.Samples == 0 {
		return nil
	}
	w.Last = &prev
	return w
}

// end gives the last window of a cgroup that is gone to the sink and forgets it.
func (c *Collector) end(t *target) {
	t.window.Ended = true
	if t.reads > 0 { // if not in this window: that it was the last has to be told
		c.put(t)
	}
	if t.net != nil {
		c.networks--
	}
	t.close()
	for i := range c.targets {
		if c.targets[i] == t {
			c.targets = append(c.targets[:i], c.targets[i+1:]...)
			break
		}
	}
	delete(c.byPath, t.path())
	if c.byID[t.container.ID] == t {
		delete(c.byID, t.container.ID)
	}
	c.disown(t)
	c.tellCreation(t)
	if kills, _ := t.cur.Get(metric.MemoryOOMKills); kills > 0 {
		c.buryKilled(t.container, kills, time.Now())
	}
	if t.container.ID == "" {
		c.tellEnd(t.path(), time.Now(), UnknownExit)
	}
	c.lifecycle.ended(t)
	c.stats.ended.Add(1)
}
