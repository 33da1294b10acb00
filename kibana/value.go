package kibana

// Value is a number, text or time that a layer computes in each of its buckets: an
// aggregation over the documents of the bucket, or arithmetic with others.
type Value struct {
	op         string // an aggregation's or a function's name in Lens
	field      string
	percentile int
	number     float64
	where      Query  // which documents an aggregation is over
	window     string // how much of the end of the time range it is over, "" for all of it
	shift      string // by how much earlier the time range is
	parts      []Value
}

// Names of operations in Lens.
const (
	opSum         = "sum"
	opAverage     = "average"
	opMax         = "max"
	opMin         = "min"
	opMedian      = "median"
	opPercentile  = "percentile"
	opUniqueCount = "unique_count"
	opCount       = "count"
	opLastText    = "last text"
	opLastNumber  = "last number"
	opLastTime    = "last time"
	opLastBoolean = "last boolean"

	opNumber   = "number"
	opAdd      = "add"
	opSubtract = "subtract"
	opMultiply = "multiply"
	opDivide   = "divide"
	opFloor    = "floor"
)

// Sum is the sum of a field.
func Sum(field string) Value { return Value{op: opSum, field: field} }

// Average is the mean of a field.
func Average(field string) Value { return Value{op: opAverage, field: field} }

// Max is the largest value of a field.
func Max(field string) Value { return Value{op: opMax, field: field} }

// Min is the smallest value of a field.
func Min(field string) Value { return Value{op: opMin, field: field} }

// Median is the middle value of a field.
func Median(field string) Value { return Value{op: opMedian, field: field} }

// Percentile is the value of a field that so many per cent of the documents don't exceed.
func Percentile(field string, percent int) Value {
	return Value{op: opPercentile, field: field, percentile: percent}
}

// UniqueCount is how many different values a field has.
func UniqueCount(field string) Value { return Value{op: opUniqueCount, field: field} }

// Count is the number of documents.
func Count() Value { return Value{op: opCount, field: recordsField} }

// recordsField stands in Lens for the document itself.
const recordsField = "___records___"

// LastText is a keyword field of the newest document that has it.
func LastText(field string) Value { return last(opLastText, field) }

// LastNumber is a number of the newest document that has it.
func LastNumber(field string) Value { return last(opLastNumber, field) }

// LastTime is a date of the newest document that has it.
func LastTime(field string) Value { return last(opLastTime, field) }

// LastBoolean is a boolean of the newest document that has it.
func LastBoolean(field string) Value { return last(opLastBoolean, field) }

func last(op, field string) Value {
	// Lens looks for the newest of the documents that have the field.
	return Value{op: op, field: field, where: Exists(field)}
}

// Number is a constant.
func Number(x float64) Value { return Value{op: opNumber, number: x} }

// Add is the sum of values.
func Add(a, b Value) Value { return Value{op: opAdd, parts: []Value{a, b}} }

// Subtract is a - b.
func Subtract(a, b Value) Value { return Value{op: opSubtract, parts: []Value{a, b}} }

// Multiply is a * b.
func Multiply(a, b Value) Value { return Value{op: opMultiply, parts: []Value{a, b}} }

// Divide is a / b; absent where that is no number.
func Divide(a, b Value) Value { return Value{op: opDivide, parts: []Value{a, b}} }

// Floor is the largest whole number that isn't above a.
func Floor(a Value) Value { return Value{op: opFloor, parts: []Value{a}} }

// PerSecond is a flow in each second in which there were documents: all documents of an
// interval count as one. Lens' own division by the length of a bucket of time would double
// what is shown where Kibana's buckets are half as long as the documents' interval, and
// show a fall at the end of each chart, where documents are still on their way.
func PerSecond(field string) Value {
	return Divide(Sum(field), Multiply(UniqueCount("sample.slot"), Average("sample.interval_seconds")))
}

// TotalPerSecond is PerSecond where something lives always, as in a Swarm as a whole. The last
// document of what ended is of an interval that others aren't finished with, so that a bucket
// of time may have it without them: intervals that only it has don't count.
func TotalPerSecond(field string) Value {
	seconds := Multiply(UniqueCount("sample.slot"), Average("sample.interval_seconds"))
	return Divide(Sum(field), seconds.Of(alive()))
}

// Total is the total of a gauge over everything that has a document of its own in each
// interval. What has ended counts no longer: its last document comes before the others' of
// the same interval, so that a bucket of time may have it without them.
func Total(field string) Value { return Divide(Sum(field), UniqueCount("sample.slot")).Of(alive()) }

// Population is how many things have a document of their own in each interval.
func Population() Value { return Divide(Count(), UniqueCount("sample.slot")).Of(alive()) }

// alive are all documents but the last ones of containers.
func alive() Query { return Not(Is("sample.ended", "true")) }

// Of restricts the aggregations in v to documents that the query fits.
func (v Value) Of(where Query) Value {
	return v.each(func(a *Value) {
		if a.where.op == "" {
			a.where = where
		} else {
			a.where = All(a.where, where)
		}
	})
}

// Lately restricts the aggregations in v to the end of the time range: "1m" is its last
// minute. Buckets of time have none.
func (v Value) Lately(window string) Value { return v.each(func(a *Value) { a.window = window }) }

// Earlier has the aggregations in v be about the time before: "1h" is an hour. Layers
// with buckets have none.
func (v Value) Earlier(shift string) Value { return v.each(func(a *Value) { a.shift = shift }) }

// each returns a copy of v in which f has changed each aggregation.
func (v Value) each(f func(*Value)) Value {
	if v.isAggregation() {
		f(&v)
		return v
	}
	parts := make([]Value, len(v.parts))
	for i, part := range v.parts {
		parts[i] = part.each(f)
	}
	v.parts = parts
	return v
}

// isAggregation tells whether Elasticsearch computes v.
func (v *Value) isAggregation() bool {
	switch v.op {
	case opNumber, opAdd, opSubtract, opMultiply, opDivide, opFloor:
		return false
	}
	return true
}

// isLast tells whether v is a value of the newest document.
func (v *Value) isLast() bool {
	switch v.op {
	case opLastText, opLastNumber, opLastTime, opLastBoolean:
		return true
	}
	return false
}

// dataType is Lens' word for what v is.
func (v *Value) dataType() string {
	switch v.op {
	case opLastText:
		return "string"
	case opLastTime:
		return "date"
	case opLastBoolean:
		return "boolean"
	}
	return "number"
}

// aggregations returns the aggregations in v in the order in which they stand there.
func (v *Value) aggregations() []*Value {
	if v.isAggregation() {
		return []*Value{v}
	}
	var all []*Value
	for i := range v.parts {
		all = append(all, v.parts[i].aggregations()...)
	}
	return all
}
