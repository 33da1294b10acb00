package kibanatest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
)

// object is an object of JSON.
type object = map[string]any

// board is a dashboard whose embedded texts are taken apart, so that a test can change
// what is in them.
type board struct {
	object   object
	panels   []any
	controls object
}

// panel returns the panel and the state of its chart.
func (b *board) panel(id string) (panel, state object) {
	for _, p := range b.panels {
		if panel := p.(object); panel["panelIndex"] == id {
			config := panel["embeddableConfig"].(object)
			state, _ := config["attributes"].(object)["state"].(object)
			return panel, state
		}
	}
	panic("no panel " + id)
}

// layer returns the data of a layer of a panel.
func (b *board) layer(panel, id string) object {
	_, state := b.panel(panel)
	return state["datasourceStates"].(object)["formBased"].(object)["layers"].(object)[id].(object)
}

// column returns a column of a layer of a panel.
func (b *board) column(panel, layer, id string) object {
	return b.layer(panel, layer)["columns"].(object)[id].(object)
}

// changed returns the saved objects after f has changed the dashboard of the Swarm.
func changed(t *testing.T, f func(b *board)) []byte {
	t.Helper()
	return changedBoard(t, "swarmgauge-swarm", f)
}

// changedBoard returns the saved objects after f has changed a dashboard.
func changedBoard(t *testing.T, id string, f func(b *board)) []byte {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(kibana.NDJSON(kibana.Objects(kibana.DefaultPrefix)))), "\n")
	for i, line := range lines {
		var b board
		decode(t, line, &b.object)
		if b.object["id"] != id {
			continue
		}
		attributes := b.object["attributes"].(object)
		group := attributes["controlGroupInput"].(object)
		decode(t, attributes["panelsJSON"].(string), &b.panels)
		decode(t, group["panelsJSON"].(string), &b.controls)
		f(&b)
		attributes["panelsJSON"], group["panelsJSON"] = encode(t, b.panels), encode(t, b.controls)
		lines[i] = encode(t, b.object)
		return []byte(strings.Join(lines, "\n") + "\n")
	}
	t.Fatalf("no dashboard %s", id)
	return nil
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestValidateRefuses(t *testing.T) {
	if err := kibanatest.Validate(changed(t, func(*board) {})); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	f := func(want string, change func(b *board)) {
		t.Helper()
		err := kibanatest.Validate(changed(t, change))
		if err == nil {
			t.Errorf("not refused, want %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %q, want %q", err, want)
		}
	}
	const cpu, first, second = "A3", "A3-1", "A3-2"

	// Shapes.
	f("object.attributes.colour is a key that Kibana doesn't know", func(b *board) { b.object["attributes"].(object)["colour"] = "red" })
	f("lacks title", func(b *board) { delete(b.object["attributes"].(object), "title") })
	f("isn't a text", func(b *board) { b.object["attributes"].(object)["title"] = 7 })
	f("isn't a text of JSON", func(b *board) { b.object["attributes"].(object)["optionsJSON"] = "{" })
	f("panelsJSON[0].size is a key that Kibana doesn't know", func(b *board) { b.panels[0].(object)["size"] = 1 })
	f("operationType is cardinality", func(b *board) { b.column(cpu, first, "A3-1-by0")["operationType"] = "cardinality" })
	f("interval is a key that Kibana doesn't know", func(b *board) { b.column(cpu, first, "A3-1-by0")["interval"] = "auto" })
	f("isFormulaBroken", func(b *board) { delete(b.column(cpu, second, "A3-2-of1")["params"].(object), "isFormulaBroken") })
	f("chainingSystem is NEVER", func(b *board) {
		b.object["attributes"].(object)["controlGroupInput"].(object)["chainingSystem"] = "NEVER"
	})
	f("fittingFunction is Spline", func(b *board) {
		_, state := b.panel(cpu)
		state["visualization"].(object)["fittingFunction"] = "Spline"
	})
	f("is one that this package doesn't know", func(b *board) { b.object["type"] = "canvas" })
	f("has none of the shapes", func(b *board) {
		b.column(cpu, second, "A3-2-of1X2")["params"].(object)["tinymathAst"].(object)["name"] = "raise"
	})
	f("has 2 arguments", func(b *board) {
		b.column(cpu, second, "A3-2-of1X2")["params"].(object)["tinymathAst"].(object)["name"] = "floor"
	})

	// References and ids.
	f("is there twice", func(b *board) { b.object["id"] = "swarmgauge-node" })
	f("which isn't in the file", func(b *board) {
		for _, r := range b.object["references"].([]any) {
			if r.(object)["type"] == "tag" {
				r.(object)["id"] = "another"
			}
		}
	})
	f("lack A3:indexpattern-datasource-layer-A3-1", func(b *board) {
		references := b.object["references"].([]any)
		for i, r := range references {
			if r.(object)["name"] == "A3:indexpattern-datasource-layer-A3-1" {
				b.object["references"] = append(references[:i:i], references[i+1:]...)
				return
			}
		}
		t.Fatal("no such reference")
	})
	f("nobody isn't used", func(b *board) {
		b.object["references"] = append(b.object["references"].([]any), object{"name": "nobody", "type": "dashboard", "id": "swarmgauge-node"})
	})
	f("lack controlGroup_control-host-name:optionsListDataView", func(b *board) {
		for _, r := range b.object["references"].([]any) {
			if r.(object)["name"] == "controlGroup_control-host-name:optionsListDataView" {
				r.(object)["name"] = "controlGroup_other:optionsListDataView"
			}
		}
	})
	f("is another object than in the dashboard's references", func(b *board) {
		for _, r := range b.object["references"].([]any) {
			if r.(object)["name"] == "A3:indexpattern-datasource-layer-A3-1" {
				r.(object)["id"] = "swarmgauge-legacy"
			}
		}
	})
	f("lack A8:drilldown:DASHBOARD_TO_DASHBOARD_DRILLDOWN:elsewhere:dashboardId", func(b *board) {
		panel, _ := b.panel("A8")
		actions := panel["embeddableConfig"].(object)["enhancements"].(object)["dynamicActions"].(object)
		actions["events"].([]any)[0].(object)["eventId"] = "elsewhere"
	})
	f("control control-host-name has another id", func(b *board) {
		b.controls["control-host-name"].(object)["explicitInput"].(object)["id"] = "x"
	})

	// The grid.
	move := func(key string, to any) func(*board) {
		return func(b *board) {
			panel, _ := b.panel(cpu)
			panel["gridData"].(object)[key] = to
		}
	}
	f("isn't within the 48 columns", move("x", 40))
	f("isn't within the 48 columns", move("h", 0))
	f("overlaps panel", move("y", 0))
	f("has another name in its place", move("i", "A4"))
	f("panel A4 is there twice", func(b *board) {
		panel, _ := b.panel(cpu)
		panel["panelIndex"], panel["gridData"].(object)["i"] = "A4", "A4"
	})

	// Columns.
	f("columnOrder is", func(b *board) { delete(b.layer(cpu, first)["columns"].(object), "A3-1-of0") })
	f("behind a metric", func(b *board) {
		order := b.layer(cpu, second)["columnOrder"].([]any)
		order[0], order[1] = order[1], order[0]
	})
	f("says wrongly whether it is a bucket", func(b *board) { b.column(cpu, first, "A3-1-by0")["isBucketed"] = false })
	f("which isn't there", func(b *board) { b.column(cpu, second, "A3-2-of1")["references"] = []any{"gone"} })
	f("the arithmetic needs", func(b *board) { b.column(cpu, second, "A3-2-of1X2")["references"] = []any{"A3-2-of1X0"} })
	f("has no unique_count(sample.slot", func(b *board) {
		b.column(cpu, second, "A3-2-of1")["params"].(object)["formula"] = "sum(host.cpu.cores)"
	})
	f("needs buckets of time", func(b *board) {
		c := b.column("A5-cpu", "A5-cpu-1", "A5-cpu-1-of0X2")
		delete(c, "sourceField")
		c["operationType"], c["params"] = "normalize_by_unit", object{"unit": "s"}
		c["references"] = []any{"A5-cpu-1-of0X0"}
	})
	f("doesn't go with buckets of time", func(b *board) { b.column(cpu, second, "A3-2-of1X0")["reducedTimeRange"] = "1m" })
	f("lack orderAgg", func(b *board) { delete(b.column("A5-cpu", "A5-cpu-1", "A5-cpu-1-by0")["params"].(object), "orderAgg") })
	f("can't be sorted by column A5-cpu-1-of0", func(b *board) {
		params := b.column("A5-cpu", "A5-cpu-1", "A5-cpu-1-by0")["params"].(object)
		params["orderBy"] = object{"type": "column", "columnId": "A5-cpu-1-of0"}
	})

	// What charts show.
	look := func(panel string, change func(layer object)) func(*board) {
		return func(b *board) {
			_, state := b.panel(panel)
			visualization := state["visualization"].(object)
			if layers, ok := visualization["layers"].([]any); ok {
				visualization = layers[0].(object)
			}
			change(visualization)
		}
	}
	f("shows column nothing", look(cpu, func(l object) { l["accessors"] = []any{"nothing"} }))
	f("which is of the other kind", look(cpu, func(l object) { l["xAccessor"] = "A3-1-of0" }))
	f("which is a part of a formula", look(cpu, func(l object) { l["accessors"] = []any{"A3-1-of0X0"} }))
	f("shows the layers", look(cpu, func(l object) { l["layerId"] = "A3-9" }))
	f("shows column nothing", look("A2", func(l object) { l["metricAccessor"] = "nothing" }))
	f("shows column nothing", look("A8", func(l object) { l["columns"].([]any)[0].(object)["columnId"] = "nothing" }))
	f("which it doesn't show", look("A8", func(l object) { l["sorting"].(object)["columnId"] = "nothing" }))
	f("the layers need", func(b *board) {
		panel, _ := b.panel(cpu)
		panel["embeddableConfig"].(object)["attributes"].(object)["references"] = []any{}
	})
}

// TestValidateRefusesMarks has the events that a chart marks, which no other panel has.
func TestValidateRefusesMarks(t *testing.T) {
	f := func(want string, change func(panel, marks object)) {
		t.Helper()
		err := kibanatest.Validate(changedBoard(t, "swarmgauge-service", func(b *board) {
			panel, state := b.panel("B2-cpu")
			layers := state["visualization"].(object)["layers"].([]any)
			change(panel, layers[len(layers)-1].(object))
		}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %v, want %q", err, want)
		}
	}
	f("key.type is range", func(_, marks object) {
		marks["annotations"].([]any)[0].(object)["key"].(object)["type"] = "range"
	})
	f("lacks filter", func(_, marks object) { delete(marks["annotations"].([]any)[0].(object), "filter") })
	f("the layers need [indexpattern-datasource-layer-B2-cpu-1 xy-visualization-layer-other]", func(_, marks object) { marks["layerId"] = "other" })
}

func TestValidateFieldsRefuses(t *testing.T) {
	fields := map[string]kibanatest.Field{}
	all := func(typ string, names ...string) {
		for _, name := range names {
			fields[name] = kibanatest.Field{Type: typ}
		}
	}
	// What the dashboard of the Swarm's CPU panel names, which is all that the test looks at.
	all("date", "@timestamp", "container_stats.timestamp")
	all("keyword", "event.dataset", "container.id", "swarm.stack", "swarm.service.name", "host.name", "container.image.name")
	all("long", "host.cpu.cores", "sample.slot")
	all("boolean", "sample.ended")
	all("double", "container.cpu.core_seconds", "host.cpu.core_seconds", "sample.interval_seconds")
	f := func(want string, change func(b *board)) {
		t.Helper()
		err := kibanatest.ValidateFields(onlyPanel(t, "A3", change), fields)
		switch {
		case want == "" && err != nil:
			t.Errorf("unchanged: %v", err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("refused with %v, want %q", err, want)
		}
	}
	query := func(kql string) func(b *board) {
		return func(b *board) {
			_, state := b.panel("A3")
			state["query"].(object)["query"] = kql
		}
	}
	source := func(column, field string) func(b *board) {
		return func(b *board) { b.column("A3", "A3-2", column)["sourceField"] = field }
	}
	f("", func(*board) {})
	f(`no field "host.cpu.kernels"`, source("A3-2-of1X0", "host.cpu.kernels"))
	f("field host.name is a keyword", source("A3-2-of1X0", "host.name"))
	f("field host.name is a keyword, not a date", source("A3-2-by0", "host.name"))
	f("the data view's is @timestamp", source("A3-2-by0", "container_stats.timestamp"))
	f(`no field "container.age"`, query("event.dataset: \"a\" and container.age > 7"))
	f(`no field "container.ago"`, query("container.ago: *"))
	f("isn't larger or smaller", query("host.name > 7"))
	f("field host.cpu.cores is a long, not a keyword", func(b *board) {
		b.controls["control-host-name"].(object)["explicitInput"].(object)["fieldName"] = "host.cpu.cores"
	})
	f(`A3 annotation A3-9: the mapping has no field "event.colour"`, func(b *board) {
		_, state := b.panel("A3")
		layers := state["visualization"].(object)["layers"].([]any)
		layers[0].(object)["annotations"] = []any{object{"id": "A3-9", "timeField": "@timestamp", "filter": object{"query": `event.colour: "red"`}}}
	})
	fields["host.name"] = kibanatest.Field{Type: "keyword", Unindexed: true}
	f("", query(`event.dataset: "host.name: x" and host.name: *`))
	f("can't be searched for", query(`host.name: "a"`))
}

// onlyPanel returns the objects with one panel on the Swarm's dashboard, and no other
// dashboard.
func onlyPanel(t *testing.T, id string, change func(b *board)) []byte {
	t.Helper()
	text := changed(t, func(b *board) {
		panel, _ := b.panel(id)
		b.panels = []any{panel}
		change(b)
	})
	var kept []string
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var o object
		decode(t, line, &o)
		if o["type"] != "dashboard" || o["id"] == "swarmgauge-swarm" {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, "\n") + "\n")
}
