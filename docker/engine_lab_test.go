package docker

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// TestRealEngine holds the package against a real engine: containers from disk and by
// the API are the same, their whole life is told, and an Engine without a socket sees
// how one ended.
func TestRealEngine(t *testing.T) {
	engine := lab.EngineFor(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := func(args ...string) string {
		t.Helper()
		out, err := engine.Docker(ctx, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	disk := newNode(t, Options{Root: engine.DataRoot()})
	socket := newNode(t, Options{Host: engine.Host()})
	w := startWatch(t, socket.Engine, time.Now())
	defer w.end()

	if n, err := socket.Node(ctx); err != nil || n.EngineVersion == "" || n.Root != engine.DataRoot() || n.Name == "" || n.SwarmID != "" {
		t.Errorf("node %+v, %v", n, err)
	}
	id := run("run", "--detach", "--name", "web", "--label", "tier=api", "--env", "SECRET=x", "--memory", "32m",
		"--health-cmd", "true", "--health-interval", "1s", lab.BusyboxImage, "sleep", "1000")
	path := "/docker/" + id
	if e := w.next(); e.Action != metric.Start || e.ID != id || e.Container.Name != "web" || e.Container.Label("tier") != "api" {
		t.Errorf("event %+v of %+v", e, e.Container)
	}
	if e := w.next(); e.Action != metric.Health || e.Health != "healthy" {
		t.Errorf("event %+v", e)
	}
	same := func() *metric.Container {
		t.Helper()
		a, err := disk.Inspect(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := socket.Inspect(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		// Newer engines keep health from the disk.
		x, y := *a, *b
		x.Health, y.Health = "", ""
		if !reflect.DeepEqual(x, y) {
			t.Errorf("the disk says\n%+v, the API\n%+v", x, y)
		}
		return b
	}
	if c := same(); c.Name != "web" || c.Image != lab.BusyboxImage || c.State != "running" || c.PID == 0 || c.NetworkMode != "bridge" || c.Health != "healthy" {
		t.Errorf("%+v", c)
	}

	run("rename", "web", "www")
	if e := w.next(); e.Action != metric.Rename || e.Container.Name != "www" {
		t.Errorf("event %+v of %+v", e, e.Container)
	}
	if c := same(); c.Name != "www" {
		t.Errorf("%+v", c)
	}
	run("pause", "www")
	if e := w.next(); e.Action != metric.Update {
		t.Errorf("event %+v", e)
	}
	if c := same(); c.State != "paused" {
		t.Errorf("%+v", c)
	}
	run("unpause", "www")
	w.next()
	run("update", "--cpus", "0.5", "www")
	if e := w.next(); e.Action != metric.Update {
		t.Errorf("event %+v", e)
	}
	run("kill", "www")
	if e := w.next(); e.Action != metric.Die || e.ExitCode != 137 || e.Container.Name != "www" {
		t.Errorf("event %+v of %+v", e, e.Container)
	}
	if c := same(); c.State != "exited" || c.Exit == nil || c.Exit.Code != 137 || time.Since(c.Exit.At) > time.Minute {
		t.Errorf("%+v, %+v", c, c.Exit)
	}
	run("rm", "www")
	for _, n := range []*node{disk, socket} {
		n.forget()
		n.unknown(path, id[:12])
	}

	// Too short for any sample, and yet told whole.
	id = run("run", "--detach", "--rm", "--name", "flash", "--label", "tier=api", lab.BusyboxImage, "sh", "-c", "exit 3")
	ended := 0
	for range 2 { // the engine tells of such an end before the start, at times
		e := w.next()
		if e.ID != id || e.Container.Name != "flash" || e.Container.Label("tier") != "api" {
			t.Errorf("event %+v of %+v", e, e.Container)
		}
		if e.Action == metric.Die {
			ended += e.ExitCode
		}
	}
	if ended != 3 {
		t.Errorf("the exit code is %d, want 3", ended)
	}

	run("swarm", "init", "--advertise-addr", engine.Addr().String())
	n, err := socket.Node(ctx)
	if err != nil || len(n.SwarmID) != 25 || len(n.ClusterID) != 25 || !n.Manager {
		t.Errorf("node %+v, %v", n, err)
	}
	run("service", "create", "--quiet", "--detach", "--no-resolve-image", "--name", "shop_api", "--replicas", "1",
		"--container-label", "com.docker.stack.namespace=shop", lab.BusyboxImage, "sleep", "1000")
	e := w.next()
	path = "/docker/" + e.ID
	c := same()
	s := c.Swarm
	if e.Action != metric.Start || s.ServiceName != "shop_api" || s.Slot != 1 || s.Stack != "shop" || s.NodeID != n.SwarmID || !strings.HasPrefix(c.Name, "shop_api.1.") {
		t.Errorf("%+v", c)
	}
	if got, _ := disk.Node(ctx); got.SwarmID != n.SwarmID {
		t.Errorf("the labels say that the node is %q, the engine %q", got.SwarmID, n.SwarmID)
	}
}
