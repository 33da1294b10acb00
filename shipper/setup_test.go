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
		if json.Unmarshal(body, &sent) != nil || asAnswered(sent.Policy) == "" {
			a = answer{400, `{"error":{"type":"x_content_parse_exception"}}`}
			break
		}
		m.policies[name] = string(sent.Policy)
		a = answer{200, `{"acknowledged":true}`}
	case isPolicy && m.policies[name] != "":
		a = answer{200, fmt.Sprintf(`{%q:{"version":1,"policy":%s}}`, name, asAnswered([]byte(m.policies[name])))}
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

// asAnswered returns a policy as Elasticsearch answers it, which adds what is so by default;
// "" for what it refuses. Phases have to have actions (Phase.java, DeleteAction.java).
func asAnswered(policy []byte) string {
	var p struct {
		Phases map[string]object `json:"phases"`
		Meta   json.RawMessage   `json:"_meta,omitempty"`
	}
	if json.Unmarshal(policy, &p) != nil || len(p.Phases) == 0 {
		return ""
	}
	for _, phase := range p.Phases {
		actions, ok := phase["actions"].(object)
		if !ok {
			return ""
		}
		if phase["min_age"] == nil {
			phase["min_age"] = "0ms"
		}
		if deletes, ok := actions["delete"].(object); ok && deletes["delete_searchable_snapshot"] == nil {
			deletes["delete_searchable_snapshot"] = true
		}
	}
	return string(encoded(p))
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
	if want := `{"phases":{"hot":{"actions":{}},"delete":{"min_age":"31d","actions":{"delete":{}}}},"_meta":{"managed_by":"swarmgauge"`; !strings.HasPrefix(m.policies["cadvisor"], want) {
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

// TestSetupPolicyOfPeople: what a person has changed in our policy stays, what an agent has
// written is renewed, and of what has no digest only what an agent would have written.
func TestSetupPolicyOfPeople(t *testing.T) {
	const (
		month = 30 * 24 * time.Hour
		old   = `{"phases":{"hot":{"min_age":"0ms","actions":{}},"delete":{"min_age":"8d","actions":{"delete":{}}}},"_meta":{"managed_by":"swarmgauge","version":2}}`
	)
	ours := func(retention time.Duration) string {
		var p struct{ Policy json.RawMessage }
		if err := json.Unmarshal(LifecyclePolicy(retention), &p); err != nil {
			t.Fatal(err)
		}
		return string(p.Policy)
	}
	replaced := func(policy string, pairs ...string) string {
		t.Helper()
		now := strings.NewReplacer(pairs...).Replace(policy)
		if now == policy {
			t.Fatalf("%q aren't in %s", pairs, policy)
		}
		return now
	}
	f := func(name, there, kept string, same bool) {
		t.Run(name, func(t *testing.T) {
			m := &managing{Server: estest.New(), policies: map[string]string{"cadvisor": there}}
			run := func(force bool) SetupReport {
				t.Helper()
				s := m.newSetup(t)
				s.Lifecycle, s.Force = month, force
				r, err := s.Run(t.Context(), false)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			r := run(false)
			if kept != "" && (len(r.Kept) != 1 || !strings.Contains(r.Kept[0], kept)) || kept == "" && len(r.Kept) > 0 {
				t.Errorf("kept: %q, want %q", r.Kept, kept)
			}
			if stays := kept != "" || same; stays && m.policies["cadvisor"] != there || !stays && m.policies["cadvisor"] != ours(month) {
				t.Errorf("the policy is %s", m.policies["cadvisor"])
			}
			if run(true); !same && !strings.Contains(kept, "newer") && m.policies["cadvisor"] != ours(month) {
				t.Errorf("with force, the policy is %s", m.policies["cadvisor"])
			}
			if kept = m.policies["cadvisor"]; len(run(true).Changes) > 0 || m.policies["cadvisor"] != kept {
				t.Error("it was written twice")
			}
		})
	}
	f("the same", ours(month), "", true)
	f("as it is answered", asAnswered([]byte(ours(month))), "", true)
	f("another age", ours(7*24*time.Hour), "", false)
	f("another age, as it is answered", asAnswered([]byte(ours(7*24*time.Hour))), "", false)
	f("older", replaced(ours(7*24*time.Hour), fmt.Sprintf(`"version":%d`, templateVersion), `"version":1`), "", false)
	f("newer", replaced(ours(7*24*time.Hour), fmt.Sprintf(`"version":%d`, templateVersion), `"version":99`), "of a newer agent (version 99", false)
	f("age changed", replaced(ours(7*24*time.Hour), "8d", "90d"), "changed by a person", false)
	f("age changed to what is asked for", replaced(ours(7*24*time.Hour), "8d", "31d"), "", true)
	f("action added", replaced(ours(month), `"hot":{"actions":{}}`, `"hot":{"actions":{"set_priority":{"priority":100}}}`), "changed by a person", false)
	f("phase added", replaced(ours(month), `"delete":{"min_age"`, `"warm":{"min_age":"2d","actions":{"readonly":{}}},"delete":{"min_age"`), "changed by a person", false)
	f("snapshots stay", replaced(ours(month), `{"delete":{}}`, `{"delete":{"delete_searchable_snapshot":false}}`), "changed by a person", false)
	f("without digest", old, "", false)
	f("without digest, the same age", replaced(old, "8d", "31d"), "", false)
	f("without digest, changed", replaced(old, `"actions":{}}`, `"actions":{"rollover":{"max_age":"1d"}}}`), "changed by a person", false)
	f("without digest, the age and more", replaced(old, "8d", "31d", `{"delete":{}}`, `{"wait_for_snapshot":{"policy":"daily"},"delete":{}}`), "changed by a person", false)
	f("without digest, no delete", `{"phases":{"hot":{"actions":{}}},"_meta":{"managed_by":"swarmgauge","version":2}}`, "changed by a person", false)
	f("foreign", `{"phases":{"hot":{"actions":{}}}}`, "isn't swarmgauge's", false)
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
