package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What a client asks for is within its bounds, or refused.
func FuzzRequestOptions(f *testing.F) {
	f.Add("type=docker&count=5&recursive=true&max_age=10s")
	f.Add("type=&count=-1&max_age=-9223372036854775808ns")
	f.Add("count=2147483648&count=1")
	f.Add("type=%ff&;")
	f.Fuzz(func(t *testing.T, raw string) {
		query, _ := url.ParseQuery(raw) // what can be read of it, as net/http does
		o, err := parseRequestOptions(query)
		if err != nil {
			return
		}
		if o.count < -1 || o.idType != "name" && o.idType != "docker" && o.idType != "podman" {
			t.Errorf("%q: %+v", raw, o)
		}
	})
}

// Whatever a client asks the API for, with whatever body: there is an answer with a status
// that the API has, and no panic.
func FuzzAPI(f *testing.F) {
	f.Add("/api/v1.3/containers/docker", "num_stats=1", `{"num_stats":3,"start":"2026-03-01T10:00:00Z"}`)
	f.Add("/api/v1.3/docker/web.1", "", `{"num_stats":-9223372036854775808}`)
	f.Add("/api/v1.2/subcontainers/../..//docker", "", "null")
	f.Add("/api/v1.3/events/docker", "stream=true&all_events=true&subcontainers=true&max_events=-3", "")
	f.Add("/api/v1.3/events", "start_time=2026-03-01T10:00:00Z&end_time=0001-01-01T00:00:00Z&oom_events=1", "")
	f.Add("/api/v2.1/stats/docker", "recursive=true&count=-1&type=name&max_age=0s", "")
	f.Add("/api/v2.0/summary/w", "type=docker&recursive=true", "")
	f.Add("/api/v2.0/ps/", "", "")
	f.Add("/api/v2.0/storage", "uuid=0815&label=x", "")
	f.Add("/api/v2.1/machinestats/", "count=x", "[")
	api := &api{API: house(f), expensive: newExpensiveGate(), streams: newStreamGate()}
	f.Fuzz(func(t *testing.T, path, query, body string) {
		if !strings.HasPrefix(path, "/api/") {
			path = "/api/" + path
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // a stream ends with its client
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = path, query
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError, http.StatusServiceUnavailable:
		default:
			t.Errorf("%s?%s with %q: status %d", path, query, body, w.Code)
		}
		if w.Code != http.StatusOK && w.Body.Len() == 0 {
			t.Errorf("%s?%s with %q: status %d without a sentence", path, query, body, w.Code)
		}
	})
}
