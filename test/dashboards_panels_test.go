package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// boards asks a real Elasticsearch what dashboards ask.
type boards struct {
	server   *lab.ElasticsearchServer
	from, to time.Time
	all      []*kibana.Dashboard
}

// layersOf returns the layers of a panel's chart, in the order of its searches.
func layersOf(p *kibana.Panel) []*kibana.Layer {
	switch c := p.Chart.(type) {
	case *kibana.XY:
		return c.Layers
	case *kibana.Figure:
		return []*kibana.Layer{c.Layer}
	case *kibana.Rows:
		return []*kibana.Layer{c.Layer}
	case *kibana.Heat:
		return []*kibana.Layer{c.Layer}
	}
	return nil // a text
}

// tables returns what the layers of a panel show, with these filters chosen.
func (b *boards) tables(t testing.TB, p *kibana.Panel, filters ...kibana.Query) []kibana.Table {
	t.Helper()
	var tables []kibana.Table
	for _, s := range p.Searches(b.from, b.to, filters...) {
		answer, err := b.server.Do(t.Context(), http.MethodPost, "/"+kibana.DefaultPrefix+"-*/_search", string(s.Body))
		if err != nil {
			t.Fatalf("panel %s: %v\n%s", p.ID, err, s.Body)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		table, err := p.Table(s.Layer, text)
		if err != nil {
			t.Fatalf("panel %s: %v\n%s", p.ID, err, text)
		}
		tables = append(tables, table)
	}
	return tables
}

// panel returns a panel by its id.
func (b *boards) panel(t testing.TB, id string) *kibana.Panel {
	t.Helper()
	for _, d := range b.all {
		for _, p := range d.Panels {
			if p.ID == id {
				return p
			}
		}
	}
	t.Fatalf("no dashboard has a panel %s", id)
	return nil
}

// shown is a table in which cells are found by their columns' names.
type shown struct {
	panel string
	kibana.Table
}

// table returns what the n-th layer of a panel shows, with these filters chosen.
func (b *boards) table(t testing.TB, id string, n int, filters ...kibana.Query) shown {
	t.Helper()
	return shown{id, b.tables(t, b.panel(t, id), filters...)[n]}
}

// column returns the number of a column.
func (s shown) column(t testing.TB, name string) int {
	t.Helper()
	for i, c := range s.Columns {
		if c.Name == name {
			return i
		}
	}
	t.Fatalf("panel %s has no column %q among %v", s.panel, name, s.Columns)
	return 0
}

// number returns a number in a row.
func (s shown) number(t testing.TB, row []any, name string) float64 {
	t.Helper()
	v, ok := row[s.column(t, name)].(float64)
	if !ok {
		t.Errorf("panel %s: %q is no number in %v", s.panel, name, row)
	}
	return v
}

// rowsOf returns the rows in which the first column is this.
func (s shown) rowsOf(first string) (rows [][]any) {
	for _, row := range s.Rows {
		if fmt.Sprint(row[0]) == first {
			rows = append(rows, row)
		}
	}
	return rows
}

// rowOf returns the only row in which the first column is this.
func (s shown) rowOf(t testing.TB, first string) []any {
	t.Helper()
	rows := s.rowsOf(first)
	if len(rows) != 1 {
		t.Fatalf("panel %s has %d rows of %s, want 1: %v", s.panel, len(rows), first, s.Rows)
	}
	return rows[0]
}

// sum adds up a column, of which missing numbers are none.
func (s shown) sum(t testing.TB, name string) (sum float64) {
	t.Helper()
	i := s.column(t, name)
	for _, row := range s.Rows {
		v, _ := row[i].(float64)
		sum += v
	}
	return sum
}

// chosen are values that are chosen in controls, by the letter of the dashboard and the field:
// the boards of one service, node or container are about those on which the most happens.
func (b *boards) chosen(t testing.TB) map[string]map[string]string {
	t.Helper()
	writers := b.table(t, "B5", 0, kibana.Is("swarm.service.name", "market_writer"))
	writer := writers.Rows[0]
	return map[string]map[string]string{
		"B": {"swarm.service.name": scaled},
		"C": {"host.name": fmt.Sprint(writer[writers.column(t, "Node")])},
		"D": {"container.name": fmt.Sprint(writer[0])},
	}
}

// checkShown fails the test for a number of a panel that no row has, or that is zero in each:
// a sum of a field that no document has is zero, too. What this machine can't have is in
// dashboardsLack, whose every line has to be needed.
func (b *boards) checkShown(t *testing.T) {
	known, used := dashboardsLack(), map[string]bool{}
	lacks := func(id, why string) {
		t.Helper()
		for _, pattern := range [...]string{id, "*" + id[strings.LastIndexByte(id, '/')+1:]} {
			if _, ok := known[pattern]; ok {
				used[pattern] = true
				return
			}
		}
		t.Errorf("%s: %s", id, why)
	}
	chosen := b.chosen(t)
	for _, d := range b.all {
		var filters []kibana.Query
		if name, ok := chosen[d.Letter]["container.name"]; ok {
			filters = append(filters, kibana.Is("container.name", name))
		}
		charts := 0
		for _, p := range d.Panels {
			for n, table := range b.tables(t, p, filters...) {
				charts++
				if len(table.Rows) == 0 {
					lacks(p.ID, fmt.Sprintf("%q: layer %d is empty", p.Title, n))
					continue
				}
				for i, c := range table.Columns {
					if c.Bucket {
						continue
					}
					if !somewhere(table, i) {
						lacks(p.ID+"/"+c.Name, fmt.Sprintf("%q shows nothing but nothing and zero", p.Title))
					}
				}
			}
		}
		if charts == 0 {
			t.Errorf("dashboard %s has no chart", d.Title)
		}
	}
	for id, l := range known {
		if !used[id] && !l.varies {
			t.Errorf("dashboardsLack has a line for %s (%s), which shows something", id, l.why)
		}
	}
}

// somewhere tells whether a column has a value that isn't zero.
func somewhere(table kibana.Table, column int) bool {
	for _, row := range table.Rows {
		switch v := row[column].(type) {
		case nil:
		case float64:
			if v != 0 {
				return true
			}
		case string:
			if strings.TrimSpace(v) != "" {
				return true
			}
		case bool:
			if v {
				return true
			}
		default: // a time
			return true
		}
	}
	return false
}
