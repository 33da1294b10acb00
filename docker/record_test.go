package docker

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/swarmgauge/swarmgauge/metric"
)

// engines are the versions that testdata has records of.
func engines() []string { return []string{"20.10", "26.1", "28.5"} }

// fixture returns a file of testdata.
func fixture(tb testing.TB, elements ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, elements...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// told returns what the engine's API told of a container of testdata.
func told(tb testing.TB, engine, name string) container.InspectResponse {
	tb.Helper()
	var all []container.InspectResponse
	if err := json.Unmarshal(fixture(tb, engine, name, "inspect.json"), &all); err != nil || len(all) != 1 {
		tb.Fatal(err, len(all))
	}
	return all[0]
}

func TestRecord(t *testing.T) {
	// f checks the container against want, which lacks what differs from engine to
	// engine, and against what the same engine told by its API.
	f := func(name string, want metric.Container) {
		t.Helper()
		for _, engine := range engines() {
			api := told(t, engine, name)
			r, err := decodeRecord(fixture(t, engine, name, "config.v2.json"), api.ID, nil)
			if err != nil {
				t.Errorf("%s/%s: %v", engine, name, err)
				continue
			}
			got := r.container("/docker/" + api.ID)
			if got.NetworkMode, err = decodeNetworkMode(fixture(t, engine, name, "hostconfig.json")); err != nil {
				t.Errorf("%s/%s: %v", engine, name, err)
			}
			if got.Created.Year() != 2026 || (got.Started.Year() != 2026) != (want.State == "created") || !strings.HasPrefix(got.ImageID, "sha256:") {
				t.Errorf("%s/%s: created %v, started %v, image %q", engine, name, got.Created, got.Started, got.ImageID)
			}
			if (got.PID != 0) != (want.State == "running" || want.State == "paused") {
				t.Errorf("%s/%s: pid %d", engine, name, got.PID)
			}

			in := fromResponse(&api, nil)
			asked := in.record.container("/docker/" + api.ID)
			asked.NetworkMode = in.networkMode
			// It was told a moment later: this one is restarted all the time.
			if name == "looping" {
				asked.Started, asked.RestartCount, asked.Exit = got.Started, got.RestartCount, got.Exit
			}
			if !reflect.DeepEqual(got, asked) {
				t.Errorf("%s/%s: the disk says\n%+v, the API\n%+v", engine, name, got, asked)
			}

			w := want
			w.Path, w.Runtime, w.ID, w.ImageID = got.Path, "docker", api.ID, got.ImageID
			w.Created, w.Started, w.PID = got.Created, got.Started, got.PID
			if want.Swarm.ServiceName != "" {
				w.Name, w.Labels, w.Swarm = got.Name, got.Labels, got.Swarm
				checkTask(t, got, want)
			}
			if want.Exit != nil && got.Exit != nil {
				w.Exit.At = got.Exit.At
				// A container that does nothing may end before its start is noted.
				if got.Exit.At.Before(got.Started.Add(-time.Second)) {
					t.Errorf("%s/%s: ended %v, started %v", engine, name, got.Exit.At, got.Started)
				}
			}
			if name == "looping" {
				w.RestartCount = max(got.RestartCount, 1)
			}
			if strings.HasPrefix(want.NetworkMode, "container:") {
				w.NetworkMode = "container:" + told(t, engine, "web").ID
			}
			if !reflect.DeepEqual(*got, w) {
				t.Errorf("%s/%s: got\n%+v, want\n%+v", engine, name, *got, w)
			}
		}
	}
	none := []metric.Label(nil)
	f("web", metric.Container{Name: "web", Image: "reg.example/team/bb:2", State: "running", NetworkMode: "bridge",
		Labels: []metric.Label{{Key: "app.tier", Value: "backend"}, {Key: "com.example.team", Value: "a"}}})
	f("side", metric.Container{Name: "side", Image: "bb:1", State: "running", NetworkMode: "container:", Labels: none})
	f("hosted", metric.Container{Name: "hosted", Image: "bb:1", State: "running", NetworkMode: "host", Labels: none})
	f("halted", metric.Container{Name: "halted", Image: "bb:1", State: "paused", NetworkMode: "bridge", Labels: none})
	f("fresh", metric.Container{Name: "fresh", Image: "bb:1", State: "created", NetworkMode: "bridge", Labels: none})
	f("failed", metric.Container{Name: "failed", Image: "bb:1", State: "exited", NetworkMode: "bridge", Labels: none,
		Exit: &metric.Exit{Code: 3}})
	f("looping", metric.Container{Name: "looping", Image: "bb:1", State: "restarting", NetworkMode: "bridge", Labels: none,
		Exit: &metric.Exit{Code: 7}})
	f("shop_api.1", metric.Container{Image: "bb:1", State: "running", NetworkMode: "bridge",
		Swarm: metric.Swarm{ServiceName: "shop_api", Slot: 1}})
	f("shop_agent", metric.Container{Image: "bb:1", State: "running", NetworkMode: "bridge",
		Swarm: metric.Swarm{ServiceName: "shop_agent"}})
}

// checkTask checks a Swarm task's identity, whose ids are the engine's own.
func checkTask(t *testing.T, got *metric.Container, want metric.Container) {
	t.Helper()
	s := got.Swarm
	if s.ServiceName != want.Swarm.ServiceName || s.Slot != want.Swarm.Slot || s.Stack != "shop" {
		t.Errorf("task %+v, want that of %+v", s, want.Swarm)
	}
	if got.Name != s.TaskName || !strings.HasSuffix(s.TaskName, "."+s.TaskID) || len(s.TaskID) != 25 || len(s.NodeID) != 25 || len(s.ServiceID) != 25 {
		t.Errorf("container %s has task %+v", got.Name, s)
	}
	if got.Label("com.docker.swarm.task.name") != s.TaskName {
		t.Errorf("labels %v", got.Labels)
	}
}

func TestDecodeRecordErrors(t *testing.T) {
	real := fixture(t, "28.5", "web", "config.v2.json")
	id := told(t, "28.5", "web").ID
	f := func(b []byte, want string) {
		t.Helper()
		if _, err := decodeRecord(b, id, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	f(nil, "unexpected end")
	f([]byte("null"), `record of container ""`)
	f([]byte("[]"), "cannot unmarshal array")
	f([]byte(`{"ID":7}`), "cannot unmarshal number")
	f([]byte(`{"ID":"other"}`), `record of container "other"`)
	f([]byte(`{"ID":"\u001b]0;title"}`), `" ]0;title"`)
	f([]byte(`{"ID":"`+id+`","State":{"Pid":1e400}}`), "Pid")
	f([]byte(strings.Repeat(`{"State":`, 100_000)), "exceeded max depth")
	f([]byte(strings.Repeat(`[`, 100_000)), "exceeded max depth")
	f(append(slices.Clone(real), '}'), "invalid character")
	for n := range len(real) - 1 { // torn anywhere before the last newline
		if _, err := decodeRecord(real[:n], id, nil); err == nil {
			t.Errorf("no error for the first %d of %d bytes", n, len(real))
		}
	}
}

func TestState(t *testing.T) {
	f := func(s state, want string) {
		t.Helper()
		if got := s.word(); got != want {
			t.Errorf("%+v is %q, want %q", s, got, want)
		}
	}
	const then = "2026-11-22T17:16:25.188428159Z"
	f(state{Running: true, StartedAt: then}, "running")
	f(state{Running: true, Paused: true, StartedAt: then}, "paused")
	f(state{Running: true, Restarting: true, StartedAt: then}, "restarting")
	f(state{RemovalInProgress: true, StartedAt: then}, "removing")
	f(state{Dead: true, StartedAt: then}, "dead")
	f(state{StartedAt: then}, "exited")
	f(state{StartedAt: "0001-01-01T00:00:00Z"}, "created")
	f(state{}, "created")
}

// TestHealth holds health against what the records of several engines are worth.
func TestHealth(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := func(engine string, last entry, after time.Duration, want string) {
		t.Helper()
		r, err := decodeRecord(fixture(t, engine, "web", "config.v2.json"), told(t, engine, "web").ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		started := parseTime(r.State.StartedAt)
		if !last.toldAt.IsZero() {
			e.socket = newSocket("unix:///nowhere.sock", nil, nil)
			defer func() { e.socket = nil }()
			last.toldAt = started.Add(last.toldAt.Sub(time.Unix(0, 0)))
		}
		got, _, until := e.health(t.Context(), r, &last, started.Add(after))
		if got != want {
			t.Errorf("%s, %v after the start: %q, want %q", engine, after, got, want)
		}
		if got != "" && !until.After(started.Add(after)) {
			t.Errorf("%s, %v after the start: holds until %v", engine, after, until)
		}
	}
	never := entry{}
	// 20.10 writes each probe's outcome, here once a second.
	f("20.10", never, 15*time.Second, "healthy")
	f("20.10", never, 5*time.Minute, "")
	// Later engines leave "starting" for ever: worth something until the first probe.
	f("26.1", never, 15*time.Second, "starting")
	f("26.1", never, 5*time.Minute, "")
	f("28.5", never, 15*time.Second, "starting")
	f("28.5", never, 5*time.Minute, "")
	// An event after the start, and after the last probe, knows better.
	at := func(d time.Duration) time.Time { return time.Unix(0, 0).Add(d) }
	f("28.5", entry{told: "unhealthy", toldAt: at(10 * time.Second)}, 15*time.Second, "unhealthy")
	f("28.5", entry{told: "healthy", toldAt: at(10 * time.Second)}, 5*time.Minute, "healthy")
	f("28.5", entry{told: "unhealthy", toldAt: at(-time.Minute)}, 15*time.Second, "starting")
	f("20.10", entry{told: "unhealthy", toldAt: at(time.Second)}, 15*time.Second, "healthy")
	f("20.10", entry{told: "unhealthy", toldAt: at(20 * time.Second)}, 25*time.Second, "unhealthy")
}

// TestFailingStreak holds how many health checks in a row have failed against what each
// source is worth: the record of an engine that writes it, and the API, which is asked again
// soon because no event tells of one more.
func TestFailingStreak(t *testing.T) {
	fake := startFake(t, "28.5")
	n := newNode(t, Options{Host: fake.host()})
	path := fake.add("28.5", "web")
	answer := func(status string, failing int) []byte {
		text := string(fixture(t, "28.5", "web", "inspect.json"))
		text = regexp.MustCompile(`"Status": "healthy"`).ReplaceAllString(text, `"Status": "`+status+`"`)
		text = regexp.MustCompile(`"FailingStreak": \d+`).ReplaceAllString(text, fmt.Sprintf(`"FailingStreak": %d`, failing))
		var all []json.RawMessage
		n.must(json.Unmarshal([]byte(text), &all))
		return all[0]
	}
	id := strings.TrimPrefix(path, "/docker/")
	for _, want := range []int{0, 2, 7} {
		status := "unhealthy"
		if want == 0 {
			status = "healthy"
		}
		fake.set(id, answer(status, want))
		n.forget()
		c, err := n.Inspect(t.Context(), path)
		if err != nil || c.Health != status || c.FailingStreak != want {
			t.Errorf("health %q, %d checks have failed (%v), want %q, %d", c.Health, c.FailingStreak, err, status, want)
		}
	}
	now := time.Now()
	n.socket.setWatched(true)
	if failing, well := n.socket.recheck(now, 7), n.socket.recheck(now, 0); !failing.Before(well) {
		t.Errorf("asked again at %v while checks fail, and at %v else", failing, well)
	}

	old := &record{State: state{Running: true, Health: &health{Status: "unhealthy", FailingStreak: 4}}}
	old.State.Health.Log = append(old.State.Health.Log, struct{ End string }{now.Format(time.RFC3339Nano)})
	if word, failing, _ := n.health(t.Context(), old, new(entry), now); word != "unhealthy" || failing != 4 {
		t.Errorf("from a record right after a probe: %q, %d", word, failing)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, engine := range engines() {
		for _, name := range []string{"web", "failed", "shop_api.1"} {
			f.Add(fixture(f, engine, name, "config.v2.json"))
		}
	}
	f.Add([]byte(`{"ID":"x","State":{"Health":{"Log":[{},null,{"End":"2026"}]}},"Config":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var id struct{ ID string }
		if json.Unmarshal(b, &id) != nil {
			id.ID = "none"
		}
		r, err := decodeRecord(b, id.ID, []string{"S"})
		if err != nil {
			return
		}
		c := r.container("/docker/x")
		checkLabels(t, c.Labels)
		for _, s := range []string{c.Name, c.Image, c.ImageID, c.Swarm.ServiceName, c.Swarm.TaskName} {
			if clean(s, maxText) != s {
				t.Errorf("%q isn't clean", s)
			}
		}
		if c.Swarm.Slot < 0 {
			t.Errorf("slot %d", c.Swarm.Slot)
		}
		r.probed()
		if r.nextProbe() <= 0 {
			t.Errorf("the next probe is %v away", r.nextProbe())
		}
		if mode, err := decodeNetworkMode(b); err == nil && clean(mode, maxText) != mode {
			t.Errorf("%q isn't clean", mode)
		}
	})
}

func BenchmarkDecodeRecord(b *testing.B) {
	data, id := fixture(b, "28.5", "shop_api.1", "config.v2.json"), told(b, "28.5", "shop_api.1").ID
	b.ReportAllocs()
	for b.Loop() {
		r, err := decodeRecord(data, id, nil)
		if err != nil {
			b.Fatal(err)
		}
		r.container("/docker/x")
	}
}
