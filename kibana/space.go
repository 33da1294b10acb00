package kibana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// InSpace returns saved objects, one a line, for a space of Kibana. The default space, "" or
// "default", has them as they are. In any other their ids end in its name: an id is there
// once in all spaces together, and Kibana would give an object whose id is taken another one
// with each import, which links between dashboards wouldn't know.
func InSpace(ndjson []byte, space string) ([]byte, error) {
	if space == "" || space == defaultSpace {
		return ndjson, nil
	}
	assets, err := parseAssets(ndjson)
	if err != nil {
		return nil, err
	}
	ids := make(renaming)
	for _, a := range assets {
		ids[a.ID] = a.ID + "-" + space
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for _, a := range assets {
		var object any
		if err := decodeExact(a.line, &object); err != nil {
			return nil, fmt.Errorf("the %v: %w", &a, err)
		}
		if err := encoder.Encode(ids.in("", object)); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// decodeExact decodes JSON, numbers as they are written.
func decodeExact(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// renaming are new ids by old ones.
type renaming map[string]string

// in renames ids in a JSON value that stands under a key: where a whole text is one, under a
// key that an id is under, and in addresses of dashboards. Texts that are JSON, as Kibana
// keeps many, are looked into.
func (r renaming) in(key string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k := range v {
			v[k] = r.in(k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = r.in(key, v[i])
		}
	case string:
		if to, ok := r[v]; ok && (key == "index" || strings.HasSuffix(strings.ToLower(key), "id")) {
			return to
		}
		if (strings.HasPrefix(v, "{") || strings.HasPrefix(v, "[")) && json.Valid([]byte(v)) {
			return r.inText(v)
		}
		return r.inAddresses(v)
	}
	return value
}

// inText renames ids in a text that is JSON.
func (r renaming) inText(text string) string {
	var inner any
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := decodeExact([]byte(text), &inner); err != nil {
		panic(err) // it is valid
	}
	if err := e.Encode(r.in("", inner)); err != nil {
		panic(err) // what was JSON a moment ago
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// inAddresses renames ids behind the path of a dashboard, as in links of a text panel.
func (r renaming) inAddresses(text string) string {
	const before = "#/view/"
	var out strings.Builder
	for {
		head, rest, ok := strings.Cut(text, before)
		out.WriteString(head)
		if !ok {
			return out.String()
		}
		out.WriteString(before)
		id := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz0123456789-_"))]
		text = rest[len(id):]
		if to, ok := r[id]; ok {
			id = to
		}
		out.WriteString(id)
	}
}
