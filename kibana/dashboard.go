package kibana

import "fmt"

// Dashboard is one page of panels.
type Dashboard struct {
	// ID is the id of the saved object.
	ID string
	// Letter is what the ids of its panels begin with.
	Letter      string
	Title       string
	Description string
	// Controls are the menus above the panels, each of which offers what those before it
	// leave.
	Controls []Control
	// Panels are in the order of reading.
	Panels []*Panel

	view view
}

// Ids of dashboards, which links name.
const (
	swarmID      = "swarmgauge-swarm"
	serviceID    = "swarmgauge-service"
	nodeID       = "swarmgauge-node"
	containerID  = "swarmgauge-container"
	neighboursID = "swarmgauge-neighbours"
	diskID       = "swarmgauge-disk"
	agentsID     = "swarmgauge-agents"
	legacyID     = "swarmgauge-legacy-board"
)

// Dashboards returns the dashboards A to H.
func Dashboards() []*Dashboard {
	boards := []*Dashboard{
		swarmBoard(),
		serviceBoard(),
		nodeBoard(),
		containerBoard(),
		neighboursBoard(),
		diskBoard(),
		agentsBoard(),
		legacyBoard(),
	}
	for _, d := range boards {
		d.Panels = append([]*Panel{d.navigation(boards)}, d.Panels...)
		for _, p := range d.Panels[1:] {
			p.y += navigationHeight
		}
		for _, p := range d.Panels {
			p.adopt(d.view)
		}
	}
	return boards
}

// The grid of a dashboard has 48 columns, whatever the width of the window.
const (
	gridWidth        = 48
	navigationHeight = 3
)

// row is panels side by side.
type row struct {
	height int
	panels []*Panel
	widths []int // nil for equal ones
}

// across returns a row of panels of the same width.
func across(height int, panels ...*Panel) row { return row{height: height, panels: panels} }

// split returns a row of panels of these widths.
func split(height int, widths []int, panels ...*Panel) row {
	return row{height: height, panels: panels, widths: widths}
}

// arrange returns the panels of the rows, each in its place.
func arrange(rows ...row) []*Panel {
	var all []*Panel
	y := 0
	for _, r := range rows {
		x := 0
		for i, p := range r.panels {
			width := gridWidth / len(r.panels)
			if r.widths != nil {
				width = r.widths[i]
			}
			p.x, p.y, p.width, p.height = x, y, width, r.height
			x += width
		}
		if x > gridWidth {
			panic(fmt.Sprintf("the row of panel %s is %d wide", r.panels[0].ID, x))
		}
		y += r.height
		all = append(all, r.panels...)
	}
	return all
}

// navigation returns the panel that leads to the other dashboards.
func (d *Dashboard) navigation(boards []*Dashboard) *Panel {
	text := ""
	for i, other := range boards {
		if i > 0 {
			text += " · "
		}
		if other.ID == d.ID {
			text += "**" + other.Title + "**"
		} else {
			text += "[" + other.Title + "](#/view/" + other.ID + ")"
		}
	}
	return &Panel{
		ID: d.Letter + "0", Title: "Dashboards", Text: text,
		width: gridWidth, height: navigationHeight,
	}
}

// object returns the dashboard as a saved object.
func (d *Dashboard) object() Object {
	panels := []object{}
	references := []Reference{}
	for _, p := range d.Panels {
		state, named := p.state()
		panels = append(panels, state)
		references = append(references, named...)
	}
	controls, named := d.controls()
	references = append(references, named...)
	references = append(references, Reference{Name: "tag-ref-" + tagID, Type: "tag", ID: tagID})
	return Object{
		ID: d.ID, Type: "dashboard",
		Attributes: object{
			"title":             d.Title + " [swarmgauge]",
			"description":       d.Description,
			"version":           1,
			"timeRestore":       false,
			"controlGroupInput": controls,
			"panelsJSON":        embed(panels),
			"optionsJSON": embed(object{
				"useMargins": true, "hidePanelTitles": false,
				"syncColors": true, "syncCursor": true, "syncTooltips": false,
			}),
			"kibanaSavedObjectMeta": object{
				"searchSourceJSON": embed(object{"query": Query{}.state(), "filter": []object{}}),
			},
		},
		References:           references,
		CoreMigrationVersion: coreVersion, TypeMigrationVersion: dashboardVersion, Managed: true,
	}
}
