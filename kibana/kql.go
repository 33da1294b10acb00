package kibana

import (
	"strconv"
	"strings"
)

// Query is a condition on documents, which is written as Kibana's query language (KQL)
// and as Elasticsearch's. The zero Query fits every document.
type Query struct {
	op           string // "is", "exists", ">", "<", "and", "or", "not"
	field, value string
	parts        []Query
}

// Is fits documents in which the field has that text as a value.
func Is(field, text string) Query { return Query{op: "is", field: field, value: text} }

// OneOf fits documents in which the field has one of the texts.
func OneOf(field string, texts ...string) Query {
	q := Query{op: "or"}
	for _, text := range texts {
		q.parts = append(q.parts, Is(field, text))
	}
	return q
}

// Exists fits documents in which the field has a value.
func Exists(field string) Query { return Query{op: "exists", field: field} }

// Above fits documents in which the field's number is larger.
func Above(field string, number float64) Query {
	return Query{op: ">", field: field, value: formatNumber(number)}
}

// Below fits documents in which the field's number is smaller.
func Below(field string, number float64) Query {
	return Query{op: "<", field: field, value: formatNumber(number)}
}

// All fits documents that each of the queries fits.
func All(queries ...Query) Query { return Query{op: "and", parts: queries} }

// Any fits documents that one of the queries fits.
func Any(queries ...Query) Query { return Query{op: "or", parts: queries} }

// Not fits documents that the query doesn't fit.
func Not(query Query) Query { return Query{op: "not", parts: []Query{query}} }

// Dataset fits documents of these kinds: the last part of event.dataset.
func Dataset(kinds ...string) Query {
	texts := make([]string, len(kinds))
	for i, kind := range kinds {
		texts[i] = "swarmgauge." + kind
	}
	if len(texts) == 1 {
		return Is("event.dataset", texts[0])
	}
	return OneOf("event.dataset", texts...)
}

func formatNumber(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// String returns the query in KQL, "" for every document.
func (q Query) String() string {
	switch q.op {
	case "":
		return ""
	case "is":
		return q.field + ": " + quoteKQL(q.value)
	case "exists":
		return q.field + ": *"
	case "not":
		return "not " + q.parts[0].inner()
	case "and", "or":
		parts := make([]string, len(q.parts))
		for i, part := range q.parts {
			parts[i] = part.inner()
		}
		return strings.Join(parts, " "+q.op+" ")
	}
	return q.field + " " + q.op + " " + q.value
}

// inner is String for a part of another query.
func (q Query) inner() string {
	if (q.op == "and" || q.op == "or") && len(q.parts) > 1 {
		return "(" + q.String() + ")"
	}
	return q.String()
}

// quoteKQL returns the text between quotes, in which KQL knows the backslash.
func quoteKQL(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// elasticsearch returns the query as Kibana translates it.
func (q Query) elasticsearch() any {
	switch q.op {
	case "":
		return object{"match_all": object{}}
	case "and":
		return object{"bool": object{"filter": q.translated()}}
	case "or":
		return should(q.translated()...)
	case "not":
		return object{"bool": object{"must_not": q.parts[0].elasticsearch()}}
	case "is":
		return should(object{"match_phrase": object{q.field: q.value}})
	case "exists":
		return should(object{"exists": object{"field": q.field}})
	}
	bound := map[string]string{">": "gt", "<": "lt"}[q.op]
	return should(object{"range": object{q.field: object{bound: q.value}}})
}

func (q Query) translated() []any {
	queries := make([]any, len(q.parts))
	for i, part := range q.parts {
		queries[i] = part.elasticsearch()
	}
	return queries
}

// should returns the query that one of the others has to fit.
func should(queries ...any) any {
	return object{"bool": object{"should": queries, "minimum_should_match": 1}}
}
