package shipper

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// knowing is a fake that knows what Elasticsearch 8.19 says of templates and indices.
type knowing struct {
	*estest.Server
	simulated, indices string
}

func (k knowing) RoundTrip(r *http.Request) (*http.Response, error) {
	today := time.Now().UTC().Format(dayLayout)
	answer := ""
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/_index_template/_simulate_index/cadvisor-"+today:
		answer = k.simulated
	case r.Method == http.MethodGet && r.URL.Path == "/cadvisor-*":
		answer = k.indices
	}
	if answer == "" {
		return k.Server.RoundTrip(r)
	}
	return &http.Response{
		StatusCode: 200, Request: r, Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}},
		Body: io.NopCloser(strings.NewReader(strings.ReplaceAll(answer, "TODAY", today))),
	}, nil
}

// TestTargets: documents go to indices alone, and settings that may lose them are told.
func TestTargets(t *testing.T) {
	f := func(simulated, indices, trouble string, remarks ...string) {
		t.Helper()
		es := estest.New()
		o := testOptions(t, nil)
		o.Addresses, o.Transport = []string{"http://es:9200"}, knowing{es, simulated, indices}
		s, stop := start(t, o)
		defer stop()
		newLoad(3).tick(s)
		if trouble != "" {
			eventually(t, "it is held", func() bool { return s.Stats().Held })
			if v := s.Stats(); !strings.Contains(v.Trouble, trouble) || v.Indexed != 0 || es.Len() != 0 {
				t.Errorf("%d documents, %+v", es.Len(), v)
			}
			return
		}
		eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
		got := s.Stats().Remarks
		if len(got) != len(remarks) {
			t.Errorf("remarks %q", got)
			return
		}
		for i := range got {
			if !strings.Contains(got[i], remarks[i]) {
				t.Errorf("remarks %q, want %q", got, remarks)
			}
		}
	}
	f("", "", "")
	f("no JSON", "[]", "")
	f(`{"template":{}}`, `{}`, "")
	f(`{"template":{"settings":{"index":{"translog":{"durability":"request"}}}}}`, `{"cadvisor-TODAY":{"aliases":{"cadvisor":{}},"settings":{"index":{"translog":{"durability":"REQUEST"}}}}}`, "")
	f(`{"template":{"mappings":{"_data_stream_timestamp":{"enabled":true}}}}`, "", "makes it a data stream")
	f("", `{".ds-cadvisor-TODAY-000001":{"aliases":{},"data_stream":"cadvisor-TODAY"}}`, "is a data stream")
	f("", `{".ds-cadvisor-other-000001":{"aliases":{},"data_stream":"cadvisor-other"}}`, "")
	f("", `{"roll-000001":{"aliases":{"cadvisor-TODAY":{"is_write_index":true}}}}`, "is an alias (of roll-000001)")
	f("", `{"restored":{"aliases":{"cadvisor-2020.01.01":{}}}}`, "")
	f(`{"template":{"settings":{"index":{"translog":{"durability":"async"}}}}}`, `{"cadvisor-TODAY":{"settings":{"index":{"translog":{"durability":"async"}}}},"cadvisor-2020.01.01":{}}`, "",
		"1 of the indices cadvisor-*", "The index template that applies to cadvisor-")
}

// vanishing is a fake with somebody's template of a data stream, which is deleted between the
// look at the template and that at what would apply.
type vanishing struct {
	*estest.Server
	sync.Mutex
	going bool // deleted with the next look at it
	gone  bool
}

func (v *vanishing) RoundTrip(r *http.Request) (*http.Response, error) {
	v.Lock()
	defer v.Unlock()
	const theirs = `{"index_templates":[{"name":"cadvisor","index_template":{"index_patterns":["cadvisor-*"],"data_stream":{}}}]}`
	k := knowing{Server: v.Server}
	if !v.gone {
		k.simulated = `{"template":{"mappings":{"_data_stream_timestamp":{"enabled":true}}}}`
		if r.Method == http.MethodGet && r.URL.Path == "/_index_template/cadvisor" {
			v.gone = v.going
			return &http.Response{
				StatusCode: 200, Request: r, Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}},
				Body: io.NopCloser(strings.NewReader(theirs)),
			}, nil
		}
	}
	return k.RoundTrip(r)
}

// TestTemplateThatVanishes: no document gets into an index without a template because what was
// in the way went at the wrong moment.
func TestTemplateThatVanishes(t *testing.T) {
	es := &vanishing{Server: estest.New()}
	o := testOptions(t, nil)
	o.Addresses, o.Transport = []string{"http://es:9200"}, es
	s, stop := start(t, o)
	defer stop()
	newLoad(3).tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	es.Lock()
	es.going = true
	es.Unlock()
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
	if es.Template("cadvisor") == nil {
		t.Error("there is no template")
	}
}

// TestStray: a user who may see neither templates nor indices learns from the first answer
// that his documents go elsewhere; once they don't, they are where they belong.
func TestStray(t *testing.T) {
	es := estest.New()
	es.Alias("cadvisor-2026.03.01", "roll-000001")
	o := testOptions(t, es)
	o.NoTemplate = true
	s, _ := start(t, o)
	newLoad(3).tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	if v := s.Stats(); !strings.Contains(v.Trouble, "goes to roll-000001") || v.Indexed != 0 || v.Pending != 3 {
		t.Errorf("%+v", v)
	}
	es.Alias("cadvisor-2026.03.01", "cadvisor-2026.03.01") // an index again
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 && !s.Stats().Held })
	balance(t, s)
}
