package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// agentOf returns an agent that knows of no Docker, with the options for another runtime.
func agentOf(t testing.TB, options ...string) *exec.Cmd {
	return exec.Command(buildAgent(t), append([]string{
		"-listen_ip=127.0.0.1", "-port=0", "-storage_driver=stdout", "-ship-interval=1s", "-docker_only",
		"-docker=", "-docker_root=" + t.TempDir(), "-podman=", "-podman-root=" + t.TempDir(), "-containerd=", "-containerd-run=" + t.TempDir(),
	}, options...)...)
}

// limitsOf checks the limits that the containers of these tests have, and a counter and
// a gauge against the kernel's own.
func limitsOf(t testing.TB, source string, p *printer, id string, pid int) {
	t.Helper()
	before := oracle(t, pid)
	d := p.after(t, id, time.Now())
	after := oracle(t, pid)
	for field, want := range map[string]float64{
		"container.memory.limit_bytes": 64 << 20, "container.cpu.limit_cores": 0.5,
	} {
		if got, ok := d.number(field); !ok || got != want {
			t.Errorf("%s: %s is %v (%v), want %v", source, field, got, ok, want)
		}
	}
	of := func(s *cgroups.Stats) float64 { return float64(s.CpuStats.CpuUsage.TotalUsage) }
	if got, ok := d.stat("cpu", "usage", "total"); !ok || got < of(before) || got > of(after) {
		t.Errorf("%s: CPU time %v (%v), want %v … %v", source, got, ok, of(before), of(after))
	}
	if tasks, _ := d.number("container.pids.current"); tasks != float64(before.PidsStats.Current) {
		t.Errorf("%s: %v tasks, want %d", source, tasks, before.PidsStats.Current)
	}
}

// sameIdentity compares who a document says it is about with what is wanted; "" is for a
// field that has to be absent.
func sameIdentity(d document, want map[string]string) error {
	var errs []error
	for field, text := range want {
		got := d.text(field)
		if key, ok := strings.CutPrefix(field, "labels."); ok {
			labels, _ := d["labels"].(map[string]any)
			got, _ = labels[key].(string)
		}
		if got != text {
			errs = append(errs, fmt.Errorf("%s is %q, want %q", field, got, text))
		}
	}
	return errors.Join(errs...)
}

// near compares a date of a document with when it was.
func near(d document, field string, want time.Time, tolerance time.Duration) error {
	if at := d.date(field); at.Sub(want).Abs() > tolerance {
		return fmt.Errorf("%s is %v, want %v", field, at, want)
	}
	return nil
}

// Who Podman's containers are, by its store alone and by its API: cAdvisor needs the API
// for both, and shows the name that a container had when it was found.
func TestPodman(t *testing.T) {
	p := lab.PodmanFor(t)
	podman := func(args ...string) string {
		t.Helper()
		out, err := p.Podman(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if err := p.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	agents := map[string]*printer{
		"store": startPrinter(t, agentOf(t, "-podman-root="+p.Root())),
		"API":   startPrinter(t, agentOf(t, "-podman-root="+p.Root(), "-podman="+p.Host())),
		// As cAdvisor, which has no other way.
		"API alone": startPrinter(t, agentOf(t, "-podman="+p.Host())),
	}
	id := podman("run", "--detach", "--name", "web", "--label", "team=web", "--label", "empty=", "--env", "SECRET=x",
		"--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", lab.PodmanImage, "sleep", "1000")
	type state struct {
		ID, Name, Image string
		Created         time.Time
		State           struct {
			Pid       int
			StartedAt time.Time
		}
	}
	look := func() (s state) {
		t.Helper()
		var all []state
		if err := json.Unmarshal([]byte(podman("inspect", "--type", "container", id)), &all); err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	check := func(limit time.Duration, name string, sources ...string) {
		t.Helper()
		c := look()
		for _, source := range sources {
			want := map[string]string{
				"container.runtime": "podman", "container.name": name, "container_Name": name,
				"container.image.name": "localhost/" + lab.BusyboxImage, "container.image.tag": "latest", "container.unidentified": "",
				"container.state": "running", "labels.team": "web", "labels.empty": "",
			}
			if source == "store" {
				want["container.state"], want["labels.team"] = "", ""
			}
			waitFor(t, limit, "the identity from "+source, func() error {
				d := agents[source].after(t, id, time.Now())
				hash, _ := d["container.image.hash.all"].(string)
				return errors.Join(sameIdentity(d, want),
					near(d, "container.created", c.Created, 100*time.Millisecond),
					near(d, "container.started", c.State.StartedAt, time.Second),
					sameIdentity(document{"hash": hash}, map[string]string{"hash": "sha256:" + c.Image}))
			})
		}
	}
	all := []string{"store", "API", "API alone"}
	check(20*time.Second, "web", all...)
	for source, agent := range agents {
		limitsOf(t, source, agent, id, look().State.Pid)
		for _, d := range agent.container(id) {
			if text, _ := json.Marshal(d); strings.Contains(string(text), "SECRET") {
				t.Fatalf("%s: the environment is in %s", source, text)
			}
		}
	}

	podman("rename", "web", "www")
	check(25*time.Second, "www", "store", "API")
	before := look().State.StartedAt
	podman("restart", "--time", "0", id)
	if after := look().State.StartedAt; !after.After(before) {
		t.Fatalf("restarted at %v, and before at %v", after, before)
	}
	check(40*time.Second, "www", all...)

	// What the API told goes on without it.
	if err := p.StopServing(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(15 * time.Second) // an agent asks again after ten
	check(5*time.Second, "www", all...)
	if err := p.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}

	seven := podman("run", "--detach", lab.PodmanImage, "sh", "-c", "sleep 4; exit 7")
	agents["API"].awaitActions(t, 25*time.Second, seven, "start", "die 7")
	a := testRuntimeMetrics(t, "www", []string{"-podman-root=" + p.Root(), "-podman=" + p.Host()})
	testRuntimeAnswers(t, a, "podman", id, "www")
	for _, target := range []string{"/api/v2.1/stats/www?type=podman&count=1", "/api/v2.1/spec/?type=podman&recursive=true", "/metrics?type=podman"} {
		if text, err := httpGet(t, a.URL+target); err != nil || !strings.Contains(text, id) {
			t.Errorf("%s: %v, %.500s", target, err, text)
		}
	}
	if text, err := httpGet(t, a.URL+"/api/v2.1/stats/www?type=docker"); err == nil {
		t.Errorf("Docker has Podman's container: %.500s", text)
	}
	for path, want := range map[string]string{"/podman/": ">www</a>", "/podman/www": id} {
		if page, err := httpGet(t, a.URL+path); err != nil || !strings.Contains(page, want) || !strings.Contains(page, "www") {
			t.Errorf("%s: %v, %.2000s", path, err, page)
		}
	}
}

// testRuntimeAnswers checks how the REST API calls a container of a runtime other than Docker:
// as cAdvisor does, by its runtime, its name and its id.
func testRuntimeAnswers(t *testing.T, a *agent, namespace, id, name string) {
	t.Helper()
	text, err := httpGet(t, a.URL+"/api/v1.3/subcontainers/")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		ID, Name, Namespace string
		Aliases             []string
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, c := range all {
		if c.ID != id {
			continue
		}
		found++
		if c.Namespace != namespace || !slices.Contains(c.Aliases, name) || !slices.Contains(c.Aliases, id) || !strings.Contains(c.Name, id) {
			t.Errorf("%+v, want the namespace %s and the names %s and %s", c, namespace, name, id)
		}
	}
	if found != 1 {
		t.Errorf("%d containers %s in %.1000s", found, id, text)
	}
}

// testRuntimeMetrics checks what a Prometheus gets of a container that a runtime other than
// Docker runs, with the labels team="web" and 64 MiB.
func testRuntimeMetrics(t *testing.T, name string, options []string) *agent {
	t.Helper()
	a := startAgent(t, append([]string{
		"-docker=", "-docker_root=" + t.TempDir(), "-podman=", "-containerd=", "-docker_only", "-spool-dir=" + t.TempDir(),
	}, options...)...)
	waitFor(t, 10*time.Second, "the container on /metrics", func() error {
		s := a.scrape(t)
		limit, _, _ := s.sum("container_spec_memory_limit_bytes", "container_label_team", "web")
		named, _, ok := s.sum("container_spec_memory_limit_bytes", "name", name)
		image, _, _ := s.sum("container_spec_memory_limit_bytes", "image", lab.PodmanImage)
		if !ok || limit != 64<<20 || named != limit || image != limit {
			return fmt.Errorf("limit %v by label, %v by name, %v by image", limit, named, image)
		}
		return nil
	})
	return a
}

// Who containerd's containers are, by the bundle of the task and by the API, in the
// namespace that was told and in one that wasn't.
func TestContainerd(t *testing.T) {
	p := lab.PodmanFor(t)
	const told, other = "swarmgauge-told", "swarmgauge-other"
	c := lab.ContainerdFor(t, p, told, other)
	agents := map[string]*printer{
		"bundle": startPrinter(t, agentOf(t, "-containerd-run="+c.State(), "-containerd-namespace="+told)),
		"API":    startPrinter(t, agentOf(t, "-containerd-run="+c.State(), "-containerd-namespace="+told, "-containerd="+c.Socket())),
		// As cAdvisor, which has no other way.
		"API alone": startPrinter(t, agentOf(t, "-containerd-namespace="+told, "-containerd="+c.Socket())),
	}
	run := func(namespace, id string, args ...string) {
		t.Helper()
		args = append(args, "--label", "team=web", "--env", "SECRET=x", "--memory-limit", strconv.Itoa(64<<20), "--cpus", "0.5")
		if err := c.Run(t.Context(), namespace, id, args, "sleep", "1000"); err != nil {
			t.Fatal(err)
		}
	}
	plain, named, stranger := strings.Repeat("c0de", 16), strings.Repeat("cafe", 16), strings.Repeat("beef", 16)
	began := time.Now()
	run(told, plain)
	run(told, named, "--annotation", "nerdctl/name=web", "--label", "nerdctl/name=web")
	run(other, stranger)

	check := func(source, id, name string, started time.Time) {
		t.Helper()
		want := map[string]string{
			"container.runtime": "containerd", "container.name": name, "container_Name": name, "container.unidentified": "",
			"container.image.name": "localhost/" + lab.BusyboxImage, "container.image.tag": "latest", "labels.team": "web",
		}
		if source == "bundle" { // containerd's database has these
			want["container.image.name"], want["container.image.tag"], want["labels.team"] = "", "", ""
		}
		waitFor(t, 40*time.Second, "the identity from "+source, func() error {
			d := agents[source].after(t, id, time.Now())
			errs := []error{sameIdentity(d, want)}
			if source != "API alone" {
				errs = append(errs, near(d, "container.started", started, 4*time.Second))
			}
			if source != "bundle" {
				errs = append(errs, near(d, "container.created", began, 10*time.Second))
			}
			return errors.Join(errs...)
		})
	}
	for source := range agents {
		check(source, plain, plain, began)
		check(source, named, "web", began)
		if source != "API alone" {
			check(source, stranger, stranger, began)
		}
	}
	// cAdvisor knows no container of another namespace; without the bundle nor do we.
	if d := agents["API alone"].after(t, stranger, time.Now()); d.text("container.name") != "" || d.text("container.unidentified") == "" {
		t.Errorf("a container of another namespace: name %q, unidentified because %q", d.text("container.name"), d.text("container.unidentified"))
	}
	out, err := c.Ctr(t.Context(), told, "tasks", "ls")
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); words[0] == plain {
			if pid, err = strconv.Atoi(words[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for source, agent := range agents {
		limitsOf(t, source, agent, plain, pid)
		for _, d := range agent.container(plain) {
			if text, _ := json.Marshal(d); strings.Contains(string(text), "SECRET") {
				t.Fatalf("%s: the environment is in %s", source, text)
			}
		}
	}

	// Another task of the same container is another start.
	time.Sleep(5 * time.Second)
	again := time.Now()
	if err := c.Restart(context.WithoutCancel(t.Context()), told, plain); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"bundle", "API"} {
		check(source, plain, plain, again)
	}
	if err := c.Remove(t.Context(), told, plain); err != nil { // else its labels are those of two
		t.Fatal(err)
	}
	if err := c.Remove(t.Context(), other, stranger); err != nil {
		t.Fatal(err)
	}
	a := testRuntimeMetrics(t, "web", []string{"-containerd-run=" + c.State(), "-containerd=" + c.Socket()})
	testRuntimeAnswers(t, a, "containerd", named, "web")
}
