package lab

import (
	"strings"
	"testing"
)

// A Swarm whose nodes run engines of several years: a global service has a
// task on every node.
func TestSwarm(t *testing.T) {
	Need(t, Nodes)
	e := EngineFor(t)
	ctx := t.Context()
	nodes, err := e.StartNodes(ctx,
		NodeConfig{Name: "node1", Suite: Bookworm},
		NodeConfig{Name: "node2", Suite: Trixie},
		NodeConfig{Name: "node3", Suite: Sid},
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := Swarm(ctx, nodes...); err != nil {
		t.Fatal(err)
	}
	_, err = nodes[0].Docker(ctx, "service", "create", "--quiet", "--no-resolve-image", "--name", "sleep", "--mode", "global",
		"--hostname", "{{.Node.Hostname}}", BusyboxImage, "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		id, err := n.Docker(ctx, "ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=sleep")
		if err != nil {
			t.Fatal(err)
		}
		name, err := n.Docker(ctx, "exec", id, "hostname")
		if err != nil {
			t.Fatal(err)
		}
		if name != n.Name() {
			t.Errorf("task on %s has the host name %q", n.Name(), name)
		}
	}
}

// An engine with the containerd image store runs in a node, and can be used
// from this machine.
func TestContainerdStore(t *testing.T) {
	Need(t, Nodes)
	e := EngineFor(t)
	ctx := t.Context()
	nodes, err := e.StartNodes(ctx, NodeConfig{Name: "node1", Suite: Sid, Args: []string{ContainerdStore}})
	if err != nil {
		t.Fatal(err)
	}
	n := nodes[0]
	driver, err := n.Docker(ctx, "info", "--format", "{{.Driver}} {{.DriverStatus}}")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(driver, "io.containerd.snapshotter.v1") {
		t.Errorf("storage driver %s, want a snapshotter of containerd", driver)
	}
	if out, err := n.Docker(ctx, "run", "--rm", BusyboxImage, "echo", "hello"); err != nil || out != "hello" {
		t.Errorf("a container said %q (%v), want hello", out, err)
	}
}
