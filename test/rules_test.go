package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// ruleParams are the parameters of an alerting rule that Kibana makes a search of.
type ruleParams struct {
	Index                                                     []string
	ESQuery, TimeField, AggType, AggField, GroupBy, TermField string
	TermSize, TimeWindowSize                                  int
	ThresholdComparator, TimeWindowUnit                       string
	Threshold                                                 []float64
}

// fires asks Elasticsearch what Kibana would, and returns the groups that are beyond the
// threshold. The comparison, for which Kibana has Elasticsearch run a script, is made here.
func (p *ruleParams) fires(t *testing.T, es *lab.ElasticsearchServer) (groups []string) {
	t.Helper()
	var query struct {
		Query           json.RawMessage
		RuntimeMappings map[string]json.RawMessage `json:"runtime_mappings"`
	}
	if err := json.Unmarshal([]byte(p.ESQuery), &query); err != nil {
		t.Fatal(err)
	}
	within := map[string]any{"range": map[string]any{p.TimeField: map[string]any{"gte": fmt.Sprintf("now-%d%s", p.TimeWindowSize, p.TimeWindowUnit)}}}
	body := map[string]any{"size": 0, "track_total_hits": true, "query": map[string]any{"bool": map[string]any{"filter": []any{query.Query, within}}}}
	metric := map[string]any{}
	_, silence := query.RuntimeMappings[p.AggField]
	switch {
	case silence: // the age of the newest; its script, too, is computed here
		metric["metric"] = map[string]any{"max": map[string]any{"field": p.TimeField}}
	case p.AggField != "":
		metric["metric"] = map[string]any{p.AggType: map[string]any{"field": p.AggField}}
	}
	if p.GroupBy == "top" {
		body["aggs"] = map[string]any{"groups": map[string]any{"terms": map[string]any{"field": p.TermField, "size": p.TermSize}, "aggs": metric}}
	}
	answer := mustAsk[struct {
		Hits         struct{ Total struct{ Value float64 } }
		Aggregations struct {
			Groups struct {
				Buckets []struct {
					Key    string
					Count  float64 `json:"doc_count"`
					Metric struct{ Value *float64 }
				}
			}
		}
	}](t, es, http.MethodPost, "/"+p.Index[0]+"/_search", body)
	beyond := func(v float64) bool {
		switch p.ThresholdComparator {
		case ">":
			return v > p.Threshold[0]
		case ">=":
			return v >= p.Threshold[0]
		case "<":
			return v < p.Threshold[0]
		}
		t.Fatalf("the test doesn't know %q", p.ThresholdComparator)
		return false
	}
	if p.GroupBy == "all" && beyond(answer.Hits.Total.Value) {
		groups = append(groups, "all")
	}
	for _, b := range answer.Aggregations.Groups.Buckets {
		if silence && b.Metric.Value != nil {
			*b.Metric.Value = float64(time.Now().UnixMilli())/1000 - *b.Metric.Value/1000
		}
		if value := b.Metric.Value; p.AggType == "count" && beyond(b.Count) || value != nil && beyond(*value) {
			groups = append(groups, b.Key)
		}
	}
	return groups
}

// testRules has each alerting rule's search run on documents that it is about.
func testRules(t *testing.T, es *lab.ElasticsearchServer) {
	const index = "rules"
	mustAsk[any](t, es, http.MethodPut, "/_index_template/"+index, json.RawMessage(shipper.IndexTemplate(index)))
	now := time.Now().UTC()
	var bulk strings.Builder
	put := func(dataset string, ago time.Duration, fields map[string]any) {
		d := maps.Clone(fields)
		d["@timestamp"], d["event.dataset"] = now.Add(-ago), "swarmgauge."+dataset
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&bulk, "{\"create\":{}}\n%s\n", text)
	}
	type m = map[string]any
	// Two of each: "bad", about which a rule tells, and "good". And the agent of a node that
	// doesn't report any longer.
	for ago := time.Duration(0); ago < 20*time.Minute; ago += 30 * time.Second {
		f := func(dataset, group, field string, bad, good any) {
			put(dataset, ago, m{group: "bad", field: bad})
			put(dataset, ago, m{group: "good", field: good})
		}
		f("swarm_node", "swarm.node.name", "swarm.node.state", "down", "ready")
		f("service", "swarm.service.name", "swarm.service.missing", 1, 0)
		f("container", "container.name", "container.memory.oom_kills", 1, 0)
		f("container", "container.name", "container.memory.limit_usage", 0.95, 0.5)
		f("container", "container.name", "container.cpu.throttled_ratio", 0.5, 0.1)
		f("container", "container.name", "container.pressure.memory.full_seconds", 6, 0.01)
		f("container", "container.name", "container.storage.log_bytes", 6e9, 1e9)
		f("filesystem", "host.name", "filesystem.full_in_seconds", 3600, 1e6)
		f("agent", "host.name", "agent.spool.oldest_seconds", 700, 20)
		put("agent", ago, m{"host.name": "good", "swarm.node.name": "good", "agent.batch.documents": 100})
		if ago > 3*time.Minute {
			put("agent", ago, m{"host.name": "silent", "agent.spool.oldest_seconds": 20})
		}
	}
	for i := range 3 {
		put("event", time.Duration(i)*time.Minute, m{"swarm.service.name": "bad", "event.action": "die", "container.exit_code": 1})
		put("event", time.Duration(i)*time.Minute, m{"swarm.service.name": "good", "event.action": "die", "container.exit_code": 0})
		put("event", time.Duration(i)*time.Minute, m{"swarm.service.name": "good", "event.action": "start"})
	}
	// A replica that was missing for a minute, and a container near its limit now and then.
	put("service", 2*time.Minute, m{"swarm.service.name": "good", "swarm.service.missing": 3})
	put("container", 2*time.Minute, m{"container.name": "good", "container.memory.limit_usage": 0.99})
	day := index + "-" + now.Format("2006.01.02")
	answer := mustAsk[struct{ Errors bool }](t, es, http.MethodPost, "/"+day+"/_bulk?refresh=true", bulk.String())
	if answer.Errors {
		t.Fatal("documents are refused")
	}
	for _, rule := range kibana.Rules(index, "") {
		var body struct{ Params ruleParams }
		if err := json.Unmarshal(rule.Body, &body); err != nil {
			t.Fatal(err)
		}
		want := []string{"bad"}
		switch {
		case body.Params.GroupBy == "all":
			want = nil // agents report
		case strings.HasSuffix(rule.Name, "silent for 2 minutes"):
			want = []string{"silent"}
		}
		if got := body.Params.fires(t, es); !slices.Equal(got, want) {
			t.Errorf("%s: fires for %q, want %q", rule.Name, got, want)
		}
		if body.Params.GroupBy != "all" {
			continue
		}
		body.Params.Index = []string{"nothing-*"}
		if got := body.Params.fires(t, es); !slices.Equal(got, []string{"all"}) {
			t.Errorf("%s: without documents it fires for %q", rule.Name, got)
		}
	}
}
