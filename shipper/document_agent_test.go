package shipper

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// agentDocument is what the tests read of a document of the agent.
type agentDocument struct {
	Dataset   string    `json:"event.dataset"`
	Time      time.Time `json:"@timestamp"`
	Epoch     string    `json:"agent.epoch"`
	Batch     uint64    `json:"agent.batch.sequence"`
	Documents int       `json:"agent.batch.documents"`
	First     time.Time `json:"agent.batch.first"`
	Last      time.Time `json:"agent.batch.last"`
	Final     bool      `json:"agent.batch.final"`
	Sampled   int       `json:"agent.documents.sampled"`
	Pending   *int      `json:"agent.documents.pending"`
	Sweeps    int       `json:"agent.sweep.count"`
}

// agentsOf returns the documents of agents among the lines.
func agentsOf(t testing.TB, lines [][]byte) (found []agentDocument) {
	t.Helper()
	for _, line := range lines {
		var d agentDocument
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if d.Dataset == "swarmgauge.agent" {
			found = append(found, d)
		}
	}
	return found
}

func TestAgentFieldsHaveRows(t *testing.T) {
	for i, f := range agentFields {
		if f.Name == "" {
			t.Errorf("field %d of the agent has no row", i)
		}
	}
	for reason, f := range agentDropped {
		if want := "agent.documents.dropped." + loss(reason).String(); agentFields[f].Name != want {
			t.Errorf("%s is told as %s, want %s", loss(reason), agentFields[f].Name, want)
		}
	}
}

func TestAgentAllocs(t *testing.T) {
	e, a := NewEncoder(documentOptions), documentAgent()
	s, err := New(t.Context(), testOptions(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var dst []byte
	if n := testing.AllocsPerRun(100, func() {
		s.stats(a.Delivery)
		dst = e.AppendAgent(dst[:0], documentNode, a)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Each batch ends with a document of the agent that counts it, parts of an interval and the
// last one of a run included.
func TestAgentDocuments(t *testing.T) {
	es := estest.New()
	o := testOptions(t, es)
	sweeps := int64(0)
	o.Self = func() Self {
		sweeps++
		return Self{Sweeps: sweeps}
	}
	s, stop := start(t, o)
	newLoad(3).tick(s)
	l := newLoad(maxDocs + 1)
	l.windows = slices.Clone(l.windows)
	for i := range l.windows {
		c := *l.windows[i].Container
		c.Name = "other"
		l.windows[i].Container = &c
	}
	l.tick(s)
	eventually(t, "everything is indexed", func() bool { v := s.Stats(); return v.Sampled > 3+maxDocs+1 && v.Pending == 0 })
	balance(t, s)
	stop() // what comes last may stay in the spool

	o.Self = nil
	s, _ = start(t, o)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Pending == 0 })

	batches := map[batchID]int{}
	var lines [][]byte
	for _, d := range es.Documents() {
		id, ok := parseDocumentID(d.ID)
		if !ok {
			t.Fatalf("_id %s", d.ID)
		}
		batches[id.batchID]++
		lines = append(lines, d.Source)
	}
	agents := agentsOf(t, lines)
	slices.SortFunc(agents, func(a, b agentDocument) int { return int(a.Batch) - int(b.Batch) })
	if len(agents) != len(batches) || len(agents) < 4 {
		t.Fatalf("%d documents of the agent for %d batches", len(agents), len(batches))
	}
	sampled := 0
	for i, d := range agents {
		epoch, ok := parseEpoch(d.Epoch)
		sampled += d.Documents
		if n := batches[batchID{epoch, d.Batch}]; !ok || d.Documents != n || d.Sampled != sampled || d.Sweeps != i+1 {
			t.Errorf("batch %d has %d documents, %d in all: %+v", d.Batch, n, sampled, d)
		}
		if d.Final != (i == len(agents)-1) || d.Pending == nil || *d.Pending < d.Documents {
			t.Errorf("document %d of the agent: %+v", i, d)
		}
		if d.First.After(d.Last) || d.Last.Before(d.Time) || !d.Final && d.First.UnixNano() != l.slot {
			t.Errorf("from %v to %v at %v, want from %v", d.First, d.Last, d.Time, time.Unix(0, l.slot))
		}
	}
}

// What is printed ends each interval with a document of the agent, which knows of no
// delivery.
func TestAgentLines(t *testing.T) {
	var out strings.Builder
	lines := NewLines(&out, EncoderOptions{Interval: testInterval}, func() Self { return Self{} }, zap.NewNop())
	l := newLoad(3)
	for range 2 {
		l.tick(lines)
	}
	lines.PutEvent(l.node, &metric.Event{Time: time.Unix(0, l.slot), Action: metric.Start, ID: "x", Container: &metric.Container{ID: "x"}})
	lines.Flush(l.slot)
	lines.Flush(l.slot) // nothing happened
	var all [][]byte
	for line := range strings.Lines(out.String()) {
		all = append(all, []byte(line))
	}
	agents := agentsOf(t, all)
	if len(all) != 10 || len(agents) != 3 {
		t.Fatalf("%d lines, %d of the agent:\n%s", len(all), len(agents), out.String())
	}
	for i, d := range agents {
		want := [...]struct{ documents, sampled int }{{4, 4}, {4, 8}, {2, 10}}[i]
		if d.Documents != want.documents || d.Sampled != want.sampled || d.Pending != nil || d.Batch != uint64(i+1) || d.Epoch != agents[0].Epoch {
			t.Errorf("line of the agent %d: %+v", i, d)
		}
	}
}
