package collector

import (
	"slices"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// lifecycle makes the events of containers: from what the runtime tells and, where it
// tells nothing because its socket isn't mounted, from what the loop and the runtime's
// files show. Both may see the same thing; it is passed on once.
type lifecycle struct {
	passed map[occasion]passed
	recent map[string]recent // containers that ended a moment ago, by id
	held   []held
	exits  []*exit
}

// occasion is what one event is about.
type occasion struct {
	id     string
	action metric.Action
}

type passed struct {
	at       time.Time
	observed bool // seen by the loop, not told by the runtime
}

type recent struct {
	container  *metric.Container
	lastMinute *metric.Window // nil where there is none
	ended      time.Time
	settled    bool // nothing more will be known of how it ended
}

// held is an event that waits: for its container's name, or for the runtime to tell the
// same.
type held struct {
	event    metric.Event
	until    time.Time
	observed bool
}

// exit is an ended container whose exit code is looked for in the runtime's files.
type exit struct {
	container *metric.Container
	unstarted bool // its start was seen, and nothing has told when it was
	killed    bool // the kernel has counted an OOM kill
	limited   bool // it had a memory limit
	kills     uint64
	ended     time.Time
	since     time.Time // from when on it is asked about
	due       time.Time // when it is asked about next
	tries     int
	asked     bool // the answer is still to come
	forgotten bool // the runtime knew nothing of it when it was asked last
	doubted   bool // how it ended is known, but for whether it was for want of memory
}

const (
	// sameOccasion is how far apart two sources may be about the same thing.
	sameOccasion = 10 * time.Second
	// hold is how long an event waits for a name or for the other source.
	hold = 2 * time.Second
	// exitTries are the looks for an exit code, one each second: the engine writes it a moment
	// after the cgroup has gone. An engine that still knows the container and hasn't written
	// it may be slow, or may be starting: it is asked for exitPatience, now and then.
	exitTries    = 5
	exitPatience = 30 * time.Second
	// killedExit is the exit code of what a SIGKILL has ended. An engine hears whether it was
	// for want of memory apart from the end, and may hear it later: it is asked once more.
	killedExit = 128 + 9
	lateKill   = time.Second
	// remember is how long an ended container can still be named.
	remember = time.Minute
)

func newLifecycle() lifecycle {
	return lifecycle{passed: map[occasion]passed{}, recent: map[string]recent{}}
}

// told takes an event of the runtime. It is passed on at the end of the sweep at the
// earliest, when the loop has seen what it tells of.
func (l *lifecycle) told(c *Collector, e metric.Event) {
	h := held{event: e, until: time.Now().Add(hold)}
	if l.name(c, &h.event) && e.Action == metric.Rename && e.Container != nil && e.Container.Name != "" {
		renamed := *h.event.Container // which may have the name from before
		renamed.Name = e.Container.Name
		h.event.Container = &renamed
	}
	l.held = append(l.held, h)
}

// observe takes an event that the loop itself has seen. It waits, because the runtime's
// own word is better.
func (l *lifecycle) observe(e metric.Event) {
	l.held = append(l.held, held{event: e, until: time.Now().Add(hold), observed: true})
}

// name finds the event's container among those that have a name.
func (l *lifecycle) name(c *Collector, e *metric.Event) bool {
	if t := c.byID[e.ID]; t != nil && t.identity.settled {
		e.Container = t.container
		return true
	}
	if r, ok := l.recent[e.ID]; ok {
		e.Container = r.container
		return true
	}
	return false
}

// pass gives an event to the sink, unless the other source had it.
func (l *lifecycle) pass(c *Collector, h held) {
	at := occasion{h.event.ID, h.event.Action}
	if last, ok := l.passed[at]; ok && last.observed != h.observed && h.event.Time.Sub(last.at).Abs() < sameOccasion {
		return
	}
	l.passed[at] = passed{h.event.Time, h.observed}
	if h.event.Action == metric.Die && l.sawEnd(&h.event) {
		r := l.recent[h.event.ID]
		h.event.LastMinute = r.lastMinute
		if r.container.Exit != nil {
			h.event.Container = r.container
		}
	}
	if h.event.Container == nil && !l.name(c, &h.event) {
		h.event.Container = &metric.Container{ID: h.event.ID}
	}
	c.o.Sink.PutEvent(c.node, &h.event)
	c.stats.events.Add(1)
}

// sawEnd tells whether the loop has seen the end that the event tells of, and not only an
// earlier one of a container that was started again.
func (l *lifecycle) sawEnd(e *metric.Event) bool {
	r, ok := l.recent[e.ID]
	return ok && e.Time.Sub(r.ended).Abs() < sameOccasion
}

// ready tells whether an event of the runtime needs to wait no longer: its container has
// a name and, if it ended, has given its last numbers, and the runtime has been asked how,
// because its event doesn't say whether for want of memory.
func (l *lifecycle) ready(c *Collector, e *metric.Event) bool {
	if e.Container == nil && !l.name(c, e) {
		return false
	}
	if e.Action != metric.Die {
		return true
	}
	r := l.recent[e.ID]
	return l.sawEnd(e) && r.container.Exit != nil && r.settled
}

// learns tells whether the loop has yet to see the end that the event tells of, or the
// runtime yet to say how it was. On a slow machine both may take longer than hold.
func (l *lifecycle) learns(c *Collector, e *metric.Event) bool {
	if e.Action != metric.Die || time.Since(e.Time) > sameOccasion {
		return false
	}
	if l.sawEnd(e) {
		return !l.recent[e.ID].settled
	}
	t := c.byID[e.ID]
	return t != nil && t.container.Started.Before(e.Time)
}

// release passes on what has waited long enough, and looks for exit codes.
func (l *lifecycle) release(c *Collector) {
	now := time.Now()
	waiting := l.held[:0]
	for _, h := range l.held {
		ready := l.ready(c, &h.event)
		if h.until.After(now) && (h.observed || !ready) || l.learns(c, &h.event) || follows(waiting, &h) {
			waiting = append(waiting, h)
			continue
		}
		l.pass(c, h)
	}
	clear(l.held[len(waiting):])
	l.held = waiting

	pending := l.exits[:0]
	for _, x := range l.exits {
		if l.asks(c, x, now) {
			l.giveUp(c, x)
		} else {
			pending = append(pending, x)
		}
	}
	clear(l.exits[len(pending):])
	l.exits = pending

	for id, r := range l.recent {
		if now.Sub(r.ended) > remember {
			delete(l.recent, id)
		}
	}
	for at, p := range l.passed {
		if now.Sub(p.at) > remember {
			delete(l.passed, at)
		}
	}
}

// giveUp takes what is known of an end for all that will ever be.
func (l *lifecycle) giveUp(c *Collector, x *exit) {
	l.settle(x.container.ID)
	if x.doubted {
		return
	}
	c.tellEnd(x.container.Path, x.ended, UnknownExit)
	l.observe(metric.Event{Time: x.ended, Action: metric.Die, ID: x.container.ID, Container: x.container, ExitCode: UnknownExit})
}

// finish passes on everything that waits. The next run doesn't know of it.
func (l *lifecycle) finish(c *Collector) {
	for _, x := range l.exits {
		l.giveUp(c, x)
	}
	for _, h := range l.held {
		l.pass(c, h)
	}
	l.exits, l.held = nil, nil
}

// asks asks the runtime how a container ended, when it is time to, and tells whether that is
// in vain.
func (l *lifecycle) asks(c *Collector, x *exit, now time.Time) (inVain bool) {
	late := now.Sub(x.since) >= exitPatience
	switch {
	case x.due.After(now), x.asked && !late:
	case x.asked, x.tries >= exitTries && (x.forgotten || late):
		return true
	case c.background.ask(question{path: x.container.Path, ended: true}):
		x.asked, x.due = true, now.Add(time.Second)
		if x.tries++; x.tries > exitTries {
			x.due = now.Add(exitPatience / 10)
		}
	}
	return false
}

// follows tells whether an event of the runtime comes behind one of the same container that
// waits: what was started again has ended before.
func follows(waiting []held, h *held) bool {
	return !h.observed && slices.ContainsFunc(waiting, func(before held) bool {
		return !before.observed && before.event.ID == h.event.ID
	})
}

// changed compares what was known of t with what is known now.
func (l *lifecycle) changed(t *target, before *metric.Container) {
	now := t.container
	if t.begun && !t.started && !now.Started.IsZero() && !behind(now) {
		t.started = true
		t.changed = true // its limits are all set by now
		l.observe(metric.Event{Time: now.Started, Action: metric.Start, ID: now.ID, Container: now})
	}
	if before.Name != "" && now.Health != before.Health && now.Health != "" {
		l.observe(metric.Event{Time: time.Now(), Action: metric.Health, ID: now.ID, Container: now, Health: now.Health})
	}
	if before.Name != "" && now.Name != before.Name {
		l.observe(metric.Event{Time: time.Now(), Action: metric.Rename, ID: now.ID, Container: now})
	}
}

// ended remembers a runtime's container that is gone, and looks for its exit code.
func (l *lifecycle) ended(t *target) {
	if t.container.ID == "" {
		return
	}
	now := time.Now()
	l.recent[t.container.ID] = recent{container: t.container, lastMinute: t.lastMinute(), ended: now}
	kills, _ := t.cur.Get(metric.MemoryOOMKills)
	l.exits = append(l.exits, &exit{
		container: t.container, unstarted: t.begun && !t.started,
		killed: t.killed, limited: t.limited(), kills: kills, ended: now, since: now, due: now,
	})
}

// restarted tells the end of a container that was started again before its runtime was asked
// how it ended, and keeps nothing of that. The end comes before the new start.
func (l *lifecycle) restarted(c *Collector, x *exit, again time.Time) {
	at := x.ended
	if again.Before(at) {
		at = again
	}
	c.tellEnd(x.container.Path, at, UnknownExit)
	end := metric.Event{Time: at, Action: metric.Die, ID: x.container.ID, Container: x.container, ExitCode: UnknownExit}
	i := slices.IndexFunc(l.held, func(h held) bool {
		return h.observed && h.event.ID == end.ID && h.event.Action == metric.Start
	})
	if i < 0 {
		l.observe(end)
		return
	}
	l.held = slices.Insert(l.held, i, held{event: end, until: l.held[i].until, observed: true})
}

// exited takes the answer to the question how a container ended.
func (l *lifecycle) exited(c *Collector, a identified) {
	i := slices.IndexFunc(l.exits, func(x *exit) bool { return x.asked && x.container.Path == a.path })
	if i < 0 {
		return // given up meanwhile
	}
	x := l.exits[i]
	x.asked = false
	if x.doubted {
		l.exits = slices.Delete(l.exits, i, i+1)
		l.exitedAgain(c, x, a)
		return
	}
	x.forgotten = a.err != nil
	if a.err != nil {
		return
	}
	if a.container.Exit == nil {
		if before := x.container.Started; !before.IsZero() && a.container.Started.After(before) {
			l.exits = slices.Delete(l.exits, i, i+1)
			l.settle(x.container.ID)
			l.restarted(c, x, a.container.Started)
		}
		return
	}
	ended := *a.container
	ended.Path, ended.Instance = x.container.Path, x.container.Instance
	l.learnt(&ended)
	if ended.Exit.Code == killedExit && !ended.Exit.OOMKilled {
		now := time.Now()
		x.container, x.doubted, x.since, x.due, x.tries = &ended, true, now, now.Add(lateKill), 0
	} else {
		l.exits = slices.Delete(l.exits, i, i+1)
		l.settle(ended.ID)
	}
	if x.unstarted && !ended.Started.IsZero() {
		l.observe(metric.Event{Time: ended.Started, Action: metric.Start, ID: ended.ID, Container: &ended})
	}
	if ended.Exit.OOMKilled {
		x.tellKill(c, &ended)
	}
	c.tellEnd(ended.Path, ended.Exit.At, ended.Exit.Code)
	l.observe(metric.Event{
		Time:      ended.Exit.At,
		Action:    metric.Die,
		ID:        ended.ID,
		Container: &ended,
		ExitCode:  ended.Exit.Code,
	})
}

// exitedAgain takes the answer to the question whether what a SIGKILL has ended ran out of
// memory.
func (l *lifecycle) exitedAgain(c *Collector, x *exit, a identified) {
	if a.err == nil && a.container.Exit != nil && a.container.Exit.OOMKilled && a.container.Exit.At.Equal(x.container.Exit.At) {
		ended := *x.container
		ended.Exit = a.container.Exit
		l.learnt(&ended)
		x.tellKill(c, &ended)
	}
	l.settle(x.container.ID)
}

// learnt remembers what is known of a container's end.
func (l *lifecycle) learnt(ended *metric.Container) {
	if r, ok := l.recent[ended.ID]; ok {
		r.container = ended
		l.recent[ended.ID] = r
	}
}

// settle takes what is known of the end of a container as the last word.
func (l *lifecycle) settle(id string) {
	if r, ok := l.recent[id]; ok {
		r.settled = true
		l.recent[id] = r
	}
}

// tellKill tells of the kill that has ended the container, unless the kernel's count has: the
// cgroup may go before it can be read.
func (x *exit) tellKill(c *Collector, ended *metric.Container) {
	if x.killed {
		return
	}
	c.tellKill(ended.Path, x.limited, ended.Exit.At)
	c.buryKilled(ended, x.kills+1, x.ended)
}
