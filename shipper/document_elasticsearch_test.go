package shipper

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Real servers take every document under Mapping without repairing anything, and then
// know a value of every field.
func TestElasticsearchTakesDocuments(t *testing.T) {
	for _, version := range lab.ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) {
			s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{Version: version})
			do := func(method, path string, body, answer any) {
				t.Helper()
				decoded, err := s.Do(t.Context(), method, path, body)
				if err != nil {
					t.Fatal(err)
				}
				text, err := json.Marshal(decoded)
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(text, answer); err != nil {
					t.Fatal(err)
				}
			}
			var created struct{ Acknowledged bool }
			do("PUT", "/documents", map[string]any{"mappings": json.RawMessage(Mapping())}, &created)

			e := NewEncoder(documentOptions)
			var body strings.Builder
			n := 0
			add := func(document []byte) {
				body.WriteString(`{"create":{}}` + "\n" + string(document) + "\n")
				n++
			}
			for _, document := range documents(e) {
				add(document)
			}
			// What containers can be called and labelled.
			for _, text := range []string{
				"\x00", " ", ".", "..", "a.", ".a", "a..b", "a. .b", "\xff", "\u2028\n", `"\`, "_id", "*",
				strings.Repeat("k", 1<<16), strings.Repeat("é.", 1<<10),
			} {
				add(e.AppendContainer(nil, documentNode, fullWindow(&metric.Container{
					Path: text, Name: text, ID: text, Image: text, ImageID: text, Health: text, State: text, Runtime: text,
					Labels:  []metric.Label{{Key: text, Value: text}, {Key: text + "x", Value: ""}, {Key: "a", Value: text}, {Key: "a.b", Value: text}},
					Created: time.Unix(0, 1), Swarm: metric.Swarm{ServiceName: text, Slot: 1 << 40}, Unidentified: text,
				})))
			}
			largest := fullWindow(documentContainer())
			for id := range metric.ID(metric.NumIDs) {
				for row := range largest.Last.Rows(id.Per()) {
					largest.Last.PutRow(id, row, 1<<63-1-uint64(row))
				}
			}
			add(e.AppendContainer(nil, documentNode, largest))
			add(e.AppendNode(nil, documentNode, largest))
			add(e.AppendRow(nil, documentNode, largest, metric.PerDevice, 0))

			var bulk struct {
				Items []struct {
					Create struct {
						Status int
						Error  json.RawMessage
					}
				}
			}
			do("POST", "/documents/_bulk?refresh=true", body.String(), &bulk)
			if len(bulk.Items) != n {
				t.Fatalf("%d items for %d documents", len(bulk.Items), n)
			}
			for i, item := range bulk.Items {
				if item.Create.Status != 201 {
					t.Errorf("document %d: %d %s", i, item.Create.Status, item.Create.Error)
				}
			}

			// One filter per field: how many documents have a value of it.
			filters := map[string]any{}
			for _, f := range Fields() {
				if f.Type != Opaque {
					filters[f.Name] = map[string]any{"exists": map[string]any{"field": f.Name}}
				}
			}
			filters["labels.team"] = map[string]any{"term": map[string]any{"labels.team": `front "end"`}}
			filters["container_Name.raw"] = map[string]any{"term": map[string]any{"container_Name.raw": "/"}}
			var found struct {
				Aggregations struct {
					Has struct {
						Buckets map[string]struct {
							Count int `json:"doc_count"`
						}
					}
					Cores struct{ Value float64 }
				}
			}
			do("POST", "/documents/_search?size=0", map[string]any{
				"query": map[string]any{"term": map[string]any{"swarm.service.name": "shop_web"}},
				"aggs":  map[string]any{"cores": map[string]any{"max": map[string]any{"field": "container.cpu.peak_cores"}}},
			}, &found)
			if got := found.Aggregations.Cores.Value; got != 2.5 {
				t.Errorf("highest container.cpu.peak_cores is %v", got)
			}
			do("POST", "/documents/_search?size=0", map[string]any{
				"aggs": map[string]any{"has": map[string]any{"filters": map[string]any{"filters": filters}}},
			}, &found)
			for name := range filters {
				if found.Aggregations.Has.Buckets[name].Count == 0 {
					t.Errorf("no document has a value of %s", name)
				}
			}

			// Nothing but the fields may have been mapped.
			var mapping map[string]struct{ Mappings json.RawMessage }
			do("GET", "/documents/_mapping", nil, &mapping)
			var got, want any
			if json.Unmarshal(mapping["documents"].Mappings, &got) != nil || json.Unmarshal(Mapping(), &want) != nil {
				t.Fatal("no mapping")
			}
			if got, want := len(mappedNames(nil, "", got)), len(mappedNames(nil, "", want)); got != want {
				t.Errorf("the mapping has %d fields, was made with %d", got, want)
			}
		})
	}
}

// mappedNames returns the names of all fields below the mapping object v.
func mappedNames(names []string, prefix string, v any) []string {
	object, _ := v.(map[string]any)
	properties, _ := object["properties"].(map[string]any)
	for name, inner := range properties {
		names = mappedNames(append(names, prefix+name), prefix+name+".", inner)
	}
	return names
}
