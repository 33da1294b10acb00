package kibana_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// document is a document by its flat names of fields.
type document map[string]any

// with returns a copy of the document with other values.
func (d document) with(fields document) document {
	d = maps.Clone(d)
	maps.Copy(d, fields)
	return d
}

// samples are documents that the encoder has made, one of each kind: by event.dataset
// without its prefix, events by their action.
func samples(t *testing.T) map[string]document {
	t.Helper()
	f, err := os.Open("../shipper/testdata/documents.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds := map[string]document{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d document
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		kind := strings.TrimPrefix(d["event.dataset"].(string), "swarmgauge.")
		if action, ok := d["event.action"].(string); ok {
			kind = action
		}
		// The one that says the most stands for its kind.
		if len(d) > len(kinds[kind]) {
			kinds[kind] = d
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return kinds
}

// A Swarm of two nodes, as the documents tell of it: for five minutes, which are the last
// third of the time range that is looked at, and of an hour before for ten seconds.
const (
	shippingInterval = 10 * time.Second
	intervals        = 30
)

var (
	rangeEnd   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rangeStart = rangeEnd.Add(-15 * time.Minute)
)

// container is one container of that Swarm.
type container struct {
	name, service, node string
	cores               float64 // CPU time in each second
	limit               float64 // cores
	throttled           int     // periods of a hundred
	verdict             []string
	health              string
}

var swarmContainers = []container{
	{name: "shop_web.1", service: "shop_web", node: "manager-1", cores: 0.2, limit: 1, health: "healthy"},
	{name: "shop_web.2", service: "shop_web", node: "worker-1", cores: 0.2, limit: 1, health: "unhealthy"},
	{name: "load_stress.1", service: "load_stress", node: "worker-1", cores: 0.5, limit: 0.5, throttled: 80, verdict: []string{"throttled"}, health: "healthy"},
	{name: "load_starved.1", service: "load_starved", node: "worker-1", cores: 0.1, verdict: []string{"cpu_starved", "no_cpu_limit"}},
}

const (
	containerCores = 1.0 // of all containers
	containerBytes = 100 << 20
	nodeCPUs       = 4
	nodeBytes      = 8 << 30
	freeBytes      = 2 << 30
	cacheBytes     = 3 << 30
)

// swarm returns the documents of that Swarm.
func swarm(t *testing.T) []document {
	t.Helper()
	kinds := samples(t)
	var all []document
	// add has a document of a kind be of a time and a node.
	add := func(at time.Time, kind, node string, fields document) {
		d, ok := kinds[kind]
		if !ok {
			t.Fatalf("the encoder's documents have none of kind %s", kind)
		}
		d = d.with(document{
			"@timestamp": at.Format(time.RFC3339Nano), "timestamp": at.UnixMicro(), "host.name": node, "agent.name": node, "machine_name": node,
		}).with(fields)
		if _, ok := d["sample.slot"]; ok {
			d["sample.slot"] = at.Unix() / int64(shippingInterval/time.Second)
			if _, ok := d["sample.interval_seconds"]; ok {
				d["sample.interval_seconds"] = shippingInterval.Seconds()
			}
		}
		all = append(all, d)
	}
	ofSwarm := func(at time.Time, nodes ...string) {
		for _, node := range nodes {
			add(at, "swarm_node", "manager-1", document{"swarm.node.id": node + "-id", "swarm.node.name": node, "swarm.node.state": "ready", "swarm.node.message": "heartbeat failure"})
			add(at, "agent", node, document{"swarm.node.name": node})
		}
	}
	ofSwarm(rangeEnd.Add(-time.Hour-shippingInterval), "manager-1")
	add(rangeEnd.Add(-time.Hour-shippingInterval), "container", "manager-1", document{"sample.ended": false})
	add(rangeEnd.Add(-24*time.Hour-shippingInterval), "container", "manager-1", document{
		"sample.ended": false, "container.storage.layer_bytes": 1 << 30, "container.storage.log_bytes": 1 << 30, "container.storage.volume_bytes": 1 << 30,
	})

	for i := range intervals {
		at := rangeEnd.Add(-time.Duration(intervals-i) * shippingInterval)
		ofSwarm(at, "manager-1", "worker-1")
		for _, node := range []string{"manager-1", "worker-1"} {
			all[len(all)-1]["agent.cpu.core_seconds"] = float64(i) * 0.1
			all[len(all)-1]["agent.sweep.count"] = i * 10
			add(at, "node", node, document{
				"host.cpu.core_seconds": containerCores / 2 * shippingInterval.Seconds(), "host.cpu.cores": nodeCPUs,
				"host.memory.total_bytes": nodeBytes, "host.memory.free_bytes": freeBytes,
				"host.memory.cached_bytes": cacheBytes, "host.memory.buffers_bytes": 0,
			})
			add(at, "interface", node, nil)
			add(at, "device", node, nil)
			add(at, "filesystem", node, document{"filesystem.available_bytes": 10 << 30, "filesystem.full_in_seconds": 2 * 86400, "filesystem.usage": 0.5})
		}
		for _, c := range swarmContainers {
			fields := document{
				"container.id": c.name + "-id", "container.name": c.name, "container_Name": c.name,
				"swarm.service.name": c.service, "swarm.service.id": c.service + "-id", "swarm.task.id": c.name + "-task",
				"container.cpu.core_seconds":         c.cores * shippingInterval.Seconds(),
				"container.memory.working_set_bytes": containerBytes, "container.memory.rss_bytes": containerBytes,
				"container.cpu.periods": 100, "container.cpu.throttled_periods": c.throttled,
				"container.cpu.limit_cores": c.limit, "container.cpu.limit_core_seconds": c.limit * shippingInterval.Seconds(),
				"container.verdict": c.verdict, "container.health": c.health,
				"container.processes.count": 3, "container.processes.file_descriptors": 30, "container.processes.sockets": 10,
				"container.processes.open_files_limit": 1024, "container.pids.limit": 100, "container.health_failing_streak": 2,
				"container.tcp.established": 5, "container.tcp.listen": 2, "container.tcp.syn_sent": 1, "container.tcp.close_wait": 3, "container.udp.listen": 1,
				"container.interfaces.eth0.network.ingress.bytes": 1 << 20,
				"container_stats":             statistics(at),
				"container.storage.log_bytes": (i + 1) << 20, "container.storage.as_of_seconds": at.Unix(),
			}
			if c.limit == 0 {
				for _, name := range []string{"container.cpu.limit_cores", "container.cpu.limit_core_seconds"} {
					fields[name] = nil
				}
			}
			add(at, "container", c.node, fields)
			add(at, "container_device", c.node, document{"container.id": c.name + "-id", "container.name": c.name, "device.name": "nvme0n1", "device.disk.read.bytes": 1 << 20, "device.disk.write.bytes": 1 << 21})
		}
		add(at, "service", "manager-1", document{"swarm.service.name": "shop_web", "swarm.service.id": "shop_web-id", "swarm.service.desired": 3, "swarm.service.running": 2, "swarm.service.missing": 1})
		add(at, "service", "manager-1", document{"swarm.service.name": "load_stress", "swarm.service.id": "load_stress-id", "swarm.service.desired": 1, "swarm.service.running": 1, "swarm.service.missing": 0})
		add(at, "task", "manager-1", document{"swarm.service.name": "shop_web"})
	}
	at := rangeEnd.Add(-time.Minute)
	add(at, "die", "worker-1", document{"container.name": "shop_web.2", "swarm.service.name": "shop_web", "container.exit_code": 137, "container.oom_killed": true})
	add(at, "die", "worker-1", document{"event.action": "start", "container.name": "shop_web.3", "swarm.service.name": "shop_web", "container.exit_code": nil, "container.oom_killed": nil})
	add(at, "service_update", "manager-1", document{"swarm.service.name": "shop_web"})
	add(at, "gap", "worker-1", document{"gap.documents": 7, "gap.sweeps": 3})
	return all
}

// statistics are numbers below container_stats, which the encoder's samples leave out.
func statistics(at time.Time) document {
	return document{
		"timestamp": at.Format(time.RFC3339Nano),
		"cpu":       document{"usage": document{"total": 5, "user": 3, "system": 2}, "load_average": 1},
		"memory":    document{"usage": 9, "working_set": 8, "container_data": document{"pgfault": 4, "pgmajfault": 1}},
		"network": document{
			"rx_bytes": 1, "tx_bytes": 2, "rx_packets": 3, "tx_packets": 4, "rx_errors": 5, "tx_errors": 6, "rx_dropped": 7, "tx_dropped": 8,
		},
		"task_stats": document{"nr_running": 1, "nr_sleeping": 2, "nr_stopped": 3, "nr_uninterruptible": 4, "nr_io_wait": 5},
	}
}

// server is an Elasticsearch that has the Swarm's documents.
type server struct{ *lab.ElasticsearchServer }

func serverWith(t *testing.T, version string, documents []document) server {
	t.Helper()
	s := server{lab.ElasticsearchFor(t, lab.ElasticsearchConfig{Version: version})}
	s.do(t, http.MethodPut, "/_index_template/"+kibana.DefaultPrefix, json.RawMessage(shipper.IndexTemplate(kibana.DefaultPrefix)))
	var body strings.Builder
	for _, d := range documents {
		line, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		body.WriteString(`{"create":{"_index":"` + kibana.DefaultPrefix + `-2026.11.22"}}` + "\n" + string(line) + "\n")
	}
	answer := s.do(t, http.MethodPost, "/_bulk?refresh=true", body.String())
	var bulk struct {
		Errors bool
		Items  []json.RawMessage
	}
	if err := json.Unmarshal(answer, &bulk); err != nil {
		t.Fatal(err)
	}
	if bulk.Errors || len(bulk.Items) != len(documents) {
		t.Fatalf("Elasticsearch took %d of %d documents: %.2000s", len(bulk.Items), len(documents), answer)
	}
	return s
}

// do asks the server, and fails the test if it refuses.
func (s server) do(t *testing.T, method, path string, body any) []byte {
	t.Helper()
	decoded, err := s.Do(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// tables asks all searches of a panel.
func (s server) tables(t *testing.T, p *kibana.Panel, filters ...kibana.Query) []kibana.Table {
	t.Helper()
	var tables []kibana.Table
	for _, search := range p.Searches(rangeStart, rangeEnd, filters...) {
		answer := s.do(t, http.MethodPost, "/"+kibana.DefaultPrefix+"-*/_search", json.RawMessage(search.Body))
		table, err := p.Table(search.Layer, answer)
		if err != nil {
			t.Fatalf("%s: %v", search.Layer, err)
		}
		tables = append(tables, table)
	}
	return tables
}

// panels are the panels of all dashboards by their ids.
func panels(t *testing.T) map[string]*kibana.Panel {
	t.Helper()
	byID := map[string]*kibana.Panel{}
	for _, d := range kibana.Dashboards() {
		for _, p := range d.Panels {
			if byID[p.ID] != nil {
				t.Errorf("panel %s is there twice", p.ID)
			}
			byID[p.ID] = p
		}
	}
	return byID
}

// TestPanelsOnElasticsearch asks the searches of all panels. Elasticsearch has to take
// each, and documents of all kinds have to fill each column of each panel; and where the
// documents say what a panel has to show, it shows that.
func TestPanelsOnElasticsearch(t *testing.T) {
	documents := swarm(t)
	for _, version := range lab.ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) {
			s := serverWith(t, version, documents)
			byID := panels(t)
			for id, p := range byID {
				for i, table := range s.tables(t, p) {
					checkFilled(t, fmt.Sprintf("%s, layer %d", id, i+1), table)
				}
			}
			checkValues(t, s, byID)
		})
	}
}

// checkFilled fails the test for a table without rows, and for a column without values.
func checkFilled(t *testing.T, what string, table kibana.Table) {
	t.Helper()
	if len(table.Rows) == 0 {
		t.Errorf("%s is empty", what)
		return
	}
	for i, column := range table.Columns {
		filled := false
		for _, row := range table.Rows {
			filled = filled || row[i] != nil
		}
		if !filled {
			t.Errorf("%s: column %q is empty in all %d rows", what, column.Name, len(table.Rows))
		}
	}
}

// checkValues looks at what panels show of the Swarm.
func checkValues(t *testing.T, s server, byID map[string]*kibana.Panel) {
	// want fails the test unless the row has the value in the column.
	want := func(id string, table kibana.Table, row int, column string, value any) {
		t.Helper()
		for i, c := range table.Columns {
			if c.Name != column {
				continue
			}
			got := table.Rows[row][i]
			x, number := got.(float64)
			if y, ok := value.(float64); ok && number && math.Abs(x-y) <= 1e-6*math.Abs(y) {
				return
			}
			if got != value {
				t.Errorf("%s, row %d of %d: %s is %v, want %v", id, row, len(table.Rows), column, got, value)
			}
			return
		}
		t.Errorf("%s has no column %q", id, column)
	}
	first := func(id, column string, value any) {
		t.Helper()
		want(id, s.tables(t, byID[id])[0], 0, column, value)
	}

	first("A1-nodes", "Nodes ready", 2.0)
	first("A1-nodes", "an hour before:", 1.0)
	first("A1-tasks", "Tasks running", 4.0)
	first("A2", "Services that lack replicas", 1.0)
	first("A2-services", "Service", "shop_web")
	first("A2-services", "Missing now", 1.0)
	first("A5-cpu", "Service", "load_stress")
	first("A5-cpu", "Who uses the CPU?", 0.5)
	first("A6-codes", "Exit code", 137.0)
	first("A6-codes", "For want of memory", 1.0)
	first("A6-codes", "Last", rangeEnd.Add(-time.Minute))
	first("B5-restarts", "Service", "shop_web")
	first("B5-restarts", "Starts", 1.0)
	first("B5-restarts", "Failed", 1.0)
	first("A7", "Container", "shop_web.2")
	first("A7", "Node", "worker-1")
	first("E1", "Container", "load_stress.1")
	first("E1", "Throttled", 0.8)
	first("E1", "Used of the limit", 1.0)
	first("E2", "Container", "load_starved.1")
	first("E2", "Starved", 1.0)
	first("C7", "Full in", 2.0)
	first("C7", "More each day", float64(5<<30))
	first("F2-logs", "Logs, more than a day before", float64(4*55<<19-1<<30)) // 27.5 MiB is the mean of the last minute
	first("F3-logs", "More than at the least", float64((intervals-1)<<20))
	first("F3-logs", "Each day at that pace", (1<<20)*86400/shippingInterval.Seconds())
	first("F4-root", "Logs", 3*float64(intervals+1)*(1<<19)) // worker-1 has three containers
	first("F5", "Service", "shop_web")
	first("F5", "Logs", float64(intervals+1)*(1<<20))
	first("E3-writes", "Node", "worker-1")
	want("G5-cpu", s.tables(t, byID["G5-cpu"])[0], intervals/3+1, "What CPU do agents need?", 0.01)
	first("G1-lost", "Documents lost", 7.0)
	first("G3", "Documents of its agent", 6.0)

	// Three intervals of documents each, none of them cut off by the time range.
	for _, id := range []string{"A3", "A4", "B1", "C3"} {
		tables := s.tables(t, byID[id])
		if n := len(tables[0].Rows); n != intervals/3 {
			t.Errorf("%s has %d buckets of time, want %d", id, n, intervals/3)
		}
		for row := range tables[0].Rows {
			switch id {
			case "A3":
				want(id, tables[0], row, "Used by containers", containerCores)
				want(id, tables[1], row, "Used by nodes in all", containerCores)
				want(id, tables[1], row, "CPUs", 2.0*nodeCPUs)
			case "A4":
				want(id, tables[0], row, "Used by containers", 4.0*containerBytes)
				want(id, tables[1], row, "There", 2.0*nodeBytes)
			case "B1":
				want(id, tables[0], row, "Desired", 4.0)
				want(id, tables[0], row, "Running", 3.0)
			case "C3":
				want(id, tables[0], row, "Containers", 4.0*containerBytes)
				want(id, tables[0], row, "Page cache", 2.0*cacheBytes)
				want(id, tables[0], row, "System", float64(2*nodeBytes-2*cacheBytes-2*freeBytes-4*containerBytes))
			}
		}
	}

	// A control leaves what was chosen.
	chosen := s.tables(t, byID["B5"], kibana.Is("swarm.service.name", "shop_web"))[0]
	if len(chosen.Rows) != 2 {
		t.Errorf("B5 has %d containers of shop_web, want 2", len(chosen.Rows))
	}
}
