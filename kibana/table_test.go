package kibana

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// testPanel has a chart with groups and buckets of time, and one of each kind of value.
func testPanel() *Panel {
	p := panel("T1", "Test", "", Query{}, &XY{Layers: []*Layer{{
		Series:  Lines,
		Buckets: []Bucket{Top("Name", 2, "name", Sum("a")), Time()},
		Metrics: []Metric{
			{Label: "Rate", Value: Divide(Sum("a"), Number(10)), Unit: BytesPerSecond},
			{Label: "Number", Value: Count(), Unit: Pieces},
			{Label: "Of some", Value: Count().Of(Exists("b")), Unit: Pieces},
			{Label: "Ratio", Value: Divide(Max("a"), Max("b")), Unit: Ratio},
			{Label: "Middle", Value: Median("a")},
			{Label: "Text", Value: LastText("t")},
			{Label: "When", Value: LastTime("d")},
		},
	}}})
	p.adopt(currentView())
	return p
}

// testAnswer has buckets of 30 s.
const testAnswer = `{"aggregations":{"0":{"buckets":[
	{"key":"x","doc_count":5,"1":{"buckets":[
		{"key":0,"doc_count":2,"2":{"value":60},"4":{"doc_count":1},"5":{"value":3},"6":{"value":4},
			"7":{"values":[{"key":50,"value":7}]},
			"8":{"doc_count":1,"8-metric":{"hits":{"hits":[{"fields":{"t":["new"]}}]}}},
			"9":{"doc_count":1,"9-metric":{"hits":{"hits":[{"fields":{"d":["1500"]}}]}}}},
		{"key":30000,"doc_count":3,"2":{"value":60},"4":{"doc_count":0},"5":{"value":null},"6":{"value":4},
			"7":{"values":[{"key":50,"value":null}]},
			"8":{"doc_count":0,"8-metric":{"hits":{"hits":[]}}},
			"9":{"doc_count":0,"9-metric":{"hits":{"hits":[]}}}}]}},
	{"key":"y","doc_count":1,"1":{"buckets":[
		{"key":60000,"doc_count":1,"2":{"value":0},"4":{"doc_count":0},"5":{"value":3},"6":{"value":0},
			"7":{"values":[{"key":50,"value":0}]},
			"8":{"doc_count":1,"8-metric":{"hits":{"hits":[{"fields":{}}]}}},
			"9":{"doc_count":1,"9-metric":{"hits":{"hits":[{"fields":{"d":["0"]}}]}}}}]}}]}}}`

func TestTable(t *testing.T) {
	table, err := testPanel().Table("T1-1", []byte(testAnswer))
	if err != nil {
		t.Fatal(err)
	}
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	want := [][]any{
		{"x", at(0), 6.0, 2.0, 1.0, 0.75, 7.0, "new", time.UnixMilli(1500).UTC()},
		{"x", at(30), 6.0, 3.0, 0.0, nil, nil, nil, nil},
		{"y", at(60), 0.0, 1.0, 0.0, nil, 0.0, nil, at(0)},
	}
	if !reflect.DeepEqual(table.Rows, want) {
		t.Errorf("rows\n%v\nwant\n%v", table.Rows, want)
	}
	if c := table.Columns[2]; c.Name != "Rate" || c.Unit != BytesPerSecond || c.Bucket || !table.Columns[1].Bucket {
		t.Errorf("columns %v", table.Columns)
	}
}

// TestTableSorts has rows in the order of the metric that a table is sorted by.
func TestTableSorts(t *testing.T) {
	table := Table{Rows: [][]any{{"a", 1.0}, {"b", nil}, {"c", 3.0}, {"d", 1.0}}}
	table.sort(1)
	if want := [][]any{{"c", 3.0}, {"a", 1.0}, {"d", 1.0}, {"b", nil}}; !reflect.DeepEqual(table.Rows, want) {
		t.Errorf("rows %v, want %v", table.Rows, want)
	}
}

func TestTableOfOddAnswers(t *testing.T) {
	p := testPanel()
	f := func(answer, want string) {
		t.Helper()
		_, err := p.Table("T1-1", []byte(answer))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want %q", answer, err, want)
		}
	}
	f("", "can't be read")
	f("[]", "can't be read")
	f("{}", "without aggregations")
	f(`{"error":{"type":"parsing_exception"}}`, "parsing_exception")
	f(`{"timed_out":true,"aggregations":{}}`, "gave up")
	f(`{"aggregations":{}}`, `buckets "Name"`)
	f(strings.ReplaceAll(testAnswer, `"1":{"buckets"`, `"1":{"bucket"`), `lacks the buckets "Time"`)
	f(strings.Replace(testAnswer, `"key":0,`, `"key":"zero",`, 1), `buckets "Time"`)
	f(strings.Replace(testAnswer, `"5":{"value":3},`, "", 1), "lacks aggregation 5")
	f(strings.Replace(testAnswer, `"4":{"doc_count":1},`, `"4":{},`, 1), "aggregation 4")
	f(strings.Replace(testAnswer, `"1500"`, `"noon"`, 1), "isn't a time")
	if _, err := p.Table("T1-9", []byte(testAnswer)); err == nil {
		t.Error("a layer that isn't there has a table")
	}
}

// FuzzTable has answers of any kind not end the program.
func FuzzTable(f *testing.F) {
	f.Add([]byte(testAnswer))
	f.Add([]byte(`{"aggregations":{"0":{"buckets":[{"key":1,"1":{"buckets":[{"key":1e99}]}}]}}}`))
	p := testPanel()
	f.Fuzz(func(t *testing.T, answer []byte) {
		table, err := p.Table("T1-1", answer)
		if err != nil {
			return
		}
		for _, row := range table.Rows {
			if len(row) != len(table.Columns) {
				t.Errorf("%d cells in %d columns", len(row), len(table.Columns))
			}
		}
	})
}
