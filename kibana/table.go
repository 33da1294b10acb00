package kibana

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Table is the answer to a search as a panel shows it.
type Table struct {
	// Columns are the layer's buckets, then its metrics.
	Columns []TableColumn
	// Rows have a cell for each column: a time.Time (UTC), string, float64 or bool; nil
	// where there is no value.
	Rows [][]any
}

// TableColumn says what a column of a Table is.
type TableColumn struct {
	Name string
	// Unit is None for what isn't a quantity.
	Unit Unit
	// Bucket tells the groups from their values.
	Bucket bool
}

// Table makes a table of Elasticsearch's answer to the search of a layer, and computes
// what Kibana would compute in the browser. Rows are in the order of the answer, or in the
// one that a table is shown in.
func (p *Panel) Table(layer string, answer []byte) (Table, error) {
	if p.Chart != nil {
		for _, l := range p.Chart.layers() {
			if l.id != layer {
				continue
			}
			table, err := newPlan(l).table(answer)
			if rows, ok := p.Chart.(*Rows); ok && rows.SortBy >= 0 {
				table.sort(len(l.Buckets) + rows.SortBy)
			}
			return table, err
		}
	}
	return Table{}, fmt.Errorf("panel %s has no layer %s", p.ID, layer)
}

// sort puts the rows with the largest numbers in a column first, those without one last.
func (t *Table) sort(column int) {
	slices.SortStableFunc(t.Rows, func(a, b []any) int {
		x, hasX := a[column].(float64)
		y, hasY := b[column].(float64)
		switch {
		case hasX && hasY:
			return cmp.Compare(y, x)
		case hasX:
			return -1
		case hasY:
			return 1
		}
		return 0
	})
}

// node is one bucket of an answer: its key, its number of documents, and its inner
// aggregations.
type node = map[string]json.RawMessage

// tabler makes the rows of a table.
type tabler struct {
	*plan
	rows [][]any
}

func (p *plan) table(answer []byte) (Table, error) {
	var table Table
	for i := range p.layer.Buckets {
		table.Columns = append(table.Columns, TableColumn{Name: p.layer.Buckets[i].Label, Bucket: true})
	}
	for i := range p.layer.Metrics {
		m := &p.layer.Metrics[i]
		table.Columns = append(table.Columns, TableColumn{Name: m.Label, Unit: m.Unit})
	}

	var decoded struct {
		Error        json.RawMessage `json:"error"`
		TimedOut     bool            `json:"timed_out"`
		Aggregations node            `json:"aggregations"`
	}
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return table, fmt.Errorf("an answer that can't be read: %w", err)
	}
	switch {
	case decoded.Error != nil:
		return table, fmt.Errorf("the search was refused: %s", decoded.Error)
	case decoded.TimedOut:
		return table, errors.New("the search gave up before it had seen all documents")
	case decoded.Aggregations == nil:
		return table, errors.New("an answer without aggregations")
	}
	t := tabler{plan: p}
	before := node{}
	if p.layer.shift() != "" {
		var split struct{ Buckets map[string]node }
		if err := json.Unmarshal(decoded.Aggregations[splitName], &split); err != nil {
			return table, fmt.Errorf("an answer without the time before: %w", err)
		}
		decoded.Aggregations, before = split.Buckets[nowKey], split.Buckets[beforeKey]
	}
	if err := t.walk(decoded.Aggregations, before, nil); err != nil {
		return table, err
	}
	table.Rows = t.rows
	return table, nil
}

// walk makes the rows of a bucket of the answer, whose own keys are the first cells.
func (t *tabler) walk(bucket, before node, keys []any) error {
	if len(keys) == len(t.layer.Buckets) {
		return t.row(bucket, before, keys)
	}
	b := &t.layer.Buckets[len(keys)]
	var groups struct{ Buckets []node }
	if err := json.Unmarshal(bucket[t.bucketName(len(keys))], &groups); err != nil {
		return fmt.Errorf("buckets %q: %w", b.Label, err)
	}
	if groups.Buckets == nil {
		return fmt.Errorf("the answer lacks the buckets %q", b.Label)
	}
	for _, group := range groups.Buckets {
		key, err := b.key(group["key"])
		if err != nil {
			return fmt.Errorf("buckets %q: %w", b.Label, err)
		}
		if err := t.walk(group, nil, append(keys[:len(keys):len(keys)], key)); err != nil {
			return err
		}
	}
	return nil
}

// key decodes the key of a group.
func (b *Bucket) key(raw json.RawMessage) (any, error) {
	if !b.isTime() {
		var key any
		err := json.Unmarshal(raw, &key)
		return key, err
	}
	var ms int64
	err := json.Unmarshal(raw, &ms)
	return time.UnixMilli(ms).UTC(), err
}

// row makes the row of an innermost bucket.
func (t *tabler) row(bucket, before node, keys []any) error {
	e := evaluation{tabler: t, bucket: bucket, before: before}
	row := keys
	for i := range t.layer.Metrics {
		cell, err := e.value(&t.layer.Metrics[i].Value)
		if err != nil {
			return fmt.Errorf("%s: %w", t.layer.Metrics[i].Label, err)
		}
		row = append(row, cell)
	}
	t.rows = append(t.rows, row)
	return nil
}

// evaluation computes the values of one bucket. It meets the aggregations in the order in
// which the plan has numbered them.
type evaluation struct {
	*tabler
	bucket, before node
	next           int // number of the next aggregation
}

// value returns a value, nil where there is none.
func (e *evaluation) value(v *Value) (any, error) {
	switch v.op {
	case opNumber:
		return v.number, nil
	case opAdd, opSubtract, opMultiply, opDivide:
		a, err := e.value(&v.parts[0])
		if err != nil {
			return nil, err
		}
		b, err := e.value(&v.parts[1])
		if a == nil || b == nil || err != nil {
			return nil, err
		}
		return calculate(v.op, a.(float64), b.(float64)), nil
	case opFloor:
		a, err := e.value(&v.parts[0])
		if a == nil || err != nil {
			return nil, err
		}
		return math.Floor(a.(float64)), nil
	}
	name := e.valueName(e.next)
	e.next++
	bucket := e.bucket
	if v.shift != "" {
		bucket = e.before
	}
	return v.read(bucket, name)
}

// calculate returns nil for what is no number.
func calculate(op string, a, b float64) any {
	switch op {
	case opAdd:
		return finite(a + b)
	case opSubtract:
		return finite(a - b)
	case opMultiply:
		return finite(a * b)
	}
	return finite(a / b)
}

func finite(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}

// read returns the answer to an aggregation by its name.
func (v *Value) read(bucket node, name string) (any, error) {
	filtered := v.where.op != "" || v.window != ""
	raw, ok := bucket[name]
	if v.op == opCount {
		if !filtered {
			return readNumber(bucket["doc_count"])
		}
		var filter struct {
			Count *float64 `json:"doc_count"`
		}
		if err := json.Unmarshal(raw, &filter); err != nil || filter.Count == nil {
			return nil, fmt.Errorf("no number of documents in aggregation %s", name)
		}
		return *filter.Count, nil
	}
	if ok && filtered {
		var filter node
		if err := json.Unmarshal(raw, &filter); err != nil {
			return nil, err
		}
		raw, ok = filter[name+"-metric"]
	}
	if !ok {
		return nil, fmt.Errorf("the answer lacks aggregation %s", name)
	}
	switch {
	case v.isLast():
		return v.readLast(raw)
	case v.op == opMedian || v.op == opPercentile:
		var percentiles struct {
			Values []struct{ Value *float64 }
		}
		if err := json.Unmarshal(raw, &percentiles); err != nil {
			return nil, err
		}
		if len(percentiles.Values) != 1 || percentiles.Values[0].Value == nil {
			return nil, nil
		}
		return *percentiles.Values[0].Value, nil
	}
	var single struct{ Value json.RawMessage }
	if err := json.Unmarshal(raw, &single); err != nil {
		return nil, err
	}
	return readNumber(single.Value)
}

// readNumber returns a number, nil for null.
func readNumber(raw json.RawMessage) (any, error) {
	var x *float64
	if err := json.Unmarshal(raw, &x); err != nil || x == nil {
		return nil, err
	}
	return *x, nil
}

// readLast returns the value of the newest document.
func (v *Value) readLast(raw json.RawMessage) (any, error) {
	var top struct {
		Hits struct {
			Hits []struct{ Fields map[string][]any }
		}
	}
	if err := json.Unmarshal(raw, &top); err != nil {
		return nil, err
	}
	if len(top.Hits.Hits) == 0 || len(top.Hits.Hits[0].Fields[v.field]) == 0 {
		return nil, nil
	}
	value := top.Hits.Hits[0].Fields[v.field][0]
	if v.op != opLastTime {
		return value, nil
	}
	text, _ := value.(string)
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s isn't a time: %v", v.field, value)
	}
	return time.UnixMilli(ms).UTC(), nil
}
