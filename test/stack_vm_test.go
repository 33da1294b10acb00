package test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

//go:embed vm/stack.sh
var stackScript string // immutable

// TestStackOfPlainSwarm deploys the stack file without any other, on a kernel that has IPVS,
// which is what Swarms run on; the kernels that other tests have to do with lack it. The
// machine is emulated, so that the file's Elasticsearch and Kibana are fakes. Then it is
// deployed again, for a real Elasticsearch elsewhere.
func TestStackOfPlainSwarm(t *testing.T) {
	lab.Need(t, lab.Systemd)
	t.Parallel() // most of the time one of its processors has something to do
	server := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{})
	wanted, objects := exportOfAll(t)
	var script strings.Builder
	fmt.Fprintf(&script, "WANTED=%d\nagent_image() {\n\tmkdir root && mv agent root/ && tar -C root -c . | docker import", objects)
	for _, line := range finalStage(t, "../Dockerfile") {
		fmt.Fprintf(&script, " --change '%s'", line)
	}
	script.WriteString(" - swarmgauge:1 > /dev/null\n}\n")
	result, err := lab.RunSystemd(t.Context(), lab.Bookworm, lab.VM{
		Files: []lab.File{
			{Name: "agent", Source: buildAgent(t)},
			{Name: "search.bin", Source: compile(t, "build", "./vm/search")},
			{Name: "kibana.bin", Source: compile(t, "build", "./lab/cmd/kibana")},
			{Name: "curl", Data: kibanaCurl},
			{Name: "wanted.json", Data: wanted},
			{Name: "swarm-global.yml", Source: "../deploy/swarm-global.yml"},
		},
		Script: script.String() + stackScript,
		Reach:  strings.TrimPrefix(server.URL(), "http://"),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newSections(t, result)
	const services = "gauge_agent global 1/1\ngauge_elasticsearch replicated 1/1\ngauge_kibana replicated 1/1"
	if got := strings.TrimSpace(r.section(t, "services")); got != services {
		t.Fatalf("services:\n%s\n%s", got, r.section(t, "tasks"))
	}
	for line := range strings.Lines(strings.TrimSpace(r.section(t, "addresses"))) {
		if words := strings.Fields(line); len(words) < 3 || words[1] != "vip" {
			t.Errorf("without a virtual address: %q", words)
		}
	}
	var got int
	if _, err := fmt.Sscan(r.section(t, "dashboards"), &got); err != nil || got < objects {
		t.Errorf("through the mesh, Kibana has %d objects, want %d (%v)", got, objects, err)
	}
	measured := map[string]bool{}
	for _, d := range r.documents(t, "documents") {
		if d.dataset() == "container" {
			measured[d.text("swarm.service.name")] = true
		}
	}
	for _, service := range []string{"gauge_agent", "gauge_elasticsearch", "gauge_kibana"} {
		if !measured[service] {
			t.Errorf("no document of %s, but of %v", service, measured)
		}
	}
	t.Run("moved", func(t *testing.T) { checkMoved(t, r, server) })
	if t.Failed() {
		t.Logf("the agent's log:\n%s", r.section(t, "log"))
	}
}

// checkMoved checks what a real Elasticsearch has got from the Swarm of a virtual machine:
// documents of each task under the names that the Swarm gives it, as many as the agent says
// it delivered, and none that the mapping doesn't fit.
func checkMoved(t *testing.T, r report, server *lab.ElasticsearchServer) {
	docs := documents(t, server, esAlias, nil)
	checkFields(t, server, esAlias, docs)
	byRun, byTask := map[string][]document{}, map[string][]document{}
	for _, d := range docs {
		byRun[d.text("agent.ephemeral_id")] = append(byRun[d.text("agent.ephemeral_id")], d)
		if d.dataset() == "container" {
			byTask[d.text("swarm.task.id")] = append(byTask[d.text("swarm.task.id")], d)
		}
	}
	for _, of := range byRun {
		checkOnce(t, of)
	}
	lines := strings.Split(strings.TrimSpace(r.section(t, "moved")), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d tasks, want one of each service: %q", len(lines), lines)
	}
	for _, line := range lines {
		words := strings.Fields(line) // id, name, node
		of := byTask[words[0]]
		if len(of) == 0 {
			t.Errorf("no document of %s", words[1])
			continue
		}
		service, _, _ := strings.Cut(words[1], ".")
		for _, d := range of {
			if d.text("container.name") != words[1] || d.text("swarm.service.name") != service || d.text("swarm.stack") != "gauge" ||
				d.text("swarm.node.name") != words[2] || d.text("host.name") != words[2] {
				t.Errorf("want task %s of service %s on %s: %v", words[1], service, words[2], d)
			}
		}
	}

	said := func(name string) float64 {
		v, err := metricOf(r.section(t, "said"), "swarmgauge_documents_"+name)
		if err != nil {
			t.Error(err)
		}
		return v
	}
	var had struct{ Count float64 }
	if err := json.Unmarshal([]byte(r.section(t, "count")), &had); err != nil {
		t.Fatal(err)
	}
	indexed, found, lost := said("indexed_total"), said("found_total"), said("dead_total")+said("dropped_total")+said("collided_total")
	if had.Count == 0 || had.Count != indexed-found || had.Count != said("sampled_total")-said("pending") || lost > 0 {
		t.Errorf("Elasticsearch had %v documents of the newest agent, of\n%s, which said:\n%s", had.Count, r.section(t, "agents"), r.section(t, "said"))
	}
	t.Logf("%v documents of the newest agent, %d in all, of %d tasks", had.Count, len(docs), len(byTask))
}
