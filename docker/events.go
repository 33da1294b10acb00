package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
)

// settled is how long a stream of events has to last to count as a connection, rather
// than as one more failure to get one.
const settled = 5 * time.Second

// Watch calls f with each event that the engine tells, one at a time, until ctx ends.
// An engine that isn't there, goes away or is restarted is waited for. After an
// interruption the events since the last one are asked for, and none is handed over
// twice; the engine remembers its last 256, and none from before its own restart.
// Without a socket Watch only waits for the end of ctx.
//
// An event's Container is as it was known before the event or, for one that was never
// inspected, what the event says of it: without Path. It is never nil. An engine that
// doesn't tell the exit code of an end makes it -1.
func (e *Engine) Watch(ctx context.Context, f func(metric.Event)) {
	if e.socket == nil {
		<-ctx.Done()
		return
	}
	w := watcher{
		engine:  e,
		handle:  f,
		heard:   heard{last: time.Now().UnixNano()},
		backoff: backoff{min: 500 * time.Millisecond, max: 30 * time.Second},
	}
	w.run(ctx)
}

// A watcher follows the engine's events; owned by one goroutine.
type watcher struct {
	engine  *Engine
	handle  func(metric.Event)
	heard   heard
	backoff backoff
	said    string // the failure that was logged last, "" after a connection
}

func (w *watcher) run(ctx context.Context) {
	for {
		err := w.stream(ctx)
		w.engine.socket.setWatched(false)
		if ctx.Err() != nil {
			return
		}
		if s := err.Error(); s != w.said {
			w.said = s
			const message = "the engine's events can't be followed; trying again until they can"
			if errors.Is(err, os.ErrNotExist) {
				// The socket isn't mounted, which is how the agent is meant to run.
				w.engine.log.Info(message, zap.Error(err))
			} else {
				w.engine.log.Warn(message, zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.backoff.next()):
		}
	}
}

// stream hands over events for as long as one connection lasts, and returns why it ended.
func (w *watcher) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := w.engine.socket.connect(ctx)
	if err != nil {
		return err
	}
	// The answer's header comes at once, before any event.
	late := time.AfterFunc(askTimeout, cancel)
	stream := c.Events(ctx, client.EventsListOptions{Since: w.heard.since(), Filters: wanted()})
	defer func() {
		cancel()
		for range stream.Err { // closed when the client's goroutine has ended
		}
	}()
	if !late.Stop() {
		return fmt.Errorf("the engine at %s doesn't begin its events within %v", w.engine.socket.host, askTimeout)
	}
	// What happened while nobody listened isn't known.
	w.engine.cache.changedAll()

	lasts := time.NewTimer(settled)
	defer lasts.Stop()
	for {
		select {
		case m := <-stream.Messages:
			if w.heard.add(&m) {
				w.tell(&m)
			}
		case err := <-stream.Err:
			if err == nil {
				err = errors.New("the stream ended")
			}
			return fmt.Errorf("events of the engine at %s: %w", w.engine.socket.host, err)
		case <-lasts.C:
			w.engine.socket.setWatched(true)
			w.backoff.reset()
			if w.said != "" {
				w.engine.log.Info("the engine's events are followed", zap.String("engine", w.engine.socket.host))
			}
			w.said = ""
		}
	}
}

// wanted is the filter of the events that are asked for. The engine takes
// "health_status" for all its variants "health_status: healthy" and so on. Services and
// nodes are created, updated and removed; on managers each change of one is an event.
func wanted() client.Filters {
	return client.Filters{}.
		Add("type", string(events.ContainerEventType), string(events.ServiceEventType), string(events.NodeEventType)).
		Add("event",
			string(events.ActionCreate), string(events.ActionRemove),
			string(events.ActionStart), string(events.ActionDie), string(events.ActionOOM),
			string(events.ActionHealthStatus), string(events.ActionRename), string(events.ActionUpdate),
			string(events.ActionPause), string(events.ActionUnPause))
}

// tell makes answers about the container stale and hands the event over. What happens in
// the Swarm is told by the difference of two of its states, of which the events don't have
// enough.
func (w *watcher) tell(m *events.Message) {
	if m.Type == events.ServiceEventType || m.Type == events.NodeEventType {
		select {
		case w.engine.swarmChanges <- struct{}{}:
		default:
		}
		return
	}
	if m.Type != events.ContainerEventType || idIndex(m.Actor.ID) != 0 || len(m.Actor.ID) != idLength {
		return
	}
	event := metric.Event{Time: time.Unix(0, stamped(m)).UTC(), ID: m.Actor.ID}
	action, detail, _ := strings.Cut(string(m.Action), ": ")
	switch events.Action(action) {
	case events.ActionStart:
		event.Action = metric.Start
	case events.ActionDie:
		event.Action = metric.Die
		code, err := strconv.Atoi(m.Actor.Attributes["exitCode"])
		if err != nil {
			w.engine.log.Warn("an event tells of a container's end without its exit code",
				zap.String("container", event.ID), zap.Error(err))
			code = -1
		}
		event.ExitCode = code
	case events.ActionOOM:
		event.Action = metric.OOM
	case events.ActionHealthStatus:
		event.Action, event.Health = metric.Health, healthWord(detail)
	case events.ActionRename:
		event.Action = metric.Rename
	case events.ActionUpdate, events.ActionPause, events.ActionUnPause:
		event.Action = metric.Update
	default:
		return
	}
	event.Container = w.engine.cache.changed(event.ID, event.Health, event.Time)
	if event.Container == nil || event.Action == metric.Rename {
		event.Container = describe(m, event.Container)
	}
	w.handle(event)
}

// describe returns the container as the event has it: last with the event's name or, if
// last is nil, all that the event says. Labels stand among the attributes.
func describe(m *events.Message, last *metric.Container) *metric.Container {
	name := clean(m.Actor.Attributes["name"], maxText)
	if last != nil {
		c := *last
		c.Name = name
		return &c
	}
	l := maps.Clone(m.Actor.Attributes)
	for _, key := range []string{"name", "image", "exitCode", "execDuration", "oldName", "signal"} {
		delete(l, key)
	}
	return &metric.Container{
		Runtime: runtimeDocker,
		ID:      m.Actor.ID,
		Name:    name,
		Image:   clean(m.Actor.Attributes["image"], maxText),
		Labels:  labels(l),
		Swarm:   swarmOf(l),
	}
}

// stamped returns the event's time in ns since the Unix epoch.
func stamped(m *events.Message) int64 {
	if m.TimeNano != 0 {
		return m.TimeNano
	}
	return m.Time * int64(time.Second)
}

// heard knows the events that were handed over last: as many as an engine remembers.
// The engine stamps an event before it queues it, so that two may come in the wrong
// order; hence the list, and the second that since goes back.
type heard struct {
	last   int64 // ns since the Unix epoch
	events [256]heardEvent
	next   int
}

type heardEvent struct {
	time   int64
	id     string
	action events.Action
}

// add reports whether m is new, and remembers it.
func (h *heard) add(m *events.Message) bool {
	n := heardEvent{stamped(m), m.Actor.ID, m.Action}
	for i := range h.events {
		if h.events[i] == n {
			return false
		}
	}
	h.events[h.next] = n
	h.next = (h.next + 1) % len(h.events)
	h.last = max(h.last, n.time)
	return true
}

// since returns the time to ask for events from, as the engine's API wants it.
func (h *heard) since() string {
	t := h.last - int64(time.Second)
	return fmt.Sprintf("%d.%09d", t/int64(time.Second), t%int64(time.Second))
}

// A backoff spreads attempts in time: each waits a random part ("full jitter") of a
// bound that doubles from min to max.
type backoff struct {
	min, max time.Duration
	bound    time.Duration // of the next wait; 0 for min
}

func (b *backoff) next() time.Duration {
	b.bound = max(b.bound, b.min)
	wait := rand.N(b.bound)
	b.bound = min(2*b.bound, b.max)
	return wait
}

func (b *backoff) reset() { b.bound = 0 }
