package kibana_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/kibana"
)

// dashboardsMarkdown returns docs/dashboards.md.
func dashboardsMarkdown() []byte {
	var b bytes.Buffer
	b.WriteString(`# Dashboards

Generated from the dashboards in ` + "`kibana/`" + `; don't edit.

[deploy/kibana/swarmgauge.ndjson](../deploy/kibana/swarmgauge.ndjson) has them all, with two data views and a tag, for the
indices ` + "`" + kibana.DefaultPrefix + "-*`" + `: Kibana imports it under Stack Management → Saved Objects → Import. Each import replaces what an
earlier one has made; the objects are marked as managed, so that Kibana offers a copy to whoever wants to change one.

**Kibana 8.9 and later**, 9 included. Kibana 7.17 and 8.0 to 8.8 refuse the file, because its objects are newer than they
are; there, make a data view of the same pattern with the time field ` + "`@timestamp`" + `, and build on the fields of
[METRICS.md](../METRICS.md). No running Kibana was at hand for the tests of this repository. They hold the file against the
schemas that Kibana's source has, and ask every question of every panel of real Elasticsearches, 7.17 and 8.19, as
Kibana would. That a Kibana draws the answers as they are meant, nobody has seen yet: please tell how it looks.

A click on a name in a panel leads to the dashboard of that service, node or container, with the time and the filters
that are set; from nodes also to who is in whose way there, to their disk space and to their agent, where the panel asks
for that. Panels about the Swarm's own state (A1, A2, A8, B1, B6, G3) need an agent with the engine's socket on the
leader; which other things can be missing is said below and, in Kibana, at the little i of each panel.

Of a container, panels show the sums over its interfaces and devices, and the bytes of each interface that an engine
has made (eth0 to eth3), where there are several. Of each device a container has a document, and panel D6-devices a
line, in the intervals in which it used several; always to have one would be several times as many documents. Which
device it used otherwise, Discover shows in cAdvisor's array ` + "`container_stats.diskio`" + `, which isn't indexed:
Elasticsearch doesn't keep together what is in one element of an array. The node's interfaces and devices have
documents of their own, and panels (C5, C6).

The pictures are drawings, not screenshots of Kibana: ` + "`make pictures`" + ` runs a Swarm of three nodes for some minutes, asks a
real Elasticsearch what each panel asks, and draws the answers with the library that Kibana's charts are drawn with. The
nodes are containers of one machine, which is why each of them shows the CPU, memory and disk of the whole.
`)
	for _, d := range kibana.Dashboards() {
		fmt.Fprintf(&b, "\n## %s: %s\n\n%s", d.Letter, d.Title, d.Description)
		for i, c := range d.Controls {
			if i == 0 {
				b.WriteString(" Filters: ")
			} else {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s (`%s`)", c.Title, c.Field)
		}
		fmt.Fprintf(&b, ".\n\n![%s](pictures/%s.png)\n\n| Panel | | |\n|---|---|---|\n", d.Title, d.ID)
		for _, p := range d.Panels {
			if p.Chart != nil {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", p.ID, p.Title, p.Description)
			}
		}
	}
	b.WriteString(`
## Alert rules

` + "`agent setup -rules`" + ` makes these in Kibana, all disabled: give one an action and switch it on. Each is asked once a minute. In
the conditions, a dataset stands without its prefix (` + "`event.dataset: swarmgauge.agent`" + ` is ` + "`agent`" + `), and the minutes are the
time up to now that the number is made of. A rule that looks at groups can't see one without documents; so the silence of
a node is the age of its newest document, which Elasticsearch computes by a script of one line (` + "`silent_seconds`" + `, a
field of the rule alone).

| Rule | Fires when |
|---|---|
`)
	for _, r := range kibana.Rules(kibana.DefaultPrefix, "") {
		fmt.Fprintf(&b, "| %s | %s |\n", strings.TrimPrefix(r.Name, "swarmgauge: "), r.Condition)
	}
	return b.Bytes()
}

// TestPictures wants a small picture of each dashboard.
func TestPictures(t *testing.T) {
	const most = 60 << 10
	for _, d := range kibana.Dashboards() {
		path := "../docs/pictures/" + d.ID + ".png"
		if f, err := os.Stat(path); err != nil || f.Size() > most {
			t.Errorf("%s: %v; want a picture of at most %d bytes: make pictures", path, err, most)
		}
	}
}

// TestDashboardsMarkdown keeps docs/dashboards.md current.
func TestDashboardsMarkdown(t *testing.T) {
	const path = "../docs/dashboards.md"
	if *update {
		if err := os.WriteFile(path, dashboardsMarkdown(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, dashboardsMarkdown()) {
		t.Errorf("%s is not what the dashboards say: go test ./kibana -run TestDashboardsMarkdown -update", path)
	}
}
