package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// deploy/create_cluster.sh, with the fake Kibana in place of Kibana, makes a Swarm of three nodes in an engine that has only their
// images, mends it, leaves it alone where nothing is to be done, and removes it.

// clusterMaker runs the script on an engine.
type clusterMaker struct {
	engine  *lab.Engine
	environ []string
}

const clusterScript = "../deploy/create_cluster.sh"

func (m clusterMaker) run(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), clusterScript, args...)
	cmd.Env = append(os.Environ(), m.environ...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("create_cluster.sh %s took %.1f s: %v\n%s", strings.Join(args, " "), time.Since(began).Seconds(), err, out)
	return string(out), err
}

func (m clusterMaker) must(t testing.TB, args ...string) string {
	t.Helper()
	out, err := m.run(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// there lists all that the engine has, but for the lab's own images.
func (m clusterMaker) there(t testing.TB) (things []string) {
	t.Helper()
	for kind, args := range map[string][]string{
		"container": {"ps", "--all", "--format", "{{.Names}} {{.ID}}"},
		"volume":    {"volume", "ls", "--format", "{{.Name}}"},
		"network":   {"network", "ls", "--format", "{{.Name}} {{.ID}}"},
		"image":     {"image", "ls", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"},
	} {
		for line := range strings.Lines(docker(t, m.engine, args...)) {
			things = append(things, kind+" "+strings.TrimSpace(line))
		}
	}
	slices.Sort(things)
	return things
}

func TestCreateCluster(t *testing.T) {
	lab.Need(t, lab.Nodes, lab.Images)
	e := lab.EngineFor(t)
	node, err := e.KeepNodeImage(t.Context(), lab.Trixie)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.KeepElasticsearchImage(t.Context()); err != nil {
		t.Fatal(err)
	}
	buildKibanaImage(t, e)
	m := clusterMaker{e, []string{"DOCKER_HOST=" + e.Host(), "NODE_IMAGE=" + node, "ELASTICSEARCH_IMAGE=" + lab.ElasticsearchImage, "DEMO_IMAGE=" + lab.BusyboxImage, "KIBANA_IMAGE=" + kibanaImage,
		"ES_JAVA_OPTS=-Xms512m -Xmx512m -XX:TieredStopAtLevel=1"}}

	// What belongs to others, one of them on the port of the agent's page.
	docker(t, e, "network", "create", "stranger")
	docker(t, e, "volume", "create", "stranger")
	docker(t, e, "tag", lab.BusyboxImage, "stranger:latest")
	docker(t, e, "run", "--detach", "--name", "stranger", "--network", "stranger", "--volume", "stranger:/data",
		"--publish", e.Addr().String()+":8080:80", "stranger", "sleep", "1000000")
	before := m.there(t)

	up := []string{"up", "--offline", "--nodes", "2", "--listen", e.Addr().String(), "--timeout", "240"}
	t.Run("Up", func(t *testing.T) {
		out := m.must(t, up...)
		if !strings.Contains(out, "Port 8080 of "+e.Addr().String()+" is taken") {
			t.Error("it didn't say that port 8080 is taken")
		}
		checkCluster(t, out)
	})
	t.Run("Mend", func(t *testing.T) {
		docker(t, e, "rm", "--force", "--volumes", "swarmgauge-node3")
		docker(t, e, "stop", "--time", "1", "swarmgauge-node2")
		checkCluster(t, m.must(t, up...))
		nodes := docker(t, e, "exec", "swarmgauge-node1", "docker", "node", "ls", "--format", "{{.Hostname}} {{.Status}}")
		words := strings.Fields(nodes)
		slices.Sort(words)
		if got := strings.Join(words, " "); got != "Ready Ready Ready node1 node2 node3" {
			t.Errorf("nodes of the Swarm: %s", nodes)
		}
	})
	t.Run("Again", func(t *testing.T) {
		tasks := func() string {
			return docker(t, e, "exec", "swarmgauge-node1", "docker", "service", "ps", "--filter", "desired-state=running", "--quiet",
				"gauge_agent", "gauge_elasticsearch", "demo_web", "demo_cache")
		}
		made, running := m.there(t), tasks()
		checkCluster(t, m.must(t, up...))
		if now := m.there(t); !slices.Equal(now, made) {
			t.Errorf("the engine has\n%s\nand had\n%s", strings.Join(now, "\n"), strings.Join(made, "\n"))
		}
		if now := tasks(); now != running {
			t.Errorf("tasks are\n%s\nand were\n%s", now, running)
		}
	})
	t.Run("Destroy", func(t *testing.T) {
		m.testGone(t, before)
		if out := m.must(t, "destroy"); !strings.Contains(out, "There is no cluster") {
			t.Error("it didn't say that there is nothing")
		}
	})
	t.Run("ImagesMade", func(t *testing.T) { m.testImagesMade(t, before) })
	t.Run("ElasticsearchElsewhere", func(t *testing.T) { m.testElsewhere(t, before) })
	t.Run("Refused", func(t *testing.T) { m.testRefused(t) })
}

// testImagesMade has the script make all images itself, as where no registry answers, for a
// manager alone without the engine's socket and without Kibana.
func (m clusterMaker) testImagesMade(t *testing.T, before []string) {
	bare := clusterMaker{m.engine, slices.DeleteFunc(slices.Clone(m.environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasSuffix(name, "_IMAGE")
	})}
	said := bare.must(t, "up", "--offline", "--nodes", "0", "--no-kibana", "--no-socket", "--listen", m.engine.Addr().String(), "--timeout", "240")
	for _, want := range []string{
		"Making the image swarmgauge-cluster/node ", "Making the image swarmgauge-cluster/elasticsearch ", "Making the image swarmgauge-cluster/busybox ",
		"Kibana:        none here", "in the stack demo: web is throttled",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it doesn't say %q", want)
		}
	}
	if mounts := m.agentMounts(t); strings.Contains(mounts, "docker.sock") {
		t.Errorf("without the socket, the agent has %s", mounts)
	}
	search := regexp.MustCompile(`Elasticsearch: (http://[^/]+)`).FindStringSubmatch(said)
	if search == nil {
		t.Fatal("no address of Elasticsearch")
	}
	awaitCount(t, search[1], "swarm.service.name:demo_web AND event.dataset:swarmgauge.container")
	m.testGone(t, before)
}

// testElsewhere has a cluster of agents alone ship to an Elasticsearch outside of it.
func (m clusterMaker) testElsewhere(t *testing.T, before []string) {
	outside := estest.New()
	server := serverFor(t, m.engine, outside)
	server.Start()
	there := clusterMaker{m.engine, append(slices.Clone(m.environ), "SWARMGAUGE_ES_HOST="+server.URL)}
	said := there.must(t, "up", "--offline", "--nodes", "1", "--no-elasticsearch", "--no-demo", "--listen", m.engine.Addr().String(), "--timeout", "240")
	if strings.Contains(said, "Elasticsearch: ") || strings.Contains(said, "in the stack demo") {
		t.Error("it names what isn't there")
	}
	if services := strings.Fields(docker(t, m.engine, "exec", "swarmgauge-node1", "docker", "service", "ls", "--format", "{{.Name}}:{{.Replicas}}")); !slices.Contains(services, "gauge_agent:2/2") ||
		slices.ContainsFunc(services, func(s string) bool { return !strings.HasPrefix(s, "gauge_agent:") && !strings.HasSuffix(s, ":0/0") }) {
		t.Errorf("the services are %q", services)
	}
	if mounts := m.agentMounts(t); !strings.Contains(mounts, "docker.sock") {
		t.Errorf("the agent has %s", mounts)
	}
	nodes := map[string]bool{}
	for _, d := range outside.Documents() {
		var source struct {
			Node string `json:"host.name"`
		}
		if err := json.Unmarshal(d.Source, &source); err != nil {
			t.Fatal(err)
		}
		nodes[source.Node] = true
	}
	if !nodes["node1"] || !nodes["node2"] {
		t.Errorf("documents came from %v", nodes)
	}
	m.testGone(t, before)
}

// agentMounts returns what the agent's service mounts of a node.
func (m clusterMaker) agentMounts(t testing.TB) string {
	t.Helper()
	return docker(t, m.engine, "exec", "swarmgauge-node1", "docker", "service", "inspect", "--format", "{{json .Spec.TaskTemplate.ContainerSpec.Mounts}}", "gauge_agent")
}

// testGone removes the cluster and compares what the engine has with what it had before.
func (m clusterMaker) testGone(t testing.TB, before []string) {
	t.Helper()
	m.must(t, "destroy")
	if after := m.there(t); !slices.Equal(after, before) {
		t.Errorf("the engine has\n%s\nand had\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// checkCluster looks at what the script says of a cluster that works.
func checkCluster(t testing.TB, said string) {
	t.Helper()
	pages := regexp.MustCompile(`node\d, \w+: the agent's pages at (http://\S+),`).FindAllStringSubmatch(said, -1)
	search := regexp.MustCompile(`Elasticsearch: (http://[^/]+)`).FindStringSubmatch(said)
	kibana := regexp.MustCompile(`Kibana: +(http://[^/]+)`).FindStringSubmatch(said)
	if len(pages) != 3 || search == nil || kibana == nil {
		t.Fatalf("%d pages of agents, Elasticsearch at %v, Kibana at %v", len(pages), search, kibana)
	}
	waitFor(t, 2*time.Minute, "the dashboards", func() error { return checkSetUp(t, kibana[1]) })
	for _, page := range pages {
		waitFor(t, time.Minute, "a container of each node", func() error { // a node that is mended gets its tasks now
			if text := fetch(t, page[1]); !strings.Contains(text, "demo_visitor") {
				return fmt.Errorf("%s shows\n%s", page[1], text)
			}
			return nil
		})
	}
	const container = " AND event.dataset:swarmgauge.container"
	for _, of := range []string{"host.name:node1" + container, "host.name:node2" + container, "host.name:node3" + container, "swarm.service.name:demo_web" + container,
		// Of the Swarm's state, which the leader's engine tells.
		"swarm.service.name:demo_web AND event.dataset:swarmgauge.service", "swarm.node.name:node3 AND event.dataset:swarmgauge.swarm_node"} {
		awaitCount(t, search[1], of)
	}
}

// awaitCount waits until an Elasticsearch has documents that a query finds.
func awaitCount(t testing.TB, server, query string) {
	t.Helper()
	waitFor(t, time.Minute, "documents with "+query, func() error {
		text := fetch(t, server+"/cadvisor/_count?q="+url.QueryEscape(query))
		var answer struct{ Count int }
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Count == 0 {
			return fmt.Errorf("%s (%v)", text, err)
		}
		return nil
	})
}

func fetch(t testing.TB, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s (%v)", url, response.Status, text, err)
	}
	return string(text)
}

// testRefused asks for what can't be. Each refusal is a line that says what to do.
func (m clusterMaker) testRefused(t *testing.T) {
	before := m.there(t)
	f := func(want string, m clusterMaker, args ...string) {
		t.Helper()
		out, err := m.run(t, args...)
		refused := slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.HasPrefix(line, "create_cluster: ") && strings.Contains(line, want)
		})
		if err == nil || !refused {
			t.Errorf("%v: %v, and no line says %q", args, err, want)
		}
	}
	with := func(environ ...string) clusterMaker {
		return clusterMaker{m.engine, append(slices.Clone(m.environ), environ...)}
	}
	f("--help lists all options", m, "--node", "2")
	f("--nodes takes a number", m, "--nodes", "many")
	f("--nodes needs a value", m, "--nodes")
	f("SWARMGAUGE_ES_HOST has to name the one to use", m, "--no-elasticsearch")
	f("take fewer nodes", m, "--nodes", "9999")
	f("no Docker engine answers at unix:///nowhere/docker.sock: start it", with("DOCKER_HOST=unix:///nowhere/docker.sock"))
	f("the engine has no image nothing/such, and it can't be pulled", with("NODE_IMAGE=nothing/such"), "--offline")

	tools := t.TempDir()
	for _, tool := range []string{"sh", "dirname", "date", "cat", "rm", "mktemp"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(tools, tool)); err != nil {
			t.Fatal(err)
		}
	}
	f("the command docker is missing: install Docker", with("PATH="+tools))

	// As somebody who may not use the engine, and maybe not read this checkout.
	script, err := os.ReadFile(clusterScript)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-s")
	cmd.Stdin = bytes.NewReader(script)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), append(m.environ, "TMPDIR=/tmp")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.HasPrefix(string(out), "create_cluster: you may not use the Docker engine: run this as root") {
		t.Errorf("without the right to use the engine: %v, %s", err, out)
	}

	docker(t, m.engine, "create", "--name", "swarmgauge-node1", lab.BusyboxImage)
	f("there is a container swarmgauge-node1 that isn't this script's", m, "--offline", "--nodes", "1", "--no-kibana")
	docker(t, m.engine, "rm", "swarmgauge-node1")
	m.testGone(t, before) // the network, and the agent's image
}
