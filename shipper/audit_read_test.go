package shipper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// searchable is a fake Elasticsearch that can be searched as far as an audit does: filters of
// terms and times, and scrolling.
type searchable struct {
	*estest.Server
	hide   func(estest.Document) bool // leaves documents out
	answer func(path string) (status int, body string)
	pages  map[string][]estest.Document // by scroll
	n      int
}

func (s *searchable) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.URL.Path, "_search") {
		return s.Server.RoundTrip(r)
	}
	status, body := 0, ""
	if s.answer != nil {
		status, body = s.answer(r.URL.Path)
	}
	if status == 0 {
		var err error
		if status, body, err = s.search(r); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r,
		Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}, "Content-Type": {"application/json"}},
	}, nil
}

// condition is one filter.
type condition struct {
	Term  map[string]any
	Range map[string]struct{ GTE, LTE int64 }
}

func (c *condition) fits(source map[string]any) bool {
	for field, want := range c.Term {
		if source[field] != want {
			return false
		}
	}
	for field, bounds := range c.Range {
		at, err := time.Parse(time.RFC3339Nano, source[field].(string))
		if err != nil || at.UnixMilli() < bounds.GTE || at.UnixMilli() > bounds.LTE {
			return false
		}
	}
	return true
}

func (s *searchable) search(r *http.Request) (status int, body string, err error) {
	var q struct {
		Size  int
		Sort  []any
		Query struct {
			Bool struct {
				Filter  []condition
				MustNot []condition `json:"must_not"`
			}
		}
		Scroll string `json:"scroll_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return 0, "", err
	}
	var found []estest.Document
	switch {
	case r.Method == http.MethodDelete:
		delete(s.pages, q.Scroll)
		return 200, "{}", nil
	case q.Scroll != "":
		found = s.pages[q.Scroll]
	default:
		for _, d := range s.Documents() {
			var source map[string]any
			if err := json.Unmarshal(d.Source, &source); err != nil {
				return 0, "", err
			}
			fits := func(c condition) bool { return c.fits(source) }
			if s.hide != nil && s.hide(d) || slices.ContainsFunc(q.Query.Bool.MustNot, fits) ||
				slices.ContainsFunc(q.Query.Bool.Filter, func(c condition) bool { return !c.fits(source) }) {
				continue
			}
			found = append(found, d)
		}
		if len(q.Sort) > 1 { // the newest first
			slices.Reverse(found)
		}
		if r.URL.Query().Get("scroll") != "" {
			s.n++
			q.Scroll = fmt.Sprint("scroll ", s.n)
		}
	}
	if q.Scroll != "" {
		q.Size = 7 // as if there were many
	}
	page := found[:min(len(found), q.Size)]
	if q.Scroll != "" {
		s.pages[q.Scroll] = found[len(page):]
	}
	var hits []any
	for _, d := range page {
		hits = append(hits, object{"_index": d.Index, "_id": d.ID, "_source": d.Source})
	}
	var out bytes.Buffer
	err = json.NewEncoder(&out).Encode(object{"_scroll_id": q.Scroll, "hits": object{"hits": hits}})
	return 200, out.String(), err
}

// An audit of what a Shipper has delivered, through all requests that it makes.
func TestRunAudit(t *testing.T) {
	s := &searchable{Server: estest.New(), pages: map[string][]estest.Document{}}
	began := time.Now()
	o := testOptions(t, nil)
	o.Addresses, o.Transport = []string{"http://es:9200"}, s
	o.Self = func() Self { return Self{Started: began} }
	shipper, stop := start(t, o)
	l := newLoad(5)
	l.node.Name = auditedNode
	for n := range 6 {
		l.slot = time.Now().UnixNano() - int64(testInterval)
		l.tick(shipper)
		eventually(t, "it is indexed", func() bool { return shipper.Stats().Pending == 0 })
		if n == 0 { // an earlier run has left a gap whose file is damaged
			shipper.spool.mu.Lock()
			shipper.spool.lost[lostDamaged].addGaps(batchName{seq: 1, slot: 1, gaps: 1})
			shipper.spool.mu.Unlock()
		}
	}
	stop()
	run := func() (*Audit, error) {
		return RunAudit(t.Context(), o, AuditOptions{From: began.Add(-time.Minute), To: time.Now()})
	}
	found, err := run()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.pages) > 0 {
		t.Errorf("scrolls are left open: %v", s.pages)
	}
	if len(found.Nodes) != 1 || found.Verdict != Proven || found.Nodes[0].Made < 6*6 || found.Nodes[0].Made != found.Nodes[0].Present {
		t.Errorf("%+v", found)
	}
	if said := strings.Join(found.Nodes[0].Reasons, "\n"); !strings.Contains(said, "1 gap documents were damaged") {
		t.Errorf("nothing tells of the lost gap: %q", said)
	}

	// The first document of a container goes.
	s.hide = func(d estest.Document) bool { return d.ID == s.Documents()[0].ID }
	if found, err = run(); err != nil || found.Verdict != Refuted || found.Nodes[0].Lost != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	s.hide = func(estest.Document) bool { return true }
	if found, err = run(); err != nil || found.Verdict != Undecided {
		t.Errorf("%+v, %v", found, err)
	}

	s.hide = nil
	for _, test := range [...]struct {
		status     int
		body, says string
	}{
		{403, `{"error":{"type":"security_exception","reason":"action is unauthorized"},"status":403}`, "privilege read"},
		{500, `{"error":{"type":"x","reason":"y"}}`, "HTTP status 500: y"},
		{200, `{"timed_out":true}`, "only a part"},
		{200, `{"_shards":{"failed":1}}`, "only a part"},
		{200, `half`, "can't be read"},
	} {
		s.answer = func(string) (int, string) { return test.status, test.body }
		if found, err := run(); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%d %s: %+v, %v", test.status, test.body, found, err)
		}
	}
	o.Transport = refusing{}
	if _, err := run(); err == nil {
		t.Error("no server is no error")
	}
}

// refusing is a transport without a server.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }
