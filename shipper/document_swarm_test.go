package shipper

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

func TestSwarmFieldsHaveRows(t *testing.T) {
	for i, f := range swarmFields {
		if f.Name == "" {
			t.Errorf("field %d of the Swarm has no row", i)
		}
	}
}

func TestSwarmDocuments(t *testing.T) {
	e, state := NewEncoder(documentOptions), documentSwarm()
	wantMembers(t, e.AppendSwarm(nil, documentNode, state, 0, slotTime), map[string]string{
		"event.dataset": `"swarmgauge.service"`, "@timestamp": `"2026-11-22T11:49:48.000Z"`, "sample.slot": fmt.Sprint(int64(slotTime / 10e9)),
		"host.name": `"worker-1"`, "swarm.cluster.id": `"kq0v9g3m5v5m1d2c8f7e6a4b3"`, "swarm.node.id": "", "swarm.node.name": "",
		"swarm.service.desired": "3", "swarm.service.running": "1", "swarm.service.missing": "2", "swarm.service.completed": "",
		"container_Name": "", "container_stats": "",
	})
	// More run than should: none is missing. What isn't known is absent.
	wantMembers(t, e.AppendSwarm(nil, documentNode, state, 1, slotTime), map[string]string{
		"swarm.service.missing": "0", "swarm.service.failed": "", "swarm.service.pending": "0", "swarm.service.completed": "3",
		"swarm.service.update_state": "", "swarm.stack": "",
	})
	wantMembers(t, e.AppendSwarm(nil, documentNode, state, 3, slotTime), map[string]string{
		"event.dataset": `"swarmgauge.swarm_node"`, "host.name": `"worker-1"`, "swarm.node.name": `"worker-2"`, "swarm.node.leader": "false",
		"swarm.node.reachability": "", "swarm.node.cpus": "", "swarm.node.memory_bytes": "",
	})
	wantMembers(t, e.AppendSwarm(nil, documentNode, state, 4, slotTime), map[string]string{
		"event.dataset": `"swarmgauge.task"`, "swarm.node.id": "", "swarm.task.slot": "3", "container.exit_code": "", "container.id": "",
	})
	// The next document of a container is about the agent's own node again.
	wantMembers(t, e.AppendContainer(nil, documentNode, fullWindow(documentContainer())), map[string]string{"swarm.node.name": `"worker-1"`})

	state.Tasks[0].Error = strings.Repeat("é", ignoreAbove)
	if text := decodeDocument(t, e.AppendSwarm(nil, documentNode, state, 4, slotTime))["swarm.task.error"]; len(text) != ignoreAbove+2 {
		t.Errorf("an error of %d bytes", len(text))
	}
	var dst []byte
	if n := testing.AllocsPerRun(100, func() {
		for i := range state.Len() {
			dst = e.AppendSwarm(dst[:0], documentNode, state, i, slotTime)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSwarmIsDelivered holds that the documents of a large Swarm are counted and delivered
// as all others are: its batches are full, an audit finds each once.
func TestSwarmIsDelivered(t *testing.T) {
	s := &searchable{Server: estest.New(), pages: map[string][]estest.Document{}}
	began := time.Now()
	o := testOptions(t, nil)
	o.Addresses, o.Transport = []string{"http://es:9200"}, s
	o.Self = func() Self { return Self{Started: began} }
	shipper, stop := start(t, o)
	state := &metric.SwarmState{Time: time.Now(), Services: []metric.Service{{ID: "s", Name: "big", Desired: maxDocs}}}
	for i := range maxDocs {
		state.Tasks = append(state.Tasks, metric.SwarmTask{ID: fmt.Sprint(i), Slot: i + 1, Service: &state.Services[0], State: "pending", ExitCode: metric.UnknownExit})
	}
	l := newLoad(5)
	l.node.Name = auditedNode
	l.slot = state.Time.UnixNano()
	shipper.PutSwarm(l.node, state, l.slot)
	shipper.PutEvent(l.node, &metric.Event{Time: state.Time, Action: metric.ServiceUpdate, ID: "s", Container: new(metric.Container), Service: &state.Services[0]})
	l.tick(shipper)
	eventually(t, "it is indexed", func() bool { return shipper.Stats().Pending == 0 })
	balance(t, shipper)
	stop()
	found, err := RunAudit(t.Context(), o, AuditOptions{From: began.Add(-time.Minute), To: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(state.Len() + 1 + 5); found.Verdict != Proven || found.Nodes[0].Made < want || found.Nodes[0].Made != found.Nodes[0].Present {
		t.Errorf("%+v, want %d documents at least", found, want)
	}
	kinds := map[string]int{}
	for _, d := range s.Documents() {
		var source struct {
			Dataset string `json:"event.dataset"`
			Action  string `json:"event.action"`
		}
		if err := json.Unmarshal(d.Source, &source); err != nil {
			t.Fatal(err)
		}
		kinds[source.Dataset+source.Action]++
	}
	if kinds["swarmgauge.service"] != 1 || kinds["swarmgauge.task"] != maxDocs || kinds["swarmgauge.eventservice_update"] != 1 {
		t.Errorf("documents by kind: %v", kinds)
	}
}

func TestSwarmLines(t *testing.T) {
	var out strings.Builder
	lines := NewLines(&out, documentOptions, func() Self { return Self{} }, zap.NewNop())
	state := documentSwarm()
	lines.PutSwarm(documentNode, state, slotTime)
	lines.Flush(slotTime)
	var all [][]byte
	for line := range strings.Lines(out.String()) {
		all = append(all, []byte(strings.TrimSpace(line)))
	}
	if agents := agentsOf(t, all); len(all) != state.Len()+1 || len(agents) != 1 || agents[0].Documents != len(all) {
		t.Errorf("%d lines: %s", len(all), out.String())
	}
}
