package estest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// body is a _bulk body of documents from number first on.
func body(first, docs int) []byte {
	var b bytes.Buffer
	for i := range docs {
		var id [21]byte
		copy(id[:], fmt.Sprintf("%021d", first+i))
		fmt.Fprintf(&b, `{"create":{"_index":"cadvisor-2026.03.01","_id":"%s"}}`+"\n", base64.RawURLEncoding.EncodeToString(id[:]))
		fmt.Fprintf(&b, `{"container_Name":"web.%d","numbers":%q}`+"\n", i, strings.Repeat("0123456789", 100))
	}
	return b.Bytes()
}

func send(t testing.TB, s *Server, body []byte) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://es/_bulk", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	res, err := s.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func answer(t testing.TB, s *Server, body []byte) string {
	t.Helper()
	var b bytes.Buffer
	b.ReadFrom(send(t, s, body).Body)
	return b.String()
}

// TestOnce: a document is there once, with its source or without.
func TestOnce(t *testing.T) {
	s := New()
	b := body(0, 3)
	if got := answer(t, s, b); got != `{"errors":false,"items":[`+okItem+","+okItem+","+okItem+"]}" {
		t.Error(got)
	}
	s.KeepIDs()
	b = body(1, 3)
	if got := answer(t, s, b); strings.Count(got, "version_conflict_engine_exception") != 2 || strings.Count(got, okItem) != 1 {
		t.Error(got)
	}
	if s.Len() != 4 || len(s.Documents()) != 3 || len(s.Violations()) != 0 {
		t.Errorf("%d documents, %d sources, %v", s.Len(), len(s.Documents()), s.Violations())
	}
	s.Alias("cadvisor-2026.03.01", "behind")
	answer(t, s, b)
	if s.Len() != 7 {
		t.Errorf("%d documents behind an alias", s.Len())
	}
}

// TestViolations: what Elasticsearch wouldn't take, or what would lose documents there.
func TestViolations(t *testing.T) {
	f := func(body, what string) {
		t.Helper()
		s := New()
		send(t, s, []byte(body))
		if v := s.Violations(); len(v) != 1 || !strings.Contains(v[0], what) {
			t.Errorf("%q: %v", body, v)
		}
	}
	const id = "MDAwMDAwMDAwMDAwMDAwMDAwMDAw"
	f(`{"create":{"_index":"cadvisor-2026.03.01","_id":"`+id+`"}}`+"\n{}", "no newline")
	f(`{"index":{"_index":"cadvisor-2026.03.01","_id":"`+id+`"}}`+"\n{}\n", "action line")
	f(`{"create":{"_index":"cadvisor-2026.03.01","_id":"x"}}`+"\n{}\n", "_id")
	f(`{"create":{"_index":"cadvisor","_id":"`+id+`"}}`+"\n{}\n", "index")
	f(`{"create": {"_index":"cadvisor-2026.03.01","_id":"`+id+`"}}`+"\n{\"a\":}\n", "source line")
}

// BenchmarkBulk is the fake's own pace: hours of an outage have to fit into minutes.
func BenchmarkBulk(b *testing.B) {
	const docs = 500
	s := New()
	s.KeepIDs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		next := body(n, docs)
		n += docs
		b.StartTimer()
		send(b, s, next)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "docs/s")
}
