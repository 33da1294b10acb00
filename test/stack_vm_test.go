package test

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

//go:embed vm/stack.sh
var stackScript string // immutable

// TestStackOfPlainSwarm deploys the stack file without any other, on a kernel that has IPVS,
// which is what Swarms run on; the kernels that other tests have to do with lack it. Of
// Elasticsearch and Kibana there are fakes: the machine is emulated.
func TestStackOfPlainSwarm(t *testing.T) {
	lab.Need(t, lab.Systemd)
	t.Parallel() // most of the time one of its processors has something to do
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
	if t.Failed() {
		t.Logf("the agent's log:\n%s", r.section(t, "log"))
	}
}
