package shipper

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// answering returns a sender all of whose requests are answered with 200 and what answer
// returns.
func answering(t *testing.T, answer func(*http.Request) []byte) *sender {
	o := Options{Addresses: []string{"es"}, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		header := http.Header{"Content-Type": {"application/json"}, "X-Elastic-Product": {"Elasticsearch"}}
		return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(bytes.NewReader(answer(r))), Request: r}, nil
	})}
	o.setDefaults()
	s, err := newSender(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// What answers an audit's search makes one that is whole, or an error.
func FuzzAuditPage(f *testing.F) {
	f.Add([]byte(`{"_scroll_id":"x","timed_out":false,"_shards":{"failed":0},"hits":{"hits":[{"_index":"cadvisor-2026.03.01","_id":"AAAA","_source":{"@timestamp":"2026-03-01T10:00:00Z","agent.epoch":"00000000000000ff","agent.batch.sequence":7,"agent.batch.documents":3}}]}}`))
	f.Add([]byte(`{"timed_out":true,"hits":{"hits":[]}}`))
	f.Add([]byte(`{"_shards":{"failed":1}}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := &auditReader{sender: answering(t, func(*http.Request) []byte { return answer }), index: "cadvisor-*"}
		p, err := r.search(t.Context(), 0, object{})
		if err != nil {
			return
		}
		if !json.Valid(answer) || p.TimedOut || p.Shards.Failed > 0 {
			t.Errorf("%q is taken for a whole page", answer)
		}
		for i := range p.Hits.Hits {
			if m, err := p.Hits.Hits[i].manifest(); err == nil && m.documents <= 0 {
				t.Errorf("%q: a batch of %d documents", answer, m.documents)
			}
		}
	})
}

// No name but a day's is deleted, and none of a day that isn't over for as long.
func FuzzExpired(f *testing.F) {
	f.Add("cadvisor-2026.03.01", "cadvisor", "1772323200000", int64(1800000000))
	f.Add("cadvisor-2026.3.1", "cadvisor", "1", int64(0))
	f.Add("cadvisor-2026.03.01-000001", "", "-1", int64(-1))
	f.Add("-2026.03.01", "cadvisor", "9223372036854775807", int64(1<<40))
	f.Fuzz(func(t *testing.T, name, alias, created string, seconds int64) {
		const age = 30 * 24 * time.Hour
		now := time.Unix(seconds%(1<<40), 0)
		var index, server dayIndex
		index.Aliases = map[string]json.RawMessage{alias: nil}
		index.Settings.Index.CreationDate = created
		server = index
		server.DataStream = "cadvisor"
		for _, expired := range expired("cadvisor", map[string]dayIndex{name: index, name + "x": server}, age, now) {
			day, err := time.Parse("cadvisor-"+dayLayout, expired)
			if err != nil || expired != name || alias != "cadvisor" || len(expired) != len("cadvisor-2026.03.01") {
				t.Fatalf("%q with the alias %q is deleted: %v", expired, alias, err)
			}
			if now.Sub(day) < age+24*time.Hour {
				t.Errorf("%q is deleted at %v", expired, now)
			}
		}
	})
}

// What is said of an index decides whether documents are sent: never into a data stream or an
// alias of which the answer tells.
func FuzzInspect(f *testing.F) {
	const none = "{}"
	f.Add([]byte(`{"cadvisor-2026.03.01":{"settings":{"index":{"translog":{"durability":"ASYNC"}}},"aliases":{"cadvisor":{}}}}`), []byte(`{"template":{"settings":{"index":{"translog":{"durability":"async"}}}}}`))
	f.Add([]byte(`{".ds-x-000001":{"data_stream":"cadvisor-2026.03.01"}}`), []byte(`{"template":{"mappings":{"_data_stream_timestamp":{"enabled":true}}}}`))
	f.Add([]byte(none), []byte(none))
	f.Add([]byte(`[]`), []byte(`null`))
	f.Fuzz(func(t *testing.T, indices, simulated []byte) {
		s := answering(t, func(r *http.Request) []byte {
			switch {
			case r.URL.Path == "/":
				return []byte(`{"version":{"number":"8.19.7"}}`)
			case strings.Contains(r.URL.Path, "_simulate"):
				return simulated
			}
			return indices
		})
		tmpl := &template{sender: s, prefix: "cadvisor", counts: new(counts), log: zap.NewNop()}
		got, sentence := tmpl.inspect(t.Context())
		if !slices.Contains([]fate{delivered, hold, again}, got) || (got == delivered) != (sentence == "") {
			t.Errorf("%q, %q: %v, %q", indices, simulated, got, sentence)
		}
		var made struct {
			Template struct {
				Mappings struct {
					Timestamp struct{ Enabled bool } `json:"_data_stream_timestamp"`
				}
			}
		}
		if json.Unmarshal(simulated, &made) == nil && made.Template.Mappings.Timestamp.Enabled && got == delivered {
			t.Errorf("documents are sent into a data stream: %q", simulated)
		}
	})
}

// Where documents went is said by the names of indices alone.
func FuzzStrayed(f *testing.F) {
	f.Add([]byte(`{"items":[{"create":{"_index":"cadvisor-2026.03.01","status":201}}]}`))
	f.Add([]byte(`{"items":[{"create":{"_index":"roll-000001"}},{"index":{}}]}`))
	f.Add([]byte(`{"items":null}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		sentence := strayed(answer)
		if sentence != "" && !json.Valid(answer) {
			t.Errorf("%q: %q", answer, sentence)
		}
	})
}

// A greeting is judged by its version, or not at all.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte(`{"cluster_name":"c","version":{"number":"7.10.2"}}`))
	f.Add([]byte(`{"version":{"number":"2.19.1","distribution":"opensearch"}}`))
	f.Add([]byte(`{"version":{"number":"x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, sentence := unfit(body)
		if (s == OK) != (sentence == "") || s != OK && !json.Valid(body) {
			t.Errorf("%q: %v, %q", body, s, sentence)
		}
	})
}
