package kibana

// Figure shows the first metric of a layer as one large number, the second, if there is
// one, small below it. A bucket gives each group a number of its own.
type Figure struct {
	Layer *Layer
	// Below is what the large number is followed by.
	Below string
}

func (*Figure) kind() string { return "lnsMetric" }

func (c *Figure) layers() []*Layer { return []*Layer{c.Layer} }

func (c *Figure) state() object {
	l := c.Layer
	state := object{
		"layerId": l.id, "layerType": "data",
		"metricAccessor": l.metricID(0),
	}
	if c.Below != "" {
		state["subtitle"] = c.Below
	}
	if len(l.Metrics) > 1 {
		state["secondaryMetricAccessor"] = l.metricID(1)
		state["secondaryPrefix"] = l.Metrics[1].Label
	}
	if len(l.Buckets) > 0 {
		state["breakdownByAccessor"] = l.bucketID(0)
		state["maxCols"] = 4
	}
	switch m := &l.Metrics[0]; {
	case m.Limits != Limits{}:
		state["palette"] = m.Limits.palette()
	case m.Color != "":
		state["color"] = m.Color
	}
	return state
}
