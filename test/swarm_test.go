package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// A Swarm of three nodes, each with an engine of another year, runs the stack file of this
// repository twice: its agents ship to Elasticsearch 8 in the stack gauge8 and to
// Elasticsearch 7.17 in the stack gauge7. Beside them runs a stack that is measured, and
// that changes as stacks do. In the end every document is looked at.

// agentImage is the image that the test makes of the agent.
const agentImage = "swarmgauge:test"

// shop is the measured stack: servers with a page of 256 KiB, a client on each node that
// fetches it about once a second, and a container that wants a whole CPU and may have a
// fifth. Kernels without IPVS have no virtual addresses.
const shop = `
version: "3.8"
x-service: &service
  image: ` + lab.BusyboxImage + `
  networks: [shop]
  stop_grace_period: 1s
services:
  web:
    <<: *service
    command: ["sh", "-c", "mkdir /tmp/www && dd if=/dev/zero of=/tmp/www/page bs=1024 count=256 && exec httpd -f -p 80 -h /tmp/www"]
    deploy: {replicas: 2, endpoint_mode: dnsrr}
  client:
    <<: *service
    command: ["sh", "-c", "while :; do wget -q -O /dev/null http://tasks.web/page; sleep 1; done"]
    deploy: {mode: global, endpoint_mode: dnsrr}
  burn:
    <<: *service
    command: ["sh", "-c", "while :; do :; done"]
    deploy: {replicas: 1, endpoint_mode: dnsrr, resources: {limits: {cpus: "0.2", memory: 32M}}}
networks:
  shop: {driver: overlay}
`

// override is what the machine of the test lacks: a registry with the images of
// Elasticsearch and Kibana, IPVS, and a second port 5601.
const override = `
version: "3.8"
services:
  agent:
    deploy: {endpoint_mode: dnsrr}
  elasticsearch:
    deploy: {replicas: 0, endpoint_mode: dnsrr}
  kibana:
    ports: [{target: 5601, published: 5601, mode: host}]
    deploy: {replicas: 0, endpoint_mode: dnsrr}
`

// withSocket gives the engine's socket to the agents of the stack gauge8, which tell the
// state of the Swarm then.
const withSocket = `
version: "3.8"
services:
  agent:
    volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]
`

// swarm is the Swarm under test. Its first node is the manager.
type swarm struct {
	engine  *lab.Engine // of which the nodes are containers
	nodes   []*lab.Node
	targets []*swarmTarget
	tasks   map[string]task      // all that ever ran, by id
	ended   map[string]time.Time // when the containers on the drained node did, by id; not those that were removed before
}

// drained is the node that testDrain takes out of service.
func (w *swarm) drained() *lab.Node { return w.nodes[2] }

// swarmTarget is an Elasticsearch, and the stack whose agents ship to it.
type swarmTarget struct {
	*lab.ElasticsearchServer
	stack   string
	socket  bool      // its agents have the engine's
	drained time.Time // when its agent on the drained node had ended
}

// task is what the manager says of a task.
type task struct {
	name, service, stack, node string
	slot                       int // 0 in a global service
	running                    bool
}

// esAlias is the alias that the stack file's agents ship to.
const esAlias = "cadvisor"

func TestSwarm(t *testing.T) {
	lab.Need(t, lab.Nodes, lab.Elasticsearch)
	w := startSwarm(t, lab.ElasticsearchVersions(), lab.ContainerdStore)
	w.deployAgents(t)
	w.await(t, "gauge")

	w.deploy(t, "shop", nil, shop)
	t.Run("Deploy", func(t *testing.T) {
		w.await(t, "shop")
		w.checkAgents(t)
	})
	t.Run("ScaleUp", func(t *testing.T) {
		w.service(t, "scale", "--detach", "shop_web=5")
		w.await(t, "shop")
		w.awaitUpdates(t, 1)
	})
	t.Run("ScaleDown", func(t *testing.T) {
		w.service(t, "scale", "--detach", "shop_web=2")
		w.await(t, "shop")
		w.awaitUpdates(t, 2)
	})
	t.Run("Update", func(t *testing.T) {
		const tagged = "lab/busybox:updated"
		for _, n := range w.nodes {
			docker(t, n, "tag", lab.BusyboxImage, tagged)
		}
		w.service(t, "update", "--detach", "--no-resolve-image", "--image", tagged, "shop_web")
		w.await(t, "shop")
		w.awaitUpdates(t, 3)
		for _, g := range w.targets {
			for id, tk := range w.tasks {
				if tk.running && tk.service == "shop_web" {
					if n, err := count(t, g.ElasticsearchServer, esAlias, both(term("swarm.task.id", id), term("container.image.tag", "updated"))); err != nil || n == 0 {
						t.Errorf("%s: no document of %s with the new tag (%v)", g.stack, tk.name, err)
					}
				}
			}
		}
	})
	t.Run("Kill", w.testKill)
	t.Run("Drain", w.testDrain)

	for _, g := range w.targets {
		t.Run(g.Config().Version, func(t *testing.T) { w.testDocuments(t, g) })
	}
}

// startSwarm starts a server of each version, and three nodes that have the agent's image.
// The third one's engine gets these further arguments.
func startSwarm(t *testing.T, versions []string, args ...string) *swarm {
	t.Helper()
	ctx := t.Context()
	e := lab.EngineFor(t)
	w := &swarm{engine: e, tasks: map[string]task{}}

	servers := make([]*lab.ElasticsearchServer, len(versions))
	errs := make([]error, len(servers)+1)
	var starting sync.WaitGroup
	for i, version := range versions {
		starting.Go(func() {
			servers[i], errs[i] = lab.StartElasticsearch(ctx, lab.ElasticsearchConfig{Version: version, Addr: e.Gateway()})
		})
	}
	starting.Go(func() {
		var err error
		w.nodes, err = e.StartNodes(ctx,
			lab.NodeConfig{Name: "node1", Suite: lab.Bookworm},
			lab.NodeConfig{Name: "node2", Suite: lab.Trixie},
			lab.NodeConfig{Name: "node3", Suite: lab.Sid, Args: args},
		)
		if err == nil {
			err = lab.Swarm(ctx, w.nodes...)
		}
		errs[len(servers)] = err
	})
	starting.Wait()
	for _, s := range servers {
		if s == nil {
			continue
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		major, _, _ := strings.Cut(s.Config().Version, ".")
		w.targets = append(w.targets, &swarmTarget{ElasticsearchServer: s, stack: "gauge" + major, socket: major == "8"})
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}

	if err := e.Import(ctx, agentImage, []lab.File{{Name: "/agent", Source: buildAgent(t)}}, finalStage(t, "../Dockerfile")...); err != nil {
		t.Fatal(err)
	}
	for _, n := range w.nodes {
		if err := n.Load(ctx, agentImage); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// deployAgents deploys the stack file of this repository for each Elasticsearch, with these
// further files over it.
func (w *swarm) deployAgents(t *testing.T, overrides ...string) {
	t.Helper()
	stack, err := os.ReadFile("../deploy/swarm-global.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range w.targets {
		files := []string{string(stack), override}
		if g.socket {
			files = append(files, withSocket)
		}
		w.deploy(t, g.stack, []string{"SWARMGAUGE_IMAGE=" + agentImage, "SWARMGAUGE_ES_HOST=" + g.URL()}, append(files, overrides...)...)
	}
	t.Cleanup(func() {
		if t.Failed() {
			w.logAgents(t)
		}
	})
}

// finalStage returns the lines of the Dockerfile that say how its image is run.
func finalStage(t testing.TB, path string) (lines []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	final := false
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		line := strings.TrimSpace(scanner.Text())
		instruction, _, _ := strings.Cut(line, " ")
		switch {
		case line == "FROM scratch":
			final = true
		case !final || line == "" || instruction == "#" || instruction == "COPY":
		default:
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s has no final stage FROM scratch", path)
	}
	return lines
}

func (w *swarm) manager() *lab.Node { return w.nodes[0] }

// service runs docker service on the manager.
func (w *swarm) service(t testing.TB, args ...string) string {
	t.Helper()
	return docker(t, w.manager(), append([]string{"service"}, args...)...)
}

// deploy deploys a stack from files with this content, and these variables in the
// deployer's environment.
func (w *swarm) deploy(t testing.TB, stack string, environ []string, files ...string) {
	t.Helper()
	args := append([]string{"env"}, environ...)
	args = append(args, "docker", "stack", "deploy", "--resolve-image", "never")
	for i, content := range files {
		path := fmt.Sprintf("/deploy/%s-%d.yml", stack, i)
		if err := w.manager().WriteFile(t.Context(), path, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--compose-file", path)
	}
	if _, err := w.manager().Exec(t.Context(), append(args, stack)...); err != nil {
		t.Fatal(err)
	}
}

// look asks the manager for all tasks.
func (w *swarm) look(t testing.TB) error {
	t.Helper()
	ctx := t.Context()
	services, err := w.manager().Docker(ctx, "service", "ls", "--format", "{{.Name}} {{.Replicas}}")
	if err != nil {
		return err
	}
	for id, tk := range w.tasks {
		tk.running = false
		w.tasks[id] = tk
	}
	for line := range strings.Lines(services) {
		service, replicas, _ := strings.Cut(strings.TrimSpace(line), " ")
		replicas, _, _ = strings.Cut(replicas, " ")
		out, err := w.manager().Docker(ctx, "service", "ps", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.Node}} {{.DesiredState}} {{.CurrentState}}", service)
		if err != nil {
			return err
		}
		running := 0
		for line := range strings.Lines(out) {
			// 2ml2g… shop_web.1 node1 Running Running 3 seconds ago
			words := strings.Fields(line)
			if len(words) < 5 {
				continue // a task that has no node yet
			}
			id, name := words[0], words[1]
			stack, _, _ := strings.Cut(service, "_")
			slot, err := strconv.Atoi(strings.TrimPrefix(name, service+"."))
			if err != nil {
				slot = 0 // a global service has the node's id there
			}
			tk := task{name: name + "." + id, service: service, stack: stack, node: words[2], slot: slot, running: words[3] == "Running" && words[4] == "Running"}
			if tk.running {
				running++
			}
			w.tasks[id] = tk
		}
		if is, want, _ := strings.Cut(replicas, "/"); is != want || strconv.Itoa(running) != want {
			return fmt.Errorf("%s has %s tasks, %d of them running", service, replicas, running)
		}
	}
	return nil
}

// await waits until all tasks run, and then until each Elasticsearch has a document of each
// running task of the stacks with this prefix that says who it is: a minute from the one
// to the other at most.
func (w *swarm) await(t *testing.T, stackPrefix string) {
	t.Helper()
	waitFor(t, 3*time.Minute, "all tasks to run", func() error { return w.look(t) })
	waitFor(t, time.Minute, "documents of all tasks", func() error {
		for _, g := range w.targets {
			for id, tk := range w.tasks {
				if !tk.running || !strings.HasPrefix(tk.stack, stackPrefix) {
					continue
				}
				if n, err := count(t, g.ElasticsearchServer, esAlias, both(term("swarm.task.id", id), term("event.dataset", "swarmgauge.container"))); err != nil || n == 0 {
					return fmt.Errorf("%s: no document of %s on %s (%v)", g.stack, tk.name, tk.node, err)
				}
			}
		}
		return nil
	})
}

// both is a query for documents that fit two queries.
func both(a, b map[string]any) map[string]any {
	return map[string]any{"bool": map[string]any{"filter": []any{a, b}}}
}

// containerOf returns the id of the container of a service's running task on a node.
func (w *swarm) containerOf(t testing.TB, n *lab.Node, service string) string {
	t.Helper()
	id := docker(t, n, "ps", "--quiet", "--no-trunc", "--filter", "label=com.docker.swarm.service.name="+service)
	id, _, _ = strings.Cut(id, "\n")
	if id == "" {
		t.Fatalf("no container of %s on %s", service, n.Name())
	}
	return id
}

// checkAgents makes sure that the agents need no more than the stack file says.
func (w *swarm) checkAgents(t *testing.T) {
	for _, g := range w.targets {
		for _, n := range w.nodes {
			id := w.containerOf(t, n, g.stack+"_agent")
			// The first answer to the health check may be half a minute away.
			waitFor(t, 45*time.Second, "docker ps to show a healthy agent", func() error {
				status := docker(t, n, "ps", "--filter", "id="+id, "--format", "{{.Status}}")
				if !strings.Contains(status, "(healthy)") {
					return errors.New(status)
				}
				return nil
			})
			is := docker(t, n, "inspect", "--format", "{{.HostConfig.CapDrop}} {{.HostConfig.Privileged}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Memory}} {{eq .HostConfig.NetworkMode \"host\"}}", id)
			if want := "[ALL] false true 134217728 false"; is != want {
				t.Errorf("%s: dropped capabilities, privileged, read-only root, memory limit, host network: %s, want %s", n.Name(), is, want)
			}
			status, err := n.Exec(t.Context(), "cat", fmt.Sprintf("/proc/%d/status", inspect(t, n, id).State.Pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, set := range [...]string{"CapPrm", "CapEff", "CapBnd"} {
				if !strings.Contains(status, set+":\t0000000000000000\n") {
					t.Errorf("%s: the agent has capabilities:\n%s", n.Name(), status)
				}
			}
			if writable := docker(t, n, "inspect", "--format", "{{range .Mounts}}{{if .RW}}{{.Destination}} {{end}}{{end}}", id); strings.TrimSpace(writable) != "/var/lib/swarmgauge" {
				t.Errorf("%s: the agent can write to %s", n.Name(), writable)
			}
		}
	}
}

// testKill kills the process of a task. Swarm puts another task into its slot, and the
// agents tell how the first one ended.
func (w *swarm) testKill(t *testing.T) {
	n := w.nodes[1]
	id := w.containerOf(t, n, "shop_client")
	if _, err := n.Exec(t.Context(), "sh", "-c", "kill -KILL "+strconv.Itoa(inspect(t, n, id).State.Pid)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 30*time.Second, "the end of the container", func() error {
		if state := inspect(t, n, id).State.Status; state != "exited" {
			return errors.New(state)
		}
		return nil
	})
	w.await(t, "shop")
	for _, g := range w.targets {
		waitFor(t, 30*time.Second, "the event", func() error {
			told := documents(t, g.ElasticsearchServer, esAlias, both(term("container.id", id), term("event.action", "die")))
			if len(told) == 0 {
				return errNotYet
			}
			d := told[0]
			if code, ok := d.number("container.exit_code"); !ok || code != 137 || d.text("swarm.service.name") != "shop_client" {
				t.Errorf("%s: exit code %v of %s in %v", g.stack, code, d.text("swarm.service.name"), d)
			}
			return nil
		})
	}
}

// mostHeld is how long before its end an agent may have published its last sample: it takes
// one each second.
const mostHeld = 3 * time.Second

// testDrain takes a node out of service and back. Its agents end, too, and what they held
// is shipped when they are back.
func (w *swarm) testDrain(t *testing.T) {
	n := w.drained()
	var agents []string
	for _, g := range w.targets {
		w.checkCounters(t, g, n) // the next agent begins to count anew
		agents = append(agents, w.containerOf(t, n, g.stack+"_agent"))
	}
	docker(t, w.manager(), "node", "update", "--availability", "drain", n.Name())
	waitFor(t, time.Minute, "the node to be empty", func() error {
		if left := docker(t, n, "ps", "--quiet"); left != "" {
			return errors.New(left)
		}
		return nil
	})
	waitFor(t, time.Minute, "the tasks elsewhere", func() error { return w.look(t) })
	w.ended = map[string]time.Time{}
	for _, id := range strings.Fields(docker(t, n, "ps", "--all", "--quiet", "--no-trunc")) {
		w.ended[id] = inspect(t, n, id).State.FinishedAt
	}
	for i, g := range w.targets {
		if g.drained = w.ended[agents[i]]; g.drained.IsZero() {
			t.Fatalf("%s: the agent on %s is gone", g.stack, n.Name())
		}
	}
	w.awaitState(t, "the drained node to be told", 1, both(term("swarm.node.name", n.Name()), term("swarm.node.availability", "drain")))
	docker(t, w.manager(), "node", "update", "--availability", "active", n.Name())
	w.await(t, "")

	for _, g := range w.targets {
		var last time.Time
		for _, d := range documents(t, g.ElasticsearchServer, esAlias, both(term("host.name", n.Name()), term("event.dataset", "swarmgauge.node"))) {
			if d.time().Before(g.drained) {
				last = d.time()
			}
		}
		if held := g.drained.Sub(last); held > mostHeld {
			t.Errorf("%s: the agent that was drained ended %v after the last sample that it published", g.stack, held)
		}
	}
}

// awaitState waits until the agents that may ask the Swarm have told n times what fits the
// query. On a slow manager they ask less often than the tests change something.
func (w *swarm) awaitState(t *testing.T, what string, n int, query any) {
	t.Helper()
	waitFor(t, time.Minute, what, func() error {
		for _, g := range w.targets {
			if g.socket && len(documents(t, g.ElasticsearchServer, esAlias, query)) < n {
				return errNotYet
			}
		}
		return nil
	})
}

// awaitUpdates waits until n updates of shop_web have been told.
func (w *swarm) awaitUpdates(t *testing.T, n int) {
	t.Helper()
	w.awaitState(t, "the update to be told", n, both(term("swarm.service.name", "shop_web"), term("event.action", "service_update")))
}

// testDocuments looks at all documents of one Elasticsearch.
func (w *swarm) testDocuments(t *testing.T, g *swarmTarget) {
	for _, n := range w.nodes {
		w.checkCounters(t, g, n)
	}
	docs := documents(t, g.ElasticsearchServer, esAlias, nil)
	checkFields(t, g.ElasticsearchServer, esAlias, docs)
	checkFlows(t, docs)
	w.checkNames(t, docs)
	w.checkTraffic(t, docs)
	checkLimits(t, docs)
	w.checkState(t, g, docs)

	byContainer, byRun := map[string][]document{}, map[string][]document{}
	for _, d := range docs {
		if d.dataset() == "container" {
			byContainer[d.text("container.id")] = append(byContainer[d.text("container.id")], d)
		}
		if d.dataset() == "gap" {
			t.Errorf("documents were lost: %v", d)
		}
		byRun[d.text("agent.ephemeral_id")] = append(byRun[d.text("agent.ephemeral_id")], d)
	}
	checkIDs(t, docs)
	for _, of := range byRun {
		checkOnce(t, of)
	}
	runs := g.runs(t, w.drained())
	if len(runs) != 2 {
		t.Fatalf("%d agents have run on %s, want 2", len(runs), w.drained().Name())
	}
	checkMeeting(t, byRun[runs[0].text("agent.ephemeral_id")], byRun[runs[1].text("agent.ephemeral_id")])

	again := firstSample(byRun[runs[1].text("agent.ephemeral_id")])
	if again.IsZero() || again.Before(g.drained) {
		t.Fatalf("the second agent on %s has its first sample at %v, and the first one ended at %v", w.drained().Name(), again, g.drained)
	}
	for id, of := range byContainer {
		if of[0].text("swarm.stack") != "shop" {
			continue // the agents were there first
		}
		last := of[len(of)-1]
		tk, was := w.tasks[last.text("swarm.task.id")], last.text("host.name") == w.drained().Name()
		created := last.date("container.created")
		// On the drained node containers have come at the same time as the agent. Those that
		// came a second after its first sample it has seen begin.
		checkLife(t, of, !was || created.Before(g.drained) || created.After(again.Add(time.Second)))

		switch {
		case last.ended() != tk.running:
		case was && !tk.running && w.ended[id].After(g.drained.Add(-mostHeld)):
			// It was drained together with its agent, which may have ended before it. Nobody
			// was there to see its end: what there is to know of it is all that the agent saw.
			if held := g.drained.Sub(last.time()); held > mostHeld {
				t.Errorf("task %s: its agent ended %v after the last sample that it published: %v", tk.name, held, last)
			}
		default:
			t.Errorf("task %s: running %v, its newest document has ended %v: %v", tk.name, tk.running, last.ended(), last)
		}
	}
	t.Logf("%d documents of %d containers", len(docs), len(byContainer))
}

// firstSample returns when an agent took the first sample that its documents tell of.
func firstSample(docs []document) time.Time {
	for _, d := range docs {
		if seconds, ok := d.number("sample.interval_seconds"); ok && d.dataset() == "node" {
			return d.time().Add(-time.Duration(seconds * float64(time.Second)))
		}
	}
	return time.Time{}
}

// checkMeeting makes sure that of two agents that ran on one node one after the other the
// second one has documents for none of the first one's intervals, but for the one that the
// first one ended in: each of them tells of a part of it. No container is in both.
func checkMeeting(t *testing.T, first, second []document) {
	t.Helper()
	slots, told := map[int64]bool{}, map[string]bool{}
	newest := int64(0)
	for _, d := range first {
		if _, measured := d.number("sample.slot"); measured {
			slots[d.slot()] = true
			newest = max(newest, d.slot())
		}
		if d.dataset() == "container" {
			told[d.text("container.id")] = true
		}
	}
	for _, d := range second {
		if _, measured := d.number("sample.slot"); measured && slots[d.slot()] && d.slot() != newest {
			t.Errorf("two agents tell of slot %d, before the one that the first of them ended in, %d: %v", d.slot(), newest, d)
		}
		if d.dataset() == "container" && told[d.text("container.id")] {
			t.Errorf("two agents tell of a container of a node that was empty between them: %v", d)
		}
	}
}

// runs returns the newest document of each agent that has run on a node, that of the first
// one first.
func (g *swarmTarget) runs(t *testing.T, n *lab.Node) (newest []document) {
	t.Helper()
	for _, d := range documents(t, g.ElasticsearchServer, esAlias, both(term("host.name", n.Name()), term("event.dataset", "swarmgauge.agent"))) {
		same := func(of document) bool { return of.text("agent.ephemeral_id") == d.text("agent.ephemeral_id") }
		if i := slices.IndexFunc(newest, same); i >= 0 {
			newest[i] = d
		} else {
			newest = append(newest, d)
		}
	}
	return newest
}

// checkCounters compares the number of documents of a node with what its agents say: the one
// that runs in its metrics, and those that have ended in the last document that each made.
func (w *swarm) checkCounters(t *testing.T, g *swarmTarget, n *lab.Node) {
	t.Helper()
	ended := 0 // agents
	if n == w.drained() && !g.drained.IsZero() {
		ended = 1
	}
	pid := strconv.Itoa(inspect(t, n, w.containerOf(t, n, g.stack+"_agent")).State.Pid)
	metrics := func() (sampled, found, indexed, pending, gone float64, err error) {
		// No container for it: that would be measured, too.
		const get = `exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3`
		text, err := n.Exec(t.Context(), "nsenter", "--net", "--target", pid, "bash", "-c", get)
		errs := []error{err}
		read := func(name string) float64 {
			v, err := metricOf(text, "swarmgauge_documents_"+name)
			errs = append(errs, err)
			return v
		}
		sampled, found, indexed, pending = read("sampled_total"), read("found_total"), read("indexed_total"), read("pending")
		gone = read("dead_total") + read("dropped_total") + read("collided_total")
		return sampled, found, indexed, pending, gone, errors.Join(errs...)
	}
	has := func(query any) float64 {
		t.Helper()
		documents, err := count(t, g.ElasticsearchServer, esAlias, query)
		if err != nil {
			t.Fatal(err)
		}
		return float64(documents)
	}
	waitFor(t, time.Minute, "the agent and Elasticsearch to agree", func() error {
		sampled, found, indexed, pending, gone, err := metrics()
		if err != nil {
			return err
		}
		runs := g.runs(t, n)
		if len(runs) != ended+1 {
			return fmt.Errorf("%s has documents of %d agents of %s, want %d", g.stack, len(runs), n.Name(), ended+1)
		}
		before, left := 0.0, 0.0
		for _, last := range runs[:ended] {
			made, _ := last.number("agent.documents.sampled")
			waiting, _ := last.number("agent.documents.pending")
			if is := has(term("agent.ephemeral_id", last.text("agent.ephemeral_id"))); is != made || last["agent.batch.final"] != true {
				return fmt.Errorf("%s has %v documents of an agent of %s that says it made %v until the last one, which is %v: %v", g.stack, is, n.Name(), made, last["agent.batch.final"], last)
			}
			before, left = before+made, left+waiting
		}
		if gone > 0 || found > left {
			t.Fatalf("%s on %s: %v documents lost, %v found at its start, of which the one before had %v", g.stack, n.Name(), gone, found, left)
		}
		own, all := has(term("agent.ephemeral_id", runs[ended].text("agent.ephemeral_id"))), has(term("host.name", n.Name()))
		if own != sampled-pending || all != before+own || indexed != found+own {
			return fmt.Errorf("%s has %v documents of %s, %v of them of its agent, which says %v sampled, %v found, %v pending, %v indexed; %v are from before", g.stack, all, n.Name(), own, sampled, found, pending, indexed, before)
		}
		return nil
	})
}

// checkNames compares who the documents say they are about with what the manager says.
func (w *swarm) checkNames(t *testing.T, docs []document) {
	t.Helper()
	nodeIDs := map[string]string{}
	for line := range strings.Lines(docker(t, w.manager(), "node", "ls", "--format", "{{.Hostname}} {{.ID}}")) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		nodeIDs[name] = id
	}
	met := map[string]bool{} // containers of which there was a document, by id
	for _, d := range docs {
		if isSwarms(d) {
			continue // about whatever node it says
		}
		node := d.text("host.name")
		if nodeIDs[node] == "" || d.text("swarm.node.id") != nodeIDs[node] || d.text("swarm.node.name") != node || d.text("machine_name") != node {
			t.Errorf("node %q with the id %q in %v", d.text("swarm.node.name"), d.text("swarm.node.id"), d)
		}
		if d.dataset() != "container" && d.dataset() != "event" {
			continue
		}
		if id := d.text("container.id"); d.dataset() == "container" && !met[id] {
			met[id] = true
			if d.text("container.unidentified") != "" && d.ended() {
				continue // it ended before the engine had written who it is
			}
		}
		tk, ok := w.tasks[d.text("swarm.task.id")]
		if !ok {
			t.Errorf("the manager knows no task %q (%s): %v", d.text("swarm.task.id"), d.text("container.unidentified"), d)
			continue
		}
		slot, _ := d.number("swarm.task.slot")
		if d.text("container.name") != tk.name || d.text("container_Name") != tk.name || d.text("swarm.task.name") != tk.name ||
			d.text("swarm.service.name") != tk.service || d.text("swarm.stack") != tk.stack || int(slot) != tk.slot || node != tk.node {
			t.Errorf("want %+v: task %q, service %q, stack %q, slot %v in %v", tk, d.text("swarm.task.name"), d.text("swarm.service.name"), d.text("swarm.stack"), slot, d)
		}
	}
}

// checkState makes sure that the manager's agent has told the state of the Swarm if it has
// the socket: each service once in each interval, and what the tests have done to them.
func (w *swarm) checkState(t *testing.T, g *swarmTarget, docs []document) {
	t.Helper()
	type interval struct {
		service string
		slot    int64
	}
	told, desired, missing := map[interval]bool{}, map[float64]bool{}, false
	updates, drained := 0, false
	for _, d := range docs {
		if !isSwarms(d) {
			continue
		}
		if !g.socket || d.text("host.name") != w.manager().Name() {
			t.Fatalf("it isn't for %s to tell %v", d.text("host.name"), d)
		}
		service := d.text("swarm.service.name")
		switch d.dataset() {
		case "service":
			at := interval{service, d.slot()}
			if told[at] {
				t.Errorf("%s is told twice in slot %d", service, at.slot)
			}
			told[at] = true
			n, ok := d.number("swarm.service.desired")
			running, read := d.number("swarm.service.running")
			if !ok || !read || n > running && d["swarm.service.missing"] != n-running {
				t.Errorf("%v of %v run: %v", running, n, d)
			}
			if service == "shop_web" {
				desired[n] = true
			}
			missing = missing || running < n
		case "swarm_node":
			drained = drained || d.text("swarm.node.name") == "node3" && d.text("swarm.node.availability") == "drain"
		case "event":
			if service == "shop_web" && d.text("event.action") == "service_update" {
				updates++
			}
		}
	}
	if !g.socket {
		return
	}
	// It was scaled up and down, and given another image.
	if !desired[2] || !desired[5] || !missing || updates != 3 || !drained {
		t.Errorf("shop_web should have had the sizes %v, updates: %d, some were missing: %v, node3 drained: %v", desired, updates, missing, drained)
	}
}

// checkTraffic makes sure that no client has received more than it can have fetched.
func (w *swarm) checkTraffic(t *testing.T, docs []document) {
	t.Helper()
	const page = 300 << 10 // with headers of all layers
	seen := map[string]bool{}
	for _, d := range docs {
		if d.dataset() != "container" || d.text("swarm.service.name") != "shop_client" {
			continue
		}
		seconds, _ := d.number("sample.interval_seconds")
		received, ok := d.number("container.network.ingress.bytes")
		if received > page*(seconds+2) {
			t.Errorf("%.0f bytes received in %.3f s, a page of 256 KiB each second: %v", received, seconds, d)
		}
		if ok && received > page {
			seen[d.text("host.name")] = true
		}
	}
	if len(seen) != len(w.nodes) {
		t.Errorf("clients have received pages on %d nodes, want %d", len(seen), len(w.nodes))
	}
}

// checkLimits makes sure that no document tells of a spike: of more CPU time than a limit
// leaves, or of more bytes than the services have for a disk.
func checkLimits(t *testing.T, docs []document) {
	t.Helper()
	const (
		// The engine makes a limit of 0.2 CPUs a quota of 20 ms in each period of 100 ms.
		limit  = 0.2 // CPUs
		period = 0.1 // s
		// An interval is no whole number of periods: it may have the quota of one more than
		// fit into it. A CPU that has taken its share of the quota runs on to its next tick,
		// and a sample's time is taken before its files are read. A fifth of the jitter that
		// checkFlows knows counts here, and with it all of that is less than one period of
		// one CPU.
		slack = period

		// The agents write their documents, some 20 KB each second, and the shop writes a page
		// once. No more can be read than the images have, and most of that is in memory.
		written = 2 << 20
		read    = 32 << 20
	)
	burnt, held := 0, 0.0
	for _, d := range docs {
		seconds, ok := d.number("sample.interval_seconds")
		if d.dataset() != "container" || !ok {
			continue
		}
		in, _ := d.number("container.disk.read.bytes")
		out, _ := d.number("container.disk.write.bytes")
		if in > read || out > written {
			t.Errorf("%.0f bytes read from disks and %.0f written in %.3f s: %v", in, out, seconds, d)
		}
		if d.text("swarm.service.name") != "shop_burn" {
			continue
		}
		used, _ := d.number("container.cpu.core_seconds")
		if used > limit*seconds+slack {
			t.Errorf("%.3f CPU seconds in %.3f s with %v CPUs: %v", used, seconds, limit, d)
		}
		quota, limited := d.number("container.cpu.quota_microseconds")
		length, _ := d.number("container.cpu.period_microseconds")
		if limited && (quota != limit*period*1e6 || length != period*1e6) {
			t.Errorf("a quota of %.0f in %.0f µs: %v", quota, length, d)
		}
		throttled, _ := d.number("container.cpu.throttled_seconds")
		if held += throttled; limited {
			burnt++
		}
	}
	if burnt == 0 || held == 0 {
		t.Errorf("%d documents of a container with a CPU limit, which held it back for %.3f s", burnt, held)
	}
}

// checkLife looks at the documents of one container, the oldest first: their flows add up
// to its counters, which began at zero, and nothing comes after its last document. If the
// agent hasn't seen the container begin, they add up from the first document on.
func checkLife(t *testing.T, docs []document, begun bool) {
	t.Helper()
	var used, received float64
	linked := begun
	for i, d := range docs {
		if d.ended() && i < len(docs)-1 {
			t.Errorf("%v is the last document, and %v comes after it", d, docs[i+1])
		}
		flow, _ := d.number("container.cpu.core_seconds")
		used += flow
		total, _ := d.stat("cpu", "usage", "total")
		if !begun && flow <= total/1e9 {
			begun, used = true, total/1e9
		}
		if math.Abs(used-total/1e9) > 1e-6 {
			t.Errorf("CPU flows add up to %.9f s, the counter is at %.9f s: %v", used, total/1e9, d)
			return
		}
		flow, read := d.number("container.network.ingress.bytes")
		received += flow
		counter := receivedBy(d)
		if !linked && read && counter > 0 && flow <= counter {
			linked, received = true, counter
		}
		if read && counter > 0 && received != counter {
			t.Errorf("network flows add up to %.0f bytes, the counters to %.0f: %v", received, counter, d)
			return
		}
	}
}

// receivedBy returns the sum of container_stats' received bytes over all interfaces.
func receivedBy(d document) (sum float64) {
	stats, _ := d["container_stats"].(map[string]any)
	network, _ := stats["network"].(map[string]any)
	interfaces, _ := network["interfaces"].([]any)
	for _, i := range interfaces {
		one, _ := i.(map[string]any)
		bytes, _ := one["rx_bytes"].(float64)
		sum += bytes
	}
	return sum
}

// logAgents shows the logs of all agents.
func (w *swarm) logAgents(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, g := range w.targets {
		out, err := w.manager().Docker(ctx, "service", "logs", "--tail", "40", g.stack+"_agent")
		t.Logf("%s: %v\n%s", g.stack, err, out)
	}
}
