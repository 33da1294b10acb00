package kibana

import "strconv"

// Layer is one question to Elasticsearch: in which buckets documents are put, and which
// values of each bucket are asked for. All layers of a panel are about the same documents.
type Layer struct {
	// Buckets are the groups that the documents are put in, the outermost first.
	Buckets []Bucket
	Metrics []Metric

	// Series is how a layer of an XY chart is drawn.
	Series Series

	id   string // set by the panel
	view view
}

// Bucket puts documents in groups.
type Bucket struct {
	Label string
	field string // "" for buckets of time
	size  int
	order Value // what the largest groups have most of; the zero Value sorts by name
	other bool  // whether what isn't in the groups is one of its own
	// without are values that make no group.
	without []string
	number  bool // whether the field is a number
}

// Time puts documents in buckets of time, as long as Kibana finds fit for the time range.
func Time() Bucket { return Bucket{Label: "Time"} }

// Top puts documents in groups by a field, those with the most of an aggregation.
func Top(label string, size int, field string, by Value) Bucket {
	return Bucket{Label: label, field: field, size: size, order: by}
}

// Each puts documents in groups by a field, in the order of names.
func Each(label string, size int, field string) Bucket {
	return Bucket{Label: label, field: field, size: size}
}

// Numbers says that the field of a group is a number.
func (b Bucket) Numbers() Bucket {
	b.number = true
	return b
}

// Without leaves out the groups of these values.
func (b Bucket) Without(values ...string) Bucket {
	b.without = values
	return b
}

// AndOthers adds a group of the documents that are in no other one. Kibana sends a second
// search for it, which isn't among a panel's Searches.
func (b Bucket) AndOthers() Bucket {
	b.other = true
	return b
}

// isTime tells whether the buckets are of time.
func (b *Bucket) isTime() bool { return b.field == "" }

// Metric is one value of each bucket, and how it is shown.
type Metric struct {
	Label string
	Value Value
	Unit  Unit
	// Color is a colour of HTML, "" for the chart's choice.
	Color string
	// Right draws it on the axis at the right side.
	Right bool
	// Limits colour a number in a table or a single number.
	Limits Limits
}

// Limits are the numbers from which on a value is a warning, and from which on it is an
// alarm. The zero Limits colour nothing.
type Limits struct{ Warning, Alarm float64 }

// column ids of the layer: the n-th bucket and the n-th metric.
func (l *Layer) bucketID(n int) string { return l.id + "-by" + strconv.Itoa(n) }
func (l *Layer) metricID(n int) string { return l.id + "-of" + strconv.Itoa(n) }

// shift returns by how much earlier some metric of the layer is, "" where none is.
func (l *Layer) shift() string {
	for i := range l.Metrics {
		for _, a := range l.Metrics[i].Value.aggregations() {
			if a.shift != "" {
				return a.shift
			}
		}
	}
	return ""
}
