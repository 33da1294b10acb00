package kibanatest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// panel is a panel of a dashboard that has the right shape.
type panel struct {
	Type             string
	PanelIndex       string
	GridData         grid
	EmbeddableConfig struct {
		Attributes   lens
		Enhancements struct {
			DynamicActions struct {
				Events []struct {
					EventID string
					Action  struct{ FactoryID string }
				}
			}
		}
	}
}

// grid is where a panel lies, in columns and rows.
type grid struct {
	X, Y, W, H int
	I          string
}

func (g *grid) overlaps(other *grid) bool {
	return g.X < other.X+other.W && other.X < g.X+g.W && g.Y < other.Y+other.H && other.Y < g.Y+g.H
}

// control is a menu above the panels.
type control struct {
	ExplicitInput struct{ ID, FieldName string }
}

// parts returns the panels and the controls of a dashboard that has the right shape.
func (o *savedObject) parts() (panels []panel, controls map[string]control) {
	for _, part := range []struct {
		text string
		into any
	}{{o.Attributes.PanelsJSON, &panels}, {o.Attributes.ControlGroupInput.PanelsJSON, &controls}} {
		if part.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(part.text), part.into); err != nil {
			panic(err) // its shape was looked at
		}
	}
	return panels, controls
}

// checkDashboard looks at what the shape of a dashboard doesn't tell.
func checkDashboard(o savedObject, report reporter) {
	panels, controls := o.parts()
	uses := uses{named: map[string]reference{}, used: map[string]bool{}, report: report}
	for _, r := range o.References {
		if _, ok := uses.named[r.Name]; ok {
			report("references", r.Name+" is there twice")
		}
		uses.named[r.Name] = r
		if r.Type == "tag" && strings.HasPrefix(r.Name, "tag-") {
			uses.used[r.Name] = true
		}
	}
	for _, id := range sortedKeys(controls) {
		if controls[id].ExplicitInput.ID != id {
			report("control "+id, "has another id in its input")
		}
		uses.use("index-pattern", "controlGroup_"+id+":optionsListDataView")
	}
	seen := map[string]bool{}
	for i := range panels {
		p := &panels[i]
		if seen[p.PanelIndex] {
			report("panel "+p.PanelIndex, "is there twice")
		}
		seen[p.PanelIndex] = true
		checkGrid(panels, i, report)
		for _, event := range p.EmbeddableConfig.Enhancements.DynamicActions.Events {
			uses.use("dashboard", p.PanelIndex+":drilldown:"+event.Action.FactoryID+":"+event.EventID+":dashboardId")
		}
		if p.Type != "lens" {
			continue
		}
		inside := func(path, fault string) { report("panel "+p.PanelIndex+" "+path, fault) }
		chart := &p.EmbeddableConfig.Attributes
		for _, r := range chart.References {
			if uses.use(r.Type, p.PanelIndex+":"+r.Name) && uses.named[p.PanelIndex+":"+r.Name].ID != r.ID {
				inside("references", r.Name+" is another object than in the dashboard's references")
			}
		}
		chart.check(inside)
	}
	for _, r := range o.References {
		if !uses.used[r.Name] {
			report("references", r.Name+" isn't used")
		}
	}
}

// checkGrid looks at the place of the n-th panel.
func checkGrid(panels []panel, n int, report reporter) {
	const width = 48
	p := &panels[n]
	g := &p.GridData
	path := "panel " + p.PanelIndex
	if g.I != p.PanelIndex {
		report(path, "has another name in its place on the grid")
	}
	if g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > width {
		report(path, fmt.Sprintf("isn't within the %d columns of the grid", width))
	}
	for i := range panels[:n] {
		if g.overlaps(&panels[i].GridData) {
			report(path, "overlaps panel "+panels[i].PanelIndex)
		}
	}
}

// uses are the references of a dashboard, and which of them something needs.
type uses struct {
	named  map[string]reference
	used   map[string]bool
	report reporter
}

// use says that something needs the reference, and returns whether it is there.
func (u *uses) use(typ, name string) bool {
	r, ok := u.named[name]
	if !ok || r.Type != typ {
		u.report("references", fmt.Sprintf("lack %s, to an object of type %s", name, typ))
		return false
	}
	u.used[name] = true
	return true
}

// lens is a chart that has the right shape.
type lens struct {
	VisualizationType string
	References        []reference
	State             struct {
		Query            query
		DatasourceStates struct {
			FormBased struct{ Layers map[string]layer }
		}
		Visualization visualization
	}
}

type query struct{ Query string }

// visualization has what the kinds of charts say of layers and columns.
type visualization struct {
	visualizationLayer
	Layers  []visualizationLayer
	Columns []struct{ ColumnID string }
	Sorting struct{ ColumnID string }
	Palette struct{ Accessor string }
}

// visualizationLayer is one layer of an XY chart, or the only one of another chart.
type visualizationLayer struct {
	LayerID, LayerType                                                  string
	XAccessor, YAccessor, SplitAccessor, BreakdownByAccessor            string
	ValueAccessor, MetricAccessor, SecondaryMetricAccessor, MaxAccessor string
	Accessors                                                           []string
	YConfig                                                             []struct{ ForAccessor string }
	Annotations                                                         []annotation
}

// annotation is a kind of event that an XY chart marks.
type annotation struct {
	ID, TimeField string
	Filter        query
}

// check looks at the layers of a chart, and at what it shows of them.
func (c *lens) check(report reporter) {
	layers := c.State.DatasourceStates.FormBased.Layers
	var wanted, named []string
	for _, id := range sortedKeys(layers) {
		wanted = append(wanted, "indexpattern-datasource-layer-"+id)
		l := layers[id]
		l.check(func(path, fault string) { report("layer "+id+" "+path, fault) })
	}

	v := &c.State.Visualization
	shown := v.Layers
	if c.VisualizationType != "lnsXY" {
		shown = []visualizationLayer{v.visualizationLayer}
	}
	var ids []string
	for i := range shown {
		if shown[i].LayerType == "annotations" {
			wanted = append(wanted, "xy-visualization-layer-"+shown[i].LayerID)
			continue // it has no columns
		}
		ids = append(ids, shown[i].LayerID)
		if l, ok := layers[shown[i].LayerID]; ok {
			v.checkAccessors(&shown[i], l, report)
		}
	}
	for _, r := range c.References {
		named = append(named, r.Name)
	}
	slices.Sort(named)
	slices.Sort(wanted)
	if !slices.Equal(wanted, named) {
		report("references", fmt.Sprintf("are %v, the layers need %v", named, wanted))
	}
	slices.Sort(ids)
	if !slices.Equal(ids, sortedKeys(layers)) {
		report("visualization", fmt.Sprintf("shows the layers %v, there are %v", ids, sortedKeys(layers)))
	}
}

// checkAccessors looks at the columns that a chart shows of a layer.
func (v *visualization) checkAccessors(shown *visualizationLayer, l layer, report reporter) {
	accessor := func(what, id string, bucketed bool) {
		if id == "" {
			return
		}
		switch column, ok := l.Columns[id]; {
		case !ok:
			report("visualization", fmt.Sprintf("shows column %s, which layer %s hasn't got", id, shown.LayerID))
		case column.IsBucketed != bucketed:
			report("visualization", fmt.Sprintf("%s is column %s, which is of the other kind", what, id))
		case l.isPart(id):
			report("visualization", fmt.Sprintf("shows column %s, which is a part of a formula", id))
		}
	}
	for _, id := range []string{shown.XAccessor, shown.YAccessor, shown.SplitAccessor, shown.BreakdownByAccessor} {
		accessor("a group", id, true)
	}
	values := append([]string{shown.ValueAccessor, shown.MetricAccessor, shown.SecondaryMetricAccessor, shown.MaxAccessor, v.Palette.Accessor}, shown.Accessors...)
	for _, look := range shown.YConfig {
		values = append(values, look.ForAccessor)
	}
	for _, id := range values {
		accessor("a value", id, false)
	}
	var shownColumns []string
	for _, column := range v.Columns {
		accessor("a column of the table", column.ColumnID, l.Columns[column.ColumnID].IsBucketed)
		shownColumns = append(shownColumns, column.ColumnID)
	}
	if id := v.Sorting.ColumnID; id != "" && !slices.Contains(shownColumns, id) {
		report("visualization", "is sorted by column "+id+", which it doesn't show")
	}
}
