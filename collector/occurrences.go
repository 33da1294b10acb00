package collector

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Occurrence is what happened to a cgroup, of a runtime or of none: cAdvisor's event. The
// Action is Create, Destroy, OOM (a process of this cgroup was killed) or OOMKill (the
// limit of this cgroup was the reason).
type Occurrence struct {
	Time   time.Time
	Action metric.Action
	Path   string
	// ExitCode belongs to Destroy; UnknownExit where nothing told it.
	ExitCode int
	// AtLimit tells of an OOMKill that a limit was hit, and not the machine's memory.
	AtLimit bool
}

// UnknownExit is the exit code of what has ended unobserved.
const UnknownExit = metric.UnknownExit

// OccurrenceLimit says for how long and how many Occurrences of one Action are kept:
// cAdvisor's -event_storage_age_limit and -event_storage_event_limit.
type OccurrenceLimit struct {
	Age   time.Duration
	Count int
}

// Occurrences keeps what happened, in memory. Any goroutine may call its methods.
type Occurrences struct {
	limits map[metric.Action]OccurrenceLimit

	mu      sync.Mutex
	kept    map[metric.Action][]Occurrence // oldest first
	watches map[*Watch]struct{}
}

// NewOccurrences returns an Occurrences that has none. An Action without a limit isn't kept.
func NewOccurrences(limits map[metric.Action]OccurrenceLimit) *Occurrences {
	return &Occurrences{limits: limits, kept: map[metric.Action][]Occurrence{}, watches: map[*Watch]struct{}{}}
}

// Watch gets the Occurrences that come.
type Watch struct {
	// C is closed by nobody. What doesn't fit into it is lost for this Watch, which is
	// counted: a reader that doesn't keep up must not hold up sampling.
	C    chan Occurrence
	Lost int // under the mutex of its Occurrences
}

// watchBacklog is how many Occurrences may wait for a reader.
const watchBacklog = 256

// Watch returns a Watch, which has to be given to Unwatch.
func (o *Occurrences) Watch() *Watch {
	w := &Watch{C: make(chan Occurrence, watchBacklog)}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watches[w] = struct{}{}
	return w
}

// Unwatch ends a Watch.
func (o *Occurrences) Unwatch(w *Watch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.watches, w)
}

// Select returns the newest of those that want wants, at most that many, oldest first. A
// negative number is for all.
func (o *Occurrences) Select(most int, want func(*Occurrence) bool) []Occurrence {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	var found []Occurrence
	for action := range o.kept {
		o.forget(action, now)
		for i := range o.kept[action] {
			if want(&o.kept[action][i]) {
				found = append(found, o.kept[action][i])
			}
		}
	}
	// Of one time, by kind: the same order in each answer, and oom before oom_kill.
	slices.SortStableFunc(found, func(a, b Occurrence) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Action, b.Action))
	})
	if most >= 0 && len(found) > most {
		found = found[len(found)-most:]
	}
	return found
}

// Add takes an Occurrence.
func (o *Occurrences) Add(e Occurrence) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.kept[e.Action]
	at, _ := slices.BinarySearchFunc(list, e.Time, func(k Occurrence, at time.Time) int {
		if k.Time.After(at) {
			return 1
		}
		return -1 // of the same time, the later is last
	})
	o.kept[e.Action] = slices.Insert(list, at, e)
	o.forget(e.Action, time.Now())
	for w := range o.watches {
		select {
		case w.C <- e:
		default:
			w.Lost++
		}
	}
}

// forget drops what is too old or too much. The creation of what still exists is as old as
// that and no reason to forget it: age counts for the other actions.
func (o *Occurrences) forget(action metric.Action, now time.Time) {
	list := o.kept[action]
	drop := max(0, len(list)-o.limits[action].Count)
	if action != metric.Create {
		oldest := now.Add(-o.limits[action].Age)
		for drop < len(list) && list[drop].Time.Before(oldest) {
			drop++
		}
	}
	if drop > 0 {
		o.kept[action] = slices.Delete(list, 0, drop)
	}
}

// tellCreation tells, once, that t was made: as soon as it is known when.
func (c *Collector) tellCreation(t *target) {
	if t.told || c.o.Occurrences == nil {
		return
	}
	t.told = true
	c.o.Occurrences.Add(Occurrence{Time: t.container.Created, Action: metric.Create, Path: t.path()})
}

// tellEnd tells that what had the path has ended.
func (c *Collector) tellEnd(path string, at time.Time, exit int) {
	if c.o.Occurrences != nil {
		c.o.Occurrences.Add(Occurrence{Time: at, Action: metric.Destroy, Path: path, ExitCode: exit})
	}
}

// killed is a target of which the kernel has counted OOM kills in this sweep.
type killed struct {
	t     *target
	kills uint64
}

// noteKills looks whether the newest sample of t has counted OOM kills.
func (c *Collector) noteKills(t *target) {
	if kills, ok := t.cur.Increase(t.prev, metric.MemoryOOMKills, 0); ok && kills > 0 {
		t.killed = true
		c.kills = append(c.kills, killed{t, kills})
	}
}

// tellKills tells of the OOM kills of this sweep. Cgroup v2 counts a kill in all cgroups
// above that of the process, too: each is told of where it happened.
func (c *Collector) tellKills() {
	for i := range c.kills {
		k := &c.kills[i]
		own := k.kills
		for j := range c.kills {
			if isBelow(c.kills[j].t.path(), k.t.path()) && c.isNearest(k.t, c.kills[j].t) {
				own -= min(own, c.kills[j].kills)
			}
		}
		for range own {
			c.tellKill(k.t.path(), k.t.limited(), time.Unix(0, k.t.cur.Time).UTC())
		}
	}
	c.kills = c.kills[:0]
}

// isNearest tells whether no other cgroup of which kills were counted lies between the two.
func (c *Collector) isNearest(above, below *target) bool {
	for i := range c.kills {
		between := c.kills[i].t
		if between != above && between != below && isBelow(below.path(), between.path()) && isBelow(between.path(), above.path()) {
			return false
		}
	}
	return true
}

// isBelow tells whether the cgroup path lies below the cgroup above.
func isBelow(path, above string) bool {
	return path != above && strings.HasPrefix(path, strings.TrimSuffix(above, "/")+"/")
}

// tellKill tells of one OOM kill in the cgroup path: by its own limit, by the nearest one
// above, or else for want of memory on the machine.
func (c *Collector) tellKill(path string, limited bool, at time.Time) {
	if c.o.Occurrences == nil {
		return
	}
	c.o.Occurrences.Add(Occurrence{Time: at, Action: metric.OOM, Path: path})
	for !limited && path != metric.Root {
		path = parent(path)
		if above := c.byPath[path]; above != nil {
			limited = above.limited()
		}
	}
	c.o.Occurrences.Add(Occurrence{Time: at, Action: metric.OOMKill, Path: path, AtLimit: limited})
}

// limited tells whether t has a memory limit of its own.
func (t *target) limited() bool {
	_, limited := t.cur.Get(metric.MemoryLimit)
	return limited
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return metric.Root
}

// Killed is a container that has ended, and in which the OOM killer had killed processes.
// It is remembered for a while: most often such a kill ends the container, and what has
// ended is in no sample.
type Killed struct {
	Container *metric.Container
	// Kills is what MemoryOOMKills was at the end.
	Kills uint64
	Ended time.Time
}

// rememberKills is longer than any usual time between two scrapes.
const rememberKills = 5 * time.Minute

// buryKilled remembers an ended container with its kills.
func (c *Collector) buryKilled(of *metric.Container, kills uint64, at time.Time) {
	c.buried = slices.DeleteFunc(c.buried, func(k Killed) bool {
		return k.Container.Path == of.Path && k.Container.Instance == of.Instance || at.Sub(k.Ended) > rememberKills
	})
	c.buried = append(c.buried, Killed{of, kills, at})
}
