package shipper

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ignoreAbove is the length in characters beyond which Elasticsearch stores a text without
// indexing it. Without a bound it refuses a whole document for a text of 32,766 bytes.
const ignoreAbove = 1024

// Mapping returns the "mappings" object of the index template as JSON: an explicit type
// for each field of Fields, and everything else (what a later version may add) stored
// without being indexed, so that no document can make the mapping grow.
func Mapping() []byte {
	root := map[string]any{}
	for _, f := range Fields() {
		putField(root, f)
	}
	text, err := json.Marshal(map[string]any{
		"dynamic":           false,
		"date_detection":    false,
		"numeric_detection": false,
		"properties":        root,
	})
	if err != nil {
		panic(err) // maps of strings, numbers and bools can't fail
	}
	return text
}

// putField adds f to the properties below which its dotted name lies.
func putField(properties map[string]any, f Field) {
	path := strings.Split(f.Name, ".")
	for _, name := range path[:len(path)-1] {
		object, _ := properties[name].(map[string]any)
		if object == nil {
			object = map[string]any{"properties": map[string]any{}}
			properties[name] = object
		}
		inner, ok := object["properties"].(map[string]any)
		if !ok {
			panic(fmt.Sprintf("field %s lies below a field that is no object", f.Name))
		}
		properties = inner
	}
	properties[path[len(path)-1]] = mappingParameters(f)
}

// mappingParameters returns the mapping parameters of one field.
func mappingParameters(f Field) map[string]any {
	p := map[string]any{"type": f.Type}
	switch f.Type {
	case Keyword:
		p["ignore_above"] = ignoreAbove
	case Flattened:
		p["ignore_above"] = ignoreAbove
		p["depth_limit"] = 2 // an object of strings, no deeper
	case Opaque:
		p["enabled"] = false
	}
	if f.Unindexed {
		p["index"] = false
	}
	if f.Name == "container_Name" || f.Name == "machine_name" {
		// Dashboards made for cAdvisor's documents split by "….raw", as the dynamic
		// mappings of that time had it.
		p["fields"] = map[string]any{"raw": map[string]any{"type": Keyword, "ignore_above": ignoreAbove}}
	}
	return p
}
