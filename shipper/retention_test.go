package shipper

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// TestExpired: only what is ours, only what is named after a day, only what is old by both
// clocks.
func TestExpired(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	ours := func(made time.Time) string {
		return fmt.Sprintf(`{"aliases":{"cadvisor":{}},"settings":{"index":{"creation_date":"%d"}}}`, made.UnixMilli())
	}
	f := func(age time.Duration, now time.Time, indices map[string]string, want ...string) {
		t.Helper()
		there := make(map[string]dayIndex)
		for name, text := range indices {
			var index dayIndex
			if err := json.Unmarshal([]byte(text), &index); err != nil {
				t.Fatal(err)
			}
			there[name] = index
		}
		if got := expired("cadvisor", there, age, now); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	const day = 24 * time.Hour
	f(day, now, nil)
	// A day is old when its last moment is.
	days := map[string]string{
		"cadvisor-2026.03.28": ours(now), "cadvisor-2026.03.29": ours(now), "cadvisor-2026.03.30": ours(now), "cadvisor-2026.03.31": ours(now),
	}
	f(day, now, days, "cadvisor-2026.03.28", "cadvisor-2026.03.29")
	f(36*time.Hour, now, days, "cadvisor-2026.03.28", "cadvisor-2026.03.29")
	f(36*time.Hour+time.Second, now, days, "cadvisor-2026.03.28")
	f(30*day, now, days)
	// What merely looks like one of ours.
	alike := map[string]string{"cadvisor-2026.03.31": ours(now)}
	for _, name := range []string{
		"cadvisor", "cadvisor-", "cadvisor-2020.01.01-000001", "cadvisor-2020.1.1", "cadvisor-2020.13.01", "cadvisor-2020.02.30", "cadvisor-20200101",
		"cadvisor-2020-01-01", "cadvisor-x-2020.01.01", "cadvisorx-2020.01.01", "x-cadvisor-2020.01.01", "metrics-2020.01.01", ".cadvisor-2020.01.01",
		"cadvisor-2020.01.01 ", "cadvisor-+2020.01.01", "restored-cadvisor-2020.01.01", "cadvisor-2020.01",
	} {
		alike[name] = ours(now)
	}
	f(day, now, alike)
	// What is named so, and isn't ours.
	f(day, now, map[string]string{
		"cadvisor-2026.03.31": ours(now),
		"cadvisor-2020.01.01": `{"settings":{"index":{"creation_date":"1577836800000"}}}`,
		"cadvisor-2020.01.02": `{"aliases":{"other":{}},"mappings":{"_meta":{"managed_by":"me"}},"settings":{"index":{"creation_date":"1577836800000"}}}`,
		"cadvisor-2020.01.03": `{"aliases":{"cadvisor":{}},"data_stream":"cadvisor-2020.01.03","settings":{"index":{"creation_date":"1577836800000"}}}`,
		"cadvisor-2020.01.04": `{"aliases":{"cadvisor":{}}}`,
		"cadvisor-2020.01.05": `{"mappings":{"_meta":{"managed_by":"swarmgauge","version":1}},"settings":{"index":{"creation_date":"1577836800000"}}}`,
	}, "cadvisor-2020.01.05")
	// A clock that is years ahead deletes nothing, whatever index it has had made; one that
	// is behind keeps more.
	f(30*day, now.AddDate(70, 0, 0), map[string]string{"cadvisor-2026.03.30": ours(now.Add(-day)), "cadvisor-2026.03.31": ours(now), "cadvisor-2096.03.31": ours(now)})
	f(day, now.AddDate(-1, 0, 0), days)
	// Nothing was made for long: so much is believed of this clock, and no more.
	f(3*day, now, map[string]string{"cadvisor-2025.01.01": ours(time.Date(2025, 1, 1, 0, 0, 1, 0, time.UTC))})
}

// TestRetentionElasticsearch deletes old days in real servers, and nothing else.
func TestRetentionElasticsearch(t *testing.T) {
	for _, version := range lab.ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) { testRetention(t, version) })
	}
}

func testRetention(t *testing.T, version string) {
	es := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{
		Version: version,
		Users:   []lab.ElasticsearchUser{{Name: "admin", Password: "geheim"}, {Name: "keeper", Password: "geheim", Roles: []string{"keeper"}}, {Name: "writer", Password: "geheim", Roles: []string{"writer"}}, {Name: "looker", Password: "geheim", Roles: []string{"looker"}}},
		Roles: `keeper:
  indices: [{names: ['cadvisor-*'], privileges: [view_index_metadata, delete_index]}]
writer:
  indices: [{names: ['cadvisor-*'], privileges: [create_doc, auto_configure]}]
looker:
  indices: [{names: ['cadvisor-*'], privileges: [view_index_metadata]}]
`,
	})
	do := func(method, path string, body any) any {
		t.Helper()
		answer, err := es.Do(t.Context(), method, path, body)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	const day = 24 * time.Hour
	now := time.Now().UTC()
	name := func(ago time.Duration) string { return "cadvisor-" + now.Add(-ago).Format(dayLayout) }
	aliased := map[string]any{"aliases": map[string]any{"cadvisor": map[string]any{}}}
	others := []string{"cadvisor-2020.01.01-000001", "cadvisor-x-2020.01.01", "cadvisor-20200101", "cadvisorx-2020.01.01", "metrics-2020.01.01"}
	for _, index := range others {
		do("PUT", "/"+index, aliased)
	}
	do("PUT", "/cadvisor-2019.01.01", nil) // neither our template nor our alias
	others = append(others, "cadvisor-2019.01.01")
	do("PUT", "/cadvisor-roll-1", map[string]any{"aliases": map[string]any{"cadvisor-2018.01.01": map[string]any{}, "cadvisor": map[string]any{}}})
	others = append(others, "cadvisor-roll-1")
	do("PUT", "/_index_template/cadvisor", json.RawMessage(IndexTemplate("cadvisor")))
	for _, ago := range []time.Duration{0, day, 29 * day, 30 * day, 31 * day, 32 * day, 400 * day} {
		do("PUT", "/"+name(ago), nil)
	}
	do("POST", "/"+name(32*day)+"/_close", nil)

	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("geheim"), 0o600); err != nil {
		t.Fatal(err)
	}
	sweep := func(user string) (sentence string, deleted int64) {
		o := Options{Addresses: []string{es.URL()}, Username: user, PasswordFile: password}
		o.setDefaults()
		s, err := newSender(&o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		r := &retention{s, "cadvisor", 30 * day, time.Second, new(counts), zap.NewNop()}
		sentence = r.sweep(t.Context(), now)
		return sentence, r.counts.indicesDeleted.Load()
	}
	for _, user := range []string{"writer", "looker"} {
		if sentence, deleted := sweep(user); deleted != 0 || !strings.Contains(sentence, "view_index_metadata and delete_index on cadvisor-*") {
			t.Errorf("as %s: %q, %d deleted", user, sentence, deleted)
		}
	}
	if sentence, deleted := sweep("keeper"); sentence != "" || deleted != 3 {
		t.Errorf("%q, %d deleted", sentence, deleted)
	}
	if sentence, deleted := sweep("keeper"); sentence != "" || deleted != 0 {
		t.Errorf("again: %q, %d deleted", sentence, deleted)
	}
	var got []string
	for index := range do("GET", "/*?expand_wildcards=open,closed", nil).(map[string]any) {
		got = append(got, index)
	}
	want := append(others, name(0), name(day), name(29*day), name(30*day))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// TestRetentionTrouble: what Elasticsearch says is told once, and what passes isn't.
func TestRetentionTrouble(t *testing.T) {
	f := func(list, remove int, want string) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Elastic-Product", "Elasticsearch")
			status, body := list, fmt.Sprintf(`{"cadvisor-2020.01.01":{"aliases":{"cadvisor":{}},"settings":{"index":{"creation_date":"%d"}}}}`, time.Now().UnixMilli())
			if r.Method == http.MethodDelete {
				status, body = remove, `{"error":{"type":"x","reason":"because"}}`
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		defer s.Close()
		o := Options{Addresses: []string{s.URL}}
		o.setDefaults()
		sender, err := newSender(&o)
		if err != nil {
			t.Fatal(err)
		}
		defer sender.close()
		r := &retention{sender, "cadvisor", 24 * time.Hour, time.Second, new(counts), zap.NewNop()}
		if got := r.sweep(t.Context(), time.Now()); got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("%d, %d: %q", list, remove, got)
		}
	}
	f(200, 200, "")
	f(200, 404, "") // another agent was faster
	f(200, 403, "delete_index")
	f(200, 400, "doesn't delete the index cadvisor-2020.01.01, which is older than -retention: HTTP status 400: because")
	f(403, 200, "view_index_metadata")
	f(503, 200, "")
	f(404, 200, "")
}

// TestRetentionRuns: a shipper with -retention does it by itself, beside its documents.
func TestRetentionRuns(t *testing.T) {
	deleted := make(chan string, 10)
	es := retentionServer{deleted: deleted}
	s := httptest.NewServer(es)
	defer s.Close()
	o := testOptions(t, nil)
	o.Addresses, o.Retention = []string{s.URL}, 24*time.Hour
	shipper, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	shipper.retain.first = time.Millisecond
	go shipper.Run(t.Context())
	defer shipper.Close()
	select {
	case path := <-deleted:
		if path != "/cadvisor-2020.01.01" {
			t.Errorf("%s is deleted", path)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is deleted")
	}
	eventually(t, "it is counted", func() bool { return shipper.Stats().IndicesDeleted == 1 })
}

// retentionServer is an Elasticsearch with an index of 2020.
type retentionServer struct{ deleted chan string }

func (s retentionServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	if r.Method == http.MethodDelete {
		s.deleted <- r.URL.Path
	}
	fmt.Fprintf(w, `{"cadvisor-2020.01.01":{"aliases":{"cadvisor":{}},"settings":{"index":{"creation_date":"%d"}}}}`, time.Now().UnixMilli())
}
