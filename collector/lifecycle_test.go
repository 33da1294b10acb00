package collector

import (
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestWhatTwoSourcesSeeIsPassedOnce(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	stop := b.start(t, id("4"), "sleep", "60")
	started := time.Now()
	b.runtime.set(metric.Container{ID: id("4"), Name: "web", Started: started})
	b.runtime.events <- metric.Event{Time: started, Action: metric.Start, ID: id("4")}
	b.tickUntil(t, "the start event never came", func() bool { return len(b.sink.events) > 0 })

	ended := time.Now()
	b.runtime.events <- metric.Event{Time: ended, Action: metric.Die, ID: id("4"), ExitCode: 7}
	b.runtime.set(metric.Container{ID: id("4"), Name: "web", Started: started, Exit: &metric.Exit{Code: 7, At: ended}})
	stop()
	b.tickUntil(t, "the exit event never came", func() bool { return len(b.sink.events) > 1 })
	for range 30 { // the other source's word, if it were to come
		b.tick(t)
		time.Sleep(interval)
	}
	if len(b.sink.events) != 2 {
		t.Fatalf("events: %+v", b.sink.events)
	}
	start, die := b.sink.events[0], b.sink.events[1]
	if start.Action != metric.Start || start.Container.Name != "web" {
		t.Errorf("start: %+v", start)
	}
	if die.Action != metric.Die || die.ExitCode != 7 || die.Container.Name != "web" {
		t.Errorf("die: %+v", die)
	}
	if m := die.LastMinute; m == nil || m.Samples < 1 || !m.HasPeakMemory || m.Seconds() <= 0 {
		t.Errorf("the minute before the end: %+v", m)
	}
}

func TestWithoutSocketTheLoopMakesTheEvents(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	stop := b.start(t, id("5"), "sleep", "60")
	started := time.Now()
	b.runtime.set(metric.Container{ID: id("5"), Name: "db", Started: started, Health: "starting"})
	b.tickUntil(t, "no start event", func() bool { return len(b.sink.events) > 0 })
	b.runtime.set(metric.Container{ID: id("5"), Name: "db", Started: started, Health: "healthy"})
	b.tickUntil(t, "no health event", func() bool { return len(b.sink.events) > 1 })
	stop()
	b.runtime.set(metric.Container{ID: id("5"), Name: "db", Started: started, Exit: &metric.Exit{Code: 137, OOMKilled: true, At: time.Now()}})
	b.tickUntil(t, "no exit event", func() bool { return len(b.sink.events) > 2 })

	want := []metric.Action{metric.Start, metric.Health, metric.Die}
	for i, e := range b.sink.events {
		if e.Action != want[i] || e.Container.Name != "db" {
			t.Errorf("event %d is %s of %q, want %s", i, e.Action, e.Container.Name, want[i])
		}
	}
	if e := b.sink.events[2]; e.ExitCode != 137 || !e.Container.Exit.OOMKilled || e.LastMinute == nil {
		t.Errorf("exit: %+v", e)
	}
}

// testBehind runs a container whose record is first the early one, and then says that it
// runs. The engine writes a start down a moment after the cgroup is there.
func testBehind(t *testing.T, early metric.Container) {
	b := newBench(t, func(o *Options) { o.RefreshInterval = time.Hour })
	b.tick(t)
	early.ID, early.Name = id("7"), "late"
	b.runtime.set(early)
	stop := b.start(t, id("7"), "sleep", "60")
	defer stop()
	b.tickUntil(t, "never named", func() bool { c := b.byID[id("7")]; return c != nil && c.identity.settled })
	started := time.Now()
	b.runtime.set(metric.Container{ID: id("7"), Name: "late", State: "running", Started: started})
	b.tickUntil(t, "no start event", func() bool { return len(b.sink.events) > 0 })
	if e := b.sink.events[0]; e.Action != metric.Start || !e.Time.Equal(started) {
		t.Errorf("got %s at %v, want a start at %v", e.Action, e.Time, started)
	}
}

func TestFirstStartIsSeenWhenItIsWritten(t *testing.T) {
	testBehind(t, metric.Container{State: "created"})
}

func TestNewStartIsNotTakenForTheLastOne(t *testing.T) {
	testBehind(t, metric.Container{State: "exited", Started: time.Now().Add(-time.Hour), Exit: &metric.Exit{At: time.Now()}})
}

// A container that ends before the engine's record of its start was read has both events
// in their order, and they name the cgroup that it was.
func TestShortContainerStartsAndDies(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RefreshInterval = time.Hour })
	b.tick(t)
	b.runtime.set(metric.Container{ID: id("9"), Name: "short", State: "created"})
	stop := b.start(t, id("9"), "sleep", "60")
	b.tickUntil(t, "never named", func() bool { c := b.byID[id("9")]; return c != nil && c.identity.settled })
	instance := b.byID[id("9")].container.Instance
	started := time.Now()
	stop()
	b.runtime.set(metric.Container{ID: id("9"), Name: "short", State: "exited", Started: started, Exit: &metric.Exit{Code: 7, At: started.Add(time.Millisecond)}})
	b.tickUntil(t, "no two events", func() bool { return len(b.sink.events) > 1 })
	start, die := b.sink.events[0], b.sink.events[1]
	if start.Action != metric.Start || !start.Time.Equal(started) {
		t.Errorf("first %s at %v, want a start at %v", start.Action, start.Time, started)
	}
	if die.Action != metric.Die || die.ExitCode != 7 || die.Container.Instance != instance || instance == 0 {
		t.Errorf("then %s %d of instance %d, want die 7 of instance %d", die.Action, die.ExitCode, die.Container.Instance, instance)
	}
}

// A start isn't told before the end that it follows, which waits for the container's last
// numbers.
func TestStartWaitsForTheEndBefore(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	b.runtime.set(metric.Container{ID: id("e"), Name: "db", State: "running"})
	stop := b.start(t, id("e"), "sleep", "60")
	b.tickUntil(t, "never named", func() bool { c := b.byID[id("e")]; return c != nil && c.identity.settled })
	ended := time.Now()
	b.runtime.events <- metric.Event{Time: ended, Action: metric.Die, ID: id("e"), ExitCode: 137}
	b.runtime.events <- metric.Event{Time: ended.Add(time.Millisecond), Action: metric.Start, ID: id("e")}
	for range 3 {
		b.tick(t)
		time.Sleep(interval)
	}
	stop()
	b.tickUntil(t, "no two events", func() bool { return len(b.sink.events) > 1 })
	if first, second := b.sink.events[0].Action, b.sink.events[1].Action; first != metric.Die || second != metric.Start {
		t.Errorf("%s, then %s", first, second)
	}
}

// An end that is written down before the cgroup has gone makes no second start of it.
func TestEndIsKnownBeforeTheCgroupGoes(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	stop := b.start(t, id("d"), "sleep", "60")
	started := time.Now()
	b.runtime.set(metric.Container{ID: id("d"), Name: "db", State: "running", Started: started})
	b.tickUntil(t, "no start event", func() bool { return len(b.sink.events) > 0 })
	b.runtime.set(metric.Container{ID: id("d"), Name: "db", State: "exited", Started: started, Exit: &metric.Exit{At: time.Now()}})
	b.tickUntil(t, "the end is not known", func() bool { return b.byID[id("d")].container.Exit != nil })
	stop()
	b.tickUntil(t, "no die event", func() bool { return len(b.sink.events) > 1 })
	if e := b.sink.events[1]; e.Action != metric.Die {
		t.Errorf("the start is followed by %s", e.Action)
	}
}

// The runtime's event of an end doesn't say whether it was for want of memory; the answer to
// the question how the container ended does.
func TestEndThatIsToldSaysHow(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	stop := b.start(t, id("e"), "sleep", "60")
	started := time.Now()
	b.runtime.set(metric.Container{ID: id("e"), Name: "db", State: "running", Started: started})
	b.tickUntil(t, "no start event", func() bool { return len(b.sink.events) > 0 })
	stop()
	at := time.Now()
	b.runtime.events <- metric.Event{Time: at, Action: metric.Die, ID: id("e"), ExitCode: 137}
	b.runtime.set(metric.Container{ID: id("e"), Name: "db", State: "exited", Started: started, Exit: &metric.Exit{Code: 137, OOMKilled: true, At: at}})
	b.tickUntil(t, "no die event", func() bool { return len(b.sink.events) > 1 })
	if e := b.sink.events[1]; e.Action != metric.Die || e.ExitCode != 137 || e.Container.Exit == nil || !e.Container.Exit.OOMKilled {
		t.Errorf("%s %d of %+v", e.Action, e.ExitCode, e.Container)
	}
}

// The engine hears of the end and of the want of memory apart, and may hear of the end first.
func TestWantOfMemoryIsToldAfterTheEnd(t *testing.T) {
	for _, told := range []bool{true, false} {
		b, stop := newBenchWithDB(t)
		at := time.Now()
		ended := func(oom bool) {
			b.runtime.set(metric.Container{ID: id("9"), Name: "db", State: "exited", Exit: &metric.Exit{Code: 137, OOMKilled: oom, At: at}})
		}
		ended(false)
		if told {
			b.runtime.events <- metric.Event{Time: at, Action: metric.Die, ID: id("9"), ExitCode: 137}
			for time.Since(at) < hold-lateKill/2 { // its cgroup goes late
				b.tick(t)
				time.Sleep(interval)
			}
		}
		stop()
		b.tickUntil(t, "the end isn't known", func() bool { return len(b.lifecycle.exits) > 0 && b.lifecycle.exits[0].doubted })
		ended(true)
		b.tickUntil(t, "no die event", func() bool { return len(b.sink.events) > 1 })
		if e := b.sink.events[1]; e.Action != metric.Die || e.ExitCode != 137 || !e.Container.Exit.OOMKilled || e.LastMinute == nil {
			t.Errorf("told %v: %s %d of %+v", told, e.Action, e.ExitCode, e.Container)
		}
	}
}

// What was killed and is removed at once was killed all the same.
func TestKilledAndForgotten(t *testing.T) {
	b, stop := newBenchWithDB(t)
	b.runtime.set(metric.Container{ID: id("9"), Name: "db", State: "exited", Exit: &metric.Exit{Code: 137, At: time.Now()}})
	stop()
	b.tickUntil(t, "the end isn't known", func() bool { return len(b.lifecycle.exits) > 0 && b.lifecycle.exits[0].doubted })
	b.runtime.forget(id("9"))
	b.tickUntil(t, "no die event", func() bool { return len(b.sink.events) > 1 })
	if e := b.sink.events[1]; e.Action != metric.Die || e.ExitCode != 137 || e.Container.Exit.OOMKilled || e.LastMinute == nil {
		t.Errorf("%s %d of %+v", e.Action, e.ExitCode, e.Container)
	}
	b.tickUntil(t, "is asked about forever", func() bool { return len(b.lifecycle.exits) == 0 })
}

// An end that is told before a slow machine's engine can say how it was waits for that.
func TestEndThatIsToldWaitsForTheAnswer(t *testing.T) {
	b, stop := newBenchWithDB(t)
	at := time.Now()
	b.runtime.events <- metric.Event{Time: at, Action: metric.Die, ID: id("9"), ExitCode: 137}
	stop()
	for begun := time.Now(); time.Since(begun) < hold+time.Second; time.Sleep(interval) {
		b.tick(t)
	}
	if len(b.sink.events) > 1 {
		t.Fatalf("told before it is known: %+v", b.sink.events[1])
	}
	b.runtime.set(metric.Container{ID: id("9"), Name: "db", State: "exited", Exit: &metric.Exit{Code: 137, OOMKilled: true, At: at}})
	b.tickUntil(t, "no die event", func() bool { return len(b.sink.events) > 1 })
	if e := b.sink.events[1]; e.Action != metric.Die || e.Container.Exit == nil || !e.Container.Exit.OOMKilled {
		t.Errorf("%s %d of %+v", e.Action, e.ExitCode, e.Container)
	}
}

// What waits for a better word when the agent is stopped is told as it is.
func TestWhatWaitsIsToldAtTheEnd(t *testing.T) {
	for _, told := range []bool{true, false} {
		b, stop := newBenchWithDB(t)
		want := metric.UnknownExit
		if told {
			want = 3
			b.runtime.events <- metric.Event{Time: time.Now(), Action: metric.Die, ID: id("9"), ExitCode: want}
		}
		stop()
		b.tickUntil(t, "the end isn't seen", func() bool { return len(b.lifecycle.exits) > 0 && (!told || len(b.lifecycle.held) > 0) })
		if len(b.sink.events) > 1 {
			t.Fatalf("told already: %+v", b.sink.events[1])
		}
		b.finish()
		if n := len(b.sink.events); n != 2 {
			t.Fatalf("told %v: %d events, want a start and an end", told, n)
		}
		if e := b.sink.events[1]; e.Action != metric.Die || e.ExitCode != want || e.Container.Name != "db" || e.LastMinute == nil {
			t.Errorf("told %v: %s %d of %+v", told, e.Action, e.ExitCode, e.Container)
		}
	}
}

func TestRenameTellsTheNewName(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	b.runtime.set(metric.Container{ID: id("b"), Name: "before"})
	stop := b.start(t, id("b"), "sleep", "60")
	defer stop()
	b.tickUntil(t, "never named", func() bool { c := b.byID[id("b")]; return c != nil && c.identity.settled })
	b.runtime.events <- metric.Event{Time: time.Now(), Action: metric.Rename, ID: id("b"), Container: &metric.Container{ID: id("b"), Name: "behind"}}
	b.tickUntil(t, "no rename event", func() bool { return len(b.sink.events) > 0 })
	if e := b.sink.events[0]; e.Container.Name != "behind" || e.Container.Instance == 0 {
		t.Errorf("renamed to %q, instance %d", e.Container.Name, e.Container.Instance)
	}
}

// An answer that was on its way when an event came may be from before it, and isn't the
// last word until the next look at all containers.
func TestEventWhileAnAnswerIsOnItsWay(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RefreshInterval = time.Hour })
	b.tick(t)
	b.runtime.set(metric.Container{ID: id("b"), Name: "before"})
	stop := b.start(t, id("b"), "sleep", "60")
	defer stop()
	b.tickUntil(t, "never named", func() bool { c := b.byID[id("b")]; return c != nil && c.identity.settled })
	target := b.byID[id("b")]
	target.identity.due = time.Time{}
	b.identify()
	old := <-b.background.identities
	b.runtime.set(metric.Container{ID: id("b"), Name: "behind"})
	b.background.events <- metric.Event{Time: time.Now(), Action: metric.Rename, ID: id("b"), Container: &metric.Container{ID: id("b"), Name: "behind"}}
	b.answers()
	b.background.identities <- old
	b.tickUntil(t, "the new name isn't known", func() bool { return target.container.Name == "behind" })
}

func TestEventOfAnUnknownContainerIsPassedWithItsID(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	b.runtime.events <- metric.Event{Time: time.Now(), Action: metric.Die, ID: id("6"), ExitCode: 1}
	b.tickUntil(t, "the event never came", func() bool { return len(b.sink.events) > 0 })
	if e := b.sink.events[0]; e.ID != id("6") || e.Container == nil || e.Container.ID != id("6") {
		t.Errorf("got %+v", e)
	}
}

// newBenchWithDB has the container 9, called db, run, and its start be told.
func newBenchWithDB(t *testing.T) (b *bench, stop func()) {
	b = newBench(t, nil)
	b.tick(t)
	stop = b.start(t, id("9"), "sleep", "60")
	b.runtime.set(metric.Container{ID: id("9"), Name: "db", State: "running", Started: time.Now()})
	b.tickUntil(t, "no start event", func() bool { return len(b.sink.events) > 0 })
	return b, stop
}

// A container that its runtime knows no more has ended all the same.
func TestEndOfWhatIsForgottenIsToldWithoutItsCode(t *testing.T) {
	b, stop := newBenchWithDB(t)
	b.runtime.forget(id("9"))
	stop()
	b.tickUntil(t, "no end", func() bool { return len(b.sink.events) > 1 })
	if die := b.sink.events[1]; die.Action != metric.Die || die.ExitCode != metric.UnknownExit || die.Container.Name != "db" {
		t.Errorf("%+v", die)
	}
}

// A container that is started again before its runtime was asked how it ended has ended all
// the same, before its new start, and nobody knows how.
func TestRestartAtOnceIsAnEndAndAStart(t *testing.T) {
	b, stop := newBenchWithDB(t)
	stop()
	again := time.Now()
	b.runtime.set(metric.Container{ID: id("9"), Name: "db", State: "running", Started: again})
	b.start(t, id("9"), "sleep", "60")
	b.tickUntil(t, "no end and start", func() bool { return len(b.sink.events) > 2 })
	die, start := b.sink.events[1], b.sink.events[2]
	if die.Action != metric.Die || die.ExitCode != metric.UnknownExit || die.Time.After(again) || die.Container.Name != "db" {
		t.Errorf("the end: %+v", die)
	}
	if start.Action != metric.Start || !start.Time.Equal(again) {
		t.Errorf("the start: %+v", start)
	}
}
