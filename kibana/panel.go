package kibana

import "strconv"

// Panel is one picture of a dashboard.
type Panel struct {
	// ID is the dashboard's letter and the panel's number in it, as A3 or A5-cpu.
	ID    string
	Title string
	// Description says what is shown, and why it may be empty.
	Description string
	// Where are the documents that it shows.
	Where Query
	// Chart is nil for a panel that shows Text.
	Chart Chart
	// Text is what a panel without chart shows, in Markdown.
	Text string
	// Last is the time that the panel is about, up to the end of the dashboard's time range
	// (Kibana: up to now), as "24h" or "7d"; "" for that time range.
	Last string
	// Links are the dashboards that a click on a group in the panel leads to.
	Links []Link

	view          view
	x, y          int
	width, height int
}

// Link is the ID of the dashboard that a click on a group in a panel leads to. It shows
// the same time and the same filters, and that for what was clicked on beside them. A panel
// leads to dashboards that have a menu of what it groups by, and no others: with a
// container's name as a filter, the dashboard of a node would be empty.
type Link string

// The links that panels have.
const (
	toService   Link = serviceID
	toNode      Link = nodeID
	toContainer Link = containerID

	// Of a node or a service.
	toNeighbours Link = neighboursID
	toDisk       Link = diskID
	// Of a node.
	toAgents Link = agentsID
)

// title is what Kibana offers.
func (l Link) title() string {
	switch l {
	case toService:
		return "Show this service"
	case toNode:
		return "Show this node"
	case toNeighbours:
		return "Show who is in whose way"
	case toDisk:
		return "Show disk space"
	case toAgents:
		return "Show the agent's health"
	default:
		return "Show this container"
	}
}

// panel returns a panel of which the dashboard fills in the rest.
func panel(id, title, description string, where Query, chart Chart, links ...Link) *Panel {
	return &Panel{ID: id, Title: title, Description: description, Where: where, Chart: chart, Links: links}
}

// about has the panel be about the last hours or days, whatever the dashboard is about.
func (p *Panel) about(last string) *Panel {
	p.Last = last
	return p
}

// adopt gives the layers of the panel their ids and their data view.
func (p *Panel) adopt(v view) {
	p.view = v
	if p.Chart == nil {
		return
	}
	for i, l := range p.Chart.layers() {
		l.id, l.view = p.ID+"-"+strconv.Itoa(i+1), v
	}
}

// grid is where the panel lies.
func (p *Panel) grid() object {
	return object{"x": p.x, "y": p.y, "w": p.width, "h": p.height, "i": p.ID}
}

// state returns the panel as a dashboard stores it, and the references in it, which have
// the panel's name before theirs.
func (p *Panel) state() (object, []Reference) {
	state := object{
		"version": panelVersion, "panelIndex": p.ID, "gridData": p.grid(),
		"title": p.Title,
	}
	config := object{"enhancements": object{}, "hidePanelTitles": p.Chart == nil}
	state["embeddableConfig"] = config
	if p.Chart == nil {
		state["type"] = "visualization"
		config["savedVis"] = p.markdown()
		return state, nil
	}
	state["type"] = "lens"
	config["description"] = p.Description
	if p.Last != "" {
		config["timeRange"] = object{"from": "now-" + p.Last, "to": "now"}
	}
	attributes, references := p.lens()
	config["attributes"] = attributes
	if len(p.Links) > 0 {
		actions, to := p.drilldowns()
		config["enhancements"] = object{"dynamicActions": object{"events": actions}}
		references = append(references, to...)
	}
	for i := range references {
		references[i].Name = p.ID + ":" + references[i].Name
	}
	return state, references
}

// lens returns the chart as Lens stores it, and the references in it.
func (p *Panel) lens() (object, []Reference) {
	layers := object{}
	var references []Reference
	add := func(id string, state object) {
		layers[id] = state
		references = append(references, p.view.reference("indexpattern-datasource-layer-"+id))
	}
	for _, l := range p.Chart.layers() {
		add(l.id, l.state())
	}
	if xy, ok := p.Chart.(*XY); ok {
		if len(xy.Lines) > 0 {
			add(xy.lineLayerID(), xy.lineState())
		}
		if len(xy.Marks) > 0 {
			references = append(references, p.view.reference("xy-visualization-layer-"+xy.markLayerID()))
		}
	}
	return object{
		"title": p.Title, "description": p.Description,
		"type": "lens", "visualizationType": p.Chart.kind(),
		"references": append([]Reference(nil), references...),
		"state": object{
			"query": p.Where.state(), "filters": []object{},
			"datasourceStates": object{
				"formBased": object{"layers": layers},
				// Kibana's migrations from before the name was formBased look for this.
				"indexpattern": object{"layers": object{}},
				"textBased":    object{"layers": object{}},
			},
			"visualization":      p.Chart.state(),
			"internalReferences": []Reference{}, "adHocDataViews": object{},
		},
	}, references
}

// markdown returns the text as Kibana's own visualization stores it.
func (p *Panel) markdown() object {
	return object{
		"title": p.Title, "description": p.Description, "type": "markdown",
		"params":  object{"fontSize": 12, "openLinksInNewTab": false, "markdown": p.Text},
		"uiState": object{},
		"data":    object{"aggs": []object{}, "searchSource": object{"query": Query{}.state(), "filter": []object{}}},
	}
}

// drilldowns returns the panel's links as Kibana stores them, and the references to the
// dashboards.
func (p *Panel) drilldowns() ([]object, []Reference) {
	const factory = "DASHBOARD_TO_DASHBOARD_DRILLDOWN"
	var events []object
	var references []Reference
	for _, link := range p.Links {
		id := p.ID + "-to-" + string(link)
		events = append(events, object{
			"eventId": id, "triggers": []string{"FILTER_TRIGGER"},
			"action": object{
				"factoryId": factory, "name": link.title(),
				"config": object{"useCurrentFilters": true, "useCurrentDateRange": true, "openInNewTab": false},
			},
		})
		references = append(references, Reference{Name: "drilldown:" + factory + ":" + id + ":dashboardId", Type: "dashboard", ID: string(link)})
	}
	return events, references
}
