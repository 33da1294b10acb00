package kibana

// Heat shows the metric of a layer with two buckets as colours: the first bucket goes
// down, the second across.
type Heat struct {
	Layer *Layer
}

func (*Heat) kind() string { return "lnsHeatmap" }

func (c *Heat) layers() []*Layer { return []*Layer{c.Layer} }

func (c *Heat) state() object {
	l := c.Layer
	return object{
		"layerId": l.id, "layerType": "data", "shape": "heatmap",
		"yAccessor": l.bucketID(0), "xAccessor": l.bucketID(1), "valueAccessor": l.metricID(0),
		"legend": object{"isVisible": true, "position": "right", "type": "heatmap_legend"},
		"gridConfig": object{
			"type": "heatmap_grid", "isCellLabelVisible": false,
			"isXAxisLabelVisible": true, "isXAxisTitleVisible": false,
			"isYAxisLabelVisible": true, "isYAxisTitleVisible": false,
		},
		"palette": object{
			"type": "palette", "name": "negative", "accessor": l.metricID(0),
			"params": object{"name": "negative", "reverse": false, "continuity": "above", "rangeType": "percent", "rangeMin": 0, "rangeMax": nil, "stops": []object{}},
		},
	}
}
