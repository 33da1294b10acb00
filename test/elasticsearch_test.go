package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Elasticsearch's own members of a document that came from it.
const (
	indexField = "_index"
	idField    = "_id"
)

// dataset is the kind of the document without its prefix.
func (d document) dataset() string {
	return strings.TrimPrefix(d.text("event.dataset"), "swarmgauge.")
}

// ended tells whether it is the last document of a container.
func (d document) ended() bool { return d["sample.ended"] == true }

// slot is the number of the interval that the document is for.
func (d document) slot() int64 {
	n, _ := d.number("sample.slot")
	return int64(n)
}

// subject says what the document has measured, or whom the event is about.
func (d document) subject() string {
	if isSwarms(d) {
		return strings.Join([]string{d.dataset(), d.text("swarm.service.id"), d.text("swarm.node.id"), d.text("swarm.task.id")}, " ")
	}
	return strings.Join([]string{d.text("host.name"), d.dataset(), d.text("container_Name"), d.text("container.instance"), d.text("interface.name"),
		d.text("device.name"), d.text("filesystem.mount_point"), d.text("filesystem.device")}, " ")
}

// String is what a failed test says of the document.
func (d document) String() string {
	return fmt.Sprintf("document %s/%s of %s at %s", d.text(indexField), d.text(idField), d.subject(), d.text("@timestamp"))
}

// ask sends a request to Elasticsearch and decodes its answer.
func ask[T any](t testing.TB, s *lab.ElasticsearchServer, method, path string, body any) (answer T, err error) {
	t.Helper()
	decoded, err := s.Do(t.Context(), method, path, body)
	if err != nil {
		return answer, err
	}
	text, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return answer, json.Unmarshal(text, &answer)
}

// mustAsk is ask for what can't fail unless the test does.
func mustAsk[T any](t testing.TB, s *lab.ElasticsearchServer, method, path string, body any) T {
	t.Helper()
	answer, err := ask[T](t, s, method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// count returns the number of documents below an alias that fit the query (nil for all),
// all that was indexed before the call included.
func count(t testing.TB, s *lab.ElasticsearchServer, alias string, query any) (int, error) {
	t.Helper()
	if _, err := s.Do(t.Context(), http.MethodPost, "/"+alias+"/_refresh", nil); err != nil {
		return 0, err
	}
	var body any
	if query != nil {
		body = map[string]any{"query": query}
	}
	answer, err := ask[struct{ Count int }](t, s, http.MethodPost, "/"+alias+"/_count", body)
	return answer.Count, err
}

// term is a query for documents with this value of a field.
func term(field, value string) map[string]any {
	return map[string]any{"term": map[string]any{field: value}}
}

// documents returns all documents below an alias that fit the query (nil for all), the
// oldest first; of those of one instant the last one of a container comes last.
func documents(t testing.TB, s *lab.ElasticsearchServer, alias string, query any) []document {
	t.Helper()
	const page = 5000
	if query == nil {
		query = map[string]any{"match_all": map[string]any{}}
	}
	mustAsk[any](t, s, http.MethodPost, "/"+alias+"/_refresh", nil)
	type answer struct {
		Scroll string `json:"_scroll_id"`
		Hits   struct {
			Hits []struct {
				Index  string   `json:"_index"`
				ID     string   `json:"_id"`
				Source document `json:"_source"`
			}
		}
	}
	var all []document
	a := mustAsk[answer](t, s, http.MethodPost, "/"+alias+"/_search?scroll=1m", map[string]any{
		"size": page, "sort": []string{"@timestamp", "sample.ended"}, "query": query,
	})
	for len(a.Hits.Hits) > 0 {
		for _, hit := range a.Hits.Hits {
			hit.Source[indexField], hit.Source[idField] = hit.Index, hit.ID
			all = append(all, hit.Source)
		}
		a = mustAsk[answer](t, s, http.MethodPost, "/_search/scroll", map[string]any{"scroll": "1m", "scroll_id": a.Scroll})
	}
	return all
}

// checkOnce fails the test for a document that is there twice: by its _id in any index, or
// by what it measured and when.
func checkOnce(t *testing.T, docs []document) {
	t.Helper()
	checkIDs(t, docs)
	slots := map[string]document{}
	for _, d := range docs {
		if _, measured := d.number("sample.slot"); !measured {
			continue // an event or a gap
		}
		what := fmt.Sprint(d.subject(), " ", d.slot())
		if other, ok := slots[what]; ok {
			t.Errorf("slot %d is there twice: %v and %v", d.slot(), d, other)
		}
		slots[what] = d
	}
}

// checkIDs fails the test for an _id that is there twice, in two indices.
func checkIDs(t *testing.T, docs []document) {
	t.Helper()
	ids := map[string]document{}
	for _, d := range docs {
		if other, ok := ids[d.text(idField)]; ok {
			t.Errorf("an _id is there twice: %v and %v", d, other)
		}
		ids[d.text(idField)] = d
	}
}

// checkFields fails the test for a field of the documents that the mapping doesn't have,
// for a value that Elasticsearch didn't take, and for a mapping other than ours.
func checkFields(t *testing.T, s *lab.ElasticsearchServer, alias string, docs []document) {
	t.Helper()
	declared := map[string]bool{}
	var opaque []string
	for _, f := range shipper.Fields() {
		declared[f.Name] = true
		if f.Type == shipper.Opaque || f.Type == shipper.Flattened {
			opaque = append(opaque, f.Name+".")
		}
	}
	strangers := map[string]document{}
	for _, d := range docs {
		leaves("", d, func(name string) {
			inside := func(object string) bool { return strings.HasPrefix(name, object) }
			if !strings.HasPrefix(name, "_") && !declared[name] && !slices.ContainsFunc(opaque, inside) {
				strangers[name] = d
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(strangers)) {
		t.Errorf("the mapping has no field %s; %v has", name, strangers[name])
	}

	ignored, err := count(t, s, alias, map[string]any{"exists": map[string]any{"field": "_ignored"}})
	if err != nil || ignored > 0 {
		t.Errorf("%d documents have values that Elasticsearch did not index (%v)", ignored, err)
	}

	type index struct {
		Mappings struct{ Properties map[string]any }
	}
	for name, index := range mustAsk[map[string]index](t, s, http.MethodGet, "/"+alias+"/_mapping", nil) {
		mapped := map[string]bool{}
		mappedFields("", index.Mappings.Properties, mapped)
		for _, field := range slices.Sorted(maps.Keys(mapped)) {
			if !declared[field] {
				t.Errorf("%s has a mapping of %s, which is none of our fields", name, field)
			}
		}
		for field := range declared {
			if !mapped[field] {
				t.Errorf("%s has no mapping of %s", name, field)
			}
		}
	}
}

// leaves calls f with the dotted name of everything in a document that is no object.
func leaves(prefix string, object map[string]any, f func(name string)) {
	for key, value := range object {
		if inner, ok := value.(map[string]any); ok {
			leaves(prefix+key+".", inner, f)
			continue
		}
		f(prefix + key)
	}
}

// mappedFields enters the dotted names of all fields of a mapping.
func mappedFields(prefix string, properties map[string]any, names map[string]bool) {
	for key, value := range properties {
		field, _ := value.(map[string]any)
		if inner, ok := field["properties"].(map[string]any); ok {
			mappedFields(prefix+key+".", inner, names)
			continue
		}
		names[prefix+key] = true
	}
}

// checkFlows fails the test for numbers that can't be: negative ones, and flows above
// what a machine with these CPUs and a link of 10 Gbit/s can do in the document's time.
func checkFlows(t *testing.T, docs []document) {
	t.Helper()
	const (
		// A sample's time is taken before its files are read, on a machine that may be
		// busy meanwhile.
		jitter = 0.25   // s
		link   = 1.25e9 // bytes/s
	)
	for _, d := range docs {
		for field := range d {
			if v, ok := d.number(field); ok && v < 0 {
				t.Errorf("%s is %v in %v", field, v, d)
			}
		}
		seconds, ok := d.number("sample.interval_seconds")
		if !ok {
			continue
		}
		for _, subject := range [...]string{"container.", "host."} {
			cores := float64(runtime.NumCPU())
			if used, ok := d.number(subject + "cpu.core_seconds"); ok && used > cores*(seconds+jitter) {
				t.Errorf("%.3f CPU seconds in %.3f s with %.0f CPUs in %v", used, seconds, cores, d)
			}
			// A quota holds a cgroup back on each CPU for itself, and for less than the whole
			// time: it is given anew in each period.
			if held, ok := d.number(subject + "cpu.throttled_seconds"); ok && held > cores*(seconds+jitter) {
				t.Errorf("%.3f seconds throttled in %.3f s with %.0f CPUs in %v", held, seconds, cores, d)
			}
			for _, way := range [...]string{"ingress", "egress"} {
				if bytes, ok := d.number(subject + "network." + way + ".bytes"); ok && bytes > link*(seconds+jitter) {
					t.Errorf("%.0f bytes of %s in %.3f s in %v", bytes, way, seconds, d)
				}
			}
		}
	}
}
