package test

import (
	"encoding/json"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
)

// recordVariable names the file that TestDashboards writes what panels show to, for
// test/pictures. With it, the Swarm runs for longer than a test has to.
const recordVariable = "SWARMGAUGE_PICTURES"

// recordedTime is how long the Swarm runs before it is recorded.
const recordedTime = 4 * time.Minute

// recording is what test/pictures draws. Times are milliseconds since the epoch.
type recording struct {
	From       int64               `json:"from"`
	To         int64               `json:"to"`
	Dashboards []recordedDashboard `json:"dashboards"`
}

type recordedDashboard struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Controls []recordedControl `json:"controls"`
	Panels   []recordedPanel   `json:"panels"`
}

type recordedControl struct {
	Title  string `json:"title"`
	Chosen string `json:"chosen,omitempty"`
}

type recordedPanel struct {
	ID          string          `json:"id"`
	Title       string          `json:"title"`
	Kind        string          `json:"kind"` // xy, number, table, heat, text
	Text        string          `json:"text,omitempty"`
	X           int             `json:"x"`
	Y           int             `json:"y"`
	W           int             `json:"w"`
	H           int             `json:"h"`
	Description string          `json:"description"`
	Last        string          `json:"last,omitempty"`   // the panel's own time range, as "24h" or "7d"
	SortBy      *int            `json:"sortBy,omitempty"` // number of the column by which a table is sorted
	Steps       bool            `json:"steps,omitempty"`
	Left        string          `json:"left,omitempty"`
	Right       string          `json:"right,omitempty"`
	Lines       []kibana.Line   `json:"lines,omitempty"`
	Layers      []recordedLayer `json:"layers"`
}

type recordedLayer struct {
	Series  kibana.Series    `json:"series,omitempty"`
	Columns []recordedColumn `json:"columns"`
	Rows    [][]any          `json:"rows"`
}

type recordedColumn struct {
	Name   string         `json:"name"`
	Unit   kibana.Unit    `json:"unit"`
	Bucket bool           `json:"bucket"`
	Color  string         `json:"color,omitempty"`
	Right  bool           `json:"right,omitempty"`
	Limits *kibana.Limits `json:"limits,omitempty"`
}

// record writes what all panels show to a file.
func (b *boards) record(t testing.TB, path string) {
	t.Helper()
	chosen := b.chosen(t)
	r := recording{From: b.from.UnixMilli(), To: b.to.UnixMilli()}
	for _, d := range b.all {
		var filters []kibana.Query
		for field, value := range maps.All(chosen[d.Letter]) {
			filters = append(filters, kibana.Is(field, value))
		}
		recorded := recordedDashboard{ID: d.ID, Title: d.Title}
		for _, c := range d.Controls {
			recorded.Controls = append(recorded.Controls, recordedControl{c.Title, chosen[d.Letter][c.Field]})
		}
		for _, p := range d.Panels {
			recorded.Panels = append(recorded.Panels, b.recordPanel(t, p, filters))
		}
		r.Dashboards = append(r.Dashboards, recorded)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (b *boards) recordPanel(t testing.TB, p *kibana.Panel, filters []kibana.Query) recordedPanel {
	t.Helper()
	r := recordedPanel{ID: p.ID, Title: p.Title, Description: p.Description, Text: p.Text, Last: p.Last, Kind: "text", Layers: []recordedLayer{}}
	r.X, r.Y, r.W, r.H = p.Place()
	switch c := p.Chart.(type) {
	case *kibana.XY:
		r.Kind, r.Steps, r.Left, r.Right, r.Lines = "xy", c.Steps, c.Left, c.Right, c.Lines
	case *kibana.Figure:
		r.Kind = "number"
	case *kibana.Rows:
		r.Kind = "table"
		if c.SortBy >= 0 {
			column := len(c.Layer.Buckets) + c.SortBy
			r.SortBy = &column
		}
	case *kibana.Heat:
		r.Kind = "heat"
	}
	layers := layersOf(p)
	for n, table := range b.tables(t, p, filters...) {
		r.Layers = append(r.Layers, recordLayer(layers[n], table))
	}
	return r
}

func recordLayer(l *kibana.Layer, table kibana.Table) recordedLayer {
	r := recordedLayer{Series: l.Series, Rows: [][]any{}}
	for i, c := range table.Columns {
		column := recordedColumn{Name: c.Name, Unit: c.Unit, Bucket: c.Bucket}
		if i >= len(l.Buckets) {
			m := &l.Metrics[i-len(l.Buckets)]
			column.Color, column.Right = m.Color, m.Right
			if m.Limits != (kibana.Limits{}) {
				column.Limits = &m.Limits
			}
		}
		r.Columns = append(r.Columns, column)
	}
	for _, row := range table.Rows {
		cells := make([]any, len(row))
		for i, cell := range row {
			cells[i] = cell
			if at, ok := cell.(time.Time); ok {
				cells[i] = map[string]int64{"time": at.UnixMilli()}
			}
		}
		r.Rows = append(r.Rows, cells)
	}
	return r
}
