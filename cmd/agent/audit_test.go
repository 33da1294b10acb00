package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAuditSpan(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	f := func(flags auditFlags, from, to string) {
		t.Helper()
		a, b, err := flags.span(now)
		if err != nil {
			if from != "" || !strings.Contains(err.Error(), to) {
				t.Errorf("%+v: %v", flags, err)
			}
			return
		}
		if got := a.Format(time.RFC3339) + " " + b.Format(time.RFC3339); got != from+" "+to {
			t.Errorf("%+v: %s, want %s %s", flags, got, from, to)
		}
	}
	f(auditFlags{since: time.Hour}, "2026-11-25T10:59:00Z", "2026-11-25T11:59:00Z")
	f(auditFlags{since: time.Hour, to: "2026-11-24T10:00:00Z"}, "2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z")
	f(auditFlags{since: time.Hour, from: "2026-11-24T10:00:00Z"}, "2026-11-24T10:00:00Z", "2026-11-25T11:59:00Z")
	f(auditFlags{from: "yesterday"}, "", "-from can't be \"yesterday\"")
	f(auditFlags{to: "12:00"}, "", "-to can't be")
	f(auditFlags{from: "2026-11-25T12:00:00Z"}, "", "nothing lies between")
}

// Elasticsearch has one run, of which a batch is missing or not; the exit code and the
// table say so.
func TestAuditCommand(t *testing.T) {
	whole := `{"_index":"cadvisor-2026.11.25","_id":"%s","_source":{"@timestamp":"2026-11-25T11:00:00.000Z","host.name":"node1",
		"agent.started":"2026-11-25T10:59:00.000Z","agent.epoch":"0000000000000007","agent.batch.sequence":1,"agent.batch.documents":1,
		"agent.batch.first":"2026-11-25T11:00:00.000Z","agent.batch.last":"2026-11-25T11:00:00.000Z","agent.batch.waiting":1,
		"agent.documents.sampled":1,"agent.documents.pending":1}}`
	const id = "AZq6xFqAAAAAAAAAAAcAAAAAAQAA" // of run 7, batch 1, document 0
	lost := false
	es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		var query bytes.Buffer
		query.ReadFrom(r.Body)
		hit := strings.ReplaceAll(whole, "%s", id)
		switch text := query.String(); {
		case r.URL.Path == "/_search/scroll", strings.Contains(text, `{"term":{"event.dataset":"swarmgauge.gap"}}],"must_not":null`),
			strings.Contains(text, "agent.batch.final"):
			hit = ""
		case strings.Contains(text, "must_not\":[{") && lost:
			hit = ""
		}
		w.Write([]byte(`{"_scroll_id":"x","hits":{"hits":[` + hit + `]}}`))
	}))
	defer es.Close()
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"delivery":{"epoch":"0000000000000007","sampled":5,"indexed":5,"pending":0,"dead":0,"dropped":{"budget":0},"spool_bytes":0,"memory_bytes":0}}`))
	}))
	defer agent.Close()
	f := func(code int, says string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		got := program{args: append([]string{"audit", "-from=2026-11-25T10:00:00Z", "-to=2026-11-25T12:00:00Z"}, args...), stdout: &stdout, stderr: &stderr}.run(t.Context())
		if got != code || !strings.Contains(stdout.String()+stderr.String(), says) {
			t.Errorf("%q: exit code %d, want %d and %q:\n%s%s", args, got, code, says, stdout.String(), stderr.String())
		}
	}
	server := "-storage_driver_es_host=" + es.URL
	f(exitOK, "node1  proven", server)
	f(exitOK, `"verdict": "proven"`, server, "-json", "-agents="+agent.URL)
	lost = true
	f(exitRefuted, "1 documents are lost", server, "-agents="+agent.URL+"/")
	lost = false
	f(exitUndecided, "ships to no Elasticsearch", server, "-agents="+es.URL)
	f(exitUndecided, "connection refused", "-storage_driver_es_host=http://127.0.0.1:1")
	f(exitUsage, "-since", server, "-since=x")
	f(exitUsage, "takes options only", server, "x")
}
