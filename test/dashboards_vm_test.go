package test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// checkPanelsOfV2 looks at what panels show of the documents of an agent on a unified hierarchy
// for which TestDashboards, which looks at all others, may have no numbers: those of pressure
// and of a container's devices. The container cpu has wanted more than its quota; disks has read
// from one device and written to another.
func checkPanelsOfV2(t *testing.T, r report, section string) {
	es := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{Version: lab.Elasticsearch8})
	agentSetup(t, "-storage_driver_es_host="+es.URL()).wants(t, 0, `created: index template "cadvisor"`)
	var bulk strings.Builder
	for line := range bytes.Lines(r.unpacked(t, section)) {
		fmt.Fprintf(&bulk, "{\"create\":{\"_index\":%q}}\n%s", kibana.DefaultPrefix+"-2026.01.01", line)
	}
	if answer := mustAsk[struct{ Errors bool }](t, es, http.MethodPost, "/_bulk?refresh=true", bulk.String()); answer.Errors {
		t.Fatal("not all documents were taken")
	}
	documents := r.documents(t, section)
	b := boards{server: es, all: kibana.Dashboards(), from: documents[0].time(), to: documents[len(documents)-1].time().Add(time.Second)}
	burned := selected(documents, func(d document) bool { return d.dataset() == "container" && d.text("container.name") == "cpu" })
	measured := sum(burned, "sample.interval_seconds")
	share := func(what string) float64 { return sum(burned, "container.pressure."+what+"_seconds") / measured }
	if share("cpu.some") < 0.05 {
		t.Fatalf("the container that wants more than its quota has waited for %.3f of the time: the test has lost its point", share("cpu.some"))
	}

	e2 := b.table(t, "E2", 0)
	row := e2.rowOf(t, "cpu")
	roughly(t, "what E2 shows of the time in which it waited for a CPU", e2.number(t, row, "Waited for a CPU"), share("cpu.some"), 1e-6)
	starved := func(d document) bool { return strings.Contains(fmt.Sprint(d["container.verdict"]), "cpu_starved") }
	roughly(t, "what E2 shows of the intervals in which others took its CPU", e2.number(t, row, "Starved"),
		float64(len(selected(burned, starved)))/float64(len(burned)), 1e-6)
	if throttled := e2.number(t, row, "Throttled"); throttled < 0.5 || len(e2.Rows) < 5 {
		t.Errorf("E2 shows that it was throttled in %v of its periods, among %d containers", throttled, len(e2.Rows))
	}
	// When it was alone, its own limit is what it waited for, and nobody else.
	if others := selected(whileBurning(t, r, burned), starved); len(others) > 0 {
		t.Errorf("others took its CPU while there were none: %v", others)
	}
	devices := b.table(t, "D6-devices", 0, kibana.Is("container.name", "disks"))
	moved := map[string]float64{} // of what is read, and what is written
	for _, row := range devices.Rows {
		for _, way := range []string{"Read", "Written"} {
			if v, ok := row[devices.column(t, way)].(float64); ok {
				moved[fmt.Sprint(row[0], " ", way)] += v
			}
		}
	}
	if moved["nvme1n1 Read"] <= 0 || moved["nvme0n1 Written"] <= 0 || moved["nvme1n1 Written"] != 0 {
		t.Errorf("D6-devices shows %v", moved)
	}
	ofDevices := selected(documents, func(d document) bool { return d.dataset() == "container_device" })
	for _, d := range ofDevices {
		if name := d.text("container.name"); name != "disks" && name != "disk" {
			t.Errorf("%s, though it uses one device", d)
		}
	}
	ofDisks := selected(documents, func(d document) bool { return d.dataset() == "container" && d.text("container.name") == "disks" })
	each := sum(selected(ofDevices, func(d document) bool { return d.text("container.name") == "disks" }), "device.disk.read.bytes")
	if all := sum(ofDisks, "container.disk.read.bytes"); each <= 0 || each > all {
		t.Errorf("the devices of disks add up to %v bytes read, in all it has read %v", each, all)
	}

	d4 := b.table(t, "D4", 0, kibana.Is("container.name", "cpu"))
	var most, all float64
	for _, row := range d4.Rows {
		if v, ok := row[d4.column(t, "CPU, some")].(float64); ok {
			most = max(most, v)
		}
		if v, ok := row[d4.column(t, "CPU, all")].(float64); ok {
			all = max(all, v)
		}
	}
	if most < share("cpu.some") || most > 1.1 || all <= 0 {
		t.Errorf("D4 shows that some of it waited for %v of the time at the most, all of it for %v, of %.3f in all", most, all, share("cpu.some"))
	}
}
