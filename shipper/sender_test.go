package shipper

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

func TestBackoff(t *testing.T) {
	b := backoff{base: 500 * time.Millisecond, limit: 30 * time.Second}
	ceiling := 500 * time.Millisecond
	for range 20 {
		if d := b.next(0); d < 0 || d >= ceiling {
			t.Errorf("%v with a ceiling of %v", d, ceiling)
		}
		ceiling = min(2*ceiling, 30*time.Second)
	}
	for range 20 {
		if d := b.next(time.Minute); d < time.Minute || d > 70*time.Second {
			t.Errorf("%v where a minute was asked for", d)
		}
	}
	b.reset()
	if d := b.next(0); d >= 500*time.Millisecond {
		t.Errorf("%v after a reset", d)
	}
	if d := new(backoff).next(0); d != 0 {
		t.Errorf("%v by the zero value", d)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := func(v string, want time.Duration) {
		t.Helper()
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
	f("", 0)
	f("7", 7*time.Second)
	f("-7", 0)
	f("soon", 0)
	f("86400", maxRetryAfter)
	f("99999999999999999999", 0)
	f("Sun, 01 Mar 2026 12:00:30 GMT", 30*time.Second)
	f("Sun, 01 Mar 2026 11:00:30 GMT", 0)
}

// TestTables: each row of the tables of fates is reached, and each answer has a row.
func TestTables(t *testing.T) {
	f := func(table []rule) {
		t.Helper()
		for i := range table {
			status := table[i].status
			if status > 0 && status < 10 {
				status = status*100 + 99
			}
			if r := decide(table, status, table[i].kind); r != &table[i] {
				t.Errorf("row %d (%d %s) is hidden by (%d %s)", i, table[i].status, table[i].kind, r.status, r.kind)
			}
			if table[i].fate == hold && table[i].advice == "" && table[i].status > 10 && table[i].status != 404 {
				t.Errorf("row %d holds and gives no advice", i)
			}
		}
		if last := table[len(table)-1]; last.status != 0 || last.kind != "" || last.fate != again {
			t.Error("the last row doesn't keep what nobody knows")
		}
	}
	f(itemFates[:])
	f(requestFates[:])
}

func TestJudge(t *testing.T) {
	f := func(want fate, docs int, healthy bool, fates ...fate) {
		t.Helper()
		var problems []problem
		for i, x := range fates {
			problems = append(problems, problem{doc: i, fate: x})
		}
		if got, _ := judge(problems, docs, healthy); got != want {
			t.Errorf("%v of %d: %v, want %v", fates, docs, got, want)
		}
	}
	f(delivered, 10, false)
	f(delivered, 10, false, exists, exists)
	f(delivered, 10, false, refused)
	f(hold, 10, false, refused, refused)
	f(delivered, 10, true, refused, refused)
	f(again, 10, false, again, refused)
	f(hold, 10, false, again, hold)
	f(hold, 10, true, hold)
	f(hold, 1, false, refused)
	f(delivered, 1, true, refused)
}

func TestDecodeBulk(t *testing.T) {
	f := func(body string, docs int, fates ...fate) {
		t.Helper()
		problems, _, err := decodeBulk([]byte(body), 100, docs, nil)
		if err != nil {
			t.Error(err)
		}
		var got []fate
		for _, p := range problems {
			got = append(got, p.fate)
		}
		if !slices.Equal(got, fates) {
			t.Errorf("%s: %v", body, problems)
		}
	}
	f(`{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, 2)
	f(`{ "errors": false, "items": [ {"create":{"status":200}} ] }`, 1)
	f(`{"errors":true,"items":[{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}},{"create":{"status":201}},{"create":{"status":429,"error":{"type":"es_rejected_execution_exception"}}}]}`, 3, exists, again)
	f(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse"}}},{"create":{"status":403,"error":{"type":"security_exception"}}}]}`, 2, refused, hold)
	f(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"invalid_alias_name_exception"}}}]}`, 1, hold)

	g := func(body string, docs int) {
		t.Helper()
		if problems, _, err := decodeBulk([]byte(body), 0, docs, nil); !errors.Is(err, errUnreadable) || len(problems) != 0 {
			t.Errorf("%s: %v %v", body, problems, err)
		}
	}
	g(``, 1)
	g(`<html>`, 1)
	g(`{}`, 0)
	g(`{"errors":false}`, 1)
	g(`{"errors":false,"items":[{"create":{"status":201}}]}`, 2)
	g(`{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, 1)
	g(`{"errors":false,"items":[{"create":{"status":201}},{"cre`, 2)
	g(`{"errors":false,"items":[{"index":{"status":201}}]}`, 1)
	g(`{"errors":true,"items":[{"create":{"status":409}},{"create":{}}]}`, 2)
	g(`{"errors":false,"items":[null]}`, 1)

	if _, n, _ := decodeBulk([]byte(`{"errors":false,"items":[{"create":{"status":201,"failure_store":"used"}}]}`), 0, 1, nil); n != 1 {
		t.Error("the failure store isn't noticed")
	}
	usual := []byte(`{"errors":false,"items":[` + strings.Repeat(`{"create":{"status":201}},`, 99) + `{"create":{"status":201}}]}`)
	if n := testing.AllocsPerRun(100, func() { decodeBulk(usual, 0, 100, nil) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeBulk(f *testing.F) {
	f.Add([]byte(`{"errors":false,"items":[{"create":{"status":201}}]}`), 1)
	f.Add([]byte(`{"errors":true,"items":[{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}}]}`), 1)
	f.Add([]byte(`{"errors":true,"items":[{"create":null}]}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, docs int) {
		problems, _, err := decodeBulk(body, 7, docs, nil)
		if err != nil && len(problems) != 0 || len(problems) > max(docs, 0) {
			t.Errorf("%d problems of %d, %v", len(problems), docs, err)
		}
		last := 6
		for i := range problems {
			if problems[i].doc <= last || problems[i].doc >= 7+docs || problems[i].fate == delivered {
				t.Errorf("%+v", problems[i])
			}
			last = problems[i].doc
		}
		decodeError(body)
	})
}

// times has the first n requests go wrong.
func times(n int, fault estest.Fault) func(int, int) estest.Fault {
	return func(i, docs int) estest.Fault {
		if i < n {
			return fault
		}
		return estest.Fault{}
	}
}

// TestAgain: after whatever doesn't tell what became of it, the same bytes come again, and
// each document is there once.
func TestAgain(t *testing.T) {
	f := func(name string, duplicates int64, fault estest.Fault) {
		t.Run(name, func(t *testing.T) {
			es := estest.New()
			es.OnBulk(times(3, fault))
			s, _ := start(t, testOptions(t, es))
			l := newLoad(10)
			l.tick(s)
			eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 10 })
			balance(t, s)
			audit(t, es, 10)
			eventually(t, "the trouble is over", func() bool { return s.Stats().Trouble == "" })
			v := s.Stats()
			if v.DuplicatesExpected != duplicates || v.DuplicatesUnexpected != 0 || v.Dead != 0 || v.Retried != 3 || v.Trouble != "" || v.Degraded {
				t.Errorf("%+v", v)
			}
		})
	}
	all := estest.All
	f("applied, connection reset", 10, estest.Fault{Apply: all, Reset: true})
	f("half applied, connection reset", 5, estest.Fault{Apply: 5, Reset: true})
	f("answer cut short", 10, estest.Fault{Apply: all, Status: 200, Body: `{"errors":false,"items":[{"create":{"sta`})
	f("garbage", 0, estest.Fault{Status: 200, Body: "\x00\xff"})
	f("empty", 10, estest.Fault{Apply: all, Status: 200})
	f("one item less", 10, estest.Fault{Items: -1})
	f("one item more", 10, estest.Fault{Items: 1})
	f("fewer items", 10, estest.Fault{Apply: all, Status: 200, Body: `{"errors":false,"items":[]}`})
	f("429", 0, estest.Fault{Status: 429})
	f("503", 0, estest.Fault{Status: 503, Body: `{"error":{"type":"unavailable_shards_exception","reason":"x"},"status":503}`})
	f("502 by a proxy", 10, estest.Fault{Apply: all, Status: 502, Body: "<html>Bad Gateway</html>"})
	f("504 by a proxy", 10, estest.Fault{Apply: all, Status: 504})
}

// TestAgainOverTCP: what only a real connection can do.
func TestAgainOverTCP(t *testing.T) {
	f := func(name string, fault estest.Fault) {
		t.Run(name, func(t *testing.T) {
			es := estest.New()
			es.OnBulk(times(3, fault))
			srv := httptest.NewServer(es)
			defer srv.Close()
			o := testOptions(t, nil)
			o.Addresses = []string{srv.URL}
			s, _ := start(t, o)
			newLoad(10).tick(s)
			eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 10 })
			audit(t, es, 10)
			if v := s.Stats(); v.DuplicatesExpected != 10 || v.Dead != 0 {
				t.Errorf("%+v", v)
			}
		})
	}
	f("reset", estest.Fault{Apply: estest.All, Reset: true})
	f("truncated", estest.Fault{Apply: estest.All, Truncate: true})
	f("longer than its Content-Length", estest.Fault{Longer: 10})
}

// TestSlowLoris: a server that reads and answers byte by byte is slow, and no more than that.
func TestSlowLoris(t *testing.T) {
	es := estest.New()
	es.Read(2000)
	es.OnBulk(func(int, int) estest.Fault { return estest.Fault{Drip: time.Millisecond} })
	srv := httptest.NewServer(es)
	defer srv.Close()
	o := testOptions(t, nil)
	o.Addresses = []string{srv.URL}
	s, _ := start(t, o)
	newLoad(10).tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 10 })
	audit(t, es, 10)
	if v := s.Stats(); v.Requests != 1 || v.DuplicatesExpected != 0 {
		t.Errorf("%+v", v)
	}
}

// TestFailureStore: what Elasticsearch takes into its failure store is delivered, and told.
func TestFailureStore(t *testing.T) {
	es := estest.New()
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		return estest.Refusal{FailureStore: bytes.Contains(source, []byte(`"web.7"`))}
	})
	s, _ := start(t, testOptions(t, es))
	newLoad(10).tick(s)
	eventually(t, "everything is settled", func() bool { return s.Stats().Pending == 0 })
	balance(t, s)
	audit(t, es, 9)
	if v := s.Stats(); v.FailureStore != 1 || es.FailureStore() != 1 || v.Indexed != 10 || v.Dead != 0 || !v.Degraded {
		t.Errorf("%+v", v)
	}
}

// TestRollOver shows why the shipper names the indices itself: behind an alias that is rolled
// over between two attempts, the same bytes are stored twice. An index of the day isn't one.
func TestRollOver(t *testing.T) {
	f := func(alias string, want int) {
		t.Helper()
		es := estest.New()
		es.OnBulk(func(n, _ int) estest.Fault {
			return estest.Fault{Apply: estest.All, Reset: n == 0}
		})
		gone := &away{next: es}
		o := testOptions(t, nil)
		o.Addresses, o.Transport = []string{"es"}, roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/_bulk" && gone.tried.Add(1) == 2 {
				es.Alias(alias, alias+"-000002")
			}
			return gone.RoundTrip(r)
		})
		s, _ := start(t, o)
		newLoad(10).tick(s)
		eventually(t, "everything is settled", func() bool { v := s.Stats(); return v.Pending == 0 || v.Held })
		if n := es.Len(); n != want {
			t.Errorf("%d documents after a rollover of %s, want %d", n, alias, want)
		}
		if v := s.Stats(); v.Held != (want > 10) {
			t.Errorf("after a rollover of %s: %+v", alias, v)
		}
	}
	f("cadvisor", 10)
	f("cadvisor-2026.03.01", 20)
}

// listenAgain listens where somebody has listened before. Until then the port is anybody's, most
// likely a connection's that ends soon.
func listenAgain(t *testing.T, address string) (l net.Listener) {
	t.Helper()
	eventually(t, address+" is free again", func() bool {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	return l
}

// TestNothingListens: one of two nodes is down, then both are, then one comes back.
func TestNothingListens(t *testing.T) {
	es := estest.New()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	o := testOptions(t, nil)
	o.Addresses = []string{"http://127.0.0.1:1", "http://" + address}
	s, _ := start(t, o)
	newLoad(10).tick(s)
	eventually(t, "the trouble is told", func() bool { return strings.Contains(s.Stats().Trouble, "connection refused") })
	if v := s.Stats(); v.Held {
		t.Errorf("%+v", v)
	}
	l = listenAgain(t, address)
	srv := &http.Server{Handler: es}
	go srv.Serve(l)
	defer srv.Close()
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 10 })
	audit(t, es, 10)
}

// TestHold: what an operator has to repair keeps everything, says so, and goes on after it.
func TestHold(t *testing.T) {
	f := func(name, sentence string, fault estest.Fault) {
		t.Run(name, func(t *testing.T) {
			es := estest.New()
			es.OnBulk(func(int, int) estest.Fault { return fault })
			s, _ := start(t, testOptions(t, es))
			l := newLoad(10)
			for range 3 {
				l.tick(s)
			}
			eventually(t, "it is held", func() bool { return s.Stats().Held })
			l.tick(s)
			v := s.Stats()
			if !strings.Contains(v.Trouble, sentence) || v.TroubleSince.IsZero() || !v.Degraded || v.Dead != 0 || v.Indexed != 0 {
				t.Errorf("%+v", v)
			}
			es.OnBulk(nil)
			eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 40 })
			balance(t, s)
			audit(t, es, 40)
			eventually(t, "the trouble is over", func() bool { v := s.Stats(); return !v.Held && v.Trouble == "" && !v.Degraded })
		})
	}
	f("401", "check the user and its password file", estest.Fault{Status: 401})
	f("403", "create_doc and auto_configure", estest.Fault{Status: 403})
	f("404 HTML", "check host, port and path", estest.Fault{Status: 404, Body: "<html>"})
	f("405", "check host, port and path", estest.Fault{Status: 405})
	f("redirect", "redirects elsewhere", estest.Fault{Status: 301, Header: map[string]string{"Location": "https://elsewhere/"}})
	f("407", "proxy", estest.Fault{Status: 407})
	f("web page", "sends a web page", estest.Fault{Status: 200, Body: "\n<!doctype html><title>Log in</title>"})
	f("cluster block", "blocked for writing", estest.Fault{Status: 403, Body: `{"error":{"type":"cluster_block_exception","reason":"x"}}`})
}

// TestHoldItems: the same for single documents, and for all being refused alike.
func TestHoldItems(t *testing.T) {
	f := func(status int, kind, sentence string) {
		t.Run(kind, func(t *testing.T) {
			es := estest.New()
			es.OnItem(func(string, string, []byte) estest.Refusal {
				return estest.Refusal{Status: status, Type: kind, Reason: "because"}
			})
			s, _ := start(t, testOptions(t, es))
			newLoad(10).tick(s)
			eventually(t, "it is held", func() bool { return s.Stats().Held })
			if v := s.Stats(); !strings.Contains(v.Trouble, sentence) || v.Dead != 0 {
				t.Errorf("%+v", v)
			}
			es.OnItem(nil)
			eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 10 })
			audit(t, es, 10)
		})
	}
	f(403, "security_exception", "create_doc")
	f(403, "cluster_block_exception", "blocked for writing")
	f(429, "cluster_block_exception", "flood-stage")
	f(404, "index_not_found_exception", "auto_configure")
	f(400, "invalid_alias_name_exception", "in the way of the alias")
	f(400, "document_parsing_exception", "because")
}

// TestItemsAgain: single documents that wait for their shard.
func TestItemsAgain(t *testing.T) {
	es := estest.New()
	n := 0
	es.OnItem(func(string, string, []byte) estest.Refusal {
		if n++; n <= 25 && n%3 == 0 {
			return estest.Refusal{Status: 429, Type: "es_rejected_execution_exception"}
		}
		return estest.Refusal{}
	})
	s, _ := start(t, testOptions(t, es))
	newLoad(10).tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 10 })
	audit(t, es, 10)
	if v := s.Stats(); v.Dead != 0 || v.DuplicatesUnexpected != 0 {
		t.Errorf("%+v", v)
	}
}

// deadLetters returns the bodies in the dead-letter directory and the reasons on them.
func deadLetters(t *testing.T, o Options) (bodies, reasons []string) {
	t.Helper()
	dir := filepath.Join(o.SpoolDir, deadDir)
	for _, name := range names(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		bodies, reasons = append(bodies, string(body)), append(reasons, z.Comment)
	}
	return bodies, reasons
}

// TestDeadLetter: one refused document of twenty is buried with the reason; the others are
// indexed, and a gap tells of the one.
func TestDeadLetter(t *testing.T) {
	es := estest.New()
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		if bytes.Contains(source, []byte(`"web.7"`)) {
			return estest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "field [x] is ünfit"}
		}
		return estest.Refusal{}
	})
	o := testOptions(t, es)
	s, _ := start(t, o)
	newLoad(20).tick(s)
	eventually(t, "the gap is indexed and the batch done", func() bool { v := s.Stats(); return v.GapsIndexed == 1 && v.Pending == 0 })
	balance(t, s)
	audit(t, es, 19)
	if v := s.Stats(); v.Dead != 1 || v.Indexed != 19 || v.Pending != 0 || !strings.Contains(v.LastError, "field [x]") {
		t.Errorf("%+v", v)
	}
	if gaps := gapDocuments(es); gaps["refused"] != 1 {
		t.Errorf("gaps %v", gaps)
	}
	bodies, reasons := deadLetters(t, o)
	if len(bodies) != 1 || strings.Count(bodies[0], "\n") != 2 || !strings.Contains(bodies[0], `"web.7"`) ||
		!strings.HasPrefix(bodies[0], `{"create":`) || !strings.HasPrefix(reasons[0], "document_parsing_exception: field [x] is ") {
		t.Errorf("%q %q", bodies, reasons)
	}
}

// TestDeadLetterReasons: each document's own reason is in the file with it.
func TestDeadLetterReasons(t *testing.T) {
	es := estest.New()
	long := strings.Repeat("very long ", 100)
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		switch {
		case bytes.Contains(source, []byte(`"web.7"`)), bytes.Contains(source, []byte(`"web.9"`)):
			return estest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "field [x]"}
		case bytes.Contains(source, []byte(`"web.8"`)):
			return estest.Refusal{Status: 400, Type: "illegal_argument_exception", Reason: long}
		}
		return estest.Refusal{}
	})
	o := testOptions(t, es)
	s, stop := start(t, o)
	newLoad(40).tick(s)
	eventually(t, "it is settled", func() bool { v := s.Stats(); return v.GapsIndexed == 1 && v.Pending == 0 })
	stop()
	bodies, reasons := deadLetters(t, o)
	if len(bodies) != 1 || strings.Count(bodies[0], "\n") != 6 || reasons[0] != "document_parsing_exception: field [x]" {
		t.Fatalf("%q %q", bodies, reasons)
	}
	dir := filepath.Join(o.SpoolDir, deadDir)
	b, err := os.ReadFile(filepath.Join(dir, names(t, dir)[0]))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	want := "1 3\tdocument_parsing_exception: field [x]\n2\tillegal_argument_exception: " + long[:511-len("illegal_argument_exception: ")] + "\n"
	if got := string(z.Extra); got[:2] != "SG" || got[4:] != want || int(got[2])|int(got[3])<<8 != len(want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDeadBudget: the dead-letter directory has a budget of its own, and the newest letters.
func TestDeadBudget(t *testing.T) {
	es := estest.New()
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		if bytes.Contains(source, []byte(`"web.7"`)) {
			return estest.Refusal{Status: 400, Type: "document_parsing_exception"}
		}
		return estest.Refusal{}
	})
	o := testOptions(t, es)
	o.DeadBytes = 16 << 10
	s, stop := start(t, o)
	l := newLoad(20)
	for i := range 10 {
		l.tick(s)
		eventually(t, "it is settled", func() bool { v := s.Stats(); return v.Dead == int64(i+1) && v.Pending == 0 })
	}
	stop()
	newest := time.Unix(0, l.slot).UTC().Format("2006-01-02T15:04:05")
	bodies, _ := deadLetters(t, o)
	if n := len(bodies); n == 0 || n > 4 || !strings.Contains(bodies[n-1], newest) {
		t.Errorf("%d letters in 16 KiB, the last: %q", n, bodies[max(0, n-1):])
	}
}

// TestReasonsFit: what is too much for a header's extra field is left out, by whole lines.
func TestReasonsFit(t *testing.T) {
	var r reasons
	for i := range 500 {
		r.add(i, fmt.Sprintf("%0300d", i))
	}
	extra := r.appendExtra(nil, r.documents())
	if len(extra) > 1<<16-1 || len(extra) < 1<<16-400 || extra[len(extra)-1] != '\n' {
		t.Errorf("%d bytes", len(extra))
	}
}

// TestLoneRefusal: a batch of one bad document is refused as a whole, which could be the
// configuration's fault; once many others were delivered, it can't.
func TestLoneRefusal(t *testing.T) {
	es := estest.New()
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		if bytes.Contains(source, []byte(`"name":"bad"`)) || bytes.Contains(source, []byte(`"bad"`)) {
			return estest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "no"}
		}
		return estest.Refusal{}
	})
	s, _ := start(t, testOptions(t, es))
	bad := newLoad(1)
	bad.windows[0].Container.Name = "bad"
	bad.tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	good := newLoad(3)
	for range provenByBatches + 2 {
		good.tick(s)
	}
	eventually(t, "it is buried", func() bool { return s.Stats().Dead == 1 })
	eventually(t, "the rest is indexed", func() bool { return s.Stats().Pending == 0 })
	audit(t, es, 3*(provenByBatches+2))
}

// TestStranger: a document whose _id another one has at the first attempt isn't taken for
// delivered.
func TestStranger(t *testing.T) {
	es := estest.New()
	es.OnBulk(times(1, estest.Fault{}))
	first := true
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		if bytes.Contains(source, []byte(`"web.3"`)) {
			return estest.Refusal{Status: 409, Type: "version_conflict_engine_exception", Reason: "taken"}
		}
		if bytes.Contains(source, []byte(`"web.5"`)) && first {
			first = false // so that a second attempt is needed, at which 409 is expected
			return estest.Refusal{Status: 503}
		}
		return estest.Refusal{}
	})
	o := testOptions(t, es)
	s, _ := start(t, o)
	newLoad(10).tick(s)
	eventually(t, "it is settled", func() bool { return s.Stats().Pending == 0 })
	balance(t, s)
	v := s.Stats()
	if v.DuplicatesUnexpected != 1 || v.DuplicatesExpected != 8 || v.Dead != 1 || v.Indexed != 9 || !v.Degraded {
		t.Errorf("%+v", v)
	}
	if bodies, reasons := deadLetters(t, o); len(bodies) != 1 || !strings.Contains(bodies[0], `"web.3"`) || !strings.Contains(reasons[0], "another document") {
		t.Errorf("%q %q", bodies, reasons)
	}
}

// TestTooLarge: 413 splits until it fits; the next batch is split before it is sent.
func TestTooLarge(t *testing.T) {
	es := estest.New()
	es.Limit(40 << 10)
	s, _ := start(t, testOptions(t, es))
	l := newLoad(100)
	l.tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 100 })
	audit(t, es, 100)
	first := s.Stats().Requests
	l.tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 200 })
	audit(t, es, 200)
	second := s.Stats().Requests - first
	if first > 16 || second >= first || s.Stats().Retried != 0 {
		t.Errorf("%d requests, then %d, %d retried", first, second, s.Stats().Retried)
	}
}

// TestUnreachedAmidst: the server goes away between two parts of a batch. What the first part
// stored is expected there afterwards; a batch of which nothing was sent counts as never tried.
func TestUnreachedAmidst(t *testing.T) {
	es := estest.New()
	es.Limit(40 << 10)
	gone := &away{next: es}
	o := testOptions(t, nil)
	o.Addresses, o.Transport = []string{"es"}, roundTripper(func(r *http.Request) (*http.Response, error) {
		if es.Len() > 0 && gone.tried.Load() < 20 {
			gone.is.Store(true)
		} else {
			gone.is.Store(false)
		}
		return gone.RoundTrip(r)
	})
	s, _ := start(t, o)
	newLoad(100).tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 100 })
	balance(t, s)
	audit(t, es, 100)
	if v := s.Stats(); v.DuplicatesUnexpected != 0 || v.DuplicatesExpected == 0 || v.Dead != 0 || v.Retried != 20 {
		t.Errorf("%+v", v)
	}

	es = estest.New()
	gone = &away{next: es}
	gone.is.Store(true)
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		if bytes.Contains(source, []byte(`"web.3"`)) {
			return estest.Refusal{Status: 409, Type: "version_conflict_engine_exception", Reason: "taken"}
		}
		return estest.Refusal{}
	})
	o = testOptions(t, nil)
	o.Addresses, o.Transport, o.NoTemplate = []string{"es"}, gone, true
	s, _ = start(t, o)
	newLoad(10).tick(s)
	eventually(t, "it was tried", func() bool { return gone.tried.Load() > 3 })
	gone.is.Store(false)
	eventually(t, "it is settled", func() bool { return s.Stats().Pending == 0 })
	if v := s.Stats(); v.DuplicatesUnexpected != 1 || v.DuplicatesExpected != 0 || v.Dead != 1 {
		t.Errorf("%+v", v)
	}
}

// TestTooLargeDocument: a single document above the limit is buried.
func TestTooLargeDocument(t *testing.T) {
	es := estest.New()
	o := testOptions(t, es)
	s, _ := start(t, o)
	l := newLoad(20)
	l.windows[4].Container.Image = strings.Repeat("x", 6<<10)
	es.Limit(6 << 10)
	l.tick(s)
	eventually(t, "it is settled", func() bool { return s.Stats().Pending == 0 })
	audit(t, es, 19)
	if v := s.Stats(); v.Dead != 1 || v.Indexed != 19 {
		t.Errorf("%+v", v)
	}
}

// TestBisect finds the one document that makes the whole request be refused, at the price
// of a search.
func TestBisect(t *testing.T) {
	es := estest.New()
	es.OnPoison(func(source []byte) bool { return bytes.Contains(source, []byte(`"web.77"`)) })
	o := testOptions(t, es)
	s, _ := start(t, o)
	newLoad(128).tick(s)
	eventually(t, "it is settled", func() bool { return s.Stats().Pending == 0 })
	audit(t, es, 127)
	if v := s.Stats(); v.Dead != 1 || v.Indexed != 127 || v.Requests > 2*7+2 { // one of them for the gap
		t.Errorf("%+v", v)
	}
	if bodies, _ := deadLetters(t, o); len(bodies) != 1 || !strings.Contains(bodies[0], `"web.77"`) {
		t.Errorf("%q", bodies)
	}
}

// TestBisectAll: every request refused as a whole is held, at a bounded price.
func TestBisectAll(t *testing.T) {
	es := estest.New()
	es.OnPoison(func([]byte) bool { return true })
	s, _ := start(t, testOptions(t, es))
	newLoad(500).tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	if v := s.Stats(); v.Dead != 0 || v.Requests > (v.Retried+1)*(9+2*maxLone) || !strings.Contains(v.Trouble, "can't be parsed") {
		t.Errorf("%+v", v)
	}
	es.OnPoison(nil)
	eventually(t, "it is settled", func() bool { return s.Stats().Pending == 0 })
	// The repair may have come in the middle of a search.
	v := s.Stats()
	if v.Dead > maxLone {
		t.Errorf("%+v", v)
	}
	audit(t, es, int(500-v.Dead))
}

// TestDamagedBatch: a batch that was damaged on disk costs itself, and a gap tells of it.
func TestDamagedBatch(t *testing.T) {
	o := testOptions(t, nil)
	s, stop := start(t, o)
	l := newLoad(5)
	for range 4 {
		l.tick(s)
	}
	stop()
	q := filepath.Join(o.SpoolDir, liveDir)
	files := names(t, q)
	path := filepath.Join(q, files[1])
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	es := estest.New()
	o.Addresses, o.Transport = []string{"es"}, es
	s, _ = start(t, o)
	l.tick(s) // the gap needs to know the node
	eventually(t, "the gap is indexed", func() bool { return s.Stats().GapsIndexed == 1 })
	eventually(t, "the rest is indexed", func() bool { return s.Stats().Pending == 0 })
	balance(t, s)
	audit(t, es, 20)
	if v := s.Stats(); v.Dropped["damaged"] != 5 || gapDocuments(es)["damaged"] != 5 {
		t.Errorf("%+v, gaps %v", v, gapDocuments(es))
	}
	if got := names(t, filepath.Join(o.SpoolDir, deadDir)); len(got) != 1 || got[0] != files[1] {
		t.Errorf("dead letters: %v", got)
	}
}

// TestBudgetProof: after an outage that was too long, Elasticsearch alone can tell how many
// documents there should be.
func TestBudgetProof(t *testing.T) {
	es := estest.New()
	es.OnBulk(func(int, int) estest.Fault { return estest.Fault{Status: 503} })
	o := testOptions(t, es)
	o.SpoolBytes = 256 << 10
	s, _ := start(t, o)
	l := newLoad(10)
	for i := range 120 {
		l.tick(s)
		eventually(t, "it is stored", func() bool { return s.Stats().Batches == int64(i+1) })
	}
	es.OnBulk(nil)
	eventually(t, "the rest is indexed", func() bool { return s.Stats().Pending == 0 && s.Stats().SpoolBatches == 0 })
	balance(t, s)
	v := s.Stats()
	gaps := gapDocuments(es)["budget"]
	audit(t, es, 1200-gaps)
	if gaps == 0 || int64(gaps) != v.Dropped["budget"] {
		t.Errorf("gaps of %d documents: %+v", gaps, v)
	}
	if v.GapsIndexed > 60 {
		t.Errorf("%d gap documents", v.GapsIndexed)
	}
}

func newWatch(next http.RoundTripper) *watch {
	return &watch{next: next, under: make(map[string]bool), statuses: make(map[int]int)}
}

// watch notes what is under way at once.
type watch struct {
	next http.RoundTripper

	mu       sync.Mutex // guards what follows
	under    map[string]bool
	most     int
	twice    bool
	sequence []string
	statuses map[int]int
}

func (w *watch) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/_bulk" {
		return w.next.RoundTrip(r)
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	key := string(body)
	w.mu.Lock()
	w.twice = w.twice || w.under[key]
	w.under[key] = true
	w.most = max(w.most, len(w.under))
	w.sequence = append(w.sequence, key)
	w.mu.Unlock()
	res, err := w.next.RoundTrip(r)
	w.mu.Lock()
	delete(w.under, key)
	if err == nil {
		w.statuses[res.StatusCode]++
	}
	w.mu.Unlock()
	return res, err
}

// TestDrain: after an outage, the newest batch is there first, several lanes drain the
// rest, and no batch is in two requests at once.
func TestDrain(t *testing.T) {
	o := testOptions(t, nil)
	s, stop := start(t, o)
	l := newLoad(3)
	for range 60 {
		l.tick(s)
	}
	stop()
	es := estest.New()
	es.OnBulk(func(n, docs int) estest.Fault {
		if n == 0 {
			return estest.Fault{Status: 503}
		}
		return estest.Fault{Delay: time.Duration(rand.N(5)) * time.Millisecond, Apply: estest.All}
	})
	w := newWatch(es)
	o.Addresses, o.Transport = []string{"es"}, w
	s, _ = start(t, o)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 180 })
	audit(t, es, 180)
	if w.twice || w.most < 3 || w.most > maxLanes+1 {
		t.Errorf("%d requests at once, one of them twice: %v", w.most, w.twice)
	}
	newest := fmt.Sprintf("%q", time.Unix(0, l.slot).UTC().Format("2006-01-02T15:04:05.000Z"))
	docs := es.Documents()
	found := slices.IndexFunc(docs, func(d estest.Document) bool { return bytes.Contains(d.Source, []byte(newest)) })
	if found < 0 || found > 15 {
		t.Errorf("the newest document came as number %d", found)
	}
}

// TestWaits, in fake time: Retry-After is honoured, a storm of 429 gets few requests, and a
// fresh batch waits for the node's phase.
func TestWaits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		es := estest.New()
		var at []time.Duration
		begin := time.Now()
		es.OnBulk(func(n, docs int) estest.Fault {
			at = append(at, time.Since(begin))
			switch {
			case n == 0:
				return estest.Fault{Status: 429, RetryAfter: "7"}
			case time.Since(begin) < 30*time.Minute:
				return estest.Fault{Status: 429}
			}
			return estest.Fault{}
		})
		o := testOptions(t, es)
		o.SpoolDir = filepath.Join(dir, "spool")
		s, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		s.lanes.phase = 3 * time.Second
		go s.Run(context.Background())
		synctest.Wait()
		newLoad(3).tick(s)
		time.Sleep(30*time.Minute + 2*time.Minute)
		synctest.Wait()
		if v := s.Stats(); v.Indexed != 3 {
			t.Errorf("%+v", v)
		}
		s.Close()
		if len(at) < 30 || len(at) > 400 {
			t.Errorf("%d requests in a storm of half an hour", len(at))
		}
		if at[0] < 3*time.Second || at[0] > 4*time.Second {
			t.Errorf("the first request came after %v, its phase is 3 s", at[0])
		}
		if wait := at[1] - at[0]; wait < 7*time.Second {
			t.Errorf("the second request came %v after a Retry-After of 7 s", wait)
		}
	})
}

// TestProduct: what doesn't say that it is Elasticsearch gets nothing, unless that is wanted.
func TestProduct(t *testing.T) {
	es := estest.New()
	es.HideProduct()
	o := testOptions(t, es)
	s, stop := start(t, o)
	newLoad(3).tick(s)
	eventually(t, "it is held", func() bool { v := s.Stats(); return v.Held && strings.Contains(v.Trouble, "isn't Elasticsearch") })
	if v := s.Stats(); v.Indexed != 0 || es.Len() != 0 {
		t.Errorf("%+v", v)
	}
	stop()
	o.NoProductCheck = true
	s, _ = start(t, o)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
}

// TestSecrets: a rotated password is used without a restart, and never shown.
func TestSecrets(t *testing.T) {
	es := estest.New()
	es.Require("Basic dXNlcjpuZXc=") // user:new
	o := testOptions(t, es)
	o.Username, o.PasswordFile = "user", filepath.Join(t.TempDir(), "password")
	s, _ := start(t, o)
	newLoad(3).tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	if v := s.Stats(); !strings.Contains(v.Trouble, o.PasswordFile) {
		t.Errorf("%+v", v)
	}
	os.WriteFile(o.PasswordFile, []byte("geheim\n"), 0o600)
	eventually(t, "it is refused", func() bool { return strings.Contains(s.Stats().Trouble, "HTTP status 401") })
	if strings.Contains(fmt.Sprintf("%+v", s.Stats()), "geheim") {
		t.Errorf("%+v", s.Stats())
	}
	os.WriteFile(o.PasswordFile, []byte("new\n"), 0o600)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
}

// TestTLS: an unknown authority holds, and its CA file repairs that without a restart.
func TestTLS(t *testing.T) {
	es := estest.New()
	srv := httptest.NewUnstartedServer(es)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes that are to fail
	srv.StartTLS()
	defer srv.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	o := testOptions(t, nil)
	o.Addresses, o.CAFile = []string{srv.URL}, filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(o.CAFile, []byte("nonsense"), 0o600)
	s, stop := start(t, o)
	l := newLoad(3)
	l.tick(s)
	eventually(t, "it is held", func() bool { v := s.Stats(); return v.Held && strings.Contains(v.Trouble, "no PEM certificate") })
	os.WriteFile(o.CAFile, certificate, 0o600)
	s.sender.tls.Suspect()
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
	stop()

	o.CAFile = ""
	s, stop = start(t, o)
	l.tick(s)
	eventually(t, "it is held", func() bool { v := s.Stats(); return v.Held && strings.Contains(v.Trouble, "isn't trusted here") })
	stop()
	o.Addresses = []string{strings.Replace(srv.URL, "https", "http", 1)}
	s, stop = start(t, o)
	eventually(t, "it is told", func() bool { return s.Stats().Trouble != "" })
	stop()
	o.Addresses, o.InsecureTLS = []string{srv.URL}, true
	s, _ = start(t, o)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Pending == 0 })
	audit(t, es, 6)
}

// TestAnything mixes all faults at random: in the end each document is there once.
func TestAnything(t *testing.T) {
	es := estest.New()
	faults := []estest.Fault{
		{}, {}, {},
		{Apply: estest.All, Reset: true}, {Apply: 3, Reset: true}, {Reset: true},
		{Apply: estest.All, Status: 502}, {Status: 503, RetryAfter: "0"}, {Status: 429}, {Status: 401}, {Status: 404, Body: "<html>"},
		{Apply: estest.All, Status: 200, Body: `{"errors":false`}, {Status: 413}, {Apply: 5, Status: 500},
	}
	es.OnBulk(func(int, int) estest.Fault { return faults[rand.N(len(faults))] })
	es.OnItem(func(string, string, []byte) estest.Refusal {
		switch rand.N(60) {
		case 0:
			return estest.Refusal{Status: 429, Type: "es_rejected_execution_exception"}
		case 1:
			return estest.Refusal{Status: 503, Type: "unavailable_shards_exception"}
		}
		return estest.Refusal{}
	})
	s, _ := start(t, testOptions(t, es))
	l := newLoad(7)
	for range 100 {
		l.tick(s)
	}
	eventually(t, "everything is stored", func() bool { return s.Stats().Batches == 100 })
	time.Sleep(300 * time.Millisecond)
	es.OnBulk(nil)
	es.OnItem(nil)
	eventually(t, "everything is settled", func() bool { return s.Stats().Pending == 0 })
	v := s.Stats()
	// A document that was answered 413 alone is refused: that is no accident to a server.
	audit(t, es, 700-int(v.Dead))
	if v.Indexed+v.Dead != 700 || v.DuplicatesUnexpected != 0 {
		t.Errorf("%+v", v)
	}
	t.Logf("%d requests, %d duplicates met, %d dead", v.Requests, v.DuplicatesExpected, v.Dead)
}
