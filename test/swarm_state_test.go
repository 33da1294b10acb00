package test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// swarmState is a Swarm of nodes with engines of several years, each with an agent that has
// the engine's socket.
type swarmState struct {
	nodes  []*lab.Node
	agents []*printer // of each node
	leader int        // index of the node that leads
}

// of returns the documents of a kind that the leader's agent has told and keep accepts.
func (s *swarmState) of(kind string, keep func(document) bool) []document {
	return s.agents[s.leader].find(func(d document) bool { return d.dataset() == kind && keep(d) })
}

// await waits until the newest document of a service fits.
func (s *swarmState) await(t *testing.T, service string, fields map[string]any) {
	t.Helper()
	waitFor(t, 90*time.Second, "the state of "+service, func() error {
		told := s.of("service", func(d document) bool { return d.text("swarm.service.name") == service })
		if len(told) == 0 {
			return errNotYet
		}
		return fits(told[len(told)-1], fields)
	})
}

// awaitTask waits for a document of a task of a service that fits.
func (s *swarmState) awaitTask(t *testing.T, service string, fields map[string]any) (found document) {
	t.Helper()
	waitFor(t, 90*time.Second, "a task of "+service, func() error {
		err := errNotYet
		for _, d := range s.of("task", func(d document) bool { return d.text("swarm.service.name") == service }) {
			if err = fits(d, fields); err == nil {
				found = d
				return nil
			}
		}
		return err
	})
	return found
}

// awaitEvent waits for one thing that happened to a service.
func (s *swarmState) awaitEvent(t *testing.T, service, action string, fields map[string]any) {
	t.Helper()
	waitFor(t, 30*time.Second, action+" of "+service, func() error {
		err := errNotYet
		for _, d := range s.of("event", func(d document) bool {
			return d.text("swarm.service.name") == service && d.text("event.action") == action
		}) {
			if err = fits(d, fields); err == nil {
				return nil
			}
		}
		return err
	})
}

// fits compares fields of a document; nil is for one that isn't there, a text that ends in
// … for one that begins so.
func fits(d document, fields map[string]any) error {
	for name, want := range fields {
		got := d[name]
		if n, ok := want.(int); ok {
			want = float64(n)
		}
		if begin, ok := want.(string); ok && strings.HasSuffix(begin, "…") {
			if text, _ := got.(string); strings.HasPrefix(text, strings.TrimSuffix(begin, "…")) {
				continue
			}
		}
		if got != want {
			return fmt.Errorf("%s is %v, want %v, in %v", name, got, want, d)
		}
	}
	return nil
}

// The agent of the leader tells the state of the Swarm, and no other one does.
func TestSwarmState(t *testing.T) {
	lab.Need(t, lab.Nodes)
	e := lab.EngineFor(t)
	configs := []lab.NodeConfig{
		{Name: "sid", Suite: lab.Sid, Args: []string{lab.ContainerdStore}},
		{Name: "bookworm", Suite: lab.Bookworm},
		{Name: "trixie", Suite: lab.Trixie},
	}
	s := &swarmState{nodes: startNodes(t, e, configs...)}
	if err := lab.Swarm(t.Context(), s.nodes...); err != nil {
		t.Fatal(err)
	}
	for _, n := range s.nodes {
		t.Logf("%s: Docker %s", n.Name(), docker(t, n, "version", "--format", "{{.Server.Version}}, API {{.Server.APIVersion}}"))
		s.agents = append(s.agents, startPrinter(t, agentIn(e, n, "-update_machine_info_interval=2s")))
		docker(t, n, "run", "--detach", "--name", "ill", "--health-cmd", "false", "--health-interval", "1s", "--health-retries", "2", lab.BusyboxImage, "sleep", "1000")
	}
	manager := s.nodes[0]
	create := func(name string, args ...string) {
		t.Helper()
		docker(t, manager, append([]string{"service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr", "--name", name}, args...)...)
	}
	if err := manager.WriteFile(t.Context(), "/tmp/stack.yml", strings.NewReader(stack)); err != nil {
		t.Fatal(err)
	}
	docker(t, manager, "stack", "deploy", "--resolve-image", "never", "--compose-file", "/tmp/stack.yml", "shop")
	create("nowhere", "--constraint", "node.labels.disk==ssd", lab.BusyboxImage, "sleep", "1000")
	create("noimage", "lab/none:7", "sleep", "1000")
	create("crash", "--restart-delay", "3s", lab.BusyboxImage, "sh", "-c", "sleep 1; exit 3")
	docker(t, manager, "service", "create", "--detach", "--no-resolve-image", "--name", "job", "--mode", "replicated-job", "--replicas", "3", "--max-concurrent", "1",
		lab.BusyboxImage, "sleep", "2")

	for _, service := range []string{"shop_web", "crash", "nowhere"} {
		s.awaitEvent(t, service, "service_create", map[string]any{"container.image.name": lab.BusyboxImage, "swarm.service.mode": "replicated"})
	}
	s.await(t, "shop_web", map[string]any{
		"swarm.stack": "shop", "swarm.service.mode": "replicated", "swarm.service.desired": 2, "swarm.service.running": 2, "swarm.service.missing": 0,
		"swarm.service.pending": 0, "swarm.service.failed": 0, "swarm.service.update_state": nil, "container.image.name": lab.BusyboxImage,
	})
	s.await(t, "shop_each", map[string]any{"swarm.service.mode": "global", "swarm.service.desired": 3, "swarm.service.running": 3})
	s.await(t, "nowhere", map[string]any{"swarm.stack": nil, "swarm.service.desired": 1, "swarm.service.running": 0, "swarm.service.missing": 1, "swarm.service.pending": 1, "swarm.service.failed": 0})
	s.awaitTask(t, "nowhere", map[string]any{
		"swarm.task.state": "pending", "swarm.task.desired_state": "running", "swarm.task.error": "no suitable node (scheduling constraints not satisfied…",
		"swarm.task.slot": 1, "swarm.node.id": nil, "container.exit_code": nil,
	})
	rejected := s.awaitTask(t, "noimage", map[string]any{"swarm.task.state": "rejected", "swarm.task.error": "No such image: lab/none:7", "container.image.tag": "7"})
	if name := rejected.text("swarm.node.name"); !slices.ContainsFunc(s.nodes, func(n *lab.Node) bool { return n.Name() == name }) {
		t.Errorf("a task of the node %q: %v", name, rejected)
	}
	failed := s.awaitTask(t, "crash", map[string]any{"swarm.task.state": "failed", "swarm.task.error": "task: non-zero exit (3)", "container.exit_code": 3})
	if since := time.Since(failed.date("swarm.task.since")); since < 0 || since > 5*time.Minute || failed.text("container.id") == "" {
		t.Errorf("failed since %v: %v", since, failed)
	}
	waitFor(t, time.Minute, "failures", func() error {
		told := s.of("service", func(d document) bool { return d.text("swarm.service.name") == "crash" })
		if n, _ := told[len(told)-1].number("swarm.service.failed"); n < 2 {
			return fmt.Errorf("%v failed", n)
		}
		return nil
	})
	s.await(t, "job", map[string]any{"swarm.service.mode": "replicated-job", "swarm.service.desired": 0, "swarm.service.running": 0, "swarm.service.missing": 0, "swarm.service.completed": 3})

	docker(t, manager, "service", "scale", "--detach", "shop_web=5")
	s.awaitEvent(t, "shop_web", "service_update", map[string]any{"swarm.service.desired": 5, "swarm.stack": "shop"})
	s.await(t, "shop_web", map[string]any{"swarm.service.desired": 5, "swarm.service.running": 5, "swarm.service.missing": 0})

	docker(t, manager, "node", "update", "--availability", "drain", "trixie")
	s.await(t, "shop_each", map[string]any{"swarm.service.desired": 2, "swarm.service.running": 2})
	nodes := map[string]document{}
	for _, d := range s.of("swarm_node", func(document) bool { return true }) {
		nodes[d.text("swarm.node.name")] = d
	}
	for name, want := range map[string]map[string]any{
		"sid":      {"swarm.node.role": "manager", "swarm.node.leader": true, "swarm.node.reachability": "reachable", "swarm.node.state": "ready", "swarm.node.availability": "active"},
		"bookworm": {"swarm.node.role": "worker", "swarm.node.leader": false, "swarm.node.reachability": nil, "swarm.node.state": "ready", "swarm.node.availability": "active"},
		"trixie":   {"swarm.node.role": "worker", "swarm.node.leader": false, "swarm.node.availability": "drain"},
	} {
		if err := fits(nodes[name], want); err != nil {
			t.Error(err)
		}
		if cpus, _ := nodes[name].number("swarm.node.cpus"); cpus < 1 || nodes[name].text("swarm.node.engine_version") == "" {
			t.Errorf("%v CPUs: %v", cpus, nodes[name])
		}
	}
	docker(t, manager, "service", "rm", "nowhere")
	s.awaitEvent(t, "nowhere", "service_remove", map[string]any{"swarm.service.mode": "replicated"})
	for i, p := range s.agents[1:] {
		if told := p.find(isSwarms); len(told) > 0 {
			t.Errorf("%s isn't the leader, and tells %v", s.nodes[i+1].Name(), told[0])
		}
	}
	s.checkEngines(t)
	s.testLeaderChange(t)
}

// checkEngines looks at what each engine's socket tells beside the Swarm: its disk space,
// and how often health checks have failed.
func (s *swarmState) checkEngines(t *testing.T) {
	for i, n := range s.nodes {
		told := s.agents[i].find(func(d document) bool { return d.dataset() == "node" })
		last := told[len(told)-1]
		images, known := last.number("engine.images.count")
		if bytes, _ := last.number("engine.images.bytes"); n.Name() == "bookworm" && known || n.Name() != "bookworm" && (images < 1 || bytes < 1000) {
			t.Errorf("%s: %v images, %v bytes: %v", n.Name(), images, bytes, last)
		}
		waitFor(t, 30*time.Second, "failed health checks on "+n.Name(), func() error {
			ill := s.agents[i].find(func(d document) bool { return d.dataset() == "container" && d.text("container.name") == "ill" })
			d := ill[len(ill)-1]
			if streak, _ := d.number("container.health_failing_streak"); d.text("container.health") != "unhealthy" || streak < 2 {
				return fmt.Errorf("%q, %v checks have failed", d.text("container.health"), streak)
			}
			if verdicts := fmt.Sprint(d["container.verdict"]); verdicts != "[no_cpu_limit no_memory_limit]" {
				return errors.New(verdicts)
			}
			return nil
		})
	}
}

// testLeaderChange makes all nodes managers, and then the leader none, until the one with
// the oldest engine leads.
func (s *swarmState) testLeaderChange(t *testing.T) {
	docker(t, s.nodes[0], "node", "promote", "bookworm", "trixie")
	waitFor(t, time.Minute, "three managers", func() error {
		managers := docker(t, s.nodes[0], "node", "ls", "--filter", "role=manager", "--format", "{{.ManagerStatus}}")
		if strings.Count(managers, "Reachable")+strings.Count(managers, "Leader") != 3 {
			return errors.New(managers)
		}
		return nil
	})
	for s.nodes[s.leader].Name() != "bookworm" {
		before := s.nodes[s.leader]
		docker(t, before, "node", "demote", before.Name())
		waitFor(t, time.Minute, "another leader", func() error {
			for i, n := range s.nodes {
				if leader, err := n.Docker(t.Context(), "node", "inspect", "--format", "{{.ManagerStatus.Leader}}", "self"); n != before && err == nil && leader == "true" {
					s.leader = i
					return nil
				}
			}
			return errNotYet
		})
	}
	t.Logf("%s leads", s.nodes[s.leader].Name())
	s.await(t, "shop_web", map[string]any{"swarm.service.desired": 5})
	s.awaitTask(t, "noimage", map[string]any{"swarm.task.state": "rejected"})

	// In each interval one agent has told each service once, the moment of the change apart.
	type key struct{ slot, service string }
	tellers := map[key][]string{}
	for _, p := range s.agents {
		for _, d := range p.find(func(d document) bool { return d.dataset() == "service" }) {
			k := key{fmt.Sprint(d["sample.slot"]), d.text("swarm.service.id")}
			tellers[k] = append(tellers[k], d.text("host.name"))
		}
	}
	twice := 0
	for k, by := range tellers {
		if slices.Sort(by); len(slices.Compact(slices.Clone(by))) < len(by) {
			t.Errorf("%v was told by %q", k, by)
		}
		if len(by) > 1 {
			twice = max(twice, len(by))
			t.Logf("slot %s: %s was told by %q", k.slot, k.service, by)
		}
	}
	t.Logf("%d services and slots, at most %d agents at once", len(tellers), cmp.Or(twice, 1))
}

// isSwarms tells whether a document is about the Swarm.
func isSwarms(d document) bool {
	switch d.dataset() {
	case "service", "swarm_node", "task":
		return true
	case "event":
		return strings.HasPrefix(d.text("event.action"), "service_")
	}
	return false
}
