package shipper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// managing is a fake with lifecycle policies, and answers that a test gives by path.
type managing struct {
	*estest.Server
	policies map[string]string
	answers  map[string]answer // by method and path
}

type answer struct {
	status int
	body   string
}

func (m *managing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, isPolicy := strings.CutPrefix(r.URL.Path, "/_ilm/policy/")
	a, given := m.answers[r.Method+" "+r.URL.Path]
	switch {
	case given:
	case isPolicy && m.policies != nil && r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		var sent struct{ Policy json.RawMessage }
		if json.Unmarshal(body, &sent) != nil || sent.Policy == nil {
			a = answer{400, `{"error":{"type":"x_content_parse_exception"}}`}
			break
		}
		m.policies[name] = string(sent.Policy)
		a = answer{200, `{"acknowledged":true}`}
	case isPolicy && m.policies[name] != "":
		a = answer{200, fmt.Sprintf(`{%q:{"version":1,"policy":%s}}`, name, m.policies[name])}
	case isPolicy && m.policies != nil:
		a = answer{404, `{"error":{"type":"resource_not_found_exception","reason":"Lifecycle policy not found"}}`}
	default:
		m.Server.ServeHTTP(w, r)
		return
	}
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// newSetup returns a setup of the fake.
func (m *managing) newSetup(t *testing.T) *Setup {
	t.Helper()
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	s, err := NewSetup(Options{Addresses: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestSetupPolicy: a lifecycle policy, and its name in the template.
func TestSetupPolicy(t *testing.T) {
	m := &managing{Server: estest.New(), policies: map[string]string{}}
	run := func(retention time.Duration, force, plan bool, changes, same, kept int) {
		t.Helper()
		s := m.newSetup(t)
		s.Lifecycle, s.Force = retention, force
		r, err := s.Run(t.Context(), plan)
		if err != nil || len(r.Changes) != changes || len(r.Same) != same || len(r.Kept) != kept {
			t.Errorf("%d changes, %d the same, %d kept, %v: %+v", len(r.Changes), len(r.Same), len(r.Kept), err, r.Kept)
		}
	}
	const month = 30 * 24 * time.Hour
	run(month, false, true, 2, 0, 0)
	if len(m.policies) != 0 || m.Template("cadvisor") != nil {
		t.Error("a plan has written")
	}
	run(month, false, false, 2, 0, 0)
	if want := `{"phases":{"hot":{},"delete":{"min_age":"31d","actions":{"delete":{}}}},"_meta":{"managed_by":"swarmgauge"`; !strings.HasPrefix(m.policies["cadvisor"], want) {
		t.Errorf("the policy is %s", m.policies["cadvisor"])
	}
	if got := string(m.Template("cadvisor")); got != string(IndexTemplateWithPolicy("cadvisor")) || !strings.Contains(got, `"lifecycle":{"name":"cadvisor"}`) {
		t.Errorf("the template is %.300s", got)
	}
	run(month, false, false, 0, 2, 0)
	run(36*time.Hour, false, false, 1, 1, 0)
	if !strings.Contains(m.policies["cadvisor"], `"min_age":"3600m"`) {
		t.Errorf("the policy is %s", m.policies["cadvisor"])
	}
	run(0, false, false, 0, 1, 0) // the template keeps its policy
	m.policies["cadvisor"] = `{"phases":{"delete":{"min_age":"7d","actions":{"delete":{}}}}}`
	run(month, false, false, 0, 1, 1)
	if !strings.Contains(m.policies["cadvisor"], "7d") {
		t.Errorf("the policy is %s", m.policies["cadvisor"])
	}
	run(month, true, false, 1, 1, 0)
	if !strings.Contains(m.policies["cadvisor"], "31d") {
		t.Errorf("the policy is %s", m.policies["cadvisor"])
	}
}

// TestSetupNewer: a newer agent's template stays, whatever is asked for.
func TestSetupNewer(t *testing.T) {
	m := &managing{Server: estest.New()}
	const newer = `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":99,"digest":"0123456789abcdef"}}`
	m.SetTemplate("cadvisor", newer)
	s := m.newSetup(t)
	s.Force = true
	r, err := s.Run(t.Context(), false)
	if err != nil || len(r.Kept) != 1 || !strings.Contains(r.Kept[0], "of a newer agent (version 99") || string(m.Template("cadvisor")) != newer {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSetupTrouble names what Elasticsearch may say, and whether waiting helps.
func TestSetupTrouble(t *testing.T) {
	f := func(path string, status int, body, text string, waits bool) {
		t.Helper()
		m := &managing{Server: estest.New(), policies: map[string]string{}, answers: map[string]answer{path: {status, body}}}
		s := m.newSetup(t)
		s.Lifecycle = 24 * time.Hour
		_, err := s.Run(t.Context(), false)
		if err == nil || !strings.Contains(err.Error(), text) || errors.Is(err, ErrNotYet) != waits {
			t.Errorf("%s: got %v (waits: %t), want %q", path, err, errors.Is(err, ErrNotYet), text)
		}
	}
	f("GET /cadvisor", 200, `{"cadvisor":{"aliases":{}}}`, "an index with the plain name of the prefix is in the way", false)
	f("GET /cadvisor", 503, ``, "HTTP status 503", true)
	f("GET /cadvisor", 401, ``, "doesn't accept the credentials", false)
	f("GET /_ilm/policy/cadvisor", 400, `{"error":"no handler found for uri"}`, "has no index lifecycle management", false)
	f("GET /_ilm/policy/cadvisor", 403, `{}`, "manage_ilm", false)
	f("GET /_ilm/policy/cadvisor", 200, `{"other":{}}`, "can't be read", true)
	f("GET /_ilm/policy/cadvisor", 500, ``, "HTTP status 500", true)
	f("PUT /_ilm/policy/cadvisor", 403, `{}`, "manage_ilm", false)
	f("PUT /_ilm/policy/cadvisor", 429, `{}`, "HTTP status 429", true)
	f("GET /_index_template/cadvisor", 403, `{}`, "manage_index_templates", false)
	f("PUT /_index_template/cadvisor", 403, `{}`, "manage_index_templates", false)
	f("PUT /_index_template/cadvisor", 400, `{"error":{"type":"illegal_argument_exception","reason":"index template [cadvisor] has index patterns [cadvisor-*] matching patterns from existing templates [theirs]"}}`, "matching patterns from existing templates [theirs]", false)
	f("GET /cadvisor-*", 200, fmt.Sprintf(`{".ds-x":{"data_stream":"cadvisor-%s"}}`, time.Now().UTC().Format(dayLayout)), "is a data stream", false)

	s, err := NewSetup(Options{Addresses: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Run(t.Context(), false); !errors.Is(err, ErrNotYet) {
		t.Errorf("%v", err)
	}
}
