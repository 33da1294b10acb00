package kibana

import (
	"encoding/json"
	"strconv"
	"time"
)

// Search is the request by which a panel asks one of its layers.
type Search struct {
	// Layer is the layer's id, for Table.
	Layer string
	// Body is for POST /<pattern of the data view>/_search.
	Body []byte
}

// Searches returns one search for each layer, over the time range and, as dashboards do
// with what is chosen in their controls, over documents that all filters fit.
//
// They are as Kibana would send them, but for two things. What Kibana asks for the marks of a
// chart and, once it has an answer, for the group of all others isn't among them. And a value
// of the newest document is asked for by top_hits instead of top_metrics, which
// Elasticsearch's basic modules don't have; the answer is the same.
func (p *Panel) Searches(from, to time.Time, filters ...Query) []Search {
	if p.Chart == nil {
		return nil
	}
	if p.Last != "" {
		from = to.Add(-length(p.Last))
	}
	var searches []Search
	for _, l := range p.Chart.layers() {
		body, err := json.Marshal(newPlan(l).search(p.Where, span{from, to}, filters))
		if err != nil {
			panic(err) // maps of texts, numbers and bools can't fail
		}
		searches = append(searches, Search{Layer: l.id, Body: body})
	}
	return searches
}

// span is a time range.
type span struct{ from, to time.Time }

// earlier returns the span that lies so much before.
func (s span) earlier(d time.Duration) span { return span{s.from.Add(-d), s.to.Add(-d)} }

// query returns the condition that a document's time lies in the span.
func (s span) query(timeField string) object {
	return object{"range": object{timeField: object{
		"format": "strict_date_optional_time",
		"gte":    s.from.UTC().Format(timeLayout), "lte": s.to.UTC().Format(timeLayout),
	}}}
}

const timeLayout = "2006-01-02T15:04:05.000Z"

// plan names the aggregations of a layer: Lens numbers its columns, buckets first.
type plan struct {
	layer  *Layer
	values []*Value // the aggregations of all metrics, in order
}

func newPlan(l *Layer) *plan {
	p := &plan{layer: l}
	for i := range l.Metrics {
		p.values = append(p.values, l.Metrics[i].Value.aggregations()...)
	}
	return p
}

// bucketName and valueName are the names of aggregations in the request and the answer.
func (p *plan) bucketName(n int) string { return strconv.Itoa(n) }
func (p *plan) valueName(n int) string  { return strconv.Itoa(len(p.layer.Buckets) + n) }

// search returns the request.
func (p *plan) search(where Query, within span, filters []Query) object {
	conditions := []any{}
	for _, q := range append([]Query{where}, filters...) {
		if q.op != "" {
			conditions = append(conditions, q.elasticsearch())
		}
	}
	aggregations := p.nest(0, within)
	if shift := p.layer.shift(); shift != "" {
		before := within.earlier(length(shift))
		field := p.layer.view.timeField
		conditions = append(conditions, should(within.query(field), before.query(field)))
		aggregations = object{splitName: object{
			"filters": object{"filters": object{
				nowKey: within.query(field), beforeKey: before.query(field),
			}},
			"aggs": aggregations,
		}}
	} else {
		conditions = append(conditions, within.query(p.layer.view.timeField))
	}
	return object{
		"size": 0, "track_total_hits": false, "_source": object{"excludes": []string{}},
		"query": object{"bool": object{"must": []any{}, "filter": conditions, "should": []any{}, "must_not": []any{}}},
		"aggs":  aggregations,
	}
}

// Names of the buckets of a search over two time ranges.
const (
	splitName = "time_offset_split"
	nowKey    = "now"
	beforeKey = "before"
)

// nest returns the aggregations from the n-th bucket inwards.
func (p *plan) nest(n int, within span) object {
	if n == len(p.layer.Buckets) {
		aggregations := object{}
		for i, value := range p.values {
			if value.op == opCount && value.where.op == "" && value.window == "" {
				continue // each bucket has its number of documents
			}
			aggregations[p.valueName(i)] = p.restricted(value, p.valueName(i), within)
		}
		if len(aggregations) == 0 && n == 0 {
			// Kibana would read the number of hits; here Table looks for an answer.
			aggregations[allName] = object{"filter": object{"match_all": object{}}}
		}
		return aggregations
	}
	b := &p.layer.Buckets[n]
	inner := p.nest(n+1, within)
	if b.isTime() {
		return object{p.bucketName(n): object{
			"date_histogram": object{
				"field": p.layer.view.timeField, "fixed_interval": intervalText(interval(within.to.Sub(within.from))),
				"time_zone": "UTC", "min_doc_count": 1,
			},
			"aggs": inner,
		}}
	}
	order := object{"_key": "asc"}
	switch {
	case b.order.op == opCount:
		order = object{"_count": "desc"}
	case b.order.op != "":
		name := p.bucketName(n) + "-orderAgg"
		order = object{name: "desc"}
		inner[name] = p.aggregation(&b.order)
	}
	terms := object{"field": b.field, "size": b.size, "order": order}
	if len(b.without) > 0 {
		terms["exclude"] = b.without
	}
	return object{p.bucketName(n): object{"terms": terms, "aggs": inner}}
}

// allName is the aggregation of a layer that only counts all documents.
const allName = "all"

// restricted returns the aggregation over the documents that it is restricted to.
func (p *plan) restricted(v *Value, name string, within span) object {
	conditions := []any{}
	if v.where.op != "" {
		conditions = append(conditions, v.where.elasticsearch())
	}
	if v.window != "" {
		end := within
		if v.shift != "" {
			end = within.earlier(length(v.shift))
		}
		end.from = end.to.Add(-length(v.window))
		conditions = append(conditions, end.query(p.layer.view.timeField))
	}
	if len(conditions) == 0 {
		return p.aggregation(v)
	}
	filtered := object{"filter": object{"bool": object{"must": []any{}, "filter": conditions, "should": []any{}, "must_not": []any{}}}}
	if v.op != opCount {
		filtered["aggs"] = object{name + "-metric": p.aggregation(v)}
	}
	return filtered
}

// aggregation returns an aggregation over all documents of a bucket.
func (p *plan) aggregation(v *Value) object {
	field := object{"field": v.field}
	switch {
	case v.op == opAverage:
		return object{"avg": field}
	case v.op == opUniqueCount:
		return object{"cardinality": field}
	case v.op == opMedian:
		return object{"percentiles": object{"field": v.field, "percents": []int{50}, "keyed": false}}
	case v.op == opPercentile:
		return object{"percentiles": object{"field": v.field, "percents": []int{v.percentile}, "keyed": false}}
	case v.isLast():
		asked := object{"field": v.field}
		if v.op == opLastTime {
			asked["format"] = "epoch_millis"
		}
		return object{"top_hits": object{
			"size": 1, "_source": false, "docvalue_fields": []object{asked},
			"sort": []object{{p.layer.view.timeField: object{"order": "desc"}}},
		}}
	}
	return object{v.op: field} // sum, max, min: Elasticsearch's name is Lens'
}
