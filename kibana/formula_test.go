package kibana

import (
	"encoding/json"
	"testing"
)

// TestFormula has the texts of formulas, and the tree that Lens keeps beside one.
func TestFormula(t *testing.T) {
	f := func(v Value, want string) {
		t.Helper()
		if got := v.text(); got != want {
			t.Errorf("formula %s, want %s", got, want)
		}
	}
	f(Sum("a.b"), "sum(a.b)")
	f(Count(), "count()")
	f(Percentile("a", 99), "percentile(a, percentile=99)")
	f(LastNumber("a"), "last_value(a, kql='a: *')")
	f(Count().Of(Is("a", "it's")), `count(kql='a: "it\'s"')`)
	f(Max("a").Lately("1m").Earlier("1h"), "max(a, reducedTimeRange='1m', shift='1h')")
	f(PerSecond("a"), "sum(a) / (unique_count(sample.slot) * average(sample.interval_seconds))")
	f(Divide(Sum("a"), Multiply(UniqueCount("b"), Average("c"))), "sum(a) / (unique_count(b) * average(c))")
	f(Subtract(Add(Sum("a"), Number(0.5)), Median("b")), "(sum(a) + 0.5) - median(b)")
	f(Add(Floor(Divide(Number(1), Max("a"))), Number(2)).Of(Exists("b")), "floor(1 / max(a, kql='b: *')) + 2")
	f(Divide(Sum("a"), Count()).Of(Exists("b")), "sum(a, kql='b: *') / count(kql='b: *')")
	f(LastTime("a").Of(Exists("b")), "last_value(a, kql='a: * and b: *')")

	l := Layer{id: "L", view: currentView(), Buckets: []Bucket{Time()}, Metrics: []Metric{
		{Label: "M", Value: Divide(PerSecond("a"), Number(2)), Unit: Ratio},
	}}
	text, err := json.Marshal(l.state()["columns"].(object)["L-of0X3"])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"customLabel":true,"dataType":"number","isBucketed":false,"label":"Part of M","operationType":"math",` +
		`"params":{"tinymathAst":{"args":[{"args":["L-of0X0",{"args":["L-of0X1","L-of0X2"],"name":"multiply",` +
		`"text":"unique_count(sample.slot) * average(sample.interval_seconds)","type":"function"}],"name":"divide",` +
		`"text":"sum(a) / (unique_count(sample.slot) * average(sample.interval_seconds))","type":"function"},2],"name":"divide",` +
		`"text":"(sum(a) / (unique_count(sample.slot) * average(sample.interval_seconds))) / 2","type":"function"}},` +
		`"references":["L-of0X0","L-of0X1","L-of0X2"],"scale":"ratio"}`
	if string(text) != want {
		t.Errorf("the arithmetic is\n%s\nwant\n%s", text, want)
	}
}
