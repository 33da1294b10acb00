package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/swarmgauge/swarmgauge/metric"
)

// recorded returns the events of a real engine.
func recorded(tb testing.TB, engine string) []events.Message {
	tb.Helper()
	var all []events.Message
	for lines := bufio.NewScanner(bytes.NewReader(fixture(tb, engine, "events.ndjson"))); lines.Scan(); {
		var m events.Message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			tb.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// A watch is a Watch under way.
type watch struct {
	tb     testing.TB
	events chan metric.Event
	end    func()
}

// startWatch starts to watch with short waits between attempts.
func startWatch(tb testing.TB, e *Engine, since time.Time) *watch {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	w := &watch{tb: tb, events: make(chan metric.Event, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&watcher{
			engine:  e,
			handle:  func(ev metric.Event) { w.events <- ev },
			heard:   heard{last: since.UnixNano()},
			backoff: backoff{min: time.Millisecond, max: 20 * time.Millisecond},
		}).run(ctx)
	}()
	w.end = func() { cancel(); <-done }
	return w
}

// next returns the next event.
func (w *watch) next() metric.Event {
	w.tb.Helper()
	select {
	case e := <-w.events:
		return e
	case <-time.After(time.Minute): // a Swarm first tries to pull the image
		w.tb.Fatal("no event comes")
		return metric.Event{}
	}
}

// none fails if another event has come.
func (w *watch) none() {
	w.tb.Helper()
	select {
	case e := <-w.events:
		w.tb.Errorf("event %+v", e)
	default:
	}
}

// eventually waits for ok.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	tb.Fatalf("it never comes that %s", what)
}

func message(id string, action events.Action, at int64, attributes map[string]string) events.Message {
	return events.Message{
		Type: events.ContainerEventType, Action: action, Time: at / 1e9, TimeNano: at,
		Actor: events.Actor{ID: id, Attributes: attributes},
	}
}

// TestWatchRecorded replays a real engine's minutes.
func TestWatchRecorded(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, engine := range engines() {
		fake := startFake(t, engine)
		n := newNode(t, Options{Host: fake.host()})
		all := recorded(t, engine)
		fake.past = all
		w := startWatch(t, n.Engine, time.Unix(0, all[0].TimeNano))
		var got []string
		for want := 0; want < len(all); {
			switch all[want].Action {
			case "start", "die", "pause", "health_status: healthy":
			default:
				want++
				continue
			}
			e := w.next()
			if e.Container == nil || e.Container.ID != e.ID || e.Time.UnixNano() != all[want].TimeNano {
				t.Fatalf("%s: %+v for %+v", engine, e, all[want])
			}
			name, _, _ := strings.Cut(e.Container.Name, ".")
			got = append(got, fmt.Sprintf("%s %s %d%s", name, e.Action, e.ExitCode, e.Health))
			if name == "shop_api" && (e.Container.Swarm.ServiceName != "shop_api" || e.Container.Swarm.Slot == 0 || e.Container.Label("tier") != "api" || e.Container.Label("name") != "") {
				t.Errorf("%s: %+v", engine, e.Container)
			}
			want++
		}
		for _, want := range []string{"web start 0", "web health_status 0healthy", "halted update 0", "failed die 3", "looping die 7", "shop_api start 0", "shop_agent start 0"} {
			if !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") {
				t.Errorf("%s: no event %q in\n%s", engine, want, strings.Join(got, "\n"))
			}
		}
		w.none()
		w.end()
		n.Close()
		fake.stop()
	}
}

func TestWatchInvalidates(t *testing.T) {
	defer goleak.VerifyNone(t)
	fake := startFake(t, "28.5")
	defer fake.stop()
	n := newNode(t, Options{Host: fake.host()})
	defer n.Close()
	path := fake.add("28.5", "web")
	w := startWatch(t, n.Engine, time.Now())
	defer w.end()
	eventually(t, "somebody listens", func() bool { return fake.listening() == 1 })
	// What was known before is asked anew once somebody listens; an event comes after that.
	fake.tell(message(n.known(path, "web").ID, "pause", time.Now().UnixNano(), map[string]string{"name": "web", "image": "x"}))
	w.next()
	before := n.known(path, "web")
	asked := fake.count("inspect")
	at := time.Now().UnixNano()

	renamed := bytes.Replace(fake.inspects[before.ID], []byte(`"/web"`), []byte(`"/www"`), 1)
	fake.set(before.ID, renamed)
	n.known(path, "web") // nobody told yet
	fake.tell(message(before.ID, "rename", at, map[string]string{"name": "www", "oldName": "/web", "image": "x"}))
	e := w.next()
	want := *before
	want.Name = "www"
	if e.Action != metric.Rename || !reflect.DeepEqual(*e.Container, want) {
		t.Errorf("%+v of %+v", e, e.Container)
	}
	if n.known(path, "www") == before || fake.count("inspect") != asked+1 {
		t.Errorf("%d inspections after a change", fake.count("inspect")-asked)
	}
	n.known(path, "www")
	if fake.count("inspect") != asked+1 {
		t.Errorf("%d inspections after one change", fake.count("inspect")-asked)
	}

	// The disk's own "starting" doesn't win over what an event told.
	disk := n.add("28.5", "web")
	fake.tell(message(before.ID, "health_status: unhealthy", at+1, map[string]string{"name": "www"}))
	if e := w.next(); e.Action != metric.Health || e.Health != "unhealthy" || e.Container.Name != "www" {
		t.Errorf("%+v", e)
	}
	if c := n.known(disk, "web"); c.Health != "unhealthy" {
		t.Errorf("health %q, an event told unhealthy", c.Health)
	}

	fake.tell(message(before.ID, "oom", at+2, nil))
	fake.tell(message(before.ID, "die", at+3, map[string]string{"exitCode": "137"}))
	if e := w.next(); e.Action != metric.OOM {
		t.Errorf("%+v", e)
	}
	if e := w.next(); e.Action != metric.Die || e.ExitCode != 137 || e.Container.Path != path {
		t.Errorf("%+v", e)
	}
	// What isn't a container's, or nothing that counts, is dropped.
	fake.tell(message("short", "start", at+4, nil))
	fake.tell(message(strings.Repeat("z", 64), "start", at+5, nil))
	fake.tell(message(before.ID, "start", at+6, nil))
	if e := w.next(); e.Time.UnixNano() != at+6 {
		t.Errorf("%+v", e)
	}
}

// TestWatchReconnects holds that an engine may come late, go and come again, and that no
// event in between is lost or told twice.
func TestWatchReconnects(t *testing.T) {
	defer goleak.VerifyNone(t)
	fake := startFake(t, "26.1")
	defer fake.stop()
	fake.stop() // not there yet
	core, logs := observer.New(zap.InfoLevel)
	n := newNode(t, Options{Host: fake.host(), Log: zap.New(core)})
	defer n.Close()
	at := time.Now().UnixNano()
	event := func(i int64) events.Message {
		return message(id1, "die", at+i*1e6, map[string]string{"exitCode": fmt.Sprint(i), "name": "x"})
	}
	w := startWatch(t, n.Engine, time.Now())
	defer w.end()
	eventually(t, "the engine's absence is logged", func() bool { return logs.Len() > 0 })
	if l := logs.All()[0]; !strings.Contains(fmt.Sprint(l.ContextMap()["error"]), "the engine doesn't answer at "+fake.host()) {
		t.Errorf("log %v", l)
	}

	next := int64(0)
	expect := func(n int64) {
		t.Helper()
		for range n {
			if e := w.next(); e.ExitCode != int(next) {
				t.Fatalf("event %d, want %d", e.ExitCode, next)
			}
			next++
		}
		w.none()
	}
	fake.start()
	eventually(t, "somebody listens", func() bool { return fake.listening() == 1 })
	for i := range int64(5) {
		fake.tell(event(i))
	}
	expect(5)
	for range 3 {
		fake.stop()
		eventually(t, "nobody listens", func() bool { return fake.listening() == 0 })
		fake.tell(event(next)) // while nobody listens
		fake.tell(event(next + 1))
		fake.start()
		eventually(t, "somebody listens", func() bool { return fake.listening() == 1 })
		expect(2)
		fake.tell(event(next))
		expect(1)
	}

	// Another engine, older than the one before: the version is agreed on anew.
	fake.stop()
	fake.version = "1.41"
	fake.start()
	eventually(t, "somebody listens", func() bool { return fake.listening() == 1 })
	fake.tell(event(next))
	expect(1)
	if fake.count("refused") != 0 {
		t.Error("a request of a version that the engine doesn't have")
	}
}

func TestWatchRefused(t *testing.T) {
	defer goleak.VerifyNone(t)
	fake := startFake(t, "28.5")
	defer fake.stop()
	fake.refuse = http.StatusForbidden // a proxy that lets no events through
	core, logs := observer.New(zap.InfoLevel)
	n := newNode(t, Options{Host: fake.host(), Log: zap.New(core)})
	defer n.Close()
	path := fake.add("28.5", "web")
	w := startWatch(t, n.Engine, time.Now())
	defer w.end()
	eventually(t, "it was tried several times", func() bool { return fake.count("events") > 5 })
	if logs.Len() != 1 || !strings.Contains(fmt.Sprint(logs.All()[0].ContextMap()["error"]), "not you") {
		t.Errorf("logs %v", logs.All())
	}
	n.known(path, "web") // identity doesn't need events
}

func TestWatchWithoutSocket(t *testing.T) {
	defer goleak.VerifyNone(t)
	n := newNode(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Watch(ctx, func(metric.Event) {}) }()
	cancel()
	<-done
}

func FuzzEvent(f *testing.F) {
	for _, line := range bytes.Split(fixture(f, "28.5", "events.ndjson"), []byte("\n")) {
		f.Add(line)
	}
	e, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m events.Message
		if json.Unmarshal(b, &m) != nil {
			return
		}
		w := watcher{engine: e, handle: func(ev metric.Event) {
			if ev.Action == "" || len(ev.ID) != idLength || ev.Container == nil || ev.Container.ID != ev.ID {
				t.Errorf("%s becomes %+v", b, ev)
			}
			checkLabels(t, ev.Container.Labels)
		}}
		w.tell(&m)
	})
}

func TestHeard(t *testing.T) {
	var h heard
	f := func(at int64, action events.Action, want bool) {
		t.Helper()
		if m := message(id1, action, at, nil); h.add(&m) != want {
			t.Errorf("event %d %s is new: %v, want %v", at, action, !want, want)
		}
	}
	const start = int64(1795367785165865510)
	f(start, "start", true)
	f(start, "start", false)
	f(start, "die", true) // the same instant, another event
	f(start-100, "oom", true)
	f(start-100, "oom", false)
	if got := h.since(); got != "1795367784.165865510" {
		t.Errorf("since %s", got)
	}
	for i := range int64(255) {
		f(start+1+i, "start", true)
	}
	for i := range int64(255) {
		f(start+1+i, "start", false)
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{min: 500 * time.Millisecond, max: 30 * time.Second}
	bounds := []time.Duration{5e8, 1e9, 2e9, 4e9, 8e9, 16e9, 30e9, 30e9, 30e9}
	for range 2 {
		for _, bound := range bounds {
			if wait := b.next(); wait < 0 || wait >= bound {
				t.Errorf("waits %v of %v", wait, bound)
			}
		}
		b.reset()
	}
}
