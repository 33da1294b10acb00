package kibana

// Heat shows the metric of a layer with two buckets as colours, by the metric's limits:
// the first bucket goes down, the second across.
type Heat struct {
	Layer *Layer
}

func (*Heat) kind() string { return "lnsHeatmap" }

func (c *Heat) layers() []*Layer { return []*Layer{c.Layer} }

func (c *Heat) state() object {
	l := c.Layer
	palette := l.Metrics[0].Limits.palette()
	palette["accessor"] = l.metricID(0)
	return object{
		"layerId": l.id, "layerType": "data", "shape": "heatmap",
		"yAccessor": l.bucketID(0), "xAccessor": l.bucketID(1), "valueAccessor": l.metricID(0),
		"legend": object{"isVisible": true, "position": "right", "type": "heatmap_legend"},
		"gridConfig": object{
			"type": "heatmap_grid", "isCellLabelVisible": false,
			"isXAxisLabelVisible": true, "isXAxisTitleVisible": false,
			"isYAxisLabelVisible": true, "isYAxisTitleVisible": false,
		},
		"palette": palette,
	}
}
