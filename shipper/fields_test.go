package shipper

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestFieldsAreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^(@timestamp|machine_name|container_Name|[a-z][a-z0-9_]*(\.[a-z0-9_]+)*)$`)
	seen := map[string]bool{}
	for _, f := range Fields() {
		if !name.MatchString(f.Name) {
			t.Errorf("%q is no name of a field", f.Name)
		}
		if seen[f.Name] {
			t.Errorf("%s comes twice", f.Name)
		}
		seen[f.Name] = true
		if !strings.HasSuffix(f.Help, ".") {
			t.Errorf("the help of %s is no sentence: %q", f.Name, f.Help)
		}
		number := slices.Contains([]FieldType{Long, Float, Double}, f.Type)
		if (f.Unit != "" || f.Unindexed) && !number {
			t.Errorf("%s is a %s and has a unit or isn't indexed", f.Name, f.Type)
		}
	}
	// A value can't be an object as well.
	for f := range seen {
		for i := range f {
			if f[i] == '.' && seen[f[:i]] {
				t.Errorf("%s lies below the field %s", f, f[:i])
			}
		}
	}
}

// leaves adds the dotted names of all values in object, as Elasticsearch sees them:
// arrays are their elements, and what is below an opaque or flattened field is one value.
func leaves(t *testing.T, names map[string]FieldType, types map[string]FieldType, prefix string, object []byte) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	for key, value := range members {
		name := prefix + key
		switch typ := types[name]; {
		case typ == Opaque || typ == Flattened:
			names[name] = typ
		case value[0] == '{':
			leaves(t, names, types, name+".", value)
		case value[0] == '[':
			var list []json.RawMessage
			if err := json.Unmarshal(value, &list); err != nil || len(list) == 0 {
				t.Fatalf("%s is %s", name, value)
			}
			names[name] = typeOf(list[0])
		default:
			names[name] = typeOf(value)
		}
	}
}

// typeOf returns the least general type that holds the value.
func typeOf(value json.RawMessage) FieldType {
	switch {
	case value[0] == '"':
		return Keyword
	case value[0] == 't' || value[0] == 'f':
		return Boolean
	case bytes.ContainsAny(value, ".eE"):
		return Double
	}
	return Long
}

// Every value of every document has a field of a fitting type, and every field occurs.
func TestFieldsCoverDocuments(t *testing.T) {
	types := map[string]FieldType{}
	for _, f := range Fields() {
		types[f.Name] = f.Type
	}
	found := map[string]FieldType{}
	for _, document := range documents(NewEncoder(documentOptions)) {
		leaves(t, found, types, "", document)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		typ, ok := types[name]
		if !ok {
			t.Errorf("%s is in a document, not in Fields", name)
			continue
		}
		fits := map[FieldType][]FieldType{
			Keyword: {Keyword, Date}, Boolean: {Boolean}, Double: {Double, Float},
			Long: {Long, Double, Float}, Opaque: {Opaque}, Flattened: {Flattened},
		}
		if !slices.Contains(fits[found[name]], typ) {
			t.Errorf("%s is a %s in a document, mapped to %s", name, found[name], typ)
		}
	}
	for _, f := range Fields() {
		if _, ok := found[f.Name]; !ok {
			t.Errorf("%s is in Fields, not in any document", f.Name)
		}
	}
}

func TestDerivedFieldsHaveRows(t *testing.T) {
	for d, f := range derivedFields {
		if f.Name == "" || f.Unit == "" {
			t.Errorf("derived number %d has no row", d)
		}
	}
}

func TestMapping(t *testing.T) {
	type properties map[string]struct {
		Type       FieldType
		Index      *bool
		Enabled    *bool
		Above      int `json:"ignore_above"`
		Fields     properties
		Properties properties
	}
	var mapping struct {
		Dynamic, DateDetection, NumericDetection *bool
		Properties                               properties
	}
	text := Mapping()
	if err := json.Unmarshal(text, &mapping); err != nil {
		t.Fatal(err)
	}
	if mapping.Dynamic == nil || *mapping.Dynamic {
		t.Error("the mapping is dynamic")
	}
	for _, member := range []string{`"date_detection":false`, `"numeric_detection":false`} {
		if !bytes.Contains(text, []byte(member)) {
			t.Errorf("no %s", member)
		}
	}
	for _, f := range Fields() {
		level := mapping.Properties
		path := strings.Split(f.Name, ".")
		for _, name := range path[:len(path)-1] {
			level = level[name].Properties
		}
		got, ok := level[path[len(path)-1]]
		if !ok || got.Type != f.Type {
			t.Errorf("%s is mapped to %q, want %s", f.Name, got.Type, f.Type)
		}
		if (f.Type == Keyword || f.Type == Flattened) != (got.Above == ignoreAbove) {
			t.Errorf("%s: ignore_above is %d", f.Name, got.Above)
		}
		if (got.Index != nil && !*got.Index) != f.Unindexed {
			t.Errorf("%s: wrong index", f.Name)
		}
		if (got.Enabled != nil && !*got.Enabled) != (f.Type == Opaque) {
			t.Errorf("%s: wrong enabled", f.Name)
		}
	}
	for _, name := range []string{"container_Name", "machine_name"} {
		if raw := mapping.Properties[name].Fields["raw"]; raw.Type != Keyword {
			t.Errorf("%s.raw is mapped to %q", name, raw.Type)
		}
	}
	// Elasticsearch's default limit of fields in an index, objects included, is 1000.
	if n := len(Fields()); n > 600 {
		t.Errorf("%d fields", n)
	}
	if string(text) != string(Mapping()) {
		t.Error("Mapping differs from one call to the next")
	}
}

// What dashboards made for cAdvisor's own documents use.
func TestLegacyFieldsAreMapped(t *testing.T) {
	types := map[string]FieldType{}
	for _, f := range Fields() {
		types[f.Name] = f.Type
	}
	for name, typ := range map[string]FieldType{
		"timestamp":                                           Long,
		"machine_name":                                        Keyword,
		"container_Name":                                      Keyword,
		"container_stats.timestamp":                           Date,
		"container_stats.cpu.usage.total":                     Long,
		"container_stats.cpu.usage.user":                      Long,
		"container_stats.cpu.usage.system":                    Long,
		"container_stats.cpu.load_average":                    Long,
		"container_stats.memory.usage":                        Long,
		"container_stats.memory.working_set":                  Long,
		"container_stats.memory.container_data.pgfault":       Long,
		"container_stats.memory.hierarchical_data.pgmajfault": Long,
		"container_stats.network.name":                        Keyword,
		"container_stats.network.rx_bytes":                    Long,
		"container_stats.network.tx_dropped":                  Long,
		"container_stats.task_stats.nr_io_wait":               Long,
	} {
		if types[name] != typ {
			t.Errorf("%s is mapped to %q, want %s", name, types[name], typ)
		}
	}
}

// METRICS.md is generated: run this test with -update after a change of the tables.
func TestMetricsMarkdown(t *testing.T) {
	const file = "../METRICS.md"
	if *updateDocuments {
		if err := os.WriteFile(file, metricsMarkdown(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, metricsMarkdown()) {
		t.Error("METRICS.md is stale: go test ./shipper -run TestMetricsMarkdown -update")
	}
	for _, f := range Fields() {
		if f.Type != Opaque && !bytes.Contains(text, []byte("`"+f.Name+"`")) {
			t.Errorf("METRICS.md doesn't name %s", f.Name)
		}
	}
	for id := range metric.ID(metric.NumIDs) {
		if help := metric.Describe(id).Help; !bytes.Contains(text, []byte(help)) {
			t.Errorf("METRICS.md doesn't say %q", help)
		}
	}
}
