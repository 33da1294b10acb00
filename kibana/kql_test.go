package kibana

import (
	"encoding/json"
	"testing"
)

// TestQuery holds KQL against what Kibana translates it to.
func TestQuery(t *testing.T) {
	f := func(q Query, kql, elasticsearch string) {
		t.Helper()
		if got := q.String(); got != kql {
			t.Errorf("KQL is %s, want %s", got, kql)
		}
		text, err := json.Marshal(q.elasticsearch())
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != elasticsearch {
			t.Errorf("%s is %s, want %s", kql, text, elasticsearch)
		}
	}
	const one = `,"should":[`
	is := func(field, text string) string {
		return `{"bool":{"minimum_should_match":1` + one + `{"match_phrase":{"` + field + `":"` + text + `"}}]}}`
	}
	f(Query{}, "", `{"match_all":{}}`)
	f(Is("a.b", "c"), `a.b: "c"`, is("a.b", "c"))
	f(Is("a", `"\`), `a: "\"\\"`, `{"bool":{"minimum_should_match":1`+one+`{"match_phrase":{"a":"\"\\"}}]}}`)
	f(Exists("a"), `a: *`, `{"bool":{"minimum_should_match":1`+one+`{"exists":{"field":"a"}}]}}`)
	f(Above("a", 0.5), `a > 0.5`, `{"bool":{"minimum_should_match":1`+one+`{"range":{"a":{"gt":"0.5"}}}]}}`)
	f(Below("a", 1e6), `a < 1000000`, `{"bool":{"minimum_should_match":1`+one+`{"range":{"a":{"lt":"1000000"}}}]}}`)
	f(Not(Is("a", "b")), `not a: "b"`, `{"bool":{"must_not":`+is("a", "b")+`}}`)
	f(All(Is("a", "b"), OneOf("c", "d", "e")), `a: "b" and (c: "d" or c: "e")`,
		`{"bool":{"filter":[`+is("a", "b")+`,{"bool":{"minimum_should_match":1`+one+is("c", "d")+`,`+is("c", "e")+`]}}]}}`)
	f(Not(Any(Is("a", "b"), Exists("c"))), `not (a: "b" or c: *)`,
		`{"bool":{"must_not":{"bool":{"minimum_should_match":1`+one+is("a", "b")+`,{"bool":{"minimum_should_match":1`+one+`{"exists":{"field":"c"}}]}}]}}}}`)
	f(Dataset("node"), `event.dataset: "swarmgauge.node"`, is("event.dataset", "swarmgauge.node"))
}
