package kibana

// Rows shows a layer as a table: a row for each bucket, a column for each metric.
type Rows struct {
	Layer *Layer
	// SortBy is the number of the metric by which rows are sorted, the largest first; -1
	// leaves them in the order of the buckets.
	SortBy int
}

func (*Rows) kind() string { return "lnsDatatable" }

func (c *Rows) layers() []*Layer { return []*Layer{c.Layer} }

func (c *Rows) state() object {
	l := c.Layer
	var columns []object
	for i := range l.Buckets {
		columns = append(columns, object{"columnId": l.bucketID(i), "isTransposed": false, "isMetric": false, "oneClickFilter": !l.Buckets[i].isTime()})
	}
	for i := range l.Metrics {
		m := &l.Metrics[i]
		column := object{"columnId": l.metricID(i), "isTransposed": false, "isMetric": true}
		if m.Limits != (Limits{}) {
			column["colorMode"], column["palette"] = "cell", m.Limits.palette()
		}
		columns = append(columns, column)
	}
	state := object{
		"layerId": l.id, "layerType": "data", "columns": columns,
		"paging":          object{"enabled": true, "size": 10},
		"rowHeight":       "single",
		"headerRowHeight": "auto",
	}
	if c.SortBy >= 0 {
		state["sorting"] = object{"columnId": l.metricID(c.SortBy), "direction": "desc"}
	}
	return state
}
