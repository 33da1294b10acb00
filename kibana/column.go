package kibana

// columns collects the columns of a layer as Lens stores them.
type columns struct {
	layer *Layer
	byID  object
	order []string
}

func (c *columns) add(id string, column object) {
	c.byID[id] = column
	c.order = append(c.order, id)
}

// state returns the layer as Lens' data source stores it.
func (l *Layer) state() object {
	c := columns{layer: l, byID: object{}}
	for i := range l.Buckets {
		c.add(l.bucketID(i), l.bucketColumn(&l.Buckets[i]))
	}
	for i := range l.Metrics {
		c.addMetric(l.metricID(i), &l.Metrics[i])
	}
	return object{
		"columns":             c.byID,
		"columnOrder":         c.order,
		"incompleteColumns":   object{},
		"ignoreGlobalFilters": false,
		"sampling":            1,
	}
}

// bucketColumn returns the column that stands for buckets.
func (l *Layer) bucketColumn(b *Bucket) object {
	if b.isTime() {
		return object{
			"label": b.Label, "customLabel": true,
			"operationType": "date_histogram", "sourceField": l.view.timeField,
			"dataType": "date", "isBucketed": true, "scale": "interval",
			"params": object{"interval": "auto", "includeEmptyRows": false, "dropPartials": false},
		}
	}
	params := object{
		"size": b.size, "orderBy": object{"type": "alphabetical", "fallback": false}, "orderDirection": "asc",
		"otherBucket": b.other, "missingBucket": false, "parentFormat": object{"id": "terms"},
		"include": []string{}, "exclude": append([]string{}, b.without...), "includeIsRegex": false, "excludeIsRegex": false,
	}
	if b.order.op != "" {
		params["orderBy"] = object{"type": "custom"}
		params["orderDirection"] = "desc"
		params["orderAgg"] = l.aggregationColumn(&b.order, b.order.text(), Pieces)
	}
	dataType := "string"
	if b.number {
		dataType = "number"
	}
	return object{
		"label": b.Label, "customLabel": true,
		"operationType": "terms", "sourceField": b.field,
		"dataType": dataType, "isBucketed": true, "scale": "ordinal",
		"params": params,
	}
}

// addMetric adds the column of a metric: a plain aggregation, or a formula and the parts
// that it is made of.
func (c *columns) addMetric(id string, m *Metric) {
	if m.Value.isAggregation() {
		c.add(id, c.layer.aggregationColumn(&m.Value, m.Label, m.Unit))
	} else {
		c.addFormula(id, m)
	}
}

// aggregationColumn returns the column of an aggregation.
func (l *Layer) aggregationColumn(v *Value, label string, unit Unit) object {
	params := object{}
	if format := unit.format(); format != nil {
		params["format"] = format
	}
	column := object{
		"label": label, "customLabel": true,
		"operationType": v.op, "sourceField": v.field,
		"dataType": v.dataType(), "isBucketed": false, "scale": "ratio",
		"params": params,
	}
	switch v.op {
	case opSum, opCount, opUniqueCount:
		params["emptyAsNull"] = false
	case opPercentile:
		params["percentile"] = v.percentile
	}
	if v.isLast() {
		column["operationType"] = "last_value"
		params["sortField"] = l.view.timeField
		params["showArrayValues"] = false
		if v.op == opLastText {
			column["scale"] = "ordinal"
		}
	}
	if v.where.op != "" {
		column["filter"] = v.where.state()
	}
	if v.window != "" {
		column["reducedTimeRange"] = v.window
	}
	if v.shift != "" {
		column["timeShift"] = v.shift
	}
	return column
}

// state returns the query as Kibana stores it.
func (q Query) state() object {
	return object{"language": "kuery", "query": q.String()}
}
