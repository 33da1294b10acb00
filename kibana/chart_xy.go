package kibana

import "strconv"

// Series is how a layer of an XY chart is drawn; its text is Lens' word.
type Series string

// The series of XY charts.
const (
	Lines       Series = "line"
	Areas       Series = "area_stacked"
	Bars        Series = "bar_stacked"
	SidewayBars Series = "bar_horizontal"
)

// XY shows values over time or over groups. In each layer, the last bucket is the axis,
// and one before it, if there is one, splits the values into series.
type XY struct {
	Layers []*Layer
	// Left and Right name what the axes show, with the unit.
	Left, Right string
	// Steps draws lines as steps, for what changes at once.
	Steps bool
	// Lines are constants that are drawn across.
	Lines []Line
	// Marks are events that are drawn on the axis of time. Their documents have to be among
	// those of the panel.
	Marks []Mark
}

// Mark is a kind of event that is drawn on the axis of time.
type Mark struct {
	Label string
	Where Query
	Color string
}

// Line is a constant that is drawn across an XY chart.
type Line struct {
	Label string
	At    float64
	Unit  Unit
}

func (*XY) kind() string { return "lnsXY" }

func (c *XY) layers() []*Layer { return c.Layers }

// lineLayerID is the id of the layer that has the constants.
func (c *XY) lineLayerID() string { return c.Layers[0].id + "-lines" }

func (c *XY) state() object {
	var layers []object
	for _, l := range c.Layers {
		layers = append(layers, c.layer(l))
	}
	if len(c.Lines) > 0 {
		layers = append(layers, c.lineLayer())
	}
	if len(c.Marks) > 0 {
		layers = append(layers, c.markLayer())
	}
	curve := "LINEAR"
	if c.Steps {
		curve = "CURVE_STEP_AFTER"
	}
	sides := func(x bool) object { return object{"x": x, "yLeft": true, "yRight": true} }
	state := object{
		"layers":                       layers,
		"preferredSeriesType":          string(c.Layers[0].Series),
		"legend":                       object{"isVisible": true, "position": "bottom", "showSingleSeries": false, "shouldTruncate": true, "maxLines": 1},
		"valueLabels":                  "hide",
		"fittingFunction":              "None",
		"curveType":                    curve,
		"axisTitlesVisibilitySettings": sides(false),
		"tickLabelsVisibilitySettings": sides(true),
		"gridlinesVisibilitySettings":  sides(true),
		"yLeftExtent":                  object{"mode": "full"},
		"yRightExtent":                 object{"mode": "full"},
		"yTitle":                       c.Left,
		"showCurrentTimeMarker":        false,
	}
	if c.Right != "" {
		state["yRightTitle"] = c.Right
	}
	return state
}

func (c *XY) layer(l *Layer) object {
	axis := len(l.Buckets) - 1
	layer := object{
		"layerId": l.id, "layerType": "data", "seriesType": string(l.Series),
		"xAccessor": l.bucketID(axis), "position": "top", "showGridlines": false,
	}
	if axis > 0 {
		layer["splitAccessor"] = l.bucketID(0)
		layer["palette"] = object{"type": "palette", "name": "default"}
	}
	var accessors []string
	var looks []object
	for i := range l.Metrics {
		m := &l.Metrics[i]
		accessors = append(accessors, l.metricID(i))
		look := object{"forAccessor": l.metricID(i), "axisMode": "left"}
		if m.Right {
			look["axisMode"] = "right"
		}
		if m.Color != "" {
			look["color"] = m.Color
		}
		looks = append(looks, look)
	}
	layer["accessors"], layer["yConfig"] = accessors, looks
	return layer
}

// lineLayer returns the layer of constants.
func (c *XY) lineLayer() object {
	var accessors []string
	var looks []object
	for i := range c.Lines {
		accessors = append(accessors, c.lineID(i))
		looks = append(looks, object{
			"forAccessor": c.lineID(i), "axisMode": "left", "color": "#cc5642",
			"lineStyle": "dashed", "lineWidth": 1, "fill": "none", "textVisibility": true,
		})
	}
	return object{"layerId": c.lineLayerID(), "layerType": "referenceLine", "accessors": accessors, "yConfig": looks}
}

func (c *XY) lineID(n int) string { return c.lineLayerID() + strconv.Itoa(n) }

// lineState returns the constants as Lens' data source stores them.
func (c *XY) lineState() object {
	all := columns{byID: object{}}
	for i, line := range c.Lines {
		params := object{"value": formatNumber(line.At)}
		if format := line.Unit.format(); format != nil {
			params["format"] = format
		}
		all.add(c.lineID(i), object{
			"label": line.Label, "customLabel": true,
			"operationType": "static_value", "isStaticValue": true,
			"dataType": "number", "isBucketed": false, "scale": "ratio",
			"params": params, "references": []string{},
		})
	}
	return object{"columns": all.byID, "columnOrder": all.order, "incompleteColumns": object{}, "ignoreGlobalFilters": false, "sampling": 1}
}

// markLayerID is the id of the layer that has the marks.
func (c *XY) markLayerID() string { return c.Layers[0].id + "-marks" }

// markLayer returns the layer of marks. Lens keeps its data view among the references.
func (c *XY) markLayer() object {
	var annotations []object
	for i, m := range c.Marks {
		annotations = append(annotations, object{
			"type": "query", "id": c.markLayerID() + strconv.Itoa(i), "label": m.Label,
			"key": object{"type": "point_in_time"}, "timeField": c.Layers[0].view.timeField,
			"filter": object{"type": "kibana_query", "language": "kuery", "query": m.Where.String()},
			"color":  m.Color, "icon": "flag", "lineStyle": "dashed", "lineWidth": 1,
		})
	}
	return object{
		"layerId": c.markLayerID(), "layerType": "annotations", "persistanceType": "byValue",
		"annotations": annotations, "ignoreGlobalFilters": false,
	}
}
