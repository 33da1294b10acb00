package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	dockerfiles "github.com/swarmgauge/swarmgauge/docker" // there is a function docker here
	"github.com/swarmgauge/swarmgauge/test/faults"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// The rows of the catalogue of faults that are about what engines tell.

// record is an engine's record of a container with this name and these labels.
func record(t testing.TB, id, name string, labels map[string]string) []byte {
	t.Helper()
	b := []byte(`{"ID":"` + id + `","Created":"2026-11-22T10:00:00Z","State":{"Running":true,"StartedAt":"2026-11-22T10:00:00Z"},"Name":`)
	b = append(appendJSON(b, name), `,"Config":{"Image":"busybox","Labels":{`...)
	separator := ""
	for key, value := range labels {
		b = appendJSON(append(appendJSON(append(b, separator...), key), ':'), value)
		separator = ","
	}
	return append(b, "}}}"...)
}

// container gives the fixture a cgroup like an engine's, and the engine's record of it.
func (f *fixture) container(id string, record []byte) {
	f.t.Helper()
	f.copy("../cgroup/testdata/v2/load", "cg/docker/"+id)
	if record != nil {
		f.write("docker/containers/"+id+"/hostconfig.json", `{"NetworkMode":"bridge"}`)
		f.write("docker/containers/"+id+"/config.v2.json", string(record))
	}
}

// Labels that no people would give reach the real Elasticsearch, the pages and Prometheus.
// That a real engine takes them, TestHost/Labels shows.
func TestC09MonstrousLabels(t *testing.T) {
	row := faults.Start(t, "C9")
	s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{})
	f := machineFixture(t, "v2", "/docker/"+containerID(0))
	f.container(containerID(1), record(t, containerID(1), "/plain", map[string]string{"team": "web"}))
	const prefix = "monstrous"
	a := startAgent(t, "-proc-root="+f.path("proc"), "-cgroup-root="+f.path("cg"), "-docker=", "-docker_root="+f.path("docker"), "-docker_only",
		"-node-name=fixture", "-ship-interval=1s", "-spool-dir="+t.TempDir(),
		"-storage_driver=elasticsearch", "-storage_driver_es_host="+s.URL(), "-storage_driver_es_index="+prefix)
	arrives := func(id string) {
		t.Helper()
		waitFor(t, 60*time.Second, "documents of "+id[60:], func() error {
			n, err := count(t, s, prefix, map[string]any{"bool": map[string]any{"filter": []any{term("container.id", id), map[string]any{"exists": map[string]any{"field": "labels"}}}}})
			if err != nil || n < 2 {
				return fmt.Errorf("%d, %w", n, err)
			}
			return nil
		})
	}
	arrives(containerID(1))
	mapping := func() any { return mustAsk[any](t, s, http.MethodGet, "/"+prefix+"*/_mapping", nil) }
	before := mapping()

	many := map[string]string{}
	for n := range 10000 {
		many[fmt.Sprintf("key.%d", n)] = "value"
	}
	const markup = "</script><script>alert(1)</script>"
	monsters := []struct {
		name   string
		labels map[string]string
	}{
		{"megabyte", map[string]string{"huge": strings.Repeat("ä", 1<<19), strings.Repeat("k", 1<<20): "v"}},
		{"many", many},
		{"bytes", map[string]string{"invalid": "a\xff\xfe", "nul": "a\x00b", "\x00": "nul", "line": "a\nb\r\n{\"create\":{}}\n", "\xff\xfe": "invalid"}},
		{"a" + markup, map[string]string{"markup": markup, markup: "markup", "template": "{{.}}${x}", "quote": `"'\` + "`", "turned": "\u202eabc"}},
		{"objects", map[string]string{"a": "1", "a.b": "2", "a.b.c": "3", "@timestamp": "x", "_id": "x", "labels": "x", ".": "x", "a..b": "x", "": "x", " ": "x"}},
	}
	for n, m := range monsters {
		id := containerID(10 + n)
		f.container(id, record(t, id, "/"+m.name, m.labels))
	}
	for n := range monsters {
		arrives(containerID(10 + n))
	}
	if after := mapping(); !reflect.DeepEqual(before, after) {
		t.Error("the mapping has changed")
	}
	kept, longest := 0, 0
	for n := range monsters {
		for _, d := range documents(t, s, prefix, term("container.id", containerID(10+n)))[:1] {
			labels, _ := d["labels"].(map[string]any)
			size := 0
			for key, value := range labels {
				text, _ := value.(string)
				size += len(key) + len(text)
				if len(key) > 128 || len(text) > 1024 || !utf8.ValidString(key+text) || strings.ContainsAny(key+text, "\x00\n\r") {
					t.Errorf("%s: label of %d and %d bytes: %.100q", monsters[n].name, len(key), len(text), key+text)
				}
			}
			if len(labels) > 64 || size > 16<<10 || len(labels) == 0 {
				t.Errorf("%s: %d labels of %d bytes", monsters[n].name, len(labels), size)
			}
			kept, longest = kept+len(labels), max(longest, size)
		}
	}
	families := a.scrape(t)
	for n := range monsters {
		if _, _, ok := families.sum("container_memory_usage_bytes", "id", "/docker/"+containerID(10+n)); !ok {
			t.Errorf("%s has no series", monsters[n].name)
		}
	}
	pages := 0
	for _, page := range []string{"/containers/", "/docker/", "/docker/" + containerID(13), "/containers/docker/" + containerID(13)} {
		text, err := httpGet(t, a.URL+page)
		if err != nil {
			t.Error(err)
			continue
		}
		pages++
		if strings.Contains(text, "alert(1)</script>") || strings.Contains(text, markup) {
			t.Errorf("%s has markup of a container", page)
		}
	}
	if dead := a.metric(t, "swarmgauge_documents_dead_total"); dead > 0 {
		t.Errorf("%.0f documents were refused", dead)
	}
	row.Result("%d containers with labels of a megabyte, 10,000 keys, bad bytes, markup and objects: all in Elasticsearch %s, %d labels kept, %d bytes a container at most, mapping unchanged, exposition parsed, %d pages without their markup",
		len(monsters), lab.Elasticsearch8, kept, longest, pages)
}

// The engine's records make no sense, or aren't records at all. Looking at them takes no
// time, and their containers are measured without names.
func TestC10RecordsThatMakeNoSense(t *testing.T) {
	row := faults.Start(t, "C10")
	f := machineFixture(t, "v2", "/docker/"+containerID(0))
	whole := func(id string) string { return string(record(t, id, "/name", map[string]string{"team": "web"})) }
	at := func(id string) string { return f.path("docker/containers/" + id + "/config.v2.json") }
	remake := func(id string, f func(path string) error) {
		t.Helper()
		if err := errors.Join(os.Remove(at(id)), f(at(id))); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name  string
		spoil func(id string)
	}{
		{"empty", func(id string) { f.write("docker/containers/"+id+"/config.v2.json", "") }},
		{"torn", func(id string) { f.write("docker/containers/"+id+"/config.v2.json", whole(id)[:150]) }},
		{"torn at the end", func(id string) {
			f.write("docker/containers/"+id+"/config.v2.json", strings.TrimSuffix(whole(id), "}"))
		}},
		{"two of them", func(id string) { f.write("docker/containers/"+id+"/config.v2.json", whole(id)+whole(id)) }},
		{"another one's", func(id string) { f.write("docker/containers/"+id+"/config.v2.json", whole(containerID(999))) }},
		{"100 MB", func(id string) {
			remake(id, func(path string) error { return os.WriteFile(path, nil, 0o600) })
			os.Truncate(at(id), 100<<20)
		}},
		{"nested arrays", func(id string) {
			f.write("docker/containers/"+id+"/config.v2.json", `{"ID":`+strings.Repeat("[", 100000)+strings.Repeat("]", 100000)+"}")
		}},
		{"nested objects", func(id string) {
			f.write("docker/containers/"+id+"/config.v2.json", strings.Repeat(`{"Config":`, 100000)+"1"+strings.Repeat("}", 100000))
		}},
		{"a FIFO", func(id string) { remake(id, func(path string) error { return unix.Mkfifo(path, 0o600) }) }},
		{"a link", func(id string) { remake(id, func(path string) error { return os.Symlink("/dev/zero", path) }) }},
		{"a link to another one's", func(id string) { remake(id, func(path string) error { return os.Symlink(at(containerID(1)), path) }) }},
		{"a directory", func(id string) { remake(id, func(path string) error { return os.Mkdir(path, 0o700) }) }},
		{"random", func(id string) {
			f.write("docker/containers/"+id+"/config.v2.json", strings.Repeat("\x93\x00\xff{\"", 10000))
		}},
		{"types", func(id string) {
			f.write("docker/containers/"+id+"/config.v2.json", `{"ID":"`+id+`","Name":{},"State":[],"Config":7}`)
		}},
	}
	f.container(containerID(1), []byte(whole(containerID(1))))
	engine, err := dockerfiles.New(dockerfiles.Options{Root: f.path("docker")})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	var slowest time.Duration
	var slow string
	for n, c := range cases {
		id := containerID(10 + n)
		f.container(id, []byte(whole(id)))
		c.spoil(id)
		began := time.Now()
		got, err := engine.Inspect(t.Context(), "/docker/"+id)
		took := time.Since(began)
		if err == nil || got != nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
			t.Errorf("%s: %+v, %.600v", c.name, got, err)
		}
		if took > slowest {
			slowest, slow = took, c.name
		}
	}
	if slowest > 50*time.Millisecond {
		t.Errorf("%s took %v", slow, slowest)
	}

	cmd, _ := agentOn(t, f.root, "-docker_only")
	p := startPrinter(t, cmd)
	time.Sleep(2 * time.Second)
	for n, c := range cases {
		d := p.after(t, containerID(10+n), time.Time{})
		if used, _ := d.number("container.memory.usage_bytes"); used != 10457088 || d.text("container.unidentified") == "" || d.text("container.name") != "" {
			t.Errorf("%s: %v bytes of memory, name %q, unidentified because %q", c.name, used, d.text("container.name"), d.text("container.unidentified"))
		}
	}
	if d := p.after(t, containerID(1), time.Time{}); d.text("container.name") != "name" {
		t.Errorf("a whole record gives the name %q", d.text("container.name"))
	}
	row.Goal("5 ms each", slowest <= 5*time.Millisecond)
	row.Result("%d records: each refused with a sentence, the slowest (%s) after %.2f ms; all containers measured, without names", len(cases), slow, float64(slowest.Microseconds())/1000)
}

// What people and engines do with containers is told in its order, by an agent that has the
// engine's files and by one that hears the engine; no number of theirs ever falls below zero.
func TestC12WhatEnginesDo(t *testing.T) {
	row := faults.Start(t, "C12")
	e := lab.EngineFor(t)
	root := filepath.Join(t.TempDir(), "docker")
	if err := os.Symlink(e.DataRoot(), root); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "docker")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	h := &host{Engine: e}
	h.files = startPrinter(t, agentFor(t, e, "-docker="))
	h.socket = startPrinter(t, agentFor(t, e, "-docker="+e.Host()))
	moved := startPrinter(t, agentFor(t, e, "-docker=", "-docker_root="+elsewhere))
	agents := map[string]*printer{"files": h.files, "socket": h.socket}

	id := h.run(t, "--name", "first", "--memory", "64m", lab.BusyboxImage, "sh", "-c", "while :; do i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; sleep 0.1; done")
	want := []string{"start"}
	settle := func(limit time.Duration, more ...string) {
		t.Helper()
		want = append(want, more...)
		h.socket.awaitActions(t, limit, id, want...)
		// Files don't tell of updates and pauses as such, and may tell nothing any more of
		// how a container ended that was started again at once.
		expected := slices.DeleteFunc(slices.Clone(want), func(action string) bool { return action == "update" })
		waitFor(t, limit, "events", func() error {
			got := h.files.actions(id)
			for i := range got {
				if got[i] == "die <nil>" && i+1 < len(got) && got[i+1] == "start" {
					got[i] = "die 137"
				}
			}
			if !slices.Equal(got, expected) {
				return fmt.Errorf("events of %.12s from files: %q, want %q", id, got, expected)
			}
			return nil
		})
	}
	settle(20 * time.Second)
	do := func(args ...string) { t.Helper(); docker(t, e, args...) }
	do("pause", id)
	for name, p := range agents {
		waitFor(t, 25*time.Second, "the pause", func() error {
			if state := p.after(t, id, time.Now()).text("container.state"); state != "paused" {
				return fmt.Errorf("%s: state %q", name, state)
			}
			return nil
		})
	}
	settle(10*time.Second, "update") // is what a pause is passed on as
	do("unpause", id)
	settle(10*time.Second, "update")
	do("rename", "first", "second")
	settle(25*time.Second, "rename")
	do("update", "--memory", "128m", "--memory-swap", "256m", id)
	settle(10*time.Second, "update")
	waitFor(t, 10*time.Second, "the new limit", func() error {
		if limit, _ := h.socket.after(t, id, time.Now()).number("container.memory.limit_bytes"); limit != 128<<20 {
			return fmt.Errorf("%v", limit)
		}
		return nil
	})
	do("restart", "--time", "0", id)
	settle(20*time.Second, "die 137", "start")
	do("kill", id)
	settle(20*time.Second, "die 137")

	// An agent that looks for the engine's files where they aren't has numbers, and the
	// reason why it has no names; and names once they are there.
	other := h.run(t, "--name", "third", lab.BusyboxImage, "sleep", "1000")
	d := moved.after(t, other, time.Now())
	if d.text("container.name") != "" || d.text("container.unidentified") == "" {
		t.Errorf("elsewhere: name %q, unidentified because %q", d.text("container.name"), d.text("container.unidentified"))
	}
	if _, ok := d.number("container.memory.usage_bytes"); !ok {
		t.Error("elsewhere: no numbers")
	}
	if err := errors.Join(os.Remove(elsewhere), os.Rename(root, elsewhere)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 60*time.Second, "the name", func() error {
		if name := moved.after(t, other, time.Now()).text("container.name"); name != "third" {
			return fmt.Errorf("%q", name)
		}
		return nil
	})

	numbers, instances := 0, map[string]bool{}
	for name, p := range agents {
		for _, d := range p.find(func(d document) bool { return d.text("container.id") == id }) {
			instances[d.text("container.instance")] = true
			for field, v := range d {
				if v, ok := v.(float64); ok {
					numbers++
					if v < 0 {
						t.Errorf("%s: %s is %v", name, field, v)
					}
				}
			}
		}
	}
	if len(instances) < 2 {
		t.Errorf("%d instances of a container that was restarted", len(instances))
	}
	row.Result("events %q, the same from files but for the updates and the exit code before a restart; paused and renamed as told, limit of the update at once; %d numbers, none below zero; names back after the data root was elsewhere. An engine that is away: TestEngineRestarts, TestSocketComesAndGoes",
		want, numbers)
}
